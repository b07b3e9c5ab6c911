/** F7 on a server: three processes, each with a repository of its own, and one request that nobody answers. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Deferred, Effect, Layer, Stream } from "effect"
import { Broker, Saga, SagaConfig, SagaManager, TransactionCommitter } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { schemaOf, server, url } from "../../fixtures/postgres.ts"

const Asks = Saga.make("Asks", { context: {} }).pipe(
  Saga.remote("first", { execute: { target: "stock/Reserve", content: () => null } }),
  Saga.remote("second", { execute: { target: "payments/Charge", content: () => null } }),
  Saga.commit
)

/** When a request is sent again, in milliseconds after it was stored: at 1 s, and ever later. */
const due = [0, 1_000, 3_000, 7_000]

/** Says when each message left, and when the second request has left as often as it should. */
const makeBroker = () => {
  const sent: Array<{ readonly id: string; readonly path: string; readonly at: number }> = []
  const done = Deferred.makeUnsafe<void>()
  const broker: Broker.Broker["Service"] = {
    publish: ({ body }) =>
      Effect.gen(function* () {
        const { id, path } = JSON.parse(body)
        sent.push({ id, path, at: yield* Clock.currentTimeMillis })
        if (of("1").length === due.length) yield* Deferred.succeed(done, undefined)
      }),
    subscribe: () => Stream.never
  }
  const of = (path: string) => sent.filter((one) => one.path === path)
  return { broker, done, of }
}

const process = (schema: string, broker: Broker.Broker["Service"]) =>
  Effect.map(
    Layer.build(
      Layer.fresh(
        SagaManager.layer([Asks]).pipe(
          Layer.provide([
            SagaConfig.layer({ service: "orders", recoveryInterval: "500 millis", lease: "10 seconds" }),
            SqlSagaExecutionRepository.layer({ schema }),
            Layer.succeed(Broker.Broker, broker),
            TransactionCommitter.layerNone
          ])
        )
      )
    ),
    Context.get(SagaManager.SagaManager)
  )

// Needs a server: PGlite is one process.
describe.runIf(url !== undefined)("resends on Postgres", () => {
  it.live(
    "F7 of three processes one sends a request again, once each time it is due",
    () => {
      const schema = schemaOf("resends")
      const { broker, done, of } = makeBroker()
      return Effect.gen(function* () {
        const processes = yield* Effect.forEach([1, 2, 3], () => process(schema, broker))
        const [one, , three] = processes as [Manager, Manager, Manager]
        const { uuid } = yield* SagaManager.run(Asks, { context: {}, pauseOnDisk: true }).pipe(
          Effect.provideService(SagaManager.SagaManager, one)
        )
        const [{ id } = { id: "" }] = of("0")
        // The reply comes to another process, which sends the next request.
        const reply = { inReplyTo: id, sender: "stock", status: 200, content: null, relatedServices: [] } as const
        assert.strictEqual(yield* three.reply(uuid, reply), "applied")
        yield* Deferred.await(done)
        const { events } = yield* one.load(uuid)
        const stored = events.find((fact) => fact._tag === "RequestSent" && fact.path === "1")?.at ?? Number.NaN
        // None leaves before it is due: a second one of the same time would come before the time of the next.
        of("1").forEach(({ at }, n) => {
          assert.isAtLeast(at - stored, due[n]!, `send ${n}`)
        })
        assert.strictEqual(new Set(of("1").map(({ id }) => id)).size, 1)
      }).pipe(Effect.scoped, Effect.provide(server(schema, 24)))
    },
    30_000
  )
})

type Manager = SagaManager.SagaManager["Service"]
