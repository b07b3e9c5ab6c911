/**
 * A saga is a plain, immutable value: a name, the schema of its initial context and an ordered list of steps. Nothing runs
 * until a manager interprets it, so the same value also gives the diagram, the JSON shape and the fingerprint.
 *
 * Every step adds its result to the context under the name of the step. Later steps and compensations read it there, with
 * its type.
 *
 * Casts: `SagaValue` builds values of the types that the signatures around it promise.
 */
import { type Duration, Schema, type Struct } from "effect"
import type { Attributes } from "./Attributes.ts"
import type { Fields } from "./Command.ts"
import { mistakesIn } from "./OptionNames.ts"
import type * as Out from "./OutsideTypes.ts"
import * as RollbackPlan from "./RollbackPlan.ts"
import type { SagaResponseError } from "./SagaMessage.ts"
import * as SagaShape from "./SagaShape.ts"
import * as Step from "./SagaStep.ts"
import type * as Types from "./SagaTypes.ts"
import type { Saga } from "./SagaTypes.ts"
import { append, fromSteps, grow, isSaga } from "./SagaValue.ts"
import type { LocalOptions, RemoteOptions } from "./StepOptions.ts"
import { toLocal, toMillis, toRemote } from "./StepOptions.ts"
import { toSleep, toWaitFor, type Until, type WaitForOptions } from "./WaitOptions.ts"

export { type ForEachOptions, forEach } from "./ForEach.ts"
export type {
  Among,
  Asks,
  Encloses,
  ErrorReply,
  Exchange,
  Exchanges,
  Hears,
  OutsideOf,
  Signals,
  Starts
} from "./OutsideTypes.ts"
export type {
  CancelStarted,
  CompensateLocal,
  CompensateRemote,
  RollBackConcurrently,
  RollBackEach,
  RollBackEither,
  RollbackPlan,
  RollbackStep
} from "./RollbackPlan.ts"
export type { OnCrash } from "./SagaStep.ts"
export type {
  Add,
  AddAlternatives,
  AddBranches,
  Alternative,
  Alternatives,
  AnyAlternative,
  Appendable,
  Branch,
  Branches,
  BranchName,
  Choice,
  ElseThen,
  ElseThenMustBeLast,
  ErrorOf,
  Forms,
  IfThen,
  MapsReply,
  MayPivot,
  NoResults,
  NothingIsUndoneBehindPivot,
  OnSuccessRequired,
  Ordered,
  OutsideOfAlternative,
  Passed,
  PivotInsideOfStep,
  Recoverable,
  Reply,
  RequestsAreResent,
  Reserved,
  Saga,
  ServicesOf,
  State,
  StepNameAlreadyUsed,
  StepOutsideOfSaga,
  TagOf,
  Undoable,
  UnknownRequired,
  Untyped,
  Unused,
  Visible,
  WithoutPivot,
  WithUnknown
} from "./SagaTypes.ts"
export { type Any, isSaga } from "./SagaValue.ts"
export {
  type KnownServices,
  type Startable,
  type Started,
  type StartOptions,
  type Suspended,
  start,
  suspend
} from "./StartStep.ts"
export { attributes } from "./StepAttributes.ts"
export type {
  Backoff,
  Compensate,
  LocalOptions,
  RemoteOptions,
  RequestCompensation,
  Retry,
  RetryOn,
  Send,
  SendCompensation
} from "./StepOptions.ts"
export type { OnTimeout, PointInTime, Until, WaitForOptions } from "./WaitOptions.ts"

/** A saga that can run. */
export type AnyCommitted = Saga<string, any, any, any, any, "committed">

/** The context an execution starts with. */
export type Initial<S> = S extends Saga<any, infer I, any, any, any, any> ? I : never

/** The full context of a saga once every step has succeeded. */
export type Context<S> = S extends Saga<any, infer I, infer Own, any, any, any> ? Types.Visible<I & Own> : never

/** The declared errors of the steps of a saga. */
export type Error<S> = S extends Saga<any, any, any, infer E, any, any> ? E : never

/** The services that the callbacks of a saga need. */
export type Services<S> = S extends Saga<any, any, any, any, infer R, any> ? R : never

// ---- start and end

