/**
 * The inspector through the API of a dashboard: for a command line that reaches no database, and for a storage that a running
 * process has open. What a visitor may not see or do is refused there.
 */
import { Duration, Effect, Layer, Schema } from "effect"
import { FetchHttpClient, HttpClient, HttpClientError, HttpClientRequest } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import * as Port from "../../ports/Inspector.ts"
import { isStalled } from "../../ports/InspectorGroups.ts"
import { SagaExecutionNotFound } from "../../ports/RepositoryErrors.ts"
import { at, writeHeader } from "./DashboardApi.ts"
import type { Act, Done } from "./Forms.ts"

export interface Options {
  /** Of the dashboard: its page. With a query, as the address of `effect-saga dashboard` has one, that is exchanged for a cookie. */
  readonly url: string
  /** Headers of each request: those by which the dashboard knows who asks. */
  readonly headers: Readonly<Record<string, string>>
  /** Executions are loaded with their values, which needs the right to see them. */
  readonly values: boolean
}

/** Why the dashboard has not done it, for a person. */
export class DashboardRefused extends Schema.TaggedError<DashboardRefused>()("DashboardRefused", {
  why: Schema.String
}) {
  override get message(): string {
    return this.why
  }
}

/** An answer waits so long for its outcome, at most. */
const mostWait = 10_000

const connect = Effect.fnUntraced(function* ({ headers, url }: Options) {
  const base = new URL(url)
  const isExchanged = base.search !== ""
  const cookie = isExchanged ? yield* cookieOf(base) : undefined
  base.search = ""
  base.hash = ""
  return yield* HttpApiClient.make(at(""), {
    baseUrl: base.href.replace(/\/+$/, ""),
    transformClient: HttpClient.mapRequest((request) =>
      HttpClientRequest.setHeaders(request, {
        ...headers,
        [writeHeader]: "command-line",
        ...(cookie !== undefined && { cookie })
      })
    )
  })
})

/** The cookie that the address gives. */
const cookieOf = (url: URL) =>
  Effect.gen(function* () {
    const { cookies, status } = yield* HttpClient.get(url)
    const pairs = Object.values(cookies.cookies).map(({ name, valueEncoded }) => `${name}=${valueEncoded}`)
    return pairs.length === 0 ? yield* refused(status, url) : pairs.join("; ")
  })

const refused = (status: number, { origin, pathname }: URL) =>
  new DashboardRefused({
    why:
      status >= 300 && status < 400
        ? `${origin}${pathname} sends to another page: sign in by --header or SAGA_DASHBOARD_AUTHORIZATION`
        : status === 401 || status === 403
          ? `${origin}${pathname} does not let you in (${status}): name --header or SAGA_DASHBOARD_AUTHORIZATION, or the whole address with its token`
          : status === 404
            ? `there is no dashboard of this release at ${origin}${pathname}: name the address of its page`
            : `${origin}${pathname} answers with status ${status}`
  })

/** The error of the port for an answer that is none, or a refusal. */
const failed =
  (operation: string, url: URL) =>
  (error: { readonly _tag: string; readonly why?: string }): Port.InspectorError | SagaExecutionNotFound => {
    const because = (reason: Port.InspectorError["reason"], cause: DashboardRefused) =>
      new Port.InspectorError({ reason, operation, cause })
    if (error instanceof DashboardRefused) return because("rejected", error)
    if (error instanceof HttpClientError.HttpClientError) {
      const { response } = error
      if (response !== undefined && response.status !== 200) return because("rejected", refused(response.status, url))
      const why =
        response === undefined
          ? `nobody answers at ${url.origin}`
          : `what answers at ${url.origin}${url.pathname} is no dashboard of this release`
      return because("unavailable", new DashboardRefused({ why }))
    }
    switch (error._tag) {
      case "NotAllowed":
      case "NotUnderstood":
        return because("rejected", new DashboardRefused({ why: error.why ?? "" }))
      case "NotNow":
        return because("unavailable", new DashboardRefused({ why: error.why ?? "" }))
      default:
        return because(
          "corrupt",
          new DashboardRefused({
            why: `${url.origin}${url.pathname} answers in a form that this release does not know`
          })
        )
    }
  }

const outcomeOf = ({ answer, tag, why = "" }: Done): Port.Outcome => {
  switch (answer) {
    case "applied":
      return { _tag: "Applied" }
    case "waiting":
      return { _tag: "Waiting", inbox: 1 }
    case "refused":
      return { _tag: "Refused", why: tag ?? "Refused", message: why }
  }
}

