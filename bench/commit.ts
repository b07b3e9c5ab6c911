/**
 * How long services take to agree, by how many there are: a saga that has finished is committed, over a wire on which every
 * message travels 10 ms. Two round trips, `reserve` and `commit`, are the least it can take.
 */
import { Context, Effect, Layer } from "effect"
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
import type { Report } from "./run.ts"

const travel = 10
const rounds = 60

/** The memory broker, a wire further away. */
const wire = Layer.effect(
  Broker.Broker,
  Effect.gen(function* () {
    const inner = Context.get(yield* Layer.build(Layer.fresh(Broker.layerMemory)), Broker.Broker)
    const scope = yield* Effect.scope
    return Broker.Broker.of({
      ...inner,
      publish: (message) =>
        Effect.asVoid(Effect.forkIn(Effect.andThen(Effect.sleep(travel), Effect.orDie(inner.publish(message))), scope))
    })
  })
)

const nothing = (contract: ReturnType<typeof contractOf>) =>
  Participant.layer(contract, { Do: () => Effect.void, Undo: () => Effect.void })

const contractOf = (i: number) => Participant.make(`service${i}`, { Do: { payload: {} }, Undo: { payload: {} } })

const measure = Effect.fnUntraced(function* (participants: number) {
  const contracts = Array.from({ length: participants }, (_, i) => contractOf(i))
  // The type of a saga grows with its steps; a list that is made at run time has none.
  let open: any = Saga.make("Agree", { context: {} })
  contracts.forEach((contract, i) => {
    open = open.pipe(
      Saga.remote(`step${i}` as never, { execute: { command: contract.commands.Do, payload: () => ({}) } } as never)
    )
  })
  const saga: Saga.AnyCommitted = open.pipe(Saga.commit)
  const ports = Layer.mergeAll(
    wire,
    ParticipantStore.layerMemory,
    SagaExecutionRepository.layerMemory,
    SagaConfig.layer({ service: "orders" })
  )
  const live = Layer.mergeAll(SagaManager.layer([saga]), ...contracts.map((contract) => nothing(contract))).pipe(
    Layer.provide(TransactionCommitter.layerTwoPhase),
    Layer.provide(ports)
  )
  return yield* Effect.gen(function* () {
    const manager = yield* SagaManager.SagaManager
    const times: Array<number> = []
    for (let round = 0; round < rounds; round++) {
      const execution = yield* manager.run(saga, { context: {}, autocommit: false })
      if (typeof execution === "string") continue
      const start = performance.now()
      yield* manager.commit(execution.uuid)
      times.push(performance.now() - start)
    }
    return times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0
  }).pipe(Effect.provide(live))
})

const program = Effect.gen(function* () {
  const rows: Array<Report["rows"][number]> = []
  let fewest: number | undefined
  for (const participants of [2, 4, 8]) {
    const millis = yield* measure(participants)
    fewest ??= millis
    rows.push({
      case: `${participants} participants`,
      inFlight: 1,
      ours: Number(millis.toFixed(1)),
      reference: "2 participants",
      referenceValue: Number(fewest.toFixed(1)),
      ratio: Number((millis / fewest).toFixed(3))
    })
  }
  const failures = rows.flatMap(({ case: name, ratio }) =>
    Number(ratio) > 1.3 ? [`${name} take ${ratio} times as long to agree as two; the budget is 1.3`] : []
  )
  return { rows, failures }
})

// The services of sagas made at run time are not known to the compiler; these need none.
export const run = (): Promise<Report> => Effect.runPromise(program as unknown as Effect.Effect<Report>)
