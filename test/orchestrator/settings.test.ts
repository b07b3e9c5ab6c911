/**
 * F31: every setting of every layer against the worst values: a typed error that names it, and no defect. The types of the tables
 * have every option, so that a new one does not compile without its values.
 */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { ParticipantConfig, Saga, SagaConfig, SagaManager, SagaSchedule } from "effect-saga"
import { EmbeddedBroker } from "effect-saga/aedes"
import { MqttBroker } from "effect-saga/mqtt"
import { PgliteClient } from "effect-saga/pglite"
import { SqlDeadLetters, SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
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
const wrongForTables = everything.filter((value) => value !== undefined && value !== "nonsense")

/** Nothing is asked of it before the settings are checked. */
const noClient: Layer.Layer<SqlClient.SqlClient> = Layer.succeed(SqlClient.SqlClient, {} as never)

/** Wrong values of each option; the option is checked under its name. */
type Wrong<Options> = { readonly [Option in keyof Required<Options>]: ReadonlyArray<unknown> }

/** Whatever the layer provides. */
type Built = Layer.Layer<never, unknown> | Layer.Layer<any, unknown>

interface Kind {
  readonly module: string
  /** The layer with one option. */
  readonly layer: (option: string, value: any) => Built
  readonly wrong: Readonly<Record<string, ReadonlyArray<unknown>>>
}
const kind = <Options>(module: string, wrong: Wrong<Options>, layer: (options: any) => Built): Kind => ({
  module,
  wrong: wrong as Kind["wrong"],
  layer: (option, value) => layer({ [option]: value })
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
const kinds: ReadonlyArray<Kind> = [
  kind<Omit<SagaConfig.SagaConfigOptions, "service">>(
    "SagaConfig",
    {
      replyTimeout: wrongForTimes,
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
      maxInFlight: wrongForCounts
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
      user: [null, 7, {}, [], "x".repeat(257), "a\0b", "\ud800"]
    },
    (options) =>
      SagaSchedule.layer(Empty, { cron: "0 2 * * *", context: () => ({}), ...options }).pipe(
        Layer.provide(Layer.succeed(SagaManager.SagaManager, {} as never))
      )
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
          const error = yield* Effect.flip(Effect.scoped(built(() => layer(option, value))))
          assert.deepInclude(error, { _tag: "InvalidSetting", setting: `${module}.${option}` }, shown)
        }
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
