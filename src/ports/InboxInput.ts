/**
 * Inputs as rows of the inbox of an execution (SPEC C16): the row that a sender stores, from any process, and the outcome that
 * it reads in the facts.
 */
import { Result, Schema } from "effect"
import { type Refusal, SagaInput } from "../execution/rules/SagaInput.ts"
import * as View from "../execution/view/Refusal.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as CanonicalJson from "../wire/CanonicalJson.ts"
import * as Uuid from "../wire/Uuid.ts"
import type { InboxRow } from "./SagaInbox.ts"

const encode = Schema.encodeSync(SagaInput)
const refusal = Schema.toCodecJson(View.Refusal)
export const encodeRefusal = Schema.encodeSync(refusal)
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
      const { accepted, content, id, key, signal } = input
      const said = `signal:${CanonicalJson.sha256({ signal, key, id, content })}${accepted === true ? ":accepted" : ""}`
      // A refusal is not remembered: the same signal is judged again, and its sender does not take the former answer for its own.
      const refused =
        known?.events.filter((fact) => fact._tag === "ActionRefused" && fact.id.startsWith(said)).length ?? 0
      return refused === 0 ? said : `${said}:${refused}`
    }
    default:
      return Uuid.v7(now)
  }
}

/** The outcome of an input that the owner cannot read. */
export const unreadable = "unreadable"

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
