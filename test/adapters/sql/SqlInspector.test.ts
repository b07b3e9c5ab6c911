/** The contract of the inspector on Postgres, and what only a database shows. */
import { Layer } from "effect"
import { SqlInspector, SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import { InspectorSuite } from "effect-saga/testing/suites"
import { databases } from "../../fixtures/postgres.ts"

for (const { layer, name, schema } of databases("inspector")) {
  const both = Layer.mergeAll(
    SqlInspector.layer({ schema }),
    SqlSagaExecutionRepository.layer({ schema }),
    SqlParticipantStore.layer({ schema })
  )
  InspectorSuite.suite(name, Layer.provide(both, layer), { timeout: "2 minutes", excludeTestServices: true })
}
