/**
 * The context of an execution as callbacks read it: decoded by the schemas of its saga. `SagaContext` keeps the decoded
 * object, so each entry is decoded once.
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
  if (context.cache !== undefined) return context.cache
  // `Context.view` is total but for the decoder given to it, which reports through this exception only.
  try {
    return Context.view(context, decoderOf(definition))
  } catch (error) {
    if (error instanceof SagaContextDecodeError) return error
    throw error
  }
}

const decoders = new WeakMap<Definition, Context.Decode>()

const decoderOf = (definition: Definition): Context.Decode => {
  const known = decoders.get(definition)
  if (known !== undefined) return known
  const codecs = codecsOf(definition)
  const decode: Context.Decode = (path, encoded) => {
    const codec = codecs.get(path)
    if (codec === undefined) return encoded
    const decoded = JsonCodec.decode(codec, encoded)
    if (!JsonCodec.isCodecIssue(decoded)) return decoded
    const step = SagaPath.at(definition, path)?.name ?? ""
    throw new SagaContextDecodeError({ path, step, issue: decoded.message })
  }
  decoders.set(definition, decode)
  return decode
}

/** The schema of each context entry: of a step's result by its path, of initial values by the prefix of their saga. */
const codecsOf = (definition: Definition): ReadonlyMap<string, Definition["context"]> => {
  const codecs = new Map([["", definition.context]])
  for (const { path, step } of SagaPath.steps(definition)) {
    if (step._tag === "Local" || step._tag === "Remote") codecs.set(path, step.success)
    else if (step._tag === "Nested") codecs.set(`${path}/n/`, step.saga.context)
  }
  return codecs
}
