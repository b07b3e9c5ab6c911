/**
 * One text and one hash for equal JSON values (SPEC C6, C10), by RFC 8785: no space, numbers as ECMAScript writes them, keys in
 * the order of their UTF-16 units. The RFC has no text for half a surrogate; here it is an escape, because it can be stored.
 */
import { nodeCrypto } from "./NodeCrypto.ts"

/** The text of a value that `JsonLimits.check` accepts. A key whose value is undefined is left out. */
export const stringify = (value: unknown): string => {
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map((item) => stringify(item ?? null)).join(",")}]`
  let fields = ""
  for (const key of Object.keys(value).sort()) {
    const entry: unknown = value[key as keyof typeof value] // cast: an own key
    if (entry !== undefined) fields += `${fields === "" ? "" : ","}${JSON.stringify(key)}:${stringify(entry)}`
  }
  return `{${fields}}`
}

/** A copy whose keys are in order at every level, except that keys that are indexes come first, as numbers. */
const sorted = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(sorted)
  const copy: Record<string, unknown> = {}
  for (const key of Object.keys(value).sort()) copy[key] = sorted(value[key as keyof typeof value])
  return copy
}

/** The text of release 0.1.0: it differs where keys are indexes (`{"9":0,"10":0}`). */
export const formerly = (value: unknown): string => JSON.stringify(sorted(value))

/** Hexadecimal SHA-256 of the canonical text. */
export const sha256 = (value: unknown): string => sha256OfText(stringify(value))

/** Hexadecimal SHA-256 of a text, or of its bytes, as they are. */
export const sha256OfText = (text: string | Uint8Array): string => nodeCrypto.hash("sha256", text)
