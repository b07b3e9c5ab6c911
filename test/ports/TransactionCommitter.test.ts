/** The committer suite on the layer of this room, and who takes part in an execution. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import type { SagaEvent } from "../../src/execution/rules/SagaEvent.ts"
import * as TransactionCommitter from "../../src/ports/TransactionCommitter.ts"
import * as CommitterSuite from "../../src/testing/CommitterSuite.ts"
import * as Sample from "../../src/testing/SampleExecutions.ts"
import type { Envelope } from "../../src/wire/Envelope.ts"

CommitterSuite.suite("none", TransactionCommitter.layerNone)

it.effect("a committer without two-phase commit enrols no service", () =>
  Effect.gen(function* () {
    const committer = yield* TransactionCommitter.TransactionCommitter
    assert.isFalse(committer.enrols)
    const services = ["knows", "nobody"]
    const answered = yield* committer.reserve({
      uuid: Sample.callerUuid(),
      coordinator: "orders",
      services,
      effects: {},
      notAfter: 0
    })
    assert.deepStrictEqual(answered, [])
  }).pipe(Effect.provide(TransactionCommitter.layerNone))
)

const at = Sample.time
const uuid = Sample.callerUuid()

const begun = (service: string) =>
  Sample.after(Sample.created({ uuid }), {
    _tag: "ExecutionStarted",
    service,
    autocommit: true,
    transactional: true,
    at
  })

const sent = (path: string, service: string): SagaEvent => {
  const message: Envelope = {
    v: 1,
    id: `${uuid}:${path}:execute`,
    op: "execute",
    saga: uuid,
    path,
    service,
    coordinator: "orders",
    relatedServices: [],
    transactions: [uuid],
    notAfter: at
  }
  return { _tag: "RequestSent", path, name: `step ${path}`, command: "Do", message, deadline: at, at }
}

const replied = (path: string, ...relatedServices: ReadonlyArray<string>): ReadonlyArray<SagaEvent> => [
  { _tag: "ReplyReceived", path, status: 200, relatedServices, at },
  { _tag: "StepSucceeded", path, at }
]

const chosen = (path: string, choice: number | null): SagaEvent => ({
  _tag: "AlternativeChosen",
  path,
  name: `step ${path}`,
  choice,
  ...(choice !== null && { label: `if${choice}` }),
  at
})

it("TPC-001 the participants of an execution are the services of all steps, once each, at any depth, sorted", () => {
  const execution = Sample.after(
    begun("foo"),
    { _tag: "StepStarted", path: "0", name: "local", at },
    { _tag: "StepSucceeded", path: "0", at },
    sent("1", "bar"),
    ...replied("1", "bar"),
    chosen("2", 0),
    { _tag: "StepStarted", path: "2/if0/0", name: "inner", at },
    { _tag: "StepSucceeded", path: "2/if0/0", at },
    sent("2/if0/1", "foobar"),
    ...replied("2/if0/1", "foobar", "bar"),
    { _tag: "StepSucceeded", path: "2", at },
    chosen("3", null),
    { _tag: "StepSucceeded", path: "3", at }
  )
  assert.deepStrictEqual(TransactionCommitter.transactions(execution), [
    { uuid, service: "bar" },
    { uuid, service: "foo" },
    { uuid, service: "foobar" }
  ])
})

it("TPC-001 the services of paused and failed steps are participants too", () => {
  const paused = Sample.after(begun("orders"), sent("0", "payments"))
  assert.deepStrictEqual(TransactionCommitter.transactions(paused), [{ uuid, service: "orders" }])
  const failed = Sample.after(
    paused,
    { _tag: "ReplyReceived", path: "0", status: 400, content: null, relatedServices: ["payments"], at },
    {
      _tag: "StepFailed",
      path: "0",
      status: "errored-on-error",
      effect: "none",
      failure: { _tag: "StepRefused", path: "0", step: "payment", status: 400, content: null },
      at
    }
  )
  assert.deepStrictEqual(TransactionCommitter.transactions(failed), [
    { uuid, service: "orders" },
    { uuid, service: "payments" }
  ])
})

it("TPC-009 a conditional step without a chosen alternative adds no participant", () => {
  const execution = Sample.after(begun("orders"), chosen("0", null), { _tag: "StepSucceeded", path: "0", at })
  assert.deepStrictEqual(TransactionCommitter.transactions(execution), [])
  assert.deepStrictEqual(TransactionCommitter.transactions(Sample.created()), [])
})
