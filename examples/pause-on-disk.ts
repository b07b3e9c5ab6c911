/** A saga waits for a person, in files and not in a process: it starts in one process and ends in another. */
import { existsSync } from "node:fs"
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Console, Effect, Layer, Schema } from "effect"
import {
  Broker,
  KeyValueRepository,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  Signal,
  TransactionCommitter
} from "effect-saga"

const Approval = Signal.make("approval", { payload: Schema.Struct({ approved: Schema.Boolean, by: Schema.String }) })

class Declined extends Schema.TaggedError<Declined>()("Declined", { by: Schema.String }) {}

const Expense = Saga.make("Expense", { context: { amount: Schema.Int } }).pipe(
  Saga.local("budget", {
    success: Schema.String,
    execute: ({ amount }) => Effect.as(Console.log(`  set ${amount} aside`), `${amount} of the budget`),
    compensate: ({ budget }) => Console.log(`  free ${budget}`)
  }),
  Saga.waitFor("approval", { signal: Approval, timeout: "7 days" }),
  Saga.local("payment", {
    success: Schema.String,
    error: Declined,
    execute: ({ amount, approval: { approved, by } }) =>
      approved ? Effect.succeed(`${amount} paid, approved by ${by}`) : Effect.fail(new Declined({ by }))
  }),
  Saga.commit
)

/** A process: its memory is lost when it ends, the folder stays. */
const inProcess = (folder: string) => {
  const file = (uuid: string) => join(folder, `${uuid}.json`)
  const read = async (path: string) => (existsSync(path) ? await readFile(path, "utf8") : undefined)
  const write = async (path: string, text: string) => {
    await writeFile(`${path}.new`, text)
    await rename(`${path}.new`, path) // never half a file
  }
  const readAll = async () => {
    const names = (await readdir(folder)).filter((name) => name.endsWith(".json"))
    return Promise.all(names.map((name) => read(join(folder, name))))
  }
  const Folder = Layer.effect(
    SagaExecutionRepository.SagaExecutionRepository,
    KeyValueRepository.make({
      save: (uuid, value) => Effect.tryPromise(() => write(file(uuid), JSON.stringify(value))),
      get: (uuid) => Effect.tryPromise(() => read(file(uuid))),
      remove: (uuid) => Effect.tryPromise(() => rm(file(uuid), { force: true })),
      list: () => Effect.tryPromise(readAll)
    })
  )
  const Ports = Layer.mergeAll(Folder, Broker.layerMemory, TransactionCommitter.layerNone)
  return Effect.provide(
    SagaManager.layer([Expense]).pipe(Layer.provide([SagaConfig.layer({ service: "expenses" }), Ports]))
  )
}

const start = Effect.fn(function* (startKey: string, amount: number) {
  // Does not wait for the end: the execution is in the folder from then on.
  yield* SagaManager.start(Expense, { startKey, context: { amount } })
  yield* Console.log(`  ${startKey} waits for the office`)
})

const answer = Effect.fn(function* (startKey: string, approved: boolean) {
  const told = yield* SagaManager.signal(Approval, { startKey, payload: { approved, by: "Ada" } })
  yield* Console.log(`  Ada clicks ${approved ? "yes" : "no"}: ${told}`)
})

const end = (startKey: string, amount: number) =>
  SagaManager.execute(Expense, { startKey, context: { amount } }).pipe(
    Effect.flatMap(({ payment }) => Console.log(`  ${payment}`)),
    Effect.catchTag("Declined", ({ by }) => Console.log(`  ${by} has declined ${startKey}`))
  )

const program = Effect.gen(function* () {
  const folder = yield* Effect.promise(() => mkdtemp(join(tmpdir(), "expenses-")))
  yield* Console.log("first process")
  yield* Effect.andThen(start("lunch", 20), start("yacht", 20_000)).pipe(inProcess(folder))

  yield* Console.log("second process, an hour later")
  yield* Effect.gen(function* () {
    yield* answer("lunch", true)
    yield* end("lunch", 20)
    yield* answer("yacht", false)
    yield* end("yacht", 20_000)
  }).pipe(inProcess(folder))
  yield* Effect.promise(() => rm(folder, { recursive: true }))
})

Effect.runPromise(program)
