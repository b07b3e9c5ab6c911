/** The command line on two databases: how buckets are listed, begun with and moved, and what every other command then shows. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Result } from "effect"
import { SqlClient } from "effect/sql"
import { SagaExecutionRepository } from "effect-saga"
import { PgliteClient } from "effect-saga/pglite"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import * as BucketRanges from "../../src/console/BucketRanges.ts"
import * as Databases from "../../src/console/Databases.ts"
import { inWords } from "../../src/ports/DatabaseCode.ts"
import * as Sample from "../../src/testing/SampleExecutions.ts"
import { uuidIn } from "../fixtures/manyDatabases.ts"
import { makeFolder } from "../fixtures/pglite.ts"
import { printed } from "./printed.ts"

/** Folders of two databases that nobody has used, until the scope closes. */
const folders = Effect.acquireRelease(
  Effect.tap(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "buckets-"))),
    (folder) => Effect.forEach(["north", "south"], (name) => makeFolder(join(folder, name)))
  ),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

const nobody = "postgres://postgres@127.0.0.1:1/none"

/** Stores executions that are parked, as a process does that has both databases. */
const storing = (folder: string, uuids: ReadonlyArray<string>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const databases = {
        north: { client: PgliteClient.layer({ folder: join(folder, "north") }) },
        south: { client: PgliteClient.layer({ folder: join(folder, "south") }) }
      }
      const context = yield* Layer.build(SqlSagaExecutionRepository.layerSharded(databases))
      const { store } = Context.get(context, SagaExecutionRepository.SagaExecutionRepository)
      for (const uuid of uuids) {
        let execution = yield* store(Sample.started(Sample.created({ uuid, saga: "Order" })))
        for (const step of [Sample.paused, Sample.refused, Sample.parked])
          execution = yield* store(step(execution), { wakeAt: Sample.time })
      }
    })
  )

