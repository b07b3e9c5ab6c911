/**
 * The steps that the combinators make, by the ids of CONFORMANCE. For a mistake that does not compile, the test holds the
 * refusal (`@ts-expect-error`) and, if plain JavaScript can make it, the issue of validation.
 */
// biome-ignore-all lint/suspicious/noConfusingVoidType: the result of a step that gives none
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Result, Schema } from "effect"
import * as Participant from "../../src/definition/ParticipantContract.ts"
import * as Saga from "../../src/definition/Saga.ts"
import { SagaRequest } from "../../src/definition/SagaMessage.ts"
import * as SagaRegistry from "../../src/definition/SagaRegistry.ts"
import type * as Step from "../../src/definition/SagaStep.ts"
import * as SagaValidation from "../../src/definition/SagaValidation.ts"
import { CardDeclined, NoCourier, OutOfStock, Payments, PlaceOrder } from "./order.ts"

const nothing = () => Effect.void
const start = Saga.make("S", { context: { sku: Schema.String } })
const charge = {
  command: Payments.commands.Charge,
  payload: ({ sku }: { readonly sku: string }) => ({ orderId: sku, amount: 1 })
}
const refund = { command: Payments.commands.Refund, payload: () => ({ paymentId: "" }) }

const issues = (saga: Step.Definition) => SagaValidation.validate(saga).map(({ _tag, path }) => [_tag, path])

/** The only step of a saga, as the kind it must be. */
const only = <Tag extends Step.SagaStep["_tag"]>(
  saga: Step.Definition,
  tag: Tag
): Extract<Step.SagaStep, { _tag: Tag }> => {
  const step = saga.steps[0]
  assert.deepStrictEqual([saga.steps.length, step?._tag], [1, tag])
  return step as Extract<Step.SagaStep, { _tag: Tag }> // the line above has looked
}

describe("context", () => {
  const saga = Saga.make("S", {
    context: { amount: Schema.Int, note: Schema.String, address: Schema.Struct({ city: Schema.String }) }
  })
  const context = { amount: 1, note: "gift", address: { city: "Gent" } }

  it("CTX-001 a handler reads every initial value by its key", () => {
    const read = saga.pipe(
      Saga.conditional("way", [
        Saga.ifThen(
          ({ address, amount, note }) => amount + note + address.city === "1giftGent",
          Saga.local("one", { execute: nothing })
        )
      ])
    )
    const { condition } = only(read, "Conditional").alternatives[0] ?? {}
    assert.strictEqual(condition?.(context), true)
    assert.strictEqual(condition?.({ ...context, amount: 2 }), false)
  })

  it("CTX-002 CTX-003 CTX-004 a handler can neither set nor delete a key", () => {
    saga.pipe(
      Saga.local("one", {
        execute: (context) => {
          // @ts-expect-error Property 'note' does not exist ... or is read-only: a step changes the context by its result
          context.note = "changed"
          // @ts-expect-error Property 'two' does not exist on type
          context.two = 2
          // @ts-expect-error The operand of a 'delete' operator cannot be a read-only property.
          delete context.note
          return Effect.void
        }
      })
    )
  })

  it("CTX-005 reading an absent key does not compile", () => {
    // @ts-expect-error Property 'absent' does not exist on type
    saga.pipe(Saga.local("one", { execute: ({ absent }) => Effect.log(absent) }))
  })

  it("CTX-006 the initial context goes through JSON and back", () => {
    const json = Schema.fromJsonString(Schema.toCodecJson(saga.context))
    const text = Schema.encodeSync(json)(context)
    assert.strictEqual(text, JSON.stringify(context))
    assert.deepStrictEqual(Schema.decodeSync(json)(text), context)
  })
})

