/**
 * Times that a message says, as far as they are believed: a participant keeps its records until then, and a wrong or hostile sender
 * would have them kept for ever (SPEC C11, C14).
 */
import { limits } from "../definition/SagaIssue.ts"
import type { Barrier, Transaction } from "../ports/ParticipantStore.ts"
import type { Envelope } from "../wire/Envelope.ts"
import type { Incoming } from "./IncomingMessage.ts"
import type { ParticipantConfig } from "./ParticipantConfig.ts"

/** No orchestrator says a later time: every duration of a saga has this bound. */
export const believed = (time: number, now: number): number => Math.min(time, now + limits.duration)

/** The latest `notAfter` of the messages of a transaction. */
export const latest = (known: Transaction | undefined, { notAfter }: Envelope, now: number): number =>
  Math.max(known?.notAfter ?? 0, believed(notAfter, now))

/** When `pendingTtl` begins: not before the execution has decided (SPEC C16). An earlier command may have said a later time. */
export const pendingFrom = (known: Transaction | undefined, keepUntil: number | undefined, now: number): number =>
  Math.max(known?.updatedAt ?? now, keepUntil ?? now, now)

/**
 * Whether what a compensation is to undo was done elsewhere: its orchestrator has seen a 200 that these records do not have, and that
 * cannot have been purged. A record without a transaction is missed for as long as anything is known; then it is `Purged`.
 */
export const isLost = (
  { recordedUntil, transactions }: Envelope,
  executed: Pick<Barrier, "status"> | undefined,
  now: number
): boolean => {
  if (recordedUntil === undefined) return false
  return executed === undefined ? transactions.length === 0 || now <= recordedUntil : executed.status !== 200
}

/** The message with a `keepUntil` that is not further ahead than the participant lets it be. Its hash is without it. */
export const within = (message: Incoming, now: number, { maxKeepUntil }: ParticipantConfig): Incoming => {
  const { envelope } = message
  const { keepUntil } = envelope
  return keepUntil === undefined || keepUntil <= now + maxKeepUntil
    ? message
    : { ...message, envelope: { ...envelope, keepUntil: now + maxKeepUntil } }
}
