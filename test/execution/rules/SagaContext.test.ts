/** The context as a chain: shared, extended in place for the one that goes on, and never seen by another branch. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "../../../src/execution/rules/SagaContext.ts"
import * as Values from "../../../src/execution/view/ContextValues.ts"

const initial = Context.initial("", { order: "o-1", amount: 5 })

/** Counts what is decoded. */
const counting = () => {
  const seen: Array<string> = []
  const decode: Context.Decode = (path, encoded) => {
    seen.push(path)
    return path === "" || path.endsWith("/") ? { ...(encoded as object) } : encoded
  }
  return { decode, seen }
}

const { decode } = counting()
const read = (self: Context.SagaContext) => Object.entries(Values.view(self, decode))

describe("a view", () => {
  it("the view of a context has the initial values and one entry per step, in their order", () => {
    const chain = Context.append(Context.append(initial, "0", "stock", "r-1"), "1", "payment", { id: "p-1" })
    assert.deepStrictEqual(read(chain), [
      ["order", "o-1"],
      ["amount", 5],
      ["stock", "r-1"],
      ["payment", { id: "p-1" }]
    ])
  })

  it("the view of a context has no prototype: only its own entries are in it", () => {
    const view = Values.view(Context.append(initial, "0", "stock", "r-1"), decode)
    assert.strictEqual(Object.getPrototypeOf(view), null)
    for (const key of ["toString", "constructor", "__proto__"]) assert.strictEqual(key in view, false, key)
  })

  it("the view of a context has a key for a step without a result", () => {
    const view = Values.view(Context.append(initial, "0", "sent", undefined), decode)
    assert.strictEqual("sent" in view, true)
    assert.strictEqual(view.sent, undefined)
  })

  it("the view of a context holds a key like __proto__ as a key, and its prototype stays as it is", () => {
    const hostile = Context.initial("", JSON.parse('{"__proto__":{"admin":true}}'))
    const view = Values.view(hostile, (_, encoded) => encoded)
    assert.strictEqual(Object.getPrototypeOf(view), null)
    assert.strictEqual(view.admin, undefined)
    assert.strictEqual((Values.encoded(hostile) as { readonly admin?: boolean }).admin, undefined)
  })

  it("the view of a context is extended in place: each entry is decoded once, and the object stays the same", () => {
    const { decode, seen } = counting()
    const one = Context.append(initial, "0", "a", 1)
    const two = Context.append(one, "1", "b", 2)
    const view = Values.view(one, decode)
    assert.strictEqual(Values.view(one, decode), view)
    assert.strictEqual(Values.view(two, decode), view)
    assert.deepStrictEqual(seen.sort(), ["", "0", "1"])
  })

  it("the view of a context is the same however late it is first read", () => {
    const chain = () => {
      let self = Context.initial("", { order: "o-1" })
      for (let i = 0; i < 5; i++) self = Context.append(self, `${i}`, `s${i}`, i)
      return self
    }
    const late = read(chain())
    const { decode } = counting()
    const eager = chain()
    for (let node: Context.SagaContext | undefined = eager; node !== undefined; node = node.parent)
      Values.view(node, decode)
    assert.deepStrictEqual(Object.entries(Values.view(eager, decode)), late)
  })

  it("two chains from the same entry have views of their own", () => {
    const base = Context.append(initial, "0", "a", 1)
    Values.view(base, decode)
    const left = Context.append(base, "1/b0/0", "left", "l")
    const right = Context.append(base, "1/b1/0", "right", "r")
    assert.deepStrictEqual(Object.keys(Values.view(left, decode)), ["order", "amount", "a", "left"])
    assert.deepStrictEqual(Object.keys(Values.view(right, decode)), ["order", "amount", "a", "right"])
    // Views may be read in any order: no entry leaks from one branch into another, or into their common part.
    assert.deepStrictEqual(Object.keys(Values.view(base, decode)), ["order", "amount", "a"])
    const further = Context.append(left, "1/b0/1", "further", "f")
    assert.notProperty(Values.view(further, decode), "right")
    assert.deepStrictEqual(Object.keys(Values.view(right, decode)), ["order", "amount", "a", "right"])
    assert.deepStrictEqual(Object.keys(Values.view(left, decode)), ["order", "amount", "a", "left"])
  })

  it("a value that cannot be decoded leaves no half-made view", () => {
    const base = Context.append(initial, "0", "a", 1)
    const view = Values.view(base, decode)
    const broken = Context.append(Context.append(base, "1", "b", 2), "2", "c", 3)
    const fails: Context.Decode = (path, encoded) => {
      if (path === "2") throw new Error("unreadable")
      return decode(path, encoded)
    }
    assert.throws(() => Values.view(broken, fails), "unreadable")
    assert.throws(() => Values.view(broken, fails), "unreadable")
    assert.deepStrictEqual(Object.keys(view), ["order", "amount", "a"])
    assert.strictEqual(Values.view(base, decode), view)
    assert.deepStrictEqual(Object.keys(Values.view(broken, decode)), ["order", "amount", "a", "b", "c"])
  })

  it("C10 the view of another decoder is not given: in memory an execution may outlive its program", () => {
    const one = Context.append(initial, "0", "a", 1)
    const two = Context.append(one, "1", "b", 2)
    Values.view(one, decode)
    const other: Context.Decode = (path, encoded) => (path === "" ? { order: "other" } : `other ${encoded}`)
    assert.deepStrictEqual({ ...Values.view(two, other) }, { order: "other", a: "other 1", b: "other 2" })
    assert.deepStrictEqual({ ...Values.view(two, decode) }, { order: "o-1", amount: 5, a: 1, b: 2 })
    assert.deepStrictEqual({ ...Values.view(one, other) }, { order: "other", a: "other 1" })
  })

  it("the view of a nested saga is the value of its step", () => {
    const inner = Context.append(Context.initial("0/n/", { guest: "ann" }), "0/n/0", "key", "k-7")
    const outer = Context.append(Context.appendInner(initial, "0", "stay", inner), "1", "after", true)
    const view = Values.view(outer, decode)
    assert.deepStrictEqual(Object.keys(view), ["order", "amount", "stay", "after"])
    assert.deepStrictEqual(Object.entries(view.stay as object), [
      ["guest", "ann"],
      ["key", "k-7"]
    ])
  })
})

