/** Sagas that start other sagas: once, whatever crashes, and taken back where that is still possible. */
import { assert, describe, it } from "@effect/vitest"
import { Context, type Duration, Effect, Fiber, Layer, Ref, Schema } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  KeyValueRepository,
  RequestContext,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  SagaRunner,
  SagaTransaction,
  Signal,
  TransactionCommitter
} from "effect-saga"
import { SagaExecution } from "effect-saga/internals"
import { SagaTest } from "effect-saga/testing"
import { Journal, lines, makeWorld, type Opened, open, quiet, type World, write } from "../fixtures/manager.ts"

const Ready = Signal.make("ready", { payload: Schema.String })
const order = { order: Schema.Int }

/** Packs, waits until it is told to go on, and ships. */
const Deliver = Saga.make("Deliver", { context: order }).pipe(
  Saga.local("box", {
    success: Schema.String,
    execute: ({ order }) => Effect.as(write(`pack ${order}`), `box ${order}`),
    compensate: ({ box }) => write(`unpack ${box}`)
  }),
  Saga.waitFor("ready", { signal: Ready }),
  Saga.local("parcel", {
    success: Schema.String,
    execute: ({ ready }) => Effect.as(write(`ship ${ready}`), `parcel ${ready}`)
  }),
  Saga.commit
)

class NotPaid extends Schema.TaggedError<NotPaid>()("NotPaid", {}) {}

/** A delivery is started between two steps, of which the last fails without a payment. */
const orderWith = <const Name extends string>(
  name: Name,
  start: (branch: Saga.Branch<{ readonly order: number }>) => Saga.Saga<any, any, any, any, any, "open">
): Saga.Saga<Name, { readonly order: number }, any, any, any> =>
  Saga.make(name, { context: order }).pipe(
    Saga.local("stock", { execute: () => write("reserve"), compensate: () => write("release") }),
    // The type of the step is of no interest here.
    start as any,
    Saga.waitFor("ready" as any, { signal: Ready }) as any,
    Saga.local("payment" as any, {
      error: NotPaid,
      execute: ({ ready }: any) => (ready === "paid" ? write("paid") : Effect.fail(new NotPaid()))
    }) as any,
    Saga.commit
  ) as any

const Order = orderWith("Order", Saga.start("delivery", { saga: Deliver, context: ({ order }) => ({ order }) }))

const pass = Effect.fnUntraced(function* (duration: Duration.Input) {
  yield* TestClock.adjust(duration)
  yield* quiet
})

/** Lets executions that are due begin. */
const begin = Effect.andThen(quiet, pass("1 second"))

const tell = ({ use }: Opened, uuid: string, payload: string) =>
  Effect.andThen(use(SagaManager.signal(Ready, { uuid, payload })), begin)

type AnyOrder = Saga.Saga<string, { readonly order: number }, any, any, any>

const placed = Effect.fnUntraced(function* ({ use }: Opened, saga: AnyOrder = Order) {
  const uuid = yield* use(SagaManager.start(saga, { context: { order: 7 }, startKey: "order 7" }))
  yield* begin
  return uuid
})

const childOf = Effect.fnUntraced(function* ({ store }: World, parent: string) {
  const { events } = yield* store.repository.load(parent)
  const fact = events.findLast(({ _tag }) => _tag === "StartRequested")
  if (fact?._tag !== "StartRequested") throw new Error("nothing was started")
  return fact
})

const statusOf = ({ store }: World, uuid: string) => Effect.map(store.repository.load(uuid), ({ status }) => status)

const parkedOf = Effect.fnUntraced(function* ({ store }: World, uuid: string) {
  const { events, parked } = yield* store.repository.load(uuid)
  return { parked, reasons: events.flatMap((fact) => (fact._tag === "StepParked" ? [fact.reason] : [])) }
})

const who = { actor: "ada", reason: "the parcel came back" }

