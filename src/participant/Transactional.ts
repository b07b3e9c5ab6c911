/**
 * The transaction of a participant around a handler that is not part of a `Participant`: of a server for HTTP, for example.
 * The server provides the headers of the request (`RequestContext`), which name the transactions. Their two-phase commit
 * comes over the broker, to `Participant.layer` of a contract without commands, with hooks.
 */
import { Clock, Effect, Exit, Ref } from "effect"
import * as RetrySchedule from "../execution/rules/RetrySchedule.ts"
import {
  ParticipantStore,
  type ParticipantStoreError,
  type Transaction,
  TransactionRefused,
  type Unit
} from "../ports/ParticipantStore.ts"
import * as RequestContext from "../ports/RequestContext.ts"
import * as RequestHeaders from "../ports/RequestHeaders.ts"
import { enrolInto, inOwnFiber, make, SagaTransaction } from "../ports/SagaTransaction.ts"
import { messageId } from "../wire/Envelope.ts"
import { pendingFrom } from "./KeptTimes.ts"
import { storeErrorIn } from "./ParticipantHandlers.ts"

export { TransactionRefused } from "../ports/ParticipantStore.ts"

/**
 * Runs a handler of `service` inside the transactions of its request, in one unit of work of the `ParticipantStore`. The
 * transactions are pending afterwards, also when the handler fails; only its effects are gone then. They are taken out of the
 * request's header `transactions`, in which others stay, and its `related_services` gain the service and those that the handler has given to
 * `SagaTransaction.enrol`. Without a request, or without transactions, the handler just runs.
 *
 * Fails with `TransactionRefused` before the handler runs, when one of the transactions is no longer pending, and with
 * `ParticipantStoreError` when the records cannot be read or written.
 *
 * @example
 * ```ts
 * const headers = yield* Ref.make(request.headers)
 * yield* Effect.flatMap(request.json, chargeCard).pipe(
 *   transactional("payments"),
 *   RequestContext.provide({ headers })
 * )
 * // Send `related_services` of the changed headers back to the caller.
 * ```
 */
export const transactional =
  (service: string) =>
  <A, E, R>(
    handler: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | TransactionRefused | ParticipantStoreError, R | ParticipantStore> =>
    Effect.gen(function* () {
      const request = yield* RequestContext.RequestContext
      const { headers, user } = request
      if (headers === undefined) return yield* handler
      const before = yield* Ref.get(headers)
      const uuids = RequestHeaders.transactions(before)
      const services = [service]
      const innermost = uuids.at(-1)
      const work =
        innermost === undefined
          ? handler
          : runJoined(
              service,
              uuids,
              RequestHeaders.keepUntil(before),
              Effect.provideService(
                handler,
                SagaTransaction,
                make({
                  uuid: innermost,
                  saga: "",
                  idempotencyKey: messageId(innermost, service, "execute"),
                  user,
                  headers: before,
                  enrol: enrolInto(services)
                })
              )
            )
      return yield* Effect.ensuring(
        work,
        Ref.update(headers, (after) => RequestHeaders.withoutTransactions(after, uuids)).pipe(
          Effect.andThen(Effect.suspend(() => RequestHeaders.addRelatedServices(request, services)))
        )
      )
    })

/** Opens the transactions and runs the handler, in one unit of work. A failure of the handler does not close them. */
const runJoined = <A, E, R>(
  service: string,
  uuids: ReadonlyArray<string>,
  keepUntil: number | undefined,
  handler: Effect.Effect<A, E, R>
): Effect.Effect<A, E | TransactionRefused | ParticipantStoreError, R | ParticipantStore> =>
  Effect.gen(function* () {
    const store = yield* ParticipantStore
    const exit = yield* store.unit({ service, transactions: uuids, messages: [] }, (unit) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const opened: Array<Transaction> = []
        for (const uuid of uuids) {
          const row = open(unit, uuid, now, keepUntil)
          if (row.status !== "pending") return yield* new TransactionRefused({ uuid, status: row.status })
          opened.push(row)
        }
        const exit = yield* Effect.exit(unit.attempt(inOwnFiber(handler)))
        const unavailable = Exit.isFailure(exit) ? storeErrorIn(exit.cause) : undefined
        if (unavailable !== undefined) return yield* unavailable
        yield* unit.save({ transactions: opened })
        return exit
      })
    )
    return Exit.isSuccess(exit) ? exit.value : yield* Effect.failCause(exit.cause)
  })

/** A request has no `notAfter`, so the longest time counts. It does not name its coordinator: the first message does. */
const open = ({ transactions }: Unit, uuid: string, now: number, keepUntil: number | undefined): Transaction => {
  const known = transactions.get(uuid)
  const updatedAt = pendingFrom(known, keepUntil, now)
  const notAfter = Math.max(known?.notAfter ?? 0, now + RetrySchedule.defaults.maxMessageLifetime)
  return known === undefined
    ? { uuid, coordinator: undefined, status: "pending", notAfter, heuristic: false, updatedAt }
    : { ...known, ...(known.status === "pending" && { notAfter, updatedAt }) }
}
