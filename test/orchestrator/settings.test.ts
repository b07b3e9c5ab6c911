/** Every setting of a process and of a participant against the worst values: a typed error that names it, and no defect. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { ParticipantConfig, SagaConfig } from "effect-saga"
import { EmbeddedBroker } from "effect-saga/aedes"
import { MqttBroker } from "effect-saga/mqtt"
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

const ofSaga = (options: object): Layer.Layer<never, unknown> =>
  Layer.effectDiscard(Layer.build(SagaConfig.layer({ service: "orders", ...options })))
const ofParticipant = (options: object): Layer.Layer<never, unknown> => ParticipantConfig.layer(options)

/** Nothing is asked of it before the settings are checked. */
const noClient: Layer.Layer<SqlClient.SqlClient> = Layer.succeed(SqlClient.SqlClient, {} as never)
const ofMqtt = (options: object): Layer.Layer<never, unknown> =>
  Layer.effectDiscard(Layer.build(MqttBroker.layer({ url: "mqtt://127.0.0.1:1", ...options })))
const ofSql = (layer: (options: object) => Layer.Layer<never, unknown, SqlClient.SqlClient>) => (options: object) =>
  Layer.provide(layer(options), noClient)
const ofRepository = ofSql((options) => Layer.effectDiscard(Layer.build(SqlSagaExecutionRepository.layer(options))))
const ofStore = ofSql((options) => Layer.effectDiscard(Layer.build(SqlParticipantStore.layer(options))))
const ofLetters = ofSql((options) => Layer.effectDiscard(Layer.build(SqlDeadLetters.layer(options))))

const resend = (name: string) => (value: unknown) => ({ resend: { [name]: value } })
const plain = (name: string) => (value: unknown) => ({ [name]: value })

const table: ReadonlyArray<
  readonly [
    string,
    (options: object) => Layer.Layer<never, unknown>,
    (value: unknown) => object,
    ReadonlyArray<unknown>
  ]
> = [
  ...[
    "replyTimeout",
    "reserveTimeout",
    "commitWait",
    "maxMessageLifetime",
    "recoveryInterval",
    "lease",
    "shutdownGrace"
  ].map((name) => [`SagaConfig.${name}`, ofSaga, plain(name), wrongForTimes] as const),
  ...["initial", "max", "slowAfter", "slowMax"].map(
    (name) => [`SagaConfig.resend.${name}`, ofSaga, resend(name), wrongForTimes] as const
  ),
  ["SagaConfig.resend.factor", ofSaga, resend("factor"), [...wrongForAll, 0, 0.5, 1_001]],
  ...["maxRunning", "maxPending", "maxInFlight"].map(
    (name) => [`SagaConfig.${name}`, ofSaga, plain(name), wrongForCounts] as const
  ),
  // A text would allow each name that is a part of it.
  ["SagaConfig.relatedServices", ofSaga, plain("relatedServices"), ["stock", null, {}, [""], ["a b"], [7], [null]]],
  ...["pendingTtl", "inDoubtAfter", "maxSkew", "shutdownGrace"].map(
    (name) => [`ParticipantConfig.${name}`, ofParticipant, plain(name), wrongForTimes] as const
  ),
  ["ParticipantConfig.participantRetention", ofParticipant, plain("participantRetention"), wrongForLasting],
  ["ParticipantConfig.maxInFlight", ofParticipant, plain("maxInFlight"), wrongForCounts],
  ["MqttBroker.url", ofMqtt, plain("url"), everything],
  ["MqttBroker.clientId", ofMqtt, plain("clientId"), [...wrongForNames, ""]],
  ["MqttBroker.username", ofMqtt, plain("username"), [null, 7, {}, []]],
  ["MqttBroker.password", ofMqtt, plain("password"), [null, 7, "secret", {}]],
  ["MqttBroker.protocol", ofMqtt, plain("protocol"), [...everything.filter((value) => value !== undefined), 3, "5"]],
  ["MqttBroker.sessionExpiry", ofMqtt, plain("sessionExpiry"), wrongForAll],
  ["MqttBroker.keepalive", ofMqtt, plain("keepalive"), wrongForAll],
  ["MqttBroker.maxOutgoing", ofMqtt, plain("maxOutgoing"), wrongForCounts],
  ["SqlSagaExecutionRepository.retention", ofRepository, plain("retention"), wrongForLasting],
  ["SqlParticipantStore.timeout", ofStore, plain("timeout"), wrongForTimes],
  ["SqlDeadLetters.keep", ofLetters, plain("keep"), wrongForCounts],
  ["EmbeddedBroker.port", (options) => Layer.effectDiscard(EmbeddedBroker.make(options)), plain("port"), wrongForAll]
]

for (const [setting, layer, options, wrong] of table)
  it.effect(`F31: ${setting} is checked when its layer is built`, () =>
    Effect.gen(function* () {
      for (const value of wrong) {
        const shown = `${typeof value} ${typeof value === "object" ? JSON.stringify(value) : String(value)}`.slice(
          0,
          80
        )
        const error = yield* Effect.flip(Effect.scoped(Layer.build(layer(options(value)))))
        assert.deepInclude(error, { _tag: "InvalidSetting", setting }, shown)
      }
    })
  )
