/** One instance of a service in a process of its own, to be killed and frozen. It answers with its number. */
import process from "node:process"
import { Context, Effect, Layer, Logger } from "effect"
import { Participant, ParticipantStore } from "effect-saga"
import { MqttBroker } from "effect-saga/mqtt"
import { ready } from "../../fixtures/mqtt.ts"
import { Stock } from "./Stock.ts"

export interface Instance extends MqttBroker.MqttOptions {
  readonly number: number
}

const serve = Effect.fnUntraced(function* ({ number, ...options }: Instance) {
  const broker = yield* Layer.build(MqttBroker.layer(options))
  yield* Layer.build(
    Participant.layer(Stock, { Reserve: () => Effect.succeed(number) }).pipe(
      Layer.provide([ParticipantStore.layerMemory, Layer.succeedContext(broker)])
    )
  )
  yield* ready(Context.get(broker, MqttBroker.MqttConnections))
  yield* Effect.sync(() => process.stdout.write("up\n"))
  return yield* Effect.never
})

Effect.runPromise(Effect.scoped(serve(JSON.parse(process.argv[2]!))).pipe(Effect.provide(Logger.layer([]))))