describe("Saga.start", () => {
  it.effect("another saga is started that lives on by itself, under a key of its own", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const opened = yield* open(world, { sagas: [Order, Deliver] })
      const uuid = yield* placed(opened)
      const { startKey, uuid: child } = yield* childOf(world, uuid)
      assert.deepStrictEqual(lines(world), ["reserve", "pack 7"])
      assert.strictEqual(startKey, `${uuid}:1`)
      yield* tell(opened, uuid, "paid")
      const parent = yield* world.store.repository.load(uuid)
      assert.strictEqual(parent.status, "finished")
      assert.propertyVal(SagaExecution.bind(parent, Order).context as object, "delivery", child)
      assert.strictEqual(yield* statusOf(world, child), "paused")
      yield* tell(opened, child, "now")
      assert.strictEqual(yield* statusOf(world, child), "finished")
      assert.deepStrictEqual(lines(world), ["reserve", "pack 7", "paid", "ship now"])
    })
  )

  it.effect("what was started has the user and the headers of its starter, and not the transactions of that", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const Child = Saga.make("Child", { context: {} }).pipe(
        Saga.local("look", {
          execute: () =>
            SagaTransaction.use(({ headers, user }) => Effect.sync(() => void seen.push({ headers, user })))
        }),
        Saga.commit
      )
      const Parent = Saga.make("Parent", { context: {} }).pipe(
        Saga.start("child", { saga: Child, context: () => ({}) }),
        Saga.commit
      )
      const world = yield* makeWorld({ keep: 10 })
      const { use } = yield* open(world, { sagas: [Parent, Child] })
      const outer = "00000000-0000-4000-8000-000000000009"
      const headers = yield* Ref.make<Readonly<Record<string, string>>>({
        traceparent: "00-1-2-01",
        transactions: outer
      })
      yield* use(SagaManager.execute(Parent, { context: {} })).pipe(RequestContext.provide({ headers, user: "ann" }))
      yield* begin
      assert.deepStrictEqual(seen, [{ headers: { traceparent: "00-1-2-01" }, user: "ann" }])
    })
  )

  it.effect("a manager that does not have the other saga, in the same form, is not made", () =>
    Effect.gen(function* () {
      const other = Saga.make("Deliver", { context: order, version: "2" }).pipe(
        Saga.local("box", { execute: () => Effect.void }),
        Saga.commit
      )
      const world = yield* makeWorld()
      for (const sagas of [[Order], [Order, other]] as ReadonlyArray<ReadonlyArray<Saga.AnyCommitted>>) {
        const error = yield* Effect.flip(Effect.scoped(open(world, { sagas })))
        assert.propertyVal(error, "_tag", "SagaNotRegistered")
        assert.propertyVal(error, "saga", "Deliver")
      }
    })
  )

  it.effect("a place for each is not needed: one runner for all, and no more that wait, carry a hundred starts", () =>
    Effect.gen(function* () {
      let done = 0
      const Child = Saga.make("Child", { context: { n: Schema.Int } }).pipe(
        Saga.local("count", { execute: () => Effect.sync(() => void done++) }),
        Saga.commit
      )
      const branch = (from: number) => (saga: any) =>
        Array.from({ length: 5 }, (_, i) => i + from).reduce(
          (grown, i) => grown.pipe(Saga.start(`s${i}` as any, { saga: Child, context: () => ({ n: i }) } as any)),
          saga
        )
      const Parent: any = Saga.make("Parent", { context: {} }).pipe(
        Saga.parallel("both" as never, { left: branch(0), right: branch(5) } as any) as any,
        Saga.commit as any
      )
      const world = yield* makeWorld({ keep: 200 })
      const { use } = yield* open(world, { sagas: [Parent, Child], maxRunning: 1, maxPending: 1 })
      for (let i = 0; i < 10; i++) yield* use(SagaManager.execute(Parent, { context: {} } as never) as any)
      for (let i = 0; i < 200 && done < 100; i++) yield* begin
      assert.strictEqual(done, 100)
    })
  )
})

describe("a saga that starts itself", () => {
  it.effect("goes on as often as its own logic says, one execution after the other", () =>
    Effect.gen(function* () {
      const rounds: Array<number> = []
      const Count = Saga.make("Count", { context: { round: Schema.Int } }).pipe(
        Saga.local("note", { execute: ({ round }) => Effect.sync(() => void rounds.push(round)) }),
        Saga.conditional("more", [
          Saga.ifThen(
            ({ round }) => round < 200,
            Saga.start("next", {
              saga: Saga.suspend("Count", (): Saga.Startable<{ readonly round: number }> => Count),
              context: ({ round }) => ({ round: round + 1 })
            })
          )
        ]),
        Saga.commit
      )
      const world = yield* makeWorld()
      const { use } = yield* open(world, { sagas: [Count] })
      yield* use(SagaManager.start(Count, { context: { round: 1 } }))
      for (let i = 0; i < 400 && rounds.length < 200; i++) yield* Effect.andThen(quiet, pass("200 millis"))
      assert.deepStrictEqual(
        rounds,
        Array.from({ length: 200 }, (_, i) => i + 1)
      )
    })
  )
})

