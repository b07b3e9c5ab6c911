/**
 * The `Broker` over MQTT. Each subscription has its own connection, so that a slow one does not hold up another; the broker
 * keeps the messages of a subscription that is away. An answer is sent over the connection that has brought the question,
 * together with the acknowledgement; one more connection only sends. Lost connections are made again without an end:
 * nothing fails because the broker is away.
 */
import { randomUUID } from "node:crypto"
import { type Config, Context, type Duration, Effect, Layer, type Scope, Stream } from "effect"
import * as ArrivedMessages from "../../ports/ArrivedMessages.ts"
import * as Broker from "../../ports/Broker.ts"
import { FaultPoint } from "../../ports/FaultPoint.ts"
import * as Metrics from "../../ports/Metrics.ts"
import * as Reconnection from "../../ports/Reconnection.ts"
import type { InvalidSetting } from "../../ports/Setting.ts"
import { sha256OfText } from "../../wire/CanonicalJson.ts"
import { isName } from "../../wire/Envelope.ts"
import * as MqttConfig from "./MqttConfig.ts"
import * as Connection from "./MqttConnection.ts"
import * as MqttOutgoing from "./MqttOutgoing.ts"
import * as MqttTopics from "./MqttTopics.ts"

export { checks } from "./MqttChecks.ts"
export type { MqttOptions } from "./MqttConfig.ts"

/** One connection to the broker: for readiness checks and dashboards. */
export interface ConnectionStatus {
  readonly clientId: string
  /** Connected and, if the connection receives, subscribed. */
  readonly ready: boolean
}

export class MqttConnections extends Context.Service<
  MqttConnections,
  {
    /** All connections that this layer keeps up, connected or not. */
    readonly list: Effect.Effect<ReadonlyArray<ConnectionStatus>>
  }
>()("effect-saga/MqttConnections") {}

/** Subscribes to topics. A refusal is an error like a lost connection, so that it is tried again. */
const subscribe = (
  { client, resumed }: Connection.Connection,
  { former, wanted }: MqttTopics.Filters,
  version: MqttConfig.MqttConfig["version"]
): Effect.Effect<void, Connection.MqttConnectionLost> =>
  Effect.callback((resume) => {
    // After a restart a broker may know a shared subscription without serving it, and subscribing again does not help:
    // so it is cancelled first. Both are answered before a message is sent, as mqtt.js numbers these two packets itself.
    const isRenewed = version === 5 && resumed
    let unanswered = isRenewed ? 2 : 1
    const answered = () => {
      if (--unanswered === 0) resume(Effect.void)
    }
    // An error is no harm: there may be no subscription to cancel.
    if (isRenewed) client.unsubscribe([...wanted, ...former], answered)
    client.subscribe(wanted, { qos: 1, ...(version === 5 && { rap: true, rh: 2 }) }, (error, granted = []) => {
      // A lower QoS has no acknowledgements; a higher number is an error code.
      if (!error && granted.every(({ qos }) => qos === 1)) return answered()
      const reason = "the broker refused the subscription"
      resume(Effect.fail(new Connection.MqttConnectionLost({ reason, isReached: true })))
    })
  })

/** Subscribes to the replies for one instance alone. Gives whether the broker has granted it. */
const subscribeOwn = ({ client }: Connection.Connection, filter: string): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    client.subscribe(filter, { qos: 1, rap: true, rh: 2 }, (error, granted = []) =>
      resume(Effect.succeed(!error && granted.every(({ qos }) => qos === 1)))
    )
  })

/** Replies reach a subscription alone until the scope closes. */
const standAlone = Effect.fnUntraced(function* (
  connection: Connection.Connection,
  filter: string,
  onStanding: (stands: boolean) => void
): Effect.fn.Return<void, Connection.MqttConnectionLost, Scope.Scope> {
  if (!(yield* Effect.raceFirst(subscribeOwn(connection, filter), connection.lost)))
    return yield* Effect.logWarning("The MQTT broker gives an instance no topic of its own", { filter })
  yield* Effect.acquireRelease(
    Effect.sync(() => onStanding(true)),
    () =>
      Effect.sync(() => {
        onStanding(false)
        // A session that outlives its process would take replies that others can have.
        if (connection.client.connected) connection.client.unsubscribe(filter)
      })
  )
})

/** The own address of a subscription: a process that comes back under its client id has the one that it had. */
const ownAddress = (clientId: string): string => `i${sha256OfText(clientId).slice(0, 16)}`

/** How long a process that stops waits for the broker to take its last messages. */
const farewell: Duration.Input = "500 millis"

