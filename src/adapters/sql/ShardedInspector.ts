/**
 * One inspector out of several, each on a database of its own. An execution is looked for in the database of its bucket, as the
 * repository does; lists and groups are put together. A database that does not answer is left out of those, and named.
 */
import { Context, Effect, Layer } from "effect"
import { bucketOf, bucketOfKey } from "../../ports/Buckets.ts"
import { refusalIn } from "../../ports/DatabaseCode.ts"
import { Inspector, InspectorError } from "../../ports/Inspector.ts"
import { act, type Storage } from "../../ports/InspectorActions.ts"
import * as Groups from "../../ports/InspectorGroups.ts"
import * as MergedGroups from "../../ports/MergedGroups.ts"
import {
  pageStart,
  type SagaExecutionNotFound,
  SagaExecutionRepositoryError
} from "../../ports/SagaExecutionRepository.ts"
import * as Setting from "../../ports/Setting.ts"
import * as Uuid from "../../wire/Uuid.ts"
import * as OpenShards from "./OpenShards.ts"
import * as ShardedPages from "./ShardedPages.ts"
import { isNotServed, type Shards } from "./Shards.ts"
import * as SqlInspector from "./SqlInspector.ts"

/** As those of `SqlInspector.layer`, for each of the databases. */
export type ShardedInspectorOptions = Pick<SqlInspector.SqlInspectorOptions, "statementTimeout">

/** The inspector of one of the databases. Its errors name the database. */
class Part extends Context.Service<Part, SqlInspector.Parts & { readonly name: string }>()(
  "effect-saga/sql/InspectorPart"
) {}
type OfPart = Part["Service"]

/** The databases are asked at most this often which buckets they serve, in milliseconds. */
const spacing = 1_000

/**
 * How long a database that has left a question open is named as missing, until it has answered that one, in milliseconds. It may answer
 * the next question, and the list that was given before is without it all the same.
 */
const naming = 10_000

/** The error of a database, with its name. */
const about = <E>({ name }: OfPart, error: E | InspectorError): E | InspectorError => {
  if (!(error instanceof InspectorError)) return error
  const { cause, operation, reason } = error
  return new InspectorError({ reason, operation, databases: [name], ...(cause !== undefined && { cause }) })
}

const unavailable = (operation: string, databases: ReadonlyArray<string>, refusal?: string) =>
  new InspectorError({
    reason: "unavailable",
    operation,
    databases,
    ...(refusal !== undefined && { cause: { code: refusal } })
  })

/** That a database has left a question open. */
interface Open {
  /** In milliseconds since the epoch. */
  readonly at: number
  /** The code with which it has refused the role. */
  readonly refusal: string | undefined
}

