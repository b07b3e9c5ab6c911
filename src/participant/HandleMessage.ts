/**
 * Handles one message in one unit of work: reads the records, decides, performs the action, records the reply. The reply
 * leaves after the unit of work, so its receiver can rely on it.
 */
import { Cause, Clock, Effect } from "effect"
import {
  type Barrier,
  ParticipantStore,
  type ParticipantStoreError,
  type Records,
  type Transaction,
  type Unit
} from "../ports/ParticipantStore.ts"
import { effectOf, make, runInside } from "../ports/SagaTransaction.ts"
import type { Envelope } from "../wire/Envelope.ts"
import * as Accepted from "./AcceptedMessages.ts"
import * as BegunMessages from "./BegunMessages.ts"
import type { Incoming } from "./IncomingMessage.ts"
import * as KeptTimes from "./KeptTimes.ts"
import * as LostRecord from "./LostRecord.ts"
import { ParticipantConfig } from "./ParticipantConfig.ts"
import * as ParticipantDecision from "./ParticipantDecision.ts"
import {
  type HandlerSucceeded,
  type ParticipantCode,
  replyMessage,
  runCancelled,
  runHandler,
  storeErrorIn
} from "./ParticipantHandlers.ts"
import * as RunBegun from "./RunBegun.ts"

/** `body`: the exact body of the reply; absent: there is no reply. `status`: its status, where it is made now. */
interface Answer {
  readonly body?: string
  readonly status?: number
}

/** How a message ended. */
export type Outcome =
  | ({ readonly _tag: "applied" | "duplicate" | "stale" | "failed" } & Answer)
  | ({ readonly _tag: "putAway"; readonly fault: ParticipantDecision.Fault } & Answer)

/** The handler runs outside of the unit that has recorded its message. */
interface Begun {
  readonly _tag: "begun"
  readonly row: Barrier
}

/** Code of the author has failed: the unit keeps nothing of it. */
class UnitFailed {
  readonly _tag = "UnitFailed"
  readonly reply: ParticipantDecision.ParticipantReply
  constructor(reply: ParticipantDecision.ParticipantReply) {
    this.reply = reply
  }
}

type Attempt<A> = Effect.Effect<A, UnitFailed | ParticipantStoreError>

/** The handler has ignored that a statement failed. */
const isBroken = (failed: UnitFailed | ParticipantStoreError): failed is ParticipantStoreError =>
  failed._tag === "ParticipantStoreError" && failed.reason === "broken"

/**
 * The answer to a message that could not be handled. A reply to commit or reject would be final. Without a reply the coordinator asks
 * again. The failed compensation and the failed hook are tried again by a later delivery.
 */
const notFinal = (envelope: Envelope, reply: ParticipantDecision.ParticipantReply): Answer =>
  envelope.op === "failure" || envelope.op === "probe" ? bodyOf(envelope, reply) : {}

const bodyOf = (to: Envelope, reply: ParticipantDecision.ParticipantReply | undefined) =>
  reply === undefined ? {} : { body: replyMessage(to, reply).body, status: reply.status }

const unknown: ParticipantDecision.KnownRecords = { transactions: new Map(), barriers: new Map() }

/** What the only transaction of a command becomes, if it is new. */
const openedBy = (envelope: Envelope, now: number): Transaction | undefined =>
  envelope.op === "execute" && envelope.transactions.length === 1
    ? ParticipantDecision.opened(unknown, envelope, now)[0]
    : undefined

