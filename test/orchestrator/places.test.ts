/** I20, C13: at most `maxRunning` runners at a time, whoever starts them; who waits for a place, and in which order. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Result, Scheduler, Schema } from "effect"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecution,
  SagaExecutionRepository,
  SagaManager,
  SagaTransaction,
  TransactionCommitter
} from "effect-saga"
import { defaults } from "../../src/execution/rules/RetrySchedule.ts"
import type { SagaInput } from "../../src/execution/rules/SagaInput.ts"
import { Admission } from "../../src/orchestrator/Admission.ts"
import type { LoopResult, StorageError } from "../../src/orchestrator/ExecutionLoop.ts"
import * as ExecutionSupervisor from "../../src/orchestrator/ExecutionSupervisor.ts"
import * as Inbox from "../../src/orchestrator/Inbox.ts"
import * as Slot from "../../src/orchestrator/Slot.ts"
import { make as transaction } from "../../src/ports/SagaTransaction.ts"
import * as ShutdownGrace from "../../src/ports/ShutdownGrace.ts"

const saga = Saga.make("Any", { context: {} }).pipe(Saga.local("one", { execute: () => Effect.void }), Saga.commit)
const sample = Effect.runSync(SagaExecution.fromDefinition(saga, { context: {} }))
const named = (uuid: string, changes: Partial<SagaExecution.SagaExecution["state"]> = {}) =>
  new SagaExecution.SagaExecution({ ...sample.state, status: "running", ...changes, uuid }, saga)

/** What a runner has come to that waits for something. */
const ended = (uuid: string, changes: Parameters<typeof named>[1] = {}): LoopResult => ({
  execution: named(uuid, changes),
  wakeAt: Number.POSITIVE_INFINITY,
  elsewhere: undefined
})

/** A supervisor whose runners begin and end as the test says. `begun`: the executions whose runners have begun, in order. */
const supervised = Effect.fnUntraced(function* (options: {
  readonly maxRunning: number
  readonly maxPending?: number
}) {
  const context = yield* Layer.build(SagaExecutionRepository.layerMemoryWith({ keep: 0, shared: true }))
  const running = new Map<string, Deferred.Deferred<LoopResult, StorageError>>()
  const begun: Array<string> = []
  let loads = 0
  const drive: ExecutionSupervisor.Options["drive"] = ({ uuid }, _, inbox) =>
    Effect.gen(function* () {
      const end = Deferred.makeUnsafe<LoopResult, StorageError>()
      running.set(uuid, end)
      begun.push(uuid)
      const result = yield* Effect.ensuring(
        Deferred.await(end),
        Effect.sync(() => running.delete(uuid))
      )
      const judged = inbox.inputs.splice(0).map((input) => ({ input, refused: Result.void }))
      Inbox.complete(judged, result.execution)
      return result
    })
  const supervisor = yield* ExecutionSupervisor.make({
    service: "orders",
    drive,
    load: (uuid) =>
      Effect.sync(() => {
        loads++
        return named(uuid)
      }),
    takeUp: Effect.map((execution) => ({ execution, elsewhere: undefined, isHeld: true })),
    repository: Context.get(context, SagaExecutionRepository.SagaExecutionRepository),
    membership: { isMine: () => true, wake: () => Effect.void },
    policy: { schedule: defaults },
    claim: () => {},
    dueAt: () => {},
    setAside: () => Effect.void,
    recoveryInterval: 500,
    maxRunning: options.maxRunning,
    maxPending: options.maxPending ?? 100,
    commitWait: 30_000,
    grace: yield* Effect.provide(ShutdownGrace.make(0), ShutdownGrace.layer),
    services: Context.empty()
  })
  /** The runner ends, and its execution waits for something. */
  const end = (uuid: string, revision = 0) =>
    Effect.andThen(Deferred.succeed(running.get(uuid)!, ended(uuid, { status: "paused", revision })), Effect.yieldNow)
  const submit = (uuid: string, input: SagaInput) =>
    Effect.forkChild(supervisor.submit(uuid, input), { startImmediately: true })
  return { supervisor, running, begun, loads: () => loads, end, submit }
})

const reply: SagaInput = { _tag: "Reply", inReplyTo: "r", status: 200, relatedServices: [] }

