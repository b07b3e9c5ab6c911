/** The encoded form: executions that wait, sleep, and have signals that nobody has taken go through JSON text, and go on as before (C16). */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Saga from "../../../src/definition/Saga.ts"
import * as Signal from "../../../src/definition/Signal.ts"
import * as Decision from "../../../src/execution/rules/SagaDecision.ts"
import * as SagaInput from "../../../src/execution/rules/SagaInput.ts"
import * as Execution from "../../../src/execution/view/SagaExecution.ts"
import { begin, type Story } from "../rules/story.ts"

const Approval = Signal.make("approval", { payload: Schema.String })
const Ping = Signal.make("ping", { payload: Schema.Void })
const nobody = { success: Schema.Literal("nobody"), value: () => "nobody" as const }
const done = { execute: () => Effect.void, compensate: () => Effect.void }

const Order = Saga.make("S", { context: {}, deadline: "3 days" }).pipe(
  Saga.local("stock", done),
  Saga.waitFor("approval", { signal: Approval, timeout: "2 seconds", onTimeout: nobody }),
  Saga.sleep("rest", "1 second"),
  Saga.parallel("both", {
    left: Saga.waitFor("left", { signal: Approval, key: () => "l", timeout: "1 hour" }),
    right: Saga.waitFor("right", { signal: Ping, timeout: "2 hours", onTimeout: nobody })
  }),
  Saga.commit
)
const created = begin(Order)
const start = created.facts({ _tag: "DeadlineSet", deadline: created.now + Order.deadline!, at: created.now }).start()
const waits = start.succeeds("0").decided()
const sleeps = waits.hears("approval", "yes", { id: "a" }).decided()
const both = sleeps
  .later(1_000)
  .decided()
  .facts({
    _tag: "WaitStarted",
    path: "3/b0/0",
    name: "left",
    signal: "approval",
    key: "l",
    deadline: 3_600_000,
    at: 5
  })
  .decided()

const stories: Readonly<Record<string, Story>> = {
  "a signal before its wait": start.hears("approval", "early", { id: "e" }),
  "an open wait": waits,
  "a wait whose time is over": waits.later(2_000),
  "a wait with the result of its time": waits
    .later(2_000)
    .facts({ _tag: "StepSucceeded", path: "1", result: "nobody", timedOut: true, at: 2_000 }),
  "a sleep, and unused signals of other keys": sleeps.hears("approval", "no", { id: "b", key: "x" }).hears("ping"),
  "two open waits": both,
  "two waits, and one signal": both.hears("approval", "left", { id: "c", key: "l" }),
  "a wait on the way back": waits.cancels().decided(),
  "a wait that failed": both.later(3_600_000).decided()
}

describe("the encoded form of an execution that waits", () => {
  for (const [name, story] of Object.entries(stories))
    it.effect(`C16 decodes to one that goes on in the same way: ${name}`, () =>
      Effect.gen(function* () {
        const { execution, moment } = story
        const text = JSON.stringify(Execution.raw(execution))
        const again = yield* Execution.fromRaw(JSON.parse(text), Order)
        assert.deepStrictEqual(JSON.parse(JSON.stringify(Execution.raw(again))), JSON.parse(text))
        const { signals } = again.state
        assert.deepStrictEqual(signals.waits, execution.state.signals.waits)
        assert.deepStrictEqual(signals.unused, execution.state.signals.unused)
        assert.strictEqual(again.state.deadline, execution.state.deadline)
        assert.deepStrictEqual(Decision.decide(again.state, moment), Decision.decide(execution.state, moment))
        const said = { _tag: "Signal", signal: "approval", key: "l", id: "c", content: "left" } as const
        assert.deepStrictEqual(
          SagaInput.judge(again.state, said, moment),
          SagaInput.judge(execution.state, said, moment)
        )
        // Without its saga it is shown, and its waits and signals stand.
        const unbound = yield* Execution.fromRaw(JSON.parse(text))
        assert.deepStrictEqual(unbound.state.signals, signals)
      })
    )

  it("C16 shows the step that waits as paused", () => {
    const { pausedStep } = Execution.raw(waits.execution)
    assert.deepInclude(pausedStep, { kind: "wait", status: "paused-by-on-execute", relatedServices: [] })
  })
})
