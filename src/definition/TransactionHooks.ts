/**
 * The own part of a service in a two-phase commit, as its author writes it. A participant and the service that runs the
 * sagas have the same hooks.
 */
import type { Effect } from "effect"

/** What a hook is told: which execution it is about. */
export interface Part {
  readonly uuid: string
}

/**
 * The participant's side of a two-phase commit. Each runs in one unit of work with the record of its outcome; one that
 * fails leaves nothing and is called again.
 */
export interface Hooks {
  /** Checks and locks what `commit` will need: after it, `commit` must be able to succeed. Failing is a no. */
  readonly reserve?: (part: Part) => Effect.Effect<void, any, any>
  /** Makes what was staged visible. */
  readonly commit?: (part: Part) => Effect.Effect<void, never, any>
  /** Throws away what was staged. */
  readonly reject?: (part: Part) => Effect.Effect<void, never, any>
}

/** The services that handlers, or hooks, need. */
export type ServicesOf<H> = {
  [Tag in keyof H]: H[Tag] extends (...args: Array<any>) => Effect.Effect<any, any, infer R> ? R : never
}[keyof H]
