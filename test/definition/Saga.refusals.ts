/** Mistakes that the compiler refuses, each on its line, with the words of its message. */
import { Effect, Schema } from "effect"
import * as Saga from "../../src/definition/Saga.ts"
import { SagaRequest } from "../../src/definition/SagaMessage.ts"
import * as Signal from "../../src/definition/Signal.ts"
import { Inventory, NoCourier, OutOfStock, Payments, PlaceOrder } from "./order.ts"

const start = Saga.make("S", { context: { sku: Schema.String } })
const nothing = () => Effect.void
const charge = {
  command: Payments.commands.Charge,
  payload: ({ sku }: { readonly sku: string }) => ({ orderId: sku, amount: 1 })
}
const open = start.pipe(Saga.local("one", { execute: nothing }))
const committed = Saga.commit(open)

// ---- names -------------------------------------------------------------

start.pipe(
  Saga.local("one", { execute: nothing }),
  // @ts-expect-error StepNameAlreadyUsed<"one"> (twice)
  Saga.local("one", { execute: nothing })
)
start.pipe(
  // @ts-expect-error StepNameAlreadyUsed<"sku"> (initial context)
  Saga.local("sku", { execute: nothing })
)
start.pipe(
  Saga.remote("one", { execute: charge }),
  // @ts-expect-error StepNameAlreadyUsed<"one"> (remote twice)
  Saga.remote("one", { execute: charge })
)
start.pipe(
  Saga.local("one", { execute: nothing }),
  // @ts-expect-error StepNameAlreadyUsed<"one"> (outer name in branch)
  Saga.conditional("maybe", [Saga.ifThen(() => true, Saga.local("one", { execute: nothing }))])
)
start.pipe(
  Saga.conditional("maybe", [Saga.ifThen(() => true, Saga.local("one", { execute: nothing }))]),
  // @ts-expect-error StepNameAlreadyUsed<"one"> (branch name later)
  Saga.local("one", { execute: nothing })
)
start.pipe(
  Saga.conditional("maybe", [
    // @ts-expect-error StepNameAlreadyUsed<"maybe"> (own name of the conditional in branch)
    Saga.ifThen(() => true, Saga.local("maybe", { execute: nothing }))
  ])
)
start.pipe(
  Saga.parallel("both", {
    // @ts-expect-error StepNameAlreadyUsed<"one"> (shared by branches (first))
    a: Saga.local("one", { execute: nothing }),
    // @ts-expect-error StepNameAlreadyUsed<"one"> (shared by branches (second))
    b: Saga.local("one", { execute: nothing }),
    c: Saga.local("two", { execute: nothing })
  })
)
start.pipe(
  Saga.parallel("both", {
    // @ts-expect-error StepNameAlreadyUsed<"both"> (own name of the parallel in branch)
    a: Saga.local("both", { execute: nothing }),
    b: Saga.local("two", { execute: nothing })
  })
)
start.pipe(
  Saga.parallel("both", { a: Saga.local("one", { execute: nothing }), b: Saga.local("two", { execute: nothing }) }),
  // @ts-expect-error StepNameAlreadyUsed<"both"> (parallel name later)
  Saga.local("both", { execute: nothing })
)
open.pipe(
  // @ts-expect-error StepNameAlreadyUsed<"one"> (nested)
  Saga.nested("one", { saga: committed, context: () => ({ sku: "" }) })
)

start.pipe(
  Saga.local("one", { execute: nothing }),
  // A handler with its own types does not narrow the context of the saga,
  Saga.local("two", { execute: ({ sku }: { readonly sku: string }) => Effect.log(sku) }),
  // @ts-expect-error StepNameAlreadyUsed<"one"> (after annotated handler)
  Saga.local("one", { execute: nothing })
)
// @ts-expect-error StepOutsideOfSaga<"one"> (annotated step outside of a saga)
void Saga.local("one", { execute: ({ sku }: { readonly sku: string }) => Effect.log(sku) })
// @ts-expect-error StepOutsideOfSaga<"one"> (step outside of a saga)
void Saga.local("one", { execute: nothing })

// ---- local -------------------------------------------------------------

