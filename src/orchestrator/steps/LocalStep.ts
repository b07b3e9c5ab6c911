/** Performs the instructions that need no other service: local steps and their compensations, conditions, nested contexts. */
import { type Cause, Effect, Result } from "effect"
import type { Local, Retry } from "../../definition/SagaStep.ts"
import * as CompensationRetry from "../../execution/rules/CompensationRetry.ts"
import { fullWith } from "../../execution/rules/EnrolmentEvolution.ts"
import * as RetrySchedule from "../../execution/rules/RetrySchedule.ts"
import type * as SagaContext from "../../execution/rules/SagaContext.ts"
import type { SagaFailure } from "../../execution/rules/SagaFailure.ts"
import type { StepState } from "../../execution/rules/StepTree.ts"
import { contextView } from "../../execution/view/ContextView.ts"
import { defectOf, SagaContextDecodeError } from "../../execution/view/ExecutionErrors.ts"
import { enrolInto, type SagaTransaction } from "../../ports/SagaTransaction.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import type { ExecutionTrace } from "../ExecutionTrace.ts"
import { type ExecutionScope, type Facts, type InstructionOf, now, type StepTransaction } from "./ExecutionScope.ts"
import { callWithContext, encodeWithContext, overlay, runCallback } from "./StepCallback.ts"
import { defectFailure, didNotStart, onExecute, StepFacts } from "./StepFacts.ts"

/**
 * Executes a local step: one attempt, and those that its `retry` allows, until its deadline. Goes on with `then` in the same
 * effect, as most steps are done in place.
 */
export const runStep = <A, E>(
  scope: ExecutionScope,
  instruction: InstructionOf<"RunStep">,
  step: Local,
  then: (facts: Facts) => Effect.Effect<A, E>
): Effect.Effect<A, E> => {
  const { context, path, state } = instruction
  const facts = new StepFacts(scope, path, step, onExecute)
  const view = contextView(scope.definition, context)
  if (view instanceof SagaContextDecodeError) return then([facts.rejected("decode", view.issue)])
  const { deadline } = state
  const outcome = new Outcome(facts, context)
  const { retry } = step.policies
  const { transaction } = scope
  const execute = () => step.execute(view)
  const enrol = enrolInto(outcome.enrolled)
  // Another attempt calls the author's code again.
  const running = retry === undefined ? scope.fiber : undefined
  const attempt =
    retry === undefined || scope.trace === undefined
      ? runCallback(scope, instruction, "execute", execute, enrol, running)
      : traced(scope, scope.trace, instruction, execute, enrol)
  const watched = transaction?.watch(attempt) ?? attempt
  const tried =
    retry === undefined ? watched : retried(transaction?.atomically(watched) ?? watched, retry, 0, transaction)
  const ended =
    deadline === undefined ? Effect.matchCause(tried, outcome) : untilDeadline(scope, tried, outcome, deadline)
  return Effect.flatMap(ended, then)
}

const untilDeadline = (
  scope: ExecutionScope,
  tried: Effect.Effect<unknown, unknown>,
  outcome: Outcome,
  deadline: number
): Effect.Effect<Facts> =>
  Effect.timeoutOrElse(Effect.matchCause(tried, outcome), {
    duration: Math.max(0, deadline - now(scope)),
    orElse: () => Effect.sync((): Facts => [outcome.facts.timedOut(deadline)])
  })

/**
 * Results that cannot be stored, by the failures of their steps. The process that has one compensates with the value in hand:
 * nobody else will ever have it (F27).
 */
const lostResults = new WeakMap<SagaFailure, { readonly value: unknown }>()

/** The facts of a step that has run. A class, so that the usual step makes no functions. */
class Outcome {
  /** Services that have joined the transaction. */
  readonly enrolled: Array<string> = []
  readonly facts: StepFacts<Local>
  private readonly context: SagaContext.SagaContext

  constructor(facts: StepFacts<Local>, context: SagaContext.SagaContext) {
    this.facts = facts
    this.context = context
  }

  onSuccess(value: unknown): Facts {
    const { enrolled, facts } = this
    // Behind the pivot there is no transaction to join.
    const isAlone = enrolled.length === 0 || facts.scope.state.passed
    const relatedServices = isAlone ? [] : [...new Set(enrolled)]
    const full = fullWith(facts.scope.state, relatedServices)
    const fact =
      full === undefined
        ? facts.succeeded(value, this.context)
        : facts.rejected("related-services", full, facts.callback.effectOfLostResult)
    if (fact._tag === "StepFailed") lostResults.set(fact.failure, { value })
    return [fact._tag === "StepSucceeded" && !isAlone ? { ...fact, relatedServices } : fact]
  }

  onFailure(cause: Cause.Cause<unknown>): Facts {
    return [this.facts.failed(cause)]
  }
}

