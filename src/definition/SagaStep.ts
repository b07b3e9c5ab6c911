/**
 * The steps of a saga as data, for all code that reads sagas. The types of callbacks are erased here; `Saga` has them. A
 * compensation, a request or a duration, which the author may write in several ways, has one form.
 */

import { type Effect, Schema } from "effect"
import type * as Command from "./Command.ts"
import type { Mistaken } from "./OptionNames.ts"
import type * as Signal from "./Signal.ts"

/** A step of any kind. */
export type SagaStep = (Local | Remote | Conditional | Nested | Parallel | ForEach | Wait | Start | Pivot) & Labelled

/** What any step may have besides. */
export interface Labelled extends Mistaken {
  /** Makes the attributes that the execution gets when the step has succeeded (see `Saga.attributes`). */
  readonly attributes?: (context: any) => unknown
}

/** Capped exponential backoff, in milliseconds: `initial`, `initial * factor`, … up to `max`. */
export interface Backoff {
  readonly initial: number
  readonly factor: number
  readonly max: number
}

/** How often an operation is tried again, and the pauses between its attempts. */
export interface Retry {
  /** The number of attempts after the first one. */
  readonly times: number
  readonly backoff: Backoff
  /** Tags of the declared errors that are tried again, besides defects. Absent: defects only. */
  readonly on?: ReadonlyArray<string>
}

/** The rules of a step about time and repetition: data that can be shown. They are not part of the fingerprint. */
export interface Policies {
  /** Milliseconds from the start of the step to its deadline. */
  readonly timeout?: number
  readonly retry?: Retry
  readonly retryCompensate?: Retry
}

/** The fate of a local step that a crash has left half done (see `onCrash` of `Saga.LocalOptions`). */
export type OnCrash = "retry" | "compensate" | "park"

/** A step that runs an effect in the process of the saga. */
export interface Local {
  readonly _tag: "Local"
  readonly name: string
  readonly success: Command.Codec<any>
  readonly error: Command.Codec<any>
  readonly execute: (context: any) => Effect.Effect<any, any, any>
  readonly compensate?: LocalCompensation
  readonly policies: Policies
  readonly onCrash: OnCrash
  readonly transactional: boolean
}

/** The compensation of a local step. */
export interface LocalCompensation {
  /** Runs where the result is known; gets the context with the result. */
  readonly run: (context: any) => Effect.Effect<void, never, any>
  /** Runs where the effect may exist and the result is not known; gets the context before the step. */
  readonly unknown?: (context: any) => Effect.Effect<void, never, any>
}

/** A request of a remote step, made from a command or from a `SagaRequest`. */
export interface Request {
  /** The service that is asked, and the only one whose reply counts. */
  readonly service: string
  readonly command: string
  /** Whether the service answers a probe (SPEC C3). Requests without a command are not probed. */
  readonly probe: boolean
  readonly effect: Command.EffectMode
  readonly payload: Command.Codec<any>
  readonly success: Command.Codec<any>
  /** Absent for a request without a command, whose 400 is a `SagaResponseError`. */
  readonly error?: Command.Codec<any>
  readonly content: (context: any) => any
  /** The answer comes later (SPEC C19). */
  readonly later?: true
}

/** The request that compensates a remote step. */
export interface RemoteCompensation extends Request {
  /** Makes the content where the reply was never seen; gets the context before the step. */
  readonly unknown?: (context: any) => any
}

/** A step that sends a request and waits for its reply. */
export interface Remote {
  readonly _tag: "Remote"
  readonly name: string
  readonly execute: Request
  /** The schema of the result: the declared one, else that of the reply. */
  readonly success: Command.Codec<any>
  /** The schema of all errors of the step: those of the command and the declared ones. */
  readonly error: Command.Codec<any>
  readonly onSuccess?: (reply: any, context: any) => Effect.Effect<any, any, any>
  readonly onError?: (error: any, context: any) => Effect.Effect<any, any, any>
  readonly compensate?: RemoteCompensation
  readonly policies: Policies
}

