/** A saga that starts another one, which lives on by itself: taken back while it can be, and as it should be afterwards. */
import { Console, Effect, Layer, Schema } from "effect"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  Signal,
  TransactionCommitter
} from "effect-saga"

const Picked = Signal.make("picked", { payload: Schema.String })
const FirstDay = Signal.make("first-day", { payload: Schema.Void })

/** Weeks may pass before somebody picks the laptop up: nobody waits for this saga. */
const Laptop = Saga.make("Laptop", { context: { name: Schema.String } }).pipe(
  Saga.local("order", {
    execute: ({ name }) => Console.log(`  order a laptop for ${name}`),
    compensate: ({ name }) => Console.log(`  cancel the laptop of ${name}`)
  }),
  Saga.waitFor("serial", { signal: Picked }),
  Saga.commit
)

class NoContract extends Schema.TaggedError<NoContract>()("NoContract", { name: Schema.String }) {}

const Join = Saga.make("Join", { context: { name: Schema.String, signs: Schema.Boolean } }).pipe(
  Saga.local("account", {
    execute: ({ name }) => Console.log(`  an account for ${name}`),
    compensate: ({ name }) => Console.log(`  close the account of ${name}`)
  }),
  // Started once, whatever crashes. The result is the uuid of its execution.
  Saga.start("laptop", {
    saga: Laptop,
    context: ({ name }) => ({ name }),
    startKey: ({ name }) => `laptop of ${name}`,
    compensate: (_, { context }) => Console.log(`  a box for laptop ${context?.serial}, to be sent back`)
  }),
  Saga.waitFor("firstDay", { signal: FirstDay }),
  Saga.local("contract", {
    error: NoContract,
    execute: ({ name, signs }) => (signs ? Console.log(`  ${name} signs`) : Effect.fail(new NoContract({ name })))
  }),
  Saga.commit
)

const join = Effect.fnUntraced(function* (name: string, signs: boolean, serial?: string) {
  yield* Console.log(`${name} joins`)
  const start = { context: { name, signs }, startKey: `join of ${name}` }
  const laptop = { context: { name }, startKey: `laptop of ${name}` }
  yield* SagaManager.run(Join, { ...start, pauseOnDisk: true })
  // The same key is the same execution: this waits until the laptop is ordered.
  yield* SagaManager.run(Laptop, { ...laptop, pauseOnDisk: true })
  if (serial !== undefined) {
    yield* SagaManager.signal(Picked, { startKey: laptop.startKey, payload: serial })
    yield* SagaManager.run(Laptop, laptop)
  }
  yield* SagaManager.signal(FirstDay, { startKey: start.startKey, payload: undefined })
  yield* SagaManager.execute(Join, start).pipe(
    Effect.andThen(Console.log(`  ${name} is there`)),
    Effect.catchTag("NoContract", () => Console.log(`  ${name} does not come`))
  )
})

const Live = SagaManager.layer([Join, Laptop]).pipe(
  Layer.provide([
    SagaConfig.layer({ service: "people" }),
    SagaExecutionRepository.layerMemoryWith({ keep: 100 }),
    Broker.layerMemory,
    TransactionCommitter.layerNone
  ])
)

Effect.runPromise(
  Effect.gen(function* () {
    yield* join("Ada", true)
    yield* join("Bob", false)
    yield* join("Cleo", false, "L-17")
  }).pipe(Effect.provide(Live))
)
