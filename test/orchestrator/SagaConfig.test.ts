/** The settings of a process, in code or in its environment. */
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Layer } from "effect"
import {
  Broker,
  SagaConfig,
  type SagaError,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { agreeable, CreateOrder, context, Journal, makeWorld, quiet, start, until } from "../fixtures/manager.ts"

const tagOf = (error: unknown) => (error as { readonly _tag: string })._tag

const given = (layer: Layer.Layer<SagaConfig.SagaConfig, unknown>) =>
  Effect.map(Layer.build(layer), (services) => Context.get(services, SagaConfig.SagaConfig))

const fromEnvironment = (values: Record<string, string>) =>
  SagaConfig.layerConfig.pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(values))))

describe("the service name", () => {
  it.effect("SVC-003 the service name comes from the configuration and is the sender of every message", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start({ service: "invoices" })
      yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      const sent = wire.sent[0]!
      assert.strictEqual(sent.envelope.coordinator, "invoices")
      assert.strictEqual(Broker.topic(sent.address), "saga/v1/stock/command/invoices/Reserve")
    })
  )

  it("SVC-003 a manager without configuration does not compile", () => {
    const incomplete = SagaManager.layer([CreateOrder]).pipe(
      Layer.provide([
        Broker.layerMemory,
        SagaExecutionRepository.layerMemory,
        TransactionCommitter.layerNone,
        Layer.succeed(Journal, { write: () => Effect.void })
      ])
    )
    // @ts-expect-error Type 'SagaConfig' is not assignable to type 'never'
    const complete: Layer.Layer<SagaManager.SagaManager, unknown> = incomplete
    assert.isDefined(complete)
  })

  it.effect("SVC-003 a service name that the environment lacks is a typed ConfigError", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(given(fromEnvironment({ SAGA_MAX_RUNNING: "1" })))
      assert.strictEqual(tagOf(error), "ConfigError")
      assert.match(String(error), /SAGA_SERVICE/)
    })
  )

  it.effect("a service name that cannot stand in a topic is InvalidServiceName", () =>
    Effect.gen(function* () {
      assert.strictEqual(tagOf(yield* Effect.flip(given(SagaConfig.layer({ service: "" })))), "InvalidServiceName")
      for (const service of ["1st", "a/b", "a b", "ä", "a+", "#", "x".repeat(65), "__proto__"]) {
        for (const layer of [SagaConfig.layer({ service }), fromEnvironment({ SAGA_SERVICE: service })]) {
          const error = (yield* Effect.flip(given(layer))) as SagaConfig.InvalidServiceName
          assert.strictEqual(error._tag, "InvalidServiceName")
          assert.include(error.message, JSON.stringify(service))
        }
      }
    })
  )
})

