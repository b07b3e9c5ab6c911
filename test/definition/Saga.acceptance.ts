/** Types that the compiler infers. `same` is the assertion; a wrong type is a compile error on its line. */
// biome-ignore-all lint/suspicious/noConfusingVoidType: the result of a step that gives none
import { Context, Effect, Schema } from "effect"
import * as Participant from "../../src/definition/ParticipantContract.ts"
import * as Saga from "../../src/definition/Saga.ts"
import { SagaRequest, type SagaResponseError } from "../../src/definition/SagaMessage.ts"
import * as Signal from "../../src/definition/Signal.ts"
import { type CardDeclined, Inventory, NoCourier, OutOfStock, Payments, PlaceOrder, Shipping } from "./order.ts"

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Equal<A, B>): void => {}

// The order saga: results by step name, those of alternatives optional.
same<
  Saga.Context<typeof PlaceOrder>,
  {
    readonly orderId: string
    readonly sku: string
    readonly quantity: number
    readonly amount: number
    readonly reservationId: string
    readonly payment: { readonly paymentId: string }
    readonly delivery: 0 | 1
    readonly courier?: { readonly courierId: string }
    readonly pickup?: string
    readonly label?: string
    readonly receipt: string
  }
>(true)
same<Saga.Error<typeof PlaceOrder>, OutOfStock | CardDeclined | NoCourier>(true)
same<Saga.Services<typeof PlaceOrder>, Inventory>(true)
same<
  Saga.Initial<typeof PlaceOrder>,
  {
    readonly orderId: string
    readonly sku: string
    readonly quantity: number
    readonly amount: number
  }
>(true)

const start = Saga.make("S", { context: { sku: Schema.String } })
const nothing = () => Effect.void
const charge = {
  command: Payments.commands.Charge,
  payload: ({ sku }: { readonly sku: string }) => ({ orderId: sku, amount: 1 })
}

class Audit extends Context.Service<Audit, { readonly report: (sku: string) => Effect.Effect<void> }>()("Audit") {}

// A version is data of the saga, not of its types.
const versioned = Saga.make("S", { context: { sku: Schema.String }, version: "2" })
same<typeof versioned, typeof start>(true)

// ---- local -------------------------------------------------------------

const localPolicies = start.pipe(
  Saga.local("reservationId", {
    success: Schema.String,
    error: OutOfStock,
    execute: Effect.fn(function* ({ sku }) {
      const inventory = yield* Inventory
      return yield* inventory.reserve(sku, 1)
    }),
    compensate: {
      run: Effect.fn(function* ({ reservationId, sku }) {
        same<typeof reservationId, string>(true)
        yield* Effect.log(sku)
        const inventory = yield* Inventory
        yield* inventory.release(reservationId)
      }),
      unknown: Effect.fn(function* ({ sku }) {
        const audit = yield* Audit
        yield* audit.report(sku)
      })
    },
    timeout: "30 seconds",
    retry: { times: 3, backoff: { initial: "1 second", factor: 2, max: "1 minute" }, on: ["OutOfStock"] },
    retryCompensate: { times: 10, backoff: "1 second" },
    onCrash: "park"
  }),
  Saga.local("row", { success: Schema.Int, execute: () => Effect.succeed(1), transactional: true })
)
same<Saga.Services<typeof localPolicies>, Inventory | Audit>(true)
same<Saga.Error<typeof localPolicies>, OutOfStock>(true)
same<
  Saga.Context<typeof localPolicies>,
  {
    readonly sku: string
    readonly reservationId: string
    readonly row: number
  }
>(true)

// `unknown` is not asked for where nothing is compensated, nor where a crash starts no compensation.
start.pipe(
  Saga.local("one", { execute: nothing, timeout: "30 seconds" }),
  Saga.local("two", { execute: nothing, compensate: nothing, onCrash: "park" }),
  Saga.local("three", { execute: nothing, compensate: { run: nothing }, onCrash: "retry" }),
  Saga.local("four", { execute: nothing, compensate: { run: nothing, unknown: nothing }, onCrash: "compensate" }),
  Saga.local("five", { timeout: "30 seconds", compensate: { unknown: nothing, run: nothing }, execute: nothing })
)

