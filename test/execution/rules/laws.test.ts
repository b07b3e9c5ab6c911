/**
 * Laws of an execution, over generated sagas, scripts and schedules. A failure names its seed: `SEED=7 npx vitest run
 * test/execution/rules/laws.test.ts` runs that one alone.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as SagaPath from "../../../src/definition/SagaPath.ts"
import type { Definition, SagaStep } from "../../../src/definition/SagaStep.ts"
import * as SagaValidation from "../../../src/definition/SagaValidation.ts"
import { interrupted } from "../../../src/execution/rules/Interruption.ts"
import * as Decision from "../../../src/execution/rules/SagaDecision.ts"
import { SagaEvent } from "../../../src/execution/rules/SagaEvent.ts"
import { evolve, stored } from "../../../src/execution/rules/SagaEvolution.ts"
import * as SagaInput from "../../../src/execution/rules/SagaInput.ts"
import { created, isSettled, type SagaState } from "../../../src/execution/rules/SagaState.ts"
import * as Execution from "../../../src/execution/view/SagaExecution.ts"
import * as CanonicalJson from "../../../src/wire/CanonicalJson.ts"
import * as Chance from "./chance.ts"
import { deepFreeze } from "./freeze.ts"
import * as Generate from "./generate.ts"
import { Journey } from "./journey.ts"
import { compensable, except, type Outcome, type Script, Simulation, schedule, smooth } from "./simulate.ts"

const generated = (seed: number): Simulation => {
  const definition = Generate.saga(seed)
  return new Simulation(definition, Generate.options(seed, definition))
}

/** Everything a state says, without what it only remembers. */
const textOf = ({ revision: _, unstored: __, ...state }: SagaState): string =>
  JSON.stringify(state, (key, value) => (key === "cache" || key === "history" ? undefined : value))

/** Equal texts are equal values; only where they differ, in more than the order of keys, is it worth saying how. */
const assertSame = (one: string, other: string): void => {
  if (one === other) return
  const values = [JSON.parse(one), JSON.parse(other)]
  if (CanonicalJson.stringify(values[0]) !== CanonicalJson.stringify(values[1]))
    assert.deepStrictEqual(values[0], values[1])
}

const throughJson = <A>(value: A): A => JSON.parse(JSON.stringify(value))

const reread = (execution: Execution.SagaExecution, definition: Definition): Execution.SagaExecution =>
  Effect.runSync(Execution.fromRaw(throughJson(Execution.raw(execution)), definition))

const events = (self: Simulation): ReadonlyArray<SagaEvent> => self.trace.map(({ event }) => event)

describe("a script", () => {
  const run = (script: Script) => new Simulation(Journey, { context: { who: "ann" }, script }).run()
  const paths = (self: Simulation, op: "done" | "compensated") =>
    self.deeds.flatMap((deed) => (deed.op === op ? [deed.path] : [])).sort()

  it("a script without failures leaves every effect done", () => {
    const self = run(except({}))
    assert.deepStrictEqual([self.state.status, self.state.commitState], ["finished", "committed"])
    assert.deepStrictEqual(paths(self, "done"), ["0", "1/b0/0", "1/b0/1", "1/b1/0", "1/b1/1", "2"])
    assert.deepStrictEqual(paths(self, "compensated"), [])
  })

  it("a script whose last step fails leaves every effect compensated", () => {
    const self = run(except({ "2": { local: "fails" } }))
    assert.deepStrictEqual([self.state.status, self.state.failure?._tag], ["errored", "StepError"])
    assert.deepStrictEqual(paths(self, "done"), ["0", "1/b0/0", "1/b0/1", "1/b1/0", "1/b1/1"])
    assert.deepStrictEqual(paths(self, "compensated"), paths(self, "done"))
  })

  it("a script with a lost reply and a compensation that never works leaves that step parked", () => {
    const self = run(except({ "1/b0/0": { answer: "lost", compensationFails: 50 } }))
    assert.deepStrictEqual([self.state.failure?._tag, self.state.parked], ["StepTimedOut", ["1/b0/0"]])
    assert.deepStrictEqual(paths(self, "done"), ["0", "1/b0/0", "1/b1/0", "1/b1/1"])
    assert.deepStrictEqual(paths(self, "compensated"), ["0", "1/b1/0", "1/b1/1"])
  })
})

