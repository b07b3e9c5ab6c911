/**
 * The settings of a process that runs sagas. Only the service name is required; everything else has a default. Settings
 * are checked when the layer is built.
 */
import { Config, Context, Duration, Effect, Layer, Schema } from "effect"
import type { Retry } from "../definition/Saga.ts"
import { isCurve, toRetry } from "../definition/StepOptions.ts"
import * as RetrySchedule from "../execution/rules/RetrySchedule.ts"
import * as Setting from "../ports/Setting.ts"
import { InvalidSetting } from "../ports/Setting.ts"
import { isName } from "../wire/Envelope.ts"
import { line } from "../wire/OneLine.ts"

/** The service name cannot be a part of a topic (SPEC C11). */
export class InvalidServiceName extends Schema.TaggedError<InvalidServiceName>()("InvalidServiceName", {
  service: Schema.String
}) {
  override get message(): string {
    return line`The service name ${JSON.stringify(this.service)} does not match ^[A-Za-z][A-Za-z0-9_.-]{0,63}$`
  }
}

/** When a request without an answer is sent again, for as long as its step waits (SPEC C8). A tenth is added at random. */
export interface ResendOptions {
  /** The wait before the first repetition. Default 1 second. */
  readonly initial?: Duration.Input
  /** Each wait is so many times as long as the one before. At least 1; 1: all are the same. Default 2. */
  readonly factor?: number
  /** The longest wait, for the first `slowAfter`. Default 30 seconds. */
  readonly max?: Duration.Input
  /** How long after its first sending a message is sent less often. Default 5 minutes. */
  readonly slowAfter?: Duration.Input
  /** The longest wait from then on, at least `max`. Default 1 hour: many executions that wait for days cost little. */
  readonly slowMax?: Duration.Input
}

/**
 * Durations are from 1 ms to 3,650 days, counts are whole numbers from 1, and the lease is longer than `recoveryInterval`;
 * anything else is `InvalidSetting`.
 */
export interface SagaConfigOptions {
  /**
   * The own service: a letter, then up to 63 letters, digits, `_`, `.` or `-`; anything else is `InvalidServiceName`. All
   * processes of a service have the same name: replies come to it, and each process can resume the work of the others.
   */
  readonly service: string
  /**
   * How long a remote step without its own `timeout` waits for the reply. Then the step counts as failed and the
   * execution rolls back. Default 5 minutes. Set it to the slowest answer that your services give.
   */
  readonly replyTimeout?: Duration.Input
  /**
   * How often a command whose answer comes later is asked for it, once its service has accepted the command. Default 5 minutes. A lost
   * answer is found by then.
   */
  readonly acceptedResend?: Duration.Input
  /**
   * When a request without an answer is sent again. Default: after 1 second, then twice as long each time, up to 30 seconds,
   * and after 5 minutes up to 1 hour.
   */
  readonly resend?: ResendOptions
  /**
   * How long the votes of a two-phase commit are awaited. Then the transaction is rejected (SPEC C5). Default 30 seconds.
   */
  readonly reserveTimeout?: Duration.Input
  /**
   * How long a caller waits until all participants have acknowledged a commit. After that the caller goes on, and the
   * participants are still told until they answer. Default 30 seconds.
   */
  readonly commitWait?: Duration.Input
  /**
   * How long after it was made a message may still run something (SPEC C8): the longest outage that messages survive.
   * Participants keep their records at least this long. Default 24 hours.
   */
  readonly maxMessageLifetime?: Duration.Input
  /**
   * How often a step behind the pivot of its saga is tried again before it is parked for a person (SPEC C18): `times` after the first
   * try, with a `backoff` as that of a step's `retryCompensate`. Default 10 times, after 1 second, then twice as long each time, up
   * to 5 minutes. Say more where services may be away for long: nobody has to be called then.
   */
  readonly retryForward?: Retry
  /**
   * How often this process renews its lease and looks for executions that no living process has. Default 1 second.
   * Shorter: a crash is noticed earlier, the repository has more to do.
   */
  readonly recoveryInterval?: Duration.Input
  /**
   * How long this process counts as alive after it has renewed its lease. Then other processes take over its executions
   * (SPEC C7). Default 3 seconds. Make it at least three times `recoveryInterval`, and longer than the longest pause of
   * the process (garbage collection, a sleeping machine): otherwise work is done twice.
   */
  readonly lease?: Duration.Input
  /**
   * How long the process may take to stop (SPEC C7). Nothing new begins meanwhile. A step that is under way and ends within
   * this time is stored, and does not run again in the next process. One second before the end steps are interrupted, or at
   * half of a time below two seconds. Default 10 seconds; 0: interrupted at once. Set it to the longest step that should
   * not run twice and a second, and give the process a few seconds more before it is killed.
   */
  readonly shutdownGrace?: Duration.Input
  /**
   * How many executions run at the same time in this process, whoever starts them; more wait for their turn: what people
   * decide and compensations first, then replies, then what is due, then new sagas. A saga that a step waits for runs in
   * the place of that step. Default 1,000.
   */
  readonly maxRunning?: number
  /**
   * How many executions this process may have at the same time: those that run and those that wait for a place. A start over
   * it fails with `SagaOverloaded`. An execution that waits for a reply or a time has no place in any process. Default
   * 100,000. It bounds the memory of the process.
   */
  readonly maxPending?: number
  /** How many replies, and how many questions about decisions, are handled at the same time. Default 64 of each. */
  readonly maxInFlight?: number
  /**
   * The services that a reply may name as related (SPEC C11). A reply that names another one fails its step. Default: any.
   * Set it where a service must not draw others into a transaction.
   */
  readonly relatedServices?: ReadonlyArray<string>
}

