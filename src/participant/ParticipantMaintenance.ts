/**
 * The work of a participant that no message starts (SPEC C6, C8, C14): rejecting transactions that have been pending for too
 * long, asking coordinators about transactions in doubt, removing records that can no longer matter.
 */
import { Clock, Duration, Effect } from "effect"
import * as RetrySchedule from "../execution/rules/RetrySchedule.ts"
import * as Broker from "../ports/Broker.ts"
import * as Loop from "../ports/Loop.ts"
import * as Metrics from "../ports/Metrics.ts"
import {
  ParticipantStore,
  type ParticipantStoreError,
  type Query,
  type Transaction
} from "../ports/ParticipantStore.ts"
import type * as Vitals from "../ports/Vitals.ts"
import type { Envelope } from "../wire/Envelope.ts"
import { messageId } from "../wire/Envelope.ts"
import * as DecideInDoubt from "./DecideInDoubt.ts"
import * as HandleMessage from "./HandleMessage.ts"
import { ParticipantConfig } from "./ParticipantConfig.ts"
import * as ParticipantDecision from "./ParticipantDecision.ts"
import type { ParticipantCode } from "./ParticipantHandlers.ts"

/** The time between two questions about the same transaction, in milliseconds. */
const backoff: RetrySchedule.Backoff = { initial: 5_000, factor: 2, max: 60_000 }

/** The time between two rounds. */
const interval = Duration.seconds(5)

/** How long no round may succeed before the process counts as without its storage, in milliseconds. */
const silence = 20_000

/** Rows that are read or removed in one request. */
const batch = 100

/** A failure with one transaction does not keep the others from being looked after, unless the store is away. */
const aside = <R>(
  uuid: string,
  work: Effect.Effect<void, ParticipantStoreError, R>
): Effect.Effect<void, ParticipantStoreError, R> =>
  Loop.aside(
    Effect.catchIf(
      work,
      ({ reason }) => reason !== "unavailable",
      ({ reason }) => Effect.logError("A transaction could not be looked after", { uuid, reason })
    ),
    { uuid },
    undefined
  )

/** Visits every transaction that matches, in batches, and gives their number. */
const forEachTransaction = Effect.fnUntraced(function* <R>(
  query: Omit<Query, "after" | "limit">,
  use: (transaction: Transaction) => Effect.Effect<void, ParticipantStoreError, R>
) {
  const store = yield* ParticipantStore
  let found = 0
  let after: Query["after"]
  do {
    const page: ReadonlyArray<Transaction> = yield* store.find({
      ...query,
      ...(after !== undefined && { after }),
      limit: batch
    })
    yield* Effect.forEach(page, (transaction) => aside(transaction.uuid, use(transaction)), { discard: true })
    found += page.length
    after = page.length < batch ? undefined : page.at(-1)
  } while (after !== undefined)
  return found
})

/** The question to the coordinator: is the transaction committed or rejected? */
export const statusQuery = (service: string, coordinator: string, { notAfter, uuid }: Transaction): Envelope => ({
  v: 1,
  id: messageId(uuid, service, "status"),
  op: "status",
  saga: uuid,
  service,
  coordinator,
  relatedServices: [],
  transactions: [],
  notAfter
})

/** Asks about every transaction whose next question became due after `since`. */
const askCoordinators = Effect.fnUntraced(function* (service: string, since: number, now: number) {
  const broker = yield* Broker.Broker
  const { inDoubtAfter } = yield* ParticipantConfig
  const found = yield* forEachTransaction(
    { service, status: "reserved", before: now - inDoubtAfter },
    (transaction) => {
      const { coordinator, updatedAt, uuid } = transaction
      const { last } = RetrySchedule.around(updatedAt + inDoubtAfter, now, backoff, uuid)
      return coordinator === undefined || last <= since
        ? Effect.void
        : Effect.catch(broker.publish(Broker.toMessage(statusQuery(service, coordinator, transaction))), ({ reason }) =>
            Effect.logWarning("A transaction in doubt could not ask now", { uuid, reason })
          )
    }
  )
  Metrics.inDoubt.update(yield* Effect.context<never>(), found, service)
})

/** Rejects the transactions that have been pending for too long, with what is accepted in them. */
export const expire = Effect.fnUntraced(function* (code: ParticipantCode, now: number) {
  const store = yield* ParticipantStore
  const settings = yield* ParticipantConfig
  const { name } = code.contract
  yield* forEachTransaction({ service: name, status: "pending", before: now - settings.pendingTtl }, ({ uuid }) =>
    store
      .unit({ service: name, transactions: [uuid], messages: [], ending: true }, (unit) =>
        Effect.gen(function* () {
          const expired = ParticipantDecision.expire(unit, uuid, now, settings)
          if (expired === undefined) return
          yield* HandleMessage.requireHook(code, unit, "reject", {
            coordinator: expired.coordinator ?? name,
            id: messageId(uuid, name, "reject"),
            saga: uuid
          })
          yield* HandleMessage.cancel(code, unit, unit.accepted, now)
          yield* unit.save({ transactions: [expired] })
        })
      )
      // The hook has failed, and the log says so. The next round tries again.
      .pipe(Effect.catchTag("UnitFailed", () => Effect.void))
  )
})

const purge = Effect.fnUntraced(function* (service: string, now: number) {
  const store = yield* ParticipantStore
  const { maxSkew, participantRetention } = yield* ParticipantConfig
  const before = now - maxSkew
  const request = { service, before, alone: before - participantRetention, limit: batch }
  while ((yield* store.purge(request)) === batch) yield* Effect.yieldNow
})

/** `since`: the time of the round before. In the first round, without it, every transaction in doubt is asked about. */
const round = Effect.fnUntraced(function* (code: ParticipantCode, since: number | undefined) {
  const now = yield* Clock.currentTimeMillis
  yield* expire(code, now)
  yield* DecideInDoubt.carryOut(code)
  yield* askCoordinators(code.contract.name, since ?? Number.NEGATIVE_INFINITY, now)
  yield* purge(code.contract.name, now)
  return now
})

/** Rounds until interrupted. A round that fails or dies is logged, and does not stop the next one. */
export const run = (code: ParticipantCode, part?: Vitals.Part) => {
  const idle = Effect.gen(function* () {
    const store = yield* ParticipantStore
    const { maxSkew, participantRetention, pendingTtl } = yield* ParticipantConfig
    const { name: service } = code.contract
    const ages = { service, pending: pendingTtl, inTransaction: maxSkew, alone: maxSkew + participantRetention }
    yield* store.idle?.(ages) ?? Effect.void
  })
  const rounds = (
    since: number | undefined,
    answered: () => void
  ): Effect.Effect<never, never, Broker.Broker | ParticipantStore> =>
    round(code, since).pipe(
      Effect.tap(() => Effect.sync(answered)),
      Effect.catchCause((cause) =>
        Effect.as(Effect.logWarning("Looking after the transactions of a participant failed", cause), since)
      ),
      Effect.tap(Effect.andThen(Effect.sleep(interval), idle)),
      Effect.flatMap((since) => rounds(since, answered))
    )
  return Effect.flatMap(Clock.Clock, (clock) => {
    let answeredAt = clock.currentTimeMillisUnsafe()
    part?.check("storage", () => clock.currentTimeMillisUnsafe() - answeredAt < silence)
    return rounds(undefined, () => {
      answeredAt = clock.currentTimeMillisUnsafe()
    })
  })
}