start.pipe(
  // @ts-expect-error Property 'execute' is missing (no execute)
  Saga.local("one", { success: Schema.String })
)
start.pipe(
  Saga.local("one", {
    success: Schema.String,
    // @ts-expect-error Type 'OutOfStock' is not assignable to type 'never'. (undeclared error)
    execute: ({ sku }) => Inventory.use((inventory) => inventory.reserve(sku, 1))
  })
)
start.pipe(
  Saga.local("one", {
    success: Schema.Number,
    // @ts-expect-error Type 'string' is not assignable to type 'number'. (wrong result)
    execute: () => Effect.succeed("x")
  })
)
start.pipe(
  // @ts-expect-error Property 'two' does not exist on type '{ readonly sku: string; }'. (reads a later step)
  Saga.local("one", { execute: ({ two }) => Effect.log(two) }),
  Saga.local("two", { execute: nothing })
)
start.pipe(
  Saga.local("one", {
    execute: nothing,
    // @ts-expect-error Type 'NoCourier' is not assignable to type 'never'. (compensation fails)
    compensate: () => Effect.fail(new NoCourier())
  })
)
start.pipe(
  Saga.local("one", {
    execute: nothing,
    // @ts-expect-error Type '"ignore"' is not assignable to type 'OnCrash'. (onCrash)
    onCrash: "ignore"
  })
)
start.pipe(
  Saga.local("one", {
    execute: nothing,
    // @ts-expect-error Type '"30 secs"' is not assignable to type 'Input'. (timeout)
    timeout: "30 secs"
  })
)
start.pipe(
  Saga.local("one", {
    execute: nothing,
    compensate: nothing,
    // @ts-expect-error UnknownRequired (compensating a step that timed out)
    timeout: "30 seconds"
  })
)
start.pipe(
  Saga.local("one", {
    // @ts-expect-error UnknownRequired (the same, before its compensation)
    timeout: 30_000,
    execute: nothing,
    compensate: { run: ({ sku }) => Effect.log(sku) }
  })
)
start.pipe(
  Saga.local("one", {
    execute: nothing,
    compensate: nothing,
    // @ts-expect-error UnknownRequired (compensating a step that crashed)
    onCrash: "compensate"
  })
)
start.pipe(
  Saga.local("one", {
    execute: nothing,
    // @ts-expect-error UnknownRequired (without a compensation)
    onCrash: "compensate"
  })
)
start.pipe(
  Saga.local("one", {
    success: Schema.String,
    execute: () => Effect.succeed(""),
    compensate: {
      run: ({ one }) => Effect.log(one),
      // @ts-expect-error Property 'one' does not exist on type '{ readonly sku: string; }'. (unknown does not know the result)
      unknown: ({ one }) => Effect.log(one)
    }
  })
)
start.pipe(
  Saga.local("one", {
    execute: nothing,
    compensate: {
      run: nothing,
      // @ts-expect-error Type 'NoCourier' is not assignable to type 'never'. (unknown fails)
      unknown: () => Effect.fail(new NoCourier())
    }
  })
)
start.pipe(
  Saga.local("one", {
    execute: nothing,
    // @ts-expect-error Property 'run' is missing (only unknown)
    compensate: { unknown: nothing }
  })
)
start.pipe(
  Saga.local("one", {
    execute: nothing,
    // @ts-expect-error Object literal may only specify known properties, and 'unknwon' does not exist (typo of unknown)
    compensate: { run: nothing, unknwon: nothing }
  })
)
start.pipe(
  Saga.local("one", {
    success: Schema.String,
    execute: ({ sku }) => Effect.succeed(sku),
    compensate: { run: ({ one }) => Effect.log(one) },
    // @ts-expect-error UnknownRequired (compensating a step that crashed, functions without annotations)
    onCrash: "compensate"
  })
)
start.pipe(
  Saga.local("one", {
    success: Schema.String,
    execute: ({ sku }) => Effect.succeed(sku),
    compensate: ({ one }) => Effect.log(one),
    // @ts-expect-error UnknownRequired (the same after a time-out, with a function alone)
    timeout: "1 second"
  })
)
start.pipe(
  Saga.local("one", {
    error: OutOfStock,
    execute: nothing,
    // @ts-expect-error Type '"NoCourier"' is not assignable to type '"OutOfStock"'. (retry on an undeclared error)
    retry: { times: 1, on: ["NoCourier"] }
  })
)
start.pipe(
  Saga.local("one", {
    error: OutOfStock,
    execute: nothing,
    // @ts-expect-error 'on' does not exist in type 'Retry'. (a compensation has no errors)
    retryCompensate: { times: 1, on: ["OutOfStock"] }
  })
)
start.pipe(
  Saga.local("one", {
    execute: nothing,
    // @ts-expect-error Property 'times' is missing (retry)
    retry: { backoff: "1 second" }
  })
)
start.pipe(
  Saga.local("one", {
    execute: nothing,
    // @ts-expect-error Object literal may only specify known properties, but 'compensation' does not exist (typo)
    compensation: nothing
  })
)

