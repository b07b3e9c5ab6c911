/**
 * What a participant does without being asked: it ends transactions for which nobody has decided in time, asks after those
 * it has promised to wait for, and forgets what can no longer matter (SPEC C6, C8, C14).
 */
import { Clock, Duration, Effect, Metric } from "effect"
import * as RetrySchedule from "../execution/rules/RetrySchedule.ts"
import * as Broker from "../ports/Broker.ts"
import { ParticipantStore, type Query, type Transaction } from "../ports/ParticipantStore.ts"
import type { Envelope } from "../wire/Envelope.ts"
import { messageId } from "../wire/Envelope.ts"
import * as HandleMessage from "./HandleMessage.ts"
import { ParticipantConfig } from "./ParticipantConfig.ts"
import * as ParticipantDecision from "./ParticipantDecision.ts"
import type { Code } from "./ParticipantHandlers.ts"

/** Transactions that have voted yes and wait longer than they should. */
export const inDoubt = Metric.gauge("effect_saga_in_doubt", {
  description: "Reserved transactions whose coordinator is being asked for its decision"
})

/** The wait before a transaction in doubt asks again. */
const backoff: RetrySchedule.Backoff = { initial: 5_000, factor: 2, max: 60_000 }

const interval = Duration.seconds(5)

/** Rows that are read, or removed, at once. */
const batch = 100

/** Every transaction in a status since a time, a batch after the other. */
const forEach = Effect.fnUntraced(function* <E, R>(
  query: Omit<Query, "after" | "limit">,
  use: (transaction: Transaction) => Effect.Effect<void, E, R>
) {
  const store = yield* ParticipantStore
  let found = 0
  let after: string | undefined
  do {
    const page: ReadonlyArray<Transaction> = yield* store.find({
      ...query,
      ...(after !== undefined && { after }),
      limit: batch
    })
    yield* Effect.forEach(page, use, { discard: true })
    found += page.length
    after = page.length < batch ? undefined : page.at(-1)?.uuid
  } while (after !== undefined)
  return found
})

/** The question to the coordinator: was it committed or rejected? */
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

/** Asks for every transaction whose next question has become due since `since`; at a start for each. */
const ask = Effect.fnUntraced(function* (service: string, since: number, now: number) {
  const broker = yield* Broker.Broker
  const { inDoubtAfter } = yield* ParticipantConfig
  const found = yield* forEach({ service, status: "reserved", before: now - inDoubtAfter }, (transaction) => {
    const { coordinator, updatedAt, uuid } = transaction
    const { last } = RetrySchedule.around(updatedAt + inDoubtAfter, now, backoff, uuid)
    return coordinator === undefined || last <= since
      ? Effect.void
      : Effect.catch(broker.publish(Broker.toMessage(statusQuery(service, coordinator, transaction))), ({ reason }) =>
          Effect.logWarning("A transaction in doubt could not ask now", { uuid, reason })
        )
  })
  yield* Metric.update(Metric.withAttributes(inDoubt, { service }), found)
})

const expire = Effect.fnUntraced(function* (code: Code, now: number) {
  const store = yield* ParticipantStore
  const settings = yield* ParticipantConfig
  const { name } = code.contract
  yield* forEach({ service: name, status: "pending", before: now - settings.pendingTtl }, ({ uuid }) =>
    store
      .unit({ service: name, transactions: [uuid], messages: [] }, (unit) =>
        Effect.gen(function* () {
          const expired = ParticipantDecision.expire(unit, uuid, now, settings)
          if (expired === undefined) return
          yield* HandleMessage.call(code, unit, "reject", {
            coordinator: expired.coordinator ?? name,
            id: messageId(uuid, name, "reject"),
            saga: uuid
          })
          yield* unit.save({ transactions: [expired] })
        })
      )
      // Said already; the next round tries again.
      .pipe(Effect.catchTag("Undone", () => Effect.void))
  )
})

const purge = Effect.fnUntraced(function* (service: string, now: number) {
  const store = yield* ParticipantStore
  const { maxSkew, participantRetention } = yield* ParticipantConfig
  const before = now - maxSkew
  const request = { service, before, alone: before - participantRetention, limit: batch }
  while ((yield* store.purge(request)) === batch) yield* Effect.yieldNow
})

/** One round of everything. `since`: when the round before was; undefined for the first one. */
export const sweep = Effect.fnUntraced(function* (code: Code, since: number | undefined) {
  const now = yield* Clock.currentTimeMillis
  yield* expire(code, now)
  yield* ask(code.contract.name, since ?? Number.NEGATIVE_INFINITY, now)
  yield* purge(code.contract.name, now)
  return now
})

/** Rounds until interrupted. One that fails or dies is said in the log, and does not stop the next. */
export const run = (code: Code) => {
  const rounds = (since: number | undefined): Effect.Effect<never, never, Broker.Broker | ParticipantStore> =>
    sweep(code, since).pipe(
      Effect.catchCause((cause) =>
        Effect.as(Effect.logWarning("Looking after the transactions of a participant failed", cause), since)
      ),
      Effect.tap(Effect.sleep(interval)),
      Effect.flatMap(rounds)
    )
  return rounds(undefined)
}
