/** New executions, and the encoded form in which any execution can be kept: by the ids of CONFORMANCE. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Exit, Schema } from "effect"
import * as Saga from "../../../src/definition/Saga.ts"
import * as SagaPath from "../../../src/definition/SagaPath.ts"
import type { StepState } from "../../../src/execution/rules/StepTree.ts"
import { contextView } from "../../../src/execution/view/ContextView.ts"
import * as Execution from "../../../src/execution/view/SagaExecution.ts"
import * as Step from "../../../src/execution/view/SagaStepExecution.ts"
import { maxContextSize } from "../../../src/wire/JsonLimits.ts"
import * as Uuid from "../../../src/wire/Uuid.ts"
import { PlaceOrder } from "../../definition/order.ts"
import { Journey, Weekend } from "../rules/journey.ts"
import { begin, type Story, uuid } from "../rules/story.ts"

const context = { orderId: "o-1", sku: "book", quantity: 1, amount: 120 }
const order = begin(PlaceOrder, context)
const forAnn = begin(PlaceOrder, context, { user: "ann" })
const paused = (story: Story) => story.start().succeeds("0", "r-1").requests("1")
const inBranch = forAnn
  .start()
  .succeeds("0", "r-1")
  .requests("1")
  .replies("execute", "1", 200, { paymentId: "p-1" })
  .succeeds("1", { paymentId: "p-1" })
  .chooses("2", 0, "if0")
  .requests("2/if0/0")

const throughJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const again = (execution: Execution.SagaExecution) =>
  Execution.fromRaw(throughJson(Execution.raw(execution)), execution.definition)

/** Everything that can be read of an execution; the definition is compared as what it is. */
const seen = (self: Execution.SagaExecution) => ({
  uuid: self.uuid,
  saga: self.saga,
  user: self.user,
  startKey: self.startKey,
  status: self.status,
  decision: self.decision,
  commitState: self.commitState,
  revision: self.revision,
  alreadyRollback: self.alreadyRollback,
  executedSteps: self.executedSteps.map(step),
  pausedStep: self.pausedStep && step(self.pausedStep),
  parked: self.parked,
  relatedServices: self.relatedServices,
  context: self.context,
  settled: self.settled,
  events: self.events
})

const step = (self: Step.SagaStepExecution): unknown => ({
  ...self,
  inner: self.inner.map((inner) => ({
    ...inner,
    executedSteps: inner.executedSteps.map(step),
    pausedStep: inner.pausedStep && step(inner.pausedStep)
  }))
})

const assertEqual = (one: Execution.SagaExecution, other: Execution.SagaExecution): void => {
  assert.strictEqual(one.definition, other.definition)
  assert.deepStrictEqual(seen(one), seen(other))
}

