/** Between rows of the database and values of the port: rows are decoded and checked, since another program may write them. */
import { Effect, Option, Result, Schema } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { Attributes } from "../../definition/Attributes.ts"
import { SagaEvent } from "../../execution/rules/SagaEvent.ts"
import type { SagaExecution } from "../../execution/view/SagaExecution.ts"
import * as Execution from "../../execution/view/SagaExecution.ts"
import * as ExecutionSummary from "../../ports/ExecutionSummary.ts"
import * as ExecutionTombstone from "../../ports/ExecutionTombstone.ts"
import * as Port from "../../ports/SagaExecutionRepository.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import { check, Json, limits } from "../../wire/JsonLimits.ts"
import type { InboxRow } from "./OwnershipStatements.ts"
import type { StoredSummary } from "./SagaExecutionStatements.ts"
import { causeOf, isRejected } from "./SqlErrors.ts"
import type { NameRow, StoredName } from "./WriteStatements.ts"

const decodeFacts = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Array(SagaEvent)))
/** How deep a value may stand in a list of facts. */
const depthOfFacts = 4
const corrupt = (operation: Port.Operation, cause: Execution.SagaDecodeError) =>
  new Port.SagaExecutionRepositoryError({ reason: "corrupt", operation, cause })

/** `head`: the revision in the summary, which is never ahead of the facts. */
export const executionOf = (
  operation: Port.Operation,
  uuid: string,
  rows: ReadonlyArray<{ readonly revision: number; readonly facts: string; readonly head?: number }>
): Result.Result<SagaExecution, Port.SagaExecutionRepositoryError> => {
  const events: Array<SagaEvent> = []
  const fail = (issue: string) => Result.fail(corrupt(operation, new Execution.SagaDecodeError({ issue })))
  for (const [i, { facts, revision }] of rows.entries()) {
    if (revision !== i + 1) return fail(`revision ${i + 1} is missing`)
    const decoded = decodeFacts(facts)
    if (Result.isFailure(decoded)) return fail(`revision ${revision}: ${JsonCodec.placesOf(decoded.failure)}`)
    const checked = check(decoded.success, { ...limits, maxDepth: limits.maxDepth + depthOfFacts })
    if (typeof checked !== "number") return fail(`revision ${revision}: ${checked.message}`)
    events.push(...decoded.success)
  }
  // Without its latest facts it would be run from a state that it has left: what it has done since would be done twice.
  if (rows.some(({ head = 0 }) => head > rows.length)) return fail(`revision ${rows.length + 1} is missing`)
  const execution = Execution.fromEvents(rows.length, events)
  if (execution instanceof Execution.SagaDecodeError) return Result.fail(corrupt(operation, execution))
  return execution.uuid === uuid ? Result.succeed(execution) : fail("the facts are those of another execution")
}

/** Not decoded: a row that a newer version has written is listed as it is, and does not keep the others from the page (F36). */
export const summaryFrom = (row: StoredSummary): ExecutionSummary.ExecutionSummary => ({
  uuid: row.uuid,
  ...(row.start_key !== null && { startKey: row.start_key }),
  saga: row.saga,
  fingerprint: row.fingerprint,
  status: row.status,
  direction: row.direction,
  decision: row.decision,
  commitState: row.commit_state,
  ...(row.user_name !== null && { user: row.user_name }),
  ...attributesFrom(row.attributes),
  parked: row.parked,
  ...(row.failure_tag !== null && {
    failure: { tag: row.failure_tag, ...(row.failure_path !== null && { path: row.failure_path }) }
  }),
  ...(row.wake_at !== null && row.wake_at > 0 && { wakeAt: Number(row.wake_at) }),
  // The former release leaves these columns as they were.
  ...(row.step !== null && row.step_path !== null && !row.settled && { step: { name: row.step, path: row.step_path } }),
  ...(row.waits_for !== null &&
    (row.status === "paused" || row.direction === "backward") &&
    !row.settled && {
      waitsFor: row.waits_for,
      ...(row.waiting_since !== null && { waitingSince: Number(row.waiting_since) })
    }),
  ...(row.trace !== null && { trace: row.trace }),
  ...(row.direction === "forward" && !row.settled && queuedFrom(row.queued)),
  revision: row.revision,
  settled: row.settled,
  createdAt: Number(row.created_at),
  updatedAt: Number(row.updated_at)
})

/** Values that other hands have put there and that are none are left out: the execution is listed all the same. */
const attributesFrom = (stored: unknown): Pick<ExecutionSummary.ExecutionSummary, "attributes"> =>
  Option.match(readAttributes(stored), { onNone: () => ({}), onSome: (attributes) => ({ attributes }) })

const queuedFrom = (stored: unknown): Pick<ExecutionSummary.ExecutionSummary, "queued"> =>
  Option.match(readQueued(stored), { onNone: () => ({}), onSome: (queued) => ({ queued }) })

const readQueued = Schema.decodeUnknownOption(ExecutionSummary.Queued)

const readAttributes = Schema.decodeUnknownOption(Attributes)

export const namesOf = (execution: SagaExecution): ReadonlyArray<NameRow> => {
  const { saga, startKey, uuid } = execution
  const names: Array<string> = []
  if (startKey !== undefined) names.push(`key ${startKey}`)
  if (ExecutionTombstone.isCallerGiven(uuid)) names.push(`uuid ${uuid}`)
  if (names.length === 0) return []
  const contextHash = Port.contextHash(execution)
  return names.map((name) => ({ name, uuid, startKey: startKey ?? null, saga, contextHash }))
}

const isOutcome = Schema.is(ExecutionTombstone.Outcome)

export const retired = ({ contextHash, outcome, saga, startKey, uuid }: StoredName) =>
  new Port.SagaExecutionRetired({
    uuid,
    ...(startKey !== null && { startKey }),
    saga,
    contextHash,
    outcome: isOutcome(outcome) ? outcome : "deleted"
  })

export const errorOf = (operation: Port.Operation, error: SqlError): Port.SagaExecutionRepositoryError =>
  new Port.SagaExecutionRepositoryError({
    reason: isRejected(error) ? "rejected" : "unavailable",
    operation,
    cause: causeOf(error)
  })

export const call = <A>(
  operation: Port.Operation,
  run: Effect.Effect<A, SqlError>
): Effect.Effect<A, Port.SagaExecutionRepositoryError> => Effect.mapError(run, (cause) => errorOf(operation, cause))

const parseInput = Schema.decodeUnknownResult(Schema.fromJsonString(Json))

/** An input that is no JSON is null: whoever judges it refuses it, and takes it out. */
export const inputFrom = ({ actor, at, id, input, reason, uuid }: InboxRow): Port.InboxRow => ({
  uuid,
  id,
  input: Result.getOrElse(parseInput(input), () => null),
  ...(actor !== null && { actor }),
  ...(reason !== null && { reason }),
  at: Number(at)
})

export const rowOfInput = ({ actor, at, id, input, reason, uuid }: Port.InboxRow): InboxRow => ({
  uuid,
  id,
  input: JSON.stringify(input),
  actor: actor ?? null,
  reason: reason ?? null,
  at
})
