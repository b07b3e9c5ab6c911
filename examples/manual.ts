/** Control by hand: every call goes to the next pause or to the end, and returns the execution at that point. */
import { Console, Effect, Layer, Schema } from "effect"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecution,
  SagaExecutionRepository,
  SagaResponse,
  SagaRunner,
  TransactionCommitter
} from "effect-saga"

const Loan = Saga.make("Loan", { context: { book: Schema.String } }).pipe(
  Saga.local("copy", {
    success: Schema.String,
    execute: ({ book }) => Effect.succeed(`copy of ${book}`),
    compensate: ({ copy }) => Console.log(`  back on the shelf: ${copy}`)
  }),
  // A service without a contract, which does not speak over the broker: the program takes its answer to the saga.
  Saga.remote("label", {
    execute: { target: "printer/print", content: ({ copy }) => ({ copy }) },
    success: Schema.String
  }),
  Saga.commit
)

const show = (said: string) => (execution: SagaExecution.SagaExecution) =>
  Console.log(`${said}: ${execution.status} (${execution.commitState})`)

const program = Effect.gen(function* () {
  const runner = yield* SagaRunner.SagaRunner
  const printed = new SagaResponse({ step: "label", content: "label 7" })
  const paused = (book: string) =>
    SagaExecution.fromDefinition(Loan, { context: { book } }).pipe(
      Effect.flatMap((execution) => runner.execute(execution, { autocommit: false })),
      Effect.tap(show(`${book}, asked for`))
    )

  const commit = yield* paused("Emma")
  const finished = yield* Effect.tap(runner.execute(commit, { response: printed }), show("printed"))
  yield* Effect.tap(runner.commit(finished), show("committed"))

  // Finished and not committed: everything can still be compensated.
  const reject = yield* paused("Ulysses")
  const undecided = yield* runner.execute(reject, { response: printed })
  yield* Effect.tap(runner.reject(undecided), show("rejected"))

  // A rollback in the middle. A later response changes nothing.
  const rollback = yield* paused("Faust")
  const undone = yield* Effect.tap(runner.rollback(rollback), show("rolled back"))
  yield* Effect.tap(runner.execute(undone, { response: printed }), show("printed too late"))
})

const Live = SagaRunner.layer([Loan]).pipe(
  Layer.provide([
    SagaConfig.layer({ service: "loans" }),
    SagaExecutionRepository.layerMemoryWith({ keep: 100 }),
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ])
)

Effect.runPromise(Effect.provide(program, Live))
