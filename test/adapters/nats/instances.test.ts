/** Instances of a service that are killed and frozen under load (F38): those that live answer everything. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger } from "effect"
import { Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import * as Nats from "../../fixtures/nats.ts"
import * as Program from "../../kill/Program.ts"
import { Stock } from "../mqtt/Stock.ts"

const Order = Saga.make("Order", { context: {} }).pipe(
  Saga.remote("instance", { execute: { command: Stock.commands.Reserve, payload: () => ({}) } }),
  Saga.commit
)

const instance = Effect.fnUntraced(function* (url: string, number: number) {
  const program = yield* Program.start(new URL("./instance.program.ts", import.meta.url), url, `${number}`)
  yield* Program.printed(program, "up")
  return program
})

/** Begins orders one after the other, and gives the instances that answer. */
const orders = Effect.fnUntraced(function* (url: string) {
  const broker = yield* Nats.open({ url })
  const services = yield* Layer.build(
    SagaManager.layer([Order]).pipe(
      Layer.provide([
        SagaConfig.layer({ service: "orders" }),
        SagaExecutionRepository.layerMemory,
        TransactionCommitter.layerNone,
        broker.layer
      ])
    )
  )
  const place = Effect.provideContext(SagaManager.execute(Order, { context: {} }), services)
  return Effect.fnUntraced(function* (count: number) {
    const fibers: Array<Fiber.Fiber<{ readonly instance: number }, unknown>> = []
    for (let n = 0; n < count; n++) {
      fibers.push(yield* Effect.forkScoped(place, { startImmediately: true }))
      yield* Effect.sleep("10 millis")
    }
    return Effect.map(Effect.forEach(fibers, Fiber.join), (all) => all.map(({ instance }) => instance))
  })
})

if (Nats.binary !== undefined) {
  describe("F38 instances on a NATS server", () => {
    it.live("F38 C13 those that live answer everything while others are frozen, killed and started", () =>
      Effect.gen(function* () {
        const { url } = yield* Nats.started()
        const [frozen, killed] = yield* Effect.all([instance(url, 0), instance(url, 1)], { concurrency: 2 })
        const begin = yield* orders(url)
        yield* frozen.signal("SIGSTOP")
        assert.deepStrictEqual(new Set(yield* yield* begin(30)), new Set([1]))
        yield* frozen.signal("SIGCONT")
        // It takes its part again.
        yield* Effect.repeat(Effect.flatten(begin(4)), { until: (all) => all.includes(0) })
        const before = yield* begin(10)
        yield* killed.kill
        const after = yield* begin(30)
        assert.strictEqual((yield* before).length, 10)
        assert.strictEqual((yield* after).length, 30)
        assert.deepStrictEqual(new Set(yield* yield* begin(5)), new Set([0]))
      }).pipe(Effect.provide(Logger.layer([])))
    )
  })
}
