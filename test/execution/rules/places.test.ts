/** The place of an execution in a queue: no step begins without one, and nothing else needs one. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import { Saga } from "effect-saga"
import type { Definition } from "../../../src/definition/SagaStep.ts"
import * as SagaDecision from "../../../src/execution/rules/SagaDecision.ts"
import type { SagaEvent } from "../../../src/execution/rules/SagaEvent.ts"
import { evolve } from "../../../src/execution/rules/SagaEvolution.ts"
import * as SagaInput from "../../../src/execution/rules/SagaInput.ts"
import type { SagaState } from "../../../src/execution/rules/SagaState.ts"
import * as Execution from "../../../src/execution/view/SagaExecution.ts"
import * as Chance from "./chance.ts"
import * as Generate from "./generate.ts"
import { Simulation, schedule } from "./simulate.ts"

const queued = (seed: number): Simulation => {
  const definition = Generate.saga(seed)
  return new Simulation(definition, { ...Generate.options(seed, definition), queue: true })
}

/** Facts by which a step begins. */
const begins = new Set<SagaEvent["_tag"]>(["StepStarted", "RequestSent"])

describe("laws of places", () => {
  it("no step begins without a place, whatever crashes or fails", () => {
    let begun = 0
    Chance.forSeeds(400, (seed) => {
      const { trace } = queued(seed).run()
      trace.forEach(({ event }, i) => {
        if (!begins.has(event._tag)) return
        begun++
        const { direction, place } = trace[i - 1]!.state
        assert.isTrue(place?.status === "held" || direction === "backward", event._tag)
      })
    })
    if (process.env.SEED === undefined) assert.isAbove(begun, 100)
  })

  it("a place is given back only where nothing runs and no reply is awaited, and taken by its own admission", () => {
    let left = 0
    Chance.forSeeds(400, (seed) => {
      const { trace } = queued(seed).run()
      trace.forEach(({ event, state }) => {
        if (event._tag !== "PlaceLeft") return
        left++
        assert.deepStrictEqual(
          SagaInput.awaiting(state).filter(({ op }) => op === "execute" && !state.parked.includes(op)),
          SagaInput.awaiting(state).filter(({ op, path }) => op === "execute" && state.parked.includes(path))
        )
      })
    })
    if (process.env.SEED === undefined) assert.isAbove(left, 20)
  })

  it("with a place for everybody an execution in a queue ends as it does without one", () => {
    let same = 0
    Chance.forSeeds(200, (seed) => {
      const definition = Generate.saga(seed)
      const options = { ...Generate.options(seed, definition), queue: false, crashAt: [], haste: 0, signals: 0 }
      const { cancelAt: _, ...calm } = options
      const [without, within] = [false, true].map((queue) => new Simulation(definition, { ...calm, queue }).run().state)
      if (without!.status === within!.status) same++
      assert.isTrue(within!.status === "finished" || within!.status === "errored" || within!.parked.length > 0)
    })
    if (process.env.SEED === undefined) assert.isAbove(same, 150)
  })
})

