/** Steps that start another saga: their one form as data, what is known from it, and the mistakes that validation finds. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Saga from "../../src/definition/Saga.ts"
import * as SagaPath from "../../src/definition/SagaPath.ts"
import * as SagaShape from "../../src/definition/SagaShape.ts"
import type { Definition } from "../../src/definition/SagaStep.ts"
import * as SagaValidation from "../../src/definition/SagaValidation.ts"
import * as TimeBounds from "../../src/definition/TimeBounds.ts"

const nothing = () => Effect.void
const make = Saga.make("S", { context: { order: Schema.Int } })
const other = (name: string, version?: string) =>
  Saga.make(name, { context: { order: Schema.Int }, ...(version !== undefined && { version }) }).pipe(
    Saga.local("one", { execute: nothing }),
    Saga.commit
  )
const Other = other("Other")
const context = ({ order }: { readonly order: number }) => ({ order })

/** The combinators as plain JavaScript sees them. */
const js: { readonly [K in keyof typeof Saga]: any } = Saga // untyped is the point
const committed = (step: unknown): Definition => js.commit((make.pipe as any)(step)) // as above
const issues = (options: unknown) =>
  SagaValidation.validate(committed(js.start("a", options))).map(({ message }) =>
    message.replace('saga "S"', "").trim()
  )

describe("a start as data", () => {
  it("the fingerprint has the name of the other saga, and neither its steps nor keys, values and compensations", () => {
    const print = (options: object) => committed(js.start("a", { saga: Other, context, ...options })).fingerprint
    const same = [{ saga: other("Other", "2") }, { startKey: () => "k" }, { compensate: nothing }, { context: nothing }]
    for (const options of same) assert.strictEqual(print(options), print({}))
    assert.notStrictEqual(print({ saga: other("Another") }), print({}))
    assert.notStrictEqual(committed(js.start("b", { saga: Other, context })).fingerprint, print({}))
  })

  it("the shape says which saga it starts, and what there is for its rollback", () => {
    const saga = make.pipe(
      Saga.start("a", { saga: Other, context, startKey: () => "k" }),
      Saga.start("b", { saga: Other, context, compensate: nothing, retryCompensate: { times: 2 } }),
      Saga.commit
    )
    const backoff = { initial: 1_000, factor: 2, max: 300_000 }
    assert.deepStrictEqual(SagaShape.of(saga).steps, [
      { type: "start", name: "a", path: "0", saga: "Other", startKey: true, compensate: false, retryCompensate: null },
      {
        type: "start",
        name: "b",
        path: "1",
        saga: "Other",
        startKey: false,
        compensate: true,
        retryCompensate: { times: 2, backoff }
      }
    ])
    assert.deepStrictEqual(Schema.decodeUnknownSync(SagaShape.SagaShape)(SagaShape.of(saga)), SagaShape.of(saga))
  })

  it("the rollback plan cancels the other saga, and the steps of that one are no part of this saga", () => {
    const saga = make.pipe(
      Saga.start("a", { saga: Other, context }),
      Saga.local("last", { execute: nothing }),
      Saga.commit
    )
    assert.deepStrictEqual(Saga.rollbackPlan(saga, "last"), [{ path: "0", step: "a", how: "cancel", saga: "Other" }])
    assert.deepStrictEqual([...SagaPath.index(saga).keys()], ["0", "1"])
    assert.strictEqual(TimeBounds.from(saga, "0", 1_000), 0)
  })

  it("the sagas that a saga starts are found at any depth, each once, also in a circle", () => {
    const Loop = Saga.make("Loop", { context: { order: Schema.Int } }).pipe(
      Saga.start("again", {
        saga: Saga.suspend("Loop", (): Saga.Startable<{ readonly order: number }> => Loop),
        context
      }),
      Saga.start("other", { saga: Other, context }),
      Saga.commit
    )
    const inner = make.pipe(Saga.start("a", { saga: Loop, context }), Saga.commit)
    const saga = make.pipe(
      Saga.nested("nested", { saga: inner, context }),
      Saga.conditional("way", [Saga.ifThen(() => true, Saga.start("b", { saga: Other, context }))]),
      Saga.commit
    )
    assert.deepStrictEqual(
      SagaPath.started(saga).map(({ name }) => name),
      ["Loop", "Other"]
    )
    assert.deepStrictEqual(SagaPath.started(Loop), [Other])
    assert.deepStrictEqual(SagaValidation.validate(Loop), [])
  })
})

describe("mistakes in starts (C11)", () => {
  it("a start needs a committed saga, a context, and functions where functions are meant", () => {
    const missing = ', step 0 "a": the step must define the saga that it runs or starts'
    for (const saga of [undefined, null, 1, {}, { name: "X", saga: 1 }, Saga.suspend("X", () => Other)])
      assert.deepStrictEqual(issues({ saga, context }), [missing])
    assert.deepStrictEqual(issues(undefined), [missing])
    assert.deepStrictEqual(issues({ saga: make.pipe(Saga.local("one", { execute: nothing })), context }), [
      ", step 0: only a committed saga can run: end it with Saga.commit"
    ])
    assert.deepStrictEqual(
      issues({ saga: Other, context: 1, startKey: 1, compensate: 1, retryCompensate: { times: -1 } }),
      [
        `, step 0 "a": 'context' must be a function`,
        `, step 0 "a": 'startKey' must be a function`,
        `, step 0 "a": 'compensate' must be a function`,
        `, step 0 "a": 'retryCompensate' must say 'times' as a whole number`
      ]
    )
    assert.deepStrictEqual(issues({ saga: Saga.suspend("Other", () => Other), context }), [])
  })

  it("behind a pivot nothing is taken back", () => {
    const saga = js.commit(
      (make.pipe as any)(js.pivot, js.start("a", { saga: Other, context, compensate: nothing })) // untyped is the point
    )
    assert.deepStrictEqual(
      SagaValidation.validate(saga).map(({ _tag }) => _tag),
      ["NotBehindPivot"]
    )
  })
})
