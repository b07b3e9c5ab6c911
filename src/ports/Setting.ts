/**
 * How settings are checked and read, in one way for every `…Config` and every layer with options: a setting that cannot
 * be used, or that there is not, is an `InvalidSetting` when the layer is built, and never a surprise later.
 *
 * Casts: the keys of a record are lost in `Object.entries`.
 */
import { Config, Duration, Effect, Option, Schema } from "effect"
import { limits } from "../definition/SagaIssue.ts"
import { line } from "../wire/OneLine.ts"
import { isStorable, nearest } from "../wire/Text.ts"

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

/** The names of all options, so that the compiler sees one that is missing, and one that there is not. */
export type Names<Options> = { readonly [Option in keyof Required<Options>]: unknown }

/** Why these are no options of this kind. `setting`: the module, or the group of options in it. */
const issueOf = (setting: string, options: unknown, names: object): InvalidSetting | undefined => {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    return new InvalidSetting({ setting, issue: `it must be an object, and is ${kindOf(options)}` })
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(names, name))
  if (unknown === undefined) return undefined
  const meant = nearest(unknown, Object.keys(names))
  const hint = meant === undefined ? `the settings are ${Object.keys(names).join(", ")}` : `is ${meant} meant?`
  return new InvalidSetting({ setting: `${setting}.${unknown}`, issue: `there is no such setting; ${hint}` })
}

/**
 * The options of a layer, or a group of them, if they are an object that has only these `names`. Plain JavaScript and a file of
 * settings may have a name with a mistake in it, whose default would hold in silence.
 */
export const known = <Options extends object>(
  setting: string,
  options: Options,
  names: Names<Options>
): Effect.Effect<Options, InvalidSetting> =>
  Effect.suspend(() => {
    const issue = issueOf(setting, options, names)
    return issue === undefined ? Effect.succeed(options) : Effect.fail(issue)
  })

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

/** Why a number says no duration: it is in milliseconds, and one this small was most likely meant in another unit. 0 is 0 in each. */
const unitOf = (input: unknown): string | undefined =>
  typeof input === "number" && input > 0 && input < 100
    ? `a number is in milliseconds; write one below 100 with its unit, such as "${input} seconds" or "${input} millis"`
    : undefined

/** The whole milliseconds of a duration, rounded up; `InvalidSetting` outside of the bounds. */
export const duration = (
  setting: string,
  input: Duration.Input,
  { least, most = longest, never = false }: DurationBounds
): Effect.Effect<number, InvalidSetting> =>
  Effect.suspend(() => {
    const given = isNothing(input) ? Option.none() : Duration.fromInput(input)
    const millis = Option.match(given, { onNone: () => Number.NaN, onSome: millisOf })
    const unit = unitOf(input)
    if (unit !== undefined) return Effect.fail(new InvalidSetting({ setting, issue: unit }))
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

/** The largest message in memory: a character takes two bytes in a string, and may be escaped in the JSON around it. */
const leastOutgoing = 2 * 1024 * 1024

/** The bytes that may wait for a transport: room for a message of any size, as one that never fits would be refused for ever. */
export const outgoing = (setting: string, value: number): Effect.Effect<number, InvalidSetting> =>
  Effect.mapError(
    wholeNumber(setting, value, { least: leastOutgoing }),
    ({ issue }) =>
      new InvalidSetting({ setting, issue: `${issue}; it is in bytes, and the largest message must fit (2 MiB)` })
  )

/** True or false; `InvalidSetting` for any other value, also for one that JavaScript takes for true. */
export const flag = (setting: string, value: boolean): Effect.Effect<boolean, InvalidSetting> =>
  Effect.suspend(() =>
    typeof value === "boolean"
      ? Effect.succeed(value)
      : Effect.fail(new InvalidSetting({ setting, issue: `it must be true or false, and is ${kindOf(value)}` }))
  )

/** A function that a user gives; `InvalidSetting` for any other value. */
export const aFunction = (setting: string, value: unknown): Effect.Effect<void, InvalidSetting> =>
  Effect.suspend(() =>
    typeof value === "function"
      ? Effect.void
      : Effect.fail(new InvalidSetting({ setting, issue: `it must be a function, and is ${kindOf(value)}` }))
  )

/** A text that is not empty and has no NUL and no half of a surrogate; `InvalidSetting` for any other value. */
export const text = (setting: string, value: string): Effect.Effect<string, InvalidSetting> =>
  Effect.suspend(() =>
    typeof value === "string" && value !== "" && isStorable(value)
      ? Effect.succeed(value)
      : Effect.fail(new InvalidSetting({ setting, issue: `it must be a text, and is ${unlike(value)}` }))
  )

/** Names between single slashes, as routers take them literally. */
const plainPath = /^(?:\/[\w.~-]+)*\/?$/

/** A path of plain names, such as `/ops/sagas`, without a slash at its end; "" for the root. `InvalidSetting` for any other. */
export const path = (setting: string, value: string): Effect.Effect<string, InvalidSetting> =>
  Effect.suspend(() => {
    if (typeof value === "string" && value !== "" && plainPath.test(value))
      return Effect.succeed(value.replace(/\/$/, ""))
    const instead = typeof value === "string" ? JSON.stringify(value) : kindOf(value)
    const issue = `it must be a path such as /sagas, of letters, digits, -, _, . and ~ between single slashes, and is ${instead}`
    return Effect.fail(new InvalidSetting({ setting, issue }))
  })

const unlike = (value: unknown): string => {
  if (typeof value !== "string") return kindOf(value)
  return value === "" ? "empty" : "one with a NUL or half a surrogate"
}

const kindOf = (value: unknown): string => {
  if (value === null || value === undefined) return `${value}`
  return Array.isArray(value) ? "a list" : `a ${typeof value}`
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