const retried = <A, E>(
  attempt: Effect.Effect<A, E>,
  retry: Retry,
  failures: number,
  transaction: StepTransaction | undefined
): Effect.Effect<A, E> =>
  failures >= retry.times
    ? attempt
    : Effect.catchCause(attempt, (cause) =>
        isRetried(cause, retry) && transaction?.isOver !== true
          ? Effect.andThen(
              Effect.sleep(RetrySchedule.delay(failures + 1, retry.backoff)),
              retried(attempt, retry, failures + 1, transaction)
            )
          : Effect.failCause(cause)
      )

const isRetried = (cause: Cause.Cause<unknown>, { on = [] }: Retry): boolean =>
  cause.reasons.every(
    (reason) => reason._tag === "Die" || (reason._tag === "Fail" && on.includes(tagOf(reason.error) ?? ""))
  )

const tagOf = (error: unknown): string | undefined =>
  typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : undefined

/** Each attempt has a span of its own. */
const traced = (
  scope: ExecutionScope,
  trace: ExecutionTrace,
  instruction: InstructionOf<"RunStep">,
  execute: () => ReturnType<Local["execute"]>,
  enrol: SagaTransaction["enrol"]
) =>
  trace.attempts(scope.state, instruction, (span) =>
    runCallback({ ...scope, span }, instruction, "execute", execute, enrol)
  )

/** Runs the compensation of a local step once. */
export const compensate = <A, E>(
  scope: ExecutionScope,
  instruction: InstructionOf<"Compensate">,
  step: Local,
  then: (facts: Facts) => Effect.Effect<A, E>
): Effect.Effect<A, E> => {
  const { context, path, state } = instruction
  const { effect, failure } = state
  // It failed although it has its effect: its result cannot be stored. After a crash nobody has it.
  const isLost = effect === "exists" && failure !== undefined && !lostResults.has(failure)
  const compensation = isLost || effect === "unknown" ? step.compensate?.unknown : step.compensate?.run
  if (compensation === undefined) {
    // Another attempt would have no result either: a person has to look.
    const gone = defectFailure(path, step.name, new Error("its result could not be stored, and is gone"))
    return then([{ _tag: "CompensationFailed", path, failure: gone, at: now(scope) }])
  }
  const shared = contextView(scope.definition, context)
  const view =
    shared instanceof SagaContextDecodeError || isLost || effect === "unknown"
      ? shared
      : withResult(shared, step, state)
  const attempt: Effect.Effect<void> =
    view instanceof SagaContextDecodeError
      ? Effect.die(view)
      : runCallback(scope, instruction, "failure", () => compensation(view), undefined, scope.fiber)
  return Effect.matchCauseEffect(scope.transaction?.watch(attempt) ?? attempt, {
    onSuccess: () => then([{ _tag: "StepCompensated", path, at: now(scope) }]),
    onFailure: (cause) => {
      const failure = defectFailure(path, step.name, defectOf(cause))
      return then([CompensationRetry.attemptFailed(state, step, failure, scope.schedule, now(scope))])
    }
  })
}

/** The context with the step's own result, as its compensation reads it. */
export const withResult = (
  view: SagaContext.View,
  { name, success }: Pick<Local, "name" | "success">,
  { failure, path, result }: StepState
): SagaContext.View | SagaContextDecodeError => {
  const lost = failure && lostResults.get(failure)
  if (lost !== undefined) return overlay(view, name, lost.value)
  if (name in view) return view
  const decoded = JsonCodec.decode(success, result)
  return JsonCodec.isCodecIssue(decoded)
    ? new SagaContextDecodeError({ path, step: name, issue: decoded.message })
    : overlay(view, name, decoded)
}

/** Chooses the alternative: the first whose condition holds. */
export const choose = (scope: ExecutionScope, { context, path, step }: InstructionOf<"Choose">): Facts => {
  const { alternatives, name } = step
  const found = callWithContext(scope, context, (view) =>
    alternatives.findIndex(({ condition }) => condition === undefined || condition(view))
  )
  if (Result.isFailure(found)) return [didNotStart(scope, path, step, found.failure)]
  const at = now(scope)
  const choice = found.success
  if (choice < 0) return [{ _tag: "AlternativeChosen", path, name, choice: null, at }]
  const label = alternatives[choice]?.condition === undefined ? "else" : `if${choice}`
  return [{ _tag: "AlternativeChosen", path, name, choice, label, at }]
}

/** Makes the initial context of a nested saga. */
export const mapContext = (scope: ExecutionScope, { context, path, step }: InstructionOf<"MapContext">): Facts => {
  const mapped = encodeWithContext(scope, context, step.saga.context, step.context)
  return Result.isFailure(mapped)
    ? [didNotStart(scope, path, step, mapped.failure)]
    : [{ _tag: "NestedStarted", path, name: step.name, context: mapped.success ?? {}, at: now(scope) }]
}
