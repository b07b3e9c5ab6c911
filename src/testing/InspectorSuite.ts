/**
 * The contract of an inspector, as tests for any of its layers. `core`: lists and groups; `act`: actions, whose owner the suite plays.
 * The layer has the repository that the inspector looks at, which keeps settled executions.
 */
import { assert } from "@effect/vitest"
import { Effect, Fiber, type Layer, Option } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type * as Summary from "../ports/ExecutionSummary.ts"
import * as Port from "../ports/Inspector.ts"
import * as KeptMessage from "../ports/KeptMessage.ts"
import { type Barrier, ParticipantStore } from "../ports/ParticipantStore.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"
import type { Envelope } from "../wire/Envelope.ts"
import * as Sample from "./SampleExecutions.ts"
import * as Suite from "./Suite.ts"

type Ports = Port.Inspector | Repository.SagaExecutionRepository

const inspector = Port.Inspector
const repository = Repository.SagaExecutionRepository

const who = { actor: "anna", reason: "the customer has called" }

/** Stored step by step, as a process would. */
const stored = Effect.fnUntraced(function* (
  created: SagaExecution,
  ...steps: ReadonlyArray<(execution: SagaExecution) => SagaExecution>
) {
  const { store } = yield* repository
  let execution = yield* store(created, { wakeAt: Sample.time })
  for (const step of steps) execution = yield* store(step(execution), { wakeAt: Sample.time })
  return execution
})

const begin = (execution: SagaExecution) => Sample.started(execution)

const uuids = ({ items }: Summary.Page): ReadonlyArray<string> => items.map(({ uuid }) => uuid)

