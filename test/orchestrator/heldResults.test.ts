/** F4, C20: results that a process holds are kept while the store is away; what was only decided is decided anew. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaExecutionRepository, SagaManager } from "effect-saga"
import { lines, makeWorld, open, quiet, until, type World, write } from "../fixtures/manager.ts"

const { SagaExecutionRepositoryError } = SagaExecutionRepository
type Repository = World["store"]["repository"]

const away = (operation: "store" | "inbox") => new SagaExecutionRepositoryError({ operation, reason: "unavailable" })

/** Everything that the repository is asked for fails while `isAway`. */
const outageOf = ({ store }: World) => {
  const outage = { isAway: false }
  const { atomically, inbox } = store.repository
  store.fault = () => (outage.isAway ? { reason: "unavailable" } : undefined)
  const changed: Partial<Repository> = {
    atomically: (work) => Effect.suspend(() => (outage.isAway ? Effect.fail(away("store")) : atomically(work))),
    inbox: (uuid) => Effect.suspend(() => (outage.isAway ? Effect.fail(away("inbox")) : inbox(uuid)))
  }
  Object.assign(store.repository, changed)
  return outage
}

/** The store goes away after the first write, when all branches are about to begin. Gives what brings it back. */
const awayOnceBegun = (world: World, outage: { isAway: boolean }) => {
  const { repository } = world.store
  const { store } = repository
  Object.assign(repository, {
    store: (...args: Parameters<Repository["store"]>) =>
      Effect.tap(store(...args), () => Effect.sync(() => (outage.isAway ||= world.story.length === 1)))
  })
  return () => {
    Object.assign(repository, { store })
    outage.isAway = false
  }
}

it.effect("F4 a step beside a transactional one runs once, however long the database is away (I28)", () =>
  Effect.gen(function* () {
    const gate = Deferred.makeUnsafe<void>()
    const saga = Saga.make("Papers", { context: {} }).pipe(
      Saga.parallel("papers", {
        bill: Saga.local("invoice", { execute: () => Effect.andThen(write("invoice"), Deferred.await(gate)) }),
        post: Saga.local("label", { transactional: true, execute: () => write("label") })
      }),
      Saga.commit
    )
    const world = yield* makeWorld({ keep: 10 })
    const outage = outageOf(world)
    const { manager, use } = yield* open(world, { sagas: [saga] })
    const isBack = awayOnceBegun(world, outage)
    const caller = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(saga, { context: {} }))))
    yield* until("the step runs", () => lines(world).length > 0)
    yield* TestClock.adjust("10 minutes")
    yield* Deferred.succeed(gate, undefined)
    assert.strictEqual((yield* Fiber.join(caller))._tag, "SagaExecutionRepositoryError", "the caller is told")
    isBack()
    yield* TestClock.adjust("2 minutes")
    yield* quiet
    const [execution] = (yield* manager.find({})).items
    assert.strictEqual(execution?.status, "finished")
    assert.deepStrictEqual(lines(world), ["invoice", "label"])
  })
)

it.effect("F4 a result that comes long after the database of another branch went away is kept (I28)", () =>
  Effect.gen(function* () {
    const bill = { execute: () => Effect.delay(write("invoice"), "2 minutes"), compensate: () => write("no invoice") }
    const saga = Saga.make("Papers", { context: {} }).pipe(
      Saga.parallel("papers", {
        bill: Saga.local("invoice", bill),
        post: Saga.local("label", { transactional: true, execute: () => write("label") })
      }),
      Saga.commit
    )
    const world = yield* makeWorld({ keep: 10 })
    const outage = outageOf(world)
    const { manager, use } = yield* open(world, { sagas: [saga] })
    const isBack = awayOnceBegun(world, outage)
    yield* Effect.forkChild(Effect.exit(use(SagaManager.run(saga, { context: {} }))))
    yield* TestClock.adjust("10 minutes")
    isBack()
    yield* TestClock.adjust("2 minutes")
    yield* quiet
    assert.strictEqual(lines(world).filter((line) => line === "invoice").length, 1)
    assert.strictEqual((yield* manager.find({})).items[0]?.settled, true)
  })
)

