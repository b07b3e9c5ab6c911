/**
 * The answers that come later (SPEC C19): the answer to an accepted message is recorded together with its effect, in one unit of work,
 * and then sent. There is one answer: whoever finds that the message has one already keeps nothing of its own.
 */
import { Clock, Context, Effect, Schedule } from "effect"
import type * as Command from "../definition/Command.ts"
import * as Broker from "../ports/Broker.ts"
import * as Consumer from "../ports/Consumer.ts"
import * as DatabaseCode from "../ports/DatabaseCode.ts"
import * as OpenTransaction from "../ports/OpenTransaction.ts"
import {
  ParticipantAnswerTooLate,
  ParticipantAnswerUnknown,
  ParticipantStore,
  type ParticipantStoreError,
  type Transaction,
  type Unit
} from "../ports/ParticipantStore.ts"
import type { Envelope } from "../wire/Envelope.ts"
import * as Accepted from "./AcceptedMessages.ts"
import { isLaterHandler } from "./CommandHandlers.ts"
import * as HandleMessage from "./HandleMessage.ts"
import * as KeptTimes from "./KeptTimes.ts"
import { type HandlerFailed, type HandlerSucceeded, type ParticipantCode, respond } from "./ParticipantHandlers.ts"

/**
 * What `Participant.answer` needs of the service `Name`. `Participant.layer` gives it, and `Participant.layerAnswers` to processes that
 * take no messages.
 */
export interface ParticipantAnswers<out Name extends string> {
  readonly "~effect-saga/ParticipantAnswers": Name
}

export type AnswerError = ParticipantAnswerTooLate | ParticipantAnswerUnknown | ParticipantStoreError

export interface Answers {
  readonly answer: (
    command: Command.AnyLater,
    messageId: string,
    effect: Effect.Effect<unknown, unknown, any>
  ) => Effect.Effect<void, AnswerError>
}

/** Each service of a program has its own. */
export const answersOf = <Name extends string>(name: Name): Context.Key<ParticipantAnswers<Name>, Answers> =>
  Context.Service<ParticipantAnswers<Name>, Answers>(`effect-saga/ParticipantAnswers/${name}`)

/** The unit of work that accepts the message may not be over yet: after 50 ms, then twice as long each time, 8 times. */
const untilAccepted = { schedule: Schedule.exponential("50 millis"), times: 8 }

/** The message has its answer already, so nothing of the unit is kept. `body`: the answer, where it is the same one. */
class Over {
  readonly _tag = "Over"
  readonly body: string | undefined
  constructor(body: string | undefined) {
    this.body = body
  }
}

/** The service answers with the code of its handlers, and with the services that these need. */
export const make = Effect.fnUntraced(function* (code: Pick<ParticipantCode, "contract" | "handlers">) {
  const services = yield* Effect.context<Broker.Broker | ParticipantStore>()
  const store = Context.get(services, ParticipantStore)
  const broker = Context.get(services, Broker.Broker)
  const isOpenTransaction = Context.get(services, OpenTransaction.OpenTransaction)
  const { name } = code.contract
  const own = { contract: code.contract, handlers: withServices(code.handlers, services) }

  const answer: Answers["answer"] = (command, messageId, effect) => {
    const about = { service: name, command: command.tag, messageId }
    const unknown = new ParticipantAnswerUnknown(about)
    const find = store.unit({ service: name, transactions: [], messages: [messageId] }, ({ barriers }) =>
      Effect.succeed(barriers.get(messageId))
    )
    const found = Effect.retry(
      Effect.flatMap(Effect.tapError(find, DatabaseCode.warnLasting), (row) =>
        row === undefined ? Effect.fail(unknown) : Effect.succeed(row)
      ),
      { ...untilAccepted, while: (error) => error === unknown || ("reason" in error && error.reason === "unavailable") }
    )
    const answering: Effect.Effect<void, AnswerError> = Effect.gen(function* () {
      const row = yield* found
      const message = Accepted.requestOf(row)
      if (message === undefined) return yield* new ParticipantAnswerTooLate(about)
      if (message.command !== undefined && message.command !== command.tag) return yield* unknown
      const { envelope } = message
      const transactions = [...new Set(envelope.transactions)]
      const scope = { service: name, transactions, messages: [messageId] }
      const body = yield* store
        .unit(scope, (unit) =>
          Effect.gen(function* () {
            const now = yield* Clock.currentTimeMillis
            return yield* conclude({ code: own, command, envelope, unit, now, limit: broker.maxBytes?.() }, effect)
          })
        )
        .pipe(
          Effect.catchTags({
            Over: ({ body }) => Effect.succeed(body),
            // The log says what has died.
            UnitFailed: () => Effect.die(new Error(`what ${command.tag} has accepted could not be undone`))
          })
        )
      if (body === undefined) return yield* new ParticipantAnswerTooLate(about)
      yield* send(broker, name, envelope, body)
    })
    // It is recorded before it is sent, so it is no part of a transaction that the caller has open.
    return Effect.updateContext(answering, (caller: Context.Context<never>) =>
      OpenTransaction.outside(caller, isOpenTransaction)
    )
  }
  return { answer } satisfies Answers
})

