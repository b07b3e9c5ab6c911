/** Which database is called, by a process whose picture of them is old. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { SagaExecutionRepository } from "effect-saga"
import type { BucketAt } from "../../../src/adapters/sql/BucketPlaces.ts"
import * as ShardedPages from "../../../src/adapters/sql/ShardedPages.ts"
import { type Repository, Shards } from "../../../src/adapters/sql/Shards.ts"
import { notServed } from "../../../src/adapters/sql/SqlErrors.ts"
import { inBucket } from "../../../src/ports/Buckets.ts"
import * as Summary from "../../../src/ports/ExecutionSummary.ts"
import * as Sample from "../../../src/testing/SampleExecutions.ts"

const uuid = "01a22c13-cd09-72f5-bfaa-f1747eea9207"
const bucket = 7
const here = [{ bucket, epoch: 1, state: "here" }] as const
const gone = [{ bucket, epoch: 1, state: "gone" }] as const
const arrived = [{ bucket, epoch: 2, state: "here" }] as const

/** Databases that answer to each question with the next of their answers. */
const shardsOf = (...answers: ReadonlyArray<ReadonlyArray<ReadonlyArray<BucketAt> | undefined>>) =>
  new Shards(
    answers.map((said, at) => {
      let asked = 0
      // cast: only its identity is looked at
      const repository = { at } as unknown as Repository
      return {
        name: `database ${at}`,
        there: () => repository,
        reached: Effect.succeed(repository),
        refusal: () => undefined,
        buckets: Effect.sync(() => said[Math.min(asked++, said.length - 1)])
      }
    })
  )

const notFound = new SagaExecutionRepository.SagaExecutionNotFound({ uuid })
const refused = new SagaExecutionRepository.SagaExecutionRepositoryError({
  reason: "unavailable",
  operation: "store",
  cause: { code: notServed }
})
/** The name was taken when it was written, and nobody has it any more. */
const ofNobody = new SagaExecutionRepository.SagaExecutionConflict({ uuid, revision: 1, existing: uuid })

/** Calls the databases, of which the first one fails so. Gives the number of the one that has succeeded. */
const called = (shards: Shards<Repository>, error: typeof notFound | typeof refused | typeof ofNobody) =>
  Effect.andThen(
    shards.look,
    shards.routed("load", bucket, (repository) => {
      const { at } = repository as unknown as { readonly at: number } // cast: made above
      return at === 0 ? Effect.fail(error) : Effect.succeed(at)
    })
  )

describe("the database of a bucket", () => {
  for (const [what, error] of [
    ["does not have the execution", notFound],
    ["refuses the write", refused],
    ["does not know who has the name of a new execution", ofNobody]
  ] as const)
    it.effect(`is asked again where one that had it before ${what}`, () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* called(shardsOf([here, gone], [[], arrived]), error), 1)
      })
    )

  it.effect("has no such execution, if it has the bucket still", () =>
    Effect.gen(function* () {
      const shards = shardsOf([here], [[], undefined])
      assert.deepInclude(yield* Effect.flip(called(shards, notFound)), { _tag: "SagaExecutionNotFound" })
    })
  )

  it.effect("may have the execution, if it does not answer; or another one may, to which the bucket moves", () =>
    Effect.gen(function* () {
      const leaving = [{ bucket, epoch: 1, state: "leaving" }] as const
      for (const shards of [shardsOf([here, undefined], [[]]), shardsOf([here, leaving], [[], undefined])])
        assert.deepInclude(yield* Effect.flip(called(shards, notFound)), {
          _tag: "SagaExecutionRepositoryError",
          reason: "unavailable"
        })
    })
  )
})

/** The uuids of all pages of two executions. Undefined: the database does not answer. */
const listed = (
  shards: Shards<Repository>,
  databases: ReadonlyArray<ReadonlyArray<Summary.ExecutionSummary> | undefined>
) => {
  const found: Array<string> = []
  let next: string | undefined
  do {
    const request = { limit: 2, ...(next !== undefined && { after: next }) }
    const start = { from: Option.getOrUndefined(Summary.position(next ?? "")), isBackward: false }
    const pages = databases.map((own) => own && Summary.page(own, {}, request, start))
    const page = ShardedPages.together(shards, {}, request, start, pages)
    found.push(...page.items.map(({ uuid }) => uuid))
    next = page.next
  } while (next !== undefined)
  return found
}

describe("a list out of two databases", () => {
  it.effect("has all executions once, on pages that are cut while a bucket has rows in both", () =>
    Effect.gen(function* () {
      const leaving = { bucket: 8, epoch: 1, state: "leaving" } as const
      const shards = shardsOf([[...here, leaving]], [[{ bucket: 8, epoch: 2, state: "here" }]])
      yield* shards.look
      const isMoved = (_: unknown, n: number) => n % 3 !== 0
      const rows = Array.from({ length: 12 }, (_, n) => {
        const { uuid, ...created } = Summary.of(Sample.created({ at: Sample.time + n }))
        return { ...created, uuid: inBucket(uuid, isMoved(_, n) ? 8 : bucket) }
      })
      // The rows of a bucket that has moved are still in the database that had it.
      const moved = rows.filter(isMoved).map((row) => ({ ...row }))
      const all = rows.toSorted(Summary.newestFirst).map(({ uuid }) => uuid)
      assert.deepStrictEqual(listed(shards, [rows, moved]), all)
      assert.deepStrictEqual(
        listed(shards, [rows, undefined]),
        all.filter((uuid) => uuid.endsWith("07"))
      )
    })
  )
})
