/**
 * The `Broker` over MQTT. Each subscription has a connection of its own, so that what waits in one never holds up another;
 * the broker keeps what arrives for it while it is away. An answer leaves over the connection that has brought the question,
 * together with its acknowledgement; one connection only sends, for when there is no other. Connections that are lost are
 * made again, for as long as it takes: nothing here fails because the broker is not there.
 */
import { randomUUID } from "node:crypto"
import { type Config, Context, Effect, Layer, type Scope, Stream } from "effect"
import * as Broker from "../../ports/Broker.ts"
import { FaultPoint } from "../../ports/FaultPoint.ts"
import type { InvalidSetting } from "../../ports/Setting.ts"
import * as MqttConfig from "./MqttConfig.ts"
import * as Connection from "./MqttConnection.ts"
import * as MqttIncoming from "./MqttIncoming.ts"
import * as MqttOutgoing from "./MqttOutgoing.ts"

export type { MqttOptions } from "./MqttConfig.ts"

/** One connection to the broker: for readiness checks and dashboards. */
export interface ConnectionStatus {
  readonly clientId: string
  /** It is connected and, if it receives, subscribed. */
  readonly ready: boolean
}

export class MqttConnections extends Context.Service<
  MqttConnections,
  {
    /** The connections that there should be. */
    readonly list: Effect.Effect<ReadonlyArray<ConnectionStatus>>
  }
>()("effect-saga/MqttConnections") {}

const filterOf = (service: string, kind: Broker.Kind): string =>
  `saga/v1/${service}/${kind}/+${kind === "command" ? "/+" : ""}`

const isService = (service: string): boolean =>
  Broker.parseTopic(Broker.topic({ to: service, kind: "reply", from: service })) !== undefined

/** Asks for what is addressed to a service. Fails like a lost connection, so that it is tried again. */
const subscribe = (
  { client, resumed }: Connection.Connection,
  filters: Array<string>,
  version: MqttConfig.MqttConfig["version"]
): Effect.Effect<void, Connection.MqttConnectionLost> =>
  Effect.callback((resume) => {
    // A shared subscription may be known and not served any more after a restart of the broker, and then asking again is
    // not enough. Both are answered before the connection sends anything: mqtt.js has numbers of its own for them.
    const isRenewed = version === 5 && resumed
    let unanswered = isRenewed ? 2 : 1
    const answered = () => {
      if (--unanswered === 0) resume(Effect.void)
    }
    // Whether there was one to cancel does not matter.
    if (isRenewed) client.unsubscribe(filters, answered)
    client.subscribe(filters, { qos: 1, ...(version === 5 && { rap: true, rh: 2 }) }, (error, granted = []) => {
      // With less nothing could be acknowledged; more is a refusal.
      if (!error && granted.every(({ qos }) => qos === 1)) return answered()
      resume(Effect.fail(new Connection.MqttConnectionLost({ reason: "the broker refused the subscription" })))
    })
  })

