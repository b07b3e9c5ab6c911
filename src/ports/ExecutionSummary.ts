/**
 * Summaries of executions, which people and recovery search without reading whole executions: filters and pages. A page
 * begins after the last position of the page before, so executions that come and go in between shift nothing.
 */
import { Option, Result, Schema } from "effect"
import * as Base64Url from "effect/encoding/Base64Url"
import { Attributes } from "../definition/Attributes.ts"
import * as Signal from "../definition/Signal.ts"
import { isWanted, type QueuePlace } from "../execution/rules/QueuePlace.ts"
import { isParkedForward, isSettled, parkedFailure, type SagaState } from "../execution/rules/SagaState.ts"
import { CommitState, Decision, SagaStatus } from "../execution/rules/SagaStatus.ts"
import {
  type Frame,
  framesUnderWay,
  isUnanswered,
  isWaiting,
  type Sent,
  type StepState
} from "../execution/rules/StepTree.ts"
import { failureTag } from "../execution/view/FailureTag.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { Uuid } from "../wire/Envelope.ts"

/** A word of this version, or one that a newer version has stored: it is listed as it is (F36). */
const orNewer = <const Words extends ReadonlyArray<string>>(known: Schema.Literals<Words>) =>
  Schema.Union([known, Schema.String])

/** How an execution stands in its queue. `key`: empty where it has none. `since`: in milliseconds since the epoch. */
export const Queued = Schema.Struct({
  queue: Schema.String,
  key: Schema.String,
  priority: Schema.Int,
  since: Schema.Int
})

export const ExecutionSummary = Schema.Struct({
  uuid: Uuid,
  startKey: Schema.optionalKey(Schema.String),
  saga: Schema.String,
  fingerprint: Schema.String,
  status: orNewer(SagaStatus),
  direction: orNewer(Schema.Literals(["forward", "backward"])),
  decision: Schema.NullOr(orNewer(Decision)),
  commitState: orNewer(CommitState),
  user: Schema.optionalKey(Schema.String),
  /** The values by which people find it (`Saga.make`, `Saga.attributes`). Absent where it has none. */
  attributes: Schema.optionalKey(Attributes),
  /** A compensation needs a person, or a step behind the pivot; or a service does not answer to the decision. */
  parked: Schema.Boolean,
  /**
   * The tag of the first failure and its step, or of what is parked behind the pivot; of the error that the step declares, where
   * it has a tag. Never its values (SPEC C12).
   */
  failure: Schema.optionalKey(Schema.Struct({ tag: Schema.String, path: Schema.optionalKey(Schema.String) })),
  /**
   * The step that it is at, by name and path: the one that waits, if parallel branches have several. As of the latest write of
   * the summary, so a later step may run already. Absent where none is begun, and once it is settled.
   */
  step: Schema.optionalKey(Schema.Struct({ name: Schema.String, path: Schema.String })),
  /**
   * What the step waits for, as of the latest write of the summary: the answer of `service/Command`, a `signal <name>`, or a
   * `timer`.
   */
  waitsFor: Schema.optionalKey(Schema.String),
  /** Since when, in milliseconds since the epoch. */
  waitingSince: Schema.optionalKey(Schema.Int),
  /** It waits for a place in its queue, since this time in milliseconds since the epoch. Absent where it does not. */
  queued: Schema.optionalKey(Queued),
  /** When the execution is looked at again, in milliseconds since the epoch. Absent where a repository does not know it. */
  wakeAt: Schema.optionalKey(Schema.Int),
  /** The W3C context (`traceparent`) of the span that started it. Absent: it is not traced. */
  trace: Schema.optionalKey(Schema.String),
  /**
   * The process that lists it cannot read it, and leaves it to others: the step, which value of it, and the rule that it breaks;
   * never the value. Set by `SagaManager.find` for executions that this process has found.
   */
  unreadable: Schema.optionalKey(
    Schema.Struct({ path: Schema.String, step: Schema.String, value: Schema.String, rule: Schema.String })
  ),
  revision: Schema.Int,
  settled: Schema.Boolean,
  createdAt: Schema.Int,
  updatedAt: Schema.Int
})
export type ExecutionSummary = typeof ExecutionSummary.Type

