/** What the screens of the dashboard show, read from the inspector. Everything is bounded, however much is stored. */
import { Clock, Effect, Option, Result } from "effect"
import * as RollbackPlan from "../../definition/RollbackPlan.ts"
import * as SagaPath from "../../definition/SagaPath.ts"
import type { SagaRegistry } from "../../definition/SagaRegistry.ts"
import { read } from "../../execution/view/Readable.ts"
import * as Summary from "../../ports/ExecutionSummary.ts"
import {
  type Count,
  executionOf,
  type Inspected,
  type Inspector,
  type InspectorError,
  type OverdueGroup,
  type ParkedGroup,
  type WaitingGroup
} from "../../ports/Inspector.ts"
import * as Attention from "../Attention.ts"
import * as Diagram from "./Diagram.ts"
import type * as Forms from "./Forms.ts"
import { oldest, rowOf, shownOfCount } from "./Rows.ts"

type Seeing = Inspector["Service"]

/** How late a process may be before its work counts as overdue, and how long a service may be in doubt. */
export const patience = "1 minute"

const {
  isAnswer,
  patience: { unanswered: silence },
  serviceIn
} = Attention

/** Executions that stand under their group. */
const perGroup = 8
/** Groups that name executions. The others are counted. */
const maxGroups = 40

// ---- attention -------------------------------------------------------------------------------------------------

/** What needs a person, the greatest groups first. */
export const attention = Effect.fnUntraced(function* (inspector: Seeing, registry: SagaRegistry) {
  const now = yield* Clock.currentTimeMillis
  const [parked, overdue, forms, doubts, waiting] = yield* Effect.all(
    [
      inspector.parked,
      inspector.overdue(patience),
      registry.sagas.length === 0 ? Effect.succeed([]) : census(inspector),
      inspector.inDoubt(patience),
      inspector.waiting
    ],
    { concurrency: "unbounded" }
  )
  const left = forms.filter(({ fingerprint, saga }) => Result.isFailure(registry.find(saga, fingerprint)))
  const groups = yield* Effect.forEach(
    [
      ...parked.map((group) => ofParked(inspector, group)),
      ...overdue.map((group) => ofOverdue(inspector, registry, group)),
      ...waiting
        .filter(({ oldest, waitsFor }) => isAnswer(waitsFor) && now - oldest >= silence)
        .map((group) => ofWaiting(inspector, group)),
      ...left.map(({ count, fingerprint, saga }) =>
        Effect.succeed(
          groupOf("drifted", `version ${fingerprint.slice(0, 8)}`, {
            saga,
            count,
            isMore: Summary.isCut({ count }),
            items: []
          })
        )
      )
    ].slice(0, 200),
    (group) => group,
    { concurrency: 4 }
  )
  const found: Forms.Attention = {
    groups: groups.toSorted((a, b) => b.count - a.count),
    doubts: doubts.map(({ coordinator, service, since, uuid }) => ({
      service,
      transaction: uuid,
      ...(coordinator !== undefined && { coordinator }),
      since
    }))
  }
  return found
})

/** None where a database is away: its executions may have the forms that seem to be gone. */
const census = (inspector: Seeing): Effect.Effect<ReadonlyArray<Summary.Census>, InspectorError> =>
  Effect.catchIf(
    inspector.census,
    ({ databases = [] }) => databases.length > 0,
    () => Effect.succeed([])
  )

const ofParked = Effect.fnUntraced(function* (inspector: Seeing, group: ParkedGroup) {
  const { count, failure, isMore, oldest: since, places, saga, step } = group
  const [place] = places
  const kind = place?.kind === "service" ? "stalled" : "parked"
  const filter = { parked: true, saga, ...(failure !== undefined && { failure }), ...(step !== undefined && { step }) }
  const { items } = yield* inspector.find(filter, { limit: perGroup })
  // The failure of the execution is why it rolls back; that of the place is why the place is parked.
  const why = place?.failure ?? place?.reason ?? failure ?? "parked"
  const cause = kind === "stalled" ? `${place?.service} does not answer` : why
  const name = place?.step ?? step
  return groupOf(kind, cause, {
    saga,
    ...(place?.service !== undefined && { service: place.service }),
    count,
    isMore,
    since,
    items: items.map(rowOf),
    ...(failure !== undefined && { failure }),
    ...(step !== undefined && { at: step }),
    ...(name !== undefined && { step: name })
  })
})