describe("operations", () => {
  it("OPE-001 a step keeps its callbacks as they are", () => {
    const execute = () => Effect.succeed(1)
    const compensate = () => Effect.void
    const step = only(start.pipe(Saga.local("one", { success: Schema.Int, execute, compensate })), "Local")
    assert.strictEqual(step.execute, execute)
    assert.strictEqual(step.compensate?.run, compensate)
    assert.strictEqual(
      only(start.pipe(Saga.remote("pay", { execute: charge })), "Remote").execute.content,
      charge.payload
    )
  })

  it("OPE-002 parameters come from the context, from a value or from a closure", () => {
    const of = (parameters: { readonly amount: number }) => () => parameters
    const contents = [
      start.pipe(
        Saga.remote("pay", { execute: { target: "payments/charge", content: ({ sku }) => ({ amount: sku.length }) } })
      ),
      start.pipe(Saga.remote("pay", { execute: { target: "payments/charge", content: { amount: 4 } } })),
      start.pipe(Saga.remote("pay", { execute: { target: "payments/charge", content: of({ amount: 4 }) } }))
    ].map((saga) => only(saga, "Remote").execute.content({ sku: "book" }))
    assert.deepStrictEqual(contents, [{ amount: 4 }, { amount: 4 }, { amount: 4 }])
  })
})

