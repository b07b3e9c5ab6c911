/**
 * One repository out of several, each on a database of its own. An execution is in the database of its bucket, with its names and its
 * inbox, so that each write is a unit of work of one database. Every database has its own leases: the owner has the same name in all
 * of them.
 */
import { Effect, Stream } from "effect"
import type { SagaExecution } from "../../execution/view/SagaExecution.ts"
import { bucketOf, bucketOfKey } from "../../ports/Buckets.ts"
import * as MergedGroups from "../../ports/MergedGroups.ts"
import * as Port from "../../ports/SagaExecutionRepository.ts"
import * as Uuid from "../../wire/Uuid.ts"
import * as ClaimShards from "./ClaimShards.ts"
import * as ShardedPages from "./ShardedPages.ts"
import { away, type Repository, type Shards } from "./Shards.ts"

export const make = (shards: Shards<Repository>): Repository => {
  const { all, routed } = shards
  const calls = <A, E>(
    call: (repository: Repository, at: number) => Effect.Effect<A, E>
  ): ReadonlyArray<Effect.Effect<A, E> | undefined> =>
    all.map((shard, at) => {
      const there = shard.there()
      return there === undefined ? undefined : call(there, at)
    })
  /** Asks all databases at the same time. Fails where none answers. */
  const fromAny = <A, E>(
    operation: Port.Operation,
    call: (repository: Repository, at: number) => Effect.Effect<A, E>
  ): Effect.Effect<ReadonlyArray<A | undefined>, E | Port.SagaExecutionRepositoryError> =>
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
      const any = all.flatMap(({ there }) => there() ?? [])[0]
      return any === undefined ? Effect.fail(away(operation)) : call(any)
    })

  const find: Repository["find"] = Effect.fnUntraced(function* (filter, page = {}) {
    const { startKey } = filter
    if (startKey !== undefined) {
      return yield* routed("find", bucketOfKey(startKey), (repository) => repository.find(filter, page))
    }
    const start = yield* Port.pageStart(page)
    const pages = yield* fromAny("find", (repository) => repository.find(filter, page))
    const found = ShardedPages.together(shards, filter, page, start, pages)
    if (found.missing !== undefined)
      yield* Effect.logWarning("A list is without the executions of databases that are away", {
        missing: found.missing
      })
    return found
  })

  /** Of each database from when on it is reached. */
  const merged = (of: (repository: Repository) => Stream.Stream<string>): Stream.Stream<string> =>
    Stream.flatMap(Stream.fromIterable(all), ({ reached }) => Stream.unwrap(Effect.map(reached, of)), {
      concurrency: "unbounded"
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
      MergedGroups.census
    ),
    ended: (uuids, orPaused) =>
      Effect.map(
        fromAny("ended", ({ ended }, at) => {
          const own = uuids.filter((uuid) => shards.has(at, uuid))
          return own.length === 0 ? Effect.succeed([]) : ended(own, orPaused)
        }),
        (found) => found.flatMap((ended) => ended ?? [])
      ),
    changes: merged(({ changes }) => changes),
    inputs: merged(({ inputs }) => inputs),
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
