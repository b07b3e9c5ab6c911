/**
 * The context of an execution as callbacks read it: decoded by the schemas of its saga. `SagaContext` keeps the decoded
 * object, so each entry is decoded once. What a callback does to its view is seen by no other (F26): JSON is frozen, and
 * everything else, such as a Date, is decoded anew for each.
 */
import * as SagaPath from "../../definition/SagaPath.ts"
import type { Definition } from "../../definition/SagaStep.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import * as Context from "../rules/SagaContext.ts"
import { SagaContextDecodeError } from "./ExecutionErrors.ts"

/** The decoded context, or the error of the first entry that does not fit its schema. */
export const contextView = (
  definition: Definition,
  context: Context.SagaContext
): Context.View | SagaContextDecodeError => {
  const reader = readerOf(definition)
  const known = reader.changeable.size === 0 ? Context.viewOf(context, reader.decode) : undefined
  if (known !== undefined) return known
  // `Context.view` is total but for the decoder given to it, which reports through this exception only.
  try {
    const view = Context.view(context, reader.decode)
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
    const holds = (inner: string) => inner.startsWith(`${path}/n/`)
    if (step._tag === "Nested" && [...changeable].some(holds)) changeable.add(path)
  }
  const decode: Context.Decode = (path, encoded) => {
    const codec = codecs.get(path)
    if (codec === undefined) return JsonCodec.freeze(encoded)
    const decoded = JsonCodec.decode(codec, encoded)
    if (!JsonCodec.isCodecIssue(decoded)) return changeable.has(path) ? decoded : JsonCodec.freeze(decoded)
    const step = SagaPath.at(definition, path)?.name ?? ""
    throw new SagaContextDecodeError({ path, step, issue: decoded.message })
  }
  return { codecs, decode, changeable }
}

/** A copy of the view, with values of its own where a callback could change them. */
const anew = (
  view: Context.View,
  context: Context.SagaContext,
  { changeable, decode }: Pick<Reader, "changeable" | "decode">
): Context.View => {
  const copy: Record<string, unknown> = Object.assign(Object.setPrototypeOf({}, null), view)
  for (const { encoded, inner, name, parent, path } of Context.entries(context)) {
    if (!changeable.has(path)) continue
    if (inner !== undefined) copy[name] = anew(Context.view(inner, decode), inner, { changeable, decode })
    else if (parent === undefined) Object.assign(copy, decode(path, encoded))
    else copy[name] = decode(path, encoded)
  }
  return copy
}

/** The schema of each context entry: of a step's result by its path, of initial values by the prefix of their saga. */
export const codecsOf = (definition: Definition): ReadonlyMap<string, Definition["context"]> =>
  readerOf(definition).codecs

const makeCodecs = (definition: Definition): ReadonlyMap<string, Definition["context"]> => {
  const codecs = new Map([["", definition.context]])
  for (const { path, step } of SagaPath.steps(definition)) {
    if (step._tag === "Local" || step._tag === "Remote") codecs.set(path, step.success)
    else if (step._tag === "Wait" && step.signal !== undefined) codecs.set(path, step.success)
    else if (step._tag === "Nested") codecs.set(`${path}/n/`, step.saga.context)
  }
  return codecs
}
