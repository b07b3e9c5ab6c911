/**
 * A process stops: its callers, its scope, or the whole of it at a named instruction. What it has begun is finished by
 * itself or by the next one, with nothing half done. The store and the wire outlive it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Latch, Layer, Scheduler, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Broker, Participant, type ParticipantStore, Saga, SagaExecutionRepository, SagaManager } from "effect-saga"
import {
  agreeable,
  CardDeclined,
  CreateOrder,
  charged,
  context,
  type Journal,
  lines,
  makeWorld,
  open,
  Payments,
  quiet,
  reserved,
  Stock,
  start,
  until,
  type World,
  write
} from "../fixtures/manager.ts"
import { isMemory } from "../fixtures/repository.ts"

describe("a caller", () => {
  it.effect("a caller that is interrupted leaves the execution running to its end", () =>
    Effect.gen(function* () {
      const { manager, use, wire, world } = yield* start({ keep: 1 })
      const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context })))
      yield* until("the request", () => wire.sent.length === 1)
      yield* Fiber.interrupt(running)
      wire.answer = agreeable
      yield* wire.reply(wire.sent[0]!, reserved)
      yield* until("the last step", () => lines(world).length === 3)
      yield* quiet
      const { items } = yield* manager.find({})
      assert.deepStrictEqual(
        items.map(({ commitState, status }) => [status, commitState]),
        [["finished", "committed"]]
      )
    })
  )

  it.effect("a caller that is interrupted during a local step or a compensation interrupts neither", () =>
    Effect.gen(function* () {
      const step = Latch.makeUnsafe(false)
      const undo = Latch.makeUnsafe(false)
      const Slow = Saga.make("Slow", { context: {} }).pipe(
        Saga.local("one", {
          execute: () => Effect.andThen(write("begin one"), Effect.andThen(step.await, write("end one"))),
          compensate: () => Effect.andThen(write("begin undo"), Effect.andThen(undo.await, write("end undo")))
        }),
        Saga.local("two", { error: CardDeclined, execute: () => new CardDeclined({ reason: "limit" }) }),
        Saga.commit
      )
      const { manager, use, world } = yield* start({ keep: 1, sagas: [Slow] })
      const run = use(SagaManager.run(Slow, { context: {}, startKey: "k" }))
      const first = yield* Effect.forkChild(run)
      yield* until("the step", () => lines(world).length === 1)
      yield* Fiber.interrupt(first)
      yield* step.open
      const second = yield* Effect.forkChild(run)
      yield* until("undoing", () => lines(world).length === 3)
      yield* Fiber.interrupt(second)
      yield* undo.open
      yield* until("the end of undoing", () => lines(world).length === 4)
      yield* quiet
      assert.deepStrictEqual(lines(world), ["begin one", "end one", "begin undo", "end undo"])
      const { items } = yield* manager.find({})
      assert.deepStrictEqual(
        items.map(({ settled, status }) => [status, settled]),
        [["errored", true]]
      )
    })
  )
})

it.effect("C7 a manager takes no reply before it has recovered the executions of an earlier process", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld()
    const { repository } = world.store
    const { broker } = world.wire
    const story: Array<string> = []
    const looked = yield* Deferred.make<void>()
    const watched = Layer.merge(
      Layer.succeed(SagaExecutionRepository.SagaExecutionRepository, {
        ...repository,
        claim: (request) => Effect.andThen(Deferred.await(looked), repository.claim(request))
      }),
      Layer.succeed(Broker.Broker, {
        ...broker,
        subscribe: (group) =>
          Stream.suspend(() => {
            story.push(...group.kinds)
            return broker.subscribe(group)
          })
      })
    )
    const opening = yield* Effect.forkChild(open({ ...world, layers: Layer.merge(world.layers, watched) }))
    yield* quiet
    assert.deepStrictEqual(story, [])
    yield* Deferred.succeed(looked, undefined)
    yield* Fiber.join(opening)
    yield* until("it takes replies", () => story.includes("reply"))
  })
)

describe("a manager that is closed", () => {
  it.effect("a manager that is closed stops its runners, and the next one finishes the executions", () =>
    Effect.gen(function* () {
      const forever = Latch.makeUnsafe(false)
      let first = true
      const Long = Saga.make("Long", { context: {} }).pipe(
        Saga.local("one", { execute: () => write("one") }),
        Saga.local("two", {
          execute: () =>
            Effect.suspend(() => {
              if (!first) return write("two again")
              first = false
              return Effect.onInterrupt(Effect.andThen(write("two"), forever.await), () => write("two is stopped"))
            })
        }),
        Saga.local("three", { execute: () => write("three") }),
        Saga.commit
      )
      const world = yield* makeWorld({ keep: 1 })
      const one = yield* open(world, { sagas: [Long] })
      const running = yield* Effect.forkChild(Effect.exit(one.use(SagaManager.run(Long, { context: {} }))))
      yield* until("the second step", () => lines(world).length === 2)
      yield* one.close
      assert.deepStrictEqual(lines(world), ["one", "two", "two is stopped"])
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.join(running)))
      yield* forever.open
      yield* quiet
      assert.strictEqual(lines(world).length, 3)

      const two = yield* open(world, { sagas: [Long] })
      yield* until("the last step", () => lines(world).at(-1) === "three")
      yield* quiet
      const { items } = yield* two.manager.find({})
      assert.strictEqual(items[0]?.status, "finished")
      assert.deepStrictEqual(lines(world).slice(3), ["two again", "three"])
      // The same attempt in the eyes of the other side: the key is that of the step.
      const keys = world.journal.filter(({ line }) => line.startsWith("two")).map(({ key }) => key)
      assert.strictEqual(new Set(keys).size, 1)
      assert.match(keys[0]!, /:1:execute$/)
    })
  )

  it.effect("a manager that is closed starts no waiting execution, no due one, and none for a new call", () =>
    Effect.gen(function* () {
      const forever = Latch.makeUnsafe(false)
      const Busy = Saga.make("Busy", { context: { n: Schema.Int } }).pipe(
        Saga.local("work", {
          execute: ({ n }) => Effect.andThen(write(`${n}`), n === 0 ? forever.await : Effect.void)
        }),
        Saga.commit
      )
      const world = yield* makeWorld()
      const { close, manager, use } = yield* open(world, { maxRunning: 2, sagas: [Busy, CreateOrder] })
      const paused = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      const waiting = yield* Effect.forkChild(
        Effect.exit(use(SagaManager.run(CreateOrder, { context, startKey: "waits" })))
      )
      const [first, second, third] = yield* Effect.forEach([0, 0, 1], (n) =>
        Effect.forkChild(Effect.exit(use(SagaManager.run(Busy, { context: { n } }))))
      )
      yield* quiet
      assert.deepStrictEqual(lines(world), ["0", "0"])
      const sent = world.wire.sent.length
      yield* close
      for (const fiber of [first!, second!, third!]) assert.isTrue(Exit.hasInterrupts(yield* Fiber.join(fiber)))
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.join(waiting)))
      yield* forever.open
      const late = yield* Effect.exit(use(SagaManager.run(Busy, { context: { n: 2 } })))
      assert.isTrue(Exit.hasInterrupts(late))
      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(manager.cancel(paused.uuid))))
      yield* TestClock.adjust("1 hour")
      yield* world.wire.reply(world.wire.sent[0]!, reserved)
      yield* quiet
      assert.deepStrictEqual([lines(world), world.wire.sent.length, world.wire.acknowledged], [["0", "0"], sent, 0])
    })
  )

  it.effect("the next manager sends open requests again, the same to the byte, and takes the reply", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 1 })
      const { wire } = world
      const one = yield* open(world)
      const { uuid } = yield* one.use(SagaManager.run(CreateOrder, { context, user: "ada", pauseOnDisk: true }))
      yield* one.close
      // This one comes while nobody is there.
      yield* wire.reply(wire.sent[0]!, reserved)
      const two = yield* open(world)
      yield* until("the next request", () => wire.of("execute", "payments").length === 1)
      assert.strictEqual(new Set(wire.of("execute", "stock").map(({ body }) => body)).size, 1)
      assert.strictEqual(wire.of("execute", "stock").length, 2)
      yield* two.close
      const three = yield* open(world)
      yield* until("it is sent again", () => wire.of("execute", "payments").length === 2)
      assert.strictEqual(new Set(wire.of("execute", "payments").map(({ body }) => body)).size, 1)
      yield* wire.reply(wire.of("execute", "payments")[0]!, charged)
      yield* until("the end", () => lines(world).length === 3)
      yield* quiet
      assert.strictEqual((yield* three.manager.load(uuid)).status, "finished")
      assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10", "handle p-1"])
      assert.deepStrictEqual(new Set(world.journal.map(({ user }) => user)), new Set(["ada"]))
    })
  )

  it.effect("after a restart deadlines count from the time of the request, not from the restart", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 1 })
      world.wire.answer = ({ op }) => (op === "probe" ? { status: 404 } : undefined)
      const one = yield* open(world)
      const { uuid } = yield* one.use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      yield* TestClock.adjust("4 minutes")
      yield* one.close
      const two = yield* open(world)
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual((yield* two.manager.load(uuid)).status, "paused")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* two.manager.load(uuid)).status, "errored")
    })
  )

  it.effect("after a restart a rollback goes on where it was", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 1 })
      const { wire } = world
      const one = yield* open(world)
      wire.answer = (envelope, command) =>
        command === "Charge"
          ? { status: 400, content: { _tag: "CardDeclined", reason: "limit" } }
          : envelope.op === "execute"
            ? agreeable(envelope, command)
            : undefined
      yield* Effect.forkChild(Effect.exit(one.use(SagaManager.run(CreateOrder, { context }))))
      yield* until("the compensation", () => wire.of("failure").length === 1)
      yield* one.close
      const two = yield* open(world)
      yield* until("it is sent again", () => wire.of("failure").length === 2)
      assert.strictEqual(new Set(wire.of("failure").map(({ body }) => body)).size, 1)
      yield* wire.reply(wire.of("failure")[0]!, { status: 200 })
      yield* until("it is over", () => wire.acknowledged === 3)
      yield* quiet
      const { items } = yield* two.manager.find({})
      assert.deepStrictEqual([items[0]?.status, items[0]?.settled], ["errored", true])
      assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10", "void invoice-10"])
    })
  )

  it.effect("after a restart a start with the same key waits for the recovered execution", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const run = SagaManager.run(CreateOrder, { context, startKey: "k" })
      const one = yield* open(world)
      yield* Effect.forkChild(Effect.exit(one.use(run)))
      yield* until("the request", () => world.wire.sent.length === 1)
      yield* one.close
      const two = yield* open(world)
      const again = yield* Effect.forkChild(two.use(run))
      yield* quiet
      world.wire.answer = agreeable
      yield* world.wire.reply(world.wire.sent[0]!, reserved)
      assert.strictEqual((yield* Fiber.join(again)).status, "finished")
    })
  )

  for (const onCrash of ["retry", "compensate", "park"] as const) {
    it.effect(`after a restart a half-done local step is treated as its onCrash says: ${onCrash}`, () =>
      Effect.gen(function* () {
        let first = true
        const Crashes = Saga.make("Crashes", { context: {} }).pipe(
          Saga.local("before", { execute: () => write("before"), compensate: () => write("undo before") }),
          Saga.local("half", {
            execute: () =>
              Effect.suspend(() => {
                const again = !first
                first = false
                return Effect.andThen(write("half"), again ? Effect.void : Effect.never)
              }),
            compensate: { run: () => write("undo half"), unknown: () => write("undo half blindly") },
            onCrash
          }),
          Saga.commit
        )
        const world = yield* makeWorld({ keep: 1 })
        const one = yield* open(world, { sagas: [Crashes] })
        yield* Effect.forkChild(Effect.exit(one.use(SagaManager.run(Crashes, { context: {} }))))
        yield* until("the half done step", () => lines(world).length === 2)
        yield* one.close
        const two = yield* open(world, { sagas: [Crashes] })
        yield* quiet
        const { items } = yield* two.manager.find({})
        const execution = yield* two.manager.load(items[0]!.uuid)
        const after = lines(world).slice(2)
        const state = [execution.status, execution.alreadyRollback, execution.parked, after]
        assert.deepStrictEqual(
          state,
          onCrash === "retry"
            ? ["finished", false, [], ["half"]]
            : onCrash === "compensate"
              ? ["errored", true, [], ["undo half blindly", "undo before"]]
              : ["errored", false, ["1"], ["undo before"]]
        )
        const cause = execution.cause as { readonly cause?: { readonly _tag: string } } | undefined
        assert.strictEqual(cause?.cause?._tag, onCrash === "retry" ? undefined : "SagaStepInterrupted")
      })
    )
  }

  it.effect("after a restart executions of an unknown saga are left alone", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const one = yield* open(world)
      const { uuid } = yield* one.use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      yield* one.close
      const two = yield* open(world, { sagas: [] })
      yield* TestClock.adjust("1 hour")
      const kept = yield* two.manager.load(uuid)
      assert.deepStrictEqual([kept.status, kept.definition, world.wire.sent.length], ["paused", undefined, 1])
      const error = yield* Effect.flip(two.manager.cancel(uuid))
      assert.strictEqual(error._tag, "SagaDefinitionDrift")
      yield* two.close
      yield* open(world)
      yield* until("one that knows it goes on", () => world.wire.sent.length === 2)
    })
  )
})

// ---- fault points --------------------------------------------------------------------------------------------------

const faultPoints = [
  "store.before",
  "store.after",
  "publish.before",
  "publish.after",
  "acknowledge.before",
  "acknowledge.after",
  "callback.before",
  "callback.after"
]

/** Operations until a fiber lets the others go first. With few, all that is under way stops in the middle of something. */
const turns = isMemory ? [2_048, 8, 4, 3] : [2_048]

