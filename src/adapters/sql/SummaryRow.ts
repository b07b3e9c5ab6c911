/** The row of a summary, and its columns as a statement gets them: as JSON of many rows, or each value of one row for itself. */
import type * as ExecutionSummary from "../../ports/ExecutionSummary.ts"
import type { Queued } from "../../ports/SagaQueues.ts"

/** A row of `saga_execution`: what people and recovery search by. Written only where a write changes it. */
export interface SummaryRow {
  readonly summary: ExecutionSummary.ExecutionSummary
  /** An instance has something to do for the execution, now or at `wakeAt`. */
  readonly claimable: boolean
  readonly owner: string | null
  /** 0: the owner works on it now; null: it waits for no time. In milliseconds since the epoch. */
  readonly wakeAt: number | null
  /**
   * The write is announced on the channel: another process has started the execution, and its caller may wait. A later write of
   * an execution that is `watched` is announced anyway.
   */
  readonly announced: boolean
  /** The write is refused while inputs wait that its writer has not read. */
  readonly closes: boolean
  /** The write is refused while another living owner is at work on the execution. */
  readonly takes: boolean
  /** The names of the signals that the execution has waits for. Only the first write of an execution has them. */
  readonly signals: ReadonlyArray<string> | undefined
  /** The write brings attributes by which the execution is found. */
  readonly labels: boolean
  /** The row of the execution in a queue after the write; `null`: it is removed; undefined: it stays as it is. */
  readonly place: Queued | null | undefined
}

type Values = Readonly<Record<string, unknown>>

export interface Columns {
  /** The types of the columns, in the order of the statements. */
  readonly types: Readonly<Record<string, string>>
  /** The values of a row, by the names of its columns. An undefined value is stored as null. */
  readonly of: (row: SummaryRow) => Values
}

const columns = <const Types extends Columns["types"]>(
  types: Types,
  of: (row: SummaryRow) => { readonly [Name in keyof Types]: unknown }
): { readonly types: Types; readonly of: typeof of } => ({ types, of })

/** The columns that a later write may change. `inbox` has the number by which the write closes or takes the execution (`WriteStatements`). */
export const changed = columns(
  {
    uuid: "uuid",
    status: "text",
    direction: "text",
    decision: "text",
    commit_state: "text",
    parked: "boolean",
    failure_tag: "text",
    failure_path: "text",
    revision: "int",
    settled: "boolean",
    claimable: "boolean",
    owner: "text",
    wake_at: "bigint",
    updated_at: "bigint",
    settled_at: "bigint",
    step: "text",
    step_path: "text",
    waits_for: "text",
    waiting_since: "bigint",
    trace: "text",
    attributes: "jsonb",
    inbox: "int"
  },
  ({ claimable, closes, owner, summary, takes, wakeAt }) => ({
    uuid: summary.uuid,
    status: summary.status,
    direction: summary.direction,
    decision: summary.decision,
    commit_state: summary.commitState,
    parked: summary.parked,
    failure_tag: summary.failure?.tag,
    failure_path: summary.failure?.path,
    revision: summary.revision,
    settled: summary.settled,
    claimable,
    owner,
    wake_at: wakeAt,
    updated_at: summary.updatedAt,
    settled_at: summary.settled ? summary.updatedAt : undefined,
    step: summary.step?.name,
    step_path: summary.step?.path,
    waits_for: summary.waitsFor,
    waiting_since: summary.waitingSince,
    trace: summary.trace,
    attributes: summary.attributes,
    inbox: takes ? (closes ? 2 : 1) : closes ? 0 : undefined
  })
)

/** The columns of the first write: all of them. */
export const started = columns(
  {
    ...changed.types,
    start_key: "text",
    saga: "text",
    fingerprint: "text",
    user_name: "text",
    created_at: "bigint",
    signals: "text[]"
  },
  (row) => ({
    ...changed.of(row),
    start_key: row.summary.startKey,
    saga: row.summary.saga,
    fingerprint: row.summary.fingerprint,
    user_name: row.summary.user,
    created_at: row.summary.createdAt,
    signals: row.signals
  })
)

export const jsonOf = (rows: ReadonlyArray<SummaryRow>, { of }: Columns): string => JSON.stringify(rows.map(of))

/**
 * Numbers are texts, as those of one column may have several types, and a connection keeps a statement and its plan for each. The
 * database finds the type.
 */
export const valuesOf = (row: SummaryRow, { of, types }: Columns): ReadonlyArray<unknown> => {
  const values = of(row)
  return Object.keys(types).map((name) => parameterOf(values[name]))
}

const parameterOf = (value: unknown): unknown =>
  typeof value === "number"
    ? String(value)
    : typeof value === "object" && value !== null && !Array.isArray(value)
      ? JSON.stringify(value)
      : (value ?? null)
