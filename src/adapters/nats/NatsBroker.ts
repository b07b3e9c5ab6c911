/**
 * The `Broker` over NATS JetStream. What is sent to a service waits in its stream until an instance has acknowledged it. A process
 * has one connection. A lost connection is made again without an end: nothing fails because the server is away.
 */
import { randomUUID } from "node:crypto"
import { type Config, Context, type Duration, Effect, Layer, type Scope, Stream, SubscriptionRef } from "effect"
import * as ArrivedMessages from "../../ports/ArrivedMessages.ts"
import * as Broker from "../../ports/Broker.ts"
import { FaultPoint } from "../../ports/FaultPoint.ts"
import * as Metrics from "../../ports/Metrics.ts"
import * as Reconnection from "../../ports/Reconnection.ts"
import type { InvalidSetting } from "../../ports/Setting.ts"
import { isName } from "../../wire/Envelope.ts"
import * as NatsConfig from "./NatsConfig.ts"
import * as Connection from "./NatsConnection.ts"
import * as NatsIncoming from "./NatsIncoming.ts"
import * as NatsOutgoing from "./NatsOutgoing.ts"
import * as NatsOwnReplies from "./NatsOwnReplies.ts"
import * as NatsStreams from "./NatsStreams.ts"
import * as NatsSubjects from "./NatsSubjects.ts"

export type { NatsOptions } from "./NatsConfig.ts"

/** The connection to the server, or a subscription over it: for readiness checks and dashboards. */
export interface ConnectionStatus {
  /** `connection`, or the service and the kinds of a subscription. */
  readonly name: string
  readonly ready: boolean
}

export class NatsConnections extends Context.Service<
  NatsConnections,
  {
    /** The connection and all subscriptions that this layer keeps up, standing or not. */
    readonly list: Effect.Effect<ReadonlyArray<ConnectionStatus>>
  }
>()("effect-saga/NatsConnections") {}

/** The own address of a subscription. */
const ownAddress = (): string => `i${randomUUID().replaceAll("-", "")}`

/** How long a process that stops waits for the server to take its last messages. */
const farewell: Duration.Input = "500 millis"

/** A connection that stood for so many milliseconds was good. */
const stable = 2 * Connection.connectTimeout

const make = Effect.fnUntraced(function* (
  options: NatsConfig.NatsOptions
): Effect.fn.Return<Context.Context<Broker.Broker | NatsConnections>, InvalidSetting, Scope.Scope> {
  const settings = yield* NatsConfig.make(options)
  const subjects = NatsSubjects.make(settings.namespace)
  const outgoing = yield* NatsOutgoing.make(settings.maxOutgoing, subjects)
  const statuses = new Set<{ readonly name: string; ready: boolean }>()
  const current = yield* SubscriptionRef.make<Connection.Connection | undefined>(undefined)

  const status = (name: string) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const status = { name, ready: false }
        statuses.add(status)
        return status
      }),
      (status) => Effect.sync(() => statuses.delete(status))
    ).pipe(Effect.tap((status) => Metrics.natsConnected.read(() => (status.ready ? 1 : 0), name)))

  const own = yield* status("connection")
  const stand = (connection: Connection.Connection | undefined) =>
    Effect.andThen(
      Effect.sync(() => {
        own.ready = connection !== undefined
      }),
      SubscriptionRef.set(current, connection)
    )
  yield* Reconnection.keep({
    loop: "NATS connection",
    says: "No connection to the NATS server",
    about: { servers: settings.servers.join(",") },
    stable,
    use: Effect.gen(function* () {
      const connection = yield* Connection.open(settings)
      yield* Effect.acquireRelease(stand(connection), () => stand(undefined))
      return yield* outgoing.through(connection)
    })
  })
  yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeoutOption(outgoing.empty, farewell)))

  /** Waits for a connection that is not the one before. */
  const next = (before: Connection.Connection | undefined): Effect.Effect<Connection.Connection> =>
    SubscriptionRef.changes(current).pipe(
      Stream.filter((connection) => connection !== undefined && connection !== before),
      Stream.runHead,
      Effect.flatMap((found) => (found._tag === "Some" && found.value ? Effect.succeed(found.value) : Effect.never))
    )

  const receive = Effect.fnUntraced(function* (group: Broker.Group) {
    const { kinds, maxInFlight = 64, onOwnAddress, onStanding, service } = group
    if (!isName(service) || kinds.length === 0 || !(maxInFlight >= 1))
      return yield* new Broker.BrokerError({ operation: "subscribe", reason: "rejected" })
    const arrived = yield* ArrivedMessages.make({ maxInFlight, parse: subjects.parse })
    const subscription = yield* status(`${service}.${kinds.join("-")}`)
    const most = Math.max(1, Math.floor(maxInFlight / kinds.length))
    const standing = (stands: boolean) =>
      Effect.sync(() => {
        subscription.ready = stands
        onStanding?.(stands)
      })
    let before: Connection.Connection | undefined
    const own = ownAddress()
    const ownReplies = {
      subject: subjects.ownFilter(service, own),
      arrive: arrived.arrive,
      onStanding: (stands: boolean) => onOwnAddress?.(stands ? own : undefined)
    }
    const isAlone = onOwnAddress !== undefined && kinds.includes("reply")
    const over = Effect.fnUntraced(function* (connection: Connection.Connection) {
      yield* Effect.addFinalizer(() => Effect.andThen(standing(false), Effect.sync(arrived.forget)))
      const consumers = yield* NatsStreams.ensure(connection.client, subjects, settings, service, kinds)
      const taking = yield* Effect.forEach(consumers, (consumer) =>
        NatsIncoming.take({ connection, consumer, most, arrive: arrived.arrive })
      )
      if (isAlone) yield* NatsOwnReplies.take(connection, ownReplies)
      yield* standing(true)
      return yield* Effect.raceAllFirst(taking)
    })
    onStanding?.(false)
    yield* Reconnection.keep({
      loop: "NATS subscription",
      says: "A service gets no messages from the NATS server",
      about: { service, kinds: kinds.join(",") },
      stable,
      use: Effect.gen(function* () {
        for (;;) {
          const connection = yield* next(before)
          yield* Effect.raceFirst(Effect.scoped(over(connection)), Effect.ignore(connection.lost))
          before = connection
        }
      })
    })
    return Stream.fromPull(Effect.succeed(arrived.take))
  })

  return Context.make(
    Broker.Broker,
    Broker.Broker.of({
      system: "nats",
      publish: (message) => FaultPoint.around("publish", () => outgoing.offer(message)),
      mayRepeat: outgoing.mayRepeat,
      isUnheard: outgoing.isUnheard,
      maxBytes: outgoing.maxBytes,
      refusal: outgoing.refusal,
      subscribe: (group) => Stream.unwrap(receive(group))
    })
  ).pipe(
    Context.add(
      NatsConnections,
      NatsConnections.of({
        list: Effect.sync(() => Array.from(statuses, ({ name, ready }) => ({ name, ready })))
      })
    )
  )
})

