/** The point of no return in definitions: what the compiler and validation refuse, and what its readers make of it (SPEC C18). */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Participant, Saga, SagaDiagram, SagaShape, SagaValidation, Signal } from "effect-saga"

const Payments = Participant.make("payments", {
  Charge: { payload: { amount: Schema.Int }, success: Schema.Struct({ paymentId: Schema.String }) },
  Refund: { payload: { paymentId: Schema.String } },
  Hold: { payload: { amount: Schema.Int }, effect: "staged" }
})
const { Charge, Hold, Refund } = Payments.commands

const begun = Saga.make("PlaceOrder", { context: { amount: Schema.Int } }).pipe(
  Saga.local("reservation", {
    success: Schema.String,
    execute: () => Effect.succeed("r-1"),
    compensate: ({ reservation }) => Effect.log(reservation)
  }),
  Saga.remote("payment", {
    execute: { command: Charge, payload: ({ amount }) => ({ amount }) },
    compensate: { command: Refund, payload: ({ payment }) => ({ paymentId: payment.paymentId }) }
  })
)

const PlaceOrder = begun.pipe(
  Saga.pivot,
  Saga.remote("invoice", {
    execute: { command: Charge, payload: ({ payment }) => ({ amount: payment.paymentId.length }) }
  }),
  Saga.local("parcel", { success: Schema.String, execute: ({ reservation }) => Effect.succeed(reservation) }),
  Saga.parallel("rest", {
    a: Saga.local("letter", { execute: ({ parcel }) => Effect.log(parcel) }),
    b: (branch) => branch.pipe(Saga.local("mail", { execute: ({ invoice }) => Effect.log(invoice.paymentId) }))
  }),
  Saga.commit
)

describe("the compiler", () => {
  it("refuses", () => {
    begun.pipe(
      Saga.pivot,
      Saga.local("parcel", {
        execute: () => Effect.void,
        // @ts-expect-error nothing is undone behind the pivot
        compensate: () => Effect.void
      })
    )
    begun.pipe(
      Saga.pivot,
      Saga.remote("again", {
        execute: { command: Charge, payload: ({ amount }) => ({ amount }) },
        // @ts-expect-error nothing is undone behind the pivot
        compensate: { command: Refund, payload: () => ({ paymentId: "" }) }
      })
    )
    begun.pipe(
      Saga.pivot,
      // @ts-expect-error there is one pivot
      Saga.pivot
    )
    begun.pipe(
      Saga.conditional("way", [
        Saga.elseThen((branch) =>
          branch.pipe(
            Saga.local("x", { execute: () => Effect.void }),
            // @ts-expect-error a branch has no pivot
            Saga.pivot
          )
        )
      ])
    )
    begun.pipe(
      Saga.pivot,
      Saga.parallel("rest", {
        // @ts-expect-error a branch behind the pivot is behind it too
        a: Saga.local("letter", { execute: () => Effect.void, compensate: () => Effect.void })
      })
    )
    begun.pipe(
      // @ts-expect-error the pivot of a nested saga would be the execution's
      Saga.nested("inner", { saga: PlaceOrder, context: ({ amount }) => ({ amount }) })
    )
  })
})

/** The combinators as plain JavaScript sees them. */
const js: { readonly [K in keyof typeof Saga]: any } = Saga // untyped is the point
const made = (...steps: ReadonlyArray<unknown>) => js.commit((Saga.make("S", { context: {} }).pipe as any)(...steps)) // as above

const nothing = () => Effect.void
const one = js.local("one", { execute: nothing, compensate: nothing })
const issues = (saga: any) => SagaValidation.validate(saga).map(({ _tag, message }) => `${_tag}: ${message}`)
const tags = (saga: any) => SagaValidation.validate(saga).map(({ _tag, path }) => `${_tag} ${path}`)

