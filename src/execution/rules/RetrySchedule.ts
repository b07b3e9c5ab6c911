/**
 * When messages and attempts are due (SPEC C8). Times follow from stored facts alone: sending again writes nothing, and
 * after a restart the same times come out.
 */
import { Hash } from "effect"
import type { Backoff, Remote, Retry } from "../../definition/SagaStep.ts"

export type { Backoff }

/** A backoff whose maximum is another one from a time on, in milliseconds after the event. */
export interface Curve extends Backoff {
  readonly later?: { readonly after: number; readonly max: number }
}

/** The times of one process. `SagaConfig` sets those that have an option; the rest have the values of `defaults`. */
export interface ScheduleConfig {
  /** When a request without a reply, or a question about votes, is sent again. */
  readonly resend: Curve
  /** When a commit or a reject that is not acknowledged is sent again. */
  readonly resendDecision: Backoff
  /** How long votes are waited for, in milliseconds. After that the transaction is rejected. */
  readonly reserveTimeout: number
  /** How long a caller waits for the acknowledgements of a commit, in milliseconds. */
  readonly commitWait: number
  /** How long a remote step without `timeout` waits for its reply, in milliseconds. */
  readonly replyTimeout: number
  /** How often a request that is accepted, and is answered later, is sent again, in milliseconds. */
  readonly acceptedResend: number
  /** How long after its first sending a message may still be executed, in milliseconds (its `notAfter`). */
  readonly maxMessageLifetime: number
  /** How often a compensation is tried again before its step is parked, for steps without a `retryCompensate`. */
  readonly retryCompensate: Retry
  /** How often a step behind the pivot is tried again before it is parked (SPEC C18). */
  readonly retryForward: Retry
}

const minute = 60_000

export const defaults = {
  resend: { initial: 1_000, factor: 2, max: minute / 2, later: { after: 5 * minute, max: 60 * minute } },
  resendDecision: { initial: 1_000, factor: 2, max: 5 * minute },
  reserveTimeout: minute / 2,
  commitWait: minute / 2,
  replyTimeout: 5 * minute,
  acceptedResend: 5 * minute,
  maxMessageLifetime: 24 * 60 * minute,
  retryCompensate: { times: 10, backoff: { initial: 1_000, factor: 2, max: 5 * minute } },
  retryForward: { times: 10, backoff: { initial: 1_000, factor: 2, max: 5 * minute } }
} satisfies ScheduleConfig

/** How long a request waits for the first word of its service. The time of its step counts once it is accepted (SPEC C19). */
export const answerTime = ({ execute, policies }: Remote, { replyTimeout: most }: ScheduleConfig): number =>
  Math.min(policies.timeout ?? most, execute.later === true ? most : Number.POSITIVE_INFINITY)

/** The wait before the k-th repetition (k from 1), without jitter, in whole milliseconds like the clock. */
export const delay = (k: number, { factor, initial, max }: Backoff): number =>
  Math.round(Math.min(max, initial * factor ** (k - 1)))

/**
 * When the k-th repetition is due. The jitter (up to a tenth) is a function of `seed`, so that many messages spread
 * out and each of them keeps its schedule.
 */
export const dueAt = (at: number, k: number, curve: Curve, seed: string): number => {
  let due = at
  let left = k
  for (let waits = first(curve, seed); ; waits = waits.next()) {
    const passed = Math.min(left, waits.times)
    due += passed * waits.pause
    left -= passed
    if (left === 0) return due
  }
}

/** The latest repetition that was due by `now` (`at` itself if none was) and the first one after it. */
export const around = (at: number, now: number, curve: Curve, seed: string) => {
  let last = at
  for (let waits = first(curve, seed); ; waits = waits.next()) {
    const { pause, times } = waits
    const passed = Math.max(0, Math.min(times, Math.floor((now - last) / pause)))
    last += passed * pause
    if (passed < times) return { last, next: last + pause }
  }
}

/** Equal waits in a row. A schedule has few of them, however long it is. */
interface Waits {
  readonly pause: number
  readonly times: number
  readonly next: () => Waits
}

/** `passed`: milliseconds since the event. `wait`: the first one, without jitter, where no maximum is lower. */
const waitsFrom = (curve: Curve, passed: number, wait: number, spread: number): Waits => {
  const { factor, later = never } = curve
  const isLater = passed >= later.after
  const { max } = isLater ? later : curve
  const plain = Math.min(max, wait)
  const pause = Math.max(1, Math.round(plain * spread))
  const end = isLater ? Number.POSITIVE_INFINITY : later.after
  const times = factor === 1 || plain === max ? Math.ceil((end - passed) / pause) : 1
  return { pause, times, next: () => waitsFrom(curve, passed + times * pause, plain * factor, spread) }
}

const never = { after: Number.POSITIVE_INFINITY, max: 0 }

const first = (curve: Curve, seed: string): Waits =>
  waitsFrom(curve, 0, curve.initial, 1 + ((Hash.string(seed) >>> 0) % 1_000) / 10_000)
