import { Layer } from "effect"
import { SagaOwnership } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { OwnershipSuite } from "effect-saga/testing/suites"
import { databases } from "../../fixtures/postgres.ts"

for (const { layer, name, schema } of databases("ownership")) {
  const repository = Layer.provide(SqlSagaExecutionRepository.layer({ schema }), layer)
  OwnershipSuite.suite(`leases on ${name}`, Layer.provideMerge(SagaOwnership.layerLease, repository), {
    timeout: "2 minutes",
    excludeTestServices: true
  })
}
