/**
 * Executions on Postgres: one event row for each write, whose primary key lets one of two writers win, and one summary row
 * for each execution, by which people and recovery find it.
 */
import { Clock, type Duration, Effect, Exit, Layer, PubSub, Result, Stream } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import type { SagaState } from "../../execution/rules/SagaState.ts"
import type { SagaExecution } from "../../execution/view/SagaExecution.ts"
import * as Execution from "../../execution/view/SagaExecution.ts"
import * as ExecutionSummary from "../../ports/ExecutionSummary.ts"
import { FaultPoint } from "../../ports/FaultPoint.ts"
import * as Loop from "../../ports/Loop.ts"
import * as Port from "../../ports/SagaExecutionRepository.ts"
import * as SagaInbox from "../../ports/SagaInbox.ts"
import * as Setting from "../../ports/Setting.ts"
import * as Uuid from "../../wire/Uuid.ts"
import * as ClaimExecutions from "./ClaimExecutions.ts"
import { Embedded, type EmbeddedInstances } from "./EmbeddedInstances.ts"
import { call, errorOf, executionOf, inputFrom, namesOf, retired, rowOfInput, summaryFrom } from "./ExecutionRows.ts"
import * as GroupCommit from "./GroupCommit.ts"
import * as LimitedStatements from "./LimitedStatements.ts"
import { ofInput } from "./OwnershipStatements.ts"
import * as Statements from "./SagaExecutionStatements.ts"
import { ticksOn } from "./ScheduleStatements.ts"
import * as SqlConnections from "./SqlConnections.ts"
import { again, codeOf, isLost, isRolledBack, isTaken, isUnread, rolledBackBy, within } from "./SqlErrors.ts"
import * as SqlOpenTransaction from "./SqlOpenTransaction.ts"
import * as SqlQueues from "./SqlQueues.ts"
import * as SqlTables from "./SqlTables.ts"
import { isLabelled, isOfOneRow, isPlaced } from "./WriteStatements.ts"
import * as WrittenSummaries from "./WrittenSummaries.ts"

export interface SqlSagaExecutionRepositoryOptions extends SqlTables.TableOptions, SqlConnections.ConnectionOptions {
  /**
   * How long settled executions stay, to be loaded and listed. At least 0, may be infinite, default 7 days. They are
   * removed once a minute; a uuid or `startKey` that a caller has given stays used up (SPEC C9).
   */
  readonly retention?: Duration.Input
  /**
   * Replaces statements of the repository: gets the statements for Postgres and the names of the tables, gives the
   * statements to use. Default: those for Postgres. Set it to add a condition, to name a read replica, or to write for
   * another database.
   *
   * @example
   * ```ts
   * const RepositoryLive = SqlSagaExecutionRepository.layer({
   *   statements: (postgres) => Effect.succeed({ ...postgres, forget: Effect.void })
   * })
   * ```
   */
  readonly statements?: (
    postgres: Statements.SagaExecutionStatements["Service"],
    tables: SqlTables.Tables
  ) => Effect.Effect<Statements.SagaExecutionStatements["Service"], SqlError, SqlClient.SqlClient>
}

type StoreError = Port.SagaExecutionConflict | Port.SagaExecutionRetired | Port.SagaExecutionRepositoryError

type LoadError = Port.SagaExecutionNotFound | Port.SagaExecutionRepositoryError

/** Executions that one statement loads, at most: each may have a long history. */
const loadsTogether = 64

/** All rows of one write. */
interface Row extends Statements.EventRow {
  readonly execution: SagaExecution
  readonly summary: Statements.SummaryRow | undefined
  readonly names: ReadonlyArray<Statements.NameRow>
  readonly inbox: Statements.InboxEffect | undefined
}

/** How many settled executions one statement removes: one that takes long may be cut off. */
const purgeBatch = 2_000

/** Between two searches for what is to be removed, in milliseconds. Nothing is searched for before something is over. */
const purgeSpacing = { least: 60_000, most: 86_400_000 } as const

/**
 * How long to wait for the next search: what is settled from now on is not over before the retention. `next`: when the first
 * that stays was settled, as in `Purged`.
 */
const untilPurge = (now: number, retention: number, next: bigint | number | null | undefined): number =>
  next === undefined
    ? purgeSpacing.least
    : Math.min(Math.max((next === null ? now : Number(next)) + retention - now, purgeSpacing.least), purgeSpacing.most)

