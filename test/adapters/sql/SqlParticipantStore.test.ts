import { Layer } from "effect"
import { SqlParticipantStore } from "effect-saga/sql"
import { ParticipantStoreSuite } from "effect-saga/testing/suites"
import { databases } from "../../fixtures/postgres.ts"

for (const { layer, name, schema } of databases("participants")) {
  ParticipantStoreSuite.suite(name, Layer.provide(SqlParticipantStore.layer({ schema }), layer), {
    // PGlite has one session, and so one unit at a time.
    parts: ["core", "concurrent", "recovery", ...(name === "PGlite" ? [] : (["parallel"] as const))],
    timeout: "2 minutes",
    excludeTestServices: true
  })
}
