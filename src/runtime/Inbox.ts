/**
 * How an execution that is under way is reached: triggers wait in its inbox and are judged between two steps, against
 * the state as it is then. A trigger is complete once its facts are stored.
 */
import { Cause, Deferred, Effect, Exit, Result } from "effect"
import type { Definition } from "../definition/SagaStep.ts"
import type { SagaExecution } from "../execution/SagaExecution.ts"
import type { SagaState } from "../execution/SagaState.ts"
import type { Verdict } from "../execution/SagaTrigger.ts"

export interface Trigger {
  readonly judge: (state: SagaState, definition: Definition, now: number) => Verdict<unknown>
  /** Succeeds with the execution that has stored the facts; fails with the refusal, or with what broke the store. */
  readonly done: Deferred.Deferred<SagaExecution, unknown>
}

export interface Inbox {
  readonly triggers: Array<Trigger>
  /** Triggers whose facts are not stored yet. */
  judged: ReadonlyArray<Judged>
  /** Wakes a runner that waits for the work of several branches. */
  notify: (() => void) | undefined
  /** The execution is over, and its runner about to end. */
  isOver: boolean
}

export const make = (triggers: ReadonlyArray<Trigger> = none): Inbox => ({
  triggers: [...triggers],
  judged: none,
  notify: undefined,
  isOver: false
})

const none: ReadonlyArray<never> = []

export const offer = (self: Inbox, trigger: Trigger): void => {
  self.triggers.push(trigger)
  self.notify?.()
}

export const trigger = <Refusal>(
  judge: (state: SagaState, definition: Definition, now: number) => Verdict<Refusal>
): Trigger => ({ judge, done: Deferred.makeUnsafe() })

/** What one look at the inbox leaves to be said once the facts are stored. */
export interface Judged {
  readonly trigger: Trigger
  readonly refused: Result.Result<void, unknown>
}

export const complete = (judged: ReadonlyArray<Judged>, execution: SagaExecution): void => {
  for (const { refused, trigger } of judged) {
    Deferred.doneUnsafe(
      trigger.done,
      Result.isFailure(refused) ? Effect.fail(refused.failure) : Effect.succeed(execution)
    )
  }
}

/** Fails every trigger that was not judged, or whose facts are not stored: nobody goes on waiting for it. */
export const abandon = (self: Inbox, exit: Exit.Exit<unknown, unknown>): void => {
  const cause = Exit.isFailure(exit)
    ? exit.cause
    : Cause.die(new Error("the runner ended before the trigger was judged"))
  for (const { trigger } of self.judged) Deferred.doneUnsafe(trigger.done, Effect.failCause(cause))
  for (const trigger of self.triggers.splice(0)) Deferred.doneUnsafe(trigger.done, Effect.failCause(cause))
  self.judged = []
}