/** Handles one message of the service. The services that the author's code requires are erased here: `ParticipantCode`. */
export const handle = (
  code: ParticipantCode,
  message: Incoming
): Effect.Effect<Outcome, ParticipantStoreError, ParticipantStore> =>
  ParticipantStore.use((store) => {
    const { envelope } = message
    const scope = ParticipantDecision.scopeOf(code.contract.name, envelope)
    if (scope === undefined) return Effect.succeed<Outcome>({ _tag: "putAway", fault: "MessageMalformed" })
    return Effect.withFiber((fiber) => {
      const settings = fiber.getRef(ParticipantConfig)
      const clock = fiber.getRef(Clock.Clock)
      /** `failed`: the answer of a handler that has failed, and whose effects are gone. It is recorded in a unit of its own. */
      const handled = (
        failed?: ParticipantDecision.ParticipantReply
      ): Effect.Effect<Outcome, ParticipantStoreError> => {
        const before = clock.currentTimeMillisUnsafe()
        const opens = openedBy(KeptTimes.within(message, before, settings).envelope, before)
        const ended = store.unit(opens === undefined ? scope : { ...scope, opens }, (unit) => {
          const now = clock.currentTimeMillisUnsafe()
          const believed = KeptTimes.within(message, now, settings)
          const decided = ParticipantDecision.decide(unit, believed, now, settings)
          const action = BegunMessages.instead(unit, envelope, decided, now)
          if (action._tag === "Resume")
            return begin(unit, BegunMessages.runningUntil(action.row, now + BegunMessages.claim))
          const ended = Accepted.endedBy(unit, believed.envelope, action)
          const performed = perform({ code, message: believed, unit, now, opens, failed }, action)
          return ended.length === 0 ? performed : Effect.andThen(cancel(code, unit, ended, now), performed)
        })
        return ended.pipe(
          Effect.catchIf(isBroken, ({ cause }) =>
            Effect.andThen(
              Effect.logError("A command handler died", { command: message.command }, Cause.die(cause)),
              Effect.fail(new UnitFailed(ParticipantDecision.refused("Died")))
            )
          ),
          Effect.catchTag("UnitFailed", ({ reply }) =>
            envelope.op === "execute" && failed === undefined
              ? handled(reply)
              : Effect.succeed<Outcome>({
                  _tag: "failed",
                  ...notFinal(envelope, reply)
                })
          ),
          Effect.flatMap((outcome) => (outcome._tag === "begun" ? run(outcome.row) : Effect.succeed(outcome)))
        )
      }
      const run = (row: Barrier) =>
        Effect.flatMap(RunBegun.run(code, row), (ended): Effect.Effect<Outcome, ParticipantStoreError> => {
          if (ended._tag === "unknown")
            return Effect.succeed({ _tag: "failed", ...notFinal(envelope, ParticipantDecision.refused("Unknown")) })
          const { _tag, ...answer } = ended
          return _tag === "answered" && row.id === envelope.id
            ? Effect.succeed({ _tag: "applied", ...answer })
            : // Its records say now what to do with the message.
              handled()
        }).pipe(Effect.provideService(ParticipantStore, store))
      return handled()
    })
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
  if (envelope.op === "failure" || envelope.op === "probe") return { _tag: "failed", body, status: reply.status }
  const scope = ParticipantDecision.scopeOf(code.contract.name, envelope)
  if (envelope.op !== "execute" || scope === undefined) return { _tag: "stale" }
  const store = yield* ParticipantStore
  return yield* store.unit(scope, (unit) =>
    Effect.gen(function* () {
      if (unit.barriers.has(envelope.id)) return { _tag: "stale" } as const
      const now = yield* Clock.currentTimeMillis
      const believed = KeptTimes.within(message, now, yield* ParticipantConfig)
      yield* unit.save({
        transactions: ParticipantDecision.opened(unit, believed.envelope, now),
        barriers: [ParticipantDecision.answeredBarrier(believed, reply.status, body, now)]
      })
      return { _tag: "applied", body, status: reply.status } as const
    })
  )
})

/** One message in its unit of work. */
interface Work {
  readonly code: ParticipantCode
  readonly message: Incoming
  readonly unit: Unit
  readonly now: number
  /** As the unit has inserted its transaction, if that is new. */
  readonly opens: Transaction | undefined
  /** The answer of a handler that has failed in an earlier unit. */
  readonly failed: ParticipantDecision.ParticipantReply | undefined
}

const perform = (work: Work, action: ParticipantDecision.ParticipantAction): Attempt<Outcome | Begun> =>
  LostRecord.isFound(work.unit, work.message.envelope, action)
    ? Effect.andThen(LostRecord.warn(work.message.envelope), performed(work, action))
    : performed(work, action)