describe("generated sagas", () => {
  it("generated sagas are valid and have every kind of step, and their runs have every kind of event", () => {
    const kinds = new Set<string>()
    const tags = new Set<string>()
    Chance.forSeeds(300, (seed) => {
      const self = generated(seed)
      assert.deepStrictEqual(SagaValidation.validate(self.definition), [])
      for (const { step } of SagaPath.steps(self.definition)) kinds.add(step._tag)
      for (const { _tag } of events(self.run())) tags.add(_tag)
    })
    if (process.env.SEED !== undefined) return
    const every = ["Conditional", "ForEach", "Local", "Nested", "Parallel", "Pivot", "Remote", "Start", "Wait"]
    assert.deepStrictEqual([...kinds].sort(), every)
    const all = SagaEvent.members.map(({ fields }) => fields._tag.schema.literal)
    // Attributes are asked for with a write, only a resume asks for another way of ending, and only an inbox has outcomes for senders.
    assert.deepStrictEqual(
      all.filter((tag) => !tags.has(tag)),
      ["AttributesChanged", "AutocommitChanged", "ActionApplied", "ActionRefused"]
    )
  })
})

describe("signals", () => {
  it("each signal is taken by at most one wait, of its name and key, and time ends a wait only if none is there (C16)", () => {
    let taken = 0
    let timedOut = 0
    Chance.forSeeds(300, (seed) => {
      const { trace } = generated(seed).run()
      const unused = new Map<string, string>()
      const waits = new Map<string, string>()
      for (const { event } of trace) {
        switch (event._tag) {
          case "WaitStarted":
            waits.set(event.path, `${event.signal} ${event.key}`)
            break
          case "SignalReceived":
            unused.set(event.id, `${event.signal} ${event.key}`)
            break
          case "StepSucceeded": {
            const what = waits.get(event.path)
            if (event.signal !== undefined) {
              taken++
              assert.strictEqual(unused.get(event.signal), what)
              unused.delete(event.signal)
            } else if (what !== undefined) {
              timedOut++
              assert.notInclude([...unused.values()], what)
            }
            break
          }
          case "StepFailed":
            if (event.failure._tag === "StepTimedOut" && waits.has(event.path))
              assert.notInclude([...unused.values()], waits.get(event.path))
        }
      }
    })
    if (process.env.SEED !== undefined) return
    assert.isAbove(taken, 20)
    assert.isAbove(timedOut, 20)
  })

  it("an execution with a deadline that nothing decides is rolled back at that time, not before (C18)", () => {
    Chance.forSeeds(300, (seed) => {
      for (const { event } of generated(seed).run().trace) {
        if (event._tag === "RollbackStarted" && event.failure._tag === "DeadlinePassed")
          assert.isAtLeast(event.at, event.failure.deadline)
      }
    })
  })
})

