/** A run that reads as prose: given a saga and its initial values, when services answer and time passes, expect an outcome. */
import { Duration, Effect, Equal, Inspectable, Schema } from "effect"
import type { Exchanges, Saga, Signals, Visible } from "../definition/Saga.ts"
import type { SetUpError } from "./CrashPoints.ts"
import { type Provided, type Ran, run, type Story } from "./RunSaga.ts"
import type { ScriptError } from "./Script.ts"
import type { Sent } from "./ScriptedServices.ts"

/** The conditions of a scenario: what does not change from one story of a saga to the next. */
export type Given<Initial, R, Steps, Told, E2> = Pick<
  Story<Initial, R, Steps, Told, void>,
  "context" | "startsAt" | "committer" | "config"
> &
  Provided<R, E2>

/** The events of a scenario. */
export type When<Steps, Told> = Pick<
  Story<any, never, Steps, Told, void>,
  "replies" | "compensations" | "signals" | "cancelAfter" | "within"
>

/** The end of a scenario. Only fields that are named here are compared. */
export interface Expected<Ctx, E> {
  /** `finished`, `errored`, or where an unfinished one stands: `paused`, `running`. */
  readonly status?: Ran<Ctx, E, void>["execution"]["status"]
  /** Some entries of the context. */
  readonly context?: Partial<Ctx>
  /** The error of the step that failed, or its tag. */
  readonly cause?: unknown
  /** The names of all steps and their fates. */
  readonly outline?: ReadonlyArray<string>
  /** The whole story, with times. */
  readonly story?: ReadonlyArray<string>
  /** All commands, in their order; of each only what is named. */
  readonly commands?: ReadonlyArray<Partial<Sent>>
  /** The names of the steps whose compensation has run, in its order. */
  readonly compensated?: ReadonlyArray<string>
  /** What the senders of signals were told. */
  readonly answers?: Ran<Ctx, E, void>["answers"]
  /** Virtual time from the start to the last fact; a number is milliseconds. */
  readonly took?: Duration.Input
}

/** A scenario has ended with something else than was expected. */
export class SagaTestUnexpected extends Schema.TaggedError<SagaTestUnexpected>()("SagaTestUnexpected", {
  saga: Schema.String,
  differences: Schema.Array(
    Schema.Struct({ field: Schema.String, expected: Schema.Unknown, received: Schema.Unknown })
  ),
  /** The whole story, with times. */
  story: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const { differences, saga, story } = this
    const told = differences.flatMap(({ expected, field, received }) => [
      `${field}, expected: ${Inspectable.toStringUnknown(expected)}`,
      `${field}, received: ${Inspectable.toStringUnknown(received)}`
    ])
    return [`${saga} went another way`, ...told, "its story:", ...story].join("\n  ")
  }
}

export interface Scenario<Ctx, E, Steps, Told, E2> {
  /**
   * Adds what happens. What is said later about one thing replaces what was said before: a reply and an answer to a compensation
   * that of the same step, `signals` all signals.
   */
  readonly when: (what: When<Steps, Told>) => Scenario<Ctx, E, Steps, Told, E2>
  /** Runs the scenario and compares its end. Fails with `SagaTestUnexpected`, which tells the whole story. */
  readonly expect: (
    expected: Expected<Ctx, E>
  ) => Effect.Effect<Ran<Ctx, E, void>, E2 | SetUpError | ScriptError | SagaTestUnexpected>
}

/**
 * Begins a scenario. It is `run` in another form: for stories of one saga that differ in what happens.
 *
 * @example
 * ```ts
 * const trip = SagaTest.given(BookTrip, { context: { city: "Atlantis" }, layer: HotelLive })
 *
 * yield* trip
 *   .when({ replies: { flight: SagaTest.error(new FlightFull()) } })
 *   .expect({ status: "errored", cause: "FlightFull", compensated: ["room"] })
 * ```
 */
export const given = <Initial, Own, E, R, O, E2 = never>(
  saga: Saga<string, Initial, Own, E, R, "committed", O>,
  conditions: Given<NoInfer<Initial>, NoInfer<R>, unknown, unknown, E2>
): Scenario<
  Visible<Initial & Own>,
  E,
  Exchanges<Saga<string, any, any, any, any, "committed", O>>,
  Signals<Saga<string, any, any, any, any, "committed", O>>,
  E2
> => scenario(saga, conditions)

const scenario = (
  saga: Saga<string, any, any, any, any, "committed", any>,
  options: { readonly context: unknown } & When<any, any>
): Scenario<any, any, any, any, any> => ({
  when: (what) =>
    scenario(saga, {
      ...options,
      ...what,
      replies: { ...options.replies, ...what.replies },
      compensations: { ...options.compensations, ...what.compensations }
    }),
  expect: (expected) =>
    Effect.flatMap(run(saga, options as never), (ran) => {
      const differences = differencesOf(expected, ran)
      return differences.length === 0
        ? Effect.succeed(ran as Ran<any, any, any>) // cast: the options had its types
        : Effect.fail(new SagaTestUnexpected({ saga: saga.name, differences, story: [...ran.story] }))
    })
})

const differencesOf = (expected: Expected<any, any>, ran: Ran<any, any, any>) => {
  const received = receivedFor(expected, ran)
  const wanted = expected.took === undefined ? expected : { ...expected, took: Duration.fromInputUnsafe(expected.took) }
  return Object.entries(wanted).flatMap(([field, expected]) =>
    Equal.equals(valuesOf(expected), valuesOf(received[field])) ? [] : { field, expected, received: received[field] }
  )
}

/**
 * An error as the values that it is made of. What a runtime adds is none of them: Bun gives an error the line of its origin when its
 * memory is cleaned up, so one of two that are the same may have it.
 */
const valuesOf = (value: unknown): unknown =>
  value instanceof Error
    ? Object.fromEntries([
        ["name", value.name],
        ["message", value.message],
        ...Object.entries(value).map(([key, part]) => [key, valuesOf(part)])
      ])
    : value

/** The same parts of what was received as are expected. */
const receivedFor = (expected: Expected<any, any>, ran: Ran<any, any, any>): Readonly<Record<string, unknown>> => {
  const { execution } = ran
  const cause = execution.status === "errored" ? execution.cause : undefined
  return {
    ...ran,
    status: execution.status,
    context: partOf(execution.context, expected.context),
    cause: typeof expected.cause === "string" ? tagOf(cause) : cause,
    commands: ran.commands.map((sent, i) => partOf(sent, expected.commands?.[i]))
  }
}

/** The entries of a value that another one has too; all where there is no other. */
const partOf = (value: object | undefined, like: object | undefined) =>
  Object.fromEntries(Object.entries(value ?? {}).filter(([key]) => like === undefined || Object.hasOwn(like, key)))

const tagOf = (error: unknown): unknown =>
  typeof error === "object" && error !== null && "_tag" in error ? error._tag : error