// An `unknown` needs no annotations, whatever asks for it, and its services are services of the saga.
const afterTimeout = start.pipe(
  Saga.local("one", {
    success: Schema.String,
    execute: ({ sku }) => Effect.succeed(sku),
    compensate: {
      run: ({ one }) => Inventory.use((inventory) => inventory.release(one)),
      unknown: ({ sku }) => Audit.use((audit) => audit.report(sku))
    },
    timeout: "1 second"
  })
)
same<Saga.Services<typeof afterTimeout>, Inventory | Audit>(true)
const afterCrash = start.pipe(
  Saga.local("one", {
    onCrash: "compensate",
    compensate: {
      unknown: ({ sku }) => Audit.use((audit) => audit.report(sku)),
      run: ({ one }) => Inventory.use((inventory) => inventory.release(one))
    },
    success: Schema.String,
    execute: ({ sku }) => Effect.succeed(sku)
  })
)
same<Saga.Services<typeof afterCrash>, Inventory | Audit>(true)
const afterBoth = start.pipe(
  Saga.local("one", {
    success: Schema.String,
    execute: ({ sku }) => Effect.succeed(sku),
    compensate: {
      run: ({ one }) => Effect.log(one),
      unknown: ({ sku }) => {
        same<typeof sku, string>(true)
        return Audit.use((audit) => audit.report(sku))
      }
    },
    timeout: "1 second",
    onCrash: "compensate"
  })
)
same<Saga.Services<typeof afterBoth>, Audit>(true)
// Either may take nothing, or be a generator.
const afterSome = start.pipe(
  Saga.local("one", {
    execute: nothing,
    compensate: { run: nothing, unknown: ({ sku }) => Audit.use((audit) => audit.report(sku)) },
    timeout: "1 second",
    onCrash: "compensate"
  }),
  Saga.local("two", {
    success: Schema.String,
    execute: Effect.fn(function* ({ sku }) {
      return yield* Effect.succeed(sku)
    }),
    compensate: {
      run: Effect.fn(function* ({ two }) {
        const inventory = yield* Inventory
        yield* inventory.release(two)
      }),
      unknown: Effect.fn(function* ({ sku }) {
        const audit = yield* Audit
        yield* audit.report(sku)
      })
    },
    timeout: "1 second",
    onCrash: "compensate"
  })
)
same<Saga.Services<typeof afterSome>, Inventory | Audit>(true)
const afterBranches = start.pipe(
  Saga.conditional("way", [
    Saga.ifThen(
      ({ sku }) => sku === "a",
      Saga.local("one", {
        success: Schema.String,
        execute: ({ sku }) => Effect.succeed(sku),
        compensate: {
          run: ({ one }) => Inventory.use((inventory) => inventory.release(one)),
          unknown: ({ sku }) => Effect.log(sku)
        },
        timeout: "1 second",
        onCrash: "compensate"
      })
    )
  ]),
  Saga.parallel("all", {
    a: (branch) =>
      branch.pipe(
        Saga.local("two", {
          success: Schema.String,
          execute: ({ sku }) => Effect.succeed(sku),
          compensate: {
            run: ({ two }) => Effect.log(two),
            unknown: ({ sku }) => Audit.use((audit) => audit.report(sku))
          },
          onCrash: "compensate"
        })
      )
  })
)
same<Saga.Services<typeof afterBranches>, Inventory | Audit>(true)

// Errors that are not tagged can be declared; only tagged ones can be named.
start.pipe(
  Saga.local("one", {
    error: Schema.Union([OutOfStock, NoCourier, Schema.String]),
    execute: () => Effect.fail("none"),
    retry: { times: 1, on: ["OutOfStock", "NoCourier"] }
  })
)