describe("a run", () => {
  it("a run ends finished or errored, with nothing to do, and settled unless something is parked or undecided (G1)", () => {
    Chance.forSeeds(400, (seed) => {
      const self = generated(seed).run()
      const { commitState, parked, passed, status } = self.state
      // Behind the pivot it waits for a person, and for nothing else (I26).
      if (passed && parked.length > 0) return assert.deepStrictEqual([status, self.state.unstored], ["paused", 0])
      assert.include(["finished", "errored"], status)
      assert.strictEqual(self.execution.state.unstored, 0)
      if (passed) assert.strictEqual(status, "finished")
      if (parked.length === 0 && commitState !== "none") assert.strictEqual(isSettled(self.state), true)
      if (status === "finished") assert.strictEqual(self.state.decision ?? "commit", "commit")
      else assert.deepStrictEqual([self.state.direction, self.state.decision], ["backward", "reject"])
    })
  })

  it("a run that waits on its way forward is paused (G1)", () => {
    Chance.forSeeds(150, (seed) => {
      const self = generated(seed)
      self.run(() => {
        const { decision, state } = Decision.advance(self.state, self.moment())
        if (decision.instructions.length > 0 || state.direction === "backward") return
        if (state.status === "finished" || state.parked.length > 0 || state.place?.status === "wanted") return
        // Votes are awaited when every step is done.
        assert.strictEqual(state.status, state.commitState === "reserving" ? "running" : "paused")
        assert.isBelow(decision.wakeAt, Number.POSITIVE_INFINITY)
        assert.isAbove(decision.wakeAt, self.now)
      })
    })
  })

  it("a run in rollback waits only for events with a due time", () => {
    Chance.forSeeds(150, (seed) => {
      const self = generated(seed)
      self.run(() => {
        const { decision, state } = Decision.advance(self.state, self.moment())
        if (state.direction === "forward" || state.status === "errored" || decision.instructions.length > 0) return
        assert.isAbove(decision.wakeAt, self.now)
        assert.isBelow(decision.wakeAt, Number.POSITIVE_INFINITY)
      })
    })
  })

  it("a run never changes a decision or a direction, and counts its writes without gaps (I6)", () => {
    Chance.forSeeds(200, (seed) => {
      const self = generated(seed)
      let revision = 0
      self.run(() => {
        assert.include([revision, revision + 1], self.execution.revision)
        revision = self.execution.revision
        assert.strictEqual(revision, self.writes)
      })
      self.trace.reduce((before, after) => {
        if (before.state.decision !== null) assert.strictEqual(after.state.decision, before.state.decision)
        if (before.state.direction === "backward") assert.strictEqual(after.state.direction, "backward")
        return after
      })
    })
  })

  it("a run keeps its first failure as the cause, whatever fails afterwards (G2)", () => {
    Chance.forSeeds(200, (seed) => {
      const self = generated(seed).run()
      let cause: unknown
      for (const { event, state } of self.trace) {
        const isFailure = event._tag === "StepFailed" || event._tag === "RollbackStarted"
        if (cause === undefined && isFailure && !state.passed) cause = event.failure
        assert.strictEqual(state.failure, cause)
      }
    })
  })

  it("a run is shown as rolled back only while no step is open (I12)", () => {
    Chance.forSeeds(300, (seed) => {
      const self = generated(seed).run()
      for (const { event, state } of self.trace) {
        const isOpen = state.parked.length + state.reopened.length > 0
        if (state.alreadyRollback) assert.deepStrictEqual([isOpen, state.status], [false, "errored"], event._tag)
        else if (state.status === "errored") assert.strictEqual(isOpen, true, event._tag)
      }
    })
  })

  it("a run lists a parked step until it is compensated or a person resolves it (I12)", () => {
    Chance.forSeeds(200, (seed) => {
      const self = generated(seed).run()
      self.trace.reduce((before, after) => {
        for (const path of before.state.parked) {
          if (after.state.parked.includes(path)) continue
          const { event } = after
          assert.include(
            ["StepCompensated", "StepUnparked", "StepResolved", "ProbeAnswered", "ReplyReceived", "TryStarted"],
            event._tag
          )
          assert.strictEqual("path" in event && event.path, path)
        }
        return after
      })
    })
  })

  it("a run gives every callback the results of the steps before it, and those of no other branch (G12)", () => {
    Chance.forSeeds(200, (seed) => {
      const self = generated(seed)
      const { definition } = self
      self.onView = (instruction, view) => {
        assert.strictEqual(Object.getPrototypeOf(view), null)
        const succeeded = new Set(
          self.trace.flatMap(({ event }) =>
            event._tag === "StepSucceeded" || event._tag === "StepResolved" || event._tag === "ProbeAnswered"
              ? [event.path]
              : []
          )
        )
        const expected = visible(definition.steps, "", instruction.path, new Set(["order"]), succeeded)
        if (["Compensate", "BuildCompensation"].includes(instruction._tag)) {
          for (const name of expected) assert.strictEqual(name in view, true, name)
        } else assert.deepStrictEqual(Object.keys(view).sort(), [...expected].sort(), instruction.path)
      }
      self.run()
    })
  })
})