/** `revision`: that of the write that stores the execution; default: the one that has stored it. */
export const of = (
  { parked, saga, settled, startKey, state, user }: SagaExecution,
  revision = state.revision
): ExecutionSummary => ({
  uuid: state.uuid,
  ...(startKey !== undefined && { startKey }),
  saga,
  fingerprint: state.creation.fingerprint,
  status: state.status,
  direction: state.direction,
  decision: state.decision,
  commitState: state.commitState,
  ...(user !== undefined && { user }),
  ...(state.attributes !== undefined && { attributes: state.attributes }),
  parked: parked.length > 0,
  ...failureOf(state),
  ...(!settled && placeOf(state)),
  ...(state.start?.trace !== undefined && { trace: state.start.trace }),
  ...(isWanted(state) && { queued: queuedOf(state.place!) }),
  revision,
  settled,
  createdAt: state.creation.at,
  updatedAt: state.updatedAt
})

const queuedOf = ({ key, priority, queue, since }: QueuePlace): typeof Queued.Type => ({ queue, key, priority, since })

/** The first failure, or that of a step that waits for a person behind the pivot. */
const failureOf = (state: SagaState): Pick<ExecutionSummary, "failure"> => {
  const failure = state.failure ?? parkedFailure(state)
  if (failure !== undefined)
    return { failure: { tag: failureTag(failure), ...("path" in failure && { path: failure.path }) } }
  return state.setAside === "parked" ? { failure: { tag: "SetAside" } } : {}
}

/** Where an execution is, and what it waits for there. */
const placeOf = ({ direction, root }: SagaState): Pick<ExecutionSummary, "step" | "waitsFor" | "waitingSince"> => {
  const at = stepIn(root, direction)
  return { ...(at !== undefined && { step: { name: at.name, path: at.path } }), ...(at && waitOf(at, direction)) }
}

/** What a step waits for, and since when; undefined: it runs. */
const waitOf = (
  step: StepState,
  direction: SagaState["direction"]
): Pick<ExecutionSummary, "waitsFor" | "waitingSince"> | undefined => {
  const sent = sentBy(step, direction)
  if (sent !== undefined) return { waitsFor: targetOf(sent), waitingSince: sent.at }
  if (direction === "backward" || !isWaiting(step)) return undefined
  return {
    waitsFor: step.signal === undefined ? timer : Signal.waitsFor({ name: step.signal }),
    waitingSince: step.startedAt
  }
}

/** What a sleep waits for. */
export const timer = "timer"
/** Before the name of the signal that a step waits for. */
export const ofSignal = Signal.waitsFor({ name: "" })

/** The innermost step under way; during a rollback the one that is compensated. One that waits goes before one that runs. */
const stepIn = ({ current, done }: Frame, direction: SagaState["direction"]): StepState | undefined => {
  const step = current ?? (direction === "backward" ? done?.head : undefined)
  const frames = step === undefined ? [] : framesUnderWay(step)
  const inside = frames.flatMap((frame) => stepIn(frame, direction) ?? [])
  return inside.find((one) => waitOf(one, direction) !== undefined) ?? inside[0] ?? step
}

/** The message whose answer the step waits for. */
const sentBy = (step: StepState, direction: SagaState["direction"]): Sent | undefined => {
  if (direction === "backward") return step.compensation?.sent
  // A step behind the pivot that was refused is paused until its next try.
  return step.status === "paused-by-on-execute" && isUnanswered(step) ? step.request : undefined
}

const targetOf = ({ command, message }: Sent): string =>
  command === undefined ? message.service : `${message.service}/${command}`

/** An execution matches if all given properties hold. Times are in milliseconds since the epoch, bounds excluded. */
export const Filter = Schema.Struct({
  saga: Schema.optionalKey(Schema.String),
  status: Schema.optionalKey(SagaStatus),
  /** `false` reads past each that is parked: slower with their number. */
  parked: Schema.optionalKey(Schema.Boolean),
  startKey: Schema.optionalKey(Schema.String),
  user: Schema.optionalKey(Schema.String),
  /** Each of these has this value; others may be there too. A database reads the list of the first one: put the rarest there. */
  attributes: Schema.optionalKey(Attributes),
  settled: Schema.optionalKey(Schema.Boolean),
  /** It rolls back, and has not ended. Its status is one of those of an execution under way. */
  undoing: Schema.optionalKey(Schema.Boolean),
  /** What it waits for: `service/Command`, `signal <name>`, `timer`; or a service, for all of its commands. */
  waitsFor: Schema.optionalKey(Schema.String),
  /** The tag of its failure. */
  failure: Schema.optionalKey(Schema.String),
  /** The name of the step that it is at. Together with `parked` or `waitsFor`: alone it reads all that are not settled. */
  step: Schema.optionalKey(Schema.String),
  /** How its `startKey` begins. Its pages come in the order of the keys, by the numbers of their characters. */
  startKeyPrefix: Schema.optionalKey(Schema.String),
  createdBefore: Schema.optionalKey(Schema.Int),
  createdAfter: Schema.optionalKey(Schema.Int)
})
export type Filter = typeof Filter.Type

