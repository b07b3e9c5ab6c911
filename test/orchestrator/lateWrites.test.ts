/** C20, I28: writes that land late, whose answer is lost, or that an instance would make whose lease is over. */
import { assert, it } from "@effect/vitest"
import { Clock, Context, Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaExecutionRepository, SagaManager, SagaOwnership } from "effect-saga"
import { lines, makeWorld, open, quiet, until, type World, write } from "../fixtures/manager.ts"

const config = { recoveryInterval: "3 seconds", lease: "9 seconds" } as const
const away = new SagaExecutionRepository.SagaExecutionRepositoryError({ operation: "claim", reason: "unavailable" })

type Repository = World["store"]["repository"]
type Gate = Deferred.Deferred<void>

/** The claims of the instance that has claimed first fail while `isAway`. */
const firstOf = ({ store: { repository } }: World) => {
  const { claim } = repository
  const first = { isAway: false, owner: "" }
  const names = (owner: string) => owner.split("#")[0]
  Object.assign(repository, {
    claim: (request: Parameters<Repository["claim"]>[0]) =>
      Effect.suspend(() => {
        if (first.owner === "") first.owner = request.owner
        if (names(first.owner) !== names(request.owner)) return claim(request)
        return first.isAway ? Effect.fail(away) : claim(request)
      })
  })
  return first
}

/** The next write lands when the gate opens. */
const holdNext = (repository: Repository, gate: Gate): void => {
  const { store } = repository
  Object.assign(repository, {
    store: (...args: Parameters<Repository["store"]>) => {
      Object.assign(repository, { store })
      return Effect.andThen(Deferred.await(gate), store(...args))
    }
  })
}

const gated = (gate: Deferred.Deferred<void>) =>
  Saga.make("Gated", { context: {} }).pipe(
    Saga.local("one", { execute: () => Effect.andThen(write("one"), Deferred.await(gate)) }),
    Saga.local("two", { execute: () => write("two") }),
    Saga.commit
  )

it.effect("C20 a write that lands under a former name is taken again before its step begins (I28)", () =>
  Effect.gen(function* () {
    const late = Deferred.makeUnsafe<void>()
    const gate = Deferred.makeUnsafe<void>()
    const saga = gated(gate)
    const world = yield* makeWorld({ keep: 10 })
    const { repository } = world.store
    const first = firstOf(world)
    const one = yield* open(world, { ...config, sagas: [saga] })
    yield* open(world, { ...config, sagas: [saga] })
    holdNext(repository, late)
    const running = yield* Effect.forkChild(one.use(SagaManager.run(saga, { context: {} })))
    yield* quiet
    first.isAway = true
    yield* TestClock.adjust("12 seconds")
    first.isAway = false
    yield* TestClock.adjust("3 seconds")
    yield* Deferred.succeed(late, undefined)
    yield* until("the step runs", () => lines(world).length > 0)
    // The other instance claims what dead instances have, also while this one cannot.
    first.isAway = true
    yield* TestClock.adjust("5 seconds")
    first.isAway = false
    yield* TestClock.adjust("12 seconds")
    yield* quiet
    assert.deepStrictEqual(lines(world), ["one"])
    yield* Deferred.succeed(gate, undefined)
    assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    assert.deepStrictEqual(lines(world), ["one", "two"])
  })
)

it.effect("C20 a step whose intent was stored too late begins when the lease is renewed, and not before", () =>
  Effect.gen(function* () {
    const late = Deferred.makeUnsafe<void>()
    const saga = Saga.make("Late", { context: {} }).pipe(
      Saga.local("one", { execute: () => write("one") }),
      Saga.commit
    )
    const world = yield* makeWorld({ keep: 10 })
    const { repository } = world.store
    // In memory a write takes no time.
    Object.assign(repository, { durable: true })
    const first = firstOf(world)
    const one = yield* open(world, { ...config, sagas: [saga] })
    holdNext(repository, late)
    const running = yield* Effect.forkChild(one.use(SagaManager.run(saga, { context: {} })))
    yield* quiet
    first.isAway = true
    yield* TestClock.adjust("12 seconds")
    yield* Deferred.succeed(late, undefined)
    yield* until("the intent is stored", () => world.story.length > 0)
    yield* TestClock.adjust("3 seconds")
    yield* quiet
    assert.deepStrictEqual(lines(world), [])
    first.isAway = false
    yield* TestClock.adjust("6 seconds")
    assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    assert.deepStrictEqual(lines(world), ["one"])
  })
)

