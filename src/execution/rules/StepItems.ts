/**
 * The items of a `forEach` under way (SPEC C17). Each has a frame, as a branch has. Of up to 1,000 frames only the window is looked
 * at: the items under way, or those that are compensated. When one of them is over, the next one comes in: forward from the first
 * to the last, and back from the last that has begun to the first. So an item costs the same, however many there are.
 */
import * as SagaPath from "../../definition/SagaPath.ts"
import * as Context from "./SagaContext.ts"
import { type Frame, frame, type Items, isRolledBack } from "./StepFrame.ts"

const chunkSize = 32

/** The list of a step that begins. */
export const begin = (
  list: Pick<Items, "values" | "as" | "steps" | "concurrency" | "path">,
  base: Context.SagaContext
): Items => filled({ ...list, base, chunks: [], window: [], next: 0, left: undefined, size: 0 })

/** The index of the item that holds a path. */
export const indexOf = (step: string, path: string): number => Number.parseInt(path.slice(step.length + 2), 10)

export const at = ({ chunks }: Items, index: number): Frame | undefined =>
  chunks[Math.floor(index / chunkSize)]?.[index % chunkSize]

export const all = ({ chunks }: Items): ReadonlyArray<Frame> => chunks.flat()

export const underWay = (self: Items): ReadonlyArray<Frame> => self.window.map((index) => at(self, index)!)

/** The items that were under way when the execution turned, and whose turn has not come: what runs there may end. */
export const left = (self: Items | undefined): ReadonlyArray<Frame> =>
  self?.left?.flatMap((index) => (index <= self.next ? at(self, index)! : [])) ?? []

/** The frame of an item has changed. Where that item is over, the next one comes in. */
export const changed = (self: Items, index: number, frame: Frame): Items => {
  const size = self.size + frame.context.size - at(self, index)!.context.size
  const next = { ...self, size, chunks: put(self.chunks, index, frame) }
  return isOver(next, frame) ? filled({ ...next, window: self.window.filter((other) => other !== index) }) : next
}

/** The execution turns back: the window begins again with the last item that has begun. */
export const turned = (self: Items, turnBack: (frame: Frame) => Frame): Items => {
  if (self.left !== undefined) return self
  const chunks = self.window.reduce((chunks, index) => put(chunks, index, turnBack(at(self, index)!)), self.chunks)
  const last = Math.min(self.next, self.values.length) - 1
  return filled({ ...self, chunks, left: self.window, window: [], next: last })
}

const isOver = ({ left }: Items, frame: Frame): boolean =>
  left === undefined
    ? frame.current === undefined && frame.rolledBack === undefined && frame.next >= frame.length!
    : isRolledBack(frame)

const filled = (self: Items): Items => {
  let { chunks, next, window } = self
  while (window.length < self.concurrency && next >= 0 && next < self.values.length) {
    if (self.left === undefined) chunks = put(chunks, next, begun(self, next))
    if (!isOver(self, at({ ...self, chunks }, next)!)) window = [...window, next]
    next += self.left === undefined ? 1 : -1
  }
  return { ...self, chunks, next, window }
}

const begun = ({ as, base, path, size, steps, values }: Items, index: number): Frame => {
  const prefix = `${SagaPath.ofItem(path, index)}/`
  return frame(prefix, Context.appendItem(base, prefix, as, values[index]!, size), steps)
}

const put = (chunks: Items["chunks"], index: number, frame: Frame): Items["chunks"] => {
  const at = Math.floor(index / chunkSize)
  const chunk = [...(chunks[at] ?? [])]
  chunk[index % chunkSize] = frame
  const copy = [...chunks]
  copy[at] = chunk
  return copy
}
