/**
 * Values to JSON and back, through their schema. Each schema is compiled once. The JSON is checked against SPEC C11 as
 * well, because a schema like `Schema.Any` lets every value pass.
 */
import { Exit, Schema, type SchemaAST, type SchemaIssue } from "effect"
import { exactCodecOf, type FastCodec, fastCodecOf } from "./FastCodec.ts"
import { check, checkedCopyOf, type Json, JsonIssue, maxContextSize } from "./JsonLimits.ts"

/** A schema that needs no services to encode or decode. */
export type Codec<A> = Schema.Codec<A, any>

/**
 * The refusal of a value, by its schema or by the limits of JSON. `message` names places and expectations, never the
 * value (SPEC C12).
 */
export class CodecIssue {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

export const isCodecIssue = (self: unknown): self is CodecIssue => self instanceof CodecIssue

interface Compiled {
  readonly encode: (value: unknown) => Exit.Exit<unknown, Schema.SchemaError>
  readonly read: (encoded: unknown) => unknown
  readonly isVoid: boolean
  /** `Unknown` and `Any` accept undefined too, which JSON does not have. */
  readonly isUnknown: boolean
  readonly plain: FastCodec | undefined
  /** Decoded values are JSON, so that they can be frozen. */
  readonly isJson: boolean
  readonly exact: FastCodec | undefined
}

const compiled = new WeakMap<object, Compiled>()

/** A union takes what one of its members does: what one of them has written is read by all of them together. */
const takesNothing = (ast: SchemaAST.AST): boolean =>
  ast._tag === "Union" ? ast.types.some(takesNothing) : isNothing(ast) || isAnything(ast)

const isNothing = ({ _tag }: SchemaAST.AST): boolean => _tag === "Void" || _tag === "Undefined"
const isAnything = ({ _tag }: SchemaAST.AST): boolean => _tag === "Unknown" || _tag === "Any"

/** `Schema.Struct({})` takes any value but null and undefined, and gives the stored one as it is. */
const isOpen = (ast: SchemaAST.AST): boolean =>
  ast._tag === "Objects" &&
  ast.encoding === undefined &&
  ast.propertySignatures.length + ast.indexSignatures.length === 0

const compile = (codec: Codec<unknown>): Compiled => {
  const known = compiled.get(codec)
  if (known !== undefined) return known
  const json = Schema.toCodecJson(codec)
  const isVoid = isNothing(codec.ast)
  const isUnknown = isAnything(codec.ast)
  const plain = fastCodecOf(json.ast)
  const made: Compiled = {
    encode: Schema.encodeUnknownExit(json),
    read: readerFor(Schema.decodeUnknownExit(json), plain, isVoid, takesNothing(codec.ast)),
    isVoid,
    isUnknown,
    isJson: isVoid || isUnknown || isOpen(json.ast) || plain !== undefined,
    plain,
    exact: exactCodecOf(json.ast)
  }
  compiled.set(codec, made)
  return made
}

const readerFor =
  (
    decode: (value: unknown) => Exit.Exit<unknown, Schema.SchemaError>,
    plain: FastCodec | undefined,
    isVoid: boolean,
    /** The value of JSON that was not stored is undefined. */
    takesNothing: boolean
  ) =>
  (encoded: unknown): unknown => {
    if (isVoid || (takesNothing && encoded === undefined)) return undefined
    const own = plain?.(encoded)
    if (own !== undefined) return own
    const copy = checkedCopy(encoded)
    const exit = decode(copy instanceof JsonIssue ? encoded : copy)
    return Exit.isSuccess(exit) ? exit.value : issueOf(exit)
  }

/** The JSON of a value; undefined for `Schema.Void`, of which nothing is stored. */
export const encode = (codec: Codec<any>, value: unknown): Json | undefined | CodecIssue => {
  const { encode, isUnknown, isVoid, plain } = compile(codec)
  if (isVoid || (isUnknown && value === undefined)) return undefined
  const own = plain?.(value)
  if (own !== undefined) return own
  const exit = encode(value)
  if (Exit.isFailure(exit)) return issueOf(exit)
  const copy = checkedCopy(exit.value)
  return copy instanceof JsonIssue ? new CodecIssue(copy.message) : copy
}

/** The JSON of an error; undefined for one that does not fit its schema, or is larger than a context may be. */
export const encodeError = (codec: Codec<any>, error: unknown): Json | undefined => {
  const encoded = encode(codec, error) ?? null
  if (isCodecIssue(encoded)) return undefined
  const size = check(encoded)
  return typeof size === "number" && size <= maxContextSize ? encoded : undefined
}

/**
 * The value if it is JSON, as a copy: a schema such as `Schema.Unknown` gives what it gets, which its author may change
 * later, and which may throw when it is read.
 */
const checkedCopy = (value: unknown): Json | JsonIssue => {
  // A getter of the author's value may throw.
  try {
    return checkedCopyOf(value)
  } catch {
    return new JsonIssue("cannot be read", "$")
  }
}

/** The value of its JSON. Undefined stands for JSON that was not stored, as `encode` gives it. */
export const decode = <A>(codec: Codec<A>, encoded: unknown): A | CodecIssue => readerOf(codec)(encoded)

/** `decode` for one codec: who decodes by it often looks nothing up. */
export const readerOf = <A>(codec: Codec<A>): ((encoded: unknown) => A | CodecIssue) =>
  compile(codec).read as (encoded: unknown) => A | CodecIssue // cast: the schema accepts the value

/** A value of a caller as its schema has it: it need not be JSON. */
export const decodePlain = <A>(schema: Codec<A>, value: unknown): A | CodecIssue => {
  const exit = Schema.decodeUnknownExit(schema)(value)
  return Exit.isSuccess(exit) ? exit.value : issueOf(exit)
}

/** Whether decoded values are JSON: only of such a value is it known that it can be frozen as a whole. */
export const isJson = (codec: Codec<any>): boolean => compile(codec).isJson

/** Freezes JSON, so that everybody who reads it sees the same. */
export const freeze = <A>(value: A): A => {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value
  return Object.freeze(freezeInside(value))
}

/** Freezes what is inside a record or a list, for who hands out only that. */
export const freezeInside = <A>(value: A): A => {
  if (Array.isArray(value)) for (const inner of value) freeze(inner)
  else for (const key in value) freeze(value[key])
  return value
}

/** The JSON itself, where it already is the value and has no unknown key; undefined where `decode` has to decide. */
export const exact = <A>(codec: Codec<A>, encoded: unknown): A | undefined =>
  compile(codec).exact?.(encoded) as A | undefined // cast: as in `decode`

const issueOf = (exit: Exit.Failure<unknown, Schema.SchemaError>): CodecIssue => {
  const reason = exit.cause.reasons[0]
  return new CodecIssue(reason?._tag === "Fail" ? places(reason.error.issue) : "$: the schema died")
}

/** The places where a value does not fit its schema, and what is expected there, without the value (SPEC C12). */
export const placesOf = (error: Schema.SchemaError): string => places(error.issue)

/** Words for a value that does not fit, by the kind of its schema. */
const kinds: { readonly [kind: string]: string } = {
  String: "not a string",
  Number: "not a number",
  Boolean: "not a boolean",
  Null: "not null",
  Arrays: "not a list",
  Objects: "not an object"
}

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
      case "Filter": {
        // Written by the author of the schema: it has nothing of the value.
        const { expected } = at.filter.annotations ?? {}
        if (typeof expected !== "string") return visit(at.issue, path)
        found.push(`${path}: not ${expected}`)
        return
      }
      case "Encoding":
        return visit(at.issue, path)
      case "InvalidType":
        found.push(`${path}: ${kinds[at.ast._tag] ?? at._tag}`)
        return
      default:
        found.push(`${path}: ${at._tag}`)
    }
  }
  visit(issue, "$")
  return found.join(", ")
}