describe("sagas", () => {
  const open = start.pipe(Saga.local("one", { execute: nothing }), Saga.remote("pay", { execute: charge }))
  const names = (saga: Step.Definition) => saga.steps.map(({ name }) => name)

  it("DEF-001 a new saga is open and empty", () => {
    assert.deepStrictEqual([start.name, start.state, start.steps, start.fingerprint], ["S", "empty", [], ""])
  })

  it("DEF-002 a saga built from steps and committed has those steps, in order", () => {
    const saga = open.pipe(Saga.commit)
    assert.strictEqual(saga.state, "committed")
    assert.deepStrictEqual(names(saga), ["one", "pay"])
  })

  it("DEF-003 commit gives the same saga, committed, with the same steps", () => {
    const committed = Saga.commit(open)
    assert.deepStrictEqual(
      { ...committed, state: "open", fingerprint: "" },
      { ...open },
      "only the state and the fingerprint differ"
    )
    assert.strictEqual(committed.steps[0], open.steps[0])
    assert.match(committed.fingerprint, /^[0-9a-f]{64}$/)
    assert.strictEqual(open.state, "open")
    // @ts-expect-error Type '"empty"' is not assignable to type '"open"'.
    const empty = Saga.commit(start)
    assert.strictEqual(empty.state, "committed")
    assert.deepStrictEqual(issues(empty), [["EmptySaga", ""]])
  })

  it("DEF-004 committing twice does not compile, and changes nothing", () => {
    const committed = Saga.commit(open)
    // @ts-expect-error Type '"committed"' is not assignable to type '"open"'.
    assert.deepStrictEqual(Saga.commit(committed), committed)
  })

  it("DEF-005 no step can be added to a committed saga", () => {
    const committed = Saga.commit(open)
    const more: ReadonlyArray<Step.Definition> = [
      // @ts-expect-error Type '"committed"' is not assignable to type 'Appendable'.
      committed.pipe(Saga.local("two", { execute: nothing })),
      // @ts-expect-error Type '"committed"' is not assignable to type 'Appendable'.
      committed.pipe(Saga.remote("two", { execute: charge })),
      // @ts-expect-error Type '"committed"' is not assignable to type 'Appendable'.
      committed.pipe(Saga.conditional("two", [Saga.elseThen(Saga.local("three", { execute: nothing }))]))
    ]
    assert.deepStrictEqual(names(committed), ["one", "pay"])
    assert.deepStrictEqual(more.map(issues), [
      [["SagaNotCommitted", ""]],
      [["SagaNotCommitted", ""]],
      [["SagaNotCommitted", ""]]
    ])
  })

  it("DEF-006 a combinator takes only the options of its own kind", () => {
    // @ts-expect-error Type '{ command: … }' is not assignable to type '(context: …) => Effect<…>'.
    const local = start.pipe(Saga.local("one", { execute: charge }))
    // @ts-expect-error Type '() => Effect<void>' is not assignable to type 'SagaRequest<…> | Send<…>'.
    const remote = start.pipe(Saga.remote("one", { execute: nothing }))
    // @ts-expect-error Type '(self: Saga<…>) => Saga<…>' is not assignable to type 'AnyAlternative<…>'.
    const conditional = () => start.pipe(Saga.conditional("way", [Saga.local("one", { execute: nothing })]))
    assert.deepStrictEqual(issues(Saga.commit(local)), [["InvalidOption", "0"]])
    assert.deepStrictEqual(issues(Saga.commit(remote)), [
      ["InvalidName", "0"],
      ["InvalidName", "0"],
      ["InvalidOption", "0"]
    ])
    assert.deepStrictEqual(issues(Saga.commit(conditional() as any)), [["EmptySagaStep", "0/else"]]) // a refused type
  })

  it("DEF-007 a local step is added from its operation; without one it does not compile", () => {
    assert.strictEqual(only(start.pipe(Saga.local("one", { execute: nothing })), "Local").execute, nothing)
    // @ts-expect-error Expected 2 arguments, but got 1.
    const bare = start.pipe(Saga.local("one"))
    assert.strictEqual(only(bare, "Local").execute, undefined)
    assert.deepStrictEqual(issues(Saga.commit(bare as any)), [["EmptySagaStep", "0"]]) // a refused type
  })

  it("DEF-008 a remote step is added from a command or a request; without one it does not compile", () => {
    const requests = [
      start.pipe(Saga.remote("pay", { execute: charge })),
      start.pipe(Saga.remote("pay", { execute: { target: "payments/Charge" } })),
      start.pipe(Saga.remote("pay", { execute: SagaRequest.make("payments/Charge") }))
    ].map((saga) => only(saga, "Remote").execute)
    assert.deepStrictEqual(
      requests.map(({ command, service }) => [service, command]),
      [
        ["payments", "Charge"],
        ["payments", "Charge"],
        ["payments", "Charge"]
      ]
    )
    // @ts-expect-error Expected 2 arguments, but got 1.
    const bare = start.pipe(Saga.remote("one"))
    assert.deepStrictEqual(issues(Saga.commit(bare as any)), [["EmptySagaStep", "0"]]) // a refused type
  })

  it("DEF-009 a conditional step is added from its alternatives; an empty one does not compile", () => {
    const step = only(
      start.pipe(Saga.conditional("way", [Saga.elseThen(Saga.local("one", { execute: nothing }))])),
      "Conditional"
    )
    assert.strictEqual(step.alternatives.length, 1)
    // @ts-expect-error Source has 0 element(s) but target requires 1.
    const empty = start.pipe(Saga.conditional("way", []))
    assert.deepStrictEqual(only(empty, "Conditional").alternatives, [])
  })

  it("DEF-010 steps keep the order in which they are added", () => {
    const saga = Array.from({ length: 50 }, (_, i) => `s${(i * 37) % 50}`).reduce<Saga.Any>(
      (saga, name) => (saga as typeof open).pipe(Saga.local(name, { execute: nothing })),
      start
    )
    assert.deepStrictEqual(
      names(saga),
      Array.from({ length: 50 }, (_, i) => `s${(i * 37) % 50}`)
    )
  })

  it("DEF-011 a step without any operation is an issue, and the saga cannot run", () => {
    // @ts-expect-error Property 'execute' is missing
    const saga = start.pipe(Saga.local("one", {}), Saga.local("two", { execute: nothing }))
    const committed: Step.Definition = Saga.commit(saga as any) // a refused type
    assert.deepStrictEqual(issues(committed), [["EmptySagaStep", "0"]])
    assert.isTrue(Result.isFailure(SagaRegistry.make([committed])))
  })

  // biome-ignore-start lint/suspicious/noDuplicateObjectKeys: this is the refusal
  it("DEF-012 STP-002 STP-006 an operation cannot be given twice", () => {
    start.pipe(
      Saga.local("one", {
        execute: nothing,
        compensate: nothing,
        // @ts-expect-error An object literal cannot have multiple properties with the same name.
        execute: nothing,
        // @ts-expect-error An object literal cannot have multiple properties with the same name.
        compensate: nothing
      }),
      Saga.remote("pay", {
        execute: charge,
        compensate: refund,
        onSuccess: Effect.succeed,
        onError: Effect.fail,
        // @ts-expect-error An object literal cannot have multiple properties with the same name.
        execute: charge,
        // @ts-expect-error An object literal cannot have multiple properties with the same name.
        compensate: refund,
        // @ts-expect-error An object literal cannot have multiple properties with the same name.
        onSuccess: Effect.succeed,
        // @ts-expect-error An object literal cannot have multiple properties with the same name.
        onError: Effect.fail
      })
    )
  })
  // biome-ignore-end lint/suspicious/noDuplicateObjectKeys: this is the refusal

  it("DEF-013 a remote step with only a compensation is an issue", () => {
    // @ts-expect-error Property 'execute' is missing
    const saga = start.pipe(Saga.remote("pay", { compensate: refund }))
    assert.deepStrictEqual(issues(Saga.commit(saga as any)), [["UndefinedOnExecute", "0"]]) // a refused type
  })

  it("DEF-014 a step that is written outside of a saga does not compile", () => {
    const outside = [
      // @ts-expect-error StepOutsideOfSaga<"one">
      Saga.local("one", { execute: nothing }),
      // @ts-expect-error StepOutsideOfSaga<"two">
      Saga.remote("two", { execute: refund }),
      // @ts-expect-error StepOutsideOfSaga<"way">
      Saga.conditional("way", [Saga.elseThen(Saga.local("three", { execute: nothing }))])
    ]
    assert.strictEqual(outside.length, 3)
  })

  it("DEF-015 chaining appends a step of the kind that is asked for to the same saga", () => {
    const chained = start.pipe(
      Saga.local("one", { execute: nothing }),
      Saga.remote("pay", { execute: charge }),
      Saga.conditional("way", [Saga.ifThen(() => true, Saga.local("two", { execute: nothing }))]),
      Saga.nested("order", { saga: Saga.commit(open), context: ({ sku }) => ({ sku }) }),
      Saga.parallel("both", {
        a: Saga.local("three", { execute: nothing }),
        b: Saga.local("four", { execute: nothing })
      })
    )
    assert.strictEqual(chained.name, "S")
    assert.deepStrictEqual(
      chained.steps.map(({ _tag }) => _tag),
      ["Local", "Remote", "Conditional", "Nested", "Parallel"]
    )
    assert.deepStrictEqual(issues(Saga.commit(chained)), [])
  })

  it("DEF-016 commit ends a chain with the saga that the chain began", () => {
    const saga = start.pipe(Saga.local("one", { execute: nothing }), Saga.commit)
    assert.deepStrictEqual(
      [saga.name, saga.state, saga.context === start.context, names(saga)],
      ["S", "committed", true, ["one"]]
    )
  })

  it("a saga that a step is added to stays as it was, and nothing in a saga can be changed", () => {
    const one = start.pipe(Saga.local("one", { execute: nothing, retry: { times: 1 } }))
    const two = one.pipe(Saga.local("two", { execute: nothing }))
    assert.deepStrictEqual(
      [start, one, two].map(({ state, steps }) => [state, steps.length]),
      [
        ["empty", 0],
        ["open", 1],
        ["open", 2]
      ]
    )
    const { alternatives } = PlaceOrder.steps[2] as Step.Conditional
    const { policies } = only(one, "Local")
    const parts = [
      PlaceOrder,
      PlaceOrder.steps,
      PlaceOrder.steps[1],
      alternatives,
      alternatives[0]?.steps,
      policies,
      policies.retry
    ]
    assert.deepStrictEqual(
      parts.map(Object.isFrozen),
      parts.map(() => true)
    )
  })

  it("nothing runs while a saga is defined", () => {
    const ran: Array<string> = []
    const run = (name: string): any => ran.push(name) // whatever is asked of it
    start.pipe(
      Saga.local("one", { execute: () => run("execute"), compensate: () => run("compensate") }),
      Saga.remote("pay", {
        execute: { command: Payments.commands.Charge, payload: () => run("payload") },
        onSuccess: () => run("onSuccess"),
        onError: () => run("onError")
      }),
      Saga.conditional("way", [Saga.ifThen(() => run("condition"), Saga.local("two", { execute: nothing }))]),
      Saga.commit
    )
    assert.deepStrictEqual(ran, [])
  })

  it("a version is kept, and makes a saga of the same steps another one", () => {
    const of = (version?: string) =>
      Saga.make("S", { context: {}, ...(version !== undefined && { version }) }).pipe(
        Saga.local("one", { execute: nothing }),
        Saga.commit
      )
    assert.deepStrictEqual([of().version, of("2").version], [undefined, "2"])
    assert.strictEqual(new Set([of(), of(), of("1"), of("2")].map(({ fingerprint }) => fingerprint)).size, 3)
  })
})

