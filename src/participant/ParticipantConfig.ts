/** The limits and times of a participant (SPEC C6, C8, C14). Everything has a default. */
import { Context, Duration } from "effect"

export interface Options {
  /** How long a transaction without a decision to come is kept open. Default 1 hour. */
  readonly pendingTtl?: Duration.Input
  /** How long a reserved transaction waits before it asks its coordinator. Default 30 seconds. */
  readonly inDoubtAfter?: Duration.Input
  /** How long the answers to messages without a transaction are kept after nothing runs any more. Default 30 days. */
  readonly participantRetention?: Duration.Input
  /** Clocks of two machines may differ by this much. Default 5 minutes. */
  readonly maxSkew?: Duration.Input
  /** Commands, and messages about transactions, that are handled at the same time. Default 64 of each. */
  readonly maxInFlight?: number
}

/** In milliseconds. */
export interface Settings {
  readonly pendingTtl: number
  readonly inDoubtAfter: number
  readonly participantRetention: number
  readonly maxSkew: number
  readonly maxInFlight: number
}

export const defaults: Settings = {
  pendingTtl: 3_600_000,
  inDoubtAfter: 30_000,
  participantRetention: 30 * 86_400_000,
  maxSkew: 300_000,
  maxInFlight: 64
}

export const make = ({ maxInFlight = defaults.maxInFlight, ...times }: Options): Settings => {
  const millis = (time: Exclude<keyof Options, "maxInFlight">) => {
    const given = times[time]
    return given === undefined ? defaults[time] : Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(given)))
  }
  return {
    pendingTtl: millis("pendingTtl"),
    inDoubtAfter: millis("inDoubtAfter"),
    participantRetention: millis("participantRetention"),
    maxSkew: millis("maxSkew"),
    maxInFlight
  }
}

/** Read when a participant starts: `Layer.provide(Layer.succeed(ParticipantConfig, make({ … })))`. */
export const ParticipantConfig = Context.Reference<Settings>("effect-saga/ParticipantConfig", {
  defaultValue: () => defaults
})