it.effect(
  "C20 after a write whose answer was lost nothing begins that another instance has taken meanwhile (I28)",
  () =>
    Effect.gen(function* () {
      const gate = Deferred.makeUnsafe<void>()
      const saga = gated(gate)
      const world = yield* makeWorld({ keep: 10 })
      const { repository } = world.store
      const first = firstOf(world)
      const one = yield* open(world, { ...config, sagas: [saga] })
      const running = yield* Effect.forkChild(one.use(SagaManager.run(saga, { context: {} })))
      yield* until("the step runs", () => lines(world).length === 1)
      const { store } = repository
      Object.assign(repository, {
        store: (...[execution, hint]: Parameters<Repository["store"]>) => {
          Object.assign(repository, { store })
          return Effect.gen(function* () {
            const { uuid } = yield* store(execution, hint)
            const now = yield* Clock.currentTimeMillis
            yield* repository.release(first.owner)
            yield* repository.claim({ owner: "other#1", limit: 0, now, leaseMillis: 60_000 })
            assert.strictEqual(yield* repository.take({ uuid, owner: "other#1", now }), "other#1")
            return yield* Effect.fail(away)
          })
        }
      })
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("2 seconds")
      yield* quiet
      assert.deepStrictEqual(lines(world), ["one"], "the next step is the other instance's")
      yield* Fiber.interrupt(running)
    })
)

it.effect("C20 after a write whose answer was lost a step that must not run twice begins, if nobody has taken it", () =>
  Effect.gen(function* () {
    const saga = Saga.make("Fragile", { context: {} }).pipe(
      Saga.local("one", { execute: () => write("one") }),
      Saga.local("two", { execute: () => write("two"), onCrash: "park" }),
      Saga.commit
    )
    const world = yield* makeWorld({ keep: 10 })
    const one = yield* open(world, { ...config, sagas: [saga] })
    let writes = 0
    world.store.fault = (operation) =>
      operation === "store" && ++writes === 2 ? { reason: "unavailable", worked: true } : undefined
    const running = yield* Effect.forkChild(one.use(SagaManager.run(saga, { context: {} })))
    yield* TestClock.adjust("2 seconds")
    assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    assert.deepStrictEqual(lines(world), ["one", "two"])
  })
)

it.effect("C20 an instance whose lease is over writes nothing before it has renewed it", () =>
  Effect.gen(function* () {
    const gate = Deferred.makeUnsafe<void>()
    const saga = gated(gate)
    const world = yield* makeWorld({ keep: 10 })
    const first = firstOf(world)
    const one = yield* open(world, { ...config, sagas: [saga] })
    const running = yield* Effect.forkChild(one.use(SagaManager.run(saga, { context: {} })))
    yield* until("the step runs", () => lines(world).length === 1)
    first.isAway = true
    yield* TestClock.adjust("12 seconds")
    const { length } = world.store.attempts
    yield* Deferred.succeed(gate, undefined)
    yield* TestClock.adjust("6 seconds")
    yield* quiet
    assert.strictEqual(world.store.attempts.length, length)
    first.isAway = false
    yield* TestClock.adjust("6 seconds")
    assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    assert.deepStrictEqual(lines(world), ["one", "two"])
  })
)

it.effect("C20 a transactional step commits without the intent of the next step where its instance has no lease", () =>
  Effect.gen(function* () {
    const gate = Deferred.makeUnsafe<void>()
    const saga = Saga.make("Deposit", { context: {} }).pipe(
      Saga.local("one", {
        transactional: true,
        execute: () => Effect.andThen(write("one"), Deferred.await(gate))
      }),
      Saga.local("two", { execute: () => write("two"), onCrash: "park" }),
      Saga.commit
    )
    const world = yield* makeWorld({ keep: 10 })
    const first = firstOf(world)
    const one = yield* open(world, { ...config, sagas: [saga] })
    const running = yield* Effect.forkChild(one.use(SagaManager.run(saga, { context: {} })))
    yield* until("the step runs", () => lines(world).length === 1)
    first.isAway = true
    yield* TestClock.adjust("12 seconds")
    yield* Deferred.succeed(gate, undefined)
    yield* until("the step is stored", () => world.story.at(-1) === "stored StepSucceeded")
    yield* quiet
    assert.deepStrictEqual(lines(world), ["one"])
    // Another instance goes on: it would park a step that had begun.
    yield* open(world, { ...config, sagas: [saga] })
    yield* TestClock.adjust("6 seconds")
    first.isAway = false
    yield* TestClock.adjust("6 seconds")
    assert.strictEqual((yield* Fiber.join(running)).status, "finished")
    assert.deepStrictEqual(lines(world), ["one", "two"])
  })
)

