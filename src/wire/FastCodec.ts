/**
 * Checks and copies values that look the same in JSON: text, numbers, booleans, literals, and records and arrays of them.
 * Most values are of this kind. This takes a tenth of the time that the parser of their schema does.
 *
 * A refusal here is no error: it means that the schema has to decide, and to say what is wrong.
 */
import { Schema, type SchemaAST } from "effect"
import { check, checkedCopyOf, isHostileKey, type Json, JsonIssue, type Limits, limits } from "./JsonLimits.ts"

/** Gives the value or a copy of it if it fits; undefined if the schema has to decide. */
export type FastCodec = (value: unknown) => Json | undefined

/** The codec that copies. Undefined for a schema with a value that looks different in JSON. */
export const fastCodecOf = (ast: SchemaAST.AST): FastCodec | undefined => guarded(at(ast, 1, true))

/** The codec that gives the value itself. It refuses a value with a key that its schema does not have. */
export const exactCodecOf = (ast: SchemaAST.AST): FastCodec | undefined => guarded(at(ast, 1, false))

const guarded = (plain: FastCodec | undefined): FastCodec | undefined => {
  if (plain === undefined) return undefined
  return (value) => {
    // A getter of the author's value may throw.
    try {
      return plain(value)
    } catch {
      return undefined
    }
  }
}

/** Stops where JSON must end (SPEC C11): a recursive schema has no end. */
const at = (ast: SchemaAST.AST, depth: number, copies: boolean): FastCodec | undefined => {
  if (ast.encoding !== undefined || depth > limits.maxDepth) return undefined
  // A flipped schema has checks on its encoded side.
  if ("encodingChecks" in ast && ast.encodingChecks !== undefined) return undefined
  switch (ast._tag) {
    case "Declaration":
      return json(ast, depth, copies)
    case "String":
      return text(ast)
    case "Boolean":
      return ast.checks === undefined ? (value) => (typeof value === "boolean" ? value : undefined) : undefined
    case "Number":
      return number(ast, copies)
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

/** Known checks by their ids. An unknown check gives undefined, and leaves the decision to the schema. */
const rulesOf = ({ checks }: SchemaAST.AST) => (checks ?? []).map(({ annotations }) => annotations?.representation)

const isJson = Schema.is(Schema.Struct({ id: Schema.Literal("effect/schema/Json") }))

const json = (
  { annotations, checks }: SchemaAST.Declaration,
  depth: number,
  copies: boolean
): FastCodec | undefined => {
  if (!isJson(annotations?.representation) || checks !== undefined) return undefined
  const bounds: Limits = { ...limits, maxDepth: limits.maxDepth + 1 - depth, ...(!copies && { isKept: true }) }
  return (value) => {
    const own = copies ? checkedCopyOf(value, bounds) : check(value, bounds)
    if (own instanceof JsonIssue) return undefined
    return copies ? own : (value as Json) // cast: `check` has walked it
  }
}

const text = (ast: SchemaAST.String): FastCodec | undefined => {
  const patterns: Array<RegExp> = []
  for (const rule of rulesOf(ast)) {
    if (rule?.id !== "effect/schema/isPattern" || !isPattern(rule.payload)) return undefined
    const { flags, source } = rule.payload
    // A global or sticky pattern remembers its last place, and would match differently each time.
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

const number = (ast: SchemaAST.Number, copies: boolean): FastCodec | undefined => {
  const rules = rulesOf(ast).map((rule) => rule?.id)
  if (!rules.every((rule) => rule === "effect/schema/isInt" || rule === "effect/schema/isFinite")) return undefined
  const isOne = rules.includes("effect/schema/isInt") ? Number.isSafeInteger : Number.isFinite
  return (value) => {
    if (typeof value !== "number" || !isOne(value)) return undefined
    // -0 is 0 in JSON.
    if (value === 0) return copies || Object.is(value, 0) ? 0 : undefined
    return value
  }
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
  // Casts: the value is one of the literals.
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
    const copy: Record<string, Json> = copies ? {} : (value as Record<string, Json>) // cast: each key is checked below
    for (const key of keys) {
      if (isHostileKey(key)) return undefined
      const own = plain(value[key as keyof typeof value]) // cast: an own key
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
    const copy: Record<string, Json> = copies ? {} : (value as Record<string, Json>) // cast: each key is checked below
    let found = 0
    for (const { isOptional, name, plain } of fields) {
      if (isOptional && !(name in value)) continue
      const own = plain(value[name as keyof typeof value]) // cast: a missing key reads as undefined
      if (own === undefined) return undefined
      if (copies) copy[name] = own
      found++
    }
    return copies || Object.keys(value).length === found ? copy : undefined
  }
}