// A name that the compiler does not know adds nothing; a generated saga has no types to lose.
declare const names: ReadonlyArray<string>
// biome-ignore lint/complexity/noBannedTypes: an empty context
const generated = names.reduce<Saga.Saga<"G", {}, any, any, never, Saga.Appendable>>(
  (saga, name) => saga.pipe(Saga.local(name, { execute: nothing })),
  Saga.make("G", { context: {} })
)
same<Saga.Error<typeof generated>, any>(true)
const unknownName = start.pipe(
  Saga.local(names[0] as string, { execute: nothing }),
  Saga.local("one", { success: Schema.Int, execute: () => Effect.succeed(1) })
)
same<Saga.Context<typeof unknownName>, { readonly sku: string; readonly one: number }>(true)

// ---- remote ------------------------------------------------------------

// The reply is the result, the error of the command is the error of the step.
const plain = start.pipe(Saga.remote("pay", { execute: charge }))
same<Saga.Context<typeof plain>["pay"], { readonly paymentId: string }>(true)
same<Saga.Error<typeof plain>, CardDeclined>(true)
same<Saga.Services<typeof plain>, never>(true)

// A command without errors gives the step none.
const harmless = start.pipe(
  Saga.remote("pay", { execute: { command: Payments.commands.Refund, payload: ({ sku }) => ({ paymentId: sku }) } })
)
same<Saga.Error<typeof harmless>, never>(true)
same<Saga.Context<typeof harmless>["pay"], void>(true)

// `onSuccess` maps the reply. A result of another type has its own schema, an added error too. The compensation reads
// the reply all the same.
const mapped = start.pipe(
  Saga.remote("pay", {
    success: Schema.Int,
    error: OutOfStock,
    execute: { command: Payments.commands.Charge, payload: ({ sku }) => ({ orderId: sku, amount: 1 }) },
    onSuccess: (reply, { sku }) =>
      Inventory.use((inventory) => inventory.reserve(sku, 1)).pipe(Effect.as(reply.paymentId.length)),
    compensate: {
      command: Payments.commands.Refund,
      payload: ({ pay }) => {
        same<typeof pay, { readonly paymentId: string }>(true)
        return { paymentId: pay.paymentId }
      },
      unknown: ({ sku }) => ({ paymentId: sku })
    },
    timeout: "30 seconds",
    retryCompensate: { times: 10 }
  })
)
same<Saga.Context<typeof mapped>["pay"], number>(true)
same<Saga.Error<typeof mapped>, CardDeclined | OutOfStock>(true)
same<Saga.Services<typeof mapped>, Inventory>(true)

// `onSuccess` that keeps the type of the reply needs no schema.
const checked = start.pipe(
  Saga.remote("pay", { execute: charge, onSuccess: (reply) => Effect.succeed({ paymentId: reply.paymentId.trim() }) })
)
same<Saga.Context<typeof checked>["pay"], { readonly paymentId: string }>(true)
same<Saga.Error<typeof checked>, CardDeclined>(true)

// `onError` replaces the errors of the command by what it fails with itself: nothing here,
const recovered = start.pipe(
  Saga.remote("pay", { execute: charge, onError: () => Effect.succeed({ paymentId: "cash" }) })
)
same<Saga.Error<typeof recovered>, never>(true)
// an error of its own,
const translated = start.pipe(
  Saga.remote("pay", {
    error: NoCourier,
    execute: charge,
    onError: (error) =>
      error.reason === "limit" ? Effect.succeed({ paymentId: "cash" }) : Effect.fail(new NoCourier())
  })
)
same<Saga.Error<typeof translated>, NoCourier>(true)
// or the same error again.
const rethrown = start.pipe(
  Saga.remote("pay", {
    success: Schema.String,
    execute: charge,
    onSuccess: (reply) => Effect.succeed(reply.paymentId),
    onError: (error, { sku }) => (sku === "gift" ? Effect.succeed("free") : Effect.fail(error))
  })
)
same<Saga.Error<typeof rethrown>, CardDeclined>(true)
same<Saga.Context<typeof rethrown>["pay"], string>(true)

// A typed step may be compensated by an untyped request, which reads the decoded reply too.
start.pipe(
  Saga.remote("pay", {
    success: Schema.Int,
    execute: charge,
    onSuccess: (reply) => Effect.succeed(reply.paymentId.length),
    compensate: { target: "payments/refund", content: ({ pay }) => pay.paymentId, unknown: ({ sku }) => sku }
  })
)

