/**
 * Messages on their way to the broker, in memory, within a bound. A message stays until the broker has taken it, and is sent
 * again after a lost connection. A crash loses them: a sender that expects an answer has stored its message and sends it
 * again (SPEC W1, C8).
 */
import { Cause, Clock, type Duration, Effect, Exit, FiberSet, MutableList, Queue, type Scope } from "effect"
import * as Broker from "../../ports/Broker.ts"
import * as Loop from "../../ports/Loop.ts"
import * as Metrics from "../../ports/Metrics.ts"
import * as OwnAddresses from "../../ports/OwnAddresses.ts"
import { ReleasingMap } from "../../ports/ReleasingMap.ts"
import * as UnheardPlaces from "../../ports/UnheardPlaces.ts"
import { type Connection, type MqttConnectionLost, tooLarge } from "./MqttConnection.ts"
import * as Packet from "./MqttPacket.ts"
import * as RefusedMessages from "./RefusedMessages.ts"

interface OutgoingMessage {
  /** Where it goes, as far as receivers subscribe to it. */
  readonly place: string
  readonly service: string
  readonly topic: string
  /** Where `topic` is that of one instance: the topic that any instance of the service reads. */
  readonly sharedTopic: string | undefined
  /** Where the reply is wanted. */
  readonly replyTopic: string | undefined
  readonly body: string
  readonly bytes: number
  /** How often a connection was lost with the message in flight. Connections of the same time count as one. */
  losses: number
  /** The number of the newest connection at the last loss. */
  lostBy: number
}

/** Memory of a message besides its body, in bytes. */
const overhead = 512

/** After so many lost connections the message may be their reason: it is sent alone, and the others go on. */
const suspectLosses = 2

/** How long a suspect waits when there is no connection for it. */
const rest: Duration.Input = "1 second"

/** Messages in flight on one connection, even if the broker allows more. */
const maxInFlight = 1_024

const maxId = 65_535

/** A connection with its messages in flight, by packet id. */
interface Lane {
  readonly connection: Connection
  readonly inFlight: ReleasingMap<number, OutgoingMessage>
  /** Connections are numbered in the order in which they were made. */
  readonly number: number
  lastId: number
}

export interface MqttOutgoing {
  readonly offer: (message: Broker.Message) => Exit.Exit<void, Broker.BrokerError>
  /** Whether a message is to be sent again: not where nobody listens, but for one a minute at last (SPEC C8). */
  readonly mayRepeat: (address: Broker.Address) => boolean
  /** Whether the broker has said of the last command for the service that nobody gets it. */
  readonly isUnheard: (service: string) => boolean
  /** Sends over the connection, besides other connections, until it is lost. */
  readonly through: (connection: Connection) => Effect.Effect<never, MqttConnectionLost>
  /** Sends the next messages over this connection, if it has room: an answer then leaves together with an acknowledgement. */
  readonly prefer: (connection: Connection) => void
  /** Sends messages that may have ended connections, each alone over one that `open` makes, until the scope closes. */
  readonly alone: (
    open: Effect.Effect<Connection, MqttConnectionLost, Scope.Scope>
  ) => Effect.Effect<void, never, Scope.Scope>
  /** As in `Broker`, like `refusal`. */
  readonly maxBytes: () => number | undefined
  readonly refusal: (message: Broker.Message) => string | undefined
  /** Waits until the broker has taken all messages. Does not wait without a connection. */
  readonly empty: Effect.Effect<void>
}

export interface MqttOutgoingOptions {
  /** Bytes that wait until the broker takes them, at most. */
  readonly maxBytes: number
  readonly topicOf: (address: Broker.Address) => string
  /** The topic to which the reply is wanted, for a message that says an instance. */
  readonly replyTopicOf: (message: Broker.Message) => string | undefined
  readonly version: Packet.Version
}

