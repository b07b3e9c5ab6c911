/** The rows of queues and what is read from them. A person may have changed them by hand: what makes no sense admits nobody. */
import { Option, Schema } from "effect"
import type { QueueLimits, QueueStatus, Rate } from "../../ports/SagaQueues.ts"

export interface StoredLimits {
  readonly concurrency: number
  readonly max_queued: number
  readonly rate: number | null
  readonly rate_per: bigint | number | null
  readonly key_concurrency: number | null
  readonly key_rate: number | null
  readonly key_rate_per: bigint | number | null
}

export interface StoredQueue extends StoredLimits {
  readonly name: string
  readonly declared: string
  readonly queued: number
  readonly again: number
  readonly held: number
}

export const rowOfLimits = ({ concurrency, maxQueued, perKey = {}, rate }: QueueLimits): StoredLimits => ({
  concurrency,
  max_queued: maxQueued,
  rate: rate?.limit ?? null,
  rate_per: rate?.per ?? null,
  key_concurrency: perKey.concurrency ?? null,
  key_rate: perKey.rate?.limit ?? null,
  key_rate_per: perKey.rate?.per ?? null
})

const rateFrom = (limit: number | null, per: bigint | number | null): Rate | undefined =>
  limit === null ? undefined : { limit, per: Number(per ?? 1) }

export const limitsFrom = (row: StoredLimits): QueueLimits => {
  const rate = rateFrom(row.rate, row.rate_per)
  const ofKey = rateFrom(row.key_rate, row.key_rate_per)
  const perKey = {
    ...(row.key_concurrency !== null && { concurrency: row.key_concurrency }),
    ...(ofKey !== undefined && { rate: ofKey })
  }
  return {
    concurrency: row.concurrency,
    maxQueued: row.max_queued,
    ...(rate !== undefined && { rate }),
    ...(Object.keys(perKey).length > 0 && { perKey })
  }
}

const RateOf = Schema.Struct({ limit: Schema.Int, per: Schema.Int })

const Declared = Schema.fromJsonString(
  Schema.Struct({
    concurrency: Schema.Int,
    maxQueued: Schema.Int,
    rate: Schema.optionalKey(RateOf),
    perKey: Schema.optionalKey(
      Schema.Struct({ concurrency: Schema.optionalKey(Schema.Int), rate: Schema.optionalKey(RateOf) })
    )
  })
)

const readDeclared = Schema.decodeUnknownOption(Declared)

export const statusFrom = (row: StoredQueue): QueueStatus => {
  const limits = limitsFrom(row)
  return {
    queue: row.name,
    limits,
    declared: Option.getOrElse(readDeclared(row.declared), () => limits),
    queued: row.queued,
    again: row.again,
    held: row.held
  }
}
