/** Runs what happens in this process: local steps and their compensations, conditions, the context of a nested saga. */
import { type Cause, Effect, Exit } from "effect"
import type { Definition, Local, Retry } from "../../definition/SagaStep.ts"
import * as RetrySchedule from "../../execution/rules/RetrySchedule.ts"
import type * as SagaContext from "../../execution/rules/SagaContext.ts"
import type { SagaFailure } from "../../execution/rules/SagaFailure.ts"
import type { StepState } from "../../execution/rules/StepTree.ts"
import * as Failure from "../../execution/view/ExecutionErrors.ts"
import { contextView } from "../../execution/view/SagaExecution.ts"
import { enrolInto } from "../../ports/SagaTransaction.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import {
  type At,
  didNotStart,
  type Facts,
  failed,
  now,
  obstacle,
  overlay,
  type Run,
  rejected,
  succeeded,
  within,
  withView
} from "./StepCallback.ts"

/** Executes a local step: one attempt, and those its `retry` allows, until its deadline. */
export const runStep = (run: Run, { context, path, state, step }: At<"RunStep">): Effect.Effect<Facts> => {
  const view = contextView(run.definition, context)
  if (view instanceof Failure.SagaContextDecodeError) {
    return Effect.succeed([rejected(run, path, step.name, "errored-on-execute", "none", "decode", view.issue)])
  }
  const { deadline } = state
  const enrolled: Array<string> = []
  const attempt = within(run, path, "execute", () => step.execute(view), enrolInto(enrolled))
  const { retry } = step.policies
  const tried = Effect.matchCause(
    retry === undefined ? attempt : retried(run.atomically?.(attempt) ?? attempt, retry, 0),
    {
      onSuccess: (value): Facts => {
        const fact = succeeded(run, path, step, "errored-on-execute", value, context, false)
        return [
          fact._tag === "StepSucceeded" && enrolled.length > 0
            ? { ...fact, relatedServices: [...new Set(enrolled)] }
            : fact
        ]
      },
      onFailure: (cause): Facts => [failed(run, path, step, "errored-on-execute", "none", cause)]
    }
  )
  return deadline === undefined
    ? tried
    : Effect.timeoutOrElse(tried, {
        duration: Math.max(0, deadline - now(run)),
        orElse: () =>
          Effect.sync((): Facts => {
            const failure: SagaFailure = { _tag: "StepTimedOut", path, step: step.name, deadline }
            return [
              { _tag: "StepFailed", path, status: "errored-on-execute", effect: "unknown", failure, at: now(run) }
            ]
          })
      })
}

const retried = <A, E>(attempt: Effect.Effect<A, E>, retry: Retry, failures: number): Effect.Effect<A, E> =>
  failures >= retry.times
    ? attempt
    : Effect.catchCause(attempt, (cause) =>
        isRetried(cause, retry)
          ? Effect.andThen(
              Effect.sleep(RetrySchedule.delay(failures + 1, retry.backoff)),
              retried(attempt, retry, failures + 1)
            )
          : Effect.failCause(cause)
      )

const isRetried = (cause: Cause.Cause<unknown>, { on = [] }: Retry): boolean =>
  cause.reasons.every(
    (reason) => reason._tag === "Die" || (reason._tag === "Fail" && on.includes(tagOf(reason.error) ?? ""))
  )

const tagOf = (error: unknown): string | undefined =>
  typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : undefined

/** Runs the compensation of a local step once. */
export const compensate = (run: Run, { context, path, state, step }: At<"Compensate">): Effect.Effect<Facts> => {
  const compensation = state.effect === "unknown" ? step.compensate?.unknown : step.compensate?.run
  const view = ownView(run.definition, context, step, state)
  const attempt: Effect.Effect<void> =
    view instanceof Failure.SagaContextDecodeError
      ? Effect.die(view)
      : within(run, path, "failure", () => compensation?.(view) ?? Effect.void)
  return Effect.map(Effect.exit(attempt), (exit): Facts => {
    const at = now(run)
    if (Exit.isSuccess(exit)) return [{ _tag: "StepCompensated", path, at }]
    const retry = step.policies.retryCompensate ?? run.settings.retryCompensate
    const failures = (state.rollback?.failedAttempts ?? 0) + 1
    const defect = Failure.defectOf(exit.cause)
    const failure: SagaFailure = {
      _tag: "StepDefect",
      path,
      step: step.name,
      defect: Failure.encodeDefect(defect)
    }
    Failure.remember(failure, defect)
    const retryAt = failures <= retry.times ? { retryAt: at + RetrySchedule.delay(failures, retry.backoff) } : {}
    return [{ _tag: "CompensationFailed", path, failure, ...retryAt, at }]
  })
}

/** The context with the step's own entry, as its compensation reads it. */
const ownView = (
  definition: Definition,
  context: SagaContext.SagaContext,
  step: Local,
  state: StepState
): SagaContext.View | Failure.SagaContextDecodeError => {
  const view = contextView(definition, context)
  if (view instanceof Failure.SagaContextDecodeError || state.effect === "unknown" || step.name in view) return view
  const own = JsonCodec.decode(step.success, state.result)
  return JsonCodec.isCodecIssue(own)
    ? new Failure.SagaContextDecodeError({ path: state.path, step: step.name, issue: own.message })
    : overlay(view, step.name, own)
}

/** Chooses the alternative: the first whose condition holds. */
export const choose = (run: Run, { context, path, step }: At<"Choose">): Facts => {
  const { alternatives, name } = step
  const picked = withView(run.definition, context, (view) =>
    alternatives.findIndex(({ condition }) => condition === undefined || condition(view))
  )
  if (picked._tag === "Failed") return [didNotStart(run, path, name, "conditional", picked.obstacle)]
  const at = now(run)
  if (picked.value < 0) return [{ _tag: "AlternativeChosen", path, name, choice: null, at }]
  const label = alternatives[picked.value]?.condition === undefined ? "else" : `if${picked.value}`
  return [{ _tag: "AlternativeChosen", path, name, choice: picked.value, label, at }]
}

/** Makes the initial context of a nested saga. */
export const mapContext = (run: Run, { context, path, step }: At<"MapContext">): Facts => {
  const { name, saga } = step
  const mapped = withView(run.definition, context, (view) => JsonCodec.encode(saga.context, step.context(view)))
  if (mapped._tag === "Failed") return [didNotStart(run, path, name, "nested", mapped.obstacle)]
  return JsonCodec.isCodecIssue(mapped.value)
    ? [didNotStart(run, path, name, "nested", obstacle("encode", mapped.value.message))]
    : [{ _tag: "NestedStarted", path, name, context: mapped.value ?? {}, at: now(run) }]
}
