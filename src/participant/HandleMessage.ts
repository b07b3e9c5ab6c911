/**
 * One message in one unit of work: what is recorded is read, the decision made and performed, its outcome recorded. The
 * reply leaves after the unit, so whoever gets it can rely on it.
 */
import { type Cause, Clock, Effect } from "effect"
import type { Part } from "../definition/TransactionHooks.ts"
import { ParticipantStore, type ParticipantStoreError, type Records, type Unit } from "../ports/ParticipantStore.ts"
import { make, runInside } from "../ports/SagaTransaction.ts"
import type { Envelope } from "../wire/Envelope.ts"
import { ParticipantConfig } from "./ParticipantConfig.ts"
import * as ParticipantDecision from "./ParticipantDecision.ts"
import { type Code, type Handled, messageOf, run, storeError } from "./ParticipantHandlers.ts"

/** What became of a message. `reply` is the exact body to be sent; without one nobody is answered. */
export type Outcome =
  | { readonly _tag: "applied" | "duplicate" | "stale" | "failed"; readonly reply?: string }
  | { readonly _tag: "putAway"; readonly fault: ParticipantDecision.Fault; readonly reply?: string }

/** User code that must not fail did: the unit is undone, and a later delivery tries again. */
class Undone {
  readonly _tag = "Undone"
  readonly answer: ParticipantDecision.Answer
  constructor(answer: ParticipantDecision.Answer) {
    this.answer = answer
  }
}

type Attempt<A> = Effect.Effect<A, Undone | ParticipantStoreError>

const bodyOf = (to: Envelope, answer: ParticipantDecision.Answer | undefined) =>
  answer === undefined ? {} : { reply: messageOf(to, answer).body }