/**
 * Starts a saga without steps. The name begins with a letter; up to 63 letters, digits and `_.-` follow.
 *
 * `context` has the schemas of the values an execution starts with. `version` makes sagas with the same name and steps
 * differ: set a new one when only the functions have changed, and executions that have begun should keep the old ones.
 *
 * `deadline` is the time that an execution has from its creation; a number is milliseconds, at most 10 years. An execution that
 * is not decided by then is rolled back with `SagaDeadlinePassed`. Default: none. A saga that waits without a limit, behind a
 * request that would have to be compensated, needs one. It may change while executions are alive, which keep the old one.
 *
 * `attributes` makes the values by which people find executions (`find`): at most 8 texts (256 bytes), numbers and booleans, from the
 * initial context when an execution starts; `Saga.attributes` adds others behind a step. It has to be pure. They are stored beside the
 * execution and shown in lists, so keep secrets out of them. Default: none. A start whose attributes cannot be stored fails with
 * `SagaInvalidStart`.
 *
 * @example
 * ```ts
 * const PlaceOrder = Saga.make("PlaceOrder", { context: { order: Schema.String, total: Schema.Int } }).pipe(
 *   Saga.local("reservation", { success: Schema.String, execute: reserve, compensate: release }),
 *   Saga.remote("payment", { execute: { command: Payments.commands.Charge, payload: ({ total }) => ({ amount: total }) } }),
 *   Saga.commit
 * )
 * ```
 */
export const make = <const Name extends string, const Entries extends Fields>(
  name: Name,
  options: {
    readonly context: Entries
    readonly version?: string
    readonly deadline?: Duration.Input
    readonly attributes?: (context: NoInfer<Struct.Simplify<Schema.Struct.Type<Entries>>>) => Attributes
  }
): Saga<Name, Struct.Simplify<Schema.Struct.Type<Entries>>, Types.NoResults, never, never, "empty", Types.NoResults> =>
  fromSteps(
    {
      ...mistakesIn<typeof options>(options, { context: true, version: true, deadline: true, attributes: true }),
      name,
      context: Schema.Struct(options?.context ?? {}),
      ...(options?.version !== undefined && { version: options.version }),
      ...(options?.deadline !== undefined && { deadline: toMillis(options.deadline) }),
      ...(options?.attributes !== undefined && { attributes: options.attributes })
    },
    "empty",
    []
  )

/** Seals a saga and computes its fingerprint. Only a committed saga can run; no step can be added to it. */
export const commit = <Name extends string, I, Own, E, R, O>(
  self: Saga<Name, I, Own, E, R, "open", O>
): Saga<Name, I, Own, E, R, "committed", O> => fromSteps(self, "committed", self.steps, SagaShape.fingerprint(self))

/** A step at which a saga may fail: its name, or its path, which also reaches into nested sagas. */
export type FailurePoint<S> = (S extends Saga<any, any, infer Own, any, any, any> ? keyof Own & string : never) | Path

/** The path of a step (see `SagaPath`). */
export type Path = `${number}` | `${number}/${string}`

/**
 * The compensations, in their order, that would follow a failure at a step; without a failure point, those after a refused
 * commit. Use it in a test, to hold the order of the rollback.
 *
 * @example
 * ```ts
 * Saga.rollbackPlan(PlaceOrder, "payment") // [{ path: "0", step: "reservation", how: "local" }]
 * ```
 */
export const rollbackPlan: <S extends AnyCommitted>(
  saga: S,
  failurePoint?: FailurePoint<S>
) => RollbackPlan.RollbackPlan = RollbackPlan.of

// ---- steps

/** Adds a step that runs an effect in the process of the saga. The success of the effect is its result. */
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
  options: LocalOptions<I & Own, Name, A, E, R, Run, Unknown, Form> & Types.Undoable<I & Own>
): (<SagaName extends string, E0, R0, O0>(
  self: Saga<SagaName, I, Own, E0, R0, Types.Appendable, O0>
) => Saga<SagaName, I, Types.Add<Own, Name, A>, E0 | E, R0 | R | Run | Unknown, "open", O0>) =>
  append(toLocal(name, (options ?? {}) as any))

/** Adds a step that sends a command to a participant and waits for its reply. The decoded reply is its result. */
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
  options: RemoteOptions<I & Own, Name, P, A, E, P2, A2, E2, ES, RS, EE, RE> &
    Types.MapsReply<NoInfer<A>, NoInfer<A2>> &
    Types.Undoable<I & Own>
): (<SagaName extends string, E0, R0, O0>(
  self: Saga<SagaName, I, Own, E0, R0, Types.Appendable, O0>
) => Saga<
  SagaName,
  I,
  Types.Add<Own, Name, A2>,
  E0 | ES | EE,
  R0 | RS | RE,
  "open",
  O0 & Out.Asks<Name, P, Types.Reply<A, A2>, Out.ErrorReply<A, E>>
>) => append(toRemote(name, (options ?? {}) as any))

