/**
 * One message in one unit of work: what is recorded is read, the decision made and performed, its outcome recorded. The
 * reply leaves after the unit, so whoever gets it can rely on it.
 */
import { type Cause, Clock, Effect, Exit } from "effect"
import type { Envelope } from "../execution/Envelope.ts"
import { FaultPoint } from "../ports/FaultPoint.ts"
import {
  type Barrier,
  ParticipantStore,
  type ParticipantStoreError,
  type Records,
  type Unit
} from "../ports/ParticipantStore.ts"
import { type Code, messageOf, type Part, run, storeError } from "./ParticipantHandlers.ts"
import * as Machine from "./ParticipantMachine.ts"
import { ParticipantSettings } from "./ParticipantSettings.ts"
import { enrolNobody, SagaTransaction } from "./SagaTransaction.ts"

/** What became of a message. `reply` is the exact body to be sent; without one nobody is answered. */
export type Outcome =
  | { readonly _tag: "applied" | "duplicate" | "stale" | "failed"; readonly reply?: string }
  | { readonly _tag: "putAway"; readonly fault: Machine.Fault; readonly reply?: string }

/** User code that must not fail did: the unit is undone, and a later delivery tries again. */
class Undone {
  readonly _tag = "Undone"
  readonly answer: Machine.Answer
  constructor(answer: Machine.Answer) {
    this.answer = answer
  }
}

type Attempt<A> = Effect.Effect<A, Undone | ParticipantStoreError>

const bodyOf = (to: Envelope, answer: Machine.Answer | undefined) =>
  answer === undefined ? {} : { reply: messageOf(to, answer).body }

/** Handles one message of the service. The services of the user's code are erased here; see `Code`. */
export const handle = Effect.fnUntraced(function* (
  code: Code,
  message: Machine.Incoming
): Effect.fn.Return<Outcome, ParticipantStoreError, ParticipantStore> {
  const { envelope } = message
  const scope = Machine.scopeOf(code.contract.name, envelope)
  if (scope === undefined) return { _tag: "putAway", fault: "MessageMalformed" }
  const store = yield* ParticipantStore
  const settings = yield* ParticipantSettings
  const work = (unit: Unit) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      perform(code, message, unit, Machine.decide(unit, message, now, settings), now)
    )
  return yield* Effect.catchTag(store.unit(scope, work), "Undone", ({ answer }) =>
    Effect.succeed<Outcome>({
      _tag: "failed",
      // The answers of commit and reject are final: who gets none asks again.
      ...(envelope.op === "failure" && bodyOf(envelope, answer))
    })
  )
})

/** An execute that cannot be handled at all is refused for good, in a unit of its own. */
export const refuse = Effect.fnUntraced(function* (
  code: Code,
  message: Machine.Incoming
): Effect.fn.Return<Outcome, ParticipantStoreError, ParticipantStore> {
  const { envelope } = message
  const scope = Machine.scopeOf(code.contract.name, envelope)
  if (envelope.op !== "execute" || scope === undefined) return { _tag: "stale" }
  const store = yield* ParticipantStore
  return yield* store.unit(scope, (unit) =>
    Effect.gen(function* () {
      if (unit.barriers.has(envelope.id)) return { _tag: "stale" } as const
      const now = yield* Clock.currentTimeMillis
      const answer = Machine.refused("Died")
      const { body } = messageOf(envelope, answer)
      yield* unit.save({
        transactions: Machine.opened(unit, envelope, now),
        barriers: [Machine.answered(message, answer.status, body, now)]
      })
      return { _tag: "applied", reply: body } as const
    })
  )
})

