/**
 * The steps of an execution as a tree of frames. A frame is one sequence of steps under way: that of the saga itself, of a
 * chosen alternative, of a nested saga, of a parallel branch. The steps of a frame that are done are a stack: a new one is
 * pushed, a compensated one popped, and neither copies the others. No definition is needed: executions of sagas that this
 * program does not know can be folded and shown.
 */
import type { Envelope } from "../../wire/Envelope.ts"
import type { Json } from "../../wire/JsonLimits.ts"
import type { SagaContext } from "./SagaContext.ts"
import type { EffectKnowledge } from "./SagaEvent.ts"
import type { SagaFailure } from "./SagaFailure.ts"
import type { SagaStepStatus } from "./SagaStatus.ts"

export type StepKind = "local" | "remote" | "conditional" | "nested" | "parallel" | "wait"

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
}

/** How far the compensation of a step is. */
export interface StepCompensation {
  /** The probe or compensation whose answer is awaited; absent while a local compensation runs or waits for `retryAt`. */
  readonly sent: Sent | undefined
  readonly failedAttempts: number
  readonly retryAt: number | undefined
  readonly failure: SagaFailure | undefined
}

/** The failures of a step behind the pivot, which is tried again (SPEC C18). */
export interface Tries {
  readonly failures: number
  /** The latest one. */
  readonly failure: SagaFailure
  /** When the latest try failed; undefined: the next one is under way. */
  readonly failedAt: number | undefined
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
  readonly reply: { readonly status: number; readonly content: Json | undefined } | undefined
  readonly effect: EffectKnowledge
  readonly result: Json | undefined
  readonly failure: SagaFailure | undefined
  readonly compensation: StepCompensation | undefined
  readonly parked: { readonly reason: string; readonly at: number } | undefined
  readonly tries: Tries | undefined
  /** The result that a person gives, if the service says that it has done nothing. */
  readonly resolution: { readonly result: Json | undefined } | undefined
  readonly choice: number | null | undefined
  /** The name of the signal that a wait is for; undefined: a sleep, or no wait. */
  readonly signal: string | undefined
  readonly inner: ReadonlyArray<Frame>
}

