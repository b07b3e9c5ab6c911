/**
 * What a callback can read of the execution it runs in. An effect outside the database takes `idempotencyKey` along:
 * the same for every attempt of the same operation, so that the other side can tell a repetition.
 */
import { Context } from "effect"

export interface SagaTransaction {
  /** The execution. */
  readonly uuid: string
  readonly saga: string
  readonly path: string
  /** `uuid:path:execute` or `uuid:path:failure` (SPEC W7). */
  readonly idempotencyKey: string
  /** Revision of the execution when the callback started; a later attempt has a greater one. */
  readonly epoch: number
  readonly user: string | undefined
  readonly headers: Readonly<Record<string, string>>
}

export const SagaTransaction = Context.Reference<SagaTransaction>("effect-saga/SagaTransaction", {
  defaultValue: () => {
    throw new Error("SagaTransaction is read outside of a callback of a saga")
  }
})