/** Somebody who is to answer is silent: nobody runs there, or the name of the service is wrong. */
const ofWaiting = Effect.fnUntraced(function* (inspector: Seeing, group: WaitingGroup) {
  const { count, isMore, oldest: since, saga, step, waitsFor } = group
  const filter = { saga, waitsFor, ...(step !== "" && { step }), settled: false }
  const { items } = yield* inspector.find(filter, { ...oldest, limit: perGroup })
  return groupOf("unanswered", `no answer from ${waitsFor}`, {
    saga,
    service: serviceIn(waitsFor),
    count,
    isMore,
    since,
    items: items.map(rowOf).reverse(),
    waitsFor,
    ...(step !== "" && { at: step, step })
  })
})

type Places = "at" | "failure" | "saga" | "service" | "since" | "step" | "waitsFor"

interface GroupParts extends Partial<Pick<Forms.AttentionGroup, Places>> {
  readonly count: number
  readonly isMore: boolean
  readonly items: ReadonlyArray<Forms.Row>
}

const groupOf = (kind: Forms.AttentionKind, cause: string, { isMore, ...parts }: GroupParts): Forms.AttentionGroup => ({
  kind,
  cause,
  atLeast: isMore,
  ...parts
})

/**
 * Nobody takes them: no process has their saga, or none can read what is stored. The sagas of this process say which, by one
 * execution of the group.
 */
const ofOverdue = Effect.fnUntraced(function* (
  inspector: Seeing,
  registry: SagaRegistry,
  { count, isMore, saga, sample, since }: OverdueGroup
) {
  const found = yield* Effect.result(inspector.load(sample))
  if (Result.isFailure(found) && found.failure._tag === "InspectorError" && found.failure.reason !== "corrupt")
    return yield* Effect.fail(found.failure)
  const why = Result.isSuccess(found) ? unreadableIn(found.success, registry) : "its facts"
  const isGone = Result.isFailure(found) && found.failure._tag === "SagaExecutionNotFound"
  const [kind, cause] =
    why === undefined || isGone ? (["overdue", "no process takes it"] as const) : (["unreadable", why] as const)
  return groupOf(kind, cause, {
    saga,
    count,
    isMore,
    items: Result.isSuccess(found) ? [rowOf(found.success.summary)] : [],
    ...(since !== undefined && { since })
  })
})

/** What of an execution the saga of this process cannot read; undefined: it can, or the saga is not here. */
const unreadableIn = (inspected: Inspected, registry: SagaRegistry): string | undefined => {
  const execution = Option.getOrUndefined(executionOf(inspected))
  if (execution === undefined) return "its facts"
  const readable = Result.flatMap(registry.find(inspected.summary.saga, inspected.summary.fingerprint), (definition) =>
    read(execution, definition)
  )
  if (Result.isSuccess(readable) || readable.failure._tag !== "SagaExecutionUnreadable") return undefined
  const { rule, step, value } = readable.failure
  return `${value}${step === "" ? "" : ` of ${step}`}: ${rule}`
}

// ---- overview --------------------------------------------------------------------------------------------------

const minute = 60_000
/** How many minutes the chart has. */
const minutesShown = 15

