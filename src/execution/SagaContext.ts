/**
 * The context of an execution: its initial values and one entry per finished step, as an append-only chain. Executions
 * share the chain and never copy it, so a step costs the same in a saga of ten steps and of a thousand.
 *
 * Entries are encoded. Callbacks read a *view*: one null-prototype object of decoded values, which the next entry
 * extends in place; a second chain that grows from the same entry builds a view of its own.
 */
import { check, type Json } from "./Json.ts"

export interface SagaContext {
  readonly parent: SagaContext | undefined
  /** Path of the step whose result this is; for initial values the prefix of their saga ("" or "3/n/"). */
  readonly path: string
  readonly name: string
  readonly encoded: Json | undefined
  /** The chain of the saga that ran inside the step: its view is the decoded entry. */
  readonly inner: SagaContext | undefined
  readonly cache: { size: number | undefined; view: Record<string, unknown> | undefined }
}

export type View = { readonly [name: string]: unknown }

/** Decodes the entry of a step or initial values. Throws what the schema says. */
export type Decode = (path: string, encoded: Json | undefined) => unknown

export const initial = (prefix: string, encoded: Json): SagaContext => make(undefined, prefix, "", encoded, undefined)

export const append = (self: SagaContext, path: string, name: string, encoded: Json | undefined): SagaContext =>
  make(self, path, name, encoded, undefined)

export const appendInner = (self: SagaContext, path: string, name: string, inner: SagaContext): SagaContext =>
  make(self, path, name, undefined, inner)

/** `base`, then the entries that each chain added to it. */
export const join = (base: SagaContext, chains: ReadonlyArray<SagaContext>): SagaContext => {
  let joined = base
  for (const chain of chains) {
    for (const entry of since(chain, base)) {
      joined = make(joined, entry.path, entry.name, entry.encoded, entry.inner)
    }
  }
  return joined
}

/** The length after one more entry. */
export const sizeWith = (self: SagaContext, name: string, encoded: Json): number =>
  size(self) + name.length + 4 + sizeOf(encoded)

/** Length of the encoded entries: what SPEC C11 limits. */
export const size = (self: SagaContext): number => {
  const unmeasured: Array<SagaContext> = []
  let node: SagaContext | undefined = self
  while (node !== undefined && node.cache.size === undefined) {
    unmeasured.push(node)
    node = node.parent
  }
  let total = node?.cache.size ?? 0
  for (let i = unmeasured.length - 1; i >= 0; i--) {
    const entry = unmeasured[i]!
    total += entry.name.length + 4 + (entry.inner === undefined ? sizeOf(entry.encoded) : size(entry.inner))
    entry.cache.size = total
  }
  return total
}

/** The context as callbacks read it. */
export const view = (self: SagaContext, decode: Decode): View => {
  if (self.cache.view !== undefined) return self.cache.view
  const { parent } = self
  if (parent?.cache.view !== undefined) {
    // Decoded before the view moves: a value that cannot be decoded must not leave half a view behind.
    const value = decodedOf(self, decode)
    return move(parent, self, define(parent.cache.view, self.name, value))
  }
  const missing: Array<SagaContext> = []
  let node: SagaContext | undefined = self
  while (node !== undefined && node.cache.view === undefined) {
    missing.push(node)
    node = node.parent
  }
  const values = missing.map((entry) => decodedOf(entry, decode))
  const target = node?.cache.view ?? Object.create(null)
  for (let i = missing.length - 1; i >= 0; i--) {
    if (missing[i]!.parent === undefined) Object.assign(target, values[i])
    else define(target, missing[i]!.name, values[i])
  }
  return move(node, self, target)
}

const decodedOf = (self: SagaContext, decode: Decode): unknown =>
  self.inner === undefined ? decode(self.path, self.encoded) : view(self.inner, decode)

/** The view belongs to the newest entry that was read. */
const move = (from: SagaContext | undefined, to: SagaContext, target: View): View => {
  if (from !== undefined) from.cache.view = undefined
  to.cache.view = target
  return target
}

/** The context as it is stored and shown. */
export const encoded = (self: SagaContext): { readonly [name: string]: Json } => {
  const target: Record<string, Json> = Object.create(null)
  for (const entry of since(self, undefined)) {
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
  inner: SagaContext | undefined
): SagaContext => ({ parent, path, name, encoded, inner, cache: { size: undefined, view: undefined } })

/** The entries after `base`, oldest first. */
const since = (self: SagaContext, base: SagaContext | undefined): ReadonlyArray<SagaContext> => {
  const entries: Array<SagaContext> = []
  for (let node: SagaContext | undefined = self; node !== undefined && node !== base; node = node.parent)
    entries.push(node)
  return entries.reverse()
}

const sizeOf = (encoded: Json | undefined): number => {
  if (encoded === undefined) return 0
  const measured = check(encoded)
  return typeof measured === "number" ? measured : 0
}

/** Plain assignment: a read-only property costs five times as much, and the type forbids writing already. */
const define = (target: Record<string, unknown>, name: string, value: unknown): View => {
  target[name] = value
  return target
}
