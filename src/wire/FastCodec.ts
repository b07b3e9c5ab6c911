/**
 * A short way for values that are their own encoding: text, numbers, booleans and literals, and records and arrays of them.
 * Most values are of this kind, and cost a tenth of what the parser of their schema does.
 */
import { Schema, type SchemaAST } from "effect"
import { check, isHostileKey, type Json, limits } from "./JsonLimits.ts"

/** A copy of the value, if it fits. Undefined: the schema has to say. */
export type FastCodec = (value: unknown) => Json | undefined

/** Undefined: not every value of the schema is its own encoding. */
export const fastCodecOf = (ast: SchemaAST.AST): FastCodec | undefined => guarded(at(ast, 1, true))

/** The same without a copy: the value itself, if it fits and has nothing that its schema does not know. */
export const exactCodecOf = (ast: SchemaAST.AST): FastCodec | undefined => guarded(at(ast, 1, false))

const guarded = (plain: FastCodec | undefined): FastCodec | undefined => {
  if (plain === undefined) return undefined
  return (value) => {
    // A value of the author's may throw when it is read.
    try {
      return plain(value)
    } catch {
      return undefined
    }
  }
}

/** What is nested deeper than JSON may be is not looked at. */
const at = (ast: SchemaAST.AST, depth: number, copies: boolean): FastCodec | undefined => {
  if (ast.encoding !== undefined || depth > limits.maxDepth) return undefined
  // Those of a schema that is turned round.
  if ("encodingChecks" in ast && ast.encodingChecks !== undefined) return undefined
  switch (ast._tag) {
    case "Declaration":
      return json(ast, depth)
    case "String":
      return text(ast)
    case "Boolean":
      return ast.checks === undefined ? (value) => (typeof value === "boolean" ? value : undefined) : undefined
    case "Number":
      return number(ast)
    case "Literal":
      return typeof ast.literal === "bigint" || ast.checks !== undefined ? undefined : oneOf([ast.literal])
    case "Union":
      return literals(ast)
    case "Arrays":
      return array(ast, depth, copies)
    case "Objects":
      return ast.indexSignatures.length === 0 ? struct(ast, depth, copies) : record(ast, depth, copies)
    default:
      return undefined
  }
}

/** Checks as they say what they are. Other rules are the schema's to check. */
const rulesOf = ({ checks }: SchemaAST.AST) => (checks ?? []).map(({ annotations }) => annotations?.representation)

const isJson = Schema.is(Schema.Struct({ id: Schema.Literal("effect/schema/Json") }))

/** `Schema.Json`. */
const json = ({ annotations, checks }: SchemaAST.Declaration, depth: number): FastCodec | undefined => {
  if (!isJson(annotations?.representation) || checks !== undefined) return undefined
  const bounds = { ...limits, maxDepth: limits.maxDepth + 1 - depth }
  return (value) => (typeof check(value, bounds) === "number" ? (value as Json) : undefined) // it is what was checked
}

const text = (ast: SchemaAST.String): FastCodec | undefined => {
  const patterns: Array<RegExp> = []
  for (const rule of rulesOf(ast)) {
    if (rule?.id !== "effect/schema/isPattern" || !isPattern(rule.payload)) return undefined
    const { flags, source } = rule.payload
    // One that remembers where it was would match differently each time.
    if (flags.includes("g") || flags.includes("y")) return undefined
    patterns.push(new RegExp(source, flags))
  }
  const [first] = patterns
  if (first === undefined) return (value) => (typeof value === "string" ? value : undefined)
  return patterns.length === 1
    ? (value) => (typeof value === "string" && first.test(value) ? value : undefined)
    : (value) => (typeof value === "string" && patterns.every((pattern) => pattern.test(value)) ? value : undefined)
}

const isPattern = Schema.is(Schema.Struct({ source: Schema.String, flags: Schema.String }))