/** The checked settings. Times are in milliseconds. */
export class SagaConfig extends Context.Service<
  SagaConfig,
  {
    readonly service: string
    readonly schedule: RetrySchedule.ScheduleConfig
    readonly recoveryInterval: number
    readonly lease: number
    readonly shutdownGrace: number
    readonly maxRunning: number
    readonly maxPending: number
    readonly maxInFlight: number
    readonly relatedServices: ReadonlyArray<string> | undefined
  }
>()("effect-saga/SagaConfig") {}

const defaults = {
  recoveryInterval: 1_000,
  lease: 3_000,
  shutdownGrace: 10_000,
  maxRunning: 1_000,
  maxPending: 100_000,
  maxInFlight: 64
} as const

const names: Setting.Names<SagaConfigOptions> = {
  ...defaults,
  service: true,
  replyTimeout: true,
  acceptedResend: true,
  resend: true,
  reserveTimeout: true,
  commitWait: true,
  maxMessageLifetime: true,
  retryForward: true,
  relatedServices: true
}

/** The curve of resends, checked. */
const curveOf = Effect.fnUntraced(function* (options: ResendOptions) {
  const named = { initial: true, factor: true, max: true, slowAfter: true, slowMax: true }
  yield* Setting.known("SagaConfig.resend", options, named)
  const { factor, initial, later, max } = RetrySchedule.defaults.resend
  const all = { initial, factor, max, slowAfter: later.after, slowMax: later.max, ...options }
  const time = (name: "initial" | "max" | "slowAfter" | "slowMax") =>
    Setting.duration(`SagaConfig.resend.${name}`, all[name], { least: "1 milli" })
  if (typeof all.factor !== "number" || !(all.factor >= 1 && all.factor <= 1_000)) {
    const issue = "it must be a number from 1 to 1000"
    return yield* new InvalidSetting({ setting: "SagaConfig.resend.factor", issue })
  }
  const curve = { initial: yield* time("initial"), factor: all.factor, max: yield* time("max") }
  const slow = { after: yield* time("slowAfter"), max: yield* time("slowMax") }
  if (slow.max >= curve.max) return { ...curve, later: slow }
  return yield* new InvalidSetting({ setting: "SagaConfig.resend.slowMax", issue: "it must not be shorter than max" })
})

const retryOf = Effect.fnUntraced(function* (given: Retry) {
  yield* Setting.known("SagaConfig.retryForward", given, { times: true, backoff: true })
  const setting = "SagaConfig.retryForward.backoff"
  const time = (value: Duration.Input) => Setting.duration(setting, value, { least: "1 milli" })
  // A pause that cannot be read would count as the default.
  const curve = given.backoff === undefined || isCurve(given.backoff) ? given.backoff : { initial: given.backoff }
  if (curve !== undefined) {
    yield* Setting.known<Extract<Retry["backoff"], { readonly factor?: number }>>(setting, curve, {
      initial: true,
      factor: true,
      max: true
    })
    yield* time(curve.initial)
    if (curve.max !== undefined) yield* time(curve.max)
  }
  const { backoff, times } = toRetry(given, RetrySchedule.defaults.retryForward.backoff.initial)
  const { factor, initial, max } = backoff
  if (typeof factor !== "number" || !(factor >= 1)) {
    return yield* new InvalidSetting({ setting, issue: "its factor must be a number of at least 1" })
  }
  return {
    times: yield* Setting.wholeNumber("SagaConfig.retryForward.times", times, { least: 0 }),
    backoff: { initial: yield* time(Duration.millis(initial)), factor, max: yield* time(Duration.millis(max)) }
  }
})

