/**
 * Inputs in the inbox of an execution (SPEC C16): the row of an input, the input of a row, and the outcome that its sender
 * reads in the facts. Only replies have no outcome: nobody waits for it.
 */
import { Result, Schema } from "effect"
import type { SagaEvent } from "../execution/rules/SagaEvent.ts"
import { type Refusal, SagaInput } from "../execution/rules/SagaInput.ts"
import * as View from "../execution/view/Refusal.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { InboxRow } from "../ports/SagaInbox.ts"
import * as CanonicalJson from "../wire/CanonicalJson.ts"
import type { Json } from "../wire/JsonLimits.ts"
import * as Uuid from "../wire/Uuid.ts"
import * as Inbox from "./Inbox.ts"

const encode = Schema.encodeSync(SagaInput)
const decode = Schema.decodeUnknownResult(SagaInput)
const refusal = Schema.toCodecJson(View.Refusal)
const encodeRefusal = Schema.encodeSync(refusal)
const decodeRefusal = Schema.decodeUnknownResult(refusal)

/**
 * The row of an input. A reply is known by what it answers, and a signal by what it says, so a second one is no second row;
 * everything else has an id of its own. `known`: the execution as its sender has read it, if it could.
 */
export const rowOf = (uuid: string, input: SagaInput, now: number, known?: SagaExecution): InboxRow => {
  const id = idOf(input, now, known)
  return {
    uuid,
    id,
    input: encode(input),
    at: now,
    ...("actor" in input && input.actor !== undefined && { actor: input.actor }),
    ...("reason" in input && input.reason !== undefined && { reason: input.reason })
  }
}

const idOf = (input: SagaInput, now: number, known: SagaExecution | undefined): string => {
  switch (input._tag) {
    case "Reply":
      return `${input.inReplyTo}:reply:${input.status}`
    case "Signal": {
      const { content, id, key, signal } = input
      const said = `signal:${CanonicalJson.sha256({ signal, key, id, content })}`
      // A refusal is not remembered: the same signal is judged again, and its sender does not take the former answer for its own.
      const refused =
        known?.events.filter((fact) => fact._tag === "ActionRefused" && fact.id.startsWith(said)).length ?? 0
      return refused === 0 ? said : `${said}:${refused}`
    }
    default:
      return Uuid.v7(now)
  }
}

/**
 * The input of a row. One that cannot be read, from a newer release, brings nothing and is refused: its sender is told, and
 * the inbox does not stay full.
 */
export const pendingOf = ({ id, input }: InboxRow): Inbox.PendingInput => {
  const read = decode(input)
  return Inbox.pending(
    Result.getOrElse(read, (): SagaInput => ({ _tag: "Look" })),
    {
      id,
      isReadable: Result.isSuccess(read)
    }
  )
}

/** The outcome of an input that the owner cannot read. */
export const unreadable = "unreadable"

/** The fact that tells the sender of an input its outcome; undefined: nobody waits for one. */
export const outcomeOf = (
  { input, stored }: Inbox.PendingInput,
  refused: Result.Result<unknown, Refusal>,
  at: number
): SagaEvent | undefined => {
  if (stored === undefined || input._tag === "Reply") return undefined
  const { id, isReadable } = stored
  if (!isReadable) return { _tag: "ActionRefused", id, why: unreadable, at }
  return Result.isFailure(refused)
    ? { _tag: "ActionRefused", id, why: encodeRefusal(refused.failure) as Json, at } // a codec to JSON gives JSON
    : { _tag: "ActionApplied", id, at }
}

/** The outcome of an input, where it stands in the facts: nothing, or the refusal. */
export const readOutcome = (
  { events }: SagaExecution,
  id: string
): Result.Result<void, Refusal | typeof unreadable> | undefined => {
  const fact = events.findLast(
    (fact) => (fact._tag === "ActionApplied" || fact._tag === "ActionRefused") && fact.id === id
  )
  if (fact?._tag !== "ActionRefused") return fact === undefined ? undefined : Result.void
  return Result.fail(Result.getOrElse(decodeRefusal(fact.why), () => unreadable))
}
