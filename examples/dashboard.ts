/** The dashboard under a path of the application's own HTTP server. Who is let in is the application's business. */
import { Console, Effect, Layer, Logger, Schema } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import {
  Broker,
  Inspector,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  Signal,
  TransactionCommitter
} from "effect-saga"
import { Dashboard, DashboardAuth, type Visitor } from "effect-saga/dashboard"

const Approval = Signal.make("approval", { payload: Schema.Struct({ approved: Schema.Boolean }) })

const Expense = Saga.make("Expense", { context: { amount: Schema.Int } }).pipe(
  Saga.local("budget", { execute: () => Effect.void, compensate: () => Effect.void }),
  Saga.waitFor("answer", { signal: Approval, timeout: "2 days" }),
  Saga.commit
)

// Sessions of the application: here two, with their cookies.
const sessions: Record<string, Visitor> = {
  "cookie-of-ada": { actor: "ada@example.com", may: new Set(["read", "act", "values"]) },
  "cookie-of-grace": { actor: "grace@example.com", may: new Set(["read"]) }
}
const Auth = Layer.succeed(DashboardAuth, {
  visitor: ({ cookies }) => {
    const visitor = sessions[cookies.session ?? ""]
    return visitor === undefined ? Effect.fail(HttpServerResponse.redirect("/sign-in")) : Effect.succeed(visitor)
  }
})

// The same database as the manager. On Postgres it is `SqlInspector.layer`, and any process that reaches it can have a dashboard.
const Routes = Dashboard.layer({ path: "/sagas", sagas: [Expense] }).pipe(Layer.provide(Auth))

const Memory = Layer.mergeAll(
  SagaExecutionRepository.layerMemoryWith({ keep: 100 }),
  Broker.layerMemory,
  TransactionCommitter.layerNone
)
const App = Layer.merge(SagaManager.layer([Expense]), Inspector.layerMemory()).pipe(
  Layer.provide(SagaConfig.layer({ service: "office" })),
  Layer.provideMerge(Memory)
)

const program = Effect.gen(function* () {
  yield* SagaManager.start(Expense, { startKey: "lunch", context: { amount: 20 } })

  // With a server of the runtime: `HttpRouter.serve(Routes).pipe(Layer.provide(NodeHttpServer.layer(createServer, { port: 3000 })))`.
  const inspector = yield* Inspector.Inspector
  const context = yield* Effect.context<never>()
  const { dispose, handler } = HttpRouter.toWebHandler(
    Routes.pipe(Layer.provide(Layer.succeed(Inspector.Inspector, inspector))),
    { disableLogger: true }
  )
  yield* Effect.addFinalizer(() => Effect.promise(dispose))
  const ask = (path: string, session: string, init: RequestInit = {}) =>
    Effect.promise(() =>
      handler(
        new Request(`http://office.example${path}`, {
          ...init,
          headers: { cookie: `session=${session}`, "content-type": "application/json", ...init.headers }
        }),
        context
      )
    )

  const stranger = yield* ask("/sagas/", "")
  yield* Console.log(`a stranger: ${stranger.status} to ${stranger.headers.get("location")}`)

  const list = yield* ask("/sagas/api/executions", "cookie-of-grace")
  const [lunch] = (yield* Effect.promise<any>(() => list.json())).items
  yield* Console.log(`grace sees ${lunch.startKey}, which waits for ${lunch.waitsFor}`)

  const answer = {
    method: "POST",
    headers: { "x-effect-saga": "example" },
    body: JSON.stringify({ action: "signal", signal: "approval", payload: { approved: true }, reason: "it was good" })
  }
  for (const name of ["grace", "ada"]) {
    const said = yield* ask(`/sagas/api/executions/${lunch.uuid}/actions`, `cookie-of-${name}`, answer)
    const { why = "it goes to the history, with her name and reason" } = yield* Effect.promise<any>(() => said.json())
    yield* Console.log(`${name} answers: ${said.status}, ${why}`)
  }
}).pipe(Effect.scoped)

// The log names each person who acts or sees values; these tests do not read it.
Effect.runPromise(program.pipe(Effect.provide([App, Logger.layer([])])))
