/** The headers of a request that have a meaning to a saga, and the choice of those that are stored and passed on. */
import { Effect, Ref } from "effect"
import { isHostileKey } from "../wire/JsonLimits.ts"
import * as Uuid from "../wire/Uuid.ts"
import type { RequestContext } from "./RequestContext.ts"

type Headers = Readonly<Record<string, string>>

/** A server may hand on what HTTP has given it: a header that comes twice is a list there. What is no text counts as nothing. */
const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)

/** Headers from plain JavaScript: what is no record has none. */
const recordOf = (headers: Headers | undefined): Headers =>
  typeof headers === "object" && headers !== null && !Array.isArray(headers) ? headers : {}

const namesIn = (value: unknown): ReadonlyArray<string> =>
  (textOf(value) ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "")

/** Headers that a message has fields for. */
const withFields = ["saga", "transactions", "related_services", "keep_until"]

/** Executions whose transactions the request belongs to. Text that is no uuid is left out: no receiver would read the message. */
export const transactions = (headers: Headers | undefined): ReadonlyArray<string> => [
  ...new Set(namesIn(recordOf(headers).transactions).flatMap((text) => Uuid.normalize(text) ?? []))
]

/**
 * Until when the executions of these transactions can turn back (SPEC C16), in milliseconds since the epoch. Text that is no such time
 * counts as nothing.
 */
export const keepUntil = (headers: Headers | undefined): number | undefined => {
  const text = textOf(recordOf(headers).keep_until)
  return text !== undefined && /^\d{1,15}$/u.test(text) ? Number(text) : undefined
}

/** The headers of a request that belongs to these transactions. */
export const inTransactions = (
  headers: Headers,
  uuids: ReadonlyArray<string>,
  keepUntil: number | undefined
): Headers =>
  uuids.length === 0
    ? headers
    : {
        ...headers,
        transactions: uuids.join(","),
        ...(keepUntil !== undefined && { keep_until: String(keepUntil) })
      }

/**
 * The services that took part in the work within the request: the names in `related_services`. A server that is itself
 * called by a saga sends them back with its answer.
 */
export const relatedServices = (headers: Headers): ReadonlyArray<string> => namesIn(recordOf(headers).related_services)

/**
 * Headers that can be stored. A key that JSON readers refuse, or a value that is no text, would make the record of an execution and
 * its messages unreadable.
 */
export const storable = (headers: Headers): Headers =>
  Object.fromEntries(
    Object.entries(recordOf(headers)).filter(([name, value]) => !isHostileKey(name) && typeof value === "string")
  )

/** The headers without these transactions; others may have been added meanwhile. */
export const withoutTransactions = (headers: Headers, uuids: ReadonlyArray<string>): Headers => {
  const { keep_until, transactions, ...others } = recordOf(headers)
  const left = namesIn(transactions).filter((text) => !uuids.includes(Uuid.normalize(text) ?? text))
  return left.length === 0 ? others : { ...headers, transactions: left.join(",") }
}

/** Headers that messages carry. A header `user` gives way to the user of the execution, and goes along where it has none. */
export const passedOn = (headers: Headers | undefined, user: string | undefined): Headers | undefined => {
  if (headers === undefined) return undefined
  const entries = Object.entries(storable(headers)).filter(
    ([name]) => !withFields.includes(name) && (name !== "user" || user === undefined)
  )
  return entries.length === 0 ? undefined : Object.fromEntries(entries)
}

/** Adds the services that took part to the request's `related_services`. */
export const addRelatedServices = (request: RequestContext, services: ReadonlyArray<string>): Effect.Effect<void> =>
  request.headers === undefined || services.length === 0
    ? Effect.void
    : Ref.update(request.headers, (headers) => ({
        ...recordOf(headers),
        related_services: [...new Set([...relatedServices(headers), ...services])].join(",")
      }))
