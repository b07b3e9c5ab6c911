/**
 * Performs the instructions of steps that start another saga. The name and the values of the other execution are stored before the
 * start, so the start may be tried again: it makes that one execution, or finds it.
 */
import { Cause, Effect, Exit, Result } from "effect"
import type { Start } from "../../definition/SagaStep.ts"
import * as CompensationRetry from "../../execution/rules/CompensationRetry.ts"
import * as RetrySchedule from "../../execution/rules/RetrySchedule.ts"
import * as SagaContext from "../../execution/rules/SagaContext.ts"
import type { Of, SagaEvent } from "../../execution/rules/SagaEvent.ts"
import { contextView } from "../../execution/view/ContextView.ts"
import { defectOf, SagaContextDecodeError } from "../../execution/view/ExecutionErrors.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import { maxContextSize } from "../../wire/JsonLimits.ts"
import * as Text from "../../wire/Text.ts"
import { UuidGenerator } from "../../wire/Uuid.ts"
import { type ExecutionScope, type Facts, type InstructionOf, now } from "./ExecutionScope.ts"
import { withResult } from "./LocalStep.ts"
import type { Begun, StartedSagas } from "./OtherSagas.ts"
import { callWithContext, encodeWithContext, runCallback } from "./StepCallback.ts"
import { defectFailure, didNotStart, type Obstacle, obstacle, onExecute, StepFacts } from "./StepFacts.ts"

/** Every loop has the door. */
const sagasOf = ({ sagas }: ExecutionScope): StartedSagas => sagas as StartedSagas

// ---- start -----------------------------------------------------------------------------------------------------

/** Makes the name and the values of the execution that is to be started. */
export const buildStart = (
  scope: ExecutionScope,
  { context, path, step }: InstructionOf<"BuildStart">
): Effect.Effect<Facts> =>
  Effect.withFiber((fiber) => {
    const made = Result.flatMap(keyOf(scope, context, path, step), (startKey) =>
      Result.map(valuesOf(scope, context, step), (values) => ({ startKey, context: values }))
    )
    if (Result.isFailure(made)) return Effect.succeed<Facts>([didNotStart(scope, path, step, made.failure)])
    const at = now(scope)
    const uuid = sagasOf(scope).newUuid(fiber.getRef(UuidGenerator), at, made.success.startKey)
    const { name, saga } = step
    return Effect.succeed<Facts>([{ _tag: "StartRequested", path, name, saga, uuid, ...made.success, at }])
  })

type Building = InstructionOf<"BuildStart">

const keyOf = (
  scope: ExecutionScope,
  context: Building["context"],
  path: string,
  { startKey }: Building["step"]
): Result.Result<string, Obstacle> =>
  startKey === undefined
    ? Result.succeed(`${scope.state.uuid}:${path}`)
    : Result.flatMap(callWithContext(scope, context, startKey), (key) => {
        const issue = Text.issueOf(key, Text.maxBytes.startKey)
        return issue === undefined ? Result.succeed(key) : Result.fail(obstacle("encode", `the start key ${issue}`))
      })

const valuesOf = (scope: ExecutionScope, context: Building["context"], step: Building["step"]) =>
  Result.flatMap(encodeWithContext(scope, context, step.definition().context, step.context), (values = {}) => {
    const { size } = SagaContext.initial("", values)
    return size > maxContextSize
      ? Result.fail(obstacle("context-size", `the other saga would begin with ${size} of ${maxContextSize} bytes`))
      : Result.succeed(values)
  })

/** Starts the other saga, or finds what was started before. */
export const start = (
  scope: ExecutionScope,
  instruction: InstructionOf<"RunStep">,
  step: Start
): Effect.Effect<Facts> => {
  const { context, path, state } = instruction
  const facts = new StepFacts(scope, path, step, onExecute)
  const child = state.child as Of<"StartRequested"> // the fact that has begun the step
  const values = JsonCodec.decode(step.definition().context, child.context)
  if (JsonCodec.isCodecIssue(values)) return Effect.succeed([facts.rejected("decode", values.message)])
  // A step that is to be undone has to know whether there is an execution: one that begins now ends before its first step.
  const isOver = scope.state.direction === "backward"
  const begin = () => sagasOf(scope).begin(step.definition(), { child, values, isOver, parent: scope.state })
  return Effect.matchCause(runCallback(scope, instruction, "execute", begin), {
    onSuccess: ({ isOwn, uuid }: Begun): Facts => {
      const fact = facts.succeeded(uuid, context)
      return [fact._tag === "StepSucceeded" && !isOwn ? { ...fact, existing: true } : fact]
    },
    onFailure: (cause): Facts => [facts.failed(cause)]
  })
}

// ---- rollback --------------------------------------------------------------------------------------------------

/** Cancels what the step has started. It counts as compensated when that is undone, and not before: until then it may still have effects. */
export const undo = (
  scope: ExecutionScope,
  instruction: InstructionOf<"Compensate">,
  step: Start
): Effect.Effect<Facts> =>
  Effect.gen(function* () {
    const { path, state } = instruction
    const child = state.child as Of<"StartRequested"> // the fact that has begun the step
    const decoded = JsonCodec.decode(step.definition().context, child.context)
    const values = JsonCodec.isCodecIssue(decoded) ? undefined : decoded
    const cancel = () => sagasOf(scope).undo(step.definition(), { child, values, parent: scope.state, step: step.name })
    const exit = yield* Effect.exit(runCallback(scope, instruction, "failure", cancel))
    const failed = (cause: Cause.Cause<unknown>): Facts => {
      const failure = defectFailure(path, step.name, defectOf(cause))
      return [CompensationRetry.attemptFailed(state, step, failure, scope.schedule, now(scope))]
    }
    if (Exit.isFailure(exit)) return failed(exit.cause)
    const fate = exit.value
    switch (fate._tag) {
      case "Undone":
        return [{ _tag: "StepCompensated", path, at: now(scope) }]
      case "Open":
        return [notUndone(scope, instruction, child.uuid)]
      case "Stuck":
        return [{ _tag: "StepParked", path, reason: fate.reason, at: now(scope) }]
      case "Finished": {
        const { compensate } = step
        if (compensate === undefined) {
          const reason = `the execution ${child.uuid} of ${child.saga}, which it has started, is finished`
          return [{ _tag: "StepParked", path, reason, at: now(scope) }]
        }
        const shared = contextView(scope.definition, instruction.context)
        const view = shared instanceof SagaContextDecodeError ? shared : withResult(shared, step, state)
        if (view instanceof SagaContextDecodeError) return failed(Cause.die(view))
        const { context } = fate
        const started = { uuid: child.uuid, ...(context !== undefined && { context }) }
        const taken = yield* Effect.exit(runCallback(scope, instruction, "failure", () => compensate(view, started)))
        return Exit.isFailure(taken) ? failed(taken.cause) : [{ _tag: "StepCompensated", path, at: now(scope) }]
      }
    }
  })

/** It is looked at again, each time later. Looks are no attempts, of which there are only some: a rollback may take days. */
const notUndone = (
  scope: ExecutionScope,
  { path, state: { compensation }, step: { name: step } }: InstructionOf<"Compensate">,
  uuid: string
): SagaEvent => {
  const before = compensation?.failure
  const looks = (before?._tag === "StartedNotUndone" ? before.looks : 0) + 1
  const at = now(scope)
  const retryAt = at + RetrySchedule.delay(looks, scope.schedule.retryCompensate.backoff)
  return {
    _tag: "CompensationFailed",
    path,
    failure: { _tag: "StartedNotUndone", path, step, uuid, looks },
    retryAt,
    at
  }
}