describe("the rollback of a start", () => {
  it.effect("what was started is cancelled, and undone before the steps before it are", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const opened = yield* open(world, { sagas: [Order, Deliver] })
      const uuid = yield* placed(opened)
      yield* tell(opened, uuid, "not paid")
      const { uuid: child } = yield* childOf(world, uuid)
      assert.deepStrictEqual(lines(world), ["reserve", "pack 7", "unpack box 7", "release"])
      assert.deepStrictEqual([yield* statusOf(world, uuid), yield* statusOf(world, child)], ["errored", "errored"])
      const { events } = yield* world.store.repository.load(child)
      const failure = events.flatMap((fact) => (fact._tag === "RollbackStarted" ? [fact.failure] : []))
      assert.deepStrictEqual(failure, [
        { _tag: "Cancelled", actor: `Order ${uuid}`, reason: "step delivery is compensated" }
      ])
      assert.isTrue((yield* world.store.repository.load(uuid)).alreadyRollback)
    })
  )

  for (const keep of [10, 0]) {
    const where = keep === 0 ? "no longer kept" : "finished"
    it.effect(`compensate takes back one that is ${where}`, () =>
      Effect.gen(function* () {
        const Taken = orderWith(
          "Taken",
          Saga.start("delivery", {
            saga: Deliver,
            context: ({ order }) => ({ order }),
            compensate: ({ delivery, order }, { context, uuid }) =>
              write(`take back ${order}: ${context?.parcel}, ${delivery === uuid}`)
          })
        )
        const world = yield* makeWorld({ keep })
        const opened = yield* open(world, { sagas: [Taken, Deliver] })
        const ended = yield* Effect.forkChild(
          opened.use(SagaManager.run(Taken, { context: { order: 7 }, startKey: "order 7", raiseOnError: false }))
        )
        yield* begin
        const uuid = (yield* opened.manager.find({ startKey: "order 7" })).items[0]?.uuid ?? ""
        const { uuid: child } = yield* childOf(world, uuid)
        yield* tell(opened, child, "now")
        yield* tell(opened, uuid, "not paid")
        const { alreadyRollback, status } = yield* Fiber.join(ended)
        assert.deepStrictEqual([status, alreadyRollback], ["errored", true])
        assert.deepStrictEqual(lines(world).slice(-2), [
          `take back 7: ${keep === 0 ? undefined : "parcel now"}, true`,
          "release"
        ])
      })
    )
  }

  it.effect("one that is finished and has no compensate is parked, and a person resolves it", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const opened = yield* open(world, { sagas: [Order, Deliver] })
      const uuid = yield* placed(opened)
      const { uuid: child } = yield* childOf(world, uuid)
      yield* tell(opened, child, "now")
      yield* tell(opened, uuid, "not paid")
      assert.deepStrictEqual(yield* parkedOf(world, uuid), {
        parked: ["1"],
        reasons: [`the execution ${child} of Deliver, which it has started, is finished`]
      })
      // Another look finds the same.
      yield* opened.manager.retryParked(uuid, "1", who)
      yield* begin
      assert.deepStrictEqual((yield* parkedOf(world, uuid)).parked, ["1"])
      yield* opened.manager.resolveParked(uuid, "1", who)
      const { alreadyRollback, status } = yield* world.store.repository.load(uuid)
      assert.deepStrictEqual([status, alreadyRollback], ["errored", true])
    })
  )

  it.effect("a compensate that dies is tried again, and then the step is parked", () =>
    Effect.gen(function* () {
      let calls = 0
      const Dies = orderWith(
        "Dies",
        Saga.start("delivery", {
          saga: Deliver,
          context: ({ order }) => ({ order }),
          compensate: () => Effect.die(new Error(`call ${++calls}`)),
          retryCompensate: { times: 2, backoff: "1 second" }
        })
      )
      const world = yield* makeWorld({ keep: 10 })
      const opened = yield* open(world, { sagas: [Dies, Deliver] })
      const uuid = yield* placed(opened, Dies)
      yield* tell(opened, (yield* childOf(world, uuid)).uuid, "now")
      yield* tell(opened, uuid, "not paid")
      for (let i = 0; i < 10; i++) yield* begin
      assert.deepStrictEqual([calls, (yield* parkedOf(world, uuid)).parked], [3, ["1"]])
    })
  )

  it.effect("the step is not undone while the other saga still goes back, however long that takes", () =>
    Effect.gen(function* () {
      let isBack = false
      const Slow = Saga.make("Slow", { context: order }).pipe(
        Saga.local("box", {
          execute: () => write("pack"),
          compensate: () => (isBack ? write("unpack") : Effect.die(new Error("not now"))),
          retryCompensate: { times: 1_000, backoff: { initial: "1 minute", factor: 1 } }
        }),
        Saga.waitFor("ready", { signal: Ready }),
        Saga.commit
      )
      const Parent = orderWith("Parent", Saga.start("slow", { saga: Slow, context: ({ order }) => ({ order }) }))
      const world = yield* makeWorld({ keep: 10 })
      const opened = yield* open(world, { sagas: [Parent, Slow] })
      const uuid = yield* placed(opened, Parent)
      yield* tell(opened, uuid, "not paid")
      for (let minute = 0; minute < 180; minute++) yield* pass("1 minute")
      const { events, later, parked, status } = SagaExecution.bind(yield* world.store.repository.load(uuid), Parent)
      assert.deepStrictEqual([status, parked, lines(world)], ["running", [], ["reserve", "pack"]])
      assert.deepInclude(later[0], { _tag: "SagaFailedExecutionStep" })
      assert.propertyVal((later[0] as any).cause, "_tag", "SagaStartedNotUndone")
      // Each look is later than the one before, up to 5 minutes.
      assert.isBelow(events.filter(({ _tag }) => _tag === "CompensationFailed").length, 50)
      isBack = true
      for (let minute = 0; minute < 7; minute++) yield* pass("1 minute")
      assert.deepStrictEqual(lines(world), ["reserve", "pack", "unpack", "release"])
      assert.strictEqual(yield* statusOf(world, uuid), "errored")
    })
  )

  it.effect("one that is behind its pivot goes on, and is taken back when it is finished", () =>
    Effect.gen(function* () {
      const Pivoted = Saga.make("Pivoted", { context: order }).pipe(
        Saga.local("box", { execute: () => write("pack") }),
        Saga.pivot,
        Saga.waitFor("ready", { signal: Ready }),
        Saga.commit
      )
      const Parent = orderWith(
        "Parent",
        Saga.start("delivery", {
          saga: Pivoted,
          context: ({ order }) => ({ order }),
          compensate: (_, { context }) => write(`take back ${context?.ready}`)
        })
      )
      const world = yield* makeWorld({ keep: 10 })
      const opened = yield* open(world, { sagas: [Parent, Pivoted] })
      const uuid = yield* placed(opened, Parent)
      yield* tell(opened, uuid, "not paid")
      yield* begin
      assert.deepStrictEqual(lines(world), ["reserve", "pack"])
      yield* tell(opened, (yield* childOf(world, uuid)).uuid, "gone")
      for (let i = 0; i < 10; i++) yield* begin
      assert.deepStrictEqual(lines(world), ["reserve", "pack", "take back gone", "release"])
    })
  )

  it.effect("where the other saga waits for a person, the step does so too", () =>
    Effect.gen(function* () {
      const Stuck = Saga.make("Stuck", { context: order }).pipe(
        Saga.local("box", {
          execute: () => write("pack"),
          compensate: () => Effect.die(new Error("never")),
          retryCompensate: { times: 0 }
        }),
        Saga.waitFor("ready", { signal: Ready }),
        Saga.commit
      )
      const Parent = orderWith("Parent", Saga.start("stuck", { saga: Stuck, context: ({ order }) => ({ order }) }))
      const world = yield* makeWorld({ keep: 10 })
      const opened = yield* open(world, { sagas: [Parent, Stuck] })
      const uuid = yield* placed(opened, Parent)
      const { uuid: child } = yield* childOf(world, uuid)
      yield* tell(opened, uuid, "not paid")
      for (let i = 0; i < 5; i++) yield* begin
      const { parked, reasons } = yield* parkedOf(world, uuid)
      assert.deepStrictEqual(
        [parked, reasons],
        [["1"], [`the execution ${child} of Stuck, which it has started, is parked`]]
      )
      assert.deepStrictEqual(lines(world), ["reserve", "pack", "release"])
      // Once the person has repaired that one, the step is undone as well.
      yield* opened.manager.resolveParked(child, "0", who)
      yield* opened.manager.retryParked(uuid, "1", who)
      yield* begin
      assert.isTrue((yield* world.store.repository.load(uuid)).alreadyRollback)
    })
  )

  it.effect("one that was deleted, or that has failed by itself, is seen as what it is", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const opened = yield* open(world, { sagas: [Order, Deliver] })
      const uuid = yield* placed(opened)
      const { uuid: child } = yield* childOf(world, uuid)
      yield* world.store.repository.delete(child)
      yield* tell(opened, uuid, "not paid")
      assert.deepStrictEqual((yield* parkedOf(world, uuid)).reasons, [
        `the execution ${child} of Deliver, which it has started, was deleted`
      ])
      const other = yield* opened.use(SagaManager.start(Order, { context: { order: 8 } }))
      yield* begin
      yield* opened.manager.cancel((yield* childOf(world, other)).uuid)
      yield* begin
      yield* tell(opened, other, "not paid")
      assert.isTrue((yield* world.store.repository.load(other)).alreadyRollback)
    })
  )
})

