/** The broker in the process: where it listens, what it refuses, that it ends. */
import { createConnection } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Layer, Scope, Stream } from "effect"
import { Broker } from "effect-saga"
import { EmbeddedBroker } from "effect-saga/aedes"
import { MqttBroker } from "effect-saga/mqtt"

/** Whether somebody listens there. */
const listens = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = createConnection({ host: "127.0.0.1", port })
    socket.once("connect", () => resume(Effect.succeed(true)))
    socket.once("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => socket.destroy())
  })

const brokerAt = (url: string) => Layer.build(MqttBroker.layer({ url, protocol: 4 }))

describe("embedded broker", () => {
  it.live("the embedded broker carries a message from one process to another at its url", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedBroker.make()
      const [orders, payments] = [yield* brokerAt(url), yield* brokerAt(url)].map((it) =>
        Context.get(it, Broker.Broker)
      )
      const arrived = yield* Deferred.make<Broker.Delivery>()
      yield* payments!.subscribe({ service: "payments", kinds: ["tx"] }).pipe(
        Stream.runForEach((delivery) => Effect.andThen(delivery.acknowledge, Deferred.succeed(arrived, delivery))),
        Effect.forkScoped
      )
      const send = orders!.publish({ address: { to: "payments", kind: "tx", from: "orders" }, body: "hello" })
      // The subscription may not be registered yet.
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(send, Effect.sleep("10 millis"))))
      const { address, body } = yield* Deferred.await(arrived)
      assert.deepStrictEqual([address.from, body], ["orders", "hello"])
    })
  )

  it.effect("the embedded broker refuses a port that is out of range", () =>
    Effect.gen(function* () {
      for (const port of [-1, 65_536, 1.5, Number.NaN]) {
        const error = yield* Effect.flip(EmbeddedBroker.make({ port }))
        assert.strictEqual(error._tag === "InvalidSetting" ? error.setting : error._tag, "EmbeddedBroker.port")
      }
    })
  )

  it.live("the embedded broker fails on a port that is taken, and frees its own port at the end", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { port, url } = yield* Scope.provide(EmbeddedBroker.make(), scope)
      assert.strictEqual(url, `mqtt://127.0.0.1:${port}`)
      const error = yield* Effect.flip(EmbeddedBroker.make({ port }))
      if (error._tag !== "EmbeddedBrokerUnavailable") return assert.fail(error._tag)
      assert.deepStrictEqual([error.host, error.port], ["127.0.0.1", port])
      yield* Scope.provide(brokerAt(url), scope)
      assert.isTrue(yield* listens(port))
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(yield* listens(port))
      yield* EmbeddedBroker.make({ port })
    })
  )
})
