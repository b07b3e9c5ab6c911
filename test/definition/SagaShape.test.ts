/**
 * Sagas as JSON: the shape of each step, reading it back without a loss, and the fingerprint.
 *
 * Casts: the types of generated steps are not known.
 */
// biome-ignore-all lint/suspicious/noConfusingVoidType: the result of a step that gives none
import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Exit, Schema } from "effect"
import * as Participant from "../../src/definition/ParticipantContract.ts"
import * as Saga from "../../src/definition/Saga.ts"
import * as SagaPath from "../../src/definition/SagaPath.ts"
import * as SagaShape from "../../src/definition/SagaShape.ts"
import * as Signal from "../../src/definition/Signal.ts"
import * as SagaDiagram from "../../src/tooling/SagaDiagram.ts"
import { OutOfStock, Payments, PlaceOrder } from "./order.ts"

const nothing = () => Effect.void
const start = Saga.make("S", { context: { sku: Schema.String } })
const charge = {
  command: Payments.commands.Charge,
  payload: ({ sku }: { readonly sku: string }) => ({ orderId: sku, amount: 1 })
}

const json = Schema.fromJsonString(SagaShape.SagaShape)
const roundTrip = (shape: SagaShape.SagaShape) => Schema.decodeSync(json)(Schema.encodeSync(json)(shape))

/** The form of a step as it is read back from JSON. */
const formOf = (saga: Parameters<typeof SagaShape.of>[0]) => roundTrip(SagaShape.of(saga)).steps[0]

/** As JSON, without schemas. */
const bare = (form: unknown) =>
  JSON.parse(JSON.stringify(form, (key, value) => (/^(success|error)$/.test(key) ? undefined : value)))

const noPolicies = { timeout: null, retry: null, retryCompensate: null }
const local = { type: "local", execute: true, compensate: null, onCrash: "retry", transactional: false, ...noPolicies }
const remote = { type: "remote", onSuccess: false, onError: false, compensate: null, unknown: false, ...noPolicies }

