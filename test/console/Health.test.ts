/** The routes for probes: what makes a process dead or unready, and what does not. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Deferred, Effect, Layer, Schema } from "effect"
import { HttpRouter } from "effect/http"
import { TestClock } from "effect/testing"
import {
  Broker,
  Inspector,
  Participant,
  ParticipantStore,
  Saga,
  SagaExecutionRepository,
  SagaManager
} from "effect-saga"
import { SagaHealth } from "effect-saga/health"
import * as Loop from "../../src/ports/Loop.ts"
import { VitalSigns, Vitals } from "../../src/ports/Vitals.ts"
import * as Sample from "../../src/testing/SampleExecutions.ts"
import { makeWorld, open, Payments, quiet, start } from "../fixtures/manager.ts"
import { isMemory } from "../fixtures/repository.ts"

interface Answer {
  readonly status: number
  readonly body: {
    readonly status?: string
    readonly parts?: ReadonlyArray<string>
    readonly missing?: ReadonlyArray<string>
    readonly loops?: ReadonlyArray<object>
  }
}

/** Asks the routes of the process, as a probe does. */
const asking = Effect.fnUntraced(function* (
  options: SagaHealth.HealthOptions = { path: "/health" },
  inspector?: Inspector.Inspector["Service"]
) {
  const vitals = yield* Vitals
  const known = Context.make(Vitals, vitals).pipe(Context.add(Clock.Clock, yield* Clock.Clock))
  const own: typeof known = inspector === undefined ? known : Context.add(known, Inspector.Inspector, inspector)
  const { dispose, handler } = HttpRouter.toWebHandler(
    Layer.provideMerge(SagaHealth.layer(options), Layer.succeed(Vitals, vitals)),
    { disableLogger: true }
  )
  yield* Effect.addFinalizer(() => Effect.promise(dispose))
  return (path: string): Effect.Effect<Answer> =>
    Effect.promise(async () => {
      const response = await handler(new Request(`http://localhost${path}`), own)
      const body: unknown = response.status === 404 ? {} : await response.json()
      return { status: response.status, body: body as Answer["body"] }
    })
})

/** Each test is a process of its own. */
const alone = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(self, Vitals, new VitalSigns())

describe("readiness", () => {
  it.effect("a process in which nothing of the library runs is not ready", () =>
    Effect.gen(function* () {
      const ask = yield* asking()
      assert.deepStrictEqual(yield* ask("/health/ready"), {
        status: 503,
        body: { status: "fail", parts: [], missing: ["started"] }
      })
      assert.strictEqual((yield* ask("/ready")).status, 404)
    }).pipe(alone)
  )

  it.effect("a process that runs sagas is ready, and no longer once it has stopped", () =>
    Effect.gen(function* () {
      const ask = yield* asking({})
      const { close } = yield* start()
      assert.deepStrictEqual(yield* ask("/ready"), {
        status: 200,
        body: { status: "pass", parts: ["orchestrator"], missing: [] }
      })
      yield* close
      assert.strictEqual((yield* ask("/ready")).status, 503)
    }).pipe(alone)
  )

  it.effect("a process that stops is not ready while its last step runs", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const end = yield* Deferred.make<void>()
      const Slow = Saga.make("Slow", { context: {} }).pipe(
        Saga.local("wait", {
          success: Schema.Void,
          // It cannot be interrupted, so the stop waits for it.
          execute: () =>
            Effect.uninterruptible(Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(end))),
          compensate: () => Effect.void
        }),
        Saga.commit
      )
      const ask = yield* asking()
      const { close, use } = yield* start({ sagas: [Slow] })
      yield* use(Effect.forkDetach(Effect.ignore(SagaManager.execute(Slow, { context: {} }))))
      yield* Deferred.await(begun)
      yield* Effect.forkDetach(close)
      yield* quiet
      const { body, status } = yield* ask("/health/ready")
      assert.deepStrictEqual([status, body.missing], [503, ["orchestrator: not stopping"]])
      assert.strictEqual((yield* ask("/health/live")).status, 200)
      yield* Deferred.succeed(end, undefined)
      yield* quiet
    }).pipe(alone)
  )

  it.effect("a process that gets no messages, because the broker is away, is not ready until it is back", () =>
    Effect.gen(function* () {
      const ask = yield* asking()
      const { wire } = yield* start()
      yield* quiet
      wire.away(true)
      yield* quiet
      const { body, status } = yield* ask("/health/ready")
      assert.deepStrictEqual([status, body.missing], [503, ["orchestrator: subscriptions"]])
      assert.strictEqual((yield* ask("/health/live")).status, 200)
      wire.away(false)
      yield* quiet
      assert.strictEqual((yield* ask("/health/ready")).status, 200)
    }).pipe(alone)
  )

  it.effect("a process with participants only is ready by its own store and its own subscriptions", () =>
    Effect.gen(function* () {
      const ask = yield* asking()
      const PaymentsLive = Participant.layer(Payments, {
        Charge: () => Effect.succeed({ paymentId: "p" }),
        Refund: () => Effect.void
      })
      yield* Layer.build(PaymentsLive.pipe(Layer.provide([ParticipantStore.layerMemory, Broker.layerMemory])))
      assert.deepStrictEqual(yield* ask("/health/ready"), {
        status: 200,
        body: { status: "pass", parts: ["participant payments"], missing: [] }
      })
    }).pipe(alone)
  )

  if (isMemory) {
    it.effect("a process whose database stands still is not ready once its lease is over, and lives", () =>
      Effect.gen(function* () {
        const ask = yield* asking()
        const world = yield* makeWorld()
        let isFrozen = false
        const repository = Layer.effect(
          SagaExecutionRepository.SagaExecutionRepository,
          Effect.map(SagaExecutionRepository.SagaExecutionRepository, (inner) => ({
            ...inner,
            claim: (request: Parameters<typeof inner.claim>[0]) =>
              isFrozen ? Effect.never : Effect.map(inner.claim(request), (claimed) => ({ ...claimed, isAlone: false }))
          }))
        )
        const layers = Layer.provideMerge(repository, world.layers)
        yield* open({ ...world, layers }, { recoveryInterval: "3 seconds", lease: "9 seconds" })
        yield* TestClock.adjust("20 seconds")
        assert.strictEqual((yield* ask("/health/ready")).status, 200)
        isFrozen = true
        yield* TestClock.adjust("20 seconds")
        const { body, status } = yield* ask("/health/ready")
        assert.deepStrictEqual([status, body.missing], [503, ["orchestrator: storage"]])
        assert.strictEqual((yield* ask("/health/live")).status, 200)
      }).pipe(alone)
    )
  }
})