describe("places of runners", () => {
  it.effect("I20 replies and timers start no more runners than maxRunning, and the others follow in order", () =>
    Effect.gen(function* () {
      const { begun, end, running, submit, supervisor } = yield* supervised({ maxRunning: 2 })
      const replies = []
      for (const uuid of ["a", "b", "c", "d"]) replies.push(yield* submit(uuid, reply))
      for (const uuid of ["e", "f"]) supervisor.resume(named(uuid), 0, [])
      assert.deepStrictEqual([[...running.keys()], supervisor.room() <= 0], [["a", "b"], true])
      assert.deepStrictEqual(supervisor.running(), ["a", "b"])
      for (const uuid of ["b", "a", "c", "d", "e"]) {
        yield* end(uuid)
        assert.isAtMost(running.size, 2)
      }
      assert.deepStrictEqual(begun, ["a", "b", "c", "d", "e", "f"])
      // Nothing was lost by waiting.
      for (const fiber of replies) assert.strictEqual((yield* Fiber.join(fiber)).status, "paused")
    }).pipe(Effect.scoped)
  )

  it.effect("C13 what people decide and compensations come first, then replies, then what is due, then starts", () =>
    Effect.gen(function* () {
      const { begun, end, submit, supervisor } = yield* supervised({ maxRunning: 1 })
      yield* submit("first", reply)
      const start = supervisor.startUnsafe(named("start"), "pause", Context.empty())
      yield* Effect.forkChild(start, { startImmediately: true })
      supervisor.resume(named("due"), 0, [])
      yield* submit("look", { _tag: "Look" })
      yield* submit("reply", reply)
      supervisor.resume(named("rollback", { direction: "backward" }), 0, [])
      yield* submit("commit", { _tag: "Commit" })
      // A person decides on one that waits to send again: it is no longer the last.
      yield* submit("look", { _tag: "Reject" })
      const order = ["first", "rollback", "commit", "look", "reply", "due", "start"]
      for (const uuid of order) yield* end(uuid)
      assert.deepStrictEqual(begun, order)
    }).pipe(Effect.scoped)
  )

  it.effect("an execution that is lost while its runner waits keeps its inputs, and a stop leaves nobody waiting", () =>
    Effect.gen(function* () {
      const { begun, end, submit, supervisor } = yield* supervised({ maxRunning: 1 })
      yield* submit("a", reply)
      const lost = yield* submit("b", reply)
      supervisor.lose("b")
      yield* end("a")
      assert.deepStrictEqual(begun, ["a", "b"])
      yield* end("b")
      assert.strictEqual((yield* Fiber.join(lost)).uuid, "b")
    }).pipe(
      Effect.scoped,
      Effect.andThen(
        Effect.gen(function* () {
          const waiting = yield* Effect.scoped(
            Effect.gen(function* () {
              const { submit } = yield* supervised({ maxRunning: 1 })
              yield* submit("a", reply)
              return yield* Effect.forkDetach(Fiber.await(yield* submit("b", reply)))
            })
          )
          assert.isTrue(Exit.isFailure(yield* Fiber.join(waiting)))
        })
      )
    )
  )

  it.effect("C13 no more runners wait than maxPending: further inputs are refused", () =>
    Effect.gen(function* () {
      const { submit } = yield* supervised({ maxRunning: 1, maxPending: 3 })
      for (const uuid of ["a", "b", "c", "d"]) yield* submit(uuid, reply)
      const exit = (yield* submit("e", reply)).pollUnsafe()
      const error = exit !== undefined && Exit.isFailure(exit) ? Cause.squash(exit.cause) : exit
      assert.deepInclude(error, { _tag: "SagaOverloaded", limit: "maxPending", value: 3 })
    }).pipe(Effect.scoped)
  )

  it.effect("I20 a start that gives up, at whatever moment, leaves its place to the next", () =>
    Effect.gen(function* () {
      let given = 0
      for (const turn of [3, 4, 5, 7]) {
        for (let later = 0; later < 6; later++) {
          const { end, running, submit, supervisor } = yield* supervised({ maxRunning: 1 })
          yield* submit("a", reply)
          // Others have their turn after so many steps, and so in the middle of anything.
          const start = Effect.provideService(
            Effect.suspend(() => supervisor.startUnsafe(named("b"), "pause", Context.empty())),
            Scheduler.MaxOpsBeforeYield,
            turn
          )
          const fiber = yield* Effect.forkChild(start)
          yield* Effect.repeat(Effect.yieldNow, { times: later })
          Deferred.doneUnsafe(running.get("a")!, Exit.succeed(ended("a")))
          fiber.interruptUnsafe()
          yield* Fiber.await(fiber)
          if (running.has("b")) yield* end("b")
          else given++
          yield* submit("c", reply)
          assert.deepStrictEqual([...running.keys()], ["c"], `${turn} ${later}`)
        }
      }
      assert.isAbove(given, 0)
    }).pipe(Effect.scoped)
  )

  it.effect("a step that waits for an execution does not wait for a place for it", () =>
    Effect.gen(function* () {
      const { begun, end, submit, supervisor } = yield* supervised({ maxRunning: 1 })
      yield* submit("outer", reply)
      const queued = yield* submit("inner", reply)
      assert.deepStrictEqual(begun, ["outer"])
      const step = transaction({ uuid: "outer", saga: "Any", idempotencyKey: "k", user: undefined, headers: undefined })
      const waiting = yield* Effect.forkChild(
        Effect.provideService(supervisor.wait("inner", "end"), SagaTransaction, step),
        { startImmediately: true }
      )
      assert.deepStrictEqual(begun, ["outer", "inner"])
      yield* end("inner")
      yield* Fiber.join(queued)
      // Its next reply too, for as long as the step waits.
      yield* submit("inner", reply)
      assert.deepStrictEqual(begun, ["outer", "inner", "inner"])
      yield* end("inner")
      yield* Fiber.interrupt(waiting)
      yield* submit("inner", reply)
      assert.strictEqual(begun.length, 3, "the step does not wait any more")
    }).pipe(Effect.scoped)
  )
})

