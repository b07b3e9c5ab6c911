/**
 * Runs a handler outside of a unit of work, at least once: its message is recorded as begun, the handler runs without a connection while
 * the record says so again and again, then one unit of work records the answer (SPEC W3 without the effect).
 */
import { Clock, Duration, Effect } from "effect"
import * as Consumer from "../ports/Consumer.ts"
import { type Barrier, ParticipantStore, type ParticipantStoreError, type Unit } from "../ports/ParticipantStore.ts"
import * as ShutdownGrace from "../ports/ShutdownGrace.ts"
import * as Accepted from "./AcceptedMessages.ts"
import * as BegunMessages from "./BegunMessages.ts"
import { executeId } from "./ParticipantDecision.ts"
import { type HandlerFailed, type HandlerSucceeded, type ParticipantCode, runAlone } from "./ParticipantHandlers.ts"

/** The time between two notes that the handler still runs. */
const renewal = Duration.millis(BegunMessages.claim / 3)

/**
 * `answered`: with this body. `over`: somebody else has recorded the answer. `unknown`: the handler has no result, and its effect may
 * exist or not.
 */
export type Ended =
  | { readonly _tag: "answered"; readonly body: string; readonly status: number }
  | { readonly _tag: "over" | "unknown" }

/** Runs the handler of a message that was recorded as begun. Interrupted, or without a result, it can be run again at once. */
export const run = Effect.fnUntraced(function* (
  code: ParticipantCode,
  begun: Barrier
): Effect.fn.Return<Ended, ParticipantStoreError, ParticipantStore> {
  const store = yield* ParticipantStore
  const message = Accepted.messageIn(begun)
  const { envelope } = message
  const scope = {
    service: code.contract.name,
    transactions: [...new Set(envelope.transactions)],
    messages: [...new Set([envelope.id, executeId(envelope)])]
  }
  /** Gives undefined where the message is not only begun any more. */
  const inUnit = <A>(use: (unit: Unit, row: Barrier, now: number) => Effect.Effect<A, ParticipantStoreError>) =>
    store.unit(scope, (unit) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const row = unit.barriers.get(envelope.id)
        return row?.status === 202 ? use(unit, row, now) : Effect.undefined
      })
    )
  const says = claimOn(begun)
  const saysUntil = (millis: number) => inUnit((unit, row, now) => says(unit, row, now + millis))
  // A store that is away changes nothing: then nobody else can begin either.
  const untilOver: Effect.Effect<undefined> = Effect.flatMap(
    Effect.delay(
      Effect.orElseSucceed(saysUntil(BegunMessages.claim), () => true),
      renewal
    ),
    (isBegun) => (isBegun === undefined ? Effect.undefined : untilOver)
  )
  const givenBack = Effect.ignore(saysUntil(0))
  const recorded = (ran: HandlerSucceeded | HandlerFailed, body: string) =>
    // The result is held while the store is away: the handler has run, and does not run again for it.
    Consumer.retry(
      inUnit((unit, row, now) => Effect.as(unit.save({ barriers: finalRows(unit, row, ran, body, now) }), true)),
      ({ reason }) => reason === "unavailable"
    )
  const ended: Effect.Effect<Ended, ParticipantStoreError> = Effect.gen(function* () {
    const ended = yield* Effect.raceFirst(
      Effect.map(runAlone(code, message), (ran) => ({ ran })),
      untilOver
    )
    if (ended === undefined) return { _tag: "over" }
    const { ran } = ended
    // A compensation that refuses is not recorded (SPEC C6).
    if (ran === undefined || (ran._tag === "HandlerFailed" && envelope.op === "failure"))
      return yield* Effect.as(givenBack, { _tag: "unknown" } as const)
    const body = Accepted.bodyOf(envelope, ran)
    const isFirst = yield* recorded(ran, body)
    return isFirst === undefined ? { _tag: "over" } : { _tag: "answered", body, status: ran.reply.status }
  })
  return yield* Effect.onInterrupt(ended, () => ShutdownGrace.briefly(givenBack))
})

/**
 * Says until when this process runs the handler. Where another one has said so since, this one was too slow, and leaves it: else it
 * would give back what the other one runs.
 */
const claimOn = (begun: Barrier) => {
  let said = Accepted.runsUntil(begun)
  let tried = said
  return (unit: Unit, row: Barrier, until: number): Effect.Effect<true, ParticipantStoreError> =>
    Effect.suspend(() => {
      const found = Accepted.runsUntil(row)
      const isOwn = found === said || found === tried
      if (!isOwn) return Effect.succeed(true)
      // A unit that fails may have been kept all the same: then the next one finds what was tried.
      said = found
      tried = until
      return Effect.as(unit.save({ barriers: [BegunMessages.runningUntil(row, until)] }), true)
    })
}

/** The answer, and with a compensation the record of what it has undone. */
const finalRows = (
  { barriers }: Unit,
  row: Barrier,
  ran: HandlerSucceeded | HandlerFailed,
  body: string,
  now: number
): ReadonlyArray<Barrier> => {
  const answered = Accepted.answered(row, ran, body, now)
  if (Accepted.messageIn(row).envelope.op === "execute") return [answered]
  const none = { effect: "none", open: false } as const
  const executed = barriers.get(executeId(Accepted.messageIn(row).envelope))
  return [...(executed === undefined ? [] : [{ ...executed, ...none }]), { ...answered, ...none }]
}
