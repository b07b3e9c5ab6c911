/** Group commit: what leaves together, and that nobody pays for another (DESIGN §7). */
import { assert, describe, it, layer as withLayer } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { SagaExecution, SagaExecutionRepository } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as GroupCommit from "../../../src/adapters/sql/GroupCommit.ts"
import * as SampleExecutions from "../../../src/testing/SampleExecutions.ts"
import { databases } from "../../fixtures/postgres.ts"

/** Batches that leave one by one, when the test lets them. */
const slow = Effect.gen(function* () {
  const batches: Array<ReadonlyArray<string>> = []
  const gates: Array<Deferred.Deferred<void>> = []
  const group = yield* GroupCommit.make<string, string, "refused">({
    key: (row) => row.slice(0, 1),
    size: (row) => (row.endsWith("M") ? Number.parseInt(row.slice(1), 10) * 1024 * 1024 : row.length),
    refused: () => "refused",
    writeAll: (rows) =>
      Effect.gen(function* () {
        batches.push(rows)
        const gate = yield* Deferred.make<void>()
        gates.push(gate)
        yield* Deferred.await(gate)
        return rows.map((row) => (row.endsWith("!") ? Exit.die(new Error(row)) : Exit.succeed(`${row} written`)))
      })
  })
  return {
    batches,
    gates,
    group,
    write: (row: string) => Effect.forkChild(group.write(row), { startImmediately: true }),
    /** Each in a turn of its own. */
    writeOneByOne: Effect.fnUntraced(function* (...rows: ReadonlyArray<string>) {
      const fibers: Array<Fiber.Fiber<string, string>> = []
      for (const row of rows) {
        fibers.push(yield* Effect.forkChild(group.write(row), { startImmediately: true }))
        yield* settle
      }
      return fibers
    })
  }
})

const settle = Effect.repeat(Effect.yieldNow, { times: 20 })

