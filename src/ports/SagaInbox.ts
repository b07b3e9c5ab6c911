/**
 * Inputs for executions that another instance owns (SPEC C16): only the owner of an execution writes its facts, and everybody
 * else leaves a row here. The owner reads the rows, and its next write of facts takes them out.
 */
import { Schema } from "effect"
import type { SagaState } from "../execution/rules/SagaState.ts"
import { Json } from "../wire/JsonLimits.ts"
import { line } from "../wire/OneLine.ts"

export const InboxRow = Schema.Struct({
  /** The execution that the input is for. */
  uuid: Schema.String,
  /** Of this input, among those of one execution: the same input is stored once. */
  id: Schema.String,
  /** The encoded input. The store does not read it. */
  input: Json,
  /** The person who has sent it, and why. */
  actor: Schema.optionalKey(Schema.String),
  reason: Schema.optionalKey(Schema.String),
  /** When it was sent, in milliseconds since the epoch. */
  at: Schema.Finite
})
export type InboxRow = typeof InboxRow.Type

/**
 * Why a signal is not stored, by the head of its execution: that has ended, turns back, or has no wait for a signal of this
 * name. Whoever sends the signal judges it by a load: the same one may have been stored before.
 */
export type SignalRefused = "ended" | "going-back" | "unknown-signal"

/**
 * `known`: there is a row with this id already. `settled`: the execution is over for good, and nothing is stored; whoever
 * sends the input judges it by a load.
 */
export type Submitted = "stored" | "known" | "settled" | SignalRefused

/** Why a signal is not stored; undefined: it is. `names`: the signals that the execution has waits for. */
export const refused = (
  { direction, status }: Pick<SagaState, "direction" | "status">,
  names: ReadonlyArray<string> | undefined,
  signal: string
): SignalRefused | undefined => {
  if (status === "finished" || status === "errored") return "ended"
  if (direction === "backward") return "going-back"
  return names?.includes(signal) === true ? undefined : "unknown-signal"
}

/** Rows that wait for one execution, at most. */
export const maxRows = 1_000

/** Uuids that a slow listener to inputs may be behind. It looks at its inbox in every round anyway. */
export const maxAnnounced = 1_024

/** The owner of the execution does not come to its inputs: try again later. */
export class SagaInboxFull extends Schema.TaggedError<SagaInboxFull>()("SagaInboxFull", {
  uuid: Schema.String,
  rows: Schema.Int
}) {
  override get message(): string {
    return line`Execution ${this.uuid} has ${this.rows} inputs that wait, and takes no more`
  }
}

/** Rows in the order in which they are judged. */
export const inOrder = (rows: Iterable<InboxRow>): ReadonlyArray<InboxRow> =>
  [...rows].sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1))

/** Whether a write that names the rows it has read leaves any. */
export const isUnread = (
  rows: ReadonlyMap<string, InboxRow> | undefined,
  reads: ReadonlyArray<string> | undefined
): boolean => {
  if (rows === undefined || rows.size === 0) return false
  const read = new Set(reads)
  for (const id of rows.keys()) if (!read.has(id)) return true
  return false
}

/** The rows that a write leaves. */
export const without = (
  rows: ReadonlyMap<string, InboxRow> | undefined,
  reads: ReadonlyArray<string> | undefined
): ReadonlyMap<string, InboxRow> | undefined => {
  if (rows === undefined || reads === undefined || reads.length === 0) return rows
  const left = new Map(rows)
  for (const id of reads) left.delete(id)
  return left.size === 0 ? undefined : left
}

/** Among the announced uuids of inputs: another instance has come. */
export const anotherInstance = ""

/**
 * Among the announced uuids of inputs, after that of an execution that nobody has: the instances claim soon, and not at their
 * intervals only.
 */
export const ofNobody = "*"

/** How an input is announced. */
export const announcements = (uuid: string, isOfNobody: boolean): ReadonlyArray<string> =>
  isOfNobody ? [uuid, ofNobody] : [uuid]
