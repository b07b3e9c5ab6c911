/**
 * The metrics of all that is stored, for one process of a fleet or for each: read from time to time, and kept until then, so that
 * a scrape asks no database.
 */
import { Clock, type Context, Duration, Effect, Layer, Result } from "effect"
import type { AnyCommitted } from "../definition/Saga.ts"
import * as SagaRegistry from "../definition/SagaRegistry.ts"
import { refusalIn } from "../ports/DatabaseCode.ts"
import { Inspector, InspectorError } from "../ports/Inspector.ts"
import * as Loop from "../ports/Loop.ts"
import * as Metrics from "../ports/Metrics.ts"
import * as Setting from "../ports/Setting.ts"

export interface CollectorOptions {
  /** The time between two readings. From 1 second to 1 hour. Default 30 seconds. */
  readonly every?: Duration.Input
  /** The sagas of the program: what is stored in another form of them counts as drifted. Default: none, and nothing does. */
  readonly sagas?: ReadonlyArray<AnyCommitted>
}

/** How long an execution may be due before it counts as overdue. */
const overdue = "1 minute"

/** Values by saga, or by saga and status. */
type Counts = Map<string, { readonly labels: readonly [string, string?]; value: number }>

const add = (counts: Counts, value: number, ...labels: readonly [string, string?]): void => {
  const key = labels.join("\u0000")
  const known = counts.get(key)
  if (known === undefined) counts.set(key, { labels, value })
  else known.value += value
}

/** Sets a gauge; a series that has no value any more is 0. */
class Shown {
  private before: Counts = new Map()
  private readonly family: Metrics.Family

  constructor(family: Metrics.Family) {
    this.family = family
  }

  set(context: Context.Context<never>, counts: Counts): void {
    for (const [key, { labels }] of this.before) if (!counts.has(key)) this.family.update(context, 0, ...labels)
    for (const { labels, value } of counts.values()) this.family.update(context, value, ...labels)
    this.before = counts
  }
}

const bySaga = (groups: ReadonlyArray<{ readonly saga: string; readonly count: number }>): Counts => {
  const counts: Counts = new Map()
  for (const { count, saga } of groups) add(counts, count, saga)
  return counts
}

const reading = Effect.fnUntraced(function* (sagas: ReadonlyArray<AnyCommitted>) {
  const inspector = yield* Inspector
  const context = yield* Effect.context<never>()
  const registry = Result.getOrUndefined(SagaRegistry.make(sagas))
  const known = new Set(registry?.sagas.map(({ fingerprint }) => fingerprint))
  const names = new Set(registry?.sagas.map(({ name }) => name))
  const shown = {
    executions: new Shown(Metrics.executions),
    parked: new Shown(Metrics.parked),
    stalled: new Shown(Metrics.stalled),
    overdue: new Shown(Metrics.overdue),
    oldest: new Shown(Metrics.oldestWaiting),
    drifted: new Shown(Metrics.drifted)
  }
  return Effect.gen(function* () {
    const { census, counts, late, parked, stalled, waiting } = yield* Effect.all({
      census: inspector.census,
      counts: inspector.count(),
      parked: inspector.parked,
      stalled: inspector.stalled,
      late: inspector.overdue(overdue),
      waiting: inspector.waiting
    })
    // Where one of several databases has not answered, what the others count alone would be too little.
    const missing = yield* inspector.missing
    if (missing.length > 0)
      return yield* new InspectorError({ reason: "unavailable", operation: "count", databases: missing })
    const executions: Counts = new Map()
    for (const { count, saga, state } of counts) add(executions, count, saga, state)
    shown.executions.set(context, executions)
    shown.parked.set(context, bySaga(parked))
    shown.stalled.set(context, bySaga(stalled))
    shown.overdue.set(context, bySaga(late))
    const now = yield* Clock.currentTimeMillis
    const oldest: Counts = new Map()
    for (const { oldest: since, saga } of waiting) {
      const age = Math.max(0, now - since) / 1_000
      if (age > (oldest.get(saga)?.value ?? -1)) oldest.set(saga, { labels: [saga], value: age })
    }
    shown.oldest.set(context, oldest)
    shown.drifted.set(
      context,
      bySaga(census.filter(({ fingerprint, saga }) => names.has(saga) && !known.has(fingerprint)))
    )
  }).pipe(
    // The values of the reading before stand: a database that is away has other metrics.
    Effect.catch(({ cause, databases, operation, reason }) =>
      Effect.logWarning("The stored executions could not be counted now", {
        operation,
        reason,
        ...(refusalIn(cause) !== undefined && { code: refusalIn(cause) }),
        ...(databases !== undefined && { databases })
      })
    )
  )
})

/**
 * Keeps the gauges of stored executions up to date (`effect_saga_executions`, `_parked`, `_stalled`, `_overdue`,
 * `_oldest_waiting`, `_drifted`). They are those of the whole database: with several processes take the maximum, not the sum. Of several
 * databases they are the sums; while one of them is away all keep their last values, and that is logged.
 *
 * @example
 * ```ts
 * const Counts = SagaMetrics.layer({ sagas: [PlaceOrder] }).pipe(Layer.provide(SqlInspector.layer()))
 * ```
 */
export const layer = (options: CollectorOptions = {}): Layer.Layer<never, Setting.InvalidSetting, Inspector> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      yield* Setting.known("SagaMetrics", options, { every: true, sagas: true })
      const { every: given = "30 seconds", sagas = [] } = options
      const every = yield* Setting.duration("SagaMetrics.every", given, { least: "1 second", most: "1 hour" })
      const read = yield* reading(sagas)
      yield* Loop.repeat("stored metrics", Effect.andThen(read, Effect.sleep(Duration.millis(every))))
    })
  )