/** `cancelled` runs with the services of its layer, and within the transaction that is open around it. */
const withServices = (
  handlers: ParticipantCode["handlers"],
  services: Context.Context<never>
): ParticipantCode["handlers"] => {
  const inside = (around: Context.Context<never>) => Context.merge(services, around)
  return Object.fromEntries(
    Object.entries(handlers).map(([tag, handler]) => {
      if (typeof handler === "function" || !isLaterHandler(handler)) return [tag, handler]
      // The services that it requires are erased, as in `ParticipantCode`.
      const cancelled = handler.cancelled as (payload: unknown, messageId: string) => Effect.Effect<void>
      const within = (payload: unknown, messageId: string) =>
        Effect.updateContext(
          Effect.suspend(() => cancelled(payload, messageId)),
          inside
        )
      return [tag, { ...handler, cancelled: within }]
    })
  )
}

interface Answering {
  readonly code: Pick<ParticipantCode, "contract" | "handlers">
  readonly command: Command.AnyLater
  readonly envelope: Envelope
  readonly unit: Unit
  readonly now: number
  readonly limit: number | undefined
}

/** Records the answer, and gives its body. Undefined: the message is ended without one. */
const conclude = Effect.fnUntraced(function* (work: Answering, effect: Effect.Effect<unknown, unknown, any>) {
  const { code, envelope, now, unit } = work
  const row = unit.barriers.get(envelope.id)
  if (row === undefined || row.reply === undefined) return yield* Effect.fail(new Over(undefined))
  if (row.status !== 202) {
    const { body } = yield* answered(work, effect)
    return yield* Effect.fail(new Over(body === row.reply ? body : undefined))
  }
  const opened = transactionsOf(work)
  if (opened === undefined) {
    yield* HandleMessage.cancel(code, unit, [row], now)
    return undefined
  }
  const { body, ran } = yield* answered(work, effect)
  if (ran._tag === "HandlerFailed") yield* HandleMessage.cancel(code, unit, [row], now)
  yield* unit.save({ barriers: [Accepted.answered(row, ran, body, now)], transactions: opened })
  return body
})

const answered = (
  { command, envelope, limit, unit }: Answering,
  effect: Effect.Effect<unknown, unknown, any>
): Effect.Effect<{ readonly ran: HandlerSucceeded | HandlerFailed; readonly body: string }, ParticipantStoreError> =>
  Effect.map(
    respond({ command, envelope, run: unit.attempt, limit }, () => effect),
    (ran) => ({ ran, body: Accepted.bodyOf(envelope, ran) })
  )

/** The transactions of the message, all of them still open; undefined: one is over, so there can be no effect any more (SPEC C6). */
const transactionsOf = ({ envelope, now, unit }: Answering): ReadonlyArray<Transaction> | undefined => {
  const rows = [...new Set(envelope.transactions)].map((uuid) => unit.transactions.get(uuid))
  return rows.every((row) => row?.status === "pending")
    ? rows.flatMap((row) =>
        row === undefined ? [] : { ...row, updatedAt: KeptTimes.pendingFrom(row, undefined, now) }
      )
    : undefined
}

/** Sends until the broker takes it. One that it will never take is asked for again by the coordinator. */
const send = (broker: Broker.Broker["Service"], service: string, { coordinator, id }: Envelope, body: string) =>
  Consumer.retry(
    broker.publish({ address: { to: coordinator, kind: "reply", from: service }, body }),
    ({ reason }) => reason !== "rejected" && reason !== "too-large"
  ).pipe(
    Effect.catch(({ reason }) => Effect.logError("The answer to an accepted message could not be sent", { id, reason }))
  )
