/** The handlers of the API. Each one reads the database or leaves an input there; nothing is kept in this process. */
import { Clock, Effect, Layer, Option, Result } from "effect"
import { HttpEffect, HttpServerRequest } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import type { SagaRegistry } from "../../definition/SagaRegistry.ts"
import * as ContextValues from "../../execution/view/ContextValues.ts"
import { bind } from "../../execution/view/SagaExecution.ts"
import { refusalIn } from "../../ports/DatabaseCode.ts"
import * as Inspector from "../../ports/Inspector.ts"
import { SagaExecutionNotFound } from "../../ports/RepositoryErrors.ts"
import * as Databases from "../Databases.ts"
import * as WithoutValues from "../WithoutValues.ts"
import * as Acting from "./Acting.ts"
import {
  Admission,
  type Api,
  CurrentVisitor,
  type Listing,
  NotAllowed,
  NotNow,
  NotThere,
  NotUnderstood
} from "./DashboardApi.ts"
import { DashboardAuth, type Visitor } from "./DashboardAuth.ts"
import * as ExecutionDetail from "./ExecutionDetail.ts"
import type { Values } from "./Forms.ts"
import * as News from "./News.ts"
import { filtersOf, rowOf } from "./Rows.ts"
import * as Screens from "./Screens.ts"
import { foreign, secured } from "./Security.ts"

type Known = Inspector.InspectorError | SagaExecutionNotFound

/** The errors of the inspector as answers. */
const told = <A, E, R>(
  work: Effect.Effect<A, E | Known, R>
): Effect.Effect<A, Exclude<E, Known> | NotNow | NotThere | NotUnderstood, R> =>
  Effect.mapError(work, (error) => {
    if (error instanceof SagaExecutionNotFound)
      return new NotThere({ why: "There is no such execution, or not any more" })
    if (!(error instanceof Inspector.InspectorError)) return error as Exclude<E, Known>
    return error.reason === "rejected"
      ? new NotUnderstood({ why: error.message })
      : new NotNow({ why: error.reason === "unavailable" ? away(error) : error.message })
  })

const away = ({ cause, databases }: Inspector.InspectorError): string =>
  databases?.length === 0
    ? "No database serves the bucket of this execution now"
    : Databases.awaySentence(databases ?? [], refusalIn(cause))

/** Lets in whom the application lets in, by the rights that the group of the endpoint needs. */
export const admission = Layer.effect(
  Admission,
  Effect.map(DashboardAuth, (auth) =>
    Admission.of((handle, { group }) =>
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        // Every answer, also a refusal.
        yield* HttpEffect.appendPreResponseHandler((_, response) => Effect.succeed(secured(response, "no-store")))
        const admitted = yield* Effect.result(auth.visitor(request))
        if (Result.isFailure(admitted)) return admitted.failure
        const visitor = admitted.success
        const why = refusal(request, visitor, group.identifier === "writes")
        if (why !== undefined) return yield* new NotAllowed({ why })
        return yield* Effect.provideService(handle, CurrentVisitor, visitor)
      })
    )
  )
)

const refusal = (
  request: HttpServerRequest.HttpServerRequest,
  { may }: Visitor,
  isWrite: boolean
): string | undefined => {
  if (!may.has("read")) return "You may not see this"
  if (!isWrite) return undefined
  return may.has("act") ? foreign(request) : "You may not act here, only look"
}

export const reads = (api: Api, registry: SagaRegistry) =>
  HttpApiBuilder.group(
    api,
    "reads",
    Effect.fnUntraced(function* (handlers) {
      const inspector = yield* Inspector.Inspector
      const news = News.make(inspector)
      return handlers.handleAll({
        me: () =>
          Effect.map(CurrentVisitor, ({ actor, may }) => ({
            actor,
            may: [...may],
            sagas: [...new Set(registry.sagas.map(({ name }) => name))]
          })),
        overview: () => told(Screens.overview(inspector, registry)),
        executions: ({ query }) => told(list(inspector, query)),
        execution: ({ params }) => told(detail(inspector, registry, params.uuid)),
        values: ({ params }) => told(values(inspector, params.uuid)),
        attention: () => told(Screens.attention(inspector, registry)),
        waiting: () => told(Screens.waiting(inspector)),
        deadLetters: () => told(inspector.deadLetters(1_000)),
        sagas: () => told(Screens.sagas(inspector, registry)),
        processes: () => told(Screens.processes(inspector)),
        events: ({ query }) => Effect.succeed(news(query.uuid))
      })
    })
  )