describe("a new execution", () => {
  const Small = Saga.make("Small", { context: {} }).pipe(Saga.local("one", { execute: () => Effect.void }), Saga.commit)

  it.effect(
    "EXE-001 a new execution is created, with an empty context, a fresh id, no steps, and the definition it was made of",
    () =>
      Effect.gen(function* () {
        const execution = yield* Execution.fromDefinition(Small)
        assert.strictEqual(execution.status, "created")
        assert.deepStrictEqual(Object.keys(execution.context as object), [])
        assert.strictEqual(Uuid.normalize(execution.uuid), execution.uuid)
        assert.strictEqual(Uuid.version(execution.uuid), "7")
        assert.deepStrictEqual(execution.executedSteps, [])
        assert.strictEqual(execution.pausedStep, undefined)
        assert.strictEqual(execution.alreadyRollback, false)
        assert.strictEqual(execution.definition, Small)
        assert.strictEqual(execution.saga, "Small")
        assert.notStrictEqual((yield* Execution.fromDefinition(Small)).uuid, execution.uuid)
        assert.deepStrictEqual(
          [execution.user, execution.startKey, execution.decision, execution.commitState, execution.revision],
          [undefined, undefined, null, "none", 0]
        )
      })
  )

  it.effect("EXE-002 a new execution starts with the context it is given", () =>
    Effect.gen(function* () {
      const execution = yield* Execution.fromDefinition(PlaceOrder, { context })
      assert.deepStrictEqual(Object.entries(execution.context as object), Object.entries(context))
      assert.strictEqual(execution.status, "created")
      assert.deepStrictEqual([execution.executedSteps, execution.pausedStep], [[], undefined])
      assert.strictEqual(execution.alreadyRollback, false)
      assert.strictEqual(execution.definition, PlaceOrder)
    })
  )

  it.effect("EXE-002 a new execution is refused where the context does not fit, or is too large", () =>
    Effect.gen(function* () {
      const wrong = yield* Effect.flip(Execution.fromDefinition(PlaceOrder, { context: { ...context, amount: "1" } }))
      assert.deepInclude({ ...wrong }, { _tag: "SagaContextEncodeError", path: "", issue: "$.amount: not a number" })
      assert.strictEqual((yield* Effect.flip(Execution.fromDefinition(PlaceOrder)))._tag, "SagaContextEncodeError")
      const large = { ...context, sku: "x".repeat(maxContextSize) }
      const refused = yield* Effect.flip(Execution.fromDefinition(PlaceOrder, { context: large }))
      assert.strictEqual(refused._tag, "SagaContextTooLarge")
      assert.isBelow(refused.message.length, 200)
    })
  )

  it.effect("EXE-003 a new execution has the id it is given, in its stored form", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Execution.fromDefinition(Small, { uuid })).uuid, uuid)
      assert.strictEqual((yield* Execution.fromDefinition(Small, { uuid: ` ${uuid.toUpperCase()} ` })).uuid, uuid)
      for (const text of ["", "o-1", uuid.slice(1), uuid.replace("-", "")]) {
        const refused = yield* Effect.flip(Execution.fromDefinition(Small, { uuid: text }))
        assert.deepInclude({ ...refused }, { _tag: "SagaInvalidUuid", reason: "not a uuid" })
      }
      const own = Uuid.v7(1_000)
      const reserved = yield* Effect.flip(Execution.fromDefinition(Small, { uuid: own }))
      assert.strictEqual(reserved._tag, "SagaInvalidUuid")
    })
  )

  it.effect("EXE-003 a new execution has the next id of a seeded sequence where there is one", () =>
    Effect.gen(function* () {
      const make = Effect.gen(function* () {
        const one = yield* Execution.fromDefinition(Small)
        const two = yield* Execution.fromDefinition(Small)
        return [one.uuid, two.uuid]
      })
      const [first, second] = yield* make.pipe(Uuid.seeded("s"))
      assert.notStrictEqual(first, second)
      assert.deepStrictEqual(yield* make.pipe(Uuid.seeded("s")), [first, second])
      assert.notDeepEqual(yield* make.pipe(Uuid.seeded("t")), [first, second])
    })
  )

  it.effect("EXE-004 a new execution is refused for an empty saga and for one that is not committed", () =>
    Effect.gen(function* () {
      const empty = Saga.make("Empty", { context: {} })
      assert.strictEqual((yield* Effect.flip(Execution.fromDefinition(empty)))._tag, "EmptySaga")
      const open = empty.pipe(Saga.local("one", { execute: () => Effect.void }))
      assert.strictEqual((yield* Effect.flip(Execution.fromDefinition(open)))._tag, "SagaNotCommitted")
    })
  )
})