/** Names in the context of the step at `target`. */
const visible = (
  steps: ReadonlyArray<SagaStep>,
  prefix: string,
  target: string,
  before: ReadonlySet<string>,
  succeeded: ReadonlySet<string>
): ReadonlySet<string> => {
  const names = new Set(before)
  for (const [i, step] of steps.entries()) {
    const path = `${prefix}${i}`
    if (path === target) return names
    if (target.startsWith(`${path}/`)) {
      if (step._tag === "ForEach") {
        const prefix = target.slice(0, target.indexOf("/", path.length + 1) + 1)
        return visible(step.steps, prefix, target, names.add(step.as), succeeded)
      }
      const part = SagaPath.sequences(step, path).find((part) => target.startsWith(`${part.path}/`))!
      const start = step._tag === "Nested" ? new Set(["order"]) : names
      return visible(part.steps, `${part.path}/`, target, start, succeeded)
    }
    for (const name of given(step, path, succeeded)) names.add(name)
  }
  return names
}

/** Names that a step adds to the context. */
const given = (step: SagaStep, path: string, succeeded: ReadonlySet<string>): ReadonlyArray<string> => {
  if (!succeeded.has(path)) return []
  const inner = SagaPath.sequences(step, path).flatMap((part) =>
    part.steps.flatMap((step, i) => given(step, `${part.path}/${i}`, succeeded))
  )
  switch (step._tag) {
    case "Local":
    case "Remote":
    case "Nested":
    case "ForEach":
    case "Start":
      return [step.name]
    case "Wait":
      return step.signal === undefined ? [] : [step.name]
    case "Conditional":
      return [...inner, step.name]
    case "Parallel":
      return inner
    case "Pivot":
      return []
  }
}

describe("rollback", () => {
  it("a rollback compensates each effect that has a compensation exactly once, unless it is parked (I1)", () => {
    Chance.forSeeds(700, (seed) => {
      const self = generated(seed).run()
      const { parked, status } = self.state
      const byHand = new Set(events(self).flatMap((event) => (event._tag === "StepResolved" ? [event.path] : [])))
      const withCompensation = compensable(self.definition)
      const done = self.deeds.filter(({ op }) => op === "done").map(({ path }) => path)
      const compensated = self.deeds.filter(({ op }) => op === "compensated").map(({ path }) => path)
      for (const path of new Set([...done, ...compensated])) {
        const times = compensated.filter((other) => other === path).length
        if (status === "finished" || self.state.passed) assert.strictEqual(times, 0, path)
        else if (parked.includes(path) || byHand.has(path)) assert.isAtMost(times, 1, path)
        else if (withCompensation.has(SagaPath.inDefinition(path)))
          assert.strictEqual(times, 1, `${path} is compensated\n${self.tell().join("\n")}`)
        else assert.strictEqual(times, 0, path)
        if (times > 0) assert.isBelow(done.indexOf(path), done.length, path)
      }
      for (const path of compensated) assert.include(done, path)
    })
  })

  it("a rollback compensates no step before every later step of its sequence is over", () => {
    Chance.forSeeds(300, (seed) => {
      const self = generated(seed).run()
      const started = new Set<string>()
      const over = new Set<string>()
      for (const { event } of self.trace) {
        switch (event._tag) {
          case "StepStarted":
          case "RequestSent":
          case "AlternativeChosen":
          case "NestedStarted":
          case "ParallelStarted":
          case "ForEachStarted":
            started.add(event.path)
            break
          case "ProbeSent":
          case "CompensationStarted":
          case "CompensationSent":
          case "StepCompensated":
          case "StepParked": {
            for (const path of laterOf(event.path, started))
              assert.strictEqual(over.has(path), true, `${event._tag} ${event.path} before ${path}`)
            if (event._tag === "StepCompensated" || event._tag === "StepParked") over.add(event.path)
            break
          }
          case "StepFailed":
            if (event.effect === "none") over.add(event.path)
        }
      }
    })
  })
})

/** Steps behind a step in its own sequence, and in the sequences around it. */
const laterOf = (path: string, started: ReadonlySet<string>): ReadonlyArray<string> =>
  [...started].filter((other) => {
    const cut = other.lastIndexOf("/") + 1
    const prefix = other.slice(0, cut)
    if (!path.startsWith(prefix)) return false
    const index = Number(path.slice(cut).split("/")[0])
    return Number(other.slice(cut)) > index
  })

