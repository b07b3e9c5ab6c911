/**
 * The types of sagas: the entries that steps add to a context, and the refusals that the compiler reports.
 *
 * A refusal is an object type that no argument has, intersected with the type of a parameter: the compiler then reports its
 * name. The types of entries have no key filters (`as`): with filters, 100 steps take seven times the instantiations.
 */
import type { Pipeable } from "effect"
import type { Codec } from "../wire/JsonCodec.ts"
import type * as Step from "./SagaStep.ts"

/** `"empty"` until the first step, `"open"` while steps are added, `"committed"` after `commit`. */
export type State = "empty" | "open" | "committed"

/** The states in which steps can be added. */
export type Appendable = "empty" | "open"

export const TypeId = "~effect-saga/Saga"

/**
 * A saga: its name, the initial context, the results of its steps, their errors, the services of its callbacks, whether it is
 * committed, and what it has to do with the world outside (see `OutsideTypes`).
 */
export interface Saga<
  out Name extends string,
  in out Initial,
  out Results,
  out Err,
  out Svc,
  out S extends State = "committed",
  out Outside = any
> extends Step.Definition,
    Pipeable.Pipeable {
  readonly [TypeId]: {
    readonly _Initial: (_: Initial) => Initial
    readonly _Results: () => Results
    readonly _Error: () => Err
    readonly _Services: () => Svc
    readonly _Outside: () => Outside
  }
  readonly name: Name
  readonly state: S
  readonly context: Codec<Initial>
}

/** The results of a saga without steps. */
// biome-ignore lint/complexity/noBannedTypes: the one type that an intersection leaves as it is
export type NoResults = {}

export type IsAny<A> = 0 extends 1 & A ? true : false

// ---- context

/** The entry of a name that is in use and has no value in the context: that of a parallel step. */
export interface Reserved {
  readonly "~effect-saga/Reserved": true
}

/** The entry of a pivot: the steps that see it in their context are behind it. */
export interface Passed extends Reserved {
  readonly "~effect-saga/Passed": true
}

/** A context behind the pivot. */
interface BehindPivot {
  readonly pivot: Passed
}

/** Refusal of a compensation behind the pivot. */
export interface NothingIsUndoneBehindPivot {
  readonly nothingIsUndoneBehindPivot: never
}

/** Accepts options of a step; behind the pivot only without a compensation. */
export type Undoable<Ctx> = Ctx extends BehindPivot ? { readonly compensate?: NothingIsUndoneBehindPivot } : unknown

/** Refusal of a pivot in a branch, an alternative or a nested saga. */
export interface PivotInsideOfStep {
  readonly pivotInsideOfStep: never
}

/** Accepts a saga that has no pivot yet, and is no branch. */
export type MayPivot<Name extends string, Ctx> = [Name] extends [BranchName]
  ? PivotInsideOfStep
  : "pivot" extends keyof Ctx
    ? StepNameAlreadyUsed<"pivot">
    : unknown

/** Accepts a nested saga that has no pivot. */
export type WithoutPivot<Own> = Own extends BehindPivot ? { readonly saga: PivotInsideOfStep } : unknown

/** One object type without reserved names. */
export type Visible<Ctx> = { readonly [K in keyof Ctx as Ctx[K] extends Reserved ? never : K]: Ctx[K] } & {}

/**
 * The results, or the context, after the step `Name` has produced an `A`.
 *
 * A plain intersection: simplifying at every step would limit a saga to about 45 steps before the compiler gives up.
 * `Visible` simplifies once, at the end. A name that the compiler does not know adds nothing.
 */
export type Add<Ctx, Name extends string, A> = string extends Name ? Ctx : Ctx & { readonly [K in Name]: A }

/** Refusal of a step whose name is in use. */
export interface StepNameAlreadyUsed<Name extends string> {
  readonly stepNameAlreadyUsed: Name
}

/** Refusal of a step that is not written where it is added: its context would be unknown. */
export interface StepOutsideOfSaga<Name extends string> {
  readonly stepOutsideOfSaga: Name
}

