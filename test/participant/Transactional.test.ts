/** Handlers that are served by other means, inside the transactions that the headers of their request name. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Ref } from "effect"
import { type ParticipantStore, RequestContext, SagaTransaction, transactional } from "effect-saga"
import { Declined, makeBench, uuid } from "./byHand.ts"

const other = "01890000-0000-7000-8000-000000000002"

type Headers = Readonly<Record<string, string>>

/** Serves a request with the headers given; what is left of them afterwards is told too. */
const serve = Effect.fnUntraced(function* <A, E>(
  headers: Headers,
  handler: Effect.Effect<A, E, ParticipantStore.ParticipantStore>
) {
  const bench = yield* makeBench()
  const ref = yield* Ref.make(headers)
  const exit = yield* Effect.exit(
    RequestContext.provide({ headers: ref, user: "ada" })(bench.provide(transactional("bank")(handler)))
  )
  return { ...bench, exit, headers: yield* Ref.get(ref) }
})

describe("transactional", () => {
  it.effect("MID-001 transactional without transactions runs the handler, gives its response and opens nothing", () =>
    Effect.gen(function* () {
      const { exit, store } = yield* serve({}, Effect.succeed("response"))
      assert.strictEqual(yield* exit, "response")
      const found = yield* store.find({ service: "bank", status: "pending", before: Infinity, limit: 10 })
      assert.deepStrictEqual(found, [])
    })
  )

  it.effect("MID-002 transactional adds the own service to the related services, and leaves the other headers", () =>
    Effect.gen(function* () {
      const { headers } = yield* serve({ tenant: "acme" }, Effect.void)
      assert.deepStrictEqual(headers, { tenant: "acme", related_services: "bank" })
    })
  )

  it.effect("MID-003 transactional keeps the related services that are there", () =>
    Effect.gen(function* () {
      const { headers } = yield* serve({ related_services: "stock,orders" }, Effect.void)
      assert.deepStrictEqual(headers, { related_services: "stock,orders,bank" })
    })
  )

  it.effect("MID-004 transactional runs the handler inside the transaction, which is pending afterwards", () =>
    Effect.gen(function* () {
      const { exit, status } = yield* serve({ transactions: uuid }, SagaTransaction)
      assert.deepInclude(yield* exit, { uuid, user: "ada" })
      assert.strictEqual(yield* status(), "pending")
    })
  )

  it.effect("MID-005 transactional takes the transaction off, also if the handler fails", () =>
    Effect.gen(function* () {
      const ended = yield* serve({ transactions: uuid, tenant: "acme" }, Effect.void)
      assert.deepStrictEqual(ended.headers, { tenant: "acme", related_services: "bank" })
      const failed = yield* serve({ transactions: uuid }, new Declined())
      assert.deepStrictEqual(failed.headers, { related_services: "bank" })
      assert.strictEqual((yield* Effect.flip(failed.exit))._tag, "Declined")
      assert.strictEqual(yield* failed.status(), "pending")
    })
  )

  it.effect("MID-006 transactional runs the handler inside both transactions, and both are pending afterwards", () =>
    Effect.gen(function* () {
      const { exit, status } = yield* serve({ transactions: `${uuid},${other}` }, SagaTransaction)
      assert.strictEqual((yield* exit).uuid, other)
      assert.deepStrictEqual([yield* status(uuid), yield* status(other)], ["pending", "pending"])
    })
  )

  it.effect(
    "MID-008, F33: transactional takes off the transactions that it has joined, and leaves those added since",
    () =>
      Effect.gen(function* () {
        const added = RequestContext.RequestContext.pipe(
          Effect.flatMap(({ headers }) =>
            Ref.update(headers!, (before) => ({ ...before, transactions: `${before.transactions},${other}` }))
          )
        )
        const { exit, headers, status } = yield* serve({ transactions: uuid.toUpperCase(), tenant: "acme" }, added)
        yield* exit
        assert.deepStrictEqual(headers, { tenant: "acme", transactions: other, related_services: "bank" })
        assert.deepStrictEqual([yield* status(uuid), yield* status(other)], ["pending", "none"])
      })
  )

  it.effect("C16 transactional holds the transaction open until the execution around it can no longer turn back", () =>
    Effect.gen(function* () {
      const from = (headers: Readonly<Record<string, string>>) =>
        Effect.gen(function* () {
          const { headers: left, store } = yield* serve({ transactions: uuid, ...headers }, Effect.void)
          assert.deepStrictEqual(left, { related_services: "bank" })
          const [found] = yield* store.find({ service: "bank", status: "pending", before: Infinity, limit: 10 })
          return found?.updatedAt
        })
      assert.strictEqual(yield* from({ keep_until: "7000000" }), 7_000_000)
      // Without it, or with what is no time, from now on.
      for (const headers of [{}, { keep_until: "soon" }, { keep_until: "" }, { keep_until: "1".repeat(16) }])
        assert.strictEqual(yield* from(headers), 0)
    })
  )

  it.effect("MID-007 transactional runs a handler without a request", () =>
    Effect.gen(function* () {
      const { provide, store } = yield* makeBench()
      assert.strictEqual(yield* provide(transactional("bank")(Effect.succeed("response"))), "response")
      const found = yield* store.find({ service: "bank", status: "pending", before: Infinity, limit: 10 })
      assert.deepStrictEqual(found, [])
    })
  )

  it.effect("transactional names the services that the handler enrols", () =>
    Effect.gen(function* () {
      const { headers } = yield* serve(
        { transactions: uuid },
        SagaTransaction.pipe(Effect.flatMap(({ enrol }) => enrol("stock")))
      )
      assert.deepStrictEqual(headers, { related_services: "bank,stock" })
    })
  )

  it.effect("transactional refuses to join a transaction that is over, without running the handler", () =>
    Effect.gen(function* () {
      const { deliver, provide } = yield* makeBench()
      yield* deliver({ op: "reject" })
      let ran = false
      const ref = yield* Ref.make<Headers>({ transactions: uuid })
      const handler = Effect.sync(() => {
        ran = true
      })
      const error = yield* Effect.flip(
        RequestContext.provide({ headers: ref })(provide(transactional("bank")(handler)))
      )
      assert.deepInclude(error, { _tag: "TransactionRefused", uuid, status: "rejected" })
      assert.isFalse(ran)
    })
  )

  it.effect(
    "transactional takes part in the two-phase commit like any other: its coordinator is the first that sends a message",
    () =>
      Effect.gen(function* () {
        const { deliver, status } = yield* serve({ transactions: uuid }, Effect.void)
        assert.strictEqual((yield* deliver({ op: "reserve", paths: [] })).status, 200)
        const foreign = yield* deliver({ op: "commit", changes: { coordinator: "eve" } })
        assert.deepInclude(foreign, { _tag: "putAway", fault: "SenderMismatch" })
        assert.strictEqual((yield* deliver({ op: "commit" })).status, 200)
        assert.strictEqual(yield* status(), "committed")
      })
  )
})
