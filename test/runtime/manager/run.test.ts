import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { SagaManager } from "effect-saga"
import { agreeable, context, CreateOrder, lines, start } from "../../fixtures/manager.ts"

it.effect("runs", () =>
  Effect.gen(function* () {
    const { world, wire, use, story } = yield* start()
    wire.answer = agreeable
    const execution = yield* use(SagaManager.run(CreateOrder, { context, user: "ada" }))
    console.log(execution.status, execution.context, story, lines(world), world.logged)
    assert.strictEqual(execution.status, "finished")
  })
)
