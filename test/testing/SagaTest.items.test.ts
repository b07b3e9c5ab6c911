/** Items from end to end: every kind of step inside an item, every crash in it, with both committers; long and empty lists. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Ref, Schema } from "effect"
import { Participant, Saga, SagaError, SagaStory, Signal, TransactionCommitter } from "effect-saga"
import { SagaTest } from "effect-saga/testing"

class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { sku: Schema.String }) {}

const Line = Schema.Struct({ sku: Schema.String, count: Schema.Int, by: Schema.Date })
const line = (sku: string, count = 1) => ({ sku, count, by: new Date(0) })

/** What is there of each line, and how many lines are worked on at a time. */
class Stock extends Context.Service<
  Stock,
  {
    readonly held: Ref.Ref<ReadonlyArray<string>>
    readonly lines: Ref.Ref<ReadonlyArray<string>>
    readonly now: Ref.Ref<number>
    readonly most: Ref.Ref<number>
  }
>()("test/items/Stock") {
  static readonly layer = Layer.effect(
    Stock,
    Effect.all({
      held: Ref.make<ReadonlyArray<string>>([]),
      lines: Ref.make<ReadonlyArray<string>>([]),
      now: Ref.make(0),
      most: Ref.make(0)
    })
  )
  static readonly tell = (line: string) => Stock.use(({ lines }) => Ref.update(lines, (all) => [...all, line]))
  static readonly hold = (what: string) =>
    Stock.use(({ held }) => Ref.update(held, (all) => (all.includes(what) ? all : [...all, what])))
  static readonly release = (what: string) =>
    Stock.use(({ held }) => Ref.update(held, (all) => all.filter((other) => other !== what)))
  /** Takes a second; counts how many take it at a time. */
  static readonly work = Stock.use(({ most, now }) =>
    Effect.acquireUseRelease(
      Effect.flatMap(
        Ref.updateAndGet(now, (n) => n + 1),
        (n) => Ref.update(most, (m) => Math.max(m, n))
      ),
      () => Effect.sleep("1 second"),
      () => Ref.update(now, (n) => n - 1)
    )
  )
  static readonly all = Stock.use(({ held, lines, most }) =>
    Effect.all({ held: Ref.get(held), lines: Ref.get(lines), most: Ref.get(most) })
  )
}

const reserve = ({ line }: { readonly line: typeof Line.Type }) =>
  Effect.gen(function* () {
    if (line.count > 9) return yield* new OutOfStock({ sku: line.sku })
    yield* Stock.tell(`reserve ${line.sku}`)
    yield* Stock.hold(line.sku)
    return `r-${line.sku}`
  })
const release = ({ line, reservation }: { readonly line: typeof Line.Type; readonly reservation: string }) =>
  Effect.andThen(Stock.tell(`release ${reservation}`), Stock.release(line.sku))

/** Lines one after the other, or so many at a time. */
const orderOf = (concurrency: number) =>
  Saga.make("Order", { context: { lines: Schema.Array(Line) } }).pipe(
    Saga.forEach("reservations", {
      items: ({ lines }) => lines,
      item: Line,
      as: "line",
      concurrency,
      steps: (each) =>
        each.pipe(
          Saga.local("reservation", {
            success: Schema.String,
            error: OutOfStock,
            execute: reserve,
            compensate: release
          }),
          Saga.local("label", {
            success: Schema.String,
            execute: ({ line, reservation }) =>
              Effect.as(Stock.work, `${reservation} x${line.count} ${line.by.getTime()}`)
          })
        )
    }),
    Saga.local("sum", {
      success: Schema.String,
      execute: ({ reservations }) => Effect.succeed(reservations.map(({ label }) => label).join())
    }),
    Saga.commit
  )
const order = { layer: Stock.layer, inspect: Stock.all }

