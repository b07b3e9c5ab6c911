/** The diagram of a saga: solid arrows forward, dotted arrows for the rollback. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Saga, SagaDiagram, SagaShape, Signal } from "effect-saga"
import { PlaceOrder } from "../definition/order.ts"

const nothing = () => Effect.void
const compensated = { execute: nothing, compensate: nothing }

const drawn = (saga: Parameters<typeof SagaDiagram.mermaid>[0]) => SagaDiagram.mermaid(saga).split("\n")
/** The arrows of a drawing. */
const arrows = (saga: Parameters<typeof SagaDiagram.mermaid>[0]) =>
  drawn(saga)
    .filter((line) => line.includes("->"))
    .map((line) => line.trim())

describe("SagaDiagram.mermaid", () => {
  it("the diagram has the steps of an item once, in a frame that says for which items, and how many at a time (C17)", () => {
    const each = (concurrency: number) =>
      Saga.make("S", { context: { lines: Schema.Array(Schema.String) } }).pipe(
        Saga.local("a", compensated),
        Saga.forEach("b", {
          items: ({ lines }) => lines,
          item: Schema.String,
          as: "line",
          concurrency,
          steps: (each) => each.pipe(Saga.local("c", compensated), Saga.local("d", compensated))
        }),
        Saga.local("e", compensated),
        Saga.commit
      )
    assert.deepStrictEqual(
      drawn(each(4))
        .slice(4, 9)
        .map((line) => line.trim()),
      ['subgraph s1["b: for each line, 4 at a time"]', 's1_i_0["c"]', 's1_i_1["d"]', "end", 's2["e"]']
    )
    assert.include(drawn(each(1)).join(), '"b: for each line"')
    assert.deepStrictEqual(arrows(each(1)), [
      "start --> s0",
      's0 -. "compensate a" .-> errored',
      "s0 --> s1_i_0",
      's1_i_0 -. "compensate c" .-> s0',
      "s1_i_0 --> s1_i_1",
      's1_i_1 -. "compensate d" .-> s1_i_0',
      "s1_i_1 --> s2",
      's2 -. "compensate e" .-> s1_i_1',
      "s2 --> finished"
    ])
  })

  it("the diagram draws a wait as a flag with its signal and its time, a sleep as its time, both without an arrow back (C16)", () => {
    const Approval = Signal.make("approval", { payload: Schema.Void })
    const saga = Saga.make("S", { context: {} }).pipe(
      Saga.local("a", compensated),
      Saga.waitFor("b", { signal: Approval }),
      Saga.waitFor("c", { signal: Approval, timeout: "2 days" }),
      Saga.waitFor("d", {
        signal: Approval,
        timeout: () => 0,
        onTimeout: { success: Schema.Void, value: () => undefined }
      }),
      Saga.sleep("e", "90 minutes"),
      Saga.sleep("f", () => 0),
      Saga.local("g", compensated),
      Saga.commit
    )
    assert.deepStrictEqual(
      drawn(saga).filter((line) => / s[1-5]\W/.test(line) && !line.includes("->")),
      [
        '  s1[/"b<br/>signal approval"/]',
        '  s2[/"c<br/>signal approval<br/>or 2d, then it fails"/]',
        '  s3[/"d<br/>signal approval<br/>or a time of the context"/]',
        '  s4("e<br/>1h 30m")',
        '  s5("f<br/>until a time of the context")'
      ]
    )
    assert.deepStrictEqual(arrows(saga).slice(-3), ["s5 --> s6", 's6 -. "compensate g" .-> s0', "s6 --> finished"])
  })

  it("the diagram draws a start as a flag that points away, with the saga that it starts, and its rollback as a cancel", () => {
    const Other = Saga.make("Other", { context: {} }).pipe(Saga.local("x", compensated), Saga.commit)
    const saga = Saga.make("S", { context: {} }).pipe(
      Saga.local("a", compensated),
      Saga.start("b", { saga: Other, context: () => ({}) }),
      Saga.commit
    )
    assert.include(drawn(saga), '  s1>"b<br/>starts Other"]')
    assert.deepStrictEqual(arrows(saga).slice(-2), ['s1 -. "cancel Other" .-> s0', "s1 --> finished"])
  })

  it("the diagram draws steps, targets, a choice, and dotted arrows to the step that is compensated next", () => {
    assert.deepStrictEqual(drawn(PlaceOrder), [
      "flowchart TD",
      "  accDescr: Solid arrows lead forward. If a step fails, dotted arrows show the compensations, from the step before it.",
      '  start(["PlaceOrder"])',
      '  s0["reservationId"]',
      '  s1["payment<br/>payments/Charge"]',
      '  s2{"delivery"}',
      '  s2_if0_0["courier<br/>shipping/Book"]',
      '  s2_else_0["pickup"]',
      '  s2_else_1["label"]',
      '  s3["receipt"]',
      '  finished(["finished"])',
      '  errored(["errored"])',
      "  start --> s0",
      '  s0 -. "compensate reservationId" .-> errored',
      "  s0 --> s1",
      '  s1 -. "compensate payments/Refund" .-> s0',
      "  s1 --> s2",
      '  s2 -- "if 1" --> s2_if0_0',
      '  s2_if0_0 -. "compensate shipping/Cancel" .-> s1',
      '  s2 -- "else" --> s2_else_0',
      "  s2_else_0 --> s2_else_1",
      "  s2_if0_0 --> s3",
      "  s2_else_1 --> s3",
      "  s3 --> finished",
      ""
    ])
  })

  it("the diagram leads past a choice without else, and back through the alternative that ran", () => {
    const saga = Saga.make("S", { context: {} }).pipe(
      Saga.local("a", compensated),
      Saga.conditional("b", [Saga.ifThen(() => true, Saga.local("c", compensated))]),
      Saga.local("d", compensated),
      Saga.commit
    )
    assert.deepStrictEqual(arrows(saga).slice(3), [
      's1 -- "if 1" --> s1_if0_0',
      's1_if0_0 -. "compensate c" .-> s0',
      "s1_if0_0 --> s2",
      's1 -- "none" --> s2',
      's2 -. "compensate d" .-> s1_if0_0',
      's2 -. "compensate d" .-> s0',
      "s2 --> finished"
    ])
  })

  it("the diagram joins branches before the next step", () => {
    const saga = Saga.make("S", { context: {} }).pipe(
      Saga.parallel("both", {
        left: Saga.local("a", compensated),
        right: (branch) => branch.pipe(Saga.local("b", compensated), Saga.local("c", { execute: nothing }))
      }),
      Saga.local("d", compensated),
      Saga.commit
    )
    assert.deepStrictEqual(arrows(saga), [
      "start --> s0",
      's0 -- "left" --> s0_b0_0',
      's0_b0_0 -. "compensate a" .-> errored',
      's0 -- "right" --> s0_b1_0',
      's0_b1_0 -. "compensate b" .-> errored',
      "s0_b1_0 --> s0_b1_1",
      "s0_b0_0 --> s0_all",
      "s0_b1_1 --> s0_all",
      "s0_all --> s1",
      's1 -. "compensate d" .-> s0_b0_0',
      's1 -. "compensate d" .-> s0_b1_0',
      "s1 --> finished"
    ])
  })

  it("the diagram puts a nested saga in a box, and is the same for a stored shape", () => {
    const saga = Saga.make("Outer", { context: {} }).pipe(
      Saga.nested("order", {
        saga: PlaceOrder,
        context: () => ({ orderId: "o", sku: "s", quantity: 1, amount: 1 })
      }),
      Saga.commit
    )
    const lines = drawn(saga)
    assert.deepStrictEqual(lines.slice(3, 5), ['  subgraph s0["order: PlaceOrder"]', '    s0_n_0["reservationId"]'])
    assert.strictEqual(lines.indexOf("  end"), 11)
    const stored = Schema.decodeUnknownSync(SagaShape.SagaShape)(JSON.parse(JSON.stringify(SagaShape.of(saga))))
    assert.deepStrictEqual(drawn(stored), lines)
  })

  it("the diagram shows names as they are, also if they mean something to Mermaid", () => {
    const saga = Saga.make('say "hi"', { context: {} }).pipe(
      Saga.local("a<b>&#x;`c`", { execute: nothing }),
      Saga.local("- eu.west-1", { execute: nothing }),
      Saga.commit
    )
    assert.deepStrictEqual(drawn(saga).slice(2, 5), [
      '  start(["say #34;hi#34;"])',
      '  s0["a#60;b#62;#38;#35;x#59;#96;c#96;"]',
      '  s1["#45; eu.west#45;1"]'
    ])
  })
})
