/** What a process must say of itself before it can run sagas: its service name. Everything else has a default. */
import { Config, Context, Duration, Effect, Layer, Schema } from "effect"
import * as RetrySchedule from "../execution/rules/RetrySchedule.ts"
import { isName } from "../wire/Envelope.ts"

/** The service name cannot stand in a topic (SPEC C11). */
export class InvalidServiceName extends Schema.TaggedError<InvalidServiceName>()("InvalidServiceName", {
  service: Schema.String
}) {
  override get message(): string {
    return `The service name ${JSON.stringify(this.service)} does not match ^[A-Za-z][A-Za-z0-9_.-]{0,63}$`
  }
}

/** A limit that lets nothing through, or a time that is none. */
export class InvalidSetting extends Schema.TaggedError<InvalidSetting>()("InvalidSetting", {
  setting: Schema.String,
  value: Schema.Number
}) {
  override get message(): string {
    return `The setting ${this.setting} must be a number above 0, and is ${this.value}`
  }
}

export interface Options {
  /** The own service: a process group with one name; the same name in every process of the group. */
  readonly service: string
  /** How long a remote step without `timeout` waits for its reply. Default 5 minutes. */
  readonly replyTimeout?: Duration.Input
  /** How long the votes of a two-phase commit are waited for. Default 30 seconds. */
  readonly reserveTimeout?: Duration.Input
  /** How long a caller waits until all have acknowledged a commit; telling them goes on. Default 30 seconds. */
  readonly commitWait?: Duration.Input
  /** How long a message may run something. Default 24 hours. */
  readonly maxMessageLifetime?: Duration.Input
  /** How often this process looks for executions that nobody alive has, and says that it lives. Default 3 seconds. */
  readonly recoveryInterval?: Duration.Input
  /** How long it counts as alive without saying so. Default 9 seconds. */
  readonly lease?: Duration.Input
  /** Executions that run at the same time in this process; more wait. Default 1,000. */
  readonly maxRunning?: number
  /** Unsettled executions this process has started; more are refused (`SagaOverloaded`). Default 100,000. */
  readonly maxPending?: number
  /** Messages that are handled at the same time. Default 64. */
  readonly maxInFlight?: number
  /** Services that a reply may name as related. Default: any. */
  readonly relatedServices?: ReadonlyArray<string>
}

export class SagaConfig extends Context.Service<
  SagaConfig,
  {
    readonly service: string
    readonly settings: RetrySchedule.Settings
    readonly recoveryInterval: number
    readonly lease: number
    readonly maxRunning: number
    readonly maxPending: number
    readonly maxInFlight: number
    readonly relatedServices: ReadonlyArray<string> | undefined
  }
>()("effect-saga/SagaConfig") {}

const make = Effect.fnUntraced(function* (options: Options) {
  if (!isName(options.service)) return yield* new InvalidServiceName({ service: options.service })
  const millis = (input: Duration.Input | undefined, otherwise: number) =>
    input === undefined ? otherwise : Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(input)))
  const numbers = {
    replyTimeout: millis(options.replyTimeout, RetrySchedule.defaults.replyTimeout),
    reserveTimeout: millis(options.reserveTimeout, RetrySchedule.defaults.reserveTimeout),
    commitWait: millis(options.commitWait, RetrySchedule.defaults.commitWait),
    maxMessageLifetime: millis(options.maxMessageLifetime, RetrySchedule.defaults.maxMessageLifetime),
    recoveryInterval: millis(options.recoveryInterval, 3_000),
    lease: millis(options.lease, 9_000),
    maxRunning: options.maxRunning ?? 1_000,
    maxPending: options.maxPending ?? 100_000,
    maxInFlight: options.maxInFlight ?? 64
  }
  for (const [setting, value] of Object.entries(numbers)) {
    if (!(value > 0 && Number.isFinite(value))) return yield* new InvalidSetting({ setting, value })
  }
  const { commitWait, maxMessageLifetime, replyTimeout, reserveTimeout, ...limits } = numbers
  return SagaConfig.of({
    service: options.service,
    settings: { ...RetrySchedule.defaults, replyTimeout, reserveTimeout, commitWait, maxMessageLifetime },
    ...limits,
    relatedServices: options.relatedServices
  })
})

export const layer = (options: Options): Layer.Layer<SagaConfig, InvalidServiceName | InvalidSetting> =>
  Layer.effect(SagaConfig, make(options))

/**
 * The same from Effect's `Config`: `SAGA_SERVICE` is required; `SAGA_REPLY_TIMEOUT`, `SAGA_RESERVE_TIMEOUT`,
 * `SAGA_COMMIT_WAIT`, `SAGA_MAX_MESSAGE_LIFETIME`, `SAGA_RECOVERY_INTERVAL`, `SAGA_LEASE`, `SAGA_MAX_RUNNING`, `SAGA_MAX_PENDING`, `SAGA_MAX_IN_FLIGHT` have the defaults above.
 */
export const layerConfig: Layer.Layer<SagaConfig, InvalidServiceName | InvalidSetting | Config.ConfigError> =
  Layer.effect(
    SagaConfig,
    Effect.gen(function* () {
      const optional = <A, K extends string>(config: Config.Config<A>, key: K) =>
        Config.option(config).pipe(
          Config.map((value) => (value._tag === "Some" ? ({ [key]: value.value } as { [P in K]?: A }) : {})) // a computed key widens
        )
      const service = yield* Config.String("SAGA_SERVICE")
      const given = yield* Config.all([
        optional(Config.Duration("SAGA_REPLY_TIMEOUT"), "replyTimeout"),
        optional(Config.Duration("SAGA_RESERVE_TIMEOUT"), "reserveTimeout"),
        optional(Config.Duration("SAGA_COMMIT_WAIT"), "commitWait"),
        optional(Config.Duration("SAGA_MAX_MESSAGE_LIFETIME"), "maxMessageLifetime"),
        optional(Config.Duration("SAGA_RECOVERY_INTERVAL"), "recoveryInterval"),
        optional(Config.Duration("SAGA_LEASE"), "lease"),
        optional(Config.Int("SAGA_MAX_RUNNING"), "maxRunning"),
        optional(Config.Int("SAGA_MAX_PENDING"), "maxPending"),
        optional(Config.Int("SAGA_MAX_IN_FLIGHT"), "maxInFlight")
      ])
      return yield* make(Object.assign({ service }, ...given))
    })
  )