describe("local steps", () => {
  it("STP-001 a local step has the operations and policies it is given, and defaults for the rest", () => {
    const run = () => Effect.void
    const unknown = () => Effect.void
    const given = only(
      start.pipe(
        Saga.local("one", {
          success: Schema.Int,
          error: OutOfStock,
          execute: () => Effect.succeed(1),
          compensate: { run, unknown },
          timeout: "30 seconds",
          retry: { times: 3, backoff: { initial: "1 second", factor: 3, max: "1 minute" }, on: ["OutOfStock"] },
          retryCompensate: { times: 10, backoff: { seconds: 2 } },
          onCrash: "compensate",
          transactional: true
        })
      ),
      "Local"
    )
    assert.deepStrictEqual(given.compensate, { run, unknown })
    assert.deepStrictEqual(given.policies, {
      timeout: 30_000,
      retry: { times: 3, backoff: { initial: 1_000, factor: 3, max: 60_000 }, on: ["OutOfStock"] },
      retryCompensate: { times: 10, backoff: { initial: 2_000, factor: 2, max: 300_000 } }
    })
    assert.deepStrictEqual(
      [given.success, given.error, given.onCrash, given.transactional],
      [Schema.Int, OutOfStock, "compensate", true]
    )
    const plain = only(start.pipe(Saga.local("one", { execute: nothing })), "Local")
    assert.deepStrictEqual(
      [plain.success, plain.error, plain.compensate, plain.policies, plain.onCrash, plain.transactional],
      [Schema.Void, Schema.Never, undefined, {}, "retry", false]
    )
  })

  it("retries start after 100 milliseconds, those of a compensation after a second; a first pause above the cap is kept", () => {
    const { policies } = only(
      start.pipe(
        Saga.local("one", { execute: nothing, compensate: nothing, retry: { times: 1 }, retryCompensate: { times: 2 } })
      ),
      "Local"
    )
    assert.deepStrictEqual(policies, {
      retry: { times: 1, backoff: { initial: 100, factor: 2, max: 300_000 } },
      retryCompensate: { times: 2, backoff: { initial: 1_000, factor: 2, max: 300_000 } }
    })
    const long = only(
      start.pipe(Saga.local("one", { execute: nothing, retry: { times: 1, backoff: "1 hour" } })),
      "Local"
    )
    assert.deepStrictEqual(long.policies.retry?.backoff, { initial: 3_600_000, factor: 2, max: 3_600_000 })
  })

  it("STP-003 a local step without operations, or with only a compensation, is an issue", () => {
    // @ts-expect-error Property 'execute' is missing
    const empty = start.pipe(Saga.local("one", {}))
    // @ts-expect-error Property 'execute' is missing
    const withoutExecute = start.pipe(Saga.local("one", { compensate: nothing }))
    assert.deepStrictEqual(issues(Saga.commit(empty as any)), [["EmptySagaStep", "0"]]) // a refused type
    assert.deepStrictEqual(issues(Saga.commit(withoutExecute as any)), [["UndefinedOnExecute", "0"]]) // a refused type
  })

  it("STP-004 two local steps are equal only if both operations are", () => {
    const execute = () => Effect.void
    const of = (execute: () => Effect.Effect<void>, compensate: () => Effect.Effect<void>) =>
      only(start.pipe(Saga.local("one", { execute, compensate })), "Local")
    assert.isTrue(Equal.equals(of(execute, nothing), of(execute, nothing)))
    assert.isFalse(Equal.equals(of(execute, nothing), of(nothing, nothing)))
    assert.isFalse(Equal.equals(of(execute, nothing), of(execute, execute)))
  })
})