/** Other services, which do not stop. Their handlers write into the journal, so their effects can be counted. */
const participants = Effect.fnUntraced(function* (world: World) {
  const scope = yield* Scope.Scope
  const services: Layer.Layer<Broker.Broker | ParticipantStore.ParticipantStore | Journal> = world.layers
  yield* Layer.mergeAll(
    Participant.layer(Stock, {
      Reserve: () => Effect.as(write("reserve"), reserved.content),
      Release: () => write("release")
    }),
    Participant.layer(Payments, {
      Charge: ({ amount }) =>
        amount > 100 ? Effect.fail(new CardDeclined({ reason: "limit" })) : Effect.as(write("charge"), charged.content),
      Refund: () => write("refund")
    })
  ).pipe(Layer.provide(services), Layer.buildWithScope(scope))
})

describe("a process that stops at a named instruction", () => {
  for (const amount of [10, 1_000]) {
    const ends = amount > 100 ? "is undone" : "finishes"
    for (const name of faultPoints) {
      it.effect.each(turns)(`an order that ${ends} survives each ${name}, in turns of %d`, (turn) =>
        Effect.gen(function* () {
          // The n-th time that the instruction is met, for every n there is.
          for (let nth = 1; nth < 50; nth++) {
            const met = yield* Effect.scoped(stopAt(name, nth, amount))
            if (!met) {
              assert.isAbove(nth, 1)
              return
            }
          }
          assert.fail(`there is no end of ${name}`)
        }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, turn))
      )
    }
  }

  const stopAt = Effect.fnUntraced(function* (name: string, nth: number, amount: number) {
    const world = yield* makeWorld({ keep: 10 })
    yield* participants(world)
    const hit = yield* Deferred.make<void>()
    let times = 0
    const one = yield* open(world, {
      fault: (point) => {
        if (point !== name || ++times !== nth) return Effect.void
        return Effect.andThen(Deferred.succeed(hit, undefined), Effect.never)
      }
    })
    const running = yield* Effect.forkChild(
      Effect.exit(one.use(SagaManager.run(CreateOrder, { context: { sku: "book", amount }, startKey: "order" })))
    )
    yield* until("it stops or is over", () => Deferred.isDoneUnsafe(hit) || running.pollUnsafe() !== undefined)
    yield* quiet
    const met = Deferred.isDoneUnsafe(hit)
    yield* one.close
    const two = yield* open(world)
    // An execution that was never stored is started again by its caller; any other goes on by itself.
    if ((yield* two.manager.find({})).items.length === 0) {
      assert.deepStrictEqual([lines(world), name], [[], "store.before"])
      yield* Effect.forkChild(
        Effect.exit(two.use(SagaManager.run(CreateOrder, { context: { sku: "book", amount }, startKey: "order" })))
      )
    }
    // With few operations in a turn much has to go on between one timer and the next.
    yield* Effect.repeat(Effect.andThen(TestClock.adjust("5 seconds"), quiet), { times: 11 })
    const { items } = yield* two.manager.find({})
    const label = `${name} ${nth}`
    assert.deepStrictEqual(
      items.map(({ parked, settled, status }) => [status, settled, parked]),
      [[amount > 100 ? "errored" : "finished", true, false]],
      label
    )
    // At the other services every effect is there once; in this one at least once, always under the same key.
    const count = (line: string) => lines(world).filter((each) => each === line).length
    assert.deepStrictEqual(
      ["reserve", "charge", "release", "refund"].map(count),
      amount > 100 ? [1, 0, 1, 0] : [1, 1, 0, 0],
      label
    )
    const local =
      amount > 100 ? ["handle r-1", "invoice 1000", "void invoice-1000"] : ["handle r-1", "invoice 10", "handle p-1"]
    for (const line of local) {
      assert.isAtLeast(count(line), 1, `${label}: ${line}`)
      assert.isAtMost(count(line), 2, `${label}: ${line}`)
      assert.strictEqual(
        new Set(world.journal.filter((each) => each.line === line).map(({ key }) => key)).size,
        1,
        label
      )
    }
    // One request is one message, whichever process sent it.
    for (const { envelope } of world.wire.sent) {
      const bodies = world.wire.sent.filter((other) => other.envelope.id === envelope.id).map(({ body }) => body)
      assert.strictEqual(new Set(bodies).size, 1, label)
    }
    return met
  })
})
