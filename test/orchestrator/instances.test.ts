/** Two processes of one service: each may take the other's replies, and of two that write at once one goes on. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaManager, SagaResponse } from "effect-saga"
import { SagaExecution } from "effect-saga/internals"
import {
  agreeable,
  CreateOrder,
  charged,
  context,
  lines,
  makeWorld,
  open,
  quiet,
  refusing,
  reserved,
  type Sent,
  until,
  type World,
  write
} from "../fixtures/manager.ts"

it.effect("a caller is told of an end that another instance has reached", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ keep: 10 })
    const one = yield* open(world)
    const two = yield* open(world)
    const running = yield* Effect.forkChild(one.use(SagaManager.run(CreateOrder, { context })))
    yield* until("the request", () => world.wire.sent.length === 1)
    const { uuid } = yield* two.use(
      SagaManager.run({
        response: new SagaResponse({
          uuid: world.wire.sent[0]!.envelope.saga,
          step: "stock",
          content: reserved.content
        }),
        pauseOnDisk: true
      })
    )
    yield* two.use(SagaManager.run({ response: new SagaResponse({ uuid, step: "payment", content: charged.content }) }))
    yield* TestClock.adjust("1 minute")
    const execution = yield* Fiber.join(running)
    assert.deepStrictEqual([execution.uuid, execution.status], [uuid, "finished"])
    assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10", "handle p-1"])
  })
)

for (const [end, answer] of [
  ["finished", agreeable],
  ["errored", refusing]
] as const) {
  it.effect(`copies of every message to both instances come to one end (${end})`, () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const { wire } = world
      const one = yield* open(world)
      const two = yield* open(world)
      // Every message is answered twice, and the broker gives each of the two its copy.
      const answered = new Set<string>()
      const { uuid } = yield* one.use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      wire.answer = answer
      for (let round = 0; round < 40; round++) {
        for (const sent of [...wire.sent]) {
          const copy = answer(sent.envelope, sent.address.name ?? "")
          if (copy === undefined || answered.has(sent.envelope.id)) continue
          answered.add(sent.envelope.id)
          yield* Effect.all([wire.reply(sent, copy), wire.reply(sent, copy)], { concurrency: "unbounded" })
        }
        yield* quiet
        yield* TestClock.adjust("1 second")
      }
      const execution = yield* two.manager.load(uuid)
      assert.deepStrictEqual([execution.status, execution.settled], [end, true])
      // One fact for each thing that has happened, whichever process stored it (I3, I6).
      const tags = execution.events.map((event) => `${event._tag} ${"path" in event ? event.path : ""}`)
      assert.strictEqual(new Set(tags).size, tags.length)
      assert.strictEqual(new Set(wire.sent.map(({ body }) => body)).size, end === "finished" ? 2 : 3)
      assert.strictEqual(wire.acknowledged >= answered.size, true)
    })
  )
}

/** Another process is faster: it cancels an execution that this one is about to write. */
const overtake = Effect.fnUntraced(function* ({ store }: World, uuid: string) {
  const execution = yield* store.repository.load(uuid)
  const { updatedAt } = execution.state
  const fact = { _tag: "RollbackStarted", failure: { _tag: "Cancelled" }, at: updatedAt } as const
  yield* store.repository.store(SagaExecution.evolve(execution, fact))
})

it.effect("W5, W6 the result of a step is applied to the newer state of an execution, and compensated there", () => {
  const gate = Deferred.makeUnsafe<void>()
  const slow = Saga.make("Slow", { context: {} }).pipe(
    Saga.local("one", {
      execute: () => Effect.andThen(write("begun"), Effect.andThen(Deferred.await(gate), write("done"))),
      compensate: () => write("undone")
    }),
    Saga.local("two", { execute: () => write("two") }),
    Saga.commit
  )
  return Effect.gen(function* () {
    const world = yield* makeWorld({ keep: 10 })
    const { manager, use } = yield* open(world, { sagas: [slow] })
    const running = yield* Effect.forkChild(use(SagaManager.run(slow, { context: {}, raiseOnError: false })))
    yield* until("the step runs", () => lines(world).includes("begun"))
    const [head] = (yield* manager.find({})).items
    yield* overtake(world, head!.uuid)
    yield* Deferred.succeed(gate, undefined)
    yield* until("the execution has ended", () => running.pollUnsafe() !== undefined)
    const execution = yield* Fiber.join(running)
    assert.deepStrictEqual([execution.status, lines(world)], ["errored", ["begun", "done", "undone"]])
    const stored = yield* manager.load(execution.uuid)
    assert.strictEqual(stored.revision, execution.revision)
  })
})

