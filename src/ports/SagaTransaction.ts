/**
 * What a callback can read of the execution it runs in. An effect outside the database takes `idempotencyKey` along:
 * the same for every attempt of the same operation, so that the other side can tell a repetition.
 */
import { Context, Effect } from "effect"
import { isName } from "../wire/Envelope.ts"

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
  /** Names a service that was called by other means: it takes part in the execution from now on. */
  readonly enrol: (service: string) => Effect.Effect<void>
}

export const SagaTransaction = Context.Reference<SagaTransaction>("effect-saga/SagaTransaction", {
  defaultValue: () => {
    throw new Error("SagaTransaction is read outside of a callback of a saga")
  }
})

/** Collects the names of services. What cannot be one is a bug of the caller: a defect, which fails the callback. */
export const enrolInto =
  (services: Array<string>): SagaTransaction["enrol"] =>
  (service) =>
    isName(service)
      ? Effect.sync(() => void services.push(service))
      : Effect.die(new Error(`${JSON.stringify(service)} is no name of a service`))

/** For callbacks that are not part of the way forward: whoever undoes something lets nobody join. */
export const enrolNobody: SagaTransaction["enrol"] = () => Effect.void
