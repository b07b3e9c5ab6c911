/** What a visitor does: the action goes to the inbox of its execution, with his name and reason. */
import { Effect, Result } from "effect"
import * as SagaPath from "../../definition/SagaPath.ts"
import type { SagaRegistry } from "../../definition/SagaRegistry.ts"
import type * as Inspector from "../../ports/Inspector.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import type { Json } from "../../wire/JsonLimits.ts"
import { NotUnderstood } from "./DashboardApi.ts"
import type { Visitor } from "./DashboardAuth.ts"
import type { Act, Decide, Done } from "./Forms.ts"

/** How long an answer waits for the process that has the execution. Then the page says that it is asked. */
const patience = 3_000

const actionOf = ({ action, id, key, path, payload, result, signal }: Act): Inspector.Action | undefined => {
  switch (action) {
    case "cancel":
      return { _tag: "Cancel" }
    case "commit":
      return { _tag: "Commit" }
    case "reject":
      return { _tag: "Reject" }
    case "retry":
      return { _tag: "RetryParked", ...(path !== undefined && { place: path }) }
    case "resolve":
      return {
        _tag: "ResolveParked",
        ...(path !== undefined && { place: path }),
        ...(result !== undefined && { result: result as Json })
      }
    case "signal":
      return signal === undefined
        ? undefined
        : {
            _tag: "Signal",
            signal,
            ...(id !== undefined && { id }),
            ...(key !== undefined && { key }),
            ...(payload !== undefined && { payload: payload as Json })
          }
  }
}

export const act = Effect.fnUntraced(function* (
  inspector: Inspector.Inspector["Service"],
  registry: SagaRegistry,
  { actor }: Visitor,
  uuid: string,
  asked: Act
) {
  const action = actionOf(asked)
  if (action === undefined) return yield* new NotUnderstood({ why: "A signal needs a name" })
  if (action._tag === "Signal") yield* checkPayload(inspector, registry, uuid, action)
  const outcome = yield* inspector.act(uuid, action, {
    actor,
    reason: asked.reason,
    wait: asked.wait ?? patience
  })
  yield* Effect.logInfo("A visitor of the dashboard has acted", {
    actor,
    action: asked.action,
    uuid,
    outcome: outcome._tag
  })
  return doneOf(outcome)
})

const doneOf = (outcome: Inspector.Outcome): Done => {
  switch (outcome._tag) {
    case "Applied":
      return { answer: "applied" }
    case "Waiting":
      return { answer: "waiting" }
    case "Refused":
      return { answer: "refused", why: outcome.message, tag: outcome.why }
  }
}

/** A payload that its schema refuses is told at once, where the saga is known here: its owner would only put it aside. */
const checkPayload = Effect.fnUntraced(function* (
  inspector: Inspector.Inspector["Service"],
  registry: SagaRegistry,
  uuid: string,
  { payload, signal }: Extract<Inspector.Action, { readonly _tag: "Signal" }>
) {
  if (registry.sagas.length === 0) return
  const { summary } = yield* inspector.load(uuid)
  const saga = registry.find(summary.saga, summary.fingerprint)
  const codec = Result.isSuccess(saga) ? SagaPath.signals(saga.success).get(signal)?.payload : undefined
  const decoded = codec === undefined ? undefined : JsonCodec.decode(codec, payload)
  if (JsonCodec.isCodecIssue(decoded)) {
    return yield* new NotUnderstood({ why: `${signal} says something else: ${decoded.message}` })
  }
})

/** A decision for a participant in doubt, which is marked as one that a person has made. A process of the service carries it out. */
export const decide = Effect.fnUntraced(function* (
  inspector: Inspector.Inspector["Service"],
  { actor }: Visitor,
  { decision, reason, service, transaction: uuid, wait = patience }: Decide
) {
  const outcome = yield* inspector.decideInDoubt({ service, uuid, decision }, { actor, reason, wait })
  yield* Effect.logInfo("A visitor of the dashboard has decided", {
    actor,
    service,
    uuid,
    decision,
    outcome: outcome._tag
  })
  return doneOf(outcome)
})
