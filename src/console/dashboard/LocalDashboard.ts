/**
 * A dashboard on the own machine, for one person: `effect-saga dashboard` and programs that want one while they run. It has a
 * token of its own, which stands in the address that is printed; the first request exchanges it for a cookie.
 */
import { Effect, Layer, Schema, type Scope } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import type { AnyCommitted } from "../../definition/Saga.ts"
import * as SagaRegistry from "../../definition/SagaRegistry.ts"
import { Inspector } from "../../ports/Inspector.ts"
import * as Setting from "../../ports/Setting.ts"
import { nodeCrypto } from "../../wire/NodeCrypto.ts"
import * as Dashboard from "./Dashboard.ts"
import { DashboardAuth } from "./DashboardAuth.ts"
import { Right } from "./Forms.ts"
import { type DashboardNotServed, listen } from "./LocalServer.ts"

/** A token that nobody guesses. */
export const newToken = (): string => nodeCrypto.randomBytes(24).toString("base64url")

export interface LocalOptions {
  /** Where it listens, at 127.0.0.1. Default 0: any free port. */
  readonly port?: number
  /** As in `Dashboard.layer`. */
  readonly sagas?: ReadonlyArray<AnyCommitted>
  /** The name of the person, for the history. Default: `local`. */
  readonly actor?: string
  /** What the person may do. Default: only `read`. */
  readonly may?: ReadonlyArray<Right>
  /** The token, for a program that is started again and keeps its address. Default: 24 random bytes, new at each start. */
  readonly token?: string
}

/**
 * Serves the dashboard at 127.0.0.1 while the scope is open, on the `Inspector` of the context. Gives its address with the token:
 * whoever has it is let in, so print it only where its user looks. Fails with `DashboardNotServed` if the port is taken, with
 * `SagaInvalid` for sagas that cannot run, and with `InvalidSetting` for an option that cannot be used or that there is not.
 *
 * The token is exchanged for a cookie at once (HttpOnly, SameSite=Strict), so that it stays in no history and no referrer. A request
 * whose `Host` is another name than the own one is refused: a page elsewhere cannot reach it under a name of its own.
 *
 * @example
 * ```ts
 * const address = yield* LocalDashboard.serve({ sagas: [PlaceOrder], may: ["read", "act"] })
 * yield* Console.log(`Dashboard: ${address}`)
 * ```
 */
export const serve = (
  options: LocalOptions = {}
): Effect.Effect<
  string,
  DashboardNotServed | Setting.InvalidSetting | SagaRegistry.SagaInvalid,
  Inspector | Scope.Scope
> =>
  Effect.gen(function* () {
    const { actor, may, port, sagas, token } = yield* read(options)
    const inspector = yield* Inspector
    const routes = (bound: number) =>
      Dashboard.layer({ sagas }).pipe(
        Layer.provide(
          Layer.succeed(DashboardAuth, {
            visitor: visitorOf({ token, port: bound, actor, may: new Set(["read", ...may]) })
          })
        ),
        Layer.provide(Layer.succeed(Inspector, inspector)),
        // They were checked before the port was opened.
        Layer.orDie
      )
    const bound = yield* listen(routes, port)
    return `http://127.0.0.1:${bound}/?token=${token}`
  })

const names: Setting.Names<LocalOptions> = { actor: true, may: true, port: true, sagas: true, token: true }

const areRights = Schema.is(Schema.Array(Right))

const read = Effect.fnUntraced(function* (options: LocalOptions) {
  const given = yield* Setting.known("LocalDashboard", options, names)
  const { actor = "local", may = ["read"], port = 0, sagas = [], token = newToken() } = given
  yield* Setting.text("LocalDashboard.actor", actor)
  yield* Setting.text("LocalDashboard.token", token)
  yield* Setting.wholeNumber("LocalDashboard.port", port, { least: 0, most: 65_535 })
  if (!areRights(may))
    return yield* new Setting.InvalidSetting({
      setting: "LocalDashboard.may",
      issue: `it must be a list of ${Right.literals.join(", ")}`
    })
  yield* Effect.fromResult(SagaRegistry.make(sagas))
  return { actor, may, port, sagas, token }
})

interface Door {
  readonly token: string
  readonly port: number
  readonly actor: string
  readonly may: ReadonlySet<Right>
}

const refused = (status: number, why: string) => Effect.fail(HttpServerResponse.text(why, { status }))

const visitorOf =
  ({ actor, may, port, token }: Door): DashboardAuth["Service"]["visitor"] =>
  (request) => {
    const own = ["127.0.0.1", "localhost", "[::1]"].map((name) => `${name}:${port}`)
    if (!own.includes(request.headers.host ?? "")) return refused(421, "This is not the address of the dashboard")
    // Cookies of a machine are shared by its ports, so the name has the port.
    const cookie = `effect_saga_${port}`
    if (isSame(request.cookies[cookie], token)) return Effect.succeed({ actor, may })
    if (!isSame(tokenOf(request), token)) return refused(401, "Open the address that was printed, with its token")
    const options = { httpOnly: true, sameSite: "strict", path: "/" } as const
    return Effect.fail(HttpServerResponse.setCookieUnsafe(HttpServerResponse.redirect("./"), cookie, token, options))
  }

const tokenOf = ({ originalUrl }: HttpServerRequest.HttpServerRequest): string | undefined =>
  new URL(originalUrl, "http://own").searchParams.get("token") ?? undefined

/** In a time that does not tell how much of it is right. */
const isSame = (given: string | undefined, token: string): boolean => {
  const [a, b] = [Buffer.from(given ?? ""), Buffer.from(token)]
  return a.length === b.length && nodeCrypto.timingSafeEqual(a, b)
}
