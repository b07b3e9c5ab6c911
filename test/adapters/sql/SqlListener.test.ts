/** The connection that listens: how many there are while one is being made, is lost, or is replaced. */
import type { PgClient } from "@effect/sql-pg"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Queue, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as SqlListener from "../../../src/adapters/sql/SqlListener.ts"

const settled = Effect.repeat(Effect.yieldNow, { times: 50 })

/** A client whose `LISTEN`s are answered when a test says so, and cannot be interrupted before: the answer is on its way. */
const makeClient = () => {
  const made: Array<{
    readonly answer: Deferred.Deferred<void>
    readonly queue: Queue.Queue<{ readonly payload: string }>
    isOpen: boolean
  }> = []
  const listen = () =>
    Effect.gen(function* () {
      const queue = yield* Queue.unbounded<{ readonly payload: string }>()
      const connection = { answer: Deferred.makeUnsafe<void>(), queue, isOpen: true }
      made.push(connection)
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          connection.isOpen = false
        })
      )
      yield* Effect.uninterruptible(Deferred.await(connection.answer))
      return queue
    })
  const client = { listen } as unknown as PgClient.PgClient
  return { client, made, open: () => made.filter(({ isOpen }) => isOpen).length }
}

it.effect("a LISTEN that is answered after it was given up keeps no connection, and the newer one is heard", () =>
  Effect.gen(function* () {
    const { client, made, open } = makeClient()
    const scope = yield* Scope.make()
    const listener = SqlListener.make()
    const run = listener.run(client, "news", { first: 1_000, again: 1_000 })
    const running = yield* Effect.forkChild(Scope.provide(run, scope))
    yield* settled
    yield* Deferred.succeed(made[0]!.answer, undefined)
    yield* settled
    const heard: Array<string> = []
    const news = running.pollUnsafe()
    assert.isTrue(news !== undefined && Exit.isSuccess(news))
    const stream = news !== undefined && Exit.isSuccess(news) ? news.value : Stream.empty
    yield* Effect.forkChild(Stream.runForEach(stream, (payload) => Effect.sync(() => heard.push(payload))))
    yield* settled

    listener.renew()
    yield* settled
    assert.strictEqual(made.length, 2)
    // The second is given up after a second, and the third is made.
    yield* TestClock.adjust("2 seconds")
    yield* settled
    assert.strictEqual(made.length, 3)
    yield* Deferred.succeed(made[2]!.answer, undefined)
    yield* settled
    yield* Deferred.succeed(made[1]!.answer, undefined)
    yield* settled
    assert.deepStrictEqual(
      made.map(({ isOpen }) => isOpen),
      [false, false, true]
    )
    yield* Queue.offer(made[2]!.queue, { payload: "heard" })
    yield* settled
    assert.deepStrictEqual(heard, ["heard"])

    yield* Scope.close(scope, Exit.void)
    yield* settled
    assert.strictEqual(open(), 0)
  })
)