const make = Effect.fnUntraced(function* (
  options: MqttConfig.MqttOptions
): Effect.fn.Return<Context.Context<Broker.Broker | MqttConnections>, InvalidSetting, Scope.Scope> {
  const instance = randomUUID()
  const settings = yield* MqttConfig.make(options, instance)
  const topics = MqttTopics.make(settings.namespace, settings.version)
  const statuses = new Map<string, boolean>()
  const close = yield* Connection.closer
  const said = new Reconnection.Said()

  /** Reserves the first free client id, so that an instance that starts again finds its messages at the broker. */
  const reserve = (name: string, connection = name) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const first = `${settings.clientId}.${name}`
        let clientId = first
        for (let n = 2; statuses.has(clientId); n++) clientId = `${first}.${n}`
        statuses.set(clientId, false)
        return clientId
      }),
      (clientId) => Effect.sync(() => statuses.delete(clientId))
    ).pipe(
      Effect.tap((clientId) => Metrics.mqttConnected.read(() => (statuses.get(clientId) === true ? 1 : 0), connection))
    )

  /** Keeps a connection up until the scope closes. */
  const keep = (
    clientId: string,
    use: (ready: Effect.Effect<void>) => Effect.Effect<never, Connection.MqttConnectionLost, Scope.Scope>,
    onStanding?: (stands: boolean) => void
  ) => {
    const status = (ready: boolean) =>
      Effect.sync(() => {
        statuses.set(clientId, ready)
        onStanding?.(ready)
      })
    onStanding?.(false)
    return Connection.keep(clientId, Effect.ensuring(use(status(true)), status(false)), said)
  }

  const outgoing = yield* MqttOutgoing.make({
    maxBytes: settings.maxOutgoing,
    replyTopicOf: topics.replyTopicOf,
    topicOf: topics.of,
    version: settings.version
  })
  // The broker keeps nothing for this connection. Its id is random, as instances that share a client id may all send.
  const sender = yield* reserve(`out.${instance.slice(0, 8)}`, "out")
  yield* keep(
    sender,
    Effect.fnUntraced(function* (ready) {
      const connection = yield* Connection.open(settings, { clientId: sender, close })
      yield* ready
      return yield* outgoing.through(connection)
    })
  )
  yield* outgoing.alone(Connection.open(settings, { clientId: `${sender}.alone`, close }))
  yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeoutOption(outgoing.empty, farewell)))

  /** A session that outlives its connection keeps what comes until its instance is back. */
  const drains = settings.sessionExpiry === 0
  const receive = Effect.fnUntraced(function* (group: Broker.Group) {
    const { kinds, leaves, maxInFlight = 64, onOwnAddress, onStanding, service } = group
    if (!isName(service) || kinds.length === 0 || !(maxInFlight >= 1))
      return yield* new Broker.BrokerError({ operation: "subscribe", reason: "rejected" })
    const filters = topics.filters(service, kinds)
    let connection: Connection.Connection | undefined
    let hasLeft = false
    const incoming = yield* ArrivedMessages.make({
      maxInFlight,
      parse: topics.parse,
      handOut: () => {
        if (connection !== undefined) outgoing.prefer(connection)
      },
      missing: () => connection?.client.stream.destroy()
    })
    const clientId = yield* reserve(`${service}.${kinds.join("-")}`)
    const own = ownAddress(clientId)
    const ownFilter = kinds.includes("reply") ? topics.ownFilter(service, own) : undefined
    yield* keep(
      clientId,
      Effect.fnUntraced(function* (ready) {
        yield* Effect.addFinalizer(() => Effect.sync(incoming.forget))
        connection = yield* Connection.open(settings, {
          clientId,
          receives: { maxInFlight, take: incoming.arrive },
          close
        })
        if (!hasLeft) {
          yield* Effect.raceFirst(subscribe(connection, filters, settings.version), connection.lost)
          if (onOwnAddress !== undefined && ownFilter !== undefined)
            yield* standAlone(connection, ownFilter, (stands) => onOwnAddress(stands ? own : undefined))
        }
        yield* ready
        return yield* outgoing.through(connection)
      }),
      onStanding
    )
    if (leaves !== undefined && drains) {
      const leave = Effect.sync(() => {
        hasLeft = true
        connection?.client.unsubscribe([...filters.wanted, ...filters.former])
      })
      yield* Effect.forkScoped(leaves.pipe(Effect.andThen(leave), Effect.andThen(incoming.end)))
    }
    return Stream.fromPull(Effect.succeed(incoming.take))
  })

  return Context.make(
    Broker.Broker,
    Broker.Broker.of({
      system: "mqtt",
      publish: (message) => FaultPoint.around("publish", () => outgoing.offer(message)),
      mayRepeat: outgoing.mayRepeat,
      isUnheard: outgoing.isUnheard,
      maxBytes: outgoing.maxBytes,
      refusal: outgoing.refusal,
      drains,
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

/**
 * Messages over the MQTT broker at `url`. The layer is built at once and connects in the background, so the broker may
 * start later. Options that cannot be used are `InvalidSetting`.
 *
 * @example
 * ```ts
 * const BrokerLive = MqttBroker.layer({ url: "mqtts://broker.example", clientId: "orders-1" })
 * ```
 */
export const layer = (options: MqttConfig.MqttOptions): Layer.Layer<Broker.Broker | MqttConnections, InvalidSetting> =>
  Layer.effectContext(make(options))

/**
 * `layer` with options from Effect's `Config`. `SAGA_MQTT_URL` is required; `SAGA_MQTT_CLIENT_ID`, `SAGA_MQTT_NAMESPACE`,
 * `SAGA_MQTT_USERNAME`, `SAGA_MQTT_PASSWORD`, `SAGA_MQTT_CA_FILE`, `SAGA_MQTT_CERTIFICATE_FILE`, `SAGA_MQTT_KEY_FILE`,
 * `SAGA_MQTT_KEY_PASSPHRASE`, `SAGA_MQTT_PROTOCOL`, `SAGA_MQTT_SESSION_EXPIRY`, `SAGA_MQTT_KEEPALIVE` and
 * `SAGA_MQTT_MAX_OUTGOING` are the options above.
 */
export const layerConfig: Layer.Layer<Broker.Broker | MqttConnections, InvalidSetting | Config.ConfigError> =
  Layer.effectContext(Effect.flatMap(MqttConfig.fromConfig, make))