describe("settings", () => {
  const names = {
    SAGA_SERVICE: "orders",
    SAGA_REPLY_TIMEOUT: "7 seconds",
    SAGA_MAX_MESSAGE_LIFETIME: "2 hours",
    SAGA_RECOVERY_INTERVAL: "8 seconds",
    SAGA_LEASE: "24 seconds",
    SAGA_MAX_RUNNING: "11",
    SAGA_MAX_PENDING: "12",
    SAGA_MAX_IN_FLIGHT: "13",
    SAGA_RESEND_INITIAL: "2 seconds",
    SAGA_RESEND_FACTOR: "3",
    SAGA_RESEND_MAX: "20 seconds",
    SAGA_RESEND_SLOW_AFTER: "1 minute",
    SAGA_RESEND_SLOW_MAX: "2 minutes"
  }

  it.effect("settings are read from the environment, each under its name", () =>
    Effect.gen(function* () {
      const config = yield* given(fromEnvironment(names))
      assert.strictEqual(config.service, "orders")
      assert.deepInclude(config.schedule, { replyTimeout: 7_000, maxMessageLifetime: 7_200_000 })
      assert.deepInclude(config, {
        recoveryInterval: 8_000,
        lease: 24_000,
        maxRunning: 11,
        maxPending: 12,
        maxInFlight: 13
      })
    })
  )

  it.effect("settings in code are the same as in the environment", () =>
    Effect.gen(function* () {
      const inCode = yield* given(
        SagaConfig.layer({
          service: "orders",
          replyTimeout: "7 seconds",
          maxMessageLifetime: "2 hours",
          recoveryInterval: "8 seconds",
          lease: "24 seconds",
          maxRunning: 11,
          maxPending: 12,
          maxInFlight: 13,
          resend: { initial: "2 seconds", factor: 3, max: "20 seconds", slowAfter: "1 minute", slowMax: "2 minutes" }
        })
      )
      assert.deepStrictEqual(inCode.schedule.resend, {
        initial: 2_000,
        factor: 3,
        max: 20_000,
        later: { after: 60_000, max: 120_000 }
      })
      assert.deepStrictEqual(inCode, yield* given(fromEnvironment(names)))
    })
  )

  it.effect("settings have the defaults of the specification", () =>
    Effect.gen(function* () {
      const config = yield* given(fromEnvironment({ SAGA_SERVICE: "orders" }))
      assert.deepStrictEqual(config, yield* given(SagaConfig.layer({ service: "orders" })))
      const { lease, maxInFlight, maxPending, maxRunning, recoveryInterval, relatedServices, schedule } = config
      assert.deepStrictEqual(
        [maxInFlight, maxRunning, maxPending, recoveryInterval, lease, relatedServices],
        [64, 1_000, 100_000, 1_000, 3_000, undefined]
      )
      assert.deepStrictEqual(schedule, {
        resend: { initial: 1_000, factor: 2, max: 30_000, later: { after: 300_000, max: 3_600_000 } },
        resendDecision: { initial: 1_000, factor: 2, max: 300_000 },
        reserveTimeout: 30_000,
        commitWait: 30_000,
        replyTimeout: 300_000,
        acceptedResend: 300_000,
        maxMessageLifetime: 86_400_000,
        retryCompensate: { times: 10, backoff: { initial: 1_000, factor: 2, max: 300_000 } },
        retryForward: { times: 10, backoff: { initial: 1_000, factor: 2, max: 300_000 } }
      })
    })
  )

  it.effect("settings that cannot be read are a ConfigError that names them", () =>
    Effect.gen(function* () {
      for (const name of Object.keys(names).slice(1)) {
        const error = yield* Effect.flip(given(fromEnvironment({ ...names, [name]: "soon" })))
        assert.strictEqual(tagOf(error), "ConfigError")
        assert.include(String(error), name)
      }
    })
  )

  it.effect("settings reach the manager: layerConfig runs sagas as the environment says", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      world.wire.answer = agreeable
      const manager = SagaManager.layerConfig([CreateOrder]).pipe(
        Layer.provide([
          world.layers,
          ConfigProvider.layer(ConfigProvider.fromUnknown({ ...names, SAGA_SERVICE: "shop" }))
        ])
      )
      yield* Effect.gen(function* () {
        yield* SagaManager.run(CreateOrder, { context })
        const sent = world.wire.sent[0]!
        assert.strictEqual(sent.envelope.coordinator, "shop")
        assert.strictEqual(sent.envelope.notAfter, 7_200_000)
        world.wire.answer = () => undefined
        const paused = yield* SagaManager.run(CreateOrder, { context, pauseOnDisk: true })
        const request = paused.events.find(({ _tag }) => _tag === "RequestSent")
        assert.deepInclude(request, { deadline: 7_000 })
      }).pipe(Effect.provide(manager))
    })
  )

  it.effect("maxInFlight bounds the replies that are handled at the same time", () =>
    Effect.gen(function* () {
      const { store, use, wire } = yield* start({ maxInFlight: 3 })
      const run = use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      yield* Effect.all(Array.from({ length: 10 }, () => run))
      // A process that starts reads what is stored.
      yield* quiet
      let loading = 0
      store.fault = (operation) => {
        if (operation === "load") loading++
        return { reason: "unavailable" }
      }
      for (const request of [...wire.sent]) yield* wire.reply(request, { status: 500 })
      yield* until("three are handled", () => loading === 3)
      for (let i = 0; i < 50; i++) yield* Effect.yieldNow
      assert.strictEqual(loading, 3)
    })
  )
})

describe("a setting", () => {
  it.effect("a time below a second has a unit", () =>
    Effect.gen(function* () {
      const backoff = { initial: "5 millis", max: "50 millis" } as const
      const options = {
        lease: "90 millis",
        recoveryInterval: "30 millis",
        retryForward: { times: 1, backoff }
      } as const
      const config = yield* given(SagaConfig.layer({ service: "orders", ...options }))
      assert.deepStrictEqual([config.lease, config.recoveryInterval], [90, 30])
      assert.deepStrictEqual(config.schedule.retryForward.backoff, { initial: 5, factor: 2, max: 50 })
    })
  )

  it.effect("a setting that would let nothing through is InvalidSetting, with its name", () =>
    Effect.gen(function* () {
      const refused: ReadonlyArray<readonly [Partial<SagaConfig.SagaConfigOptions>, string]> = [
        [{ maxRunning: 0 }, "maxRunning"],
        [{ maxPending: -1 }, "maxPending"],
        [{ maxInFlight: Number.NaN }, "maxInFlight"],
        [{ replyTimeout: "0 seconds" }, "replyTimeout"],
        [{ maxMessageLifetime: Number.POSITIVE_INFINITY }, "maxMessageLifetime"],
        [{ recoveryInterval: 0 }, "recoveryInterval"],
        [{ resend: { initial: 0 } }, "resend.initial"],
        [{ resend: { factor: 0.5 } }, "resend.factor"],
        [{ resend: { factor: Number.NaN } }, "resend.factor"],
        [{ resend: { max: "2 hours" } }, "resend.slowMax"],
        [{ lease: "1 second" }, "lease"],
        // Seconds were meant.
        [{ lease: 9 }, "lease"],
        [{ recoveryInterval: 3 }, "recoveryInterval"],
        [{ replyTimeout: 5 }, "replyTimeout"],
        [{ retryForward: { times: 1, backoff: 5 } }, "retryForward.backoff"]
      ]
      for (const [options, setting] of refused) {
        const error = (yield* Effect.flip(
          given(SagaConfig.layer({ service: "orders", ...options }))
        )) as SagaError.InvalidSetting
        assert.deepStrictEqual([error._tag, error.setting], ["InvalidSetting", `SagaConfig.${setting}`])
        assert.include(error.message, setting)
      }
      const error = yield* Effect.flip(given(fromEnvironment({ SAGA_SERVICE: "orders", SAGA_MAX_RUNNING: "0" })))
      assert.strictEqual(tagOf(error), "InvalidSetting")
    })
  )
})