// The untyped way: the reply is unknown, or what `success` says.
const untyped = start.pipe(
  Saga.remote("raw", { execute: { target: "payments/charge", content: ({ sku }) => ({ sku }) } }),
  Saga.remote("pay", {
    success: Schema.Struct({ id: Schema.String }),
    execute: { target: "payments/charge", content: ({ raw, sku }) => [raw, sku] },
    onSuccess: (reply) => Effect.succeed({ id: reply.id.toUpperCase() }),
    compensate: {
      target: "payments/refund",
      content: ({ pay }) => ({ id: pay.id }),
      unknown: ({ sku }) => ({ sku })
    }
  }),
  Saga.remote("count", { success: Schema.Int, execute: SagaRequest.make("payments/count") }),
  Saga.remote("total", {
    success: Schema.Int,
    execute: SagaRequest.make("payments/total", ({ pay }) => ({ id: pay.id })),
    compensate: SagaRequest.make("payments/undo", "all")
  }),
  Saga.remote("ping", { execute: SagaRequest.make("payments/ping", { text: "hello" }) })
)
same<
  Saga.Context<typeof untyped>,
  {
    readonly sku: string
    readonly raw: unknown
    readonly pay: { readonly id: string }
    readonly count: number
    readonly total: number
    readonly ping: unknown
  }
>(true)
same<Saga.Error<typeof untyped>, SagaResponseError>(true)

// `onError` can recover from a 400, or translate it.
const understood = start.pipe(
  Saga.remote("raw", {
    error: NoCourier,
    execute: { target: "couriers/book" },
    onError: (error) => (error.status === 400 ? Effect.succeed(error.content) : Effect.fail(new NoCourier()))
  })
)
same<Saga.Error<typeof understood>, NoCourier>(true)

// A participant that cannot be probed, a command whose effect waits for the commit.
const Warehouse = Participant.make(
  "warehouse",
  { Pick: { payload: { sku: Schema.String }, success: Schema.Int, effect: "staged" }, Clear: { payload: {} } },
  { probe: false }
)
const picked = start.pipe(
  Saga.remote("picked", {
    execute: { command: Warehouse.commands.Pick, payload: ({ sku }) => ({ sku }) },
    compensate: { command: Warehouse.commands.Clear, payload: () => ({}), unknown: () => ({}) }
  })
)
same<Saga.Context<typeof picked>["picked"], number>(true)

// ---- conditional -------------------------------------------------------

// Without else: optional, and the choice may be null.
const maybe = start.pipe(
  Saga.local("one", { execute: nothing }),
  Saga.conditional("way", [
    Saga.ifThen(({ sku }) => sku === "a", Saga.local("two", { success: Schema.Int, execute: () => Effect.succeed(2) })),
    Saga.ifThen(
      ({ sku }) => sku === "b",
      (branch) =>
        branch.pipe(
          Saga.remote("pay", {
            execute: { command: Payments.commands.Charge, payload: ({ sku }) => ({ orderId: sku, amount: 1 }) }
          }),
          Saga.local("three", {
            success: Schema.String,
            error: OutOfStock,
            execute: ({ pay, sku }) =>
              Inventory.use((inventory) => inventory.reserve(sku, 1)).pipe(Effect.map((id) => id + pay.paymentId))
          })
        )
    )
  ])
)
same<
  Saga.Context<typeof maybe>,
  {
    readonly sku: string
    readonly one: void
    readonly way: 0 | 1 | null
    readonly two?: number
    readonly pay?: { readonly paymentId: string }
    readonly three?: string
  }
>(true)
same<Saga.Error<typeof maybe>, CardDeclined | OutOfStock>(true)
same<Saga.Services<typeof maybe>, Inventory>(true)