describe("storing", () => {
  it("storing through JSON text gives an equal execution in every state (G13, I18)", () => {
    Chance.forSeeds(20, (seed) => {
      const self = generated(seed)
      self.run(() => {
        const again = reread(self.execution, self.definition)
        assertSame(JSON.stringify(Execution.raw(again)), JSON.stringify(Execution.raw(self.execution)))
        assertSame(textOf(again.state), textOf(self.state))
      })
    })
  })

  it("any prefix of the stored events folds to the state as it was then (I18)", () => {
    Chance.forSeeds(80, (seed) => {
      const self = generated(seed).run()
      const [first, ...rest] = throughJson(self.trace.map(({ event }) => event))
      if (first?._tag !== "ExecutionCreated") throw new Error("no first event")
      let state = created(first)
      for (const [i, event] of rest.entries()) {
        state = evolve(state, event)
        // A service that was to be asked before the crash is asked again after it.
        assertSame(textOf(stored(state, 0)), textOf(stored(self.trace[i + 1]!.state, 0)))
      }
    })
  })

  it("an execution goes on from a stored state as from the state in memory (I18, G13)", () => {
    Chance.forSeeds(50, (seed) => {
      const chance = Chance.at(seed, "moments")
      const self = generated(seed)
      const twins: Array<Simulation> = []
      self.run(() => {
        if (Chance.happens(chance, 0.15)) twins.push(self.copy(reread(self.execution, self.definition)))
      })
      for (const twin of twins) {
        twin.run()
        assert.deepStrictEqual(twin.tell(), self.tell())
        assertSame(JSON.stringify(Execution.raw(twin.execution)), JSON.stringify(Execution.raw(self.execution)))
        assert.deepStrictEqual(twin.deeds, self.deeds)
      }
    })
  })

  it("an execution decides the same facts again from wherever it stopped between them", () => {
    Chance.forSeeds(80, (seed) => {
      const self = generated(seed)
      self.run(() => {
        const before = self.state
        const whole = Decision.advance(before, self.moment())
        let state = before
        for (const { head } of newest(whole.state, before)) {
          state = evolve(state, head)
          const again = Decision.advance(state, self.moment())
          assertSame(textOf(again.state), textOf(whole.state))
        }
      })
    })
  })

  it("an execution ends the same way wherever the process is killed", () => {
    Chance.forSeeds(40, (seed) => {
      const definition = Generate.saga(seed, { ...Generate.oneAfterTheOther, repeatable: true })
      const script = calm(Generate.script(seed, definition))
      const run = (crashAt: ReadonlyArray<number>) =>
        new Simulation(definition, { seed, script, crashAt, haste: 0 }).run()
      const whole = run([])
      for (let at = 2; at <= whole.moves; at++) {
        const killed = run([at])
        assert.strictEqual(killed.crashes, 1)
        assert.deepStrictEqual(outcomeOf(killed), outcomeOf(whole), `killed at move ${at}`)
      }
    })
  })
})

/** How it ended, without when. */
const outcomeOf = ({ deeds, execution }: Simulation) => ({
  status: execution.status,
  commitState: execution.commitState,
  cause: execution.state.failure?._tag,
  parked: execution.parked,
  alreadyRollback: execution.alreadyRollback,
  context: Execution.raw(execution).context,
  steps: execution.executedSteps.map(({ alreadyRollback, path, status }) => [path, status, alreadyRollback]),
  deeds
})

/** Trouble that does not depend on when it is met. */
const calm =
  (script: Script): Script =>
  (path): Outcome => {
    const { answer, probeFails, request, compensationFails, ...rest } = script(path)
    return {
      ...rest,
      request: request === "late" ? "lost" : request,
      answer: answer === "slow" ? "lost" : answer,
      compensationFails: compensationFails > 1 ? 50 : compensationFails,
      probeFails: probeFails > 1 ? 50 : probeFails
    }
  }

/** The events of a later state that an earlier one has not, oldest first. */
const newest = (after: SagaState, before: SagaState) => {
  const nodes: Array<NonNullable<SagaState["history"]>> = []
  for (let node = after.history; node !== undefined && node !== before.history; node = node.tail) nodes.push(node)
  return nodes.reverse()
}

