/**
 * The limits of everything that is stored or sent: plain JSON of SPEC C11. One walk checks a value and measures its
 * encoded size. Values that JSON would silently change are refused: a bigint, `NaN`, a cycle, `undefined`, an instance.
 */
import { Schema } from "effect"

/** A JSON value that nobody changes. */
export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

export const Json: Schema.Codec<Json> = Schema.Json as Schema.Codec<Json> // cast: same values, other readonly modifiers

export interface Limits {
  /** How deep arrays and records may be nested. */
  readonly maxDepth: number
  /** How many keys one record may have. */
  readonly maxKeys: number
}

/** The limits of SPEC C11. */
export const limits: Limits = { maxDepth: 32, maxKeys: 1_000 }

/** The context of an execution may not be larger than this many characters of JSON (SPEC C11). */
export const maxContextSize = 1_048_576

/** The reason why a value is refused, and the place: `"$.items[3].price is NaN"`. Never the value itself (SPEC C12). */
export class JsonIssue {
  readonly reason: string
  readonly at: string
  constructor(reason: string, at: string) {
    this.reason = reason
    this.at = at
  }
  get message(): string {
    return `${this.at} ${this.reason}`
  }
}

/** Whether a key, as a key of an object, would reach its prototype. */
export const isHostileKey = (key: string): boolean =>
  key === "__proto__" || key === "prototype" || key === "constructor"

/**
 * The size of the JSON text of a value, in UTF-16 units; or the reason why the value is refused. An escaped character
 * counts as one unit: to look for them would take longer than the rest of the walk.
 */
export const check = (value: unknown, bounds: Limits = limits): number | JsonIssue => walk(value, bounds, 1, "$")

const walk = (value: unknown, bounds: Limits, depth: number, at: string): number | JsonIssue => {
  switch (typeof value) {
    case "string":
      return value.length + 2
    case "boolean":
      return value ? 4 : 5
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0)
        ? String(value).length
        : new JsonIssue(`is ${Object.is(value, -0) ? "-0" : value}`, at)
    case "object":
      if (value === null) return 4
      if (depth > bounds.maxDepth) return new JsonIssue(`is nested deeper than ${bounds.maxDepth}`, at)
      return Array.isArray(value) ? array(value, bounds, depth, at) : record(value, bounds, depth, at)
    default:
      return new JsonIssue(`is ${typeof value}`, at)
  }
}

const array = (value: ReadonlyArray<unknown>, bounds: Limits, depth: number, at: string): number | JsonIssue => {
  let size = 2 + Math.max(0, value.length - 1)
  for (let i = 0; i < value.length; i++) {
    const inner = walk(value[i], bounds, depth + 1, `${at}[${i}]`)
    if (typeof inner !== "number") return inner
    size += inner
  }
  return size
}

const record = (value: object, bounds: Limits, depth: number, at: string): number | JsonIssue => {
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return new JsonIssue("is not a plain object", at)
  const keys = Object.keys(value)
  if (keys.length > bounds.maxKeys) return new JsonIssue(`has more than ${bounds.maxKeys} keys`, at)
  let size = 2 + Math.max(0, keys.length - 1)
  for (const key of keys) {
    if (isHostileKey(key)) return new JsonIssue("has a key that is not allowed", at)
    const entry = (value as { readonly [key: string]: unknown })[key] // cast: an own key
    const inner = typeof entry === "string" ? entry.length + 2 : walk(entry, bounds, depth + 1, `${at}.${key}`)
    if (typeof inner !== "number") return inner
    size += key.length + 3 + inner
  }
  return size
}
