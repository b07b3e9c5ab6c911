/**
 * The compensations that a failure would start, in their order, known from the definition alone. The failing step itself is
 * not in the plan: whether it has an effect to compensate depends on how it fails.
 */
import * as SagaPath from "./SagaPath.ts"
import type { Definition, SagaStep } from "./SagaStep.ts"

/** In the order of the rollback: the step that ran last comes first. */
export type RollbackPlan = ReadonlyArray<RollbackStep>

/** One entry of a plan: a compensation, or a group of steps with plans of their own. */
export type RollbackStep =
  | CompensateLocal
  | CompensateRemote
  | CancelStarted
  | RollBackEither
  | RollBackConcurrently
  | RollBackEach

interface At {
  readonly path: string
  readonly step: string
}

/** The compensation of a local step. */
export interface CompensateLocal extends At {
  readonly how: "local"
}

/** The compensation of a remote step. */
export interface CompensateRemote extends At {
  readonly how: "remote"
  /** The service and the command: `"payments/Refund"`. */
  readonly target: string
}

/** The cancellation of a saga that a step has started. */
export interface CancelStarted extends At {
  readonly how: "cancel"
  /** The name of that saga. */
  readonly saga: string
}

/** A conditional step: one plan for each alternative. Only the plan of the alternative that ran is carried out. */
export interface RollBackEither extends At {
  readonly how: "either"
  readonly plans: ReadonlyArray<RollbackPlan>
}

/** A parallel step: one plan for each branch. The branches are rolled back at the same time. */
export interface RollBackConcurrently extends At {
  readonly how: "concurrently"
  readonly plans: ReadonlyArray<RollbackPlan>
}

/** A `forEach`: the plan of one item, for each item that has begun, from the last to the first. */
export interface RollBackEach extends At {
  readonly how: "each"
  /** How many items are rolled back at the same time. */
  readonly concurrency: number
  readonly plans: readonly [RollbackPlan]
}

/**
 * The plan for a failure at a step, given by its path, or by its name if it stands in no nested saga and no item. Without a failure
 * point: the plan for a saga whose steps have all succeeded and whose commit is refused, which is at the pivot where there is
 * one. Empty for an unknown step, and behind a pivot: nothing is undone there.
 */
export const of = (definition: Definition, failurePoint?: string): RollbackPlan => {
  const reversible = SagaPath.reversible(definition)
  if (failurePoint === undefined) return planAll("", reversible)
  const path =
    SagaPath.at(definition, failurePoint) === undefined
      ? SagaPath.named(definition, failurePoint)
      : SagaPath.inDefinition(failurePoint)
  if (path === undefined) return []
  const isBehind = Number.parseInt(path, 10) > reversible.length
  return isBehind ? [] : planBefore({ path: "", steps: definition.steps }, path)
}

const planAll = (sequence: string, steps: ReadonlyArray<SagaStep>): RollbackPlan =>
  steps
    .map((step, i) => planOf(step, SagaPath.child(sequence, i)))
    .reverse()
    .flat()

const planOf = (step: SagaStep, path: string): RollbackPlan => {
  const plans = SagaPath.sequences(step, path).map((inner) => planAll(inner.path, inner.steps))
  switch (step._tag) {
    case "Local":
      return step.compensate === undefined ? [] : [{ path, step: step.name, how: "local" }]
    case "Remote": {
      if (step.compensate === undefined) return []
      const { command, service } = step.compensate
      return [{ path, step: step.name, how: "remote", target: `${service}/${command}` }]
    }
    case "Start":
      return [{ path, step: step.name, how: "cancel", saga: step.saga }]
    case "Wait":
    case "Pivot":
      return []
    case "Conditional":
      return group({ path, step: step.name, how: "either", plans })
    case "Nested":
      return plans.flat()
    case "Parallel":
      return group({ path, step: step.name, how: "concurrently", plans })
    case "ForEach":
      return group({ path, step: step.name, how: "each", concurrency: step.concurrency, plans: [plans.flat()] })
  }
}

const group = (rollback: RollBackEither | RollBackConcurrently | RollBackEach): RollbackPlan =>
  rollback.plans.every((plan) => plan.length === 0) ? [] : [rollback]

/** The plan for the steps of a sequence that have run before the failing one. */
const planBefore = ({ path: sequence, steps }: SagaPath.Sequence, failure: string): RollbackPlan => {
  const i = steps.findIndex((_, i) => isWithin(failure, SagaPath.child(sequence, i)))
  // The failing step is in the sequence.
  return [...planWithin(steps[i]!, SagaPath.child(sequence, i), failure), ...planAll(sequence, steps.slice(0, i))]
}

/** The plan for the steps inside the one that holds the failing step. */
const planWithin = (step: SagaStep, path: string, failure: string): RollbackPlan => {
  if (path === failure) return []
  const plans = SagaPath.sequences(step, path).map((inner) => {
    if (isWithin(failure, inner.path)) return planBefore(inner, failure)
    // The other branches may have run to their ends. Other alternatives have not run.
    return step._tag === "Parallel" ? planAll(inner.path, inner.steps) : []
  })
  if (step._tag === "Parallel") return group({ path, step: step.name, how: "concurrently", plans })
  // The item that fails, and then the items before it, which may have run to their ends.
  return step._tag === "ForEach" ? [...plans.flat(), ...planOf(step, path)] : plans.flat()
}

const isWithin = (path: string, outer: string): boolean => path === outer || path.startsWith(`${outer}/`)