/** Accepts a name that the saga does not use yet. Validation decides where the compiler does not know the names in use. */
export type Unused<Name extends string, Ctx> =
  IsAny<Ctx> extends true
    ? unknown
    : unknown extends Ctx
      ? StepOutsideOfSaga<Name>
      : Name extends keyof Ctx
        ? string extends keyof Ctx
          ? unknown
          : StepNameAlreadyUsed<Name>
        : unknown

/** The name of every branch, which no saga can have. */
export type BranchName = "~effect-saga/Branch"

/** The saga that a branch starts from: its initial context is the context so far, and it has no steps of its own. */
export type Branch<Ctx> = Saga<BranchName, Ctx, NoResults, never, never, "empty", NoResults>

// ---- local steps

/**
 * The form of a compensation: its keys, no key for a function alone, `"absent"` without a compensation.
 *
 * The compiler knows the keys before it infers the functions under them. It does not know their services then: a check of
 * services would refuse a step whose `unknown` has no annotations.
 */
export type Forms = "absent" | "run" | "unknown"

/** Refusal of a step that may have an effect with an unknown result, without `compensate: { run, unknown }`. */
export interface UnknownRequired {
  readonly unknownRequired: "compensate: { run, unknown }"
}

/** Accepts a `Value` without a compensation, or with one that has an `unknown`. */
export type Recoverable<Form, Value> = "absent" extends Form ? Value : WithUnknown<Form, Value>

/** Accepts a `Value` only where there is an `unknown`. */
export type WithUnknown<Form, Value> = "unknown" extends Form ? Value : UnknownRequired

/** The tags of errors. */
export type TagOf<E> = E extends { readonly _tag: infer Tag extends string } ? Tag : never

// ---- remote steps

/** The reply to a request without a command: the `success` of the step decodes it. */
export interface Untyped {
  readonly "~effect-saga/Untyped": true
}

/** The decoded reply: the success of the command, or the result of the step where there is no command. */
export type Reply<A, A2> = IsAny<A> extends true ? A : [A, Untyped] extends [Untyped, A] ? A2 : A

/** Refusal of a remote step whose result is not the reply of its command, without `onSuccess`. */
export interface OnSuccessRequired {
  readonly onSuccess: unknown
}

/** Accepts options whose result is the reply, or is made by `onSuccess`. */
export type MapsReply<A, A2> = [A] extends [A2]
  ? unknown
  : [A, Untyped] extends [Untyped, A]
    ? unknown
    : OnSuccessRequired

/** Refusal of `retry` on a remote step: a request is sent again until it is answered (SPEC C8). */
export interface RequestsAreResent {
  readonly requestsAreResent: never
}

// ---- conditional steps

/** An alternative of a conditional step, with the results, errors and services of its steps. */
export interface Alternative<out Then, out E, out R, out Outside = any> {
  readonly branch: Saga<any, any, Then, E, R, "open", Outside>
}

/** An alternative with a condition. Made by `Saga.ifThen`. */
export interface IfThen<Ctx, out Then, out E, out R, out Outside = any> extends Alternative<Then, E, R, Outside> {
  readonly _tag: "IfThen"
  readonly condition: (context: Ctx) => boolean
}

/** The alternative that runs when no condition holds. Made by `Saga.elseThen`. */
export interface ElseThen<Ctx, out Then, out E, out R, out Outside = any> extends Alternative<Then, E, R, Outside> {
  readonly _tag: "ElseThen"
  readonly _Context?: (context: Ctx) => void
}

/** An alternative of any type. */
export type AnyAlternative<Ctx> = IfThen<Ctx, any, any, any> | ElseThen<Ctx, any, any, any>

/** Any number of `ifThen`, and at most one `elseThen` at the end. */
export type Alternatives<Ctx> = readonly [AnyAlternative<Ctx>, ...ReadonlyArray<AnyAlternative<Ctx>>]

