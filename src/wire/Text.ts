/** Texts that callers give and that are stored as they are: as a column, as a part of a key (SPEC C11). */
import { bytesOf } from "./JsonLimits.ts"

/** The longest text of each, in bytes of UTF-8. */
export const maxBytes = { user: 256, startKey: 512, signalKey: 512, actor: 256, reason: 4_096, attribute: 256 } as const

/** Postgres stores no NUL, and no half of a surrogate: all stores refuse both, so that all do the same. */
const unstorable = /[\0\p{Cs}]/u

/** Whether any store can hold the text and look for it. */
export const isStorable = (text: string): boolean => !unstorable.test(text)

/** Why a text cannot be stored, in words that follow its name; undefined: it can be. */
export const issueOf = (text: unknown, limit: number): string | undefined => {
  if (typeof text !== "string") return `is ${text === null ? "null" : typeof text}, not a string`
  if (text.length > limit || bytesOf(text) > limit) return `has more than ${limit} bytes`
  return isStorable(text) ? undefined : "has a NUL or half a surrogate"
}