// A result that every alternative gives, with an else, is there for sure. Different types become a union.
const sure = start.pipe(
  Saga.conditional("way", [
    Saga.ifThen(
      ({ sku }) => sku === "a",
      Saga.local("postage", { success: Schema.Int, execute: () => Effect.succeed(2) })
    ),
    Saga.ifThen(
      ({ sku }) => sku === "b",
      (branch) =>
        branch.pipe(
          Saga.local("postage", { success: Schema.Int, execute: () => Effect.succeed(2) }),
          Saga.local("weight", { success: Schema.Int, execute: ({ postage }) => Effect.succeed(postage) })
        )
    ),
    Saga.elseThen(Saga.local("postage", { success: Schema.String, execute: () => Effect.succeed("free") }))
  ]),
  Saga.local("after", {
    success: Schema.String,
    execute: ({ postage, weight }) => Effect.succeed(`${postage} ${weight ?? 0}`)
  })
)
same<
  Saga.Context<typeof sure>,
  {
    readonly sku: string
    readonly way: 0 | 1 | 2
    readonly postage: number | string
    readonly weight?: number
    readonly after: string
  }
>(true)

// Only an else; alternatives within alternatives.
const deep = start.pipe(
  Saga.conditional("outer", [
    Saga.elseThen(
      Saga.conditional("inner", [
        Saga.ifThen(({ sku }) => sku === "a", Saga.local("one", { execute: nothing })),
        Saga.elseThen(
          Saga.conditional("innermost", [
            Saga.ifThen(
              ({ sku }) => sku === "",
              Saga.local("leaf", { success: Schema.Int, error: NoCourier, execute: () => Effect.succeed(1) })
            )
          ])
        )
      ])
    )
  ])
)
same<
  Saga.Context<typeof deep>,
  {
    readonly sku: string
    readonly outer: 0
    readonly inner: 0 | 1
    readonly one?: void
    readonly innermost?: 0 | null
    readonly leaf?: number
  }
>(true)
same<Saga.Error<typeof deep>, NoCourier>(true)

// ---- start -------------------------------------------------------------

// The result is a uuid. The errors of the other saga are not those of this one; its services are, as one manager has both.
const Starter = Saga.make("Starter", { context: { cartId: Schema.String } }).pipe(
  Saga.start("order", {
    saga: PlaceOrder,
    context: ({ cartId }) => ({ orderId: cartId, sku: "book", quantity: 1, amount: 1 }),
    startKey: ({ cartId }) => cartId,
    compensate: ({ order }, { context, uuid }) =>
      Audit.use((audit) => audit.report(`${order} ${uuid} ${context?.payment.paymentId}`))
  }),
  Saga.local("done", { success: Schema.Int, execute: ({ order }) => Effect.succeed(order.length) }),
  Saga.commit
)
same<Saga.Context<typeof Starter>, { readonly cartId: string; readonly order: string; readonly done: number }>(true)
same<Saga.Error<typeof Starter>, never>(true)
same<Saga.Services<typeof Starter>, Inventory | Audit>(true)
same<keyof Saga.Exchanges<typeof Starter>["order"], "payment" | "courier">(true)

// A saga may start itself. What is not known of it then is not required either.
const Again = start.pipe(
  Saga.start("again", {
    saga: Saga.suspend("S", (): Saga.Startable<{ readonly sku: string }> => Again),
    context: ({ sku }) => ({ sku })
  }),
  Saga.commit
)
same<Saga.Services<typeof Again>, never>(true)
same<Saga.Context<typeof Again>, { readonly sku: string; readonly again: string }>(true)

// ---- nested ------------------------------------------------------------

const Checkout = Saga.make("Checkout", { context: { cartId: Schema.String } }).pipe(
  Saga.local("total", { success: Schema.Int, execute: ({ cartId }) => Effect.succeed(cartId.length) }),
  Saga.nested("order", {
    saga: PlaceOrder,
    context: ({ cartId, total }) => ({ orderId: cartId, sku: "book", quantity: 1, amount: total })
  }),
  Saga.local("done", { success: Schema.String, execute: ({ order }) => Effect.succeed(order.payment.paymentId) }),
  Saga.commit
)
same<Saga.Context<typeof Checkout>["order"], Saga.Context<typeof PlaceOrder>>(true)
same<Saga.Error<typeof Checkout>, OutOfStock | CardDeclined | NoCourier>(true)
same<Saga.Services<typeof Checkout>, Inventory>(true)

