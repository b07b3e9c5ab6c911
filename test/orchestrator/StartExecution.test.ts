/** How an execution begins: who may start it, under which name, how many at a time, and with what. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Latch, Scheduler, Schema } from "effect"
import { Saga, type SagaExecution, SagaManager, type SagaRunner } from "effect-saga"
import {
  agreeable,
  CreateOrder,
  charged,
  context,
  lines,
  open,
  Payments,
  plain,
  quiet,
  refusing,
  reserved,
  start,
  until,
  write
} from "../fixtures/manager.ts"

const tagOf = (error: unknown) => (error as { readonly _tag: string })._tag

describe("start keys", () => {
  it.effect("the same start key ten times at once is one execution, and all callers see its end (I10)", () =>
    Effect.gen(function* () {
      const { manager, use, wire, world } = yield* start()
      const run = use(SagaManager.run(CreateOrder, { context, startKey: "order-1" }))
      const running = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 10 }, () => run),
          { concurrency: 10 }
        )
      )
      yield* until("the first request", () => wire.sent.length === 1)
      yield* quiet
      assert.strictEqual((yield* manager.find({ startKey: "order-1" })).items.length, 1)
      wire.answer = agreeable
      yield* wire.reply(wire.sent[0]!, reserved)
      const executions = yield* Fiber.join(running)
      assert.strictEqual(new Set(executions.map(({ uuid }) => uuid)).size, 1)
      assert.deepStrictEqual(new Set(executions.map(({ status }) => status)), new Set(["finished"]))
      assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10", "handle p-1"])
      assert.strictEqual(wire.sent.length, 2)
    })
  )

  it.effect("a second start with a key in use waits for the end of the running execution, however far it is", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      const run = use(SagaManager.run(CreateOrder, { context, startKey: "order-1" }))
      const first = yield* Effect.forkChild(run)
      yield* until("the first request", () => wire.sent.length === 1)
      const second = yield* Effect.forkChild(run)
      yield* wire.reply(wire.sent[0]!, reserved)
      yield* until("the second request", () => wire.sent.length === 2)
      // Two steps have added to its context meanwhile.
      const third = yield* Effect.forkChild(run)
      const paused = yield* use(SagaManager.run(CreateOrder, { context, startKey: "order-1", pauseOnDisk: true }))
      assert.strictEqual(paused.status, "paused")
      yield* quiet
      yield* wire.reply(wire.sent[1]!, charged)
      const all = yield* Effect.all([Fiber.join(first), Fiber.join(second), Fiber.join(third)])
      assert.deepStrictEqual(
        all.map(({ status, uuid }) => [status, uuid]),
        all.map(() => ["finished", paused.uuid])
      )
    })
  )

  it.effect("a start key with another context, or for another saga or version, is a conflict that says so", () =>
    Effect.gen(function* () {
      const other = (name: string) =>
        Saga.make(name, { context: { sku: Schema.String, amount: Schema.Int } }).pipe(
          Saga.local("one", { execute: () => write("other") }),
          Saga.commit
        )
      const [Other, Later] = [other("Other"), other("CreateOrder")]
      const { use, wire, world } = yield* start({ sagas: [CreateOrder, Other, Later] })
      const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, startKey: "k", pauseOnDisk: true }))
      const conflicts = yield* Effect.all([
        Effect.flip(
          use(SagaManager.run(CreateOrder, { context: { sku: "pen", amount: 10 }, startKey: "k", pauseOnDisk: true }))
        ),
        Effect.flip(use(SagaManager.run(Other, { context, startKey: "k", pauseOnDisk: true }))),
        Effect.flip(use(SagaManager.run(Later, { context, startKey: "k", pauseOnDisk: true })))
      ])
      for (const error of conflicts) {
        assert.strictEqual(error._tag, "SagaStartConflict")
        if (error._tag === "SagaStartConflict")
          assert.deepStrictEqual([error.uuid, error.saga, error.startKey], [uuid, "CreateOrder", "k"])
      }
      assert.deepStrictEqual(
        conflicts.map((error) => "difference" in error && error.difference),
        ["context", "saga", "version"]
      )
      // The order of keys is no difference.
      const same = yield* use(
        SagaManager.run(CreateOrder, { context: { amount: 10, sku: "book" }, startKey: "k", pauseOnDisk: true })
      )
      assert.strictEqual(same.uuid, uuid)
      assert.deepStrictEqual([wire.sent.length, lines(world)], [1, []])
    })
  )

  for (const outcome of ["committed", "rejected"] as const) {
    it.effect(`a start key whose execution is over and forgotten is retired (${outcome})`, () =>
      Effect.gen(function* () {
        const { use, wire, world } = yield* start()
        wire.answer = outcome === "committed" ? agreeable : refusing
        const run = use(SagaManager.run(CreateOrder, { context, startKey: "k", raiseOnError: false }))
        const { uuid } = yield* run
        const done = lines(world).length
        const error = yield* Effect.flip(run)
        assert.strictEqual(error._tag, "SagaExecutionRetired")
        if (error._tag === "SagaExecutionRetired")
          assert.deepStrictEqual([error.uuid, error.outcome, error.startKey], [uuid, outcome, "k"])
        assert.strictEqual(lines(world).length, done)
      })
    )
  }

  it.effect("a key whose execution is over and kept gives that execution again, every time", () =>
    Effect.gen(function* () {
      const { use, wire, world } = yield* start({ keep: 10 })
      wire.answer = agreeable
      const run = use(SagaManager.run(CreateOrder, { context, startKey: "k" }))
      const [one, two] = [yield* run, yield* run]
      assert.deepStrictEqual([two.uuid, two.status], [one.uuid, "finished"])
      assert.strictEqual(lines(world).length, 3)
    })
  )

  it.effect("a start key is kept by the store, so another manager knows it", () =>
    Effect.gen(function* () {
      const { close, use, wire, world } = yield* start()
      const run = SagaManager.run(CreateOrder, { context, startKey: "k", pauseOnDisk: true })
      const { uuid } = yield* use(run)
      yield* close
      const other = yield* open(world)
      assert.strictEqual((yield* other.use(run)).uuid, uuid)
      assert.deepStrictEqual(new Set(wire.sent.map(({ envelope }) => envelope.saga)), new Set([uuid]))
    })
  )
})

describe("uuids", () => {
  const mine = "0c3a2a4e-5d3b-4c59-9a3a-4a1f6a1b2c3d"

  it.effect("a caller may give the uuid of an execution, and the same uuid again is the same execution", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* start()
      const run = use(SagaManager.run(CreateOrder, { context, uuid: mine.toUpperCase(), pauseOnDisk: true }))
      const [one, two] = yield* Effect.all([run, run], { concurrency: "unbounded" })
      assert.deepStrictEqual([one.uuid, two.uuid], [mine, mine])
      assert.strictEqual(wire.sent.length, 1)
      assert.strictEqual((yield* manager.load(mine.toUpperCase())).uuid, mine)
    })
  )

  it.effect("the same uuid ten times at once runs every callback once, and all callers see the end", () =>
    Effect.gen(function* () {
      const Slow = Saga.make("Slow", { context: {} }).pipe(
        Saga.local("one", { execute: () => Effect.andThen(Effect.yieldNow, write("one")) }),
        Saga.local("two", { execute: () => Effect.andThen(Effect.yieldNow, write("two")) }),
        Saga.commit
      )
      const { use, world } = yield* start({ keep: 1, sagas: [Slow] })
      const run = use(SagaManager.run(Slow, { context: {}, uuid: mine }))
      const executions = yield* Effect.all(
        Array.from({ length: 10 }, () => run),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(new Set(executions.map(({ status }) => status)), new Set(["finished"]))
      assert.deepStrictEqual(lines(world), ["one", "two"])
    })
  )

  it.effect("a uuid with another context is a conflict, and one that is used up is retired", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      yield* use(SagaManager.run(CreateOrder, { context, uuid: mine, pauseOnDisk: true }))
      const other = use(SagaManager.run(CreateOrder, { context: { sku: "pen", amount: 1 }, uuid: mine }))
      assert.strictEqual((yield* Effect.flip(other))._tag, "SagaStartConflict")
      wire.answer = agreeable
      const ending = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context, uuid: mine })), {
        startImmediately: true
      })
      yield* wire.reply(wire.sent[0]!, reserved)
      assert.strictEqual((yield* Fiber.join(ending)).status, "finished")
      yield* quiet
      assert.strictEqual((yield* Effect.flip(other))._tag, "SagaExecutionRetired")
    })
  )

  it.effect("a uuid of version 7, or text that is no uuid, is refused before anything is stored", () =>
    Effect.gen(function* () {
      const { manager, story, use } = yield* start()
      for (const uuid of ["01890000-0000-7000-8000-000000000000", "order-1", "", `${mine}0`, "__proto__"]) {
        const error = yield* Effect.flip(use(SagaManager.run(CreateOrder, { context, uuid })))
        assert.strictEqual(error._tag, "SagaInvalidUuid")
        assert.notInclude(error.message, "order-1")
      }
      assert.deepStrictEqual([story, (yield* manager.find({})).items], [[], []])
    })
  )

  it.effect("without a uuid the library makes one of version 7", () =>
    Effect.gen(function* () {
      const { use } = yield* start()
      const runs = Array.from({ length: 3 }, () =>
        use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true, returnExecution: false }))
      )
      const uuids = yield* Effect.all(runs)
      assert.strictEqual(new Set(uuids).size, 3)
      for (const uuid of uuids) assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    })
  )
})

describe("sagas", () => {
  it.effect("a saga that is not registered is a typed error that names the registered ones", () =>
    Effect.gen(function* () {
      const Unknown = Saga.make("Unknown", { context: {} }).pipe(
        Saga.local("one", { execute: () => Effect.void }),
        Saga.commit
      )
      const { story, use } = yield* start()
      const errors = [
        yield* Effect.flip(use(SagaManager.run(Unknown, { context: {} }))),
        yield* Effect.flip(use(SagaManager.execute(Unknown, { context: {} })))
      ]
      for (const error of errors) {
        assert.strictEqual(error._tag, "SagaNotRegistered")
        assert.match(error.message, /"Unknown" is not registered, only CreateOrder/)
      }
      assert.deepStrictEqual(story, [])
    })
  )

  it.effect("another version of a registered saga is not registered", () =>
    Effect.gen(function* () {
      const other = Saga.make("CreateOrder", { context: { sku: Schema.String, amount: Schema.Int } }).pipe(
        Saga.local("one", { execute: () => Effect.void }),
        Saga.commit
      )
      const { use } = yield* start()
      assert.strictEqual(tagOf(yield* Effect.flip(use(SagaManager.run(other, { context })))), "SagaNotRegistered")
    })
  )
})

describe("limits", () => {
  it.effect("over maxPending a start is refused and nothing of it is stored; one that ends makes room", () =>
    Effect.gen(function* () {
      const gate = Latch.makeUnsafe(false)
      const slow = Saga.make("Slow", { context: {} }).pipe(
        Saga.local("wait", { execute: () => gate.await }),
        Saga.commit
      )
      const { manager, use, wire } = yield* start({ maxPending: 2, sagas: [slow, CreateOrder] })
      const run = use(SagaManager.run(slow, { context: {} }))
      // An execution that waits has no place here: it is no instance's (SPEC C13).
      for (let i = 0; i < 3; i++) yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      const first = yield* Effect.forkChild(run, { startImmediately: true })
      yield* Effect.forkChild(run, { startImmediately: true })
      const error = yield* Effect.flip(run)
      assert.strictEqual(error._tag, "SagaOverloaded")
      if (error._tag === "SagaOverloaded") assert.deepStrictEqual([error.limit, error.value], ["maxPending", 2])
      yield* quiet
      assert.strictEqual((yield* manager.find({ saga: "Slow" })).items.length, 2)
      assert.strictEqual(wire.sent.length, 3)
      yield* gate.open
      assert.strictEqual((yield* Fiber.join(first)).status, "finished")
      assert.strictEqual((yield* run).status, "finished")
    })
  )

  it.effect("starts one after the other never meet the limit", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start({ maxPending: 1, maxRunning: 1 })
      for (const answer of [agreeable, refusing]) {
        wire.answer = answer
        for (const autocommit of [true, false]) {
          const run = SagaManager.run(CreateOrder, { context, autocommit, raiseOnError: false })
          yield* use(run)
          yield* use(run)
        }
      }
    })
  )

  it.effect("over maxRunning a start waits for its turn, and then runs", () =>
    Effect.gen(function* () {
      let running = 0
      let most = 0
      const release = Latch.makeUnsafe(false)
      const Busy = Saga.make("Busy", { context: { n: Schema.Int } }).pipe(
        Saga.local("work", {
          execute: ({ n }) =>
            Effect.gen(function* () {
              most = Math.max(most, ++running)
              yield* release.await
              yield* Effect.yieldNow
              running--
              yield* write(`${n}`)
            })
        }),
        Saga.commit
      )
      const { manager, use, world } = yield* start({ maxRunning: 2, sagas: [Busy] })
      const all = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 20 }, (_, n) => n),
          (n) => use(SagaManager.run(Busy, { context: { n } })),
          { concurrency: "unbounded" }
        )
      )
      yield* until("two of them run", () => running === 2)
      yield* quiet
      assert.strictEqual((yield* manager.find({})).items.length, 2)
      yield* release.open
      const executions = yield* Fiber.join(all)
      assert.deepStrictEqual(new Set(executions.map(({ status }) => status)), new Set(["finished"]))
      assert.strictEqual(most, 2)
      const ran = lines(world).map(Number)
      assert.deepStrictEqual(new Set(ran), new Set(Array(20).keys()))
      assert.strictEqual(ran.length, 20)
    })
  )

  it.effect("a start that is interrupted while it waits for its turn leaves the turn to the next", () =>
    Effect.gen(function* () {
      const release = Latch.makeUnsafe(false)
      const Busy = Saga.make("Busy", { context: { n: Schema.Int } }).pipe(
        Saga.local("work", {
          execute: ({ n }) => Effect.andThen(n === 0 ? release.await : Effect.void, write(`${n}`))
        }),
        Saga.commit
      )
      const { use, world } = yield* start({ maxPending: 3, maxRunning: 1, sagas: [Busy] })
      const run = (n: number) => Effect.forkChild(use(SagaManager.run(Busy, { context: { n } })))
      const first = yield* run(0)
      const second = yield* run(1)
      yield* quiet
      yield* Fiber.interrupt(second)
      const third = yield* run(2)
      const fourth = yield* run(3)
      yield* quiet
      yield* release.open
      yield* Effect.all([Fiber.join(first), Fiber.join(third), Fiber.join(fourth)])
      assert.deepStrictEqual(lines(world), ["0", "2", "3"])
    })
  )

  // Others have their turn after so many steps, and so in the middle of anything.
  for (const turn of [3, 4, 5, 7]) {
    for (const when of ["before", "after"] as const) {
      it.effect(
        `a start that is interrupted at any moment ${when} its turn comes leaves the turn to the next (in turns of ${turn})`,
        () =>
          Effect.gen(function* () {
            const release = Latch.makeUnsafe(false)
            let running = 0
            let most = 0
            const Busy = Saga.make("Busy", { context: { n: Schema.Int } }).pipe(
              Saga.local("work", {
                execute: ({ n }) =>
                  Effect.gen(function* () {
                    most = Math.max(most, ++running)
                    yield* n === 0 ? release.await : Effect.yieldNow
                    running--
                  })
              }),
              Saga.commit
            )
            const { use } = yield* start({ maxRunning: 1, sagas: [Busy] })
            const run = (n: number) => use(SagaManager.run(Busy, { context: { n } }))
            for (let later = 0; later < 15; later++) {
              yield* release.close
              const first = yield* Effect.forkChild(run(0))
              yield* quiet
              const second = yield* Effect.forkChild(Effect.provideService(run(1), Scheduler.MaxOpsBeforeYield, turn))
              if (when === "after") {
                yield* quiet
                yield* release.open
              }
              yield* Effect.repeat(Effect.yieldNow, { times: later })
              second.interruptUnsafe()
              const third = yield* Effect.forkChild(run(2))
              yield* quiet
              yield* release.open
              const isOver = () => [first, second, third].every((fiber) => fiber.pollUnsafe() !== undefined)
              yield* until(`all are over, ${later} turns later`, isOver)
              assert.strictEqual(most, 1, `${later} turns later`)
            }
          })
      )
    }
  }

  it.effect("a paused execution does not count as running", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start({ maxRunning: 1 })
      const run = use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      yield* Effect.all([run, run, run], { concurrency: "unbounded" })
      assert.strictEqual(wire.sent.length, 3)
    })
  )
})

describe("execute", () => {
  it.effect("execute gives the final context and nothing else", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      wire.answer = agreeable
      const order = yield* use(SagaManager.execute(CreateOrder, { context, user: "ada", startKey: "k" }))
      assert.deepStrictEqual(plain(order), {
        ...context,
        stock: reserved.content,
        invoice: "invoice-10",
        payment: charged.content
      })
    })
  )

  it.effect("execute fails with the declared error itself once all steps are compensated", () =>
    Effect.gen(function* () {
      const { use, wire, world } = yield* start()
      wire.answer = refusing
      const error = yield* Effect.flip(use(SagaManager.execute(CreateOrder, { context })))
      assert.strictEqual(error._tag, "CardDeclined")
      if (error._tag === "CardDeclined") assert.strictEqual(error.reason, "limit")
      assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10", "void invoice-10"])
      assert.strictEqual(wire.of("failure", "stock").length, 1)
    })
  )

  it.effect(
    "execute fails with SagaFailedExecution when a step could not be compensated, or the error was not declared",
    () =>
      Effect.gen(function* () {
        const failing = (compensate: () => Effect.Effect<void>, check: () => Effect.Effect<void>) =>
          Saga.make("Failing", { context: { amount: Schema.Int } }).pipe(
            Saga.local("one", { execute: () => Effect.void, compensate, retryCompensate: { times: 0 } }),
            Saga.local("two", { execute: check }),
            Saga.remote("payment", {
              execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) }
            }),
            Saga.commit
          )
        const fail = Effect.fnUntraced(function* (saga: ReturnType<typeof failing>) {
          const { use, wire } = yield* start({ sagas: [saga] })
          wire.answer = refusing
          const error = yield* Effect.flip(use(SagaManager.execute(saga, { context: { amount: 1 } })))
          assert.strictEqual(error._tag, "SagaFailedExecution")
          return error as unknown as SagaRunner.SagaFailedExecution
        })
        const stuck = yield* fail(
          failing(
            () => Effect.die(new Error("stuck")),
            () => Effect.void
          )
        )
        assert.deepStrictEqual([tagOf(stuck.cause), stuck.parked], ["CardDeclined", ["0"]])
        assert.deepStrictEqual(stuck.later.map(tagOf), ["SagaFailedExecutionStep"])
        const dead = yield* fail(
          failing(
            () => Effect.void,
            () => Effect.die(new Error("dead"))
          )
        )
        assert.deepStrictEqual([tagOf(dead.cause), dead.parked, dead.later], ["SagaFailedExecutionStep", [], []])
        const execution: SagaExecution.SagaExecution = dead.execution
        assert.deepStrictEqual([execution.status, execution.alreadyRollback], ["errored", true])
      })
  )
})
