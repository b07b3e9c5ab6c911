/** A participant that stops at a named instruction, and starts again on the same store: the two-phase commit goes on. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Layer, Scheduler, Schema, Scope, Stream } from "effect"
import { Broker, Participant, ParticipantStore } from "effect-saga"
import { type Envelope, FaultPoint } from "effect-saga/internals"
import { until } from "../fixtures/manager.ts"
import * as Participants from "../fixtures/participantStore.ts"
import * as Repository from "../fixtures/repository.ts"
import { envelopeOf, type Message, uuid } from "./byHand.ts"

const Bank = Participant.make("bank", {
  Charge: { payload: {}, success: Schema.String },
  Refund: { payload: {} }
})

const points = ["callback", "store", "publish", "acknowledge"].flatMap((operation) =>
  (["before", "after"] as const).map((when) => `${operation}.${when}`)
)

/** Operations until a fiber lets the others go first. With few, all that is under way stops in the middle of something. */
const turns = Repository.isMemory ? [2_048, 8, 4, 3] : [2_048]

const flows: Readonly<Record<string, ReadonlyArray<Message>>> = {
  committed: [{ op: "execute" }, { op: "reserve" }, { op: "commit" }],
  compensated: [{ op: "execute" }, { op: "reserve" }, { op: "reject" }, { op: "failure" }, { op: "probe", path: "1" }]
}

type Fault = (point: string) => Effect.Effect<void>

/** A call of the code of the user. */
interface Run {
  readonly line: string
  /** Each message is handled by a fiber of its own. */
  readonly fiber: number
  isRecorded: boolean
}

/** Plays the flow with a participant that stops when it meets the point for the n-th time. */
const play = Effect.fnUntraced(function* (flow: ReadonlyArray<Message>, point: string, nth: number) {
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
  const start = (fault: Fault) =>
    Effect.gen(function* () {
      const scope = yield* Scope.fork(yield* Scope.Scope)
      yield* Participant.layer(
        Bank,
        { Charge: () => say("charge", "c-1"), Refund: () => say("refund", undefined) },
        {
          reserve: () => say("reserve", undefined),
          commit: () => say("commit", undefined),
          reject: () => say("reject", undefined)
        }
      ).pipe(
        Layer.provide(Layer.mergeAll(Layer.succeedContext(services), Layer.succeed(FaultPoint, recording(fault)))),
        Layer.buildWithScope(scope)
      )
      return Scope.close(scope, Exit.void)
    })
  const stop = yield* start((name) =>
    name === point && ++times === nth ? Effect.andThen(Deferred.succeed(hit, undefined), Effect.never) : Effect.void
  )
  let isStopped = false
  /** Effects of units that were rolled back: effects in memory are not rolled back with their unit. */
  let lost: ReadonlyArray<Run> = []
  yield* Effect.forkScoped(
    Effect.gen(function* () {
      yield* Deferred.await(hit)
      yield* stop
      lost = ran.filter(({ isRecorded }) => !isRecorded)
      isStopped = true
      yield* start(() => Effect.void)
    })
  )
  const replies = new Map<string, Set<string>>()
  yield* broker.subscribe({ service: "orders", kinds: ["reply"] }).pipe(
    Stream.runForEach(({ acknowledge, body }) => {
      const { inReplyTo = "" }: Envelope.Envelope = JSON.parse(body)
      replies.set(inReplyTo, (replies.get(inReplyTo) ?? new Set()).add(body))
      return acknowledge
    }),
    Effect.forkScoped
  )
  for (const message of flow) {
    const envelope = envelopeOf(message)
    const command = message.op === "failure" ? "Refund" : "Charge"
    yield* broker.publish(Broker.toMessage(envelope, envelope.path === undefined ? undefined : command))
    yield* until(`${message.op} is answered`, () => replies.has(envelope.id))
  }
  yield* Repository.settle(200)
  const met = Deferred.isDoneUnsafe(hit)
  if (met) yield* until("it stops", () => isStopped)
  const status = yield* store.unit({ service: "bank", transactions: [uuid], messages: [] }, ({ transactions }) =>
    Effect.succeed(transactions.get(uuid)?.status)
  )
  const lines = (runs: ReadonlyArray<Run>) => runs.map(({ line }) => line)
  return { met, ran: lines(ran), lost: lines(lost), replies, status }
})

describe("a participant that stops", () => {
  for (const [end, flow] of Object.entries(flows)) {
    for (const point of points) {
      it.effect.each(turns)(
        `W2, W3 a participant that stops at ${point}, in turns of %d: its transaction is ${end} all the same`,
        (turn) =>
          Effect.gen(function* () {
            for (let nth = 1; nth < 30; nth++) {
              const { lost, met, ran, replies, status } = yield* Effect.scoped(play(flow, point, nth))
              assert.strictEqual(status, end === "committed" ? "committed" : "rejected")
              const expected =
                end === "committed" ? ["charge", "reserve", "commit"] : ["charge", "reserve", "reject", "refund"]
              assert.deepStrictEqual([...new Set(ran)], expected)
              for (const line of expected) {
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
