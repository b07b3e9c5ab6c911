/**
 * SPEC C6: a compensation of what was done elsewhere. Two instances of one service that keep different records are a mistake, and nobody
 * may lose a compensation over it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Schema } from "effect"
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
import { incoming } from "../../src/participant/IncomingMessage.ts"
import { type Chance, pick } from "../execution/rules/chance.ts"
import { envelopeOf, makeBench, maxSkew, notAfter, participantRetention, uuid } from "./byHand.ts"

/** The orchestrator has seen the 200. */
const seen = { op: "failure", changes: { recordedUntil: notAfter } } as const
const missing = { status: 500, content: "Unrecorded" }
const forms = [{ alone: true }, { alone: false }]
const silent = Effect.provide(Logger.layer([]))

const said = ({
  envelope
}: {
  readonly envelope: { readonly status?: number; readonly content?: unknown } | undefined
}) => ({
  status: envelope?.status,
  content: envelope?.content
})

describe("a compensation of what the records do not have", () => {
  it.effect(
    "I1 what was done by an instance with other records is not counted as undone, however often it is asked",
    () =>
      Effect.gen(function* () {
        for (const form of forms) {
          const bench = yield* makeBench()
          for (let copy = 0; copy < 3; copy++) assert.deepInclude(said(yield* bench.deliver(seen, form)), missing)
          // It must not run here any more: it would be undone in place of the other one.
          assert.strictEqual((yield* bench.deliver({ op: "execute" }, form)).status, 500)
          assert.deepInclude(said(yield* bench.deliver(seen, form)), missing)
          assert.deepStrictEqual([bench.effects.size, bench.compensated.size], [0, 0])
          assert.strictEqual(yield* bench.status(), form.alone ? "none" : "rejected")
        }
      }).pipe(silent)
  )

  it.effect("C6 a message of a former orchestrator, and one whose answer nobody has seen, is answered as before", () =>
    Effect.gen(function* () {
      for (const form of forms) {
        const bench = yield* makeBench()
        assert.strictEqual((yield* bench.deliver({ op: "failure" }, form)).status, 200)
        assert.strictEqual((yield* bench.deliver({ op: "execute" }, form)).status, 500)
        // It is one message, whoever has sent it.
        const again = yield* bench.deliver(seen, form)
        assert.deepStrictEqual([again._tag, again.status], ["duplicate", 200])
      }
      const { changes, op } = seen
      const [known, former] = [{ op, changes }, { op }].map((it) => incoming(envelopeOf(it), "Refund").request)
      assert.strictEqual(known, former)
    })
  )

  it.effect("I4 the instance with the record undoes it once, and says so as often as it is asked", () =>
    Effect.gen(function* () {
      for (const form of forms) {
        const bench = yield* makeBench()
        yield* bench.deliver({ op: "execute" }, form)
        for (let copy = 0; copy < 2; copy++) assert.strictEqual((yield* bench.deliver(seen, form)).status, 200)
        assert.deepStrictEqual([...bench.compensated.values()], [1])
      }
    })
  )

  it.effect(
    "C6 it is undone where people have brought the records together, as nothing of the answer before is kept",
    () =>
      Effect.gen(function* () {
        const id = `${uuid}:0:execute`
        const [one, other] = [yield* makeBench(), yield* makeBench()]
        yield* one.deliver({ op: "execute" }, { alone: true })
        assert.deepInclude(said(yield* other.deliver(seen, { alone: true })), missing)
        const scope = { service: "bank", transactions: [], messages: [id] }
        const row = yield* one.store.unit(scope, ({ barriers }) => Effect.succeed(barriers.get(id)!))
        yield* other.store.unit(scope, ({ save }) => save({ barriers: [row] }))
        assert.strictEqual((yield* other.deliver(seen, { alone: true })).status, 200)
        assert.deepStrictEqual([...other.compensated.values()], [1])
      }).pipe(silent)
  )

  it.effect("C6 an effect that was staged is gone with its transaction", () =>
    Effect.gen(function* () {
      const bench = yield* makeBench()
      yield* bench.deliver({ op: "execute", command: "Stage" })
      yield* bench.deliver({ op: "reject" })
      assert.strictEqual((yield* bench.deliver(seen)).status, 200)
    })
  )

  it.effect("C6 a refusal, and an answer that comes later, are no record of a success that was seen", () =>
    Effect.gen(function* () {
      for (const form of forms) {
        const bench = yield* makeBench()
        yield* bench.deliver({ op: "execute", changes: { content: { amount: "none" } }, command: "Examine" }, form)
        assert.deepInclude(said(yield* bench.deliver(seen, form)), missing)
        const other = yield* makeBench()
        yield* other.deliver({ op: "execute", command: "Examine" }, form)
        assert.strictEqual(other.accepted.size, 1)
        assert.deepInclude(said(yield* other.deliver(seen, form)), missing)
        // It is ended all the same.
        assert.strictEqual(other.accepted.size, 0)
      }
    }).pipe(silent)
  )

  it.effect(
    "C14 what a transaction may have purged is not missed; without one it is missed until nothing is known",
    () =>
      Effect.gen(function* () {
        const answers = Effect.fnUntraced(function* (alone: boolean) {
          const found: Array<unknown> = []
          for (const now of [
            notAfter,
            notAfter + 1,
            notAfter + maxSkew + 1,
            notAfter + maxSkew + participantRetention + 1
          ]) {
            yield* TestClock.setTime(now)
            // The orchestrator has sent later requests, so it says a later time.
            const later = { ...seen, changes: { ...seen.changes, notAfter: alone ? notAfter : 3 * notAfter } }
            const { content, status } = said(yield* (yield* makeBench()).deliver(later, { alone }))
            found.push(content ?? status)
          }
          yield* TestClock.setTime(0)
          return found
        })
        assert.deepStrictEqual(yield* answers(true), ["Unrecorded", "Unrecorded", "Unrecorded", "Purged"])
        assert.deepStrictEqual(yield* answers(false), ["Unrecorded", 200, 200, 200])
      }).pipe(silent)
  )

  it.effect("the log of the service says once what people need to find the cause", () => {
    const lines: Array<ReadonlyArray<unknown>> = []
    const logger = Logger.make(({ logLevel, message }) => void lines.push([logLevel, [message].flat()].flat()))
    return Effect.gen(function* () {
      const bench = yield* makeBench()
      for (let copy = 0; copy < 3; copy++) yield* bench.deliver(seen, { alone: true })
      yield* bench.deliver({ op: "failure", path: "1" }, { alone: true })
      assert.strictEqual(lines.length, 1)
      const [level, text, place] = lines[0] ?? []
      assert.strictEqual(level, "Warn")
      assert.match(String(text), /no record of it.*same place.*In memory.*namespace/)
      assert.deepStrictEqual(place, { service: "bank", uuid, step: "0" })
    }).pipe(Effect.provide(Logger.layer([logger])))
  })
})