export const stored = (api: Api) =>
  HttpApiBuilder.group(
    api,
    "stored",
    Effect.fnUntraced(function* (handlers) {
      const inspector = yield* Inspector.Inspector
      return handlers.handleAll({
        find: ({ query }) => told(inspector.find(query.filter ?? {}, query.page)),
        load: ({ params, query }) =>
          query.values === undefined
            ? Effect.map(told(inspector.load(params.uuid)), WithoutValues.inspected)
            : told(withValues(inspector, params.uuid)),
        missing: () => inspector.missing,
        refusals: () => inspector.refusals ?? Effect.succeed({}),
        count: ({ query }) => told(inspector.count(query.saga)),
        waiting: () => told(inspector.waiting),
        parked: () => told(inspector.parked),
        overdue: ({ query }) => told(inspector.overdue(query.longer)),
        inDoubt: ({ query }) => told(inspector.inDoubt(query.longer)),
        commands: () => told(inspector.commands),
        deadLetters: ({ query }) => told(inspector.deadLetters(query.limit)),
        processes: () => told(inspector.processes),
        census: () => told(inspector.census)
      })
    })
  )

export const writes = (api: Api, registry: SagaRegistry) =>
  HttpApiBuilder.group(
    api,
    "writes",
    Effect.fnUntraced(function* (handlers) {
      const inspector = yield* Inspector.Inspector
      return handlers.handleAll({
        act: ({ params, payload }) =>
          Effect.flatMap(CurrentVisitor, (visitor) =>
            told(Acting.act(inspector, registry, visitor, params.uuid, payload))
          ),
        decide: ({ payload }) =>
          Effect.flatMap(CurrentVisitor, (visitor) => told(Acting.decide(inspector, visitor, payload)))
      })
    })
  )

const list = Effect.fnUntraced(function* (inspector: Inspector.Inspector["Service"], listing: Listing) {
  const { after, before, limit } = listing
  const filters = filtersOf(listing, yield* Clock.currentTimeMillis)
  if (filters === undefined) return yield* new NotUnderstood({ why: "An attribute is written name=value" })
  const place = {
    ...(limit !== undefined && { limit }),
    ...(after !== undefined && { after }),
    ...(before !== undefined && { before })
  }
  for (const filter of filters) {
    const { items, ...others } = yield* inspector.find(filter, place)
    if (items.length === 0 && filter !== filters.at(-1)) continue
    return { ...others, items: items.map(rowOf) }
  }
  return { items: [] }
})

const detail = Effect.fnUntraced(function* (
  inspector: Inspector.Inspector["Service"],
  registry: SagaRegistry,
  target: string
) {
  const inspected = yield* inspector.load(target)
  const now = yield* Clock.currentTimeMillis
  const execution = Inspector.executionOf(inspected)
  if (Option.isNone(execution)) return ExecutionDetail.unreadable(inspected, now)
  const { fingerprint, saga } = inspected.summary
  const definition = Result.getOrUndefined(registry.find(saga, fingerprint))
  const bound = definition === undefined ? execution.value : bind(execution.value, definition)
  return ExecutionDetail.of(inspected, bound, definition, now)
})

/** An execution with its values, for whoever may see them. Who has seen which is logged; the values are not. */
const withValues = Effect.fnUntraced(function* (inspector: Inspector.Inspector["Service"], target: string) {
  const { actor, may } = yield* CurrentVisitor
  if (!may.has("values")) return yield* new NotAllowed({ why: "You may not see stored values" })
  const inspected = yield* inspector.load(target)
  yield* Effect.logInfo("A visitor of the dashboard sees stored values", { actor, uuid: inspected.summary.uuid })
  return inspected
})

const values = Effect.fnUntraced(function* (inspector: Inspector.Inspector["Service"], target: string) {
  const inspected = yield* withValues(inspector, target)
  const execution = Inspector.executionOf(inspected)
  const shown: Values = {
    context: Option.match(execution, {
      onNone: () => ({}),
      onSome: ({ state }) => ContextValues.encoded(state.root.context)
    }),
    // A fact is its own encoding: plain JSON.
    facts: inspected.facts as ReadonlyArray<any>
  }
  return shown
})
