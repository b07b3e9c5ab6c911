/**
 * The records of participants on Postgres. A unit of work is one transaction of the `SqlClient`, and the queries of the
 * handler join it: its effects and its record are committed together or not at all (SPEC W3).
 */
import { Cause, type Duration, Effect, Exit, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { FaultPoint } from "../../ports/FaultPoint.ts"
import * as Port from "../../ports/ParticipantStore.ts"
import * as Setting from "../../ports/Setting.ts"
import { ReplyStatus } from "../../wire/Envelope.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import { doubting } from "./DoubtStatements.ts"
import * as Statements from "./ParticipantStatements.ts"
import { ParticipantStatements } from "./ParticipantStatements.ts"
import * as SqlConnections from "./SqlConnections.ts"
import {
  again,
  causeOf,
  ignored,
  isAborted,
  isLost,
  isPassing,
  isRejected,
  isRolledBack,
  sqlErrorsOf
} from "./SqlErrors.ts"
import * as SqlOpenTransaction from "./SqlOpenTransaction.ts"
import * as SqlTables from "./SqlTables.ts"

export interface SqlParticipantStoreOptions extends SqlTables.TableOptions, SqlConnections.ConnectionOptions {
  /**
   * How long a message may be handled, the handler included. After that its database transaction is rolled back, and the
   * message is handled again; after five times it is refused for good (500). From 1 ms to 3,650 days. Default 5 minutes:
   * the caller no longer waits then (`SagaConfig.replyTimeout`). Set it shorter where a stuck handler must not hold locks
   * for so long.
   */
  readonly timeout?: Duration.Input
}

type Operation = Port.ParticipantStoreError["operation"]

/** A unit was rolled back because of the database, not because of its work. */
class RolledBack {
  readonly error: Port.ParticipantStoreError
  /** The unit may run again at once. */
  readonly again: boolean
  constructor(error: Port.ParticipantStoreError, again: boolean) {
    this.error = error
    this.again = again
  }
}

const overtaken = new Port.ParticipantStoreError({
  reason: "unavailable",
  operation: "unit",
  cause: { kind: "Overtaken" }
})

const timedOut = new Port.ParticipantStoreError({
  reason: "timeout",
  operation: "unit",
  cause: { kind: "UnitTimeout" }
})

const ignoring = new Port.ParticipantStoreError({ reason: "broken", operation: "unit", cause: ignored() })

const none: ReadonlySet<string> = new Set<string>()
const nothing: Statements.Stored = { transactions: [], barriers: [], accepted: [] }

const isSame = (one: Port.Transaction, other: Port.Transaction): boolean =>
  one.status === other.status &&
  one.heuristic === other.heuristic &&
  one.coordinator === other.coordinator &&
  one.notAfter === other.notAfter &&
  one.updatedAt === other.updatedAt

const make = Effect.fnUntraced(function* (
  timeout: number,
  connections: SqlConnections.SqlConnections,
  tables: SqlTables.Tables
) {
  const client = yield* SqlClient.SqlClient
  const statements = limited(yield* ParticipantStatements, connections)

  const call = <A>(run: Effect.Effect<A, SqlError>): Effect.Effect<A, RolledBack> => Effect.mapError(run, rolledBack)

  /**
   * One try of a unit in a transaction, or in a savepoint where it is called inside a transaction. `isAgain`: another unit was
   * faster, so all records are read.
   */
  const once = <A, E, R>(
    scope: Port.Scope,
    work: (unit: Port.Unit) => Effect.Effect<A, E, R>,
    isAgain: boolean
  ): Effect.Effect<A, E | RolledBack | Port.ParticipantStoreError, R> =>
    Effect.suspend(() => {
      const { opens, service, transactions } = scope
      const saved: {
        readonly transactions: Map<string, Port.Transaction>
        readonly barriers: Map<string, Port.Barrier>
      } = { transactions: new Map(), barriers: new Map() }
      let broken: RolledBack | undefined
      let ended: Exit.Exit<A, E | RolledBack | Port.ParticipantStoreError> | undefined
      const isChanged = () => saved.transactions.size + saved.barriers.size > 0

      const attempt = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E | Port.ParticipantStoreError, R> =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            const give = (rolledBack: RolledBack) => {
              broken = rolledBack
              return rolledBack.error
            }
            yield* Effect.mapError(call(statements.savepoint), give)
            const exit = yield* Effect.exit(restore(work))
            const released: Exit.Exit<void, unknown> = Exit.isSuccess(exit)
              ? yield* Effect.exit(statements.release)
              : Exit.asVoid(exit)
            if (Exit.isSuccess(released)) return yield* exit
            const reason = reasonOf(released.cause)
            if (reason !== undefined) return yield* Effect.fail(give(reason))
            yield* Effect.mapError(call(statements.rollBack), give)
            if (Exit.isFailure(exit)) return yield* exit
            return yield* Effect.die(ignored())
          })
        )

      const run = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E | Port.ParticipantStoreError, R> =>
        Effect.catchCause(work, (cause): Effect.Effect<never, E | Port.ParticipantStoreError> => {
          const reason = reasonOf(cause)
          if (reason === undefined) return Effect.failCause(cause)
          broken = reason
          return Effect.fail(reason.error)
        })

      const body = Effect.gen(function* () {
        const isLater = transactions.length === 1 && opens === undefined && !isAgain
        const taken = isLater ? yield* call(statements.take(scope)) : undefined
        const created = taken !== undefined || transactions.length === 0 ? none : yield* call(statements.lock(scope))
        const isOpened = opens !== undefined && created.has(opens.uuid)
        const stored = taken ?? (isOpened && !isAgain ? nothing : yield* call(statements.read(scope)))
        const there = yield* decodeTransactions("unit", stored.transactions)
        const known = {
          transactions: new Map(there.filter(({ uuid }) => !created.has(uuid)).map((it) => [it.uuid, it])),
          barriers: new Map((yield* decodeBarriers(stored.barriers)).map((it) => [it.id, it]))
        }
        const accepted = yield* decodeBarriers(stored.accepted)
        const value = yield* work({
          ...known,
          accepted,
          attempt,
          run,
          save: ({ barriers = [], transactions = [] }) =>
            Effect.sync(() => {
              for (const it of transactions) saved.transactions.set(it.uuid, it)
              for (const it of barriers) saved.barriers.set(it.id, it)
            })
        })
        if (broken !== undefined) return yield* Effect.fail(broken)
        if (isChanged()) yield* FaultPoint.at("store.before")
        const unused = [...created].filter((uuid) => !saved.transactions.has(uuid))
        if (!isChanged() && unused.length === 0) return value
        // A row that stands as the lock has inserted it is not written again.
        const isWritten = (it: Port.Transaction) => !isOpened || it.uuid !== opens.uuid || !isSame(it, opens)
        const written = yield* Effect.mapError(
          statements.write(service, {
            transactions: [...saved.transactions.values()].filter(isWritten),
            barriers: [...saved.barriers.values()],
            known: [...known.barriers.values(), ...accepted],
            unused
          }),
          (error) => (isAborted(error) ? new RolledBack(ignoring, false) : rolledBack(error))
        )
        // Another unit was faster. Its records are found when the work runs again.
        if (written.size < saved.barriers.size) return yield* Effect.fail(new RolledBack(overtaken, true))
        return value
      })

      const kept = connections.transaction(
        Effect.onExit(body, (exit) =>
          Effect.sync(() => {
            ended = exit
          })
        )
      )
      return Effect.flatMap(Effect.exit(kept), (exit) => {
        if (ended !== undefined && Exit.isFailure(ended)) return broken === undefined ? ended : Effect.fail(broken)
        const result = Exit.isSuccess(exit) ? Effect.succeed(exit.value) : rolledBackBy(exit.cause, ended !== undefined)
        return ended !== undefined && isChanged() ? Effect.andThen(FaultPoint.at("store.after"), result) : result
      })
    })

  const unit = <A, E, R>(
    scope: Port.Scope,
    work: (unit: Port.Unit) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | Port.ParticipantStoreError, R> =>
    Effect.flatMap(Effect.serviceOption(client.transactionService), (around) => {
      let tries = 0
      return Effect.suspend(() => once(scope, work, tries++ > 0)).pipe(
        Effect.timeoutOrElse({
          duration: timeout,
          orElse: () => Effect.fail(new RolledBack(timedOut, false))
        }),
        // A savepoint inside a transaction cannot be tried again alone.
        Effect.retry({
          while: (error) => error instanceof RolledBack && error.again && around._tag === "None",
          schedule: again
        }),
        Effect.mapError((error) => (error instanceof RolledBack ? error.error : error))
      )
    })

  const outside = <A>(operation: Operation, run: Effect.Effect<A, SqlError>) =>
    Effect.mapError(run, (error) => errorOf(operation, error))

  /** Rows of which the log has said that they cannot be read. */
  const said = new Set<string>()

  /** The rows that can be read. The message that is about another one is put away, and the log says so once. */
  const readable = (rows: ReadonlyArray<Statements.FoundRow>) =>
    Effect.forEach(rows, ({ row, uuid }) =>
      Effect.catch(decodeTransactions("find", [row]), ({ cause }) => {
        if (said.has(uuid) || said.size >= maxSaid) return Effect.succeed([])
        said.add(uuid)
        return Effect.as(Effect.logError("The record of a transaction cannot be read", { uuid, cause }), [])
      })
    )

  /** A page is full unless there are no more: rows that cannot be read are none of it. */
  const find = Effect.fnUntraced(function* (query: Port.Query) {
    const found: Array<Port.Transaction> = []
    let after: Statements.FoundAfter["after"] = query.after
    while (found.length < query.limit) {
      const limit = query.limit - found.length
      const page = { ...query, limit, ...(after !== undefined && { after }) }
      const rows: ReadonlyArray<Statements.FoundRow> = yield* outside("find", statements.find(page))
      found.push(...(yield* readable(rows)).flat())
      if (rows.length < limit) break
      after = rows.at(-1)
    }
    return found
  })

  const purge = (request: Port.PurgeRequest) =>
    Effect.gen(function* () {
      const gone = yield* statements.purge(request)
      if (gone.length > 0) yield* statements.purgeBarriers(request.service, gone)
      const left = request.limit - gone.length
      return gone.length + (left > 0 ? yield* statements.purgeAlone({ ...request, limit: left }) : 0)
    })

  const own = doubting(client, tables)
  return Port.ParticipantStore.of({
    unit,
    find,
    doubts: {
      decide: (decision) => outside("find", connections.shared(own.decide(decision))),
      open: (service) => outside("find", connections.shared(own.open(service))),
      close: (...outcome) => outside("find", connections.shared(own.close(...outcome))),
      outcome: (service, uuid) => outside("find", connections.shared(own.outcome(service, uuid)))
    },
    purge: (request) =>
      outside("purge", Effect.retry(connections.transaction(purge(request)), { while: isRolledBack, schedule: again }))
  })
})

