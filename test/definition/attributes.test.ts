/** Attributes: what people look for executions by, made from the initial context. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { maxAttributes, of } from "../../src/definition/Attributes.ts"
import * as Saga from "../../src/definition/Saga.ts"

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
