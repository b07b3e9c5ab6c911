/** The commands through the API of a dashboard (`--url http://…`): they print what they print on the database itself. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schedule } from "effect"
import { Inspector } from "effect-saga"
import { LocalDashboard } from "effect-saga/dashboard"
import * as Shop from "../fixtures/shop.ts"
import { doubt, World } from "./dashboard/served.ts"
import { printed } from "./printed.ts"

const live = (name: string, work: Effect.Effect<unknown, unknown, any>) =>
  it.live(name, () => work.pipe(Effect.scoped, Effect.provide([World, Logger.layer([])])) as Effect.Effect<unknown>)

type Right = "read" | "act" | "values"

const dashboard = (...may: ReadonlyArray<Right>) => LocalDashboard.serve({ sagas: Shop.sagas, may, actor: "ada" })

const direct = Effect.map(Inspector.Inspector, (inspector) => ({
  sagas: [],
  layer: Layer.succeed(Inspector.Inspector, inspector)
}))

/** Until an order is where it goes by itself. */
const until = (key: string, isThere: (summary: Inspector.Inspected["summary"]) => boolean) =>
  Effect.repeat(
    Inspector.Inspector.use(({ load }) => load(key)),
    { until: ({ summary }) => isThere(summary), schedule: Schedule.spaced("10 millis"), times: 500 }
  )

const orders = Effect.gen(function* () {
  yield* Shop.order("dear", "Ghent", 5_000)
  yield* Shop.order("stuck/1", "Parked", 20)
  yield* Shop.order("cheap", "Ghent")
  yield* until("dear", ({ waitsFor }) => waitsFor === "signal approval")
  yield* until("stuck/1", ({ parked }) => parked)
  yield* until("cheap", ({ settled }) => settled)
  yield* doubt("01890000-0000-7000-8000-0000000d0b71")
})

/** Times go on between two looks. */
const timeless = (text: string): string => text.replaceAll(/\b\d+[smhd]\b/g, "T").replaceAll(/\d+ms/g, "T")

live(
  "what is seen is the same as on the database, with the values only where they are allowed",
  Effect.gen(function* () {
    yield* orders
    const config = yield* direct
    const address = yield* dashboard("values")
    const reading = yield* dashboard()
    for (const args of [
      ["list"],
      ["list", "--state", "paused", "--json"],
      ["list", "--attribute", "customer=ada", "--limit", "1"],
      ["list", "--after", "nonsense"],
      ["stats"],
      ["stats", "--json"],
      ["attention", "--in-doubt-after", "0s"],
      ["show", "dear"],
      ["show", "stuck/1", "--json"],
      ["show", "stuck/1", "--events"],
      ["show", "nobody"],
      ["processes"],
      ["commands"],
      ["dead-letters"],
      ["doubt", "list"]
    ]) {
      const [here, there] = [yield* printed(args, config), yield* printed([...args, "--url", reading])]
      if (args.includes("--json")) assert.deepStrictEqual(JSON.parse(there.out), JSON.parse(here.out), args.join(" "))
      else assert.strictEqual(timeless(there.out), timeless(here.out), args.join(" "))
      assert.strictEqual(there.code, here.code, args.join(" "))
    }
    const shown = yield* printed(["show", "dear", "--values", "--events", "--url", address])
    assert.include(shown.out, "book for Ghent")
    assert.include((yield* printed(["export", "dear", "--url", address])).out, "book for Ghent")
    for (const args of [
      ["show", "dear", "--values"],
      ["export", "dear"]
    ])
      assert.deepInclude(yield* printed([...args, "--url", reading]), {
        code: 1,
        err: "effect-saga: You may not see stored values"
      })
    const plain = yield* printed(["show", "dear", "--json", "--url", reading])
    for (const value of ["book for Ghent", "payment of"]) assert.notInclude(plain.out, value)
  })
)

live(
  "what is done goes to the history under the name that the dashboard knows, and nothing without the right",
  Effect.gen(function* () {
    yield* orders
    const [acting, reading] = [yield* dashboard("act"), yield* dashboard()]
    const refused = yield* printed(["cancel", "dear", "--reason", "x", "--url", reading])
    assert.deepInclude(refused, { code: 1, out: "dear  failed: You may not act here, only look" })
    Shop.shop.stockIsBack = true
    const retried = yield* printed(["retry", "--saga", "PlaceOrder", "--reason", "back", "--yes", "--url", acting])
    assert.strictEqual(retried.code, 0, retried.out)
    const answered = yield* printed([
      ...["answer", "dear", "--signal", "approval", "--payload", '{"approved":true,"by":"ada"}'],
      ...["--reason", "by phone", "--url", acting]
    ])
    assert.strictEqual(answered.code, 0, answered.out)
    const wrong = yield* printed(["answer", "cheap", "--signal", "approval", "--reason", "x", "--url", acting])
    assert.strictEqual(wrong.code, 1)
    const { facts } = yield* Inspector.Inspector.use(({ load }) => load("stuck/1"))
    assert.deepInclude(
      facts.find(({ _tag }) => _tag === "ActionApplied"),
      { action: "RetryParked", actor: "ada", reason: "back" }
    )
    const decided = yield* printed([
      ...["doubt", "decide", "payments", "01890000-0000-7000-8000-0000000d0b71", "reject"],
      ...["--reason", "gone", "--wait", "0s", "--url", acting]
    ])
    assert.include([0, 3], decided.code, decided.out)
  })
)

live(
  "what is wrong with the address or the way in is said in one line",
  Effect.gen(function* () {
    const address = yield* dashboard()
    const { origin, port, search } = new URL(address)
    for (const [url, code, why] of [
      [`${origin}/`, 1, /does not let you in \(401\)/],
      [`${origin}/?token=wrong`, 1, /does not let you in \(401\)/],
      [`${origin}/nothing${search}`, 1, /no dashboard of this release at/],
      ["http://127.0.0.1:1/", 1, /nobody answers at http:\/\/127\.0\.0\.1:1\n?$/],
      ["http://a b", 2, /is no address/]
    ] as const) {
      const ended = yield* printed(["list", "--url", url])
      assert.strictEqual(ended.code, code, url)
      assert.match(ended.err, why)
      assert.strictEqual(ended.err.split("\n").length, 1)
    }
    const cookie = `effect_saga_${port}=${search.slice("?token=".length)}`
    assert.strictEqual((yield* printed(["list", "--url", origin, "--header", `Cookie: ${cookie}`])).code, 0)
    assert.deepInclude(yield* printed(["list", "--url", origin, "--header", "nonsense"]), { code: 2 })
    const doctor = yield* printed(["doctor", "--url", address])
    assert.match(doctor.out, /ok +dashboard +ada may read$/m)
    assert.deepInclude(yield* printed(["doctor", "--url", origin]), { code: 1 })
    const migrated = yield* printed(["migrate", "--url", address])
    assert.deepInclude(migrated, { code: 2 })
    assert.include(migrated.err, "needs the database itself")
  })
)

live(
  "drift compares the sagas here with what is stored there",
  Effect.gen(function* () {
    yield* orders
    const folder = mkdtempSync(join(tmpdir(), "console-"))
    const file = join(folder, "effect-saga.config.mjs")
    writeFileSync(file, "export default { sagas: [] }")
    const args = ["drift", "--config", file, "--url", yield* dashboard("values")]
    const drifted = yield* printed(args)
    rmSync(folder, { recursive: true })
    assert.strictEqual(drifted.code, 3)
    assert.match(drifted.out, /drifted {5}PlaceOrder \w+: 2 wait/)
  })
)