export const make = Effect.fnUntraced(function* ({
  maxBytes,
  replyTopicOf,
  topicOf,
  version
}: MqttOutgoingOptions): Effect.fn.Return<MqttOutgoing, never, Scope.Scope> {
  const fork = yield* FiberSet.makeRuntime<never>()
  const context = yield* Effect.context<never>()
  const waiting = MutableList.make<OutgoingMessage>()
  const lanes = new Map<Connection, Lane>()
  let preferred: Lane | undefined
  let newest = 0
  /** Messages that wait for a first connection. The same message is not added twice. */
  const offline = new Set<string>()
  const idle = new Set<() => void>()
  const clock = yield* Clock.Clock
  const unheard = UnheardPlaces.make(clock, context, fork)
  const refusedMessages = RefusedMessages.make(clock)
  const ownAddresses = OwnAddresses.make(clock)
  // As bounded as the others: its messages count in `maxBytes` until they are sent or dropped.
  const suspects = yield* Queue.unbounded<OutgoingMessage>()
  /** The largest packet that the broker takes, as it has said last. */
  let limit: number | undefined
  const logged = new Set<string>()
  let bytes = 0

  const refusal = (reason: Broker.BrokerError["reason"], issue?: string) =>
    Exit.fail(new Broker.BrokerError({ operation: "publish", reason, ...(issue !== undefined && { issue }) }))

  /** Why the broker does not take the message. */
  const issueOf = (topic: string, body: string): string | undefined => {
    if (limit !== undefined && (body.length + topic.length) * 3 + 16 > limit) {
      const size = Packet.sizeOfPublish(topic, body, version)
      if (size > limit) return `message of ${size} bytes over the broker's limit of ${limit}`
    }
    return refusedMessages.issueOf(topic, body)
  }

  const done = (outgoing: OutgoingMessage): void => {
    bytes -= outgoing.bytes
    if (bytes === 0) for (const resume of [...idle]) resume()
  }

  const count = (reason: string): void => Metrics.mqttRefused.update(context, 1, reason)

  const sayOnce = (key: string, text: string, said: object): void => {
    if (logged.has(key)) return
    logged.add(key)
    fork(Effect.logWarning(text, said))
  }

  const drop = (outgoing: OutgoingMessage, reason: string): void => {
    done(outgoing)
    count(reason)
    // Logged once for each connection, as the next messages are likely to be refused too.
    if (reason === tooLarge || reason === "ConnectionLost") {
      const size = Packet.sizeOfPublish(outgoing.topic, outgoing.body, version)
      const how = reason === tooLarge ? "" : `, which has ended the connection ${outgoing.losses} times`
      refusedMessages.add(outgoing.topic, outgoing.body, `message of ${size} bytes over the broker's limit${how}`)
    }
    sayOnce(reason, "The MQTT broker did not take a message", { reason, bytes: outgoing.bytes })
  }

  const free = (): Lane | undefined => {
    if (preferred !== undefined && roomOf(preferred) > 0) return preferred
    for (const lane of lanes.values()) if (roomOf(lane) > 0) return lane
    return undefined
  }

  /** A message that is too large only with the topic for its reply goes without it. */
  const replyTopicThatFits = ({ body, replyTopic, topic }: OutgoingMessage): string | undefined =>
    limit === undefined || Packet.sizeOfPublish(topic, body, version, replyTopic) <= limit ? replyTopic : undefined

  const pump = (): void => {
    while (waiting.length > 0) {
      const lane = free()
      if (lane === undefined) return
      for (const outgoing of MutableList.takeN(waiting, roomOf(lane))) {
        // The limit was not known when the message came.
        if (issueOf(outgoing.topic, outgoing.body) === undefined) send(lane, outgoing, replyTopicThatFits(outgoing))
        else drop(outgoing, "PacketTooLarge")
      }
    }
  }

  /** A message to one instance goes to any from now on. `isRefused`: so do the next ones to the service. */
  const toAny = (outgoing: OutgoingMessage, isRefused: boolean): OutgoingMessage => {
    const { service, sharedTopic } = outgoing
    if (sharedTopic === undefined) return outgoing
    if (isRefused) ownAddresses.refused(service)
    return { ...outgoing, topic: sharedTopic, sharedTopic: undefined }
  }

  const taken = (outgoing: OutgoingMessage, refusal: string | undefined, isUnheard: boolean): void => {
    if (outgoing.sharedTopic !== undefined && (isUnheard || refusal !== undefined)) {
      if (refusal !== undefined)
        sayOnce(`own ${refusal}`, "The MQTT broker takes no reply to one instance", { refusal })
      MutableList.append(waiting, toAny(outgoing, refusal !== undefined))
      return
    }
    unheard.note(outgoing.place, isUnheard)
    if (refusal === undefined) done(outgoing)
    else drop(outgoing, refusal)
  }

  const settled = (lane: Lane, id: number, refusal: string | undefined, isUnheard: boolean): void => {
    const outgoing = lane.inFlight.get(id)
    if (outgoing === undefined) return
    lane.inFlight.delete(id)
    taken(outgoing, refusal, isUnheard)
    pump()
  }

  const attach = (connection: Connection): Lane => {
    const lane: Lane = { connection, inFlight: new ReleasingMap(), number: ++newest, lastId: 0 }
    lanes.set(connection, lane)
    limit = connection.largest
    connection.onTaken((id, refusal, isUnheard) => settled(lane, id, refusal, isUnheard))
    offline.clear()
    logged.clear()
    pump()
    return lane
  }

  /** Messages in flight may be lost, so they are sent again over another connection, or wait for one. */
  const detach = (lane: Lane, exit: Exit.Exit<unknown, unknown>): void => {
    lanes.delete(lane.connection)
    if (preferred === lane) preferred = undefined
    const isLost = Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)
    const alone: Array<OutgoingMessage> = []
    for (const sent of lane.inFlight.values.toReversed()) {
      const outgoing = toAny(sent, isLost)
      if (isLost && lane.number > outgoing.lostBy) {
        outgoing.losses++
        outgoing.lostBy = newest
      }
      if (outgoing.losses >= suspectLosses) alone.push(outgoing)
      else MutableList.prepend(waiting, outgoing)
    }
    for (const outgoing of alone.reverse()) Queue.offerUnsafe(suspects, outgoing)
    lane.inFlight.clear()
    pump()
  }

  /** Sends a suspect over a connection of its own. One that ends this connection too is given up. */
  const trySuspect = (
    outgoing: OutgoingMessage,
    open: Effect.Effect<Connection, MqttConnectionLost, Scope.Scope>
  ): Effect.Effect<void> => {
    let isSent = false
    const sent = Effect.flatMap(open, (connection) => {
      const answered = Effect.callback<void>((resume) => {
        connection.onTaken((_, refusal, isUnheard) => {
          taken(outgoing, refusal, isUnheard)
          resume(Effect.void)
        })
        isSent = true
        connection.publish(outgoing.topic, outgoing.body, 1)
      })
      return Effect.raceFirst(answered, connection.lost)
    })
    return Effect.scoped(sent).pipe(
      Effect.catch(() => {
        if (!isSent)
          return Effect.andThen(
            Effect.sleep(rest),
            Effect.suspend(() => trySuspect(outgoing, open))
          )
        outgoing.losses++
        return Effect.sync(() => drop(outgoing, "ConnectionLost"))
      })
    )
  }

  const offer: MqttOutgoing["offer"] = (message) => {
    const { address, body } = message
    const sharedTopic = address.instance === undefined ? undefined : topicOf(Broker.shared(address))
    // With MQTT 3.1.1 a broker does not say that the instance is not there.
    const isToAny = sharedTopic === undefined || version === 4 || !ownAddresses.mayUse(address.to)
    const topic = isToAny ? (sharedTopic ?? topicOf(address)) : topicOf(address)
    if (!Broker.isAddress(address) || Broker.sizeOf(body) > Broker.maxMessageBytes) return refusal("rejected")
    const issue = issueOf(topic, body)
    if (issue !== undefined) {
      count("PacketTooLarge")
      return refusal("too-large", issue)
    }
    const key = lanes.size === 0 ? `${topic} ${body}` : undefined
    if (key !== undefined && offline.has(key)) return Exit.void
    const size = body.length + topic.length + overhead
    if (bytes + size > maxBytes) return refusal(key === undefined ? "full" : "unavailable")
    if (key !== undefined) offline.add(key)
    bytes += size
    MutableList.append(waiting, {
      place: UnheardPlaces.placeOf(address),
      service: address.to,
      topic,
      sharedTopic: isToAny ? undefined : sharedTopic,
      replyTopic: message.replyTo === undefined ? undefined : replyTopicOf(message),
      body,
      bytes: size,
      losses: 0,
      lostBy: 0
    })
    pump()
    return Exit.void
  }

  return {
    offer,
    mayRepeat: unheard.mayRepeat,
    isUnheard: unheard.isUnheard,
    through: (connection) =>
      Effect.acquireUseRelease(
        Effect.sync(() => attach(connection)),
        () => connection.lost,
        (lane, exit) => Effect.sync(() => detach(lane, exit))
      ),
    alone: (open) =>
      Loop.repeat(
        "MQTT connection",
        Effect.flatMap(Queue.take(suspects), (outgoing) => trySuspect(outgoing, open))
      ),
    maxBytes: () => limit,
    refusal: ({ address, body }) => issueOf(topicOf(address), body),
    prefer: (connection) => {
      preferred = lanes.get(connection)
    },
    empty: Effect.callback<void>((resume) => {
      if (bytes === 0 || lanes.size === 0) return resume(Effect.void)
      const ready = () => resume(Effect.void)
      idle.add(ready)
      return Effect.sync(() => idle.delete(ready))
    })
  }
})

const roomOf = ({ connection, inFlight }: Lane): number =>
  Math.min(maxInFlight, connection.receiveMaximum) - inFlight.size

const send = (lane: Lane, outgoing: OutgoingMessage, replyTopic: string | undefined): void => {
  // A free id is found at once: there are many more ids than messages in flight.
  do lane.lastId = (lane.lastId % maxId) + 1
  while (lane.inFlight.has(lane.lastId))
  lane.inFlight.set(lane.lastId, outgoing)
  lane.connection.publish(outgoing.topic, outgoing.body, lane.lastId, replyTopic)
}
