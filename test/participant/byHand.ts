/**
 * A participant without a wire: messages are handled one by one against its store, at the time the test says. Its
 * handlers count what they do, so that a test can tell effects from answers.
 */
import { Context, Effect, Layer, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Broker, Participant, ParticipantStore, SagaTransaction } from "effect-saga"
import type { Envelope } from "effect-saga/internals"
import * as AnswerLater from "../../src/participant/AnswerLater.ts"
import * as HandleMessage from "../../src/participant/HandleMessage.ts"
import { incoming } from "../../src/participant/IncomingMessage.ts"
import { defaults } from "../../src/participant/ParticipantConfig.ts"
import type { ParticipantCode } from "../../src/participant/ParticipantHandlers.ts"
import * as Participants from "../fixtures/participantStore.ts"

export const uuid = "01890000-0000-7000-8000-000000000001"
export const notAfter = 86_400_000
export const { maxSkew, participantRetention, pendingTtl } = defaults

export class Declined extends Schema.TaggedError<Declined>()("Declined", {}) {}

const Bank = Participant.make("bank", {
  Charge: { payload: {}, success: Schema.String, error: Declined },
  Stage: { payload: {}, success: Schema.String, effect: "staged" },
  Refund: { payload: {} },
  Pay: { payload: {}, success: Schema.String, error: Declined },
  Repay: { payload: {} },
  Examine: { payload: { name: Schema.String }, success: Schema.String, error: Declined, answer: "later" }
})

export type Op = "execute" | "failure" | "reserve" | "commit" | "reject" | "probe" | "told commit" | "told reject"

export interface Message {
  readonly op: Op
  /** Of a step. Default "0". */
  readonly path?: string
  readonly command?: "Charge" | "Stage" | "Refund" | "Examine" | "Pay" | "Repay"
  /** Paths that a reserve names. Default "0". */
  readonly paths?: ReadonlyArray<string>
  readonly changes?: Partial<Envelope.Envelope>
}

/** The message as it is on the wire. `alone`: it opens no transaction. */
export const envelopeOf = (message: Message, { alone = false, service = "bank" } = {}): Envelope.Envelope => {
  const { changes, op, path = "0", paths = ["0"] } = message
  const common = {
    v: 1,
    saga: changes?.saga ?? uuid,
    service,
    coordinator: "orders",
    relatedServices: [],
    transactions: alone ? [] : [changes?.saga ?? uuid],
    notAfter
  } as const
  const saga = common.saga
  switch (op) {
    case "execute":
    case "failure":
      return {
        ...common,
        ...{ id: `${saga}:${path}:${op}`, op, path },
        ...(message.command === "Examine" ? { content: { name: "ada" }, later: true as const } : { content: {} }),
        ...changes
      }
    case "probe":
      return { ...common, id: `${saga}:${path}:${op}`, op, path, ...changes }
    case "reserve":
      return { ...common, id: `${saga}:${service}:${op}`, op, content: paths, ...changes }
    case "commit":
    case "reject":
      return { ...common, id: `${saga}:${service}:${op}`, op, ...changes }
    case "told commit":
    case "told reject": {
      const inReplyTo = `${saga}:${service}:status`
      const content = op === "told commit" ? "commit" : "reject"
      return { ...common, id: `${inReplyTo}:reply`, op: "reply", inReplyTo, status: 200, content, ...changes }
    }
  }
}

const add = (counts: Map<string, number>, key: string) => counts.set(key, (counts.get(key) ?? 0) + 1)

