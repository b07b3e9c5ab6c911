/** Time passes: what is sent again, when a step gives up, and what a broker or a store that is down for a while does. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Participant, Saga, SagaManager, SagaResponse, type SagaRunner } from "effect-saga"
import {
  agreeable,
  CreateOrder,
  charged,
  context,
  lines,
  open,
  quiet,
  refusing,
  reserved,
  start,
  until,
  write
} from "../fixtures/manager.ts"

const tagOf = (error: unknown) => (error as { readonly _tag: string })._tag

/** The pauses between one message and the next, in tenths of their schedule: the jitter is up to a tenth. */
const pauses = (times: ReadonlyArray<number>) => times.slice(1).map((at, i) => at - times[i]!)

const assertSchedule = (times: ReadonlyArray<number>, seconds: ReadonlyArray<number>) => {
  const between = pauses(times)
  assert.strictEqual(between.length, seconds.length)
  between.forEach((pause, i) => {
    assert.isAtLeast(pause, seconds[i]! * 1_000)
    assert.isAtMost(pause, seconds[i]! * 1_100)
  })
}

describe("resends", () => {
  it.effect(
    "a request without answer is sent again after 1, 2, 4 … seconds, at most every 30, the same to the byte",
    () =>
      Effect.gen(function* () {
        const { story, use, wire } = yield* start()
        yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
        yield* TestClock.adjust("105 seconds")
        const times = wire.sent.map(({ at }) => at)
        assertSchedule(times, [1, 2, 4, 8, 16, 30, 30])
        assert.strictEqual(new Set(wire.sent.map(({ body }) => body)).size, 1)
        // Sending again writes nothing.
        assert.strictEqual(story.filter((line) => line.startsWith("stored")).length, 1)
      })
  )

  it.effect("a request is not sent again once it is answered", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      wire.answer = agreeable
      yield* use(SagaManager.run(CreateOrder, { context }))
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(wire.sent.length, 2)
    })
  )

  it.effect("a lost reply comes with the next resend", () =>
    Effect.gen(function* () {
      const { use, wire, world } = yield* start()
      const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context })))
      yield* until("the request", () => wire.sent.length === 1)
      wire.answer = agreeable
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      assert.strictEqual(wire.of("execute", "stock").length, 2)
      assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10", "handle p-1"])
    })
  )

  it.effect("a compensation without answer is sent again 10 times, then parked", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* start()
      wire.answer = (envelope, command) => (envelope.op === "failure" ? undefined : refusing(envelope, command))
      const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
      yield* TestClock.adjust("2 hours")
      const error = yield* Fiber.join(running)
      assert.strictEqual(error._tag, "SagaFailedExecution")
      if (error._tag !== "SagaFailedExecution") return
      assert.strictEqual(tagOf(error.cause), "CardDeclined")
      assert.deepStrictEqual(error.parked, ["0"])
      const sent = wire.of("failure", "stock")
      assertSchedule(
        sent.map(({ at }) => at),
        [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
      )
      assert.strictEqual(new Set(sent.map(({ body }) => body)).size, 1)
      assert.isFalse((yield* manager.load(error.uuid)).alreadyRollback)
    })
  )

  it.effect("a compensation answered 500 is tried again, and counts as failed only if it stays so", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      let refusals = 3
      wire.answer = (envelope, command) =>
        envelope.op === "failure" && refusals-- > 0 ? { status: 500, content: "busy" } : refusing(envelope, command)
      const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
      yield* TestClock.adjust("10 minutes")
      const error = yield* Fiber.join(running)
      assert.strictEqual(error._tag, "SagaFailedExecution")
      if (error._tag !== "SagaFailedExecution") return
      assert.deepStrictEqual([error.parked, error.execution.alreadyRollback], [[], true])
      assert.strictEqual(wire.of("failure", "stock").length, 4)
      assert.strictEqual(new Set(wire.of("failure", "stock").map(({ body }) => body)).size, 1)
      assert.deepStrictEqual(error.later.map(tagOf), ["SagaFailedExecutionStep"])
    })
  )

  it.effect("the requests of a hundred waiting executions are all sent again", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      const run = use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      yield* Effect.all(
        Array.from({ length: 100 }, () => run),
        { concurrency: 10 }
      )
      yield* TestClock.adjust("1200 millis")
      const perExecution = new Map<string, number>()
      for (const { envelope } of wire.sent) perExecution.set(envelope.saga, (perExecution.get(envelope.saga) ?? 0) + 1)
      assert.deepStrictEqual([perExecution.size, new Set(perExecution.values())], [100, new Set([2])])
    })
  )
})