describe("a start that fails", () => {
  const failing = (options: any) =>
    orderWith(
      "Failing",
      Saga.start<any, any, any, any>("delivery", {
        saga: Deliver,
        context: ({ order }: any) => ({ order }),
        ...options
      }) as any
    )

  for (const [what, options, cause] of [
    ["whose values do not fit", { context: () => ({ order: "seven" }) }, "SagaContextEncodeError"],
    [
      "whose values are too many",
      {
        saga: Saga.make("Big", { context: { text: Schema.String } }).pipe(
          Saga.local("one", { execute: () => Effect.void }),
          Saga.commit
        ),
        context: () => ({ text: "x".repeat(2 ** 20) })
      },
      "SagaContextTooLarge"
    ],
    [
      "whose context throws",
      {
        context: () => {
          throw new RangeError("no")
        }
      },
      "RangeError"
    ],
    ["whose key is none", { startKey: () => "x".repeat(513) }, "SagaContextEncodeError"],
    [
      "whose key throws",
      {
        startKey: () => {
          throw new RangeError("no")
        }
      },
      "RangeError"
    ],
    [
      "whose attributes cannot be stored",
      {
        saga: Saga.make("Odd", { context: order, attributes: () => ({ "": 1 }) }).pipe(
          Saga.local("one", { execute: () => Effect.void }),
          Saga.commit
        )
      },
      "SagaInvalidStart"
    ]
  ] as const) {
    it.effect(`a start ${what} fails its step, and nothing was started`, () =>
      Effect.gen(function* () {
        const saga = failing(options as any)
        const world = yield* makeWorld({ keep: 10 })
        const others = "saga" in options ? [options.saga] : []
        const opened = yield* open(world, { sagas: [saga, Deliver, ...others] as any })
        const { cause: failed, status } = yield* opened.use(
          SagaManager.run(saga, { context: { order: 7 }, raiseOnError: false })
        )
        assert.strictEqual(status, "errored")
        const inner: any = (failed as any).cause
        assert.strictEqual(inner._tag ?? inner.name, cause)
        assert.deepStrictEqual(lines(world), ["reserve", "release"])
        assert.lengthOf((yield* opened.manager.find({})).items, 1)
      })
    )
  }

  it.effect("behind a pivot it is tried again, and then parked, and a person may give the uuid of another one", () =>
    Effect.gen(function* () {
      let isBroken = true
      const Behind = Saga.make("Behind", { context: order }).pipe(
        Saga.pivot,
        Saga.start("delivery", {
          saga: Deliver,
          context: ({ order }) => {
            if (isBroken) throw new Error("not now")
            return { order }
          }
        }),
        Saga.local("note", { execute: ({ delivery }) => write(`note ${delivery}`) }),
        Saga.commit
      )
      const world = yield* makeWorld({ keep: 10 })
      const opened = yield* open(world, {
        sagas: [Behind, Deliver],
        retryForward: { times: 1, backoff: "1 second" }
      })
      const first = yield* placed(opened, Behind)
      for (let i = 0; i < 5; i++) yield* begin
      assert.deepStrictEqual((yield* parkedOf(world, first)).parked, ["1"])
      const by = "00000000-0000-4000-8000-000000000077"
      const wrong = yield* Effect.flip(
        opened.use(SagaManager.resolveParked(Behind, { uuid: first, step: "delivery", result: "by hand", ...who }))
      )
      assert.propertyVal(wrong, "_tag", "SagaResolutionRefused")
      yield* opened.use(SagaManager.resolveParked(Behind, { uuid: first, step: "delivery", result: by, ...who }))
      yield* begin
      assert.deepStrictEqual(lines(world), [`note ${by}`])
      // The next one is tried until the cause is repaired.
      const second = yield* opened.use(SagaManager.start(Behind, { context: { order: 8 } }))
      yield* quiet
      isBroken = false
      for (let i = 0; i < 5; i++) yield* begin
      assert.deepStrictEqual(lines(world).slice(1).sort(), [`note ${(yield* childOf(world, second)).uuid}`, "pack 8"])
    })
  )
})