// ---- a whole mistake -------------------------------------------------------------------------------------------

const Bank = Participant.make("bank", {
  Charge: { payload: { i: Schema.Int }, success: Schema.Int },
  Refund: { payload: { i: Schema.Int } }
})

/** A saga that is always rolled back. Its compensation is asked for so often. */
const rolledBack = (times: number) =>
  Saga.make("Order", { context: { i: Schema.Int } }).pipe(
    Saga.remote("charge", {
      execute: { command: Bank.commands.Charge, payload: ({ i }) => ({ i }) },
      compensate: { command: Bank.commands.Refund, payload: ({ i }) => ({ i }) },
      retryCompensate: { times, backoff: { initial: "10 millis", factor: 1, max: "10 millis" } }
    }),
    Saga.local("courier", { execute: () => Effect.die("no courier") }),
    Saga.commit
  )

/** Two instances of one service, each with records of its own. Each message of the orchestrator reaches one of them, as it comes. */
const mistaken = (times: number) => {
  const Order = rolledBack(times)
  const chance: Chance = { state: 7 }
  const done = [new Set<number>(), new Set<number>()]
  const undone = [new Set<number>(), new Set<number>()]
  const layer = Layer.unwrap(
    Effect.gen(function* () {
      const make = Effect.map(Layer.build(Layer.fresh(Broker.layerMemory)), (built) =>
        Context.get(built, Broker.Broker)
      )
      const own = yield* make
      const theirs = [yield* make, yield* make]
      const through = ({ subscribe }: Broker.Broker["Service"], publish = own.publish) =>
        Layer.succeed(Broker.Broker, { subscribe, publish })
      const instances = theirs.map((broker, which) =>
        Layer.fresh(
          Participant.layer(Bank, {
            Charge: ({ i }) => Effect.sync(() => void done[which]?.add(i)).pipe(Effect.as(i)),
            Refund: ({ i }) => Effect.sync(() => void undone[which]?.add(i))
          }).pipe(Layer.provide([ParticipantStore.layerMemory, through(broker)]))
        )
      )
      const orchestrator = SagaManager.layer([Order]).pipe(
        Layer.provide([
          Layer.orDie(SagaConfig.layer({ service: "orders" })),
          SagaExecutionRepository.layerMemory,
          TransactionCommitter.layerNone,
          through(own, (message) => pick(chance, theirs).publish(message))
        ])
      )
      return instances.reduce((all, instance) => Layer.merge(all, instance), orchestrator)
    })
  )
  /** What was done, and undone by nobody. */
  const left = () =>
    [0, 1].flatMap((which) => [...(done[which] ?? [])].filter((i) => undone[which]?.has(i) !== true)).toSorted()
  return { Order, done, layer, left }
}

