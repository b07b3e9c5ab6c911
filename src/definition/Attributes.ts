/** Attributes: a few named words, numbers and flags of the context, by which people find executions. */
import { Predicate, Schema } from "effect"
import { isName } from "../wire/Envelope.ts"
import { isHostileKey } from "../wire/JsonLimits.ts"
import * as Text from "../wire/Text.ts"

export const Attributes = Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Finite, Schema.Boolean]))
export type Attributes = typeof Attributes.Type

/** The attributes of an execution, at most (SPEC C11). */
export const maxAttributes = 8

/** The attributes that the function of a saga gives for a context; a text: why they are none. */
export const of = (make: (context: any) => unknown, context: unknown): Attributes | string => {
  let made: unknown
  // try: the function is its author's.
  try {
    made = make(context)
  } catch (cause) {
    return `threw ${Predicate.isError(cause) ? cause.name : typeof cause}`
  }
  if (typeof made !== "object" || made === null || Array.isArray(made)) return "are no object"
  const entries = Object.entries(made)
  if (entries.length > maxAttributes) return `are ${entries.length}, at most ${maxAttributes} may be`
  const attributes: Record<string, string | number | boolean> = {}
  for (const [name, value] of entries) {
    if (!isName(name) || isHostileKey(name)) return "have a name that is none"
    const issue = issueOf(value)
    if (issue !== undefined) return `have a value of ${name} that ${issue}`
    // -0 is stored as 0 is.
    attributes[name] = value === 0 ? 0 : value
  }
  return attributes
}

/** What a function makes of a context anew; undefined: nothing that is not known. A text: why nothing is taken. */
export const changed = (
  make: (context: any) => unknown,
  context: unknown,
  known: Attributes
): Attributes | string | undefined => {
  const made = of(make, context)
  if (typeof made === "string") return made
  const news = Object.entries(made).filter(([name, value]) => known[name] !== value)
  if (news.length === 0) return undefined
  const count = Object.keys({ ...known, ...made }).length
  return count > maxAttributes ? `are ${count} in all, at most ${maxAttributes} may be` : Object.fromEntries(news)
}

const issueOf = (value: unknown): string | undefined => {
  if (typeof value === "string") return Text.issueOf(value, Text.maxBytes.attribute)
  if (typeof value === "number") return Number.isFinite(value) ? undefined : "is no finite number"
  return typeof value === "boolean" ? undefined : "is no text, number or boolean"
}
