/** One text, and one hash, for equal JSON values: keys are sorted and nothing is indented (SPEC C6, C10). */
import { createHash } from "node:crypto"

export const stringify = (value: unknown): string =>
  JSON.stringify(value, (_, inner) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(
          Object.keys(inner)
            .sort()
            .map((key) => [key, inner[key]])
        )
      : inner
  )

/** Hexadecimal SHA-256 of the canonical text. */
export const sha256 = (value: unknown): string => createHash("sha256").update(stringify(value)).digest("hex")
