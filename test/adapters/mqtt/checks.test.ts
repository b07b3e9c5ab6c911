/** What `doctor` asks a broker: whether it is reached, and who listens. Nothing comes of the question. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { DeadLetters, Participant, ParticipantStore, Saga } from "effect-saga"
import { run } from "effect-saga/cli"
import { MqttBroker } from "effect-saga/mqtt"
import type { AskedServices } from "../../../src/ports/Check.ts"
import * as Mosquitto from "../../fixtures/mosquitto.ts"
import { ready, url } from "../../fixtures/mqtt.ts"

const Stock = Participant.make("stock", { Reserve: { payload: { sku: Schema.String } } })
const namespace = `doctor-${process.pid}`
const asked = { service: "orders", targets: ["stock", "nobody"] }

if (url !== undefined) {
  const options = { url, namespace }
  it.live("say who listens, and leave no trace at the service that is asked", () =>
    Effect.gen(function* () {
      const letters = DeadLetters.makeMemory()
      const broker = yield* Layer.build(MqttBroker.layer(options))
      yield* Layer.build(
        Participant.layer(Stock, { Reserve: () => Effect.die("nothing is asked") }).pipe(
          Layer.provide([
            ParticipantStore.layerMemory,
            Layer.succeedContext(broker),
            Layer.succeed(DeadLetters.DeadLetters, letters)
          ])
        )
      )
      yield* ready(Context.get(broker, MqttBroker.MqttConnections))
      const found = yield* MqttBroker.checks(options)(asked)
      assert.deepStrictEqual(
        found.map(({ found, state, what }) => [what, state, what === "broker" ? "" : found]),
        [
          ["broker", "ok", ""],
          ["service stock", "ok", "listens"],
          ["service nobody", "failed", "nobody listens"]
        ]
      )
      assert.deepStrictEqual(yield* letters.list(), [])
    })
  )
}

it.live("say that no broker is there, that the options are wrong, and nothing of listeners with MQTT 3.1.1", () =>
  Effect.gen(function* () {
    const [away] = yield* MqttBroker.checks({ url: "mqtt://127.0.0.1:1" })(asked)
    assert.deepInclude(away, { what: "broker", state: "failed" })
    assert.match(away!.found, /ECONNREFUSED/)
    const [wrong] = yield* MqttBroker.checks({ url: "http://127.0.0.1" })(asked)
    assert.match(wrong!.found, /it names no MQTT broker/)
  })
)

if (Mosquitto.binary !== undefined)
  it.live("say that the rules of the broker forbid what the service sends", () =>
    Effect.gen(function* () {
      const acl = new URL("../../../docs/mosquitto.acl", import.meta.url).pathname
      const { url } = yield* Mosquitto.started({ acl, users: { orders: "o-secret" } })
      const options = { url, username: "orders", password: Redacted.make("o-secret") }
      const [, own] = yield* MqttBroker.checks(options)({ ...asked, targets: ["stock"] })
      assert.deepInclude(own, { state: "failed", found: "nobody listens" })
      const [, forged] = yield* MqttBroker.checks(options)({ service: "stock", targets: ["orders"] })
      assert.deepInclude(forged, { state: "failed", found: "the broker takes no commands for it: Not authorized" })
    })
  )

const Order = Saga.make("Order", { context: { sku: Schema.String } }).pipe(
  Saga.remote("place", { execute: { command: Stock.commands.Reserve, payload: ({ sku }) => ({ sku }) } }),
  Saga.commit
)

it.live("doctor fails where a check of the broker does, and asks for the services of the sagas", () =>
  Effect.gen(function* () {
    const seen: Array<unknown> = []
    const broker = (question: AskedServices) =>
      Effect.sync(() => {
        seen.push(question)
        return [{ what: "service stock", state: "failed" as const, found: "nobody listens" }]
      })
    const code = yield* run(["doctor", "--json"], { config: { sagas: [Order], service: "orders", broker } })
    assert.strictEqual(code, 1)
    assert.deepStrictEqual(seen, [{ service: "orders", targets: ["stock"] }])
    assert.strictEqual(yield* run(["doctor", "--json"], { config: { sagas: [Order] } }), 0)
  })
)
