/** The options of the manager's doors, and the types of their results, which follow the literal options. */
import type { Deadline } from "../definition/Deadline.ts"
import type { Path } from "../definition/Saga.ts"
import type { SagaFailedCommitCallback, SagaSystemError } from "../execution/view/ExecutionErrors.ts"
import type * as Execution from "../execution/view/SagaExecution.ts"
import type { Until } from "./ExecutionSupervisor.ts"
import type { SagaFailedExecution, SagaParkedForward } from "./FailedExecution.ts"
import type { SagaQueue } from "./SagaQueue.ts"

export type { Deadline } from "../definition/Deadline.ts"
export type { Until } from "./ExecutionSupervisor.ts"

/**
 * The name of an execution, where its caller gives one: a uuid or a key, not both. A second start with the same name,
 * saga and initial values is the same execution, also after a restart. With other values it fails with
 * `SagaStartConflict`. Once the execution is forgotten, the name stays in use: `SagaExecutionRetired`.
 */
export type Identity =
  | {
      /** Any uuid but one of version 7, which names executions that the library names. Default: a new one. */
      readonly uuid?: string
      readonly startKey?: never
    }
  | {
      readonly uuid?: never
      /**
       * Any text that names what is done, like `order-17`: so a request that is repeated starts nothing new. At most 512 bytes
       * (else `SagaInvalidStart`). All sagas of a repository share the keys: put the name of the saga in front where needed.
       */
      readonly startKey?: string
    }

/** A queue in which an execution waits for its turn. */
export interface InQueue {
  /**
   * A queue of this manager (`queues` of its layer), or its name; else `SagaQueueUnknown`. The execution is stored at once, and its
   * steps begin when there is a place for it. Its deadline counts from its start. `SagaQueueFull` where too many wait. Default: none,
   * it runs at once.
   */
  readonly queue?: SagaQueue | string | undefined
  /**
   * Whose work it is, like a customer: keys take turns, and may have limits of their own. At most 256 bytes, and not
   * without `queue`, which may be `undefined` (else `SagaInvalidStart`). Default `""`, which is a key as any other.
   */
  readonly key?: string | undefined
  /**
   * Which of the executions of one key goes first: those with a higher number, then the older ones. A whole number from -1,000 to
   * 1,000, and not without a queue (else `SagaInvalidStart`). It takes no turn from other keys. Default 0.
   */
  readonly priority?: number | undefined
}

/** The values of a new execution. */
export interface Initial<Context> extends InQueue {
  /** Initial values, as the saga's `context` schemas say. Others fail with `SagaContextEncodeError`. */
  readonly context: Context
  /**
   * The user on whose behalf the execution runs: callbacks and participants read it in `SagaTransaction`. The user of the
   * request that the caller serves wins (`RequestContext`). At most 256 bytes (else `SagaInvalidStart`). Default: none.
   */
  readonly user?: string
  /**
   * When the execution is rolled back with `SagaDeadlinePassed`, if nothing is decided by then: a duration from its start (a number
   * is milliseconds; longer than zero, at most 10 years), or a `Date` or `DateTime`. One that has passed already rolls it back before
   * its first step. The earlier one of this and the saga's own `deadline` counts; with anything else than a time the start fails with
   * `SagaInvalidStart`. A second start with the same name keeps the deadline of the first. Default: the saga's own.
   */
  readonly deadline?: Deadline
}

export interface Autocommit {
  /**
   * Commit when all steps have finished. With `false` the execution stays finished and undecided, until somebody calls
   * `commit` or `reject`: for a caller that has something else to check first. Default true.
   */
  readonly autocommit?: boolean
}

/** The flags of `run`, as in Minos. Its result and its errors follow them. */
export interface Flags<Pause extends boolean, Raise extends boolean, Return extends boolean> extends Autocommit {
  /**
   * Return also where the execution waits for a reply, instead of waiting with it. The execution is stored either way; a
   * reply resumes it. Default false.
   */
  readonly pauseOnDisk?: Pause
  /**
   * Fail with `SagaFailedExecution` where the execution failed, with `SagaParkedForward` where it waits for a person behind its
   * pivot. With `false` it is returned as it is. Default true.
   */
  readonly raiseOnError?: Raise
  /** Return the execution, and not only its uuid. Default true. */
  readonly returnExecution?: Return
}

/** The options of `start`. */
export type StartOptions<Context> = Initial<Context> & Autocommit & Identity

/** The options of `execute`. */
export type ExecuteOptions<Context> = Initial<Context> & Identity

