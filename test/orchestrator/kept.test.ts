/** An execution that a caller of this process waits for goes on with a reply without a read; another instance may have gone on since. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { SagaManager, SagaResponse } from "effect-saga"
import {
  CreateOrder,
  charged,
  context,
  declined,
  lines,
  makeWorld,
  open,
  quiet,
  reached,
  reserved,
  until
} from "../fixtures/manager.ts"

const begun = Effect.gen(function* () {
  const world = yield* makeWorld({ keep: 10 })
  const one = yield* open(world)
  const two = yield* open(world)
  let loads = 0
  world.store.fault = (operation) => {
    if (operation === "load") loads++
    return undefined
  }
  const running = yield* Effect.forkChild(one.use(SagaManager.run(CreateOrder, { context, raiseOnError: false })))
  yield* until("the request", () => world.wire.sent.length === 1)
  return {
    ...world,
    world,
    two,
    running,
    loads: () => loads,
    forget: () => {
      loads = 0
    },
    uuid: world.wire.sent[0]!.envelope.saga
  }
})

/** Only the process of the caller takes replies from now on. */
const alone = Effect.tap(begun, ({ two }) => two.close)

/** Its runner has stored that it waits, has ended, and has left the execution in memory. What was loaded until then does not count. */
const atRest = Effect.fnUntraced(function* ({ forget, uuid, world }: Effect.Success<typeof begun>) {
  yield* reached(world.store.repository.load(uuid), "paused")
  yield* quiet
  forget()
})

it.effect("replies to an execution whose caller waits here are taken without a read", () =>
  Effect.gen(function* () {
    const it = yield* alone
    const { loads, running, wire } = it
    yield* atRest(it)
    yield* wire.reply(wire.sent[0]!, reserved)
    yield* until("the second request", () => wire.sent.length === 2)
    assert.strictEqual(loads(), 0)
    yield* atRest(it)
    yield* wire.reply(wire.sent[1]!, charged)
    assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    assert.strictEqual(loads(), 0)
  })
)

it.effect("a reply is read for where the caller is gone", () =>
  Effect.gen(function* () {
    const { loads, running, wire } = yield* alone
    yield* quiet
    yield* Fiber.interrupt(running)
    yield* wire.reply(wire.sent[0]!, reserved)
    yield* until("the second request", () => wire.sent.length === 2)
    assert.isAbove(loads(), 0)
  })
)

/** Another instance has got the first reply, and has ended. */
const overtaken = Effect.gen(function* () {
  const it = yield* begun
  yield* it.two.use(
    SagaManager.run({
      response: new SagaResponse({ uuid: it.uuid, step: "stock", content: reserved.content }),
      pauseOnDisk: true
    })
  )
  yield* until("the second request", () => it.wire.sent.length === 2)
  yield* quiet
  yield* it.two.close
  return it
})

it.effect("a reply to what another instance has asked meanwhile is not dropped", () =>
  Effect.gen(function* () {
    const { running, wire, world } = yield* overtaken
    yield* wire.reply(wire.sent[1]!, charged)
    yield* until("the reply is acknowledged", () => wire.acknowledged === 1)
    assert.include(lines(world), "handle p-1")
    assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    assert.deepStrictEqual(world.logged, [])
  })
)

it.effect("a reply that another instance has had already changes nothing, whatever it says", () =>
  Effect.gen(function* () {
    const { running, uuid, wire, world } = yield* overtaken
    yield* wire.reply(wire.sent[0]!, declined)
    yield* until("the copy is acknowledged", () => wire.acknowledged === 1)
    assert.strictEqual((yield* world.store.repository.load(uuid)).status, "paused")
    yield* wire.reply(wire.sent[1]!, charged)
    assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10", "handle p-1"])
  })
)
