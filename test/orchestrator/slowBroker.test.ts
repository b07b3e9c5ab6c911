/** A broker that takes no message, and does not say so either: nothing but the messages waits for it (SPEC C20, I29). */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaManager } from "effect-saga"
import { makeWorld, open, quiet, until } from "../fixtures/manager.ts"

const Asking = Saga.make("Asking", { context: {} }).pipe(
  Saga.remote("ask", { execute: { target: "stock/Count", content: () => null }, timeout: "1 day" }),
  Saga.commit
)

it.effect("C20 an instance keeps its lease while its broker does not come back from a message that is sent again", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld()
    const { repository } = world.store
    const { claim } = repository
    let claims = 0
    Object.assign(repository, {
      claim: (request: Parameters<typeof claim>[0]) => {
        claims++
        return claim(request)
      }
    })
    const { use } = yield* open(world, { sagas: [Asking], recoveryInterval: "3 seconds", lease: "9 seconds" })
    yield* use(SagaManager.start(Asking, { context: {} }))
    yield* until("it has asked", () => world.wire.sent.length === 1)
    let stuck = 0
    Object.assign(world.wire.broker, {
      publish: () => {
        stuck++
        return Effect.never
      }
    })
    yield* TestClock.adjust("5 seconds")
    yield* quiet
    assert.isAbove(stuck, 0)
    claims = 0
    yield* TestClock.adjust("30 seconds")
    yield* quiet
    assert.isAtLeast(claims, 5)
  })
)
