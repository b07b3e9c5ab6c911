/** The metrics: their names and labels, and how few series they are whatever the names that come from outside. */
import { readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import { Context, Effect, Metric } from "effect"
import * as Metrics from "../../src/ports/Metrics.ts"
import { everySeries } from "../fixtures/metrics.ts"

const root = new URL("../../", import.meta.url)
const read = (file: string) => readFileSync(new URL(file, root), "utf8")

it("every metric has a name of its own, and no label that has a uuid", () => {
  const names = Metrics.families.map(({ name }) => name)
  assert.deepStrictEqual(names, [...new Set(names)])
  for (const { labels, name } of Metrics.families) {
    assert.match(name, /^effect_saga_[a-z_]+$/)
    assert.notInclude(labels, "uuid")
    assert.include(read("src/ports/Metrics.ts"), `"${name}"`)
  }
})

it("docs/operations.md lists every metric with its kind, its labels and its meaning", () => {
  const rows = Metrics.families.map(
    ({ description, kind, labels, name }) =>
      `| \`${name}\` | ${kind} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${description} |`
  )
  const listed = read("docs/operations.md")
    .split("\n")
    .filter((line) => line.startsWith("| `effect_saga_"))
  assert.deepStrictEqual(listed, rows)
})

const counted = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, Metric.MetricRegistry, new Map())

it.effect("more names than a metric has series for count as `other`", () =>
  Effect.gen(function* () {
    const context = yield* Effect.context<never>()
    const made = new Metrics.Family("a", "counter", ["service"], "A counter")
    for (let i = 0; i < Metrics.maxSeries + 500; i++) made.update(context, 1, `service${i}`)
    const series = yield* everySeries
    assert.isAtMost(series.length, Metrics.maxSeries + 1)
    assert.strictEqual(series.find(({ labels }) => labels.service === Metrics.other)?.amount, 500)
    assert.strictEqual(
      series.reduce((sum, { amount }) => sum + amount, 0),
      Metrics.maxSeries + 500
    )
  }).pipe(counted)
)

it.effect("a text that is no name is no label", () =>
  Effect.gen(function* () {
    const context = yield* Effect.context<never>()
    const made = new Metrics.Family("a", "counter", ["service", "command"], "A counter")
    for (const hostile of ["é", "a\nb", "<script>", "x".repeat(129), "👻"]) made.update(context, 1, "bank", hostile)
    made.update(context, 1, "bank", "Charge")
    const series = yield* everySeries
    assert.deepStrictEqual(
      series.map(({ amount, labels }) => [labels.service, labels.command, amount]),
      [
        ["bank", "other", 5],
        ["bank", "Charge", 1]
      ]
    )
  }).pipe(counted)
)

it.effect("a gauge that is read goes with its scope", () =>
  Effect.gen(function* () {
    let size = 1
    yield* Effect.scoped(
      Effect.gen(function* () {
        yield* Metrics.running.read(() => size, "orders")
        size = 7
        assert.deepStrictEqual(
          (yield* everySeries).map(({ amount }) => amount),
          [7]
        )
      })
    )
    assert.deepStrictEqual(yield* everySeries, [])
  }).pipe(counted)
)

it("the registry of the program has the series, and another program's has none", () => {
  const [one, two] = [new Map(), new Map()]
  Metrics.started.update(Context.make(Metric.MetricRegistry, one), 1, "PlaceOrder")
  assert.deepStrictEqual([one.size, two.size], [1, 0])
})
