/** Every setting of a process and of a participant against the worst values: a typed error that names it, and no defect. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ParticipantConfig, SagaConfig } from "effect-saga"

/** As plain JavaScript or a file of settings may give them. */
const wrongForAll: ReadonlyArray<unknown> = [
  "nonsense",
  "",
  null,
  {},
  [],
  true,
  Symbol("x"),
  Object.create(null),
  () => 1,
  Number.NaN,
  -1,
  "-1 seconds",
  new Date(Number.NaN)
]
const wrongForCounts = [...wrongForAll, 0, 0.5, "7", Number.POSITIVE_INFINITY, 2 ** 53]
const wrongForTimes = [...wrongForAll, Number.POSITIVE_INFINITY, "Infinity", Number.MAX_SAFE_INTEGER, "100000000 days"]

const ofSaga = (options: object): Layer.Layer<never, unknown> =>
  Layer.effectDiscard(Layer.build(SagaConfig.layer({ service: "orders", ...options })))
const ofParticipant = (options: object): Layer.Layer<never, unknown> => ParticipantConfig.layer(options)

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
  [
    "ParticipantConfig.participantRetention",
    ofParticipant,
    plain("participantRetention"),
    [...wrongForAll, Number.MAX_SAFE_INTEGER, "100000000 days"]
  ],
  ["ParticipantConfig.maxInFlight", ofParticipant, plain("maxInFlight"), wrongForCounts]
]

for (const [setting, layer, options, wrong] of table)
  it.effect(`F31: ${setting} is checked when its layer is built`, () =>
    Effect.gen(function* () {
      for (const value of wrong) {
        const shown = `${typeof value} ${typeof value === "object" ? JSON.stringify(value) : String(value)}`
        const error = yield* Effect.flip(Effect.scoped(Layer.build(layer(options(value)))))
        assert.deepInclude(error, { _tag: "InvalidSetting", setting }, shown)
      }
    })
  )
