/** One text and one hash for equal JSON values: keys are sorted, and there is no space between them (SPEC C6, C10). */
import { nodeCrypto } from "./NodeCrypto.ts"

export const stringify = (value: unknown): string => JSON.stringify(sorted(value))

/** A copy whose keys are in order at every level. The keys that `JsonLimits.check` refuses must not be in it. */
export const sorted = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(sorted)
  const copy: Record<string, unknown> = {}
  for (const key of Object.keys(value).sort()) copy[key] = sorted(value[key as keyof typeof value])
  return copy
}

/** Hexadecimal SHA-256 of the canonical text. */
export const sha256 = (value: unknown): string => sha256OfText(stringify(value))

/** Hexadecimal SHA-256 of a text, or of its bytes, as they are. */
export const sha256OfText = (text: string | Uint8Array): string => nodeCrypto.hash("sha256", text)
