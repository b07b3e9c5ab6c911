/** Waits in definitions: their one form as data, and the mistakes that validation finds (SPEC C11, C16). */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Schema } from "effect"
import * as Participant from "../../src/definition/ParticipantContract.ts"
import * as Saga from "../../src/definition/Saga.ts"
import * as SagaPath from "../../src/definition/SagaPath.ts"
import type { Definition } from "../../src/definition/SagaStep.ts"
import * as SagaValidation from "../../src/definition/SagaValidation.ts"
import * as Signal from "../../src/definition/Signal.ts"
import { Payments } from "./order.ts"

const Approval = Signal.make("approval", { payload: Schema.String })
const Ping = Signal.make("ping", { payload: Schema.Void })
const nothing = () => Effect.void
const make = Saga.make("S", { context: {} })

/** The combinators as plain JavaScript sees them. */
const js: { readonly [K in keyof typeof Saga]: any } = Saga // untyped is the point
const committed = (...steps: ReadonlyArray<unknown>): Definition => js.commit((make.pipe as any)(...steps)) // as above

const messages = (saga: Definition) => SagaValidation.validate(saga).map(({ message }) => message)
const issues = (saga: Definition) => SagaValidation.validate(saga).map(({ _tag, path }) => `${_tag} ${path}`.trim())

const charge = {
  execute: { command: Payments.commands.Charge, payload: () => ({ orderId: "", amount: 1 }) },
  compensate: { command: Payments.commands.Refund, payload: () => ({ paymentId: "" }) }
}

describe("a wait as data (C16)", () => {
  const until = (step: unknown) => {
    const wait = SagaPath.at(committed(step), "0")
    return wait?._tag === "Wait" ? (wait.until?.({}) ?? wait.timeout) : wait
  }

  it("has its time as milliseconds, or as a function that gives them", () => {
    assert.strictEqual(until(js.sleep("nap", "1 second")), 1_000)
    assert.strictEqual(until(js.sleep("nap", () => new Date(5))), 5)
    assert.strictEqual(until(js.sleep("nap", () => DateTime.makeUnsafe(7))), 7)
    assert.strictEqual(until(js.sleep("nap", () => 8.5)), 9)
    assert.strictEqual(until(js.waitFor("ask", { signal: Approval })), undefined)
  })

  it("the signals of a saga are those of its steps at any depth, each once", () => {
    const inner = Saga.make("I", { context: {} }).pipe(Saga.waitFor("in", { signal: Ping }), Saga.commit)
    const saga = make.pipe(
      Saga.waitFor("one", { signal: Approval }),
      Saga.conditional("way", [Saga.ifThen(() => true, Saga.waitFor("two", { signal: Approval }))]),
      Saga.nested("nested", { saga: inner, context: () => ({}) }),
      Saga.sleep("nap", "1 day"),
      Saga.commit
    )
    assert.deepStrictEqual(SagaPath.signalNames(saga), ["approval", "ping"])
    assert.strictEqual(SagaPath.signals(saga), SagaPath.signals(saga))
    assert.strictEqual(SagaPath.signalNames(saga), SagaPath.signalNames(saga))
    assert.deepStrictEqual(messages(saga), [])
  })
})

