/**
 * An execution for whoever may not see its values: facts without initial values, results, payloads, answers, items and headers. What
 * is left has the form of facts, so that it folds, and tells the same story.
 */
import type { SagaEvent } from "../execution/rules/SagaEvent.ts"
import type { SagaFailure } from "../execution/rules/SagaFailure.ts"
import { failureTag } from "../execution/view/FailureTag.ts"
import type { Inspected } from "../ports/Inspector.ts"
import type { Envelope } from "../wire/Envelope.ts"

/** In the place of a value. */
export const hidden = "hidden"

/** The fields of facts that are values as a whole. */
export const valueFields: ReadonlySet<string> = new Set([
  "context",
  "result",
  "content",
  "message",
  "headers",
  "why",
  "items"
])

const partOf = (name: string, value: unknown): unknown => {
  switch (name) {
    case "result":
    case "content":
    case "why":
      return hidden
    case "context":
    case "headers":
      return {}
    case "items":
      return (value as ReadonlyArray<unknown>).map(() => hidden)
    case "message": {
      const { content, headers, ...message } = value as Envelope
      return {
        ...message,
        ...(content !== undefined && { content: hidden }),
        ...(headers !== undefined && { headers: {} })
      }
    }
    case "failure":
      return failureOf(value as SagaFailure)
    default:
      return value
  }
}

const failureOf = (failure: SagaFailure): SagaFailure => {
  switch (failure._tag) {
    case "StepError": {
      const tag = failureTag(failure)
      return { ...failure, error: tag === failure._tag ? hidden : { _tag: tag } }
    }
    case "StepDefect":
      return { ...failure, defect: hidden }
    case "StepRefused":
      return { ...failure, content: hidden }
    default:
      return failure
  }
}

/** The casts of this file: the fields of a fact are looked at by their names, which say their types. */
export const fact = (of: SagaEvent): SagaEvent =>
  Object.fromEntries(Object.entries(of).map(([name, value]) => [name, partOf(name, value)])) as SagaEvent

/** The kind of an input is no value. */
const inputOf = (input: unknown) =>
  typeof input === "object" && input !== null && "_tag" in input ? { _tag: String(input._tag) } : hidden

export const inspected = (of: Inspected): Inspected => ({
  ...of,
  inbox: of.inbox.map((row) => ({ ...row, input: inputOf(row.input) })),
  facts: of.facts.map(fact)
})