describe("validation", () => {
  it("takes a saga with a pivot", () => {
    assert.deepStrictEqual(SagaValidation.validate(PlaceOrder), [])
    assert.deepStrictEqual(tags(made(js.pivot, js.local("one", { execute: nothing }))), [])
  })

  it("finds a second pivot, and one inside of another step (C18)", () => {
    const branch = (empty: any) => js.pivot(js.local("two", { execute: nothing })(empty))
    assert.deepStrictEqual(issues(made(one, js.pivot, js.pivot)), [
      'StepNameAlreadyUsed: saga "S", step 2 "pivot": the name is already used by step 1',
      'PivotMisplaced: saga "S", step 2 "pivot": a saga has one pivot at most'
    ])
    assert.deepStrictEqual(issues(made(one, js.parallel("all", { a: branch }))), [
      'PivotMisplaced: saga "S", step 1/b0/1 "pivot": a pivot stands between the steps of the saga itself, and in no other step'
    ])
    const nested = js.nested("inner", { saga: made(one, js.pivot), context: () => ({}) })
    assert.deepStrictEqual(tags(made(nested)), ["PivotMisplaced 0/n/1"])
  })

  it("finds compensations and staged effects behind the pivot, at any depth (C18)", () => {
    const refunded = {
      execute: { command: Charge, payload: nothing },
      compensate: { command: Refund, payload: nothing }
    }
    const saga = made(
      js.pivot,
      one,
      js.remote("two", { execute: { command: Hold, payload: () => ({ amount: 1 }) } }),
      js.conditional("way", [js.elseThen(js.remote("three", refunded))])
    )
    assert.deepStrictEqual(issues(saga), [
      `NotBehindPivot: saga "S", step 1 "one": 'compensate' has no place behind the pivot: nothing is undone there`,
      `NotBehindPivot: saga "S", step 2 "two": 'effect: staged' has no place behind the pivot: there is no transaction there`,
      `NotBehindPivot: saga "S", step 3/else/0 "three": 'compensate' has no place behind the pivot: nothing is undone there`
    ])
  })

  it("asks for no deadline for waits behind the pivot: nothing is undone any more", () => {
    const ask = js.waitFor("ask", { signal: Signal.make("ask", { payload: Schema.Void }) })
    const charge = js.remote("pay", {
      execute: { command: Charge, payload: () => ({ amount: 1 }) },
      compensate: { command: Refund, payload: () => ({ paymentId: "" }) }
    })
    assert.deepStrictEqual(tags(made(charge, js.pivot, ask)), [])
    assert.deepStrictEqual(tags(made(charge, ask, js.pivot)), ["DeadlineRequired 1"])
  })
})

describe("a saga with a pivot as data", () => {
  it("nothing behind the pivot is in a rollback plan, and a refused commit is one at the pivot", () => {
    const before: Saga.RollbackPlan = [
      { path: "1", step: "payment", how: "remote", target: "payments/Refund" },
      { path: "0", step: "reservation", how: "local" }
    ]
    assert.deepStrictEqual(Saga.rollbackPlan(PlaceOrder), before)
    assert.deepStrictEqual(Saga.rollbackPlan(PlaceOrder, "pivot"), before)
    assert.deepStrictEqual(Saga.rollbackPlan(PlaceOrder, "payment"), before.slice(1))
    for (const step of ["invoice", "parcel", "letter", "5/b1/0"] as const)
      assert.deepStrictEqual(Saga.rollbackPlan(PlaceOrder, step), [])
  })

  it("the shape has the pivot, and the fingerprint its place", () => {
    const shape = SagaShape.of(PlaceOrder)
    assert.deepStrictEqual(shape.steps[2], { type: "pivot", name: "pivot", path: "2" })
    assert.deepStrictEqual(Schema.decodeUnknownSync(SagaShape.SagaShape)(shape), shape)
    const two = js.local("two", { execute: nothing })
    const sagas = [made(one, two), made(one, js.pivot, two), made(one, two, js.pivot)]
    assert.strictEqual(new Set(sagas.map(({ fingerprint }) => fingerprint)).size, 3)
  })

  it("the diagram has no way back behind the pivot", () => {
    const text = SagaDiagram.mermaid(PlaceOrder)
    for (const line of ['s2[["pivot<br/>no way back"]]', "s1 --> s2", "s2 --> s3"]) assert.include(text, line)
    assert.include(text, 's1 -. "compensate payments/Refund" .-> s0')
    assert.notMatch(text, /s[345]\S* -\./)
  })

  it("the name is in use and has no entry in the context", () => {
    type Context = Saga.Context<typeof PlaceOrder>
    const has: "pivot" extends keyof Context ? true : false = false
    assert.isFalse(has)
    assert.deepStrictEqual(tags(made(js.local("pivot", { execute: nothing }), js.pivot)), ["StepNameAlreadyUsed 1"])
  })
})