// ---- remote ------------------------------------------------------------

start.pipe(
  // @ts-expect-error Property 'execute' is missing (no execute)
  Saga.remote("pay", { compensate: { command: Payments.commands.Refund, payload: () => ({ paymentId: "" }) } })
)
start.pipe(
  Saga.remote("pay", {
    execute: {
      command: Payments.commands.Charge,
      // @ts-expect-error Type 'string' is not assignable to type 'number'. (wrong payload)
      payload: ({ sku }) => ({ orderId: sku, amount: "1" })
    }
  })
)
start.pipe(
  Saga.remote("pay", {
    // @ts-expect-error Property 'payload' is missing (no payload)
    execute: { command: Payments.commands.Charge }
  })
)
start.pipe(
  Saga.remote("pay", {
    execute: charge,
    compensate: {
      command: Payments.commands.Refund,
      // @ts-expect-error Type '{ readonly paymentId: string; }' is not assignable to type 'string'. (wrong compensation payload)
      payload: ({ pay }) => ({ paymentId: pay })
    }
  })
)
start.pipe(
  Saga.remote("pay", {
    execute: charge,
    compensate: {
      command: Payments.commands.Refund,
      payload: ({ pay }) => pay,
      // @ts-expect-error Property 'pay' does not exist on type '{ readonly sku: string; }'. (unknown does not know the result)
      unknown: ({ pay }) => pay
    }
  })
)
start.pipe(
  Saga.remote("pay", {
    execute: charge,
    // @ts-expect-error Type 'number' is not assignable to type '{ readonly paymentId: string; }'. (mapped result without schema)
    onSuccess: (reply) => Effect.succeed(reply.paymentId.length)
  })
)
start.pipe(
  // @ts-expect-error OnSuccessRequired (other result without onSuccess)
  Saga.remote("pay", {
    success: Schema.Int,
    execute: charge
  })
)
start.pipe(
  Saga.remote("pay", {
    success: Schema.Int,
    execute: charge,
    // @ts-expect-error Type 'string' is not assignable to type 'number'. (onSuccess gives another type than its schema)
    onSuccess: (reply) => Effect.succeed(reply.paymentId)
  })
)
start.pipe(
  Saga.remote("pay", {
    execute: charge,
    // @ts-expect-error Property 'reason' is missing (onSuccess fails with an undeclared error)
    onSuccess: (reply) => (reply.paymentId === "" ? Effect.fail(new NoCourier()) : Effect.succeed(reply))
  })
)
start.pipe(
  Saga.remote("pay", {
    execute: charge,
    // @ts-expect-error Property 'reason' is missing (onError fails with an undeclared error)
    onError: () => Effect.fail(new NoCourier())
  })
)
start.pipe(
  Saga.remote("pay", {
    execute: charge,
    // @ts-expect-error Type 'string' is not assignable to type '{ readonly paymentId: string; }'. (onError recovers with a wrong result)
    onError: () => Effect.succeed("cash")
  })
)
start.pipe(
  Saga.remote("pay", {
    // @ts-expect-error Property 'target' is missing (untyped request is not a request)
    execute: { content: ({ sku }: { readonly sku: string }) => sku }
  })
)
start.pipe(
  Saga.remote("pay", {
    // @ts-expect-error Type '"payments"' is not assignable to type '`${string}/${string}`'. (target without a command)
    execute: { target: "payments", content: () => null }
  })
)
start.pipe(
  Saga.remote("pay", {
    // @ts-expect-error Argument of type '"payments"' is not assignable to parameter of type '`${string}/${string}`'. (same)
    execute: SagaRequest.make("payments")
  })
)
start.pipe(
  Saga.remote("pay", {
    // @ts-expect-error Property 'skew' does not exist on type '{ readonly sku: string; }'. (untyped reads unknown entry)
    execute: { target: "payments/charge", content: ({ skew }) => skew }
  })
)
start.pipe(
  Saga.remote("pay", {
    // @ts-expect-error Property 'skew' does not exist on type '{ readonly sku: string; }'. (the same, as a value)
    execute: SagaRequest.make("payments/charge", ({ skew }) => skew)
  })
)
start.pipe(
  Saga.remote("pay", {
    success: Schema.Int,
    execute: { target: "payments/charge" },
    // @ts-expect-error Type 'string' is not assignable to type 'number'. (untyped: onSuccess keeps the type of the reply)
    onSuccess: (reply) => Effect.succeed(reply.toFixed())
  })
)
start.pipe(
  Saga.remote("pay", {
    success: Schema.Int,
    execute: charge,
    onSuccess: (reply) => Effect.succeed(reply.paymentId.length),
    compensate: {
      command: Payments.commands.Refund,
      // @ts-expect-error Property 'toFixed' does not exist on type '{ readonly paymentId: string; }'. (compensation reads the reply, not the result)
      payload: ({ pay }) => ({ paymentId: pay.toFixed() })
    }
  })
)
start.pipe(
  Saga.remote("pay", {
    execute: { target: "payments/charge" },
    // @ts-expect-error Property 'pay' does not exist on type '{ readonly sku: string; }'. (unknown does not know the reply)
    compensate: { target: "payments/refund", content: ({ pay }) => pay, unknown: ({ pay }) => pay }
  })
)
start.pipe(
  Saga.remote("pay", {
    execute: charge,
    // @ts-expect-error 'times' does not exist in type 'RequestsAreResent'. (a request has no retry)
    retry: { times: 3 }
  })
)
const shared = { retry: { times: 3 } }
start.pipe(
  // @ts-expect-error Property 'requestsAreResent' is missing in type '{ times: number; }' (nor from shared policies)
  Saga.remote("pay", { ...shared, execute: charge })
)
start.pipe(
  Saga.remote("pay", {
    execute: charge,
    // @ts-expect-error Object literal may only specify known properties, and 'onCrash' does not exist (policy of local steps)
    onCrash: "park"
  })
)

