/** Replies that cannot be read, or come from somebody else than was asked, are kept for people, without their content. */
import { Buffer } from "node:buffer"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { DeadLetters, SagaManager } from "effect-saga"
import { CreateOrder, context, makeWorld, messageOf, open, quiet, reserved, until } from "../fixtures/manager.ts"

it.effect("C11, C12 a refused reply is a dead letter; a late one, or one for an execution that is gone, is not", () =>
  Effect.gen(function* () {
    const letters = DeadLetters.makeMemory()
    const world = yield* makeWorld()
    const { use } = yield* open({
      ...world,
      layers: Layer.merge(world.layers, Layer.succeed(DeadLetters.DeadLetters, letters))
    })
    const fiber = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context })))
    yield* until("the request is sent", () => world.wire.sent.length > 0)
    const [request] = world.wire.sent
    const asked = request!.envelope
    const gone = { ...asked, saga: asked.saga.replace(/^./, "f"), id: asked.id.replace(/^./, "f") }
    const address = { to: "orders", kind: "reply", from: "stock" } as const
    yield* world.wire.deliver({ address, body: "secret" })
    yield* world.wire.deliver({ address: { ...address, from: "eve" }, body: messageOf(asked, reserved).body })
    yield* world.wire.deliver(messageOf({ ...asked, service: "eve" }, reserved))
    yield* world.wire.deliver(messageOf(gone, reserved))
    yield* quiet
    const listed = yield* letters.list()
    assert.deepStrictEqual(listed.map(({ reason, sender, size, topic }) => [reason, sender, size, topic]).reverse(), [
      ["MessageMalformed", "stock", 6, "saga/v1/orders/reply/stock"],
      ["SenderMismatch", "eve", Buffer.byteLength(messageOf(asked, reserved).body), "saga/v1/orders/reply/eve"],
      [
        "SenderMismatch",
        "eve",
        Buffer.byteLength(messageOf({ ...asked, service: "eve" }, reserved).body),
        "saga/v1/orders/reply/eve"
      ]
    ])
    assert.notInclude(JSON.stringify(listed), "secret")
    yield* Fiber.interrupt(fiber)
  })
)
