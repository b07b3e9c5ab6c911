/**
 * Takes the messages of one consumer: asks the server for as many as this instance may have, and for more when some are handled. An
 * instance that stands still asks for nothing more, so the others get what comes. Each message that is not handled yet gets a sign
 * of life now and then; without one the server gives it to another instance.
 */
import { createInbox, type Msg, type Subscription } from "@nats-io/transport-node"
import { Deferred, type Duration, Effect, Exit, type Scope } from "effect"
import type { Arrived } from "../../ports/ArrivedMessages.ts"
import * as Loop from "../../ports/Loop.ts"
import { type Connection, NatsConnectionLost } from "./NatsConnection.ts"
import type { NatsConsumer } from "./NatsStreams.ts"

export interface NatsIncomingOptions {
  readonly connection: Connection
  readonly consumer: NatsConsumer
  /** Messages that are asked for or not acknowledged, at most. */
  readonly most: number
  /** False: there is no room for the message. */
  readonly arrive: (arrived: Arrived) => boolean
}

/** Milliseconds that the server keeps a request for messages. An instance that is frozen gets messages for so long. */
const expires = 2_000

/**
 * Milliseconds between two signs of life that the server gives for a request. With each it looks whether somebody still waits: without
 * it, a request of an instance that was killed takes a message with it.
 */
const heartbeat = 1_000

/** A request of which nothing is heard for so long is lost: its server may have restarted. */
const silence = 3 * heartbeat

/** How long the last request of a subscription may take. */
const lastRequest: Duration.Input = "500 millis"

/** Requests at a time: the next one is sent when half of the messages are handled. */
const mostRequests = 2

/** The server has no message now, or not enough of them in time. */
const isOver = (code: number, description: string): boolean =>
  code === 408 || code === 404 || (code === 409 && /maxwaiting/i.test(description))

/** The bodies of an answer to a delivery, by the protocol of JetStream. */
const acknowledged = "+ACK"
const inProgress = "+WPI"
const refused = "-NAK"
/** To be delivered again in a second, in nanoseconds. */
const notNow = `-NAK {"delay":1000000000}`

/**
 * The server gives each message an address for its acknowledgement: `$JS.ACK.<stream>.<consumer>.<times>.…`, with a domain and an
 * account before the stream if the server is a newer one.
 */
const timesDelivered = ({ reply = "" }: Msg): number => {
  const parts = reply.split(".")
  return Number(parts[parts.length === 9 ? 4 : 6])
}

/** The header of a message that says the subject to which its sender wants the reply. */
export const replyHeader = "saga-reply-to"

/** Nanoseconds of a millisecond. */
const nanos = 1_000_000

interface Request {
  readonly answers: Subscription
  /** Messages that may still come. */
  left: number
  /** Turns of `beat` since something was heard of it. */
  silent: number
}

/** Takes messages until the scope closes. Gives an effect that fails when the server says that the consumer is gone. */
export const take = Effect.fnUntraced(function* ({
  arrive,
  connection: { client, inboxPrefix },
  consumer: { ackWait, kind, stream },
  most
}: NatsIncomingOptions): Effect.fn.Return<Effect.Effect<never, NatsConnectionLost>, never, Scope.Scope> {
  const gone = yield* Deferred.make<never, NatsConnectionLost>()
  const held = new Set<Msg>()
  const requests = new Set<Request>()
  const beat = Math.min(1_000, ackWait / 3)
  let isRefilling = false
  let isEnded = false

  const end = (request: Request): void => {
    if (requests.delete(request)) request.answers.unsubscribe()
  }

  const handled = (message: Msg, answer: string): void => {
    if (!held.delete(message) || client.isClosed()) return
    message.respond(answer)
    refill()
  }

  const received = (message: Msg): void => {
    held.add(message)
    const isTaken = arrive({
      topic: message.subject,
      payload: message.data,
      retained: false,
      redelivered: timesDelivered(message) > 1,
      replyTopic: message.headers?.get(replyHeader) || undefined,
      acknowledge: () => handled(message, acknowledged)
    })
    if (!isTaken) handled(message, notNow)
  }

  const answered = (request: Request, message: Msg): void => {
    const code = message.headers?.code ?? 0
    request.silent = 0
    if (code === 100) return
    if (code === 0) {
      received(message)
      if (--request.left > 0) return
    }
    end(request)
    const description = message.headers?.description ?? ""
    if (code === 0 || isOver(code, description)) return refill()
    const reason = code === 503 ? "the server has no JetStream, or nobody serves the stream" : description
    Deferred.doneUnsafe(gone, Exit.fail(new NatsConnectionLost({ reason: `consumer ${kind} of ${stream}: ${reason}` })))
  }

  /** Asks the server for messages, which come to a subscription of their own. */
  const listen = (wanted: object, callback: (message: Msg) => void): Subscription => {
    const inbox = createInbox(inboxPrefix)
    const answers = client.subscribe(inbox, {
      callback: (error, message) => {
        if (error === null) callback(message)
        else Deferred.doneUnsafe(gone, Exit.fail(new NatsConnectionLost({ reason: error.message })))
      }
    })
    client.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${kind}`, JSON.stringify(wanted), { reply: inbox })
    return answers
  }

  const ask = (batch: number): void => {
    const wanted = { batch, expires: expires * nanos, idle_heartbeat: heartbeat * nanos }
    const request: Request = {
      answers: listen(wanted, (message) => answered(request, message)),
      left: batch,
      silent: 0
    }
    requests.add(request)
  }

  /**
   * A server of version 2.9 gives the first message that is refused to a request that nobody listens to any more. It finds such requests
   * when another one is over: so one that is over at once is sent, and its end awaited.
   */
  const withdraw = Effect.callback<void>((resume) => {
    const last = listen({ batch: 1, expires: nanos }, (message) => {
      if ((message.headers?.code ?? 0) === 0) held.add(message)
      last.unsubscribe()
      resume(Effect.void)
    })
    return Effect.sync(() => last.unsubscribe())
  }).pipe(Effect.timeoutOption(lastRequest))

  const fill = (): void => {
    isRefilling = false
    if (isEnded || client.isClosed() || requests.size >= mostRequests) return
    let room = most - held.size
    for (const { left } of requests) room -= left
    if (room > 0 && (requests.size === 0 || room >= most / 2)) ask(room)
  }

  /** A little later, so that messages that are handled together are asked for together. */
  const refill = (): void => {
    if (isRefilling) return
    isRefilling = true
    setImmediate(fill)
  }

  const look = Effect.sync(() => {
    if (client.isClosed()) return
    for (const message of held) message.respond(inProgress)
    for (const request of requests) if (++request.silent * beat > silence) end(request)
    refill()
  })

  // The others get at once what this instance has not handled.
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      isEnded = true
      const hasAsked = requests.size > 0
      for (const request of requests) end(request)
      if (hasAsked && held.size > 0 && !client.isClosed()) yield* withdraw
      for (const message of held) handled(message, refused)
    })
  )
  yield* Loop.every("NATS deliveries", beat, look)
  fill()
  return Deferred.await(gone)
})
