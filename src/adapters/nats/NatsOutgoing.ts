/**
 * Messages on their way to the server, in memory, within a bound. A message stays until the server has stored it, and is sent again
 * after a lost connection. A crash loses them: a sender that expects an answer has stored its message and sends it again (SPEC W1,
 * C8). No message has an id that the server would know it by: one that is sent again has to arrive again.
 */
import type { Msg, NatsConnection } from "@nats-io/transport-node"
import { headers, PermissionViolationError, RequestError } from "@nats-io/transport-node"
import { Clock, Effect, Exit, FiberSet, MutableList, type Scope } from "effect"
import * as Broker from "../../ports/Broker.ts"
import * as Metrics from "../../ports/Metrics.ts"
import * as OwnAddresses from "../../ports/OwnAddresses.ts"
import * as UnheardPlaces from "../../ports/UnheardPlaces.ts"
import type { Connection, NatsConnectionLost } from "./NatsConnection.ts"
import { replyHeader } from "./NatsIncoming.ts"
import { handled } from "./NatsOwnReplies.ts"
import type { NatsSubjects } from "./NatsSubjects.ts"

interface OutgoingMessage {
  readonly place: string
  readonly service: string
  readonly subject: string
  /** Where `subject` is that of one instance: the subject that is in the stream of the service. */
  readonly sharedSubject: string | undefined
  /** Where the reply is wanted. */
  readonly replySubject: string | undefined
  readonly body: string
  readonly bytes: number
}

/** Memory of a message besides its body, in bytes. */
const overhead = 512

/** Messages that the server has not confirmed, at most. */
const maxInFlight = 1_024

/** Milliseconds until a message that is not confirmed is sent again. */
const confirmedWithin = 5_000

/** Milliseconds until a reply to one instance goes to any, if the one has not said that it has handled it. */
const handledWithin = 2_000

export interface NatsOutgoing {
  readonly offer: (message: Broker.Message) => Exit.Exit<void, Broker.BrokerError>
  /** As in `Broker`, like the next three. */
  readonly mayRepeat: (address: Broker.Address) => boolean
  readonly isUnheard: (service: string) => boolean
  readonly maxBytes: () => number | undefined
  readonly refusal: (message: Broker.Message) => string | undefined
  /** Sends over the connection until it is lost. */
  readonly through: (connection: Connection) => Effect.Effect<never, NatsConnectionLost>
  /** Waits until the server has all messages. Does not wait without a connection. */
  readonly empty: Effect.Effect<void>
}

/** The reason why the server did not store a message. Undefined: it has stored it. */
const refusalIn = (answer: Msg): string | undefined => {
  // Any client that guesses the name of the inbox can write to it, so the body may be something else than the answer of a server.
  try {
    const { error } = answer.json<{ readonly error?: { readonly description?: string } }>()
    return error === undefined ? undefined : (error.description ?? "no reason")
  } catch {
    return "the answer is not JSON"
  }
}

/** As a label: without the names and numbers of one message. */
const labelOf = (refusal: string): string => (/^[a-z -]{1,64}$/.test(refusal) ? refusal : "other")