describe("deadlines", () => {
  it.effect("at the deadline the service is probed, and its effect is compensated", () =>
    Effect.gen(function* () {
      const { use, wire, world } = yield* start()
      wire.answer = (envelope, command) =>
        envelope.op === "probe" ? charged : command === "Charge" ? undefined : agreeable(envelope, command)
      const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
      yield* TestClock.adjust("299 seconds")
      assert.deepStrictEqual([wire.of("probe").length, running.pollUnsafe()], [0, undefined])
      yield* TestClock.adjust("1 seconds")
      const error = yield* Fiber.join(running)
      assert.strictEqual(error._tag, "SagaFailedExecution")
      const { cause, parked } = error as unknown as SagaRunner.SagaFailedExecution<Error>
      assert.deepStrictEqual([tagOf(cause.cause), parked], ["SagaStepTimedOut", []])
      assert.strictEqual(wire.of("probe")[0]?.envelope.id, `${wire.sent[0]?.envelope.saga}:2:probe`)
      assert.deepStrictEqual(
        wire.of("failure").map(({ envelope }) => [envelope.service, envelope.content]),
        [
          ["payments", { paymentId: "p-1" }],
          ["stock", { reservation: "r-1" }]
        ]
      )
      assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10", "void invoice-10"])
    })
  )

  it.effect("a step has its own timeout, or the one of the configuration", () =>
    Effect.gen(function* () {
      const Ask = Participant.make("ask", { One: { payload: {} } })
      const Quick = Saga.make("Quick", { context: {} }).pipe(
        Saga.remote("one", { execute: { command: Ask.commands.One, payload: () => ({}) }, timeout: "3 seconds" }),
        Saga.commit
      )
      const { use, wire } = yield* start({ replyTimeout: "1 minute", sagas: [Quick, CreateOrder] })
      wire.answer = ({ op }) => (op === "probe" ? { status: 404 } : undefined)
      const quick = yield* Effect.forkChild(Effect.exit(use(SagaManager.run(Quick, { context: {} }))))
      const other = yield* Effect.forkChild(Effect.exit(use(SagaManager.run(CreateOrder, { context }))))
      yield* TestClock.adjust("3 seconds")
      yield* until("it has given up", () => quick.pollUnsafe() !== undefined)
      assert.isUndefined(other.pollUnsafe())
      yield* TestClock.adjust("57 seconds")
      yield* until("so has the other", () => other.pollUnsafe() !== undefined)
    })
  )

  it.effect("at the deadline a service that cannot be probed is compensated by unknown, or the step is parked", () =>
    Effect.gen(function* () {
      const Old = Participant.make(
        "old",
        { Do: { payload: {} }, Undo: { payload: { blind: Schema.Boolean } } },
        { probe: false }
      )
      const call = { command: Old.commands.Do, payload: () => ({}) }
      const Parks = Saga.make("Parks", { context: {} }).pipe(
        Saga.remote("one", {
          execute: call,
          compensate: { command: Old.commands.Undo, payload: () => ({ blind: false }) }
        }),
        Saga.commit
      )
      const Undoes = Saga.make("Undoes", { context: {} }).pipe(
        Saga.remote("one", {
          execute: call,
          compensate: {
            command: Old.commands.Undo,
            payload: () => ({ blind: false }),
            unknown: () => ({ blind: true })
          }
        }),
        Saga.commit
      )
      const { use, wire } = yield* start({ sagas: [Parks, Undoes] })
      wire.answer = ({ op }) => (op === "failure" ? { status: 200 } : undefined)
      const fail = Effect.fnUntraced(function* (saga: typeof Parks | typeof Undoes) {
        const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(saga, { context: {} }))))
        yield* TestClock.adjust("5 minutes")
        return (yield* Fiber.join(running)) as unknown as SagaRunner.SagaFailedExecution
      })
      assert.deepStrictEqual((yield* fail(Parks)).parked, ["0"])
      assert.deepStrictEqual((yield* fail(Undoes)).parked, [])
      assert.deepStrictEqual(
        wire.of("failure").map(({ envelope }) => envelope.content),
        [{ blind: true }]
      )
      assert.deepStrictEqual(wire.of("probe"), [])
    })
  )

  it.effect("a local step that times out is compensated by its unknown", () =>
    Effect.gen(function* () {
      const Slow = Saga.make("Slow", { context: {} }).pipe(
        Saga.local("one", {
          execute: () => Effect.never,
          compensate: { run: () => write("undo"), unknown: () => write("undo blindly") },
          timeout: "2 seconds"
        }),
        Saga.commit
      )
      const { use, world } = yield* start({ sagas: [Slow] })
      const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(Slow, { context: {} }))))
      yield* TestClock.adjust("2 seconds")
      const error = (yield* Fiber.join(running)) as unknown as SagaRunner.SagaFailedExecution<Error>
      assert.strictEqual(tagOf(error.cause.cause), "SagaStepTimedOut")
      assert.deepStrictEqual(lines(world), ["undo blindly"])
    })
  )
})

