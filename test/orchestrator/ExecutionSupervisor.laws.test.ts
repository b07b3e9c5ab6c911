/**
 * Laws of the supervisor over histories of chance: starts, inputs, ends, lost and regained executions, due times, a stop, in
 * any order. The same histories run against the reducer alone and against the supervisor with a scripted loop.
 */
import { assert, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Logger, Result } from "effect"
import { TestClock } from "effect/testing"
import { Saga, SagaExecution, SagaExecutionRepository } from "effect-saga"
import { defaults } from "../../src/execution/rules/RetrySchedule.ts"
import { Admission } from "../../src/orchestrator/Admission.ts"
import type { LoopResult, StorageError } from "../../src/orchestrator/ExecutionLoop.ts"
import * as ExecutionSupervisor from "../../src/orchestrator/ExecutionSupervisor.ts"
import * as Inbox from "../../src/orchestrator/Inbox.ts"
import {
  type Change,
  isActive,
  type Output,
  type RunError,
  reduce,
  type SlotEvent
} from "../../src/orchestrator/Slot.ts"
import * as ShutdownGrace from "../../src/ports/ShutdownGrace.ts"
import { at, below, type Chance, forSeeds, happens, pick } from "../execution/rules/chance.ts"

const saga = Saga.make("Any", { context: {} }).pipe(Saga.local("one", { execute: () => Effect.void }), Saga.commit)

/** Executions in each status that a runner can end with. Their uuids do not matter: slots are kept by the test's own. */
const sample = Effect.runSync(SagaExecution.fromDefinition(saga, { context: {} }))
const inStatus = (status: "finished" | "paused" | "running") =>
  new SagaExecution.SagaExecution(
    { ...sample.state, status, commitState: status === "finished" ? "committed" : "none" },
    saga
  )

const uuids = ["a", "b", "c"] as const

const unavailable = new SagaExecutionRepository.SagaExecutionRepositoryError({
  reason: "unavailable",
  operation: "store"
})
const rejected = new SagaExecutionRepository.SagaExecutionRepositoryError({ reason: "rejected", operation: "store" })
const overtaken = Exit.fail(new SagaExecutionRepository.SagaExecutionConflict({ uuid: sample.uuid, revision: 1 }))

/** How a runner ends: by its work, by an interruption, or by an error of each kind. */
const exitOf = (chance: Chance): Exit.Exit<LoopResult, StorageError> => {
  const wakeAt = happens(chance, 0.5) ? Number.POSITIVE_INFINITY : below(chance, 10_000)
  const elsewhere = happens(chance, 0.2) ? "another" : undefined
  switch (below(chance, 7)) {
    case 0:
      return Exit.fail(unavailable)
    case 1:
      return Exit.fail(rejected)
    case 2:
      return overtaken
    case 3:
      return Exit.die(new Error("a bug"))
    default:
      return Exit.succeed({ execution: inStatus(pick(chance, ["finished", "paused", "running"])), wakeAt, elsewhere })
  }
}

// ---- the reducer -----------------------------------------------------------------------------------------------

/** The effects of the outputs of a history: running runners, and the outcome of each input. */
class World {
  private readonly isAlone: boolean
  constructor(isAlone: boolean) {
    this.isAlone = isAlone
  }

  readonly admission = new Admission({ maxRunning: 2, maxPending: 4 })
  readonly runners = new Map<string, { readonly inbox: Inbox.Inbox; interrupted: boolean }>()
  readonly wakeUps = new Set<string>()
  readonly offered: Array<Inbox.PendingInput> = []
  readonly abandoned = new Set<Inbox.PendingInput>()

  on(uuid: string, event: SlotEvent): Change {
    const change = reduce(this.admission.get(uuid), event, { now: 1_000, recoveryInterval: 500, isAlone: this.isAlone })
    this.admission.set(uuid, change.slot)
    if (event._tag === "Start" && change.slot?._tag === "Running" && change.slot.inbox === event.inbox) {
      this.launch(uuid, event.inbox)
    }
    for (const output of change.outputs) this.perform(uuid, output)
    return change
  }

  private launch(uuid: string, inbox: Inbox.Inbox): void {
    assert.isFalse(this.runners.has(uuid), `two runners of ${uuid}`)
    this.runners.set(uuid, { inbox, interrupted: false })
    this.wakeUps.delete(uuid)
  }

  private perform(uuid: string, output: Output): void {
    switch (output._tag) {
      case "Run":
        return this.launch(uuid, output.inbox)
      case "Offer":
        return void output.inbox.inputs.push(output.input)
      case "Interrupt": {
        const runner = this.runners.get(uuid)
        assert.isDefined(runner, "an interruption of nobody")
        runner!.interrupted = true
        return
      }
      case "Schedule":
        return void this.wakeUps.add(uuid)
      case "HandOn":
      case "Abandon": {
        for (const { input } of output.inbox.judged) this.abandoned.add(input)
        for (const input of output.inbox.inputs.splice(0)) this.abandoned.add(input)
        output.inbox.judged = []
        return
      }
      case "Tell":
      case "Fail":
      case "SetAside":
    }
  }