/** Handles one message of the service. The services of the user's code are erased here; see `Code`. */
export const handle = (
  code: Code,
  message: ParticipantDecision.Incoming
): Effect.Effect<Outcome, ParticipantStoreError, ParticipantStore> =>
  ParticipantStore.use((store) => {
    const { envelope } = message
    const scope = ParticipantDecision.scopeOf(code.contract.name, envelope)
    if (scope === undefined) return Effect.succeed<Outcome>({ _tag: "putAway", fault: "MessageMalformed" })
    const work = (unit: Unit) =>
      Effect.withFiber<Outcome, Undone | ParticipantStoreError>((fiber) => {
        const now = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
        return perform(
          code,
          message,
          unit,
          ParticipantDecision.decide(unit, message, now, fiber.getRef(ParticipantConfig)),
          now
        )
      })
    return Effect.catchTag(store.unit(scope, work), "Undone", ({ answer }) =>
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
  message: ParticipantDecision.Incoming
): Effect.fn.Return<Outcome, ParticipantStoreError, ParticipantStore> {
  const { envelope } = message
  const scope = ParticipantDecision.scopeOf(code.contract.name, envelope)
  if (envelope.op !== "execute" || scope === undefined) return { _tag: "stale" }
  const store = yield* ParticipantStore
  return yield* store.unit(scope, (unit) =>
    Effect.gen(function* () {
      if (unit.barriers.has(envelope.id)) return { _tag: "stale" } as const
      const now = yield* Clock.currentTimeMillis
      const answer = ParticipantDecision.refused("Died")
      const { body } = messageOf(envelope, answer)
      yield* unit.save({
        transactions: ParticipantDecision.opened(unit, envelope, now),
        barriers: [ParticipantDecision.answered(message, answer.status, body, now)]
      })
      return { _tag: "applied", reply: body } as const
    })
  )
})

const perform = (
  code: Code,
  message: ParticipantDecision.Incoming,
  unit: Unit,
  decision: ParticipantDecision.Decision,
  now: number
): Attempt<Outcome> => {
  const { envelope } = message

  /** Records the answer of this message, with what it changes. */
  const conclude = (
    answer: ParticipantDecision.Answer,
    changes: Partial<Records>,
    { body = messageOf(envelope, answer).body, effect, open }: Partial<Pick<Handled, "body" | "effect" | "open">> = {}
  ): Attempt<Outcome> => {
    const own = ParticipantDecision.answered(message, answer.status, body, now, effect, open)
    const saved = unit.save({ ...changes, barriers: [...(changes.barriers ?? []), own] })
    return Effect.as(saved, { _tag: "applied", reply: body })
  }

  /** What the transaction has staged is thrown away before something else happens. */
  const discarding = <A>(discard: boolean, work: Attempt<A>): Attempt<A> =>
    discard ? Effect.andThen(call(code, unit, "reject", envelope), work) : work

  switch (decision._tag) {
    case "Ignore":
      return Effect.succeed({ _tag: "stale" })
    case "PutAway":
      return Effect.succeed({ _tag: "putAway", fault: decision.fault, ...bodyOf(envelope, decision.answer) })
    case "Repeat":
      return Effect.succeed({ _tag: "duplicate", reply: decision.reply })
    case "Answer":
      return Effect.succeed({ _tag: "applied", ...bodyOf(envelope, decision.answer) })
    case "Record": {
      const { answer, discard, final, records } = decision
      return discarding(
        discard,
        final && answer !== undefined
          ? conclude(answer, records)
          : Effect.as(unit.save(records), { _tag: "applied", ...bodyOf(envelope, answer) } as const)
      )
    }
    case "Execute": {
      const { staging, transactions } = decision
      return Effect.flatMap(run(code, message, unit, staging), (ran) =>
        conclude(ran.answer, { transactions }, ran._tag === "Handled" ? ran : {})
      )
    }
    case "Compensate": {
      const { discard, executed, transactions } = decision
      return discarding(
        discard,
        Effect.flatMap(run(code, message, unit, true), ({ _tag, answer }) =>
          // A failed compensation is not recorded, and 400 would be a final answer.
          _tag === "Failed"
            ? Effect.fail(new Undone({ ...answer, status: 500 }))
            : conclude(answer, { transactions, barriers: [{ ...executed, open: false }] })
        )
      )
    }
    case "Reserve": {
      const { transaction } = decision
      return Effect.matchCauseEffect(attemptHook(code, unit, "reserve", envelope), {
        onSuccess: () => conclude({ status: 200 }, { transactions: [transaction] }),
        onFailure: (cause) => {
          const unavailable = storeError(cause)
          if (unavailable !== undefined) return Effect.fail(unavailable)
          const rejected = { ...transaction, status: "rejected" as const }
          return reportDeath("reserve", cause).pipe(
            Effect.andThen(call(code, unit, "reject", envelope)),
            Effect.andThen(conclude({ status: 400, content: "Refused" }, { transactions: [rejected] }))
          )
        }
      })
    }
    case "Commit": {
      const { answer, transaction } = decision
      const changes = { transactions: [transaction] }
      return Effect.andThen(
        call(code, unit, "commit", envelope),
        answer === undefined ? Effect.as(unit.save(changes), { _tag: "applied" } as const) : conclude(answer, changes)
      )
    }
  }
}

const attemptHook = (
  { hooks }: Code,
  unit: Unit,
  name: "reserve" | "commit" | "reject",
  { coordinator, headers, id, saga, user }: Pick<Envelope, "coordinator" | "headers" | "id" | "saga" | "user">
): Effect.Effect<void, unknown> => {
  const hook: ((part: Part) => Effect.Effect<void, unknown, any>) | undefined = hooks[name]
  if (hook === undefined) return Effect.void
  const transaction = make({ uuid: saga, saga: coordinator, idempotencyKey: id, user, headers })
  return unit.attempt(runInside<void, unknown>(transaction, () => hook({ uuid: saga })))
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
    return Effect.andThen(reportDeath(name, cause), Effect.fail(new Undone(ParticipantDecision.refused("Died"))))
  })

/** A hook that refuses is an answer; one that dies is a bug. */
const reportDeath = (hook: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  cause.reasons.some(({ _tag }) => _tag === "Die")
    ? Effect.logError("A hook of a participant died", { hook }, cause)
    : Effect.void
