/** The databases among which executions are spread, and which bucket is in which of them, as far as this process knows. */
import { Effect, Semaphore } from "effect"
import { bucketOf } from "../../ports/Buckets.ts"
import * as Port from "../../ports/SagaExecutionRepository.ts"
import * as BucketPlaces from "./BucketPlaces.ts"
import { notServed } from "./SqlErrors.ts"

export type Repository = Port.SagaExecutionRepository["Service"]

export interface Shard {
  readonly name: string
  /** Undefined while the database has not been reached since the process began. */
  readonly repository: () => Repository | undefined
  /** As those of the repository; they begin when the database is reached. */
  readonly streams: Pick<Repository, "changes" | "inputs">
  /** Which buckets the database says that it serves. Undefined: it does not answer. */
  readonly buckets: Effect.Effect<ReadonlyArray<BucketPlaces.BucketAt> | undefined>
}

/** No database, or none that can be reached, has the bucket now: the call may work later. */
export const away = (operation: Port.Operation): Port.SagaExecutionRepositoryError =>
  new Port.SagaExecutionRepositoryError({ reason: "unavailable", operation })

/** A database has refused a write, as it does not serve the bucket. Nothing is written. */
const isNotServed = (error: unknown): boolean => {
  const { cause } = error instanceof Port.SagaExecutionRepositoryError ? error : {}
  return typeof cause === "object" && cause !== null && "code" in cause && cause.code === notServed
}

const isNotFound = (error: unknown): boolean => error instanceof Port.SagaExecutionNotFound

export class Shards {
  readonly all: ReadonlyArray<Shard>
  /** What each database has said last. */
  private readonly said: Array<ReadonlyArray<BucketPlaces.BucketAt>>
  private known: BucketPlaces.Known = BucketPlaces.of([])
  /** The number of the questions that each has been asked. */
  private readonly asking: ReadonlyArray<{ count: number; readonly alone: Semaphore.Semaphore }>

  constructor(all: ReadonlyArray<Shard>) {
    this.all = all
    this.said = all.map(() => [])
    this.asking = all.map(() => ({ count: 0, alone: Semaphore.makeUnsafe(1) }))
  }

  /** Asks all databases. One that does not answer is taken to have what it had. */
  readonly look: Effect.Effect<void> = Effect.suspend(() => this.ask([...this.all.keys()]))

  private ask(databases: ReadonlyArray<number>): Effect.Effect<void> {
    const asked = Effect.forEach(databases, (at) => this.hear(at), { concurrency: "unbounded", discard: true })
    return Effect.andThen(asked, this.learn)
  }

  /** One question at a time. Who has waited for the answer to one that was put meanwhile needs none of its own. */
  private hear(at: number): Effect.Effect<void> {
    const one = this.asking[at]!
    const { count } = one
    return one.alone.withPermit(
      Effect.suspend(() => {
        if (one.count !== count) return Effect.void
        one.count++
        return Effect.map(this.all[at]!.buckets, (said) => {
          if (said !== undefined) this.said[at] = said
        })
      })
    )
  }

  private readonly learn: Effect.Effect<void> = Effect.suspend(() => {
    this.known = BucketPlaces.of(this.said)
    const { doubled } = this.known
    if (doubled.length === 0) return Effect.void
    const [{ bucket, databases } = { bucket: -1, databases: [] }] = doubled
    return Effect.logError("Two databases serve the same buckets: their executions are left alone", {
      buckets: doubled.length,
      first: bucket,
      databases: databases.map((at) => this.all[at]?.name)
    })
  })

  /** Whether an execution is in the database of this number. */
  has(at: number, uuid: string): boolean {
    return this.known.places[bucketOf(uuid)] === at
  }

  repository(at: number | undefined): Repository | undefined {
    return at === undefined ? undefined : this.all[at]?.repository()
  }

  /**
   * Calls the database that has the bucket. Where it refuses, or does not know the execution, the bucket may have moved: then all are
   * asked, and the one that has it now is called.
   */
  readonly routed = <A, E>(
    operation: Port.Operation,
    bucket: number,
    call: (repository: Repository) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | Port.SagaExecutionRepositoryError> =>
    Effect.suspend((): Effect.Effect<A, E | Port.SagaExecutionRepositoryError> => {
      const at = this.known.places[bucket]
      const repository = this.repository(at)
      if (at === undefined || repository === undefined)
        return Effect.andThen(this.look, this.elsewhere(operation, bucket, undefined, call))
      return Effect.catchIf(
        call(repository),
        (error) => isNotServed(error) || isNotFound(error),
        (error) =>
          Effect.andThen(
            this.ask([at]),
            Effect.suspend(() =>
              this.known.places[bucket] === at && !isNotServed(error)
                ? Effect.fail(error)
                : Effect.andThen(this.look, this.elsewhere(operation, bucket, { at, error }, call))
            )
          )
      )
    })

  private elsewhere<A, E>(
    operation: Port.Operation,
    bucket: number,
    tried: { readonly at: number | undefined; readonly error: E } | undefined,
    call: (repository: Repository) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | Port.SagaExecutionRepositoryError> {
    return Effect.suspend((): Effect.Effect<A, E | Port.SagaExecutionRepositoryError> => {
      const at = this.known.places[bucket]
      if (tried !== undefined && tried.at === at) return Effect.fail(tried.error)
      const repository = this.repository(at)
      return repository === undefined ? Effect.fail(away(operation)) : call(repository)
    })
  }
}
