/**
 * Two instances have an execution at the same time, and each stores what it knows: what was done counts, what was decided
 * is decided again (SPEC W5), and nothing is done by both of them.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaConfig, SagaManager, SagaResponse, SagaRunner } from "effect-saga"
import { SagaExecution } from "effect-saga/internals"
import { lines, makeWorld, open, quiet, type Sent, until, type World, write } from "../fixtures/manager.ts"

const answerTo = ({ envelope: { id } }: Sent) =>
  ({ inReplyTo: id, sender: "stock", status: 200, relatedServices: ["stock"] }) as const

const ask = (command: string) => ({ target: `stock/${command}`, content: () => null }) as const

/** Says that it has begun, and ends when the gate opens. */
const slow = (gate: Deferred.Deferred<void>) => ({
  execute: () => Effect.andThen(write("begun"), Effect.andThen(Deferred.await(gate), write("done")))
})

/** A step of which a crash leaves something that can be seen. */
const fragile = (onCrash: "compensate" | "park") =>
  ({
    execute: () => write("second"),
    compensate: { run: () => write("undone"), unknown: () => write("undone blindly") },
    onCrash
  }) as const

const together = Effect.fnUntraced(function* (saga: Saga.AnyCommitted) {
  const world = yield* makeWorld({ keep: 10 })
  const one = yield* open(world, { sagas: [saga] })
  const two = yield* open(world, { sagas: [saga] })
  const running = yield* Effect.forkChild(Effect.exit(one.manager.run(saga, { context: {}, raiseOnError: false })))
  yield* until("it has asked", () => world.wire.sent.length > 0)
  const { saga: uuid } = world.wire.sent[0]!.envelope
  return { world, one, two, running, uuid }
})

const asked = ({ wire }: World, command: string) => wire.sent.find(({ address }) => address.name === command)!

/** A write of such a fact gets its answer when the gate opens. Gives whether the fact is stored. */
const hearsLate = ({ store: { repository } }: World, tag: string, gate: Deferred.Deferred<void>) => {
  const { store } = repository
  let isStored = false
  Object.assign(repository, {
    store: (...[execution, hint]: Parameters<typeof store>) =>
      Effect.tap(store(execution, hint), () => {
        if (!SagaExecution.unstored(execution).some(({ _tag }) => _tag === tag)) return Effect.void
        isStored = true
        return Deferred.await(gate)
      })
  })
  return () => isStored
}

/** One remote branch, and one whose local step runs for as long as the gate is closed. */
const both = (gate: Deferred.Deferred<void>) =>
  Saga.make("Both", { context: {} }).pipe(
    Saga.parallel("both", {
      asked: Saga.remote("count", { execute: ask("Count") }),
      here: (branch) => branch.pipe(Saga.local("slow", slow(gate)), Saga.local("second", fragile("compensate")))
    }),
    Saga.commit
  )

describe("one instance works while the other stores a reply", () => {
  it.effect("C7 a next step that has not begun is not treated as half done", () => {
    const gate = Deferred.makeUnsafe<void>()
    return Effect.gen(function* () {
      const { running, two, uuid, world } = yield* together(both(gate))
      yield* until("the step runs", () => lines(world).length === 1)
      yield* two.manager.reply(uuid, answerTo(asked(world, "Count")))
      yield* Deferred.succeed(gate, undefined)
      yield* until("it has ended", () => running.pollUnsafe() !== undefined)
      assert.deepStrictEqual(lines(world), ["begun", "done", "second"])
      assert.strictEqual((yield* two.manager.load(uuid)).status, "finished")
    })
  })

  it.effect("W5 a reply that was stored in time counts, whatever the other instance decides at the deadline", () => {
    const gate = Deferred.makeUnsafe<void>()
    return Effect.gen(function* () {
      const { running, two, uuid, world } = yield* together(both(gate))
      yield* until("the step runs", () => lines(world).length === 1)
      yield* two.manager.reply(uuid, answerTo(asked(world, "Count")))
      // The request may take 5 minutes.
      yield* TestClock.adjust("6 minutes")
      yield* Deferred.succeed(gate, undefined)
      yield* until("it has ended", () => running.pollUnsafe() !== undefined)
      const { events, status } = yield* two.manager.load(uuid)
      assert.strictEqual(status, "finished")
      assert.notInclude(
        events.map(({ _tag }) => _tag),
        "StepFailed"
      )
    })
  })

  it.effect(
    "C20 a reply that an instance has handled when another one owns the execution is handled again by the owner, which alone goes on",
    () => {
      const local = Deferred.makeUnsafe<void>()
      const handler = Deferred.makeUnsafe<void>()
      const saga = Saga.make("Two", { context: {} }).pipe(
        Saga.parallel("both", {
          a: (branch) => branch.pipe(Saga.remote("a", { execute: ask("A") }), Saga.local("slow", slow(local))),
          b: (branch) =>
            branch.pipe(
              Saga.remote("b", {
                execute: ask("B"),
                onSuccess: () => Effect.andThen(write("handling"), Deferred.await(handler))
              }),
              Saga.local("second", fragile("park"))
            )
        }),
        Saga.commit
      )
      return Effect.gen(function* () {
        const { one, two, uuid, world } = yield* together(saga)
        yield* until("both are asked", () => world.wire.sent.length === 2)
        const first = yield* Effect.forkChild(one.manager.reply(uuid, answerTo(asked(world, "B"))))
        yield* until("the one handles its reply", () => lines(world).includes("handling"))
        yield* two.manager.reply(uuid, answerTo(asked(world, "A")))
        yield* until("the other one runs a step", () => lines(world).includes("begun"))
        yield* Deferred.succeed(handler, undefined)
        assert.strictEqual(yield* Fiber.join(first), "applied")
        yield* Deferred.succeed(local, undefined)
        yield* quiet
        const execution = yield* two.manager.load(uuid)
        assert.deepStrictEqual([execution.status, execution.parked], ["finished", []])
        assert.deepStrictEqual(lines(world).toSorted(), ["begun", "done", "handling", "handling", "second"])
      })
    }
  )
})

