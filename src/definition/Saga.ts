/**
 * A saga is a plain, immutable value: a name, the schema of its initial context and an ordered list of steps. Nothing
 * runs until a runtime interprets it, so the same value also gives the diagram, the JSON shape and the fingerprint.
 *
 * Every step adds its result to the context under the name of the step. Later steps and compensations read it from
 * there, with its type.
 *
 * Casts: `fromSteps` and `append` build what the signatures around them promise; a branch starts from no saga in
 * particular.
 */
import type { Struct } from "effect"
import { Pipeable, Predicate, Schema } from "effect"
import type { Fields } from "./Command.ts"
import * as RollbackPlan from "./RollbackPlan.ts"
import type { SagaResponseError } from "./SagaMessage.ts"
import * as SagaShape from "./SagaShape.ts"
import type * as Step from "./SagaStep.ts"
import type * as Types from "./SagaTypes.ts"
import type { Saga } from "./SagaTypes.ts"
import { TypeId } from "./SagaTypes.ts"
import type { LocalOptions, RemoteOptions } from "./StepOptions.ts"
import { toLocal, toRemote } from "./StepOptions.ts"

export type { Appendable, Reserved, Saga, State, Visible } from "./SagaTypes.ts"

export type Any = Saga<string, any, any, any, any, Types.State>

/** A saga that can run. */
export type AnyCommitted = Saga<string, any, any, any, any, "committed">

/** The context an execution starts with. */
export type Initial<S> = S extends Saga<any, infer I, any, any, any, any> ? I : never

/** The full context of a saga once every step has succeeded. */
export type Context<S> = S extends Saga<any, infer I, infer Own, any, any, any> ? Types.Visible<I & Own> : never

/** What the steps of a saga can fail with. */
export type Error<S> = S extends Saga<any, any, any, infer E, any, any> ? E : never

/** What the steps of a saga need. */
export type Services<S> = S extends Saga<any, any, any, any, infer R, any> ? R : never

const Proto = {
  [TypeId]: {},
  ...Pipeable.Prototype
}

export const isSaga = (value: unknown): value is Any => Predicate.hasProperty(value, TypeId)

const fromSteps = (
  self: Pick<Step.Definition, "name" | "version" | "context">,
  state: Types.State,
  steps: ReadonlyArray<Step.SagaStep>,
  fingerprint = ""
): any =>
  Object.freeze(
    Object.assign(Object.create(Proto), {
      name: self.name,
      ...(self.version !== undefined && { version: self.version }),
      context: self.context,
      state,
      steps: Object.freeze(steps),
      fingerprint
    })
  )

/** Schemas and functions belong to their authors; the data around them is ours. */
const freeze = <A>(data: A): A => {
  if (typeof data !== "object" || data === null || Object.isFrozen(data)) return data
  Object.values(data).forEach(freeze)
  return Object.freeze(data)
}

const append = (step: Step.SagaStep) => {
  freeze(step)
  return (self: Any): any => fromSteps(self, "open", [...self.steps, step])
}

const branch: Any = fromSteps({ name: "branch", context: Schema.Any }, "empty", [])

/** @internal Stands where a nested step was given no saga. */
export const notDefined: Any = fromSteps({ name: "", context: Schema.Any }, "empty", [])

/** The saga that a branch makes. What makes none is an empty branch, which validation reports. */
const grow = (add: (branch: any) => unknown): any => {
  const grown = typeof add === "function" ? add(branch) : undefined
  return isSaga(grown) ? grown : branch
}

// ---- start and end

/** `version` makes sagas of one name and the same steps differ: say a new one when only the functions have changed. */
export const make = <const Name extends string, const Entries extends Fields>(
  name: Name,
  options: { readonly context: Entries; readonly version?: string }
): Saga<Name, Struct.Simplify<Schema.Struct.Type<Entries>>, Types.NoResults, never, never, "empty"> =>
  fromSteps({ ...options, name, context: Schema.Struct(options?.context ?? {}) }, "empty", [])

/** Seals a saga and computes its fingerprint. Only a committed saga runs; no step can be added to it. */
export const commit = <Name extends string, I, Own, E, R>(
  self: Saga<Name, I, Own, E, R, "open">
): Saga<Name, I, Own, E, R, "committed"> => fromSteps(self, "committed", self.steps, SagaShape.fingerprint(self))

/** The name of a step, or its path, which also reaches into nested sagas. */
export type FailurePoint<S> = (S extends Saga<any, any, infer Own, any, any, any> ? keyof Own & string : never) | Path

export type Path = `${number}` | `${number}/${string}`

/** What will be undone, in which order, if the step at the failure point fails; without one, if the commit is refused. */
export const rollbackPlan: <S extends AnyCommitted>(
  saga: S,
  failurePoint?: FailurePoint<S>
) => RollbackPlan.RollbackPlan = RollbackPlan.of

// ---- steps

