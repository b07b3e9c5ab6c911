/**
 * The routes of the bank. An application is a start, and what people say later is a signal: both are stored before the answer is
 * given, and both may come twice.
 */
import { Effect, Layer, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { SagaManager, type Signal } from "effect-saga"
import { Application, Approval, Document } from "./contracts.ts"
import { Applications } from "./queues.ts"
import { keyOf, OpenCustomer } from "./saga.ts"
import { stateOf, waitingForBranch } from "./state.ts"

const answer = (status: number, body: object, headers = {}) =>
  // With a line end, for people who use `curl`.
  Effect.succeed(
    HttpServerResponse.text(`${JSON.stringify(body)}\n`, { status, headers, contentType: "application/json" })
  )
const problem = (status: number, text: string) => answer(status, { problem: text })

/** The customer in the path. Its form is that of a key. */
const Customer = Schema.Struct({ customer: Schema.String.check(Schema.isPattern(/^[\w.-]{1,64}$/)) })
const Told = Schema.Struct({ ...Customer.fields, owner: Schema.optionalKey(Schema.String) })

/** The client chooses the key, once for each form: a person who clicks twice opens one customer. It names the customer from then on. */
const keyInHeader = Effect.map(
  HttpServerRequest.schemaHeaders(Schema.Struct({ "idempotency-key": Customer.fields.customer })),
  (headers) => headers["idempotency-key"]
)

/** Errors that every route may have, as answers. */
const mapped = <R>(
  route: Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    SagaManager.StartError | SagaManager.SignalError | Schema.SchemaError | { readonly _tag: "HttpServerError" },
    R
  >
) =>
  route.pipe(
    Effect.catchTags({
      SchemaError: ({ message }) => problem(400, message),
      HttpServerError: () => problem(400, "the body is no JSON"),
      SagaSignalInvalid: ({ issue }) => problem(400, issue),
      SagaExecutionNotFound: () => problem(404, "there is no such application"),
      SagaStartConflict: () => problem(409, "another application has this key"),
      SagaSignalConflict: () => problem(409, "somebody has said something else already"),
      SagaSignalRefused: () => problem(410, "it is too late"),
      SagaExecutionRetired: () => problem(410, "this application was settled long ago"),
      SagaOverloaded: () => problem(503, "there is too much to do: try again"),
      SagaExecutionRepositoryError: () => problem(503, "the database is away: try again")
    }),
    // Any other cause is a mistake of this program. It is for the log, not for customers.
    Effect.catchCause((cause) =>
      Effect.andThen(Effect.logError("a route failed", cause), problem(500, "something failed"))
    )
  )

const apply = Effect.gen(function* () {
  const customer = yield* keyInHeader
  const application = yield* HttpServerRequest.schemaBodyJson(Application)
  yield* SagaManager.start(OpenCustomer, {
    startKey: keyOf(customer),
    context: { customer, ...application },
    queue: Applications,
    key: application.branch
  })
  return yield* answer(202, { customer }, { location: `/customers/${customer}` })
})

const show = Effect.gen(function* () {
  const { customer } = yield* HttpRouter.schemaPathParams(Customer)
  const state = yield* stateOf(customer)
  return yield* state === undefined ? problem(404, "there is no such application") : answer(200, state)
})

/** The body is the payload of the signal, and the customer is the execution. Documents have a key: the owner in the path. */
const tell = <Payload>(signal: Signal.Signal<string, Payload>) =>
  Effect.gen(function* () {
    const { customer, owner } = yield* HttpRouter.schemaPathParams(Told)
    const payload = yield* HttpServerRequest.schemaBodyJson(signal.payload)
    const told = yield* SagaManager.signal(signal, {
      startKey: keyOf(customer),
      payload,
      ...(owner !== undefined && { key: owner })
    })
    return yield* told === "applied"
      ? answer(200, { text: "thank you" })
      : answer(202, { text: "it is stored, and will be looked at" })
  })

const list = Effect.gen(function* () {
  const { branch } = yield* HttpServerRequest.schemaSearchParams(
    Schema.Struct({ branch: Schema.optionalKey(Schema.String) })
  )
  return yield* answer(200, { approvals: yield* waitingForBranch(branch) })
})

export const Routes = Layer.mergeAll(
  HttpRouter.add("POST", "/customers", mapped(apply)),
  HttpRouter.add("GET", "/customers/:customer", mapped(show)),
  HttpRouter.add("GET", "/approvals", mapped(list)),
  // A program of yours takes `by` from the session of the person, and checks that the person may do this.
  HttpRouter.add("POST", "/customers/:customer/approval", mapped(tell(Approval))),
  HttpRouter.add("POST", "/customers/:customer/documents/:owner", mapped(tell(Document)))
)