/** The options of `resume`. */
export interface ResumeOptions<U extends Until> {
  /**
   * How long to wait: to the `"end"` of the execution, or only until it waits for the next reply (`"pause"`). A rollback
   * is waited for in both cases. Default `"end"`.
   */
  readonly until?: U
  /** Replaces the `autocommit` that the execution was started with. Default: it stays as it is. */
  readonly autocommit?: boolean
}

/** The execution that is meant: its uuid, or the `startKey` that it was started with. */
export type Addressee =
  | { readonly uuid: string; readonly startKey?: never }
  | { readonly uuid?: never; readonly startKey: string }

/** A signal to one execution: its payload, and the texts that tell it from other signals. */
export interface Said<Payload> {
  /** A value of the signal's `payload` schema. Another value fails with `SagaSignalInvalid`, which names the place. */
  readonly payload: Payload
  /**
   * Which of several waits for this signal is meant: those with this key. At most 512 bytes (else `SagaSignalInvalid`). Default:
   * none, for waits without a key.
   */
  readonly key?: string
  /**
   * Tells this signal from others to the same execution. The same id with the same name and content is the same signal, however
   * often it is sent; with another one it fails with `SagaSignalConflict`. At most 512 bytes. Default: the name and the key of
   * the signal, so that a second click changes nothing. Set it where one wait after the other takes signals of one name.
   */
  readonly id?: string
  /** The person or program that says it, for readers of the execution's story. At most 256 bytes. Default: none. */
  readonly actor?: string
}

/** The options of `signal`. */
export type SignalOptions<Payload> = Addressee & Said<Payload>

/** The options of `resolveParked`. */
export interface ResolveOptions<Step extends string, A> {
  readonly uuid: string
  /** The name of the step, or its path. */
  readonly step: Step | Path
  /** The result of the step, as its `success` schema says. Leave it out for a step without a result. */
  readonly result?: A
  /** The person or program that decides it, at most 256 bytes. */
  readonly actor: string
  /** Why this is the result, for readers of the execution's story. At most 4,096 bytes. */
  readonly reason: string
}

/** The options of `signal` as the service takes them. */
export interface UntypedSignal {
  readonly payload?: unknown
  readonly key?: string | undefined
  readonly id?: string | undefined
  readonly actor?: string | undefined
  readonly uuid?: string | undefined
  readonly startKey?: string | undefined
}

/**
 * `applied`: the signal is in the history of the execution; a wait has taken it or will. `accepted`: it is stored, and not applied
 * yet. That is the answer after ten seconds where the instance that runs the execution has not come to it, and at once where this
 * process has the saga and cannot go on with the execution: only another version of it is here, or a stored value cannot be read.
 * `find` says which. What was accepted is never refused for its payload: the execution waits for a program that reads it (SPEC C10, I23).
 */
export type SignalAnswer = "applied" | "accepted"

/** What `run` gives. It distributes over flags that are only known as `boolean`. */
export type Returned<Ctx, E, Pause, Raise, Return> = Return extends true
  ?
      | Execution.Finished<Ctx>
      | (Pause extends true ? Execution.Paused<Ctx> : never)
      | (Raise extends true ? never : Execution.Errored<Ctx, E | SagaSystemError> | Execution.Parked<Ctx>)
  : string

/**
 * What `run` fails with besides errors of starting and storing: the execution failed and everything is rolled back, or
 * its commit is decided and some participants have not acknowledged it within `commitWait`, or it waits for a person behind its
 * pivot.
 */
export type Raised<E, Raise> = Raise extends true
  ? SagaFailedExecution<E | SagaSystemError> | SagaFailedCommitCallback | SagaParkedForward
  : never

/** What `load` gives; `status` tells which. */
export type Loaded<Ctx, E> =
  | Execution.Finished<Ctx>
  | Execution.Errored<Ctx, E | SagaSystemError>
  | Execution.Unfinished<Ctx>

/** What `resume` gives: the saga of the execution, and so its context, is not known to the compiler. */
export type Resumed<U> = Execution.Finished<unknown> | (U extends "pause" ? Execution.Paused<unknown> : never)

/** The options of a start as the service takes them: untyped in the saga. */
export interface UntypedStart extends Autocommit, InQueue {
  readonly context?: unknown
  readonly uuid?: string | undefined
  readonly startKey?: string | undefined
  readonly user?: string
  readonly deadline?: Deadline | undefined
}

/** The options of a run as the service takes them. */
export interface RunOptions extends UntypedStart, Flags<boolean, boolean, boolean> {}

/** The options of a resume as the service takes them. */
export interface UntypedResume extends ResumeOptions<Until> {
  /** Fail with `SagaFailedExecution` where the execution failed. Default true. */
  readonly raiseOnError?: boolean
}