/**
 * The statements with their time limits; all but `find` run in the transaction of a unit. To lock and to read a transaction is
 * to wait for the handler of another message, whose time is its own.
 */
const limited = (
  statements: ParticipantStatements["Service"],
  { long, shared }: SqlConnections.SqlConnections
): ParticipantStatements["Service"] => ({
  take: (scope) => shared(statements.take(scope)),
  lock: (scope) => long(statements.lock(scope)),
  read: (scope) => long(statements.read(scope)),
  write: (service, writes) => shared(statements.write(service, writes)),
  savepoint: shared(statements.savepoint),
  release: shared(statements.release),
  rollBack: shared(statements.rollBack),
  find: (query) => long(statements.find(query)),
  purge: (request) => long(statements.purge(request)),
  purgeBarriers: (service, transactions) => long(statements.purgeBarriers(service, transactions)),
  purgeAlone: (request) => long(statements.purgeAlone(request))
})

// ---- rows ------------------------------------------------------------------------------------------------------

const StoredTransaction = Schema.Struct({
  uuid: Schema.String,
  coordinator: Schema.NullOr(Schema.String),
  status: Schema.Literals(["pending", "reserved", "committed", "rejected"]),
  not_after: Schema.Int,
  heuristic: Schema.Boolean,
  updated_at: Schema.Int
})