it.effect("W5 a reply whose write has failed while another process wrote is judged again, and acknowledged then", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ keep: 10 })
    const { store, wire } = world
    const { manager, use } = yield* open(world)
    wire.answer = ({ op }) => (op === "failure" ? { status: 200 } : undefined)
    const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
    let failures = 0
    store.fault = (_, facts) => {
      if (!facts.includes("ReplyReceived")) return undefined
      failures++
      return { reason: "unavailable" }
    }
    yield* wire.reply(wire.sent[0]!, reserved)
    yield* until("the write has failed", () => failures > 1)
    store.fault = () => undefined
    yield* overtake(world, uuid)
    yield* TestClock.adjust("5 seconds")
    yield* until("both replies are acknowledged", () => wire.acknowledged === 2)
    yield* quiet
    const execution = yield* manager.load(uuid)
    assert.deepInclude(execution, { status: "errored", alreadyRollback: true })
    // The reply was not lost: nobody had to be asked what became of the request.
    assert.deepStrictEqual(
      wire.sent.map(({ envelope }) => envelope.op),
      ["execute", "failure"]
    )
  })
)

it.effect("C7 a reply that finds a half-done step of another process treats it as its onCrash says", () => {
  const half = Saga.make("Half", { context: {} }).pipe(
    Saga.parallel("both", {
      asked: Saga.remote("count", { execute: { target: "stock/Count", content: () => null } }),
      here: Saga.local("half", {
        execute: () => Effect.andThen(write("half"), Effect.never),
        compensate: { run: () => write("undo"), unknown: () => write("undo blindly") },
        onCrash: "compensate"
      })
    }),
    Saga.commit
  )
  return Effect.gen(function* () {
    const world = yield* makeWorld({ keep: 10 })
    const one = yield* open(world, { sagas: [half] })
    const two = yield* open(world, { sagas: [half] })
    yield* Effect.forkChild(Effect.exit(one.use(SagaManager.run(half, { context: {} }))))
    yield* until("both are under way", () => world.wire.sent.length === 1 && lines(world).length === 1)
    yield* one.close
    // No time passes, so the other one does not look by itself.
    yield* world.wire.reply(world.wire.sent[0]!, { status: 200 })
    yield* until("the reply is taken", () => world.wire.acknowledged === 1)
    yield* quiet
    assert.deepStrictEqual(lines(world), ["half", "undo blindly"])
    const { items } = yield* two.manager.find({})
    assert.deepStrictEqual([items[0]?.status, items[0]?.settled], ["errored", true])
  })
})

/** Asks another service while a local step runs that ends when `gate` opens; what comes after both is a third step. */
const bothSaga = (gate: Deferred.Deferred<void>) =>
  Saga.make("Both", { context: {} }).pipe(
    Saga.parallel("both", {
      asked: Saga.remote("count", {
        execute: { target: "stock/Count", content: () => null },
        onSuccess: () => write("handled")
      }),
      here: Saga.local("slow", {
        execute: () => Effect.andThen(write("begun"), Effect.andThen(Deferred.await(gate), write("done"))),
        compensate: { run: () => write("undone"), unknown: () => write("undone blindly") },
        onCrash: "compensate"
      })
    }),
    Saga.local("after", { execute: () => write("after") }),
    Saga.commit
  )

const answerTo = ({ envelope: { id } }: Sent) =>
  ({ inReplyTo: id, sender: "stock", status: 200, relatedServices: ["stock"] }) as const

