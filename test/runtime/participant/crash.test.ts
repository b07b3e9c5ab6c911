/** A participant that stops at a named instruction, and starts again on the same store: the agreement goes on. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Layer, Schema, Scope, Stream } from "effect"
import { Broker, type Envelope, FaultPoint, Participant, ParticipantStore } from "effect-saga"
import { quiet, until } from "../../fixtures/manager.ts"
import * as Participants from "../../fixtures/participantStore.ts"
import { envelopeOf, type Message, uuid } from "./bench.ts"

const Bank = Participant.make("bank", {
  Charge: { payload: {}, success: Schema.String },
  Refund: { payload: {} }
})

const points = ["callback", "store", "publish", "acknowledge"].flatMap((operation) =>
  (["before", "after"] as const).map((when) => `${operation}.${when}`)
)

/** Effects in memory are not undone with the unit of work that they belong to: these may be seen twice. */
const mayRepeat = ["callback.after", "store.before"]

const flows: Readonly<Record<string, ReadonlyArray<Message>>> = {
  committed: [{ op: "execute" }, { op: "reserve" }, { op: "commit" }],
  undone: [{ op: "execute" }, { op: "reserve" }, { op: "reject" }, { op: "failure" }, { op: "probe", path: "1" }]
}

/** Plays the flow with a participant that stops when it meets the point for the n-th time. */
const play = Effect.fnUntraced(function* (flow: ReadonlyArray<Message>, point: string, nth: number) {
  const services = yield* Layer.build(Layer.merge(Layer.fresh(Broker.layerMemory), Participants.layerOnWire()))
  const broker = Context.get(services, Broker.Broker)
  const store = Context.get(services, ParticipantStore.ParticipantStore)
  const hit = yield* Deferred.make<void>()
  let times = 0
  const ran: Array<string> = []
  const say = <A>(line: string, value: A) =>
    Effect.sync(() => {
      ran.push(line)
      return value
    })
  const start = (fault: (point: string) => Effect.Effect<void>) =>
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
        Layer.provide(Layer.mergeAll(Layer.succeedContext(services), Layer.succeed(FaultPoint, fault))),
        Layer.buildWithScope(scope)
      )
      return Scope.close(scope, Exit.void)
    })
  const stop = yield* start((name) =>
    name === point && ++times === nth ? Effect.andThen(Deferred.succeed(hit, undefined), Effect.never) : Effect.void
  )
  let stopped = false
  yield* Effect.forkScoped(
    Effect.gen(function* () {
      yield* Deferred.await(hit)
      yield* stop
      stopped = true
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
  yield* quiet
  const status = yield* store.unit({ service: "bank", transactions: [uuid], messages: [] }, ({ transactions }) =>
    Effect.succeed(transactions.get(uuid)?.status)
  )
  return { met: stopped, ran, replies, status }
})

describe("a participant that stops", () => {
  for (const [end, flow] of Object.entries(flows)) {
    for (const point of points) {
      it.effect(`W2, W3 at each ${point}: what it takes part in is ${end} all the same`, () =>
        Effect.gen(function* () {
          for (let nth = 1; nth < 30; nth++) {
            const { met, ran, replies, status } = yield* Effect.scoped(play(flow, point, nth))
            assert.strictEqual(status, end === "committed" ? "committed" : "rejected")
            const expected =
              end === "committed" ? ["charge", "reserve", "commit"] : ["charge", "reserve", "reject", "refund"]
            assert.deepStrictEqual([...new Set(ran)], expected)
            assert.isAtMost(ran.length, expected.length + (met && mayRepeat.includes(point) ? 1 : 0))
            for (const [id, bodies] of replies) assert.strictEqual(bodies.size, 1, id)
            if (!met) {
              assert.isAbove(nth, 1)
              return
            }
          }
          assert.fail(`there is no end of ${point}`)
        })
      )
    }
  }
})