// ---- conditional -------------------------------------------------------

start.pipe(
  // @ts-expect-error Source has 0 element(s) but target requires 1. (no alternative)
  Saga.conditional("way", [])
)
start.pipe(
  Saga.conditional("way", [
    // @ts-expect-error ElseThenMustBeLast (else first)
    Saga.elseThen(Saga.local("one", { execute: nothing })),
    Saga.ifThen(() => true, Saga.local("two", { execute: nothing }))
  ])
)
start.pipe(
  Saga.conditional("way", [
    // @ts-expect-error ElseThenMustBeLast (two else)
    Saga.elseThen(Saga.local("one", { execute: nothing })),
    Saga.elseThen(Saga.local("two", { execute: nothing }))
  ])
)
start.pipe(
  Saga.conditional("way", [
    // @ts-expect-error Property 'nope' does not exist on type '{ readonly sku: string; } & { readonly way: Reserved; }'. (condition reads unknown entry)
    Saga.ifThen(({ nope }) => nope, Saga.local("one", { execute: nothing }))
  ])
)
start.pipe(
  Saga.conditional("way", [
    // @ts-expect-error Type 'Reserved' is not assignable to type 'boolean'. (condition reads its own choice)
    Saga.ifThen(({ way }) => way, Saga.local("one", { execute: nothing }))
  ])
)
start.pipe(
  Saga.conditional("way", [
    // @ts-expect-error Type 'string' is not assignable to type 'boolean'. (condition is not boolean)
    Saga.ifThen(({ sku }) => sku, Saga.local("one", { execute: nothing }))
  ])
)
start.pipe(
  Saga.conditional("way", [
    // @ts-expect-error Type '"empty"' is not assignable to type '"open"'. (empty branch)
    Saga.elseThen((branch) => branch)
  ])
)
start.pipe(
  Saga.conditional("way", [
    // @ts-expect-error Type '"committed"' is not assignable to type '"open"'. (committed branch)
    Saga.elseThen((branch) => branch.pipe(Saga.local("one", { execute: nothing }), Saga.commit))
  ])
)
start.pipe(
  Saga.conditional("way", [
    Saga.ifThen(
      () => true,
      (branch) =>
        branch.pipe(
          Saga.local("one", {
            // @ts-expect-error Type 'NoCourier' is not assignable to type 'never'. (wrong inside a branch)
            execute: () => Effect.fail(new NoCourier())
          })
        )
    )
  ])
)
start.pipe(
  Saga.conditional("way", [
    Saga.ifThen(() => true, Saga.local("one", { success: Schema.Int, execute: () => Effect.succeed(1) }))
  ]),
  Saga.local("two", {
    success: Schema.Int,
    // @ts-expect-error Type 'undefined' is not assignable to type 'number'. (a result that may be missing)
    execute: ({ one }) => Effect.succeed(one)
  })
)