/** The questions that are put to several databases, or to the right one of them. */
const asking = (shards: Shards<OfPart>) => {
  let lookedAt = Number.NaN
  /** Buckets may have moved, and databases have gone or come back. */
  const look = Effect.clockWith((clock) => {
    const now = clock.currentTimeMillisUnsafe()
    if (now - lookedAt < spacing) return Effect.void
    return Effect.tap(shards.look, () => Effect.sync(() => (lookedAt = now)))
  })

  /** Of each database the questions that it has left open, by their operations. */
  const open = shards.all.map(() => new Map<string, Open>())

  /** The answer of a database. Undefined: it does not answer. */
  const ofOne = <A>(operation: string, at: number, ask: (part: OfPart) => Effect.Effect<A, InspectorError>) => {
    const left = (refusal: string | undefined) =>
      Effect.clockWith((clock) => {
        open[at]?.set(operation, { at: clock.currentTimeMillisUnsafe(), refusal })
        return Effect.undefined
      })
    const part = shards.hasAnswered(at) ? shards.there(at) : undefined
    if (part === undefined) return left(shards.all[at]?.refusal())
    return Effect.catch(
      Effect.tap(ask(part), () => Effect.sync(() => open[at]?.delete(operation))),
      (error) => {
        if (error.reason !== "unavailable") return Effect.fail(about(part, error))
        const refusal = refusalIn(error.cause)
        if (refusal === undefined) shards.silence(at)
        return left(refusal)
      }
    )
  }

  /** The databases that do not answer now, or have not answered the last question. */
  const lacking = Effect.andThen(
    look,
    Effect.clockWith((clock) => {
      const since = clock.currentTimeMillisUnsafe() - naming
      return Effect.succeed(
        shards.all.flatMap(({ name, refusal }, at) => {
          const left = [...(open[at]?.values() ?? [])].filter((it) => it.at > since)
          if (shards.hasAnswered(at) && left.length === 0) return []
          return { name, refusal: refusal() ?? left.find((it) => it.refusal !== undefined)?.refusal }
        })
      )
    })
  )
  const missing = Effect.map(lacking, (all) => all.map(({ name }) => name))
  const refusals = Effect.map(lacking, (all) =>
    Object.fromEntries(all.flatMap(({ name, refusal }) => (refusal === undefined ? [] : [[name, refusal]])))
  )

  /** The failure of a question that needs those that have not answered; it says why where all of them refuse the role. */
  const silent = (operation: string) => {
    const left = shards.all.flatMap(({ name, refusal }, at) => {
      const question = open[at]?.get(operation)
      if (shards.hasAnswered(at) && question === undefined) return []
      return { name, refusal: refusal() ?? question?.refusal }
    })
    const refusal = left.some(({ refusal }) => refusal === undefined) ? undefined : left[0]?.refusal
    const names = left.map(({ name }) => name)
    return unavailable(operation, names, refusal)
  }

  /** Asks all at the same time. Fails where none answers, and where one cannot do it at all. */
  const fromAny = Effect.fnUntraced(function* <A>(
    operation: string,
    ask: (part: OfPart) => Effect.Effect<A, InspectorError>
  ) {
    yield* look
    const answers = yield* Effect.forEach(shards.all, (_, at) => ofOne(operation, at, ask), {
      concurrency: "unbounded"
    })
    return answers.some((answer) => answer !== undefined) ? answers : yield* silent(operation)
  })

  /** Asks all at the same time, and fails where one does not answer. */
  const fromEach = Effect.fnUntraced(function* <A>(
    operation: string,
    ask: (part: OfPart) => Effect.Effect<A, InspectorError>
  ) {
    const answers = (yield* fromAny(operation, ask)).filter((answer) => answer !== undefined)
    return answers.length === shards.all.length ? answers : yield* silent(operation)
  })

  /** Asks the database that has a bucket. */
  const routed = <A, E>(
    operation: string,
    bucket: number,
    call: (part: OfPart) => Effect.Effect<A, E | InspectorError>
  ): Effect.Effect<A, E | InspectorError> =>
    shards
      .routed("load", bucket, (part) => Effect.mapError(call(part), (error) => about(part, error)))
      .pipe(
        Effect.mapError((error) => {
          if (error instanceof SagaExecutionRepositoryError) return silent(operation)
          return isNotServed(error) ? unavailable(operation, []) : error
        })
      )

  /** Asks the database that has an execution, by its uuid or its `startKey`, which may look like a uuid. */
  const ofTarget = <A>(
    operation: string,
    target: string,
    call: (part: OfPart) => Effect.Effect<A, SagaExecutionNotFound | InspectorError>
  ) => {
    const uuid = Uuid.normalize(target)
    const byKey = routed(operation, bucketOfKey(target), call)
    return uuid === undefined
      ? byKey
      : Effect.catchTag(routed(operation, bucketOf(uuid), call), "SagaExecutionNotFound", () => byKey)
  }
  return { missing, refusals, silent, fromAny, fromEach, routed, ofTarget }
}

/** The storage of an action: each question goes to the database that has the execution at that moment. */
const storageOf = ({ ofTarget, routed }: ReturnType<typeof asking>): Storage => ({
  read: (target) => ofTarget("act", target, ({ storage }) => storage.read(target)),
  submit: (row, signal) => routed("act", bucketOf(row.uuid), ({ storage }) => storage.submit(row, signal)),
  waiting: (uuid) =>
    routed("act", bucketOf(uuid), ({ storage }) =>
      Effect.tap(
        storage.waiting(uuid),
        // Nothing waits where the execution is not: its bucket may have moved since the action was accepted.
        (ids) => (ids.length > 0 ? Effect.void : storage.read(uuid))
      )
    ).pipe(Effect.catchTag("SagaExecutionNotFound", () => Effect.succeed([])))
})

/** Decides where the participant keeps its records: a database that has none of the transaction says so, and changes nothing. */
const decidingIn = ({ fromAny, silent }: ReturnType<typeof asking>): Inspector["Service"]["decideInDoubt"] =>
  Effect.fnUntraced(function* (doubt, options) {
    const answers = yield* fromAny("decideInDoubt", ({ inspector }) =>
      Effect.catchIf(
        inspector.decideInDoubt(doubt, options),
        // A database without the tables of participants.
        ({ reason }) => reason === "unmigrated",
        (error) => Effect.succeed(error)
      )
    )
    const given = answers.flatMap((answer) => answer ?? [])
    const outcomes = given.filter((answer) => answer._tag !== "InspectorError")
    const decided = outcomes.find((outcome) => outcome._tag !== "Refused" || outcome.why !== "NotInDoubt")
    if (decided !== undefined) return decided
    // The one that is away may have it.
    if (given.length < answers.length) return yield* silent("decideInDoubt")
    const [refused] = outcomes
    return refused ?? (yield* new InspectorError({ reason: "unmigrated", operation: "decideInDoubt" }))
  })