describe("remote steps", () => {
  it("STP-005 a remote step has the operations it is given", () => {
    const onSuccess = ({ paymentId }: { readonly paymentId: string }) => Effect.succeed(paymentId.length)
    const onError = (error: CardDeclined) => Effect.fail(error)
    const unknown = () => ({ paymentId: "" })
    const step = only(
      start.pipe(
        Saga.remote("pay", {
          success: Schema.Int,
          execute: charge,
          onSuccess,
          onError,
          compensate: { ...refund, unknown },
          timeout: 5_000
        })
      ),
      "Remote"
    )
    assert.deepStrictEqual(
      [step.execute.content, step.onSuccess, step.onError, step.compensate?.content, step.compensate?.unknown],
      [charge.payload, onSuccess, onError, refund.payload, unknown]
    )
    assert.deepStrictEqual(
      [step.execute.command, step.compensate?.command, step.policies],
      ["Charge", "Refund", { timeout: 5_000 }]
    )
    const plain = only(start.pipe(Saga.remote("pay", { execute: charge })), "Remote")
    assert.deepStrictEqual(Object.keys(plain).sort(), ["_tag", "error", "execute", "name", "policies", "success"])
  })

  it("the contract of a command decides what is sent, how the reply is read and whether it is probed", () => {
    const Warehouse = Participant.make(
      "warehouse",
      { Pick: { payload: { sku: Schema.String }, success: Schema.Int, error: OutOfStock, effect: "staged" } },
      { probe: false }
    )
    const { execute } = only(
      start.pipe(
        Saga.remote("picked", { execute: { command: Warehouse.commands.Pick, payload: ({ sku }) => ({ sku }) } })
      ),
      "Remote"
    )
    assert.deepStrictEqual(
      [execute.service, execute.command, execute.probe, execute.effect, execute.success, execute.error],
      ["warehouse", "Pick", false, "staged", Schema.Int, OutOfStock]
    )
    assert.strictEqual(execute.payload, Warehouse.commands.Pick.payload)
    const typed = only(start.pipe(Saga.remote("pay", { execute: charge })), "Remote").execute
    assert.deepStrictEqual([typed.probe, typed.effect], [true, "immediate"])
    const { Count, Pick } = Participant.make("warehouse", {
      Count: { payload: {}, compensable: false },
      Pick: { payload: {} }
    }).commands
    assert.deepStrictEqual([Count.compensable, "compensable" in Pick], [false, false])
  })

  it("a request without a command is data of the same form, is never probed, and its reply is read by the step's schema", () => {
    const Reply = Schema.Struct({ id: Schema.String })
    const step = only(
      start.pipe(
        Saga.remote("pay", {
          success: Reply,
          execute: { target: "payments/charge", content: ({ sku }) => [sku] },
          compensate: { target: "payments/refund", content: ({ pay }) => pay.id, unknown: ({ sku }) => sku }
        })
      ),
      "Remote"
    )
    const { content, ...execute } = step.execute
    assert.deepStrictEqual(execute, {
      service: "payments",
      command: "charge",
      probe: false,
      effect: "immediate",
      payload: Schema.Unknown,
      success: Reply
    })
    assert.deepStrictEqual(content({ sku: "book" }), ["book"])
    assert.deepStrictEqual(step.compensate?.content({ sku: "book", pay: { id: "p" } }), "p")
    assert.deepStrictEqual(step.compensate?.unknown?.({ sku: "book" }), "book")
    const bare = only(start.pipe(Saga.remote("pay", { execute: { target: "payments/charge" } })), "Remote")
    assert.deepStrictEqual(
      [bare.execute.content({}), bare.success, bare.execute.success],
      [null, Schema.Unknown, Schema.Unknown]
    )
  })

  it("the error of a step is that of the command and the declared ones", () => {
    const errors = [
      start.pipe(Saga.remote("pay", { execute: charge })),
      start.pipe(Saga.remote("pay", { execute: refund })),
      start.pipe(Saga.remote("pay", { execute: refund, error: NoCourier })),
      start.pipe(Saga.remote("pay", { execute: charge, error: NoCourier })),
      start.pipe(Saga.remote("pay", { execute: { target: "payments/charge" }, error: NoCourier }))
    ].map((saga) => {
      const decode = Schema.is(only(saga, "Remote").error)
      const values = [new CardDeclined({ reason: "limit" }), new NoCourier(), new OutOfStock({ sku: "" })]
      return values.filter(decode).map(({ _tag }) => _tag)
    })
    assert.deepStrictEqual(errors, [["CardDeclined"], [], ["NoCourier"], ["CardDeclined", "NoCourier"], ["NoCourier"]])
    const declared = start.pipe(Saga.remote("pay", { execute: refund, error: NoCourier }))
    assert.strictEqual(only(declared, "Remote").error, NoCourier, "no union with the errors of a command that has none")
  })

  it("STP-007 a remote step without operations, or without execute, is an issue", () => {
    // @ts-expect-error Property 'execute' is missing
    const empty = start.pipe(Saga.remote("pay", {}))
    // @ts-expect-error Property 'execute' is missing
    const compensated = start.pipe(Saga.remote("pay", { compensate: refund }))
    // @ts-expect-error Property 'execute' is missing
    const successful = start.pipe(Saga.remote("pay", { onSuccess: Effect.succeed }))
    // @ts-expect-error Property 'execute' is missing
    const failing = start.pipe(Saga.remote("pay", { onError: Effect.fail }))
    assert.deepStrictEqual(
      [empty, compensated, successful, failing].map((saga) => issues(Saga.commit(saga as any))), // refused types
      [
        [["EmptySagaStep", "0"]],
        [["UndefinedOnExecute", "0"]],
        [["UndefinedOnExecute", "0"]],
        [["UndefinedOnExecute", "0"]]
      ]
    )
  })
})

