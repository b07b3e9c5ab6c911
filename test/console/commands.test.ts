/** The commands on executions in memory, in this process: what they print, and their exit codes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Inspector, SagaExecutionRepository } from "effect-saga"
import type { ConsoleConfig } from "effect-saga/cli"
import * as Sample from "../../src/testing/SampleExecutions.ts"
import { printed } from "./printed.ts"

const repository = SagaExecutionRepository.SagaExecutionRepository
const Live = Layer.provideMerge(Inspector.layerMemory(), SagaExecutionRepository.layerMemoryWith({ keep: 100 }))

/** Runs a command on what is in memory. */
const effectSaga = (args: ReadonlyArray<string>, sagas: ConsoleConfig["sagas"] = []) =>
  Effect.flatMap(Inspector.Inspector, (inspector) =>
    printed(args, { sagas, layer: Layer.succeed(Inspector.Inspector, inspector) })
  )

const stored = Effect.fnUntraced(function* (options: Sample.Options, story: ReadonlyArray<typeof Sample.paused>) {
  const { store } = yield* repository
  let execution = yield* store(Sample.created(options))
  for (const step of story) execution = yield* store(step(execution), { wakeAt: Sample.time })
  return execution
})

const begin: typeof Sample.paused = (execution) => Sample.started(execution)
const parked = [begin, Sample.paused, Sample.refused, Sample.parked]

const test = (
  name: string,
  body: () => Effect.Effect<void, unknown, Inspector.Inspector | SagaExecutionRepository.SagaExecutionRepository>
) => it.live(name, () => Effect.provide(body(), Live))

test("list shows a line for each execution, and no column that is empty", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* effectSaga(["list"]), { code: 0, out: "No executions.", err: "" })
    const { uuid } = yield* stored({ saga: "Order", startKey: "order-7" }, [begin, Sample.paused])
    const { code, out } = yield* effectSaga(["list"])
    const [titles = "", line = ""] = out.split("\n")
    assert.strictEqual(code, 0)
    assert.deepStrictEqual(titles.split(/ {2,}/), ["UUID", "SAGA", "STATE", "WAITS FOR", "AT", "AGE", "KEY"])
    assert.match(line, new RegExp(`^${uuid}  Order  paused  payments/Charge  payment +\\d+d  order-7$`))
  }))

test("list takes filters, and pages in both directions", () =>
  Effect.gen(function* () {
    for (const n of [1, 2, 3]) yield* stored({ saga: "Order", at: Sample.time + n, user: `user ${n}` }, [begin])
    const first = JSON.parse((yield* effectSaga(["list", "--limit", "2", "--json"])).out)
    assert.lengthOf(first.items, 2)
    const second = JSON.parse((yield* effectSaga(["list", "--limit", "2", "--after", first.next, "--json"])).out)
    assert.deepStrictEqual(
      second.items.map(({ user }: { user: string }) => user),
      ["user 1"]
    )
    const back = JSON.parse((yield* effectSaga(["list", "--limit", "2", "--before", second.previous, "--json"])).out)
    assert.deepStrictEqual(back.items, first.items)
    for (const [flags, count] of [
      [["--user", "user 2"], 1],
      [["--state", "running"], 3],
      [["--state", "undoing"], 0],
      [["--saga", "Order", "--older", "1h"], 3],
      [["--newer", "1h"], 0],
      [["--key-prefix", "x"], 0]
    ] as const) {
      const { items } = JSON.parse((yield* effectSaga(["list", ...flags, "--json"])).out)
      assert.lengthOf(items, count, flags.join(" "))
    }
    assert.deepInclude(yield* effectSaga(["list", "--after", "nonsense"]), { code: 1 })
  }))

test("a command that is called in a wrong way ends with 2, and says why in one line", () =>
  Effect.gen(function* () {
    yield* stored({ saga: "Order" }, parked)
    for (const [args, why] of [
      [["cancel", "--saga", "Order"], "--reason is required"],
      [["cancel", "--reason", "x"], "Name an execution, or a filter"],
      [["cancel", "a", "--saga", "Order", "--reason", "x"], "not both"],
      [["retry", "--saga", "Order", "--reason", "x"], "say --yes"],
      [["list", "--limit", "0"], "must be from 1 to 1000, and is 0"],
      [["dead-letters", "--limit", "1001"], "must be from 1 to 1000, and is 1001"],
      [["attention", "--limit", "0"], "must be from 1 to 1000000, and is 0"],
      [["drift", "--config", ""], ""],
      [["list", "--older", "tomorrow"], "must be a number with s, m, h or d"],
      [["answer", "x", "--signal", "s", "--payload", "{", "--reason", "x"], "must be JSON"],
      [["lisst"], "list"]
    ] as const) {
      if (args[0] === "drift") continue
      const { code, err } = yield* effectSaga(args)
      assert.strictEqual(code, 2, args.join(" "))
      assert.include(err, why)
    }
  }))

test("show tells where an execution stands and its story, and values only when asked", () =>
  Effect.gen(function* () {
    const { uuid } = yield* stored({ saga: "Order", startKey: "order-7" }, parked)
    const { code, out } = yield* effectSaga(["show", "order-7"])
    assert.strictEqual(code, 0)
    assert.include(out, `Order ${uuid}`)
    assert.include(out, "errored, parked: it needs a person")
    assert.match(out, /parked +step reservation \(0\)/)
    assert.include(out, "reservation is parked for a person")
    for (const args of [[], ["--events"], ["--json"], ["--events", "--json"]])
      assert.notInclude((yield* effectSaga(["show", uuid, ...args])).out, Sample.secret)
    assert.include((yield* effectSaga(["show", uuid, "--events", "--values"])).out, Sample.secret)
    assert.deepInclude(yield* effectSaga(["show", "order-8"]), {
      code: 1,
      err: "effect-saga: There is no execution order-8"
    })
  }))

