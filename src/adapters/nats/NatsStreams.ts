/**
 * The stream of a service and its consumers at the server. They are made where they are missing, and used as they are where they
 * exist: an operator may have changed them.
 */
import {
  AckPolicy,
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType
} from "@nats-io/jetstream"
import type { NatsConnection } from "@nats-io/transport-node"
import { Effect } from "effect"
import * as Broker from "../../ports/Broker.ts"
import type { NatsConfig } from "./NatsConfig.ts"
import { lostBy, type NatsConnectionLost } from "./NatsConnection.ts"
import { kinds as allKinds, type NatsSubjects } from "./NatsSubjects.ts"

/** A consumer that is there. */
export interface NatsConsumer {
  readonly stream: string
  readonly kind: Broker.Kind
  /** Milliseconds after which a message without a sign of life goes to another instance. */
  readonly ackWait: number
}

const nanos = (millis: number): number => millis * 1_000_000

const hasCode = (error: unknown, ...codes: ReadonlyArray<number>): boolean =>
  error instanceof JetStreamApiError && codes.includes(error.code)

const isMissing = (error: unknown): boolean =>
  hasCode(error, JetStreamApiCodes.StreamNotFound, JetStreamApiCodes.ConsumerNotFound)

/** Another instance has made it at the same time, perhaps with other settings: name in use, consumer exists. */
const isThere = (error: unknown): boolean => hasCode(error, 10058, 10013, 10148)

/** Gives what is there, or makes it. */
const found = <A>(
  name: string,
  look: () => Promise<A>,
  add: () => Promise<unknown>
): Effect.Effect<A, NatsConnectionLost> => {
  const looked = Effect.tryPromise({ try: look, catch: (error) => error })
  const added = Effect.tryPromise({ try: add, catch: (error) => error }).pipe(
    Effect.catchIf(isThere, () => Effect.void),
    Effect.andThen(looked)
  )
  return looked.pipe(
    Effect.catchIf(isMissing, () => added),
    Effect.mapError((error) => lostBy(error, name))
  )
}

const stream = (manager: JetStreamManager, subjects: NatsSubjects, settings: NatsConfig, service: string) => {
  const name = subjects.stream(service)
  const config = {
    name,
    subjects: allKinds.map((kind) => subjects.filter(service, kind)),
    // A message is there until an instance has acknowledged it.
    retention: RetentionPolicy.Workqueue,
    storage: settings.storage === "file" ? StorageType.File : StorageType.Memory,
    num_replicas: settings.replicas,
    // The sender hears of a message that finds no room, and sends it again. Without this the oldest would be dropped silently.
    discard: DiscardPolicy.New,
    max_bytes: settings.maxStored,
    max_age: nanos(settings.maxAge),
    max_msg_size: Broker.maxMessageBytes
  }
  return found(
    `stream ${name}`,
    () => manager.streams.info(name),
    () => manager.streams.add(config)
  )
}

const consumer = (
  manager: JetStreamManager,
  subjects: NatsSubjects,
  settings: NatsConfig,
  service: string,
  kind: Broker.Kind
): Effect.Effect<NatsConsumer, NatsConnectionLost> => {
  const name = subjects.stream(service)
  const config = {
    durable_name: kind,
    filter_subject: subjects.filter(service, kind),
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(settings.ackWait),
    // Each instance bounds what it asks for, so that instances that are gone take nothing from the others.
    max_ack_pending: -1
  }
  return found(
    `consumer ${kind} of stream ${name}`,
    () => manager.consumers.info(name, kind),
    () => manager.consumers.add(name, config)
  ).pipe(
    Effect.map(({ config }) => ({
      stream: name,
      kind,
      ackWait: (config.ack_wait ?? nanos(settings.ackWait)) / 1_000_000
    }))
  )
}

/** The consumers of a service for these kinds. */
export const ensure = Effect.fnUntraced(function* (
  client: NatsConnection,
  subjects: NatsSubjects,
  settings: NatsConfig,
  service: string,
  kinds: ReadonlyArray<Broker.Kind>
): Effect.fn.Return<ReadonlyArray<NatsConsumer>, NatsConnectionLost> {
  const manager = yield* Effect.tryPromise({
    try: () => jetstreamManager(client, { checkAPI: false }),
    catch: (error) => lostBy(error)
  })
  yield* stream(manager, subjects, settings, service)
  return yield* Effect.forEach(kinds, (kind) => consumer(manager, subjects, settings, service, kind))
})

/** The streams and consumers of services, for every kind. */
export const makeAll = (
  client: NatsConnection,
  subjects: NatsSubjects,
  settings: NatsConfig,
  services: ReadonlyArray<string>
): Effect.Effect<void, NatsConnectionLost> =>
  Effect.forEach(services, (service) => ensure(client, subjects, settings, service, allKinds), { discard: true })
