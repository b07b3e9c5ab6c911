/** The limits of a queue as programs and people give them, and their checks. */
import { Effect } from "effect"
import * as RateSetting from "../ports/RateSetting.ts"
import type { QueueLimits } from "../ports/SagaQueues.ts"
import * as Setting from "../ports/Setting.ts"
import { isName } from "../wire/Envelope.ts"

export type { RateOptions } from "../ports/RateSetting.ts"

export interface Limits {
  /**
   * Places: executions that run, await a reply or are undone. A whole number from 1 to 10,000 (a person may set 0, which admits
   * none). Default 100.
   */
  readonly concurrency?: number
  /** New executions that may wait, about: further ones are refused with `SagaQueueFull`. From 1 to 10,000,000. Default 100,000. */
  readonly maxQueued?: number
  /** New executions in a time; going on after a wait needs no token. Time is that of the database. Default: none, as many begin as there are places. */
  readonly rate?: RateSetting.RateOptions
  /** Limits of each key. Default: none. */
  readonly perKey?: {
    /** As above. Default: that of the queue. */
    readonly concurrency?: number
    /** Default: none. */
    readonly rate?: RateSetting.RateOptions
  }
}

export const nameOf = (queue: { readonly name: string } | string): string =>
  typeof queue === "string" ? queue : queue.name

const mostPlaces = 10_000

/** The limits of a program or a person, checked. `least`: places that there are at least. */
export const read = Effect.fnUntraced(function* (
  name: string,
  limits: Limits,
  least: 0 | 1 = 1
): Effect.fn.Return<QueueLimits, Setting.InvalidSetting> {
  if (!isName(name)) {
    const issue = "it must be a name of letters, digits, _, . and -"
    return yield* new Setting.InvalidSetting({ setting: "SagaQueue.name", issue })
  }
  const at = (option: string) => `SagaQueue ${name}.${option}`
  const {
    concurrency = 100,
    maxQueued = 100_000,
    perKey,
    rate
  } = yield* Setting.known(`SagaQueue ${name}`, limits, {
    concurrency: true,
    maxQueued: true,
    rate: true,
    perKey: true
  })
  if (perKey !== undefined) yield* Setting.known(at("perKey"), perKey, { concurrency: true, rate: true })
  const places = { least, most: mostPlaces }
  const ofKey = perKey?.concurrency
  const keyPlaces =
    ofKey === undefined ? undefined : yield* Setting.wholeNumber(at("perKey.concurrency"), ofKey, places)
  const keyRate = perKey?.rate === undefined ? undefined : yield* RateSetting.read(at("perKey.rate"), perKey.rate)
  const hasKeys = keyPlaces !== undefined || keyRate !== undefined
  return {
    concurrency: yield* Setting.wholeNumber(at("concurrency"), concurrency, places),
    maxQueued: yield* Setting.wholeNumber(at("maxQueued"), maxQueued, { least: 1, most: 10_000_000 }),
    ...(rate !== undefined && { rate: yield* RateSetting.read(at("rate"), rate) }),
    ...(hasKeys && {
      perKey: {
        ...(keyPlaces !== undefined && { concurrency: keyPlaces }),
        ...(keyRate !== undefined && { rate: keyRate })
      }
    })
  }
})
