/** The metrics of executions: counted by the facts that are stored, with the times of these facts. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaManager } from "effect-saga"
import { errorOf } from "../../src/orchestrator/MeasureFacts.ts"
import {
  agreeable,
  CreateOrder,
  charged,
  context,
  counting,
  declined,
  quiet,
  start,
  until
} from "../fixtures/manager.ts"
import { everySeries, seriesOf } from "../fixtures/metrics.ts"
import { isMemory } from "../fixtures/repository.ts"

const secret = "PASSPORT-1234567"

describe("the metrics of executions", () => {
  it.effect("an execution that commits is counted once, with its steps and its replies", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      wire.answer = agreeable
      yield* use(SagaManager.execute(CreateOrder, { context }))
      yield* quiet
      assert.deepStrictEqual(yield* seriesOf("effect_saga_started"), { CreateOrder: 1 })
      assert.deepStrictEqual(yield* seriesOf("effect_saga_settled"), { "CreateOrder finished": 1 })
      assert.deepStrictEqual(yield* seriesOf("effect_saga_duration"), { CreateOrder: 1 })
      assert.deepStrictEqual(yield* seriesOf("effect_saga_step_duration"), {
        "CreateOrder stock": 1,
        "CreateOrder invoice": 1,
        "CreateOrder payment": 1
      })
      assert.deepStrictEqual(yield* seriesOf("effect_saga_reply_seconds"), { "stock Reserve": 1, "payments Charge": 1 })
      assert.deepStrictEqual(yield* seriesOf("effect_saga_step_failures"), {})
    }).pipe(counting)
  )

  it.effect("a step that is refused is counted by the tag of its error, and what is undone by its outcome", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      wire.answer = (envelope, command) => (command === "Charge" ? declined : agreeable(envelope, command))
      yield* Effect.result(use(SagaManager.execute(CreateOrder, { context })))
      yield* quiet
      assert.deepStrictEqual(yield* seriesOf("effect_saga_settled"), { "CreateOrder errored": 1 })
      assert.deepStrictEqual(yield* seriesOf("effect_saga_step_failures"), { "CreateOrder payment CardDeclined": 1 })
      assert.deepStrictEqual(yield* seriesOf("effect_saga_undo_attempts"), {
        "CreateOrder invoice undone": 1,
        "CreateOrder stock undone": 1
      })
    }).pipe(counting)
  )

  if (isMemory) {
    it.effect("times are in seconds, and what is sent again is counted by service", () =>
      Effect.gen(function* () {
        const { use, wire } = yield* start()
        wire.answer = (envelope, command) => (command === "Charge" ? undefined : agreeable(envelope, command))
        yield* Effect.forkChild(Effect.result(use(SagaManager.execute(CreateOrder, { context }))))
        yield* until("the charge is sent", () => wire.of("execute", "payments").length === 1)
        yield* TestClock.adjust("4 seconds")
        yield* wire.reply(wire.of("execute", "payments")[0]!, charged)
        yield* quiet
        assert.deepStrictEqual(yield* seriesOf("effect_saga_settled"), { "CreateOrder finished": 1 })
        assert.isAtLeast((yield* seriesOf("effect_saga_resends")).payments ?? 0, 1)
        assert.deepStrictEqual(yield* seriesOf("effect_saga_running"), { orders: 0 })
      }).pipe(counting)
    )
  }

  it.effect("no value of an execution becomes a label", () =>
    Effect.gen(function* () {
      class Odd extends Schema.TaggedError<Odd>()("Odd", { said: Schema.String }) {}
      const Hides = Saga.make("Hides", { context: { name: Schema.String } }).pipe(
        Saga.local("first", {
          success: Schema.String,
          execute: () => Effect.succeed(secret),
          compensate: () => Effect.void
        }),
        Saga.local("second", {
          success: Schema.String,
          error: Odd,
          execute: () => Effect.fail(new Odd({ said: secret }))
        }),
        Saga.commit
      )
      const { use } = yield* start({ sagas: [Hides] })
      const options = { context: { name: secret }, startKey: secret, user: secret }
      assert.isTrue(Result.isFailure(yield* Effect.result(use(SagaManager.execute(Hides, options)))))
      yield* quiet
      const all = JSON.stringify(yield* everySeries)
      assert.include(all, "effect_saga_step_failures")
      assert.notInclude(all, secret)
    }).pipe(counting)
  )
})

it("the tag of an error is a label only where it is a name", () => {
  const at = { path: "0", step: "pay" }
  const tagged = (_tag: string) => errorOf({ _tag: "StepError", ...at, error: { _tag } })
  assert.strictEqual(tagged("CardDeclined"), "CardDeclined")
  assert.strictEqual(tagged("card 4111 1111 1111 1111"), "other")
  assert.strictEqual(tagged("x".repeat(65)), "other")
  assert.strictEqual(errorOf({ _tag: "StepError", ...at, error: secret }), "StepError")
  assert.strictEqual(errorOf({ _tag: "StepDefect", ...at, defect: secret }), "StepDefect")
})