const core = (test: Suite.Test<Ports>): void => {
  test("each filter finds its executions and no others", () =>
    Effect.gen(function* () {
      const { find } = yield* inspector
      const saga = Sample.uniqueName()
      const key = Sample.uniqueName()
      const running = yield* stored(Sample.created({ saga, startKey: `${key}-1` }), begin)
      const waits = yield* stored(Sample.created({ saga, startKey: `${key}-2`, user: "anna" }), begin, Sample.paused)
      const undoing = yield* stored(Sample.created({ saga }), begin, Sample.paused, Sample.refused)
      const parked = yield* stored(Sample.created({ saga }), begin, Sample.paused, Sample.refused, Sample.parked)
      const cases: ReadonlyArray<readonly [Summary.Filter, ReadonlyArray<SagaExecution>]> = [
        [{}, [running, waits, undoing, parked]],
        [{ undoing: true }, [undoing]],
        [{ undoing: false }, [running, waits, parked]],
        [Port.ofState("running"), [running]],
        [Port.ofState("paused"), [waits]],
        [Port.ofState("undoing"), [undoing]],
        [Port.ofState("errored"), [parked]],
        [{ waitsFor: "payments/Charge" }, [waits]],
        [{ waitsFor: "payments" }, [waits]],
        [{ waitsFor: "pay" }, []],
        [{ waitsFor: "payments/Refund" }, []],
        [{ waitsFor: "payments", step: "payment" }, [waits]],
        [{ waitsFor: "payments", step: "reservation" }, []],
        [{ failure: "StepRefused" }, [undoing, parked]],
        [{ failure: "StepRefused", parked: true }, [parked]],
        [{ failure: "Cancelled" }, []],
        [{ failure: "\0" }, []],
        [{ parked: true }, [parked]],
        [{ startKeyPrefix: key }, [running, waits]],
        [{ startKeyPrefix: `${key}-2` }, [waits]],
        [{ startKeyPrefix: `${key}%` }, []],
        [{ user: "anna", waitsFor: "payments" }, [waits]]
      ]
      for (const [filter, expected] of cases) {
        const page = yield* find({ saga, ...filter })
        const wanted = expected.map(({ uuid }) => uuid)
        assert.sameMembers([...uuids(page)], wanted, JSON.stringify(filter))
        assert.isUndefined(page.next)
      }
    }))

  test("pages lead forward and back to the same executions, in time and in the order of keys", () =>
    Effect.gen(function* () {
      const { find } = yield* inspector
      const saga = Sample.uniqueName()
      const key = Sample.uniqueName()
      for (const n of [3, 1, 5, 2, 4, 7, 6])
        yield* stored(Sample.created({ saga, startKey: `${key} ${n}`, at: Sample.time + (n % 3) }), begin)
      for (const filter of [{ saga }, { startKeyPrefix: key }, { saga, status: "running" }] as const) {
        const whole = uuids(yield* find(filter))
        assert.strictEqual(whole.length, 7)
        const forward: Array<Summary.Page> = []
        let after: string | undefined
        do {
          const page: Summary.Page = yield* find(filter, { limit: 3, ...(after !== undefined && { after }) })
          forward.push(page)
          after = page.next
        } while (after !== undefined)
        assert.deepStrictEqual(forward.flatMap(uuids), whole)
        assert.isUndefined(forward[0]?.previous)
        const middle = yield* find(filter, { limit: 3, before: forward[2]!.previous! })
        assert.deepStrictEqual(uuids(middle), uuids(forward[1]!))
        assert.deepStrictEqual(uuids(yield* find(filter, { limit: 3, after: middle.next! })), uuids(forward[2]!))
        const first = yield* find(filter, { limit: 3, before: middle.previous! })
        assert.deepStrictEqual(uuids(first), uuids(forward[0]!))
        assert.isUndefined(first.previous)
      }
      const keys = (yield* find({ startKeyPrefix: key })).items.map(({ startKey }) => startKey?.at(-1))
      assert.strictEqual(keys.join(""), "1234567")
      assert.strictEqual((yield* Effect.flip(find({}, { before: "nonsense" }))).reason, "rejected")
    }))

  test("a summary has the trace of its start, from its first write to its end", () =>
    Effect.gen(function* () {
      const { find } = yield* inspector
      const { store } = yield* repository
      const [saga, trace] = [Sample.uniqueName(), `00-${"a".repeat(32)}-${"b".repeat(16)}-01`]
      const traces = Effect.map(find({ saga }), ({ items }) => items.map((item) => item.trace))
      const at = Sample.time
      // One write has both facts, and the other is begun by a write without the second.
      const begun = yield* store(Sample.started(Sample.created({ saga, at: at + 1 }), { trace }), { wakeAt: at })
      yield* stored(Sample.created({ saga, at }), (it) => Sample.started(it, { trace }))
      assert.deepStrictEqual(yield* traces, [trace, trace])
      yield* store(Sample.paused(begun), { wakeAt: at })
      assert.deepStrictEqual(yield* traces, [trace, trace])
      const untraced = Sample.uniqueName()
      yield* stored(Sample.created({ saga: untraced }), begin)
      assert.notProperty((yield* find({ saga: untraced })).items[0], "trace")
    }))

  test("counts are by saga and state, and those that roll back are undoing", () =>
    Effect.gen(function* () {
      const { count } = yield* inspector
      const saga = Sample.uniqueName()
      yield* stored(Sample.created({ saga, at: Sample.time + 5 }), begin, Sample.paused)
      yield* stored(Sample.created({ saga, at: Sample.time + 3 }), begin, Sample.paused)
      yield* stored(Sample.created({ saga }), begin, Sample.paused, Sample.refused)
      const counts = yield* count(saga)
      assert.deepStrictEqual(counts, [
        { saga, state: "paused", settled: false, count: 2, isMore: false, oldest: Sample.time + 3 },
        { saga, state: "undoing", settled: false, count: 1, isMore: false, oldest: Sample.time }
      ])
      const all = (yield* count()).filter((one) => one.saga === saga)
      assert.deepStrictEqual(all, counts)
      assert.deepStrictEqual(yield* count(Sample.uniqueName()), [])
    }))

  test("what is waited for is grouped by step, with the time of the first", () =>
    Effect.gen(function* () {
      const { waiting } = yield* inspector
      const saga = Sample.uniqueName()
      const first = yield* stored(Sample.created({ saga }), begin, Sample.paused)
      yield* stored(Sample.created({ saga, at: Sample.time + 1_000 }), begin, Sample.paused)
      yield* stored(Sample.created({ saga }), begin)
      assert.deepStrictEqual(
        (yield* waiting).filter((group) => group.saga === saga),
        [
          {
            waitsFor: "payments/Charge",
            saga,
            step: "payment",
            count: 2,
            isMore: false,
            oldest: first.state.updatedAt
          }
        ]
      )
    }))

  test("one execution is found by its uuid and by its startKey, with its facts", () =>
    Effect.gen(function* () {
      const { load } = yield* inspector
      const startKey = Sample.uniqueName()
      const paused = yield* stored(Sample.created({ startKey }), begin, Sample.paused)
      for (const target of [paused.uuid, ` ${paused.uuid.toUpperCase()} `, startKey]) {
        const inspected = yield* load(target)
        assert.strictEqual(inspected.summary.uuid, paused.uuid)
        assert.strictEqual(inspected.summary.waitsFor, "payments/Charge")
        assert.deepStrictEqual(inspected.facts, paused.events)
        const execution = Option.getOrThrow(Port.executionOf(inspected))
        assert.deepStrictEqual([execution.status, execution.revision], [paused.status, paused.revision])
      }
      for (const unknown of [Sample.callerUuid(), Sample.uniqueName(), "", "\0"])
        assert.strictEqual((yield* Effect.flip(load(unknown)))._tag, "SagaExecutionNotFound")
    }))

  test("what is parked is grouped by failure and step, and says the place of one of them", () =>
    Effect.gen(function* () {
      const { parked, stalled } = yield* inspector
      const saga = Sample.uniqueName()
      yield* stored(Sample.created({ saga }), begin, Sample.paused, Sample.refused, Sample.parked)
      const newest = yield* stored(
        Sample.created({ saga, at: Sample.time + 7 }),
        begin,
        Sample.paused,
        Sample.refused,
        Sample.parked
      )
      const [group, ...others] = (yield* parked).filter((group) => group.saga === saga)
      assert.deepStrictEqual(others, [])
      assert.deepInclude(group, {
        failure: "StepRefused",
        count: 2,
        isMore: false,
        oldest: Sample.time,
        sample: newest.uuid
      })
      assert.deepStrictEqual(
        group?.places.map(({ kind, place, step }) => [kind, place, step]),
        [["step", "0", "reservation"]]
      )
      assert.isFalse((yield* stalled).some((group) => group.saga === saga))
    }))

  test("the census has the forms of sagas that are not settled", () =>
    Effect.gen(function* () {
      const { census } = yield* inspector
      const saga = Sample.uniqueName()
      const { state } = yield* stored(Sample.created({ saga }), begin)
      assert.deepStrictEqual(
        (yield* census).filter((one) => one.saga === saga),
        [{ saga, fingerprint: state.creation.fingerprint, count: 1 }]
      )
    }))
}

