/**
 * What is on its way to the broker: kept until it has taken it, within a bound, and handed over again after a lost
 * connection. In memory: whoever expects an answer has the message in storage and sends it again (SPEC W1, C8).
 */
import { Cause, Effect, Exit, FiberSet, Metric, MutableList, type Scope } from "effect"
import * as Broker from "../../ports/Broker.ts"
import type { Connection, MqttConnectionLost } from "./MqttConnection.ts"

interface Outgoing {
  readonly topic: string
  readonly body: string
  readonly bytes: number
  /** How often a connection was lost while the broker had it. Those that were there together count as one. */
  losses: number
  /** The newest connection there was at the last of them. */
  lostBy: number
}

/** What a message costs beside its body. */
const overhead = 512

/** A message that ends the connection so often is what ends it. */
const maxLosses = 3

/** No more at the same time, whatever the broker says. */
const maxInFlight = 1_024

const maxId = 65_535

const refused = Metric.counter("effect_saga_mqtt_refused_total", {
  description: "Messages that the broker did not take, by reason",
  incremental: true
})

/** A connection, and what is on its way over it, by the number that the broker knows it by. */
interface Lane {
  readonly connection: Connection
  readonly inFlight: Map<number, Outgoing>
  /** In the order in which they came. */
  readonly number: number
  lastId: number
}

export interface MqttOutgoing {
  readonly offer: (message: Broker.Message) => Exit.Exit<void, Broker.BrokerError>
  /** Uses the connection, with others, until the effect ends, which is when it is lost. */
  readonly through: (connection: Connection) => Effect.Effect<never, MqttConnectionLost>
  /** What is sent next goes over this one, if it can: it leaves together with the acknowledgement of what it answers. */
  readonly prefer: (connection: Connection) => void
  /** Waits until the broker has taken everything, if it is there. */
  readonly empty: Effect.Effect<void>
}

export const make = Effect.fnUntraced(function* (maxBytes: number): Effect.fn.Return<MqttOutgoing, never, Scope.Scope> {
  const fork = yield* FiberSet.makeRuntime<never>()
  const waiting = MutableList.make<Outgoing>()
  const lanes = new Map<Connection, Lane>()
  let preferred: Lane | undefined
  let newest = 0
  /** Waits in memory for a connection: sending it again adds nothing. */
  const offline = new Set<string>()
  const idle = new Set<() => void>()
  const said = new Set<string>()
  let bytes = 0

  const refusal = (reason: Broker.BrokerError["reason"]) =>
    Exit.fail(new Broker.BrokerError({ operation: "publish", reason }))

  const done = (outgoing: Outgoing): void => {
    bytes -= outgoing.bytes
    if (bytes === 0) for (const resume of [...idle]) resume()
  }

  const drop = (outgoing: Outgoing, reason: string): void => {
    done(outgoing)
    fork(Metric.update(Metric.withAttributes(refused, { reason }), 1))
    // Once for each connection: the next messages are likely to meet the same refusal.
    if (said.has(reason)) return
    said.add(reason)
    fork(Effect.logWarning("The MQTT broker did not take a message", { reason, bytes: outgoing.bytes }))
  }

  const free = (): Lane | undefined => {
    if (preferred !== undefined && roomOf(preferred) > 0) return preferred
    for (const lane of lanes.values()) if (roomOf(lane) > 0) return lane
    return undefined
  }

  const pump = (): void => {
    while (waiting.length > 0) {
      const lane = free()
      if (lane === undefined) return
      for (const outgoing of MutableList.takeN(waiting, roomOf(lane))) {
        if (lane.connection.fits(outgoing.topic, outgoing.body)) send(lane, outgoing)
        else drop(outgoing, "PacketTooLarge")
      }
    }
  }

  const settled = (lane: Lane, id: number, refusal: string | undefined): void => {
    const outgoing = lane.inFlight.get(id)
    if (outgoing === undefined) return
    lane.inFlight.delete(id)
    if (refusal === undefined) done(outgoing)
    else drop(outgoing, refusal)
    pump()
  }

  const attach = (connection: Connection): Lane => {
    const lane: Lane = { connection, inFlight: new Map(), number: ++newest, lastId: 0 }
    lanes.set(connection, lane)
    connection.onTaken((id, refusal) => settled(lane, id, refusal))
    offline.clear()
    said.clear()
    pump()
    return lane
  }

  /** What was on its way may be lost: it goes over another connection, which may be about to be lost as well, or waits. */
  const detach = (lane: Lane, exit: Exit.Exit<unknown, unknown>): void => {
    lanes.delete(lane.connection)
    if (preferred === lane) preferred = undefined
    const isLost = Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)
    for (const outgoing of [...lane.inFlight.values()].reverse()) {
      if (isLost && lane.number > outgoing.lostBy) {
        outgoing.losses++
        outgoing.lostBy = newest
      }
      if (outgoing.losses >= maxLosses) drop(outgoing, "ConnectionLost")
      else MutableList.prepend(waiting, outgoing)
    }
    lane.inFlight.clear()
    pump()
  }

  return {
    offer: ({ address, body }) => {
      const topic = Broker.topic(address)
      if (Broker.parseTopic(topic) === undefined || Broker.sizeOf(body) > Broker.maxMessageBytes)
        return refusal("rejected")
      const key = lanes.size === 0 ? `${topic} ${body}` : undefined
      if (key !== undefined && offline.has(key)) return Exit.void
      const size = body.length + topic.length + overhead
      if (bytes + size > maxBytes) return refusal(key === undefined ? "full" : "unavailable")
      if (key !== undefined) offline.add(key)
      bytes += size
      MutableList.append(waiting, { topic, body, bytes: size, losses: 0, lostBy: 0 })
      pump()
      return Exit.void
    },
    through: (connection) =>
      Effect.acquireUseRelease(
        Effect.sync(() => attach(connection)),
        () => connection.lost,
        (lane, exit) => Effect.sync(() => detach(lane, exit))
      ),
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

const send = (lane: Lane, outgoing: Outgoing): void => {
  // There are far more numbers than messages at a time.
  do lane.lastId = (lane.lastId % maxId) + 1
  while (lane.inFlight.has(lane.lastId))
  lane.inFlight.set(lane.lastId, outgoing)
  lane.connection.publish(outgoing.topic, outgoing.body, lane.lastId)
}
