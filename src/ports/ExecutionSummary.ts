/**
 * Summaries of executions, which people and recovery search without reading whole executions: filters and pages. A page
 * begins after the last position of the page before, so executions that come and go in between shift nothing.
 */
import { Option, Result, Schema } from "effect"
import * as Base64Url from "effect/encoding/Base64Url"
import { Attributes } from "../definition/Attributes.ts"
import { isParkedForward, isSettled, parkedFailure, type SagaState } from "../execution/rules/SagaState.ts"
import { CommitState, Decision, SagaStatus } from "../execution/rules/SagaStatus.ts"
import { type Frame, isUnanswered, type Sent, type StepState } from "../execution/rules/StepTree.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { Uuid } from "../wire/Envelope.ts"

/** A word of this version, or one that a newer version has stored: it is listed as it is (F36). */
const orNewer = <const Words extends ReadonlyArray<string>>(known: Schema.Literals<Words>) =>
  Schema.Union([known, Schema.String])

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
  /** The values by which people find it (`Saga.make`). Absent where its saga has none. */
  attributes: Schema.optionalKey(Attributes),
  /** A compensation needs a person, or a step behind the pivot; or a service does not answer to the decision. */
  parked: Schema.Boolean,
  /** The tag of the first failure and its step, or of what is parked behind the pivot; never its values (SPEC C12). */
  failure: Schema.optionalKey(Schema.Struct({ tag: Schema.String, path: Schema.optionalKey(Schema.String) })),
  /**
   * The step that it is at, by name and path: the one that waits, if parallel branches have several. As of the latest write of
   * the summary, so a later step may run already. Absent where none is begun, and once it is settled.
   */
  step: Schema.optionalKey(Schema.Struct({ name: Schema.String, path: Schema.String })),
  /** Whose answer the step waits for: `service/Command`, as of the latest write of the summary. */
  waitsFor: Schema.optionalKey(Schema.String),
  /** Since when, in milliseconds since the epoch. */
  waitingSince: Schema.optionalKey(Schema.Int),
  /** When the execution is looked at again, in milliseconds since the epoch. Absent where a repository does not know it. */
  wakeAt: Schema.optionalKey(Schema.Int),
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

export const of = ({ parked, saga, settled, startKey, state, user }: SagaExecution): ExecutionSummary => ({
  uuid: state.uuid,
  ...(startKey !== undefined && { startKey }),
  saga,
  fingerprint: state.creation.fingerprint,
  status: state.status,
  direction: state.direction,
  decision: state.decision,
  commitState: state.commitState,
  ...(user !== undefined && { user }),
  ...(state.creation.attributes !== undefined && { attributes: state.creation.attributes }),
  parked: parked.length > 0,
  ...failureOf(state),
  ...(!settled && placeOf(state)),
  revision: state.revision,
  settled,
  createdAt: state.creation.at,
  updatedAt: state.updatedAt
})

/** The first failure, or that of a step that waits for a person behind the pivot. */
const failureOf = (state: SagaState): Pick<ExecutionSummary, "failure"> => {
  const failure = state.failure ?? parkedFailure(state)
  if (failure !== undefined) return { failure: { tag: failure._tag, ...("path" in failure && { path: failure.path }) } }
  return state.setAside === "parked" ? { failure: { tag: "SetAside" } } : {}
}

/** Where an execution is, and what it waits for there. */
const placeOf = ({ direction, root }: SagaState): Pick<ExecutionSummary, "step" | "waitsFor" | "waitingSince"> => {
  const at = stepIn(root, direction)
  const sent = at === undefined ? undefined : sentBy(at, direction)
  return {
    ...(at !== undefined && { step: { name: at.name, path: at.path } }),
    ...(sent !== undefined && { waitsFor: targetOf(sent), waitingSince: sent.at })
  }
}

/** The innermost step under way; during a rollback the one that is compensated. One that waits goes before one that runs. */
const stepIn = ({ current, done }: Frame, direction: SagaState["direction"]): StepState | undefined => {
  const step = current ?? (direction === "backward" ? done?.head : undefined)
  const inside = step?.inner.flatMap((frame) => stepIn(frame, direction) ?? []) ?? []
  return inside.find((one) => sentBy(one, direction) !== undefined) ?? inside[0] ?? step
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
  parked: Schema.optionalKey(Schema.Boolean),
  startKey: Schema.optionalKey(Schema.String),
  user: Schema.optionalKey(Schema.String),
  /** Each of these has this value; others may be there too. A database reads the list of the first one: put the rarest there. */
  attributes: Schema.optionalKey(Attributes),
  settled: Schema.optionalKey(Schema.Boolean),
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
  (filter.createdBefore === undefined || summary.createdAt < filter.createdBefore) &&
  (filter.createdAfter === undefined || summary.createdAt > filter.createdAfter)

export const PageRequest = Schema.Struct({
  /** Summaries on a page, 1 to 1,000. Default 100. A number outside counts as the nearest bound. */
  limit: Schema.optionalKey(Schema.Finite),
  /** The `next` of the page before. Absent: the first page. */
  after: Schema.optionalKey(Schema.String)
})
export type PageRequest = typeof PageRequest.Type

/** Newest first: by creation, then by uuid. */
export interface Page {
  readonly items: ReadonlyArray<ExecutionSummary>
  /** Absent on the last page. */
  readonly next?: string
}

export const limitOf = (page: PageRequest): number => Math.max(1, Math.min(1_000, Math.trunc(page.limit ?? 100) || 1))

/** The place of an execution in the order. */
export interface Position {
  readonly createdAt: number
  readonly uuid: string
}

export const newestFirst = (a: Position, b: Position): number =>
  b.createdAt - a.createdAt || (a.uuid < b.uuid ? 1 : a.uuid > b.uuid ? -1 : 0)

export const cursor = ({ createdAt, uuid }: Position): string => Base64Url.encode(`${createdAt} ${uuid}`)

/** The position of a cursor; none for text that `cursor` has not made. */
export const position = (cursor: string): Option.Option<Position> => {
  const text = Result.getOrElse(Base64Url.decodeString(cursor), () => "")
  const [, createdAt, uuid] = /^(-?\d{1,19}) ([0-9a-f-]{36})$/.exec(text) ?? []
  return createdAt === undefined || uuid === undefined
    ? Option.none()
    : Option.some({ createdAt: Number(createdAt), uuid })
}

/** A page out of all summaries. */
export const page = (
  summaries: Iterable<ExecutionSummary>,
  filter: Filter,
  request: PageRequest,
  from: Position | undefined
): Page => {
  const found = Array.from(summaries)
    .filter((summary) => matches(filter, summary) && (from === undefined || newestFirst(from, summary) < 0))
    .sort(newestFirst)
  const items = found.slice(0, limitOf(request))
  const last = items.at(-1)
  return found.length > items.length && last !== undefined ? { items, next: cursor(last) } : { items }
}

// ---- census ----------------------------------------------------------------------------------------------------

/** How many executions of one definition are not settled. */
export interface Census {
  readonly saga: string
  readonly fingerprint: string
  /** Counted up to 100 at least. A repository may stop there: then 100 means that many or more. */
  readonly count: number
}

/** How many executions of a definition a database counts: to count a million would take it a second, at every start. */
export const maxCounted = 100

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
