/**
 * Frames and the states of steps. A frame is one sequence of steps under way: that of the saga itself, of a chosen alternative, of
 * a nested saga, of a parallel branch, of an item. The steps of a frame that are done are a stack: a new one is pushed, a
 * compensated one popped, and neither copies the others.
 */
import type { Envelope } from "../../wire/Envelope.ts"
import type { Json } from "../../wire/JsonLimits.ts"
import type { SagaContext } from "./SagaContext.ts"
import type { EffectKnowledge, Of } from "./SagaEvent.ts"
import type { SagaFailure } from "./SagaFailure.ts"
import type { SagaStepStatus } from "./SagaStatus.ts"

export type StepKind = "local" | "remote" | "conditional" | "nested" | "parallel" | "forEach" | "wait" | "start"

/** An immutable stack; `head` is the latest. */
export interface Stack<A> {
  readonly head: A
  readonly tail: Stack<A> | undefined
}

export const push = <A>(head: A, tail: Stack<A> | undefined): Stack<A> => ({ head, tail })

/** Latest first. */
export const toArray = <A>(stack: Stack<A> | undefined): Array<A> => {
  const items: Array<A> = []
  for (let node = stack; node !== undefined; node = node.tail) items.push(node.head)
  return items
}

/** A message that waits for its answer. When it is sent again follows from `at` (SPEC C8). */
export interface Sent {
  readonly command: string | undefined
  readonly message: Envelope
  readonly at: number
  /** When the service said that it has begun and answers later. */
  readonly accepted?: number | undefined
}

/** How far the compensation of a step is. */
export interface StepCompensation {
  /** The probe or compensation whose answer is awaited; absent while a local compensation runs or waits for `retryAt`. */
  readonly sent: Sent | undefined
  readonly failedAttempts: number
  readonly retryAt: number | undefined
  readonly failure: SagaFailure | undefined
}

/** Nothing was asked, and no attempt has failed. */
export const untried: StepCompensation = { sent: undefined, failedAttempts: 0, retryAt: undefined, failure: undefined }

/** The failures of a step behind the pivot, which is tried again (SPEC C18). */
export interface Tries {
  readonly failures: number
  /** The latest one. */
  readonly failure: SagaFailure
  /** When the latest try failed; undefined: the next one is under way. */
  readonly failedAt: number | undefined
}

interface Reply {
  readonly status: number
  readonly content: Json | undefined
  /** A person has given it, and the service may know nothing of it. */
  readonly byHand: true | undefined
}

export interface StepState {
  readonly path: string
  readonly name: string
  readonly kind: StepKind
  readonly status: SagaStepStatus
  /** The status that the step gets back when its compensation is over. */
  readonly statusBefore: SagaStepStatus | undefined
  readonly relatedServices: ReadonlyArray<string>
  readonly alreadyRollback: boolean
  readonly startedAt: number
  readonly deadline: number | undefined
  readonly request: Sent | undefined
  readonly reply: Reply | undefined
  readonly effect: EffectKnowledge
  readonly result: Json | undefined
  readonly failure: SagaFailure | undefined
  readonly compensation: StepCompensation | undefined
  readonly parked: { readonly reason: string; readonly at: number } | undefined
  readonly tries: Tries | undefined
  /** The result that a person gives, if the service says that it has done nothing. */
  readonly resolution: { readonly result: Json | undefined } | undefined
  readonly choice: number | null | undefined
  /** The execution that a start is to begin. */
  readonly child: Of<"StartRequested"> | undefined
  /** The name of the signal that a wait is for; undefined: a sleep, or no wait. */
  readonly signal: string | undefined
  /** Those of a conditional, a nested or a parallel step. */
  readonly inner: ReadonlyArray<Frame>
  /** The frames of a `forEach`, once its list is known. */
  readonly items: Items | undefined
}

export interface Frame {
  /** Path before the index of its steps: "", "2/if1/", "3/b0/", "3/n/", "4/i17/". */
  readonly prefix: string
  /** Index of the next step to start. */
  readonly next: number
  /** Number of its steps, where `evolve` needs it: in a parallel branch and in an item. */
  readonly length: number | undefined
  readonly context: SagaContext
  readonly done: Stack<StepState> | undefined
  readonly current: StepState | undefined
  /** Steps that are compensated, parked, or without an effect; the latest to get there, which ran first, is on top. */
  readonly rolledBack: Stack<StepState> | undefined
}

/** The items of a `forEach` under way: see `StepItems`. */
export interface Items {
  /** The list, encoded, and the name of an item. */
  readonly values: ReadonlyArray<Json>
  readonly as: string
  /** The number of steps of an item. */
  readonly steps: number
  readonly concurrency: number
  /** The path of the step, and the context that each item begins with. */
  readonly path: string
  readonly base: SagaContext
  /** The frames of the items that have begun, in chunks: a change copies one of them, and not all frames. */
  readonly chunks: ReadonlyArray<ReadonlyArray<Frame>>
  /** The indexes of the items in the window. */
  readonly window: ReadonlyArray<number>
  /** The index of the item that comes in next. */
  readonly next: number
  /** On the way back: the items that were under way when the execution turned. */
  readonly left: ReadonlyArray<number> | undefined
  /** Length of what the results of the items have added to their contexts, in bytes. */
  readonly size: number
}

export const frame = (prefix: string, context: SagaContext, length: number | undefined): Frame => ({
  prefix,
  next: 0,
  length,
  context,
  done: undefined,
  current: undefined,
  rolledBack: undefined
})

/** A value that is being made: nobody else has it yet. */
export type Draft<A> = { -readonly [Field in keyof A]: A[Field] }

/** A copy to be changed. Each step that ends makes one, and a spread of so many fields would take longer. */
export const copyOf = (self: StepState): Draft<StepState> => ({
  path: self.path,
  name: self.name,
  kind: self.kind,
  status: self.status,
  statusBefore: self.statusBefore,
  relatedServices: self.relatedServices,
  alreadyRollback: self.alreadyRollback,
  startedAt: self.startedAt,
  deadline: self.deadline,
  request: self.request,
  reply: self.reply,
  effect: self.effect,
  result: self.result,
  failure: self.failure,
  compensation: self.compensation,
  parked: self.parked,
  tries: self.tries,
  resolution: self.resolution,
  choice: self.choice,
  child: self.child,
  signal: self.signal,
  inner: self.inner,
  items: self.items
})

/** A callback of the step runs: its `execute`, or one of its reply. */
export const isRunning = (step: StepState): boolean =>
  step.status === "running-on-execute" || step.status === "running-on-success" || step.status === "running-on-error"

/** The step waits for a signal or for a time. */
export const isWaiting = (step: StepState): boolean => step.kind === "wait" && step.status === "paused-by-on-execute"

/**
 * The request of the step is out, and no answer of the service was seen: the step still waits, its deadline has passed, or
 * a refusal was given by hand. Its compensation has not begun.
 */
export const isUnanswered = (step: StepState): boolean =>
  step.request !== undefined && step.effect === "unknown" && !step.alreadyRollback && step.statusBefore === undefined

/** No step of this frame is left to be compensated. */
export const isRolledBack = (self: Frame): boolean => self.current === undefined && self.done === undefined
