/**
 * Port: brings all services that took part in an execution to one decision. `layerNone` enrols nobody: a saga of
 * compensations only.
 */
import { Context, Effect, Layer } from "effect"
import type { SagaExecution } from "../execution/SagaExecution.ts"
import type { SagaFailedCommitCallback } from "../execution/SagaFailure.ts"

export { SagaFailedCommitCallback } from "../execution/SagaFailure.ts"

/** What is agreed on: one execution, and the services that have a part of it. */
export interface Transaction {
  readonly uuid: string
  /** Each once, sorted. */
  readonly services: ReadonlyArray<string>
}

/** Every call may come again after a crash, with the same transaction, and then gives the same result. */
export class TransactionCommitter extends Context.Service<
  TransactionCommitter,
  {
    /** Whether services are enrolled in a transaction and told its outcome. */
    readonly enrols: boolean
    /** Asks every service for its vote. Fails unless all are in favour: then everything is undone. */
    readonly reserve: (transaction: Transaction) => Effect.Effect<void, SagaFailedCommitCallback>
    /** Tells every service that the transaction is committed. A failure leaves the decision as it is: asked again. */
    readonly commit: (transaction: Transaction) => Effect.Effect<void, SagaFailedCommitCallback>
    /** Tells every service that the transaction is rejected; asked again until it succeeds. */
    readonly reject: (transaction: Transaction) => Effect.Effect<void, SagaFailedCommitCallback>
  }
>()("effect-saga/TransactionCommitter") {}

/** Nobody is enrolled, so nobody is asked or told. */
export const layerNone: Layer.Layer<TransactionCommitter> = Layer.succeed(TransactionCommitter, {
  enrols: false,
  reserve: () => Effect.void,
  commit: () => Effect.void,
  reject: () => Effect.void
})

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