const actOf = (action: Port.Action, { reason, wait }: Port.ActOptions): Act => {
  const asked = { reason, ...waitOf(wait) }
  switch (action._tag) {
    case "Cancel":
      return { action: "cancel", ...asked }
    case "Commit":
      return { action: "commit", ...asked }
    case "Reject":
      return { action: "reject", ...asked }
    case "RetryParked":
      return { action: "retry", ...asked, ...(action.place !== undefined && { path: action.place }) }
    case "ResolveParked":
      return {
        action: "resolve",
        ...asked,
        ...(action.place !== undefined && { path: action.place }),
        ...(action.result !== undefined && { result: action.result })
      }
    case "Signal": {
      const { id, key, payload, signal } = action
      return {
        action: "signal",
        signal,
        ...asked,
        ...(id !== undefined && { id }),
        ...(key !== undefined && { key }),
        ...(payload !== undefined && { payload })
      }
    }
  }
}

const waitOf = (wait: Duration.Input = mostWait) => ({ wait: Math.min(mostWait, Math.trunc(Duration.toMillis(wait))) })

const make = Effect.fnUntraced(function* (options: Options) {
  const url = new URL(options.url)
  const http = yield* HttpClient.HttpClient
  const connected = yield* Effect.cached(Effect.provideService(connect(options), HttpClient.HttpClient, http))
  type Client = Effect.Success<typeof connected>
  const seen = <A, E extends { readonly _tag: string }>(
    operation: string,
    ask: (client: Client) => Effect.Effect<A, E>
  ): Effect.Effect<A, Port.InspectorError> =>
    connected.pipe(
      Effect.flatMap(ask),
      Effect.mapError((error) => failed(operation, url)(error) as Port.InspectorError)
    )
  /** The same for one execution, which may not be there. */
  const seenOne = <A, E extends { readonly _tag: string }>(
    operation: string,
    target: string,
    ask: (client: Client) => Effect.Effect<A, E>
  ): Effect.Effect<A, Port.InspectorError | SagaExecutionNotFound> =>
    connected.pipe(
      Effect.flatMap(ask),
      Effect.mapError((error) =>
        error._tag === "NotThere" ? new SagaExecutionNotFound({ uuid: target }) : failed(operation, url)(error)
      )
    )
  const parked = seen("parked", ({ stored }) => stored.parked())
  return Port.Inspector.of({
    // A dashboard of a former release has one database. Where the dashboard does not answer, the others of these fail.
    missing: Effect.orElseSucceed(
      seen("missing", ({ stored }) => stored.missing()),
      () => []
    ),
    refusals: Effect.orElseSucceed(
      seen("refusals", ({ stored }) => stored.refusals()),
      () => ({})
    ),
    find: (filter, page) =>
      seen("find", ({ stored }) => stored.find({ query: { filter, ...(page !== undefined && { page }) } })),
    count: (saga) => seen("count", ({ stored }) => stored.count({ query: saga === undefined ? {} : { saga } })),
    waiting: seen("waiting", ({ stored }) => stored.waiting()),
    load: (uuid) =>
      seenOne("load", uuid, ({ stored }) =>
        stored.load({ params: { uuid }, query: options.values ? { values: "true" } : {} })
      ),
    parked,
    stalled: Effect.map(parked, (groups) => groups.filter(isStalled)),
    overdue: (longer) =>
      seen("overdue", ({ stored }) => stored.overdue({ query: { longer: Duration.toMillis(longer) } })),
    inDoubt: (longer) =>
      seen("inDoubt", ({ stored }) => stored.inDoubt({ query: { longer: Duration.toMillis(longer) } })),
    commands: seen("commands", ({ stored }) => stored.commands()),
    deadLetters: (limit) =>
      seen("deadLetters", ({ stored }) => stored.deadLetters({ query: limit === undefined ? {} : { limit } })),
    processes: seen("processes", ({ stored }) => stored.processes()),
    census: seen("census", ({ stored }) => stored.census()),
    act: (uuid, action, asked) =>
      seenOne("act", uuid, ({ writes }) =>
        Effect.map(writes.act({ params: { uuid }, payload: actOf(action, asked) }), outcomeOf)
      ),
    decideInDoubt: ({ decision, service, uuid }, { reason, wait }) =>
      seen("decideInDoubt", ({ writes }) =>
        Effect.map(
          writes.decide({ payload: { service, transaction: uuid, decision, reason, ...waitOf(wait) } }),
          outcomeOf
        )
      )
  })
})

/** The client follows no redirects: one leads to a page where people sign in. */
const Client = FetchHttpClient.layer.pipe(
  Layer.provide(Layer.succeed(FetchHttpClient.RequestInit, { redirect: "manual" }))
)

/** The inspector of a dashboard. The name of the person who acts is what the dashboard knows. */
export const layer = (options: Options): Layer.Layer<Port.Inspector> =>
  Layer.provide(Layer.effect(Port.Inspector, make(options)), Client)

/** Who the dashboard takes the caller for, and what he may do there: `read, act`. */
export const visitor = (options: Options): Effect.Effect<string, Port.InspectorError | SagaExecutionNotFound> =>
  connect(options).pipe(
    Effect.flatMap(({ reads }) => reads.me()),
    Effect.map(({ actor, may }) => `${actor} may ${may.join(", ")}`),
    Effect.mapError(failed("me", new URL(options.url))),
    Effect.provide(Client)
  )
