/** A process that stood still is late: the hotel knows by the epoch that its step was compensated meanwhile. */
import { Console, Deferred, Effect, Fiber, Layer } from "effect"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaTransaction,
  TransactionCommitter
} from "effect-saga"

/** The hotel is another system. For each step of a saga it keeps the greatest epoch that it has seen. */
const epochs = new Map<string, number>()

/** The fields of a request to the hotel, besides the idempotency key. */
type Sender = Pick<SagaTransaction, "uuid" | "path" | "epoch">

const hotel = (what: string, { epoch, path, uuid }: Sender) =>
  Effect.suspend(() => {
    const step = `${uuid}:${path}`
    const greatest = epochs.get(step) ?? 0
    if (epoch < greatest) return Console.log(`  the hotel refuses to ${what}: ${epoch} is before ${greatest}`)
    epochs.set(step, epoch)
    return Console.log(`  the hotel is asked to ${what}: epoch ${epoch}`)
  })

/** The process stands still between reading the epoch and sending the request. */
const still = Deferred.makeUnsafe<void>()
const wakes = Deferred.makeUnsafe<void>()
const late = Deferred.makeUnsafe<Fiber.Fiber<void>>()

const reserve = Effect.gen(function* () {
  const sender = yield* SagaTransaction
  const request = Effect.andThen(Deferred.await(wakes), hotel("reserve", sender))
  yield* Deferred.succeed(late, yield* Effect.forkDetach(request))
  yield* Deferred.succeed(still, undefined)
  return yield* Effect.never
})

const cancel = Effect.flatMap(SagaTransaction, (sender) => hotel("cancel", sender))

const Trip = Saga.make("Trip", { context: {} }).pipe(
  Saga.local("room", {
    execute: () => reserve,
    compensate: { run: () => cancel, unknown: () => cancel },
    onCrash: "compensate"
  }),
  Saga.commit
)

const process = SagaManager.layer([Trip]).pipe(
  Layer.provide([
    SagaConfig.layer({ service: "trips", shutdownGrace: 0 }),
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ]),
  Layer.fresh
)

const trip = SagaManager.run(Trip, { context: {}, startKey: "trip 1", raiseOnError: false })

const program = Effect.gen(function* () {
  yield* Console.log("the first process reserves, and stands still")
  yield* Effect.raceFirst(trip, Deferred.await(still)).pipe(Effect.provide(process))
  yield* Console.log("the second process takes over")
  const { status } = yield* Effect.provide(trip, process)
  yield* Console.log(`  the trip is ${status}`)
  yield* Console.log("the first process wakes")
  yield* Deferred.succeed(wakes, undefined)
  yield* Fiber.join(yield* Deferred.await(late))
})

Effect.runPromise(Effect.provide(program, SagaExecutionRepository.layerMemoryWith({ keep: 1 })))