describe("SagaShape", () => {
  it("OPE-003 DEF-019 a saga is written with its flag and its steps in order, absent operations as null", () => {
    const { context, steps, ...head } = SagaShape.of(PlaceOrder)
    assert.deepStrictEqual(head, {
      saga: "PlaceOrder",
      version: null,
      deadline: null,
      fingerprint: PlaceOrder.fingerprint,
      committed: true
    })
    assert.deepStrictEqual(Object.keys((context as { properties: object }).properties), [
      "orderId",
      "sku",
      "quantity",
      "amount"
    ])
    assert.deepStrictEqual(bare(steps), [
      { ...local, name: "reservationId", path: "0", compensate: { unknown: false } },
      {
        ...remote,
        name: "payment",
        path: "1",
        execute: "payments/Charge",
        compensate: "payments/Refund",
        timeout: 30_000
      },
      {
        type: "conditional",
        name: "delivery",
        path: "2",
        alternatives: [
          {
            else: false,
            steps: [
              { ...remote, name: "courier", path: "2/if0/0", execute: "shipping/Book", compensate: "shipping/Cancel" }
            ]
          },
          {
            else: true,
            steps: [
              { ...local, name: "pickup", path: "2/else/0" },
              { ...local, name: "label", path: "2/else/1" }
            ]
          }
        ]
      },
      { ...local, name: "receipt", path: "3" }
    ])
    const [reservation] = steps
    assert.deepStrictEqual(reservation?.type === "local" && reservation.success, { type: "string" })
    assert.isFalse(SagaShape.of(start.pipe(Saga.local("one", { execute: nothing }))).committed)
  })

  it("OPE-004 DEF-019 decoding gives an equal saga; decoding what is decoded gives it unchanged", () => {
    const shape = SagaShape.of(PlaceOrder)
    const decoded = roundTrip(shape)
    assert.deepStrictEqual(decoded, shape)
    assert.isTrue(Equal.equals(decoded, shape))
    assert.deepStrictEqual(Schema.decodeUnknownSync(SagaShape.SagaShape)(decoded), decoded)
  })

  it("STP-004 a local step goes through JSON and back", () => {
    const of = (compensate?: () => Effect.Effect<void>) =>
      start.pipe(Saga.local("one", { execute: nothing, ...(compensate && { compensate }) }))
    assert.deepStrictEqual<unknown>(formOf(of()), {
      ...local,
      name: "one",
      path: "0",
      success: { type: "null" },
      error: { not: {} }
    })
    assert.isTrue(Equal.equals(formOf(of()), formOf(of())))
    assert.isFalse(Equal.equals(formOf(of()), formOf(of(nothing))))
  })

  it("STP-008 a remote step goes through JSON and back with its four operations", () => {
    const least = start.pipe(Saga.remote("pay", { execute: charge }))
    const most = start.pipe(
      Saga.remote("pay", {
        execute: charge,
        onSuccess: Effect.succeed,
        onError: Effect.fail,
        compensate: { target: "mail/send", unknown: () => null }
      })
    )
    const form = { ...remote, name: "pay", path: "0", execute: "payments/Charge" }
    assert.deepStrictEqual(bare(formOf(least)), form)
    assert.deepStrictEqual(bare(formOf(most)), {
      ...form,
      onSuccess: true,
      onError: true,
      compensate: "mail/send",
      unknown: true
    })
    assert.deepStrictEqual(formOf(most), SagaShape.of(most).steps[0])
  })

  it("C19 a command that answers later is said in the shape and the diagram, and is no part of the fingerprint", () => {
    const sagaWith = (answer?: "later") => {
      const Lab = Participant.make("lab", { Examine: { payload: {}, ...(answer !== undefined && { answer }) } })
      return Saga.make("Visit", { context: {} }).pipe(
        Saga.remote("result", { execute: { command: Lab.commands.Examine, payload: () => ({}) }, timeout: "2 days" }),
        Saga.commit
      )
    }
    const [later, once] = [sagaWith("later"), sagaWith()]
    assert.deepInclude(SagaShape.of(later).steps[0], { type: "remote", execute: "lab/Examine", later: true })
    assert.notProperty(SagaShape.of(once).steps[0], "later")
    assert.strictEqual(SagaShape.of(later).fingerprint, SagaShape.of(once).fingerprint)
    assert.include(SagaDiagram.mermaid(later), `["result<br/>lab/Examine, later"]`)
  })

  it("STP-013 STP-014 STP-016 a conditional step goes through JSON and back, with and without else", () => {
    type Ctx = Saga.Initial<typeof start>
    const ifThen = Saga.ifThen<Ctx, { one: void }, never, never>(() => true, Saga.local("one", { execute: nothing }))
    const elseThen = Saga.elseThen<Ctx, { two: void }, never, never>(Saga.local("two", { execute: nothing }))
    const form = { type: "conditional", name: "way", path: "0" }
    const one = { else: false, steps: [{ ...local, name: "one", path: "0/if0/0" }] }
    const two = { else: true, steps: [{ ...local, name: "two", path: "0/else/0" }] }
    const both = formOf(start.pipe(Saga.conditional("way", [ifThen, elseThen])))
    const without = formOf(start.pipe(Saga.conditional("way", [ifThen])))
    const alone = formOf(start.pipe(Saga.conditional("way", [elseThen])))
    assert.deepStrictEqual([both, without, alone].map(bare), [
      { ...form, alternatives: [one, two] },
      { ...form, alternatives: [one] },
      { ...form, alternatives: [two] }
    ])
    assert.isTrue(Equal.equals(both, formOf(start.pipe(Saga.conditional("way", [ifThen, elseThen])))))
    assert.isFalse(Equal.equals(both, without))
    assert.isFalse(Equal.equals(both, alone))
  })

  it("a shape holds nested and parallel steps, whose inner steps have paths of their own", () => {
    const saga = start.pipe(
      Saga.parallel("both", {
        a: Saga.local("one", { execute: nothing }),
        b: Saga.nested("order", {
          saga: PlaceOrder,
          context: ({ sku }) => ({ orderId: sku, sku, quantity: 1, amount: 1 })
        })
      })
    )
    const form = formOf(saga)
    if (form?.type !== "parallel") assert.fail("not a parallel step")
    assert.deepStrictEqual(
      form.branches.map(({ name }) => name),
      ["a", "b"]
    )
    const [order] = form.branches[1]?.steps ?? []
    if (order?.type !== "nested") assert.fail("not a nested step")
    assert.deepStrictEqual([order.saga, order.version, order.fingerprint], ["PlaceOrder", null, PlaceOrder.fingerprint])
    assert.deepStrictEqual(
      order.steps.map(({ path }) => path),
      ["0/b1/0/n/0", "0/b1/0/n/1", "0/b1/0/n/2", "0/b1/0/n/3"]
    )
  })

  it("STP-017 decoding goes by the kind of a step; an unknown kind is a decode error", () => {
    const shape = SagaShape.of(PlaceOrder)
    const decode = Schema.decodeUnknownExit(SagaShape.StepShape)
    assert.deepStrictEqual(
      shape.steps.map((step) => Exit.isSuccess(decode(step))),
      [true, true, true, true]
    )
    for (const step of [{ ...shape.steps[0], type: "loop" }, { ...shape.steps[0], type: "remote" }, {}, null]) {
      const exit = decode(step)
      assert.isTrue(
        Exit.isFailure(exit) &&
          exit.cause.reasons.some((reason) => reason._tag === "Fail" && Schema.isSchemaError(reason.error))
      )
    }
  })

  it("a schema in a shape carries the schemas that it refers to", () => {
    const form = formOf(start.pipe(Saga.local("one", { error: OutOfStock, execute: nothing })))
    const { $defs, $ref } = (form as { error: any }).error // JSON Schema
    assert.deepStrictEqual(Object.keys($defs), [$ref.replace("#/$defs/", "")])
  })
})