/** A step that runs the first alternative whose condition holds. */
export interface Conditional {
  readonly _tag: "Conditional"
  readonly name: string
  readonly alternatives: ReadonlyArray<Alternative>
}

/** One of the ways of a conditional step. */
export interface Alternative {
  /** Absent in an `elseThen`, which runs when no condition holds. */
  readonly condition?: (context: any) => boolean
  readonly steps: ReadonlyArray<SagaStep>
}

/** A step that runs a whole saga. */
export interface Nested {
  readonly _tag: "Nested"
  readonly name: string
  readonly saga: Definition
  readonly context: (context: any) => any
}

/** A step whose branches run at the same time. */
export interface Parallel {
  readonly _tag: "Parallel"
  readonly name: string
  readonly branches: ReadonlyArray<{ readonly name: string; readonly steps: ReadonlyArray<SagaStep> }>
}

/** A step whose steps run once for each item of a list (SPEC C17). */
export interface ForEach {
  readonly _tag: "ForEach"
  readonly name: string
  /** The name of the item in the context of its steps. */
  readonly as: string
  readonly item: Command.Codec<any>
  readonly items: (context: any) => ReadonlyArray<any>
  /** How many items are under way at the same time, forward and back. */
  readonly concurrency: number
  readonly steps: ReadonlyArray<SagaStep>
}

/** A step without an effect: it ends with a signal, or with a time. */
export interface Wait {
  readonly _tag: "Wait"
  readonly name: string
  /** Absent: a sleep, which only time ends. */
  readonly signal?: Signal.Any
  /** Only a signal with this key ends the wait; absent: one without a key. */
  readonly key?: (context: any) => string
  /** The schema of the result: the payload of the signal, or the value of `onTimeout`. */
  readonly success: Command.Codec<any>
  /** Milliseconds from the start of the step to its deadline. */
  readonly timeout?: number
  /** The deadline, in milliseconds since the epoch. It and `timeout` exclude each other. */
  readonly until?: (context: any) => number
  /** The result at the deadline. Absent: a wait for a signal fails then. */
  readonly onTimeout?: { readonly success: Command.Codec<any>; readonly value: (context: any) => any }
}

/** A step that starts another saga, which lives on by itself. */
export interface Start {
  readonly _tag: "Start"
  readonly name: string
  /** The name of the other saga. It is known before the saga is, where a saga starts itself. */
  readonly saga: string
  /** The other saga; `notDefined` where there is none of that name. */
  readonly definition: () => Definition
  readonly context: (context: any) => any
  /** Absent: the key is made of the uuid of the execution and the path of the step. */
  readonly startKey?: (context: any) => string
  /** The schema of the result: the uuid of the execution that was started. */
  readonly success: Command.Codec<any>
  /** Runs where the other saga can no longer be cancelled; gets the context with the result, and what became of the saga. */
  readonly compensate?: (context: any, started: any) => Effect.Effect<void, never, any>
  readonly policies: Policies
}

/** The point of no return: the steps before it can be undone, those behind it are tried until they succeed (SPEC C18). */
export interface Pivot {
  readonly _tag: "Pivot"
  readonly name: "pivot"
}

/** A saga without its types, as the rules see it. Every `Saga` is one. */
export interface Definition extends Mistaken {
  readonly name: string
  readonly version?: string
  /** Milliseconds from the creation of an execution to the end of its time (see `Saga.make`). */
  readonly deadline?: number
  /** Makes the values by which people find executions, from the initial context (see `Saga.make`). */
  readonly attributes?: (context: any) => unknown
  readonly state: "empty" | "open" | "committed"
  readonly context: Command.Codec<any>
  readonly steps: ReadonlyArray<SagaStep>
  /** Hexadecimal SHA-256 of the shape (SPEC C10); empty until committed. */
  readonly fingerprint: string
}

/** Stands in a nested step that was given no saga. Validation finds it there. */
export const notDefined: Definition = Object.freeze({
  name: "",
  state: "empty",
  context: Schema.Any,
  steps: Object.freeze([]),
  fingerprint: ""
})
