/**
 * What may be stored or sent: plain JSON within the limits of SPEC C11. One walk checks the value, refuses what JSON
 * would silently change (a bigint, `NaN`, a cycle, `undefined`, a class instance) and measures its encoded size.
 */
import { Schema } from "effect"

export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

/** JSON that has passed `check` or `JSON.parse`: not walked again when an event is decoded. */
export const Json: Schema.Codec<Json> = Schema.Json as Schema.Codec<Json> // same values; only the readonly modifiers differ

export interface Limits {
  readonly maxDepth: number
  readonly maxKeys: number
}

export const limits: Limits = { maxDepth: 32, maxKeys: 1_000 }

/** Why a value is refused, and where: `"$.items[3].price is NaN"`. Never the value itself (SPEC C12). */
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

export const isHostileKey = (key: string): boolean =>
  key === "__proto__" || key === "prototype" || key === "constructor"

/**
 * The size of the value's JSON text in UTF-16 units, or what is wrong with it. An escaped character counts as one:
 * looking for them would cost more than everything else here.
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
    const entry = (value as { readonly [key: string]: unknown })[key] // its own key
    const inner = typeof entry === "string" ? entry.length + 2 : walk(entry, bounds, depth + 1, `${at}.${key}`)
    if (typeof inner !== "number") return inner
    size += key.length + 3 + inner
  }
  return size
}
