/**
 * Executions for contract suites, as lists of facts: nothing runs. Every one has ids of its own, so that suites can share
 * a database with others and be run again.
 */
import { randomUUID } from "node:crypto"
import { Effect, Schema } from "effect"
import type { Attributes } from "../definition/Attributes.ts"
import * as Saga from "../definition/Saga.ts"
import type { Definition } from "../definition/SagaStep.ts"
import * as Signal from "../definition/Signal.ts"
import type { SagaEvent } from "../execution/rules/SagaEvent.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { bucketOfKey, inBucket } from "../ports/Buckets.ts"
import { type Envelope, messageId } from "../wire/Envelope.ts"
import * as Uuid from "../wire/Uuid.ts"

/** In every context: it must never get into an error or a head. */
export const secret = "4111-1111-1111-1111"

export const Order = Saga.make("Order", { context: { card: Schema.String, note: Schema.String } }).pipe(
  Saga.local("reservation", { success: Schema.String, execute: () => Effect.succeed("r-1") }),
  Saga.remote("payment", { execute: { target: "payments/Charge", content: ({ card }) => ({ card }) } }),
  Saga.commit
)

export interface Options {
  readonly saga?: string
  readonly uuid?: string
  readonly startKey?: string
  readonly user?: string
  readonly note?: string
  readonly attributes?: Attributes
  /** The names of the signals that the saga has waits for. */
  readonly signals?: ReadonlyArray<string>
  /** Milliseconds since the epoch. Default: 1,700,000,000,000. */
  readonly at?: number
}

export const time = 1_700_000_000_000

/** A uuid as a caller would give one: version 4. One beside a `startKey` is in the bucket of the key, as several databases need it. */
export const callerUuid = (startKey?: string): string =>
  startKey === undefined ? randomUUID() : inBucket(randomUUID(), bucketOfKey(startKey))

export const uniqueName = (): string => `Order-${randomUUID()}`

/** The order with a wait for each signal at its end. */
const waitingFor = (signals: ReadonlyArray<string>): Definition => ({
  ...Order,
  steps: [
    ...Order.steps,
    ...signals.map(
      (name) => ({ _tag: "Wait", name, signal: Signal.make(name, anything), success: Schema.Unknown }) as const
    )
  ]
})

const anything = { payload: Schema.Unknown }

/** Not started, with one fact that no write has stored. */
export const created = ({
  at = time,
  attributes,
  note = "",
  saga = Order.name,
  signals = [],
  ...options
}: Options = {}): SagaExecution => {
  const drawn = Uuid.v7(at)
  const { startKey } = options
  const uuid = options.uuid ?? (startKey === undefined ? drawn : inBucket(drawn, bucketOfKey(startKey)))
  const execution = Execution.creation(
    { ...waitingFor(signals), name: saga, ...(attributes !== undefined && { attributes: () => attributes }) },
    { ...options, uuid, context: { card: secret, note } },
    at
  )
  return "state" in execution ? execution : absurd(execution)
}

const absurd = (error: Error): never => {
  throw error
}

/** All facts must be admitted. */
export const after = (execution: SagaExecution, ...events: ReadonlyArray<SagaEvent>): SagaExecution =>
  events.reduce((self, event) => {
    const next = Execution.evolve(self, event)
    return next === self ? absurd(new Error(`${event._tag} is not admitted`)) : next
  }, execution)

const at = (execution: SagaExecution): number => execution.state.updatedAt + 1

export const started = (
  execution: SagaExecution,
  options: { readonly autocommit?: boolean; readonly trace?: string } = {}
): SagaExecution =>
  after(
    execution,
    {
      _tag: "ExecutionStarted",
      service: "orders",
      autocommit: options.autocommit ?? true,
      transactional: false,
      ...(options.trace !== undefined && { trace: options.trace }),
      at: at(execution)
    },
    { _tag: "StepStarted", path: "0", name: "reservation", at: at(execution) }
  )

/** How an execution stands in a queue. `at`: since when. */
export interface Place {
  readonly key?: string
  readonly priority?: number
  readonly at?: number
}

/** Started in a queue, and without a place. */
export const queued = (queue: string, { at: since = time, key = "", priority = 0 }: Place = {}): SagaExecution => {
  const execution = created({ at: since })
  return after(
    execution,
    { _tag: "QueueEntered", queue, key, priority, at: since },
    { _tag: "ExecutionStarted", service: "orders", autocommit: true, transactional: false, at: since }
  )
}