export const make = Effect.fnUntraced(function* (
  maxBytes: number,
  subjects: Pick<NatsSubjects, "of" | "replySubjectOf">
): Effect.fn.Return<NatsOutgoing, never, Scope.Scope> {
  const fork = yield* FiberSet.makeRuntime<never>()
  const context = yield* Effect.context()
  const clock = yield* Clock.Clock
  const unheard = UnheardPlaces.make(clock, context, fork)
  const ownAddresses = OwnAddresses.make(clock)
  const waiting = MutableList.make<OutgoingMessage>()
  /** Messages that wait for a first connection. The same message is not added twice. */
  const offline = new Set<string>()
  const idle = new Set<() => void>()
  /** Reasons that are logged for this connection. */
  const logged = new Set<string>()
  let connection: Connection | undefined
  /** The largest message that the server takes, as it has said last. */
  let limit: number | undefined
  let inFlight = 0
  let bytes = 0

  const refuse = (reason: Broker.BrokerError["reason"], issue?: string) =>
    Exit.fail(new Broker.BrokerError({ operation: "publish", reason, ...(issue !== undefined && { issue }) }))

  const issueOf = (body: string): string | undefined => {
    if (limit === undefined || body.length * 3 <= limit) return undefined
    const size = Buffer.byteLength(body)
    return size > limit ? `message of ${size} bytes over the broker's limit of ${limit}` : undefined
  }

  const done = (outgoing: OutgoingMessage): void => {
    bytes -= outgoing.bytes
    if (bytes === 0) for (const resume of [...idle]) resume()
  }

  const sayOnce = (key: string, text: string, said: object): void => {
    if (logged.has(key)) return
    logged.add(key)
    fork(Effect.logWarning(text, said))
  }

  const drop = (outgoing: OutgoingMessage, reason: string): void => {
    done(outgoing)
    Metrics.natsRefused.update(context, 1, labelOf(reason))
    // Logged once for each connection, as the next messages are likely to be refused too.
    sayOnce(labelOf(reason), "The NATS server did not take a message", { reason, bytes: outgoing.bytes })
  }

  /** The instance has not said that it has handled the message: it goes to any. `isRefused`: so do the next ones to the service. */
  const toAny = (outgoing: OutgoingMessage, subject: string, isRefused: boolean): void => {
    if (isRefused) {
      ownAddresses.refused(outgoing.service)
      sayOnce("own", "The NATS server takes no reply to one instance", { service: outgoing.service })
    }
    MutableList.append(waiting, { ...outgoing, subject, sharedSubject: undefined })
  }

  const settled = (outgoing: OutgoingMessage, answer: Msg): void => {
    if (outgoing.sharedSubject !== undefined)
      return answer.string() === handled ? done(outgoing) : toAny(outgoing, outgoing.sharedSubject, false)
    const refusal = refusalIn(answer)
    unheard.note(outgoing.place, false)
    if (refusal === undefined) done(outgoing)
    else drop(outgoing, refusal)
  }

  const failed = (outgoing: OutgoingMessage, error: unknown): void => {
    const isForbidden = error instanceof Error && error.cause instanceof PermissionViolationError
    if (outgoing.sharedSubject !== undefined) return toAny(outgoing, outgoing.sharedSubject, isForbidden)
    if (error instanceof RequestError && error.isNoResponders()) {
      // There is no stream: the service has never run.
      unheard.note(outgoing.place, true)
      done(outgoing)
    } else if (isForbidden) {
      drop(outgoing, "not authorized")
    } else {
      // The connection is lost, or the server does not answer: nobody knows whether it has the message.
      MutableList.prepend(waiting, outgoing)
    }
  }

  /** The subject for the reply counts in the size of a message: one that is near a limit goes without it. */
  const headersOf = ({ body, replySubject }: OutgoingMessage) => {
    if (replySubject === undefined) return undefined
    const most = Math.min(Broker.maxMessageBytes, limit ?? Broker.maxMessageBytes)
    if (body.length * 3 + overhead > most && Buffer.byteLength(body) + overhead > most) return undefined
    const wanted = headers()
    wanted.set(replyHeader, replySubject)
    return { headers: wanted }
  }

  const send = (client: NatsConnection, outgoing: OutgoingMessage): void => {
    inFlight++
    const { body, subject } = outgoing
    const timeout = outgoing.sharedSubject === undefined ? confirmedWithin : handledWithin
    const options = { timeout, ...headersOf(outgoing) }
    const sent = Effect.tryPromise({
      try: () => client.request(subject, body, options),
      catch: (error) => error
    })
    fork(
      Effect.match(sent, {
        onSuccess: (answer) => settled(outgoing, answer),
        onFailure: (error) => failed(outgoing, error)
      }).pipe(
        Effect.andThen(
          Effect.sync(() => {
            inFlight--
            pump()
          })
        )
      )
    )
  }

  const pump = (): void => {
    if (connection === undefined) return
    const { client } = connection
    while (waiting.length > 0 && inFlight < maxInFlight && !client.isClosed()) {
      for (const outgoing of MutableList.takeN(waiting, maxInFlight - inFlight)) {
        // The limit was not known when the message came.
        if (issueOf(outgoing.body) === undefined) send(client, outgoing)
        else drop(outgoing, "message too large")
      }
    }
  }

  const offer: NatsOutgoing["offer"] = (message) => {
    const { address, body } = message
    if (!Broker.isAddress(address) || Broker.sizeOf(body) > Broker.maxMessageBytes) return refuse("rejected")
    const issue = issueOf(body)
    if (issue !== undefined) {
      Metrics.natsRefused.update(context, 1, "message too large")
      return refuse("too-large", issue)
    }
    const sharedSubject = address.instance === undefined ? undefined : subjects.of(Broker.shared(address))
    const isToOne = sharedSubject !== undefined && ownAddresses.mayUse(address.to)
    const subject = isToOne ? subjects.of(address) : (sharedSubject ?? subjects.of(address))
    const key = connection === undefined ? `${subject} ${body}` : undefined
    if (key !== undefined && offline.has(key)) return Exit.void
    const size = body.length + subject.length + overhead
    if (bytes + size > maxBytes) return refuse(key === undefined ? "full" : "unavailable")
    if (key !== undefined) offline.add(key)
    bytes += size
    MutableList.append(waiting, {
      place: UnheardPlaces.placeOf(address),
      service: address.to,
      subject,
      sharedSubject: isToOne ? sharedSubject : undefined,
      replySubject: message.replyTo === undefined ? undefined : subjects.replySubjectOf(message),
      body,
      bytes: size
    })
    pump()
    return Exit.void
  }

  return {
    offer,
    mayRepeat: unheard.mayRepeat,
    isUnheard: unheard.isUnheard,
    maxBytes: () => limit,
    refusal: ({ body }) => issueOf(body),
    through: (next) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          connection = next
          limit = next.largest
          offline.clear()
          logged.clear()
          pump()
        }),
        () => next.lost,
        () =>
          Effect.sync(() => {
            connection = undefined
          })
      ),
    empty: Effect.callback<void>((resume) => {
      if (bytes === 0 || connection === undefined) return resume(Effect.void)
      const ready = () => resume(Effect.void)
      idle.add(ready)
      return Effect.sync(() => idle.delete(ready))
    })
  }
})
