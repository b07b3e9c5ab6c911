/**
 * The context of an execution as callbacks read it: decoded by the schemas of its saga. `SagaContext` keeps the decoded
 * object, so each entry is decoded once. What a callback does to its view is seen by no other (F26): JSON is frozen, and
 * everything else, such as a Date, is decoded anew for each.
 */
import { Predicate } from "effect"
import * as SagaPath from "../../definition/SagaPath.ts"
import type { Definition } from "../../definition/SagaStep.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import type * as Context from "../rules/SagaContext.ts"
import * as Values from "./ContextValues.ts"
import { SagaContextDecodeError } from "./ExecutionErrors.ts"

/** The decoded context, or the error of the first entry that does not fit its schema. */
export const contextView = (
  definition: Definition,
  context: Context.SagaContext
): Context.View | SagaContextDecodeError => {
  const reader = readerOf(definition)
  const known = reader.changeable.size === 0 ? Values.viewOf(context, reader.decode) : undefined
  if (known !== undefined) return known
  // `Values.view` is total but for the decoder given to it, which reports through this exception only.
  try {
    const view = Values.view(context, reader.decode)
    return reader.changeable.size === 0 ? view : anew(view, context, reader)
  } catch (error) {
    if (error instanceof SagaContextDecodeError) return error
    throw error
  }
}

interface Reader {
  readonly codecs: ReadonlyMap<string, Definition["context"]>
  readonly decode: Context.Decode
  /** The entries whose values a callback could change, by their paths; of a nested saga also the path of its step. */
  readonly changeable: ReadonlySet<string>
}

const readers = new WeakMap<Definition, Reader>()
/** The last look-up: the callbacks of one saga mostly follow each other. */
let last: { readonly definition: Definition; readonly reader: Reader } | undefined

const readerOf = (definition: Definition): Reader => {
  if (last?.definition === definition) return last.reader
  const reader = readers.get(definition) ?? makeReader(definition)
  readers.set(definition, reader)
  last = { definition, reader }
  return reader
}

const makeReader = (definition: Definition): Reader => {
  const codecs = makeCodecs(definition)
  const changeable = new Set<string>()
  for (const [path, codec] of codecs) if (!JsonCodec.isJson(codec)) changeable.add(path)
  for (const { path, step } of SagaPath.steps(definition)) {
    // The items themselves are no part of the result.
    const holds = (inner: string) =>
      inner.startsWith(`${path}/n/`) || (inner.startsWith(`${path}/i/`) && inner !== `${path}/i/`)
    if ((step._tag === "Nested" || step._tag === "ForEach") && [...changeable].some(holds)) changeable.add(path)
  }
  const readers = new Map(Array.from(codecs, ([path, codec]) => [path, readerAt(path, codec)]))
  const decode: Context.Decode = (at, encoded) => {
    const read = readers.get(SagaPath.inDefinition(at))
    if (read === undefined) return JsonCodec.freeze(encoded)
    const decoded = read(encoded)
    if (!JsonCodec.isCodecIssue(decoded)) return decoded
    const step = SagaPath.at(definition, at)?.name ?? ""
    throw new SagaContextDecodeError({ path: at, step, issue: decoded.message })
  }
  return { codecs, decode, changeable }
}

/** Reads an entry, and freezes it where it is JSON. Of initial values a view has only what is inside. */
const readerAt = (path: string, codec: Definition["context"]): ((encoded: unknown) => unknown) => {
  const read: (encoded: unknown) => unknown = JsonCodec.readerOf(codec)
  if (!JsonCodec.isJson(codec)) return read
  const isInitial = path === "" || path.endsWith("/n/")
  return (encoded) => {
    const decoded = read(encoded)
    if (typeof decoded !== "object" || JsonCodec.isCodecIssue(decoded)) return decoded
    return isInitial ? JsonCodec.freezeInside(decoded) : JsonCodec.freeze(decoded)
  }
}

/** A copy of the view, with values of its own where a callback could change them. */
const anew = (view: Context.View, context: Context.SagaContext, reader: Reader): Context.View => {
  const copy: Record<string, unknown> = Object.assign(Object.setPrototypeOf({}, null), view)
  const entries = Values.entries(context)
  const item = entries.findLastIndex(Values.isItem)
  for (const [i, entry] of entries.entries()) {
    const { name, parent } = entry
    if (!isChangeable(entry, reader)) continue
    if (parent === undefined) assign(copy, reader, entry, i < item)
    else if (i < item) lazily(copy, name, () => valueAnew(entry, reader))
    else copy[name] = valueAnew(entry, reader)
  }
  return copy
}

const isChangeable = ({ path }: Context.SagaContext, { changeable }: Reader): boolean =>
  changeable.has(SagaPath.inDefinition(path))

const valueAnew = (entry: Context.SagaContext, reader: Reader): unknown => {
  const { each, encoded, inner, path } = entry
  const { decode } = reader
  if (each !== undefined)
    return each.map((item) =>
      Values.ofItem(item, (result) =>
        isChangeable(result, reader) ? valueAnew(result, reader) : Values.decodedValue(result, decode)
      )
    )
  return inner === undefined ? decode(path, encoded) : anew(Values.view(inner, decode), inner, reader)
}

/** Initial values, whose names the schema of their saga has. */
const assign = (
  copy: Record<string, unknown>,
  { codecs, decode }: Reader,
  { encoded, path }: Context.SagaContext,
  isLazy: boolean
): void => {
  const codec = codecs.get(SagaPath.inDefinition(path))
  const names = isLazy && Predicate.hasProperty(codec, "fields") ? Object.keys(codec.fields as object) : undefined
  if (names === undefined) Object.assign(copy, decode(path, encoded))
  else {
    const values = once(() => Object(decode(path, encoded)))
    for (const name of names) if (name in copy) lazily(copy, name, () => values()[name])
  }
}

const once = <A>(make: () => A): (() => A) => {
  let made: { readonly value: A } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

/** What stands around the items may be a list of all of them: it is decoded for those that read it, and not for each item. */
const lazily = (copy: Record<string, unknown>, name: string, make: () => unknown): void => {
  const become = (value: unknown) =>
    Object.defineProperty(copy, name, { value, configurable: true, enumerable: true, writable: true })
  Object.defineProperty(copy, name, {
    configurable: true,
    enumerable: true,
    get: () => {
      const value = make()
      become(value)
      return value
    },
    set: become
  })
}

/** The schema of each context entry: of a step's result by its path, of initial values by the prefix of their saga. */
export const codecsOf = (definition: Definition): ReadonlyMap<string, Definition["context"]> =>
  readerOf(definition).codecs

const makeCodecs = (definition: Definition): ReadonlyMap<string, Definition["context"]> => {
  const codecs = new Map([["", definition.context]])
  for (const { path, step } of SagaPath.steps(definition)) {
    if (step._tag === "Local" || step._tag === "Remote" || step._tag === "Start") codecs.set(path, step.success)
    else if (step._tag === "Wait" && step.signal !== undefined) codecs.set(path, step.success)
    else if (step._tag === "Nested") codecs.set(`${path}/n/`, step.saga.context)
    else if (step._tag === "ForEach") codecs.set(`${path}/i/`, step.item)
  }
  return codecs
}