it.effect("C8 the result of a step is not lost when the newer state cannot be read at once", () => {
  const gate = Deferred.makeUnsafe<void>()
  const saga = Saga.make("Both", { context: {} }).pipe(
    Saga.parallel("both", {
      asked: Saga.remote("count", { execute: ask("Count") }),
      here: Saga.local("slow", { ...fragile("compensate"), ...slow(gate) })
    }),
    Saga.commit
  )
  return Effect.gen(function* () {
    const { running, two, uuid, world } = yield* together(saga)
    yield* until("the step runs", () => lines(world).length === 1)
    yield* two.manager.reply(uuid, answerTo(asked(world, "Count")))
    let failed = 0
    world.store.fault = (operation) => (operation === "load" && failed++ === 0 ? { reason: "unavailable" } : undefined)
    yield* Deferred.succeed(gate, undefined)
    yield* quiet
    yield* TestClock.adjust("1 second")
    yield* until("it has ended", () => running.pollUnsafe() !== undefined)
    assert.deepStrictEqual(lines(world), ["begun", "done"])
  })
})

it.effect("W7 a step whose intent is stored and that has not begun is not treated as half done", () => {
  const gate = Deferred.makeUnsafe<void>()
  const saga = Saga.make("Three", { context: {} }).pipe(
    Saga.parallel("all", {
      x: Saga.remote("x", { execute: ask("X") }),
      y: Saga.remote("y", { execute: ask("Y") }),
      z: (branch) => branch.pipe(Saga.remote("z", { execute: ask("Z") }), Saga.local("second", fragile("compensate")))
    }),
    Saga.commit
  )
  return Effect.gen(function* () {
    const world = yield* makeWorld({ keep: 10 })
    const isStored = hearsLate(world, "StepStarted", gate)
    const one = yield* open(world, { sagas: [saga] })
    const two = yield* open(world, { sagas: [saga] })
    yield* Effect.forkChild(Effect.exit(one.manager.run(saga, { context: {}, raiseOnError: false })))
    yield* until("all are asked", () => world.wire.sent.length === 3)
    const { saga: uuid } = world.wire.sent[0]!.envelope
    const reply = (to: typeof one, command: string) => to.manager.reply(uuid, answerTo(asked(world, command)))
    yield* Effect.forkChild(Effect.exit(reply(one, "Z")))
    yield* until("the intent is stored", isStored)
    yield* reply(two, "X")
    yield* Effect.forkChild(Effect.exit(reply(one, "Y")))
    yield* quiet
    yield* Deferred.succeed(gate, undefined)
    yield* quiet
    assert.deepStrictEqual(lines(world), ["second"])
  })
})