describe("a broker that cannot publish", () => {
  it.effect("a broker that cannot publish delays a step and does not fail it: the message leaves with a resend", () =>
    Effect.gen(function* () {
      const { logged, story, use, wire } = yield* start()
      wire.answer = agreeable
      wire.down = true
      const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context })))
      yield* until("it was tried", () => wire.sent.length === 1)
      yield* TestClock.adjust("10 seconds")
      assert.isUndefined(running.pollUnsafe())
      wire.down = false
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      assert.deepStrictEqual(
        story.filter((line) => /^(lost|sent)/.test(line)),
        [...Array(4).fill("lost execute to stock"), "sent execute to stock", "sent execute to payments"]
      )
      assert.strictEqual(new Set(wire.of("execute", "stock").map(({ body }) => body)).size, 1)
      assert.isTrue(logged.every((line) => line.includes("could not be published now")))
    })
  )

  it.effect("a broker that cannot publish fails a step only at its deadline", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* start({ keep: 10 })
      wire.down = true
      const execution = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      assert.strictEqual(execution.status, "paused")
      yield* TestClock.adjust("5 minutes")
      const failing = yield* manager.load(execution.uuid)
      assert.deepStrictEqual([failing.status, tagOf((failing.cause as Error).cause)], ["running", "SagaStepTimedOut"])
      wire.down = false
      wire.answer = () => ({ status: 404 })
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual((yield* manager.load(execution.uuid)).status, "errored")
    })
  )

  it.effect("a broker that cannot publish delays a rollback, and no compensation is lost", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      wire.answer = (envelope, command) => {
        if (command === "Charge") wire.down = true
        return refusing(envelope, command)
      }
      const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(running.pollUnsafe())
      wire.down = false
      yield* TestClock.adjust("2 minutes")
      const error = yield* Fiber.join(running)
      assert.strictEqual(error._tag, "SagaFailedExecution")
      if (error._tag === "SagaFailedExecution") assert.deepStrictEqual(error.parked, [])
    })
  )
})