describe("a list", () => {
  it.effect("items run one after the other; the result has what each has given, in their order (C17)", () =>
    Effect.gen(function* () {
      const ran = yield* SagaTest.run(orderOf(1), {
        ...order,
        context: { lines: [line("a"), line("b", 2), line("c")] }
      })
      if (ran.execution.status !== "finished") assert.fail(ran.story.join("\n"))
      assert.deepStrictEqual(ran.execution.context.reservations, [
        { reservation: "r-a", label: "r-a x1 0" },
        { reservation: "r-b", label: "r-b x2 0" },
        { reservation: "r-c", label: "r-c x1 0" }
      ])
      assert.strictEqual(ran.execution.context.sum, "r-a x1 0,r-b x2 0,r-c x1 0")
      assert.deepStrictEqual(ran.took, Duration.seconds(3))
      assert.strictEqual(ran.inspected.most, 1)
      assert.deepStrictEqual(ran.outline, [
        "started",
        "reservation (line 1) succeeded",
        "label (line 1) succeeded",
        "reservation (line 2) succeeded",
        "label (line 2) succeeded",
        "reservation (line 3) succeeded",
        "label (line 3) succeeded",
        "reservations succeeded",
        "sum succeeded",
        "finished"
      ])
    })
  )

  it.effect("no more items are under way at a time than the step says (C17)", () =>
    Effect.gen(function* () {
      const lines = Array.from({ length: 10 }, (_, i) => line(`${i}`))
      const ran = yield* SagaTest.run(orderOf(4), { ...order, context: { lines } })
      assert.strictEqual(ran.execution.status, "finished")
      assert.strictEqual(ran.inspected.most, 4)
      assert.deepStrictEqual(ran.took, Duration.seconds(3))
      const step = ran.execution.executedSteps[0]
      assert.deepStrictEqual(
        step?.inner.map(({ context }) => context.reservation),
        lines.map(({ sku }) => `r-${sku}`)
      )
      // What all items see is in the context of the execution, and not in each of them again.
      assert.deepStrictEqual(Object.keys(step?.inner[0]?.context ?? {}), ["line", "reservation", "label"])
    })
  )

  it.effect(
    "the first failure: what has not begun never begins; what was done is undone from the last to the first (C17)",
    () =>
      Effect.gen(function* () {
        for (const concurrency of [1, 2, 100]) {
          const lines = [line("a"), line("b"), line("c"), line("d", 10), line("e")]
          const ran = yield* SagaTest.run(orderOf(concurrency), { ...order, context: { lines } })
          assert.strictEqual(ran.execution.status, "errored")
          if (ran.execution.status === "errored")
            assert.deepStrictEqual(ran.execution.cause, new OutOfStock({ sku: "d" }))
          const { held, lines: told } = ran.inspected
          assert.deepStrictEqual(held, [])
          const done = told.filter((one) => one.startsWith("reserve"))
          assert.deepStrictEqual(done, concurrency === 100 ? done : ["reserve a", "reserve b", "reserve c"])
          const undone = told.filter((one) => one.startsWith("release"))
          const expected = done.toReversed().map((one) => one.replace("reserve ", "release r-"))
          // Of several at a time one may take longer than the next.
          if (concurrency === 1) assert.deepStrictEqual(undone, expected)
          else assert.deepStrictEqual([...undone].sort(), [...expected].sort())
          assert.strictEqual(told.includes("reserve e"), concurrency === 100 && done.includes("reserve e"))
        }
      })
  )

  it.effect("an empty list is nothing to do (C17)", () =>
    Effect.gen(function* () {
      const ran = yield* SagaTest.run(orderOf(3), { ...order, context: { lines: [] } })
      if (ran.execution.status !== "finished") assert.fail(ran.story.join("\n"))
      assert.deepStrictEqual(ran.execution.context.reservations, [])
      assert.deepStrictEqual(ran.story, [
        "Order starts",
        "reservations begins: no items",
        "reservations succeeded",
        "sum succeeded",
        "finished: every step has succeeded"
      ])
    })
  )

  it.effect("a list of 1,000 items is gone through, and told as one; 1,001 are too many (C11, C17)", () =>
    Effect.gen(function* () {
      const lines = (count: number) => Array.from({ length: count }, (_, i) => line(`${i}`, i === 999 ? 10 : 1))
      const ran = yield* SagaTest.run(orderOf(100), { ...order, context: { lines: lines(999) } })
      assert.strictEqual(ran.execution.status, "finished")
      assert.deepStrictEqual(
        ran.story.map((one) => one.replace(/^after .*: /, "")),
        [
          "Order starts",
          "reservations begins: 999 items, 100 at a time",
          "reservations succeeded",
          "sum succeeded",
          "finished: every step has succeeded"
        ]
      )
      const failed = yield* SagaTest.run(orderOf(100), { ...order, context: { lines: lines(1_000) } })
      assert.deepStrictEqual(failed.inspected.held, [])
      assert.deepStrictEqual(failed.outline, [
        "started",
        "reservation (line 1000) failed",
        "reservations compensated",
        "errored"
      ])
      const refused = yield* SagaTest.run(orderOf(100), { ...order, context: { lines: lines(1_001) } })
      assert.deepStrictEqual(refused.inspected.lines, [])
      if (refused.execution.status !== "errored") assert.fail("it ran")
      const { cause } = refused.execution
      assert.instanceOf(cause, SagaError.SagaFailedExecutionStep)
      if (cause instanceof SagaError.SagaFailedExecutionStep)
        assert.deepStrictEqual(
          cause.cause,
          new SagaError.SagaTooManyItems({ path: "0", step: "reservations", issue: "1001 of 1000" })
        )
    })
  )
})