describe("evolve", () => {
  it("evolve admits any event of another run or leaves the state as it is, and never throws", () => {
    let admitted = 0
    Chance.forSeeds(70, (seed) => {
      const self = generated(seed).run()
      // The same saga going another way, and another saga altogether.
      const twin = new Simulation(self.definition, {
        ...self.options,
        seed: seed + 1,
        script: Generate.script(seed + 1, self.definition)
      })
      const foreign = [...events(twin.run()), ...events(generated(seed + 1).run())]
      const chance = Chance.at(seed, "states")
      for (const { state } of self.trace) {
        if (!Chance.happens(chance, 0.3)) continue
        for (const event of foreign) {
          const next = evolve(state, event)
          if (next === state) continue
          admitted++
          assert.strictEqual(next.history?.tail, state.history)
          assert.strictEqual(next.unstored, state.unstored + 1)
          if (state.decision !== null) assert.strictEqual(next.decision, state.decision, event._tag)
          if (state.direction === "backward") assert.strictEqual(next.direction, "backward", event._tag)
          if (next.parked.length > 0) assert.strictEqual(next.alreadyRollback, false, event._tag)
        }
      }
    })
    assert.isAbove(admitted, 0)
  })

  it("evolve never changes its argument", () => {
    Chance.forSeeds(60, (seed) => {
      const self = generated(seed)
      const [first, ...rest] = throughJson(events(self.run()))
      if (first?._tag !== "ExecutionCreated") throw new Error("no first event")
      let state = deepFreeze(created(first))
      for (const event of rest) {
        const before = textOf(state)
        const next = evolve(state, deepFreeze(event))
        assert.strictEqual(textOf(state), before, event._tag)
        // A write is a change as well, and so is what is decided of the state.
        Decision.advance(deepFreeze(stored(next, next.revision + 1)), self.moment(event.at))
        state = deepFreeze(next)
      }
    })
  })

  it("evolve never admits an event twice in a row (I3)", () => {
    Chance.forSeeds(250, (seed) => {
      const self = generated(seed).run()
      for (const { event, state } of self.trace) assert.strictEqual(evolve(state, event), state, event._tag)
    })
  })

  it("evolve never admits a second event of a kind that can happen only once (I3)", () => {
    const ofPlaces = ["PlaceTaken", "PlaceLeft", "PlaceWanted"]
    const repeatable = [...ofPlaces, "CompensationStarted", "CompensationFailed", "StepParked", "StepUnparked"]
    Chance.forSeeds(60, (seed) => {
      const self = generated(seed).run()
      for (const [i, { event, state }] of self.trace.entries()) {
        // What is tried again behind the pivot happens again.
        if (repeatable.includes(event._tag) || state.passed) continue
        for (const { state } of self.trace.slice(i + 1)) assert.strictEqual(evolve(state, event), state, event._tag)
      }
    })
  })
})

describe("deciding", () => {
  it("decide gives only facts that the state admits, at any time", () => {
    Chance.forSeeds(60, (seed) => {
      const self = generated(seed)
      const times = [0, 1, 5_000, 60_000, 3_600_000, 10 ** 12]
      self.run(() => {
        for (const time of times) {
          Decision.advance(self.state, self.moment(self.now + time, self.now))
          Decision.advance(self.state, self.moment(self.now + time, Number.NEGATIVE_INFINITY))
        }
        Decision.advance(self.state, self.moment(0, Number.NEGATIVE_INFINITY))
        const found = interrupted(self.state, self.moment())
        if (found.length > 0) assert.notStrictEqual(found.reduce(evolve, self.state), self.state)
      })
    })
  })

  it("decide gives a wake-up time in the future, and has something to do then", () => {
    Chance.forSeeds(150, (seed) => {
      const self = generated(seed)
      self.run(() => {
        const { decision, state } = Decision.advance(self.state, self.moment())
        if (decision.instructions.length > 0 || decision.wakeAt === Number.POSITIVE_INFINITY) return
        assert.isAbove(decision.wakeAt, self.now)
        // Then callers that wait for the acknowledgements are told that they take longer.
        if (state.commitState === "committing" && decision.wakeAt === state.phase!.at + schedule.commitWait) return
        const later = Decision.advance(state, self.moment(decision.wakeAt, self.now))
        assert.strictEqual(later.state !== state || later.decision.instructions.length > 0, true)
      })
    })
  })

  it("decide instructs the same work again until it is done", () => {
    Chance.forSeeds(100, (seed) => {
      const self = generated(seed)
      self.run(() => {
        const once = Decision.advance(self.state, self.moment())
        const twice = Decision.advance(once.state, self.moment())
        assert.strictEqual(twice.state, once.state)
        assert.deepStrictEqual(
          twice.decision.instructions.map(({ _tag, path }) => `${_tag} ${path}`),
          once.decision.instructions.map(({ _tag, path }) => `${_tag} ${path}`)
        )
      })
    })
  })
})

