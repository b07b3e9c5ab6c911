/** C20: who runs an execution. What waits has no owner, and one instance goes on with it when it is due. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaManager } from "effect-saga"
import { CreateOrder, context, lines, makeWorld, open, quiet, reserved, until, write } from "../fixtures/manager.ts"

const config = { recoveryInterval: "3 seconds", lease: "9 seconds" } as const

it.effect("F7 of three instances one sends a request again, each time it is due", () =>
  Effect.gen(function* () {
    const sends: Array<number> = []
    for (const count of [1, 3]) {
      const world = yield* makeWorld({ keep: 10 })
      const instances = yield* Effect.forEach(Array.from({ length: count }), () => open(world, config))
      yield* instances[0]!.use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      const { envelope } = world.wire.sent[0]!
      // The reply comes to another instance, which sends the next request.
      const reply = { inReplyTo: envelope.id, sender: envelope.service, relatedServices: [], ...reserved } as const
      assert.strictEqual(yield* instances.at(-1)!.manager.reply(envelope.saga, reply), "applied")
      yield* TestClock.adjust("35 seconds")
      yield* quiet
      const last = world.wire.sent.at(-1)!.envelope.id
      sends.push(world.wire.sent.filter(({ envelope }) => envelope.id === last).length)
    }
    assert.isAbove(sends[0]!, 3, "it was sent again")
    assert.strictEqual(sends[1], sends[0])
  })
)

it.effect("C16 an input that comes to another instance is refused by the owner, and its sender is told", () =>
  Effect.gen(function* () {
    const gate = Deferred.makeUnsafe<void>()
    const slow = Saga.make("Slow", { context: {} }).pipe(
      Saga.local("wait", { execute: () => Effect.andThen(write("begun"), Deferred.await(gate)) }),
      Saga.commit
    )
    const world = yield* makeWorld({ keep: 10 })
    const one = yield* open(world, { ...config, sagas: [slow] })
    const two = yield* open(world, { ...config, sagas: [slow] })
    const running = yield* Effect.forkChild(one.use(SagaManager.run(slow, { context: {} })))
    yield* until("the step runs", () => lines(world).length === 1)
    const [{ uuid } = { uuid: "" }] = (yield* two.manager.find({})).items
    const parked = yield* Effect.forkChild(Effect.flip(two.manager.retryParked(uuid, "0", { actor: "ada" })))
    yield* quiet
    const { events } = yield* two.manager.load(uuid)
    assert.notInclude(
      events.map(({ _tag }) => _tag),
      "ActionRefused",
      "nobody but the owner writes"
    )
    yield* Deferred.succeed(gate, undefined)
    assert.deepInclude(yield* Fiber.join(parked), { _tag: "SagaStepNotParked", uuid, path: "0" })
    assert.strictEqual((yield* Fiber.join(running)).status, "finished")
  })
)

it.effect("I28 a claim that brings an execution as it was before does not run its step again", () =>
  Effect.gen(function* () {
    const gate = Deferred.makeUnsafe<void>()
    const answer = Deferred.makeUnsafe<void>()
    const slow = Saga.make("Slow", { context: {} }).pipe(
      Saga.local("wait", { execute: () => Effect.andThen(write("begun"), Deferred.await(gate)) }),
      Saga.commit
    )
    const world = yield* makeWorld({ keep: 10 })
    const { repository } = world.store
    const { claim } = repository
    let brought: ReadonlyArray<string> = []
    const one = yield* open(world, { ...config, sagas: [slow] })
    const running = yield* Effect.forkChild(one.use(SagaManager.run(slow, { context: {} })))
    yield* until("the step runs", () => lines(world).length === 1)
    // The claim was sent before the execution began, so it does not say that this process has it; its answer comes late.
    Object.assign(repository, {
      claim: (request: Parameters<typeof claim>[0]) =>
        Effect.tap(claim({ ...request, holds: [] }), ({ executions }) => {
          brought = executions.map(({ status }) => status)
          Object.assign(repository, { claim })
          return Deferred.await(answer)
        })
    })
    yield* TestClock.adjust("3 seconds")
    yield* until("the claim has read it", () => brought.length === 1)
    assert.deepStrictEqual(brought, ["running"])
    yield* Deferred.succeed(gate, undefined)
    assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    yield* Deferred.succeed(answer, undefined)
    yield* quiet
    assert.deepStrictEqual(lines(world), ["begun"])
  })
)
