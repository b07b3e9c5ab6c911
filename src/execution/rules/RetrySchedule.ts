/**
 * When messages and attempts are due (SPEC C8). Times follow from stored facts alone: sending again writes nothing, and
 * after a restart the same times come out.
 */
import { Hash } from "effect"
import type { Backoff, Retry } from "../../definition/SagaStep.ts"

export type { Backoff }

/** The times of one process. `SagaConfig` sets those that have an option; the rest have the values of `defaults`. */
export interface ScheduleConfig {
  /** When a request without a reply, or a question about votes, is sent again. */
  readonly resend: Backoff
  /** When a commit or a reject that is not acknowledged is sent again. */
  readonly resendDecision: Backoff
  /** How long votes are waited for, in milliseconds. After that the transaction is rejected. */
  readonly reserveTimeout: number
  /** How long a caller waits for the acknowledgements of a commit, in milliseconds. */
  readonly commitWait: number
  /** How long a remote step without `timeout` waits for its reply, in milliseconds. */
  readonly replyTimeout: number
  /** How long after its first sending a message may still be executed, in milliseconds (its `notAfter`). */
  readonly maxMessageLifetime: number
  /** How often a compensation is tried again before its step is parked, for steps without a `retryCompensate`. */
  readonly retryCompensate: Retry
}

const minute = 60_000

export const defaults: ScheduleConfig = {
  resend: { initial: 1_000, factor: 2, max: 30_000 },
  resendDecision: { initial: 1_000, factor: 2, max: 5 * minute },
  reserveTimeout: minute / 2,
  commitWait: minute / 2,
  replyTimeout: 5 * minute,
  maxMessageLifetime: 24 * 60 * minute,
  retryCompensate: { times: 10, backoff: { initial: 1_000, factor: 2, max: 5 * minute } }
}

/** The wait before the k-th repetition (k from 1), without jitter, in whole milliseconds like the clock. */
export const delay = (k: number, backoff: Backoff): number => Math.round(grown(k, backoff))

const grown = (k: number, { factor, initial, max }: Backoff): number => Math.min(max, initial * factor ** (k - 1))

/**
 * When the k-th repetition is due. The jitter (up to a tenth) is a function of `seed`, so that many messages spread
 * out and each of them keeps its schedule.
 */
export const dueAt = (at: number, k: number, backoff: Backoff, seed: string): number => {
  const spread = jitter(seed)
  let due = at
  for (let i = 1; i <= k; i++) {
    const pause = wait(i, backoff, spread)
    // From here on every wait is the same.
    if (isLast(i, backoff)) return due + (k - i + 1) * pause
    due += pause
  }
  return due
}

/** The latest repetition that was due by `now` (`at` itself if none was) and the first one after it. */
export const around = (
  at: number,
  now: number,
  backoff: Backoff,
  seed: string
): { readonly last: number; readonly next: number } => {
  const spread = jitter(seed)
  let last = at
  for (let k = 1; ; k++) {
    const pause = wait(k, backoff, spread)
    if (isLast(k, backoff)) {
      const passed = Math.max(0, Math.floor((now - last) / pause))
      return { last: last + passed * pause, next: last + (passed + 1) * pause }
    }
    if (last + pause > now) return { last, next: last + pause }
    last += pause
  }
}

/** Every wait from the k-th on is the same. */
const isLast = (k: number, backoff: Backoff): boolean => backoff.factor === 1 || grown(k, backoff) === backoff.max

const wait = (k: number, backoff: Backoff, spread: number): number =>
  Math.max(1, Math.round(grown(k, backoff) * spread))

const jitter = (seed: string): number => 1 + ((Hash.string(seed) >>> 0) % 1_000) / 10_000
