/** The settings of a participant, from code and from the environment. */
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Layer } from "effect"
import { ParticipantConfig } from "effect-saga"

const given = <E>(layer: Layer.Layer<never, E>) =>
  Effect.map(Layer.build(layer), (services) => Context.get(services, ParticipantConfig.ParticipantConfig))

const fromEnvironment = (variables: Record<string, string>) =>
  ParticipantConfig.layerConfig.pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(variables))))

describe("the settings of a participant", () => {
  it.effect("the settings of a participant have the defaults of the specification, with and without a layer", () =>
    Effect.gen(function* () {
      const defaults = {
        pendingTtl: 3_600_000,
        inDoubtAfter: 30_000,
        participantRetention: 2_592_000_000,
        maxKeepUntil: 315_360_000_000,
        maxSkew: 300_000,
        shutdownGrace: 10_000,
        maxInFlight: 64,
        maxHandlers: 64
      }
      assert.deepStrictEqual(yield* ParticipantConfig.ParticipantConfig, defaults)
      assert.deepStrictEqual(yield* given(ParticipantConfig.layer({})), defaults)
      assert.deepStrictEqual(yield* given(fromEnvironment({})), defaults)
    })
  )

  it.effect("the settings of a participant are the same in code and from the environment", () =>
    Effect.gen(function* () {
      const inCode = yield* given(
        ParticipantConfig.layer({
          pendingTtl: "2 hours",
          inDoubtAfter: "1 second",
          participantRetention: "1 day",
          maxKeepUntil: "90 days",
          maxSkew: 0,
          maxInFlight: 7,
          maxHandlers: 3
        })
      )
      const environment = {
        SAGA_PARTICIPANT_PENDING_TTL: "2 hours",
        SAGA_PARTICIPANT_IN_DOUBT_AFTER: "1 second",
        SAGA_PARTICIPANT_RETENTION: "1 day",
        SAGA_PARTICIPANT_MAX_KEEP_UNTIL: "90 days",
        SAGA_PARTICIPANT_MAX_SKEW: "0 millis",
        SAGA_PARTICIPANT_MAX_IN_FLIGHT: "7",
        SAGA_PARTICIPANT_MAX_HANDLERS: "3"
      }
      assert.deepStrictEqual(yield* given(fromEnvironment(environment)), inCode)
      assert.deepInclude(inCode, { pendingTtl: 7_200_000, maxSkew: 0, maxInFlight: 7, maxHandlers: 3 })
      assert.deepInclude(yield* given(ParticipantConfig.layer({ maxInFlight: 7 })), { maxInFlight: 7, maxHandlers: 7 })
    })
  )

  it.effect("settings of a participant that cannot be used are refused by name when the layer is built", () =>
    Effect.gen(function* () {
      const refused: ReadonlyArray<ParticipantConfig.ParticipantConfigOptions> = [
        { pendingTtl: 0 },
        { inDoubtAfter: Number.POSITIVE_INFINITY },
        { participantRetention: -1 },
        { maxSkew: -1 },
        { maxInFlight: 0.5 },
        { maxHandlers: 0 }
      ]
      for (const options of refused) {
        const error = yield* Effect.flip(given(ParticipantConfig.layer(options)))
        assert.strictEqual(error.setting, `ParticipantConfig.${Object.keys(options)[0]}`)
      }
      const error = yield* Effect.flip(given(fromEnvironment({ SAGA_PARTICIPANT_MAX_IN_FLIGHT: "0" })))
      assert.strictEqual(error._tag, "InvalidSetting")
    })
  )
})