export interface Frame {
  /** Path before the index of its steps: "", "2/if1/", "3/b0/", "3/n/". */
  readonly prefix: string
  /** Index of the next step to start. */
  readonly next: number
  /** Number of its steps, where `evolve` needs it: in a parallel branch. */
  readonly length: number | undefined
  readonly context: SagaContext
  readonly done: Stack<StepState> | undefined
  readonly current: StepState | undefined
  /** Steps that are compensated, parked, or without an effect; the latest to get there, which ran first, is on top. */
  readonly rolledBack: Stack<StepState> | undefined
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

// ---- reading ---------------------------------------------------------------------------------------------------

/** The steps of a frame that were started, in the order in which they ran. */
export const started = (self: Frame): ReadonlyArray<StepState> => [...toArray(self.done).reverse(), ...notDone(self)]

/** The same without those that are done: no answer is awaited for a step that is done. */
export const notDone = ({ current, rolledBack }: Frame): ReadonlyArray<StepState> =>
  current === undefined ? toArray(rolledBack) : [current, ...toArray(rolledBack)]

/** Collects from the steps of a frame and from those inside them: from each step before the steps inside it. */
export const collect = <A>(
  root: Frame,
  stepsOf: (frame: Frame) => ReadonlyArray<StepState>,
  add: (found: Array<A>, step: StepState) => void
): ReadonlyArray<A> => {
  const found: Array<A> = []
  const visit = (frame: Frame): void => {
    for (const step of stepsOf(frame)) {
      add(found, step)
      step.inner.forEach(visit)
    }
  }
  visit(root)
  return found
}

export interface Located {
  readonly step: StepState
  /** The frame that the step is in: its context is what the callbacks of the step read. */
  readonly frame: Frame
}

/** The step at a path, if it was started. */
export const stepAt = (root: Frame, path: string): Located | undefined => {
  for (const step of started(root)) {
    if (step.path === path) return { step, frame: root }
    const inner = path.startsWith(`${step.path}/`)
      ? step.inner.find(({ prefix }) => path.startsWith(prefix))
      : undefined
    if (inner !== undefined) return stepAt(inner, path)
  }
  return undefined
}

// ---- changes ---------------------------------------------------------------------------------------------------

/** Changes the frame that holds the step at `path`, and the status of the steps around it, which follows. */
export const atFrame = (root: Frame, path: string, change: (frame: Frame) => Frame): Frame => {
  if (path.indexOf("/", root.prefix.length) < 0) return change(root)
  const outer =
    [root.current, root.done?.head].find((step) => step !== undefined && path.startsWith(`${step.path}/`)) ??
    toArray(root.rolledBack).find((step) => path.startsWith(`${step.path}/`))
  if (outer === undefined) return root
  const inner = outer.inner.map((frame) => (path.startsWith(frame.prefix) ? atFrame(frame, path, change) : frame))
  if (inner.every((frame, i) => frame === outer.inner[i])) return root
  const changed = around(outer, inner)
  if (outer === root.current) return { ...root, current: changed }
  if (outer === root.done?.head) return { ...root, done: push(changed, root.done.tail) }
  return inRolledBack(root, outer, () => changed)
}

/** The step around changed frames: its status and its services follow from the steps inside. */
const around = (outer: StepState, inner: ReadonlyArray<Frame>): StepState => {
  const relatedServices = inner.reduce(
    (names, { current }) => union(names, current?.relatedServices ?? none),
    outer.relatedServices
  )
  if (outer.statusBefore !== undefined || outer.status === "finished") return { ...outer, inner, relatedServices }
  const broken = inner.some(
    (frame) => frame.current?.failure !== undefined || frame.rolledBack?.head.failure !== undefined
  )
  // The rollback came from outside: the step was left as it is.
  const isLeft = inner.some(
    ({ current, rolledBack }) => current?.compensation !== undefined || rolledBack !== undefined
  )
  const status =
    broken || outer.status === "errored-by-on-execute"
      ? "errored-by-on-execute"
      : isLeft
        ? outer.status
        : isPausedInside(inner)
          ? "paused-by-on-execute"
          : "running-on-execute"
  return { ...outer, inner, relatedServices, status }
}

const isPausedInside = (frames: ReadonlyArray<Frame>): boolean => {
  let waits = false
  for (const { current, length, next } of frames) {
    if (current === undefined) {
      if (length === undefined || next < length) return false
    } else if (current.status === "paused-by-on-execute") waits = true
    else return false
  }
  return waits
}

export const atStep = (root: Frame, path: string, change: (step: StepState) => StepState): Frame =>
  atFrame(root, path, (outer) => {
    if (outer.current === undefined || outer.current.path !== path) return outer
    const changed = change(outer.current)
    return changed === outer.current ? outer : { ...outer, current: changed }
  })

export const find = (stack: Stack<StepState> | undefined, path: string): StepState | undefined => {
  for (let node = stack; node !== undefined; node = node.tail) if (node.head.path === path) return node.head
  return undefined
}

/** Changes a step that is over. */
export const inRolledBack = (outer: Frame, found: StepState, change: (step: StepState) => StepState): Frame => {
  const changed = change(found)
  if (changed === found) return outer
  const steps = toArray(outer.rolledBack).map((step) => (step === found ? changed : step))
  return {
    ...outer,
    rolledBack: steps.reduceRight<Stack<StepState> | undefined>((tail, step) => push(step, tail), undefined)
  }
}

export const none: ReadonlyArray<never> = []

export const union = (some: ReadonlyArray<string>, more: ReadonlyArray<string>): ReadonlyArray<string> =>
  more.every((name) => some.includes(name)) ? some : [...new Set([...some, ...more])]
