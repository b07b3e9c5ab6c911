/**
 * The compensations that a failure would start, in their order, known from the definition alone. The failing step itself is
 * not in the plan: whether it has an effect to compensate depends on how it fails.
 */
import * as SagaPath from "./SagaPath.ts"
import type { Definition, SagaStep } from "./SagaStep.ts"

/** In the order of the rollback: the step that ran last comes first. */
export type RollbackPlan = ReadonlyArray<RollbackStep>

/** One entry of a plan: a compensation, or a group of steps with plans of their own. */
export type RollbackStep = CompensateLocal | CompensateRemote | RollBackEither | RollBackConcurrently

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

/**
 * The plan for a failure at a step, given by its path, or by its name if it stands in no nested saga. Without a failure
 * point: the plan for a saga whose steps have all succeeded and whose commit is refused, which is at the pivot where there is
 * one. Empty for an unknown step, and behind a pivot: nothing is undone there.
 */
export const of = (definition: Definition, failurePoint?: string): RollbackPlan => {
  const reversible = SagaPath.reversible(definition)
  if (failurePoint === undefined) return planAll("", reversible)
  const path =
    SagaPath.at(definition, failurePoint) === undefined ? SagaPath.named(definition, failurePoint) : failurePoint
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
    case "Wait":
    case "Pivot":
      return []
    case "Conditional":
      return group({ path, step: step.name, how: "either", plans })
    case "Nested":
      return plans.flat()
    case "Parallel":
      return group({ path, step: step.name, how: "concurrently", plans })
  }
}

const group = (rollback: RollBackEither | RollBackConcurrently): RollbackPlan =>
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
  return step._tag === "Parallel" ? group({ path, step: step.name, how: "concurrently", plans }) : plans.flat()
}

const isWithin = (path: string, outer: string): boolean => path === outer || path.startsWith(`${outer}/`)
