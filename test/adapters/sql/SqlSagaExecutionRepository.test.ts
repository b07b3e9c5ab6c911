import { Layer } from "effect"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { RepositorySuite } from "effect-saga/testing/suites"
import { databases } from "../../fixtures/postgres.ts"

for (const { layer, name, schema } of databases("executions")) {
  RepositorySuite.suite(name, Layer.provide(SqlSagaExecutionRepository.layer({ schema }), layer), {
    timeout: "2 minutes",
    excludeTestServices: true
  })
}