const make = Effect.fnUntraced(function* (
  options: MqttConfig.MqttOptions
): Effect.fn.Return<Context.Context<Broker.Broker | MqttConnections>, InvalidSetting, Scope.Scope> {
  const instance = randomUUID()
  const settings = yield* MqttConfig.make(options, instance)
  const statuses = new Map<string, boolean>()

  /** Reserves the first free id in the scope: an instance that starts again finds what was kept for it. */
  const reserve = (name: string) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const first = `${settings.clientId}.${name}`
        let clientId = first
        for (let n = 2; statuses.has(clientId); n++) clientId = `${first}.${n}`
        statuses.set(clientId, false)
        return clientId
      }),
      (clientId) => Effect.sync(() => statuses.delete(clientId))
    )

  /** Keeps up a connection in the scope. */
  const keep = (
    clientId: string,
    use: (ready: Effect.Effect<void>) => Effect.Effect<never, Connection.MqttConnectionLost, Scope.Scope>
  ) => {
    const status = (ready: boolean) => Effect.sync(() => void statuses.set(clientId, ready))
    return Effect.forkScoped(Connection.keep(clientId, Effect.ensuring(use(status(true)), status(false))))
  }

  const outgoing = yield* MqttOutgoing.make(settings.maxOutgoing)
  // Nothing is kept for it, and instances that share an id may all send.
  const sender = yield* reserve(`out.${instance.slice(0, 8)}`)
  yield* keep(
    sender,
    Effect.fnUntraced(function* (ready) {
      const connection = yield* Connection.open(settings, { clientId: sender })
      yield* ready
      return yield* outgoing.through(connection)
    })
  )
  yield* Effect.addFinalizer(() => Effect.timeoutOption(outgoing.empty, "1 second"))

  /** Under these the broker keeps what nobody will come back for, and hands them their share of what is new. */
  const left = new Set<string>()
  const forget = Effect.suspend(() =>
    Effect.forEach(
      statuses.get(sender) === true ? left : [],
      // It asks for nothing to be kept, and that is all.
      (clientId) => Effect.scoped(Connection.open(settings, { clientId })),
      { concurrency: "unbounded", discard: true }
    )
  )
  yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeoutOption(forget, "1 second")))

  const receive = Effect.fnUntraced(function* ({ kinds, maxInFlight = 64, service }: Broker.Group) {
    if (!isService(service) || kinds.length === 0 || !(maxInFlight >= 1))
      return yield* new Broker.BrokerError({ operation: "subscribe", reason: "rejected" })
    const filters = kinds.map((kind) => filterOf(service, kind))
    const shared = settings.version === 5 ? filters.map((filter) => `$share/${service}/${filter}`) : filters
    let connection: Connection.Connection | undefined
    const incoming = yield* MqttIncoming.make({
      maxInFlight,
      handOut: () => {
        if (connection !== undefined) outgoing.prefer(connection)
      },
      missing: () => connection?.client.stream.destroy()
    })
    const clientId = yield* reserve(`${service}.${kinds.join("-")}`)
    if (settings.passing) left.add(clientId)
    yield* keep(
      clientId,
      Effect.fnUntraced(function* (ready) {
        yield* Effect.addFinalizer(() => Effect.sync(incoming.forget))
        connection = yield* Connection.open(settings, { clientId, receives: { maxInFlight, take: incoming.arrive } })
        yield* Effect.raceFirst(subscribe(connection, shared, settings.version), connection.lost)
        yield* ready
        return yield* outgoing.through(connection)
      })
    )
    return Stream.fromPull(Effect.succeed(incoming.take))
  })

  return Context.make(
    Broker.Broker,
    Broker.Broker.of({
      publish: (message) => FaultPoint.around("publish", () => outgoing.offer(message)),
      subscribe: (group) => Stream.unwrap(receive(group))
    })
  ).pipe(
    Context.add(
      MqttConnections,
      MqttConnections.of({
        list: Effect.sync(() => Array.from(statuses, ([clientId, ready]) => ({ clientId, ready })))
      })
    )
  )
})

/** Connects in the background: a broker that is not there yet is waited for. */
export const layer = (options: MqttConfig.MqttOptions): Layer.Layer<Broker.Broker | MqttConnections, InvalidSetting> =>
  Layer.effectContext(make(options))

/**
 * The same from Effect's `Config`: `SAGA_MQTT_URL` is required; `SAGA_MQTT_CLIENT_ID`, `SAGA_MQTT_USERNAME`,
 * `SAGA_MQTT_PASSWORD`, `SAGA_MQTT_CA_FILE`, `SAGA_MQTT_CERTIFICATE_FILE`, `SAGA_MQTT_KEY_FILE`,
 * `SAGA_MQTT_KEY_PASSPHRASE`, `SAGA_MQTT_PROTOCOL`, `SAGA_MQTT_SESSION_EXPIRY`, `SAGA_MQTT_KEEPALIVE` and
 * `SAGA_MQTT_MAX_OUTGOING` are the options above.
 */
export const layerConfig: Layer.Layer<Broker.Broker | MqttConnections, InvalidSetting | Config.ConfigError> =
  Layer.effectContext(Effect.flatMap(MqttConfig.fromConfig, make))