export const matches = (filter: Filter, summary: ExecutionSummary): boolean =>
  (filter.saga === undefined || summary.saga === filter.saga) &&
  (filter.status === undefined || summary.status === filter.status) &&
  (filter.parked === undefined || summary.parked === filter.parked) &&
  (filter.startKey === undefined || summary.startKey === filter.startKey) &&
  (filter.user === undefined || summary.user === filter.user) &&
  (filter.attributes === undefined ||
    Object.entries(filter.attributes).every(([name, value]) => summary.attributes?.[name] === value)) &&
  (filter.settled === undefined || summary.settled === filter.settled) &&
  (filter.undoing === undefined || isUndoing(summary) === filter.undoing) &&
  (filter.waitsFor === undefined || isFor(filter.waitsFor, summary.waitsFor)) &&
  (filter.failure === undefined || summary.failure?.tag === filter.failure) &&
  (filter.step === undefined || summary.step?.name === filter.step) &&
  (filter.startKeyPrefix === undefined || summary.startKey?.startsWith(filter.startKeyPrefix) === true) &&
  (filter.createdBefore === undefined || summary.createdAt < filter.createdBefore) &&
  (filter.createdAfter === undefined || summary.createdAt > filter.createdAfter)

/** It rolls back, and has not ended. */
export const isUndoing = ({ direction, status }: Pick<ExecutionSummary, "direction" | "status">): boolean =>
  direction === "backward" && underWay.includes(status)

/** The statuses of an execution that has not ended. */
export const underWay: ReadonlyArray<string> = ["created", "running", "paused"]

/** Whether a filter names a service, and means all of its commands. */
export const isService = (waitsFor: string): boolean =>
  waitsFor !== timer && !waitsFor.startsWith(ofSignal) && !waitsFor.includes("/")

const isFor = (asked: string, waitsFor: string | undefined): boolean =>
  waitsFor === asked || (isService(asked) && waitsFor?.startsWith(`${asked}/`) === true)

export const PageRequest = Schema.Struct({
  /** Summaries on a page, 1 to 1,000. Default 100. A number outside counts as the nearest bound. */
  limit: Schema.optionalKey(Schema.Finite),
  /** The `next` of the page before. Absent: the first page. */
  after: Schema.optionalKey(Schema.String),
  /** The `previous` of the page after: gives the page that ends there. Without effect beside `after`. */
  before: Schema.optionalKey(Schema.String)
})
export type PageRequest = typeof PageRequest.Type

/** Newest first: by creation, then by uuid. With `startKeyPrefix` in the order of the keys. */
export const Page = Schema.Struct({
  items: Schema.Array(ExecutionSummary),
  /** Absent on the last page. */
  next: Schema.optionalKey(Schema.String),
  /** Absent on the first page. */
  previous: Schema.optionalKey(Schema.String),
  /** Names of databases that have not answered: their executions are not among these. Absent: all have. */
  missing: Schema.optionalKey(Schema.Array(Schema.String))
})
export type Page = typeof Page.Type

export const limitOf = (page: PageRequest): number => Math.max(1, Math.min(1_000, Math.trunc(page.limit ?? 100) || 1))

/** The place of an execution in the order. */
export interface Position {
  readonly createdAt: number
  readonly uuid: string
  /** In a list by keys. */
  readonly startKey?: string
}

/** Where a page begins: after a position, or with `isBackward` before it. */
export interface PageStart {
  readonly from: Position | undefined
  readonly isBackward: boolean
}

export const newestFirst = (a: Position, b: Position): number =>
  b.createdAt - a.createdAt || (a.uuid < b.uuid ? 1 : a.uuid > b.uuid ? -1 : 0)

/** By the bytes of the keys, as a database has them. A `startKey` belongs to one execution. */
const byKey = ({ startKey: a = "" }: Position, { startKey: b = "" }: Position): number =>
  Buffer.compare(Buffer.from(a), Buffer.from(b))

/** Whether the pages of a filter come in the order of the keys. */
export const isByKey = ({ startKey, startKeyPrefix }: Filter): boolean =>
  startKeyPrefix !== undefined && startKey === undefined

const orderOf = (filter: Filter) => (isByKey(filter) ? byKey : newestFirst)

