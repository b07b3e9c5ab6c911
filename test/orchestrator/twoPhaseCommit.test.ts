/** The phase of all who took part, by messages: votes, the decision, acknowledgements, and all that may be lost. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecution,
  SagaExecutionRepository,
  SagaManager,
  SagaResponse,
  SagaRunner,
  SagaTransaction
} from "effect-saga"
import { Envelope } from "effect-saga/internals"
import * as DecisionConsumer from "../../src/orchestrator/DecisionConsumer.ts"
import {
  agreeable,
  CreateOrder,
  charged,
  context,
  lines,
  makeWorld,
  messageOf,
  open,
  quiet,
  refusing,
  reserved,
  start,
  until,
  type Wire,
  write
} from "../fixtures/manager.ts"
import { isMemory } from "../fixtures/repository.ts"

const isAgreement = ({ op }: Envelope.Envelope): boolean => op === "reserve" || op === "commit" || op === "reject"

/** The messages of the two-phase commit that were sent: operation and service. */
const agreed = (wire: Wire) =>
  wire.sent.filter(({ envelope }) => isAgreement(envelope)).map(({ envelope: { op, service } }) => `${op} ${service}`)

const all = (wire: Wire) => wire.sent.map(({ envelope: { op, service } }) => `${op} ${service}`)

/** Everything goes well but for what a service answers to one operation. */
const but =
  (service: string, op: Envelope.Op, answer: ReturnType<Wire["answer"]>, otherwise = agreeable): Wire["answer"] =>
  (envelope, command) =>
    envelope.service === service && envelope.op === op ? answer : otherwise(envelope, command)

const begun = (options: Parameters<typeof start>[0] = {}) => start({ enrols: "two-phase", keep: 10, ...options })

