/** Identifiers of executions and steps (SPEC C9). */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Uuid from "../../src/wire/Uuid.ts"

const uuid = "6f1c9a52-58aa-4d0c-9a5e-1a2b3c4d5e6f"

it("every text form of a uuid has one stored form", () => {
  assert.strictEqual(Uuid.normalize(uuid), uuid)
  assert.strictEqual(Uuid.normalize(` ${uuid.toUpperCase()}\n`), uuid)
  for (const text of [
    "",
    "x",
    uuid.slice(1),
    `${uuid}0`,
    `{${uuid}}`,
    uuid.replaceAll("-", ""),
    uuid.replace("6", "g")
  ])
    assert.strictEqual(Uuid.normalize(text), undefined, text)
})

it("the version of a uuid is read from its text", () => {
  assert.strictEqual(Uuid.version(uuid), "4")
  assert.strictEqual(Uuid.version(Uuid.v7(0)), "7")
  assert.strictEqual(Uuid.version(Uuid.ofStep(uuid, "0")), "5")
})

it("uuids of executions sort by their time, and do not repeat", () => {
  const made = [0, 1_000, 1_763_846_000_000, 1_763_846_000_001].map(Uuid.v7)
  assert.deepStrictEqual([...made].sort(), made)
  for (const each of made) assert.match(each, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.strictEqual(new Set(Array.from({ length: 200 }, () => Uuid.v7(5))).size, 200)
  assert.strictEqual(
    Uuid.v7(1_763_846_000_000).replace("-", "").slice(0, 12),
    (1_763_846_000_000).toString(16).padStart(12, "0")
  )
})

it("every digit of a uuid, and every variant, is drawn as often as the others", () => {
  const count = 40_000
  const variants = new Map<string, number>()
  const digits = new Map<string, number>()
  const add = (counts: Map<string, number>, text: string) => counts.set(text, (counts.get(text) ?? 0) + 1)
  for (let i = 0; i < count; i++) {
    const made = Uuid.v7(5)
    add(variants, made[19]!)
    for (const digit of made.slice(15, 18) + made.slice(20, 23) + made.slice(24)) add(digits, digit)
  }
  // Chance takes it a tenth of the mean away in none of a billion runs.
  const isEven = (counts: Map<string, number>, mean: number) =>
    [...counts.values()].every((found) => Math.abs(found - mean) < mean / 10)
  assert.strictEqual(variants.size, 4)
  assert.strictEqual(digits.size, 16)
  assert.isTrue(isEven(variants, count / 4), JSON.stringify([...variants]))
  assert.isTrue(isEven(digits, (18 * count) / 16), JSON.stringify([...digits]))
})

it.effect("uuids of a seeded run are the same every time, and have the usual form", () =>
  Effect.gen(function* () {
    const three = Effect.map(Uuid.UuidGenerator, ({ next }) => [next(1_000), next(1_000), next(2_000)])
    const made = yield* three.pipe(Uuid.seeded("a"))
    assert.deepStrictEqual(yield* three.pipe(Uuid.seeded("a")), made)
    assert.notDeepEqual(yield* three.pipe(Uuid.seeded("b")), made)
    assert.strictEqual(new Set(made).size, 3)
    for (const each of made) assert.match(each, /^00000000-0[37][0-9a-f]{2}-7[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/)
  })
)

it("the uuid of a step is version 5 of its path in the namespace of its execution", () => {
  // RFC 9562, appendix A.4: "www.example.com" in the namespace of domain names.
  const domains = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
  assert.strictEqual(Uuid.ofStep(domains, "www.example.com"), "2ed6657d-e927-568b-95e1-2665a8aea6a2")
  assert.strictEqual(Uuid.ofStep(uuid, "2/if0/0"), Uuid.ofStep(uuid, "2/if0/0"))
  assert.notStrictEqual(Uuid.ofStep(uuid, "0"), Uuid.ofStep(uuid, "1"))
})