describe("fingerprint", () => {
  const of = (saga: Parameters<typeof SagaShape.of>[0]) => SagaShape.fingerprint(saga)
  const base = start.pipe(
    Saga.local("one", { success: Schema.Int, execute: () => Effect.succeed(1) }),
    Saga.remote("pay", { execute: charge }),
    Saga.conditional("way", [Saga.ifThen(() => true, Saga.local("two", { execute: nothing }))]),
    Saga.nested("order", { saga: PlaceOrder, context: ({ sku }) => ({ orderId: sku, sku, quantity: 1, amount: 1 }) }),
    Saga.parallel("both", { a: Saga.local("three", { execute: nothing }), b: Saga.local("four", { execute: nothing }) })
  )

  it("the fingerprint is the SHA-256 of the canonical JSON of kinds, names, paths and targets", () => {
    const canonical =
      '{"saga":"PlaceOrder","steps":[' +
      '{"name":"reservationId","path":"0","type":"local"},' +
      '{"compensate":"payments/Refund","execute":"payments/Charge","name":"payment","path":"1","type":"remote"},' +
      '{"alternatives":[{"else":false,"steps":[' +
      '{"compensate":"shipping/Cancel","execute":"shipping/Book","name":"courier","path":"2/if0/0","type":"remote"}]},' +
      '{"else":true,"steps":[{"name":"pickup","path":"2/else/0","type":"local"},{"name":"label","path":"2/else/1","type":"local"}]}],' +
      '"name":"delivery","path":"2","type":"conditional"},' +
      '{"name":"receipt","path":"3","type":"local"}],"version":null}'
    assert.strictEqual(PlaceOrder.fingerprint, createHash("sha256").update(canonical).digest("hex"))
    assert.strictEqual(of(PlaceOrder), PlaceOrder.fingerprint)
  })

  it("the fingerprint leaves out timeouts, retries, schemas, policies and functions", () => {
    const other = Saga.make("S", { context: { sku: Schema.String, more: Schema.Int } }).pipe(
      Saga.local("one", {
        success: Schema.String,
        error: OutOfStock,
        execute: () => Effect.succeed("1"),
        compensate: { run: nothing, unknown: nothing },
        timeout: "1 second",
        retry: { times: 1 },
        retryCompensate: { times: 1 },
        onCrash: "park",
        transactional: true
      }),
      Saga.remote("pay", {
        success: Schema.Int,
        execute: { target: "payments/Charge" },
        onError: () => Effect.succeed(1),
        timeout: "1 minute"
      }),
      Saga.conditional("way", [Saga.ifThen(() => false, Saga.local("two", { execute: nothing }))]),
      Saga.nested("order", { saga: PlaceOrder, context: () => ({ orderId: "", sku: "", quantity: 2, amount: 2 }) }),
      Saga.parallel("both", {
        a: Saga.local("three", { execute: nothing }),
        b: Saga.local("four", { execute: nothing })
      })
    )
    assert.strictEqual(of(other), of(base))
  })

  it("the fingerprint changes with names, kinds, paths, targets, nested sagas and the version", () => {
    const one = Saga.local("one" as any, { execute: nothing }) as any // it stands outside of a saga
    const open = Saga.make("S", { context: {} })
    const pay = (options: object) => open.pipe(Saga.remote("pay", { execute: { target: "a/b" }, ...options }))
    const inner = (version?: string) =>
      Saga.make("I", { context: {}, ...(version !== undefined && { version }) }).pipe(
        Saga.local("in", { execute: nothing }),
        Saga.commit
      )
    const nested = (version?: string) => open.pipe(Saga.nested("n", { saga: inner(version), context: () => ({}) }))
    const sagas: ReadonlyArray<Saga.Any> = [
      open.pipe(one),
      Saga.make("T", { context: {} }).pipe(one),
      Saga.make("S", { context: {}, version: "1" }).pipe(one),
      open.pipe(Saga.local("uno", { execute: nothing })),
      open.pipe(one, Saga.local("two", { execute: nothing })),
      open.pipe(Saga.local("two", { execute: nothing }), one),
      open.pipe(Saga.remote("one", { execute: { target: "a/b" } })),
      pay({}),
      pay({ execute: { target: "a/c" } }),
      pay({ execute: { target: "c/b" } }),
      pay({ compensate: { target: "a/b" } }),
      pay({ compensate: { target: "a/c" } }),
      open.pipe(Saga.conditional("way", [Saga.ifThen(() => true, one)])),
      open.pipe(Saga.conditional("way", [Saga.elseThen(one)])),
      open.pipe(Saga.conditional("way", [Saga.ifThen(() => true, one), Saga.elseThen(one)])),
      open.pipe(Saga.parallel("way", { a: one })),
      open.pipe(Saga.parallel("way", { b: one })),
      nested(),
      nested("1"),
      open.pipe(Saga.sleep("one", "1 day")),
      open.pipe(Saga.waitFor("one", { signal: Ping })),
      open.pipe(Saga.waitFor("one", { signal: Signal.make("pong", { payload: Schema.Void }) }))
    ]
    assert.strictEqual(new Set(sagas.map(of)).size, sagas.length)
  })

  it("the fingerprint covers no time, no key and no schema of a wait, and no deadline (C10, C16)", () => {
    const saga = (deadline: number, options: object, time: number) =>
      Saga.make("S", { context: {}, deadline }).pipe(
        Saga.waitFor("one", { signal: Ping, ...options }),
        Saga.sleep("two", time)
      )
    assert.strictEqual(of(saga(1, {}, 1)), of(saga(2, { key: () => "", timeout: "1 day" }, 2)))
  })

  it("the fingerprint is the same for a saga and for its shape read back from JSON, whatever the order of its keys", () => {
    const reversed = (value: unknown): unknown =>
      Array.isArray(value)
        ? value.map(reversed)
        : typeof value === "object" && value !== null
          ? Object.fromEntries(
              Object.entries(value)
                .reverse()
                .map(([key, inner]) => [key, reversed(inner)])
            )
          : value
    for (const saga of [base, PlaceOrder]) {
      const shape = SagaShape.of(saga)
      assert.strictEqual(of(saga), SagaShape.fingerprint(roundTrip(shape)))
      assert.strictEqual(of(saga), SagaShape.fingerprint(reversed(shape) as SagaShape.SagaShape))
    }
  })
})