// ---- every kind inside an item -----------------------------------------------------------------------------------

const Carrier = Participant.make("carrier", {
  Book: { payload: { sku: Schema.String }, success: Schema.Struct({ parcel: Schema.String }), error: OutOfStock },
  Cancel: { payload: { parcel: Schema.String } }
})
const Checked = Signal.make("checked", { payload: Schema.String })

const Wrap = Saga.make("Wrap", { context: { what: Schema.String } }).pipe(
  Saga.local("paper", {
    success: Schema.String,
    execute: ({ what }) => Effect.as(Stock.hold(`paper ${what}`), `paper of ${what}`),
    compensate: ({ what }) => Stock.release(`paper ${what}`)
  }),
  Saga.commit
)

const everything = (last: "succeeds" | "fails") =>
  Saga.make("Everything", { context: { skus: Schema.Array(Schema.String) } }).pipe(
    Saga.forEach("lines", {
      items: ({ skus }) => skus,
      item: Schema.String,
      as: "sku",
      concurrency: 2,
      steps: (each) =>
        each.pipe(
          Saga.local("held", {
            execute: ({ sku }) => Stock.hold(`shelf ${sku}`),
            compensate: ({ sku }) => Stock.release(`shelf ${sku}`)
          }),
          Saga.remote("parcel", {
            execute: { command: Carrier.commands.Book, payload: ({ sku }) => ({ sku }) },
            compensate: { command: Carrier.commands.Cancel, payload: ({ parcel }) => parcel }
          }),
          Saga.waitFor("check", { signal: Checked, key: ({ sku }) => sku, timeout: "1 day" }),
          Saga.sleep("rest", "1 minute"),
          Saga.conditional("way", [
            Saga.ifThen(
              ({ sku }) => sku === "b",
              Saga.local("gift", {
                success: Schema.String,
                execute: ({ sku }) => Effect.as(Stock.hold(`gift ${sku}`), sku),
                compensate: ({ sku }) => Stock.release(`gift ${sku}`)
              })
            )
          ]),
          Saga.nested("wrapping", { saga: Wrap, context: ({ sku }) => ({ what: sku }) }),
          Saga.parallel("both", {
            one: Saga.local("left", { success: Schema.Int, execute: () => Effect.succeed(1) }),
            two: Saga.local("right", { success: Schema.Int, execute: () => Effect.succeed(2) })
          }),
          Saga.forEach("pieces", {
            items: ({ sku }) => [`${sku}1`, `${sku}2`],
            item: Schema.String,
            as: "piece",
            concurrency: 2,
            steps: Saga.local("packed", {
              success: Schema.String,
              execute: ({ piece }) => Effect.as(Stock.hold(`box ${piece}`), piece),
              compensate: ({ piece }) => Stock.release(`box ${piece}`)
            })
          })
        )
    }),
    Saga.local("last", {
      error: OutOfStock,
      execute: () => (last === "fails" ? Effect.fail(new OutOfStock({ sku: "last" })) : Effect.void)
    }),
    Saga.commit
  )

const CarrierLive = Participant.layer(Carrier, {
  Book: ({ sku }) => Effect.as(Stock.hold(`parcel ${sku}`), { parcel: sku }),
  Cancel: ({ parcel }) => Stock.release(`parcel ${parcel}`)
}).pipe(Layer.provideMerge(Stock.layer))

const skus = ["a", "b", "c"]
const all = skus.flatMap((sku) => [
  ...[`box ${sku}1`, `box ${sku}2`, `paper ${sku}`, `parcel ${sku}`, `shelf ${sku}`],
  ...(sku === "b" ? ["gift b"] : [])
])
const signals = skus.map((sku) => SagaTest.signal(Checked, { key: sku, payload: `by ${sku}` }))

