/** The laws of admission from a queue, over generated queues. */
import { assert, it } from "@effect/vitest"
import * as QueueAdmission from "../../src/ports/QueueAdmission.ts"
import { below, type Chance, forSeeds, happens } from "../execution/rules/chance.ts"
import { limitsOf, placesOf } from "../fixtures/queueStates.ts"

type Places = ReadonlyArray<QueueAdmission.Queued>

const count = (places: Places, isCounted: (place: QueueAdmission.Queued) => boolean) => places.filter(isCounted).length
const wanted = ({ status }: QueueAdmission.Queued) => status !== "held"

interface Case {
  readonly limits: QueueAdmission.QueueLimits
  readonly places: Places
  readonly memory: QueueAdmission.QueueMemory
  readonly most: number
  readonly random: Chance
}

const caseOf = (seed: number): Case => {
  const random: Chance = { state: seed }
  let id = 0
  const places = placesOf(random, "q", () => String(id++).padStart(3, "0"))
  const memory = { ...QueueAdmission.noMemory, cursor: happens(random, 0.5) ? "b" : "" }
  return { limits: limitsOf(random), places, memory, most: below(random, 10), random }
}

const law = (title: string, holds: (one: Case, admitted: Places) => void) =>
  it(title, () =>
    forSeeds(2_000, (seed) => {
      const one = caseOf(seed)
      holds(one, QueueAdmission.admit(one.limits, one.memory, one.places, one.most, 0).admitted)
    })
  )

law("only those are admitted that want a place, each once", ({ places }, admitted) => {
  assert.strictEqual(new Set(admitted).size, admitted.length)
  for (const one of admitted) assert.isTrue(wanted(one) && places.includes(one))
})

law("no limit is exceeded by an admission", ({ limits, most, places }, admitted) => {
  const held = count(places, (place) => !wanted(place))
  assert.isAtMost(admitted.length, most)
  if (admitted.length > 0) assert.isAtMost(held + admitted.length, limits.concurrency)
  const fresh = (key?: string) =>
    count(admitted, (one) => one.status === "new" && (key === undefined || one.key === key))
  if (limits.rate !== undefined) assert.isAtMost(fresh(), limits.rate.limit)
  for (const { key } of admitted) {
    const ofKey = count(places, (place) => !wanted(place) && place.key === key)
    const now = ofKey + count(admitted, (one) => one.key === key)
    assert.isAtMost(now, limits.perKey?.concurrency ?? Number.POSITIVE_INFINITY)
    assert.isAtMost(fresh(key), limits.perKey?.rate?.limit ?? Number.POSITIVE_INFINITY)
  }
})

law("whoever is left could not be admitted too", ({ limits, most, places }, admitted) => {
  const held = count(places, (place) => !wanted(place))
  if (admitted.length === most || held + admitted.length >= limits.concurrency) return
  const left = places.filter((place) => wanted(place) && !admitted.includes(place))
  for (const { key, status } of left) {
    const ofKey =
      count(places, (place) => !wanted(place) && place.key === key) + count(admitted, (one) => one.key === key)
    const fresh = admitted.filter((one) => one.status === "new")
    const isFull = ofKey >= (limits.perKey?.concurrency ?? Number.POSITIVE_INFINITY)
    const isSlow =
      status === "new" &&
      (fresh.length >= (limits.rate?.limit ?? Number.POSITIVE_INFINITY) ||
        count(fresh, (one) => one.key === key) >= (limits.perKey?.rate?.limit ?? Number.POSITIVE_INFINITY))
    assert.isTrue(isFull || isSlow, key)
  }
})

law("what goes on is admitted before what is new", ({ limits, places }, admitted) => {
  if (admitted.every(({ status }) => status === "again")) return
  const left = places.filter((place) => place.status === "again" && !admitted.includes(place))
  for (const { key } of left) {
    const ofKey =
      count(places, (place) => !wanted(place) && place.key === key) + count(admitted, (one) => one.key === key)
    assert.isAtLeast(ofKey, limits.perKey?.concurrency ?? Number.POSITIVE_INFINITY)
    assert.strictEqual(
      count(admitted, (one) => one.key === key && one.status === "new"),
      0
    )
  }
})

law("in a key nobody is passed by one with a lower priority, nor by a younger one", ({ places }, admitted) => {
  for (const one of admitted)
    for (const other of places)
      if (other.key === one.key && other.status === one.status && QueueAdmission.inLine(other, one) < 0)
        assert.include(admitted, other)
})

law("of two keys that could go on, none has two turns more than the other", ({ limits, places }, admitted) => {
  if (limits.perKey !== undefined) return
  for (const status of ["again", "new"] as const) {
    const turns = (key: string) => count(admitted, (one) => one.key === key && one.status === status)
    const left = places.filter((place) => place.status === status && !admitted.includes(place))
    for (const { key } of left) for (const one of admitted) assert.isAtMost(turns(one.key) - turns(key), 1)
  }
})

it("nobody waits for ever: with places that are given back, every execution is admitted", () =>
  forSeeds(300, (seed) => {
    const { limits, places: all, random } = caseOf(seed)
    const open = {
      ...limits,
      concurrency: Math.max(1, limits.concurrency),
      perKey: { ...limits.perKey, concurrency: 1 }
    }
    let places = all
    let memory = QueueAdmission.noMemory
    let now = 0
    for (let turn = 0; places.some(wanted); turn++) {
      assert.isBelow(turn, 1_000)
      now += 3_600_000
      const { admitted, memory: next } = QueueAdmission.admit(open, memory, places, 1 + below(random, 5), now)
      memory = next
      places = places.flatMap((place) => {
        if (admitted.includes(place)) return [{ ...place, status: "held" as const }]
        return wanted(place) || happens(random, 0.5) ? [place] : []
      })
    }
  }))

it("a rate gives its tokens over time, at most so many at once, and says when the next one comes", () => {
  const limits = { concurrency: 100, maxQueued: 100, rate: { limit: 4, per: 1_000 } }
  const places = Array.from({ length: 20 }, (_, i) => {
    const uuid = String(i).padStart(2, "0")
    return { uuid, queue: "q", key: "", priority: 0, since: i, status: "new" as const }
  })
  const first = QueueAdmission.admit(limits, QueueAdmission.noMemory, places, 50, 0)
  assert.deepStrictEqual([first.admitted.length, first.nextAt], [4, 250])
  const left = places.slice(4)
  const second = QueueAdmission.admit(limits, first.memory, left, 50, 500)
  assert.deepStrictEqual([second.admitted.length, second.nextAt], [2, 750])
  assert.strictEqual(QueueAdmission.admit(limits, second.memory, left.slice(2), 50, 100_000).admitted.length, 4)
  // The clock was put back.
  assert.strictEqual(QueueAdmission.admit(limits, second.memory, left.slice(2), 50, 0).admitted.length, 0)
})

it("a key that has all its tokens again is forgotten", () => {
  const limits = { concurrency: 100, maxQueued: 100, perKey: { rate: { limit: 1, per: 1_000 } } }
  const one = (key: string) => ({ uuid: key, queue: "q", key, priority: 0, since: 0, status: "new" as const })
  const first = QueueAdmission.admit(limits, QueueAdmission.noMemory, [one("a")], 5, 0)
  assert.deepStrictEqual([...first.memory.tokensOf.keys()], ["a"])
  const second = QueueAdmission.admit(limits, first.memory, [one("b")], 5, 1_000)
  assert.deepStrictEqual([...second.memory.tokensOf.keys()], ["b"])
})
