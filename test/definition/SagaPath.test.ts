/** Paths of steps, and the rollback plan for a failure at each of them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Saga from "../../src/definition/Saga.ts"
import * as SagaPath from "../../src/definition/SagaPath.ts"
import { Payments, PlaceOrder, Shipping } from "./order.ts"

const nothing = () => Effect.void
const compensated = { execute: nothing, compensate: nothing }

const Everything = Saga.make("Everything", { context: { sku: Schema.String } }).pipe(
  Saga.local("first", compensated),
  Saga.remote("pay", {
    execute: { command: Payments.commands.Charge, payload: ({ sku }) => ({ orderId: sku, amount: 1 }) },
    compensate: { command: Payments.commands.Refund, payload: ({ pay }) => pay }
  }),
  Saga.conditional("way", [
    Saga.ifThen(() => true, Saga.local("air", compensated)),
    Saga.ifThen(
      () => true,
      (branch) => branch.pipe(Saga.local("land", compensated), Saga.local("sea", compensated))
    ),
    Saga.elseThen(Saga.local("shop", { execute: nothing }))
  ]),
  Saga.parallel("both", {
    left: (branch) =>
      branch.pipe(Saga.local("l1", compensated), Saga.local("l2", compensated), Saga.local("l3", compensated)),
    right: (branch) =>
      branch.pipe(
        Saga.remote("r1", { execute: { target: "mail/send" }, compensate: { target: "mail/recall" } }),
        Saga.local("r2", { execute: nothing })
      )
  }),
  Saga.nested("order", {
    saga: PlaceOrder,
    context: ({ sku }) => ({ orderId: sku, sku, quantity: 1, amount: 1 })
  }),
  Saga.local("last", compensated),
  Saga.commit
)

describe("SagaPath", () => {
  it("every step has a path, in the order of definition", () => {
    assert.deepStrictEqual(
      SagaPath.steps(Everything).map(({ path, step }) => `${path} ${step.name}`),
      [
        "0 first",
        "1 pay",
        "2 way",
        "2/if0/0 air",
        "2/if1/0 land",
        "2/if1/1 sea",
        "2/else/0 shop",
        "3 both",
        "3/b0/0 l1",
        "3/b0/1 l2",
        "3/b0/2 l3",
        "3/b1/0 r1",
        "3/b1/1 r2",
        "4 order",
        "4/n/0 reservationId",
        "4/n/1 payment",
        "4/n/2 delivery",
        "4/n/2/if0/0 courier",
        "4/n/2/else/0 pickup",
        "4/n/2/else/1 label",
        "4/n/3 receipt",
        "5 last"
      ]
    )
  })

  it("a path finds its step, and any other path finds nothing", () => {
    for (const { path, step } of SagaPath.steps(Everything)) assert.strictEqual(SagaPath.at(Everything, path), step)
    for (const path of ["", "6", "2/if2/0", "2/else/1", "3/b2/0", "4/n", "first"]) {
      assert.isUndefined(SagaPath.at(Everything, path))
    }
  })

  it("the paths of a definition are built once", () => {
    assert.strictEqual(SagaPath.index(Everything), SagaPath.index(Everything))
  })
})

describe("Saga.rollbackPlan", () => {
  /** A plan as short lines. */
  const lines = (plan: ReturnType<typeof Saga.rollbackPlan>): ReadonlyArray<unknown> =>
    plan.map((rollback) =>
      "plans" in rollback
        ? { [`${rollback.how} ${rollback.step}`]: rollback.plans.map(lines) }
        : `${rollback.path} ${rollback.step}${rollback.how === "remote" ? ` -> ${rollback.target}` : ""}`
    )

  const way = { "either way": [["2/if0/0 air"], ["2/if1/1 sea", "2/if1/0 land"], []] }
  const toWay = [way, "1 pay -> payments/Refund", "0 first"]
  const both = { "concurrently both": [["3/b0/2 l3", "3/b0/1 l2", "3/b0/0 l1"], ["3/b1/0 r1 -> mail/recall"]] }

  it("the rollback plan compensates the steps before the failing one, the last one first", () => {
    assert.deepStrictEqual(Saga.rollbackPlan(Everything, "pay"), [{ path: "0", step: "first", how: "local" }])
    assert.deepStrictEqual(Saga.rollbackPlan(Everything, "way"), [
      { path: "1", step: "pay", how: "remote", target: "payments/Refund" },
      { path: "0", step: "first", how: "local" }
    ])
    assert.deepStrictEqual(Saga.rollbackPlan(Everything, "first"), [])
  })

  it("the rollback plan lists the alternatives of an earlier conditional, and only the chosen one inside of it", () => {
    assert.deepStrictEqual(lines(Saga.rollbackPlan(Everything, "both")), toWay)
    assert.deepStrictEqual(lines(Saga.rollbackPlan(Everything, "sea")), [
      "2/if1/0 land",
      "1 pay -> payments/Refund",
      "0 first"
    ])
    assert.deepStrictEqual(lines(Saga.rollbackPlan(Everything, "shop")), ["1 pay -> payments/Refund", "0 first"])
  })

  it("the rollback plan rolls parallel branches back concurrently: all of the other branches, and the steps before the failing one in its own", () => {
    const others = ["3/b1/0 r1 -> mail/recall"]
    assert.deepStrictEqual(lines(Saga.rollbackPlan(Everything, "l2")), [
      { "concurrently both": [["3/b0/0 l1"], others] },
      ...toWay
    ])
    assert.deepStrictEqual(lines(Saga.rollbackPlan(Everything, "order")), [both, ...toWay])
  })

  it("the rollback plan goes into nested sagas, in reverse", () => {
    assert.deepStrictEqual(lines(Saga.rollbackPlan(Everything, "4/n/1")), ["4/n/0 reservationId", both, ...toWay])
    assert.deepStrictEqual(lines(Saga.rollbackPlan(Everything, "last")), [
      { "either delivery": [["4/n/2/if0/0 courier -> shipping/Cancel"], []] },
      "4/n/1 payment -> payments/Refund",
      "4/n/0 reservationId",
      both,
      ...toWay
    ])
  })

  it("the rollback plan compensates everything when the commit is refused, and nothing for an unknown step", () => {
    const [last, ...rest] = Saga.rollbackPlan(Everything)
    assert.deepStrictEqual(last, { path: "5", step: "last", how: "local" })
    assert.deepStrictEqual(rest, Saga.rollbackPlan(Everything, "last"))
    assert.deepStrictEqual(Saga.rollbackPlan(Everything, "9"), [])
    // @ts-expect-error Argument of type '"lost"' is not assignable
    assert.deepStrictEqual(Saga.rollbackPlan(Everything, "lost"), [])
  })

  it("the rollback plan does not confuse a path with a longer one that begins like it", () => {
    const names = Array.from({ length: 12 }, (_, i) => `s${i}`)
    const saga = names.reduce<Saga.Saga<"S", any, any, never, never, "open">>(
      // names that the compiler does not know
      (saga, name) => saga.pipe(Saga.local(name, compensated)),
      Saga.make("S", { context: {} }).pipe(Saga.local("start", compensated))
    )
    const plan = Saga.rollbackPlan(Saga.commit(saga), "11")
    assert.deepStrictEqual(
      plan.map(({ step }) => step),
      ["start", ...names.slice(0, 10)].reverse()
    )
  })

  it("the rollback plan knows the steps of a nested saga by their paths only", () => {
    // @ts-expect-error Argument of type '"courier"' is not assignable
    assert.deepStrictEqual(Saga.rollbackPlan(Everything, "courier"), [])
    assert.isNotEmpty(Saga.rollbackPlan(Everything, "4/n/2/if0/0"))
  })

  it("the rollback plan leaves out groups without a compensation", () => {
    const saga = Saga.make("S", { context: {} }).pipe(
      Saga.remote("book", { execute: { command: Shipping.commands.Cancel, payload: () => ({ courierId: "" }) } }),
      Saga.conditional("way", [Saga.elseThen(Saga.local("one", { execute: nothing }))]),
      Saga.parallel("both", { a: Saga.local("two", { execute: nothing }) }),
      Saga.commit
    )
    assert.deepStrictEqual(Saga.rollbackPlan(saga), [])
  })
})