  /** The contract of the loop: one that succeeds has completed its inputs, and one that meets a conflict gives them back. */
  end(uuid: string, exit: Exit.Exit<LoopResult, RunError>, judged: Set<Inbox.PendingInput>): void {
    const { inbox } = this.runners.get(uuid)!
    const inputs = inbox.judged.map(({ input }) => input)
    if (exit === overtaken || (Exit.isSuccess(exit) && exit.value.elsewhere !== undefined))
      inbox.inputs.unshift(...inputs)
    else if (Exit.isSuccess(exit)) for (const input of inputs) judged.add(input)
    if (Exit.isSuccess(exit) || exit === overtaken) inbox.judged = []
    this.runners.delete(uuid)
    this.on(uuid, { _tag: "Ended", exit })
  }
}

it("no input is lost and no execution has two runners, in histories of chance (I28)", () => {
  forSeeds(150, (seed) => {
    const chance = at(seed, "reducer")
    const world = new World(seed % 2 === 0)
    const judged = new Set<Inbox.PendingInput>()
    for (let step = 0; step < 120; step++) {
      const uuid = pick(chance, uuids)
      const runner = world.runners.get(uuid)
      switch (below(chance, 8)) {
        case 0:
          if (!isActive(world.admission.get(uuid))) world.on(uuid, { _tag: "Start", inbox: Inbox.make() })
          break
        case 1:
        case 2: {
          const input = Inbox.pending({ _tag: "Look" })
          world.offered.push(input)
          world.on(uuid, { _tag: "Input", input })
          break
        }
        case 3:
          world.on(uuid, { _tag: "Due", since: 0 })
          break
        case 4:
          world.on(uuid, {
            _tag: "Claimed",
            takenUp: { execution: sample, elsewhere: undefined, isHeld: true },
            since: 0,
            inputs: []
          })
          break
        case 5:
          world.on(uuid, { _tag: "Lost" })
          break
        case 6:
          // A runner judges what waits, and stores its facts or not before it ends.
          if (runner !== undefined) {
            const looked = runner.inbox.inputs.splice(0).map((input) => ({ input, refused: Result.void }))
            runner.inbox.judged = [...runner.inbox.judged, ...looked]
            if (happens(chance, 0.7)) {
              for (const { input } of runner.inbox.judged) judged.add(input)
              runner.inbox.judged = []
            }
          }
          break
        case 7:
          if (runner?.interrupted === true) world.end(uuid, Exit.interrupt(), judged)
          else if (runner !== undefined) world.end(uuid, exitOf(chance), judged)
      }
      for (const one of uuids) {
        const slot = world.admission.get(one)
        assert.strictEqual(isActive(slot), world.runners.has(one), `the slot of ${one} and its runner`)
        if (isActive(slot)) assert.strictEqual(slot.inbox, world.runners.get(one)?.inbox)
      }
      const held = [...world.runners.values()].flatMap(({ inbox }) => [
        ...inbox.inputs,
        ...inbox.judged.map(({ input }) => input)
      ])
      const places = new Set([...held, ...judged, ...world.abandoned])
      assert.strictEqual(places.size, world.offered.length, "each input is judged, abandoned, or with a runner")
      assert.strictEqual(held.length + judged.size + world.abandoned.size, places.size, "and in one place only")
      assert.deepStrictEqual([...world.admission.running].sort(), [...world.runners.keys()].sort())
    }
  })
})

it("an own execution that is not over is looked at again after its runner failed", () => {
  for (const exit of [Exit.fail(unavailable), Exit.die(new Error("a bug"))]) {
    const started = reduce(
      undefined,
      { _tag: "Start", inbox: Inbox.make() },
      { now: 0, recoveryInterval: 500, isAlone: true }
    )
    const { outputs, slot } = reduce(
      started.slot,
      { _tag: "Ended", exit },
      { now: 100, recoveryInterval: 500, isAlone: true }
    )
    assert.strictEqual(slot?._tag, "Waiting")
    const [scheduled] = outputs.filter((output) => output._tag === "Schedule")
    assert.deepInclude(scheduled, { at: 600, since: Number.NEGATIVE_INFINITY })
  }
})

it("a second start of an execution that waits in this process leaves it waiting", () => {
  const moment = { now: 0, recoveryInterval: 500, isAlone: true }
  const { slot } = reduce({ _tag: "Waiting", deaths: 0 }, { _tag: "Start", inbox: Inbox.make() }, moment)
  const after = reduce(slot, { _tag: "Ended", exit: overtaken }, moment)
  assert.strictEqual(after.slot?._tag, "Waiting")
})

