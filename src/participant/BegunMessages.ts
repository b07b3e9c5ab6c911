/**
 * Messages whose handler runs outside of a unit of work: what is recorded when it begins, and what another message about it does
 * meanwhile. The record has the status 202, like that of an accepted message, and a time: until then a process counts as running the
 * handler. After that time its effect may exist or not, so it runs again before anything is said about it.
 */
import type { Barrier } from "../ports/ParticipantStore.ts"
import type { Envelope } from "../wire/Envelope.ts"
import * as Accepted from "./AcceptedMessages.ts"
import type { Incoming } from "./IncomingMessage.ts"
import { executeId, type KnownRecords, type ParticipantAction, refused } from "./ParticipantDecision.ts"

/**
 * How long a process counts as running a handler after it has said so, in milliseconds. After a crash the handler runs again when this is
 * over; where the clocks of two processes differ by more, it may run in both.
 */
export const claim = 30_000

/** The record of a message that begins now. */
export const begun = (message: Incoming, body: string, now: number): Barrier => ({
  ...Accepted.accepted(message, body, now),
  accepted: Accepted.kept(message, now + claim)
})

/** The same record, for a handler that runs until then at least. */
export const runningUntil = (row: Barrier, until: number): Barrier => ({
  ...row,
  accepted: Accepted.kept(Accepted.messageIn(row), until)
})

/** The handler of the record is to be run again. */
export interface Resume {
  readonly _tag: "Resume"
  readonly row: Barrier
}

/**
 * What to do with a message about one that has begun, in place of what its records say otherwise. A message of which the handler runs is
 * not answered, and what asks about it is answered "not yet".
 */
export const instead = (
  { barriers }: Pick<KnownRecords, "barriers">,
  envelope: Envelope,
  action: ParticipantAction,
  now: number
): ParticipantAction | Resume => {
  if (barriers.size === 0 || action._tag === "PutAway") return action
  const row = rowOf(barriers, envelope)
  const until = row === undefined ? undefined : Accepted.runsUntil(row)
  if (row === undefined || until === undefined) return action
  if (until <= now) return { _tag: "Resume", row }
  return row.id === envelope.id ? { _tag: "Ignore" } : { _tag: "Reply", reply: refused("Running") }
}

/** The record that the message is about: its own, or that of the execute that it asks about or undoes. */
const rowOf = (barriers: KnownRecords["barriers"], envelope: Envelope): Barrier | undefined => {
  const { id, op } = envelope
  return barriers.get(id) ?? (op === "probe" || op === "failure" ? barriers.get(executeId(envelope)) : undefined)
}