const make = Effect.fnUntraced(function* (
  retention: number,
  connections: SqlConnections.ReservedConnections,
  /** Those on a database that only this process has. */
  embedded: EmbeddedInstances | undefined
) {
  const client = yield* SqlClient.SqlClient
  const statements = LimitedStatements.make(yield* Statements.SagaExecutionStatements, connections)
  const clock = yield* Clock.Clock
  const instance = Uuid.v7(clock.currentTimeMillisUnsafe()).slice(-12)
  let writes = 0
  const summaries = WrittenSummaries.make()
  /** Writes that have failed and may have happened all the same, with their write ids (SPEC A1). */
  const unknown = new WeakMap<SagaState, string>()

  // ---- writing ---------------------------------------------------------------------------------------------------

  const rowOf = (execution: SagaExecution, hint: Port.Hint | undefined): Row => {
    const { state, uuid } = execution
    const revision = state.revision + 1
    return {
      execution,
      uuid,
      revision,
      writeId: unknown.get(state) ?? `${instance}${(writes++).toString(36)}`,
      facts: JSON.stringify(Execution.unstored(execution)),
      summary: summaries.next(execution, hint),
      names: revision === 1 ? namesOf(execution) : [],
      inbox: WrittenSummaries.inboxEffect(uuid, hint)
    }
  }

  /**
   * Writes rows; gives the uuids of those written, or undefined for all. In a transaction no statement may fail, as that
   * would end the transaction.
   */
  const written = (rows: ReadonlyArray<Row>, inTransaction: boolean) => {
    const writes = {
      events: rows,
      summaries: rows.flatMap(({ summary }) => summary ?? []),
      names: rows.flatMap(({ names }) => names),
      inbox: []
    }
    // Locks the executions that the writes close, to say which of them have inputs that wait.
    const locked = () => statements.writeFree({ ...writes, inbox: rows.flatMap(({ inbox }) => inbox ?? []) })
    if (inTransaction || rows.some(({ inbox }) => inbox !== undefined && inbox.reads.length > 0)) return locked()
    // A start that may be repeated has a name. Other writes rarely meet another writer, so the cheap statement comes first.
    return writes.names.length > 0 || writes.summaries.some((row) => isLabelled(row) || isPlaced(row))
      ? Effect.catchIf(statements.writeFree(writes), isUnread, locked)
      : Effect.catchIf(
          Effect.as(statements.write(writes), undefined),
          (error: SqlError) => isTaken(error) || isUnread(error),
          locked
        )
  }

  /**
   * Writes rows together. A row that the database rejects fails alone: the rows are halved until it is found. After a lost
   * connection they are written once more on another one, where the write ids tell what has been written already.
   */
  const writeAll = (
    rows: ReadonlyArray<Row>,
    inTransaction: boolean,
    mayRepeat = !inTransaction
  ): Effect.Effect<ReadonlyArray<Exit.Exit<SagaExecution, StoreError>>> =>
    Effect.matchEffect(Effect.retry(written(rows, inTransaction), { while: isRolledBack, schedule: again }), {
      onSuccess: (outcome) => {
        const written = outcome?.written
        const done = ({ execution }: Row) => Exit.succeed(Execution.stored(execution))
        const refused = written === undefined ? [] : rows.filter(({ uuid }) => !written.has(uuid))
        return refused.length === 0
          ? Effect.succeed(rows.map(done))
          : Effect.map(reasons(refused, outcome?.unread), (reasonOf) =>
              rows.map((row) => reasonOf.get(row) ?? done(row))
            )
      },
      onFailure: (cause) => {
        const error = errorOf("store", cause)
        if (isOfOneRow(cause) && rows.length > 1) {
          const half = rows.length >> 1
          return Effect.zipWith(
            writeAll(rows.slice(0, half), inTransaction, mayRepeat),
            writeAll(rows.slice(half), inTransaction, mayRepeat),
            (a, b) => [...a, ...b]
          )
        }
        for (const { execution, revision, uuid, writeId } of rows) {
          summaries.fail(uuid, revision)
          if (error.reason === "unavailable") unknown.set(execution.state, writeId)
        }
        if (mayRepeat && isLost(cause)) return writeAll(rows, inTransaction, false)
        return Effect.succeed(rows.map(() => Exit.fail(error)))
      }
    })

  /** Why rows were not written: another writer was first, or it was this write at an earlier attempt whose answer was lost. */
  const reasons = (refused: ReadonlyArray<Row>, unread: ReadonlySet<string> = new Set()) =>
    Effect.gen(function* () {
      const standing = new Map((yield* statements.writeIds(refused)).map(({ uuid, writeId }) => [uuid, writeId]))
      if (unread.size > 0) yield* statements.recount([...unread])
      const names = refused.flatMap((row) => row.names.map(({ name }) => name))
      const taken = names.length === 0 ? [] : yield* statements.names(names)
      /** Executions that existed when a caller of this process wanted to start them: the caller waits for their end. */
      const watched: Array<string> = []
      const reasonOf = new Map(
        refused.map((row): readonly [Row, Exit.Exit<SagaExecution, StoreError>] => {
          const { execution, revision, uuid, writeId } = row
          if (standing.get(uuid) === writeId && unknown.has(execution.state))
            return [row, Exit.succeed(Execution.stored(execution))]
          summaries.fail(uuid, revision)
          const own = new Set(row.names.map(({ name }) => name))
          const holder = taken.find((other) => own.has(other.name))
          if (holder?.outcome != null) return [row, Exit.fail(retired(holder))]
          if (unread.has(uuid) && !standing.has(uuid)) return [row, Exit.fail(Port.unread(execution))]
          const existing = standing.has(uuid) ? uuid : holder?.uuid
          if (revision === 1) watched.push(existing ?? uuid)
          return [row, Exit.fail(Port.conflict(execution, revision === 1 ? (existing ?? uuid) : undefined))]
        })
      )
      // A wish that is lost only delays: callers also look by themselves.
      if (watched.length > 0) yield* Effect.ignore(statements.watch(watched))
      return reasonOf
    }).pipe(
      Effect.catch((cause) => {
        for (const { execution, writeId } of refused) unknown.set(execution.state, writeId)
        const failed = Exit.fail(errorOf("store", cause))
        return Effect.succeed(new Map(refused.map((row) => [row, failed] as const)))
      })
    )

  const together = yield* GroupCommit.make<Row, SagaExecution, StoreError>({
    key: ({ uuid }) => uuid,
    size: ({ facts }) => Buffer.byteLength(facts),
    writeAll: (rows) => writeAll(rows, false),
    onSent: GroupCommit.measured(yield* Effect.context<never>()),
    refused: () => new Port.SagaExecutionRepositoryError({ reason: "unavailable", operation: "store" })
  })

  const write = (
    execution: SagaExecution,
    hint: Port.Hint | undefined,
    inTransaction: boolean
  ): Effect.Effect<SagaExecution, StoreError> => {
    if (Port.isEmpty(execution, hint)) return Effect.succeed(execution)
    if (!inTransaction) return together.write(rowOf(execution, hint))
    // The transaction may be rolled back, so the summary is not remembered as written.
    summaries.delete(execution.uuid)
    const row = rowOf(execution, hint)
    summaries.delete(execution.uuid)
    return Effect.flatMap(writeAll([row], true), ([exit]) => exit!)
  }

  // ---- reading ---------------------------------------------------------------------------------------------------

  /** Executions by their uuids. One that cannot be read is a failure in the map, and the others are read. */
  const read = Effect.fnUntraced(function* (operation: Port.Operation, uuids: ReadonlyArray<string>) {
    const found = new Map<string, Array<Statements.FactsRow>>()
    const { events } = operation === "claim" ? statements.ofClaim : statements
    for (const row of yield* call(operation, events(uuids))) {
      const rows = found.get(row.uuid)
      if (rows === undefined) found.set(row.uuid, [row])
      else rows.push(row)
    }
    return new Map(Array.from(found, ([uuid, rows]) => [uuid, executionOf(operation, uuid, rows)] as const))
  })

  const loadedFrom = (
    found: ReadonlyMap<string, Result.Result<SagaExecution, Port.SagaExecutionRepositoryError>>,
    uuid: string
  ): Exit.Exit<SagaExecution, LoadError> => {
    const execution = found.get(uuid)
    return execution === undefined
      ? Exit.fail(new Port.SagaExecutionNotFound({ uuid }))
      : Result.match(execution, { onFailure: Exit.fail, onSuccess: Exit.succeed })
  }

  const loading = yield* GroupCommit.make<string, SagaExecution, LoadError>({
    key: (uuid) => uuid,
    size: (uuid) => uuid.length,
    writeAll: (uuids) =>
      Effect.match(read("load", uuids), {
        onFailure: (error) => uuids.map(() => Exit.fail(error)),
        onSuccess: (found) => uuids.map((uuid) => loadedFrom(found, uuid))
      }),
    refused: () => new Port.SagaExecutionRepositoryError({ reason: "unavailable", operation: "load" }),
    most: loadsTogether
  })

  const claims = ClaimExecutions.make(statements, (uuids) => read("claim", uuids), summaries)
  const claim: typeof claims = (request) =>
    embedded === undefined
      ? claims(request)
      : embedded.claim(request, claims, (owner, millis) => call("claim", statements.renew(owner, millis, false)))

  /** Also where the database notifies nobody. */
  const submittedHere = embedded?.inputs ?? (yield* PubSub.sliding<string>(SagaInbox.maxAnnounced))

  const submit = Effect.fnUntraced(function* (input: Port.InboxRow, signal: string | undefined) {
    const uuid = Uuid.normalize(input.uuid)
    const submitted =
      uuid === undefined
        ? undefined
        : yield* call("submit", statements.submit(rowOfInput({ ...input, uuid }), signal ?? null))
    if (submitted === undefined) return yield* new Port.SagaExecutionNotFound({ uuid: uuid ?? input.uuid })
    if (submitted === "full") return yield* new Port.SagaInboxFull({ uuid: input.uuid, rows: SagaInbox.maxRows })
    if (submitted !== "stored" && submitted !== "stored-of-nobody") return submitted
    yield* PubSub.publishAll(submittedHere, SagaInbox.announcements(uuid ?? input.uuid, submitted !== "stored"))
    return "stored"
  })

  const givingBack = yield* GroupCommit.make<Port.GiveBackRequest, boolean, Port.SagaExecutionRepositoryError>({
    key: ({ uuid }) => uuid,
    size: ({ owner }) => owner.length,
    writeAll: (requests) =>
      Effect.match(statements.giveBack(requests), {
        onFailure: (error) => requests.map(() => Exit.fail(errorOf("giveBack", error))),
        onSuccess: (given) => requests.map(({ uuid }) => Exit.succeed(given.includes(uuid)))
      }),
    refused: () => new Port.SagaExecutionRepositoryError({ reason: "unavailable", operation: "giveBack" }),
    most: 512
  })

  let pause: number = purgeSpacing.least
  const purge = Effect.gen(function* () {
    const now = clock.currentTimeMillisUnsafe()
    const before = now - retention
    pause = purgeSpacing.least
    // From where the last batch has ended: the index still has the entries of what was removed.
    let from = Number.NEGATIVE_INFINITY
    while (true) {
      const { count, next, until } = yield* statements.purge(before, from, purgeBatch)
      pause = untilPurge(now, retention, next)
      if (count < purgeBatch) break
      from = until === null ? from : Number(until)
    }
    yield* statements.forget
  }).pipe(
    Effect.catch((error) => Effect.logWarning("Settled executions could not be removed", { reason: codeOf(error) }))
  )
  const rest = Effect.suspend(() => Effect.sleep(pause))
  yield* Loop.repeat("retention", Effect.andThen(rest, purge))

  /** An instance that is alone does not look for what a runner by hand has written, nor for outcomes of inputs. */
  const announced = (written: Effect.Effect<SagaExecution, StoreError>, hint: Port.Hint | undefined) =>
    embedded !== undefined && (hint?.owner === "" || hint?.reads !== undefined)
      ? Effect.tap(written, ({ uuid }) => PubSub.publish(embedded.changes, uuid))
      : written

  const { notifications } = connections
  return Port.SagaExecutionRepository.of({
    store: (execution, hint) =>
      FaultPoint.around("store", ({ context }) =>
        announced(write(execution, hint, context.mapUnsafe.has(client.transactionService.key)), hint)
      ),
    load: (text) =>
      Effect.withFiber(({ context }) => {
        const uuid = Uuid.normalize(text)
        if (uuid === undefined) return Effect.fail(new Port.SagaExecutionNotFound({ uuid: text }))
        if (!context.mapUnsafe.has(client.transactionService.key)) return loading.write(uuid)
        return Effect.flatMap(read("load", [uuid]), (found) => loadedFrom(found, uuid))
      }),
    delete: (target) => {
      const uuid = Uuid.normalize(typeof target === "string" ? target : target.uuid)
      if (uuid === undefined) return Effect.void
      summaries.delete(uuid)
      // A write in between takes the revision of the fence: then the statement is tried again.
      const remove = Effect.retry(statements.remove(uuid), {
        while: (error) => isTaken(error) || isRolledBack(error),
        times: 100
      })
      return FaultPoint.around("store", () => call("delete", remove))
    },
    submit: (row, signal) => FaultPoint.around("store", () => submit(row, signal)),
    inbox: (text) => {
      const uuids = [Uuid.normalize(text)].filter((uuid) => uuid !== undefined)
      return Effect.map(call("inbox", statements.inbox(uuids)), (rows) => rows.map(inputFrom))
    },
    find: Effect.fnUntraced(function* (filter, page = {}) {
      const start = yield* Port.pageStart(page)
      const limit = ExecutionSummary.limitOf(page)
      const rows = yield* call("find", statements.find(filter, start.from, limit + 1, start.isBackward))
      return ExecutionSummary.pageOf(filter, page, start, rows.map(summaryFrom))
    }),
    claim,
    take: ({ former, owner, spares, uuid, wakeAt = 0 }) =>
      Effect.map(
        call("take", statements.take(uuid, owner, wakeAt, spares === true ? [owner, former ?? owner] : undefined)),
        (holder = owner) => {
          summaries.delete(uuid)
          return holder
        }
      ),
    giveBack: (request) => {
      summaries.delete(request.uuid)
      return givingBack.write(request)
    },
    release: (owner, buckets) =>
      Effect.suspend(() => {
        if (buckets === undefined) embedded?.leave(owner)
        return call("release", statements.release(owner, buckets))
      }),
    census: call("census", statements.census),
    ended: (uuids, orPaused) => call("ended", statements.ended(uuids, orPaused)),
    changes:
      embedded === undefined
        ? Stream.filter(notifications, (payload) => !payload.startsWith(ofInput))
        : Stream.fromPubSub(embedded.changes),
    inputs: Stream.merge(
      Stream.fromPubSub(submittedHere),
      Stream.filterMap(notifications, (payload) =>
        payload.startsWith(ofInput) ? Result.succeed(payload.slice(ofInput.length)) : Result.failVoid
      )
    ),
    atomically: (work) => within(connections.transaction, work, (error) => errorOf("store", error)),
    rolledBackBy,
    schedules: ticksOn(statements, call),
    queues: yield* SqlQueues.make(statements, call, PubSub.publish(submittedHere, SagaInbox.anotherInstance)),
    durable: true,
    transactional: true
  })
})

