/** Executions fall into buckets: an ownership shares them out among instances, and a repository among databases. */
import { sha256OfText } from "../wire/CanonicalJson.ts"

/** How many buckets there are. It is the same in every process of a service, for ever. */
export const bucketCount = 256

/** The bucket of an execution: the last byte of its uuid, which is random in the uuids that are made for new executions. */
export const bucketOf = (uuid: string): number => Number.parseInt(uuid.slice(-2), 16)

/** The bucket of a `startKey`: the first byte of the SHA-256 of its UTF-8. */
export const bucketOfKey = (startKey: string): number => Number.parseInt(sha256OfText(startKey).slice(0, 2), 16)

/** The bucket that the uuid of a new execution has to be in. Undefined: it may be in any. */
export const bucketFor = (
  { keysHaveBuckets }: { readonly keysHaveBuckets?: boolean },
  startKey: string | undefined
): number | undefined => (keysHaveBuckets === true && startKey !== undefined ? bucketOfKey(startKey) : undefined)

/** The uuid with its last byte changed, so that it is in the bucket. */
export const inBucket = (uuid: string, bucket: number): string =>
  `${uuid.slice(0, -2)}${bucket.toString(16).padStart(2, "0")}`

// ---- what several databases say of their buckets -----------------------------------------------------------------

/** `here`: the database serves it. `leaving`: it moves to another database. `gone`: it has moved. */
export type BucketState = "here" | "leaving" | "gone"

/** A bucket as one of the databases has it. */
export interface PlacedBucket {
  readonly bucket: number
  /** The number of its moves. The database with the highest one has the bucket. */
  readonly epoch: number
  readonly state: BucketState
  /** Where it goes, or has gone: the name of the database, or its id where none of the named ones has it. */
  readonly to?: string
}

/** A database, and the buckets that it has or had, in the order of their numbers. */
export interface DatabaseBuckets {
  readonly database: string
  /** Absent: the database does not answer. Empty: it has never had a bucket. */
  readonly buckets?: ReadonlyArray<PlacedBucket>
}

/** How all buckets are spread over several databases. */
export interface BucketPlaces {
  readonly databases: ReadonlyArray<DatabaseBuckets>
  /** Buckets that no database serves. Databases that have not answered are left out. */
  readonly nowhere: ReadonlyArray<number>
  /** Buckets that two databases serve at the same epoch. No process goes on with their executions. */
  readonly doubled: ReadonlyArray<number>
}
