/**
 * Takes the replies that are sent to this instance alone. They go past the stream of its service, so the server keeps none of them: the
 * sender waits for the word of the instance that a reply is handled, and gives it to the stream where that does not come.
 */
import type { Msg } from "@nats-io/transport-node"
import { Effect, type Scope } from "effect"
import type { Arrived } from "../../ports/ArrivedMessages.ts"
import type { Connection } from "./NatsConnection.ts"

/** The word of an instance to the sender of a reply. Any other word, or none: the reply goes to the stream. */
export const handled = "+ACK"
const refused = "-NAK"

/** The sender waits at an inbox. A word that somebody wants to be sent elsewhere is not sent: it would be in the name of this service. */
const isInbox = ({ reply }: Msg): boolean => reply?.startsWith("_INBOX.") === true

export interface NatsOwnRepliesOptions {
  readonly subject: string
  /** False: there is no room for the message. */
  readonly arrive: (arrived: Arrived) => boolean
  /** Called when replies come, and when they come no more. Not called where the server does not let the service subscribe. */
  readonly onStanding: (stands: boolean) => void
}

/** Takes replies until the scope closes. */
export const take = Effect.fnUntraced(function* (
  { client }: Connection,
  { arrive, onStanding, subject }: NatsOwnRepliesOptions
): Effect.fn.Return<void, never, Scope.Scope> {
  const held = new Set<Msg>()
  let isGranted = true

  const answer = (message: Msg, word: string): void => {
    if (held.delete(message) && !client.isClosed() && isInbox(message)) message.respond(word)
  }

  const subscription = client.subscribe(subject, {
    callback: (error, message) => {
      if (error !== null) {
        isGranted = false
        return
      }
      held.add(message)
      const isTaken = arrive({
        topic: message.subject,
        payload: message.data,
        retained: false,
        redelivered: false,
        acknowledge: () => answer(message, handled)
      })
      if (!isTaken) answer(message, refused)
    }
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      if (!client.isClosed()) subscription.unsubscribe()
      for (const message of [...held]) answer(message, refused)
    })
  )
  // A refusal of the subscription comes before the answer to this.
  yield* Effect.ignore(Effect.tryPromise(() => client.flush()))
  if (!isGranted)
    return yield* Effect.logWarning("The NATS server gives an instance no subject of its own", { subject })
  yield* Effect.acquireRelease(
    Effect.sync(() => onStanding(true)),
    () => Effect.sync(() => onStanding(false))
  )
})
