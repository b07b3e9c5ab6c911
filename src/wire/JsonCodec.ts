/**
 * Values to JSON and back, through their schema. Compiled once per schema; what comes out is checked against SPEC C11,
 * because a schema like `Schema.Any` lets everything pass.
 */
import { Exit, Schema, type SchemaIssue } from "effect"
import { exactCodecOf, type FastCodec, fastCodecOf } from "./FastCodec.ts"
import { check, type Json, JsonIssue } from "./JsonLimits.ts"

/** A schema that needs no services to encode or decode. */
export type Codec<A> = Schema.Codec<A, any>

/** A value that its schema or JSON refuses. `message` names places and expectations, never the value (SPEC C12). */
export class CodecIssue {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

export const isCodecIssue = (self: unknown): self is CodecIssue => self instanceof CodecIssue

interface Compiled {
  readonly encode: (value: unknown) => Exit.Exit<unknown, Schema.SchemaError>
  readonly decode: (value: unknown) => Exit.Exit<unknown, Schema.SchemaError>
  readonly isVoid: boolean
  /** Whatever it is may also be nothing. */
  readonly isUnknown: boolean
  readonly plain: FastCodec | undefined
  readonly exact: FastCodec | undefined
}

const compiled = new WeakMap<object, Compiled>()

const compile = (codec: Codec<unknown>): Compiled => {
  const known = compiled.get(codec)
  if (known !== undefined) return known
  const json = Schema.toCodecJson(codec)
  const made: Compiled = {
    encode: Schema.encodeUnknownExit(json),
    decode: Schema.decodeUnknownExit(json),
    isVoid: codec.ast._tag === "Void" || codec.ast._tag === "Undefined",
    isUnknown: codec.ast._tag === "Unknown" || codec.ast._tag === "Any",
    plain: fastCodecOf(json.ast),
    exact: exactCodecOf(json.ast)
  }
  compiled.set(codec, made)
  return made
}

/** Nothing (`Schema.Void`) is not stored at all. */
export const encode = (codec: Codec<any>, value: unknown): Json | undefined | CodecIssue => {
  const { encode, isUnknown, isVoid, plain } = compile(codec)
  if (isVoid || (isUnknown && value === undefined)) return undefined
  const own = plain?.(value)
  if (own !== undefined) return own
  const exit = encode(value)
  if (Exit.isFailure(exit)) return issueOf(exit)
  const checked = checkedOf(exit.value)
  // `check` has walked the value: it is JSON.
  return typeof checked === "number" ? (exit.value as Json) : new CodecIssue(checked.message)
}

/** A schema that looks at nothing lets through what cannot be read. */
const checkedOf = (value: unknown): number | JsonIssue => {
  // A value of the author's may throw when it is read.
  try {
    return check(value)
  } catch {
    return new JsonIssue("cannot be read", "$")
  }
}

export const decode = <A>(codec: Codec<A>, encoded: unknown): A | CodecIssue => {
  const { decode, isUnknown, isVoid, plain } = compile(codec)
  // Casts: what the schema has let through is of its type.
  if (isVoid || (isUnknown && encoded === undefined)) return undefined as A
  const own = plain?.(encoded)
  if (own !== undefined) return own as A
  const exit = decode(encoded)
  return Exit.isSuccess(exit) ? (exit.value as A) : issueOf(exit)
}

/** The value itself, if it is its own encoding and nothing else is in it; undefined where `decode` has to say. */
export const exact = <A>(codec: Codec<A>, encoded: unknown): A | undefined =>
  compile(codec).exact?.(encoded) as A | undefined // see above

const issueOf = (exit: Exit.Failure<unknown, Schema.SchemaError>): CodecIssue => {
  const reason = exit.cause.reasons[0]
  return new CodecIssue(reason?._tag === "Fail" ? places(reason.error.issue) : "$: the schema died")
}

/** Where a value does not fit its schema, without the value. */
export const placesOf = (error: Schema.SchemaError): string => places(error.issue)

/** Paths and expectations of an issue without the values in it. */
const places = (issue: SchemaIssue.Issue): string => {
  const found: Array<string> = []
  const visit = (at: SchemaIssue.Issue, path: string): void => {
    switch (at._tag) {
      case "Pointer":
        return visit(
          at.issue,
          at.path.reduce<string>((all, key) => `${all}.${String(key)}`, path)
        )
      case "Composite":
        for (const inner of at.issues) visit(inner, path)
        return
      case "AnyOf":
        found.push(`${path}: none of the alternatives`)
        return
      case "Filter":
      case "Encoding":
        return visit(at.issue, path)
      default:
        found.push(`${path}: ${at._tag}`)
    }
  }
  visit(issue, "$")
  return found.join(", ")
}
