/** Who looks at the dashboard, and what each of them may do. The application decides that: nobody is let in by default. */
import { Context, type Effect } from "effect"
import type { HttpServerRequest, HttpServerResponse } from "effect/http"
import type { Right } from "./Forms.ts"

/** Somebody who was let in. */
export interface Visitor {
  /** Who it is, 1 to 256 bytes. Actions go to the history under this name. */
  readonly actor: string
  /**
   * `read`: sees everything but stored values. `act`: cancels, retries, resolves, answers. `values`: sees stored values, and that
   * is logged. Whoever has no `read` sees nothing.
   */
  readonly may: ReadonlySet<Right>
}

/**
 * Says for each request of the dashboard who has sent it. Required by `Dashboard.layer`. A request that is not let in fails with the
 * response that it gets: a 401, or a redirect to where people sign in.
 *
 * @example
 * ```ts
 * const Auth = Layer.effect(
 *   DashboardAuth,
 *   Effect.map(Sessions, (sessions) =>
 *     DashboardAuth.of({
 *       visitor: (request) =>
 *         Effect.mapBoth(sessions.of(request.cookies.session), {
 *           onFailure: () => HttpServerResponse.redirect("/sign-in"),
 *           onSuccess: ({ email, isOperator }) => ({ actor: email, may: new Set(isOperator ? ["read", "act"] : ["read"]) })
 *         })
 *     })
 *   )
 * )
 * ```
 */
export class DashboardAuth extends Context.Service<
  DashboardAuth,
  {
    readonly visitor: (
      request: HttpServerRequest.HttpServerRequest
    ) => Effect.Effect<Visitor, HttpServerResponse.HttpServerResponse>
  }
>()("effect-saga/DashboardAuth") {}
