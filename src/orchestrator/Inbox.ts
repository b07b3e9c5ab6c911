/**
 * How an execution that is under way is reached: inputs wait in its inbox and are judged between two steps, against
 * the state as it is then. An input is complete once its facts are stored.
 */
import { Cause, Deferred, Effect, Exit, Result } from "effect"
import type { Refusal, SagaInput } from "../execution/rules/SagaInput.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { RunError } from "./RunError.ts"

export interface PendingInput {
  readonly input: SagaInput
  /** Succeeds with the execution that has stored the facts; fails with the refusal, or with what broke the store. */
  readonly done: Deferred.Deferred<SagaExecution, Refusal | RunError>
}

export interface Inbox {
  readonly inputs: Array<PendingInput>
  /** Inputs that were judged and whose facts are not stored yet. */
  judged: ReadonlyArray<Judged>
  /** Wakes a runner that waits for the work of several branches. */
  notify: (() => void) | undefined
  /** The execution is over, and its runner about to end. */
  isOver: boolean
  /** The runner is storing facts. */
  isWriting: boolean
  /**
   * The process stops: the runner begins nothing new, stores what its work brings, and ends. `seen`: it knows. `over`: it does
   * not wait for work any more.
   */
  stop: "asked" | "seen" | "over" | undefined
}

export const make = (inputs: ReadonlyArray<PendingInput> = none): Inbox => ({
  inputs: [...inputs],
  judged: none,
  notify: undefined,
  isOver: false,
  isWriting: false,
  stop: undefined
})

const none: ReadonlyArray<never> = []

export const offer = (self: Inbox, input: PendingInput): void => {
  self.inputs.push(input)
  self.notify?.()
}

/** Asks the runner to end at its next boundary (SPEC C7, shutdown). */
export const stop = (self: Inbox): void => {
  self.stop ??= "asked"
  self.notify?.()
}

/**
 * Tells the runner that its work has no more time. True: the runner holds results, or may do so, and ends by itself when they
 * are stored. Otherwise it is in a step, which has to be interrupted.
 */
export const end = (self: Inbox): boolean => {
  const holds = self.isWriting || self.notify !== undefined
  self.stop = "over"
  self.notify?.()
  return holds
}

export const pending = (input: SagaInput): PendingInput => ({ input, done: Deferred.makeUnsafe() })

/** An input that was judged. Its sender is told once the facts are stored. */
export interface Judged {
  readonly input: PendingInput
  readonly refused: Result.Result<void, Refusal>
}

export const complete = (judged: ReadonlyArray<Judged>, execution: SagaExecution): void => {
  for (const { refused, input } of judged) {
    Deferred.doneUnsafe(
      input.done,
      Result.isFailure(refused) ? Effect.fail(refused.failure) : Effect.succeed(execution)
    )
  }
}

/** Fails every input that was not judged, or whose facts are not stored: nobody goes on waiting for it. */
export const abandon = (self: Inbox, exit: Exit.Exit<unknown, RunError>): void => {
  const cause = Exit.isFailure(exit) ? exit.cause : Cause.die(new Error("the runner ended before the input was judged"))
  for (const { input } of self.judged) Deferred.doneUnsafe(input.done, Effect.failCause(cause))
  for (const input of self.inputs.splice(0)) Deferred.doneUnsafe(input.done, Effect.failCause(cause))
  self.judged = []
}