test("attention ends with 3 where something needs a person, and prints the command that is next", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* effectSaga(["attention"]), { code: 0, out: "Nothing needs attention.", err: "" })
    yield* stored({ saga: "Order" }, parked)
    yield* stored({ saga: "Refund" }, [begin, Sample.paused])
    const { code, out } = yield* effectSaga(["attention"])
    assert.strictEqual(code, 3)
    assert.match(out, /^parked {2}Order: step reservation is parked/)
    assert.include(out, "  next   effect-saga retry --saga Order --failure StepRefused")
    assert.match(out, /unanswered {2}Refund: step payment waits for payments\/Charge\. 1, the longest for \d+d/)
    const { findings } = JSON.parse((yield* effectSaga(["attention", "--json"])).out)
    assert.deepStrictEqual(
      findings.map(({ kind }: { kind: string }) => kind),
      ["parked", "unanswered"]
    )
  }))

test("an action on several says what became of each, and waits in the inbox with its actor and reason", () =>
  Effect.gen(function* () {
    const first = yield* stored({ saga: "Order", at: Sample.time + 1 }, parked)
    const second = yield* stored({ saga: "Order" }, parked)
    const args = [
      "retry",
      "--saga",
      "Order",
      "--reason",
      "repaired",
      "--actor",
      "ben",
      "--wait",
      "0s",
      "--rate",
      "1000"
    ]
    const { code, out } = yield* effectSaga([...args, "--yes"])
    assert.strictEqual(code, 3, "accepted, and not applied yet")
    assert.include(out, "retry: 2 executions")
    for (const { uuid } of [first, second]) {
      assert.include(out, `${uuid}  accepted, not applied yet`)
      const [row] = yield* repository.use((it) => it.inbox(uuid))
      assert.deepInclude(row, { actor: "ben", reason: "repaired" })
    }
    const json = JSON.parse((yield* effectSaga([...args, "--yes", "--json"])).out)
    assert.deepInclude(json, { applied: 0, refused: 0, waiting: 2, failed: 0 })
    const refused = yield* effectSaga(["cancel", first.uuid, "--reason", "x"])
    assert.strictEqual(refused.code, 1)
    assert.include(refused.out, "can no longer be cancelled")
    const missing = yield* effectSaga(["cancel", "nobody", "--reason", "x"])
    assert.deepInclude(missing, { code: 1, out: "nobody  failed: There is no execution nobody" })
  }))

test("drift, diagram, export and replay work on the sagas of the config", () =>
  Effect.gen(function* () {
    const { uuid } = yield* stored({}, [begin, Sample.paused])
    const sagas = [Sample.Order]
    const good = yield* effectSaga(["drift"], sagas)
    assert.deepInclude(good, { code: 0 })
    assert.include(good.out, "This program continues all of them.")
    const other = yield* stored({ saga: "Other" }, [begin])
    const drifted = yield* effectSaga(["drift"], sagas)
    assert.strictEqual(drifted.code, 3)
    assert.include(drifted.out, `drifted     Other ${other.state.creation.fingerprint.slice(0, 12)}: 1`)
    assert.match((yield* effectSaga(["diagram", "Order"], sagas)).out, /^flowchart/)
    assert.deepInclude(yield* effectSaga(["diagram", "Nothing"], sagas), { code: 1 })
    const folder = mkdtempSync(join(tmpdir(), "console-"))
    const file = join(folder, "execution.json")
    assert.strictEqual((yield* effectSaga(["export", uuid, "--file", file])).code, 0)
    assert.include(readFileSync(file, "utf8"), Sample.secret)
    const replayed = yield* effectSaga(["replay", file], sagas)
    assert.strictEqual(replayed.code, 0)
    assert.include(replayed.out, "payment: payments is asked to Charge")
    assert.include(replayed.out, "\n\nNext:")
    assert.include((yield* effectSaga(["replay", file])).out, "what is next cannot be decided")
    writeFileSync(file, "{")
    assert.deepInclude(yield* effectSaga(["replay", file]), { code: 1 })
    rmSync(folder, { recursive: true })
  }))

test("text that is stored is never obeyed by a terminal, and a long one does not fill the screen", () =>
  Effect.gen(function* () {
    const hostile = "\u001b[2J\u001b]0;owned\u0007\r\n\u202eevil\u009b31m"
    const saga = `Order${hostile}${"x".repeat(10_000)}`
    const { uuid } = yield* stored(
      { saga, startKey: `key${hostile}`, user: `user${hostile}`, attributes: { a: hostile } },
      parked
    )
    const commands = [
      ["list"],
      ["list", "--json"],
      ["show", uuid],
      ["show", uuid, "--events", "--values"],
      ["show", uuid, "--json"],
      ["stats"],
      ["attention"],
      ["attention", "--json"],
      ["export", uuid]
    ]
    for (const args of commands) {
      const { err, out } = yield* effectSaga(args)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a terminal obeys
      assert.notMatch(out + err, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/, args.join(" "))
      const longest = Math.max(...out.split("\n").map((line) => line.length))
      if (!args.includes("--json") && args[0] !== "export" && !args.includes("--values"))
        assert.isBelow(longest, 1_500, args.join(" "))
    }
  }))

test("migrate prints the statements of all migrations without a database", () =>
  Effect.gen(function* () {
    const { code, out } = yield* effectSaga(["migrate", "--print-sql", "--schema", "orders", "--app-role", "app"])
    assert.strictEqual(code, 0)
    for (const text of [
      "create schema",
      '"orders"."saga_execution"',
      "saga_barrier",
      "saga_dead_letter",
      "0007_inspector",
      'to "app"'
    ])
      assert.include(out, text)
  }))