/** The statements of the options, on the statements for Postgres. */
const statementsFor = (
  tables: SqlTables.Tables,
  { statements = Effect.succeed }: SqlSagaExecutionRepositoryOptions
): Layer.Layer<Statements.SagaExecutionStatements, SqlError, SqlClient.SqlClient> =>
  Layer.effect(
    Statements.SagaExecutionStatements,
    Effect.flatMap(SqlClient.SqlClient, (sql) => statements(Statements.postgres(sql, tables), tables))
  )

/**
 * Keeps executions on the Postgres of an `SqlClient`, in tables that the layer makes. Processes with the same tables share
 * the executions; nothing else has to be set up for that.
 */
export const layer = (
  options: SqlSagaExecutionRepositoryOptions = {}
): Layer.Layer<Port.SagaExecutionRepository, SqlTables.SetUpError, SqlClient.SqlClient> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const named = { ...SqlTables.options, retention: true, statements: true }
      const { retention: lasting = "7 days" } = yield* Setting.known("SqlSagaExecutionRepository", options, named)
      const retention = yield* Setting.duration("SqlSagaExecutionRepository.retention", lasting, {
        least: "0 millis",
        never: true
      })
      const connections = yield* SqlConnections.make("SqlSagaExecutionRepository", options)
      yield* SqlConnections.checkPool
      const tables = yield* SqlTables.setUp(options, connections, {
        module: "SqlSagaExecutionRepository",
        list: "saga_execution_migration",
        migrations: SqlTables.executions
      })
      const reserved = yield* SqlConnections.reserve(connections, tables.space)
      const embedded = (yield* Embedded)?.(tables.space)
      return Layer.effect(Port.SagaExecutionRepository, make(retention, reserved, embedded)).pipe(
        Layer.provide(statementsFor(tables, options)),
        Layer.merge(SqlOpenTransaction.layer)
      )
    })
  )
