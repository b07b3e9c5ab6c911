/** Two processes of one service: each may take the other's replies, and of two that write at once one goes on. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { SagaManager, SagaResponse } from "effect-saga"
import {
  agreeable,
  CreateOrder,
  charged,
  context,
  lines,
  makeWorld,
  open,
  quiet,
  refusing,
  reserved,
  until
} from "../../fixtures/manager.ts"

it.effect("a caller is told of the end that another instance has brought about", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ keep: 10 })
    const one = yield* open(world)
    const two = yield* open(world)
    const running = yield* Effect.forkChild(one.use(SagaManager.run(CreateOrder, { context })))
    yield* until("the request", () => world.wire.sent.length === 1)
    const { uuid } = yield* two.use(
      SagaManager.run({
        response: new SagaResponse({ uuid: world.wire.sent[0]!.envelope.saga, content: reserved.content }),
        pauseOnDisk: true
      })
    )
    yield* two.use(SagaManager.run({ response: new SagaResponse({ uuid, content: charged.content }) }))
    yield* TestClock.adjust("30 seconds")
    const execution = yield* Fiber.join(running)
    assert.deepStrictEqual([execution.uuid, execution.status], [uuid, "finished"])
    assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10", "handle p-1"])
  })
)

for (const [end, answer] of [
  ["finished", agreeable],
  ["errored", refusing]
] as const) {
  it.effect(`copies of every message to both of them come to one end (${end})`, () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const { wire } = world
      const one = yield* open(world)
      const two = yield* open(world)
      // Every message is answered twice, and the broker gives each of the two its copy.
      const answered = new Set<string>()
      const { uuid } = yield* one.use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      wire.answer = answer
      for (let round = 0; round < 40; round++) {
        for (const sent of [...wire.sent]) {
          const copy = answer(sent.envelope, sent.address.name ?? "")
          if (copy === undefined || answered.has(sent.envelope.id)) continue
          answered.add(sent.envelope.id)
          yield* Effect.all([wire.reply(sent, copy), wire.reply(sent, copy)], { concurrency: "unbounded" })
        }
        yield* quiet
        yield* TestClock.adjust("1 second")
      }
      const execution = yield* two.manager.load(uuid)
      assert.deepStrictEqual([execution.status, execution.settled], [end, true])
      // One event for each thing that has happened, whoever stored it (I3, I6).
      const tags = execution.events.map((event) => `${event._tag} ${"path" in event ? event.path : ""}`)
      assert.strictEqual(new Set(tags).size, tags.length)
      assert.strictEqual(new Set(wire.sent.map(({ body }) => body)).size, end === "finished" ? 2 : 3)
      assert.strictEqual(wire.acknowledged >= answered.size, true)
    })
  )
}
