/**
 * The settings of a participant (SPEC C6, C8, C14). Everything has a default, so no layer is needed; settings that are
 * given are checked when the layer is built.
 */
import { Config, Context, type Duration, Effect, Layer } from "effect"
import type { InvalidSetting } from "../ports/Setting.ts"
import * as Setting from "../ports/Setting.ts"

export interface ParticipantConfigOptions {
  /**
   * How long a transaction stays open that has not voted and gets no decision, after the time until which its execution can turn
   * back; then it is rejected (SPEC C6, C16). From 1 ms to 3,650 days, default 1 hour. Make it longer than local steps without a
   * `timeout` may take, and than an outage of the orchestrator.
   */
  readonly pendingTtl?: Duration.Input
  /**
   * How long a transaction that has voted yes waits for the decision before it asks its coordinator for it. From 1 ms to
   * 3,650 days, default 30 seconds.
   */
  readonly inDoubtAfter?: Duration.Input
  /**
   * How long the answers to messages without a transaction are kept after such a message can no longer run anything, and its
   * execution can no longer turn back (SPEC C14, C16). At least 1 ms, may be infinite, default 30 days. A longer time tells repeated messages apart for longer
   * and needs more room in the store.
   */
  readonly participantRetention?: Duration.Input
  /**
   * How far ahead the `keepUntil` of a command may be, the time until which its execution can still turn back. A later one counts as
   * this. From 1 ms to 3,650 days, default 3,650 days, as no saga takes longer. Make it shorter where the sender of a command should not
   * decide for so long what is kept, and not shorter than its longest saga: what is forgotten cannot be undone, and is parked there.
   */
  readonly maxKeepUntil?: Duration.Input
  /**
   * How much the clocks of two machines may differ (SPEC A4). From 0 to 3,650 days, default 5 minutes. Records are kept
   * longer by this time.
   */
  readonly maxSkew?: Duration.Input
  /**
   * How long the process may take to stop (SPEC C7). No message is taken meanwhile. A handler that is under way and ends within
   * this time is recorded, answered and acknowledged. One second before the end handlers are interrupted, or at half of a
   * time below two seconds, and their messages come again. From 0 to 3,650 days, default 10 seconds. Give the process a few
   * seconds more before it is killed.
   */
  readonly shutdownGrace?: Duration.Input
  /**
   * How many commands, and how many messages about transactions, are handled at the same time. A whole number from 1,
   * default 64 of each. With SQL a handler needs a connection: more than the client has wait.
   */
  readonly maxInFlight?: number
  /**
   * How many of these commands run a handler in a unit of work at the same time. The others wait for their turn, by the `priority` of
   * their commands (`HandlerLimits`); half of `maxInFlight` may wait, and further ones come again. A whole number from 1, default
   * `maxInFlight`: none waits. Set it to the connections that the handlers may have. Compensations are not limited.
   */
  readonly maxHandlers?: number
}

/** The checked settings. Times are in milliseconds. */
export interface ParticipantConfig {
  readonly pendingTtl: number
  readonly inDoubtAfter: number
  readonly participantRetention: number
  readonly maxKeepUntil: number
  readonly maxSkew: number
  readonly shutdownGrace: number
  readonly maxInFlight: number
  readonly maxHandlers: number
}

export const defaults: ParticipantConfig = {
  pendingTtl: 3_600_000,
  inDoubtAfter: 30_000,
  participantRetention: 30 * 86_400_000,
  maxKeepUntil: 3_650 * 86_400_000,
  maxSkew: 300_000,
  shutdownGrace: 10_000,
  maxInFlight: 64,
  maxHandlers: 64
}

/** Read when a participant starts. */
export const ParticipantConfig = Context.Reference<ParticipantConfig>("effect-saga/ParticipantConfig", {
  defaultValue: () => defaults
})

const make = Effect.fnUntraced(function* (options: ParticipantConfigOptions) {
  const all = { ...defaults, ...(yield* Setting.known("ParticipantConfig", options, defaults)) }
  const time = (
    name: Exclude<keyof ParticipantConfig, "maxInFlight" | "maxHandlers">,
    bounds: Setting.DurationBounds
  ) => Setting.duration(`ParticipantConfig.${name}`, all[name], bounds)
  return {
    pendingTtl: yield* time("pendingTtl", { least: "1 milli" }),
    inDoubtAfter: yield* time("inDoubtAfter", { least: "1 milli" }),
    participantRetention: yield* time("participantRetention", { least: "1 milli", never: true }),
    maxKeepUntil: yield* time("maxKeepUntil", { least: "1 milli" }),
    maxSkew: yield* time("maxSkew", { least: "0 millis" }),
    shutdownGrace: yield* time("shutdownGrace", { least: "0 millis" }),
    maxInFlight: yield* Setting.wholeNumber("ParticipantConfig.maxInFlight", all.maxInFlight, { least: 1 }),
    maxHandlers: yield* Setting.wholeNumber(
      "ParticipantConfig.maxHandlers",
      options.maxHandlers === undefined ? all.maxInFlight : options.maxHandlers,
      {
        least: 1
      }
    )
  }
})

/**
 * Settings for the participants to which the layer is provided; fails with `InvalidSetting`.
 *
 * @example
 * ```ts
 * const PaymentsLive = Participant.layer(Payments, handlers).pipe(
 *   Layer.provide(ParticipantConfig.layer({ inDoubtAfter: "5 seconds" }))
 * )
 * ```
 */
export const layer = (options: ParticipantConfigOptions): Layer.Layer<never, InvalidSetting> =>
  Layer.effect(ParticipantConfig, make(options))

/**
 * The same settings from Effect's `Config`: `SAGA_PARTICIPANT_PENDING_TTL`, `SAGA_PARTICIPANT_IN_DOUBT_AFTER`,
 * `SAGA_PARTICIPANT_RETENTION`, `SAGA_PARTICIPANT_MAX_KEEP_UNTIL`, `SAGA_PARTICIPANT_MAX_SKEW`, `SAGA_PARTICIPANT_SHUTDOWN_GRACE`, `SAGA_PARTICIPANT_MAX_IN_FLIGHT` and `SAGA_PARTICIPANT_MAX_HANDLERS` have the defaults of the
 * options above. Durations are text such as `30 seconds`.
 */
export const layerConfig: Layer.Layer<never, InvalidSetting | Config.ConfigError> = Layer.effect(
  ParticipantConfig,
  Effect.flatMap(
    Setting.optional({
      pendingTtl: Config.Duration("SAGA_PARTICIPANT_PENDING_TTL"),
      inDoubtAfter: Config.Duration("SAGA_PARTICIPANT_IN_DOUBT_AFTER"),
      participantRetention: Config.Duration("SAGA_PARTICIPANT_RETENTION"),
      maxKeepUntil: Config.Duration("SAGA_PARTICIPANT_MAX_KEEP_UNTIL"),
      maxSkew: Config.Duration("SAGA_PARTICIPANT_MAX_SKEW"),
      shutdownGrace: Config.Duration("SAGA_PARTICIPANT_SHUTDOWN_GRACE"),
      maxInFlight: Config.Int("SAGA_PARTICIPANT_MAX_IN_FLIGHT"),
      maxHandlers: Config.Int("SAGA_PARTICIPANT_MAX_HANDLERS")
    }),
    make
  )
)
