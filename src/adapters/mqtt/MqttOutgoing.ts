/**
 * What is on its way to the broker: kept until it has taken it, within a bound, and handed over again after a lost
 * connection. In memory: whoever expects an answer has the message in storage and sends it again (SPEC W1, C8).
 */
import { Effect, Exit, FiberSet, Metric, MutableList, type Scope } from "effect"
import * as Broker from "../../ports/Broker.ts"
import type { Connection, MqttConnectionLost, Session } from "./MqttConnection.ts"

interface Outgoing {
  readonly topic: string
  readonly body: string
  readonly bytes: number
  /** How often a connection was lost while the broker had it. */
  losses: number
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

export interface MqttOutgoing {
  readonly offer: (message: Broker.Message) => Exit.Exit<void, Broker.BrokerError>
  /** Uses the connection until the effect ends, which is when it is lost. */
  readonly through: (connection: Connection) => Effect.Effect<never, MqttConnectionLost>
  /** What the broker says to a message that it was sent. */
  readonly acknowledged: NonNullable<Session["acknowledged"]>
  /** Waits until the broker has taken everything, if it is there. */
  readonly empty: Effect.Effect<void>
}

export const make = Effect.fnUntraced(function* (maxBytes: number): Effect.fn.Return<MqttOutgoing, never, Scope.Scope> {
  const fork = yield* FiberSet.makeRuntime<never>()
  const waiting = MutableList.make<Outgoing>()
  /** By the number that the broker knows it by. */
  const inFlight = new Map<number, Outgoing>()
  let lastId = 0
  /** Waits in memory for a connection: sending it again adds nothing. */
  const offline = new Set<string>()
  const idle = new Set<() => void>()
  const said = new Set<string>()
  let connection: Connection | undefined
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

  const pump = (): void => {
    if (connection === undefined) return
    const { maximumPacketSize, publish, receiveMaximum } = connection
    const room = Math.min(maxInFlight, receiveMaximum) - inFlight.size
    for (const outgoing of MutableList.takeN(waiting, room)) {
      if (outgoing.bytes > maximumPacketSize) {
        drop(outgoing, "PacketTooLarge")
        continue
      }
      const id = nextId()
      inFlight.set(id, outgoing)
      publish(outgoing.topic, outgoing.body, id)
    }
  }

  /** There are far more numbers than messages at a time. */
  const nextId = (): number => {
    do lastId = (lastId % maxId) + 1
    while (inFlight.has(lastId))
    return lastId
  }

  const detach = (): void => {
    connection = undefined
    for (const outgoing of [...inFlight.values()].reverse()) {
      if (++outgoing.losses >= maxLosses) drop(outgoing, "ConnectionLost")
      else MutableList.prepend(waiting, outgoing)
    }
    inFlight.clear()
  }

  return {
    offer: ({ address, body }) => {
      const topic = Broker.topic(address)
      if (Broker.parseTopic(topic) === undefined || Broker.sizeOf(body) > Broker.maxMessageBytes)
        return refusal("rejected")
      const key = connection === undefined ? `${topic} ${body}` : undefined
      if (key !== undefined && offline.has(key)) return Exit.void
      const size = body.length + topic.length + overhead
      if (bytes + size > maxBytes) return refusal(key === undefined ? "full" : "unavailable")
      if (key !== undefined) offline.add(key)
      bytes += size
      MutableList.append(waiting, { topic, body, bytes: size, losses: 0 })
      pump()
      return Exit.void
    },
    through: (next) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          connection = next
          offline.clear()
          said.clear()
          pump()
        }),
        () => next.lost,
        () => Effect.sync(detach)
      ),
    acknowledged: (id, refusal) => {
      const outgoing = inFlight.get(id)
      if (outgoing === undefined) return
      inFlight.delete(id)
      if (refusal === undefined) done(outgoing)
      else drop(outgoing, refusal)
      pump()
    },
    empty: Effect.callback<void>((resume) => {
      if (bytes === 0 || connection === undefined) return resume(Effect.void)
      const ready = () => resume(Effect.void)
      idle.add(ready)
      return Effect.sync(() => idle.delete(ready))
    })
  }
})
