/** F9: a change of an execution is announced only where a caller in another process may wait for it. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Stream } from "effect"
import { SagaExecutionRepository } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as Sample from "../../../src/testing/SampleExecutions.ts"
import { schemaOf, server, url } from "../../fixtures/postgres.ts"

const Repository = SagaExecutionRepository.SagaExecutionRepository
const minute = 60_000

// Needs a server: a PGlite has one process.
describe.runIf(url !== undefined)("announcements on Postgres", () => {
  it.live("F9 another process hears of an execution that it has started, or that it waits for, and of no other", () => {
    const schema = schemaOf("announce")
    const process = Layer.fresh(Layer.provide(SqlSagaExecutionRepository.layer({ schema }), server(schema, 6)))
    return Effect.gen(function* () {
      const [mine, theirs] = yield* Effect.all([Layer.build(process), Layer.build(process)])
      const [a, b] = [Context.get(mine, Repository), Context.get(theirs, Repository)]
      const claim = { limit: 0, now: Sample.time, leaseMillis: 10 * minute }
      yield* a.claim({ ...claim, owner: "a" })
      yield* b.claim({ ...claim, owner: "b" })
      const begin = (repository: typeof a, options: Sample.Options = {}) =>
        repository.store(Sample.started(Sample.created(options)), { owner: "a" })
      const pause = (repository: typeof a, execution: Parameters<typeof Sample.paused>[0]) =>
        repository.store(Sample.paused(execution), { wakeAt: Sample.time + minute })

      const own = yield* begin(a)
      const [keyed, sent, handed] = [yield* begin(a, { startKey: "k" }), yield* begin(a), yield* begin(b)]
      const last = yield* begin(b)
      // As many changes as are announced; the last one ends the list.
      const heard = yield* Effect.forkChild(
        Stream.runCollect(Stream.takeUntil(b.changes, (uuid) => uuid === last.uuid)),
        { startImmediately: true }
      )
      yield* pause(a, own)
      // B starts an execution with the same key, and waits for the one that is there.
      yield* Effect.flip(b.store(Sample.started(Sample.created({ startKey: "k" })), { owner: "b" }))
      yield* pause(a, keyed)
      // B sends an input, and waits for its outcome.
      yield* b.submit({ uuid: sent.uuid, id: "x", input: {}, at: Sample.time })
      yield* a.store(Sample.paused(sent), { wakeAt: Sample.time + minute, reads: ["x"], closes: true })
      // B has started these.
      yield* pause(a, handed)
      yield* pause(a, last)
      assert.deepStrictEqual(
        [...(yield* Fiber.join(heard))],
        [keyed, sent, handed, last].map(({ uuid }) => uuid)
      )
    }).pipe(Effect.scoped)
  })
})
