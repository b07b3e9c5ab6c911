/**
 * The dashboard: sagas as people see them, under a path of the application's own HTTP server. Everything that it shows, also
 * what it tells as news, comes from the database, so that any number of replicas show the same.
 */
import { Effect, Layer } from "effect"
import { type HttpRouter, HttpServer } from "effect/http"
import { HttpApiBuilder, OpenApi } from "effect/http-api"
import type { AnyCommitted } from "../../definition/Saga.ts"
import * as SagaRegistry from "../../definition/SagaRegistry.ts"
import type { Inspector } from "../../ports/Inspector.ts"
import * as Setting from "../../ports/Setting.ts"
import * as DashboardApi from "./DashboardApi.ts"
import type { DashboardAuth } from "./DashboardAuth.ts"
import * as Handlers from "./Handlers.ts"
import * as Page from "./Page.ts"

export interface Options {
  /** Where it stands: `/sagas`. Default: `/`. */
  readonly path?: `/${string}`
  /**
   * The sagas whose diagrams, plans and forms it shows. Default: none. Without a saga its executions are listed and can be acted on,
   * with the steps that have begun.
   */
  readonly sagas?: ReadonlyArray<AnyCommitted>
}

/**
 * Adds the dashboard to the `HttpRouter`: its page under `path`, its API under `<path>/api` with OpenAPI at
 * `<path>/api/openapi.json`. It needs an `Inspector` on the database of the executions, and a `DashboardAuth`, which says who is
 * let in: there is none by default, and without one the program does not compile. Fails with `SagaInvalid` for sagas that
 * cannot run, and with `InvalidSetting` for a path that is none and an option that there is not.
 *
 * @example
 * ```ts
 * const Routes = Dashboard.layer({ path: "/sagas", sagas: [PlaceOrder] }).pipe(Layer.provide(MyAuth))
 * HttpRouter.serve(Routes)
 * ```
 */
export const layer = (
  options: Options = {}
): Layer.Layer<
  never,
  Setting.InvalidSetting | SagaRegistry.SagaInvalid,
  DashboardAuth | HttpRouter.HttpRouter | Inspector
> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const named = { path: true, sagas: true }
      const { path = "/", sagas = [] } = yield* Setting.known("Dashboard", options, named)
      const base = yield* Setting.path("Dashboard.path", path)
      const registry = yield* Effect.fromResult(SagaRegistry.make(sagas))
      const api = DashboardApi.at(base)
      const handlers = Layer.mergeAll(
        Handlers.reads(api, registry),
        Handlers.stored(api),
        Handlers.writes(api, registry)
      )
      return Layer.merge(
        Page.routes(base, JSON.stringify(OpenApi.fromApi(api))),
        HttpApiBuilder.layer(api).pipe(
          Layer.provide(Layer.provideMerge(handlers, Handlers.admission)),
          Layer.provide(HttpServer.layerServices)
        )
      )
    })
  )
