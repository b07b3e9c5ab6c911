/** A transport of your own, from two functions. Here it is a queue for each service; it can be any message broker. */
import { Console, Effect, Layer, Queue, Schema, Semaphore, Stream } from "effect"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"

/**
 * A message may arrive late, twice or never: a sender that waits for an answer sends it again. A message that is not
 * acknowledged when its subscription ends is delivered to the next subscription.
 */
const QueueLive = Layer.sync(Broker.Broker, () => {
  type Waiting = Omit<Broker.Delivery, "acknowledge">
  const queues = new Map<string, Queue.Queue<Waiting>>()
  const queueOf = Effect.fn(function* (service: string, kind: Broker.Kind) {
    const queue = queues.get(`${service} ${kind}`) ?? (yield* Queue.unbounded<Waiting>())
    queues.set(`${service} ${kind}`, queue)
    return queue
  })
  const deliveries = Effect.fn(function* (service: string, kind: Broker.Kind, maxInFlight: number) {
    const queue = yield* queueOf(service, kind)
    const room = yield* Semaphore.make(maxInFlight)
    const open = new Set<Waiting>()
    const next = Effect.map(Effect.andThen(room.take(1), Queue.take(queue)), (waiting): Broker.Delivery => {
      const acknowledge = Effect.suspend(() => room.release(open.delete(waiting) ? 1 : 0))
      open.add(waiting)
      return { ...waiting, acknowledge: Effect.asVoid(acknowledge) }
    })
    const giveBack = Effect.forEach(open, (waiting) => Queue.offer(queue, { ...waiting, redelivered: true }))
    return Stream.ensuring(Stream.fromEffectRepeat(next), giveBack)
  })
  return Broker.Broker.of({
    publish: Effect.fn(function* (message) {
      const { kind, to } = message.address
      yield* Console.log(Broker.topic(message.address))
      yield* Queue.offer(yield* queueOf(to, kind), { ...message, redelivered: false })
    }),
    subscribe: ({ kinds, maxInFlight = 64, service }) =>
      Stream.mergeAll(
        kinds.map((kind) => Stream.unwrap(deliveries(service, kind, maxInFlight))),
        { concurrency: "unbounded" }
      )
  })
})

const Weather = Participant.make("weather", {
  Ask: { payload: { city: Schema.String }, success: Schema.String }
})

const WeatherLive = Participant.layer(Weather, {
  Ask: ({ city }) => Effect.as(Console.log(`  what is the weather in ${city}?`), "rain")
})

const Picnic = Saga.make("Picnic", { context: { city: Schema.String } }).pipe(
  Saga.remote("sky", { execute: { command: Weather.commands.Ask, payload: ({ city }) => ({ city }) } }),
  Saga.commit
)

const program = Effect.gen(function* () {
  const { sky } = yield* SagaManager.execute(Picnic, { context: { city: "Ghent" } })
  yield* Console.log(`  ${sky}`)
})

const Live = Layer.merge(SagaManager.layer([Picnic]), WeatherLive).pipe(
  Layer.provide([
    SagaConfig.layer({ service: "picnics" }),
    SagaExecutionRepository.layerMemory,
    ParticipantStore.layerMemory,
    QueueLive,
    TransactionCommitter.layerNone
  ])
)

Effect.runPromise(Effect.provide(program, Live))
