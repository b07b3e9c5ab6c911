/** A rate as programs give it, and its check. */
import { type Duration, Effect } from "effect"
import type { Rate } from "./QueueAdmission.ts"
import * as Setting from "./Setting.ts"

export interface RateOptions {
  /**
   * A whole number from 1 to 1,000,000: so many begin in `per` on average, and so many at once after a time without any. In a time
   * t at most `limit` + `limit` · t / `per` begin.
   */
  readonly limit: number
  /** From 1 millisecond to ten years. */
  readonly per: Duration.Input
}

export const read = Effect.fnUntraced(function* (
  setting: string,
  options: RateOptions
): Effect.fn.Return<Rate, Setting.InvalidSetting> {
  const { limit, per } = yield* Setting.known(setting, options, { limit: true, per: true })
  return {
    limit: yield* Setting.wholeNumber(`${setting}.limit`, limit, { least: 1, most: 1_000_000 }),
    per: yield* Setting.duration(`${setting}.per`, per, { least: "1 milli" })
  }
})
