/** One text, and one hash, for equal JSON values: keys are sorted and nothing is indented (SPEC C6, C10). */
import { hash } from "node:crypto"

export const stringify = (value: unknown): string => JSON.stringify(sorted(value))

/** A copy whose keys are in order, all the way down. Of JSON without the keys that `Json.check` refuses. */
export const sorted = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(sorted)
  const copy: Record<string, unknown> = {}
  for (const key of Object.keys(value).sort()) copy[key] = sorted(value[key as keyof typeof value])
  return copy
}

/** Hexadecimal SHA-256 of the canonical text. */
export const sha256 = (value: unknown): string => sha256OfText(stringify(value))

/** The same of a text that is canonical already. */
export const sha256OfText = (text: string): string => hash("sha256", text)
