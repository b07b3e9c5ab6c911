/** Where an instance can be stopped, and what has happened by then. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Stream } from "effect"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as KeyValueRepository from "../../src/adapters/keyvalue/KeyValueRepository.ts"
import * as Broker from "../../src/ports/Broker.ts"
import { FaultPoint, type Name } from "../../src/ports/FaultPoint.ts"
import * as MemoryBroker from "../../src/ports/MemoryBroker.ts"
import * as Repository from "../../src/ports/SagaExecutionRepository.ts"
import * as Sample from "../../src/testing/SampleExecutions.ts"

/** Notes where the effect comes by. */
const visited = Effect.fnUntraced(function* <A, E, R>(self: Effect.Effect<A, E, R>) {
  const names: Array<Name> = []
  yield* Effect.provideService(Effect.exit(self), FaultPoint, (name) => Effect.sync(() => names.push(name)))
  return names
})

const stopAt =
  (at: Name) =>
  <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.exit(Effect.provideService(self, FaultPoint, (name) => (name === at ? Effect.interrupt : Effect.void)))

it.effect("a fault point does nothing unless a test gives a handler", () =>
  Effect.gen(function* () {
    yield* FaultPoint.at("store.before")
    assert.strictEqual(yield* FaultPoint.around("callback", () => Effect.succeed(1)), 1)
    assert.strictEqual(yield* Effect.flip(FaultPoint.around("callback", () => Effect.fail("no"))), "no")
  })
)

it.effect("a fault point marks a place, or both sides of an effect, also of one that fails", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* visited(FaultPoint.at("publish.after")), ["publish.after"])
    const sides = ["callback.before", "callback.after"]
    assert.deepStrictEqual(yield* visited(FaultPoint.around("callback", () => Effect.void)), sides)
    assert.deepStrictEqual(yield* visited(FaultPoint.around("callback", () => Effect.fail("no"))), sides)
    assert.deepStrictEqual(yield* visited(FaultPoint.around("callback", () => Effect.die("no"))), sides)
  })
)

it.effect("a fault point keeps the result of the effect", () =>
  Effect.gen(function* () {
    const noted = Effect.provideService(FaultPoint, () => Effect.void)
    assert.strictEqual(yield* noted(FaultPoint.around("callback", () => Effect.succeed(1))), 1)
    assert.strictEqual(yield* Effect.flip(noted(FaultPoint.around("callback", () => Effect.fail("no")))), "no")
  })
)

describe("memory layers", () => {
  const repositories = {
    memory: Repository.layerMemory,
    "key value store": Layer.provide(KeyValueRepository.layer(), KeyValueStore.layerMemory)
  }

  for (const [name, layer] of Object.entries(repositories)) {
    it.effect(`at the fault points of a write nothing is stored before and everything after (${name})`, () =>
      Effect.gen(function* () {
        const { load, store } = yield* Repository.SagaExecutionRepository
        const execution = Sample.created()
        assert.isTrue(Exit.hasInterrupts(yield* stopAt("store.before")(store(execution))))
        assert.strictEqual((yield* Effect.flip(load(execution.uuid)))._tag, "SagaExecutionNotFound")
        assert.isTrue(Exit.hasInterrupts(yield* stopAt("store.after")(store(execution))))
        assert.strictEqual((yield* load(execution.uuid)).revision, 1)
      }).pipe(Effect.provide(layer))
    )
  }

  it.effect("at the fault points of a publish nothing is published before and everything after", () =>
    Effect.gen(function* () {
      const { publish, subscribe } = yield* Broker.Broker
      const message = (body: string): Broker.Message => ({ address: { to: "a", kind: "reply", from: "b" }, body })
      yield* stopAt("publish.before")(publish(message("1")))
      yield* stopAt("publish.after")(publish(message("2")))
      const arrived = yield* Stream.runCollect(Stream.take(subscribe({ service: "a", kinds: ["reply"] }), 1))
      assert.deepStrictEqual(
        arrived.map(({ body }) => body),
        ["2"]
      )
    }).pipe(Effect.provide(MemoryBroker.layerMemory))
  )

  it.effect("at the fault points of an acknowledgement nothing is acknowledged before and everything after", () =>
    Effect.gen(function* () {
      const { publish, subscribe } = yield* Broker.Broker
      const received: Array<boolean> = []
      const one = (at: Name) =>
        subscribe({ service: "a", kinds: ["reply"] }).pipe(
          Stream.take(1),
          Stream.runForEach(({ acknowledge, redelivered }) => {
            received.push(redelivered)
            return stopAt(at)(acknowledge)
          })
        )
      yield* publish({ address: { to: "a", kind: "reply", from: "b" }, body: "1" })
      yield* one("acknowledge.before")
      yield* one("acknowledge.after")
      yield* publish({ address: { to: "a", kind: "reply", from: "b" }, body: "2" })
      yield* one("acknowledge.after")
      assert.deepStrictEqual(received, [false, true, false])
    }).pipe(Effect.provide(MemoryBroker.layerMemory))
  )
})
