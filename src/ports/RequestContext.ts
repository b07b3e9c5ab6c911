/**
 * The request that the calling code serves, if any: its headers and its user. A server provides it around its handlers. An
 * execution that starts inside reads it, and at its end adds the services that took part.
 */
import { Context, Effect, type Ref } from "effect"

export interface RequestContext {
  /**
   * Headers of the request, by lower-case name. Undefined: no request. Every message of an execution that starts inside
   * carries them, but for those for which a message has fields: `transactions` (uuids of the executions whose
   * transactions the request belongs to, separated by commas), `keep_until` (until when these can turn back, in milliseconds
   * since the epoch), `related_services` (names of services; the execution adds
   * those that took part, when it ends), `saga`, and `user` where the execution has a user.
   */
  readonly headers: Ref.Ref<Readonly<Record<string, string>>> | undefined
  /** The user in whose name the request runs. It wins over the `user` option of a start. */
  readonly user: string | undefined
}

/** Default: no request and no user. */
export const RequestContext = Context.Reference<RequestContext>("effect-saga/RequestContext", {
  defaultValue: () => ({ headers: undefined, user: undefined })
})

/**
 * Runs an effect within a request. Fields that are left out are those of no request, also inside of another one.
 *
 * @example
 * ```ts
 * const headers = yield* Ref.make<Readonly<Record<string, string>>>(request.headers)
 * yield* placeOrder(order).pipe(RequestContext.provide({ headers, user: session.user }))
 * const services = RequestContext.relatedServices(yield* Ref.get(headers))
 * ```
 */
export const provide =
  (request: Partial<RequestContext>) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.provideService(self, RequestContext, { headers: request.headers, user: request.user })
