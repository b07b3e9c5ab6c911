/**
 * How settings are checked and read, in one way for every `…Config` and every layer with options: a setting that cannot
 * be used is an `InvalidSetting` when the layer is built, and never a surprise later.
 *
 * Casts: the keys of a record are lost in `Object.entries`.
 */
import { Config, Duration, Effect, Option, Schema } from "effect"
import { limits } from "../definition/SagaIssue.ts"
import { line } from "../wire/OneLine.ts"
import { isStorable } from "../wire/Text.ts"

/**
 * A setting cannot be used. `setting` is the module and the option, such as `SagaConfig.maxRunning`; `issue` says what is
 * expected. The value of a secret is never quoted.
 */
export class InvalidSetting extends Schema.TaggedError<InvalidSetting>()("InvalidSetting", {
  setting: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return line`The setting ${this.setting} cannot be used: ${this.issue}`
  }
}

/** The longest duration that a setting may have (SPEC C11): ten years. What is longer is written as `Duration.infinity`. */
const longest = `${limits.duration / 86_400_000} days` as const

/** Bounds of a duration, both included, as text for people and for `Duration`: `{ least: "1 milli", most: "1 day" }`. */
export interface DurationBounds {
  readonly least: Duration.Input & string
  /** Default: ten years. */
  readonly most?: Duration.Input & string
  /** Whether `Duration.infinity` is taken and means never. Default false. */
  readonly never?: boolean
}

const millisOf = (duration: Duration.Duration): number => Math.ceil(Duration.toMillis(duration))

/** The keys of a duration that is written as an object. */
const units = ["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"]

/** Values that `Duration` takes for 0: no number, and an object without a unit. */
const isNothing = (input: unknown): boolean =>
  Number.isNaN(input) ||
  (typeof input === "object" &&
    input !== null &&
    !Duration.isDuration(input) &&
    !Array.isArray(input) &&
    !units.some((unit) => Object.hasOwn(input, unit)))

/** The whole milliseconds of a duration, rounded up; `InvalidSetting` outside of the bounds. */
export const duration = (
  setting: string,
  input: Duration.Input,
  { least, most = longest, never = false }: DurationBounds
): Effect.Effect<number, InvalidSetting> =>
  Effect.suspend(() => {
    const given = isNothing(input) ? Option.none() : Duration.fromInput(input)
    const millis = Option.match(given, { onNone: () => Number.NaN, onSome: millisOf })
    const isNever = never && millis === Number.POSITIVE_INFINITY
    const isWithin =
      millis >= millisOf(Duration.fromInputUnsafe(least)) && millis <= millisOf(Duration.fromInputUnsafe(most))
    if (isNever || isWithin) return Effect.succeed(millis)
    const expected = `a duration from ${least} to ${most}${never ? ", or Duration.infinity for never" : ""}`
    const instead = Option.match(given, { onNone: () => "", onSome: (it) => `, and is ${Duration.format(it)}` })
    return Effect.fail(new InvalidSetting({ setting, issue: `it must be ${expected}${instead}` }))
  })

/** A whole number within bounds, both included; `InvalidSetting` for any other. */
export const wholeNumber = (
  setting: string,
  value: number,
  { least, most = Number.MAX_SAFE_INTEGER }: { readonly least: number; readonly most?: number }
): Effect.Effect<number, InvalidSetting> =>
  Effect.suspend(() => {
    if (Number.isSafeInteger(value) && value >= least && value <= most) return Effect.succeed(value)
    const expected = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
    const instead = typeof value === "number" ? `${value}` : `a ${typeof value}`
    return Effect.fail(
      new InvalidSetting({ setting, issue: `it must be a whole number ${expected}, and is ${instead}` })
    )
  })

/** A text that is not empty and has no NUL and no half of a surrogate; `InvalidSetting` for any other value. */
export const text = (setting: string, value: string): Effect.Effect<string, InvalidSetting> =>
  Effect.suspend(() =>
    typeof value === "string" && value !== "" && isStorable(value)
      ? Effect.succeed(value)
      : Effect.fail(new InvalidSetting({ setting, issue: `it must be a text, and is ${unlike(value)}` }))
  )

const unlike = (value: unknown): string => {
  if (typeof value !== "string") return value === null ? "null" : `a ${typeof value}`
  return value === "" ? "empty" : "one with a NUL or half a surrogate"
}

/** The options whose variables are set; an option whose variable is not set is absent, so that its default holds. */
export const optional = <Variables extends Record<string, Config.Config<unknown>>>(
  variables: Variables
): Config.Config<{ readonly [Option in keyof Variables]?: Config.Success<Variables[Option]> }> =>
  Config.map(
    Config.all(Object.fromEntries(Object.entries(variables).map(([option, it]) => [option, Config.option(it)]))),
    (found) =>
      Object.fromEntries(
        Object.entries(found).flatMap(([option, value]) => (Option.isSome(value) ? [[option, value.value]] : []))
      ) as { readonly [Option in keyof Variables]?: Config.Success<Variables[Option]> }
  )
