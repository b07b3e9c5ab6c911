/** A folder belongs to a living process; of several that find it dead, one takes the lock over. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { hostname, tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { assert, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import * as FolderLock from "../../../src/adapters/pglite/FolderLock.ts"
import * as Program from "../../kill/Program.ts"

const place = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-saga-"))),
  (it) => Effect.sync(() => rmSync(it, { recursive: true, force: true }))
)

const acquire = (file: string) => FolderLock.acquire("folder", file, String)

const holder = (fields: object) =>
  JSON.stringify({ token: "old", pid: process.pid, host: hostname(), started: "", ...fields })

/** A process that was there. */
const deadPid = Effect.gen(function* () {
  const program = yield* Program.start(new URL("./lock.program.ts", import.meta.url))
  yield* program.kill
  yield* program.ended
  return program.pid
}).pipe(Effect.scoped)

it.live("a folder lock is held until its scope closes, then removed", () =>
  Effect.gen(function* () {
    const folder = yield* place
    const file = join(folder, "lock")
    yield* Effect.scoped(
      Effect.gen(function* () {
        yield* acquire(file)
        const error = yield* Effect.flip(acquire(file))
        assert.instanceOf(error, FolderLock.PgliteFolderLocked)
        assert.deepInclude(error, { folder: "folder", file, pid: process.pid, host: hostname() })
      })
    )
    assert.deepStrictEqual(readdirSync(folder), [])
    yield* acquire(file)
  })
)

it.live("a folder lock that cannot be made says why", () =>
  Effect.gen(function* () {
    const folder = yield* place
    assert.include(yield* Effect.flip(acquire(join(folder, "missing", "lock"))), "ENOENT")
  })
)

it.live("a folder lock of another machine, or one that cannot be read, is respected", () =>
  Effect.gen(function* () {
    const file = join(yield* place, "lock")
    for (const content of [holder({ host: "elsewhere", pid: yield* deadPid }), "{", "{}"]) {
      writeFileSync(file, content)
      assert.instanceOf(yield* Effect.flip(acquire(file)), FolderLock.PgliteFolderLocked)
      assert.strictEqual(readFileSync(file, "utf8"), content)
    }
  })
)

it.live("a folder lock of a dead process is taken over, also if a process was killed while taking it over", () =>
  Effect.gen(function* () {
    const folder = yield* place
    const file = join(folder, "lock")
    const pid = yield* deadPid
    writeFileSync(file, holder({ pid }))
    writeFileSync(`${file}.old`, holder({ pid, token: "older" }))
    yield* Effect.scoped(acquire(file))
    assert.deepStrictEqual(readdirSync(folder), [])
  })
)

it.live("a folder lock that another process is taking over is respected", () =>
  Effect.gen(function* () {
    const file = join(yield* place, "lock")
    writeFileSync(file, holder({ pid: yield* deadPid }))
    writeFileSync(`${file}.old`, holder({ token: "rival" }))
    assert.instanceOf(yield* Effect.flip(acquire(file)), FolderLock.PgliteFolderLocked)
    rmSync(`${file}.old`)
    yield* acquire(file)
  })
)

// Only Linux tells when a process began.
it.live.skipIf(!existsSync("/proc/self/stat"))(
  "a folder lock of an earlier process with the same pid is taken over",
  () =>
    Effect.gen(function* () {
      const file = join(yield* place, "lock")
      writeFileSync(file, holder({ started: "another-boot/1" }))
      yield* acquire(file)
    })
)

it.live("of several processes that see a stale folder lock at once, one gets it", () =>
  Effect.gen(function* () {
    const folder = yield* place
    const pid = yield* deadPid
    const program = new URL("./lock.program.ts", import.meta.url)
    const rivals = yield* Effect.all(Array.from({ length: 4 }, () => Program.start(program)))
    for (let round = 0; round < 25; round++) {
      const file = join(folder, `lock-${round}`)
      writeFileSync(file, holder({ pid }))
      yield* Effect.forEach(rivals, (rival) => rival.say(file), { concurrency: "unbounded" })
      const answers = yield* Effect.forEach(rivals, ({ lines }) => Queue.take(lines))
      assert.deepStrictEqual(answers.toSorted(), ["refused", "refused", "refused", "taken"])
      assert.deepStrictEqual(
        readdirSync(folder).filter((it) => it.startsWith(`lock-${round}`)),
        [`lock-${round}`]
      )
    }
  })
)
