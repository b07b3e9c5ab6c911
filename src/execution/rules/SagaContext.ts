/**
 * The context of an execution: its initial values and one entry per finished step, as an append-only chain. Executions
 * share the chain and never copy it, so a step costs the same in a saga of ten steps and of a thousand.
 *
 * Entries are encoded. Callbacks read a *view*: one null-prototype object of decoded values, which the next entry
 * extends in place; a second chain that grows from the same entry builds a view of its own.
 */
import { check, type Json } from "../../wire/JsonLimits.ts"

export interface SagaContext {
  readonly parent: SagaContext | undefined
  /** Path of the step whose result this is; for initial values the prefix of their saga ("" or "3/n/"). */
  readonly path: string
  readonly name: string
  readonly encoded: Json | undefined
  /** The chain of the saga that ran inside the step: its view is the decoded entry. */
  readonly inner: SagaContext | undefined
  /** Length of the encoded entries up to this one, in bytes (SPEC C11 limits it). */
  readonly size: number
  /**
   * The view, at the newest entry that was read, and the decoder that has made it: in memory an execution may outlive the
   * program, and its schemas.
   */
  cache: { readonly view: View; readonly by: Decode } | undefined
}

export type View = { readonly [name: string]: unknown }

/** Decodes the result of a step, or initial values. Throws if the value does not fit its schema. */
export type Decode = (path: string, encoded: Json | undefined) => unknown

export const initial = (prefix: string, encoded: Json): SagaContext =>
  make(undefined, prefix, "", encoded, undefined, sizeOf("", encoded))

export const append = (self: SagaContext, path: string, name: string, encoded: Json | undefined): SagaContext =>
  make(self, path, name, encoded, undefined, sizeOf(name, encoded))

export const appendInner = (self: SagaContext, path: string, name: string, inner: SagaContext): SagaContext =>
  make(self, path, name, undefined, inner, sizeOf(name, undefined) + inner.size)

/** `base`, then the entries that each chain added to it. */
export const join = (base: SagaContext, chains: ReadonlyArray<SagaContext>): SagaContext => {
  let joined = base
  for (const chain of chains) {
    for (const entry of since(chain, base)) {
      joined = make(joined, entry.path, entry.name, entry.encoded, entry.inner, entry.size - entry.parent!.size)
    }
  }
  return joined
}

/** The length after one more entry, in bytes. */
export const sizeWith = (self: SagaContext, name: string, encoded: Json): number => self.size + sizeOf(name, encoded)

/** The context as callbacks read it. */
export const view = (self: SagaContext, decode: Decode): View => {
  const known = viewOf(self, decode)
  if (known !== undefined) return known
  const { parent } = self
  // Values are decoded before the view moves: a value that cannot be decoded must not leave half a view behind.
  if (parent === undefined) return move(undefined, self, addTo(empty(), self, decodedOf(self, decode)), decode)
  const before = viewOf(parent, decode)
  if (before !== undefined) {
    const value = decodedOf(self, decode)
    return move(parent, self, addTo(before, self, value), decode)
  }
  const missing: Array<SagaContext> = []
  let node: SagaContext | undefined = self
  while (node !== undefined && viewOf(node, decode) === undefined) {
    missing.push(node)
    node = node.parent
  }
  const values = missing.map((entry) => decodedOf(entry, decode))
  let target = node?.cache?.view ?? empty()
  for (let i = missing.length - 1; i >= 0; i--) target = addTo(target, missing[i]!, values[i])
  return move(node, self, target, decode)
}

/** The view that stands here, if this decoder has made it. */
export const viewOf = ({ cache }: SagaContext, decode: Decode): View | undefined =>
  cache?.by === decode ? cache.view : undefined

/** `Object.create(null)` would make a hash table, which is larger, and slower to fill and to read. */
const empty = (): View => Object.setPrototypeOf({}, null)

const decodedOf = (self: SagaContext, decode: Decode): unknown =>
  self.inner === undefined ? decode(self.path, self.encoded) : view(self.inner, decode)

const addTo = (target: View, { name, parent }: SagaContext, value: unknown): View =>
  parent === undefined ? Object.assign(target, value) : define(target, name, value)

/** The view belongs to the newest entry that was read. */
const move = (from: SagaContext | undefined, to: SagaContext, target: View, decode: Decode): View => {
  if (from !== undefined) from.cache = undefined
  to.cache = { view: target, by: decode }
  return target
}

/** The context as it is stored and shown. */
export const encoded = (self: SagaContext): { readonly [name: string]: Json } => {
  const target: Record<string, Json> = Object.create(null)
  for (const entry of entries(self)) {
    if (entry.parent === undefined) Object.assign(target, entry.encoded)
    else if (entry.inner !== undefined) target[entry.name] = encoded(entry.inner)
    else if (entry.encoded !== undefined) target[entry.name] = entry.encoded
  }
  return target
}

const make = (
  parent: SagaContext | undefined,
  path: string,
  name: string,
  encoded: Json | undefined,
  inner: SagaContext | undefined,
  own: number
): SagaContext => ({ parent, path, name, encoded, inner, size: (parent?.size ?? 0) + own, cache: undefined })

/** All entries, oldest first. That of a nested saga has `inner`. */
export const entries = (self: SagaContext): ReadonlyArray<SagaContext> => since(self, undefined)

/** The entries after `base`, oldest first. */
const since = (self: SagaContext, base: SagaContext | undefined): ReadonlyArray<SagaContext> => {
  const entries: Array<SagaContext> = []
  for (let node: SagaContext | undefined = self; node !== undefined && node !== base; node = node.parent)
    entries.push(node)
  return entries.reverse()
}

/** Length of one entry. */
const sizeOf = (name: string, encoded: Json | undefined): number => {
  const measured = encoded === undefined ? 0 : check(encoded)
  return name.length + 4 + (typeof measured === "number" ? measured : 0)
}

/** Plain assignment: a read-only property costs five times as much, and the type forbids writing already. */
const define = (target: { [name: string]: unknown }, name: string, value: unknown): View => {
  target[name] = value
  return target
}
