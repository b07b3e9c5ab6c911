/** The gauges of what is stored, and the files of docs/ that name metrics. */
import { readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import { Inspector } from "effect-saga"
import { SagaMetrics } from "effect-saga/health"
import * as Metrics from "../../src/ports/Metrics.ts"
import { CreateOrder, counting } from "../fixtures/manager.ts"
import { seriesOf } from "../fixtures/metrics.ts"

const group = (saga: string, count: number) => ({ saga, count, isMore: false })

it.effect("what is stored is counted once for each reading, and a saga that is gone counts 0", () =>
  Effect.gen(function* () {
    let readings = 0
    let left = 3
    const seen = (rows: () => ReadonlyArray<object>) => Effect.sync(() => rows() as never)
    const double = Layer.succeed(Inspector.Inspector, {
      missing: Effect.succeed([]),
      count: () =>
        seen(() => {
          readings++
          return left === 0
            ? []
            : [
                { ...group("Order", left), state: "paused" },
                { ...group("Order", 1), state: "undoing" }
              ]
        }),
      parked: seen(() => [group("Order", 1), group("Order", 1)]),
      stalled: seen(() => []),
      overdue: () => seen(() => [group("Order", 4)]),
      waiting: seen(() => [
        { ...group("Order", 1), oldest: -5_000 },
        { ...group("Order", 1), oldest: -90_000 }
      ]),
      census: seen(() => [
        { saga: "CreateOrder", fingerprint: "another", count: 2 },
        { saga: "Unknown", fingerprint: "x", count: 9 }
      ])
    } as never)
    yield* Layer.build(Layer.provide(SagaMetrics.layer({ sagas: [CreateOrder] }), double))
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(yield* seriesOf("effect_saga_executions"), { "Order paused": 3, "Order undoing": 1 })
    assert.deepStrictEqual(yield* seriesOf("effect_saga_parked"), { Order: 2 })
    assert.deepStrictEqual(yield* seriesOf("effect_saga_overdue"), { Order: 4 })
    assert.deepStrictEqual(yield* seriesOf("effect_saga_oldest_waiting"), { Order: 90 })
    assert.deepStrictEqual(yield* seriesOf("effect_saga_drifted"), { CreateOrder: 2 })
    yield* TestClock.adjust("25 seconds")
    assert.strictEqual(readings, 1)
    left = 0
    yield* TestClock.adjust("10 seconds")
    assert.strictEqual(readings, 2)
    assert.deepStrictEqual(yield* seriesOf("effect_saga_executions"), { "Order paused": 0, "Order undoing": 0 })
  }).pipe(counting)
)

it.effect("while one of several databases is away the last values stay, as a part would look like less", () =>
  Effect.gen(function* () {
    let isAway = false
    let missing: ReadonlyArray<string> = []
    const unavailable = { reason: "unavailable", operation: "census", databases: ["south"] } as const
    const seen = (rows: ReadonlyArray<object>) => Effect.sync(() => (isAway ? [] : rows) as never)
    const double = Layer.succeed(Inspector.Inspector, {
      missing: Effect.sync(() => missing),
      count: () => seen([{ ...group("Order", 3), state: "paused" }]),
      parked: seen([group("Order", 1)]),
      stalled: seen([]),
      overdue: () => seen([]),
      waiting: seen([]),
      census: Effect.suspend(() =>
        isAway && missing.length === 0 ? Effect.fail(new Inspector.InspectorError(unavailable)) : Effect.succeed([])
      )
    } as never)
    yield* Layer.build(Layer.provide(SagaMetrics.layer(), double))
    yield* TestClock.adjust("1 second")
    isAway = true
    // The second time it has answered the census, and not what comes after.
    for (const left of [[], ["south"]]) {
      missing = left
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* seriesOf("effect_saga_executions"), { "Order paused": 3 })
      assert.deepStrictEqual(yield* seriesOf("effect_saga_parked"), { Order: 1 })
    }
  }).pipe(counting, Effect.provide(Logger.layer([])))
)

const read = (file: string) => readFileSync(new URL(`../../docs/${file}`, import.meta.url), "utf8")

/** The expressions of a file. */
const expressions = (file: string): ReadonlyArray<string> =>
  file.endsWith(".json")
    ? JSON.parse(read(file)).panels.flatMap((panel: { targets: ReadonlyArray<{ expr: string }> }) =>
        panel.targets.map(({ expr }) => expr)
      )
    : Array.from(read(file).matchAll(/expr: (.*)/g), ([, expression = ""]) => expression)

for (const file of ["grafana.json", "alerts.yml"]) {
  it(`docs/${file} names metrics and labels that are exported`, () => {
    const all = expressions(file)
    assert.isAtLeast(all.length, 15)
    for (const expression of all) {
      const named = Array.from(expression.matchAll(/effect_saga_\w+/g), ([name]) => name)
      assert.isNotEmpty(named, expression)
      for (const name of named) {
        const family = Metrics.families.find((one) => one.name === name || `${one.name}_bucket` === name)
        assert.isDefined(family, `${file}: ${name}`)
        assert.strictEqual(name.endsWith("_bucket"), family?.kind === "histogram", name)
        const labels = Array.from(expression.matchAll(/by \(([^)]*)\)|\{(\w+)=/g), ([, by, one]) => by ?? one ?? "")
        for (const label of labels.flatMap((text) => text.split(", ")))
          assert.include([...(family?.labels ?? []), "le"], label, `${name} has no label ${label}`)
      }
    }
  })
}

it("each alert has a runbook in docs/operations.md", () => {
  const anchors = new Set(
    Array.from(read("operations.md").matchAll(/^#+ (.*)$/gm), ([, title = ""]) =>
      title.toLowerCase().replaceAll(" ", "-")
    )
  )
  const runbooks = Array.from(
    read("alerts.yml").matchAll(/runbook: "docs\/operations.md#([^"]*)"/g),
    ([, at = ""]) => at
  )
  assert.isAtLeast(runbooks.length, 12)
  for (const at of runbooks) assert.isTrue(anchors.has(at), at)
  assert.strictEqual(new Set(runbooks).size, runbooks.length, "each alert has its own")
  const sections = read("operations.md").split("\n### ")
  for (const at of runbooks) {
    const section = sections.find((text) => text.split("\n", 1)[0]?.toLowerCase().replaceAll(" ", "-") === at)
    assert.match(section ?? "", /npx effect-saga|npm run/, `${at} says with which command to look`)
  }
})