describe("a commit", () => {
  it.effect(
    "TPC-002, MGR-001, EXE-007 a commit asks all services to reserve, then to commit, sorted, and ends settled",
    () =>
      Effect.gen(function* () {
        const { manager, use, wire, world } = yield* start({ enrols: "two-phase" })
        wire.answer = agreeable
        const execution = yield* use(SagaManager.run(CreateOrder, { context, user: "ada" }))
        assert.deepStrictEqual([execution.status, execution.decision], ["finished", "commit"])
        assert.deepStrictEqual([execution.commitState, execution.settled], ["committed", true])
        assert.deepStrictEqual(all(wire), [
          "execute stock",
          "execute payments",
          "reserve payments",
          "reserve stock",
          "commit payments",
          "commit stock"
        ])
        for (const { envelope } of wire.sent) assert.strictEqual(envelope.saga, execution.uuid)
        for (const { envelope } of wire.of("execute"))
          assert.deepStrictEqual([envelope.transactions, envelope.user], [[execution.uuid], "ada"])
        assert.deepStrictEqual(lines(world), ["handle r-1", "invoice 10", "handle p-1"])
        assert.strictEqual((yield* Effect.flip(manager.load(execution.uuid)))._tag, "SagaExecutionNotFound")
      })
  )

  it.effect(
    "TPC-005, TPC-006, TPC-007 messages of the two-phase commit have topics and ids of their own, and no headers",
    () =>
      Effect.gen(function* () {
        const { use, wire } = yield* begun()
        wire.answer = agreeable
        const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, user: "ada" }))
        const sent = wire.sent.filter(({ envelope }) => isAgreement(envelope))
        assert.deepStrictEqual(
          sent.map(({ address, envelope }) => [Broker.topic(address), envelope.id]),
          ["reserve", "commit"].flatMap((op) =>
            ["payments", "stock"].map((service) => [`saga/v1/${service}/tx/orders`, `${uuid}:${service}:${op}`])
          )
        )
        for (const { envelope } of sent) {
          assert.notProperty(envelope, "user")
          assert.notProperty(envelope, "headers")
          assert.deepStrictEqual([envelope.transactions, envelope.relatedServices], [[], []])
          // A vote, as every reply, goes to the reply topic of the coordinator.
          const vote = messageOf(envelope, { status: 200 })
          assert.strictEqual(Broker.topic(vote.address), `saga/v1/orders/reply/${envelope.service}`)
        }
      })
  )

  it.effect("a reserve names the steps that the service has answered, in the order they ran", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* begun()
      wire.answer = agreeable
      yield* use(SagaManager.run(CreateOrder, { context }))
      assert.deepStrictEqual(
        wire.of("reserve").map(({ envelope }) => [envelope.service, envelope.content]),
        [
          ["payments", ["2"]],
          ["stock", ["0"]]
        ]
      )
    })
  )

  it.effect("C3 a reserve does not name a step that the service has refused, also if onError recovered", () => {
    const lenient = Saga.make("Lenient", { context: {} }).pipe(
      Saga.remote("one", { execute: { target: "stock/Count", content: () => null } }),
      Saga.remote("two", { execute: { target: "stock/Count", content: () => null }, onError: () => Effect.void }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const { use, wire } = yield* begun({ sagas: [lenient] })
      wire.answer = ({ op, path }) => (op === "execute" && path === "1" ? { status: 400 } : { status: 200 })
      const { status } = yield* use(SagaManager.run(lenient, { context: {} }))
      assert.strictEqual(status, "finished")
      assert.deepStrictEqual(wire.of("reserve")[0]?.envelope.content, ["0"])
    })
  })

  it.effect("TPC-008 a service that took part in several steps is asked once", () => {
    const twice = Saga.make("Twice", { context: {} }).pipe(
      Saga.remote("one", { execute: { target: "stock/Count", content: () => null } }),
      Saga.conditional("maybe", [
        Saga.ifThen(() => true, Saga.remote("two", { execute: { target: "stock/Count", content: () => null } }))
      ]),
      Saga.commit
    )
    return Effect.gen(function* () {
      const { use, wire } = yield* begun({ sagas: [twice] })
      wire.answer = ({ op }) => (op === "status" ? undefined : { status: 200 })
      yield* use(SagaManager.run(twice, { context: {} }))
      assert.deepStrictEqual(agreed(wire), ["reserve stock", "commit stock"])
      assert.deepStrictEqual(wire.of("reserve")[0]?.envelope.content, ["0", "1/if0/0"])
    })
  })

  it.effect("MGR-008 a commit with pauses on disk has the same messages, and ends committed", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* start({ enrols: "two-phase" })
      wire.answer = (envelope) => (isAgreement(envelope) ? { status: 200 } : undefined)
      const options = { pauseOnDisk: true } as const
      const first = yield* use(SagaManager.run(CreateOrder, { context, ...options }))
      const answer = (content: unknown) =>
        use(
          SagaManager.run({
            response: new SagaResponse({
              uuid: first.uuid,
              step: content === charged.content ? "payment" : "stock",
              content
            }),
            ...options
          })
        )
      const second = yield* answer(reserved.content)
      const third = yield* answer(charged.content)
      assert.deepStrictEqual(
        [first, second, third].map(({ status }) => status),
        ["paused", "paused", "finished"]
      )
      assert.strictEqual(third.commitState, "committed")
      assert.deepStrictEqual(all(wire), [
        "execute stock",
        "execute payments",
        "reserve payments",
        "reserve stock",
        "commit payments",
        "commit stock"
      ])
      assert.strictEqual((yield* Effect.flip(manager.load(first.uuid)))._tag, "SagaExecutionNotFound")
    })
  )

  it.effect("W4 the decision is stored before a service is told, and the question before a service is asked", () =>
    Effect.gen(function* () {
      const { story, use, wire } = yield* begun()
      wire.answer = agreeable
      yield* use(SagaManager.run(CreateOrder, { context }))
      const at = (part: string) => story.findIndex((line) => line.includes(part))
      assert.isAbove(at("sent reserve"), at("ReservationStarted"))
      assert.isAbove(at("CommitDecided"), at("sent reserve"))
      assert.isAbove(at("sent commit"), at("CommitDecided"))
      assert.isAbove(at("TransactionSettled"), at("sent commit"))
    })
  )
})

