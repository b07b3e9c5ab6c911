/** Performs the instruction that makes the list of a `forEach`. It is stored before any item runs (SPEC C17). */
import { Result } from "effect"
import { limits } from "../../definition/SagaIssue.ts"
import * as SagaContext from "../../execution/rules/SagaContext.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import { type Json, maxContextSize } from "../../wire/JsonLimits.ts"
import { type ExecutionScope, type Facts, type InstructionOf, now } from "./ExecutionScope.ts"
import { callWithContext } from "./StepCallback.ts"
import { didNotStart, type Obstacle, obstacle } from "./StepFacts.ts"

export const mapItems = (scope: ExecutionScope, { context, path, step }: InstructionOf<"MapItems">): Facts => {
  const { as, concurrency, name, steps } = step
  const made = Result.flatMap(callWithContext(scope, context, step.items), (list) =>
    encodedList(scope, context, step, list)
  )
  if (Result.isFailure(made)) return [didNotStart(scope, path, step, made.failure)]
  const items = made.success
  return [{ _tag: "ForEachStarted", path, name, as, steps: steps.length, concurrency, items, at: now(scope) }]
}

/** The list as it is stored, or the first reason why it cannot be. */
const encodedList = (
  { state }: ExecutionScope,
  context: SagaContext.SagaContext,
  { as, item: codec }: InstructionOf<"MapItems">["step"],
  list: unknown
): Result.Result<ReadonlyArray<Json>, Obstacle> => {
  // The author may have written plain JavaScript.
  if (!Array.isArray(list)) return Result.fail(obstacle("encode", "the items are no array"))
  const many = tooMany(list.length, state.items)
  if (many !== undefined) return Result.fail(obstacle("items", many))
  const items: Array<Json> = []
  let { size } = context
  for (const [i, item] of list.entries()) {
    const encoded = JsonCodec.encode(codec, item)
    if (JsonCodec.isCodecIssue(encoded)) return Result.fail(obstacle("encode", `item ${i}: ${encoded.message}`))
    items.push(encoded ?? null)
    size += SagaContext.sizeWith(context, as, encoded) - context.size
  }
  return size > maxContextSize
    ? Result.fail(obstacle("context-size", `the context would have ${size} of ${maxContextSize} bytes`))
    : Result.succeed(items)
}

/** Why a list cannot be gone through; undefined: it can. `before`: how many items the execution has had. */
const tooMany = (count: number, before: number): string | undefined => {
  if (count > limits.items) return `${count} of ${limits.items}`
  const all = before + count
  return all > limits.itemsOfExecution ? `${all} of ${limits.itemsOfExecution} in one execution` : undefined
}
