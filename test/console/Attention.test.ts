/** The commands that `attention` prints. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Inspector, SagaExecutionRepository } from "effect-saga"
import { type Finding, findings, inPlace } from "../../src/console/Attention.ts"

const finding: Finding = {
  kind: "parked",
  count: 1,
  isMore: false,
  text: "Trip: step room is parked",
  first: "look at one: effect-saga show 7",
  next: "effect-saga retry --saga Trip"
}
const nowhere = { url: undefined, databases: [], schema: undefined, prefix: undefined, config: undefined, headers: [] }

it("a printed command goes where the one that has printed it went", () => {
  assert.deepStrictEqual(inPlace(finding, nowhere), finding)
  const { first, next } = inPlace(finding, { ...nowhere, url: "my folder", schema: "shop", config: "ops.ts" })
  assert.strictEqual(next, "effect-saga retry --saga Trip --url 'my folder' --schema shop --config ops.ts")
  assert.strictEqual(first, "look at one: effect-saga show 7 --url 'my folder' --schema shop --config ops.ts")
  const words = "deploy a program that has this form of the saga too"
  assert.strictEqual(inPlace({ ...finding, first: words }, { ...nowhere, url: "f" }).first, words)
})

it("a printed command names all databases, or none where one of them has a secret", () => {
  const [north, south] = ["postgres://me@north/shop", "postgres://me@south/shop"]
  const databases = [
    { name: "north", url: north },
    { name: "south", url: south }
  ]
  const { next } = inPlace(finding, { ...nowhere, databases })
  assert.strictEqual(next, `${finding.next} --database north=${north} --database south=${south}`)
  const secret = [...databases, { name: "west", url: "postgres://me:secret@west/shop" }]
  assert.strictEqual(inPlace(finding, { ...nowhere, databases: secret }).next, finding.next)
})

it("I21 a printed command has no password and no token", () => {
  for (const url of [
    "postgres://me:secret@db/shop",
    "http://127.0.0.1:1/?token=secret",
    "postgres://db/shop?password=secret"
  ])
    assert.strictEqual(inPlace(finding, { ...nowhere, url }).next, finding.next)
  assert.include(
    inPlace(finding, { ...nowhere, url: "postgres://me@db:5432/shop" }).next,
    "--url postgres://me@db:5432/shop"
  )
})

it.effect("of another form there are as many as were counted, or more", () =>
  Effect.gen(function* () {
    const textsOf = (...counts: ReadonlyArray<number>) => {
      const drifted = counts.map((count) => ({ saga: "Trip", fingerprint: "f", count }))
      const found = findings(undefined, { continued: [], drifted, unreadable: [], checked: 0, isComplete: true })
      return Effect.map(found, (all) => all.map(({ isMore, text }) => [isMore, text.split(" of ")[0]]))
    }
    assert.deepStrictEqual(yield* textsOf(99, 100), [
      [false, "Trip: 99"],
      [true, "Trip: 100+"]
    ])
  }).pipe(Effect.provide(Layer.provideMerge(Inspector.layerMemory(), SagaExecutionRepository.layerMemory)))
)