it.effect("C5 services are asked to reserve although a message came during the write before", () => {
  const gate = Deferred.makeUnsafe<void>()
  const saga = Saga.make("Asked", { context: {} }).pipe(Saga.remote("count", { execute: ask("Count") }), Saga.commit)
  return Effect.gen(function* () {
    const world = yield* makeWorld({ keep: 10, enrols: "two-phase" })
    const isStored = hearsLate(world, "ReservationStarted", gate)
    const { manager } = yield* open(world, { sagas: [saga] })
    yield* Effect.forkChild(Effect.exit(manager.run(saga, { context: {}, raiseOnError: false })))
    yield* until("it has asked", () => world.wire.sent.length === 1)
    const { saga: uuid } = world.wire.sent[0]!.envelope
    for (const _ of ["the reply", "its copy"]) {
      yield* Effect.forkChild(manager.reply(uuid, answerTo(asked(world, "Count"))))
      yield* until("it is stored", isStored)
    }
    yield* quiet
    yield* Deferred.succeed(gate, undefined)
    // No time passes, so it is not repeated.
    yield* until("a vote is asked for", () => world.wire.of("reserve").length === 1)
  })
})

for (const lost of ["the answer of the store", "a transaction of its own"]) {
  it.effect(`C5 services are asked to reserve by hand although ${lost} came between`, () => {
    const saga = Saga.make("Hand", { context: {} }).pipe(
      Saga.remote("count", { execute: ask("Count") }),
      Saga.local("own", { execute: () => write("own"), transactional: lost === "a transaction of its own" }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10, enrols: "two-phase" })
      const layer = SagaRunner.layer([saga]).pipe(
        Layer.provide(Layer.mergeAll(SagaConfig.layer({ service: "orders" }), world.layers))
      )
      yield* Effect.gen(function* () {
        const { execute } = yield* SagaRunner.SagaRunner
        const paused = yield* execute(yield* SagaExecution.fromDefinition(saga, { context: {} }))
        let failed = 0
        world.store.fault = (_, facts) =>
          lost === "the answer of the store" && facts.includes("ReservationStarted") && failed++ === 0
            ? { reason: "unavailable" }
            : undefined
        const response = new SagaResponse({ uuid: paused.uuid, content: null })
        yield* Effect.forkChild(Effect.exit(execute(paused, { response })))
        yield* quiet
        yield* TestClock.adjust("500 millis")
        yield* until("a vote is asked for", () => world.wire.of("reserve").length === 1)
      }).pipe(Effect.provide(layer))
    })
  })
}

it.effect("C7 a failing hook of the own service does not block the other work of another instance", () => {
  const saga = Saga.make("Own", { context: {} }).pipe(
    Saga.remote("a", { execute: ask("A"), compensate: ask("UndoA") }),
    Saga.remote("b", { execute: ask("B"), compensate: ask("UndoB") }),
    Saga.local("own", { execute: () => Effect.die("no") }),
    Saga.commit
  )
  return Effect.gen(function* () {
    const world = yield* makeWorld({ keep: 10, enrols: "two-phase" })
    const config = { sagas: [saga], transaction: { reject: () => Effect.die("not now") } }
    const one = yield* open(world, config)
    const two = yield* open(world, config)
    yield* Effect.forkChild(Effect.exit(one.manager.run(saga, { context: {}, raiseOnError: false })))
    for (const command of ["A", "B"]) {
      yield* until(`${command} is asked for`, () => asked(world, command) !== undefined)
      yield* Effect.forkChild(one.manager.reply(asked(world, command).envelope.saga, answerTo(asked(world, command))))
    }
    yield* until("B is to be undone", () => asked(world, "UndoB") !== undefined)
    yield* quiet
    // Some failures later the hook is called again after minutes only.
    yield* TestClock.adjust("100 seconds")
    yield* quiet
    yield* two.manager.reply(asked(world, "UndoB").envelope.saga, answerTo(asked(world, "UndoB")))
    yield* quiet
    assert.isDefined(asked(world, "UndoA"))
  })
})

it.effect("W5 a rollback that was asked of an old state is judged again on the new state", () => {
  const saga = Saga.make("Asked", { context: {} }).pipe(Saga.remote("count", { execute: ask("Count") }), Saga.commit)
  return Effect.gen(function* () {
    const world = yield* makeWorld({ keep: 10 })
    const layer = SagaRunner.layer([saga]).pipe(
      Layer.provide(Layer.mergeAll(SagaConfig.layer({ service: "orders" }), world.layers))
    )
    yield* Effect.gen(function* () {
      const { execute, rollback } = yield* SagaRunner.SagaRunner
      const paused = yield* execute(yield* SagaExecution.fromDefinition(saga, { context: {} }))
      yield* rollback(paused)
      // The rollback is asked of the execution as it was before.
      const again = yield* Effect.forkChild(Effect.flip(rollback(paused)))
      yield* quiet
      assert.isDefined(again.pollUnsafe())
      assert.strictEqual((yield* Fiber.join(again))._tag, "SagaRollbackExecution")
    }).pipe(Effect.provide(layer))
  })
})