it.effect(
  "C20 after a commit that takes longer than the lease the next step begins when the lease is renewed (I28)",
  () =>
    Effect.gen(function* () {
      const late = Deferred.makeUnsafe<void>()
      const saga = Saga.make("Deposit", { context: {} }).pipe(
        Saga.local("one", { transactional: true, execute: () => write("one") }),
        Saga.local("two", { execute: () => write("two") }),
        Saga.commit
      )
      const world = yield* makeWorld({ keep: 10 })
      const { repository } = world.store
      const { atomically } = repository
      Object.assign(repository, {
        atomically: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.tap(atomically(work), () => Deferred.await(late))
      })
      const first = firstOf(world)
      const one = yield* open(world, { ...config, sagas: [saga] })
      const running = yield* Effect.forkChild(one.use(SagaManager.run(saga, { context: {} })))
      yield* until("the step is stored with the intent of the next one", () => world.story.length === 2)
      first.isAway = true
      yield* TestClock.adjust("12 seconds")
      yield* Deferred.succeed(late, undefined)
      yield* TestClock.adjust("3 seconds")
      yield* quiet
      assert.deepStrictEqual(lines(world), ["one"])
      first.isAway = false
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      assert.deepStrictEqual(lines(world), ["one", "two"])
    })
)

it.effect("C20 who has not renewed takes nothing from others, and what names a former name of its own is its own", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld()
    const { repository } = world.store
    const asked: Array<Parameters<Repository["take"]>[0]> = []
    let lapsed = false
    let holders: ReadonlyArray<string> = []
    let said: ReadonlyMap<string, string | undefined> | undefined
    let whileClaiming: Effect.Effect<unknown> = Effect.void
    const scripted: Repository = {
      ...repository,
      claim: () =>
        Effect.gen(function* () {
          const claimed = {
            ...{ executions: [], inbox: [], lapsed, lost: ["u", "v"] },
            ...(said !== undefined && { holders: said })
          }
          lapsed = false
          yield* whileClaiming
          return claimed
        }),
      take: (request) =>
        Effect.sync(() => {
          asked.push(request)
          const [holder = request.owner, ...others] = holders
          holders = others
          return holder
        })
    }
    const ownership = Layer.provide(
      SagaOwnership.layerLease,
      Layer.succeed(SagaExecutionRepository.SagaExecutionRepository, scripted)
    )
    const { join } = Context.get(yield* Layer.build(ownership), SagaOwnership.SagaOwnership)
    const member = yield* join({ id: "a", service: "s", lease: 9_000, leave: () => Effect.void, look: Effect.void })
    const claim = Effect.flatMap(Clock.currentTimeMillis, (now) => member.claim({ limit: 1, now }))
    const take = Effect.flatMap(Clock.currentTimeMillis, (now) => member.take({ uuid: "u", now }))
    yield* claim
    yield* take
    assert.notProperty(asked[0], "spares")
    yield* TestClock.adjust("9 seconds")
    yield* take
    assert.propertyVal(asked[1], "spares", true)
    lapsed = true
    yield* claim
    assert.strictEqual(member.owner, "a#2")
    holders = ["a#1"]
    assert.strictEqual(yield* take, "a#2")
    assert.propertyVal(asked[3], "former", "a#1")
    whileClaiming = Effect.orDie(take)
    holders = ["a#2", "b#1", "b#1"]
    assert.deepStrictEqual((yield* claim).lost, ["v"], "it was taken since the claim was read")
    whileClaiming = Effect.void
    // A write under the former name has landed since the name was changed: it is no other's.
    holders = ["a#1", "a#2", "b#1"]
    assert.deepStrictEqual((yield* claim).lost, ["v"])
    assert.isTrue(asked.slice(-3).every(({ spares }) => spares === true))
    holders = ["b#1", "b#1"]
    assert.deepStrictEqual((yield* claim).lost, ["u", "v"])
    // Where the claim says who has them, only what names the instance itself is asked for.
    const before = asked.length
    said = new Map([
      ["u", "b#1"],
      ["v", undefined]
    ])
    assert.deepStrictEqual((yield* claim).lost, ["u", "v"])
    assert.strictEqual(asked.length, before)
    said = new Map([
      ["u", "a#1"],
      ["v", "b#1"]
    ])
    holders = ["a#2"]
    assert.deepStrictEqual((yield* claim).lost, ["v"])
    assert.deepStrictEqual([asked.length, asked.at(-1)?.uuid], [before + 1, "u"])
  })
)

