/** A service that nobody listens to: the error of the step that gets no reply says so. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecution,
  SagaExecutionRepository,
  SagaManager,
  SagaStory,
  TransactionCommitter
} from "effect-saga"

const Paymnets = Participant.make("paymnets", { Charge: { payload: {} } })
const Payments = Participant.make("payments", { Charge: { payload: {} } })

const Typo = Saga.make("Typo", { context: {} }).pipe(
  Saga.remote("charge", { execute: { command: Paymnets.commands.Charge, payload: () => ({}) } }),
  Saga.commit
)
const Slow = Saga.make("Slow", { context: {} }).pipe(
  Saga.remote("charge", { execute: { command: Payments.commands.Charge, payload: () => ({}) } }),
  Saga.commit
)

const Live = SagaManager.layer([Typo, Slow]).pipe(
  Layer.merge(Participant.layer(Payments, { Charge: () => Effect.never })),
  Layer.provideMerge(SagaConfig.layer({ service: "orders", replyTimeout: "1 minute" })),
  Layer.provideMerge(
    Layer.mergeAll(
      Broker.layerMemory,
      ParticipantStore.layerMemory,
      TransactionCommitter.layerNone,
      SagaExecutionRepository.layerMemoryWith({ keep: 9 })
    )
  )
)

const failing = (saga: typeof Typo | typeof Slow) =>
  Effect.gen(function* () {
    const running = yield* Effect.forkChild(Effect.flip(SagaManager.run(saga, { context: {} })))
    yield* TestClock.adjust("1 hour")
    const error = yield* Fiber.join(running)
    return error._tag === "SagaFailedExecution" ? error : assert.fail(error._tag)
  })

it.effect("F37: a step that times out says that nobody listens to its service", () =>
  Effect.gen(function* () {
    const error = yield* failing(Typo)
    assert.match(
      error.message,
      /at step charge \(0, paymnets\/Charge\): SagaStepTimedOut: .*: nobody listens to the service paymnets/
    )
    assert.include(SagaStory.tell(error.execution).join("\n"), "nobody listens to the service")
    // It is stored: a process that only shows the execution says it too.
    const raw = JSON.parse(JSON.stringify(SagaExecution.raw(error.execution)))
    const { cause } = yield* SagaExecution.fromRaw(raw, Typo)
    assert.deepInclude((cause as Error).cause, { _tag: "SagaStepTimedOut", unheard: "paymnets" })
  }).pipe(Effect.provide(Live))
)

it.effect("F37: a step whose service is slow says nothing of the kind", () =>
  Effect.gen(function* () {
    const error = yield* failing(Slow)
    assert.match(error.message, /SagaStepTimedOut/)
    assert.notMatch(error.message, /listens/)
  }).pipe(Effect.provide(Live))
)