/** An envelope with fields in another order than the schema has. */
const charge = ({ uuid }: SagaExecution): Envelope => ({
  notAfter: time + 86_400_000,
  headers: { z: "1", a: "2" },
  v: 1,
  id: messageId(uuid, "1", "execute"),
  op: "execute",
  saga: uuid,
  path: "1",
  service: "payments",
  coordinator: "orders",
  content: { z: 1, a: { "2": "ü\u2028", "1": [null, 1.5, ""] }, card: secret },
  relatedServices: [],
  transactions: []
})

/** The first step is done, and the reply to the second is awaited. */
export const paused = (execution: SagaExecution): SagaExecution =>
  after(
    execution,
    { _tag: "StepSucceeded", path: "0", result: "r-1", at: at(execution) },
    {
      _tag: "RequestSent",
      path: "1",
      name: "payment",
      command: "Charge",
      message: charge(execution),
      deadline: at(execution) + 300_000,
      at: at(execution)
    }
  )

/** Paid, with everything done; a saga without autocommit waits for `commit` or `reject`. */
export const finished = (execution: SagaExecution): SagaExecution =>
  after(
    execution,
    {
      _tag: "ReplyReceived",
      path: "1",
      status: 200,
      content: { paymentId: "p-1" },
      relatedServices: ["banks"],
      at: at(execution)
    },
    { _tag: "StepSucceeded", path: "1", result: { paymentId: "p-1" }, at: at(execution) },
    { _tag: "ExecutionFinished", at: at(execution) }
  )

export const committed = (execution: SagaExecution): SagaExecution =>
  after(execution, { _tag: "TransactionSettled", state: "committed", at: at(execution) })

/** The payment is refused, and the reservation has to be compensated. */
export const refused = (execution: SagaExecution): SagaExecution =>
  after(
    execution,
    {
      _tag: "ReplyReceived",
      path: "1",
      status: 400,
      content: { reason: secret },
      relatedServices: [],
      at: at(execution)
    },
    {
      _tag: "StepFailed",
      path: "1",
      status: "errored-on-error",
      effect: "none",
      failure: { _tag: "StepRefused", path: "1", step: "payment", status: 400, content: { reason: secret } },
      at: at(execution)
    },
    { _tag: "CompensationStarted", path: "0", at: at(execution) }
  )

export const rejected = (execution: SagaExecution): SagaExecution =>
  after(undone(execution), { _tag: "TransactionSettled", state: "rejected", at: at(execution) })

/** The reservation could not be compensated: a person has to look at it. */
export const parked = (execution: SagaExecution): SagaExecution =>
  after(
    execution,
    { _tag: "StepParked", path: "0", reason: "no attempts left", at: at(execution) },
    { _tag: "ExecutionErrored", at: at(execution) },
    { _tag: "TransactionSettled", state: "rejected", at: at(execution) }
  )

/** A step behind the pivot has failed in every try: a person has to look at it, and the execution waits. */
export const parkedForward = (execution: SagaExecution): SagaExecution =>
  after(
    execution,
    { _tag: "StepSucceeded", path: "0", result: "r-1", at: at(execution) },
    { _tag: "PivotPassed", path: "1", at: at(execution) },
    { _tag: "StepStarted", path: "2", name: "parcel", at: at(execution) },
    {
      _tag: "StepFailed",
      path: "2",
      status: "errored-on-execute",
      effect: "none",
      failure: { _tag: "StepError", path: "2", step: "parcel", error: { reason: secret } },
      at: at(execution)
    },
    { _tag: "StepParked", path: "2", reason: "it has failed 11 times", at: at(execution) }
  )

/** Its runners died: nobody looks at it before a person has asked for it. */
export const setAside = (execution: SagaExecution): SagaExecution =>
  after(execution, { _tag: "StepParked", path: "execution", reason: "Error: a bug", at: at(execution) })

/** A person has asked for it. */
export const retried = (execution: SagaExecution): SagaExecution =>
  after(execution, { _tag: "StepUnparked", path: "execution", actor: "ann", at: at(execution) })

/** All steps are compensated, and not all services were told. */
export const undone = (execution: SagaExecution): SagaExecution =>
  after(
    execution,
    { _tag: "StepCompensated", path: "0", at: at(execution) },
    { _tag: "ExecutionErrored", at: at(execution) }
  )

/** The states of one run that commits, each with what is gained since the one before. */
export const story: ReadonlyArray<(execution: SagaExecution) => SagaExecution> = [started, paused, finished, committed]
