/** Chance from a seed: the same seed gives the same run, so a failing one can be named and looked at again. */

/** A source of chance that can be copied in the middle. */
export interface Chance {
  state: number
}

/** mulberry32: small, and good enough to pick with. */
export const next = (self: Chance): number => {
  self.state = (self.state + 0x6d2b79f5) | 0
  let t = Math.imul(self.state ^ (self.state >>> 15), 1 | self.state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

export const below = (self: Chance, limit: number): number => Math.floor(next(self) * limit)

export const happens = (self: Chance, probability: number): boolean => next(self) < probability

export const pick = <A>(self: Chance, items: ReadonlyArray<A>): A => items[below(self, items.length)]!

/** A source of its own for each text: what happens at one place does not depend on what happened before. */
export const at = (seed: number, text: string): Chance => {
  let hash = seed | 0
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  const self = { state: hash ^ 0x9e3779b9 }
  next(self)
  return self
}

/**
 * Runs a law for many seeds; a failure names the seed. `SEED=7 npx vitest run test/execution` looks at one of them,
 * `EFFORT=20` at twenty times as many.
 */
export const forSeeds = (count: number, law: (seed: number) => void): void => {
  const { EFFORT = "1", SEED } = process.env
  const seeds = SEED === undefined ? Array.from({ length: count * Number(EFFORT) }, (_, i) => i + 1) : [Number(SEED)]
  for (const seed of seeds) {
    try {
      law(seed)
    } catch (error) {
      throw new Error(`SEED=${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  }
}
