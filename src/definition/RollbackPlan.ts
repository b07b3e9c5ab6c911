/**
 * What will be undone, and in which order, if a step fails: known from the definition alone. The failing step itself
 * is not part of it; whether it has an effect to undo depends on how it fails.
 */
import * as SagaPath from "./SagaPath.ts"
import type { Definition, SagaStep } from "./SagaStep.ts"

/** In the order of undoing: the last step that ran comes first. */
export type RollbackPlan = ReadonlyArray<Undo>

export type Undo = UndoLocal | UndoRemote | UndoEither | UndoConcurrently

interface At {
  readonly path: string
  readonly step: string
}

export interface UndoLocal extends At {
  readonly how: "local"
}

export interface UndoRemote extends At {
  readonly how: "remote"
  /** The service and the command: `"payments/Refund"`. */
  readonly target: string
}

/** Only the alternative that was chosen is undone: one plan for each of them. */
export interface UndoEither extends At {
  readonly how: "either"
  readonly plans: ReadonlyArray<RollbackPlan>
}

/** What ran of each branch is undone at the same time. */
export interface UndoConcurrently extends At {
  readonly how: "concurrently"
  readonly plans: ReadonlyArray<RollbackPlan>
}

/**
 * The plan for a failure at a step, given by its path, or by its name if it stands in no nested saga. Without a failure
 * point: the plan for a saga whose steps have all succeeded and whose commit is refused.
 */
export const of = (definition: Definition, failurePoint?: string): RollbackPlan => {
  if (failurePoint === undefined) return undoAll("", definition.steps)
  const path = SagaPath.at(definition, failurePoint) === undefined ? pathOf(definition, failurePoint) : failurePoint
  return path === undefined ? [] : undoBefore("", definition.steps, path)
}

const pathOf = (definition: Definition, name: string): string | undefined =>
  SagaPath.steps(definition).find(({ path, step }) => step.name === name && !path.includes("/n/"))?.path

const undoAll = (part: string, steps: ReadonlyArray<SagaStep>): RollbackPlan =>
  steps
    .map((step, i) => undo(step, SagaPath.child(part, i)))
    .reverse()
    .flat()

const undo = (step: SagaStep, path: string): RollbackPlan => {
  const plans = SagaPath.parts(step, path).map((part) => undoAll(part.path, part.steps))
  switch (step._tag) {
    case "Local":
      return step.compensate === undefined ? [] : [{ path, step: step.name, how: "local" }]
    case "Remote": {
      if (step.compensate === undefined) return []
      const { command, service } = step.compensate
      return [{ path, step: step.name, how: "remote", target: `${service}/${command}` }]
    }
    case "Conditional":
      return group({ path, step: step.name, how: "either", plans })
    case "Nested":
      return plans.flat()
    case "Parallel":
      return group({ path, step: step.name, how: "concurrently", plans })
  }
}

const group = (undo: UndoEither | UndoConcurrently): RollbackPlan =>
  undo.plans.every((plan) => plan.length === 0) ? [] : [undo]

const undoBefore = (part: string, steps: ReadonlyArray<SagaStep>, failure: string): RollbackPlan => {
  const i = steps.findIndex((_, i) => isWithin(failure, SagaPath.child(part, i)))
  const step = steps[i]
  if (step === undefined) return []
  return [...undoWithin(step, SagaPath.child(part, i), failure), ...undoAll(part, steps.slice(0, i))]
}

/** The part of the plan inside the step that holds the failing one. */
const undoWithin = (step: SagaStep, path: string, failure: string): RollbackPlan => {
  if (path === failure) return []
  const plans = SagaPath.parts(step, path).map((part) =>
    isWithin(failure, part.path)
      ? undoBefore(part.path, part.steps, failure)
      : // Other branches have run up to some point; other alternatives have not run at all.
        step._tag === "Parallel"
        ? undoAll(part.path, part.steps)
        : []
  )
  return step._tag === "Parallel" ? group({ path, step: step.name, how: "concurrently", plans }) : plans.flat()
}

const isWithin = (path: string, outer: string): boolean => path === outer || path.startsWith(`${outer}/`)