/**
 * An alternative of `Saga.conditional`: its steps run if the condition holds and none before it does. The condition is
 * synchronous; if it throws, the step fails. The choice is stored, and the condition is not asked again.
 */
export const ifThen = <Ctx, Then, E, R, O = Types.NoResults>(
  condition: (context: NoInfer<Ctx>) => boolean,
  then: (branch: Types.Branch<Ctx>) => Saga<any, any, Then, E, R, "open", O>
): Types.IfThen<Ctx, Then, E, R, O> => ({ _tag: "IfThen", condition, branch: grow(then) })

/** The last alternative of `Saga.conditional`: its steps run if no condition holds. */
export const elseThen = <Ctx, Then, E, R, O = Types.NoResults>(
  then: (branch: Types.Branch<Ctx>) => Saga<any, any, Then, E, R, "open", O>
): Types.ElseThen<Ctx, Then, E, R, O> => ({ _tag: "ElseThen", branch: grow(then) })

/**
 * Adds a step that runs the first alternative whose condition holds. Its result is the position of that alternative, or
 * `null` if none ran. The results of the steps inside are optional, unless every alternative has them and one always runs.
 *
 * @example
 * ```ts
 * Saga.conditional("delivery", [
 *   Saga.ifThen(({ weight }) => weight > 30, Saga.remote("truck", { execute: { command: Shipping.commands.Truck, payload } })),
 *   Saga.elseThen(Saga.remote("parcel", { execute: { command: Shipping.commands.Parcel, payload } }))
 * ])
 * ```
 */
export const conditional = <
  I,
  Own,
  const Name extends string,
  const Alts extends Types.Alternatives<Types.Add<I & Own, Name, Types.Reserved>>
>(
  name: Name & Types.Unused<Name, I & Own>,
  alternatives: Alts & Types.Ordered<NoInfer<Alts>>
): (<SagaName extends string, E0, R0, O0>(
  self: Saga<SagaName, I, Own, E0, R0, Types.Appendable, O0>
) => Saga<
  SagaName,
  I,
  Types.AddAlternatives<Own, Name, Alts>,
  E0 | Types.ErrorOf<Alts[number]>,
  R0 | Types.ServicesOf<Alts[number]>,
  "open",
  O0 & Out.Among<Types.OutsideOfAlternative<Alts[number]>>
>) =>
  append({
    _tag: "Conditional",
    name,
    alternatives: [(alternatives ?? []) as Types.AnyAlternative<any>[]].flat().map((alternative) => ({
      ...(alternative?._tag === "IfThen" && { condition: alternative.condition }),
      steps: alternative?.branch?.steps ?? []
    }))
  })

/** The options of `Saga.nested`. */
export interface NestedOptions<Ctx, I, Own, E, R, O = any> {
  /** The saga to run. It must be committed, and its own steps count among those of the outer saga (SPEC C11). */
  readonly saga: Saga<string, I, Own, E, R, "committed", O>
  /** Makes the initial context of the nested saga. Synchronous; if it throws, the step fails. */
  readonly context: (context: NoInfer<Ctx>) => NoInfer<I>
}

/** Adds a step that runs a whole saga. The final context of that saga is the result of the step. */
export const nested = <I, Own, const Name extends string, I2, Own2, E, R, O2>(
  name: Name & Types.Unused<Name, I & Own>,
  options: NestedOptions<I & Own, I2, Own2, E, R, O2> & Types.WithoutPivot<NoInfer<Own2>>
): (<SagaName extends string, E0, R0, O0>(
  self: Saga<SagaName, I, Own, E0, R0, Types.Appendable, O0>
) => Saga<
  SagaName,
  I,
  Types.Add<Own, Name, Types.Visible<I2 & Own2>>,
  E0 | E,
  R0 | R,
  "open",
  O0 & Out.Encloses<Name, O2>
>) =>
  append({
    ...mistakesIn<NestedOptions<any, any, any, any, any>>(options, { saga: true, context: true }),
    _tag: "Nested",
    name,
    saga: isSaga(options?.saga) ? options.saga : Step.notDefined,
    context: options?.context
  })