describe("replies", () => {
  it("replies advance an execution at most once, however often and in whatever order they arrive (I3)", () => {
    Chance.forSeeds(150, (seed) => {
      const chance = Chance.at(seed, "order")
      const self = generated(seed)
      const copies: Array<Simulation> = []
      self.run(() => {
        if (Chance.happens(chance, 0.1)) copies.push(self.copy())
      })
      for (const copy of [...copies, self.copy()]) {
        const finals = self.delivered.filter(
          ({ inReplyTo, status }) => inReplyTo.endsWith(":execute") || status !== 500
        )
        const shuffled = [...finals, ...finals]
          .map((reply) => ({ reply, order: Chance.next(chance) }))
          .sort((one, other) => one.order - other.order)
        const accepted = new Map<string, number>()
        for (const { reply } of shuffled) {
          const before = copy.state
          copy.receive(reply)
          // The word that the answer comes later is not the answer.
          const about = `${reply.inReplyTo}${reply.status === 202 ? " is accepted" : ""}`
          if (copy.state !== before) accepted.set(about, (accepted.get(about) ?? 0) + 1)
        }
        for (const [id, times] of accepted) assert.strictEqual(times, 1, id)
      }
    })
  })

  it("replies resolve a parked step however late they come, or tell that it must be compensated", () => {
    let late = 0
    Chance.forSeeds(1800, (seed) => {
      const self = generated(seed).run()
      if (self.state.passed) return
      for (const { id, op, path, service } of SagaInput.awaiting(self.state)) {
        assert.include(self.state.parked, path)
        for (const status of [200, 400, 404, 500] as const) {
          const copy = self.copy()
          copy.receive({ inReplyTo: id, sender: service, status, content: "late", relatedServices: [] })
          const { state } = Decision.advance(copy.state, self.moment())
          const isFinal = op === "failure" ? status === 200 : op === "probe" ? status !== 500 : status !== 404
          if (!isFinal) {
            assert.strictEqual(copy.state, self.state)
            continue
          }
          late++
          const hasEffect = op !== "failure" && status === 200
          const open = [...state.parked, ...state.reopened]
          if (hasEffect) assert.include(open, path)
          else assert.notInclude(open, path)
          assert.strictEqual(state.alreadyRollback, open.length === 0)
        }
      }
    })
    if (process.env.SEED === undefined) assert.isAbove(late, 20)
  })

  it("replies never finish a step other than the one they answer (I3)", () => {
    Chance.forSeeds(150, (seed) => {
      const self = generated(seed)
      const receive = self.receive.bind(self)
      self.receive = (reply) => {
        const known = self.trace.length
        receive(reply)
        const [, place] = reply.inReplyTo.split(":")
        for (const { event } of self.trace.slice(known)) if ("path" in event) assert.strictEqual(event.path, place)
      }
      self.run()
    })
  })
})