// ---- parallel ----------------------------------------------------------

const both = start.pipe(
  Saga.parallel("checks", {
    money: Saga.remote("pay", {
      execute: { command: Payments.commands.Charge, payload: ({ sku }) => ({ orderId: sku, amount: 1 }) },
      compensate: { command: Payments.commands.Refund, payload: ({ pay }) => ({ paymentId: pay.paymentId }) }
    }),
    goods: (branch) =>
      branch.pipe(
        Saga.local("reservationId", {
          success: Schema.String,
          error: OutOfStock,
          execute: ({ sku }) => Inventory.use((inventory) => inventory.reserve(sku, 1))
        }),
        Saga.remote("courier", {
          execute: { command: Shipping.commands.Book, payload: ({ reservationId }) => ({ orderId: reservationId }) }
        })
      ),
    maybe: Saga.conditional("gift", [Saga.ifThen(({ sku }) => sku === "gift", Saga.local("one", { execute: nothing }))])
  }),
  Saga.local("end", {
    success: Schema.String,
    execute: ({ courier, pay, reservationId }) => Effect.succeed(courier.courierId + pay.paymentId + reservationId)
  }),
  Saga.commit
)
same<
  Saga.Context<typeof both>,
  {
    readonly sku: string
    readonly pay: { readonly paymentId: string }
    readonly reservationId: string
    readonly courier: { readonly courierId: string }
    readonly gift: 0 | null
    readonly one?: void
    readonly end: string
  }
>(true)
same<Saga.Error<typeof both>, CardDeclined | OutOfStock | NoCourier>(true)
same<Saga.Services<typeof both>, Inventory>(true)

// ---- waits -------------------------------------------------------------

const Approval = Signal.make("approval", { payload: Schema.Struct({ approved: Schema.Boolean, by: Schema.String }) })

// Results are the payload, or what `onTimeout` gives; literals are kept. A sleep has a name and no entry.
const waits = Saga.make("S", { context: { opensAt: Schema.Date }, deadline: "30 days" }).pipe(
  Saga.sleep("opening", ({ opensAt }) => opensAt),
  Saga.waitFor("approval", {
    signal: Approval,
    timeout: "2 days",
    onTimeout: { success: Schema.Literal("nobody"), value: () => "nobody" }
  }),
  Saga.waitFor("second", {
    signal: Approval,
    key: ({ approval }) => (approval === "nobody" ? "" : approval.by),
    timeout: ({ opensAt }) => opensAt.getTime(),
    onTimeout: { success: Schema.Struct({ _tag: Schema.Literal("Late") }), value: () => ({ _tag: "Late" }) }
  }),
  Saga.waitFor("third", { signal: Approval }),
  Saga.commit
)
type Said = { readonly approved: boolean; readonly by: string }
same<
  Saga.Context<typeof waits>,
  {
    readonly opensAt: Date
    readonly approval: Said | "nobody"
    readonly second: Said | { readonly _tag: "Late" }
    readonly third: Said
  }
>(true)
same<Saga.Error<typeof waits>, never>(true)

// ---- items -------------------------------------------------------------

