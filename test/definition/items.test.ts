/** Items in definitions: their one form as data, and the mistakes that validation finds (SPEC C11, C17). */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as RollbackPlan from "../../src/definition/RollbackPlan.ts"
import * as Saga from "../../src/definition/Saga.ts"
import * as SagaPath from "../../src/definition/SagaPath.ts"
import * as SagaShape from "../../src/definition/SagaShape.ts"
import type { Definition } from "../../src/definition/SagaStep.ts"
import * as SagaValidation from "../../src/definition/SagaValidation.ts"
import * as Signal from "../../src/definition/Signal.ts"
import * as TimeBounds from "../../src/definition/TimeBounds.ts"
import { Payments } from "./order.ts"

const Approval = Signal.make("approval", { payload: Schema.String })
const nothing = () => Effect.void
const make = Saga.make("S", { context: { lines: Schema.Array(Schema.String) } })

/** The combinators as plain JavaScript sees them. */
const js: { readonly [K in keyof typeof Saga]: any } = Saga // untyped is the point
const committed = (...steps: ReadonlyArray<unknown>): Definition => js.commit((make.pipe as any)(...steps)) // as above

const each = (options: object, ...steps: ReadonlyArray<unknown>) =>
  js.forEach("each", {
    items: ({ lines }: any) => lines,
    item: Schema.String,
    as: "line",
    steps: (each: any) => each.pipe(...(steps.length === 0 ? [local("one")] : steps)),
    ...options
  })
const local = (name: string) => js.local(name, { execute: nothing, compensate: nothing })
const charge = {
  execute: { command: Payments.commands.Charge, payload: () => ({ orderId: "", amount: 1 }) },
  compensate: { command: Payments.commands.Refund, payload: () => ({ paymentId: "" }) }
}

const messages = (saga: Definition) => SagaValidation.validate(saga).map(({ message }) => message)
const issues = (saga: Definition) => SagaValidation.validate(saga).map(({ _tag, path }) => `${_tag} ${path}`.trim())

describe("items as data (C17)", () => {
  it("a step of an item has one path in the saga, and one for each item in an execution", () => {
    const saga = committed(local("first"), each({}, local("one"), each({ as: "part" }, local("two"))))
    // The inner step has the name of the outer one: validation is not asked here.
    assert.deepStrictEqual([...SagaPath.index(saga).keys()], ["0", "1", "1/i/0", "1/i/1", "1/i/1/i/0"])
    assert.strictEqual(SagaPath.at(saga, "1/i17/0")?.name, "one")
    assert.strictEqual(SagaPath.at(saga, "1/i17/1/i0/0")?.name, "two")
    assert.strictEqual(SagaPath.at(saga, "1/i17/7"), undefined)
    assert.strictEqual(SagaPath.inDefinition("3/if1/0"), "3/if1/0")
    assert.strictEqual(SagaPath.named(saga, "one"), undefined)
  })

  it("one is under way at a time, unless the step says how many", () => {
    const concurrency = (options: object) => (SagaPath.at(committed(each(options)), "0") as any).concurrency
    assert.strictEqual(concurrency({}), 1)
    assert.strictEqual(concurrency({ concurrency: 7 }), 7)
  })

  it("are in the shape; the fingerprint has their names and steps, and not how many run at a time", () => {
    const shape = SagaShape.of(committed(each({ concurrency: 4 })))
    const [step] = shape.steps
    if (step?.type !== "forEach") assert.fail("not a forEach")
    assert.strictEqual(step.as, "line")
    assert.strictEqual(step.concurrency, 4)
    assert.deepStrictEqual(step.item, { type: "string" })
    assert.deepStrictEqual(
      step.steps.map(({ name, path }) => `${path} ${name}`),
      ["0/i/0 one"]
    )
    assert.deepStrictEqual(Schema.decodeUnknownSync(SagaShape.SagaShape)(JSON.parse(JSON.stringify(shape))), shape)
    const { fingerprint } = committed(each({}))
    assert.strictEqual(shape.fingerprint, fingerprint)
    assert.strictEqual(SagaShape.fingerprint(shape), fingerprint)
    assert.notStrictEqual(committed(each({ as: "row" })).fingerprint, fingerprint)
    assert.notStrictEqual(committed(each({}, local("two"))).fingerprint, fingerprint)
  })
})

