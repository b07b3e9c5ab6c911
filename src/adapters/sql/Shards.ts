/** The databases among which executions are spread, and which bucket is in which of them, as far as this process knows. */
import { Effect, Semaphore } from "effect"
import { bucketOf } from "../../ports/Buckets.ts"
import { InspectorError } from "../../ports/Inspector.ts"
import * as Port from "../../ports/SagaExecutionRepository.ts"
import * as BucketPlaces from "./BucketPlaces.ts"
import { notServed } from "./SqlErrors.ts"

export type Repository = Port.SagaExecutionRepository["Service"]

/** One of several databases, with what is called there: its repository, or its inspector. */
export interface Shard<A> {
  readonly name: string
  /** Undefined while the database has not been reached since the process began. */
  readonly there: () => A | undefined
  /** The same, when the database is reached. */
  readonly reached: Effect.Effect<A>
  /** Which buckets the database says that it serves. Undefined: it does not answer. */
  readonly buckets: Effect.Effect<ReadonlyArray<BucketPlaces.BucketAt> | undefined>
  /** The code with which it has refused the role, where it does not answer for that. */
  readonly refusal: () => string | undefined
}

/** No database, or none that can be reached, has the bucket now: the call may work later. */
export const away = (operation: Port.Operation): Port.SagaExecutionRepositoryError =>
  new Port.SagaExecutionRepositoryError({ reason: "unavailable", operation })

/** A database has refused a write, as it does not serve the bucket. Nothing is written. */
export const isNotServed = (error: unknown): boolean => {
  const isOfPort = error instanceof Port.SagaExecutionRepositoryError || error instanceof InspectorError
  const { cause } = isOfPort ? error : {}
  return typeof cause === "object" && cause !== null && "code" in cause && cause.code === notServed
}

/**
 * The database does not have what was looked for. So also where the name of a new execution was taken when it was written, and was gone
 * when the database was asked by whom: then the execution itself stands in its conflict.
 */
const isWithout = (error: unknown): boolean =>
  error instanceof Port.SagaExecutionNotFound ||
  (error instanceof Port.SagaExecutionConflict && error.existing === error.uuid)

export class Shards<A> {
  readonly all: ReadonlyArray<Shard<A>>
  /** The last answer of each database. */
  private readonly said: Array<ReadonlyArray<BucketPlaces.BucketAt>>
  private known: BucketPlaces.Known = BucketPlaces.of([])
  /** The number of the questions that each has been asked. */
  private readonly asking: ReadonlyArray<{ count: number; hasAnswered: boolean; readonly alone: Semaphore.Semaphore }>

  constructor(all: ReadonlyArray<Shard<A>>) {
    this.all = all
    this.said = all.map(() => [])
    this.asking = all.map(() => ({ count: 0, hasAnswered: false, alone: Semaphore.makeUnsafe(1) }))
  }

  /** Asks all databases. One that does not answer is taken to have what it had. */
  readonly look: Effect.Effect<void> = Effect.suspend(() => {
    const asked = this.all.map((_, at) => this.ask(at))
    return Effect.andThen(Effect.all(asked, { concurrency: "unbounded", discard: true }), this.learn)
  })

  /**
   * Asks one database, and tells whether it has answered. One question at a time: who has waited for the answer to one that was put
   * meanwhile needs none of its own.
   */
  private ask(at: number): Effect.Effect<boolean> {
    const one = this.asking[at]!
    const { count } = one
    return one.alone.withPermit(
      Effect.suspend(() => {
        if (one.count !== count) return Effect.succeed(one.hasAnswered)
        one.count++
        return Effect.map(this.all[at]!.buckets, (said) => {
          if (said !== undefined) this.said[at] = said
          one.hasAnswered = said !== undefined
          return one.hasAnswered
        })
      })
    )
  }

  private readonly learn: Effect.Effect<void> = Effect.suspend(() => {
    const before = this.known.doubled.length
    this.known = BucketPlaces.of(this.said)
    const { doubled } = this.known
    if (doubled.length === before) return Effect.void
    const [first] = doubled
    if (first === undefined) return Effect.logInfo("No two databases serve the same buckets any more")
    return Effect.logError("Two databases serve the same buckets: their executions are left alone", {
      buckets: doubled.length,
      first: first.bucket,
      databases: first.databases.map((at) => this.all[at]?.name)
    })
  })

