/** The public part of `SagaOwnership`: the port, ownership by leases in the repository, and what one by buckets needs. */
export { bucketCount, bucketOf } from "../ports/Buckets.ts"
export { type Instance, layerLease, type Membership, type ReplyTaken, SagaOwnership } from "../ports/SagaOwnership.ts"