const make = Effect.fnUntraced(function* (options: SagaConfigOptions) {
  const {
    relatedServices,
    resend = {},
    retryForward,
    service,
    ...given
  } = yield* Setting.known("SagaConfig", options, names)
  if (!isName(service))
    return yield* new InvalidServiceName({ service: typeof service === "string" ? service : `(a ${typeof service})` })
  const all = { ...RetrySchedule.defaults, ...defaults, ...given }
  const time = (
    name: Exclude<
      keyof SagaConfigOptions,
      "service" | "relatedServices" | "resend" | "retryForward" | `max${"Running" | "Pending" | "InFlight"}`
    >
  ) =>
    Setting.duration(`SagaConfig.${name}`, all[name], {
      least: name === "shutdownGrace" ? "0 millis" : "1 milli"
    })
  const count = (name: "maxRunning" | "maxPending" | "maxInFlight") =>
    Setting.wholeNumber(`SagaConfig.${name}`, all[name], { least: 1 })
  const recoveryInterval = yield* time("recoveryInterval")
  const lease = yield* time("lease")
  if (lease <= recoveryInterval) {
    const issue = "it must be longer than recoveryInterval, as it is renewed that often; three times as long is good"
    return yield* new InvalidSetting({ setting: "SagaConfig.lease", issue })
  }
  if (relatedServices !== undefined && !(Array.isArray(relatedServices) && relatedServices.every(isName))) {
    const issue = "it must be a list of service names"
    return yield* new InvalidSetting({ setting: "SagaConfig.relatedServices", issue })
  }
  return SagaConfig.of({
    service,
    schedule: {
      ...RetrySchedule.defaults,
      ...(retryForward !== undefined && { retryForward: yield* retryOf(retryForward) }),
      resend: yield* curveOf(resend),
      replyTimeout: yield* time("replyTimeout"),
      acceptedResend: yield* time("acceptedResend"),
      reserveTimeout: yield* time("reserveTimeout"),
      commitWait: yield* time("commitWait"),
      maxMessageLifetime: yield* time("maxMessageLifetime")
    },
    recoveryInterval,
    lease,
    shutdownGrace: yield* time("shutdownGrace"),
    maxRunning: yield* count("maxRunning"),
    maxPending: yield* count("maxPending"),
    maxInFlight: yield* count("maxInFlight"),
    relatedServices
  })
})

/**
 * The settings of this process, from code.
 *
 * @example
 * ```ts
 * const ConfigLive = SagaConfig.layer({ service: "orders", replyTimeout: "30 seconds" })
 * ```
 */
export const layer = (options: SagaConfigOptions): Layer.Layer<SagaConfig, InvalidServiceName | InvalidSetting> =>
  Layer.effect(SagaConfig, make(options))

/**
 * The same settings from Effect's `Config`. `SAGA_SERVICE` is required. `SAGA_REPLY_TIMEOUT`, `SAGA_ACCEPTED_RESEND`, `SAGA_RESERVE_TIMEOUT`,
 * `SAGA_COMMIT_WAIT`, `SAGA_MAX_MESSAGE_LIFETIME`, `SAGA_RECOVERY_INTERVAL`, `SAGA_LEASE`, `SAGA_SHUTDOWN_GRACE`, `SAGA_MAX_RUNNING`,
 * `SAGA_MAX_PENDING`, `SAGA_MAX_IN_FLIGHT`, and for resends `SAGA_RESEND_INITIAL`, `SAGA_RESEND_FACTOR`, `SAGA_RESEND_MAX`,
 * `SAGA_RESEND_SLOW_AFTER` and `SAGA_RESEND_SLOW_MAX`, and `SAGA_RETRY_FORWARD_TIMES` have the defaults of the options above. Durations are text such as
 * `30 seconds`.
 */
export const layerConfig: Layer.Layer<SagaConfig, InvalidServiceName | InvalidSetting | Config.ConfigError> =
  Layer.effect(
    SagaConfig,
    Effect.gen(function* () {
      const service = yield* Config.String("SAGA_SERVICE")
      const given = yield* Setting.optional({
        replyTimeout: Config.Duration("SAGA_REPLY_TIMEOUT"),
        acceptedResend: Config.Duration("SAGA_ACCEPTED_RESEND"),
        reserveTimeout: Config.Duration("SAGA_RESERVE_TIMEOUT"),
        commitWait: Config.Duration("SAGA_COMMIT_WAIT"),
        maxMessageLifetime: Config.Duration("SAGA_MAX_MESSAGE_LIFETIME"),
        recoveryInterval: Config.Duration("SAGA_RECOVERY_INTERVAL"),
        lease: Config.Duration("SAGA_LEASE"),
        shutdownGrace: Config.Duration("SAGA_SHUTDOWN_GRACE"),
        maxRunning: Config.Int("SAGA_MAX_RUNNING"),
        maxPending: Config.Int("SAGA_MAX_PENDING"),
        maxInFlight: Config.Int("SAGA_MAX_IN_FLIGHT")
      })
      const resend = yield* Setting.optional({
        initial: Config.Duration("SAGA_RESEND_INITIAL"),
        factor: Config.Number("SAGA_RESEND_FACTOR"),
        max: Config.Duration("SAGA_RESEND_MAX"),
        slowAfter: Config.Duration("SAGA_RESEND_SLOW_AFTER"),
        slowMax: Config.Duration("SAGA_RESEND_SLOW_MAX")
      })
      const { times } = yield* Setting.optional({ times: Config.Int("SAGA_RETRY_FORWARD_TIMES") })
      return yield* make({ service, resend, ...(times !== undefined && { retryForward: { times } }), ...given })
    })
  )