it.effect(
  "C20 a lease that is over twice in a row leaves nothing behind under the name that it had at first (I28)",
  () =>
    Effect.gen(function* () {
      const gate = Deferred.makeUnsafe<void>()
      const saga = gated(gate)
      const world = yield* makeWorld({ keep: 10 })
      const { repository } = world.store
      const one = yield* open(world, { ...config, sagas: [saga] })
      const running = yield* Effect.forkChild(one.use(SagaManager.run(saga, { context: {} })))
      yield* until("the step runs", () => lines(world).length === 1)
      const { claim } = repository
      // The lease is over; it begins under a new name, whose claim is cut off before it has renamed what is held.
      let claims = 0
      Object.assign(repository, {
        claim: (request: Parameters<Repository["claim"]>[0]) =>
          Effect.suspend(() => {
            claims++
            if (claims <= 4) return Effect.fail(away)
            if (request.former === undefined || claims > 6) return claim(request)
            const cut = claim({ ...request, holds: [], limit: 0 })
            return Effect.andThen(cut, Effect.delay(Effect.fail(away), "10 seconds"))
          })
      })
      yield* TestClock.adjust("1 minute")
      yield* quiet
      assert.deepStrictEqual(lines(world), ["one"])
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      assert.deepStrictEqual(lines(world), ["one", "two"])
    })
)

it.effect(
  "I28 a step goes on whose execution another instance had before this one took it, when a claim says so late",
  () =>
    Effect.gen(function* () {
      const [late, gate, answer] = [0, 1, 2].map(() => Deferred.makeUnsafe<void>()) as [Gate, Gate, Gate]
      const saga = Saga.make("Late", { context: {} }).pipe(
        Saga.remote("ask", { execute: { target: "stock/Count", content: () => null } }),
        Saga.local("one", { execute: () => Effect.andThen(write("one"), Deferred.await(gate)) }),
        Saga.commit
      )
      const world = yield* makeWorld({ keep: 10 })
      const { repository } = world.store
      const one = yield* open(world, { ...config, sagas: [saga] })
      const running = yield* Effect.forkChild(one.use(SagaManager.run(saga, { context: {} })))
      yield* until("it has asked", () => world.wire.sent.length > 0)
      yield* quiet
      const { id, saga: uuid } = world.wire.sent[0]!.envelope
      const { claim, store } = repository
      Object.assign(repository, {
        store: (...args: Parameters<Repository["store"]>) => Effect.andThen(Deferred.await(late), store(...args))
      })
      const reply = { inReplyTo: id, sender: "stock", status: 200, relatedServices: ["stock"] } as const
      yield* Effect.forkChild(one.manager.reply(uuid, reply))
      yield* quiet
      let lost: ReadonlyArray<string> = []
      Object.assign(repository, {
        claim: Effect.fnUntraced(function* (request: Parameters<Repository["claim"]>[0]) {
          Object.assign(repository, { claim })
          // Another instance looks at it, and gives it back.
          const { now } = request
          const owner = "other#1"
          const { revision } = yield* repository.load(uuid)
          yield* claim({ owner, limit: 0, now, leaseMillis: 60_000 })
          yield* repository.take({ uuid, owner, now })
          const claimed = yield* claim(request)
          lost = claimed.lost
          assert.isTrue(yield* repository.giveBack({ uuid, owner, revision, wakeAt: Number.POSITIVE_INFINITY }))
          yield* Deferred.await(answer)
          return claimed
        })
      })
      yield* TestClock.adjust("3 seconds")
      yield* until("the claim has read it", () => lost.length === 1)
      yield* Deferred.succeed(late, undefined)
      yield* until("the step runs", () => lines(world).length === 1)
      yield* Deferred.succeed(answer, undefined)
      yield* TestClock.adjust("6 seconds")
      yield* quiet
      assert.deepStrictEqual(lines(world), ["one"])
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      assert.deepStrictEqual(lines(world), ["one"])
    })
)
