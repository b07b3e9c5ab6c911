/** Three transfers: one succeeds, one finds no money, and one is voted down. No cent is lost. */
import { Console, Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { PgliteClient } from "effect-saga/pglite"
import { SqlParticipantStore } from "effect-saga/sql"
import * as Bank from "./bank.ts"
import { North, South, Transfer } from "./transfer.ts"

const program = Effect.gen(function* () {
  // Each bank has a database of its own, with its tables and the records of its answers.
  const open = (account: string, cents: number) =>
    Effect.gen(function* () {
      const services = yield* Layer.build(Layer.fresh(PgliteClient.layer()))
      yield* Effect.provideContext(Bank.tables, services)
      const sql = Context.get(services, SqlClient.SqlClient)
      yield* sql`insert into account ${sql.insert({ name: account, cents })}`
      return services
    })
  const [north, south] = [yield* open("ada", 10_000), yield* open("bob", 0)]
  const bank = (contract: Bank.Bank, database: typeof north) =>
    Bank.layer(contract).pipe(
      Layer.provide(SqlParticipantStore.layer()),
      Layer.provide(Layer.succeedContext(database)),
      Layer.orDie
    )

  const Live = Layer.mergeAll(SagaManager.layer([Transfer]), bank(North, north), bank(South, south)).pipe(
    Layer.provide(TransactionCommitter.layerTwoPhase),
    Layer.provide([SagaConfig.layer({ service: "transfers" }), SagaExecutionRepository.layerMemory, Broker.layerMemory])
  )

  const transfer = (to: string, cents: number) =>
    SagaManager.execute(Transfer, { context: { from: "ada", to, cents } }).pipe(
      Effect.andThen(Console.log(`${cents} cents to ${to}: done`)),
      Effect.catchTag("Overdrawn", ({ account }) => Console.log(`${cents} cents to ${to}: ${account} has not enough`)),
      Effect.catchTag("SagaFailedExecution", ({ cause }) =>
        Console.log(`${cents} cents to ${to}: ${cause._tag === "SagaFailedCommitCallback" ? cause.reason : cause._tag}`)
      )
    )

  yield* Effect.provide(
    Effect.andThen(transfer("bob", 3_000), Effect.andThen(transfer("bob", 9_000), transfer("nobody", 2_000))),
    Live
  )
  for (const [name, database] of [
    ["north", north],
    ["south", south]
  ] as const) {
    const { cents, held } = yield* Effect.provideContext(Bank.books, database)
    yield* Console.log(`${name} has ${cents} cents, and holds ${held}`)
  }
})

Effect.runPromise(Effect.scoped(program))