describe("every kind of step inside an item", () => {
  it.effect("gives its result to the item; the saga of a list inside the items has its own", () =>
    Effect.gen(function* () {
      const ran = yield* SagaTest.run(everything("succeeds"), {
        context: { skus },
        layer: Stock.layer,
        replies: { lines: { parcel: ({ sku }) => SagaTest.late("1 minute", { parcel: sku }) } },
        signals,
        inspect: Stock.all
      })
      if (ran.execution.status !== "finished") assert.fail(ran.story.join("\n"))
      assert.deepEqual(ran.execution.context.lines[1] as unknown, {
        held: undefined,
        parcel: { parcel: "b" },
        check: "by b",
        way: 0,
        gift: "b",
        wrapping: { what: "b", paper: "paper of b" },
        left: 1,
        right: 2,
        pieces: [{ packed: "b1" }, { packed: "b2" }]
      })
      assert.strictEqual("gift" in (ran.execution.context.lines[0] ?? {}), false)
      // Two at a time: the third begins when the first is over.
      assert.deepStrictEqual(ran.took, Duration.minutes(4))
      assert.deepStrictEqual(
        ran.commands.map(({ payload, step }) => `${step} ${JSON.stringify(payload)}`),
        skus.map((sku) => `lines.parcel {"sku":"${sku}"}`)
      )
      assert.include(ran.outline, "packed (sku 3, piece 2) succeeded")
    })
  )

  for (const committer of ["layerNone", "layerTwoPhase"] as const) {
    it.effect(
      `whatever crashes, each effect is there once, or none is (${committer}, I25)`,
      () =>
        Effect.gen(function* () {
          for (const last of ["succeeds", "fails"] as const) {
            const runs = yield* SagaTest.crashPoints(everything(last), {
              context: { skus },
              layer: CarrierLive,
              committer: TransactionCommitter[committer],
              signals,
              inspect: Stock.all
            })
            assert.isAbove(runs.length, 60)
            for (const { crash, execution, inspected } of runs) {
              const told = `${crash}\n${SagaStory.tell(execution, { times: true }).join("\n")}`
              // A vote that is lost in a crash may come too late, and then all is undone.
              const mayFail = committer === "layerTwoPhase" && crash !== "none"
              const expected = last === "fails" || (mayFail && execution.status === "errored") ? [] : [...all].sort()
              assert.strictEqual(execution.status, expected.length === 0 ? "errored" : "finished", told)
              assert.deepStrictEqual(execution.parked, [], told)
              assert.deepStrictEqual([...inspected.held].sort(), expected, told)
            }
          }
        }),
      { timeout: 120_000 }
    )
  }

  it.effect("a cancel in mid-item undoes all that was done", () =>
    Effect.gen(function* () {
      const ran = yield* SagaTest.run(everything("succeeds"), {
        context: { skus },
        layer: Stock.layer,
        replies: { lines: { parcel: ({ sku }) => (sku === "b" ? SagaTest.silence : { parcel: sku }) } },
        signals,
        cancelAfter: "30 seconds",
        inspect: Stock.all
      })
      assert.strictEqual(ran.execution.status, "errored")
      assert.deepStrictEqual(ran.inspected.held, [])
      // The service was asked what became of the request that it has not answered.
      assert.include(ran.story.join("\n"), "parcel (sku 2): carrier is asked what became of it")
      assert.notInclude(ran.story.join("\n"), "sku 3")
    })
  )
})

// ---- behind a pivot ----------------------------------------------------------------------------------------------

describe("items behind a pivot", () => {
  const letters = Saga.make("Letters", { context: { to: Schema.Array(Schema.String) } }).pipe(
    Saga.local("first", { execute: () => Effect.void }),
    Saga.pivot,
    Saga.forEach("letters", {
      items: ({ to }) => to,
      item: Schema.String,
      as: "person",
      steps: Saga.remote("parcel", {
        execute: { command: Carrier.commands.Book, payload: ({ person }) => ({ sku: person }) }
      })
    }),
    Saga.commit
  )

  it.effect("a failure stops no other item when several may run; it is tried again (C18)", () =>
    Effect.gen(function* () {
      let refusals = 2
      const ran = yield* SagaTest.run(letters, {
        context: { to: ["ann", "bob", "cid"] },
        replies: {
          letters: {
            parcel: ({ sku }) =>
              sku === "bob" && refusals-- > 0 ? SagaTest.error(new OutOfStock({ sku })) : { parcel: sku }
          }
        }
      })
      if (ran.execution.status !== "finished") assert.fail(ran.story.join("\n"))
      assert.deepStrictEqual(ran.execution.context.letters, [
        { parcel: { parcel: "ann" } },
        { parcel: { parcel: "bob" } },
        { parcel: { parcel: "cid" } }
      ])
      assert.include(ran.story.join("\n"), "parcel (person 2) is tried again")
    })
  )
})
