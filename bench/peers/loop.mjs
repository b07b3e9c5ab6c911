// For peers that are Effects: `conc` fibers loop inside the peer's own runtime.
import * as Effect from "effect/Effect"
import { check, stats } from "./lib.mjs"

export const loop = (saga, scenario, { conc, max, next, sample, seconds }) =>
  Effect.gen(function* () {
    const lat = []
    const start = performance.now()
    const end = start + seconds * 1000
    let n = 0
    const fiber = Effect.gen(function* () {
      while (n < max) {
        const t0 = n % sample === 0 ? performance.now() : 0
        if (t0 > end) return
        n++
        const i = next()
        check(scenario, i, yield* saga(i))
        if (t0) lat.push(performance.now() - t0)
      }
    })
    yield* Effect.all(
      Array.from({ length: conc }, () => fiber),
      { concurrency: "unbounded", discard: true }
    )
    return stats(n, (performance.now() - start) / 1000, lat)
  })
