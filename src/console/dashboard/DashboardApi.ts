/** The API of the dashboard: its page uses it, and so can any program that is let in. */
import { Context, Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiMiddleware, HttpApiSchema, OpenApi } from "effect/http-api"
import { DeadLetter } from "../../ports/DeadLetters.ts"
import * as Summary from "../../ports/ExecutionSummary.ts"
import * as Inspector from "../../ports/Inspector.ts"
import type { Visitor } from "./DashboardAuth.ts"
import * as Forms from "./Forms.ts"

/** The visitor may not do this, or the request does not come from the page. */
export class NotAllowed extends Schema.TaggedError<NotAllowed>()(
  "NotAllowed",
  { why: Schema.String },
  { httpApiStatus: 403 }
) {}

/** There is no such execution, or not any more. */
export class NotThere extends Schema.TaggedError<NotThere>()(
  "NotThere",
  { why: Schema.String },
  { httpApiStatus: 404 }
) {}

/** What was asked for makes no sense: a cursor that is none, a payload that its schema refuses. */
export class NotUnderstood extends Schema.TaggedError<NotUnderstood>()(
  "NotUnderstood",
  { why: Schema.String },
  { httpApiStatus: 400 }
) {}

/** The storage does not answer, or cannot do this. */
export class NotNow extends Schema.TaggedError<NotNow>()("NotNow", { why: Schema.String }, { httpApiStatus: 503 }) {}

/** The visitor who has sent the request. */
export class CurrentVisitor extends Context.Service<CurrentVisitor, Visitor>()(
  "effect-saga/dashboard/CurrentVisitor"
) {}

/** Lets a request in: asks `DashboardAuth`, and looks at the rights that its group needs. */
export class Admission extends HttpApiMiddleware.Service<Admission, { provides: CurrentVisitor }>()(
  "effect-saga/dashboard/Admission",
  { error: NotAllowed }
) {}

/** Every write has this header. A page of another origin cannot send it without being asked first (CORS). */
export const writeHeader = "x-effect-saga"

const failures = [NotThere, NotUnderstood, NotNow] as const
const uuid = { uuid: Schema.String }

/** Filters of the list; as in `SagaExecutionRepository.find`. */
const Listing = {
  saga: Schema.optionalKey(Schema.String),
  shown: Schema.optionalKey(Forms.Shown),
  /** The beginning of the key. */
  startKey: Schema.optionalKey(Schema.String),
  user: Schema.optionalKey(Schema.String),
  failure: Schema.optionalKey(Schema.String),
  /** The name of the step that it is at. */
  step: Schema.optionalKey(Schema.String),
  waitsFor: Schema.optionalKey(Schema.String),
  /** `name=value`. */
  attribute: Schema.optionalKey(Schema.String),
  /** Milliseconds since it was created, at least. */
  olderThan: Schema.optionalKey(Schema.FiniteFromString),
  limit: Schema.optionalKey(Schema.FiniteFromString),
  after: Schema.optionalKey(Schema.String),
  before: Schema.optionalKey(Schema.String)
}
export type Listing = { readonly [Key in keyof typeof Listing]?: (typeof Listing)[Key]["Type"] }

/** Needs the right `read`; the stored values need `values` too. */
export class Reads extends HttpApiGroup.make("reads")
  .add(
    HttpApiEndpoint.get("me", "/me", { success: Forms.Me }),
    HttpApiEndpoint.get("overview", "/overview", { success: Forms.Overview, error: failures }),
    HttpApiEndpoint.get("executions", "/executions", { query: Listing, success: Forms.Rows, error: failures }),
    HttpApiEndpoint.get("execution", "/executions/:uuid", { params: uuid, success: Forms.Detail, error: failures }),
    HttpApiEndpoint.get("values", "/executions/:uuid/values", {
      params: uuid,
      success: Forms.Values,
      error: [...failures, NotAllowed]
    }),
    HttpApiEndpoint.get("attention", "/attention", { success: Forms.Attention, error: failures }),
    HttpApiEndpoint.get("waiting", "/waiting", { success: Forms.Waiting, error: failures }),
    HttpApiEndpoint.get("deadLetters", "/dead-letters", {
      success: Schema.Array(Forms.DeadLetter),
      error: failures
    }),
    HttpApiEndpoint.get("sagas", "/sagas", { success: Schema.Array(Forms.SagaForm), error: failures }),
    HttpApiEndpoint.get("processes", "/processes", { success: Schema.Array(Forms.Process), error: failures }),
    HttpApiEndpoint.get("events", "/events", {
      query: { uuid: Schema.optionalKey(Schema.String) },
      success: HttpApiSchema.StreamSse({ data: Forms.News })
    })
  )
  .middleware(Admission) {}