/** One instance is in the middle of the local step; the other one knows nothing of it. */
const inTheMiddle = Effect.fnUntraced(function* (gate: Deferred.Deferred<void>) {
  const both = bothSaga(gate)
  const world = yield* makeWorld({ keep: 10 })
  const config = { sagas: [both], recoveryInterval: "1 second", lease: "3 seconds" } as const
  const one = yield* open(world, config)
  const two = yield* open(world, config)
  const running = yield* Effect.forkChild(
    Effect.exit(one.use(SagaManager.run(both, { context: {}, raiseOnError: false })))
  )
  yield* until("both are under way", () => world.wire.sent.length === 1 && lines(world).length === 1)
  return { world, one, two, running, uuid: world.wire.sent[0]!.envelope.saga }
})

it.effect(
  "C7 a reply that reaches another instance than the one that runs a step is stored, and left to that one",
  () => {
    const gate = Deferred.makeUnsafe<void>()
    return Effect.gen(function* () {
      const { running, two, uuid, world } = yield* inTheMiddle(gate)
      assert.strictEqual(yield* two.manager.reply(uuid, answerTo(world.wire.sent[0]!)), "applied")
      yield* quiet
      // The owner has read it, and keeps it whatever becomes of the step.
      assert.include(
        (yield* two.manager.load(uuid)).events.map(({ _tag }) => _tag),
        "ReplyReceived"
      )
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(lines(world), ["begun", "handled"])
      yield* Deferred.succeed(gate, undefined)
      yield* until("the execution has ended", () => running.pollUnsafe() !== undefined)
      assert.deepStrictEqual(lines(world), ["begun", "handled", "done", "after"])
      assert.deepInclude(yield* two.manager.load(uuid), { status: "finished", settled: true })
    })
  }
)

it.effect("C7 an instance that dies after another one has stored a reply for it is followed by that one", () => {
  const gate = Deferred.makeUnsafe<void>()
  return Effect.gen(function* () {
    const { one, two, uuid, world } = yield* inTheMiddle(gate)
    yield* two.manager.reply(uuid, answerTo(world.wire.sent[0]!))
    yield* quiet
    yield* one.close
    yield* TestClock.adjust("5 seconds")
    yield* quiet
    assert.deepStrictEqual(lines(world), ["begun", "handled", "undone blindly"])
    assert.deepInclude(yield* two.manager.load(uuid), { status: "errored", settled: true })
  })
})

it.effect("C7 a cancellation by another instance than the one that runs a step waits for the step", () => {
  const gate = Deferred.makeUnsafe<void>()
  return Effect.gen(function* () {
    const { running, two, uuid, world } = yield* inTheMiddle(gate)
    const cancelling = yield* Effect.forkChild(two.manager.cancel(uuid, { actor: "ada" }))
    yield* TestClock.adjust("20 seconds")
    assert.strictEqual((yield* Fiber.join(cancelling)).state.direction, "backward")
    assert.deepStrictEqual(lines(world), ["begun"])
    yield* Deferred.succeed(gate, undefined)
    yield* world.wire.reply(world.wire.sent[0]!, { status: 200 })
    yield* until("the execution has ended", () => running.pollUnsafe() !== undefined)
    assert.deepStrictEqual(lines(world), ["begun", "done", "undone"])
  })
})

it.effect(
  "C7 an instance whose request was answered at another instance does not run the next step when a resend is due",
  () => {
    const gate = Deferred.makeUnsafe<void>()
    const chain = Saga.make("Chain", { context: {} }).pipe(
      Saga.remote("count", { execute: { target: "stock/Count", content: () => null } }),
      Saga.local("slow", {
        execute: () => Effect.andThen(write("begun"), Effect.andThen(Deferred.await(gate), write("done")))
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const one = yield* open(world, { sagas: [chain] })
      const two = yield* open(world, { sagas: [chain] })
      const running = yield* Effect.forkChild(one.use(SagaManager.run(chain, { context: {} })))
      yield* until("the request", () => world.wire.sent.length === 1)
      const sent = world.wire.sent[0]!
      yield* two.manager.reply(sent.envelope.saga, answerTo(sent))
      yield* until("the step runs", () => lines(world).length === 1)
      yield* TestClock.adjust("40 seconds")
      assert.deepStrictEqual([lines(world), world.wire.sent.length], [["begun"], 1])
      yield* Deferred.succeed(gate, undefined)
      yield* until("the step is done", () => lines(world).length === 2)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* Fiber.join(running)).status, "finished")
      assert.deepStrictEqual(lines(world), ["begun", "done"])
    })
  }
)
