/**
 * One repository out of several, each on a database of its own. An execution is in the database of its bucket, with its names and its
 * inbox, so that each write is a unit of work of one database. Every database has its own leases: the owner has the same name in all
 * of them.
 */
import { Effect, Stream } from "effect"
import type { SagaExecution } from "../../execution/view/SagaExecution.ts"
import { bucketOf, bucketOfKey } from "../../ports/Buckets.ts"
import * as ExecutionSummary from "../../ports/ExecutionSummary.ts"
import * as Port from "../../ports/SagaExecutionRepository.ts"
import * as Uuid from "../../wire/Uuid.ts"
import * as ClaimShards from "./ClaimShards.ts"
import { away, type Repository, type Shards } from "./Shards.ts"

/** An answer of a database, by its number; undefined: it has not answered. */
type Answers<A> = ReadonlyArray<A | undefined>

export const make = (shards: Shards): Repository => {
  const { all, routed } = shards
  const calls = <A, E>(
    call: (repository: Repository, at: number) => Effect.Effect<A, E>
  ): ReadonlyArray<Effect.Effect<A, E> | undefined> =>
    all.map(({ repository }, at) => {
      const there = repository()
      return there === undefined ? undefined : call(there, at)
    })
  /** Asks all databases at the same time. Fails where none answers. */
  const fromAny = <A, E>(
    operation: Port.Operation,
    call: (repository: Repository, at: number) => Effect.Effect<A, E>
  ): Effect.Effect<Answers<A>, E | Port.SagaExecutionRepositoryError> =>
    Effect.suspend(() => ClaimShards.anyOf(operation, calls(call)))
  /** Asks all databases at the same time. Fails where one does not answer. */
  const fromEach = <A, E>(
    operation: Port.Operation,
    call: (repository: Repository) => Effect.Effect<A, E>
  ): Effect.Effect<ReadonlyArray<A>, E | Port.SagaExecutionRepositoryError> =>
    Effect.suspend(() =>
      Effect.forEach(
        calls(call),
        (asked): Effect.Effect<A, E | Port.SagaExecutionRepositoryError> => asked ?? Effect.fail(away(operation)),
        { concurrency: "unbounded" }
      )
    )
  /** A text that is no uuid is nobody's: any database says so without a statement. */
  const of = <A, E>(
    operation: Port.Operation,
    text: string,
    call: (repository: Repository) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | Port.SagaExecutionRepositoryError> =>
    Effect.suspend((): Effect.Effect<A, E | Port.SagaExecutionRepositoryError> => {
      const uuid = Uuid.normalize(text)
      if (uuid !== undefined) return routed(operation, bucketOf(uuid), call)
      const any = all.flatMap(({ repository }) => repository() ?? [])[0]
      return any === undefined ? Effect.fail(away(operation)) : call(any)
    })

  const find: Repository["find"] = Effect.fnUntraced(function* (filter, page = {}) {
    const { startKey } = filter
    if (startKey !== undefined) {
      return yield* routed("find", bucketOfKey(startKey), (repository) => repository.find(filter, page))
    }
    const start = yield* Port.pageStart(page)
    const pages = yield* fromAny("find", (repository) => repository.find(filter, page))
    // While a bucket moves, two databases have its rows.
    const own = pages.map((page, at) =>
      page === undefined ? undefined : { ...page, items: page.items.filter(({ uuid }) => shards.has(at, uuid)) }
    )
    const missing = all.flatMap(({ name }, at) => (pages[at] === undefined ? [name] : []))
    if (missing.length > 0)
      yield* Effect.logWarning("A list is without the executions of databases that are away", { missing })
    const merged = ExecutionSummary.merged(
      filter,
      page,
      start,
      own.flatMap((page) => page ?? [])
    )
    return missing.length === 0 ? merged : { ...merged, missing }
  })

  return Port.SagaExecutionRepository.of({
    store: (execution, hint) =>
      isMixed(execution)
        ? Effect.fail(new Port.SagaExecutionRepositoryError({ reason: "rejected", operation: "store" }))
        : routed("store", bucketOf(execution.uuid), ({ store }) => store(execution, hint)),
    load: (uuid) => of("load", uuid, ({ load }) => load(uuid)),
    delete: (target) => {
      const uuid = Port.uuidOf(target)
      // A database that does not serve the bucket any more leaves the execution as it is.
      const isThere = Effect.as(
        of("load", uuid, ({ load }) => load(uuid)),
        true
      )
      const stays = Effect.catchTag(isThere, "SagaExecutionNotFound", () => Effect.succeed(false))
      return Effect.andThen(
        of("delete", uuid, (repository) => repository.delete(uuid)),
        Effect.flatMap(stays, (stays) => (stays ? Effect.fail(away("delete")) : Effect.void))
      )
    },
    submit: (row, signal) => of("submit", row.uuid, ({ submit }) => submit(row, signal)),
    inbox: (uuid) => of("inbox", uuid, ({ inbox }) => inbox(uuid)),
    find,
    claim: ClaimShards.make(shards),
    take: (request) =>
      Effect.flatMap(
        of("take", request.uuid, ({ take }) => take(request)),
        // The database does not serve the bucket, and has given it to nobody.
        (holder: string | null) => (holder === null ? Effect.fail(away("take")) : Effect.succeed(holder))
      ),
    giveBack: (request) => of("giveBack", request.uuid, ({ giveBack }) => giveBack(request)),
    release: (owner, buckets) => Effect.asVoid(fromEach("release", ({ release }) => release(owner, buckets))),
    census: Effect.map(
      fromEach("census", ({ census }) => census),
      summed
    ),
    ended: (uuids, orPaused) =>
      Effect.map(
        fromAny("ended", ({ ended }, at) => {
          const own = uuids.filter((uuid) => shards.has(at, uuid))
          return own.length === 0 ? Effect.succeed([]) : ended(own, orPaused)
        }),
        (found) => found.flatMap((ended) => ended ?? [])
      ),
    changes: merged(all.map(({ streams }) => streams.changes)),
    inputs: merged(all.map(({ streams }) => streams.inputs)),
    atomically: (work) => work,
    keysHaveBuckets: true,
    durable: true,
    // A step that writes in a database would have to be in that of its execution.
    transactional: false
  })
}

/** A new execution whose key is in another bucket than its uuid, and so perhaps of another database. */
const isMixed = ({ revision, startKey, uuid }: SagaExecution): boolean =>
  revision === 0 && startKey !== undefined && bucketOfKey(startKey) !== bucketOf(uuid)

const merged = (streams: ReadonlyArray<Stream.Stream<string>>): Stream.Stream<string> =>
  Stream.flatMap(Stream.fromIterable(streams), (stream) => stream, { concurrency: "unbounded" })

/** The counts of one definition are added up. */
const summed = (
  counts: ReadonlyArray<ReadonlyArray<ExecutionSummary.Census>>
): ReadonlyArray<ExecutionSummary.Census> => {
  const sums = new Map<string, ExecutionSummary.Census>()
  for (const one of counts.flat()) {
    const key = `${one.saga} ${one.fingerprint}`
    sums.set(key, { ...one, count: one.count + (sums.get(key)?.count ?? 0) })
  }
  return [...sums.values()]
}