// ---- the supervisor --------------------------------------------------------------------------------------------

/** A loop that ends when the test says so: each call waits for its exit, and judges what is in its inbox then. */
const scripted = () => {
  const running = new Map<string, Deferred.Deferred<LoopResult, StorageError>>()
  let twice = 0
  const drive: ExecutionSupervisor.Options["drive"] = (execution, _, inbox) =>
    Effect.gen(function* () {
      if (running.has(execution.uuid)) twice++
      const end = Deferred.makeUnsafe<LoopResult, StorageError>()
      running.set(execution.uuid, end)
      const exit = yield* Effect.exit(
        Effect.ensuring(
          Deferred.await(end),
          Effect.sync(() => running.delete(execution.uuid))
        )
      )
      const judged = inbox.inputs.splice(0).map((input) => ({ input, refused: Result.void }))
      if (Exit.isSuccess(exit)) Inbox.complete(judged, exit.value.execution)
      else inbox.inputs.push(...judged.map(({ input }) => input))
      return yield* exit
    })
  return { drive, running, twice: () => twice }
}

const named = (execution: SagaExecution.SagaExecution, uuid: string) =>
  new SagaExecution.SagaExecution({ ...execution.state, uuid }, saga)

it.effect("every caller is told once, places are given back, and a stop leaves nobody waiting", () =>
  Effect.gen(function* () {
    for (let seed = 1; seed <= 60; seed++) {
      const chance = at(seed, "supervisor")
      const loop = scripted()
      const told: Array<string> = []
      const fibers: Array<readonly [string, Fiber.Fiber<unknown, unknown>]> = []
      yield* Effect.scoped(
        Effect.gen(function* () {
          const active = yield* ExecutionSupervisor.make({
            service: "orders",
            drive: loop.drive,
            load: (uuid) => Effect.succeed(named(inStatus("running"), uuid)),
            repository: yield* SagaExecutionRepository.SagaExecutionRepository,
            membership: { isMine: () => true, wake: () => Effect.void },
            policy: { schedule: defaults },
            claim: () => {},
            dueAt: () => {},
            takeUp: Effect.map((execution) => ({ execution, elsewhere: undefined, isHeld: true })),
            setAside: () => Effect.void,
            recoveryInterval: 500,
            maxRunning: 2,
            maxPending: 6,
            commitWait: 30_000,
            grace: yield* Effect.provide(ShutdownGrace.make(0), ShutdownGrace.layer),
            services: yield* Effect.context<never>()
          })
          for (let step = 0; step < 80; step++) {
            const uuid = pick(chance, uuids)
            const caller = `${step}`
            const call = (effect: Effect.Effect<unknown, unknown>) =>
              Effect.forkChild(
                Effect.onExit(effect, () => Effect.sync(() => told.push(caller))),
                { startImmediately: true }
              )
            switch (below(chance, 7)) {
              case 0:
                fibers.push([caller, yield* call(active.startUnsafe(named(sample, uuid), "end", Context.empty()))])
                break
              case 1:
                fibers.push([caller, yield* call(active.submit(uuid, { _tag: "Look" }))])
                break
              case 2:
                fibers.push([caller, yield* call(active.submit(uuid, { _tag: "Look" }, "end"))])
                break
              case 3:
                active.lose(uuid)
                break
              case 4:
                active.resume(named(inStatus("running"), uuid), 0, [])
                break
              case 5: {
                const end = loop.running.get(uuid)
                const exit = exitOf(chance)
                if (end !== undefined) {
                  yield* Deferred.done(
                    end,
                    Exit.map(exit, (result) => ({ ...result, execution: named(result.execution, uuid) }))
                  )
                }
                break
              }
              case 6:
                yield* TestClock.adjust(below(chance, 1_000))
            }
            yield* Effect.yieldNow
            assert.strictEqual(loop.twice(), 0, `SEED=${seed}: two runners of one execution`)
            assert.isAtMost(loop.running.size, 2, `SEED=${seed}: more runners than places (I20)`)
            assert.includeMembers(
              active.claimBegins().map(({ uuid }) => uuid),
              [...loop.running.keys()]
            )
          }
        })
      )
      // The scope is closed: every caller has been told by now.
      for (const [caller, fiber] of fibers) {
        yield* Fiber.await(fiber)
        assert.strictEqual(told.filter((one) => one === caller).length, 1, `SEED=${seed}: caller ${caller}`)
      }
      assert.strictEqual(loop.running.size, 0, `SEED=${seed}: runners after the stop`)
    }
  }).pipe(Effect.provide([Logger.layer([]), SagaExecutionRepository.layerMemory]))
)
