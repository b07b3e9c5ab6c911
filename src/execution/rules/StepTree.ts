/**
 * The steps of an execution as a tree of frames: how a step is found, and how a change inside changes the steps around it. No
 * definition is needed: executions of sagas that this program does not know can be folded and shown.
 */

import { type Frame, push, type Stack, type StepState, toArray } from "./StepFrame.ts"
import * as Items from "./StepItems.ts"

export * from "./StepFrame.ts"

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
      framesIn(step).forEach(visit)
    }
  }
  visit(root)
  return found
}

/** The frames inside a step; of a `forEach` those of the items that have begun. */
export const framesIn = ({ inner, items }: StepState): ReadonlyArray<Frame> =>
  items === undefined ? inner : Items.all(items)

/** The frames inside a step that the step is at: of items only those in the window. */
export const framesUnderWay = ({ inner, items }: StepState): ReadonlyArray<Frame> =>
  items === undefined ? inner : Items.underWay(items)

/** The frame inside a step that holds a path. */
const frameAt = ({ inner, items, path: outer }: StepState, path: string): Frame | undefined =>
  items === undefined
    ? inner.find(({ prefix }) => path.startsWith(prefix))
    : Items.at(items, Items.indexOf(outer, path))

export interface Located {
  readonly step: StepState
  /** The frame that the step is in: its context is what the callbacks of the step read. */
  readonly frame: Frame
}

/** The step at a path, if it was started. */
export const stepAt = (root: Frame, path: string): Located | undefined => {
  for (const step of started(root)) {
    if (step.path === path) return { step, frame: root }
    const inner = path.startsWith(`${step.path}/`) ? frameAt(step, path) : undefined
    if (inner !== undefined) return stepAt(inner, path)
  }
  return undefined
}

// ---- changes ---------------------------------------------------------------------------------------------------

/** Changes the frame that holds the step at `path`, and the status of the steps around it, which follows. */
export const atFrame = (root: Frame, path: string, change: (frame: Frame) => Frame): Frame => {
  if (path.indexOf("/", root.prefix.length) < 0) return change(root)
  // Nothing changes inside a step that is done: its compensation makes it the current one first.
  const isAround = (step: StepState | undefined) => step !== undefined && path.startsWith(`${step.path}/`)
  const outer = isAround(root.current) ? root.current : toArray(root.rolledBack).find(isAround)
  if (outer === undefined) return root
  const changed = inside(outer, path, change)
  if (changed === outer) return root
  return outer === root.current ? { ...root, current: changed } : inRolledBack(root, outer, () => changed)
}

/** Changes the frame inside a step that holds the step at `path`. */
const inside = (outer: StepState, path: string, change: (frame: Frame) => Frame): StepState => {
  const before = frameAt(outer, path)
  const after = before === undefined ? undefined : atFrame(before, path, change)
  if (after === undefined || after === before) return outer
  if (outer.items === undefined) {
    const inner = outer.inner.map((frame) => (frame === before ? after : frame))
    return around(outer, inner, { inner })
  }
  const items = Items.changed(outer.items, Items.indexOf(outer.path, path), after)
  return around(outer, [after, ...Items.underWay(items)], { items })
}

/** The step around changed frames: its status and its services follow from the steps inside. */
const around = (
  outer: StepState,
  frames: ReadonlyArray<Frame>,
  changed: Pick<StepState, "inner"> | Pick<StepState, "items">
): StepState => {
  const relatedServices = frames.reduce(
    (names, { current }) => union(names, current?.relatedServices ?? none),
    outer.relatedServices
  )
  if (outer.statusBefore !== undefined || outer.status === "finished") return { ...outer, ...changed, relatedServices }
  const broken = frames.some(
    (frame) => frame.current?.failure !== undefined || frame.rolledBack?.head.failure !== undefined
  )
  // The rollback came from outside: the step was left as it is.
  const isLeft =
    outer.items?.left !== undefined ||
    frames.some(({ current, rolledBack }) => current?.compensation !== undefined || rolledBack !== undefined)
  const status =
    broken || outer.status === "errored-by-on-execute"
      ? "errored-by-on-execute"
      : isLeft
        ? outer.status
        : isPausedInside(frames)
          ? "paused-by-on-execute"
          : "running-on-execute"
  return { ...outer, ...changed, relatedServices, status }
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

/** The items under way turn back: from now on they are gone through from the last to the first. */
export const turnBack = (self: Frame): Frame => {
  const { current } = self
  if (current === undefined) return self
  if (current.items !== undefined)
    return { ...self, current: { ...current, items: Items.turned(current.items, turnBack) } }
  return current.inner.length === 0 ? self : { ...self, current: { ...current, inner: current.inner.map(turnBack) } }
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
