/**
 * The signals that an execution has received, and the waits that take them (SPEC C16). A signal may come before anybody waits
 * for it. Each of them ends at most one wait; the others stay in the history.
 */
import type { Of } from "./SagaEvent.ts"
import { push, type Stack } from "./StepTree.ts"

export type Received = Of<"SignalReceived">

/** A step that waits for a signal. */
export interface OpenWait {
  readonly path: string
  readonly signal: string
  readonly key: string | undefined
  readonly startedAt: number
}

export interface SagaSignals {
  /** All that were received, the latest on top: their ids belong to the execution as long as it is kept. */
  readonly received: Stack<Received> | undefined
  /** Signals that have ended no wait, the oldest first. */
  readonly unused: ReadonlyArray<Received>
  /** Waits for signals, in the order in which they take signals. */
  readonly waits: ReadonlyArray<OpenWait>
}

export const nothing: SagaSignals = { received: undefined, unused: [], waits: [] }

/** Unused signals of one name and key, at most. */
export const maxUnused = 100

/** The signal that was received under an id. */
export const find = ({ received }: SagaSignals, id: string): Received | undefined => {
  for (let node = received; node !== undefined; node = node.tail) if (node.head.id === id) return node.head
  return undefined
}

export const receive = (self: SagaSignals, signal: Received): SagaSignals =>
  find(self, signal.id) === undefined
    ? { ...self, received: push(signal, self.received), unused: [...self.unused, signal] }
    : self

/** Waits take signals in the order in which they began; those that began at one time, in the order of their paths. */
export const begin = (self: SagaSignals, wait: OpenWait): SagaSignals => {
  const { waits } = self
  let i = waits.length
  while (i > 0 && waits[i - 1]!.startedAt === wait.startedAt && isBefore(wait.path, waits[i - 1]!.path)) i--
  return { ...self, waits: [...waits.slice(0, i), wait, ...waits.slice(i)] }
}

/** A wait is over, with the signal that it took. */
export const end = (self: SagaSignals, path: string, id: string | undefined): SagaSignals => ({
  ...self,
  unused: id === undefined ? self.unused : self.unused.filter((signal) => signal.id !== id),
  waits: self.waits.filter((wait) => wait.path !== path)
})

/** The rollback has begun: nobody waits any more. */
export const close = (self: SagaSignals): SagaSignals => (self.waits.length === 0 ? self : { ...self, waits: [] })

/** The unused signal that each open wait takes, by the paths of the waits. */
export const taken = ({ unused, waits }: SagaSignals): ReadonlyMap<string, Received> => {
  if (unused.length === 0 || waits.length === 0) return noneTaken
  const left = [...unused]
  const taken = new Map<string, Received>()
  for (const wait of waits) {
    const i = left.findIndex((signal) => isFor(signal, wait))
    if (i < 0) continue
    taken.set(wait.path, left[i]!)
    left.splice(i, 1)
  }
  return taken
}

const noneTaken: ReadonlyMap<string, Received> = new Map()

/** One more signal of this name and key would be too many: there is no wait that takes it at once (SPEC C11). */
export const isFull = ({ unused, waits }: SagaSignals, signal: NameAndKey): boolean => {
  const mayStay = maxUnused + waits.filter((wait) => isFor(signal, wait)).length
  return unused.filter((other) => isFor(other, signal)).length >= mayStay
}

interface NameAndKey {
  readonly signal: string
  readonly key?: string | undefined
}

const isFor = (self: NameAndKey, other: NameAndKey): boolean => self.signal === other.signal && self.key === other.key

/** The order of paths: `b2` before `b10`. */
const isBefore = (self: string, other: string): boolean => {
  const parts = self.split("/")
  const others = other.split("/")
  // There is a difference: no two waits stand at one path, or one inside the other.
  const at = parts.findIndex((part, i) => part !== others[i])
  return numberIn(parts[at]!) < numberIn(others[at]!)
}

const numberIn = (part: string): number => Number(part.replace(/^[a-z]+/, ""))