describe("conditional steps", () => {
  type Ctx = Saga.Initial<typeof start>

  const ifThen = Saga.ifThen<Ctx, { one: void }, never, never>(
    ({ sku }) => sku === "a",
    Saga.local("one", { execute: nothing })
  )
  const elseThen = Saga.elseThen<Ctx, { two: void }, never, never>(Saga.local("two", { execute: nothing }))
  const way = (saga: Step.Definition) => only(saga, "Conditional").alternatives

  it("STP-009 STP-010 STP-015 alternatives hold their condition and their steps, in the order given, the else branch last", () => {
    const first = ({ sku }: { readonly sku: string }) => sku === "a"
    const second = ({ sku }: { readonly sku: string }) => sku === "b"
    const alternatives = way(
      start.pipe(
        Saga.conditional("way", [
          Saga.ifThen(first, Saga.local("one", { execute: nothing })),
          Saga.ifThen(second, (branch) =>
            branch.pipe(Saga.local("two", { execute: nothing }), Saga.remote("pay", { execute: charge }))
          ),
          Saga.elseThen(Saga.local("three", { execute: nothing }))
        ])
      )
    )
    assert.deepStrictEqual(
      alternatives.map(({ condition, steps }) => [condition, steps.map(({ name }) => name)]),
      [
        [first, ["one"]],
        [second, ["two", "pay"]],
        [undefined, ["three"]]
      ]
    )
    const single = way(start.pipe(Saga.conditional("way", [ifThen])))
    assert.deepStrictEqual(
      single.map(({ condition }) => condition),
      [ifThen.condition]
    )
    assert.deepStrictEqual(
      ["a", "b"].map((sku) => ifThen.condition({ sku })),
      [true, false]
    )
    assert.deepStrictEqual(
      [ifThen, elseThen].map(({ branch }) => branch.steps.map(({ name }) => name)),
      [["one"], ["two"]]
    )
  })

  it("STP-011 there is one else branch, and it is the last alternative", () => {
    // @ts-expect-error ElseThenMustBeLast
    const twice = start.pipe(Saga.conditional("way", [elseThen, elseThen]))
    // @ts-expect-error ElseThenMustBeLast
    const early = start.pipe(Saga.conditional("way", [elseThen, ifThen]))
    const last = start.pipe(Saga.conditional("way", [ifThen, elseThen]))
    assert.deepStrictEqual(
      way(last).map(({ condition }) => condition === undefined),
      [false, true]
    )
    assert.deepStrictEqual(
      [twice, early, last].map((saga) => issues(Saga.commit(saga as any))), // refused types
      [[["MultipleElseThen", "0"]], [["ElseThenNotLast", "0"]], []]
    )
  })

  it("STP-012 a conditional step without alternatives is an issue; every alternative is checked, once; else alone is enough", () => {
    // @ts-expect-error Source has 0 element(s) but target requires 1.
    const empty = start.pipe(Saga.conditional("way", []))
    const broken = start.pipe(
      Saga.conditional("way", [
        // @ts-expect-error Property 'execute' is missing
        Saga.ifThen(() => true, Saga.local("one", {})),
        Saga.ifThen(
          () => true,
          // @ts-expect-error Type '"empty"' is not assignable to type '"open"'.
          (branch) => branch
        ),
        // @ts-expect-error Property 'execute' is missing
        Saga.elseThen(Saga.remote("two", { compensate: refund }))
      ])
    )
    const alone = start.pipe(Saga.conditional("way", [elseThen]))
    assert.deepStrictEqual(
      [empty, broken, alone].map((saga) => issues(Saga.commit(saga as any))), // refused types
      [
        [["EmptySagaStep", "0"]],
        [
          ["EmptySagaStep", "0/if0/0"],
          ["EmptySagaStep", "0/if1"],
          ["UndefinedOnExecute", "0/else/0"]
        ],
        []
      ]
    )
  })

  it("STP-014 STP-016 conditional steps are equal only if their alternatives and their else branch are", () => {
    const always = () => true
    const same = Saga.ifThen<Ctx, { one: void }, never, never>(always, Saga.local("one", { execute: nothing }))
    const again = Saga.ifThen<Ctx, { one: void }, never, never>(always, Saga.local("one", { execute: nothing }))
    const step = (...alternatives: Array<typeof ifThen | typeof elseThen>) =>
      only(start.pipe(Saga.conditional("way", alternatives as [typeof ifThen])), "Conditional")
    assert.isTrue(Equal.equals(step(same, elseThen), step(again, elseThen)))
    assert.isFalse(Equal.equals(step(same, elseThen), step(ifThen, elseThen)), "another condition")
    assert.isFalse(Equal.equals(step(same, elseThen), step(same)), "no else")
    assert.isFalse(Equal.equals(step(same, elseThen), step(elseThen)), "no alternative")
    assert.isTrue(Equal.equals(same.branch.steps, again.branch.steps))
    assert.isFalse(Equal.equals(same.branch.steps, elseThen.branch.steps))
  })
})