describe("a vote", () => {
  it.effect(
    "TPC-003, EXE-014, MGR-016, MGR-019 a vote of no compensates all steps, and tells each service once to reject",
    () =>
      Effect.gen(function* () {
        const { manager, use, wire, world } = yield* begun()
        wire.answer = but("payments", "reserve", { status: 400, content: "Full" })
        const error = yield* Effect.flip(use(SagaManager.run(CreateOrder, { context })))
        assert.strictEqual(error._tag, "SagaFailedExecution")
        if (error._tag !== "SagaFailedExecution") return
        assert.deepInclude(error.cause, { _tag: "SagaFailedCommitCallback", decision: "reject" })
        assert.include((error.cause as { reason: string }).reason, "payments is against: Full")
        assert.deepStrictEqual([error.later, error.parked], [[], []])
        yield* quiet
        assert.deepStrictEqual(all(wire).slice(2).sort(), [
          "failure payments",
          "failure stock",
          "reject payments",
          "reject stock",
          "reserve payments",
          "reserve stock"
        ])
        assert.deepStrictEqual(wire.of("commit"), [])
        assert.include(lines(world), "void invoice-10")
        const stored = yield* manager.load(error.uuid)
        assert.deepInclude(stored, { status: "errored", commitState: "rejected", alreadyRollback: true, settled: true })
      })
  )

  it.effect("MGR-016 a vote of no is an errored execution where errors are not raised", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* begun()
      wire.answer = but("stock", "reserve", { status: 500, content: "Died" })
      const execution = yield* use(SagaManager.run(CreateOrder, { context, raiseOnError: false }))
      assert.strictEqual(execution.status, "errored")
      assert.strictEqual((execution.cause as { _tag: string })._tag, "SagaFailedCommitCallback")
    })
  )

  it.effect("C12 a vote of no is kept as a word of the protocol, without other content of the message", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* begun()
      wire.answer = but("stock", "reserve", { status: 400, content: "card 4111" })
      const execution = yield* use(SagaManager.run(CreateOrder, { context, raiseOnError: false }))
      assert.deepInclude(execution.cause, { reason: "stock is against: Refused" })
      assert.notInclude(JSON.stringify(execution.events), "4111")
    })
  )

  it.effect("TPC-010 a vote that does not come in time counts as no; the service was asked again meanwhile", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* begun()
      wire.answer = but("stock", "reserve", undefined)
      const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
      yield* until("it is asked", () => wire.of("reserve").length === 2)
      yield* TestClock.adjust("29 seconds")
      assert.isAbove(wire.of("reserve", "stock").length, 3)
      assert.strictEqual(new Set(wire.of("reserve", "stock").map(({ body }) => body)).size, 1)
      assert.deepStrictEqual([wire.of("reject").length, wire.of("reserve", "payments").length], [0, 1])
      yield* TestClock.adjust("1 second")
      yield* until("it is undone", () => running.pollUnsafe() !== undefined)
      const error = yield* Fiber.join(running)
      assert.strictEqual(error._tag, "SagaFailedExecution")
      if (error._tag !== "SagaFailedExecution") return
      assert.deepInclude(error.cause, { _tag: "SagaFailedCommitCallback", decision: "reject" })
      assert.include((error.cause as { reason: string }).reason, "no vote from stock")
      assert.deepStrictEqual(
        wire.of("reject").map(({ envelope }) => envelope.service),
        ["payments", "stock"]
      )
    })
  )

  it.effect("I3, C5 a vote counts only from the service that was asked, and once", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* begun()
      wire.answer = but("stock", "reserve", undefined)
      const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context })))
      yield* until("it is asked", () => wire.of("reserve").length === 2)
      const asked = wire.of("reserve", "stock")[0]!
      const say = (reply: { readonly sender: string; readonly inReplyTo: string }) =>
        manager.reply(asked.envelope.saga, { status: 200, relatedServices: [], ...reply })
      yield* quiet
      const { id } = asked.envelope
      assert.strictEqual(yield* say({ sender: "payments", inReplyTo: id }), "sender-mismatch")
      assert.strictEqual(yield* say({ sender: "payments", inReplyTo: id.replace("stock", "payments") }), "stale")
      assert.strictEqual(yield* say({ sender: "stock", inReplyTo: id.replace("reserve", "commit") }), "stale")
      assert.strictEqual(wire.of("commit").length, 0)
      yield* wire.reply(asked, { status: 200 })
      assert.strictEqual((yield* Fiber.join(running)).commitState, "committed")
      assert.strictEqual(yield* say({ sender: "stock", inReplyTo: id }), "stale")
    })
  )

  it.effect("votes are not awaited any more after a cancel", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* begun()
      wire.answer = but("stock", "reserve", undefined)
      const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
      yield* until("it is asked", () => wire.of("reserve").length === 2)
      yield* manager.cancel(wire.sent[0]!.envelope.saga, { actor: "ann" })
      const error = yield* Fiber.join(running)
      assert.deepInclude(error, { _tag: "SagaFailedExecution" })
      yield* quiet
      assert.deepStrictEqual(wire.of("reject").length, 2)
      // A yes that comes now changes nothing.
      yield* wire.reply(wire.of("reserve", "stock")[0]!, { status: 200 })
      yield* quiet
      assert.strictEqual(wire.of("commit").length, 0)
    })
  )
})

