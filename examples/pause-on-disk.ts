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
  SagaResponse,
  SagaResponseStatus,
  TransactionCommitter
} from "effect-saga"

const Expense = Saga.make("Expense", { context: { amount: Schema.Int } }).pipe(
  Saga.local("budget", {
    success: Schema.String,
    execute: ({ amount }) => Effect.as(Console.log(`  set ${amount} aside`), `${amount} of the budget`),
    compensate: ({ budget }) => Console.log(`  free ${budget}`)
  }),
  Saga.remote("approval", {
    execute: { target: "office/approve", content: ({ amount }) => ({ amount }) },
    success: Schema.String,
    timeout: "7 days"
  }),
  Saga.local("payment", {
    success: Schema.String,
    execute: ({ amount, approval }) => Effect.succeed(`${amount} paid, approved by ${approval}`)
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
  const Folder = Layer.succeed(
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

const start = Effect.fn(function* (amount: number) {
  // Returns at the pause, with the uuid only: the web page of the office needs no more.
  const uuid = yield* SagaManager.run(Expense, { context: { amount }, pauseOnDisk: true, returnExecution: false })
  yield* Console.log(`  ${amount} waits for the office`)
  return uuid
})

const answer = Effect.fn(function* (response: SagaResponse) {
  const execution = yield* SagaManager.run({ response, pauseOnDisk: true, raiseOnError: false })
  yield* Console.log(`  ${execution.status}: ${execution.cause ?? JSON.stringify(execution.context)}`)
})

const program = Effect.gen(function* () {
  const folder = yield* Effect.promise(() => mkdtemp(join(tmpdir(), "expenses-")))
  yield* Console.log("first process")
  const [lunch, yacht] = yield* Effect.all([start(20), start(20_000)]).pipe(inProcess(folder))

  yield* Console.log("second process, an hour later")
  yield* Effect.all([
    answer(new SagaResponse({ uuid: lunch, step: "approval", content: "Ada" })),
    answer(new SagaResponse({ uuid: yacht, step: "approval", status: SagaResponseStatus.ERROR, content: "no" }))
  ]).pipe(inProcess(folder))
  yield* Effect.promise(() => rm(folder, { recursive: true }))
})

Effect.runPromise(program)
