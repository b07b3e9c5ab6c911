/**
 * Port: puts a question to the services that take part in an execution, and tells them its decision. Who has answered what
 * is recorded with the execution, so nothing is kept here. `layerTwoPhase` asks by messages over the broker; `layerNone`
 * enrols nobody: a saga of compensations only.
 */
import { Context, Effect, Layer } from "effect"
import { message, type Question, type Transaction } from "../execution/rules/TwoPhaseCommit.ts"
import type { SagaFailedCommitCallback } from "../execution/view/ExecutionErrors.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Broker from "./Broker.ts"

export type { Question, Transaction } from "../execution/rules/TwoPhaseCommit.ts"
export { SagaFailedCommitCallback } from "../execution/view/ExecutionErrors.ts"

/**
 * Every call gives the services that have answered it; the others answer by a reply over the broker, or are asked again
 * later. Every call may come again after a crash, for the same transaction, and then gives the same.
 */
export class TransactionCommitter extends Context.Service<
  TransactionCommitter,
  {
    /** Whether services are enrolled in a transaction and told its outcome. */
    readonly enrols: boolean
    /** Asks the services for their votes. Gives those in favour; fails if one is against: then everything is undone. */
    readonly reserve: (transaction: Transaction) => Effect.Effect<ReadonlyArray<string>, SagaFailedCommitCallback>
    /** Tells the services that the transaction is committed. A failure leaves the decision as it is: told again. */
    readonly commit: (transaction: Transaction) => Effect.Effect<ReadonlyArray<string>, SagaFailedCommitCallback>
    /** Tells the services that the transaction is rejected; told again until they acknowledge it. */
    readonly reject: (transaction: Transaction) => Effect.Effect<ReadonlyArray<string>, SagaFailedCommitCallback>
  }
>()("effect-saga/TransactionCommitter") {}

const nobody = Effect.succeed<ReadonlyArray<string>>([])

/** Nobody is enrolled, so nobody is asked or told. */
export const layerNone: Layer.Layer<TransactionCommitter> = Layer.succeed(TransactionCommitter, {
  enrols: false,
  reserve: () => nobody,
  commit: () => nobody,
  reject: () => nobody
})

/**
 * Two-phase commit with all services that took part: a message to each at once, sorted by name. Their answers come to the
 * reply topic of the own service, and are awaited by the execution (SPEC C3, C5).
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

/** One service's part of an execution. */
export interface Participation {
  readonly uuid: string
  readonly service: string
}

/**
 * Who took part: the services of every local and remote step that was executed, failed or is paused, at any depth,
 * each once, sorted. A conditional step counts through the steps inside it only.
 */
export const transactions = ({ relatedServices, uuid }: SagaExecution): ReadonlyArray<Participation> =>
  relatedServices.map((service) => ({ uuid, service }))