describe("a failure", () => {
  it.effect(
    "EXE-010, EXE-025, TPC-004, MGR-012 a failure compensates in reverse and tells each service once to reject",
    () =>
      Effect.gen(function* () {
        const { manager, use, wire } = yield* begun()
        wire.answer = refusing
        const execution = yield* use(SagaManager.run(CreateOrder, { context, raiseOnError: false }))
        yield* quiet
        assert.deepStrictEqual(execution.status, "errored")
        assert.deepStrictEqual(all(wire).slice(2).sort(), ["failure stock", "reject payments", "reject stock"])
        const rejects = wire.of("reject").map(({ envelope }) => envelope.service)
        assert.deepStrictEqual(rejects, ["payments", "stock"])
        assert.deepInclude(yield* manager.load(execution.uuid), { commitState: "rejected", settled: true })
      })
  )

  it.effect(
    "MGR-005, MGR-020 a missing reply compensates the steps in reverse, and all services are told once to reject",
    () =>
      Effect.gen(function* () {
        const { manager, use, wire, world } = yield* begun()
        wire.answer = (envelope, command) =>
          envelope.op === "probe" ? { status: 404 } : command === "Charge" ? undefined : agreeable(envelope, command)
        const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context, raiseOnError: false })))
        yield* TestClock.adjust("5 minutes")
        const execution = yield* Fiber.join(running)
        assert.deepInclude(execution, { status: "errored", alreadyRollback: true })
        const undone = all(wire).filter((line) => !line.startsWith("execute"))
        assert.deepStrictEqual(
          undone.filter((line) => !line.startsWith("reject")),
          ["probe payments", "failure stock"]
        )
        assert.deepStrictEqual(undone.filter((line) => line.startsWith("reject")).sort(), [
          "reject payments",
          "reject stock"
        ])
        assert.include(lines(world), "void invoice-10")
        assert.deepInclude(yield* manager.load(execution.uuid), { commitState: "rejected", settled: true })
      })
  )

  it.effect(
    "MGR-006 a failure without autocommit is compensated, and no service is told to reject until a reject by hand",
    () =>
      Effect.gen(function* () {
        const { manager, use, wire } = yield* begun()
        wire.answer = refusing
        const options = { context, autocommit: false, raiseOnError: false } as const
        const execution = yield* use(SagaManager.run(CreateOrder, options))
        assert.deepInclude(execution, { status: "errored", commitState: "none" })
        assert.deepStrictEqual(agreed(wire), [])
        yield* manager.reject(execution.uuid)
        yield* quiet
        assert.deepStrictEqual(agreed(wire), ["reject payments", "reject stock"])
        assert.deepInclude(yield* manager.load(execution.uuid), { commitState: "rejected", settled: true })
      })
  )

  it.effect("rejects and compensations do not wait for each other", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* begun()
      wire.answer = but("stock", "reject", undefined, refusing)
      const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context, raiseOnError: false })))
      yield* until("it has ended", () => running.pollUnsafe() !== undefined)
      const execution = yield* Fiber.join(running)
      assert.deepInclude(execution, { status: "errored", commitState: "rejecting", settled: false })
      wire.answer = agreeable
      yield* TestClock.adjust("2 seconds")
      yield* quiet
      assert.strictEqual(wire.of("reject", "payments").length, 1)
      assert.strictEqual(wire.of("reject", "stock").length, 2)
    })
  )
})

