/**
 * The request that the calling code serves, if any: its headers and its user. Set by a server around its handlers, read
 * when an execution starts, and told at its end which services took part.
 */
import { Context, type Effect, type Ref } from "effect"
import * as Effects from "effect/Effect"
import * as Refs from "effect/Ref"
import { isHostileKey } from "../wire/JsonLimits.ts"
import * as Uuid from "../wire/Uuid.ts"

export interface RequestContext {
  /** Copied to every message of an execution that starts here. `related_services` is written at its end. */
  readonly headers: Ref.Ref<Readonly<Record<string, string>>> | undefined
  /** Wins over the user given to `run`. */
  readonly user: string | undefined
}

export const RequestContext = Context.Reference<RequestContext>("effect-saga/RequestContext", {
  defaultValue: () => ({ headers: undefined, user: undefined })
})

/** Runs an effect within a request. */
export const provide =
  (request: Partial<RequestContext>) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effects.provideService(self, RequestContext, { headers: request.headers, user: request.user })

const list = (text: string | undefined): ReadonlyArray<string> =>
  text === undefined
    ? []
    : text
        .split(",")
        .map((name) => name.trim())
        .filter((name) => name !== "")

/** Headers that the envelope has fields for. */
const own = ["saga", "transactions", "related_services", "user"]

/** Executions whose transaction the request already belongs to. Other text would make a message that nobody reads. */
export const transactions = (headers: Readonly<Record<string, string>> | undefined): ReadonlyArray<string> => [
  ...new Set(list(headers?.transactions).flatMap((text) => Uuid.normalize(text) ?? []))
]

/** Services that took part in what ran within the request. */
export const relatedServices = (headers: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  list(headers.related_services)

/** What can be kept of a request: a key that no receiver would read would make the record of an execution unreadable. */
export const kept = (headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !isHostileKey(name)))

export const passedOn = (
  headers: Readonly<Record<string, string>> | undefined
): Readonly<Record<string, string>> | undefined => {
  if (headers === undefined) return undefined
  const entries = Object.entries(headers).filter(([name]) => !own.includes(name) && !isHostileKey(name))
  return entries.length === 0 ? undefined : Object.fromEntries(entries)
}

/** Adds the services that took part to the request's `related_services`. */
export const mergeRelatedServices = (request: RequestContext, services: ReadonlyArray<string>): Effect.Effect<void> =>
  request.headers === undefined || services.length === 0
    ? Effects.void
    : Refs.update(request.headers, (headers) => ({
        ...headers,
        related_services: [...new Set([...list(headers.related_services), ...services])].join(",")
      }))
