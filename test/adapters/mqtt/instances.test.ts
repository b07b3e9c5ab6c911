/**
 * Instances of a service that come and go (F38): each is killed under load until one is left, and what is asked meanwhile is
 * answered by those that live. It prints how long that took. `npm run chaos:instances` does it with ten instances;
 * `SAGA_TEST_EXPIRY=5000` gives them client ids and sessions that outlive them for so many milliseconds.
 */
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Logger, Schema, type Scope } from "effect"
import { Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { MqttBroker } from "effect-saga/mqtt"
import * as Mosquitto from "../../fixtures/mosquitto.ts"
import { ready } from "../../fixtures/mqtt.ts"
import * as Program from "../../kill/Program.ts"
import type { Instance } from "./instance.program.ts"
import { Stock } from "./Stock.ts"

const instances = Number(process.env.SAGA_TEST_INSTANCES ?? 3)
const sessionExpiry = process.env.SAGA_TEST_EXPIRY
/** Orders a second. */
const rate = 50
/** Orders that begin between two kills. */
const between = Number(process.env.SAGA_TEST_BETWEEN ?? 100)

const Order = Saga.make("Order", { context: { order: Schema.Int } }).pipe(
  Saga.remote("instance", { execute: { command: Stock.commands.Reserve, payload: () => ({}) } }),
  Saga.commit
)

const service = (url: string, number: number) =>
  Effect.gen(function* () {
    const options: Instance = {
      url,
      number,
      ...(sessionExpiry !== undefined && { clientId: `stock-${number}`, sessionExpiry: Number(sessionExpiry) })
    }
    const program = yield* Program.start(new URL("./instance.program.ts", import.meta.url), JSON.stringify(options))
    yield* Program.printed(program, "up")
    return program
  })

const orders = (url: string) =>
  Effect.gen(function* () {
    const broker = yield* Layer.build(MqttBroker.layer({ url, clientId: "orders-1" }))
    const services = yield* Layer.build(
      SagaManager.layer([Order]).pipe(
        Layer.provide([
          SagaConfig.layer({ service: "orders" }),
          SagaExecutionRepository.layerMemory,
          TransactionCommitter.layerNone,
          Layer.succeedContext(broker)
        ])
      )
    )
    yield* ready(Context.get(broker, MqttBroker.MqttConnections))
    return (order: number) => Effect.provideContext(SagaManager.execute(Order, { context: { order } }), services)
  })

interface Answered {
  /** The number of the instance that has answered. */
  readonly by: number
  readonly begun: number
  readonly ended: number
}

/** Begins orders at an even rate, whether or not the earlier ones are answered; gives those that are answered. */
const load = (place: Effect.Success<ReturnType<typeof orders>>) => {
  let next = 0
  return Effect.fnUntraced(function* (count: number) {
    const fibers: Array<Fiber.Fiber<Answered, unknown>> = []
    const one = Effect.suspend(() => {
      const begun = performance.now()
      return Effect.map(place(next++), ({ instance }) => ({ by: instance, begun, ended: performance.now() }))
    })
    for (let n = 0; n < count; n++) {
      fibers.push(yield* Effect.forkScoped(one, { startImmediately: true }))
      yield* Effect.sleep(1_000 / rate)
    }
    return fibers
  })
}

const joined = (fibers: ReadonlyArray<Fiber.Fiber<Answered, unknown>>) => Effect.forEach(fibers, Fiber.join)

const took = (all: ReadonlyArray<Answered>): string => {
  const times = all.map(({ begun, ended }) => ended - begun).sort((a, b) => a - b)
  const at = (part: number) => `${Math.round(times[Math.floor((times.length - 1) * part)]!)} ms`
  const late = times.filter((time) => time > 2_000).length
  return `half ${at(0.5)}, 90 % ${at(0.9)}, all ${at(1)}, ${late} of ${times.length} after 2 s`
}

const withBroker = <A, E>(use: (url: string) => Effect.Effect<A, E, Scope.Scope>) =>
  Effect.provide(
    Effect.flatMap(Mosquitto.started(), ({ url }) => use(url)),
    Logger.layer([])
  )

const started = (url: string, count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, number) => number),
    (number) => service(url, number),
    { concurrency: 2 }
  )

/** A busy machine may take seconds to start a process. */
const timeout = instances * (20_000 + between * (3_000 / rate))

if (Mosquitto.binary !== undefined) {
  describe("F38 instances that come and go", () => {
    it.live(
      "F38 C13 those that live answer everything, whichever of the others are killed under load",
      () =>
        withBroker(
          Effect.fnUntraced(function* (url) {
            const programs = yield* started(url, instances)
            const begin = load(yield* orders(url))
            console.log(`${instances} live: ${took(yield* joined(yield* begin(between)))}`)
            const rounds: Array<Effect.Effect<readonly [number, ReadonlyArray<Answered>], unknown>> = []
            for (const [number, program] of programs.slice(1).entries()) {
              yield* program.kill
              rounds.push(Effect.map(joined(yield* begin(between)), (answered) => [number + 1, answered]))
            }
            for (const round of rounds) {
              const [killed, answered] = yield* round
              assert.isTrue(answered.every(({ by }) => by === 0 || by > killed))
              console.log(`${instances - killed} live: ${took(answered)}`)
            }
          })
        ),
      timeout
    )

    it.live(
      "F38 C13 those that live answer everything while another one stands still",
      () =>
        withBroker(
          Effect.fnUntraced(function* (url) {
            const [frozen] = yield* started(url, 2)
            const begin = load(yield* orders(url))
            yield* frozen!.signal("SIGSTOP")
            const answered = yield* joined(yield* begin(between))
            assert.isTrue(answered.every(({ by }) => by === 1))
            console.log(`one stands still: ${took(answered)}`)
            yield* frozen!.signal("SIGCONT")
            // It takes its part again.
            yield* Effect.repeat(Effect.flatMap(begin(4), joined), { until: (all) => all.some(({ by }) => by === 0) })
          })
        ),
      timeout
    )
  })
}