describe("the context of an execution", () => {
  const Shop = Saga.make("Shop", {
    context: {
      amount: Schema.Int,
      note: Schema.String,
      address: Schema.Struct({ city: Schema.String }),
      at: Schema.Date
    }
  }).pipe(Saga.local("stock", { success: Schema.Array(Schema.Int), execute: () => Effect.succeed([]) }), Saga.commit)
  const values = { amount: 5, note: "gift", address: { city: "Gent" }, at: new Date(0) }
  const stocked = begin(Shop, values).start().succeeds("0", [1, 2])

  it("CTX-001 the context of an execution gives every value back under its key", () => {
    const read = stocked.execution.context as typeof values & { readonly stock: ReadonlyArray<number> }
    assert.strictEqual(read.amount, 5)
    assert.strictEqual(read.note, "gift")
    assert.deepStrictEqual(read.address, { city: "Gent" })
    assert.deepStrictEqual(read.at, new Date(0))
    assert.deepStrictEqual(read.stock, [1, 2])
  })

  it.effect("CTX-006 the context of an execution goes through JSON text and back", () =>
    Effect.gen(function* () {
      const read = yield* again(stocked.execution)
      assert.deepStrictEqual(read.context, stocked.execution.context)
      assert.deepStrictEqual((read.context as typeof values).at, new Date(0))
      assert.strictEqual(
        JSON.stringify(Execution.raw(read).context),
        '{"amount":5,"note":"gift","address":{"city":"Gent"},"at":"1970-01-01T00:00:00.000Z","stock":[1,2]}'
      )
    })
  )

  it("CTX-007 the context of an execution is a mapping: membership, size, keys, entries and equality", () => {
    const read = stocked.execution.context as Record<string, unknown>
    assert.deepStrictEqual(["stock" in read, "amount" in read, "absent" in read], [true, true, false])
    // Not even what every other object inherits.
    assert.deepStrictEqual(["toString" in read, "constructor" in read], [false, false])
    assert.strictEqual(Object.keys(read).length, 5)
    assert.deepStrictEqual(Object.keys(read), ["amount", "note", "address", "at", "stock"])
    assert.deepStrictEqual(Object.entries(read)[4], ["stock", [1, 2]])
    const same = begin(Shop, values).start().succeeds("0", [1, 2]).execution.context
    const other = begin(Shop, values).start().succeeds("0", [1, 3]).execution.context
    assert.notStrictEqual(same, read)
    assert.deepStrictEqual([Equal.equals(same, read), Equal.equals(other, read)], [true, false])
  })

  it("a context is shown in its stored form where the saga is unknown, or its schemas have changed", () => {
    // The view was not read before: a decoded value is kept.
    const state = () => begin(Shop, values).start().succeeds("0", [1, 2]).state
    const stored = { ...values, at: "1970-01-01T00:00:00.000Z", stock: [1, 2] }
    assert.deepStrictEqual(throughJson(new Execution.SagaExecution(state(), undefined).context), stored)
    const Changed = Saga.make("Shop", { context: { amount: Schema.String } }).pipe(
      Saga.local("stock", { execute: () => Effect.void }),
      Saga.commit
    )
    const { context } = new Execution.SagaExecution(state(), Changed)
    assert.strictEqual((context as { readonly at: unknown }).at, stored.at)
    const issue = contextView(Changed, state().root.context)
    assert.deepInclude({ ...issue }, { _tag: "SagaContextDecodeError", path: "", issue: "$.amount: not a string" })
  })
})

