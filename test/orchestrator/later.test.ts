/** C19 from end to end: a command that is accepted, the hour until its answer, and what ends it before. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import type { Envelope } from "effect-saga/internals"
import { outcomes } from "../fixtures/manager.ts"

class Ill extends Schema.TaggedError<Ill>()("Ill", { name: Schema.String }) {}

const Lab = Participant.make("lab", {
  Examine: { payload: { name: Schema.String }, success: Schema.String, error: Ill, answer: "later" },
  Forget: { payload: { name: Schema.String } },
  Print: { payload: {}, success: Schema.String }
})
const examine = {
  execute: {
    command: Lab.commands.Examine,
    payload: ({ name }: { readonly name: string }) => ({ name })
  }
}
const forget = { command: Lab.commands.Forget, payload: ({ name }: { readonly name: string }) => ({ name }) }
const make = Saga.make("Visit", { context: { name: Schema.String } })
const Visit = make.pipe(
  Saga.remote("result", { ...examine, compensate: forget, timeout: "6 hours" }),
  Saga.remote("paper", { execute: { command: Lab.commands.Print, payload: () => ({}) } }),
  Saga.commit
)
const InTime = Saga.make("InTime", { context: { name: Schema.String }, deadline: "4 hours" }).pipe(
  Saga.remote("result", { ...examine, compensate: forget }),
  Saga.commit
)
const Sure = Saga.make("Sure", { context: { name: Schema.String } }).pipe(
  Saga.pivot,
  Saga.remote("result", { ...examine, timeout: "1 hour" }),
  Saga.commit
)

/** A lab, and the messages between it and the hospital. Those for which `loses` says so do not arrive. */
const start = Effect.fnUntraced(function* (
  committer: typeof TransactionCommitter.layerNone | typeof TransactionCommitter.layerTwoPhase
) {
  const inner = Context.get(yield* Layer.build(Layer.fresh(Broker.layerMemory)), Broker.Broker)
  const sent: Array<Envelope.Envelope & { readonly at: number }> = []
  const wire = { loses: (_: Envelope.Envelope): boolean => false }
  const broker: Broker.Broker["Service"] = {
    ...inner,
    publish: (message) =>
      Effect.clockWith((clock) => {
        const envelope: Envelope.Envelope = JSON.parse(message.body)
        sent.push({ ...envelope, at: clock.currentTimeMillisUnsafe() })
        return wire.loses(envelope) ? Effect.void : inner.publish(message)
      })
  }
  const accepted = new Map<string, string>()
  const forgotten: Array<string> = []
  const live = Layer.mergeAll(
    SagaManager.layer([Visit, InTime, Sure]),
    Participant.layer(Lab, {
      Examine: {
        accept: ({ name }, messageId) => Effect.sync(() => void accepted.set(name, messageId)),
        cancelled: ({ name }) => Effect.sync(() => void accepted.delete(name))
      },
      Forget: ({ name }) => Effect.sync(() => void forgotten.push(name)),
      Print: () => Effect.succeed("a paper")
    })
  ).pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        SagaConfig.layer({ service: "hospital" }),
        SagaExecutionRepository.layerMemoryWith({ keep: 10 }),
        Layer.fresh(ParticipantStore.layerMemory),
        Layer.provideMerge(committer, Layer.succeed(Broker.Broker, broker))
      )
    )
  )
  const context = yield* Layer.build(live)
  const of = (op: Envelope.Op, status?: number) => sent.filter((it) => it.op === op && it.status === status)
  return { accepted, broker, context, forgotten, of, wire }
})

const minutes = 60_000

/** The tag of what an execution failed with. */
const causeOf = (error: unknown): string => {
  const { cause } = error as { readonly cause: { readonly _tag: string; readonly cause?: { readonly _tag: string } } }
  return cause.cause?._tag ?? cause._tag
}
const answer = (id: string | undefined, effect: Effect.Effect<string, Ill>) =>
  Participant.answer(Lab.commands.Examine, id ?? "", effect)