describe("an execution in a queue", () => {
  const Order = Saga.make("Order", { context: { n: Schema.Int }, deadline: "1 day" }).pipe(
    Saga.local("one", { success: Schema.Int, execute: ({ n }) => Effect.succeed(n), compensate: () => Effect.void }),
    Saga.sleep("rest", Duration.millis(100)),
    Saga.local("two", { execute: () => Effect.void }),
    Saga.commit
  )
  const created = Execution.creation(Order, { uuid: "00000000-0000-4000-8000-000000000001", context: { n: 1 } }, 0)
  if (!(created instanceof Execution.SagaExecution)) throw created
  const folded = (state: SagaState, ...facts: ReadonlyArray<SagaEvent>) => facts.reduce(evolve, state)
  const entered: SagaEvent = { _tag: "QueueEntered", queue: "q", key: "k", priority: 1, at: 5 }
  const begun: SagaEvent = { _tag: "ExecutionStarted", service: "o", autocommit: true, transactional: false, at: 5 }
  const start = folded(created.state, { _tag: "DeadlineSet", deadline: 1_000, at: 0 }, entered, begun)
  const look = (state: SagaState, now: number, definition: Definition = Order) =>
    SagaDecision.advance(state, {
      definition,
      now,
      since: now,
      presentSince: 0,
      attemptSince: 0,
      schedule
    })
  const admit = (state: SagaState, since: number) => {
    const verdict = SagaInput.judge(state, { _tag: "Admit", since }, { definition: Order, now: since, schedule })
    return verdict._tag === "Success" ? verdict.success : assert.fail("it is not refused")
  }

  it("is created, and does nothing but end at its deadline", () => {
    assert.strictEqual(start.status, "created")
    const { decision, state } = look(start, 10)
    assert.deepStrictEqual([state, decision.instructions, decision.wakeAt], [start, [], 1_000])
    assert.strictEqual(look(start, 1_000).state.failure?._tag, "DeadlinePassed")
  })

  it("enters a queue once, before it starts", () => {
    assert.strictEqual(evolve(start, entered), start)
    assert.strictEqual(evolve(start, begun), start)
    const plain = folded(created.state, begun)
    assert.strictEqual(evolve(plain, entered), plain)
  })

  it("begins with its admission, and only with its own", () => {
    assert.deepStrictEqual(admit(start, 4), [])
    const placed = folded(start, ...admit(start, 5))
    assert.deepStrictEqual([placed.status, placed.place?.status], ["running", "held"])
    assert.deepStrictEqual(admit(placed, 5), [])
    assert.strictEqual(look(placed, 6).decision.instructions[0]?._tag, "RunStep")
  })

  it("leaves its place with its sleep, and wants it again for the next step", () => {
    const placed = folded(start, ...admit(start, 5))
    const first = look(placed, 6).state
    const asleep = look(folded(first, { _tag: "StepSucceeded", path: "0", result: 1, at: 7 }), 7)
    assert.strictEqual(asleep.state.place?.status, "left")
    assert.strictEqual(evolve(asleep.state, { _tag: "PlaceTaken", at: 8 }), asleep.state)
    const awake = look(asleep.state, asleep.decision.wakeAt)
    assert.deepInclude(awake.state.place, { status: "wanted", isAgain: true })
    assert.deepStrictEqual(awake.decision.instructions, [])
    const again = folded(awake.state, ...admit(awake.state, awake.state.place!.since))
    assert.strictEqual(look(again, 200).decision.instructions[0]?._tag, "RunStep")
  })

  it("leaves its place when all its items under way wait", () => {
    const Parcels = Saga.make("Parcels", { context: {} }).pipe(
      Saga.forEach("parcels", {
        items: () => [1, 2, 3],
        item: Schema.Int,
        as: "parcel",
        concurrency: 2,
        steps: Saga.sleep("rest", Duration.millis(100))
      }),
      Saga.commit
    )
    const created = Execution.creation(Parcels, { uuid: "00000000-0000-4000-8000-000000000002", context: {} }, 0)
    if (!(created instanceof Execution.SagaExecution)) throw created
    const list = { name: "parcels", as: "parcel", items: [1, 2, 3], steps: 1, concurrency: 2 }
    const listed = folded(
      created.state,
      entered,
      begun,
      { _tag: "PlaceTaken", at: 5 },
      { _tag: "ForEachStarted", path: "0", ...list, at: 5 }
    )
    const asleep = look(listed, 6, Parcels)
    assert.deepStrictEqual([asleep.state.root.current?.items?.window, asleep.state.place?.status], [[0, 1], "left"])
    assert.strictEqual(look(asleep.state, asleep.decision.wakeAt, Parcels).state.place?.status, "left")
  })

  it("that turns back is not admitted, and needs no place", () => {
    const cancelled = folded(start, { _tag: "RollbackStarted", failure: { _tag: "Cancelled" }, at: 6 })
    assert.deepStrictEqual(admit(cancelled, 5), [])
    assert.strictEqual(look(cancelled, 7).state.status, "errored")
  })
})