describe("a decision to commit", () => {
  it.effect(
    "TPC-011 a decision to commit is final: a commit that is not acknowledged is sent again, and nothing is compensated",
    () =>
      Effect.gen(function* () {
        const { manager, use, wire } = yield* begun()
        wire.answer = but("stock", "commit", undefined)
        const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
        yield* until("all but one know", () => wire.of("commit").length === 2)
        yield* quiet
        wire.down = true
        yield* TestClock.adjust("30 seconds")
        const error = yield* Fiber.join(running)
        assert.deepInclude(error, { _tag: "SagaFailedCommitCallback", decision: "commit" })
        if (error._tag !== "SagaFailedCommitCallback") return
        assert.deepStrictEqual(error.pending, ["stock"])
        assert.isAbove(wire.of("commit", "stock").length, 3)
        assert.strictEqual(wire.of("commit", "payments").length, 1)
        const uuid = wire.sent[0]!.envelope.saga
        assert.deepInclude(yield* manager.load(uuid), {
          status: "finished",
          decision: "commit",
          commitState: "committing"
        })
        assert.strictEqual((yield* Effect.flip(manager.cancel(uuid)))._tag, "SagaNotCancellable")
        assert.strictEqual((yield* Effect.flip(manager.reject(uuid)))._tag, "SagaAlreadyDecided")
        wire.down = false
        wire.answer = agreeable
        yield* TestClock.adjust("1 minute")
        yield* quiet
        assert.deepInclude(yield* manager.load(uuid), { commitState: "committed", settled: true })
        assert.deepStrictEqual([wire.of("failure"), wire.of("reject")], [[], []])
      })
  )

  it.effect("without raised errors a caller gets a committing execution while services are still told", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* begun({ commitWait: "3 seconds" })
      wire.answer = but("stock", "commit", undefined)
      const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context, raiseOnError: false })))
      yield* TestClock.adjust("3 seconds")
      assert.deepInclude(yield* Fiber.join(running), { status: "finished", commitState: "committing" })
    })
  )

  it.effect(
    "C8 a decision to commit that is not acknowledged, or is refused, is listed, and can be retried or settled by hand",
    () =>
      Effect.gen(function* () {
        const { manager, use, wire } = yield* begun()
        wire.answer = but(
          "payments",
          "commit",
          { status: 500, content: "ProtocolViolation" },
          but("stock", "commit", undefined)
        )
        const running = yield* Effect.forkChild(Effect.exit(use(SagaManager.run(CreateOrder, { context }))))
        yield* until("it is told", () => wire.of("commit").length === 2)
        yield* quiet
        const uuid = wire.sent[0]!.envelope.saga
        assert.deepStrictEqual((yield* manager.load(uuid)).parked, ["payments:commit"])
        // A refused commit is repeated seldom; the other one as often as before.
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(running)
        assert.strictEqual(wire.of("commit", "payments").length, 1)
        assert.isAbove(wire.of("commit", "stock").length, 4)
        yield* TestClock.adjust("1 hour")
        assert.sameMembers([...(yield* manager.load(uuid)).parked], ["payments:commit", "stock:commit"])
        // The services are told all the same.
        const told = ["payments", "stock"].map((service) => wire.of("commit", service).length)
        yield* TestClock.adjust("10 minutes")
        for (const [i, service] of ["payments", "stock"].entries())
          assert.isAbove(wire.of("commit", service).length, told[i]!, service)
        assert.strictEqual((yield* manager.find({ parked: true }, {})).items[0]?.uuid, uuid)
        wire.answer = but("payments", "commit", undefined)
        yield* manager.retryParked(uuid, "stock:commit", { actor: "ann" })
        yield* quiet
        assert.deepStrictEqual((yield* manager.load(uuid)).parked, ["payments:commit"])
        const resolved = yield* manager.resolveParked(uuid, "payments:commit", {
          actor: "ann",
          reason: "booked by hand"
        })
        // I2, C14: the decision is kept until the service itself has acknowledged it.
        assert.deepInclude(resolved, { commitState: "committing", settled: false, parked: [] })
        const before = wire.of("commit", "payments").length
        yield* TestClock.adjust("10 minutes")
        assert.isAbove(wire.of("commit", "payments").length, before)
        assert.deepInclude(yield* manager.load(uuid), { commitState: "committing", settled: false, parked: [] })
        assert.deepStrictEqual((yield* manager.find({ parked: true }, {})).items, [])
        wire.answer = agreeable
        yield* TestClock.adjust("10 minutes")
        const settled = yield* manager.load(uuid)
        assert.deepInclude(settled, { commitState: "committed", settled: true })
        assert.deepInclude(
          settled.events.find(({ _tag }) => _tag === "StepResolved"),
          { path: "payments:commit", actor: "ann", reason: "booked by hand" }
        )
        assert.strictEqual(
          (yield* Effect.flip(manager.retryParked(uuid, "stock:commit", { actor: "ann" })))._tag,
          "SagaStepNotParked"
        )
      })
  )

  it.effect("C9 commit and reject by hand after the end may be repeated, but never contradict each other", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* begun()
      wire.answer = agreeable
      const finish = use(SagaManager.run(CreateOrder, { context, autocommit: false }))
      const one = yield* finish
      const other = yield* finish
      assert.deepStrictEqual(agreed(wire), [])
      const both = yield* Effect.all([manager.commit(one.uuid), manager.commit(one.uuid)], { concurrency: 2 })
      for (const committed of both) assert.strictEqual(committed.commitState, "committed")
      assert.strictEqual((yield* manager.commit(one.uuid)).commitState, "committed")
      assert.deepStrictEqual(agreed(wire), ["reserve payments", "reserve stock", "commit payments", "commit stock"])
      assert.strictEqual((yield* Effect.flip(manager.reject(one.uuid)))._tag, "SagaAlreadyDecided")
      yield* manager.reject(other.uuid)
      yield* manager.reject(other.uuid)
      yield* quiet
      assert.strictEqual((yield* Effect.flip(manager.commit(other.uuid)))._tag, "SagaAlreadyDecided")
      assert.deepStrictEqual(agreed(wire).slice(4).sort(), ["reject payments", "reject stock"])
    })
  )
})