describe("group commit", () => {
  it.effect("at most two statements are in flight; waiting writes leave together when one is back", () =>
    Effect.gen(function* () {
      const { batches, gates, writeOneByOne } = yield* slow
      const fibers = yield* writeOneByOne("a", "b", "c", "d", "e")
      assert.deepStrictEqual(batches, [["a"], ["b"]])
      yield* Deferred.succeed(gates[0]!, undefined)
      yield* settle
      assert.deepStrictEqual(batches, [["a"], ["b"], ["c", "d", "e"]])
      for (const gate of gates) yield* Deferred.succeed(gate, undefined)
      const results = yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(
        results,
        ["a", "b", "c", "d", "e"].map((row) => `${row} written`)
      )
    }).pipe(Effect.scoped)
  )

  it.effect("writes of one turn leave together at its end, also the first one", () =>
    Effect.gen(function* () {
      const { batches, gates, write } = yield* slow
      yield* Effect.forEach(["a", "b", "c"], write)
      assert.deepStrictEqual(batches, [])
      yield* settle
      assert.deepStrictEqual(batches, [["a", "b", "c"]])
      for (const gate of gates) yield* Deferred.succeed(gate, undefined)
    }).pipe(Effect.scoped)
  )

  it.effect("F12 one statement has so many requests at most as are said", () =>
    Effect.gen(function* () {
      const batches: Array<number> = []
      const group = yield* GroupCommit.make<number, number, never>({
        key: String,
        size: () => 1,
        refused: () => assert.fail("refused"),
        writeAll: (rows) =>
          Effect.sync(() => {
            batches.push(rows.length)
            return rows.map((row) => Exit.succeed(row))
          }),
        most: 64
      })
      const rows = Array.from({ length: 150 }, (_, i) => i)
      assert.deepStrictEqual(yield* Effect.forEach(rows, group.write, { concurrency: "unbounded" }), rows)
      assert.deepStrictEqual(batches, [64, 64, 22])
      assert.strictEqual(yield* group.write(7), 7)
    }).pipe(Effect.scoped)
  )

  it.effect("sends at most 4 MiB in one statement, and a larger row alone", () =>
    Effect.gen(function* () {
      const { batches, gates, writeOneByOne } = yield* slow
      yield* writeOneByOne("x", "y", "a3M", "b2M", "c1M", "d9M")
      for (let at = 0; at < 5; at++) {
        yield* settle
        const gate = gates[at]
        if (gate !== undefined) yield* Deferred.succeed(gate, undefined)
      }
      yield* settle
      assert.deepStrictEqual(batches, [["x"], ["y"], ["a3M", "c1M"], ["b2M"], ["d9M"]])
      for (const gate of gates) yield* Deferred.succeed(gate, undefined)
    }).pipe(Effect.scoped)
  )

  it.effect("one statement never carries two writes of one execution, nor more than 512 writes", () =>
    Effect.gen(function* () {
      const { batches, gates, writeOneByOne } = yield* slow
      yield* writeOneByOne("x", "y", "a1", "a2", "b1")
      yield* Deferred.succeed(gates[0]!, undefined)
      yield* settle
      yield* Deferred.succeed(gates[1]!, undefined)
      yield* Deferred.succeed(gates[2]!, undefined)
      yield* settle
      assert.deepStrictEqual(batches.slice(2), [["a1", "b1"], ["a2"]])
    }).pipe(Effect.scoped)
  )

  it.effect("the next writes of executions that got their answer together leave together", () =>
    Effect.gen(function* () {
      const { batches, gates, group } = yield* slow
      const twice = (row: string) => Effect.andThen(group.write(`${row}1`), group.write(`${row}2`))
      for (const row of ["a", "b", "c", "d"]) {
        yield* Effect.forkScoped(twice(row))
        yield* settle
      }
      assert.deepStrictEqual(batches, [["a1"], ["b1"]])
      yield* Deferred.succeed(gates[1]!, undefined)
      yield* settle
      yield* Deferred.succeed(gates[2]!, undefined)
      yield* settle
      assert.deepStrictEqual(batches.slice(2), [
        ["c1", "d1", "b2"],
        ["c2", "d2"]
      ])
    }).pipe(Effect.scoped)
  )

  it.effect("fewer rows than are in flight wait for them, but not behind a statement that hangs", () =>
    Effect.gen(function* () {
      const { batches, gates, write, writeOneByOne } = yield* slow
      yield* writeOneByOne("a", "b", "c", "d")
      for (const gate of gates.slice(0, 2)) yield* Deferred.succeed(gate, undefined)
      yield* settle
      yield* write("e")
      yield* settle
      assert.deepStrictEqual(batches, [["a"], ["b"], ["c", "d"]])
      yield* TestClock.adjust("49 millis")
      assert.strictEqual(batches.length, 3)
      yield* TestClock.adjust("1 millis")
      yield* settle
      assert.deepStrictEqual(batches.slice(3), [["e"]])
    }).pipe(Effect.scoped)
  )

  it.effect("many waiting rows are split over two statements", () =>
    Effect.gen(function* () {
      const { batches, gates, write } = yield* slow
      const rows = Array.from({ length: 100 }, (_, i) => String.fromCodePoint(0x4e00 + i))
      yield* Effect.forEach(rows, write)
      yield* settle
      assert.deepStrictEqual(
        batches.map((batch) => batch.length),
        [50, 50]
      )
      for (const gate of gates) yield* Deferred.succeed(gate, undefined)
    }).pipe(Effect.scoped)
  )

  it.effect("each row gets its own outcome, also the rows that still wait at the end", () =>
    Effect.gen(function* () {
      const { fibers, gates } = yield* Effect.gen(function* () {
        const { gates, writeOneByOne } = yield* slow
        const fibers = yield* writeOneByOne("x", "y", "a", "b!", "c")
        yield* Deferred.succeed(gates[0]!, undefined)
        yield* settle
        yield* Deferred.succeed(gates[2]!, undefined)
        yield* settle
        const late = yield* writeOneByOne("p", "q", "r")
        return { fibers: [...fibers, ...late], gates }
      }).pipe(Effect.scoped)
      for (const gate of gates) yield* Deferred.succeed(gate, undefined)
      const exits = yield* Effect.forEach(fibers, Fiber.await)
      assert.isTrue(Exit.isSuccess(exits[2]!))
      assert.isTrue(Exit.hasDies(exits[3]!))
      assert.isTrue(Exit.isSuccess(exits[4]!))
      assert.deepStrictEqual(exits.at(-1), Exit.fail("refused"))
    })
  )
})

