/**
 * What an operator sees of several storages, as if they were one: groups of the same things are one group, and what they count is
 * added up. Bounded as each of the lists is. Pure.
 */
import type { DeadLetter } from "./DeadLetters.ts"
import * as Summary from "./ExecutionSummary.ts"
import type { CommandGroup, Count, InDoubt, OverdueGroup, ParkedGroup, Process, WaitingGroup } from "./Inspector.ts"
import * as Groups from "./InspectorGroups.ts"

interface Counted {
  readonly count: number
  readonly isMore: boolean
}

/** One out of all that have the same key, in the order of the keys. */
const joined = <A>(
  all: ReadonlyArray<A>,
  keyOf: (one: A) => ReadonlyArray<unknown>,
  join: (known: A, other: A) => A
): ReadonlyArray<A> => {
  const found = new Map<string, A>()
  for (const one of all) {
    const key = JSON.stringify(keyOf(one))
    const known = found.get(key)
    found.set(key, known === undefined ? one : join(known, one))
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one)
}

const sum = (one: Counted, other: Counted): Counted => {
  const { count, isMore } = Groups.counted(one.count + other.count)
  return { count, isMore: isMore || one.isMore || other.isMore }
}

/** Of two groups that count the same. */
const added = <A extends Counted & { readonly oldest: number }>(one: A, other: A): A => ({
  ...one,
  ...sum(one, other),
  oldest: Math.min(one.oldest, other.oldest)
})

/** One line for each saga and state. */
export const counts = (all: ReadonlyArray<Count>): ReadonlyArray<Count> =>
  joined(all, ({ saga, settled, state }) => [saga, state, settled], added)

export const waiting = (all: ReadonlyArray<WaitingGroup>): ReadonlyArray<WaitingGroup> =>
  joined(all, ({ saga, step, waitsFor }) => [waitsFor, saga, step], added)

export const parked = (all: ReadonlyArray<ParkedGroup>): ReadonlyArray<ParkedGroup> =>
  joined(
    all,
    ({ commitState, failure = "", saga, step = "" }) => [saga, commitState, failure, step],
    // The sample is the newest one: uuids of this library are in the order of their making.
    (one, other) => added(one.sample > other.sample ? one : other, one.sample > other.sample ? other : one)
  ).slice(0, Groups.maxGroups)

export const overdue = (all: ReadonlyArray<OverdueGroup>): ReadonlyArray<OverdueGroup> =>
  joined(
    all,
    ({ fingerprint, saga }) => [saga, fingerprint],
    (one, other) => {
      const since = [one, other].flatMap(({ since }) => since ?? [])
      return { ...one, ...other, ...sum(one, other), ...(since.length > 0 && { since: Math.min(...since) }) }
    }
  )

/** Transactions in doubt that are given, at most. */
export const maxInDoubt = 1_000

export const inDoubt = (all: ReadonlyArray<InDoubt>): ReadonlyArray<InDoubt> =>
  all.toSorted((one, other) => one.since - other.since).slice(0, maxInDoubt)

export const commands = (all: ReadonlyArray<CommandGroup>): ReadonlyArray<CommandGroup> =>
  joined(
    all,
    ({ command, service, state }) => [service, command, state],
    (one, other) => added(one.oldest <= other.oldest ? one : other, one.oldest <= other.oldest ? other : one)
  ).slice(0, Groups.maxGroups)

export const deadLetters = (all: ReadonlyArray<DeadLetter>, limit: number): ReadonlyArray<DeadLetter> =>
  all.toSorted((one, other) => other.receivedAt - one.receivedAt).slice(0, Math.min(1_000, limit))

/** Processes that are given, at most. */
const maxProcesses = 1_000

/** A process has a lease in each storage. It is alive where it has one, until the last of them ends. */
export const processes = (all: ReadonlyArray<Process>): ReadonlyArray<Process> =>
  joined(
    all,
    ({ id }) => [id],
    ({ leaseUntil: one, ...process }, { isAlive, leaseUntil: other, working }) => ({
      ...process,
      ...(one !== undefined && other !== undefined && { leaseUntil: Math.max(one, other) }),
      isAlive: process.isAlive || isAlive,
      working: process.working + working
    })
  )
    .toSorted((one, other) => Number(other.isAlive) - Number(one.isAlive))
    .slice(0, maxProcesses)

export const census = (all: ReadonlyArray<ReadonlyArray<Summary.Census>>): ReadonlyArray<Summary.Census> =>
  joined(
    all.flat(),
    ({ fingerprint, saga }) => [saga, fingerprint],
    // Each is counted up to the limit only, and at the limit a reader knows that there may be more.
    (one, other) => ({ ...one, count: Math.min(one.count + other.count, Summary.maxCounted) })
  )