/** Plays the owner: applies the first input that waits, or refuses it. */
const answer = Effect.fnUntraced(function* (uuid: string, outcome: "ActionApplied" | "ActionRefused") {
  const { inbox, load, store } = yield* repository
  while (true) {
    const [row] = yield* inbox(uuid)
    if (row !== undefined) {
      const why = { _tag: "SagaStepNotParked", uuid, path: "0" }
      const at = Sample.time + 1_000
      const fact =
        outcome === "ActionApplied"
          ? ({ _tag: outcome, id: row.id, at } as const)
          : ({ _tag: outcome, id: row.id, why, at } as const)
      yield* store(Sample.after(yield* load(uuid), fact), { reads: [row.id], wakeAt: Sample.time })
      return row
    }
    yield* Effect.yieldNow
    yield* Effect.sleep(1)
  }
})

const acts = (test: Suite.Test<Ports>): void => {
  test("C16 an action waits in the inbox with its actor and its reason, and the owner says its outcome", () =>
    Effect.gen(function* () {
      const { act } = yield* inspector
      const { uuid } = yield* stored(Sample.created(), begin, Sample.paused)
      const outcome = yield* act(uuid, { _tag: "Cancel" }, { ...who, wait: "0 millis" })
      assert.deepStrictEqual(outcome, { _tag: "Waiting", inbox: 1 })
      const waiting = yield* answer(uuid, "ActionApplied")
      assert.deepInclude(waiting, who)
      assert.deepInclude(waiting.input, { _tag: "Cancel", ...who })
    }))

  test("C16 what the stored facts refuse is refused at once, and nothing is left in the inbox", () =>
    Effect.gen(function* () {
      const { act } = yield* inspector
      const running = yield* stored(Sample.created(), begin)
      const parked = yield* stored(Sample.created(), begin, Sample.paused, Sample.refused, Sample.parked)
      const cases: ReadonlyArray<readonly [SagaExecution, Port.Action, string]> = [
        [running, { _tag: "RetryParked" }, "SagaStepNotParked"],
        [running, { _tag: "RetryParked", place: "1" }, "SagaStepNotParked"],
        [running, { _tag: "ResolveParked" }, "SagaStepNotParked"],
        [running, { _tag: "Commit" }, "SagaExecutionNotFinished"],
        [running, { _tag: "Signal", signal: "approval" }, "SagaSignalRefused"],
        [parked, { _tag: "Cancel" }, "SagaNotCancellable"],
        [parked, { _tag: "RetryParked", place: "9" }, "SagaStepNotParked"],
        [parked, { _tag: "Signal", signal: "approval" }, "SagaSignalRefused"]
      ]
      for (const [{ uuid }, action, why] of cases) {
        const outcome = yield* act(uuid, action, { ...who, wait: "0 millis" })
        assert.deepInclude(outcome, { _tag: "Refused", why }, JSON.stringify(action))
        assert.deepStrictEqual(yield* repository.use((it) => it.inbox(uuid)), [])
      }
      const nobody = yield* act(running.uuid, { _tag: "Cancel" }, { actor: "", reason: "x" })
      assert.deepInclude(nobody, { _tag: "Refused", why: "InvalidText" })
      const missing = yield* Effect.flip(act(Sample.callerUuid(), { _tag: "Cancel" }, who))
      assert.strictEqual(missing._tag, "SagaExecutionNotFound")
    }))

  test("C16 a parked place is retried without its name, and a second action waits beside the first", () =>
    Effect.gen(function* () {
      const { act } = yield* inspector
      const { uuid } = yield* stored(Sample.created(), begin, Sample.paused, Sample.refused, Sample.parked)
      const first = yield* act(uuid, { _tag: "RetryParked" }, { ...who, wait: 0 })
      const second = yield* act(uuid, { _tag: "ResolveParked" }, { ...who, wait: 0 })
      assert.deepStrictEqual([first._tag, second], ["Waiting", { _tag: "Waiting", inbox: 2 }])
      const rows = yield* repository.use((it) => it.inbox(uuid))
      assert.sameDeepMembers(
        rows.map(({ input }) => input),
        [
          { _tag: "RetryParked", path: "0", ...who },
          { _tag: "ResolveParked", path: "0", ...who }
        ]
      )
    }))
}

