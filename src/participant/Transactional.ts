/**
 * A participant's transaction around a handler that is not part of a `Participant`: whoever serves requests by other means
 * tells their headers (`RequestContext`), and the handler runs inside the transactions they name. The phase on these
 * comes over the broker: `Participant.layer` of a contract without commands, with hooks.
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
import { enrolInto, make, SagaTransaction } from "../ports/SagaTransaction.ts"
import { messageId } from "../wire/Envelope.ts"
import { storeError } from "./ParticipantHandlers.ts"

export { TransactionRefused } from "../ports/ParticipantStore.ts"

/**
 * Runs a handler of `service` inside the transactions of its request, all of which are pending afterwards. The headers
 * lose these, and `related_services` gains the service. Outside of a request, or of a transaction, the handler just runs.
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
      const uuids = RequestContext.transactions(before)
      const services = [service]
      const innermost = uuids.at(-1)
      const work =
        innermost === undefined
          ? handler
          : join(
              service,
              uuids,
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
        Ref.update(headers, ({ transactions: _, ...others }) => others).pipe(
          Effect.andThen(Effect.suspend(() => RequestContext.mergeRelatedServices(request, services)))
        )
      )
    })

/** One unit of work: the effects of a handler that fails are gone, and the transactions are open all the same. */
const join = <A, E, R>(
  service: string,
  uuids: ReadonlyArray<string>,
  handler: Effect.Effect<A, E, R>
): Effect.Effect<A, E | TransactionRefused | ParticipantStoreError, R | ParticipantStore> =>
  Effect.gen(function* () {
    const store = yield* ParticipantStore
    const exit = yield* store.unit({ service, transactions: uuids, messages: [] }, (unit) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const opened: Array<Transaction> = []
        for (const uuid of uuids) {
          const row = open(unit, uuid, now)
          if (row.status !== "pending") return yield* new TransactionRefused({ uuid, status: row.status })
          opened.push(row)
        }
        const exit = yield* Effect.exit(unit.attempt(handler))
        const unavailable = Exit.isFailure(exit) ? storeError(exit.cause) : undefined
        if (unavailable !== undefined) return yield* unavailable
        yield* unit.save({ transactions: opened })
        return exit
      })
    )
    return Exit.isSuccess(exit) ? exit.value : yield* Effect.failCause(exit.cause)
  })

/** The request does not say until when it may run; its coordinator is known when it sends something. */
const open = ({ transactions }: Unit, uuid: string, now: number): Transaction => {
  const known = transactions.get(uuid)
  const notAfter = Math.max(known?.notAfter ?? 0, now + RetrySchedule.defaults.maxMessageLifetime)
  return known === undefined
    ? { uuid, coordinator: undefined, status: "pending", notAfter, heuristic: false, updatedAt: now }
    : { ...known, ...(known.status === "pending" && { notAfter, updatedAt: now }) }
}