/**
 * Adds a step that runs branches at the same time. The results of all of them are in the context afterwards. The first
 * failure stops the other branches at their next step; then all that ran is compensated.
 *
 * @example
 * ```ts
 * Saga.parallel("bookings", {
 *   travel: Saga.remote("flight", { execute: { command: Airline.commands.Book, payload } }),
 *   stay: (branch) => branch.pipe(Saga.local("hotel", hotel), Saga.local("breakfast", breakfast))
 * })
 * ```
 */
export const parallel = <
  I,
  Own,
  const Name extends string,
  B extends Record<string, Saga<any, any, any, any, any, "open">>
>(
  name: Name & Types.Unused<Name, I & Own>,
  branches: Types.Branches<Types.Add<I & Own, Name, Types.Reserved>, B>
): (<SagaName extends string, E0, R0, O0>(
  self: Saga<SagaName, I, Own, E0, R0, Types.Appendable, O0>
) => Saga<
  SagaName,
  I,
  Types.AddBranches<Own, Name, B>,
  E0 | Error<B[keyof B]>,
  R0 | Services<B[keyof B]>,
  "open",
  O0 & Out.Among<Out.OutsideOf<B[keyof B]>>
>) =>
  append({
    _tag: "Parallel",
    name,
    branches: Object.entries<any>(branches ?? {}).map(([name, add]) => ({ name, steps: grow(add).steps }))
  })

// ---- waits

/**
 * Adds a step that waits for a signal from outside (`SagaManager.signal`), for a time, or for what comes first. The payload
 * of the signal is its result. A signal that came before the step waits for it is kept. The step has no effect, so there is
 * nothing to compensate.
 *
 * @example
 * ```ts
 * Saga.waitFor("approval", { signal: Approval, timeout: "2 days" })
 * ```
 */
export const waitFor = <
  I,
  Own,
  const Name extends string,
  A,
  B = never,
  const V extends B = B,
  SignalName extends string = string
>(
  name: Name & Types.Unused<Name, I & Own>,
  options: WaitForOptions<I & Own, A, B, V, SignalName>
): (<SagaName extends string, E0, R0, O0>(
  self: Saga<SagaName, I, Own, E0, R0, Types.Appendable, O0>
) => Saga<SagaName, I, Types.Add<Own, Name, A | B>, E0, R0, "open", O0 & Out.Hears<SignalName, A>>) =>
  append(toWaitFor(name, (options ?? {}) as any))

/**
 * Adds a step that ends after a duration, or at a time that the context gives, whatever stops or restarts in between. Its name
 * is in use, and has no entry in the context. At most 10 years.
 *
 * @example
 * ```ts
 * Saga.sleep("coolingOff", "3 days")
 * Saga.sleep("opening", ({ opensAt }) => opensAt)
 * ```
 */
export const sleep = <I, Own, const Name extends string>(
  name: Name & Types.Unused<Name, I & Own>,
  until: Until<I & Own>
): (<SagaName extends string, E0, R0, O0>(
  self: Saga<SagaName, I, Own, E0, R0, Types.Appendable, O0>
) => Saga<SagaName, I, Types.Add<Own, Name, Types.Reserved>, E0, R0, "open", O0>) => append(toSleep(name, until))

// ---- the point of no return

/**
 * The point of no return, once, between the steps of the saga itself. Before it a failure rolls the execution back. At it the
 * participants of a two-phase commit vote, and the commit is decided. Behind it nothing is undone: a step that fails is tried
 * again, and after that parked for a person while the execution stays alive. So no step behind it has a `compensate`, and none
 * takes part in a transaction. It has no entry in the context; its name `pivot` is in use. SPEC C18.
 *
 * Use it before a step that cannot be taken back (a letter is sent, goods leave the house) where the rest must then happen.
 *
 * @example
 * ```ts
 * Saga.make("PlaceOrder", { context: { order: Schema.String } }).pipe(
 *   Saga.remote("payment", { execute: charge, compensate: refund }),
 *   Saga.pivot,
 *   Saga.local("parcel", { execute: ({ order }) => Warehouse.use((warehouse) => warehouse.ship(order)) }),
 *   Saga.commit
 * )
 * ```
 */
export const pivot = <Name extends string, I, Own, E, R, O>(
  self: Saga<Name, I, Own, E, R, Types.Appendable, O> & Types.MayPivot<Name, I & Own>
): Saga<Name, I, Types.Add<Own, "pivot", Types.Passed>, E, R, "open", O> =>
  append({ _tag: "Pivot", name: "pivot" })(self)
