/** Items of generated sagas (SPEC C17, I25): how many are under way, in which order they begin and are undone, what they give. */
import { assert, describe, it } from "@effect/vitest"
import * as SagaPath from "../../../src/definition/SagaPath.ts"
import type { ForEach } from "../../../src/definition/SagaStep.ts"
import type { Of, SagaEvent } from "../../../src/execution/rules/SagaEvent.ts"
import { framesIn, stepAt, toArray } from "../../../src/execution/rules/StepTree.ts"
import * as Chance from "./chance.ts"
import * as Generate from "./generate.ts"
import { Simulation } from "./simulate.ts"

const kinds = { parallel: true, depth: 2, items: true, pivots: true, waits: true }

const generated = (seed: number): Simulation => {
  const definition = Generate.saga(seed, kinds)
  return new Simulation(definition, Generate.options(seed, definition))
}

/** The index of the item of a list that a fact is about; undefined: of none. */
const itemOf = (list: string, path: string): number | undefined =>
  path.startsWith(`${list}/i`) ? Number.parseInt(path.slice(list.length + 2), 10) : undefined

const about = (list: Of<"ForEachStarted">, events: ReadonlyArray<SagaEvent>) =>
  events.flatMap((event) => {
    if (!("path" in event)) return []
    const item = itemOf(list.path, event.path)
    return item === undefined ? [] : [{ event, item }]
  })

const begins: ReadonlySet<string> = new Set([
  "StepStarted",
  "RequestSent",
  "AlternativeChosen",
  "NestedStarted",
  "ParallelStarted",
  "ForEachStarted",
  "WaitStarted"
])

/** Facts that compensate, or ask for what to compensate. */
const undoes: ReadonlySet<string> = new Set([
  "ProbeSent",
  "CompensationStarted",
  "CompensationSent",
  "StepCompensated",
  "StepParked"
])

const eachList = (
  seeds: number,
  law: (list: Of<"ForEachStarted">, events: ReadonlyArray<SagaEvent>, self: Simulation) => void
): void =>
  Chance.forSeeds(seeds, (seed) => {
    const self = generated(seed).run()
    const events = self.trace.map(({ event }) => event)
    events.forEach((event, i) => {
      if (event._tag === "ForEachStarted") law(event, events.slice(i + 1), self)
    })
  })

describe("items", () => {
  it("begin in their order, and no more than the concurrency at a time (C17)", () => {
    let most = 0
    eachList(400, (list, events, self) => {
      const first: Array<number> = []
      for (const { event, item } of about(list, events)) {
        const isFirst = begins.has(event._tag) || (event._tag === "StepFailed" && event.name !== undefined)
        if (!isFirst || first.includes(item)) continue
        first.push(item)
        const before = self.trace.find((one) => one.event === event)!.state
        const step = stepAt(before.root, list.path)!.step
        const underWay = framesIn(step).filter(
          ({ current, next, length }) => current !== undefined || (next > 0 && next < length!)
        )
        assert.isAtMost(underWay.length, list.concurrency)
        most = Math.max(most, underWay.length)
      }
      // With several at a time, a request that takes longer to be built leaves later.
      const inOrder = first.toSorted((a, b) => a - b)
      first.forEach((item, i) => {
        assert.isBelow(Math.abs(item - inOrder[i]!), list.concurrency)
      })
    })
    if (process.env.SEED === undefined) assert.isAbove(most, 1)
  })

  it("that have not begun when the first failure is known never begin (C17)", () => {
    let turned = 0
    eachList(400, (list, _, self) => {
      const at = self.trace.findIndex(({ state }) => state.direction === "backward")
      if (at < 0) return
      turned++
      for (const { event } of about(
        list,
        self.trace.slice(at + 1).map(({ event }) => event)
      )) {
        assert.isFalse(begins.has(event._tag), `${event._tag} ${event.path}`)
      }
    })
    if (process.env.SEED === undefined) assert.isAbove(turned, 20)
  })

  it("are undone from the last to the first, no more than the concurrency at a time (C17)", () => {
    let undone = 0
    eachList(600, (list, events, self) => {
      for (const { event, item } of about(list, events)) {
        if (!undoes.has(event._tag) || self.state.passed) continue
        const at = self.trace.findIndex((one) => one.event === event)
        const { state } = self.trace[at - 1]!
        // What is parked, or answered late, is undone when somebody asks for it.
        if (state.parked.includes(event.path) || state.reopened.includes(event.path)) continue
        const step = stepAt(state.root, list.path)!.step
        const frames = framesIn(step)
        const open = frames.flatMap(({ current, done }, i) => (i > item && (current ?? done) !== undefined ? [i] : []))
        assert.isBelow(open.length, list.concurrency, `${event._tag} ${event.path} before ${open.join()}`)
        undone++
      }
    })
    if (process.env.SEED === undefined) assert.isAbove(undone, 50)
  })

  it("none is dropped, added or reordered: the result has that of each, and its steps ran once (I25)", () => {
    let whole = 0
    eachList(400, (list, _, self) => {
      const step = stepAt(self.state.root, list.path)?.step
      if (step?.status !== "finished" || self.state.direction !== "forward") return
      whole++
      const frames = framesIn(step)
      assert.strictEqual(frames.length, list.items.length)
      const { steps } = SagaPath.at(self.definition, list.path) as ForEach
      frames.forEach((frame, i) => {
        assert.strictEqual(frame.prefix, `${list.path}/i${i}/`)
        const ran = toArray(frame.done).toReversed()
        assert.deepStrictEqual(
          ran.map(({ path }) => path),
          steps.map((_, step) => `${frame.prefix}${step}`)
        )
      })
      for (const { path } of self.deeds.filter(({ op }) => op === "done"))
        assert.strictEqual(self.deeds.filter((deed) => deed.op === "done" && deed.path === path).length, 1, path)
    })
    if (process.env.SEED === undefined) assert.isAbove(whole, 50)
  })
})