const StoredBarrier = Schema.Struct({
  id: Schema.String,
  transaction_uuid: Schema.NullOr(Schema.String),
  coordinator: Schema.String,
  request: Schema.NullOr(Schema.String),
  status: ReplyStatus,
  reply: Schema.NullOr(Schema.String),
  effect: Schema.Literals(["none", "immediate", "staged"]),
  open: Schema.Boolean,
  accepted: Schema.NullOr(Schema.String),
  not_after: Schema.Int,
  created_at: Schema.Int
})

/** Rows that the log names, at most. */
const maxSaid = 1_000

const readTransactions = Schema.decodeUnknownEffect(Schema.Array(StoredTransaction))
const readBarriers = Schema.decodeUnknownEffect(Schema.Array(StoredBarrier))

const corrupt = (operation: Operation) => (error: Schema.SchemaError) =>
  new Port.ParticipantStoreError({ reason: "corrupt", operation, cause: { issue: JsonCodec.placesOf(error) } })

const decodeTransactions = (operation: Operation, rows: unknown) =>
  readTransactions(rows).pipe(
    Effect.mapError(corrupt(operation)),
    Effect.map((rows) =>
      rows.map(
        ({ coordinator, heuristic, not_after, status, updated_at, uuid }): Port.Transaction => ({
          uuid,
          coordinator: coordinator ?? undefined,
          status,
          notAfter: not_after,
          heuristic,
          updatedAt: updated_at
        })
      )
    )
  )