/** The same with a user that no text of a database can be. The library does not make one (F39). */
const refused = ({ definition, state }: SagaExecution.SagaExecution) =>
  new SagaExecution.SagaExecution({ ...state, creation: { ...state.creation, user: "a\u0000b" } }, definition)

for (const { layer, name, schema } of databases("group")) {
  withLayer(Layer.provide(SqlSagaExecutionRepository.layer({ schema }), layer), {
    timeout: "2 minutes",
    excludeTestServices: true
  })(`writes that leave together: ${name}`, (it) => {
    it.effect("a row that the database refuses fails alone, and so does a conflict", () =>
      Effect.gen(function* () {
        const { load, store } = yield* SagaExecutionRepository.SagaExecutionRepository
        const stale = SampleExecutions.started(SampleExecutions.created())
        yield* store(stale)
        const good = Array.from({ length: 40 }, () => SampleExecutions.started(SampleExecutions.created()))
        const bad = SampleExecutions.started(refused(SampleExecutions.created()))
        const all = [...good.slice(0, 20), bad, stale, ...good.slice(20)]
        const results = yield* Effect.forEach(all, (execution) => Effect.result(store(execution)), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          results.flatMap((result) => (result._tag === "Failure" ? [result.failure._tag] : [])),
          ["SagaExecutionRepositoryError", "SagaExecutionConflict"]
        )
        for (const { uuid } of good) assert.strictEqual((yield* load(uuid)).revision, 1)
        assert.strictEqual((yield* Effect.flip(load(bad.uuid)))._tag, "SagaExecutionNotFound")
      })
    )

    it.effect("first and later writes make the same summaries, whether they are sent alone or together", () =>
      Effect.gen(function* () {
        const { find, store } = yield* SagaExecutionRepository.SagaExecutionRepository
        const { story } = SampleExecutions
        const run = Effect.fnUntraced(function* (saga: string, concurrency: 1 | "unbounded") {
          const running = new Set<SagaExecution.SagaExecution>()
          // In each round one begins, and the others go on.
          for (let round = 0; round < 10; round++) {
            const next = [...running].flatMap((execution) => story[execution.revision]?.(execution) ?? [])
            const stored = yield* Effect.forEach(
              [SampleExecutions.started(SampleExecutions.created({ saga })), ...next],
              (execution) => store(execution),
              { concurrency }
            )
            running.clear()
            for (const execution of stored) running.add(execution)
          }
          const { items } = yield* find({ saga })
          return items.map(({ saga: _, uuid: __, ...rest }) => rest).sort((a, b) => a.revision - b.revision)
        })
        const alone = yield* run(SampleExecutions.uniqueName(), 1)
        assert.strictEqual(alone.length, 10)
        assert.deepStrictEqual(yield* run(SampleExecutions.uniqueName(), "unbounded"), alone)
      })
    )

    it.effect("a write to a removed execution does not make its summary again", () =>
      Effect.gen(function* () {
        const repository = yield* SagaExecutionRepository.SagaExecutionRepository
        const { find, store } = repository
        const late = [store, (execution: SagaExecution.SagaExecution) => repository.atomically(store(execution))]
        for (const write of late) {
          const saga = SampleExecutions.uniqueName()
          const running = yield* store(SampleExecutions.started(yield* store(SampleExecutions.created({ saga }))))
          let execution = running
          for (const next of SampleExecutions.story.slice(1)) execution = yield* store(next(execution))
          yield* repository.delete(execution)
          yield* Effect.ignore(write(SampleExecutions.paused(running)))
          assert.deepStrictEqual((yield* find({ saga })).items, [])
        }
      })
    )
  })
}