const number = Schema.FiniteFromString
const asked = { error: failures }

/**
 * The stored executions as `Inspector` gives them: for the command line with `--url`, and for programs. Needs the right `read`; an
 * execution with its values needs `values` too.
 */
export class Stored extends HttpApiGroup.make("stored")
  .add(
    HttpApiEndpoint.get("find", "/stored/executions", {
      ...asked,
      query: {
        filter: Schema.optionalKey(Schema.fromJsonString(Summary.Filter)),
        page: Schema.optionalKey(Schema.fromJsonString(Summary.PageRequest))
      },
      success: Summary.Page
    }),
    HttpApiEndpoint.get("missing", "/stored/missing", { ...asked, success: Schema.Array(Schema.String) }),
    HttpApiEndpoint.get("refusals", "/stored/refusals", { ...asked, success: Inspector.Refusals }),
    HttpApiEndpoint.get("load", "/stored/executions/:uuid", {
      params: uuid,
      query: { values: Schema.optionalKey(Schema.Literal("true")) },
      success: Inspector.Inspected,
      error: [...failures, NotAllowed]
    }),
    HttpApiEndpoint.get("count", "/stored/counts", {
      ...asked,
      query: { saga: Schema.optionalKey(Schema.String) },
      success: Schema.Array(Inspector.Count)
    }),
    HttpApiEndpoint.get("waiting", "/stored/waiting", { ...asked, success: Schema.Array(Inspector.WaitingGroup) }),
    HttpApiEndpoint.get("parked", "/stored/parked", { ...asked, success: Schema.Array(Inspector.ParkedGroup) }),
    HttpApiEndpoint.get("overdue", "/stored/overdue", {
      ...asked,
      query: { longer: number },
      success: Schema.Array(Inspector.OverdueGroup)
    }),
    HttpApiEndpoint.get("inDoubt", "/stored/in-doubt", {
      ...asked,
      query: { longer: number },
      success: Schema.Array(Inspector.InDoubt)
    }),
    HttpApiEndpoint.get("commands", "/stored/commands", { ...asked, success: Schema.Array(Inspector.CommandGroup) }),
    HttpApiEndpoint.get("deadLetters", "/stored/dead-letters", {
      ...asked,
      query: { limit: Schema.optionalKey(number) },
      success: Schema.Array(DeadLetter)
    }),
    HttpApiEndpoint.get("processes", "/stored/processes", { ...asked, success: Schema.Array(Inspector.Process) }),
    HttpApiEndpoint.get("census", "/stored/census", { ...asked, success: Schema.Array(Summary.Census) })
  )
  .middleware(Admission) {}

/** Needs the right `act`, and the header of a write. */
export class Writes extends HttpApiGroup.make("writes")
  .add(
    HttpApiEndpoint.post("act", "/executions/:uuid/actions", {
      params: uuid,
      payload: Forms.Act,
      success: Forms.Done,
      error: failures
    }),
    HttpApiEndpoint.post("decide", "/doubts", { payload: Forms.Decide, success: Forms.Done, error: failures })
  )
  .middleware(Admission) {}

/** The API. `Dashboard.layer` serves it under `<path>/api`. */
export class DashboardApi extends HttpApi.make("effect-saga-dashboard")
  .add(Reads)
  .add(Stored)
  .add(Writes)
  .annotateMerge(
    OpenApi.annotations({
      title: "Sagas",
      version: "1",
      description: `What the dashboard of effect-saga reads and does. Writes need the header ${writeHeader}.`
    })
  ) {}

/** The API under a path: empty for the root. */
export const at = (base: string) => DashboardApi.prefix(base === "" ? "/api" : `/${base.slice(1)}/api`)
export type Api = ReturnType<typeof at>