// ---- start -------------------------------------------------------------

start.pipe(
  // @ts-expect-error a saga that is not committed is not started
  Saga.start("other", { saga: open, context: ({ sku }) => ({ sku }) })
)
start.pipe(
  // @ts-expect-error the context is that of the other saga
  Saga.start("other", { saga: committed, context: ({ sku }) => ({ sku: sku.length }) })
)
start.pipe(
  // @ts-expect-error the context is needed
  Saga.start("other", { saga: committed })
)
start.pipe(
  Saga.start("other", {
    saga: committed,
    context: ({ sku }) => ({ sku }),
    // @ts-expect-error a compensation does not fail
    compensate: () => Effect.fail("no")
  })
)
start.pipe(
  Saga.pivot,
  // @ts-expect-error NothingIsUndoneBehindPivot
  Saga.start("other", { saga: committed, context: ({ sku }) => ({ sku }), compensate: nothing })
)
start.pipe(
  Saga.local("one", { execute: nothing }),
  // @ts-expect-error StepNameAlreadyUsed<"one"> (start)
  Saga.start("one", { saga: committed, context: ({ sku }) => ({ sku }) })
)

// ---- nested ------------------------------------------------------------

start.pipe(
  // @ts-expect-error Type '"open"' is not assignable to type '"committed"'. (open saga)
  Saga.nested("inner", { saga: open, context: ({ sku }) => ({ sku }) })
)
start.pipe(
  // @ts-expect-error Type 'number' is not assignable to type 'string'. (wrong context)
  Saga.nested("inner", { saga: committed, context: ({ sku }) => ({ sku: sku.length }) })
)
start.pipe(
  // @ts-expect-error Property 'context' is missing (missing context)
  Saga.nested("inner", { saga: committed })
)

// ---- parallel ----------------------------------------------------------

start.pipe(
  Saga.parallel("both", {
    a: Saga.local("one", { success: Schema.Int, execute: () => Effect.succeed(1) }),
    // @ts-expect-error Property 'one' does not exist on type '{ readonly sku: string; } & { readonly both: Reserved; }'. (reads another branch)
    b: Saga.local("two", { execute: ({ one }) => Effect.log(one) })
  })
)
start.pipe(
  Saga.parallel("both", {
    // @ts-expect-error Type '"empty"' is not assignable to type '"open"'. (empty branch)
    a: (branch) => branch,
    b: Saga.local("two", { execute: nothing })
  })
)

// ---- commit ------------------------------------------------------------

// @ts-expect-error Type '"empty"' is not assignable to type '"open"'. (empty saga)
start.pipe(Saga.commit)
// @ts-expect-error Type '"committed"' is not assignable to type '"open"'. (twice)
open.pipe(Saga.commit, Saga.commit)
open.pipe(
  Saga.commit,
  // @ts-expect-error Type '"committed"' is not assignable to type 'Appendable'. (step afterwards)
  Saga.local("two", { execute: nothing })
)
committed.pipe(
  // @ts-expect-error Type '"committed"' is not assignable to type 'Appendable'. (remote afterwards)
  Saga.remote("two", { execute: charge })
)
committed.pipe(
  // @ts-expect-error Type '"committed"' is not assignable to type 'Appendable'. (conditional afterwards)
  Saga.conditional("way", [Saga.ifThen(({ sku }) => sku === "", Saga.local("two", { execute: nothing }))])
)

// ---- waits -------------------------------------------------------------

const Approval = Signal.make("approval", { payload: Schema.Struct({ by: Schema.String }) })

