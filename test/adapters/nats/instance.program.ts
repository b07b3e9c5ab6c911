/** One instance of a service in a process of its own, to be killed and frozen. It answers with its number. */
import process from "node:process"
import { Effect, Layer, Logger } from "effect"
import { Participant, ParticipantStore } from "effect-saga"
import * as Nats from "../../fixtures/nats.ts"
import { Stock } from "../mqtt/Stock.ts"

const serve = Effect.fnUntraced(function* (url: string, number: number) {
  const broker = yield* Nats.open({ url })
  yield* Layer.build(
    Participant.layer(Stock, { Reserve: () => Effect.succeed(number) }).pipe(
      Layer.provide([ParticipantStore.layerMemory, broker.layer])
    )
  )
  yield* broker.ready
  yield* Effect.sync(() => process.stdout.write("up\n"))
  return yield* Effect.never
})

const [, , url = "", number] = process.argv
Effect.runPromise(Effect.scoped(serve(url, Number(number))).pipe(Effect.provide(Logger.layer([]))))
