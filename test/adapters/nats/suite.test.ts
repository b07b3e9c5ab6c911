/** The broker suite over NATS JetStream, on a server of the test's own. */
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { NatsBroker } from "effect-saga/nats"
import { BrokerSuite } from "effect-saga/testing/suites"
import * as Nats from "../../fixtures/nats.ts"

if (Nats.binary !== undefined) {
  const { layer, settle } = Nats.settling(
    Layer.unwrap(Effect.map(Nats.started(), ({ url }) => NatsBroker.layer({ url })))
  )
  BrokerSuite.suite("NATS JetStream", layer, { settle, ownAddresses: true, excludeTestServices: true })
}

it.effect("settings are read from the configuration, and checked", () =>
  Effect.gen(function* () {
    const from = (variables: Record<string, string>) =>
      Effect.provide(NatsBroker.optionsFromConfig, ConfigProvider.layer(ConfigProvider.fromUnknown(variables)))
    const url = { SAGA_NATS_URL: "nats://127.0.0.1" }
    const options = yield* from({
      ...url,
      SAGA_NATS_NAMESPACE: "shop",
      SAGA_NATS_USERNAME: "orders",
      SAGA_NATS_PASSWORD: "secret",
      SAGA_NATS_REPLICAS: "3",
      SAGA_NATS_STORAGE: "memory",
      SAGA_NATS_MAX_AGE: "1 hour"
    })
    assert.deepInclude(options, { url: "nats://127.0.0.1", namespace: "shop", replicas: 3, storage: "memory" })
    yield* Effect.scoped(Layer.build(NatsBroker.layer(options)))
    for (const [setting, variables] of [
      ["NatsBroker.replicas", { ...url, SAGA_NATS_REPLICAS: "2" }],
      ["NatsBroker.ca", { ...url, SAGA_NATS_CA_FILE: "/nowhere/ca.pem" }],
      ["NatsBroker.credentials", { ...url, SAGA_NATS_CREDENTIALS_FILE: "/nowhere/orders.creds" }],
      ["ConfigError", {}],
      ["ConfigError", { ...url, SAGA_NATS_STORAGE: "disk" }]
    ] as const) {
      const error = yield* Effect.flip(from(variables))
      assert.strictEqual(error._tag === "InvalidSetting" ? error.setting : error._tag, setting)
    }
  })
)