describe("mistakes in items (C11, C16, C17)", () => {
  it("a forEach needs a function, a schema, a name, a number of items at a time, and steps", () => {
    assert.deepStrictEqual(messages(committed(each({}))), [])
    assert.deepStrictEqual(
      messages(committed(each({ items: 1, item: 1, as: "no name", concurrency: 101, steps: 1 }))),
      [
        `saga "S", step 0 "each": 'items' must be a function`,
        `saga "S", step 0 "each": 'item' must be a schema`,
        `saga "S", step 0: "no name" cannot be the name of a item`,
        `saga "S", step 0 "each": 'concurrency' must be a whole number from 1 to 100`,
        `saga "S", step 0/i "each": a step, an alternative and a branch must define at least one operation`
      ]
    )
    for (const concurrency of [0, -1, 1.5, Number.NaN, "2"])
      assert.deepStrictEqual(issues(committed(each({ concurrency }))), ["InvalidOption 0"], String(concurrency))
    assert.deepStrictEqual(issues(committed(js.forEach("each"))), [
      "InvalidOption 0",
      "InvalidOption 0",
      "InvalidName 0",
      "EmptySagaStep 0/i"
    ])
  })

  it("names inside an item are new there, and free again behind it", () => {
    assert.deepStrictEqual(messages(committed(each({ as: "lines" }))), [
      `saga "S", step 0 "lines": the name is already used by the initial context`
    ])
    assert.deepStrictEqual(issues(committed(each({ as: "each" }))), ["StepNameAlreadyUsed 0"])
    assert.deepStrictEqual(messages(committed(each({}, local("line")))), [
      `saga "S", step 0/i/0 "line": the name is already used by step 0`
    ])
    assert.deepStrictEqual(issues(committed(local("one"), each({}))), ["StepNameAlreadyUsed 1/i/0"])
    assert.deepStrictEqual(issues(committed(each({}), local("one"), local("line"))), [])
  })

  it("a wait for a signal inside an item needs a key", () => {
    const ask = (options: object = {}) => js.waitFor("ask", { signal: Approval, timeout: 1, ...options })
    const twice = `saga "S", step 0/i/0 "ask": each item waits for the signal approval: give the wait a 'key' that differs by item`
    assert.deepStrictEqual(messages(committed(each({}, ask()))), [twice])
    assert.deepStrictEqual(issues(committed(each({}, ask({ key: () => "" })))), [])
    assert.deepStrictEqual(issues(committed(each({}, js.sleep("nap", 1)))), [])
    const inner = js.nested("inner", {
      saga: js.commit(Saga.make("I", { context: {} }).pipe(ask())),
      context: () => ({})
    })
    assert.deepStrictEqual(issues(committed(each({}, inner))), ["SignalAwaitedTwice 0/i/0/n/0"])
    const both = js.parallel("both", {
      a: ask({ key: () => "" }),
      b: js.waitFor("b", { signal: Approval, timeout: 1 })
    })
    assert.deepStrictEqual(issues(committed(each({}, both))), ["SignalAwaitedTwice 0/i/0/b1/0"])
  })

  it("a wait without a limit beside the requests of other items needs a deadline", () => {
    const open = js.waitFor("ask", { signal: Approval, key: () => "" })
    assert.deepStrictEqual(issues(committed(each({}, open, js.remote("pay", charge)))), ["DeadlineRequired 0/i/0"])
    assert.deepStrictEqual(issues(committed(each({}, open, local("one")))), [])
  })

  it("a pivot stands in no item, and behind it items have no compensation", () => {
    assert.deepStrictEqual(issues(committed(each({}, js.pivot))), ["PivotMisplaced 0/i/0"])
    assert.deepStrictEqual(issues(committed(local("a"), js.pivot, each({}))), ["NotBehindPivot 2/i/0"])
  })
})

describe("the rollback plan of items (C17)", () => {
  const saga = committed(local("first"), each({ concurrency: 4 }, local("one"), local("two")), local("last"))
  const ofItem = [
    { path: "1/i/1", step: "two", how: "local" },
    { path: "1/i/0", step: "one", how: "local" }
  ]
  const all = { path: "1", step: "each", how: "each", concurrency: 4, plans: [ofItem] }
  const first = { path: "0", step: "first", how: "local" }

  it("has the plan of an item once, for all items", () => {
    assert.deepStrictEqual<unknown>(RollbackPlan.of(saga, "last"), [all, first])
    assert.deepStrictEqual<unknown>(RollbackPlan.of(committed(each({}, js.local("one", { execute: nothing })))), [])
  })

  it("for a failure in an item has that item, then those before it", () => {
    assert.deepStrictEqual<unknown>(RollbackPlan.of(saga, "1/i/1"), [ofItem[1], all, first])
    assert.deepStrictEqual(RollbackPlan.of(saga, "1/i17/1"), RollbackPlan.of(saga, "1/i/1"))
    assert.deepStrictEqual<unknown>(RollbackPlan.of(saga, "each"), [first])
  })
})

describe("how long items may take (C16)", () => {
  it("is the time of one, as often as one follows on another", () => {
    const remote = (name: string, timeout: number) => js.remote(name, { ...charge, timeout })
    const saga = committed(
      remote("a", 1),
      each({ concurrency: 300 }, remote("b", 10), remote("c", 100)),
      remote("d", 5)
    )
    const bounds = (path: string) => TimeBounds.from(saga, path, 7)
    assert.strictEqual(bounds("2"), 5)
    assert.strictEqual(bounds("1/i/1"), 100 + 3 * 110 + 5)
    assert.strictEqual(bounds("1/i999/0"), 110 + 3 * 110 + 5)
    assert.strictEqual(bounds("1"), 4 * 110 + 5)
    assert.strictEqual(bounds("0"), 1 + 4 * 110 + 5)
  })
})
