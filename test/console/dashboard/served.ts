/** A dashboard for tests: of the shop in memory, asked without a server. Who asks says so in a header. */
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { Inspector, ParticipantStore } from "effect-saga"
import { Dashboard, DashboardAuth, type Visitor } from "effect-saga/dashboard"
import * as Shop from "../../fixtures/shop.ts"

type Right = Visitor["may"] extends ReadonlySet<infer R> ? R : never

/** `x-may: read act` are the rights of who asks; nobody is let in without the header. A browser says it with a cookie. */
export const Auth = Layer.succeed(DashboardAuth, {
  visitor: ({ cookies, headers }) => {
    const may = headers["x-may"] ?? cookies.may
    return may === undefined
      ? Effect.fail(HttpServerResponse.text("Sign in", { status: 401 }))
      : Effect.succeed({ actor: "ada@example.com", may: new Set(may.split("-") as Array<Right>) })
  }
})

/** The shop, its inspector and all that stands below them. */
export const World = Layer.provideMerge(
  Layer.merge(Shop.Shop, Inspector.layerMemory({ services: ["payments"] })),
  Shop.Memory
)

const service = "payments"

/** A transaction in which the payments have voted yes long ago, and whose coordinator is gone. */
export const doubt = (uuid: string, since = 1) =>
  ParticipantStore.ParticipantStore.use(({ unit }) =>
    unit({ service, transactions: [uuid], messages: [] }, ({ save }) =>
      save({
        transactions: [
          { uuid, coordinator: "former-orders", status: "reserved", notAfter: 9e12, heuristic: false, updatedAt: since }
        ]
      })
    )
  )

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: any
}

export interface Asking {
  readonly may?: string
  readonly method?: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** Asks a dashboard of the context, until the scope closes. */
export const asking = (options: Dashboard.Options = { path: "/ops/sagas", sagas: Shop.sagas }) =>
  Effect.gen(function* () {
    const inspector = yield* Inspector.Inspector
    const context = yield* Effect.context<never>()
    const routes = Dashboard.layer(options).pipe(Layer.provide([Auth, Layer.succeed(Inspector.Inspector, inspector)]))
    const { dispose, handler } = HttpRouter.toWebHandler(routes, { disableLogger: true })
    yield* Effect.addFinalizer(() => Effect.promise(dispose))
    const send = (
      path: string,
      { body, headers, may = "read-act-values", method = "GET" }: Asking,
      signal?: AbortSignal
    ) =>
      handler(
        new Request(`http://shop.example${path}`, {
          method,
          ...(signal !== undefined && { signal }),
          headers: { ...(may !== "" && { "x-may": may }), "content-type": "application/json", ...headers },
          ...(body !== undefined && { body: JSON.stringify(body) })
        }),
        context
      )
    const ask = (path: string, request: Asking = {}): Effect.Effect<Answer> =>
      Effect.promise(async () => {
        const response = await send(path, request)
        const text = await response.text()
        const isJson = response.headers.get("content-type")?.includes("json") === true
        return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
      })
    /** The states of the stream of events, and the databases that do not answer, until it is left. */
    const listen = (path: string, heard: (state: string, missing?: ReadonlyArray<string>, refused?: object) => void) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const leaving = new AbortController()
          const over = send(path, {}, leaving.signal).then(async (response) => {
            const text = new TextDecoder()
            for await (const piece of response.body as any) {
              for (const [, data = ""] of text.decode(piece).matchAll(/^data: (.*)$/gm)) {
                const { missing, refused, state } = JSON.parse(data)
                heard(state, missing, refused)
              }
            }
          })
          return { leaving, over: over.catch(() => undefined) }
        }),
        ({ leaving }) => Effect.sync(() => leaving.abort())
      )
    return { ask, listen }
  })

/** The header that a write has, and what it asks for. */
export const writing = (body: unknown, may?: string): Asking => ({
  method: "POST",
  body,
  headers: { "x-effect-saga": "test" },
  ...(may !== undefined && { may })
})