/** How an outcome comes needs time that passes by itself. */
const outcomes = (test: Suite.Test<Ports>): void => {
  test("C16 an action gives the outcome that the owner has stored", () =>
    Effect.gen(function* () {
      const { act } = yield* inspector
      const outcomeOf = Effect.fnUntraced(function* (fact: "ActionApplied" | "ActionRefused") {
        const { uuid } = yield* stored(Sample.created({ signals: ["approval"] }), begin, Sample.paused)
        const owner = yield* Effect.forkChild(answer(uuid, fact))
        const outcome = yield* act(uuid, { _tag: "Signal", signal: "approval", payload: 1 }, who)
        yield* Fiber.join(owner)
        return outcome
      })
      assert.deepStrictEqual(yield* outcomeOf("ActionApplied"), { _tag: "Applied" })
      assert.deepInclude(yield* outcomeOf("ActionRefused"), { _tag: "Refused", why: "SagaStepNotParked" })
    }))
}

/** The service whose records the tests of `participants` keep: an inspector of one process has to list it. */
export const participant = "inspected"

const executeOf = (saga: string): Envelope => ({
  ...{ v: 1, op: "execute", id: `${saga}:0:execute`, saga, path: "0", service: participant, coordinator: "orders" },
  ...{ content: {}, relatedServices: [], transactions: [], notAfter: 9_000_000_000_000 }
})

/** What participants hold. Skipped where the layer has no `ParticipantStore`. */
const participants = (test: Suite.Test<Ports>): void => {
  test("commands without an answer are seen by command, and by what becomes of them", () =>
    Effect.gen(function* () {
      const store = yield* Effect.serviceOption(ParticipantStore)
      if (Option.isNone(store)) return
      const hold = Effect.fnUntraced(function* (createdAt: number, command: string, runsUntil?: number) {
        const envelope = executeOf(Sample.callerUuid())
        const { id } = envelope
        const row: Barrier = {
          ...{
            id,
            transaction: undefined,
            coordinator: "orders",
            request: "r",
            status: 202,
            reply: "{}",
            effect: "none"
          },
          ...{ open: true, accepted: KeptMessage.write(command, envelope, runsUntil), keepUntil: 1, createdAt }
        }
        yield* store.value.unit({ service: participant, transactions: [], messages: [id] }, ({ save }) =>
          save({ barriers: [row] })
        )
        return row
      })
      yield* hold(7, "Examine")
      const oldest = yield* hold(5, "Examine")
      const running = yield* hold(6, "Pay", 9_000_000_000_000)
      const interrupted = yield* hold(8, "Pay", 0)
      const answered = yield* hold(1, "Pay", 0)
      yield* store.value.unit({ service: participant, transactions: [], messages: [answered.id] }, ({ save }) =>
        save({ barriers: [{ ...answered, status: 200, accepted: undefined }] })
      )
      const seen = (command: string, state: Port.CommandGroup["state"], count: number, row: Barrier) => ({
        ...{ service: participant, command, state, count, isMore: false, oldest: row.createdAt, sample: row.id }
      })
      assert.deepStrictEqual(yield* inspector.use(({ commands }) => commands), [
        seen("Examine", "accepted", 2, oldest),
        seen("Pay", "interrupted", 1, interrupted),
        seen("Pay", "running", 1, running)
      ])
    }))
}

/** `core`: what is seen; `participants`: of those that keep their records beside the executions; `act`: actions without their owner; `outcome`: with it, and with a clock that runs. */
export type Part = "core" | "participants" | "act" | "outcome"

/** Registers the tests of an inspector and the repository that it looks at. */
export const suite = <E>(name: string, layer: Layer.Layer<Ports, E>, options: Suite.Options<Part> = {}): void =>
  Suite.register(`Inspector: ${name}`, layer, { core, participants, act: acts, outcome: outcomes }, options)