describe("liveness", () => {
  it.effect(
    "a loop that dies for a minute each time that it begins makes the process dead; a defect now and then does not",
    () =>
      Effect.gen(function* () {
        const ask = yield* asking()
        let isBroken = true
        const fault = () => (isBroken ? Effect.die("a bug") : Effect.void)
        yield* Effect.provideService(Loop.every("retention", "100 millis", Effect.void), Loop.LoopFault, fault)
        yield* TestClock.adjust("50 seconds")
        assert.strictEqual((yield* ask("/health/live")).status, 200)
        yield* TestClock.adjust("20 seconds")
        const dead = yield* ask("/health/live")
        assert.strictEqual(dead.status, 503)
        assert.deepInclude(dead.body.loops?.[0], { loop: "retention", broken: true })
        isBroken = false
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual((yield* ask("/health/live")).status, 200)
        isBroken = true
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual((yield* ask("/health/live")).status, 200)
      }).pipe(alone)
  )
})

describe("counts", () => {
  it.effect("are always answered with 200, also where there is no inspector", () =>
    Effect.gen(function* () {
      const ask = yield* asking()
      const { status } = yield* ask("/health/sagas")
      assert.strictEqual(status, 200)
    }).pipe(alone)
  )

  if (isMemory)
    it.effect("are those of the inspector, by saga and state, with what needs a person", () =>
      Effect.gen(function* () {
        const begin: typeof Sample.paused = (execution) => Sample.started(execution)
        for (const story of [[], [begin], [begin, Sample.paused, Sample.refused, Sample.parked]]) {
          const { store } = yield* SagaExecutionRepository.SagaExecutionRepository
          let execution = yield* store(Sample.created({ saga: "Order" }))
          for (const step of story) execution = yield* store(step(execution), { wakeAt: Sample.time })
        }
        const ask = yield* asking({ path: "/health" }, yield* Inspector.Inspector)
        const { body, status } = yield* ask("/health/sagas")
        assert.deepStrictEqual(
          [status, body],
          [
            200,
            {
              sagas: [
                { saga: "Order", status: "created", count: 1, isMore: false },
                { saga: "Order", status: "errored", count: 1, isMore: false },
                { saga: "Order", status: "running", count: 1, isMore: false }
              ],
              parked: 1,
              stalled: 0,
              overdue: 0
            }
          ]
        )
      }).pipe(
        alone,
        Effect.provide(
          Layer.provideMerge(Inspector.layerMemory(), SagaExecutionRepository.layerMemoryWith({ keep: 10 }))
        )
      )
    )
})
