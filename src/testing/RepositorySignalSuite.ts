/** The part `inbox` of the repository suite for signals: the store refuses those that its head does not name (SPEC C16). */
import { assert } from "@effect/vitest"
import { Effect, Result } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"
import * as Sample from "./SampleExecutions.ts"
import type * as Suite from "./Suite.ts"

const repository = Repository.SagaExecutionRepository

const rowOf = ({ uuid }: SagaExecution, id: string) => ({ uuid, id, input: { _tag: "Signal" }, at: Sample.time })

/** The answer to a signal, and whether it waits for the owner then. */
const signal = Effect.fnUntraced(function* (execution: SagaExecution, name: string, id = Sample.uniqueName()) {
  const { inbox, submit } = yield* repository
  const answer = yield* Effect.result(submit(rowOf(execution, id), name))
  const rows = yield* inbox(execution.uuid)
  const isThere = rows.some((row) => row.id === id)
  const said = Result.isSuccess(answer) ? answer.success : answer.failure._tag
  assert.strictEqual(isThere, said === "stored" || said === "known", said)
  return said
})

/** Begun, with waits for two signals. */
const begun = Effect.fnUntraced(function* (options: Sample.Options = {}) {
  const { store } = yield* repository
  return yield* store(Sample.started(Sample.created({ signals: ["approval", "stop"], ...options })))
})

export const signals = (test: Suite.Test<Repository.SagaExecutionRepository>): void => {
  test("C16 a signal is stored where the saga has a wait for it, from the first write of its execution on", () =>
    Effect.gen(function* () {
      const { store } = yield* repository
      const execution = yield* begun()
      assert.strictEqual(yield* signal(execution, "approval"), "stored")
      const later = yield* store(Sample.paused(execution), { wakeAt: Sample.time + 60_000 })
      assert.strictEqual(yield* signal(later, "stop"), "stored")
      assert.strictEqual(yield* signal(later, "reminder"), "unknown-signal")
      const without = yield* store(Sample.started(Sample.created()))
      assert.strictEqual(yield* signal(without, "approval"), "unknown-signal")
    }))

  test("C16 the names of signals stand where an execution is read without its saga, and are written once", () =>
    Effect.gen(function* () {
      const { load, store } = yield* repository
      const { uuid } = yield* begun()
      const unbound = yield* load(uuid)
      assert.isUndefined(unbound.definition)
      const paused = yield* store(Sample.paused(unbound), { wakeAt: Sample.time + 60_000 })
      assert.strictEqual(yield* signal(paused, "approval"), "stored")
      assert.strictEqual(yield* signal(paused, "reminder"), "unknown-signal")
    }))

  test("C16 a signal for an execution that turns back, or has ended, is not stored", () =>
    Effect.gen(function* () {
      const { store } = yield* repository
      const paused = yield* store(Sample.paused(yield* begun()))
      const back = yield* store(Sample.refused(paused))
      assert.strictEqual(yield* signal(back, "approval"), "going-back")
      assert.strictEqual(yield* signal(back, "reminder"), "going-back")
      const errored = yield* store(Sample.parked(back))
      assert.strictEqual(yield* signal(errored, "approval"), "ended")
      const other = yield* store(Sample.finished(yield* store(Sample.paused(yield* begun()))))
      assert.strictEqual(yield* signal(other, "approval"), "ended")
      const settled = yield* store(Sample.committed(other))
      // A repository may forget an execution that is over.
      assert.include(["ended", "SagaExecutionNotFound"], yield* signal(settled, "approval"))
      assert.strictEqual(yield* signal(Sample.created(), "approval"), "SagaExecutionNotFound")
    }))

  test("C16 an input that is no signal needs no name, and is stored while the execution turns back", () =>
    Effect.gen(function* () {
      const { store, submit } = yield* repository
      const back = yield* store(Sample.refused(yield* store(Sample.paused(yield* begun()))))
      assert.strictEqual(yield* submit(rowOf(back, "cancel")), "stored")
    }))

  test("C16 a signal that waits already is known, also when its execution has turned back since", () =>
    Effect.gen(function* () {
      const { store } = yield* repository
      const paused = yield* store(Sample.paused(yield* begun()))
      assert.strictEqual(yield* signal(paused, "approval", "one"), "stored")
      assert.strictEqual(yield* signal(paused, "approval", "one"), "known")
      const back = yield* store(Sample.refused(paused))
      assert.strictEqual(yield* signal(back, "approval", "one"), "known")
      assert.strictEqual(yield* signal(back, "approval", "two"), "going-back")
    }))

  test("C16 a signal that comes while the execution ends is refused or keeps it from ending, and is never lost", () =>
    Effect.gen(function* () {
      const { store, submit } = yield* repository
      for (let i = 0; i < 12; i++) {
        const finished = Sample.finished(yield* store(Sample.paused(yield* begun())))
        const write = Effect.result(store(finished, { closes: true }))
        const send = submit(rowOf(finished, "late"), "approval")
        const atOnce = { concurrency: "unbounded" } as const
        const { ended, sent } = yield* i % 2 === 0
          ? Effect.all({ ended: write, sent: send }, atOnce)
          : Effect.all({ sent: send, ended: write }, atOnce)
        assert.strictEqual(sent, Result.isFailure(ended) ? "stored" : "ended")
      }
    }))
}