describe("C19 a step whose command is answered later", () => {
  for (const [how, committer] of [
    ["without", TransactionCommitter.layerNone],
    ["with", TransactionCommitter.layerTwoPhase]
  ] as const)
    it.effect(`waits for hours, asks every five minutes, and goes on, ${how} a two-phase commit`, () =>
      Effect.gen(function* () {
        const { accepted, context, of, wire } = yield* start(committer)
        yield* Effect.gen(function* () {
          // The first word that it is accepted is lost, and so is the answer.
          let losses = 1
          wire.loses = ({ status }) => status === 202 && losses-- > 0
          const running = yield* Effect.forkChild(SagaManager.execute(Visit, { context: { name: "ada" } }))
          yield* TestClock.adjust("2 minutes")
          const [first, ...again] = of("execute")
          assert.deepInclude(first, { later: true, at: 0 })
          assert.deepStrictEqual(of("reply", 202).length, again.length + 1)
          yield* TestClock.adjust("5 hours")
          const asked = of("execute").map(({ at }) => at)
          const pauses = new Set(asked.slice(-50).map((at, i, all) => at - (all[i - 1] ?? at)))
          // A tenth is added at most, the same each time.
          for (const pause of pauses) assert.isTrue(pause === 0 || (pause >= 5 * minutes && pause <= 5.5 * minutes))
          wire.loses = ({ inReplyTo = "", status }) => status === 200 && inReplyTo.endsWith("0:execute") && losses++ < 1
          losses = 0
          yield* answer(accepted.get("ada"), Effect.succeed("well"))
          yield* TestClock.adjust("1 second")
          assert.isUndefined(running.pollUnsafe())
          // The next question gets the recorded answer.
          yield* TestClock.adjust("6 minutes")
          const { paper, result } = yield* Fiber.join(running)
          assert.deepStrictEqual([result, paper], ["well", "a paper"])
          assert.strictEqual(accepted.size, 1)
          assert.isAtLeast((yield* outcomes).stale ?? 0, 50)
        }).pipe(Effect.provide(context))
      })
    )

  it.effect("fails with the declared error of a late refusal, and nothing of accepting is left", () =>
    Effect.gen(function* () {
      const { accepted, context, forgotten } = yield* start(TransactionCommitter.layerNone)
      yield* Effect.gen(function* () {
        const running = yield* Effect.forkChild(Effect.flip(SagaManager.execute(Visit, { context: { name: "bob" } })))
        yield* TestClock.adjust("1 hour")
        yield* answer(accepted.get("bob"), Effect.fail(new Ill({ name: "bob" })))
        assert.instanceOf(yield* Fiber.join(running), Ill)
        assert.deepStrictEqual([accepted.size, forgotten], [0, []])
      }).pipe(Effect.provide(context))
    })
  )

  /** How the step ends before its answer, and when. */
  for (const [what, saga, after] of [
    ["its own time is over", Visit, "6 hours"],
    ["the deadline of the saga is over", InTime, "4 hours"]
  ] as const)
    it.effect(`is asked what became of it when ${what}, and the service undoes what it has begun`, () =>
      Effect.gen(function* () {
        const { accepted, context, forgotten, of } = yield* start(TransactionCommitter.layerNone)
        yield* Effect.gen(function* () {
          const running = yield* Effect.forkChild(Effect.flip(SagaManager.execute(saga, { context: { name: "cleo" } })))
          yield* TestClock.adjust("10 minutes")
          const id = accepted.get("cleo")
          const manager = yield* SagaManager.SagaManager
          const { pausedStep } = yield* manager.load(id?.split(":")[0] ?? "")
          assert.deepInclude(pausedStep, { name: "result", accepted: true })
          yield* TestClock.adjust(after)
          const error = yield* Fiber.join(running)
          assert.strictEqual(causeOf(error), what.startsWith("its") ? "SagaStepTimedOut" : "SagaDeadlinePassed")
          assert.deepStrictEqual([accepted.size, forgotten, of("probe").length, of("reply", 404).length], [0, [], 1, 1])
          const late = yield* Effect.flip(answer(id, Effect.succeed("well")))
          assert.strictEqual(late._tag, "ParticipantAnswerTooLate")
        }).pipe(Effect.provide(context))
      })
    )

  it.effect("waits for the word of its service no longer than for any reply", () =>
    Effect.gen(function* () {
      const { context, wire } = yield* start(TransactionCommitter.layerNone)
      wire.loses = ({ op, service }) => op === "execute" && service === "lab"
      yield* Effect.gen(function* () {
        const running = yield* Effect.forkChild(Effect.flip(SagaManager.execute(Visit, { context: { name: "dan" } })))
        yield* TestClock.adjust("5 minutes")
        const error = yield* Fiber.join(running)
        assert.strictEqual(causeOf(error), "SagaStepTimedOut")
      }).pipe(Effect.provide(context))
    })
  )

  it.effect("is cancelled by a person: the service undoes what it has begun", () =>
    Effect.gen(function* () {
      const { accepted, context } = yield* start(TransactionCommitter.layerTwoPhase)
      yield* Effect.gen(function* () {
        const uuid = yield* SagaManager.start(Visit, { context: { name: "eve" } })
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(accepted.size, 1)
        const manager = yield* SagaManager.SagaManager
        yield* manager.cancel(uuid)
        yield* TestClock.adjust("10 minutes")
        assert.deepStrictEqual([(yield* manager.load(uuid)).settled, accepted.size], [true, 0])
      }).pipe(Effect.provide(context))
    })
  )

  it.effect("stands behind a pivot, and is tried again with the same message", () =>
    Effect.gen(function* () {
      const { accepted, context, of } = yield* start(TransactionCommitter.layerNone)
      yield* Effect.gen(function* () {
        const running = yield* Effect.forkChild(SagaManager.execute(Sure, { context: { name: "fay" } }))
        // Its time is over more than once: it is the same work all the time.
        yield* TestClock.adjust("150 minutes")
        assert.strictEqual(new Set(of("execute").map(({ id }) => id)).size, 1)
        yield* answer(accepted.get("fay"), Effect.succeed("well"))
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual((yield* Fiber.join(running)).result, "well")
      }).pipe(Effect.provide(context))
    })
  )

  it.effect("a 202 to a command that does not answer later is counted and dropped", () =>
    Effect.gen(function* () {
      const { accepted, broker, context, of, wire } = yield* start(TransactionCommitter.layerNone)
      yield* Effect.gen(function* () {
        const running = yield* Effect.forkChild(SagaManager.execute(Visit, { context: { name: "gus" } }))
        yield* TestClock.adjust("1 minute")
        wire.loses = ({ inReplyTo = "", status }) => status === 200 && inReplyTo.endsWith("1:execute")
        yield* answer(accepted.get("gus"), Effect.succeed("well"))
        yield* TestClock.adjust("1 second")
        const asked = of("execute").at(-1)!
        const before = (yield* outcomes).stale ?? 0
        const { later, at, ...request } = asked
        yield* broker.publish({
          address: { to: "hospital", kind: "reply", from: "lab" },
          body: JSON.stringify({
            ...request,
            id: `${request.id}:accepted`,
            op: "reply",
            inReplyTo: request.id,
            status: 202
          })
        })
        yield* TestClock.adjust("10 millis")
        assert.strictEqual((yield* outcomes).stale, before + 1)
        assert.isUndefined(running.pollUnsafe())
        wire.loses = () => false
        yield* TestClock.adjust("5 minutes")
        assert.strictEqual((yield* Fiber.join(running)).paper, "a paper")
      }).pipe(Effect.provide(context))
    })
  )
})
