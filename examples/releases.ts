/** Three releases of one saga on one store: ask before each deployment what it would leave behind. */
import { Console, Effect, Layer, Schema } from "effect"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  Signal,
  TransactionCommitter
} from "effect-saga"

const Approval = Signal.make("approval", { payload: Schema.Struct({ by: Schema.String }) })

/** The saga of a release, before its last steps. */
const expense = (amount: Schema.Codec<number>) =>
  Saga.make("Expense", { context: { amount } }).pipe(
    Saga.waitFor("approval", { signal: Approval, timeout: "30 days" }),
    Saga.local("payment", {
      success: Schema.String,
      execute: ({ amount, approval }) => Effect.succeed(`${amount} paid, approved by ${approval.by}`)
    })
  )

const withReceipt = (self: ReturnType<typeof expense>) =>
  self.pipe(Saga.local("receipt", { execute: ({ payment }) => Console.log(`  a receipt: ${payment}`) }), Saga.commit)

const First = expense(Schema.Int).pipe(Saga.commit)
/** One more step: for the stored executions it is another saga. */
const Second = withReceipt(expense(Schema.Int))
/** The same steps with a stricter schema: the same saga, which may not be able to read a stored value. */
const Third = withReceipt(expense(Schema.Int.check(Schema.isGreaterThan(0))))

/** Run it before a deployment, with all sagas of the new release. It needs the database, and no manager. */
const ask = Effect.fn(function* (name: string, sagas: ReadonlyArray<Saga.AnyCommitted>) {
  const { drifted, unreadable } = yield* SagaManager.checkDrift(sagas, { service: "expenses" })
  yield* Console.log(`${name} would leave behind`)
  for (const { count, saga } of drifted) yield* Console.log(`  ${count} of ${saga}, which need their old saga`)
  for (const { rule, saga, value } of unreadable) yield* Console.log(`  one of ${saga}: ${value} ${rule}`)
  if (drifted.length + unreadable.length === 0) yield* Console.log("  nothing")
})

const inProcess = <const Sagas extends ReadonlyArray<Saga.AnyCommitted>>(sagas: Sagas) =>
  Effect.provide(
    SagaManager.layer(sagas).pipe(
      Layer.provide([SagaConfig.layer({ service: "expenses" }), Broker.layerMemory, TransactionCommitter.layerNone]),
      Layer.fresh
    )
  )

const begin = (saga: typeof First | typeof Second, startKey: string, amount: number) =>
  SagaManager.start(saga, { startKey, context: { amount } }).pipe(
    Effect.andThen(Console.log(`  ${startKey} waits`)),
    // A start that is sent again after the deployment names an execution of the old version: it is there, and that is enough.
    Effect.catchTag("SagaStartConflict", (error) =>
      error.difference === "version" ? Console.log(`  ${startKey} is there already`) : Effect.fail(error)
    )
  )

const approve = (startKey: string) =>
  Console.log(`  Ada approves ${startKey}`).pipe(
    Effect.andThen(SagaManager.signal(Approval, { startKey, payload: { by: "Ada" } }))
  )

const result = (saga: typeof First | typeof Second, startKey: string, amount: number) =>
  SagaManager.execute(saga, { startKey, context: { amount } }).pipe(
    Effect.andThen(({ payment }) => Console.log(`  ${startKey}: ${payment}`))
  )

const program = Effect.gen(function* () {
  yield* Console.log("release 1")
  yield* begin(First, "lunch", 20).pipe(inProcess([First]))

  yield* ask("release 2 alone", [Second])
  yield* ask("release 2 beside release 1", [First, Second])
  yield* Console.log("release 2")
  yield* Effect.gen(function* () {
    yield* begin(Second, "lunch", 20)
    yield* begin(Second, "mistake", -5)
    yield* approve("lunch")
    yield* result(First, "lunch", 20)
  }).pipe(inProcess([First, Second]))

  yield* ask("release 3", [Third])
  yield* Console.log("release 2 again")
  yield* Effect.andThen(approve("mistake"), result(Second, "mistake", -5)).pipe(inProcess([Second]))
  yield* ask("release 3", [Third])
})

// All releases have one store. On a server it is the same database.
const Store = SagaExecutionRepository.layerMemoryWith({ keep: 100, shared: true })

Effect.runPromise(Effect.provide(program, Store))