describe("the encoded form", () => {
  it("RAW-001 the encoded form of a new execution has null for absent values", () => {
    const { events, ...encoded } = Execution.raw(forAnn.execution)
    assert.deepStrictEqual(throughJson(encoded), {
      v: 1,
      definition: { name: "PlaceOrder", version: null, fingerprint: PlaceOrder.fingerprint },
      uuid,
      status: "created",
      executedSteps: [],
      pausedStep: null,
      context,
      alreadyRollback: false,
      user: "ann",
      revision: 0,
      unstored: 1
    })
    assert.deepStrictEqual(
      events.map(({ _tag }) => _tag),
      ["ExecutionCreated"]
    )
    assert.strictEqual(Execution.raw(order.execution).user, null)
  })

  it.effect("RAW-002 an encoded execution decodes to itself, with and without user", () =>
    Effect.gen(function* () {
      for (const { execution } of [order, forAnn, paused(order), inBranch])
        assert.strictEqual(yield* Execution.fromRaw(execution), execution)
    })
  )

  it.effect("RAW-003 the encoded form of a paused execution decodes to one that was run to that point", () =>
    Effect.gen(function* () {
      const { execution } = paused(forAnn)
      const encoded = throughJson(Execution.raw(execution)) as Execution.Raw
      assert.strictEqual(encoded.status, "paused")
      assert.deepStrictEqual(encoded.pausedStep, {
        kind: "remote",
        uuid: Uuid.ofStep(uuid, "1"),
        definition: { path: "1", name: "payment" },
        status: "paused-by-on-execute",
        relatedServices: ["orders"],
        alreadyRollback: false
      })
      const decoded = yield* Execution.fromRaw(encoded, PlaceOrder)
      assertEqual(decoded, execution)
      assert.deepStrictEqual([decoded.status, decoded.pausedStep?.status], ["paused", "paused-by-on-execute"])
      assert.strictEqual(decoded.pausedStep?.definition, PlaceOrder.steps[1])
    })
  )

  it("RAW-004 the encoded form of a step has kind, definition, status, related services and whether it is rolled back", () => {
    const [local, remote] = inBranch.execution.executedSteps
    assert.deepStrictEqual(Step.raw(local!), {
      kind: "local",
      uuid: Uuid.ofStep(uuid, "0"),
      definition: { path: "0", name: "reservationId" },
      status: "finished",
      relatedServices: ["orders"],
      alreadyRollback: false
    })
    assert.deepInclude(Step.raw(remote!), { kind: "remote", relatedServices: ["orders", "payments"] })
  })

  it("RAW-004 the encoded form of a step decodes by its kind, and to itself; related services default to none", () => {
    const decode = Schema.decodeUnknownExit(Step.Raw)
    const value = <A, E>(exit: Exit.Exit<A, E>) => (Exit.isSuccess(exit) ? exit.value : undefined)
    const steps = [...inBranch.execution.executedSteps, inBranch.execution.pausedStep!].map(Step.raw)
    for (const encoded of steps) {
      const decoded = value(decode(throughJson(encoded)))
      assert.deepStrictEqual(throughJson(decoded), throughJson(encoded))
      assert.deepStrictEqual(throughJson(value(decode(decoded))), throughJson(decoded))
    }
    const { alreadyRollback: _, relatedServices: __, ...bare } = steps[0]!
    assert.deepStrictEqual(value(decode(bare)), { ...bare, relatedServices: [], alreadyRollback: false })
    const foreign = [
      { ...bare, kind: "other" },
      { ...bare, kind: "conditional" },
      { ...bare, kind: "parallel" },
      { ...bare, status: "sleeping" },
      { ...bare, definition: null },
      {}
    ]
    for (const encoded of foreign) assert.strictEqual(Exit.isFailure(decode(encoded)), true, JSON.stringify(encoded))
  })

  it.effect("RAW-005 the encoded form is plain JSON, and JSON text gives an equal execution back", () =>
    Effect.gen(function* () {
      const journey = begin(Journey, { who: "ann" }, { startKey: "k", user: "ann" }).start({ transactional: true })
      const stories = [
        order,
        paused(order),
        inBranch,
        inBranch.cancels().probes("2/if0/0"),
        paused(order).replies("execute", "1", 500).decided(),
        paused(order).replies("execute", "1", 500).compensated("0").decided(),
        paused(order).cancels().probes("1").later(3_600_000).decided(),
        begin(Weekend, { who: "ann" }).start().succeeds("0", "plan").enters("1", { guest: "ann" }).requests("1/n/0"),
        journey.succeeds("0", "plan").requests("1/b0/0")
      ]
      for (const { execution } of stories) {
        const encoded = Execution.raw(execution)
        assert.strictEqual(JSON.stringify(throughJson(encoded)), JSON.stringify(encoded))
        const decoded = yield* again(execution)
        assertEqual(decoded, execution)
        assert.deepStrictEqual(throughJson(Execution.raw(decoded)), throughJson(encoded))
      }
    })
  )

  it.effect("RAW-005 an execution knows which facts are stored already and which are not", () =>
    Effect.gen(function* () {
      const { execution } = paused(order)
      const stored = Execution.stored(execution)
      assert.deepStrictEqual([stored.revision, Execution.unstored(stored)], [1, []])
      const further = Execution.evolve(stored, {
        _tag: "RollbackStarted",
        failure: { _tag: "Rejected" },
        at: 2_000_000
      })
      const decoded = yield* again(further)
      assert.deepStrictEqual(
        [decoded.revision, Execution.unstored(decoded).map(({ _tag }) => _tag)],
        [1, ["RollbackStarted"]]
      )
      assertEqual(decoded, further)
    })
  )

  it.effect("an encoded form that is no execution is refused with the place, and without the value", () =>
    Effect.gen(function* () {
      const encoded = throughJson(Execution.raw(paused(order).execution)) as Execution.Raw
      const wrong: ReadonlyArray<[unknown, string]> = [
        [null, "$: not an object"],
        ["text", "$: not an object"],
        [{}, "$.v: MissingKey"],
        [{ ...encoded, v: 2 }, "$.v: InvalidType"],
        [
          { ...encoded, uuid: "secret" },
          "$.uuid: not a string matching the RegExp ^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
        ],
        [{ ...encoded, status: "secret" }, "$.status: none of the alternatives"],
        [{ ...encoded, events: [] }, "$.events: no ExecutionCreated"],
        [{ ...encoded, events: encoded.events.slice(1) }, "$.events: no ExecutionCreated"],
        [{ ...encoded, events: [{ _tag: "Exploded" }] }, "$.events.0: none of the alternatives"],
        [{ ...encoded, unstored: encoded.events.length + 1 }, "$.unstored: not a number of events"],
        [{ ...encoded, unstored: -1 }, "$.unstored: not a number of events"],
        [{ ...encoded, revision: -1 }, "$.revision: less than 0"]
      ]
      for (const [value, issue] of wrong) {
        const error = yield* Effect.flip(Execution.fromRaw(value, PlaceOrder))
        assert.strictEqual(error._tag, "SagaDecodeError")
        assert.notMatch(error.message, /secret/)
        assert.strictEqual(error.issue.split(",")[0], issue)
      }
    })
  )

  it.effect("the encoded form with a key that reaches a prototype is refused", () =>
    Effect.gen(function* () {
      const text = JSON.stringify(Execution.raw(order.execution))
      const hostile = text.replaceAll('"orderId"', '"__proto__":{"admin":true},"orderId"')
      assert.include(hostile, "__proto__")
      const error = yield* Effect.flip(Execution.fromRaw(JSON.parse(hostile), PlaceOrder))
      assert.include(error.issue, "has a key that is not allowed")
    })
  )

  it.effect("an encoded execution can be shown without its saga, or with another one, but is not continued then", () =>
    Effect.gen(function* () {
      const encoded = throughJson(Execution.raw(inBranch.execution))
      for (const definition of [undefined, Weekend]) {
        const shown = yield* Execution.fromRaw(encoded, definition)
        assert.strictEqual(shown.definition, undefined)
        assert.strictEqual(shown.pausedStep?.definition, undefined)
        assert.deepStrictEqual([shown.saga, shown.status, shown.pausedStep?.name], ["PlaceOrder", "paused", "delivery"])
        assert.propertyVal(shown.context as object, "reservationId", "r-1")
      }
    })
  )
})

