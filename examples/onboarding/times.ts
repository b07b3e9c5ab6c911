/** The times of the bank. Nobody waits hours for a demonstration: with `BANK_SPEED=60` an hour takes a minute. */
import { Duration } from "effect"

/** A speed that is no number gives durations that the validation of the saga refuses. */
const speed = Number(process.env.BANK_SPEED ?? 1)

export const hours = (n: number) => Duration.millis(Math.ceil((n * 3_600_000) / speed))
export const minutes = (n: number) => hours(n / 60)

/** Of commands whose answer comes later. */
export const waits = {
  /** How long the service may be away. When it has said that it has begun, the time of the step counts. */
  replyTimeout: hours(24),
  /** How often it is asked for the answer after that, as a message may be lost. */
  acceptedResend: minutes(5)
}