describe("the pivot", () => {
  const behind = (seed: number) => {
    const self = generated(seed).run()
    const at = self.trace.findIndex(({ event }) => event._tag === "PivotPassed")
    return { self, facts: at < 0 ? [] : self.trace.slice(at + 1), at }
  }

  it("nothing is undone behind it, and nothing turns back: no event of a rollback follows (I26)", () => {
    let passed = 0
    Chance.forSeeds(400, (seed) => {
      const { at, facts, self } = behind(seed)
      if (at < 0) return
      passed++
      assert.deepStrictEqual([self.state.decision, self.state.direction], ["commit", "forward"])
      const undoing = ["RollbackStarted", "CompensationStarted", "CompensationSent", "StepCompensated"]
      for (const { event } of facts) assert.notInclude(undoing, event._tag)
      for (const { op } of self.deeds) assert.strictEqual(op, "done")
    })
    if (process.env.SEED === undefined) assert.isAbove(passed, 50)
  })

  it("it is passed only when everybody has voted for it, and then they are told to commit, once (C18)", () => {
    Chance.forSeeds(400, (seed) => {
      const { at, facts, self } = behind(seed)
      if (at < 0) return
      const before = self.trace[at - 1]!.state
      const votes = new Set(
        self.trace.slice(0, at).flatMap(({ event }) => (event._tag === "VoteReceived" ? [event.service] : []))
      )
      assert.deepStrictEqual([...votes].sort(), [...before.enrolled].sort())
      assert.strictEqual(self.trace[at]!.state.commitState, before.enrolled.length > 0 ? "committing" : "none")
      for (const { event, state } of facts) {
        assert.deepStrictEqual(state.enrolled, before.enrolled, "nobody joins behind it")
        assert.notInclude(["ReservationStarted", "CommitDecided"], event._tag)
        if (event._tag === "RequestSent" || event._tag === "ProbeSent")
          assert.deepStrictEqual(event.message.transactions, [])
      }
    })
  })

  it("a new message follows only on a stored refusal; without an answer it is the same one (C18)", () => {
    let again = 0
    Chance.forSeeds(600, (seed) => {
      const sent = new Map<string, number>()
      const refused = new Map<string, boolean>()
      for (const { event } of behind(seed).facts) {
        if (event._tag === "ReplyReceived") refused.set(event.path, event.status !== 200)
        if (event._tag !== "RequestSent") continue
        const number = Number(event.message.id.split(":")[3] ?? "1")
        assert.strictEqual(number, (sent.get(event.path) ?? 0) + 1)
        if (number > 1) {
          again++
          assert.strictEqual(refused.get(event.path), true)
        }
        sent.set(event.path, number)
        refused.set(event.path, false)
      }
    })
    if (process.env.SEED === undefined) assert.isAbove(again, 10)
  })

  it("each step behind it that is over has its effect once, unless a person has given its result (I8, I26)", () => {
    Chance.forSeeds(600, (seed) => {
      const { facts, self } = behind(seed)
      const byHand = new Set(facts.flatMap(({ event }) => (event._tag === "StepResolved" ? [event.path] : [])))
      const recovered = new Set(
        facts.flatMap(({ event }) => (event._tag === "StepSucceeded" && event.recovered === true ? [event.path] : []))
      )
      for (const { event } of facts) {
        if (event._tag !== "StepSucceeded" || byHand.has(event.path) || recovered.has(event.path)) continue
        const step = SagaPath.at(self.definition, event.path)
        if (step?._tag !== "Local" && step?._tag !== "Remote") continue
        assert.strictEqual(self.deeds.filter(({ path }) => path === event.path).length, 1, event.path)
      }
    })
  })

  it("a step that is parked behind it has had its tries, and a late answer still counts (C18)", () => {
    let late = 0
    Chance.forSeeds(300, (seed) => {
      const definition = Generate.saga(seed)
      const pivot = definition.steps.findIndex(({ _tag }) => _tag === "Pivot")
      // All goes well up to the pivot, and behind it nobody answers.
      const script: Script = (path) =>
        pivot >= 0 && Number.parseInt(path, 10) > pivot ? { ...smooth, request: "lost", tries: 50 } : smooth
      const self = new Simulation(definition, {
        seed,
        script,
        transactional: Chance.happens(Chance.at(seed, "two"), 0.5)
      })
      self.run()
      if (!self.state.passed) return
      for (const { id, op, path, service } of SagaInput.awaiting(self.state)) {
        if (op !== "execute") continue
        assert.include(self.state.parked, path)
        const failures = self.trace.filter(({ event }) => event._tag === "StepFailed" && event.path === path)
        assert.strictEqual(failures.length, schedule.retryForward.times + 1)
        const copy = self.copy()
        copy.receive({ inReplyTo: id, sender: service, status: 200, content: "late", relatedServices: ["others"] })
        late++
        assert.notInclude(copy.state.parked, path)
        assert.deepStrictEqual(copy.state.enrolled, self.state.enrolled)
      }
    })
    if (process.env.SEED === undefined) assert.isAbove(late, 10)
  })
})