describe("a conditional step", () => {
  const run = { uuid, user: "ann", definition: PlaceOrder, state: { direction: "forward" as const } }
  const created: StepState = {
    path: "2",
    name: "delivery",
    kind: "conditional",
    status: "created",
    statusBefore: undefined,
    relatedServices: [],
    alreadyRollback: false,
    startedAt: 0,
    deadline: undefined,
    request: undefined,
    reply: undefined,
    effect: "none",
    result: undefined,
    failure: undefined,
    compensation: undefined,
    parked: undefined,
    tries: undefined,
    resolution: undefined,
    choice: undefined,
    child: undefined,
    signal: undefined,
    inner: [],
    items: undefined
  }

  it("CND-007 a conditional step that is created has no nested execution, no related services, and is not rolled back", () => {
    const made = Step.make(run, created)
    assert.deepStrictEqual(Step.raw(made), {
      kind: "conditional",
      uuid: Uuid.ofStep(uuid, "2"),
      definition: { path: "2", name: "delivery" },
      status: "created",
      relatedServices: [],
      alreadyRollback: false,
      choice: null,
      inner: null
    })
    assert.strictEqual(made.definition, SagaPath.at(PlaceOrder, "2"))
  })

  it("CND-007 a conditional step has no service of its own: its steps have", () => {
    const chosen = inBranch.execution.pausedStep!
    assert.deepStrictEqual(chosen.relatedServices, ["orders"])
    const passed = begin(PlaceOrder, context)
      .start()
      .succeeds("0", "r-1")
      .requests("1")
      .replies("execute", "1", 200, { paymentId: "p-1" })
      .succeeds("1", { paymentId: "p-1" })
      .chooses("2", null)
      .decided()
    assert.deepStrictEqual(passed.execution.executedSteps[2]?.relatedServices, [])
  })

  it("CND-008 a conditional step that is paused encodes the nested execution whole: its id, user, status, paused step and context", () => {
    const encoded = throughJson(Execution.raw(inBranch.execution)) as Execution.Raw
    const { context: of, ...inner } = (encoded.pausedStep as Extract<Step.Raw, { kind: "conditional" }>).inner!
    assert.deepInclude(encoded.pausedStep, { kind: "conditional", status: "paused-by-on-execute", choice: 0 })
    assert.deepStrictEqual(inner, {
      uuid: encoded.uuid,
      user: "ann",
      status: "paused",
      executedSteps: [],
      pausedStep: {
        kind: "remote",
        uuid: Uuid.ofStep(uuid, "2/if0/0"),
        definition: { path: "2/if0/0", name: "courier" },
        status: "paused-by-on-execute",
        relatedServices: ["orders"],
        alreadyRollback: false
      }
    })
    assert.deepStrictEqual(of, { ...context, reservationId: "r-1", payment: { paymentId: "p-1" } })
  })

  it.effect(
    "CND-009 a conditional step that is paused goes through JSON text and back, with its nested execution",
    () =>
      Effect.gen(function* () {
        const decoded = yield* again(inBranch.execution)
        assertEqual(decoded, inBranch.execution)
        const [inner] = decoded.pausedStep?.inner ?? []
        assert.deepStrictEqual([inner?.uuid, inner?.user, inner?.status], [uuid, "ann", "paused"])
        assert.strictEqual(inner?.pausedStep?.definition, SagaPath.at(PlaceOrder, "2/if0/0"))
        // The execution goes on where it was.
        const next = new Execution.SagaExecution(decoded.state, PlaceOrder)
        assert.deepStrictEqual(Object.keys(contextView(PlaceOrder, next.state.root.current!.inner[0]!.context)), [
          "orderId",
          "sku",
          "quantity",
          "amount",
          "reservationId",
          "payment"
        ])
      })
  )
})

