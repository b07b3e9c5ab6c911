/** Attributes: what people look for executions by, made from the initial context. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { changed, maxAttributes, of } from "../../src/definition/Attributes.ts"
import * as Saga from "../../src/definition/Saga.ts"
import * as SagaShape from "../../src/definition/SagaShape.ts"
import * as SagaValidation from "../../src/definition/SagaValidation.ts"

const made = (value: unknown) => of(() => value, {})

describe("attributes of an execution", () => {
  it("are texts, finite numbers and booleans of the context", () => {
    const saga = Saga.make("Order", {
      context: { customer: Schema.String, amount: Schema.Int },
      attributes: ({ amount, customer }) => ({ customer, isLarge: amount > 100, amount })
    }).pipe(Saga.local("nothing", { execute: () => Effect.void }), Saga.commit)
    const context = { customer: "Ann", amount: 7 }
    assert.deepStrictEqual(of(saga.attributes!, context), { customer: "Ann", isLarge: false, amount: 7 })
    assert.deepStrictEqual(made({}), {})
    assert.isTrue(Object.is((made({ n: -0 }) as { readonly n: number }).n, 0))
    assert.deepStrictEqual(made(Object.assign(Object.create(null), { a: true })), { a: true })
  })

  it("leave the fingerprint as it is", () => {
    const make = (attributes?: () => { readonly a: number }) =>
      Saga.make("Order", { context: {}, ...(attributes !== undefined && { attributes }) }).pipe(
        Saga.local("nothing", { execute: () => Effect.void }),
        Saga.commit
      )
    assert.strictEqual(make(() => ({ a: 1 })).fingerprint, make().fingerprint)
  })

  it("that cannot be stored are refused, with the reason and without the value", () => {
    const many = Object.fromEntries(Array.from({ length: maxAttributes + 1 }, (_, i) => [`a${i}`, i]))
    const cases: ReadonlyArray<readonly [unknown, string]> = [
      [undefined, "are no object"],
      [null, "are no object"],
      [[], "are no object"],
      ["secret", "are no object"],
      [many, `are ${maxAttributes + 1}, at most ${maxAttributes} may be`],
      [{ "a b": 1 }, "have a name that is none"],
      [{ "": 1 }, "have a name that is none"],
      [{ constructor: 1 }, "have a name that is none"],
      [{ a: undefined }, "have a value of a that is no text, number or boolean"],
      [{ a: { secret: 1 } }, "have a value of a that is no text, number or boolean"],
      [{ a: 1n }, "have a value of a that is no text, number or boolean"],
      [{ a: Number.NaN }, "have a value of a that is no finite number"],
      [{ a: Number.POSITIVE_INFINITY }, "have a value of a that is no finite number"],
      [{ a: "x".repeat(257) }, "have a value of a that has more than 256 bytes"],
      [{ a: "a\0b" }, "have a value of a that has a NUL or half a surrogate"]
    ]
    for (const [value, issue] of cases) assert.strictEqual(made(value), issue)
    const thrown = (error: unknown) =>
      of(() => {
        throw error
      }, {})
    assert.strictEqual(thrown(new TypeError("secret")), "threw TypeError")
    assert.strictEqual(thrown("secret"), "threw string")
    assert.strictEqual(of("no function" as never, {}), "threw TypeError")
  })
})

describe("attributes behind a step", () => {
  const nothing = { execute: () => Effect.void }
  const account = { success: Schema.String, execute: () => Effect.succeed("BE1") }
  const open = Saga.make("Open", { context: { name: Schema.String } }).pipe(Saga.local("account", account))

  it("read the results so far by their types, and add nothing to the context", () => {
    const saga = open.pipe(
      Saga.attributes(({ account, name }) => ({ account: account.toLowerCase(), long: name.length > 9 })),
      Saga.local("mail", { execute: ({ account }) => Effect.log(account) }),
      Saga.commit
    )
    assert.deepStrictEqual(saga.steps[0]?.attributes?.({ account: "BE1", name: "Ann" }), {
      account: "be1",
      long: false
    })
    const context: Saga.Context<typeof saga> = { name: "Ann", account: "BE1", mail: undefined }
    assert.deepStrictEqual(Object.keys(context), ["name", "account", "mail"])
    // @ts-expect-error: a later step has no result yet
    open.pipe(Saga.attributes(({ mail }) => ({ mail })))
    // @ts-expect-error: a list is no attribute
    open.pipe(Saga.attributes(({ account }) => ({ account: [account] })))
    // @ts-expect-error: there is no step that it could stand behind; those of the start are an option of `make`
    Saga.make("Open", { context: { name: Schema.String } }).pipe(Saga.attributes(({ name }) => ({ name })))
  })

  it("of two the second one has the last word", () => {
    const { steps } = open.pipe(
      Saga.attributes(() => ({ a: 1, b: 1 })),
      Saga.attributes(() => ({ b: 2 }))
    )
    assert.deepStrictEqual(steps[0]?.attributes?.({}), { a: 1, b: 2 })
    assert.strictEqual(steps.length, 1)
  })

  it("leave the fingerprint as it is, and stand in the shape", () => {
    const plain = Saga.commit(open)
    const saga = open.pipe(
      Saga.attributes(() => ({ a: 1 })),
      Saga.commit
    )
    assert.strictEqual(saga.fingerprint, plain.fingerprint)
    const [step] = SagaShape.of(saga).steps
    assert.deepStrictEqual([step?.attributes, SagaShape.of(plain).steps[0]?.attributes], [true, undefined])
    assert.strictEqual(SagaShape.fingerprint(SagaShape.of(saga)), plain.fingerprint)
  })

  it("are a mistake in the steps of items, and where they are no function", () => {
    const { steps } = Saga.make("Each", { context: {} }).pipe(
      Saga.forEach("all", {
        items: () => [1],
        item: Schema.Int,
        as: "one",
        steps: (each) =>
          each.pipe(
            Saga.local("part", nothing),
            Saga.attributes(({ one }) => ({ one }))
          )
      }),
      Saga.attributes(({ all }) => ({ count: all.length }))
    )
    const issues = SagaValidation.validate({ ...Saga.commit(open), steps })
    assert.deepStrictEqual(
      issues.map(({ message }) => message),
      [`saga "Open", step 0/i/0 "part": 'attributes' must be behind a step that is in no forEach`]
    )
    const wrong = open.pipe(Saga.attributes("x" as never), Saga.commit)
    assert.deepStrictEqual(
      SagaValidation.validate(wrong).map(({ message }) => message),
      [`saga "Open", step 0 "account": 'attributes' must be a function`]
    )
  })

  it("change what is new, and are at most as many in all", () => {
    const known = { a: 1, b: "x" }
    assert.deepStrictEqual(
      changed(() => ({ a: 2, b: "x" }), {}, known),
      { a: 2 }
    )
    assert.strictEqual(
      changed(() => ({ b: "x" }), {}, known),
      undefined
    )
    const many = Object.fromEntries(Array.from({ length: maxAttributes - 1 }, (_, i) => [`n${i}`, i]))
    assert.strictEqual(
      changed(() => many, {}, known),
      `are ${maxAttributes + 1} in all, at most ${maxAttributes} may be`
    )
    assert.strictEqual(
      changed(() => ({ a: [] }), {}, known),
      "have a value of a that is no text, number or boolean"
    )
  })
})
