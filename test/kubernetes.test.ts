/** The manifests of `docs/kubernetes` are valid, and say the same as the library does: routes, variables, metrics, times. */
import { readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option, Schema } from "effect"
import { Yaml } from "effect/encoding"
import * as Kubernetes from "./fixtures/kubernetes.ts"

const root = new URL("../", import.meta.url)
const folder = new URL("docs/kubernetes/", root)
const files = readdirSync(folder).filter((file) => file.endsWith(".yaml"))

const documents = (text: string): ReadonlyArray<unknown> => text.split(/^---$/m).map(Yaml.parse)

const decode = Schema.decodeUnknownEffect(Kubernetes.Resource, { onExcessProperty: "error" })

const all = Effect.forEach(
  files.flatMap((file) => documents(readFileSync(new URL(file, folder), "utf8"))),
  (document) => decode(document)
)

const deployments = Effect.map(all, (resources) => resources.filter((one) => one.kind === "Deployment"))

const sources = readdirSync(new URL("src/", root), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .map((file) => readFileSync(new URL(`src/${file}`, root), "utf8"))
  .join("\n")

describe("docs/kubernetes", () => {
  it.effect("has resources that Kubernetes takes", () =>
    Effect.gen(function* () {
      const kinds = (yield* all).map(({ kind, metadata: { name } }) => `${kind} ${name}`).sort()
      assert.deepStrictEqual(kinds, [
        "Deployment orders",
        "Deployment payments",
        "PodDisruptionBudget orders",
        "PodDisruptionBudget payments",
        "ScaledObject orders"
      ])
    })
  )

  it.effect("a field with another name, in another place, or of another type is refused", () =>
    Effect.gen(function* () {
      const text = readFileSync(new URL("orders.yaml", folder), "utf8")
      for (const [find, replace] of [
        ["terminationGracePeriodSeconds:", "terminationGracePeriod:"],
        ["readinessProbe:", "readyProbe:"],
        ["maxUnavailable: 0", "maxUnavailable: none"],
        ["periodSeconds: 10", "periodSeconds: ten"],
        ["memory: 1Gi", "memory: 1 GB"],
        ["value: orders }", "value: 7 }"]
      ] as const) {
        assert.include(text, find)
        const [deployment] = documents(text.replace(find, replace))
        assert.isTrue((yield* Effect.exit(decode(deployment)))._tag === "Failure", replace)
      }
    })
  )

  it.effect("selectors are those of their pods, and probes are routes of SagaHealth", () =>
    Effect.gen(function* () {
      const resources = yield* all
      for (const { metadata, spec } of yield* deployments) {
        const { labels } = spec.template.metadata
        assert.deepStrictEqual(spec.selector.matchLabels, labels)
        const budget = resources.find(
          (one) => one.kind === "PodDisruptionBudget" && one.metadata.name === metadata.name
        )
        assert.deepStrictEqual(budget?.kind === "PodDisruptionBudget" && budget.spec.selector.matchLabels, labels)
        for (const { livenessProbe, ports = [], readinessProbe, startupProbe } of spec.template.spec.containers) {
          assert.deepStrictEqual(
            [startupProbe, livenessProbe, readinessProbe].map(({ httpGet }) => httpGet.path),
            ["/health/live", "/health/live", "/health/ready"]
          )
          for (const { httpGet } of [startupProbe, livenessProbe, readinessProbe])
            assert.include(
              ports.map(({ name }) => name),
              httpGet.port
            )
        }
      }
      const scaled = resources.flatMap((one) => (one.kind === "ScaledObject" ? [one.spec.scaleTargetRef.name] : []))
      assert.deepStrictEqual(scaled, ["orders"])
    })
  )

  it.effect("variables are read by the library, and a process has time to stop", () =>
    Effect.gen(function* () {
      for (const { spec } of yield* deployments) {
        const { containers, terminationGracePeriodSeconds } = spec.template.spec
        const variables = containers.flatMap(({ env }) => env)
        for (const { name } of variables.filter(({ name }) => name.startsWith("SAGA_")))
          assert.include(sources, `"${name}"`)
        const grace = variables.find(({ name }) => name.endsWith("SHUTDOWN_GRACE"))
        const duration = Duration.fromInput((grace && "value" in grace ? grace.value : "") as Duration.Input)
        assert.isAtLeast(terminationGracePeriodSeconds, Duration.toSeconds(Option.getOrThrow(duration)) + 5)
      }
    })
  )

  it.effect("what is scaled by are metrics of the library, with their labels", () =>
    Effect.gen(function* () {
      const triggers = (yield* all).flatMap((one) => (one.kind === "ScaledObject" ? one.spec.triggers : []))
      const metrics = triggers.map(
        ({ metadata: { query } }) => /(effect_saga_\w+?)(?:_bucket)?\{service=/.exec(query)?.[1]
      )
      assert.deepStrictEqual(metrics, ["effect_saga_queued", "effect_saga_wake_lag"])
      for (const metric of metrics) assert.match(sources, new RegExp(`"${metric}",\\s*\\["service"\\]`))
    })
  )
})
