/**
 * Port: asks the services that take part in an execution for their votes, and tells them the decision. Their answers are
 * recorded with the execution, so nothing is kept here. `layerTwoPhase` sends messages over the broker; `layerNone` is for
 * sagas with compensations only.
 */
import { Context, Effect, Layer } from "effect"
import type { Question, Transaction } from "../execution/rules/TwoPhaseCommit.ts"
import type { SagaFailedCommitCallback } from "../execution/view/ExecutionErrors.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { type Envelope, messageId } from "../wire/Envelope.ts"
import * as Broker from "./Broker.ts"

export type { Question, Transaction } from "../execution/rules/TwoPhaseCommit.ts"
export { SagaFailedCommitCallback } from "../execution/view/ExecutionErrors.ts"

/**
 * Each call gives the services that have answered at once. The others answer by a reply over the broker, or are asked again
 * later. After a crash the same call may come again, and must give the same.
 */
export class TransactionCommitter extends Context.Service<
  TransactionCommitter,
  {
    /** Whether services are enrolled in a transaction and told its outcome. */
    readonly enrols: boolean
    /** Asks the services for their votes. Gives those in favour. Fails if one is against: then the execution rolls back. */
    readonly reserve: (transaction: Transaction) => Effect.Effect<ReadonlyArray<string>, SagaFailedCommitCallback>
    /** Tells the services that the transaction is committed. After a failure they are told again. */
    readonly commit: (transaction: Transaction) => Effect.Effect<ReadonlyArray<string>, SagaFailedCommitCallback>
    /** Tells the services that the transaction is rejected. They are told again until they acknowledge it. */
    readonly reject: (transaction: Transaction) => Effect.Effect<ReadonlyArray<string>, SagaFailedCommitCallback>
  }
>()("effect-saga/TransactionCommitter") {}

const nobody = Effect.succeed<ReadonlyArray<string>>([])

/** Enrols no service, so none is asked or told. For sagas that only compensate. */
export const layerNone: Layer.Layer<TransactionCommitter> = Layer.succeed(TransactionCommitter, {
  enrols: false,
  reserve: () => nobody,
  commit: () => nobody,
  reject: () => nobody
})

/**
 * Two-phase commit with all services that took part: a message to each, 16 at a time. Their answers come to the
 * reply topic of the own service, where the execution awaits them (SPEC C3, C5).
 */
export const layerTwoPhase: Layer.Layer<TransactionCommitter, never, Broker.Broker> = Layer.effect(
  TransactionCommitter,
  Effect.gen(function* () {
    const broker = yield* Broker.Broker
    const send = (op: Question) => (transaction: Transaction) =>
      Effect.andThen(
        Effect.forEach(
          transaction.services,
          (service) => Broker.publishOrWarn(broker, message(transaction, op, service)),
          { concurrency: 16, discard: true }
        ),
        nobody
      )
    return TransactionCommitter.of({
      enrols: true,
      reserve: send("reserve"),
      commit: send("commit"),
      reject: send("reject")
    })
  })
)

/** The message that asks one service (SPEC C3). It has no headers and opens no transaction. */
export const message = (
  { coordinator, effects, notAfter, trace, uuid }: Transaction,
  op: Question,
  service: string
): Envelope => ({
  v: 1,
  id: messageId(uuid, service, op),
  op,
  saga: uuid,
  service,
  coordinator,
  ...(op === "reserve" && { content: effects[service]! }),
  relatedServices: [],
  transactions: [],
  notAfter,
  ...(trace !== undefined && { trace })
})

/** One service's part of an execution. */
export interface Participation {
  readonly uuid: string
  readonly service: string
}

/**
 * The services that took part: of each local and remote step, at any depth, that was executed, failed or is paused. Each
 * service once, sorted.
 */
export const transactions = ({ relatedServices, uuid }: SagaExecution): ReadonlyArray<Participation> =>
  relatedServices.map((service) => ({ uuid, service }))
