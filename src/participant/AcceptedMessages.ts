/**
 * Messages whose answer comes later (SPEC C19): what is recorded when one is accepted, and which of them a message ends. From then on
 * they never have an effect, and they are answered as if a 500 was recorded.
 */
import * as KeptMessage from "../ports/KeptMessage.ts"
import type { Barrier, Unit } from "../ports/ParticipantStore.ts"
import type { Envelope } from "../wire/Envelope.ts"
import type { Incoming } from "./IncomingMessage.ts"
import { answeredBarrier, executeId, type ParticipantAction } from "./ParticipantDecision.ts"
import { type HandlerFailed, type HandlerSucceeded, replyMessage } from "./ParticipantHandlers.ts"

type Message = Pick<Incoming, "command" | "envelope">

/** A message as its record keeps it. */
export const kept = ({ command, envelope }: Message, runsUntil?: number): string =>
  KeptMessage.write(command, envelope, runsUntil)

/** The record of a message that is accepted now. */
export const accepted = (message: Incoming, body: string, now: number): Barrier => ({
  ...answeredBarrier(message, 202, body, now, "none", true),
  accepted: kept(message)
})

/** The message that was accepted, or has begun. Throws where the record was changed by other hands. */
export const messageIn = ({ accepted }: Barrier): Message => KeptMessage.read(accepted)

/** Until when a handler counts as running; undefined: the message is not of that kind. */
export const runsUntil = ({ accepted, status }: Barrier): number | undefined =>
  status === 202 ? KeptMessage.partsOf(accepted).runsUntil : undefined

/**
 * The message that a record is about: as it was accepted, or without its content where it has its answer, which repeats the other
 * fields. Undefined: there is no answer.
 */
export const requestOf = (row: Barrier): Message | undefined => {
  if (row.status === 202) return messageIn(row)
  if (row.reply === undefined) return undefined
  const { inReplyTo, status, ...reply }: Envelope = JSON.parse(row.reply)
  return { command: undefined, envelope: { ...reply, id: row.id, op: "execute" } }
}

/** The exact body of the answer. */
export const bodyOf = (to: Envelope, ran: HandlerSucceeded | HandlerFailed): string =>
  ran._tag === "HandlerSucceeded" ? ran.body : replyMessage(to, ran.reply).body

/** The record with its answer. A refusal, and a compensation, leave no effect. */
export const answered = (row: Barrier, ran: HandlerSucceeded | HandlerFailed, body: string, now: number): Barrier => ({
  ...row,
  status: ran.reply.status,
  reply: body,
  effect: ran._tag === "HandlerSucceeded" ? ran.effect : "none",
  open: ran._tag === "HandlerSucceeded" && ran.open,
  accepted: undefined,
  keepUntil: Math.max(row.keepUntil, now)
})

/** The record of an accepted message that gets no answer any more. */
export const ended = (row: Barrier, now: number): Barrier => ({
  ...row,
  request: undefined,
  status: 500,
  reply: undefined,
  effect: "none",
  open: false,
  accepted: undefined,
  keepUntil: Math.max(row.keepUntil, now)
})

const none: ReadonlyArray<never> = []

/** The accepted messages that another message ends: the one that it asks about or undoes, and all of a transaction that it rejects. */
export const endedBy = (
  { accepted, barriers }: Pick<Unit, "accepted" | "barriers">,
  envelope: Envelope,
  action: ParticipantAction
): ReadonlyArray<Barrier> => {
  const { op, saga } = envelope
  if (action._tag === "PutAway" || action._tag === "Repeat" || action._tag === "Ignore") return none
  const asked = op === "probe" || op === "failure" ? barriers.get(executeId(envelope)) : undefined
  const own = asked?.status === 202 ? [asked] : none
  if (accepted.length === 0) return own
  const isRejected = transactionsIn(action).some(({ status, uuid }) => uuid === saga && status === "rejected")
  return isRejected ? [...own, ...accepted.filter(({ id }) => id !== asked?.id)] : own
}

const transactionsIn = (action: ParticipantAction) => {
  switch (action._tag) {
    case "Record":
      return action.records.transactions
    case "Compensate":
    case "Execute":
      return action.transactions
    default:
      return none
  }
}
