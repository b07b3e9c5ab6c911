/**
 * The context of an execution: its initial values and one entry per finished step, as an append-only chain. Executions
 * share the chain and never copy it, so a step costs the same in a saga of ten steps and of a thousand.
 *
 * Entries are encoded. Callbacks read a *view* of them: see `ContextValues`.
 */
import { check, type Json } from "../../wire/JsonLimits.ts"

export interface SagaContext {
  readonly parent: SagaContext | undefined
  /** Path of the step whose result this is; of initial values and of an item the prefix of their steps ("", "3/n/", "4/i17/"). */
  readonly path: string
  readonly name: string
  readonly encoded: Json | undefined
  /** The chain of the saga that ran inside the step: its view is the decoded entry. */
  readonly inner: SagaContext | undefined
  /** The chains of the items that ran inside the step: the decoded entry has what each has added, in their order. */
  readonly each: ReadonlyArray<SagaContext> | undefined
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
  make(undefined, prefix, "", encoded, undefined, undefined, sizeOf("", encoded))

export const append = (self: SagaContext, path: string, name: string, encoded: Json | undefined): SagaContext =>
  make(self, path, name, encoded, undefined, undefined, sizeOf(name, encoded))

export const appendInner = (self: SagaContext, path: string, name: string, inner: SagaContext): SagaContext =>
  make(self, path, name, undefined, inner, undefined, sizeOf(name, undefined) + inner.size)

/** The beginning of the chain of an item. `others`: the length of what other items have added. */
export const appendItem = (
  self: SagaContext,
  prefix: string,
  name: string,
  encoded: Json,
  others: number
): SagaContext => make(self, prefix, name, encoded, undefined, undefined, sizeOf(name, encoded) + others)

/** `size`: the length of what the items have added. */
export const appendEach = (
  self: SagaContext,
  path: string,
  name: string,
  each: ReadonlyArray<SagaContext>,
  size: number
): SagaContext => make(self, path, name, undefined, undefined, each, sizeOf(name, undefined) + size)

/** `base`, then the entries that each chain added to it. */
export const join = (base: SagaContext, chains: ReadonlyArray<SagaContext>): SagaContext => {
  let joined = base
  for (const chain of chains) {
    for (const entry of since(chain, base)) {
      const { each, encoded, inner, name, parent, path, size } = entry
      joined = make(joined, path, name, encoded, inner, each, size - parent!.size)
    }
  }
  return joined
}

/** The length after one more entry, in bytes; without a value that of its name. */
export const sizeWith = (self: SagaContext, name: string, encoded: Json | undefined): number =>
  self.size + sizeOf(name, encoded)

const make = (
  parent: SagaContext | undefined,
  path: string,
  name: string,
  encoded: Json | undefined,
  inner: SagaContext | undefined,
  each: ReadonlyArray<SagaContext> | undefined,
  own: number
): SagaContext => ({ parent, path, name, encoded, inner, each, size: (parent?.size ?? 0) + own, cache: undefined })

/** The entries after `base`, oldest first. */
export const since = (self: SagaContext, base: SagaContext | undefined): ReadonlyArray<SagaContext> => {
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
