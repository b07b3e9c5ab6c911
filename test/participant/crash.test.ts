/** A participant that stops at a named instruction, and starts again on the same store: the two-phase commit goes on. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Layer, Scheduler, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Broker, Participant, ParticipantStore } from "effect-saga"
import { type Envelope, FaultPoint } from "effect-saga/internals"
import * as BegunMessages from "../../src/participant/BegunMessages.ts"
import { until } from "../fixtures/manager.ts"
import * as Participants from "../fixtures/participantStore.ts"
import * as Repository from "../fixtures/repository.ts"
import { envelopeOf, type Message, uuid } from "./byHand.ts"

const Bank = Participant.make("bank", {
  Charge: { payload: {}, success: Schema.String },
  Refund: { payload: {} },
  Examine: { payload: { name: Schema.String }, success: Schema.String, answer: "later" },
  Pay: { payload: {}, success: Schema.String },
  Repay: { payload: {} }
})

const points = ["callback", "store", "publish", "acknowledge"].flatMap((operation) =>
  (["before", "after"] as const).map((when) => `${operation}.${when}`)
)

/** Operations until a fiber lets the others go first. With few, all that is under way stops in the middle of something. */
const turns = Repository.isMemory ? [2_048, 8, 4, 3] : [2_048]

interface Flow {
  readonly messages: ReadonlyArray<Message | "answer">
  readonly status: "committed" | "rejected"
  /** What the code of the user does. */
  readonly does: ReadonlyArray<string>
}

const commits: ReadonlyArray<Message> = [{ op: "reserve" }, { op: "commit" }]
const isUnknown: Message = { op: "probe", path: "1" }

const flows: Readonly<Record<string, Flow>> = {
  committed: { messages: [{ op: "execute" }, ...commits], status: "committed", does: ["charge", "reserve", "commit"] },
  compensated: {
    messages: [{ op: "execute" }, { op: "reserve" }, { op: "reject" }, { op: "failure" }, isUnknown],
    status: "rejected",
    does: ["charge", "reserve", "reject", "refund"]
  },
  "answered later": {
    messages: [{ op: "execute", command: "Examine" }, "answer", ...commits],
    status: "committed",
    does: ["accept", "answer", "reserve", "commit"]
  },
  "cancelled before it is answered": {
    messages: [{ op: "execute", command: "Examine" }, { op: "reject" }, { op: "failure" }, isUnknown],
    status: "rejected",
    does: ["accept", "cancelled", "reject"]
  },
  "done without a transaction": {
    messages: [{ op: "execute", command: "Pay" }, ...commits],
    status: "committed",
    does: ["pay", "reserve", "commit"]
  },
  "undone without a transaction": {
    messages: [{ op: "execute", command: "Pay" }, { op: "reject" }, { op: "failure", command: "Repay" }],
    status: "rejected",
    does: ["pay", "reject", "repay"]
  }
}

/** The flows of the two-phase commit stop in all turns. */
const isThorough = (end: string): boolean => end === "committed" || end === "compensated"

/** What these do is no part of a unit of work, and may happen again. */
const atLeastOnce = new Set(["pay", "repay"])

type Fault = (point: string) => Effect.Effect<void>

/** A call of the code of the user. */
interface Run {
  readonly line: string
  /** Each message is handled by a fiber of its own. */
  readonly fiber: number
  isRecorded: boolean
}

