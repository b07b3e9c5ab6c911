/** The program `effect-saga` as a process, on the folder of a PGlite. */
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { SagaExecutionRepository } from "effect-saga"
import { PgliteClient } from "effect-saga/pglite"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as Sample from "../../src/testing/SampleExecutions.ts"

const bin = fileURLToPath(new URL("../../src/bin.ts", import.meta.url))

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const effectSaga = (...args: ReadonlyArray<string>): Promise<Ended> =>
  promisify(execFile)(process.execPath, ["--conditions=effect-saga:source", bin, ...args], {
    env: { ...process.env, SAGA_PG_URL: "", NO_COLOR: "1" }
  }).then(
    ({ stderr, stdout }) => ({ code: 0, stdout, stderr }),
    (error: Ended) => error
  )

it("says how it is called, and where the executions are missing", async () => {
  const [help, nowhere] = await Promise.all([effectSaga("--help"), effectSaga("list")])
  assert.strictEqual(help.code, 0)
  for (const command of [
    "attention",
    "list",
    "show",
    "stats",
    "watch",
    "processes",
    "commands",
    "dead-letters",
    "retry",
    "resolve",
    "cancel",
    "answer",
    "drift",
    "migrate",
    "doctor",
    "buckets",
    "diagram",
    "export",
    "replay"
  ])
    assert.match(help.stdout, new RegExp(`^ {2}${command} `, "m"))
  assert.deepInclude(nowhere, { code: 2, stdout: "" })
  assert.match(nowhere.stderr, /^effect-saga: Where are the executions\?.*\n$/)
  // A variable of a script that is not set.
  for (const flag of ["--url", "--schema"]) {
    const empty = await effectSaga("list", flag, "")
    assert.strictEqual(empty.code, 2)
    assert.match(empty.stderr, new RegExp(`${flag}.*must not be empty`))
  }
})

it("reads the folder of a PGlite, and refuses one that a process has open in one line that names --url", async () => {
  const folder = mkdtempSync(join(tmpdir(), "console-"))
  const store = Effect.gen(function* () {
    const { store } = yield* SagaExecutionRepository.SagaExecutionRepository
    let execution = yield* store(Sample.created({ saga: "Order", startKey: "order-7" }))
    for (const step of [Sample.started, Sample.paused, Sample.refused, Sample.parked])
      execution = yield* store(step(execution), { wakeAt: Sample.time })
    return yield* Effect.promise(() => effectSaga("list", "--url", folder))
  })
  const Repository = Layer.provide(SqlSagaExecutionRepository.layer(), PgliteClient.layer({ folder }))
  try {
    const open = await Effect.runPromise(Effect.scoped(Effect.provide(store, Repository)))
    assert.strictEqual(open.code, 1)
    assert.match(open.stderr, /^effect-saga: process \d+ has the folder .* open: .*--url http:\/\/…\n$/)
    const list = await effectSaga("list", "--url", folder)
    assert.deepInclude(list, { code: 0, stderr: "" })
    assert.match(list.stdout, /^UUID +SAGA +STATE.*\n[0-9a-f-]{36} {2}Order {2}errored .*order-7\n$/)
    const attention = await effectSaga("attention", "--url", folder, "--json")
    assert.strictEqual(attention.code, 3)
    assert.strictEqual(JSON.parse(attention.stdout).findings[0].kind, "parked")
    const doctor = await effectSaga("doctor", "--url", folder)
    assert.strictEqual(doctor.code, 0)
    assert.match(doctor.stdout, /ok +executions +\d+ migrations, rights to read and write/)
    const newer = Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => sql`insert into saga_execution_migration (migration_id, name) values (9999, 'of_tomorrow')`
    )
    await Effect.runPromise(Effect.scoped(Effect.provide(newer, PgliteClient.layer({ folder }))))
    const migrate = await effectSaga("migrate", "--url", folder, "--tables", "executions")
    assert.deepInclude(migrate, { code: 0, stdout: "executions: nothing to do: the tables are of a newer release\n" })
    assert.match(
      (await effectSaga("doctor", "--url", folder)).stdout,
      /ok +executions +the tables are of a newer release: \d+ migrations, 1 of them not known to this one, rights/
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
    rmSync(`${folder}.lock`, { force: true })
  }
}, 120_000)