/** Finite or whole numbers. */
const number = (ast: SchemaAST.Number): FastCodec | undefined => {
  const rules = rulesOf(ast).map((rule) => rule?.id)
  if (!rules.every((rule) => rule === "effect/schema/isInt" || rule === "effect/schema/isFinite")) return undefined
  const isOne = rules.includes("effect/schema/isInt") ? Number.isSafeInteger : Number.isFinite
  return (value) => (typeof value === "number" && isOne(value) && !Object.is(value, -0) ? value : undefined)
}

const literals = ({ checks, types }: SchemaAST.Union): FastCodec | undefined => {
  if (checks !== undefined) return undefined
  const values = types.flatMap((type) =>
    type._tag === "Literal" && type.encoding === undefined && type.checks === undefined ? [type.literal] : []
  )
  return values.length === types.length ? oneOf(values) : undefined
}

const oneOf = (literals: ReadonlyArray<SchemaAST.LiteralValue>): FastCodec | undefined => {
  const values = literals.filter((value) => typeof value !== "bigint")
  if (values.length !== literals.length || values.includes(0)) return undefined
  // Cast: it is one of them.
  return (value) => (values.includes(value as never) ? (value as Json) : undefined)
}

const array = ({ checks, elements, rest }: SchemaAST.Arrays, depth: number, copies: boolean): FastCodec | undefined => {
  const [all] = rest
  if (all === undefined || rest.length > 1 || elements.length > 0 || checks !== undefined) return undefined
  const plain = at(all, depth + 1, copies)
  if (plain === undefined) return undefined
  return (value) => {
    if (!Array.isArray(value)) return undefined
    const copy: Array<Json> = copies ? [] : value
    for (let i = 0; i < value.length; i++) {
      const own = plain(value[i])
      if (own === undefined) return undefined
      if (copies) copy.push(own)
    }
    return copy
  }
}

const record = (ast: SchemaAST.Objects, depth: number, copies: boolean): FastCodec | undefined => {
  const [signature] = ast.indexSignatures
  if (signature === undefined || ast.indexSignatures.length > 1 || ast.propertySignatures.length > 0) return undefined
  const { parameter, type } = signature
  if (parameter._tag !== "String" || parameter.checks !== undefined || parameter.encoding !== undefined)
    return undefined
  const plain = at(type, depth + 1, copies)
  if (plain === undefined || ast.checks !== undefined) return undefined
  return (value) => {
    if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype)
      return undefined
    const keys = Object.keys(value)
    if (keys.length > limits.maxKeys) return undefined
    const copy: Record<string, Json> = copies ? {} : (value as Record<string, Json>) // it is looked at now
    for (const key of keys) {
      if (isHostileKey(key)) return undefined
      const own = plain(value[key as keyof typeof value]) // its own key
      if (own === undefined) return undefined
      if (copies) copy[key] = own
    }
    return copy
  }
}

const struct = (
  { checks, propertySignatures }: SchemaAST.Objects,
  depth: number,
  copies: boolean
): FastCodec | undefined => {
  const isRecord = propertySignatures.length > 0 && propertySignatures.length <= limits.maxKeys
  if (!isRecord || checks !== undefined) return undefined
  const fields: Array<{ readonly name: string; readonly plain: FastCodec; readonly isOptional: boolean }> = []
  for (const { name, type } of propertySignatures) {
    const plain = at(type, depth + 1, copies)
    if (typeof name !== "string" || isHostileKey(name) || plain === undefined) return undefined
    fields.push({ name, plain, isOptional: type.context?.isOptional === true })
  }
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined
    const copy: Record<string, Json> = copies ? {} : (value as Record<string, Json>) // it is looked at now
    let found = 0
    for (const { isOptional, name, plain } of fields) {
      if (isOptional && !(name in value)) continue
      const own = plain(value[name as keyof typeof value]) // what is missing is undefined
      if (own === undefined) return undefined
      if (copies) copy[name] = own
      found++
    }
    return copies || Object.keys(value).length === found ? copy : undefined
  }
}