describe("branches that come together", () => {
  it("branches that join give the entries of each, in their order, and none twice", () => {
    const base = Context.append(initial, "0", "a", 1)
    const left = Context.append(Context.append(base, "1/b0/0", "l0", 1), "1/b0/1", "l1", 2)
    const right = Context.append(base, "1/b1/0", "r0", 3)
    const joined = Context.join(base, [left, right, base])
    assert.deepStrictEqual(Values.encoded(joined), { order: "o-1", amount: 5, a: 1, l0: 1, l1: 2, r0: 3 })
    assert.deepStrictEqual(Object.keys(Values.view(joined, decode)), ["order", "amount", "a", "l0", "l1", "r0"])
    assert.strictEqual(Context.join(base, [base, base]), base)
  })
})

describe("the encoded form", () => {
  it("the encoded context is plain JSON with nested contexts inside, without steps that have no result", () => {
    const inner = Context.append(Context.initial("1/n/", { guest: "ann" }), "1/n/0", "key", "k-7")
    const chain = Context.appendInner(Context.append(initial, "0", "sent", undefined), "1", "stay", inner)
    assert.strictEqual(
      JSON.stringify(Values.encoded(chain)),
      '{"order":"o-1","amount":5,"stay":{"guest":"ann","key":"k-7"}}'
    )
  })

  it("the encoded context does not depend on the views that were made of it", () => {
    const chain = Context.append(initial, "0", "a", 1)
    const before = JSON.stringify(Values.encoded(chain))
    Values.view(Context.append(chain, "1", "b", 2), decode)
    assert.strictEqual(JSON.stringify(Values.encoded(chain)), before)
  })
})

describe("the size", () => {
  it("the size of a context is the sum of its entries: of their names and their JSON", () => {
    const entries = { payment: { id: "p-1" }, lines: [1, 2, 3] }
    const chain = Object.entries(entries).reduce(
      (self, [name, value], i) => Context.append(self, `${i}`, name, value),
      initial
    )
    const text = JSON.stringify({ order: "o-1", amount: 5, ...entries })
    // Each entry is counted with the comma, the quotes and the colon around its name; the initial values with theirs.
    assert.isAtLeast(chain.size, text.length)
    assert.isAtMost(chain.size, text.length + 4)
    assert.strictEqual(Context.append(chain, "9", "note", "x".repeat(100)).size - chain.size, "note".length + 4 + 102)
    assert.strictEqual(Context.sizeWith(chain, "note", "text"), Context.append(chain, "9", "note", "text").size)
  })

  it("the size of a context counts inner contexts, and each branch once", () => {
    const inner = Context.append(Context.initial("0/n/", { guest: "ann" }), "0/n/0", "key", "k".repeat(500))
    assert.isAbove(Context.appendInner(initial, "0", "stay", inner).size, 500)
    const left = Context.append(initial, "0/b0/0", "left", "l".repeat(300))
    const right = Context.append(initial, "0/b1/0", "right", "r".repeat(300))
    const added = left.size + right.size - 2 * initial.size
    assert.strictEqual(Context.join(initial, [left, right]).size, initial.size + added)
  })
})

describe("a thousand steps", () => {
  /** Reads the view after every step, as a run does. */
  const run = (steps: number) => {
    const { decode, seen } = counting()
    let measured = 0
    const value = () => ({
      get n() {
        measured++
        return 1
      }
    })
    let self = Context.initial("", { order: "o-1" })
    for (let i = 0; i < steps; i++) {
      self = Context.append(self, `${i}`, `s${i}`, value())
      Values.view(self, decode)
    }
    return { decoded: seen.length, measured, keys: Object.keys(Values.view(self, decode)).length, size: self.size }
  }

  it("in a context of a thousand steps every entry is decoded once and measured once", () => {
    const { decoded, keys, measured, size } = run(1_000)
    assert.strictEqual(decoded, 1_001)
    assert.strictEqual(measured, 1_000)
    assert.strictEqual(keys, 1_001)
    assert.isAbove(size, 1_000 * "s0".length)
  })

  it("a context of a thousand steps needs no deep stack", () => {
    let self = initial
    for (let i = 0; i < 20_000; i++) self = Context.append(self, `${i}`, `s${i}`, i)
    const { decode } = counting()
    assert.strictEqual(Object.keys(Values.view(self, decode)).length, 20_002)
    assert.strictEqual(Object.keys(Values.encoded(self)).length, 20_002)
    assert.isAbove(self.size, 20_000)
  })
})
