/** The page with the two buttons, as a route: a click is a signal. It needs the database of the sagas, and not their program. */
import { Effect, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { SagaManager } from "effect-saga"
import { Approval } from "./trip.ts"

const answer = (status: number, text: string) => Effect.succeed(HttpServerResponse.text(`${text}\n`, { status }))

/** A program of yours takes `by` from the session, and not from the body of the request. */
const click = Effect.gen(function* () {
  const { trip } = yield* HttpRouter.schemaPathParams(Schema.Struct({ trip: Schema.String }))
  const payload = yield* HttpServerRequest.schemaBodyJson(Approval.payload)
  const told = yield* SagaManager.signal(Approval, { startKey: trip, payload, actor: payload.by })
  return yield* told === "applied" ? answer(200, "thank you") : answer(202, "it is stored, and will be looked at")
}).pipe(
  Effect.catchTags({
    SchemaError: () => answer(400, "say approved and by"),
    SagaSignalInvalid: ({ issue }) => answer(400, issue),
    SagaExecutionNotFound: () => answer(404, "there is no such trip"),
    SagaSignalConflict: () => answer(409, "somebody has answered already"),
    SagaSignalRefused: () => answer(410, "it is too late")
  })
)

export const Page = HttpRouter.add("POST", "/trips/:trip/approval", click)