const decodeBarriers = (rows: unknown) =>
  readBarriers(rows).pipe(
    Effect.mapError(corrupt("unit")),
    Effect.map((rows) =>
      rows.map(
        ({ accepted, created_at, not_after, reply, request, transaction_uuid, ...others }): Port.Barrier => ({
          ...others,
          accepted: accepted ?? undefined,
          transaction: transaction_uuid ?? undefined,
          request: request ?? undefined,
          reply: reply ?? undefined,
          keepUntil: not_after,
          createdAt: created_at
        })
      )
    )
  )

// ---- errors ----------------------------------------------------------------------------------------------------

/** A constraint of the user may be checked at the commit. It will be violated the next time too. */
const isRefused = (error: SqlError): boolean =>
  isRejected(error) || error.reason._tag === "UniqueViolation" || error.reason._tag === "ConstraintError"

const errorOf = (operation: Operation, error: SqlError): Port.ParticipantStoreError =>
  new Port.ParticipantStoreError({
    reason: isRefused(error) ? "rejected" : "unavailable",
    operation,
    cause: causeOf(error)
  })

/** The database as the reason of a failure: of a statement of the work, or of a unit inside it. */
const reasonOf = (cause: Cause.Cause<unknown>): RolledBack | undefined => {
  for (const reason of cause.reasons) {
    const error = Cause.isFailReason(reason) ? reason.error : Cause.isDieReason(reason) ? reason.defect : undefined
    if (error instanceof Port.ParticipantStoreError && (error.reason === "unavailable" || error.reason === "timeout"))
      return new RolledBack(error, error.reason === "unavailable")
  }
  const error = sqlErrorsOf(cause).find(isPassing)
  return error && rolledBack(error)
}

const rolledBack = (error: SqlError): RolledBack =>
  new RolledBack(errorOf("unit", error), isRolledBack(error) || isLost(error))

/** The transaction could not begin or could not be committed. After a lost commit only a rollback is sure (SPEC A1). */
const rolledBackBy = (cause: Cause.Cause<unknown>, hasRun: boolean): Effect.Effect<never, RolledBack> => {
  const errors = cause.reasons.flatMap((reason) => {
    const error = Cause.isFailReason(reason) ? reason.error : Cause.isDieReason(reason) ? reason.defect : undefined
    return isSqlError(error) ? [error] : []
  })
  const error = errors[0]
  if (error === undefined)
    return Effect.failCause(Cause.fromReasons(cause.reasons.flatMap((it) => (Cause.isFailReason(it) ? [] : [it]))))
  return Effect.fail(new RolledBack(errorOf("unit", error), isRolledBack(error) || (!hasRun && isLost(error))))
}

const statementsFor = (tables: SqlTables.Tables): Layer.Layer<ParticipantStatements, never, SqlClient.SqlClient> =>
  Layer.effect(
    ParticipantStatements,
    Effect.map(SqlClient.SqlClient, (sql) => Statements.postgres(sql, tables))
  )

/**
 * Keeps the records of participants on the Postgres of an `SqlClient`, in tables that the layer makes. The handlers must use
 * the same database: then a record and the effects of its handler are committed together.
 */
export const layer = (
  options: SqlParticipantStoreOptions = {}
): Layer.Layer<Port.ParticipantStore, SqlTables.SetUpError, SqlClient.SqlClient> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const named = { ...SqlTables.options, timeout: true }
      const { timeout: longest = "5 minutes" } = yield* Setting.known("SqlParticipantStore", options, named)
      const timeout = yield* Setting.duration("SqlParticipantStore.timeout", longest, {
        least: "1 milli"
      })
      const connections = yield* SqlConnections.make("SqlParticipantStore", options)
      const tables = yield* SqlTables.setUp(options, connections, {
        module: "SqlParticipantStore",
        list: "saga_participant_migration",
        migrations: SqlTables.participants
      })
      return Layer.effect(Port.ParticipantStore, make(timeout, connections, tables)).pipe(
        Layer.provide(statementsFor(tables)),
        Layer.merge(SqlOpenTransaction.layer)
      )
    })
  )
