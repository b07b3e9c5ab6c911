/** C10: which stored values a program must be able to read before it goes on with an execution. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import * as Participant from "../../../src/definition/ParticipantContract.ts"
import * as Saga from "../../../src/definition/Saga.ts"
import * as Readable from "../../../src/execution/view/Readable.ts"
import { begin, type Story } from "../rules/story.ts"

/** The schemas of a release; each value is a text, and a stricter schema wants a long one. */
interface Schemas {
  readonly context?: Schema.String
  readonly inner?: Schema.String
  readonly local?: Schema.String
  readonly branch?: Schema.String
  readonly reply?: Schema.String
  readonly refusal?: Schema.String
  readonly error?: Schema.String
}
const text = Schema.String
const long: any = Schema.String.check(Schema.isMinLength(9))
const rule = "not a value with a length of at least 9"

const trip = (schemas: Schemas = {}) => {
  const run = () => Effect.succeed("")
  const Airline = Participant.make("airline", {
    Book: { payload: { for: text }, success: schemas.reply ?? text, error: schemas.refusal ?? text },
    Cancel: { payload: { ref: text } }
  })
  const book = { command: Airline.commands.Book, payload: () => ({ for: "ann" }) }
  const Stay = Saga.make("Stay", { context: { guest: schemas.inner ?? text } }).pipe(
    Saga.local("room", {
      success: schemas.local ?? text,
      error: schemas.error ?? text,
      execute: run,
      compensate: run as any
    }),
    Saga.commit
  )
  return Saga.make("Trip", { context: { who: schemas.context ?? text } }).pipe(
    Saga.nested("stay", { saga: Stay, context: () => ({ guest: "ann" }) }),
    Saga.remote("flight", {
      execute: book,
      success: Schema.Int,
      onSuccess: () => Effect.succeed(1),
      compensate: { command: Airline.commands.Cancel, payload: () => ({ ref: "f" }) }
    }),
    Saga.parallel("both", {
      a: (branch) =>
        branch.pipe(
          Saga.local("left", {
            success: schemas.branch ?? text,
            execute: run,
            compensate: run as any
          })
        ),
      b: (branch) =>
        branch.pipe(Saga.remote("right", { execute: book, onError: () => Effect.succeed("none"), success: text }))
    }),
    Saga.commit
  )
}

const first = begin(trip(), { who: "ann" }).start()
const inside = first.enters("0", { guest: "ann" })
const stayed = inside.succeeds("0/n/0", "12")
const answered = stayed.requests("1").replies("execute", "1", 200, "ref")
const flown = answered.succeeds("1", 1)
const both = flown.succeeds("2/b0/0", "left")

const problem = (story: Story, schemas: Schemas, service?: string) =>
  Readable.problemOf(story.state, trip(schemas), service)