const Bank = Participant.make("bank", { Charge: { payload: {}, success: Schema.String } })

class Door extends Context.Service<Door, { manager: SagaManager.SagaManager["Service"] | undefined }>()("test/Door") {}

it.effect("I20 with one place, steps that run sagas with remote steps come to their end", () => {
  const inner = Saga.make("Inner", { context: {} }).pipe(
    Saga.remote("payment", { execute: { command: Bank.commands.Charge, payload: () => ({}) } }),
    Saga.commit
  )
  const outer = Saga.make("Outer", { context: {} }).pipe(
    Saga.local("all", {
      success: Schema.String,
      execute: () =>
        Effect.gen(function* () {
          const { manager } = yield* Door
          const run = Effect.orDie(SagaManager.execute(inner, { context: {} }))
          return (yield* Effect.provideService(run, SagaManager.SagaManager, manager!)).payment
        })
    }),
    Saga.commit
  )
  const ports = Layer.mergeAll(
    SagaExecutionRepository.layerMemoryWith({ keep: 0, shared: true }),
    Broker.layerMemory,
    ParticipantStore.layerMemory,
    TransactionCommitter.layerNone,
    Layer.sync(Door, () => ({ manager: undefined }))
  )
  const programs = Layer.merge(
    SagaManager.layer([inner, outer]).pipe(Layer.provide(SagaConfig.layer({ service: "orders", maxRunning: 1 }))),
    Participant.layer(Bank, { Charge: () => Effect.succeed("p1") })
  )
  return Effect.gen(function* () {
    const door = yield* Door
    door.manager = yield* SagaManager.SagaManager
    const all = yield* Effect.all(
      [1, 2, 3].map(() => SagaManager.execute(outer, { context: {} })),
      { concurrency: "unbounded" }
    )
    assert.deepStrictEqual(all, [{ all: "p1" }, { all: "p1" }, { all: "p1" }])
  }).pipe(Effect.provide(Layer.provideMerge(programs, ports)))
})

describe("a place", () => {
  it("I29 a launch that throws keeps no other runner from its place", () => {
    const admission = new Admission({ maxRunning: 1, maxPending: 10 })
    const launched: Array<string> = []
    admission.await("a", "due", () => {
      throw new Error("a bug")
    })
    admission.await("b", "due", () => launched.push("b"))
    assert.throws(() => admission.next(), "a bug")
    admission.next()
    assert.deepStrictEqual(launched, ["b"])
  })
})

it("C13 who asks for room when a runner has just ended is told at once", () => {
  const admission = new Admission({ maxRunning: 1, maxPending: 10 })
  let told = 0
  const ask = () => admission.whenRoom(() => told++)
  admission.begun()
  admission.await("two", "due", () => admission.begun())
  ask()
  assert.strictEqual(told, 0)
  admission.gone("one", Exit.succeed(ended("one")))
  admission.next()
  assert.strictEqual(told, 1)
  ask()
  assert.strictEqual(told, 2)
})

