/** Which of several databases has each bucket, as far as a process knows. It is a hint: a database refuses what it does not serve. */
import { type BucketState, bucketCount } from "../../ports/Buckets.ts"

/** A row of `saga_bucket`. `epoch`: the number of moves that the bucket has made. Of two rows the one with the higher epoch is the newer. */
export interface BucketAt {
  readonly bucket: number
  readonly epoch: number
  /** `leaving`: until it has arrived elsewhere it is read here, and nothing is written. */
  readonly state: BucketState
}

/** The number of the database that has each bucket; undefined: none of those that are known. */
export type BucketPlaces = ReadonlyArray<number | undefined>

/** Buckets that two databases serve at the same epoch: a person has restored one of them, or has begun with both. */
export interface Doubled {
  readonly bucket: number
  readonly databases: readonly [number, number]
}

export interface Known {
  readonly places: BucketPlaces
  readonly doubled: ReadonlyArray<Doubled>
}

/** Of what the databases say: the one with the highest epoch has the bucket. A bucket of two of them is nobody's. */
export const of = (said: ReadonlyArray<ReadonlyArray<BucketAt>>): Known => {
  const best = new Map<number, { readonly at: number; readonly epoch: number }>()
  const doubled = new Map<number, Doubled>()
  for (const [at, rows] of said.entries()) {
    for (const { bucket, epoch, state } of rows) {
      const known = best.get(bucket)
      if (state === "gone" || epoch < (known?.epoch ?? 0)) continue
      if (known?.epoch === epoch) doubled.set(bucket, { bucket, databases: [known.at, at] })
      else doubled.delete(bucket)
      best.set(bucket, { at, epoch })
    }
  }
  const places = Array.from({ length: bucketCount }, (_, bucket) =>
    doubled.has(bucket) ? undefined : best.get(bucket)?.at
  )
  return { places, doubled: [...doubled.values()] }
}
