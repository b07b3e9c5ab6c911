/**
 * How the values of sagas are made: frozen, and each step gives a new one.
 *
 * Casts: `fromSteps` and `append` build values of the types that the signatures in `Saga` promise; a branch starts from an
 * empty saga without a type of its own.
 */
import { Pipeable, Predicate, Schema } from "effect"
import type * as Step from "./SagaStep.ts"
import type * as Types from "./SagaTypes.ts"
import { TypeId } from "./SagaTypes.ts"

/** A saga of any type, also one that has no steps or is not committed. */
export type Any = Types.Saga<string, any, any, any, any, Types.State>

const Proto = {
  [TypeId]: {},
  ...Pipeable.Prototype
}

export const isSaga = (value: unknown): value is Any => Predicate.hasProperty(value, TypeId)

/** A saga with these steps. */
export const fromSteps = (
  self: Pick<Step.Definition, "name" | "version" | "context" | "deadline" | "attributes" | "unknownOptions">,
  state: Types.State,
  steps: ReadonlyArray<Step.SagaStep>,
  fingerprint = ""
): any =>
  Object.freeze(
    Object.assign(Object.create(Proto), {
      name: self.name,
      ...(self.version !== undefined && { version: self.version }),
      ...(self.deadline !== undefined && { deadline: self.deadline }),
      ...(self.attributes !== undefined && { attributes: self.attributes }),
      ...(self.unknownOptions !== undefined && { unknownOptions: self.unknownOptions }),
      context: self.context,
      state,
      steps: Object.freeze(steps),
      fingerprint
    })
  )

/** Freezes plain data. Schemas and functions belong to their authors and are left as they are. */
const freeze = <A>(data: A): A => {
  if (typeof data !== "object" || data === null || Object.isFrozen(data)) return data
  Object.values(data).forEach(freeze)
  return Object.freeze(data)
}

/** Adds a step to a saga. */
export const append = (step: Step.SagaStep) => {
  freeze(step)
  return (self: Any): any => fromSteps(self, "open", [...self.steps, step])
}

const branch: Any = fromSteps({ name: "branch", context: Schema.Any }, "empty", [])

/** The steps that a function adds to a branch. In plain JavaScript it may add none: validation reports an empty branch. */
export const grow = (add: (branch: any) => unknown): any => {
  const grown = typeof add === "function" ? add(branch) : undefined
  return isSaga(grown) ? grown : branch
}
