/** Texts that callers give and that are stored as they are: as a column, as a part of a key (SPEC C11). */
import { bytesOf } from "./JsonLimits.ts"

/** The longest text of each, in bytes of UTF-8. */
export const maxBytes = {
  user: 256,
  startKey: 512,
  signalKey: 512,
  queueKey: 256,
  actor: 256,
  reason: 4_096,
  attribute: 256
} as const

/** Postgres stores no NUL, and no half of a surrogate: all stores refuse both, so that all do the same. */
const unstorable = /[\0\p{Cs}]/u

/** Whether any store can hold the text and look for it. */
export const isStorable = (text: string): boolean => !unstorable.test(text)

/** The word that is meant by one with a mistake in it: at most every third letter differs. Undefined: none is near. */
export const nearest = (word: string, words: Iterable<string>): string | undefined => {
  let found: { readonly other: string; readonly distance: number } | undefined
  for (const other of words) {
    const distance = distanceOf(word.toLowerCase(), other.toLowerCase())
    if (distance <= Math.max(1, other.length / 3) && distance < (found?.distance ?? Number.POSITIVE_INFINITY))
      found = { other, distance }
  }
  return found?.other
}

/** Letters that are to be added, left out, replaced, or changed with their neighbour. */
const distanceOf = (one: string, other: string): number => {
  const rows = [Array.from({ length: other.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= one.length; i++) {
    const [last = [], former = []] = [rows[i - 1], rows[i - 2]]
    const row = [i]
    for (let j = 1; j <= other.length; j++) {
      const isSame = one[i - 1] === other[j - 1]
      const isSwapped = one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]
      row[j] = Math.min(
        (last[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (last[j - 1] ?? 0) + (isSame ? 0 : 1),
        isSwapped ? (former[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY
      )
    }
    rows[i] = row
  }
  return rows[one.length]?.[other.length] ?? 0
}

/** Why a text cannot be stored, in words that follow its name; undefined: it can be. */
export const issueOf = (text: unknown, limit: number): string | undefined => {
  if (typeof text !== "string") return `is ${text === null ? "null" : typeof text}, not a string`
  if (text.length > limit || bytesOf(text) > limit) return `has more than ${limit} bytes`
  return isStorable(text) ? undefined : "has a NUL or half a surrogate"
}