describe("inner executions", () => {
  it("an inner execution is shown as an execution of its own: running, finished, errored", () => {
    const inner = (story: Story) => {
      const { executedSteps, pausedStep } = story.execution
      const [found] = (pausedStep ?? executedSteps.at(-1))?.inner ?? []
      return [found?.status, found?.executedSteps.map(({ name }) => name)]
    }
    assert.deepStrictEqual(inner(inBranch), ["paused", []])
    const courier = inBranch.replies("execute", "2/if0/0", 200, { courierId: "c-1" })
    assert.deepStrictEqual(inner(courier.succeeds("2/if0/0", { courierId: "c-1" }).decided()), [
      "finished",
      ["courier"]
    ])
    assert.deepStrictEqual(inner(inBranch.replies("execute", "2/if0/0", 500).decided()), ["errored", ["courier"]])
  })

  it("every branch of a parallel step is an inner execution", () => {
    const { pausedStep } = begin(Journey, { who: "ann" })
      .start()
      .succeeds("0", "plan")
      .requests("1/b0/0")
      .succeeds("1/b1/0", "12")
      .requests("1/b1/1").execution
    assert.deepStrictEqual(
      pausedStep?.inner.map(({ executedSteps, pausedStep, status }) => [
        status,
        executedSteps.map(({ name }) => name),
        pausedStep?.name
      ]),
      [
        ["paused", [], "flight"],
        ["paused", ["room"], "breakfast"]
      ]
    )
    const { branches } = Step.raw(pausedStep!) as Extract<Step.Raw, { kind: "parallel" }>
    assert.strictEqual(branches.length, 2)
  })

  it("a paused step is listed among the executed steps once the rollback has begun", () => {
    const cancelled = paused(order).cancels()
    assert.strictEqual(cancelled.execution.pausedStep, undefined)
    for (const story of [cancelled, cancelled.probes("1")])
      assert.deepStrictEqual(
        story.execution.executedSteps.map(({ name, status }) => [name, status]),
        [
          ["reservationId", "finished"],
          ["payment", "paused-by-on-execute"]
        ]
      )
  })
})