export const overview = Effect.fnUntraced(function* (inspector: Seeing, registry: SagaRegistry) {
  const now = yield* Clock.currentTimeMillis
  const from = (Math.floor(now / minute) - minutesShown + 1) * minute
  const [counts, found, recent, waiting, letters, running] = yield* Effect.all(
    [
      inspector.count(),
      attention(inspector, registry),
      inspector.find({ createdAfter: from - 1 }, { limit: 1_000 }),
      oldestWaiting(inspector),
      inspector.deadLetters(1_000),
      processes(inspector)
    ],
    { concurrency: "unbounded" }
  )
  // Last: it names also the databases that have not answered these questions.
  const missing = yield* inspector.missing
  const seen: Forms.Overview = {
    now,
    attention: found.groups.map((group) => ({ ...group, items: [] })),
    doubts: found.doubts.length,
    deadLetters: letters.length,
    sagas: countsOf(counts, found.groups),
    minutes: minutesOf(recent.items, from),
    minutesCut: recent.next !== undefined,
    oldestWaiting: waiting,
    processes: running,
    ...(missing.length > 0 && { missing })
  }
  return seen
})

/** The inspector counts by state; what is parked is counted by its groups, and taken from those that only seem to go on. */
export const countsOf = (
  counts: ReadonlyArray<Count>,
  groups: ReadonlyArray<Pick<Forms.AttentionGroup, "atLeast" | "count" | "kind" | "saga">>
): Forms.Overview["sagas"] => {
  const sagas = new Map<string, Map<Forms.Shown, { count: number; atLeast: boolean }>>()
  const add = (saga: string, shown: Forms.Shown, count: number, atLeast: boolean): void => {
    const of = sagas.get(saga) ?? new Map()
    const known = of.get(shown) ?? { count: 0, atLeast: false }
    sagas.set(saga, of.set(shown, { count: known.count + count, atLeast: known.atLeast || atLeast }))
  }
  for (const one of counts) add(one.saga, shownOfCount(one), one.count, one.isMore)
  for (const { atLeast, count, kind, saga } of groups) {
    if ((kind !== "parked" && kind !== "stalled") || saga === undefined) continue
    add(saga, "parked", count, atLeast)
    let left = count
    for (const shown of ["undoing", "waiting", "running", "committing"] as const) {
      const there = sagas.get(saga)?.get(shown)
      const taken = Math.min(left, there?.count ?? 0)
      if (there !== undefined) there.count -= taken
      left -= taken
    }
  }
  return Array.from(sagas, ([saga, of]) => ({
    saga,
    counts: Array.from(of, ([shown, { atLeast, count }]) => ({ shown, count, atLeast }))
  })).sort((a, b) => (a.saga < b.saga ? -1 : 1))
}

const minutesOf = (rows: ReadonlyArray<Summary.ExecutionSummary>, from: number): ReadonlyArray<Forms.Minute> =>
  Array.from({ length: minutesShown }, (_, i) => {
    const at = from + i * minute
    const started = rows.filter(({ createdAt }) => createdAt >= at && createdAt < at + minute)
    const ended = (status: string) => started.filter((one) => one.settled && one.status === status).length
    return { at, started: started.length, finished: ended("finished"), undone: ended("errored") }
  })

const oldestWaiting = Effect.fnUntraced(function* (inspector: Seeing) {
  const groups = (yield* inspector.waiting).filter(({ waitsFor }) => waitsFor !== Summary.timer)
  const found = yield* Effect.forEach(
    groups.toSorted((a, b) => a.oldest - b.oldest).slice(0, 6),
    ({ saga, step, waitsFor }) =>
      inspector.find({ saga, waitsFor, ...(step !== "" && { step }), settled: false }, { ...oldest, limit: 2 }),
    { concurrency: 3 }
  )
  return found
    .flatMap(({ items }) => items.map(rowOf))
    .sort((a, b) => (a.waitingSince ?? a.updatedAt) - (b.waitingSince ?? b.updatedAt))
    .slice(0, 6)
})

// ---- the other screens -----------------------------------------------------------------------------------------