describe("a start under a given key", () => {
  const Keyed = orderWith(
    "Keyed",
    Saga.start("delivery", {
      saga: Deliver,
      context: ({ order }) => ({ order }),
      startKey: ({ order }) => `delivery ${order}`
    })
  )

  it.effect("finds the execution of another starter, and does not undo it", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const opened = yield* open(world, { sagas: [Keyed, Deliver] })
      const there = yield* opened.use(SagaManager.start(Deliver, { context: { order: 7 }, startKey: "delivery 7" }))
      const uuid = yield* placed(opened, Keyed)
      const found = SagaExecution.bind(yield* world.store.repository.load(uuid), Keyed)
      assert.propertyVal(found.context as object, "delivery", there)
      yield* tell(opened, uuid, "not paid")
      assert.deepStrictEqual(
        lines(world),
        ["reserve", "pack 7", "release"].sort((a) => (a === "pack 7" ? -1 : 0))
      )
      assert.deepStrictEqual([yield* statusOf(world, uuid), yield* statusOf(world, there)], ["errored", "paused"])
    })
  )

  it.effect("finds one that is over and no longer kept", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const opened = yield* open(world, { sagas: [Keyed, Deliver] })
      const there = yield* opened.use(SagaManager.start(Deliver, { context: { order: 7 }, startKey: "delivery 7" }))
      yield* tell(opened, there, "now")
      const uuid = yield* placed(opened, Keyed)
      assert.strictEqual(yield* statusOf(world, uuid), "paused")
      const { events } = yield* world.store.repository.load(uuid)
      const found = events.find((fact) => fact._tag === "StepSucceeded" && fact.path === "1")
      assert.deepInclude(found, { result: there, existing: true })
    })
  )

  for (const [what, context] of [
    ["another context", { order: 8 }],
    ["another saga", undefined]
  ] as const) {
    for (const keep of [10, 0]) {
      it.effect(`fails where ${what} has it${keep === 0 ? ", and is over" : ""}`, () =>
        Effect.gen(function* () {
          const world = yield* makeWorld({ keep })
          const opened = yield* open(world, { sagas: [Keyed, Deliver, Order] })
          const startKey = "delivery 7"
          const there = yield* context === undefined
            ? opened.use(SagaManager.start(Order, { context: { order: 7 }, startKey }))
            : opened.use(SagaManager.start(Deliver, { context, startKey }))
          yield* begin
          if (keep === 0) yield* tell(opened, there, "paid")
          const { cause } = yield* opened.use(SagaManager.run(Keyed, { context: { order: 7 }, raiseOnError: false }))
          assert.propertyVal((cause as any).cause, "_tag", "SagaStartConflict")
          assert.propertyVal((cause as any).cause, "difference", context === undefined ? "saga" : "context")
        })
      )
    }
  }
})

