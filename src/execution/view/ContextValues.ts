/**
 * The values of a context. Decoded, for callbacks: one null-prototype object, the *view*, which the next entry extends in place; a
 * second chain that grows from the same entry builds a view of its own. And encoded, as it is stored and shown.
 */
import type { Json } from "../../wire/JsonLimits.ts"
import * as Context from "../rules/SagaContext.ts"

// ---- entries ---------------------------------------------------------------------------------------------------------

/** An item, from which the results of its steps follow. */
export const isItem = ({ parent, path }: Context.SagaContext): boolean => parent !== undefined && path.endsWith("/")

/** All entries, oldest first. That of a nested saga has `inner`. */
export const entries = (self: Context.SagaContext): ReadonlyArray<Context.SagaContext> => Context.since(self, undefined)

/** The entry of the item that a chain is about. */
const itemOf = (self: Context.SagaContext): Context.SagaContext | undefined => {
  let node: Context.SagaContext | undefined = self
  while (node !== undefined && !isItem(node)) node = node.parent
  return node
}

/** The entries of an item behind that of the item itself, oldest first. */
const ownEntries = (self: Context.SagaContext): ReadonlyArray<Context.SagaContext> => Context.since(self, itemOf(self))

// ---- decoded ---------------------------------------------------------------------------------------------------------

/** The context as callbacks read it. */
export const view = (self: Context.SagaContext, decode: Context.Decode): Context.View => {
  const known = viewOf(self, decode)
  if (known !== undefined) return known
  const { parent } = self
  if (isItem(self)) return viewOfItem(self, decode)
  // Values are decoded before the view moves: a value that cannot be decoded must not leave half a view behind.
  if (parent === undefined) return move(undefined, self, addTo(empty(), self, decodedValue(self, decode)), decode)
  const before = viewOf(parent, decode)
  if (before !== undefined) {
    const value = decodedValue(self, decode)
    return move(parent, self, addTo(before, self, value), decode)
  }
  const missing: Array<Context.SagaContext> = []
  let node: Context.SagaContext | undefined = self
  while (node !== undefined && viewOf(node, decode) === undefined) {
    if (isItem(node)) {
      viewOfItem(node, decode)
      break
    }
    missing.push(node)
    node = node.parent
  }
  const values = missing.map((entry) => decodedValue(entry, decode))
  let target = node?.cache?.view ?? empty()
  for (let i = missing.length - 1; i >= 0; i--) target = addTo(target, missing[i]!, values[i])
  return move(node, self, target, decode)
}

/** Other items begin with the same view, so it stays where it is. */
const viewOfItem = (self: Context.SagaContext, decode: Context.Decode): Context.View => {
  const value = decode(self.path, self.encoded)
  const target = Object.assign(empty(), view(self.parent!, decode))
  return move(undefined, self, define(target, self.name, value), decode)
}

/** The view that stands here, if this decoder has made it. */
export const viewOf = ({ cache }: Context.SagaContext, decode: Context.Decode): Context.View | undefined =>
  cache?.by === decode ? cache.view : undefined

/** `Object.create(null)` would make a hash table, which is larger, and slower to fill and to read. */
const empty = (): Context.View => Object.setPrototypeOf({}, null)

/** The decoded entry of a step. */
export const decodedValue = (self: Context.SagaContext, decode: Context.Decode): unknown => {
  if (self.each !== undefined) return self.each.map((item) => ofItem(item, (entry) => decodedValue(entry, decode)))
  return self.inner === undefined ? decode(self.path, self.encoded) : view(self.inner, decode)
}

/** The results of an item. No name of a step becomes a prototype. */
export const ofItem = <A>(
  item: Context.SagaContext,
  make: (entry: Context.SagaContext) => A
): { readonly [name: string]: A } => Object.fromEntries(ownEntries(item).map((entry) => [entry.name, make(entry)]))

const addTo = (target: Context.View, { name, parent }: Context.SagaContext, value: unknown): Context.View =>
  parent === undefined ? Object.assign(target, value) : define(target, name, value)

/** The view belongs to the newest entry that was read. */
const move = (
  from: Context.SagaContext | undefined,
  to: Context.SagaContext,
  target: Context.View,
  decode: Context.Decode
): Context.View => {
  if (from !== undefined) from.cache = undefined
  to.cache = { view: target, by: decode }
  return target
}

// ---- encoded ---------------------------------------------------------------------------------------------------------

/** The context as it is stored and shown. */
export const encoded = (self: Context.SagaContext): { readonly [name: string]: Json } => {
  const target: Record<string, Json> = Object.create(null)
  for (const entry of entries(self)) {
    const value = encodedOf(entry)
    if (entry.parent === undefined) Object.assign(target, entry.encoded)
    else if (value !== undefined) target[entry.name] = value
  }
  return target
}

/** An item and the results of its steps, as they are stored and shown: what other items see as well is left out. */
export const encodedItem = (self: Context.SagaContext): { readonly [name: string]: Json } => {
  const item = itemOf(self)
  return { ...(item?.encoded !== undefined && { [item.name]: item.encoded }), ...encodedResults(self) }
}

const encodedOf = ({ each, encoded: value, inner }: Context.SagaContext): Json | undefined => {
  if (each !== undefined) return each.map(encodedResults)
  return inner === undefined ? value : encoded(inner)
}

const encodedResults = (item: Context.SagaContext): { readonly [name: string]: Json } =>
  Object.fromEntries(
    ownEntries(item).flatMap((entry): ReadonlyArray<[string, Json]> => {
      const value = encodedOf(entry)
      return value === undefined ? [] : [[entry.name, value]]
    })
  )

/** Plain assignment: a read-only property costs five times as much, and the type forbids writing already. */
const define = (target: { [name: string]: unknown }, name: string, value: unknown): Context.View => {
  target[name] = value
  return target
}
