/**
 * A step to be undone that the records do not know, although its orchestrator has seen that it was done: another instance has done it,
 * which keeps other records, or these were lost. Only people can find the cause, so the log says what they need.
 */
import { Effect } from "effect"
import { type Envelope, unrecorded } from "../wire/Envelope.ts"
import { executeId, type KnownRecords, type ParticipantAction } from "./ParticipantDecision.ts"

/** Whether the action says so for the first time: from then on the record says that the execute must never run. */
export const isFound = (
  { barriers }: Pick<KnownRecords, "barriers">,
  envelope: Envelope,
  action: ParticipantAction
): boolean => {
  if ((action._tag !== "Record" && action._tag !== "Reply") || action.reply?.content !== unrecorded) return false
  const executed = barriers.get(executeId(envelope))
  return executed === undefined || executed.request !== undefined
}

export const warn = ({ path, saga, service }: Envelope): Effect.Effect<void> =>
  Effect.logWarning(
    "A step was done that is to be undone, and this process has no record of it. Do all instances of the service keep their records in the same place? In memory there may be one instance only, and other deployments on the broker need a namespace of their own",
    { service, uuid: saga, step: path }
  )