// The steps of an item see the context so far, the item and each other. The result is an array; their names are free behind it.
const Line = Schema.Struct({ sku: Schema.String, quantity: Schema.Int, until: Schema.Date })
const items = Saga.make("S", { context: { city: Schema.String, lines: Schema.Array(Line) } }).pipe(
  Saga.forEach("reservations", {
    items: ({ lines }) => lines,
    item: Line,
    as: "line",
    concurrency: 4,
    steps: (each) =>
      each.pipe(
        Saga.local("reservation", {
          success: Schema.String,
          error: OutOfStock,
          execute: ({ city, line }) => Inventory.use(() => Effect.succeed(`${city} ${line.until.getTime()}`)),
          compensate: ({ reservation }) => Effect.log(reservation)
        }),
        Saga.conditional("check", [
          Saga.ifThen(
            ({ line }) => line.quantity > 1,
            Saga.local("weight", { success: Schema.Int, execute: () => Effect.succeed(1) })
          )
        ]),
        Saga.forEach("parts", {
          items: ({ line }) => [line.sku],
          item: Schema.String,
          as: "part",
          steps: (each) =>
            each.pipe(
              Saga.remote("payment", {
                execute: { command: Payments.commands.Refund, payload: ({ part }) => ({ paymentId: part }) }
              })
            )
        })
      )
  }),
  Saga.forEach("labels", {
    items: ({ reservations }) => reservations.map(({ reservation }) => reservation),
    item: Schema.String,
    as: "line",
    steps: Saga.local("reservation", { success: Schema.Int, execute: ({ line }) => Effect.succeed(line.length) })
  }),
  Saga.commit
)
same<
  Saga.Context<typeof items>,
  {
    readonly city: string
    readonly lines: ReadonlyArray<{ readonly sku: string; readonly quantity: number; readonly until: Date }>
    readonly reservations: ReadonlyArray<{
      readonly reservation: string
      readonly check: 0 | null
      readonly weight?: number
      readonly parts: ReadonlyArray<{ readonly payment: void }>
    }>
    readonly labels: ReadonlyArray<{ readonly reservation: number }>
  }
>(true)
same<Saga.Error<typeof items>, OutOfStock>(true)
same<Saga.Services<typeof items>, Inventory>(true)
same<keyof Saga.Exchanges<typeof items>, "reservations" | "labels">(true)
same<keyof Saga.Exchanges<typeof items>["reservations"]["parts"], "payment">(true)

// ---- the world outside -------------------------------------------------

// Requests by the names of their steps, also in branches; those of a nested saga under its step. Signals by their own names.
const Question = Signal.make("question", { payload: Schema.String })
const Inner = Saga.make("Inner", { context: {} }).pipe(
  Saga.remote("payment", { execute: { command: Payments.commands.Refund, payload: () => ({ paymentId: "" }) } }),
  Saga.waitFor("asked", { signal: Question, timeout: "1 day" }),
  Saga.commit
)
const outside = Saga.make("S", { context: { amount: Schema.Int } }).pipe(
  Saga.conditional("way", [
    Saga.ifThen(
      ({ amount }) => amount > 1,
      Saga.remote("payment", {
        success: Schema.Boolean,
        execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ orderId: "", amount }) },
        onSuccess: () => Effect.succeed(true)
      })
    ),
    Saga.elseThen(Saga.waitFor("asked", { signal: Question, timeout: "1 day" }))
  ]),
  Saga.parallel("both", {
    left: Saga.remote("one", { execute: { target: "other/do" }, success: Schema.Int }),
    right: Saga.waitFor("two", { signal: Approval, timeout: "1 day" })
  }),
  Saga.nested("inner", { saga: Inner, context: () => ({}) }),
  Saga.commit
)
type Requests = Saga.Exchanges<typeof outside>
same<keyof Requests, "payment" | "one" | "inner">(true)
same<
  Requests["payment"],
  Saga.Exchange<{ readonly orderId: string; readonly amount: number }, { readonly paymentId: string }, CardDeclined>
>(true)
same<Requests["one"], Saga.Exchange<unknown, number, unknown>>(true)
same<keyof Requests["inner"], "payment">(true)
same<Requests["inner"]["payment"], Saga.Exchange<{ readonly paymentId: string }, void, never>>(true)
same<keyof Saga.Signals<typeof outside>, "question" | "approval">(true)
same<Saga.Signals<typeof outside>["question"], string>(true)
same<Saga.Signals<typeof outside>["approval"], Said>(true)
same<keyof Saga.Exchanges<typeof waits>, never>(true)

// ---- plan --------------------------------------------------------------

Saga.rollbackPlan(Saga.commit(maybe), "three")
Saga.rollbackPlan(both, "1")
Saga.rollbackPlan(Checkout, "1/n/2/if0/0")
Saga.rollbackPlan(Checkout)