describe("a start and what fails around it", () => {
  it.effect("while the repository is away the start is tried again, and makes one execution", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const opened = yield* open(world, { sagas: [Order, Deliver] })
      let left = 3
      world.store.fault = (operation, facts) =>
        operation === "store" &&
        facts.includes("ExecutionCreated") &&
        facts.length < 4 &&
        world.journal.length > 0 &&
        left-- > 0
          ? { reason: "unavailable", ...(left === 1 && { worked: true as const }) }
          : undefined
      const uuid = yield* placed(opened)
      yield* begin
      yield* begin
      assert.deepStrictEqual(lines(world), ["reserve", "pack 7"])
      assert.strictEqual(left <= 1, true)
      assert.lengthOf((yield* opened.manager.find({})).items, 2)
      assert.strictEqual(yield* statusOf(world, uuid), "paused")
    })
  )

  it.effect("another instance runs it, and cancels it for the first", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ keep: 10 })
      const one = yield* open(world, { sagas: [Order, Deliver] })
      const uuid = yield* placed(one)
      const { uuid: child } = yield* childOf(world, uuid)
      yield* one.close
      const two = yield* open(world, { sagas: [Order, Deliver] })
      yield* open(world, { sagas: [Order, Deliver] })
      yield* tell(two, uuid, "not paid")
      for (let i = 0; i < 5; i++) yield* begin
      assert.deepStrictEqual(lines(world), ["reserve", "pack 7", "unpack box 7", "release"])
      assert.strictEqual(yield* statusOf(world, child), "errored")
    })
  )

  it.effect("one that this release has in another version is cancelled by a process that has it", () =>
    Effect.gen(function* () {
      const Newer = Saga.make("Deliver", { context: order, version: "2" }).pipe(
        Saga.local("box", { execute: () => write("pack anew") }),
        Saga.commit
      )
      const Later = orderWith("Order", Saga.start("delivery", { saga: Newer, context: ({ order }) => ({ order }) }))
      const world = yield* makeWorld({ keep: 10 })
      const old = yield* open(world, { sagas: [Order, Deliver] })
      const uuid = yield* placed(old)
      const { uuid: child } = yield* childOf(world, uuid)
      yield* old.close
      // The saga of the order is the same to both: only the name of what it starts counts.
      assert.strictEqual(Later.fingerprint, Order.fingerprint)
      const next = yield* open(world, { sagas: [Later, Newer] })
      yield* tell(next, uuid, "not paid")
      for (let i = 0; i < 5; i++) yield* begin
      assert.deepStrictEqual(lines(world), ["reserve", "pack 7"])
      yield* open(world, { sagas: [Order, Deliver] })
      for (let i = 0; i < 10; i++) yield* pass("1 minute")
      assert.deepStrictEqual(lines(world), ["reserve", "pack 7", "unpack box 7", "release"])
      assert.strictEqual(yield* statusOf(world, child), "errored")
    })
  )

  it.effect(
    "a start that is half done when the rollback begins makes an execution that ends before its first step",
    () =>
      Effect.gen(function* () {
        const world = yield* makeWorld({ keep: 10 })
        const opened = yield* open(world, { sagas: [Order, Deliver] })
        let isAway = true
        world.store.fault = (operation, facts) =>
          isAway && operation === "store" && facts.includes("ExecutionCreated") && world.journal.length > 0
            ? { reason: "unavailable" }
            : undefined
        const uuid = yield* placed(opened)
        yield* opened.close
        isAway = false
        // It is cancelled before the next process comes.
        yield* world.store.repository.submit({ uuid, id: "cancel", input: { _tag: "Cancel" }, at: 2_000 })
        const last = yield* open(world, { sagas: [Order, Deliver] })
        for (let i = 0; i < 10; i++) yield* begin
        assert.deepStrictEqual(lines(world), ["reserve", "release"])
        const { items } = yield* last.manager.find({})
        assert.deepStrictEqual(
          items.map(({ status }) => status),
          ["errored", "errored"]
        )
        const { events } = yield* world.store.repository.load((yield* childOf(world, uuid)).uuid)
        assert.isTrue(events.some(({ _tag }) => _tag === "DeadlineSet"))
      })
  )

  it.effect("without a list of executions the repository's process runs it itself", () =>
    Effect.gen(function* () {
      const kept = new Map<string, unknown>()
      const repository = KeyValueRepository.make({
        save: (uuid, value) => Effect.sync(() => kept.set(uuid, structuredClone(value))),
        get: (uuid) => Effect.sync(() => kept.get(uuid)),
        remove: (uuid) => Effect.sync(() => kept.delete(uuid))
      })
      const world = yield* makeWorld({ keep: 10 })
      Object.assign(world.store.repository, repository)
      const opened = yield* open(world, { sagas: [Order, Deliver] })
      const uuid = yield* placed(opened)
      assert.deepStrictEqual(lines(world), ["reserve", "pack 7"])
      yield* tell(opened, uuid, "not paid")
      for (let i = 0; i < 5; i++) yield* begin
      assert.deepStrictEqual(lines(world), ["reserve", "pack 7", "unpack box 7", "release"])
    })
  )

  it.effect("a runner by hand stores it, and a caller with the runner runs it", () =>
    Effect.gen(function* () {
      const runner = yield* SagaRunner.SagaRunner
      const repository = yield* SagaExecutionRepository.SagaExecutionRepository
      const created = yield* SagaExecution.fromDefinition(Order, { context: { order: 7 } })
      const paused = yield* runner.execute(created)
      const [fact] = paused.events.filter(({ _tag }) => _tag === "StartRequested")
      const child = yield* repository.load((fact as { readonly uuid: string }).uuid)
      const run = yield* runner.execute(SagaExecution.bind(child, Deliver))
      assert.strictEqual(run.status, "paused")
      yield* runner.cancel(run)
      const undone = yield* Effect.forkChild(runner.cancel(paused))
      yield* TestClock.adjust("1 minute")
      assert.isTrue((yield* Fiber.join(undone)).alreadyRollback)
    }).pipe(
      Effect.provide(
        SagaRunner.layer([Order, Deliver]).pipe(
          Layer.provideMerge(
            Layer.mergeAll(
              SagaConfig.layer({ service: "orders" }),
              SagaExecutionRepository.layerMemoryWith({ keep: 9 }),
              Broker.layerMemory,
              TransactionCommitter.layerNone,
              Layer.succeed(Journal, { write: () => Effect.void })
            )
          )
        )
      )
    )
  )
})

