/** `npm run accident -- 1` to `5`: makes an accident in a folder. With `--repaired` its cause is repaired, and the program goes on. */
import { mkdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { Console, Effect, Layer } from "effect"
import { Broker, SagaConfig, SagaManager, TransactionCommitter } from "effect-saga"
import { PgliteClient } from "effect-saga/pglite"
import { SqlInspector, SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import { accidents, locker } from "./accidents.ts"

const number = Number(process.argv[2])
const isRepaired = process.argv.includes("--repaired")
const accident = accidents[number - 1]
const folder = fileURLToPath(new URL(`../../.data/accident-${number}`, import.meta.url))

const usage = `npm run accident -- 1 to ${accidents.length}, and --repaired for the second run:\n${accidents
  .map(({ title }, i) => `  ${i + 1}  ${title}`)
  .join("\n")}`

const run = ({ begin, others, sagas, title }: (typeof accidents)[number]) => {
  mkdirSync(folder, { recursive: true })
  const Database = Layer.provideMerge(
    Layer.mergeAll(SqlSagaExecutionRepository.layer(), SqlParticipantStore.layer(), SqlInspector.layer()),
    PgliteClient.layer({ folder })
  )
  const Live = Layer.merge(SagaManager.layer(sagas), others(isRepaired)).pipe(
    Layer.provide([SagaConfig.layer({ service: "tours" }), TransactionCommitter.layerNone]),
    Layer.provideMerge(Layer.merge(Broker.layerMemory, Database))
  )
  locker.isStuck = !isRepaired
  return Effect.gen(function* () {
    yield* Console.log(`${title}${isRepaired ? ", repaired" : ""}`)
    yield* begin
    // Long enough for what goes on by itself.
    yield* Effect.sleep(isRepaired ? "8 seconds" : "4 seconds")
    const program = `node --conditions=effect-saga:source src/bin.ts attention --url .data/accident-${number}`
    yield* Console.log(`The program has stopped. Find it: ${program} --unanswered-after 1s --in-doubt-after 1s`)
    if (!isRepaired)
      yield* Console.log(`Then the command that it prints, and: npm run accident -- ${number} --repaired`)
  }).pipe(Effect.provide(Live))
}

await Effect.runPromise(accident === undefined ? Console.log(usage) : run(accident))
