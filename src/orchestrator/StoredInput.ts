/**
 * Inputs in the inbox of an execution (SPEC C16): the input of a row, and the outcome that its sender reads in the facts. Only
 * replies have no outcome: nobody waits for it. `ports/InboxInput.ts` makes the rows.
 */
import { Result, Schema } from "effect"
import type { SagaEvent } from "../execution/rules/SagaEvent.ts"
import { type Refusal, SagaInput } from "../execution/rules/SagaInput.ts"
import { encodeRefusal, unreadable } from "../ports/InboxInput.ts"
import type { InboxRow } from "../ports/SagaInbox.ts"
import type { Json } from "../wire/JsonLimits.ts"
import * as Inbox from "./Inbox.ts"

export { readOutcome, rowOf, unreadable } from "../ports/InboxInput.ts"

const decode = Schema.decodeUnknownResult(SagaInput)

/**
 * The input of a row. One that cannot be read, from a newer release, brings nothing and is refused: its sender is told, and
 * the inbox does not stay full.
 */
export const pendingOf = ({ actor, id, input, reason }: InboxRow): Inbox.PendingInput => {
  const read = decode(input)
  return Inbox.pending(
    Result.getOrElse(read, (): SagaInput => ({ _tag: "Look" })),
    {
      id,
      isReadable: Result.isSuccess(read),
      who: { ...(actor !== undefined && { actor }), ...(reason !== undefined && { reason }) }
    }
  )
}

/** The fact that tells the sender of an input its outcome; undefined: nobody waits for one. */
export const outcomeOf = (
  { input, stored }: Inbox.PendingInput,
  refused: Result.Result<unknown, Refusal>,
  at: number
): SagaEvent | undefined => {
  if (stored === undefined || input._tag === "Reply" || input._tag === "Admit") return undefined
  const { id, isReadable, who } = stored
  if (!isReadable) return { _tag: "ActionRefused", id, why: unreadable, ...who, at }
  // A person is named with what he has done.
  const said = who.actor === undefined ? who : { action: input._tag, ...who }
  return Result.isFailure(refused)
    ? { _tag: "ActionRefused", id, why: encodeRefusal(refused.failure) as Json, ...said, at } // a codec to JSON gives JSON
    : { _tag: "ActionApplied", id, ...said, at }
}
