/** The same as a `Map`, for any order of calls; and a removed value is free, whatever tables of the engine remain. */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import { ReleasingMap } from "../../src/ports/ReleasingMap.ts"
import { at, below, forSeeds } from "../execution/rules/chance.ts"

describe("a map that releases what is removed", () => {
  it("answers as a Map does", () =>
    forSeeds(200, (seed) => {
      const chance = at(seed, "calls of a map")
      const map = new ReleasingMap<number, number | undefined>()
      const model = new Map<number, number | undefined>()
      for (let step = 0; step < 500; step++) {
        const key = below(chance, 12)
        switch (below(chance, 8)) {
          case 0:
          case 1:
          case 2:
          case 3: {
            const value = below(chance, 5) === 0 ? undefined : step
            map.set(key, value)
            model.set(key, value)
            break
          }
          case 4:
          case 5:
          case 6:
            assert.strictEqual(map.delete(key), model.delete(key))
            break
          case 7:
            if (below(chance, 10) === 0) {
              map.clear()
              model.clear()
            }
        }
        assert.strictEqual(map.has(key), model.has(key))
        assert.strictEqual(map.get(key), model.get(key))
        assert.strictEqual(map.size, model.size)
        assert.deepStrictEqual([...map.keys()], [...model.keys()])
        assert.deepStrictEqual(map.values, [...model.values()])
        assert.deepStrictEqual(map.entries, [...model.entries()])
      }
    }))

  // Tables that refer to later ones are V8's, and only Node lets a test ask for a collection of the whole heap.
  const isNode = !("Bun" in globalThis || "Deno" in globalThis)
  const ofNode = isNode ? it : () => undefined
  ofNode("keeps no removed value through a former table", async () => {
    setFlagsFromString("--expose-gc")
    const collect: () => void = runInNewContext("gc")
    const map = new ReleasingMap<number, object>()
    const removed: Array<WeakRef<object>> = []
    map.set(-1, {})
    // An iterator that was not asked yet holds the table of its time, and through it all later tables.
    const former = map.keys()
    for (let key = 0; key < 1_000; key++) {
      const value = { key }
      removed.push(new WeakRef(value))
      map.set(key, value)
      if (key >= 10) map.delete(key - 10)
    }
    // A weak reference holds its value until the turn in which it was made is over.
    await new Promise((resolve) => setImmediate(resolve))
    collect()
    const kept = removed.filter((it) => it.deref() !== undefined).length
    assert.strictEqual(kept, 10, "only those that are still in the map")
    assert.strictEqual(former.next().value, -1)
  })

  ofNode("keeps no key through a former table for long", async () => {
    setFlagsFromString("--expose-gc")
    const collect: () => void = runInNewContext("gc")
    const map = new ReleasingMap<object, number>()
    const removed: Array<WeakRef<object>> = []
    const first = {}
    map.set(first, -1)
    const former = map.keys()
    const keys: Array<object> = []
    for (let at = 0; at < 1_000; at++) {
      const key = { at }
      removed.push(new WeakRef(key))
      map.set(key, at)
      keys.push(key)
      if (keys.length > 10) map.delete(keys.shift()!)
    }
    await new Promise((resolve) => setImmediate(resolve))
    collect()
    const kept = removed.filter((it) => it.deref() !== undefined).length
    assert.isBelow(kept, 100, "those in the map, and those from before it was made anew")
    assert.strictEqual(former.next().value, first)
  })
})
