/** The public part of `SagaOwnership`: the port, and ownership by leases in the repository. */
export { type Instance, layerLease, type Membership, SagaOwnership } from "../ports/SagaOwnership.ts"