export const makeBench = Effect.fnUntraced(function* (service = "bank") {
  const store = Context.get(yield* Layer.build(Participants.layer()), ParticipantStore.ParticipantStore)
  /** How often each command had its effect, and was compensated, by its key. */
  const effects = new Map<string, number>()
  const compensated = new Map<string, number>()
  /** What is accepted and not undone, by the id of the message; and how often the undoing has yet to die. */
  const accepted = new Map<string, string>()
  const dies = { cancelled: 0 }
  const staged = new Map<string, Set<string>>()
  const visible = new Set<string>()
  const hooks: Array<string> = []
  /** The work of the handlers that run without a transaction, by their keys; a test may change it. */
  const outside = {
    pay: (key: string): Effect.Effect<string, Declined> => Effect.succeed(key),
    repay: (_: string): Effect.Effect<void> => Effect.void
  }
  const count = (counts: Map<string, number>) =>
    Effect.map(SagaTransaction, ({ idempotencyKey }) => {
      add(counts, idempotencyKey)
      return idempotencyKey
    })
  const code: ParticipantCode = {
    contract: { ...Bank, name: service },
    handlers: {
      Charge: () => count(effects),
      Refund: () => Effect.asVoid(count(compensated)),
      Pay: { transaction: false, handle: (_, key) => outside.pay(key), timeout: "4 minutes" },
      Repay: { transaction: false, handle: (_, key) => outside.repay(key) },
      Examine: {
        accept: ({ name }, id) => Effect.sync(() => void accepted.set(id, name)),
        cancelled: ({ name }, id) =>
          Effect.suspend(() => {
            if (dies.cancelled > 0) return Effect.die(new Error(`${dies.cancelled--} more times`))
            if (accepted.get(id) !== name) return Effect.die(new Error(`${id} of ${name} was not accepted`))
            accepted.delete(id)
            return Effect.void
          })
      },
      Stage: () =>
        Effect.map(SagaTransaction, ({ idempotencyKey, uuid }) => {
          add(effects, idempotencyKey)
          staged.set(uuid, (staged.get(uuid) ?? new Set()).add(idempotencyKey))
          return idempotencyKey
        })
    },
    hooks: {
      reserve: ({ uuid }) => Effect.sync(() => void hooks.push(`reserve ${uuid}`)),
      commit: ({ uuid }) =>
        Effect.sync(() => {
          hooks.push(`commit ${uuid}`)
          for (const key of staged.get(uuid) ?? []) visible.add(key)
          staged.delete(uuid)
        }),
      reject: ({ uuid }) =>
        Effect.sync(() => {
          hooks.push(`reject ${uuid}`)
          staged.delete(uuid)
        })
    }
  }
  const provide = Effect.provideService(ParticipantStore.ParticipantStore, store)

  const deliver = (
    message: Message,
    {
      code: own = code,
      by = store,
      ...options
    }: {
      readonly alone?: boolean
      readonly code?: ParticipantCode
      readonly by?: ParticipantStore.ParticipantStore["Service"]
    } = {}
  ) => {
    const envelope = envelopeOf(message, { ...options, service })
    const command = message.command ?? (message.op === "failure" ? "Refund" : "Charge")
    const isCommand = envelope.path !== undefined
    return Effect.map(
      HandleMessage.handle(own, incoming(envelope, isCommand ? command : undefined)).pipe(
        Effect.orDie,
        Effect.provideService(ParticipantStore.ParticipantStore, by)
      ),
      (outcome) => {
        const reply: Envelope.Envelope | undefined = outcome.body === undefined ? undefined : JSON.parse(outcome.body)
        return { ...outcome, status: reply?.status, envelope: reply }
      }
    )
  }

  const sent: Array<Envelope.Envelope> = []
  const broker: Broker.Broker["Service"] = {
    publish: ({ body }) => Effect.sync(() => void sent.push(JSON.parse(body))),
    subscribe: () => Stream.never
  }
  const answers = yield* AnswerLater.make(code).pipe(provide, Effect.provideService(Broker.Broker, broker))
  const answer = <E>(effect: Effect.Effect<string, E>, path = "0") =>
    answers.answer({ ...Bank.commands.Examine, participant: service }, `${uuid}:${path}:execute`, effect)

  /** The status of the transaction; "none" where there is no record of it. */
  const status = (of = uuid) =>
    Effect.orDie(
      store.unit({ service, transactions: [of], messages: [] }, ({ transactions }) =>
        Effect.succeed(transactions.get(of)?.status ?? ("none" as const))
      )
    )

  const purge = Effect.flatMap(
    TestClock.testClockWith((clock) => Effect.succeed(clock.currentTimeMillisUnsafe())),
    (now) =>
      Effect.orDie(
        store.purge({ service, before: now - maxSkew, alone: now - maxSkew - participantRetention, limit: 100 })
      )
  )
  return {
    ...{ store, code, effects, compensated, staged, visible, hooks, deliver, status, purge, provide },
    ...{ accepted, dies, answer, sent, outside }
  }
})

export type Bench = Effect.Success<ReturnType<typeof makeBench>>
