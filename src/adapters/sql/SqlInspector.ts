/**
 * The inspector on the tables of Postgres. It needs a client and the names of the tables: no saga, no repository, and no connection
 * of its own. It makes no tables and changes none but by the inbox, so it can run with fewer rights than a process that works.
 */
import { Clock, Duration, Effect, Layer, Option, PubSub, Result, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { DeadLetter } from "../../ports/DeadLetters.ts"
import * as Summary from "../../ports/ExecutionSummary.ts"
import type * as Port from "../../ports/Inspector.ts"
import { Inspector, InspectorError, maxCounted, named, stateOf } from "../../ports/Inspector.ts"
import { act, decideInDoubt, type Storage } from "../../ports/InspectorActions.ts"
import * as Groups from "../../ports/InspectorGroups.ts"
import * as MergedGroups from "../../ports/MergedGroups.ts"
import {
  pageStart,
  SagaExecutionNotFound,
  type SagaExecutionRepositoryError
} from "../../ports/SagaExecutionRepository.ts"
import * as SagaInbox from "../../ports/SagaInbox.ts"
import type { InvalidSetting } from "../../ports/Setting.ts"
import * as Setting from "../../ports/Setting.ts"
import * as Uuid from "../../wire/Uuid.ts"
import { doubting } from "./DoubtStatements.ts"
import { Embedded } from "./EmbeddedInstances.ts"
import { executionOf, inputFrom, rowOfInput, summaryFrom } from "./ExecutionRows.ts"
import { inspecting } from "./InspectStatements.ts"
import * as Executions from "./SagaExecutionStatements.ts"
import * as SqlConnections from "./SqlConnections.ts"
import { causeOf, codeOf, isRejected } from "./SqlErrors.ts"
import * as SqlTables from "./SqlTables.ts"

export interface SqlInspectorOptions extends SqlTables.TableOptions, SqlConnections.ConnectionOptions {}

/** A table or a column that is not there. */
const unmigrated = /^(42P01|42703|3F000)$/

const errorOf = (operation: string, error: SqlError) =>
  new InspectorError({
    reason: unmigrated.test(codeOf(error)) ? "unmigrated" : isRejected(error) ? "rejected" : "unavailable",
    operation,
    cause: causeOf(error)
  })

/** An error of the repository as that of the inspector. */
export const ofRepository = (operation: string) => (error: SagaExecutionRepositoryError) =>
  new InspectorError({ reason: error.reason, operation, cause: error })

/** Of groups that are counted up to a limit. */
const counted = ({ count, oldest }: { readonly count: number; readonly oldest: bigint | number | null }) => ({
  ...Groups.counted(count),
  oldest: Number(oldest ?? 0)
})

const readLetter = Schema.decodeUnknownOption(DeadLetter)

/** Leases that have no end are a century away (`EmbeddedInstances`). */
const farAway = 10 * 365 * 86_400_000

const make = Effect.fnUntraced(function* (options: SqlInspectorOptions, tables: SqlTables.Tables) {
  const client = yield* SqlClient.SqlClient
  const { long, shared } = yield* SqlConnections.make("SqlInspector", options)
  const own = inspecting(client, tables)
  const statements = Executions.postgres(client, tables)
  const embedded = (yield* Embedded)?.(tables.space)

  const see = <A>(operation: string, statement: Effect.Effect<A, SqlError>, run = long) =>
    Effect.mapError(run(statement), (error) => errorOf(operation, error))

  /** Tables that only some programs have: of participants, of dead letters. */
  const orNone = <A>(operation: string, statement: Effect.Effect<ReadonlyArray<A>, SqlError>) =>
    Effect.catchIf(
      see(operation, statement),
      ({ reason }) => reason === "unmigrated",
      () => Effect.succeed<ReadonlyArray<A>>([])
    )

  const uuidOf = Effect.fnUntraced(function* (operation: string, target: string) {
    const uuid = Uuid.normalize(target)
    // A `startKey` may look like a uuid.
    const found = uuid === undefined ? undefined : yield* see(operation, own.head(uuid), shared)
    if (found !== undefined) return found.uuid
    const byName = yield* see(operation, own.named(target), shared)
    return byName ?? (yield* new SagaExecutionNotFound({ uuid: target }))
  })

  const executionsOf = Effect.fnUntraced(function* (operation: string, uuids: ReadonlyArray<string>) {
    const found = new Map<string, Array<Executions.FactsRow>>()
    for (const row of uuids.length === 0 ? [] : yield* see(operation, statements.events(uuids))) {
      const rows = found.get(row.uuid)
      if (rows === undefined) found.set(row.uuid, [row])
      else rows.push(row)
    }
    return new Map(Array.from(found, ([uuid, rows]) => [uuid, executionOf("load", uuid, rows)] as const))
  })

  const read = Effect.fnUntraced(function* (operation: string, uuid: string) {
    const execution = (yield* executionsOf(operation, [uuid])).get(uuid)
    if (execution === undefined) return yield* new SagaExecutionNotFound({ uuid })
    return yield* Effect.fromResult(Result.mapError(execution, ofRepository(operation)))
  })

  const load: Port.Inspector["Service"]["load"] = Effect.fnUntraced(function* (target) {
    const uuid = yield* uuidOf("load", target)
    const execution = yield* read("load", uuid)
    const row = yield* see("load", own.head(uuid), shared)
    if (row === undefined) return yield* new SagaExecutionNotFound({ uuid })
    const inbox = yield* see("load", statements.inbox([uuid]), shared)
    return {
      // The facts may be ahead of the head.
      summary: { ...summaryFrom(row), revision: execution.revision },
      ...(row.owner !== null && { owner: row.owner, ownerIsAlive: row.owner_is_alive === true }),
      inbox: inbox.map(inputFrom),
      facts: execution.events
    }
  })

  const count: Port.Inspector["Service"]["count"] = Effect.fnUntraced(function* (saga) {
    const [all, undoing] = [yield* see("count", own.count(saga)), yield* see("count", own.undoing(saga))]
    const ofUndoing = undoing.map(
      (row): Port.Count => ({ saga: row.saga, state: "undoing", settled: false, ...counted(row) })
    )
    const others = all.flatMap((row): ReadonlyArray<Port.Count> => {
      const back = undoing.find(({ saga, status }) => saga === row.saga && status === row.status && !row.settled)
      const left = row.count > maxCounted ? row.count : row.count - (back?.count ?? 0)
      const state = stateOf({ status: row.status, direction: "forward" })
      return left <= 0 ? [] : [{ saga: row.saga, state, settled: row.settled, ...counted({ ...row, count: left }) }]
    })
    // Counts of one state come from several statuses, and are added: an execution that rolls back is running or paused.
    return MergedGroups.counts([...others, ...ofUndoing])
  })

  const parked = Effect.gen(function* () {
    const rows = yield* see("parked", own.parked)
    const samples = yield* executionsOf(
      "parked",
      rows.map(({ sample }) => sample)
    )
    return rows.map((row): Port.ParkedGroup => {
      const sample = samples.get(row.sample)
      return {
        saga: row.saga,
        commitState: row.commit_state,
        ...(row.failure_tag !== "" && { failure: row.failure_tag }),
        ...(row.step !== "" && { step: row.step }),
        ...counted(row),
        sample: row.sample,
        places: sample !== undefined && Result.isSuccess(sample) ? Groups.placesOf(sample.success) : []
      }
    })
  })

  const storage: Storage = {
    read: (target) => Effect.flatMap(uuidOf("act", target), (uuid) => read("act", uuid)),
    submit: (row, signal) =>
      Effect.flatMap(see("act", statements.submit(rowOfInput(row), signal ?? null), shared), (answer) => {
        const { uuid } = row
        const isOfNobody = answer === "stored-of-nobody"
        const answered: Effect.Effect<SagaInbox.Submitted, SagaInbox.SagaInboxFull | SagaExecutionNotFound> =
          answer === undefined
            ? Effect.fail(new SagaExecutionNotFound({ uuid }))
            : answer === "full"
              ? Effect.fail(new SagaInbox.SagaInboxFull({ uuid, rows: SagaInbox.maxRows }))
              : Effect.succeed(isOfNobody ? "stored" : answer)
        // A database of this process alone notifies nobody.
        return (isOfNobody || answer === "stored") && embedded !== undefined
          ? Effect.andThen(PubSub.publishAll(embedded.inputs, SagaInbox.announcements(uuid, isOfNobody)), answered)
          : answered
      }),
    waiting: (uuid) => Effect.map(see("act", statements.inbox([uuid]), shared), (rows) => rows.map(({ id }) => id))
  }

  const inspector = Inspector.of({
    missing: Effect.succeed([]),
    find: Effect.fnUntraced(function* (filter, page = {}) {
      const start = yield* Effect.mapError(pageStart(page), ofRepository("find"))
      const limit = Summary.limitOf(page)
      const rows = yield* see("find", statements.find(filter, start.from, limit + 1, start.isBackward))
      return Summary.pageOf(filter, page, start, rows.map(summaryFrom))
    }),
    count,
    waiting: Effect.map(see("waiting", own.waiting), (rows) =>
      rows.map(({ saga, step, waits_for, ...others }) => ({ waitsFor: waits_for, saga, step, ...counted(others) }))
    ),
    load,
    parked,
    stalled: Effect.map(parked, (groups) => groups.filter(Groups.isStalled)),
    overdue: (longer) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Effect.map(see("overdue", own.overdue(now - Duration.toMillis(longer))), (rows) =>
          rows.map(({ count, fingerprint, oldest, saga, sample }) => ({
            saga,
            fingerprint,
            ...Groups.counted(count),
            ...(oldest !== null && { since: Number(oldest) }),
            sample
          }))
        )
      ),
    inDoubt: (longer) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Effect.map(orNone("inDoubt", own.inDoubt(now - Duration.toMillis(longer))), (rows) =>
          rows.map(({ coordinator, service, updated_at, uuid }) => ({
            service,
            uuid,
            ...(coordinator !== null && { coordinator }),
            since: Number(updated_at)
          }))
        )
      ),
    commands: Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Effect.map(orNone("commands", own.commands(now)), (rows) => {
        // All are counted together: if there are more, any group may have them.
        const isMore = rows.reduce((sum, { count }) => sum + count, 0) > maxCounted
        return rows.map(({ command, sample, service, state, ...others }) => ({
          ...{ service, command, state, sample },
          ...counted(others),
          isMore
        }))
      })
    ),
    deadLetters: (limit = 100) =>
      Effect.map(orNone("deadLetters", own.deadLetters(Math.max(0, Math.min(1_000, Math.trunc(limit) || 0)))), (rows) =>
        rows.flatMap(({ row }) => Option.toArray(readLetter(row)))
      ),
    processes: Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Effect.map(see("processes", own.processes), (rows) =>
        rows.map(({ id, is_alive, lease_until, working }) => ({
          id,
          ...named(id),
          ...(lease_until < now + farAway && { leaseUntil: Math.trunc(lease_until) }),
          isAlive: is_alive,
          working
        }))
      )
    ),
    census: see("census", statements.census),
    act: act(storage),
    decideInDoubt: decideInDoubt(doubting(client, tables), (error: SqlError) => errorOf("decideInDoubt", error))
  })
  return { inspector, storage }
})

/** The inspector of a database, and what its actions need there. */
export interface Parts {
  readonly inspector: Port.Inspector["Service"]
  readonly storage: Storage
}

export const parts = (options: SqlInspectorOptions = {}): Effect.Effect<Parts, InvalidSetting, SqlClient.SqlClient> =>
  Setting.known("SqlInspector", options, SqlTables.options).pipe(
    Effect.andThen(SqlTables.make(options, "SqlInspector")),
    Effect.flatMap((tables) => make(options, tables))
  )

/**
 * On the Postgres of an `SqlClient`. `schema` and `prefix` are those of the repository. It does not make the tables: without them
 * everything fails with an `InspectorError` that is `unmigrated`.
 */
export const layer = (options: SqlInspectorOptions = {}): Layer.Layer<Inspector, InvalidSetting, SqlClient.SqlClient> =>
  Layer.effect(
    Inspector,
    Effect.map(parts(options), ({ inspector }) => inspector)
  )