class Ledger extends Context.Service<Ledger, Map<string, number>>()("test/Ledger") {}

const count = (what: string) =>
  Ledger.use((ledger) => Effect.sync(() => void ledger.set(what, (ledger.get(what) ?? 0) + 1)))

/** The last step fails where the order is odd. */
const Counted = Saga.make("Counted", { context: order }).pipe(
  Saga.local("stock", { execute: () => count("reserve"), compensate: () => count("release") }),
  Saga.start("delivery", {
    saga: Saga.make("Quick", { context: order }).pipe(
      Saga.local("box", { execute: () => count("pack"), compensate: () => count("unpack") }),
      Saga.commit
    ),
    context: ({ order }) => ({ order }),
    compensate: () => count("take back")
  }),
  Saga.local("payment", {
    error: NotPaid,
    execute: ({ order }) => (order % 2 === 1 ? new NotPaid() : count("pay"))
  }),
  Saga.commit
)

for (const [number, end] of [
  [2, "finished"],
  [3, "errored"]
] as const) {
  it.effect(
    `a start of a saga that ends ${end} happens once, and is taken back once, after a crash at any instruction`,
    () =>
      Effect.gen(function* () {
        const runs = yield* SagaTest.crashPoints(Counted, {
          context: { order: number },
          layer: Layer.sync(Ledger, () => new Map<string, number>()),
          inspect: Ledger.use((ledger) => Effect.sync(() => Object.fromEntries(ledger)))
        })
        assert.isAbove(runs.length, 15)
        for (const { crash, execution, inspected } of runs) {
          const { pack = 0, unpack = 0, "take back": taken = 0 } = inspected
          assert.strictEqual(execution.status, end, crash)
          assert.isTrue(execution.settled, crash)
          // A step may run twice after a crash; what it did is there, or undone.
          if (end === "finished") assert.isAtLeast(pack, 1, crash)
          else if (pack > 0) assert.isAtLeast(unpack + taken, 1, crash)
          else assert.deepStrictEqual([unpack, taken], [0, 0], crash)
          assert.isAtMost(pack, 2, crash)
        }
      })
  )
}
