import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  KeyValueRepository,
  Saga,
  SagaConfig,
  SagaError,
  SagaExecutionRepository,
  SagaManager,
  SagaRunner,
  TransactionCommitter
} from "effect-saga"

const Deposit = Saga.make("Deposit", { context: { amount: Schema.Int } }).pipe(
  Saga.conditional("kind", [
    Saga.elseThen(
      Saga.local("balance", {
        success: Schema.Int,
        execute: ({ amount }) => Effect.succeed(amount),
        transactional: true
      })
    )
  ]),
  Saga.commit
)

const ports = (repository: Layer.Layer<SagaExecutionRepository.SagaExecutionRepository>) =>
  Layer.mergeAll(repository, SagaConfig.layer({ service: "bank" }), Broker.layerMemory, TransactionCommitter.layerNone)

const values = new Map<string, unknown>()
const ofThreeFunctions = KeyValueRepository.make({
  save: (uuid, raw) => Effect.sync(() => void values.set(uuid, raw)),
  get: (uuid) => Effect.sync(() => values.get(uuid)),
  remove: (uuid) => Effect.sync(() => void values.delete(uuid))
})

const manager = () => SagaManager.layer([Deposit])

const layers: Record<
  string,
  Layer.Layer<never, Layer.Error<ReturnType<typeof manager>>, Layer.Services<ReturnType<typeof manager>>>
> = {
  manager: manager(),
  runner: SagaRunner.layer([Deposit])
}

describe("transactional steps", () => {
  for (const [name, layer] of Object.entries(layers)) {
    it.effect(
      `a ${name} with transactional steps is not built on a repository that cannot commit effect and record together`,
      () =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(
            Layer.build(
              Layer.provide(
                layer,
                ports(Layer.orDie(Layer.effect(SagaExecutionRepository.SagaExecutionRepository, ofThreeFunctions)))
              )
            )
          )
          assert.deepStrictEqual(
            [error._tag, "path" in error && error.path, "step" in error && error.step],
            ["SagaTransactionUnsupported", "0/else/0", "balance"]
          )
          assert.isTrue(SagaError.isSagaError(error))
          assert.strictEqual(values.size, 0)
        })
    )
  }

  it.effect("transactional steps run in memory, where a crash takes effect and record alike", () =>
    Effect.gen(function* () {
      const { balance } = yield* SagaManager.execute(Deposit, { context: { amount: 5 } })
      assert.strictEqual(balance, 5)
    }).pipe(Effect.provide(Layer.provide(SagaManager.layer([Deposit]), ports(SagaExecutionRepository.layerMemory))))
  )

  /** Repeats a step as often as the database ends its transaction, in virtual time. Gives the times of its attempts. */
  const timesOf = (ends: number, by: "contested" | "away" = "contested") =>
    Effect.gen(function* () {
      const deadlock = new Error("deadlock")
      const times: Array<number> = []
      const Deadlocked = Saga.make("Deadlocked", { context: {} }).pipe(
        Saga.local("step", {
          transactional: true,
          retry: { times: 20, backoff: "1 millis" },
          execute: () =>
            Effect.gen(function* () {
              times.push(yield* Clock.currentTimeMillis)
              if (times.length <= ends) yield* Effect.die(deadlock)
            })
        }),
        Saga.commit
      )
      const repository = Layer.effect(
        SagaExecutionRepository.SagaExecutionRepository,
        Effect.map(SagaExecutionRepository.SagaExecutionRepository, (memory) => ({
          ...memory,
          rolledBackBy: (cause: Cause.Cause<unknown>) => (Cause.squash(cause) === deadlock ? by : undefined)
        }))
      ).pipe(Layer.provide(SagaExecutionRepository.layerMemory))
      const running = yield* SagaManager.run(Deadlocked, { context: {}, raiseOnError: false }).pipe(
        Effect.provide(Layer.provide(SagaManager.layer([Deadlocked]), ports(repository))),
        Effect.forkChild
      )
      yield* TestClock.adjust(by === "away" ? "10 minutes" : "1 minute")
      const { cause, status } = yield* Fiber.join(running)
      return { times, status, cause: (cause as Error | undefined)?.cause, deadlock }
    })

  it.effect("F28: a step whose transaction is ended runs again after 50 ms, then twice as late, at most 2 s (C8)", () =>
    Effect.gen(function* () {
      const { status, times } = yield* timesOf(10)
      assert.deepStrictEqual(
        [status, times],
        ["finished", [0, 50, 150, 350, 750, 1_550, 3_150, 5_150, 7_150, 9_150, 11_150]]
      )
    })
  )

  it.effect("F28, F4: a step whose database is away for minutes does not fail for it, and runs when it is back", () =>
    Effect.gen(function* () {
      const { status, times } = yield* timesOf(40, "away")
      assert.deepStrictEqual([status, times.length], ["finished", 41])
    })
  )

  it.effect(
    "F28: a step whose transaction is ended eleven times fails with that as its cause, and retry adds nothing",
    () =>
      Effect.gen(function* () {
        const { cause, deadlock, status, times } = yield* timesOf(11)
        assert.deepStrictEqual([status, times.length], ["errored", 11])
        assert.strictEqual(cause, deadlock)
      })
  )
})
