/** F23: durations at their bound, ten years, on every store: what waits so long is stored, read again, listed and claimed. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Schema, Scope } from "effect"
import { Broker, Saga, SagaConfig, SagaManager, Signal, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { databases } from "../../fixtures/postgres.ts"
import { until } from "../../fixtures/release.ts"

const longest = "3650 days"
const years = 3_650 * 86_400_000

const Approval = Signal.make("approval", { payload: Schema.String })
const asking = { target: "void/Do", content: () => ({}) } as const

/** One for each thing that may last, each of them waits at once. */
const sagas = {
  "a request": Saga.make("Request", { context: {} }).pipe(
    Saga.remote("it", { execute: asking, timeout: longest }),
    Saga.commit
  ),
  "a sleep": Saga.make("Sleep", { context: {} }).pipe(Saga.sleep("it", longest), Saga.commit),
  "a signal": Saga.make("Signal", { context: {}, deadline: longest }).pipe(
    Saga.waitFor("it", {
      signal: Approval,
      timeout: longest,
      onTimeout: { success: Schema.String, value: () => "nobody" }
    }),
    Saga.commit
  )
} as const

for (const { layer, name, schema } of databases("durations")) {
  withLayer(layer, { timeout: "2 minutes", excludeTestServices: true })(`durations: ${name}`, (it) => {
    for (const [what, saga] of Object.entries(sagas))
      it.effect(`F23: ${what} may last ten years, and the execution is read again`, () =>
        Effect.gen(function* () {
          const open = Effect.gen(function* () {
            const scope = yield* Scope.fork(yield* Scope.Scope)
            const services = yield* SagaManager.layer([saga]).pipe(
              Layer.provide([
                SagaConfig.layer({
                  service: "orders",
                  shutdownGrace: 0,
                  recoveryInterval: "100 millis",
                  replyTimeout: longest,
                  maxMessageLifetime: longest,
                  reserveTimeout: longest,
                  commitWait: longest,
                  resend: { initial: longest, max: longest, slowAfter: longest, slowMax: longest }
                }),
                SqlSagaExecutionRepository.layer({ schema, retention: longest }),
                Layer.fresh(Broker.layerMemory),
                TransactionCommitter.layerNone
              ]),
              Layer.fresh,
              Layer.buildWithScope(scope)
            )
            return { manager: Context.get(services, SagaManager.SagaManager), stop: Scope.close(scope, Exit.void) }
          })
          const one = yield* open
          const uuid = yield* one.manager.start(saga, { context: {} })
          yield* until("it waits", one.manager.load(uuid), ({ status }) => status === "paused")
          yield* one.stop
          const two = yield* open
          const loaded = yield* two.manager.load(uuid)
          const from = loaded.state.creation.at
          const times = [loaded.state.deadline, loaded.state.root.current?.deadline].filter(
            (time) => time !== undefined
          )
          assert.isAbove(times.length, 0)
          for (const time of times)
            assert.isTrue(time >= from + years && time < from + years + 60_000, `${time - from}`)
          const { items } = yield* two.manager.find({ saga: saga.name })
          assert.deepStrictEqual(
            items.map((item) => [item.uuid, item.status, item.unreadable]),
            [[uuid, "paused", undefined]]
          )
          // It can still be ended.
          yield* two.manager.cancel(uuid, { actor: "ann" })
          assert.strictEqual((yield* two.manager.load(uuid)).state.direction, "backward")
          yield* two.stop
        }).pipe(Effect.scoped)
      )
  })
}
