import { Effect, Layer } from "effect"
import { RepositorySuite } from "effect-saga/testing/suites"
import { divided, places, repository } from "../../fixtures/manyDatabases.ts"

for (const { name, two } of places("suite")) {
  const layer = Layer.unwrap(Effect.tap(two, divided).pipe(Effect.map(repository)))
  RepositorySuite.suite(`over ${name}`, layer, {
    timeout: "2 minutes",
    excludeTestServices: true,
    // Queues and schedules are of one database.
    parts: ["core", "concurrent", "recovery", "inbox"]
  })
}
