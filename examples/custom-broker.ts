/** A transport of one's own, from two functions: here a queue for each service, elsewhere any message broker. */
import { Console, Effect, Layer, Queue, Schema, Stream } from "effect"
import {
  Broker,
  Participant,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"

/** Says what it carries. What is not acknowledged when a subscription ends goes back and is delivered again. */
const QueueLive = Layer.sync(Broker.Broker, () => {
  const queues = new Map<string, Queue.Queue<Broker.Message>>()
  const queueOf = Effect.fn(function* (service: string, kind: Broker.Kind) {
    const key = `${service}/${kind}`
    const queue = queues.get(key) ?? (yield* Queue.unbounded<Broker.Message>())
    queues.set(key, queue)
    return queue
  })
  return Broker.Broker.of({
    publish: Effect.fn(function* (message) {
      const { kind, to } = message.address
      yield* Console.log(Broker.topic(message.address))
      yield* Queue.offer(yield* queueOf(to, kind), message)
    }),
    subscribe: ({ kinds, service }) =>
      Stream.mergeAll(
        kinds.map((kind) =>
          Stream.unwrap(
            Effect.map(queueOf(service, kind), (queue) => {
              const open = new Set<Broker.Message>()
              return Stream.fromQueue(queue).pipe(
                Stream.map((message): Broker.Delivery => {
                  open.add(message)
                  return { ...message, redelivered: false, acknowledge: Effect.sync(() => open.delete(message)) }
                }),
                Stream.ensuring(Queue.offerAll(queue, open))
              )
            })
          )
        ),
        { concurrency: "unbounded" }
      )
  })
})