describe("a store that is down", () => {
  it.effect("what the database says stands in the error that callers get, and in the log once a minute", () =>
    Effect.gen(function* () {
      const { logged, store, use, wire } = yield* start()
      const lacking = "42501: the role lacks a right there"
      const said = () => logged.filter((line) => line.includes(lacking)).length
      store.fault = (operation) => (operation === "store" ? { reason: "unavailable", code: "42501" } : undefined)
      const starting = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(
        (yield* Fiber.join(starting)).message,
        `The repository could not store: unavailable (${lacking})`
      )
      assert.strictEqual(said(), 1)
      // A fact of an execution that has begun is kept until the right is given.
      yield* TestClock.adjust("1 minute")
      store.fault = (operation, facts) =>
        operation === "store" && facts.includes("ReplyReceived") ? { reason: "unavailable", code: "42501" } : undefined
      wire.answer = agreeable
      const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
      yield* TestClock.adjust("50 seconds")
      assert.include((yield* Fiber.join(running)).message, lacking)
      assert.strictEqual(said(), 2)
      store.fault = () => undefined
    })
  )

  it.effect(
    "a write to a store that is down is tried again after 50 ms, then twice as long each time, and the run goes on",
    () =>
      Effect.gen(function* () {
        const { store, use, wire, world } = yield* start()
        wire.answer = agreeable
        let failures = 6
        store.fault = (operation, facts) =>
          operation === "store" && facts.includes("StepStarted") && failures-- > 0
            ? { reason: "unavailable" }
            : undefined
        const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context })))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* Fiber.join(running)).status, "finished")
        assert.deepStrictEqual(
          pauses(store.attempts).filter((pause) => pause > 0),
          [50, 100, 200, 400, 800]
        )
        assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10", "handle p-1"])
        assert.strictEqual(wire.sent.length, 2)
      })
  )

  it.effect("a write that failed after it was stored counts, once", () =>
    Effect.gen(function* () {
      const wrote = [
        "RequestSent",
        "StepStarted",
        "StepSucceeded",
        "ReplyReceived",
        "CompensationSent",
        "StepCompensated"
      ]
      const check = Effect.fnUntraced(function* (fact: string) {
        const { manager, store, use, wire, world } = yield* start({ keep: 10 })
        wire.answer = refusing
        let failed = false
        store.fault = (operation, facts) => {
          if (failed || operation !== "store" || !facts.includes(fact)) return undefined
          failed = true
          return { reason: "unavailable", worked: true }
        }
        const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
        yield* TestClock.adjust("1 minute")
        yield* until(`an end after a write of ${fact}`, () => running.pollUnsafe() !== undefined)
        const error = yield* Fiber.join(running)
        assert.isTrue(failed)
        assert.strictEqual(error._tag, "SagaFailedExecution")
        if (error._tag !== "SagaFailedExecution") return
        assert.strictEqual(tagOf(error.cause), "CardDeclined")
        assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10", "void invoice-10"], fact)
        const stored = yield* manager.load(error.uuid)
        assert.deepStrictEqual([stored.status, stored.alreadyRollback], ["errored", true])
        assert.strictEqual(new Set(wire.sent.map(({ envelope }) => envelope.id)).size, 3)
      })
      for (const fact of wrote) yield* Effect.scoped(check(fact))
    })
  )

  for (const onCrash of ["retry", "compensate", "park"] as const) {
    it.effect(
      `F4 for an hour: a step that has ended is not run again while its process lives (onCrash: ${onCrash})`,
      () =>
        Effect.gen(function* () {
          let runs = 0
          const saga = Saga.make("Charge", { context: {} }).pipe(
            Saga.local("charge", {
              success: Schema.String,
              execute: () => Effect.sync(() => `charge ${++runs}`),
              compensate: { run: () => Effect.void, unknown: () => Effect.void },
              onCrash
            }),
            Saga.local("receipt", { execute: () => Effect.void }),
            Saga.commit
          )
          const { manager, store, use } = yield* start({ keep: 10, sagas: [saga] })
          let isAway = false
          store.fault = (_, facts) => {
            isAway ||= facts.includes("StepSucceeded")
            return isAway ? { reason: "unavailable" } : undefined
          }
          const caller = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(saga, { context: {} }))))
          yield* TestClock.adjust("1 hour")
          assert.strictEqual((yield* Fiber.join(caller))._tag, "SagaExecutionRepositoryError", "the caller is told")
          store.fault = () => undefined
          // Nothing begins before the lease is renewed (SPEC C20).
          yield* TestClock.adjust("2 minutes")
          const { items } = yield* manager.find({})
          assert.deepStrictEqual(
            items.map(({ parked, status }) => ({ parked, status })),
            [{ parked: false, status: "finished" }]
          )
          assert.strictEqual(runs, 1)
        })
    )
  }

  it.effect(
    "a store that is down for longer than the retries is an error for the caller, and the execution goes on when it is back",
    () =>
      Effect.gen(function* () {
        const { manager, store, use, wire, world } = yield* start({ keep: 10 })
        wire.answer = agreeable
        store.fault = (operation, facts) =>
          operation === "load" || facts.includes("StepStarted") ? { reason: "unavailable" } : undefined
        const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
        yield* TestClock.adjust("1 minute")
        const error = yield* Fiber.join(running)
        assert.strictEqual(error._tag, "SagaExecutionRepositoryError")
        if (error._tag === "SagaExecutionRepositoryError") assert.strictEqual(error.reason, "unavailable")
        store.fault = () => undefined
        yield* TestClock.adjust("1 minute")
        const { items } = yield* manager.find({})
        assert.deepStrictEqual(
          items.map(({ status }) => status),
          ["finished"]
        )
        assert.deepStrictEqual(lines(world).slice(-2), ["invoice 10", "handle p-1"])
      })
  )

  it.effect.each(["bug", "corrupt"] as const)(
    "a store that fails by a %s is an error for the caller, and the execution goes on later",
    (reason) =>
      Effect.gen(function* () {
        const { manager, store, use, wire, world } = yield* start({ keep: 10 })
        wire.answer = agreeable
        let loads = 0
        store.fault = (operation, facts) => {
          if (operation === "load") loads++
          return operation === "load" || facts.includes("StepStarted") ? { reason } : undefined
        }
        const running = yield* Effect.forkChild(Effect.exit(use(SagaManager.run(CreateOrder, { context }))))
        yield* until("the caller is told", () => running.pollUnsafe() !== undefined)
        assert.isTrue(Exit.isFailure(yield* Fiber.join(running)))
        // Once more in vain. An execution that cannot be read is not tried again, except for a reply to its resends.
        yield* TestClock.adjust("1 minute")
        const [failing] = (yield* manager.find({})).items
        assert.strictEqual(failing?.settled, false)
        if (reason === "bug") assert.isAbove(loads, 0)
        store.fault = () => undefined
        // It has been repaired, and an input comes to it.
        if (reason === "corrupt") yield* Effect.exit(manager.commit(failing!.uuid))
        // What a database answers comes after the time that was waited.
        const status = Effect.map(manager.find({}), ({ items }) => items[0]?.status)
        for (let minute = 0; minute < 10 && (yield* status) !== "finished"; minute++)
          yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* status, "finished")
        assert.deepStrictEqual(lines(world).slice(-2), ["invoice 10", "handle p-1"])
      })
  )

  it.effect(
    "C20 while the store is down nothing is sent; resends and deadlines of a waiting execution come when it is back",
    () =>
      Effect.gen(function* () {
        const { manager, store, use, wire } = yield* start({ keep: 10 })
        const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
        store.fault = () => ({ reason: "unavailable" })
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(wire.sent.length, 1)
        store.fault = () => undefined
        yield* TestClock.adjust("1 minute")
        assert.isAbove(wire.sent.length, 1)
        wire.answer = (envelope, command) => (envelope.op === "probe" ? { status: 404 } : agreeable(envelope, command))
        yield* wire.reply(wire.sent[0]!, { status: 400, content: { _tag: "OutOfStock", sku: "book" } })
        yield* until("it is over", () => wire.acknowledged === 1)
        yield* quiet
        assert.strictEqual((yield* manager.load(uuid)).status, "errored")
      })
  )

  it.effect("a store that is down at the start is an error for the caller, and nothing is stored", () =>
    Effect.gen(function* () {
      const { manager, store, use, wire, world } = yield* start()
      store.fault = () => ({ reason: "unavailable" })
      const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(running))._tag, "SagaExecutionRepositoryError")
      store.fault = () => undefined
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual([(yield* manager.find({})).items, wire.sent, lines(world)], [[], [], []])
    })
  )

  it.effect("C13 while the store is down for long new starts are refused; running executions end when it is back", () =>
    Effect.gen(function* () {
      const { manager, store, use, wire } = yield* start({ keep: 10, maxPending: 3 })
      const run = use(SagaManager.run(CreateOrder, { context }))
      const paused = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      store.fault = () => ({ reason: "unavailable" })
      wire.answer = agreeable
      const two = yield* Effect.all([Effect.forkChild(Effect.flip(run)), Effect.forkChild(Effect.flip(run))])
      yield* wire.reply(wire.sent[0]!, reserved)
      yield* quiet
      const refused = yield* Effect.flip(run)
      assert.strictEqual(refused._tag, "SagaOverloaded")
      yield* TestClock.adjust("1 minute")
      for (const fiber of two) assert.strictEqual((yield* Fiber.join(fiber))._tag, "SagaExecutionRepositoryError")
      store.fault = () => undefined
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* manager.load(paused.uuid)).status, "finished")
      // Nothing of those that could not start is left, and there is room again.
      assert.strictEqual((yield* manager.find({})).items.length, 1)
      assert.strictEqual((yield* run).status, "finished")
    })
  )

  for (const fact of ["ExecutionCreated", "StepStarted", "ExecutionFinished"]) {
    it.effect(`a store that rejects a write (${fact}) is a typed error for the caller at once`, () =>
      Effect.gen(function* () {
        const { store, use, wire } = yield* start()
        wire.answer = agreeable
        store.fault = (_, facts) => (facts.includes(fact) ? { reason: "rejected" } : undefined)
        const error = yield* Effect.flip(use(SagaManager.run(CreateOrder, { context })))
        assert.strictEqual(error._tag, "SagaExecutionRepositoryError")
        if (error._tag === "SagaExecutionRepositoryError")
          assert.deepStrictEqual([error.reason, error.operation], ["rejected", "store"])
      })
    )
  }

  it.effect("a store that rejects a write is a typed error for a response and a cancel, too", () =>
    Effect.gen(function* () {
      const { manager, store, use } = yield* start()
      const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      store.fault = (operation) => (operation === "store" ? { reason: "rejected" } : undefined)
      const response = new SagaResponse({ uuid, step: "stock", ...reserved })
      const errors = [
        yield* Effect.flip(use(SagaManager.run({ response, pauseOnDisk: true }))),
        yield* Effect.flip(manager.cancel(uuid))
      ]
      assert.deepStrictEqual(errors.map(tagOf), ["SagaExecutionRepositoryError", "SagaExecutionRepositoryError"])
      // The write that would set the execution aside is refused as well.
      yield* quiet
      store.fault = () => undefined
      assert.strictEqual((yield* use(SagaManager.run({ response, pauseOnDisk: true }))).pausedStep?.name, "payment")
    })
  )

  it.effect("a manager starts also while the store is down", () =>
    Effect.gen(function* () {
      const { close, logged, use, wire, world } = yield* start()
      yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      yield* close
      const other = yield* open(world)
      wire.answer = agreeable
      assert.strictEqual((yield* other.use(SagaManager.run(CreateOrder, { context }))).status, "finished")
      assert.deepStrictEqual(logged, [])
    })
  )
})
