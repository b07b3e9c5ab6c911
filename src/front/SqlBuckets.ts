/** Which of several databases has which executions: where they begin, where they are, and how they move. */
export { begin, type Move, move, SagaBucketStays, SagaBucketsBegun, served } from "../adapters/sql/MoveBuckets.ts"
