/** The sagas of a program, found by the name and the fingerprint that storage has. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import * as Saga from "../../src/definition/Saga.ts"
import * as SagaRegistry from "../../src/definition/SagaRegistry.ts"
import * as SagaShape from "../../src/definition/SagaShape.ts"
import { PlaceOrder } from "./order.ts"

const nothing = () => Effect.void
const of = (name: string, version?: string) =>
  Saga.make(name, { context: {}, ...(version !== undefined && { version }) }).pipe(
    Saga.local("one", { execute: nothing }),
    Saga.commit
  )

describe("SagaRegistry", () => {
  const one = of("S", "1")
  const two = of("S", "2")
  const registry = Result.getOrThrow(SagaRegistry.make([one, PlaceOrder, two]))

  it("a registry holds several versions of one name, the last one given as the latest", () => {
    assert.deepStrictEqual(registry.sagas, [one, two, PlaceOrder])
    assert.deepStrictEqual(registry.byName("S"), [one, two])
    assert.strictEqual(Result.getOrThrow(registry.latest("S")), two)
    assert.strictEqual(Result.getOrThrow(registry.find("S", one.fingerprint)), one)
    assert.strictEqual(Result.getOrThrow(registry.find("S", two.fingerprint)), two)
    assert.deepStrictEqual([one, two, of("S", "3"), of("T")].map(registry.has), [true, true, false, false])
  })

  it("DEF-019 decoding looks up name and fingerprint, and gives the registered saga itself", () => {
    const stored = JSON.parse(JSON.stringify(SagaShape.of(PlaceOrder)))
    assert.strictEqual(Result.getOrThrow(registry.find(stored.saga, stored.fingerprint)), PlaceOrder)
  })

  it("OPE-005 an unknown fingerprint or name is a typed error that names it", () => {
    assert.deepStrictEqual(
      registry.find("S", "f00"),
      Result.fail(
        new SagaRegistry.SagaDefinitionDrift({
          saga: "S",
          fingerprint: "f00",
          known: [one.fingerprint, two.fingerprint]
        })
      )
    )
    const missing = Result.getOrThrow(Result.flip(registry.find("Lost", "f00")))
    assert.deepStrictEqual([missing.saga, missing.fingerprint, missing.known], ["Lost", "f00", []])
    assert.strictEqual(missing.message, 'saga "Lost" with fingerprint f00 is not registered, only none')
    const unregistered = Result.getOrThrow(Result.flip(registry.latest("Lost")))
    assert.deepStrictEqual([unregistered._tag, unregistered.known], ["SagaNotRegistered", ["S", "PlaceOrder"]])
    assert.strictEqual(unregistered.message, 'saga "Lost" is not registered, only S, PlaceOrder')
    const other = new SagaRegistry.SagaNotRegistered({ saga: "S", known: ["S", "PlaceOrder"] })
    assert.strictEqual(
      other.message,
      'another form of saga "S" is registered, with other steps or another version, and not this one: give this one to the layer too'
    )
    const none = Result.getOrThrow(SagaRegistry.make([]))
    const empty = Result.getOrThrow(Result.flip(none.latest("Lost")))
    assert.strictEqual(empty.message, 'saga "Lost" is not registered, only none')
    assert.deepStrictEqual(registry.byName("Lost"), [])
  })

  it("a registry takes the same saga twice as one", () => {
    const twice = Result.getOrThrow(SagaRegistry.make([one, of("S", "1")]))
    assert.strictEqual(twice.sagas.length, 1)
    assert.strictEqual(twice.sagas[0], one)
  })

  it("a registry fails with every issue of every saga", () => {
    const open = Saga.make("Open", { context: {} }).pipe(Saga.local("one", { execute: nothing }))
    const wrong = Saga.make("Wrong", { context: {} }).pipe(
      Saga.local("one", { execute: nothing, timeout: -1 }),
      Saga.remote("two", { execute: { target: "nobody/knows" } }),
      Saga.commit
    )
    const failed = Result.getOrThrow(Result.flip(SagaRegistry.make([open, one, wrong], { participants: [] })))
    assert.deepStrictEqual(
      failed.issues.map(({ _tag, path, saga }) => [saga, path, _tag]),
      [
        ["Open", "", "SagaNotCommitted"],
        ["Wrong", "0", "InvalidPolicy"],
        ["Wrong", "1", "UnknownParticipant"]
      ]
    )
    assert.strictEqual(failed.message.split("\n").length, 3)
    const json = Schema.fromJsonString(Schema.toCodecJson(SagaRegistry.SagaInvalid))
    assert.deepStrictEqual(Schema.decodeSync(json)(Schema.encodeSync(json)(failed)).issues, failed.issues)
  })
})