it.live(
  "two databases are made, begun with, and share the executions; every command shows those of both",
  () =>
    Effect.gen(function* () {
      const folder = yield* folders
      const both = ["north", "south"].flatMap((name) => ["--database", `${name}=${join(folder, name)}`])
      const effectSaga = (...args: ReadonlyArray<string>) => printed([...args, ...both])

      const migrated = yield* effectSaga("migrate", "--tables", "executions")
      assert.match(migrated.out, /^north executions: 0001.*\nsouth executions: 0001/)
      const away = ["migrate", "--tables", "executions", "--database", "away=postgres://postgres@127.0.0.1:1/none"]
      const others = yield* effectSaga(...away)
      assert.strictEqual(others.code, 1, "one database of three was not migrated")
      assert.match(
        others.out,
        /^away executions: .*nobody listens.*\nnorth executions: nothing to do\nsouth executions: noth/
      )
      assert.include(others.err, "not all tables are up to this release")
      const unfound = ["--database", `west=${join(folder, "west")}`]
      assert.deepInclude(yield* printed(["migrate", ...unfound]), { code: 2 })
      const unbegun = yield* effectSaga("buckets")
      assert.strictEqual(unbegun.code, 3)
      assert.include(unbegun.out, "no database has buckets yet: effect-saga buckets begin north --database north=")

      const unasked = yield* effectSaga("buckets", "begin", "north")
      assert.strictEqual(unasked.code, 2)
      assert.include(unasked.err, "It would give all 256 buckets to north: say --yes")
      assert.include((yield* effectSaga("buckets", "begin", "west", "--yes")).err, "There is no database west")
      const begun = yield* effectSaga("buckets", "begin", "north", "--yes", "--json")
      assert.deepStrictEqual([begun.code, JSON.parse(begun.out)], [0, { database: "north", buckets: 256 }])
      const again = yield* effectSaga("buckets", "begin", "south", "--yes")
      assert.deepStrictEqual([again.code, again.out], [1, ""])
      assert.include(again.err, "north has buckets already")

      const move = ["buckets", "move", "--from", "north", "--to", "south"]
      for (const [args, why] of [
        [[...move], "Name the buckets"],
        [[...move, "0-1", "--count", "2", "--yes"], "Name the buckets"],
        [[...move, "0-256"], "must be numbers from 0 to 255"],
        [[...move, "3"], "It would move 1 bucket from north to south: 3: say --yes"],
        [["buckets", "move", "--from", "north", "--to", "north", "3"], "the same database"]
      ] as const) {
        const { code, err } = yield* effectSaga(...args)
        assert.strictEqual(code, 2, args.join(" "))
        assert.include(err, why)
      }
      const odd = Array.from({ length: 128 }, (_, n) => 2 * n + 1).join(",")
      const moved = yield* effectSaga(...move, odd, "--yes")
      assert.deepStrictEqual(moved, { code: 0, out: "128 of 128 moved", err: moved.err })
      const back = ["buckets", "move", "--from", "south", "--to", "north", "--yes"]
      const named = yield* effectSaga(...back, "1,2", "--json")
      assert.deepStrictEqual([named.code, JSON.parse(named.out)], [0, { from: "south", to: "north", moved: [1, 2] }])
      assert.include((yield* effectSaga(...back, "--count", "128")).err, "south has 127 buckets")
      assert.strictEqual(
        (yield* effectSaga("buckets", "move", "--from", "north", "--to", "south", "1", "--yes")).code,
        0
      )

      const setBucket = (state: string, peer: string | null) =>
        SqlClient.SqlClient.use(
          (sql) => sql`update saga_bucket set ${sql.update({ state, peer })} where bucket = 0`
        ).pipe(Effect.provide(PgliteClient.layer({ folder: join(folder, "north") })))
      yield* setBucket("leaving", "unknown")
      const left = yield* effectSaga("buckets")
      assert.deepInclude(left, { code: 3 })
      assert.include(left.out, "! 0 on the way from north to a database that is not named here, or does not answer")
      yield* setBucket("here", null)

      const listed = yield* effectSaga("buckets")
      assert.strictEqual(listed.code, 0)
      assert.match(listed.out, /^DATABASE +SERVES +BUCKETS +MOVES\nnorth +128 +0,2,4,.* 1\nsouth +128 +1,3,5,.* 2-4$/)
      const { databases, doubled, nowhere } = JSON.parse((yield* effectSaga("buckets", "--json")).out)
      assert.deepStrictEqual([doubled, nowhere], [[], []])
      assert.deepStrictEqual(databases[0].buckets[1], { bucket: 1, epoch: 3, state: "gone", to: "south" })

      const uuids = [uuidIn("north"), uuidIn("south")]
      yield* storing(folder, uuids)
      const list = yield* effectSaga("list", "--json")
      const page = JSON.parse(list.out)
      assert.sameMembers(
        page.items.map(({ uuid }: { uuid: string }) => uuid),
        uuids
      )
      assert.deepStrictEqual([list.code, list.err, page.missing], [0, "", undefined])
      const attention = yield* effectSaga("attention")
      assert.match(attention.out, /^parked {2}Order: .* 2, the oldest.*\n.*\n {2}next .* --database south=/)
      const retried = yield* effectSaga("retry", ...uuids, "--reason", "repaired", "--wait", "0s", "--json")
      assert.deepInclude(JSON.parse(retried.out), { waiting: 2, failed: 0 })
      const doctor = yield* effectSaga("doctor")
      assert.strictEqual(doctor.code, 0)
      assert.match(doctor.out, /ok +south buckets +serves 128 of 256/)

      // One of them is away.
      const seen = ["--database", `north=${join(folder, "north")}`, "--database", `south=${nobody}`]
      const sentence =
        "effect-saga: The database south does not answer: nothing of it is shown or counted (effect-saga doctor says why)"
      const part = yield* printed(["list", ...seen])
      assert.deepStrictEqual([part.code, part.err, part.out.split("\n").length], [0, sentence, 2])
      assert.deepStrictEqual(JSON.parse((yield* printed(["stats", "--json", ...seen])).out).missing, ["south"])
      const needs = yield* printed(["attention", "--json", ...seen])
      assert.deepStrictEqual(
        JSON.parse(needs.out).findings.map(({ kind }: { kind: string }) => kind),
        ["away", "parked", "overdue"]
      )
      // Those of a filter may be there: nothing was done about these, and a script has to know.
      const some = yield* printed([
        ...["retry", "--saga", "Order", "--reason", "repaired", "--wait", "0s"],
        "--yes",
        "--json",
        ...seen
      ])
      assert.deepStrictEqual([some.code, JSON.parse(some.out).missing], [3, ["south"]])
      const unseen = yield* printed(["show", uuids[1]!, ...seen])
      assert.deepInclude(unseen, { code: 1, err: "effect-saga: The database south does not answer (load)" })
      const places = yield* printed(["buckets", ...seen])
      assert.strictEqual(places.code, 3)
      assert.match(
        places.out,
        /south +\?\n! the database south cannot be reached \(effect-saga doctor says why\)\n! 1,3,.* served by none of the databases/
      )
      const unmoved = yield* printed(["buckets", "move", "--from", "north", "--to", "south", "2", "--yes", ...seen])
      assert.deepInclude(unmoved, { code: 1, err: "effect-saga: The database south does not answer" })
    }).pipe(Effect.scoped),
  120_000
)