/** Refusal of an `elseThen` that is not the last alternative. */
export interface ElseThenMustBeLast {
  readonly elseThenMustBeLast: true
}

/** Accepts alternatives of which only the last is an `elseThen`. */
export type Ordered<Alts extends ReadonlyArray<unknown>> = Alts extends readonly [...infer Init, any]
  ? {
      readonly [K in keyof Alts]: K extends keyof Init
        ? Alts[K] extends { readonly _tag: "ElseThen" }
          ? ElseThenMustBeLast
          : unknown
        : unknown
    }
  : unknown

type HasElse<Alts extends ReadonlyArray<unknown>> = Alts extends readonly [...any, { readonly _tag: "ElseThen" }]
  ? true
  : false

/** The position of the alternative that ran; `null` when none did. */
export type Choice<Alts extends ReadonlyArray<unknown>> =
  | { [K in keyof Alts]: K extends `${infer N extends number}` ? N : never }[number]
  | (HasElse<Alts> extends true ? never : null)

type ResultsOf<Alt> = Alt extends Alternative<infer Then, any, any> ? Then : never
export type ErrorOf<Alt> = Alt extends Alternative<any, infer E, any> ? E : never
export type OutsideOfAlternative<Alt> = Alt extends Alternative<any, any, any, infer Outside> ? Outside : never
export type ServicesOf<Alt> = Alt extends Alternative<any, any, infer R> ? R : never

type AnyKey<U> = U extends unknown ? keyof U : never
type Value<U, K> = U extends unknown ? (K extends keyof U ? Required<U>[K] : never) : never

/** The results that are certain: every alternative has them, and one alternative always runs. */
type Sure<U, K, Exhaustive> = Exhaustive extends true
  ? K extends PropertyKey
    ? [U] extends [Record<K, unknown>]
      ? K
      : never
    : never
  : never

type Split<U, Keys extends PropertyKey> = { readonly [K in Keys]: Value<U, K> } & {
  readonly [K in Exclude<AnyKey<U>, Keys>]?: Value<U, K>
}

type Merge<U, Exhaustive> = Split<U, Sure<U, AnyKey<U>, Exhaustive>>

/** The results after a conditional step: its choice, and the results of its alternatives. */
export type AddAlternatives<Own, Name extends string, Alts extends ReadonlyArray<unknown>> = Add<
  Own,
  Name,
  Choice<Alts>
> &
  Merge<ResultsOf<Alts[number]>, HasElse<Alts>>

// ---- parallel steps

type AnyBranch = Saga<any, any, any, any, any, "open">

type OwnOf<S> = S extends Saga<any, any, infer Own, any, any, any> ? Own : never
type NamesOf<S> = IsAny<OwnOf<S>> extends true ? never : keyof OwnOf<S>

/** The names that the branch `K` shares with another one. */
type Shared<B, K extends keyof B> = NamesOf<B[K]> & { [O in Exclude<keyof B, K>]: NamesOf<B[O]> }[Exclude<keyof B, K>]

/** Accepts a branch that shares no name with another one. */
type Disjoint<B, K extends keyof B> = [Shared<B, K>] extends [never]
  ? unknown
  : StepNameAlreadyUsed<Shared<B, K> & string>

/**
 * The branches of a parallel step. `B` has the saga that each of them makes.
 *
 * The check is part of the result of the branch: as an intersection around the whole type it would stop the compiler
 * from inferring errors and services.
 */
export type Branches<Ctx, B extends Record<string, AnyBranch>> = {
  readonly [K in keyof B]: (branch: Branch<Ctx>) => B[K] & Disjoint<NoInfer<B>, K>
}

type UnionToIntersection<U> = (U extends unknown ? (_: U) => void : never) extends (_: infer I) => void ? I : never

/** The results after a parallel step: those of all its branches. Its own name is in use and has no value. */
export type AddBranches<Own, Name extends string, B extends Record<string, AnyBranch>> = Add<Own, Name, Reserved> &
  UnionToIntersection<OwnOf<B[keyof B]>>