it.effect("F4 a step that has ended runs once where the store goes away after a write that was refused (I28)", () =>
  Effect.gen(function* () {
    const saga = Saga.make("Goods", { context: {} }).pipe(
      Saga.local("charge", { execute: () => write("charge") }),
      Saga.local("receipt", { execute: () => write("receipt") }),
      Saga.commit
    )
    const world = yield* makeWorld({ keep: 10 })
    const outage = outageOf(world)
    const { manager, use } = yield* open(world, { sagas: [saga] })
    const { store } = world.store.repository
    let refused = false
    Object.assign(world.store.repository, {
      store: (...[execution, hint]: Parameters<Repository["store"]>) =>
        Effect.suspend(() => {
          if (refused || lines(world).length === 0) return store(execution, hint)
          refused = outage.isAway = true
          return Effect.fail(
            new SagaExecutionRepository.SagaExecutionConflict({
              uuid: execution.uuid,
              revision: execution.revision,
              unread: true
            })
          )
        })
    })
    const caller = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(saga, { context: {} }))))
    yield* TestClock.adjust("10 minutes")
    assert.strictEqual((yield* Fiber.join(caller))._tag, "SagaExecutionRepositoryError", "the caller is told")
    outage.isAway = false
    yield* TestClock.adjust("2 minutes")
    yield* quiet
    const [execution] = (yield* manager.find({})).items
    assert.strictEqual(execution?.status, "finished")
    assert.deepStrictEqual(lines(world), ["charge", "receipt"])
  })
)

/** The request of a step whose deadline is decided in the moment in which the store goes away. Gives how the execution ends. */
const tooLate = (when: "meanwhile" | "later") =>
  Effect.gen(function* () {
    const saga = Saga.make("Ask", { context: {} }).pipe(
      Saga.remote("ask", { execute: { target: "stock/Count", content: () => null }, timeout: "1 minute" }),
      Saga.commit
    )
    const world = yield* makeWorld({ keep: 10 })
    const { wire } = world
    const outage = outageOf(world)
    // The outage is longer than the lease.
    const { manager, use } = yield* open(world, { recoveryInterval: "3 seconds", lease: "9 seconds", sagas: [saga] })
    yield* Effect.forkChild(Effect.exit(use(SagaManager.run(saga, { context: {} }))))
    yield* until("it has asked", () => wire.sent.length > 0)
    yield* TestClock.adjust("59 seconds")
    const { store } = world.store.repository
    // The write of the deadline is the first that fails.
    Object.assign(world.store.repository, {
      store: (...args: Parameters<Repository["store"]>) => {
        outage.isAway = true
        Object.assign(world.store.repository, { store })
        return store(...args)
      }
    })
    yield* TestClock.adjust("2 seconds")
    yield* until("the deadline was decided", () => outage.isAway)
    const reply = wire.reply(wire.sent[0]!, { status: 200, content: null })
    if (when === "meanwhile") yield* reply
    yield* TestClock.adjust("30 seconds")
    outage.isAway = false
    const { length } = wire.sent
    for (let i = 0; i < 100 && wire.sent.length === length; i++) yield* TestClock.adjust("100 millis")
    if (when === "later") yield* reply
    yield* TestClock.adjust("1 minute")
    yield* quiet
    return (yield* manager.find({})).items[0]?.status
  })

it.effect(
  "C20 a deadline that was decided as the store went away gives way to the reply that came meanwhile (W5)",
  () => Effect.map(tooLate("meanwhile"), (status) => assert.strictEqual(status, "finished"))
)

it.effect("C20 a deadline that was decided as the store went away waits for the reply that comes after that (W5)", () =>
  Effect.map(tooLate("later"), (status) => assert.strictEqual(status, "finished"))
)