const numbers = Array.from({ length: 40 }, (_, i) => i)

describe("two instances of one service with different records", () => {
  it.live("I1, I12 every step that is not undone is parked, with the reason; none is lost", () => {
    const { Order, done, layer, left } = mistaken(0)
    return Effect.gen(function* () {
      const failed = yield* Effect.forEach(numbers, (i) => Effect.flip(SagaManager.run(Order, { context: { i } })), {
        concurrency: 40
      })
      assert.strictEqual(done[0]!.size + done[1]!.size, 40)
      const parked = numbers.filter((i) => {
        const error = failed[i]
        return error?._tag === "SagaFailedExecution" && error.parked.length > 0
      })
      assert.deepStrictEqual(parked.toSorted(), left())
      assert.isAbove(parked.length, 0)
      assert.isBelow(parked.length, 40)
      const { load, retryParked } = yield* SagaManager.SagaManager
      for (const i of parked) {
        const error = failed[i]
        if (error?._tag !== "SagaFailedExecution") continue
        const { events } = yield* load(error.uuid)
        const reasons = events.flatMap((fact) => (fact._tag === "StepParked" ? [fact.reason] : []))
        assert.match(reasons.join(), /^the service has no record of what it has done: do all its instances/)
      }
      // A person asks again, until the right instance is asked.
      for (let round = 0; left().length > 0 && round < 500; round++) {
        for (const i of left()) {
          const error = failed[i]
          if (error?._tag !== "SagaFailedExecution") continue
          const { parked: paths } = yield* load(error.uuid)
          if (paths.length > 0) yield* retryParked(error.uuid, "0", { actor: "ada" })
        }
        yield* Effect.sleep("10 millis")
      }
      assert.deepStrictEqual(left(), [])
    }).pipe(Effect.provide(layer), silent)
  })

  it.live("I1 a compensation that is tried again reaches the instance that has the record", () => {
    const { Order, layer, left } = mistaken(100)
    return Effect.gen(function* () {
      yield* Effect.forEach(numbers, (i) => Effect.flip(SagaManager.run(Order, { context: { i } })), {
        concurrency: 40
      })
      assert.deepStrictEqual(left(), [])
    }).pipe(Effect.provide(layer), silent)
  })
})