describe("another instance was faster", () => {
  it.effect("W5 a response is not refused because of facts that it has stored itself", () => {
    const gate = Deferred.makeUnsafe<void>()
    const saga = Saga.make("Handled", { context: {} }).pipe(
      Saga.remote("count", {
        execute: ask("Count"),
        onSuccess: () => Effect.andThen(write("handling"), Deferred.await(gate))
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const { repository } = world.store
      const { use } = yield* open(world, { sagas: [saga] })
      const { uuid } = yield* use(SagaManager.run(saga, { context: {}, pauseOnDisk: true }))
      const response = new SagaResponse({ uuid, step: "count", content: null })
      const running = yield* Effect.forkChild(Effect.exit(use(SagaManager.run({ response }))))
      yield* until("it is handled", () => lines(world).length === 1)
      const stored = yield* repository.load(uuid)
      const fact = { _tag: "AutocommitChanged", autocommit: false, at: stored.state.updatedAt } as const
      yield* repository.store(SagaExecution.evolve(stored, fact))
      yield* Deferred.succeed(gate, undefined)
      yield* until("the caller is told", () => running.pollUnsafe() !== undefined)
      assert.strictEqual((yield* Fiber.join(running))._tag, "Success")
      assert.deepStrictEqual(lines(world), ["handling"])
    })
  })

  it.effect("W5 a runner by hand leaves a step that another runner works on, also with the same response", () => {
    const gate = Deferred.makeUnsafe<void>()
    const saga = Saga.make("Chain", { context: {} }).pipe(
      Saga.remote("count", { execute: ask("Count") }),
      Saga.local("slow", slow(gate)),
      Saga.commit
    )
    return Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const layer = SagaRunner.layer([saga]).pipe(
        Layer.provide(Layer.mergeAll(SagaConfig.layer({ service: "orders" }), world.layers))
      )
      yield* Effect.gen(function* () {
        const { execute } = yield* SagaRunner.SagaRunner
        const paused = yield* execute(yield* SagaExecution.fromDefinition(saga, { context: {} }))
        const response = new SagaResponse({ uuid: paused.uuid, content: null })
        const one = yield* Effect.forkChild(Effect.exit(execute(paused, { response })))
        yield* until("the step runs", () => lines(world).length === 1)
        const two = yield* Effect.forkChild(Effect.exit(execute(paused, { response })))
        yield* quiet
        yield* Deferred.succeed(gate, undefined)
        yield* Effect.all([Fiber.join(one), Fiber.join(two)])
        assert.deepStrictEqual(lines(world), ["begun", "done"])
      }).pipe(Effect.provide(layer))
    })
  })
})

for (const instances of [1, 2]) {
  it.effect(
    `C5 a hook of the own service is called by one instance at a time (${instances} of 2 instances get the votes)`,
    () => {
      const saga = Saga.make("Own", { context: {} }).pipe(
        Saga.remote("count", { execute: ask("Count") }),
        Saga.local("own", { execute: () => write("own") }),
        Saga.commit
      )
      let now = 0
      let most = 0
      const reserve = () =>
        Effect.gen(function* () {
          most = Math.max(most, ++now)
          yield* Effect.sleep("2 seconds")
          now--
        })
      return Effect.gen(function* () {
        const world = yield* makeWorld({ keep: 10, enrols: "two-phase" })
        const config = { sagas: [saga], transaction: { reserve } }
        const one = yield* open(world, config)
        const two = yield* open(world, config)
        yield* Effect.forkChild(Effect.exit(one.use(SagaManager.run(saga, { context: {}, raiseOnError: false }))))
        yield* until("it has asked", () => world.wire.sent.length === 1)
        const sent = world.wire.sent[0]!
        const { saga: uuid } = sent.envelope
        yield* one.manager.reply(uuid, answerTo(sent))
        yield* until("it asks for votes", () => world.wire.of("reserve").length === 1)
        yield* (instances === 1 ? one : two).manager.reply(uuid, answerTo(world.wire.of("reserve")[0]!))
        for (let tenths = 0; tenths < 60; tenths++) {
          yield* TestClock.adjust("100 millis")
          yield* quiet
        }
        assert.strictEqual(most, 1)
        assert.strictEqual((yield* world.store.repository.load(uuid)).decision, "commit")
      })
    }
  )
}