export const processes = (inspector: Seeing): Effect.Effect<ReadonlyArray<Forms.Process>, InspectorError> =>
  Effect.map(inspector.processes, (all) =>
    all
      .map(({ id, isAlive, leaseUntil, service, startedAt, working }) => ({
        name: id,
        ...(service !== undefined && { service }),
        ...(startedAt !== undefined && { startedAt }),
        // A process that has ended its lease by itself has none.
        ...(leaseUntil !== undefined && leaseUntil > 0 && { aliveUntil: leaseUntil }),
        alive: isAlive,
        held: working
      }))
      .sort((a, b) => Number(b.alive) - Number(a.alive) || (b.startedAt ?? 0) - (a.startedAt ?? 0))
  )

/** What is waited for: one group for each service with its command, each signal, and all times. The oldest come first. */
export const waiting = Effect.fnUntraced(function* (inspector: Seeing) {
  const groups = new Map<string, { count: number; atLeast: boolean; oldest: number }>()
  for (const { count, isMore, oldest, waitsFor } of yield* inspector.waiting) {
    const known = groups.get(waitsFor) ?? { count: 0, atLeast: false, oldest }
    groups.set(waitsFor, {
      count: known.count + count,
      atLeast: known.atLeast || isMore,
      oldest: Math.min(known.oldest, oldest)
    })
  }
  const found = yield* Effect.forEach(
    [...groups].sort(([, a], [, b]) => a.oldest - b.oldest).slice(0, maxGroups),
    ([waitsFor, group]) =>
      Effect.map(
        inspector.find({ waitsFor, settled: false }, { ...oldest, limit: perGroup }),
        ({ items }): Forms.WaitingGroup => ({ ...kindOf(waitsFor), ...group, items: items.map(rowOf).reverse() })
      ),
    { concurrency: 4 }
  )
  const commands = (yield* inspector.commands).map(
    ({ isMore, sample, ...group }): Forms.CommandGroup => ({
      ...group,
      atLeast: isMore,
      execution: sample.slice(0, sample.indexOf(":"))
    })
  )
  const seen: Forms.Waiting = { groups: found, commands }
  return seen
})

const kindOf = (waitsFor: string): Pick<Forms.WaitingGroup, "kind" | "target"> =>
  waitsFor === Summary.timer
    ? { kind: "timer", target: "a time" }
    : waitsFor.startsWith(Summary.ofSignal)
      ? { kind: "signal", target: waitsFor.slice(Summary.ofSignal.length) }
      : { kind: "service", target: waitsFor }

/** The sagas of this process, and forms of sagas that only the database has. */
export const sagas = Effect.fnUntraced(function* (inspector: Seeing, registry: SagaRegistry) {
  const census = yield* inspector.census
  const liveOf = (fingerprint: string) => {
    const live = census.find((one) => one.fingerprint === fingerprint)?.count ?? 0
    return { live, atLeast: Summary.isCut({ count: live }) }
  }
  const known = registry.sagas.map((saga): Forms.SagaForm => {
    const newest = registry.latest(saga.name)
    return {
      name: saga.name,
      ...(saga.version !== undefined && { version: saga.version }),
      fingerprint: saga.fingerprint,
      known: true,
      latest: Result.isSuccess(newest) && newest.success === saga,
      ...liveOf(saga.fingerprint),
      ...(saga.deadline !== undefined && { deadline: saga.deadline }),
      diagram: Diagram.ofSaga(saga),
      plans: SagaPath.steps(saga).flatMap(({ path, step }) =>
        step._tag === "Pivot" ? [] : [{ path, step: step.name, plan: RollbackPlan.of(saga, path) }]
      )
    }
  })
  const strange = census
    .filter(({ fingerprint, saga }) => Result.isFailure(registry.find(saga, fingerprint)))
    .map(
      ({ fingerprint, saga }): Forms.SagaForm => ({
        name: saga,
        fingerprint,
        known: false,
        latest: false,
        ...liveOf(fingerprint),
        diagram: [],
        plans: []
      })
    )
  return [...known, ...strange]
})