/**
 * Messages over the NATS server at `url`, which has JetStream. The layer is built at once and connects in the background, so the
 * server may start later. Options that cannot be used are `InvalidSetting`.
 *
 * @example
 * ```ts
 * const BrokerLive = NatsBroker.layer({ url: "tls://nats.example", username: "orders", password })
 * ```
 */
export const layer = (options: NatsConfig.NatsOptions): Layer.Layer<Broker.Broker | NatsConnections, InvalidSetting> =>
  Layer.effectContext(make(options))

/**
 * `layer` with options from Effect's `Config`. `SAGA_NATS_URL` is required; `SAGA_NATS_NAMESPACE`, `SAGA_NATS_USERNAME`,
 * `SAGA_NATS_PASSWORD`, `SAGA_NATS_TOKEN`, `SAGA_NATS_CREDENTIALS_FILE`, `SAGA_NATS_CA_FILE`, `SAGA_NATS_CERTIFICATE_FILE`,
 * `SAGA_NATS_KEY_FILE`, `SAGA_NATS_KEEPALIVE`, `SAGA_NATS_MAX_OUTGOING`, `SAGA_NATS_ACK_WAIT`, `SAGA_NATS_REPLICAS`,
 * `SAGA_NATS_STORAGE`, `SAGA_NATS_MAX_STORED` and `SAGA_NATS_MAX_AGE` are the options above.
 */
export const layerConfig: Layer.Layer<Broker.Broker | NatsConnections, InvalidSetting | Config.ConfigError> =
  Layer.effectContext(Effect.flatMap(NatsConfig.fromConfig, make))

/** The options that `layerConfig` reads, for `makeStreams`. */
export const optionsFromConfig: Effect.Effect<NatsConfig.NatsOptions, InvalidSetting | Config.ConfigError> =
  NatsConfig.fromConfig

/**
 * Makes the streams and consumers of services where they are missing, and changes none that exist. For a deployment in which a
 * service may not make its own: who may make a consumer can speak in the name of every service. Fails with `BrokerError` if the
 * server is away or refuses, and with `InvalidSetting`.
 */
export const makeStreams = Effect.fnUntraced(function* (
  options: NatsConfig.NatsOptions,
  services: ReadonlyArray<string>
): Effect.fn.Return<void, InvalidSetting | Broker.BrokerError> {
  const settings = yield* NatsConfig.make(options)
  const subjects = NatsSubjects.make(settings.namespace)
  const unknown = services.find((service) => !isName(service))
  if (unknown !== undefined)
    return yield* new Broker.BrokerError({ operation: "subscribe", reason: "rejected", issue: "a service has no name" })
  const made = Effect.flatMap(Connection.open(settings), ({ client }) =>
    NatsStreams.makeAll(client, subjects, settings, services)
  )
  yield* Effect.scoped(made).pipe(
    Effect.mapError(
      ({ reason }) => new Broker.BrokerError({ operation: "subscribe", reason: "unavailable", issue: reason })
    )
  )
})
