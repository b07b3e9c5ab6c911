/** The suite of the ownership, by leases and by buckets. */
import { Layer } from "effect"
import { SagaExecutionRepository, SagaOwnership } from "effect-saga"
import { OwnershipSuite } from "effect-saga/testing/suites"
import * as Buckets from "../fixtures/buckets.ts"

OwnershipSuite.suite(
  "leases in memory",
  Layer.provideMerge(SagaOwnership.layerLease, SagaExecutionRepository.layerMemory)
)
OwnershipSuite.suite("buckets in memory", Layer.provideMerge(Buckets.layer, SagaExecutionRepository.layerMemory))
