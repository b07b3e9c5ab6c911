/** A service that takes one request at a time: the queue keeps its limit, also while a person changes it. */
import { Console, Effect, Layer, Schema } from "effect"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaQueue,
  TransactionCommitter
} from "effect-saga"

const Register = Participant.make("register", {
  Check: { payload: { name: Schema.String }, success: Schema.Struct({ isKnown: Schema.Boolean }) }
})

let calls = 0
const RegisterLive = Participant.layer(Register, {
  Check: ({ name }) =>
    Effect.gen(function* () {
      calls++
      yield* Console.log(`  checks ${name}${calls > 1 ? `, ${calls} at a time` : ""}`)
      yield* Effect.sleep("50 millis")
      calls--
      return { isKnown: true }
    })
})

/** A remote call keeps its place until its reply is there. */
const Checks = SagaQueue.make("checks", { concurrency: 1, rate: { limit: 100, per: "1 second" } })

const Check = Saga.make("Check", { context: { name: Schema.String } }).pipe(
  Saga.remote("found", { execute: { command: Register.commands.Check, payload: ({ name }) => ({ name }) } }),
  Saga.commit
)

const check = (name: string) => SagaManager.run(Check, { context: { name }, queue: Checks, returnExecution: false })

const program = Effect.gen(function* () {
  yield* Console.log("one at a time")
  yield* Effect.forEach(["Ann", "Bob"], check, { concurrency: "unbounded" })
  // From any process, and also by SQL. What runs goes on.
  yield* SagaQueue.setLimits(Checks, { concurrency: 2 })
  yield* Console.log("two at a time")
  yield* Effect.forEach(["Cas", "Dee"], check, { concurrency: "unbounded" })
})

const Live = Layer.merge(SagaManager.layer([Check], { queues: [Checks] }), RegisterLive).pipe(
  Layer.provideMerge(SagaExecutionRepository.layerMemory),
  Layer.provide([
    SagaConfig.layer({ service: "bank" }),
    Broker.layerMemory,
    ParticipantStore.layerMemory,
    TransactionCommitter.layerNone
  ])
)

Effect.runPromise(program.pipe(Effect.provide(Live)))
