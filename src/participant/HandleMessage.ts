/**
 * Handles one message in one unit of work: reads the records, decides, performs the action, records the reply. The reply
 * leaves after the unit of work, so its receiver can rely on it.
 */
import { type Cause, Clock, Effect } from "effect"
import {
  ParticipantStore,
  type ParticipantStoreError,
  type Records,
  type Transaction,
  type Unit
} from "../ports/ParticipantStore.ts"
import { make, runInside } from "../ports/SagaTransaction.ts"
import type { Envelope } from "../wire/Envelope.ts"
import type { Incoming } from "./IncomingMessage.ts"
import { ParticipantConfig } from "./ParticipantConfig.ts"
import * as ParticipantDecision from "./ParticipantDecision.ts"
import {
  type HandlerSucceeded,
  type ParticipantCode,
  replyMessage,
  runHandler,
  storeErrorIn
} from "./ParticipantHandlers.ts"

/** How a message ended. `body`: the exact body of the reply; absent: there is no reply. */
export type Outcome =
  | { readonly _tag: "applied" | "duplicate" | "stale" | "failed"; readonly body?: string }
  | { readonly _tag: "putAway"; readonly fault: ParticipantDecision.Fault; readonly body?: string }

/** Code of the author failed that must succeed: the unit keeps nothing, and a later delivery tries again. */
class UnitFailed {
  readonly _tag = "UnitFailed"
  readonly reply: ParticipantDecision.ParticipantReply
  constructor(reply: ParticipantDecision.ParticipantReply) {
    this.reply = reply
  }
}

type Attempt<A> = Effect.Effect<A, UnitFailed | ParticipantStoreError>

const bodyOf = (to: Envelope, reply: ParticipantDecision.ParticipantReply | undefined) =>
  reply === undefined ? {} : { body: replyMessage(to, reply).body }

/** Handles one message of the service. The services that the author's code requires are erased here: `ParticipantCode`. */
export const handle = (
  code: ParticipantCode,
  message: Incoming
): Effect.Effect<Outcome, ParticipantStoreError, ParticipantStore> =>
  ParticipantStore.use((store) => {
    const { envelope } = message
    const scope = ParticipantDecision.scopeOf(code.contract.name, envelope)
    if (scope === undefined) return Effect.succeed<Outcome>({ _tag: "putAway", fault: "MessageMalformed" })
    const work = (unit: Unit) =>
      Effect.withFiber<Outcome, UnitFailed | ParticipantStoreError>((fiber) => {
        const now = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
        const action = ParticipantDecision.decide(unit, message, now, fiber.getRef(ParticipantConfig))
        return perform({ code, message, unit, now }, action)
      })
    return Effect.catchTag(store.unit(scope, work), "UnitFailed", ({ reply }) =>
      Effect.succeed<Outcome>({
        _tag: "failed",
        // A reply to commit or reject would be final. Without a reply the coordinator asks again.
        ...(envelope.op === "failure" && bodyOf(envelope, reply))
      })
    )
  })

/**
 * Gives up a message whose handling fails again and again. An execute is refused for good, in a unit of work of its own, so
 * that no later delivery runs it. A compensation or a probe is answered 500, which is not final; other messages are not
 * answered.
 */
export const giveUp = Effect.fnUntraced(function* (
  code: ParticipantCode,
  message: Incoming,
  reason: "Died" | "TimedOut"
): Effect.fn.Return<Outcome, ParticipantStoreError, ParticipantStore> {
  const { envelope } = message
  const reply = ParticipantDecision.refused(reason)
  const { body } = replyMessage(envelope, reply)
  if (envelope.op === "failure" || envelope.op === "probe") return { _tag: "failed", body }
  const scope = ParticipantDecision.scopeOf(code.contract.name, envelope)
  if (envelope.op !== "execute" || scope === undefined) return { _tag: "stale" }
  const store = yield* ParticipantStore
  return yield* store.unit(scope, (unit) =>
    Effect.gen(function* () {
      if (unit.barriers.has(envelope.id)) return { _tag: "stale" } as const
      const now = yield* Clock.currentTimeMillis
      yield* unit.save({
        transactions: ParticipantDecision.opened(unit, envelope, now),
        barriers: [ParticipantDecision.answeredBarrier(message, reply.status, body, now)]
      })
      return { _tag: "applied", body } as const
    })
  )
})

/** One message in its unit of work. */
interface Work {
  readonly code: ParticipantCode
  readonly message: Incoming
  readonly unit: Unit
  readonly now: number
}

