/**
 * Values to JSON and back, through their schema. Compiled once per schema; what comes out is checked against SPEC C11,
 * because a schema like `Schema.Any` lets everything pass.
 */
import { Exit, Schema, type SchemaAST, type SchemaIssue } from "effect"
import type { Codec } from "../definition/Command.ts"
import { check, isHostileKey, type Json, limits } from "./Json.ts"

/** A value that its schema or JSON refuses. `message` names places and expectations, never the value (SPEC C12). */
export class EncodingIssue {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

export const isEncodingIssue = (self: unknown): self is EncodingIssue => self instanceof EncodingIssue

interface Compiled {
  readonly encode: (value: unknown) => Exit.Exit<unknown, Schema.SchemaError>
  readonly decode: (value: unknown) => Exit.Exit<unknown, Schema.SchemaError>
  readonly isVoid: boolean
  /** Whatever it is may also be nothing. */
  readonly isUnknown: boolean
  readonly plain: Plain | undefined
}

/**
 * The value, where it fits a schema of plain text, numbers and booleans, or of a record of them: it is its own encoding.
 * Undefined: the schema has to say. Most values are of this kind, and cost a tenth of what the schema's parser does.
 */
type Plain = (value: unknown) => Json | undefined

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
    plain: plainOf(json.ast)
  }
  compiled.set(codec, made)
  return made
}

const plainOf = (ast: SchemaAST.AST): Plain | undefined => {
  if (ast.encoding !== undefined) return undefined
  switch (ast._tag) {
    case "String":
      return ast.checks === undefined ? (value) => (typeof value === "string" ? value : undefined) : undefined
    case "Boolean":
      return ast.checks === undefined ? (value) => (typeof value === "boolean" ? value : undefined) : undefined
    case "Number":
      return number(ast)
    case "Objects":
      return record(ast)
    default:
      return undefined
  }
}

/** Finite or whole numbers. Other rules are the schema's to check. */
const number = ({ checks }: SchemaAST.Number): Plain | undefined => {
  const rules = checks?.map(({ annotations }) => annotations?.representation?.id) ?? []
  if (!rules.every((rule) => rule === "effect/schema/isInt" || rule === "effect/schema/isFinite")) return undefined
  const isOne = rules.includes("effect/schema/isInt") ? Number.isSafeInteger : Number.isFinite
  return (value) => (typeof value === "number" && isOne(value) && !Object.is(value, -0) ? value : undefined)
}

const record = (ast: SchemaAST.Objects): Plain | undefined => {
  const { checks, encodingChecks, indexSignatures, propertySignatures } = ast
  const isRecord = propertySignatures.length > 0 && propertySignatures.length <= limits.maxKeys
  if (!isRecord || indexSignatures.length > 0 || checks !== undefined || encodingChecks !== undefined) return undefined
  const fields: Array<{ readonly name: string; readonly plain: Plain }> = []
  for (const { name, type } of propertySignatures) {
    const plain = type._tag === "Objects" ? undefined : plainOf(type)
    if (typeof name !== "string" || isHostileKey(name) || plain === undefined) return undefined
    fields.push({ name, plain })
  }
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined
    const copy: Record<string, Json> = {}
    // A value of the author's may throw when it is read.
    try {
      for (const { name, plain } of fields) {
        const own = plain(value[name as keyof typeof value]) // what is missing is undefined
        if (own === undefined) return undefined
        copy[name] = own
      }
    } catch {
      return undefined
    }
    return copy
  }
}

/** Nothing (`Schema.Void`) is not stored at all. */
export const encode = (codec: Codec<any>, value: unknown): Json | undefined | EncodingIssue => {
  const { encode, isUnknown, isVoid, plain } = compile(codec)
  if (isVoid || (isUnknown && value === undefined)) return undefined
  const own = plain?.(value)
  if (own !== undefined) return own
  const exit = encode(value)
  if (Exit.isFailure(exit)) return issueOf(exit)
  const checked = check(exit.value)
  // `check` has walked the value: it is JSON.
  return typeof checked === "number" ? (exit.value as Json) : new EncodingIssue(checked.message)
}

export const decode = (codec: Codec<any>, encoded: Json | undefined): unknown | EncodingIssue => {
  const { decode, isUnknown, isVoid, plain } = compile(codec)
  if (isVoid || (isUnknown && encoded === undefined)) return undefined
  const own = plain?.(encoded)
  if (own !== undefined) return own
  const exit = decode(encoded)
  return Exit.isSuccess(exit) ? exit.value : issueOf(exit)
}

const issueOf = (exit: Exit.Failure<unknown, Schema.SchemaError>): EncodingIssue => {
  const reason = exit.cause.reasons[0]
  return new EncodingIssue(reason?._tag === "Fail" ? places(reason.error.issue) : "$: the schema died")
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
