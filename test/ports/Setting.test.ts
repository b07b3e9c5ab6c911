/** Values that a setting may have, and the error for others. */
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Duration, Effect } from "effect"
import * as Setting from "../../src/ports/Setting.ts"

const messageOf = <A>(self: Effect.Effect<A, Setting.InvalidSetting>) => Effect.map(Effect.flip(self), String)

describe("a duration", () => {
  const bounds = { least: "1 second", most: "1 hour" } as const

  it.effect("a duration setting is given in whole milliseconds, rounded up, its bounds included", () =>
    Effect.gen(function* () {
      const millis = (input: Duration.Input) => Setting.duration("it", input, bounds)
      assert.strictEqual(yield* millis("1 second"), 1_000)
      assert.strictEqual(yield* millis("1 hour"), 3_600_000)
      assert.strictEqual(yield* millis(1_000.25), 1_001)
      assert.strictEqual(yield* Setting.duration("it", "3650 days", { least: "0 millis" }), 3_650 * 86_400_000)
      const never = { least: "0 millis", never: true } as const
      assert.strictEqual(yield* Setting.duration("it", Duration.infinity, never), Infinity)
    })
  )

  it.effect("F23 a duration setting outside of its bounds is refused, with its name, the bounds and the value", () =>
    Effect.gen(function* () {
      const refused: ReadonlyArray<readonly [Duration.Input, RegExp]> = [
        [0, /SagaConfig\.lease .* from 1 second to 1 hour, and is 0$/],
        ["61 minutes", /and is 1h 1m$/],
        [-5_000, /and is -5s$/],
        [Duration.infinity, /and is Infinity$/]
      ]
      for (const [input, message] of refused)
        assert.match(yield* messageOf(Setting.duration("SagaConfig.lease", input, bounds)), message)
      assert.match(
        yield* messageOf(Setting.duration("it", -1, { least: "0 millis" })),
        /from 0 millis to 3650 days, and/
      )
      const never = { least: "0 millis", never: true } as const
      const tooLong: ReadonlyArray<Duration.Input> = ["3651 days", Number.MAX_SAFE_INTEGER, "1000000000 days"]
      for (const input of tooLong) {
        assert.match(yield* messageOf(Setting.duration("it", input, { least: "0 millis" })), /to 3650 days, and/)
        assert.match(
          yield* messageOf(Setting.duration("it", input, never)),
          /3650 days, or Duration.infinity for never/
        )
      }
      assert.match(yield* messageOf(Setting.duration("it", Duration.infinity, { least: "0 millis" })), /is Infinity/)
    })
  )

  it.effect("a number below 100 is refused: it was most likely meant in another unit", () =>
    Effect.gen(function* () {
      const of = (input: Duration.Input) => Setting.duration("SagaConfig.lease", input, { least: "0 millis" })
      for (const input of [9, 99, 0.5])
        assert.strictEqual(
          yield* messageOf(of(input)),
          `InvalidSetting: The setting SagaConfig.lease cannot be used: a number is in milliseconds; write one below 100 with its unit, such as "${input} seconds" or "${input} millis"`
        )
      for (const input of [0, 100, 3_000]) assert.strictEqual(yield* of(input), input)
      for (const input of ["9 millis", Duration.millis(9), { milliseconds: 9 }] as const)
        assert.strictEqual(yield* of(input), 9)
    })
  )

  it.effect("a setting that is no duration is refused", () =>
    Effect.gen(function* () {
      // @ts-expect-error: Type '"soon"' is not assignable to type 'Input'
      assert.match(yield* messageOf(Setting.duration("it", "soon", bounds)), /it must be a duration from/)
      assert.match(yield* messageOf(Setting.duration("it", Number.NaN, bounds)), /it must be a duration from/)
    })
  )
})

it.effect("a whole number setting is refused outside of its bounds, with its name, the bounds and the value", () =>
  Effect.gen(function* () {
    const count = (value: number) => Setting.wholeNumber("it", value, { least: 1, most: 9 })
    assert.deepStrictEqual(yield* Effect.all([count(1), count(9)]), [1, 9])
    for (const value of [0, 10, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
      assert.include(yield* messageOf(count(value)), `from 1 to 9, and is ${value}`)
    assert.match(yield* messageOf(Setting.wholeNumber("it", 0, { least: 1 })), /of at least 1, and is 0$/)
  })
)

it.effect("an option is absent where its variable is not set, and refused where it cannot be read", () =>
  Effect.gen(function* () {
    const options = Setting.optional({ lease: Config.Duration("LEASE"), maxRunning: Config.Int("MAX_RUNNING") })
    const from = (variables: Record<string, string>) =>
      Effect.provide(options, ConfigProvider.layer(ConfigProvider.fromUnknown(variables)))
    assert.deepStrictEqual(yield* from({}), {})
    assert.deepStrictEqual(yield* from({ LEASE: "2 seconds" }), { lease: Duration.seconds(2) })
    assert.match(String(yield* Effect.flip(from({ MAX_RUNNING: "many" }))), /MAX_RUNNING/)
  })
)

it.effect("a limit of bytes that wait has room for a message of any size", () =>
  Effect.gen(function* () {
    assert.match(
      yield* messageOf(Setting.outgoing("MqttBroker.maxOutgoing", 16)),
      /at least 2097152, and is 16; it is in bytes, and the largest message must fit \(2 MiB\)$/
    )
    assert.strictEqual(yield* Setting.outgoing("it", 2_097_152), 2_097_152)
  })
)
