/**
 * The code of a service for its part of a two-phase commit. A participant and the service that runs the sagas have the same
 * hooks.
 */
import type { Effect } from "effect"

/** The service's part of one transaction: what a hook is called for. */
export interface TransactionPart {
  /** Uuid of the execution. Staged effects are found by it. */
  readonly uuid: string
}

/**
 * The hooks of a service, all optional. Each runs in one unit of work with the record of its outcome. When a hook fails or
 * dies, its effects are gone. `SagaTransaction` gives a hook its idempotency key, for effects outside the database.
 */
export interface Hooks {
  /**
   * Checks and locks what `commit` will need: afterwards `commit` must be able to succeed. A failure or a defect is a vote
   * against, and the transaction is rejected everywhere. Default: a vote in favour.
   */
  readonly reserve?: (part: TransactionPart) => Effect.Effect<void, any, any>
  /** Makes the staged effects visible. It cannot fail; when it dies, it is called again later. */
  readonly commit?: (part: TransactionPart) => Effect.Effect<void, never, any>
  /**
   * Removes the staged effects. It may be called without any, and cannot fail; when it dies, it is called again later.
   */
  readonly reject?: (part: TransactionPart) => Effect.Effect<void, never, any>
}

/** The names of all hooks. One with a mistake in it would never be called. */
export const names: { readonly [Hook in keyof Required<Hooks>]: true } = { reserve: true, commit: true, reject: true }

/** The services that handlers, or hooks, require, also those of a handler that is made of parts. */
export type ServicesOf<H> = { [Tag in keyof H]: ServicesIn<H[Tag]> | ServicesOfParts<H[Tag]> }[keyof H]

type ServicesIn<F> = F extends (...args: Array<any>) => Effect.Effect<any, any, infer R> ? R : never

type ServicesOfParts<F> = F extends (...args: Array<any>) => any
  ? never
  : { [Part in keyof F]-?: ServicesIn<F[Part]> }[keyof F]
