/**
 * The place of an execution that was started in a queue: it begins no step without one. A place is held while steps run and replies
 * are awaited, and given back while the execution only waits for a signal, a time or a person. Undo, replies and decisions need none.
 */
import type { Of } from "./SagaEvent.ts"
import { type Frame, framesUnderWay } from "./StepTree.ts"

export interface QueuePlace {
  readonly queue: string
  readonly key: string
  readonly priority: number
  readonly status: "wanted" | "held" | "left"
  /** It had a place before: it gets one before new executions do. */
  readonly isAgain: boolean
  /** When it entered the queue, or wanted its place again: the admission names it. */
  readonly since: number
}

/** What of an execution says whether it has a place, and whether it needs one. */
interface Placed {
  readonly place: QueuePlace | undefined
  readonly direction: "forward" | "backward"
}

export const entered = ({ at: since, key, priority, queue }: Of<"QueueEntered">): QueuePlace => {
  return { queue, key, priority, status: "wanted", isAgain: false, since }
}

/** The place as it is wanted once more. No two wishes have the same time, so that an admission is for one of them. */
export const again = (self: QueuePlace, at: number): QueuePlace => {
  return { ...self, status: "wanted", isAgain: true, since: Math.max(at, self.since + 1) }
}

export const isLacking = ({ place }: Placed): boolean => place !== undefined && place.status !== "held"

/** Whether it stands in the queue. What turns back does not. */
export const isWanted = ({ direction, place }: Placed): boolean => place?.status === "wanted" && direction === "forward"

/** Whether all that is under way waits for a signal, a time or a person. */
export const rests = (self: Placed & { readonly root: Frame; readonly parked: ReadonlyArray<string> }): boolean =>
  self.place?.status === "held" && self.root.current !== undefined && isResting(self.root, self.parked)

const isResting = ({ current }: Frame, parked: ReadonlyArray<string>): boolean => {
  if (current === undefined || current.kind === "wait" || parked.includes(current.path)) return true
  const frames = framesUnderWay(current)
  return frames.length > 0 && frames.every((frame) => isResting(frame, parked))
}
