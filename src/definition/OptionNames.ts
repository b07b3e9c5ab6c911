/**
 * Options that there are not. TypeScript refuses them in a literal; in plain JavaScript a `compensate` with a letter too few would be
 * lost in silence. They are kept beside what was made of the others, and validation reports them.
 */
import { nearest } from "../wire/Text.ts"

/** The names of all options. Those of a group inside are names again. */
export type Names<Options> = { readonly [Option in keyof Required<Options>]: true | Readonly<Record<string, true>> }

/** An option that there is not, and what is expected in its place. */
export interface UnknownOption {
  readonly option: string
  readonly expected: string
}

/** What may have options that there are not. */
export interface Mistaken {
  readonly unknownOptions?: ReadonlyArray<UnknownOption>
}

/** Names of retries of a local step; others have no `on`. */
export const retry = { times: true, backoff: true, on: true } as const

const isGroup = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const unknownIn = (
  options: unknown,
  names: Readonly<Record<string, unknown>>,
  before = ""
): ReadonlyArray<UnknownOption> =>
  Object.entries(isGroup(options) ? options : {}).flatMap(([name, value]) => {
    const inside = Object.hasOwn(names, name) ? names[name] : undefined
    if (isGroup(inside)) return unknownIn(value, { ...inside }, `${before}${name}.`)
    if (inside !== undefined) return []
    const meant = nearest(name, Object.keys(names))
    const hint = meant === undefined ? "" : `; is '${meant}' meant?`
    return [{ option: before + name, expected: `an option that there is${hint}` }]
  })

/** The options among these that there are not, to be kept beside what is made of the others. */
export const mistakesIn = <Options>(options: unknown, names: Names<Options>): Mistaken => {
  const unknownOptions = unknownIn(options, names)
  return unknownOptions.length === 0 ? {} : { unknownOptions }
}
