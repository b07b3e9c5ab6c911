/** What several storages count, as if they were one. */
import { assert, it } from "@effect/vitest"
import * as MergedGroups from "../../src/ports/MergedGroups.ts"

it("a census of several databases counts as far as that of one: 100 are that many or more", () => {
  const of = (count: number) => [{ saga: "Order", fingerprint: "f", count }]
  const counted = (...counts: ReadonlyArray<number>) => MergedGroups.census(counts.map(of)).map(({ count }) => count)
  assert.deepStrictEqual([counted(60, 39), counted(60, 60), counted(100, 3)], [[99], [100], [100]])
})