const perform = (work: Work, action: ParticipantDecision.ParticipantAction): Attempt<Outcome> => {
  const { code, message, unit } = work
  const { envelope } = message
  switch (action._tag) {
    case "Ignore":
      return Effect.succeed({ _tag: "stale" })
    case "PutAway":
      return Effect.succeed({ _tag: "putAway", fault: action.fault, ...bodyOf(envelope, action.reply) })
    case "Repeat":
      return Effect.succeed({ _tag: "duplicate", body: action.body })
    case "Reply":
      return Effect.succeed({ _tag: "applied", ...bodyOf(envelope, action.reply) })
    case "Record": {
      const { discard, final, records, reply } = action
      return discarding(
        work,
        discard,
        final && reply !== undefined
          ? conclude(work, reply, records)
          : Effect.as(unit.save(records), { _tag: "applied", ...bodyOf(envelope, reply) } as const)
      )
    }
    case "Execute": {
      const { staging, transactions } = action
      return Effect.flatMap(runHandler(code, message, unit, staging), (ran) =>
        conclude(work, ran.reply, { transactions }, ran._tag === "HandlerSucceeded" ? ran : {})
      )
    }
    case "Compensate": {
      const { discard, executed, transactions } = action
      return discarding(
        work,
        discard,
        Effect.flatMap(runHandler(code, message, unit, true), ({ _tag, reply }) =>
          // A failed compensation is not recorded: it is tried again. Its status is 500, because a 400 would be final.
          _tag === "HandlerFailed"
            ? Effect.fail(new UnitFailed({ ...reply, status: 500 }))
            : // Without an effect: the record of the execute may be kept longer than that of its compensation.
              conclude(work, reply, { transactions, barriers: [{ ...executed, effect: "none", open: false }] })
        )
      )
    }
    case "Reserve":
      return reserve(work, action.transaction)
    case "Commit": {
      const { reply, transaction } = action
      const changes = { transactions: [transaction] }
      return Effect.andThen(
        requireHook(code, unit, "commit", envelope),
        reply === undefined
          ? Effect.as(unit.save(changes), { _tag: "applied" } as const)
          : conclude(work, reply, changes)
      )
    }
  }
}

/** Records the reply to the message, with the other changes. */
const conclude = (
  { message, now, unit }: Work,
  reply: ParticipantDecision.ParticipantReply,
  changes: Partial<Records>,
  {
    body = replyMessage(message.envelope, reply).body,
    effect,
    open
  }: Partial<Pick<HandlerSucceeded, "body" | "effect" | "open">> = {}
): Attempt<Outcome> => {
  const own = ParticipantDecision.answeredBarrier(message, reply.status, body, now, effect, open)
  const saved = unit.save({ ...changes, barriers: [...(changes.barriers ?? []), own] })
  return Effect.as(saved, { _tag: "applied", body })
}

const discarding = <A>({ code, message, unit }: Work, discard: boolean, next: Attempt<A>): Attempt<A> =>
  discard ? Effect.andThen(requireHook(code, unit, "reject", message.envelope), next) : next

/** A hook that fails votes no, and the transaction is rejected at once. */
const reserve = (work: Work, transaction: Transaction): Attempt<Outcome> => {
  const { code, message, unit } = work
  const { envelope } = message
  return Effect.matchCauseEffect(runHook(code, unit, "reserve", envelope), {
    onSuccess: () => conclude(work, { status: 200 }, { transactions: [transaction] }),
    onFailure: (cause) => {
      const unavailable = storeErrorIn(cause)
      if (unavailable !== undefined) return Effect.fail(unavailable)
      const rejected = { ...transaction, status: "rejected" as const }
      return logDefect("reserve", cause).pipe(
        Effect.andThen(requireHook(code, unit, "reject", envelope)),
        Effect.andThen(conclude(work, { status: 400, content: "Refused" }, { transactions: [rejected] }))
      )
    }
  })
}

/** The parts of a message that a hook can read. */
type HookedEnvelope = Pick<Envelope, "coordinator" | "headers" | "id" | "saga" | "user">

const runHook = (
  { hooks }: ParticipantCode,
  unit: Unit,
  name: "reserve" | "commit" | "reject",
  { coordinator, headers, id, saga, user }: HookedEnvelope
): Effect.Effect<void, unknown> => {
  const hook = hooks[name]
  if (hook === undefined) return Effect.void
  const transaction = make({ uuid: saga, saga: coordinator, idempotencyKey: id, user, headers })
  return unit.attempt(runInside<void, unknown>(transaction, () => hook({ uuid: saga })))
}

/** Runs a hook that must succeed. If the hook fails, the whole unit of work fails. */
export const requireHook = (
  code: ParticipantCode,
  unit: Unit,
  name: "commit" | "reject",
  envelope: HookedEnvelope
): Attempt<void> =>
  Effect.catchCause(runHook(code, unit, name, envelope), (cause): Attempt<never> => {
    const unavailable = storeErrorIn(cause)
    if (unavailable !== undefined) return Effect.fail(unavailable)
    return Effect.andThen(logDefect(name, cause), Effect.fail(new UnitFailed(ParticipantDecision.refused("Died"))))
  })

/** A hook that fails has refused, and that is an answer. A hook that dies has a bug. */
const logDefect = (hook: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  cause.reasons.some(({ _tag }) => _tag === "Die")
    ? Effect.logError("A hook of a participant died", { hook }, cause)
    : Effect.void
