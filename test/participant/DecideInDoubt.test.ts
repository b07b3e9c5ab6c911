/** C6: what a person decides about a transaction in doubt is carried out by a process of the service, once. */
import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Broker, Inspector, Participant, ParticipantStore, SagaExecutionRepository } from "effect-saga"

const Payments = Participant.make("payments", { Charge: { payload: { amount: Schema.Int } } })

const uuid = "01890000-0000-7000-8000-000000000001"
const who = { actor: "anna", reason: "orders is gone" }

const store = ParticipantStore.ParticipantStore
const scope = { service: "payments", transactions: [uuid], messages: [] }

/** A transaction in which the service has voted yes. */
const reserved = store.use(({ unit }) =>
  unit(scope, ({ save }) =>
    save({
      transactions: [
        { uuid, coordinator: "orders", status: "reserved", notAfter: 9e12, heuristic: false, updatedAt: 0 }
      ]
    })
  )
)

const stored = store.use(({ unit }) => unit(scope, ({ transactions }) => Effect.succeed(transactions.get(uuid))))

const run = (decision: "commit" | "reject", isBroken = false) =>
  Effect.gen(function* () {
    const hooks: Array<string> = []
    let fails = isBroken ? 1 : 0
    const hook = (name: string) => () =>
      Effect.suspend(() => {
        hooks.push(name)
        return fails-- > 0 ? Effect.die(new Error("away")) : Effect.void
      })
    const Live = Participant.layer(
      Payments,
      { Charge: () => Effect.void },
      { reserve: hook("reserve"), commit: hook("commit"), reject: hook("reject") }
    )
    yield* reserved
    const { decideInDoubt, inDoubt } = yield* Inspector.Inspector
    assert.lengthOf(yield* inDoubt(0), 1)
    const asked = yield* decideInDoubt({ service: "payments", uuid, decision }, { ...who, wait: 0 })
    assert.deepStrictEqual(asked, { _tag: "Waiting", inbox: 1 })
    assert.deepInclude(yield* decideInDoubt({ service: "payments", uuid, decision }, { ...who, wait: 0 }), {
      _tag: "Refused",
      why: "AlreadyDecided"
    })
    yield* Effect.gen(function* () {
      yield* TestClock.adjust("5 seconds")
      yield* TestClock.adjust("5 seconds")
      yield* TestClock.adjust("5 seconds")
    }).pipe(Effect.provide(Live))
    const { doubts } = yield* store
    assert.strictEqual(yield* doubts!.outcome("payments", uuid), "applied")
    assert.lengthOf(yield* inDoubt(0), 0)
    return { hooks, transaction: yield* stored }
  }).pipe(
    Effect.provide(Inspector.layerMemory({ services: ["payments"] })),
    Effect.provide([ParticipantStore.layerMemory, Broker.layerMemory, SagaExecutionRepository.layerMemory])
  )

it.effect("C6 a commit by hand runs the hook once, and the transaction is marked", () =>
  Effect.gen(function* () {
    const { hooks, transaction } = yield* run("commit")
    assert.deepStrictEqual(hooks, ["commit"])
    assert.deepInclude(transaction, { status: "committed", heuristic: true })
  })
)

it.effect("C6 a reject by hand whose hook fails is tried again in the next round", () =>
  Effect.gen(function* () {
    const { hooks, transaction } = yield* run("reject", true)
    assert.deepStrictEqual(hooks, ["reject", "reject"])
    assert.deepInclude(transaction, { status: "rejected", heuristic: true })
  })
)

it.effect("C6 nobody decides about a transaction that is not in doubt", () =>
  Effect.gen(function* () {
    const { decideInDoubt } = yield* Inspector.Inspector
    const outcome = yield* decideInDoubt({ service: "payments", uuid, decision: "commit" }, { ...who, wait: 0 })
    assert.deepInclude(outcome, { _tag: "Refused", why: "NotInDoubt" })
  }).pipe(
    Effect.provide(Inspector.layerMemory({ services: ["payments"] })),
    Effect.provide([ParticipantStore.layerMemory, SagaExecutionRepository.layerMemory])
  )
)
