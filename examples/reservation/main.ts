/** One seat, and two guests who want it. The time is virtual. */
import { Console, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Participant,
  ParticipantStore,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { Mail, Paid, Seats, SoldOut, Ticket } from "./ticket.ts"

const SeatsLive = Layer.sync(Seats, () => {
  const free = ["seat 7"]
  return {
    hold: (guest) =>
      Effect.suspend(() => {
        const seat = free.pop()
        return seat === undefined
          ? Effect.fail(new SoldOut())
          : Effect.as(Console.log(`  ${guest} holds ${seat}`), seat)
      }),
    release: (seat) => Effect.map(Console.log(`  ${seat} is free again`), () => void free.push(seat))
  }
})

const MailLive = Participant.layer(Mail, {
  SendTicket: ({ seat, to }) => Console.log(`  mail to ${to}: your ticket for ${seat}`)
})

/** The bank calls back. Money that comes too late goes back. */
const pay = Effect.fn(function* (guest: string) {
  const told = yield* SagaManager.signal(Paid, { startKey: guest, payload: { payment: `payment of ${guest}` } }).pipe(
    Effect.catchTag("SagaSignalRefused", () => Effect.succeed("too late, the money goes back"))
  )
  yield* Console.log(`  ${guest} pays: ${told}`)
})

const order = (guest: string) =>
  SagaManager.execute(Ticket, { startKey: guest, context: { guest } }).pipe(
    Effect.matchEffect({
      onSuccess: ({ seat }) => Console.log(`  ${guest} has ${seat}`),
      onFailure: ({ _tag }) => Console.log(`  ${guest} has no seat: ${_tag}`)
    }),
    Effect.forkChild({ startImmediately: true })
  )

const program = Effect.gen(function* () {
  yield* Console.log("at once")
  const ada = yield* order("Ada")
  yield* Fiber.join(yield* order("Bob"))
  yield* Console.log("after 15 minutes")
  yield* TestClock.adjust("15 minutes")
  yield* Fiber.join(ada)
  yield* pay("Ada")
  yield* Console.log("after 20 minutes")
  yield* TestClock.adjust("5 minutes")
  const cleo = yield* order("Cleo")
  yield* pay("Cleo")
  yield* pay("Cleo")
  yield* Fiber.join(cleo)
})

const Live = Layer.merge(SagaManager.layer([Ticket]), MailLive).pipe(
  Layer.provide([
    SeatsLive,
    SagaConfig.layer({ service: "tickets" }),
    SagaExecutionRepository.layerMemoryWith({ keep: 100 }),
    ParticipantStore.layerMemory,
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ])
)

Effect.runPromise(program.pipe(Effect.provide(Live), Effect.provide(TestClock.layer())))