const perform = Effect.fnUntraced(function* (
  code: Code,
  message: Machine.Incoming,
  unit: Unit,
  decision: Machine.Decision,
  now: number
): Effect.fn.Return<Outcome, Undone | ParticipantStoreError> {
  const { envelope } = message

  /** Records the answer of this message, with what it changes. */
  const conclude = (
    answer: Machine.Answer,
    changes: Partial<Records>,
    effect?: Barrier["effect"],
    open?: boolean
  ): Effect.Effect<Outcome, ParticipantStoreError> => {
    const { body } = messageOf(envelope, answer)
    const own = Machine.answered(message, answer.status, body, now, effect, open)
    const saved = unit.save({ ...changes, barriers: [...(changes.barriers ?? []), own] })
    return Effect.as(saved, { _tag: "applied", reply: body })
  }

  switch (decision._tag) {
    case "Ignore":
      return { _tag: "stale" }
    case "PutAway":
      return { _tag: "putAway", fault: decision.fault, ...bodyOf(envelope, decision.answer) }
    case "Repeat":
      return { _tag: "duplicate", reply: decision.reply }
    case "Answer":
      return { _tag: "applied", ...bodyOf(envelope, decision.answer) }
    case "Record": {
      if (decision.discard) yield* call(code, unit, "reject", envelope)
      if (decision.final && decision.answer !== undefined) return yield* conclude(decision.answer, decision.records)
      yield* unit.save(decision.records)
      return { _tag: "applied", ...bodyOf(envelope, decision.answer) }
    }
    case "Execute": {
      const ran = yield* run(code, message, unit, decision.staging)
      const { transactions } = decision
      return ran._tag === "Handled"
        ? yield* conclude(ran.answer, { transactions }, ran.effect, ran.open)
        : yield* conclude(ran.answer, { transactions })
    }
    case "Compensate": {
      if (decision.discard) yield* call(code, unit, "reject", envelope)
      const ran = yield* run(code, message, unit, true)
      // A failed compensation is not recorded, and 400 would be a final answer.
      if (ran._tag === "Failed") return yield* Effect.fail(new Undone({ ...ran.answer, status: 500 }))
      return yield* conclude(ran.answer, {
        transactions: decision.transactions,
        barriers: [{ ...decision.executed, open: false }]
      })
    }
    case "Reserve": {
      const voted = yield* Effect.exit(attemptHook(code, unit, "reserve", envelope))
      if (Exit.isSuccess(voted)) return yield* conclude({ status: 200 }, { transactions: [decision.transaction] })
      const unavailable = storeError(voted.cause)
      if (unavailable !== undefined) return yield* unavailable
      yield* reportDeath("reserve", voted.cause)
      yield* call(code, unit, "reject", envelope)
      const rejected = { ...decision.transaction, status: "rejected" as const }
      return yield* conclude({ status: 400, content: "Refused" }, { transactions: [rejected] })
    }
    case "Commit": {
      yield* call(code, unit, "commit", envelope)
      const changes = { transactions: [decision.transaction] }
      if (decision.answer !== undefined) return yield* conclude(decision.answer, changes)
      yield* unit.save(changes)
      return { _tag: "applied" }
    }
  }
})

const attemptHook = (
  { hooks }: Code,
  unit: Unit,
  name: "reserve" | "commit" | "reject",
  { coordinator, headers = {}, id, saga, user }: Pick<Envelope, "coordinator" | "headers" | "id" | "saga" | "user">
): Effect.Effect<void, unknown> => {
  const hook: ((part: Part) => Effect.Effect<void, unknown, any>) | undefined = hooks[name]
  if (hook === undefined) return Effect.void
  const transaction: SagaTransaction = {
    uuid: saga,
    saga: coordinator,
    path: "",
    idempotencyKey: id,
    epoch: 0,
    user,
    headers,
    enrol: enrolNobody
  }
  // Its services are erased; see `Code`.
  const called = Effect.suspend(() => hook({ uuid: saga })) as Effect.Effect<void, unknown>
  return unit.attempt(FaultPoint.around("callback", () => Effect.provideService(called, SagaTransaction, transaction)))
}

/** Calls a hook that must succeed; if it does not, the whole unit is undone. */
export const call = (
  code: Code,
  unit: Unit,
  name: "commit" | "reject",
  envelope: Pick<Envelope, "coordinator" | "headers" | "id" | "saga" | "user">
): Attempt<void> =>
  Effect.catchCause(attemptHook(code, unit, name, envelope), (cause): Attempt<never> => {
    const unavailable = storeError(cause)
    if (unavailable !== undefined) return Effect.fail(unavailable)
    return Effect.andThen(reportDeath(name, cause), Effect.fail(new Undone(Machine.refused("Died"))))
  })

/** A hook that refuses is an answer; one that dies is a bug. */
const reportDeath = (hook: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  cause.reasons.some(({ _tag }) => _tag === "Die")
    ? Effect.logError("A hook of a participant died", { hook }, cause)
    : Effect.void