export const cursor = ({ createdAt, startKey, uuid }: Position): string =>
  Base64Url.encode(`${createdAt} ${uuid}${startKey === undefined ? "" : ` ${startKey}`}`)

/** The cursor of an item of a page. */
export const cursorOf = (filter: Filter, { createdAt, startKey, uuid }: ExecutionSummary): string =>
  cursor({ createdAt, uuid, ...(isByKey(filter) && startKey !== undefined && { startKey }) })

/** The position of a cursor; none for text that `cursor` has not made. */
export const position = (cursor: string): Option.Option<Position> => {
  const text = Result.getOrElse(Base64Url.decodeString(cursor), () => "")
  const [, createdAt, uuid, startKey] = /^(-?\d{1,19}) ([0-9a-f-]{36})(?: (.*))?$/s.exec(text) ?? []
  return createdAt === undefined || uuid === undefined
    ? Option.none()
    : Option.some({ createdAt: Number(createdAt), uuid, ...(startKey !== undefined && { startKey }) })
}

/** A page out of what was found in its direction, one more than its limit if there are more. */
export const pageOf = (
  filter: Filter,
  request: PageRequest,
  { from, isBackward }: PageStart,
  found: ReadonlyArray<ExecutionSummary>
): Page => {
  const limit = limitOf(request)
  const there = found.slice(0, limit)
  const items = isBackward ? there.toReversed() : there
  const isMore = found.length > limit
  const [first, last] = [items[0], items.at(-1)]
  return {
    items,
    ...((isBackward || isMore) && last !== undefined && { next: cursorOf(filter, last) }),
    ...((isBackward ? isMore : from !== undefined) && first !== undefined && { previous: cursorOf(filter, first) })
  }
}

/** A page out of those that several repositories have given to the same request. */
export const merged = (filter: Filter, request: PageRequest, start: PageStart, pages: ReadonlyArray<Page>): Page => {
  const order = orderOf(filter)
  const { isBackward } = start
  const limit = limitOf(request)
  const found = pages.flatMap(({ items }) => items).sort((a, b) => (isBackward ? order(b, a) : order(a, b)))
  const isMore = pages.some(({ next, previous }) => (isBackward ? previous : next) !== undefined)
  const last = found.at(-1)
  // One more than the limit stands for those that a repository has besides.
  return pageOf(
    filter,
    request,
    start,
    isMore && last !== undefined && found.length === limit ? [...found, last] : found
  )
}

/** A page out of all summaries. */
export const page = (
  summaries: Iterable<ExecutionSummary>,
  filter: Filter,
  request: PageRequest,
  start: PageStart
): Page => {
  const order = orderOf(filter)
  const { from, isBackward } = start
  const isWithin = (summary: ExecutionSummary) =>
    from === undefined || (isBackward ? order(from, summary) > 0 : order(from, summary) < 0)
  const found = Array.from(summaries)
    .filter((summary) => matches(filter, summary) && isWithin(summary))
    .sort((a, b) => (isBackward ? order(b, a) : order(a, b)))
  return pageOf(filter, request, start, found)
}

// ---- census ----------------------------------------------------------------------------------------------------

/** How many executions of one definition are not settled. */
export const Census = Schema.Struct({
  saga: Schema.String,
  fingerprint: Schema.String,
  /** Counted up to 100 at least. A repository may stop there: then 100 means that many or more. */
  count: Schema.Int
})
export type Census = typeof Census.Type

/** How many executions of a definition a database counts: to count a million would take it a second, at every start. */
export const maxCounted = 100

/** Whether there may be more of a definition than were counted. */
export const isCut = ({ count }: Pick<Census, "count">): boolean => count >= maxCounted

/** Counts the unsettled executions of each definition. */
export const census = (states: Iterable<SagaState>): ReadonlyArray<Census> => {
  const counts = new Map<string, Census>()
  for (const state of states) {
    if (isSettled(state)) continue
    const { fingerprint, saga } = state.creation
    const key = `${saga} ${fingerprint}`
    counts.set(key, { saga, fingerprint, count: (counts.get(key)?.count ?? 0) + 1 })
  }
  return [...counts.values()]
}

/** Whether an execution goes on by itself, or with a reply. Undefined: there is none. */
export const isUnderWay = (state: SagaState | undefined, orPaused: boolean): boolean =>
  state !== undefined &&
  !isParkedForward(state) &&
  (state.status === "created" || state.status === "running" || (state.status === "paused" && !orPaused))
