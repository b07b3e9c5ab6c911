/**
 * F31: every setting of every layer against the worst values, and against a mistake in its name: a typed error that names it, and no
 * defect. The types of the tables have every option, so that a new one does not compile without its values.
 */
import * as NodeClusterSocket from "@effect/platform-node-shared/NodeClusterSocket"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Redacted, type Scope } from "effect"
import { FetchHttpClient, HttpRouter } from "effect/http"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import { SqlClient } from "effect/sql"
import {
  Broker,
  Inspector,
  KeyValueRepository,
  Participant,
  ParticipantConfig,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaSchedule,
  SagaTracing
} from "effect-saga"
import { EmbeddedBroker } from "effect-saga/aedes"
import { ClusterRunner } from "effect-saga/cluster"
import { Dashboard, DashboardAuth, LocalDashboard } from "effect-saga/dashboard"
import { SagaHealth, SagaMetrics } from "effect-saga/health"
import { HttpBroker } from "effect-saga/http"
import { MqttBroker } from "effect-saga/mqtt"
import { NatsBroker } from "effect-saga/nats"
import { PgliteClient } from "effect-saga/pglite"
import { SqlDeadLetters, SqlInspector, SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import * as QueueSettings from "../../src/orchestrator/QueueSettings.ts"
import { hostile, hostileInCode } from "../fixtures/hostile.ts"

const everything = [...hostile, ...hostileInCode].map(([, value]) => value)

/** Numbers are milliseconds, and a BigInt nanoseconds; a fraction of a millisecond is rounded up. */
const isTime = (value: unknown): boolean => typeof value === "bigint" || (typeof value === "number" && value > 0)

/** As plain JavaScript or a file of settings may give them. */
const wrongForAll: ReadonlyArray<unknown> = [
  ...everything.filter((value) => value !== undefined && !isTime(value)),
  "-1 seconds",
  -1,
  Symbol("x")
]
const wrongForCounts = [...wrongForAll, 0, 0.5, "7", Number.POSITIVE_INFINITY, 2 ** 53]
const wrongForTimes = [
  ...wrongForAll,
  ...["never", "Infinity", Number.POSITIVE_INFINITY, Number.MAX_SAFE_INTEGER, 1e308, "3651 days"]
]
const wrongForLasting = [...wrongForAll, Number.MAX_SAFE_INTEGER, 1e308, "3651 days"]
/** Names are words, and a list or an object is none. */
const wrongForNames = everything.filter(
  (value) => value !== undefined && !["", "nonsense", "../0"].includes(value as string)
)

const isWord = (value: unknown): boolean => typeof value === "string" && value !== "" && !/[\0\p{Cs}]/u.test(value)
const wrongForTexts = everything.filter((value) => value !== undefined && !isWord(value))
const wrongForGroups = [null, true, "nonsense", -1, [], [null]]
const wrongForFlags = everything.filter((value) => value !== undefined && typeof value !== "boolean")
const wrongForFunctions = everything.filter((value) => value !== undefined && typeof value !== "function")
const noFunctions = { save: () => Effect.void, get: () => Effect.void, remove: () => Effect.void }
const wrongForPaths = [
  ...everything.filter((value) => value !== undefined),
  "sagas",
  "//",
  "/a//b",
  "/a?b",
  "/:a",
  "/*"
]
const wrongForTables = everything.filter((value) => value !== undefined && value !== "nonsense")

/** Nothing is asked of it before the settings are checked. */
const noClient: Layer.Layer<SqlClient.SqlClient> = Layer.succeed(SqlClient.SqlClient, {} as never)

const noInspector: Layer.Layer<Inspector.Inspector> = Layer.succeed(Inspector.Inspector, {} as never)

/** Wrong values of each option; the option is checked under its name. */
type Wrong<Options> = { readonly [Option in keyof Required<Options>]: ReadonlyArray<unknown> }

/** Whatever the layer provides. */
type Built = Layer.Layer<never, unknown> | Layer.Layer<any, unknown>

const keys = [{ id: "a", secret: Redacted.make("a secret of the tests") }]

interface Kind {
  readonly module: string
  /** The layer with these options. */
  readonly layer: (options: any) => Built
  readonly wrong: Readonly<Record<string, ReadonlyArray<unknown>>>
}
const kind = <Options>(module: string, wrong: Wrong<Options>, layer: (options: any) => Built): Kind => ({
  module,
  wrong: wrong as Kind["wrong"],
  layer
})

const tables = {
  schema: wrongForTables,
  prefix: wrongForTables.filter((value) => value !== ""),
  statementTimeout: wrongForTimes
}
const Empty = Saga.make("Empty", { context: {} }).pipe(
  Saga.local("nothing", { execute: () => Effect.void }),
  Saga.commit
)
const clusterRunner = (options: any) =>
  Layer.provide(ClusterRunner.layer(NodeClusterSocket, { host: "127.0.0.1", port: 34_431, ...options }), noClient)
const kinds: ReadonlyArray<Kind> = [
  kind<Omit<SagaConfig.SagaConfigOptions, "service">>(
    "SagaConfig",
    {
      replyTimeout: wrongForTimes,
      acceptedResend: wrongForTimes,
      reserveTimeout: wrongForTimes,
      commitWait: wrongForTimes,
      maxMessageLifetime: wrongForTimes,
      recoveryInterval: wrongForTimes,
      lease: wrongForTimes,
      shutdownGrace: wrongForTimes,
      maxRunning: wrongForCounts,
      maxPending: wrongForCounts,
      maxInFlight: wrongForCounts,
      // A text would allow each name that is a part of it.
      resend: wrongForGroups,
      retryForward: wrongForGroups,
      relatedServices: ["stock", null, {}, [""], ["a b"], [7], [null]]
    },
    (options) => SagaConfig.layer({ service: "orders", ...options })
  ),
  kind<SagaExecutionRepository.MemoryOptions>(
    "SagaExecutionRepository",
    { keep: wrongForCounts.filter((value) => value !== 0), shared: wrongForFlags },
    (options) => SagaExecutionRepository.layerMemoryWith({ keep: 0, ...options })
  ),
  kind<{ readonly capacity: number }>("Broker", { capacity: wrongForCounts }, Broker.layerMemoryWith),
  kind<KeyValueRepository.KeyValueStoreOptions>(
    "KeyValueRepository",
    { prefix: wrongForTexts, keepSettled: wrongForFlags, durable: wrongForFlags },
    (options) => Layer.provide(KeyValueRepository.layer(options), KeyValueStore.layerMemory)
  ),
  kind<KeyValueRepository.KeyValueFunctions>(
    "KeyValueRepository",
    {
      save: wrongForFunctions,
      get: wrongForFunctions,
      remove: wrongForFunctions,
      list: wrongForFunctions.filter((value) => value !== null)
    },
    (given) =>
      Layer.effect(
        SagaExecutionRepository.SagaExecutionRepository,
        KeyValueRepository.make({ ...noFunctions, ...given })
      )
  ),
  kind<SagaConfig.ResendOptions>(
    "SagaConfig.resend",
    {
      initial: wrongForTimes,
      max: wrongForTimes,
      slowAfter: wrongForTimes,
      slowMax: wrongForTimes,
      factor: [...wrongForAll, 0, 0.5, 1_001]
    },
    (resend) => SagaConfig.layer({ service: "orders", resend })
  ),
  kind<NonNullable<SagaConfig.SagaConfigOptions["retryForward"]>>(
    "SagaConfig.retryForward",
    {
      times: wrongForCounts.filter((value) => value !== 0),
      backoff: [...wrongForAll, { initial: 1, factor: "7" }, { initial: 1, factor: 0.5 }, { initial: 1, max: "x" }]
    },
    (given) => SagaConfig.layer({ service: "orders", retryForward: { times: 1, ...given } })
  ),
  kind<ParticipantConfig.ParticipantConfigOptions>(
    "ParticipantConfig",
    {
      pendingTtl: wrongForTimes,
      inDoubtAfter: wrongForTimes,
      maxSkew: wrongForTimes,
      shutdownGrace: wrongForTimes,
      participantRetention: wrongForLasting,
      maxKeepUntil: wrongForTimes,
      maxInFlight: wrongForCounts,
      maxHandlers: wrongForCounts
    },
    ParticipantConfig.layer
  ),
  kind<MqttBroker.MqttOptions>(
    "MqttBroker",
    {
      url: everything,
      clientId: [...wrongForNames, ""],
      namespace: [...wrongForNames, "", "a/b", "a+", "#"],
      username: [null, 7, {}, []],
      password: [null, 7, "secret", {}],
      tls: [null, true, "nonsense", -1, [], [null], { servername: 7 }, { certificate: "x" }],
      protocol: [...everything.filter((value) => value !== undefined), 3, "5"],
      sessionExpiry: wrongForAll,
      keepalive: wrongForAll,
      maxOutgoing: wrongForCounts
    },
    (options) => MqttBroker.layer({ url: "mqtts://127.0.0.1:1", ...options })
  ),
  kind<NatsBroker.NatsOptions>(
    "NatsBroker",
    {
      url: [...everything, "tls://a,nats://b", "tls://me:secret@a", "mqtt://a", ","],
      namespace: [...wrongForNames, "", "a/b", "a+", "#"],
      username: [null, 7, {}, [], "", "a.b", "a b", ">"],
      password: [null, 7, "secret", {}],
      token: [null, 7, "secret", {}],
      credentials: [null, 7, "secret", {}],
      tls: [null, true, "nonsense", -1, [], [null], { certificate: "x" }],
      keepalive: wrongForAll,
      maxOutgoing: wrongForCounts,
      ackWait: wrongForTimes,
      replicas: [...everything.filter((value) => value !== undefined), 2, "3"],
      storage: [...everything.filter((value) => value !== undefined), "disk"],
      maxStored: wrongForCounts,
      maxAge: wrongForTimes
    },
    (options) => NatsBroker.layer({ url: "tls://127.0.0.1:1", ...options })
  ),
  kind<ClusterRunner.RunnerOptions>(
    "ClusterRunner",
    {
      host: wrongForTexts,
      port: [...wrongForCounts, 65_536],
      listen: wrongForGroups,
      expiration: [...wrongForTimes, "999 millis", "61 seconds"],
      shards: [...wrongForCounts, 257],
      prefix: [...wrongForNames, "", "1a", "a b", "a".repeat(41)]
    },
    clusterRunner
  ),
  kind<HttpBroker.HttpOptions>(
    "HttpBroker",
    {
      services: [
        ...[null, true, "nonsense", -1, [], [null], { "a/b": { keys } }, { b: null }, { b: {} }, { b: { keys: "x" } }],
        ...[{ b: { keys: [...keys, ...keys] } }, { b: { keys: [{ id: "", secret: keys[0]?.secret }] } }],
        ...[{ b: { keys: [{ id: "a", secret: "not redacted, but long" }] } }, { b: { url: "mqtt://x", keys } }],
        ...[{ b: { keys: [{ id: "a", secret: Redacted.make("too short") }] } }, { b: { url: "http://u:p@x", keys } }],
        { b: { url: 7, keys } }
      ],
      path: [...everything.filter((value) => value !== undefined && value !== ""), "saga", "/", "/a/", "/a?b", "/:a"],
      answerWithin: wrongForTimes,
      maxRequests: wrongForCounts,
      maxOutgoing: wrongForCounts,
      maxWaiting: wrongForCounts,
      maxOpen: wrongForCounts
    },
    (options) =>
      Layer.provide(HttpBroker.layer({ services: { b: { keys } }, ...options }), [
        HttpRouter.layer,
        FetchHttpClient.layer
      ])
  ),
  kind<Omit<SqlSagaExecutionRepository.SqlSagaExecutionRepositoryOptions, "statements">>(
    "SqlSagaExecutionRepository",
    { ...tables, retention: wrongForLasting },
    (options) => Layer.provide(SqlSagaExecutionRepository.layer(options), noClient)
  ),
  kind<SqlParticipantStore.SqlParticipantStoreOptions>(
    "SqlParticipantStore",
    { ...tables, timeout: wrongForTimes },
    (options) => Layer.provide(SqlParticipantStore.layer(options), noClient)
  ),
  kind<SqlDeadLetters.SqlDeadLettersOptions>("SqlDeadLetters", { ...tables, keep: wrongForCounts }, (options) =>
    Layer.provide(SqlDeadLetters.layer(options), noClient)
  ),
  kind<Pick<SagaMetrics.CollectorOptions, "every">>(
    "SagaMetrics",
    { every: [...wrongForTimes, "999 millis", "61 minutes"] },
    (options) => Layer.provide(SagaMetrics.layer(options), noInspector)
  ),
  kind<SagaHealth.HealthOptions>("SagaHealth", { path: wrongForPaths }, (options) =>
    Layer.provide(SagaHealth.layer(options), HttpRouter.layer)
  ),
  kind<Pick<Dashboard.Options, "path">>("Dashboard", { path: wrongForPaths }, (options) =>
    Dashboard.layer({ sagas: [], ...options } as Dashboard.Options).pipe(
      Layer.provide([HttpRouter.layer, noInspector, Layer.succeed(DashboardAuth, {} as never)])
    )
  ),
  kind<Omit<LocalDashboard.LocalOptions, "sagas">>(
    "LocalDashboard",
    {
      port: [...wrongForAll, 0.5, 65_536],
      actor: wrongForTexts,
      token: wrongForTexts,
      may: [null, true, "read", "nonsense", -1, [null], ["write"], {}]
    },
    (options) =>
      Layer.provide(Layer.effectDiscard(LocalDashboard.serve({ sagas: [], ...options } as object)), noInspector)
  ),
  kind<EmbeddedBroker.EmbeddedBrokerOptions>(
    "EmbeddedBroker",
    { host: wrongForTexts, port: wrongForAll },
    EmbeddedBroker.layer
  ),
  kind<SagaSchedule.SagaScheduleOptions<object>>(
    "SagaSchedule",
    {
      cron: [...everything, "", "0 2 31 2 *", "* * * * * * *"],
      zone: [...wrongForNames, "", "Europe/Atlantis"],
      context: everything.filter((value) => typeof value !== "function"),
      name: [...wrongForNames, "", "a b", "a/b"],
      catchUp: [...wrongForCounts.filter((value) => value !== 0), 1_001],
      user: [null, 7, {}, [], "x".repeat(257), "a\0b", "\ud800"],
      queue: [null, 7, {}, [], true],
      key: [null, 7, {}, [], "x".repeat(257), "a\0b", "\ud800"],
      priority: [null, {}, [], "1", 0.5, 1_001, -1_001, Number.NaN]
    },
    (options) =>
      SagaSchedule.layer(Empty, { cron: "0 2 * * *", context: () => ({}), ...options }).pipe(
        Layer.provide(Layer.succeed(SagaManager.SagaManager, {} as never))
      )
  ),
  kind<QueueSettings.Limits>(
    "SagaQueue nightly",
    {
      concurrency: [...wrongForCounts, 10_001],
      maxQueued: [...wrongForCounts, 10_000_001],
      rate: [null, 7, "fast", []],
      perKey: [null, 7, "fast", []]
    },
    (limits) => Layer.effectDiscard(QueueSettings.read("nightly", limits))
  ),
  kind<QueueSettings.RateOptions>(
    "SagaQueue nightly.rate",
    { limit: [...wrongForCounts, 1_000_001], per: [...wrongForTimes, 0, undefined] },
    (rate) => Layer.effectDiscard(QueueSettings.read("nightly", { rate: { limit: 1, per: "1 second", ...rate } }))
  ),
  kind<NonNullable<QueueSettings.Limits["perKey"]>>(
    "SagaQueue nightly.perKey",
    { concurrency: [...wrongForCounts, 10_001], rate: [null, 7, "fast", []] },
    (perKey) => Layer.effectDiscard(QueueSettings.read("nightly", { perKey }))
  ),
  kind<PgliteClient.PgliteOptions>(
    "PgliteClient",
    {
      folder: wrongForTexts,
      maxConnections: wrongForCounts,
      lockTimeout: [...wrongForTimes, "25 days"]
    },
    PgliteClient.layer
  )
]

const built = (layer: () => Built): Effect.Effect<unknown, unknown, Scope.Scope> =>
  Effect.suspend((): Effect.Effect<unknown, unknown, Scope.Scope> => Layer.build(layer() as Layer.Layer<any, unknown>))

for (const { layer, module, wrong } of kinds)
  for (const [option, values] of Object.entries(wrong))
    it.effect(`F31: ${module}.${option} is checked when its layer is built`, () =>
      Effect.gen(function* () {
        for (const value of values) {
          const shown = `${typeof value} ${typeof value === "object" ? JSON.stringify(value) : String(value)}`.slice(
            0,
            80
          )
          const error = yield* Effect.flip(Effect.scoped(built(() => layer({ [option]: value }))))
          assert.deepInclude(error, { _tag: "InvalidSetting", setting: `${module}.${option}` }, shown)
        }
      })
    )

/** A letter is missing, is there twice, or stands in another case; and two letters are swapped. */
const misspelt = (name: string): ReadonlyArray<string> => [
  name.slice(0, -1),
  `${name}s`,
  name === name.toLowerCase() ? name.toUpperCase() : name.toLowerCase(),
  name.length < 3 ? `${name}_` : `${name.slice(0, -2)}${name.at(-1)}${name.at(-2)}`
]

for (const { layer, module, wrong } of kinds)
  it.effect(`F31: a setting that ${module} does not have is refused, and the one that is meant is named`, () =>
    Effect.gen(function* () {
      const names = Object.keys(wrong)
      const issueFor = Effect.fnUntraced(function* (name: string) {
        const error = yield* Effect.flip(Effect.scoped(built(() => layer({ [name]: undefined }))))
        assert.deepInclude(error, { _tag: "InvalidSetting", setting: `${module}.${name}` })
        return (error as { readonly issue: string }).issue
      })
      for (const name of ["xyzzyxyzzyxyzzy", "constructor", "toString"])
        assert.match(yield* issueFor(name), /^there is no such setting; (the settings are|is)/, name)
      for (const name of names)
        for (const other of misspelt(name).filter((it) => !names.includes(it)))
          assert.match(yield* issueFor(other), /^there is no such setting; is \w+ meant\?$/, other)
    })
  )

it.effect("F31: the setting that is meant is the nearest", () =>
  Effect.gen(function* () {
    const issueFor = (options: object) =>
      Effect.flip(Effect.scoped(Layer.build(SagaConfig.layer({ service: "orders", ...options })))).pipe(
        Effect.map(({ message }) => message)
      )
    assert.strictEqual(
      yield* issueFor({ replyTimeuot: "1 second" }),
      "The setting SagaConfig.replyTimeuot cannot be used: there is no such setting; is replyTimeout meant?"
    )
    assert.include(yield* issueFor({ MaxRuning: 5 }), "is maxRunning meant?")
    assert.include(yield* issueFor({ resend: { slowmax: 5 } }), "SagaConfig.resend.slowmax cannot be used")
    assert.include(
      yield* issueFor({ retryForward: { times: 1, backoff: { initial: 1, facor: 2 } } }),
      "is factor meant?"
    )
    assert.include(yield* issueFor({ parallelism: 5 }), "the settings are recoveryInterval, lease")
  })
)

it.effect("F31: options that are no object are refused", () =>
  Effect.gen(function* () {
    const layers: ReadonlyArray<readonly [string, (options: any) => Built]> = [
      ["SagaConfig", SagaConfig.layer],
      ["ParticipantConfig", ParticipantConfig.layer],
      ["MqttBroker", MqttBroker.layer],
      ["NatsBroker", NatsBroker.layer],
      ["ClusterRunner", (it) => Layer.provide(ClusterRunner.layer(NodeClusterSocket, it as any), noClient)],
      ["EmbeddedBroker", EmbeddedBroker.layer],
      ["PgliteClient", PgliteClient.layer],
      ["SagaExecutionRepository", SagaExecutionRepository.layerMemoryWith],
      ["Broker", Broker.layerMemoryWith],
      ["KeyValueRepository", (it) => Layer.provide(KeyValueRepository.layer(it), KeyValueStore.layerMemory)],
      ["SqlSagaExecutionRepository", (it) => Layer.provide(SqlSagaExecutionRepository.layer(it), noClient)],
      ["SqlParticipantStore", (it) => Layer.provide(SqlParticipantStore.layer(it), noClient)],
      ["SqlDeadLetters", (it) => Layer.provide(SqlDeadLetters.layer(it), noClient)],
      ["SqlInspector", (it) => Layer.provide(SqlInspector.layer(it), noClient)],
      ["SagaManager", (it) => (SagaManager.layer as any)([Empty], it)]
    ]
    for (const [module, layer] of layers)
      for (const options of [null, 7, "nonsense", true, []]) {
        const error = yield* Effect.flip(Effect.scoped(built(() => layer(options))))
        assert.deepInclude(error, { _tag: "InvalidSetting", setting: module })
      }
  })
)

it.effect("F31: a mode of tracing that there is not, of all sagas and of one", () =>
  Effect.gen(function* () {
    const failsWith = (mode: unknown, sagas?: unknown) =>
      Effect.map(
        Effect.flip(
          Effect.scoped(built(() => SagaTracing.layer(mode as SagaTracing.Mode, sagas as Record<string, never>)))
        ),
        (error) => Object(error).setting
      )
    for (const mode of everything) {
      assert.strictEqual(yield* failsWith(mode), "SagaTracing.mode")
      assert.strictEqual(yield* failsWith("linked", { PlaceOrder: mode }), "SagaTracing.sagas.PlaceOrder")
    }
    for (const sagas of [null, 7, "nonsense", true, []])
      assert.strictEqual(yield* failsWith("off", sagas), "SagaTracing.sagas")
  })
)

it.effect("F31: a hook or a handler that a participant does not have, and a hook of the own service", () =>
  Effect.gen(function* () {
    const Bank = Participant.make("bank", { Charge: { payload: {} } })
    const untyped: any = Participant.layer
    const diesWith = (handlers: object, hooks?: object) =>
      Effect.scoped(
        built(() => Layer.provide(untyped(Bank, handlers, hooks), [ParticipantStore.layerMemory, Broker.layerMemory]))
      ).pipe(
        Effect.catchDefect(Effect.fail),
        Effect.flip,
        Effect.map((error) => Object(error).setting)
      )
    const handlers = { Charge: () => Effect.void }
    assert.strictEqual(yield* diesWith({ Chrage: handlers.Charge }), "Participant bank.Charge")
    assert.strictEqual(yield* diesWith(handlers, { resreve: () => Effect.void }), "Participant bank.hooks.resreve")
    assert.strictEqual(yield* diesWith(handlers, { reserve: true }), "Participant bank.hooks.reserve")
    const manager: any = SagaManager.layer
    const error = yield* Effect.flip(
      Effect.scoped(built(() => manager([Empty], { transaction: { comit: () => Effect.void } })))
    )
    assert.deepInclude(error, { _tag: "InvalidSetting", setting: "SagaManager.transaction.comit" })
  })
)

it.effect("F31: a name that is none is InvalidServiceName", () =>
  Effect.gen(function* () {
    for (const service of [...wrongForNames, undefined, "", "a b", "a/b", "+"]) {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(SagaConfig.layer({ service: service as string }))))
      assert.deepInclude(error, { _tag: "InvalidServiceName" }, typeof service)
    }
  })
)