describe("a stored execution", () => {
  it.each<readonly [string, Story, Schemas, string, string, string]>([
    ["an initial value", first, { context: long }, "", "context", "$.who"],
    ["an initial value of a nested saga under way", inside, { inner: long }, "0", "context", "$.guest"],
    ["a result inside of a nested saga that is over", both, { local: long }, "0/n/0", "result", "$"],
    [
      "a result of a branch, which is not yet in the context of the saga",
      both,
      { branch: long },
      "2/b0/0",
      "result",
      "$"
    ],
    ["a reply that is still to be handled", answered, { reply: long }, "1", "reply", "$"],
    ["a reply that a later compensation reads", both, { reply: long }, "1", "reply", "$"],
    [
      "a refusal that is still to be handled",
      both.requests("2/b1/0").replies("execute", "2/b1/0", 400, "no"),
      { refusal: long },
      "2/b1/0",
      "reply",
      "$"
    ],
    [
      "a declared error, while the rollback goes on",
      inside.fails("0/n/0", { effect: "unknown" }),
      { error: long },
      "0/n/0",
      "error",
      "$"
    ]
  ])("C10 %s must be readable", (_, story, schemas, path, value, place) => {
    assert.isUndefined(problem(story, {}))
    const found = problem(story, schemas)
    assert.deepInclude(found, { path, value, rule: `${place}: ${rule}` } as object)
  })

  it("C10 a result that came during the rollback must be readable: its compensation reads it", () => {
    const late = flown.decided()
    assert.isUndefined(problem(late.cancels().succeeds("2/b0/0", "left"), {}))
    assert.deepInclude(problem(late.cancels().succeeds("2/b0/0", "left"), { branch: long }), {
      path: "2/b0/0",
      value: "result"
    })
  })

  it("C10 what nobody reads any more need not be readable: after the decision to commit, and after the end", () => {
    const decided = begin(trip(), { who: "ann" })
      .start({ transactional: true })
      .enters("0", { guest: "ann" })
      .succeeds("0/n/0", "12")
      .requests("1")
      .replies("execute", "1", 200, "ref")
      .succeeds("1", 1)
      .succeeds("2/b0/0", "left")
      .requests("2/b1/0")
      .replies("execute", "2/b1/0", 200, "right")
      .succeeds("2/b1/0", "right")
      .decided()
      .facts({ _tag: "VoteReceived", service: "airline", at: first.now })
      .decided()
    assert.strictEqual(decided.state.decision, "commit")
    assert.isUndefined(problem(decided, { context: long, local: long, reply: long }))
    const over = first.fails("0", { name: "stay", kind: "nested" }).decided()
    assert.strictEqual(over.state.status, "errored")
    assert.isUndefined(problem(over, { context: long }))
  })

  it("C10 a reply need not be readable once its compensation is on its way, or where none follows", () => {
    const undone = both.cancels().compensated("2/b0/0").decided()
    assert.deepInclude(problem(undone, { reply: long }), { path: "1", value: "reply" })
    assert.isUndefined(problem(undone.compensates("1"), { reply: long }))
    const right = both.requests("2/b1/0").replies("execute", "2/b1/0", 500, "down")
    assert.isUndefined(problem(right.compensated("2/b0/0").decided().compensates("1"), { reply: long }))
  })

  it("C5, C8 a reply that has never fitted is its sender's fault: its execution is rolled back", () => {
    const failed = stayed.requests("1").replies("execute", "1", 200, 7)
    assert.deepInclude(failed.state.failure, { _tag: "StepValueRejected", rule: "decode" })
    assert.isUndefined(problem(failed, {}))
  })

  it("C10 an execution belongs to the service that has started it; before that to any", () => {
    assert.isUndefined(problem(first, {}, "orders"))
    assert.deepStrictEqual(problem(first, {}, "shop"), {
      path: "",
      step: "",
      value: "service",
      rule: "it was started by orders, and this is shop"
    })
    assert.isUndefined(problem(begin(trip(), { who: "ann" }), {}, "shop"))
  })

  it("the error names the place and the rule, and no value", () => {
    const read = Readable.read(both.execution, trip({ local: long }))
    if (Result.isSuccess(read)) return assert.fail("it was read")
    assert.strictEqual(
      read.failure.message,
      `Execution ${both.state.uuid} of saga Trip cannot be read by this program: result of step room (0/n/0): $: ${rule}`
    )
    const other = Readable.read(first.execution, trip({ context: long }))
    assert.match(Result.isFailure(other) ? other.failure.message : "", /program: context: \$\.who: not a value/)
    assert.isTrue(Result.isSuccess(Readable.read(both.execution, trip())))
  })

  it("C20 facts of a step that has another name in the definition are those of another saga", () => {
    const Other: any = Saga.make("Trip", { context: { who: text } }).pipe(
      Saga.local("before", { execute: () => Effect.void }),
      Saga.commit
    )
    const facts = { path: "0", step: "before", value: "facts" } as const
    assert.deepInclude(Readable.problemOf(inside.state, Other), facts)
    // One that failed before it began has no effect, and no name in older facts.
    const unbegun = first.fails("0", { effect: "none" })
    assert.notStrictEqual(Readable.problemOf(unbegun.state, Other)?.value, "facts")
  })

  it("a step that the definition does not have is not judged here", () => {
    const short: any = Saga.make("Trip", { context: { who: text } }).pipe(
      Saga.local("only", { execute: () => Effect.void }),
      Saga.commit
    )
    const steps = both.state.root
    const only = { ...both.state, root: { ...steps, done: undefined } }
    assert.isUndefined(Readable.problemOf(only, short))
  })
})

describe("the result of an execution that is over", () => {
  it("C10 a result or an error of another type is none; without the saga everything is as it is stored", () => {
    const failed = inside.fails("0/n/0", { failure: inside.error("0/n/0", "full") }).decided()
    const result = (story: Story, schemas: Schemas) => {
      const { execution } = story
      return Readable.unreadableResult(Object.create(execution, { definition: { value: trip(schemas) } }))
    }
    assert.isUndefined(result(failed, {}))
    assert.strictEqual(failed.state.status, "errored")
    assert.deepInclude(result(failed, { error: long }), { value: "error", path: "0/n/0" })
    assert.isUndefined(result(failed, { context: long }))
    assert.isUndefined(result(both, {}))
    assert.deepInclude(result(both, { local: long }), { value: "result", path: "0/n/0", step: "room" })
    assert.isUndefined(Readable.unreadableResult(Object.create(both.execution, { definition: { value: undefined } })))
  })
})