start.pipe(
  // @ts-expect-error StepNameAlreadyUsed<"sku"> (sleep)
  Saga.sleep("sku", "1 second")
)
start.pipe(
  Saga.sleep("nap", "1 second"),
  // @ts-expect-error StepNameAlreadyUsed<"nap"> (wait)
  Saga.waitFor("nap", { signal: Approval })
)
start.pipe(
  Saga.waitFor("ask", { signal: Approval }),
  // @ts-expect-error Property 'amount' does not exist on type
  Saga.local("x", { success: Schema.Int, execute: ({ ask }) => Effect.succeed(ask.amount) })
)
start.pipe(
  Saga.waitFor("ask", {
    signal: Approval,
    timeout: "1 day",
    // @ts-expect-error Type '"somebody"' is not assignable to type '"nobody"'.
    onTimeout: { success: Schema.Literal("nobody"), value: () => "somebody" }
  })
)
start.pipe(
  // @ts-expect-error Type 'number' is not assignable to type 'string'.
  Saga.waitFor("ask", { signal: Approval, key: () => 1 })
)
// @ts-expect-error StepOutsideOfSaga<"nap">
Saga.sleep("nap", "1 second")

// ---- items -------------------------------------------------------------

const Line = Schema.Struct({ sku: Schema.String })
const order = Saga.make("S", { context: { lines: Schema.Array(Line) } })
const one: any = open // any steps

order.pipe(
  // @ts-expect-error StepNameAlreadyUsed<"lines">
  Saga.forEach("lines", { items: ({ lines }) => lines, item: Line, as: "line", steps: () => one })
)
order.pipe(
  // @ts-expect-error StepNameAlreadyUsed<"lines"> (the name of the item)
  Saga.forEach("each", { items: ({ lines }) => lines, item: Line, as: "lines", steps: () => one })
)
order.pipe(
  // @ts-expect-error StepNameAlreadyUsed<"each"> (the name of the item)
  Saga.forEach("each", { items: ({ lines }) => lines, item: Line, as: "each", steps: () => one })
)
order.pipe(
  Saga.forEach("each", {
    // @ts-expect-error Type 'string' is not assignable to type 'number'.
    items: ({ lines }) => lines.map(({ sku }) => sku),
    item: Schema.Int,
    as: "line",
    steps: () => one
  })
)
order.pipe(
  Saga.forEach("each", {
    items: ({ lines }) => lines,
    item: Line,
    as: "line",
    steps: (each) =>
      // @ts-expect-error Property 'price' does not exist on type
      each.pipe(Saga.local("one", { success: Schema.Int, execute: ({ line }) => Effect.succeed(line.price) }))
  })
)
order.pipe(
  Saga.forEach("each", {
    items: ({ lines }) => lines,
    item: Line,
    as: "line",
    // @ts-expect-error StepNameAlreadyUsed<"line"> (a step of the item)
    steps: (each) => each.pipe(Saga.local("line", { execute: nothing }))
  })
)
order.pipe(
  Saga.forEach("each", {
    items: ({ lines }) => lines,
    item: Line,
    as: "line",
    steps: (each) =>
      each.pipe(
        Saga.local("one", { execute: nothing }),
        // @ts-expect-error StepNameAlreadyUsed<"one"> (twice in an item)
        Saga.local("one", { execute: nothing })
      )
  })
)
order.pipe(
  Saga.forEach("each", {
    items: ({ lines }) => lines,
    item: Line,
    as: "line",
    // @ts-expect-error PivotInsideOfStep
    steps: (each) => each.pipe(Saga.local("one", { execute: nothing }), Saga.pivot)
  })
)
order.pipe(
  Saga.pivot,
  Saga.forEach("each", {
    items: ({ lines }) => lines,
    item: Line,
    as: "line",
    // @ts-expect-error NothingIsUndoneBehindPivot
    steps: (each) => each.pipe(Saga.local("one", { execute: nothing, compensate: nothing }))
  })
)
order.pipe(
  Saga.forEach("each", {
    items: ({ lines }) => lines,
    item: Line,
    as: "line",
    steps: (each) => each.pipe(Saga.local("one", { success: Schema.Int, execute: () => Effect.succeed(1) }))
  }),
  // @ts-expect-error Property 'one' does not exist on type (the result of a step of the items)
  Saga.local("after", { execute: ({ one }) => Effect.log(one) })
)
// @ts-expect-error StepOutsideOfSaga<"each">
Saga.forEach("each", { items: () => [], item: Line, as: "line", steps: () => one })

// ---- plan --------------------------------------------------------------

// @ts-expect-error Type '"open"' is not assignable to type '"committed"'. (open saga)
Saga.rollbackPlan(open)
// @ts-expect-error Argument of type '"curier"' is not assignable (no such step)
Saga.rollbackPlan(PlaceOrder, "curier")
