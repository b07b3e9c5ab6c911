import { assert, describe, it } from "@effect/vitest"
import * as BucketPlaces from "../../../src/adapters/sql/BucketPlaces.ts"

const at = (bucket: number, epoch: number, state: BucketPlaces.BucketAt["state"] = "here") => ({ bucket, epoch, state })

describe("where a bucket is", () => {
  it("is in the database that has the highest epoch of it", () => {
    const { doubled, places } = BucketPlaces.of([
      [at(1, 1, "leaving"), at(2, 3)],
      [at(1, 2), at(2, 2, "gone")]
    ])
    assert.deepStrictEqual([places[1], places[2], places[3], doubled], [1, 0, undefined, []])
  })

  it("is where it leaves, until it has arrived", () => {
    const { places } = BucketPlaces.of([[at(1, 1, "leaving")], []])
    assert.strictEqual(places[1], 0)
  })

  it("is nowhere where two databases serve it at one epoch, until a later one is known", () => {
    const both = BucketPlaces.of([[at(1, 1)], [at(1, 1)]])
    assert.deepStrictEqual([both.places[1], both.doubled], [undefined, [{ bucket: 1, databases: [0, 1] }]])
    const later = BucketPlaces.of([[at(1, 1)], [at(1, 1)], [at(1, 2)]])
    assert.deepStrictEqual([later.places[1], later.doubled], [2, []])
  })
})
