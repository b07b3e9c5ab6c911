/** A process that stops in a rolling deployment: what the broker has sent to it is handled there, and nothing waits until it is sent again. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Logger, Scope } from "effect"
import { Broker } from "effect-saga"
import { MqttBroker } from "effect-saga/mqtt"
import * as Consumer from "../../../src/ports/Consumer.ts"
import * as ShutdownGrace from "../../../src/ports/ShutdownGrace.ts"
import * as Mosquitto from "../../fixtures/mosquitto.ts"
import { ready, until } from "../../fixtures/mqtt.ts"

const maxInFlight = 4

/** A process that handles the commands of `a`, one after the other; `stop` ends it in good order. */
const open = Effect.fnUntraced(function* (url: string, handled: Array<string>) {
  const scope = yield* Scope.fork(yield* Scope.Scope)
  const context = yield* Scope.provide(Layer.build(MqttBroker.layer({ url })), scope)
  const grace = yield* Effect.provide(ShutdownGrace.make(20_000), ShutdownGrace.layer)
  const here: Array<string> = []
  const handle = ({ acknowledge, body }: Broker.Delivery) =>
    Effect.sleep("50 millis").pipe(
      Effect.andThen(Effect.sync(() => handled.push(here[here.push(body) - 1]!))),
      Effect.andThen(acknowledge)
    )
  const consuming = Consumer.run({ service: "a", kinds: ["command"], maxInFlight }, handle, grace)
  yield* Effect.forkIn(Effect.provide(consuming, context), scope, { startImmediately: true })
  yield* ready(Context.get(context, MqttBroker.MqttConnections))
  return { here, stop: Scope.close(scope, Exit.void), ...Context.get(context, Broker.Broker) }
})

if (Mosquitto.binary !== undefined) {
  it.live("C7 a process that stops handles each message that the broker has sent to it, and no more come", () =>
    Effect.gen(function* () {
      const { url } = yield* Mosquitto.started()
      const handled: Array<string> = []
      const first = yield* open(url, handled)
      const second = yield* open(url, handled)
      const send = (body: string) =>
        second.publish({ address: { to: "a", kind: "command", from: "b", name: "Do" }, body })
      const before = Array.from({ length: 200 }, (_, n) => `${n}`)
      yield* Effect.forEach(before, send)
      yield* until(Effect.sync(() => first.here.length > 0 && second.here.length > 0))
      // The process has at most `maxInFlight` messages. The broker keeps about half of the others for its session.
      assert.isBelow(handled.length, 100)
      const begun = first.here.length
      const stopping = yield* Effect.forkChild(first.stop, { startImmediately: true })
      const hasGoneOn = () => first.here.length > begun + 3 * maxInFlight
      // By then the broker has got acknowledgements that were sent after the word that the process takes no more.
      yield* until(Effect.sync(() => hasGoneOn() || stopping.pollUnsafe() !== undefined))
      assert.isTrue(hasGoneOn())
      const after = Array.from({ length: 20 }, (_, n) => `after ${n}`)
      yield* Effect.forEach(after, send)
      yield* Fiber.join(stopping)
      yield* until(Effect.sync(() => handled.length >= before.length + after.length))
      assert.deepStrictEqual([...handled].sort(), [...before, ...after].sort())
      assert.deepStrictEqual(
        first.here.filter((body) => body.startsWith("after")),
        []
      )
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([])))
  )

  it.live(
    "C7 a broker whose sessions outlive their processes does not drain: messages wait there for the next process",
    () =>
      Effect.gen(function* () {
        const { url } = yield* Mosquitto.started()
        const services = yield* Layer.build(MqttBroker.layer({ url, clientId: "a-1" }))
        assert.isFalse(Context.get(services, Broker.Broker).drains)
      }).pipe(Effect.scoped, Effect.provide(Logger.layer([])))
  )
}