describe("I28 what a claim brings late", () => {
  const end = (revision: number): Exit.Exit<LoopResult> => Exit.succeed(ended("a", { revision }))
  const given = Exit.map(end(2), (result): LoopResult => ({ ...result, isGivenBack: true }))
  const left = Exit.map(end(2), (result): LoopResult => ({ ...result, elsewhere: "b" }))
  for (const [what, exits, taken, expected] of [
    ["nothing has run since", [], undefined, "stands"],
    ["taken after the last write", [end(2)], 2, "stands"],
    ["written since, and given back with that", [end(3)], 2, "left"],
    ["the later of two runners counts", [end(3), end(2)], 2, "left"],
    ["a storage that does not say when it was taken", [end(2)], undefined, "unknown"],
    ["given back without a write", [given], 2, "unknown"],
    ["another instance had it", [left], 2, "unknown"],
    ["a runner that failed", [Exit.die("a bug")], 2, "unknown"],
    ["a failure, then a runner that ended well", [Exit.die("a bug"), end(2)], 2, "unknown"]
  ] as const) {
    it(`${what}: ${expected}`, () => {
      const admission = new Admission({ maxRunning: 10, maxPending: 10 })
      admission.claimBegins()
      for (const exit of exits) {
        admission.begun()
        admission.gone("a", exit)
      }
      assert.deepStrictEqual(
        [admission.claimed("a", taken), admission.isIdle("a", taken)],
        [expected, expected === "stands"]
      )
      admission.claimEnds()
      assert.strictEqual(admission.claimed("a", taken), "stands", "the next claim")
    })
  }

  it.effect("an execution goes on as it was taken, is left where its runner left it, or is read again", () =>
    Effect.gen(function* () {
      const { begun, end, loads, submit, supervisor } = yield* supervised({ maxRunning: 3 })
      supervisor.claimBegins()
      for (const uuid of ["a", "b", "c"]) {
        yield* submit(uuid, reply)
        yield* end(uuid, 3)
      }
      const before = loads()
      const resume = (uuid: string, revision: number, taken: number | undefined) => {
        supervisor.resume(named(uuid, { revision }), 0, [], taken)
        return [begun.slice(3), loads() - before]
      }
      assert.deepStrictEqual(resume("a", 3, 3), [["a"], 0])
      assert.deepStrictEqual(resume("b", 2, 2), [["a"], 0])
      assert.deepStrictEqual(resume("c", 2, undefined), [["a", "c"], 1])
    }).pipe(Effect.scoped)
  )

  it("nobody has an execution any more whose last write is under way: it is not lost", () => {
    const admission = new Admission({ maxRunning: 10, maxPending: 10 })
    const inbox = Object.assign(Inbox.make(), { revision: 2 })
    admission.set("a", { _tag: "Running", inbox, isOver: false, deaths: 0, waited: false })
    admission.claimBegins()
    const isNewer = (changes: Partial<Inbox.Inbox>) => {
      Object.assign(inbox, changes)
      return admission.isNewer("a")
    }
    assert.isFalse(isNewer({ isWriting: true, isLeaving: false }), "a write that keeps it")
    assert.isTrue(isNewer({ isWriting: true, isLeaving: true }))
    assert.isFalse(isNewer({ isWriting: false, isLeaving: true }), "the answer is here")
    assert.isTrue(isNewer({ revision: 3 }), "written since")
  })

  it("who has lost an execution judges what came here, and leaves the stored inbox to the new owner", () => {
    const stored = Inbox.pending(reply, { id: "one", isReadable: true, who: {} })
    const own = Inbox.pending(reply)
    const judgedHere = (isBack: boolean, ...inputs: ReadonlyArray<Inbox.PendingInput>) => {
      const leaving = { _tag: "Leaving", inbox: Inbox.make(inputs), isOver: false, isBack } as const
      const moment = { now: 1, recoveryInterval: 500, isAlone: false }
      const { outputs, slot } = Slot.reduce(leaving, { _tag: "Ended", exit: Exit.interrupt() }, moment)
      return [slot?._tag, outputs.flatMap((output) => (output._tag === "Run" ? output.inbox.inputs : []))]
    }
    assert.deepStrictEqual(judgedHere(false, stored, own), ["Running", [own]])
    assert.deepStrictEqual(judgedHere(false, stored), [undefined, []])
    assert.deepStrictEqual(judgedHere(true, stored, own), ["Running", [stored, own]])
  })

  it("a row of the stored inbox that a runner begins with is not given to it again", () => {
    const row = (id: string) => Inbox.pending(reply, { id, isReadable: true, who: {} })
    const inbox = Inbox.make([row("one"), Inbox.pending(reply)])
    Inbox.offerStored(inbox, [row("one"), row("two")])
    assert.deepStrictEqual(
      inbox.inputs.map(({ stored }) => stored?.id),
      ["one", undefined, "two"]
    )
  })
})
