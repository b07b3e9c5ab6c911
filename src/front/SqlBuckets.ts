/** Which of several databases has which executions: where they begin, where they are, and how they move. */
export { list } from "../adapters/sql/ListBuckets.ts"
export { begin, type Move, move, SagaBucketStays, SagaBucketsBegun, served } from "../adapters/sql/MoveBuckets.ts"
export type { BucketPlaces, BucketState, DatabaseBuckets, PlacedBucket } from "../ports/Buckets.ts"
