/**
 * Decisions of people about transactions in doubt (SPEC C6): asked for from any process, also one that knows no participant, and
 * carried out by a process of the service, which has the hooks. The first decision about a transaction counts.
 */
import { type Effect, Schema } from "effect"

export const DoubtDecision = Schema.Struct({
  service: Schema.String,
  /** The execution. */
  uuid: Schema.String,
  decision: Schema.Literals(["commit", "reject"]),
  /** The person, and why: kept beside the decision. */
  actor: Schema.String,
  reason: Schema.String,
  /** In milliseconds since the epoch. */
  at: Schema.Int
})
export type DoubtDecision = typeof DoubtDecision.Type

/** `applied`: it counts. `too-late`: the decision of the coordinator had come. */
export type DoubtOutcome = "applied" | "too-late"

/** How many decisions wait for one service, at most. */
export const maxOpen = 1_000

export interface Doubts<E> {
  /** Keeps a decision. `not-in-doubt`: the service has no such transaction that has voted yes and is undecided. */
  readonly decide: (decision: DoubtDecision) => Effect.Effect<"stored" | "known" | "not-in-doubt", E>
  /** Those of a service that are not carried out, oldest first. At most `maxOpen`. */
  readonly open: (service: string) => Effect.Effect<ReadonlyArray<DoubtDecision>, E>
  /** Says what became of a decision. It is kept for 30 days. */
  readonly close: (service: string, uuid: string, outcome: DoubtOutcome, now: number) => Effect.Effect<void, E>
  /** What became of the decision about a transaction; undefined: it is not carried out yet, or there is none. */
  readonly outcome: (service: string, uuid: string) => Effect.Effect<DoubtOutcome | undefined, E>
}