describe("after a crash", () => {
  for (const [op, decided] of [
    ["reserve", "commit"],
    ["commit", "commit"],
    ["reject", "reject"]
  ] as const) {
    it.effect(
      `after a crash a ${op} without an answer is sent again, with the same bytes, and the execution ends as decided`,
      () =>
        Effect.gen(function* () {
          const { close, story, use, wire, world } = yield* begun()
          wire.answer = but("stock", op, undefined, op === "reject" ? refusing : agreeable)
          yield* Effect.forkChild(Effect.exit(use(SagaManager.run(CreateOrder, { context }))))
          yield* until("it is sent", () => wire.of(op, "stock").length === 1)
          yield* quiet
          yield* close
          wire.answer = agreeable
          story.length = 0
          const { manager } = yield* open(world)
          yield* until("it is sent again", () => wire.of(op, "stock").length === 2)
          yield* quiet
          const [first, second] = wire.of(op, "stock")
          assert.strictEqual(second!.body, first!.body)
          // A service that has answered is not asked again.
          assert.strictEqual(wire.of(op, "payments").length, 1)
          const execution = yield* manager.load(first!.envelope.saga)
          assert.deepInclude(execution, { decision: decided, settled: true })
        })
    )
  }

  it.effect("C7 after a crash a reserve that was sent by hand is sent again", () =>
    Effect.gen(function* () {
      const { close, manager, use, wire, world } = yield* begun()
      wire.answer = but("stock", "reserve", undefined)
      const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, autocommit: false }))
      yield* Effect.forkChild(Effect.exit(manager.commit(uuid)))
      yield* until("it is asked", () => wire.of("reserve", "stock").length === 1)
      yield* quiet
      yield* close
      wire.answer = agreeable
      const next = yield* open(world)
      yield* until("it is asked again", () => wire.of("reserve", "stock").length === 2)
      yield* quiet
      assert.deepInclude(yield* next.manager.load(uuid), { decision: "commit", settled: true })
    })
  )
})