const Ping = Signal.make("ping", { payload: Schema.Void })

describe("a wait", () => {
  it("is written with its signal and its times; a sleep has no signal (C16)", () => {
    const saga = Saga.make("S", { context: {}, deadline: "1 hour" }).pipe(
      Saga.waitFor("one", {
        signal: Ping,
        key: () => "",
        timeout: "2 seconds",
        onTimeout: { success: Schema.Literal("late"), value: () => "late" }
      }),
      Saga.waitFor("two", { signal: Ping }),
      Saga.sleep("three", () => new Date(0)),
      Saga.commit
    )
    const shape = roundTrip(SagaShape.of(saga))
    assert.strictEqual(shape.deadline, 3_600_000)
    assert.deepStrictEqual(bare(shape.steps), [
      {
        type: "wait",
        name: "one",
        path: "0",
        signal: "ping",
        key: true,
        timeout: 2_000,
        until: false,
        onTimeout: true
      },
      {
        type: "wait",
        name: "two",
        path: "1",
        signal: "ping",
        key: false,
        timeout: null,
        until: false,
        onTimeout: false
      },
      { type: "wait", name: "three", path: "2", signal: null, key: false, timeout: null, until: true, onTimeout: false }
    ])
    assert.deepStrictEqual(SagaPath.signalNames(saga), ["ping"])
    assert.deepStrictEqual(Saga.rollbackPlan(saga), [])
  })
})