describe("several databases in words", () => {
  it.effect("I21 a flag that is not understood is not repeated, as it may have a password", () =>
    Effect.gen(function* () {
      for (const [flag, value] of [
        ["--database", "postgres://me:secret@north/shop"],
        ["--header", "secret"]
      ] as const) {
        const { code, err, out } = yield* printed(["list", flag, value])
        assert.strictEqual(code, 2)
        assert.include(err, `Invalid value for flag ${flag}: "…"`)
        assert.notInclude(err + out, "secret")
      }
    })
  )

  it("a code of a database says what a person can do something about", () => {
    assert.strictEqual(inWords("3D000"), "3D000: there is no database of this name")
    assert.strictEqual(inWords("XX000"), "XX000")
  })

  it("numbers of buckets are written and read as ranges", () => {
    assert.strictEqual(BucketRanges.text([0, 1, 2, 5, 7, 8]), "0-2,5,7-8")
    assert.strictEqual(BucketRanges.text([]), "")
    assert.deepStrictEqual(Option.getOrThrow(BucketRanges.parse("7-8, 0-2,1")), [0, 1, 2, 7, 8])
    for (const text of ["", "256", "0-256", "5-3", "a", "1,,2", "-1", "1-2-3"])
      assert.isTrue(Option.isNone(BucketRanges.parse(text)), text)
  })

  it("flags come before variables, and what says two things is refused", () => {
    const north = { name: "north", url: "postgres://north/shop?a=b" }
    const none = { url: undefined, databases: undefined }
    const given = { url: undefined, databases: [] }
    const said = (...asked: Parameters<typeof Databases.where>) =>
      Result.match(Databases.where(...asked), { onSuccess: (where) => where, onFailure: ({ message }) => message })
    const one = { _tag: "One", url: "folder" } as const
    const several = { _tag: "Several", databases: [north] } as const
    const written = "north=postgres://north/shop?a=b"
    assert.isUndefined(said(given, none))
    assert.deepStrictEqual(said({ ...given, url: "folder" }, { url: "other", databases: written }), one)
    assert.deepStrictEqual(said({ ...given, databases: [north] }, { url: "other", databases: undefined }), several)
    assert.deepStrictEqual(said(given, { ...none, url: "folder" }), one)
    assert.deepStrictEqual(said(given, { ...none, databases: ` ${written} ` }), several)
    assert.include(said({ url: "folder", databases: [north] }, none), "not both")
    assert.include(said({ ...given, databases: [north, north] }, none), "Two databases have the name north")
    assert.include(said(given, { url: "folder", databases: written }), "are both set")
    for (const text of ["postgres://north/shop?a=b", `${written} south`, "1=x"])
      assert.include(said(given, { ...none, databases: text }), "must be like", text)
  })
})