describe("a question for the decision", () => {
  const ask = (saga: string, service = "stock"): Broker.Message =>
    Broker.toMessage({
      v: 1,
      id: Envelope.messageId(saga, service, "status"),
      op: "status",
      saga,
      service,
      coordinator: "orders",
      relatedServices: [],
      transactions: [],
      notAfter: 0
    })

  it.effect(
    "a question for the decision is answered as stored; without durable storage an unknown execution is undecided",
    () =>
      Effect.gen(function* () {
        const { use, wire } = yield* begun()
        const told: Array<unknown> = []
        const answerOf = Effect.fnUntraced(function* (saga: string) {
          const before = told.length
          yield* wire.deliver(ask(saga))
          yield* until("an answer", () => told.length > before)
          return told.at(-1)
        })
        yield* wire.broker.subscribe({ service: "stock", kinds: ["tx"] }).pipe(
          Stream.runForEach(({ acknowledge, address, body }) => {
            const envelope: Envelope.Envelope = JSON.parse(body)
            if (envelope.op === "reply") {
              assert.strictEqual(Broker.topic(address), "saga/v1/stock/tx/orders")
              assert.strictEqual(envelope.inReplyTo, `${envelope.saga}:stock:status`)
              told.push(envelope.content)
            }
            return acknowledge
          }),
          Effect.forkScoped
        )
        wire.answer = but("stock", "reserve", undefined)
        const running = yield* Effect.forkChild(use(SagaManager.run(CreateOrder, { context })))
        yield* until("it is asked", () => wire.of("reserve").length === 2)
        yield* quiet
        const asked = wire.of("reserve", "stock")[0]!
        assert.strictEqual(yield* answerOf(asked.envelope.saga), "undecided")
        yield* wire.reply(asked, { status: 200 })
        const { uuid } = yield* Fiber.join(running)
        assert.strictEqual(yield* answerOf(uuid), "commit")
        wire.answer = refusing
        const failed = yield* use(SagaManager.run(CreateOrder, { context, raiseOnError: false }))
        assert.strictEqual(yield* answerOf(failed.uuid), "reject")
        const unknown = isMemory ? "undecided" : "reject"
        assert.strictEqual(yield* answerOf(uuid.replace(/^./, "f")), unknown)
      })
  )

  it.effect("a question about an unknown execution is answered reject where storage survives a restart", () =>
    Effect.gen(function* () {
      const { store } = yield* begun()
      const outcome = (durable: boolean) =>
        Effect.provideService(DecisionConsumer.decisionOf(uuid), SagaExecutionRepository.SagaExecutionRepository, {
          ...store.repository,
          durable
        })
      assert.deepStrictEqual([yield* outcome(true), yield* outcome(false)], ["reject", "undecided"])
    })
  )

  const uuid = "01890000-0000-7000-8000-000000000009"
})

describe("by hand", () => {
  it.effect("by hand an execution takes votes and acknowledgements as responses that name their message", () =>
    Effect.gen(function* () {
      const { layers } = yield* makeWorld({ enrols: "two-phase", keep: 10 })
      const services = yield* SagaRunner.layer([CreateOrder]).pipe(
        Layer.provide(SagaConfig.layer({ service: "orders" })),
        Layer.provide(layers),
        Layer.build
      )
      const runner = Context.get(services, SagaRunner.SagaRunner)
      const created = yield* SagaExecution.fromDefinition(CreateOrder, { context })
      const answer = (execution: SagaExecution.SagaExecution, requestId: string, content: unknown = null) =>
        runner.execute(execution, {
          response: new SagaResponse({ uuid: created.uuid, requestId: `${created.uuid}:${requestId}`, content })
        })
      const first = yield* answer(yield* runner.execute(created), "0:execute", reserved.content)
      const complete = yield* answer(first, "2:execute", charged.content)
      assert.deepInclude(complete, { status: "running", commitState: "reserving" })
      const voted = yield* answer(complete, "stock:reserve")
      assert.deepInclude(voted, { status: "running", commitState: "reserving" })
      const decided = yield* answer(voted, "payments:reserve")
      assert.deepInclude(decided, { status: "finished", decision: "commit", commitState: "committing" })
      const told = yield* answer(yield* answer(decided, "payments:commit"), "stock:commit")
      assert.deepInclude(told, { commitState: "committed", settled: true })
      const refused = yield* Effect.flip(answer(told, "stock:commit"))
      assert.strictEqual(refused._tag, "SagaExecutionAlreadyExecuted")
    })
  )
})

