/**
 * The steps of a saga as data, as every reader of a saga sees them: handlers are erased here, `Saga` gives them their
 * types. What the author may write in several ways (a compensation, a request, a duration) has one form here.
 */
import type { Effect } from "effect"
import type * as Command from "./Command.ts"

export type SagaStep = Local | Remote | Conditional | Nested | Parallel

/** Capped exponential backoff, in milliseconds: `initial`, `initial * factor`, … up to `max`. */
export interface Backoff {
  readonly initial: number
  readonly factor: number
  readonly max: number
}

/** How often something is tried again after its first attempt, and how long to wait before. */
export interface Retry {
  readonly times: number
  readonly backoff: Backoff
  /** Tags of the declared errors that are retried besides defects. Absent: defects only. */
  readonly on?: ReadonlyArray<string>
}

/** What a step says about time and repetition. Data, so that it can be stored and shown; not part of the fingerprint. */
export interface Policies {
  /** Milliseconds from the start of the step to its deadline. */
  readonly timeout?: number
  readonly retry?: Retry
  readonly retryCompensate?: Retry
}

/** What to do with a local step that a crash left half done. */
export type OnCrash = "retry" | "compensate" | "park"

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

export interface LocalCompensation {
  readonly run: (context: any) => Effect.Effect<void, never, any>
  /** Undoes a step whose effect may exist and whose result is not known; gets the context before the step. */
  readonly unknown?: (context: any) => Effect.Effect<void, never, any>
}

/** What a remote step sends, typed by a command or not: the same data. */
export interface Request {
  /** The service that is asked, and the only one whose reply counts. */
  readonly service: string
  readonly command: string
  /** Whether the service answers a probe (SPEC C3). Requests without a command are not probed. */
  readonly probe: boolean
  readonly effect: Command.EffectMode
  readonly payload: Command.Codec<any>
  readonly success: Command.Codec<any>
  /** Absent for a request without a command: its 400 is a `SagaResponseError`. */
  readonly error?: Command.Codec<any>
  readonly content: (context: any) => any
}

export interface RemoteCompensation extends Request {
  readonly unknown?: (context: any) => any
}

export interface Remote {
  readonly _tag: "Remote"
  readonly name: string
  readonly execute: Request
  /** The schema of the result: the declared one, else that of the reply. */
  readonly success: Command.Codec<any>
  /** The schema of every error the step can fail with: the command's and the declared ones. */
  readonly error: Command.Codec<any>
  readonly onSuccess?: (reply: any, context: any) => Effect.Effect<any, any, any>
  readonly onError?: (error: any, context: any) => Effect.Effect<any, any, any>
  readonly compensate?: RemoteCompensation
  readonly policies: Policies
}

export interface Conditional {
  readonly _tag: "Conditional"
  readonly name: string
  readonly alternatives: ReadonlyArray<Alternative>
}

export interface Alternative {
  /** Absent in the alternative that runs when no other does. */
  readonly condition?: (context: any) => boolean
  readonly steps: ReadonlyArray<SagaStep>
}

export interface Nested {
  readonly _tag: "Nested"
  readonly name: string
  readonly saga: Definition
  readonly context: (context: any) => any
}

export interface Parallel {
  readonly _tag: "Parallel"
  readonly name: string
  readonly branches: ReadonlyArray<{ readonly name: string; readonly steps: ReadonlyArray<SagaStep> }>
}

/** What the rooms to the right need of a saga. Every `Saga` is one. */
export interface Definition {
  readonly name: string
  readonly version?: string
  readonly state: "empty" | "open" | "committed"
  readonly context: Command.Codec<any>
  readonly steps: ReadonlyArray<SagaStep>
  /** Hexadecimal SHA-256 of the shape (SPEC C10); empty until committed. */
  readonly fingerprint: string
}