/** Adds a step that runs an effect in the process of the saga. */
export const local = <
  I,
  Own,
  const Name extends string,
  A = void,
  E = never,
  R = never,
  Run = never,
  Unknown = never,
  Form extends Types.Forms = "absent"
>(
  name: Name & Types.Unused<Name, I & Own>,
  options: LocalOptions<I & Own, Name, A, E, R, Run, Unknown, Form>
): (<SagaName extends string, E0, R0>(
  self: Saga<SagaName, I, Own, E0, R0, Types.Appendable>
) => Saga<SagaName, I, Types.Add<Own, Name, A>, E0 | E, R0 | R | Run | Unknown, "open">) =>
  append(toLocal(name, (options ?? {}) as any))

/** Adds a step that sends a command to a participant and waits for its reply. */
export const remote = <
  I,
  Own,
  const Name extends string,
  P = unknown,
  A = Types.Untyped,
  E = SagaResponseError,
  P2 = never,
  A2 = Types.Reply<A, unknown>,
  E2 = never,
  ES extends E | E2 = never,
  RS = never,
  EE extends E | E2 = E,
  RE = never
>(
  name: Name & Types.Unused<Name, I & Own>,
  options: RemoteOptions<I & Own, Name, P, A, E, P2, A2, E2, ES, RS, EE, RE> & Types.MapsReply<NoInfer<A>, NoInfer<A2>>
): (<SagaName extends string, E0, R0>(
  self: Saga<SagaName, I, Own, E0, R0, Types.Appendable>
) => Saga<SagaName, I, Types.Add<Own, Name, A2>, E0 | ES | EE, R0 | RS | RE, "open">) =>
  append(toRemote(name, (options ?? {}) as any))

export const ifThen = <Ctx, Then, E, R>(
  condition: (context: NoInfer<Ctx>) => boolean,
  then: (branch: Types.Branch<Ctx>) => Saga<any, any, Then, E, R, "open">
): Types.IfThen<Ctx, Then, E, R> => ({ _tag: "IfThen", condition, branch: grow(then) })

export const elseThen = <Ctx, Then, E, R>(
  then: (branch: Types.Branch<Ctx>) => Saga<any, any, Then, E, R, "open">
): Types.ElseThen<Ctx, Then, E, R> => ({ _tag: "ElseThen", branch: grow(then) })

/** Adds a step that runs the first alternative whose condition holds. */
export const conditional = <
  I,
  Own,
  const Name extends string,
  const Alts extends Types.Alternatives<Types.Add<I & Own, Name, Types.Reserved>>
>(
  name: Name & Types.Unused<Name, I & Own>,
  alternatives: Alts & Types.Ordered<NoInfer<Alts>>
): (<SagaName extends string, E0, R0>(
  self: Saga<SagaName, I, Own, E0, R0, Types.Appendable>
) => Saga<
  SagaName,
  I,
  Types.AddAlternatives<Own, Name, Alts>,
  E0 | Types.ErrorOf<Alts[number]>,
  R0 | Types.ServicesOf<Alts[number]>,
  "open"
>) =>
  append({
    _tag: "Conditional",
    name,
    alternatives: [(alternatives ?? []) as Types.AnyAlternative<any>[]].flat().map((alternative) => ({
      ...(alternative?._tag === "IfThen" && { condition: alternative.condition }),
      steps: alternative?.branch?.steps ?? []
    }))
  })

export interface NestedOptions<Ctx, I, Own, E, R> {
  readonly saga: Saga<string, I, Own, E, R, "committed">
  readonly context: (context: NoInfer<Ctx>) => NoInfer<I>
}

/** Adds a step that runs a whole saga. Its final context is the result of the step. */
export const nested = <I, Own, const Name extends string, I2, Own2, E, R>(
  name: Name & Types.Unused<Name, I & Own>,
  options: NestedOptions<I & Own, I2, Own2, E, R>
): (<SagaName extends string, E0, R0>(
  self: Saga<SagaName, I, Own, E0, R0, Types.Appendable>
) => Saga<SagaName, I, Types.Add<Own, Name, Types.Visible<I2 & Own2>>, E0 | E, R0 | R, "open">) =>
  append({ _tag: "Nested", name, saga: isSaga(options?.saga) ? options.saga : notDefined, context: options?.context })

/** Adds a step that runs branches concurrently. */
export const parallel = <
  I,
  Own,
  const Name extends string,
  B extends Record<string, Saga<any, any, any, any, any, "open">>
>(
  name: Name & Types.Unused<Name, I & Own>,
  branches: Types.Branches<Types.Add<I & Own, Name, Types.Reserved>, B>
): (<SagaName extends string, E0, R0>(
  self: Saga<SagaName, I, Own, E0, R0, Types.Appendable>
) => Saga<SagaName, I, Types.AddBranches<Own, Name, B>, E0 | Error<B[keyof B]>, R0 | Services<B[keyof B]>, "open">) =>
  append({
    _tag: "Parallel",
    name,
    branches: Object.entries<any>(branches ?? {}).map(([name, add]) => ({ name, steps: grow(add).steps }))
  })