/** Plays the flow with a participant that stops when it meets the point for the n-th time. */
const play = Effect.fnUntraced(function* ({ messages }: Flow, point: string, nth: number) {
  const services = yield* Layer.build(Layer.merge(Layer.fresh(Broker.layerMemory), Participants.layerOnWire()))
  const broker = Context.get(services, Broker.Broker)
  const store = Context.get(services, ParticipantStore.ParticipantStore)
  const hit = yield* Deferred.make<void>()
  let times = 0
  const ran: Array<Run> = []
  const say = <A>(line: string, value: A) =>
    Effect.withFiber(({ id: fiber }) => {
      ran.push({ line, fiber, isRecorded: false })
      return Effect.succeed(value)
    })
  const recording =
    (fault: Fault): Fault =>
    (name) =>
      Effect.withFiber(({ id }) => {
        if (name === "store.after") for (const run of ran) run.isRecorded ||= run.fiber === id
        return fault(name)
      })
  const executed = `${uuid}:0:execute`
  /** The process that lives now, and gives answers. */
  let living: { readonly scope: Scope.Closeable; readonly answer: Effect.Effect<void, unknown> } | undefined
  const start = (fault: Fault) =>
    Effect.gen(function* () {
      const scope = yield* Scope.fork(yield* Scope.Scope)
      const answers = yield* Participant.layer(
        Bank,
        {
          Charge: () => say("charge", "c-1"),
          Refund: () => say("refund", undefined),
          Examine: { accept: () => say("accept", undefined), cancelled: () => say("cancelled", undefined) },
          Pay: { transaction: false, handle: () => say("pay", "p-1") },
          Repay: { transaction: false, handle: () => say("repay", undefined) }
        },
        {
          reserve: () => say("reserve", undefined),
          commit: () => say("commit", undefined),
          reject: () => say("reject", undefined)
        }
      ).pipe(
        Layer.provide(Layer.mergeAll(Layer.succeedContext(services), Layer.succeed(FaultPoint, recording(fault)))),
        Layer.buildWithScope(scope)
      )
      const answer = Participant.answer(Bank.commands.Examine, executed, say("answer", "well")).pipe(
        Effect.provideContext(answers),
        Effect.provideService(FaultPoint, recording(fault))
      )
      living = { scope, answer }
      return Scope.close(scope, Exit.void)
    })
  const stop = yield* start((name) =>
    name === point && ++times === nth ? Effect.andThen(Deferred.succeed(hit, undefined), Effect.never) : Effect.void
  )
  let isStopped = false
  yield* Effect.forkScoped(
    Effect.gen(function* () {
      yield* Deferred.await(hit)
      yield* stop
      isStopped = true
      yield* start(() => Effect.void)
    })
  )
  const replies = new Map<string, Set<string>>()
  yield* broker.subscribe({ service: "orders", kinds: ["reply"] }).pipe(
    Stream.runForEach(({ acknowledge, body }) => {
      const { inReplyTo = "", status }: Envelope.Envelope = JSON.parse(body)
      const about = status === 202 ? `${inReplyTo} accepted` : inReplyTo
      replies.set(about, (replies.get(about) ?? new Set()).add(body))
      return acknowledge
    }),
    Effect.forkScoped
  )
  for (const message of messages) {
    if (message === "answer") {
      while (!replies.has(executed)) {
        const process = living!
        yield* Effect.forkIn(Effect.ignore(process.answer), process.scope)
        yield* until("the answer is there, or the process is gone", () => replies.has(executed) || living !== process)
      }
      continue
    }
    const envelope = envelopeOf(message)
    const { command = message.op === "failure" ? "Refund" : "Charge" } = message
    const sent = broker.publish(Broker.toMessage(envelope, envelope.path === undefined ? undefined : command))
    const about = command === "Examine" ? `${envelope.id} accepted` : envelope.id
    yield* sent
    if (command === "Pay" || command === "Repay") {
      yield* until("it is answered, or the process stops", () => replies.has(about) || isStopped)
      yield* Repository.settle(50)
      // It may have stopped when the message had begun and its handler had not: it counts as running for half a minute.
      if (!replies.has(about)) yield* Effect.andThen(TestClock.adjust(BegunMessages.claim), sent)
    }
    yield* until(`${message.op} is answered`, () => replies.has(about))
  }
  yield* Repository.settle(200)
  const met = Deferred.isDoneUnsafe(hit)
  if (met) yield* until("it stops", () => isStopped)
  const status = yield* store.unit({ service: "bank", transactions: [uuid], messages: [] }, ({ transactions }) =>
    Effect.succeed(transactions.get(uuid)?.status)
  )
  const lines = (runs: ReadonlyArray<Run>) => runs.map(({ line }) => line)
  // Effects of units that were rolled back: effects in memory are not rolled back with their unit.
  const lost = ran.filter(({ isRecorded }) => !isRecorded)
  return { met, ran: lines(ran), lost: lines(lost), replies, status }
})

describe("a participant that stops", () => {
  for (const [end, flow] of Object.entries(flows)) {
    for (const point of points) {
      it.effect.each(isThorough(end) ? turns : turns.slice(-1))(
        `W2, W3 a participant that stops at ${point}, in turns of %d: all is ${end} all the same`,
        (turn) =>
          Effect.gen(function* () {
            for (let nth = 1; nth < 30; nth++) {
              const { lost, met, ran, replies, status } = yield* Effect.scoped(play(flow, point, nth))
              assert.strictEqual(status, flow.status)
              assert.deepStrictEqual([...new Set(ran)], flow.does)
              for (const line of flow.does) {
                if (atLeastOnce.has(line)) continue
                const count = (lines: ReadonlyArray<string>) => lines.filter((it) => it === line).length
                assert.isAtMost(count(ran) - count(lost), 1, `${nth}: ${line}`)
              }
              for (const [id, bodies] of replies) assert.strictEqual(bodies.size, 1, id)
              if (!met) {
                assert.isAbove(nth, 1)
                return
              }
            }
            assert.fail(`there is no end of ${point}`)
          }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, turn))
      )
    }
  }
})
