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