describe("the own service", () => {
  const Local = Saga.make("Local", { context: {} }).pipe(
    Saga.local("note", {
      success: Schema.String,
      execute: () => Effect.map(SagaTransaction, ({ uuid }) => uuid),
      compensate: () => write("compensate")
    }),
    Saga.remote("stock", { execute: { target: "stock/Count", content: () => null } }),
    Saga.commit
  )
  const hooks = {
    reserve: ({ uuid }: { readonly uuid: string }) => write(`reserve ${uuid}`),
    commit: ({ uuid }: { readonly uuid: string }) => write(`commit ${uuid}`),
    reject: ({ uuid }: { readonly uuid: string }) => write(`reject ${uuid}`)
  }
  const answer: Wire["answer"] = ({ op }) => (op === "status" ? undefined : { status: 200 })

  it.effect(
    "EXR-004 the own service takes part from its first local step on, through its hooks and without a message",
    () =>
      Effect.gen(function* () {
        const { journal, use, wire, world } = yield* begun({ sagas: [Local], transaction: hooks })
        wire.answer = answer
        const { context, uuid } = yield* use(SagaManager.run(Local, { context: {} }))
        assert.strictEqual(context.note, uuid)
        assert.deepStrictEqual(lines(world), [`reserve ${uuid}`, `commit ${uuid}`])
        assert.deepStrictEqual(
          journal.map(({ key }) => key),
          [`${uuid}:orders:reserve`, `${uuid}:orders:commit`]
        )
        assert.deepStrictEqual(agreed(wire), ["reserve stock", "commit stock"])
      })
  )

  it.effect("the own service votes no by a hook that fails: all services are told, and all steps compensated", () =>
    Effect.gen(function* () {
      const transaction = { ...hooks, reserve: () => Effect.fail("no room") }
      const { use, wire, world } = yield* begun({ sagas: [Local], transaction })
      wire.answer = answer
      const execution = yield* use(SagaManager.run(Local, { context: {}, raiseOnError: false }))
      yield* quiet
      assert.deepInclude(execution.cause, { reason: "orders is against: Refused" })
      assert.deepStrictEqual(lines(world).slice().sort(), ["compensate", `reject ${execution.uuid}`])
      assert.strictEqual(wire.of("reject", "stock").length, 1)
    })
  )

  it.effect("a commit or reject hook of the own service that dies is called again", () =>
    Effect.gen(function* () {
      let deaths = 1
      const transaction = {
        ...hooks,
        commit: (part: { readonly uuid: string }) =>
          Effect.suspend(() => (deaths-- > 0 ? Effect.die("away") : hooks.commit(part)))
      }
      const { use, wire, world } = yield* begun({ sagas: [Local], transaction })
      wire.answer = answer
      const running = yield* Effect.forkChild(use(SagaManager.run(Local, { context: {} })))
      yield* until("the hook has died", () => deaths === 0 && wire.of("commit").length === 1)
      yield* TestClock.adjust("2 seconds")
      const { commitState, uuid } = yield* Fiber.join(running)
      assert.strictEqual(commitState, "committed")
      assert.deepStrictEqual(lines(world), [`reserve ${uuid}`, `commit ${uuid}`])
    })
  )

  it.effect("the own service does not take part without a local step, or without hooks", () =>
    Effect.gen(function* () {
      const Remote = Saga.make("Remote", { context: {} }).pipe(
        Saga.remote("stock", { execute: { target: "stock/Count", content: () => null } }),
        Saga.commit
      )
      const { use, wire, world } = yield* begun({ sagas: [Remote], transaction: hooks })
      wire.answer = answer
      yield* use(SagaManager.run(Remote, { context: {} }))
      assert.deepStrictEqual(lines(world), [])
      const other = yield* begun({ sagas: [Local] })
      other.wire.answer = answer
      yield* other.use(SagaManager.run(Local, { context: {} }))
      assert.deepStrictEqual(agreed(other.wire), ["reserve stock", "commit stock"])
    })
  )

  it.effect("the own service cannot have hooks in this process and be asked over the wire", () =>
    Effect.gen(function* () {
      const Itself = Saga.make("Itself", { context: {} }).pipe(
        Saga.remote("own", { execute: { target: "orders/Count", content: () => null } }),
        Saga.commit
      )
      const error = yield* Effect.flip(begun({ sagas: [Itself], transaction: hooks }))
      assert.deepInclude(error, { _tag: "SagaOwnServiceRequested", saga: "Itself", path: "0", service: "orders" })
      assert.include(String(error), "own (0)")
      yield* begun({ sagas: [Itself] })
    })
  )
})