describe("mistakes in waits (C11, C16)", () => {
  it("a wait needs a signal with a name and a schema, functions, and times that are durations up to 10 years", () => {
    const onTimeout = { success: Schema.Void, value: nothing }
    const found = messages(
      committed(
        js.waitFor("a"),
        js.waitFor("b", { signal: { name: "b", payload: 1 } }),
        js.waitFor("c", { signal: undefined, key: "k" }),
        js.waitFor("d", { signal: Signal.make("a b", { payload: Schema.Void }) }),
        js.waitFor("e", { signal: Ping, timeout: "soon" }),
        js.waitFor("f", { signal: Ping, timeout: "5000 days" }),
        js.waitFor("g", { signal: Ping, onTimeout }),
        js.waitFor("h", { signal: Ping, timeout: 1, onTimeout: { success: 1, value: 2 } }),
        js.sleep("i"),
        js.sleep("j", 0),
        js.waitFor("k", { signal: Ping, timeout: () => 0, onTimeout })
      )
    )
    const duration = "'timeout' must be a duration longer than zero, of at most 3,650 days"
    const time = duration.replace("timeout", "time")
    assert.deepStrictEqual(found, [
      `saga "S", step 0 "a": 'signal' must be a signal, made by Signal.make`,
      `saga "S", step 1 "b": 'signal' must be a signal, made by Signal.make`,
      `saga "S", step 2 "c": 'signal' must be a signal, made by Signal.make`,
      `saga "S", step 2 "c": 'key' must be a function`,
      `saga "S", step 3: "a b" cannot be the name of a signal`,
      `saga "S", step 4 "e": ${duration}`,
      `saga "S", step 5 "f": 'timeout' must be a duration longer than zero, of at most 3,650 days`,
      `saga "S", step 6 "g": 'onTimeout' must be beside a 'timeout'`,
      `saga "S", step 7 "h": 'onTimeout.value' must be a function`,
      `saga "S", step 7 "h": 'onTimeout.success' must be a schema`,
      `saga "S", step 8 "i": ${time}`,
      `saga "S", step 9 "j": ${time}`
    ])
  })

  it("a signal name means one signal in a saga", () => {
    const other = Signal.make("approval", { payload: Schema.Int })
    const saga = make.pipe(
      Saga.waitFor("one", { signal: Approval }),
      Saga.waitFor("two", { signal: other }),
      Saga.commit
    )
    assert.deepStrictEqual(issues(saga), ["InvalidOption 1"])
  })

  it("the deadline of a saga is a duration longer than zero, up to 10 years", () => {
    const at = (deadline: any) =>
      messages(Saga.make("S", { context: {}, deadline }).pipe(Saga.sleep("a", 1), Saga.commit))
    assert.deepStrictEqual(at("1 day"), [])
    assert.deepStrictEqual(at("never"), [
      `saga "S": 'deadline' must be a duration longer than zero, of at most 3,650 days`
    ])
    assert.deepStrictEqual(at("4000 days"), [
      `saga "S": 'deadline' must be a duration longer than zero, of at most 3,650 days`
    ])
  })

  it("two waits for one signal in branches need keys; one after the other they do not", () => {
    const saga = make.pipe(
      Saga.parallel("both", {
        a: (branch) =>
          branch.pipe(Saga.waitFor("one", { signal: Approval }), Saga.waitFor("again", { signal: Approval })),
        b: Saga.conditional("way", [Saga.ifThen(() => true, Saga.waitFor("two", { signal: Approval }))]),
        c: Saga.waitFor("three", { signal: Approval, key: () => "c" }),
        d: Saga.waitFor("four", { signal: Ping })
      }),
      Saga.waitFor("later", { signal: Approval }),
      Saga.commit
    )
    assert.deepStrictEqual(messages(saga), [
      `saga "S", step 0/b1/0/if0/0 "two": step 0/b0/0 waits for the signal approval at the same time: give them keys that differ`
    ])
  })

  it("a wait without a limit behind a request that may have to be undone needs a deadline", () => {
    const open = js.waitFor("ask", { signal: Approval })
    const limited = js.waitFor("ask", { signal: Approval, timeout: "1 day" })
    assert.deepStrictEqual(messages(committed(js.remote("pay", charge), open)), [
      `saga "S", step 1 "ask": a wait without a limit after remote step 0 needs a 'deadline' in Saga.make`
    ])
    assert.deepStrictEqual(issues(committed(js.remote("pay", charge), limited)), [])
    assert.deepStrictEqual(issues(committed(open, js.remote("pay", charge))), [])
    assert.deepStrictEqual(issues(committed(js.remote("pay", { execute: charge.execute }), open)), [])
    const until = js.sleep("nap", () => 0)
    assert.deepStrictEqual(issues(committed(js.remote("pay", charge), until)), ["DeadlineRequired 1"])
    const Staged = Participant.make("staged", { Do: { payload: {}, effect: "staged" } })
    const staged = js.remote("do", { execute: { command: Staged.commands.Do, payload: () => ({}) } })
    assert.deepStrictEqual(issues(committed(staged, open)), ["DeadlineRequired 1"])
    const timed = Saga.make("S", { context: {}, deadline: "1 day" })
    assert.deepStrictEqual(issues(js.commit(timed.pipe(Saga.remote("pay", charge), open as any) as any)), [])
  })

  it("with a two-phase commit every request opens a transaction, whose participant waits", () => {
    const open = js.waitFor("ask", { signal: Approval })
    const plain = js.remote("pay", { execute: charge.execute })
    const work = js.local("work", { execute: nothing })
    const found = (saga: Definition, transactional: boolean) =>
      SagaValidation.validate(saga, { transactional }).map(({ _tag, path }) => `${_tag} ${path}`)
    assert.deepStrictEqual(found(committed(plain, open), true), ["DeadlineRequired 1"])
    assert.deepStrictEqual(found(committed(plain, open), false), [])
    assert.deepStrictEqual(found(committed(open, plain), true), [])
    assert.deepStrictEqual(found(committed(work, open), true), [])
    assert.deepStrictEqual(found(committed(plain, js.pivot, open), true), [])
    assert.deepStrictEqual(found(committed(js.parallel("both", { a: open, b: plain })), true), [
      "DeadlineRequired 0/b0/0"
    ])
  })

  it("the request may stand inside a step before it, or beside it in another branch", () => {
    const open = js.waitFor("ask", { signal: Approval })
    const pay = js.remote("pay", charge)
    const way = js.conditional("way", [js.ifThen(() => true, pay)])
    assert.deepStrictEqual(issues(committed(way, open)), ["DeadlineRequired 1"])
    const nested = js.nested("nested", { saga: committed(pay), context: () => ({}) })
    assert.deepStrictEqual(
      issues(
        committed(
          nested,
          js.sleep("nap", () => 0)
        )
      ),
      ["DeadlineRequired 1"]
    )
    assert.deepStrictEqual(issues(committed(js.parallel("both", { a: open, b: pay }))), ["DeadlineRequired 0/b0/0"])
    const work = js.local("work", { execute: nothing })
    assert.deepStrictEqual(issues(committed(js.parallel("both", { a: open, b: work }))), [])
  })
})