const make = (shards: Shards<OfPart>): Inspector["Service"] => {
  const asked = asking(shards)
  const { fromAny, fromEach, missing, ofTarget, refusals, routed } = asked
  /** One list out of those that the databases give. */
  const listed = <A>(
    operation: string,
    ask: (inspector: Inspector["Service"]) => Effect.Effect<ReadonlyArray<A>, InspectorError>,
    together: (all: ReadonlyArray<A>) => ReadonlyArray<A>
  ) =>
    Effect.map(
      fromAny(operation, ({ inspector }) => ask(inspector)),
      (lists) => together(lists.flatMap((list) => list ?? []))
    )
  const parked = listed("parked", ({ parked }) => parked, MergedGroups.parked)
  return Inspector.of({
    missing,
    refusals,
    find: Effect.fnUntraced(function* (filter, page = {}) {
      const { startKey } = filter
      const find = ({ inspector }: OfPart) => inspector.find(filter, page)
      if (startKey !== undefined) return yield* routed("find", bucketOfKey(startKey), find)
      const start = yield* Effect.mapError(pageStart(page), SqlInspector.ofRepository("find"))
      return ShardedPages.together(shards, filter, page, start, yield* fromAny("find", find))
    }),
    count: (saga) => listed("count", ({ count }) => count(saga), MergedGroups.counts),
    waiting: listed("waiting", ({ waiting }) => waiting, MergedGroups.waiting),
    load: (target) => ofTarget("load", target, ({ inspector }) => inspector.load(target)),
    parked,
    stalled: Effect.map(parked, (groups) => groups.filter(Groups.isStalled)),
    overdue: (longer) => listed("overdue", ({ overdue }) => overdue(longer), MergedGroups.overdue),
    inDoubt: (longer) => listed("inDoubt", ({ inDoubt }) => inDoubt(longer), MergedGroups.inDoubt),
    commands: listed("commands", ({ commands }) => commands, MergedGroups.commands),
    deadLetters: (limit = 100) =>
      listed(
        "deadLetters",
        ({ deadLetters }) => deadLetters(limit),
        (all) => MergedGroups.deadLetters(all, limit)
      ),
    processes: listed("processes", ({ processes }) => processes, MergedGroups.processes),
    census: Effect.map(
      fromEach("census", ({ inspector }) => inspector.census),
      MergedGroups.census
    ),
    act: act(storageOf(asked)),
    decideInDoubt: decidingIn(asked)
  })
}

/**
 * One inspector for executions that are spread over several databases, as `SqlSagaExecutionRepository.layerSharded` keeps them, with the
 * same `databases`. Lists are merged in their order, and groups of the same things are one group; an execution is looked for, and an
 * action put, where its bucket is. Participants and dead letters are seen in each of the databases that keeps some.
 *
 * A database that is away, also at the start, is left out of lists and groups: `missing` names it. What needs it fails: `load` and
 * `act` for its executions, and `census`. One at least has to be there at the start. While a bucket moves, its executions may be counted
 * twice. It makes no tables: without them everything fails with an `InspectorError` that is `unmigrated`, and names the database.
 *
 * @example
 * ```ts
 * const InspectorLive = SqlInspector.layerSharded({
 *   north: { client: PgClient.layer({ url: north }) },
 *   south: { client: PgClient.layer({ url: south }) }
 * })
 * ```
 */
export const layerSharded = <E = never, R = never>(
  databases: OpenShards.Databases<E, R>,
  options: ShardedInspectorOptions = {}
): Layer.Layer<Inspector, E | Setting.InvalidSetting, R> =>
  Layer.effect(
    Inspector,
    Setting.known("SqlInspector", options, { statementTimeout: true }).pipe(
      Effect.andThen(
        OpenShards.open(databases, {
          module: "SqlInspector",
          service: Part,
          layer: (name, tables) =>
            Layer.effect(
              Part,
              Effect.map(SqlInspector.parts({ ...options, ...tables }), (parts) => ({ ...parts, name }))
            )
        })
      ),
      Effect.map(make)
    )
  )