const performed = (work: Work, action: ParticipantDecision.ParticipantAction): Attempt<Outcome | Begun> => {
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
      const transactions = asOpened(work, action.transactions)
      if (work.failed !== undefined) return conclude(work, work.failed, { transactions })
      return Effect.flatMap(
        runHandler(code, message, unit, action.staging),
        (ran): Attempt<Outcome | Begun> =>
          ran._tag === "HandlerBegins"
            ? begins(work, transactions)
            : ran._tag === "HandlerAccepted"
              ? accept(work, ran.body, transactions)
              : ran._tag === "HandlerFailed" && !ran.uncalled
                ? Effect.fail(new UnitFailed(ran.reply))
                : conclude(work, ran.reply, { transactions }, ran._tag === "HandlerSucceeded" ? ran : {})
      )
    }
    case "Compensate": {
      const { discard, executed, transactions } = action
      return discarding(
        work,
        discard,
        Effect.flatMap(
          runHandler(code, message, unit, true),
          ({ _tag, reply }): Attempt<Outcome | Begun> =>
            _tag === "HandlerBegins"
              ? begins(work, transactions)
              : // A failed compensation is not recorded: it is tried again. Its status is 500, because a 400 would be final.
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

/** For how long a transaction may have waited for its place, and still counts as opened when it was asked for. */
const sameMoment = 1_000

/** A new transaction as the unit has inserted it, so that it is not written a second time. */
const asOpened = ({ opens, unit }: Work, rows: ReadonlyArray<Transaction>): ReadonlyArray<Transaction> =>
  opens === undefined || unit.transactions.has(opens.uuid)
    ? rows
    : rows.map((row) => (row.uuid === opens.uuid && row.updatedAt - opens.updatedAt < sameMoment ? opens : row))

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
  return Effect.as(saved, { _tag: "applied", body, status: reply.status })
}

/** Records that the answer comes later. Only a sender that understands it is told so (SPEC C19). */
const accept = (
  { message, now, unit }: Work,
  body: string,
  transactions: ReadonlyArray<Transaction>
): Attempt<Outcome> => {
  const saved = unit.save({ transactions, barriers: [Accepted.accepted(message, body, now)] })
  const said = message.envelope.later === true ? { body } : {}
  return Effect.as(saved, { _tag: "applied", ...said, status: 202 })
}

/** Records that a handler runs from now on, outside of this unit. */
const begin = (unit: Unit, row: Barrier, transactions: ReadonlyArray<Transaction> = []): Attempt<Begun> =>
  Effect.as(unit.save({ transactions, barriers: [row] }), { _tag: "begun", row })

const begins = ({ message, now, unit }: Work, transactions: ReadonlyArray<Transaction>): Attempt<Begun> =>
  begin(unit, BegunMessages.begun(message, replyMessage(message.envelope, { status: 202 }).body, now), transactions)

/** Ends accepted messages: they never have an effect, and what accepting did is undone in this unit (SPEC C19). */
export const cancel = (
  code: Pick<ParticipantCode, "contract" | "handlers">,
  unit: Unit,
  accepted: ReadonlyArray<Barrier>,
  now: number
): Attempt<void> =>
  Effect.forEach(
    // A handler that runs has its effect, and a compensation comes for it.
    accepted.filter((row) => Accepted.runsUntil(row) === undefined),
    (row) =>
      undoing(
        "cancelled",
        Effect.suspend(() => runCancelled(code, Accepted.messageIn(row), unit))
      ).pipe(Effect.andThen(unit.save({ barriers: [Accepted.ended(row, now)] }))),
    { discard: true }
  )

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
        Effect.andThen(cancel(code, unit, unit.accepted, work.now)),
        Effect.andThen(conclude(work, { status: 400, content: "Refused" }, { transactions: [rejected] }))
      )
    }
  })
}

/** The parts of a message that a hook can read. */
type HookedEnvelope = Pick<Envelope, "coordinator" | "headers" | "id" | "saga" | "user">

const runHook = (
  { contract, hooks }: ParticipantCode,
  unit: Unit,
  name: "reserve" | "commit" | "reject",
  { coordinator, headers, id, saga, user }: HookedEnvelope
): Effect.Effect<void, unknown> => {
  const hook = hooks[name]
  if (hook === undefined) return Effect.void
  const transaction = make({ uuid: saga, saga: coordinator, idempotencyKey: id, user, headers })
  const place = { uuid: saga, service: contract.name, hook: name }
  const annotated = () =>
    Effect.annotateLogs(
      Effect.suspend(() => effectOf(() => hook({ uuid: saga }))),
      place
    )
  const run = runInside<void, unknown>(transaction, annotated)
  // A vote against is an answer, and is kept without what the hook has done. Where the others fail, nothing of the unit is kept.
  return name === "reserve" ? unit.attempt(run) : unit.run(run)
}

/** Runs a hook that must succeed. If the hook fails, the whole unit of work fails. */
export const requireHook = (
  code: ParticipantCode,
  unit: Unit,
  name: "commit" | "reject",
  envelope: HookedEnvelope
): Attempt<void> => undoing(name, runHook(code, unit, name, envelope))

/** Code that must succeed. If it fails, the whole unit of work fails. */
const undoing = (name: string, run: Effect.Effect<void, unknown>): Attempt<void> =>
  Effect.catchCause(run, (cause): Attempt<never> => {
    const unavailable = storeErrorIn(cause)
    if (unavailable !== undefined) return Effect.fail(unavailable)
    return Effect.andThen(logDefect(name, cause), Effect.fail(new UnitFailed(ParticipantDecision.refused("Died"))))
  })

/** A hook that fails has refused, and that is an answer. A hook that dies has a bug, and so has `cancelled`. */
const logDefect = (hook: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  cause.reasons.some(({ _tag }) => _tag === "Die")
    ? Effect.logError("A hook of a participant died", { hook }, cause)
    : Effect.void
