/**
 * The limits of everything that is stored or sent: plain JSON of SPEC C11. One walk checks a value and measures its
 * encoded size. Values that JSON would silently change are refused: a bigint, `NaN`, a cycle, `undefined`, an instance. Only -0
 * is not: JSON has one zero, and no program means the other.
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
  /** -0 is refused: the value itself is to be kept, and not a copy in which it is 0. */
  readonly isKept?: true
}

/** The limits of SPEC C11. */
export const limits: Limits = { maxDepth: 32, maxKeys: 1_000 }

/** The context of an execution may not be larger than this many bytes of JSON (SPEC C11). */
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

/** The issue of a value inside another one. The walk makes the place on its way back: mostly there is none to tell. */
const inside = ({ at, reason }: JsonIssue, step: string): JsonIssue => new JsonIssue(reason, step + at)

/** Whether a key, as a key of an object, would reach its prototype. */
export const isHostileKey = (key: string): boolean =>
  key === "__proto__" || key === "prototype" || key === "constructor"

/**
 * The size of the JSON text of a value, in bytes of UTF-8; or the reason why the value is refused. An escape counts as the
 * character that it stands for.
 */
export const check = (value: unknown, bounds: Limits = limits): number | JsonIssue => {
  const size = walk(value, bounds, 1)
  return typeof size === "number" ? size : inside(size, "$")
}

const walk = (value: unknown, bounds: Limits, depth: number): number | JsonIssue => {
  switch (typeof value) {
    case "string":
      return bytesOf(value) + 2
    case "boolean":
      return value ? 4 : 5
    case "number":
      if (!Number.isFinite(value)) return new JsonIssue(`is ${value}`, "")
      return bounds.isKept === true && Object.is(value, -0) ? new JsonIssue("is -0", "") : String(value).length
    case "object":
      if (value === null) return 4
      if (depth > bounds.maxDepth) return new JsonIssue(`is nested deeper than ${bounds.maxDepth}`, "")
      return Array.isArray(value) ? array(value, bounds, depth) : record(value, bounds, depth)
    default:
      return new JsonIssue(`is ${typeof value}`, "")
  }
}

const array = (value: ReadonlyArray<unknown>, bounds: Limits, depth: number): number | JsonIssue => {
  let size = 2 + Math.max(0, value.length - 1)
  for (let i = 0; i < value.length; i++) {
    const inner = walk(value[i], bounds, depth + 1)
    if (typeof inner !== "number") return inside(inner, `[${i}]`)
    size += inner
  }
  return size
}

const record = (value: object, bounds: Limits, depth: number): number | JsonIssue => {
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return new JsonIssue("is not a plain object", "")
  const keys = Object.keys(value)
  if (keys.length > bounds.maxKeys) return new JsonIssue(`has more than ${bounds.maxKeys} keys`, "")
  let size = 2 + Math.max(0, keys.length - 1)
  for (const key of keys) {
    if (isHostileKey(key)) return new JsonIssue("has a key that is not allowed", "")
    const inner = walk((value as { readonly [key: string]: unknown })[key], bounds, depth + 1) // cast: an own key
    if (typeof inner !== "number") return inside(inner, `.${key}`)
    size += bytesOf(key) + 3 + inner
  }
  return size
}

/** Bytes of a text in UTF-8. Half a surrogate counts as the character that replaces it. */
export const bytesOf = (text: string): number => {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    bytes += unit < 0x800 ? 1 : 2
    // A pair has four bytes, and is two units.
    if (isHigh(unit) && isLow(text.charCodeAt(i + 1))) i++
  }
  return bytes
}

const isHigh = (unit: number): boolean => unit >= 0xd800 && unit < 0xdc00
const isLow = (unit: number): boolean => unit >= 0xdc00 && unit < 0xe000

/** A copy of JSON as its text would give it: it shares nothing with the value, and -0 is 0. */
export const copyOf = (value: Json): Json => {
  if (value === 0) return 0
  if (typeof value !== "object" || value === null) return value
  // A class of lists makes more of its kind in `map`.
  if (isList(value)) return Array.from(value, copyOf)
  const copy: Record<string, Json> = {}
  for (const key of Object.keys(value)) copy[key] = copyOf(value[key]!) // not undefined: an own key
  return copy
}

/**
 * A copy of a value, or why it is refused. The copy is checked again: a getter of the author's value may give something else when it
 * is read a second time.
 */
export const checkedCopyOf = (value: unknown, bounds: Limits = limits): Json | JsonIssue => {
  const checked = check(value, bounds)
  if (typeof checked !== "number") return checked
  const copy = copyOf(value as Json) // cast: `check` has walked it
  const again = check(copy, bounds)
  return typeof again === "number" ? copy : again
}

const isList = (value: Json): value is ReadonlyArray<Json> => Array.isArray(value)