  /** Whether an execution is in the database of this number. */
  has(at: number, uuid: string): boolean {
    return this.known.places[bucketOf(uuid)] === at
  }

  /** The buckets of the databases of these numbers, and those of which nobody knows where they are. */
  bucketsOf(numbers: ReadonlySet<number>): ReadonlyArray<number> {
    return this.known.places.flatMap((at, bucket) => (at === undefined || numbers.has(at) ? bucket : []))
  }

  /** Whether an execution that a database has is known to be another one's: while a bucket moves, two have its rows. */
  isElsewhere(at: number, uuid: string): boolean {
    const place = this.known.places[bucketOf(uuid)]
    return place !== undefined && place !== at
  }

  there(at: number | undefined): A | undefined {
    return at === undefined ? undefined : this.all[at]?.there()
  }

  /** Whether a database has answered to the last question. */
  hasAnswered(at: number): boolean {
    return this.asking[at]?.hasAnswered === true
  }

  /** A database has failed to answer since. */
  silence(at: number): void {
    const one = this.asking[at]
    if (one !== undefined) one.hasAnswered = false
  }

  /**
   * Calls the database that has the bucket. Where it refuses, or does not know the execution, the bucket may have moved: then all are
   * asked, and the one that has it now is called.
   */
  readonly routed = <B, E>(
    operation: Port.Operation,
    bucket: number,
    call: (there: A) => Effect.Effect<B, E>
  ): Effect.Effect<B, E | Port.SagaExecutionRepositoryError> =>
    Effect.suspend((): Effect.Effect<B, E | Port.SagaExecutionRepositoryError> => {
      const at = this.known.places[bucket]
      const there = this.there(at)
      if (at === undefined || there === undefined)
        return Effect.andThen(this.look, this.elsewhere(operation, bucket, undefined, call))
      return Effect.catchIf(
        call(there),
        (error) => isNotServed(error) || isWithout(error),
        (error) => {
          const elsewhere = Effect.andThen(this.look, this.elsewhere(operation, bucket, { at, error }, call))
          return isNotServed(error) ? elsewhere : this.confirmed(operation, bucket, { at, error }, elsewhere)
        }
      )
    })

  /** An execution is not there only where its database still has the bucket: a process may have been told of a move too late. */
  private confirmed<B, E>(
    operation: Port.Operation,
    bucket: number,
    { at, error }: { readonly at: number; readonly error: E },
    elsewhere: Effect.Effect<B, E | Port.SagaExecutionRepositoryError>
  ): Effect.Effect<B, E | Port.SagaExecutionRepositoryError> {
    return Effect.flatMap(this.ask(at), (hasAnswered): Effect.Effect<B, E | Port.SagaExecutionRepositoryError> => {
      if (!hasAnswered) return Effect.fail(away(operation))
      const isHere = this.said[at]!.some((it) => it.bucket === bucket && it.state === "here")
      return isHere ? Effect.fail(error) : elsewhere
    })
  }

  private elsewhere<B, E>(
    operation: Port.Operation,
    bucket: number,
    tried: { readonly at: number | undefined; readonly error: E } | undefined,
    call: (there: A) => Effect.Effect<B, E>
  ): Effect.Effect<B, E | Port.SagaExecutionRepositoryError> {
    return Effect.suspend((): Effect.Effect<B, E | Port.SagaExecutionRepositoryError> => {
      const at = this.known.places[bucket]
      if (tried !== undefined && tried.at === at) {
        // A bucket that leaves may have arrived where nobody answers, and its new executions are there.
        const isKnown = !isWithout(tried.error) || this.asking.every(({ hasAnswered }) => hasAnswered)
        return Effect.fail(isKnown ? tried.error : away(operation))
      }
      const there = this.there(at)
      return there === undefined ? Effect.fail(away(operation)) : call(there)
    })
  }
}