describe("laws", () => {
  /** A saga with the structure of a shape, generated like any other value of its schema. */
  const build = ({ deadline, saga, steps, version }: SagaShape.SagaShape): Saga.AnyCommitted =>
    Saga.commit(
      steps.reduce<any>(
        // the types of generated steps are not known
        (saga, step) => add(step)(saga),
        Saga.make(saga, {
          context: {},
          ...(version !== null && { version }),
          ...(deadline !== null && { deadline: Math.abs(deadline) })
        })
      )
    )

  const add = (step: SagaShape.StepShape): any => {
    // as above
    const name: any = step.name
    const all = (steps: ReadonlyArray<SagaShape.StepShape>) => (branch: any) =>
      steps.reduce((saga, step) => add(step)(saga), branch)
    switch (step.type) {
      case "local":
        return Saga.local(name, { execute: nothing, ...(step.compensate && { compensate: nothing }) })
      case "remote":
        return Saga.remote(name, {
          execute: { target: `service/${step.path}` },
          ...(step.compensate && { compensate: { target: "service/undo" } })
        })
      case "conditional":
        return Saga.conditional(
          name,
          step.alternatives.map((alternative) =>
            alternative.else ? Saga.elseThen(all(alternative.steps)) : Saga.ifThen(() => true, all(alternative.steps))
          ) as any
        )
      case "nested":
        return Saga.nested(name, { saga: build({ deadline: null, ...step } as any), context: () => ({}) }) // it has the fields that matter
      case "wait":
        return step.signal === null
          ? Saga.sleep(name, step.timeout === null ? () => 0 : Math.abs(step.timeout))
          : Saga.waitFor(name, {
              signal: Signal.make(step.signal, { payload: Schema.String }),
              ...(step.timeout !== null && { timeout: Math.abs(step.timeout) })
            })
      case "start":
        return Saga.start(name, {
          // The shape has the name of the other saga, and nothing else of it.
          saga: Saga.suspend(
            step.saga,
            (): Saga.Startable<any> => Saga.commit(Saga.make(step.saga, { context: {} }) as any)
          ),
          context: () => ({}),
          ...(step.compensate && { compensate: () => Effect.void })
        })
      case "pivot":
        return Saga.pivot
      case "parallel":
        return Saga.parallel(
          name,
          Object.fromEntries(step.branches.map(({ name, steps }) => [name, all(steps)])) as any
        )
      case "forEach":
        return Saga.forEach(name, {
          items: () => [],
          item: Schema.String,
          as: step.as as never,
          concurrency: Math.abs(step.concurrency), // JSON has no -0
          steps: all(step.steps)
        })
    }
  }

  it.prop("every saga goes through JSON and back, with the same fingerprint", [SagaShape.SagaShape], ([generated]) => {
    const saga = build(generated)
    const shape = SagaShape.of(saga)
    assert.deepStrictEqual(roundTrip(shape), shape)
    assert.strictEqual(SagaShape.fingerprint(roundTrip(shape)), saga.fingerprint)
  })

  it.prop("the paths of a shape are those of its saga", [SagaShape.SagaShape], ([generated]) => {
    const saga = build(generated)
    const paths = (steps: ReadonlyArray<SagaShape.StepShape>): ReadonlyArray<string> =>
      steps.flatMap((step) => [
        step.path,
        ...(step.type === "conditional"
          ? step.alternatives.flatMap(({ steps }) => paths(steps))
          : step.type === "parallel"
            ? step.branches.flatMap(({ steps }) => paths(steps))
            : step.type === "nested" || step.type === "forEach"
              ? paths(step.steps)
              : [])
      ])
    assert.deepStrictEqual(
      new Set(paths(SagaShape.of(saga).steps)),
      new Set(SagaPath.steps(saga).map(({ path }) => path))
    )
  })
})
