/**
 * Turns messages that arrive on a connection to a broker into the deliveries of a subscription: never more at a time than it may
 * have. A message that cannot be read becomes a dead letter. After a lost connection waiting messages are dropped, as the broker
 * delivers them again.
 */
import { Cause, type Duration, Effect, FiberSet, MutableList, type Scope } from "effect"
import * as Broker from "./Broker.ts"
import { conclude } from "./Consumer.ts"
import * as DeadLetters from "./DeadLetters.ts"
import { FaultPoint } from "./FaultPoint.ts"

/** A message as it has arrived. */
export interface Arrived {
  readonly topic: string
  readonly payload: Uint8Array
  /** The broker has kept it for subscribers that come later. */
  readonly retained: boolean
  readonly redelivered: boolean
  /** The topic to which the sender wants the reply, if it has named one. */
  readonly replyTopic?: string | undefined
  /** Tells the broker that the message is handled. No effect on a lost connection: the broker delivers the message again. */
  readonly acknowledge: () => void
}

export interface ArrivedMessages {
  /** False: too much waits already, and the message was dropped. */
  readonly arrive: (arrived: Arrived) => boolean
  /** Drops the waiting messages of a lost connection. */
  readonly forget: () => void
  /** The next deliveries; waits for the first. Done after `end`. */
  readonly take: Effect.Effect<readonly [Broker.Delivery, ...Array<Broker.Delivery>], Cause.Done>
  /**
   * The broker gives this subscription no more than it has already sent or keeps for it: waits until all of that is acknowledged, and
   * nothing has come for a moment. Nobody says which message was the last one.
   */
  readonly end: Effect.Effect<void>
}

export interface ArrivedMessagesOptions {
  readonly maxInFlight: number
  /** The address of a topic; undefined: the topic has another form. */
  readonly parse: (topic: string) => Broker.Address | undefined
  /** Called before the next deliveries are handed out. */
  readonly handOut?: () => void
  /** Called when the queue is empty again after it was full and messages were dropped. */
  readonly missing?: () => void
}

/** Bytes that may wait here. Not every broker knows `maxInFlight`: one with MQTT 3.1.1 sends more. */
const maxWaitingBytes = 16 * 1024 * 1024

/** Between an acknowledgement and the next message that a broker has kept for the subscription, at most. */
const quiet: Duration.Input = "100 millis"

/** Memory of a message besides its body, in bytes. */
const overhead = 512

/** Messages in one turn of the event loop. While the answers of one batch are sent, the next batch is handled. */
const batch = 16

/** Decodes UTF-8 exactly: a byte order mark is a part of the text. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const textOf = (payload: Uint8Array): string | undefined => {
  // `decode` throws where the bytes are no UTF-8.
  try {
    return utf8.decode(payload)
  } catch {
    return undefined
  }
}

export const make = Effect.fnUntraced(function* ({
  handOut,
  maxInFlight,
  missing,
  parse
}: ArrivedMessagesOptions): Effect.fn.Return<ArrivedMessages, never, Scope.Scope> {
  const fork = yield* FiberSet.makeRuntime<never>()
  const arrived = MutableList.make<Arrived>()
  let bytes = 0
  let inFlight = 0
  let overflowed = false
  let resume: (() => void) | undefined
  let waking = false
  /** Messages that have come, and acknowledgements. */
  let moves = 0
  let isOver = false

  const isIdle = (): boolean => resume !== undefined && (isOver || (inFlight < maxInFlight && arrived.length > 0))

  /** Wakes the subscription a little later, so that messages that came together are handled and answered together. */
  const wake = (later: (then: () => void) => void): void => {
    if (waking || !isIdle()) return
    waking = true
    later(() => {
      waking = false
      if (isIdle()) resume?.()
    })
  }

  const acknowledge = ({ acknowledge }: Arrived): Effect.Effect<void> => {
    let open = true
    return FaultPoint.around("acknowledge", () => {
      if (!open) return Effect.void
      open = false
      inFlight--
      moves++
      acknowledge()
      wake(setImmediate)
      return Effect.void
    })
  }

  /** Logs and records a message that is not delivered, then acknowledges it. */
  const refuse = (message: Arrived, outcome: string, address?: Broker.Address): void => {
    const { payload } = message
    const kept = address === undefined ? Effect.void : DeadLetters.keep({ address, body: payload }, outcome)
    fork(
      Effect.logWarning("A message was dropped", { outcome, from: address?.from, size: payload.length }).pipe(
        Effect.andThen(kept),
        Effect.andThen(conclude(outcome, acknowledge(message)))
      )
    )
  }

  /** The instance that wants the reply. A topic that is none of a reply to the sender is not heeded: a sender names no other receiver. */
  const askerIn = (replyTopic: string, { from, to }: Broker.Address): string | undefined => {
    const wanted = parse(replyTopic)
    return wanted?.kind === "reply" && wanted.to === from && wanted.from === to ? wanted.instance : undefined
  }

  const read = (message: Arrived): Broker.Delivery | undefined => {
    const { payload, redelivered, retained, topic } = message
    const found = parse(topic)
    const address = found?.instance === undefined ? found : Broker.shared(found)
    // Every new subscriber gets a retained message, so it is no question or answer of now.
    if (retained) refuse(message, "retained")
    else if (address === undefined) refuse(message, "unknown-topic")
    else if (payload.length > Broker.maxMessageBytes) refuse(message, "MessageTooLarge", address)
    else {
      const body = textOf(payload)
      const delivery = { address, redelivered, acknowledge: acknowledge(message) }
      const replyTo = message.replyTopic === undefined ? undefined : askerIn(message.replyTopic, address)
      if (body !== undefined) return { ...delivery, body, ...(replyTo !== undefined && { replyTo }) }
      refuse(message, "MessageMalformed", address)
    }
    return undefined
  }

  const takeUnsafe = (): ReadonlyArray<Broker.Delivery> => {
    const deliveries: Array<Broker.Delivery> = []
    for (const message of MutableList.takeN(arrived, Math.min(batch, maxInFlight - inFlight))) {
      bytes -= message.payload.length + overhead
      inFlight++
      const delivery = read(message)
      if (delivery !== undefined) deliveries.push(delivery)
    }
    if (overflowed && arrived.length === 0) {
      overflowed = false
      missing?.()
    }
    return deliveries
  }

  /** Waits until there is a message. Between two batches other fibers run. */
  const ready = Effect.callback<void>((ready) => {
    resume = () => {
      resume = undefined
      ready(Effect.void)
    }
    wake(setImmediate)
    return Effect.sync(() => {
      resume = undefined
    })
  })

  const take: ArrivedMessages["take"] = Effect.flatMap(ready, () => {
    if (isOver) return Cause.done()
    const [first, ...rest] = takeUnsafe()
    if (first === undefined) return take
    handOut?.()
    return Effect.succeed([first, ...rest])
  })

  const end: Effect.Effect<void> = Effect.suspend(() => {
    const before = moves
    return Effect.flatMap(Effect.sleep(quiet), () => {
      if (moves !== before || inFlight > 0 || arrived.length > 0) return end
      isOver = true
      wake(queueMicrotask)
      return Effect.void
    })
  })

  return {
    take,
    arrive: (message) => {
      const size = message.payload.length + overhead
      if (bytes + size > maxWaitingBytes && arrived.length > 0) {
        overflowed = true
        return false
      }
      bytes += size
      moves++
      MutableList.append(arrived, message)
      wake(queueMicrotask)
      return true
    },
    end,
    forget: () => {
      MutableList.clear(arrived)
      bytes = 0
      overflowed = false
    }
  }
})
