/**
 * How a runner is reached: inputs wait in its inbox and are judged between two steps, against the state as it is then. An
 * input is complete once its facts are stored. Inputs of other processes come from the inbox that is stored (SPEC C16).
 */
import { Cause, Deferred, Effect, Exit, Result } from "effect"
import type { Refusal, SagaActor, SagaInput } from "../execution/rules/SagaInput.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { RunError } from "./RunError.ts"

export interface PendingInput {
  readonly input: SagaInput
  /** Succeeds with the execution that has stored the facts; fails with the refusal, or with what broke the store. */
  readonly done: Deferred.Deferred<SagaExecution, Refusal | RunError | Elsewhere>
  /**
   * Of an input that was read from the stored inbox: the id of its row, whether this release knows such an input, and who has
   * sent it.
   */
  readonly stored: { readonly id: string; readonly isReadable: boolean; readonly who: Partial<SagaActor> } | undefined
}

/** Another instance owns the execution: the input goes into the stored inbox, and this is the execution as it was found. */
export class Elsewhere {
  readonly _tag = "Elsewhere"
  readonly execution: SagaExecution

  constructor(execution: SagaExecution) {
    this.execution = execution
  }
}

export interface Inbox {
  readonly inputs: Array<PendingInput>
  /** Inputs that were judged and whose facts are not stored yet. */
  judged: ReadonlyArray<Judged>
  /** Wakes a runner that waits for the work of several branches. */
  notify: (() => void) | undefined
  /** The runner is storing facts. */
  isWriting: boolean
  /** With that write nobody has the execution any more: another instance may have it before the answer is here. */
  isLeaving: boolean
  /** The revision that the runner has stored or loaded last. */
  revision: number
  /** Ids of the rows of the stored inbox that this runner has got. */
  seen: Set<string> | undefined
  /**
   * The process stops: the runner begins nothing new, stores what its work brings, and ends. `seen`: it knows. `over`: it does
   * not wait for work any more.
   */
  stop: "asked" | "seen" | "over" | undefined
}

const none: ReadonlyArray<never> = []

/** Rows of the stored inbox among the inputs are not given again: a claim that is under way may have read them before the next write. */
export const make = (inputs: ReadonlyArray<PendingInput> = none): Inbox => {
  const ids = inputs.length === 0 ? none : inputs.flatMap(({ stored }) => stored?.id ?? none)
  return {
    inputs: [...inputs],
    judged: none,
    notify: undefined,
    isWriting: false,
    isLeaving: false,
    revision: 0,
    seen: ids.length === 0 ? undefined : new Set(ids),
    stop: undefined
  }
}

export const offer = (self: Inbox, input: PendingInput): void => {
  self.inputs.push(input)
  self.notify?.()
}

/** Gives the runner inputs from the stored inbox. A row that it has got already is not given again. */
export const offerStored = (self: Inbox, inputs: ReadonlyArray<PendingInput>): void => {
  for (const input of inputs) {
    const id = input.stored?.id
    if (id === undefined || self.seen?.has(id) === true) continue
    self.seen = (self.seen ?? new Set()).add(id)
    offer(self, input)
  }
}

/** The same for all rows that are in the stored inbox: one whose write has failed is there still. */
export const offerAll = (self: Inbox, inputs: ReadonlyArray<PendingInput>): void => {
  const present = [...self.inputs, ...self.judged.map(({ input }) => input)]
  self.seen = new Set(present.flatMap(({ stored }) => stored?.id ?? none))
  offerStored(self, inputs)
}

/** Ids of the rows whose consequence is in the next write. */
export const reads = ({ judged }: Inbox): ReadonlyArray<string> =>
  judged.length === 0 ? none : judged.flatMap(({ input }) => input.stored?.id ?? none)

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

export const pending = (input: SagaInput, stored?: PendingInput["stored"]): PendingInput => ({
  input,
  done: Deferred.makeUnsafe(),
  stored
})

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

/** The inputs whose facts are not stored. */
export const waiting = ({ inputs, judged }: Inbox): ReadonlyArray<PendingInput> => [
  ...judged.map(({ input }) => input),
  ...inputs
]

/** Takes back what was judged: it is judged again, by this runner or the next one. */
export const unjudge = (self: Inbox): void => {
  self.inputs.unshift(...self.judged.map(({ input }) => input))
  self.judged = none
}

const finish = (self: Inbox, outcome: Effect.Effect<never, RunError | Elsewhere>): void => {
  const inputs = waiting(self)
  self.inputs.length = 0
  self.judged = none
  for (const { done } of inputs) Deferred.doneUnsafe(done, outcome)
}

/** Hands every input on: another instance owns the execution. An input of the stored inbox stays there. */
export const handOn = (self: Inbox, execution: SagaExecution): void =>
  finish(self, Effect.fail(new Elsewhere(execution)))

/** Fails every input that was not judged, or whose facts are not stored: nobody goes on waiting for it. */
export const abandon = (self: Inbox, exit: Exit.Exit<unknown, RunError>): void => {
  const cause = Exit.isFailure(exit) ? exit.cause : Cause.die(new Error("the runner ended before the input was judged"))
  finish(self, Effect.failCause(cause))
}
