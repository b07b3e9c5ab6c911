/** The values that a key-value store keeps, and how they are read. A value may be given back as its JSON text. */
import { Effect, Option, Schema } from "effect"
import type { SagaExecution } from "../../execution/view/SagaExecution.ts"
import * as Execution from "../../execution/view/SagaExecution.ts"
import type * as ExecutionSummary from "../../ports/ExecutionSummary.ts"
import { Tombstone } from "../../ports/ExecutionTombstone.ts"
import * as Port from "../../ports/SagaExecutionRepository.ts"
import * as SagaInbox from "../../ports/SagaInbox.ts"
import { Uuid as UuidText } from "../../wire/Envelope.ts"
import * as Uuid from "../../wire/Uuid.ts"

/** A uuid or a `startKey` that is in use or used up. Saved under a uuid that is made from the name. */
const ClaimedName = Schema.Struct({
  v: Schema.Literal(1),
  claimed: Schema.Struct({ uuid: UuidText, tombstone: Schema.optionalKey(Tombstone) })
})

/** An execution in its encoded form, with the inputs that wait for it. */
interface KeptExecutionValue extends Execution.Raw {
  readonly inbox?: ReadonlyArray<SagaInbox.InboxRow>
  /** The names of the signals that it has waits for. */
  readonly signals?: ReadonlyArray<string>
}

/** A value that the functions keep: an execution in its encoded form, or a name in use. */
export type Kept = KeptExecutionValue | typeof ClaimedName.Type

export const isClaimedName = Schema.is(ClaimedName)
export const revisionOf = Schema.decodeUnknownOption(Schema.Struct({ revision: Schema.Int }))
const decodeBeside = Schema.decodeUnknownEffect(
  Schema.Struct({
    inbox: Schema.optionalKey(Schema.Array(SagaInbox.InboxRow)),
    signals: Schema.optionalKey(Schema.Array(Schema.String))
  })
)

type Rows = ReadonlyMap<string, SagaInbox.InboxRow>

/** The other parts of the value of an execution: inputs that wait for it, and the names of the signals that its saga waits for. */
export interface Beside {
  readonly rows: Rows | undefined
  readonly signals: ReadonlyArray<string> | undefined
}

export const besideFrom = (operation: Port.Operation, value: unknown) =>
  decodeBeside(value).pipe(
    Effect.map(
      ({ inbox, signals }): Beside => ({ rows: inbox && new Map(inbox.map((row) => [row.id, row])), signals })
    ),
    Effect.mapError(() => corrupt(operation)(new Execution.SagaDecodeError({ issue: "$.inbox" })))
  )

export const inboxFrom = (operation: Port.Operation, value: unknown) =>
  Effect.map(besideFrom(operation, value), ({ rows }) => rows)

export const encoded = (execution: SagaExecution, { rows, signals }: Beside): KeptExecutionValue =>
  rows === undefined && signals === undefined
    ? Execution.raw(execution)
    : {
        ...Execution.raw(execution),
        ...(rows !== undefined && { inbox: [...rows.values()] }),
        ...(signals !== undefined && { signals })
      }

/** The error of `JSON.parse` quotes the text, which must not get into an error (SPEC C12). */
const parse = (text: string) =>
  Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: () => new Execution.SagaDecodeError({ issue: "$ is not JSON" })
  })

const nilUuid = "00000000-0000-0000-0000-000000000000"
export const keyOfUuid = (uuid: string): string => Uuid.ofStep(uuid, "uuid")
export const keyOfStartKey = (startKey: string): string => Uuid.ofStep(nilUuid, `startKey ${startKey}`)

export const corrupt = (operation: Port.Operation) => (cause: unknown) =>
  new Port.SagaExecutionRepositoryError({ reason: "corrupt", operation, cause })

export const read = (operation: Port.Operation, given: unknown) => {
  const value = Option.isOption(given) ? Option.getOrUndefined(given) : given
  return typeof value === "string"
    ? Effect.mapError(parse(value), corrupt(operation))
    : Effect.succeed(value ?? undefined)
}

/** The execution of a key: the value of another one may have got there. */
export const executionAt = Effect.fnUntraced(function* (operation: Port.Operation, uuid: string, value: unknown) {
  const execution = yield* Effect.mapError(Execution.fromRaw(value), corrupt(operation))
  if (execution.uuid === uuid) return execution
  return yield* corrupt(operation)(new Execution.SagaDecodeError({ issue: "$.uuid: not that of its key" }))
})

export interface Found {
  readonly execution: SagaExecution
  readonly inbox: Rows | undefined
}

export const fromKept = (operation: Port.Operation, given: unknown) =>
  Effect.flatMap(read(operation, given), (value) =>
    value === undefined || isClaimedName(value)
      ? Effect.succeed([])
      : Effect.map(Effect.all([Execution.fromRaw(value), inboxFrom(operation, value)]), ([execution, inbox]) => [
          { execution, inbox }
        ])
  )

/** The parts of an execution that people need to find it, where its facts are of a newer version or make no sense. */
const decodeUnreadable = Schema.decodeUnknownOption(
  Schema.Struct({
    uuid: UuidText,
    definition: Schema.Struct({ name: Schema.String, fingerprint: Schema.String }),
    status: Schema.String,
    user: Schema.NullOr(Schema.String),
    revision: Schema.Int,
    events: Schema.NonEmptyArray(Schema.Struct({ at: Schema.Int }))
  })
)

export const summaryOfUnreadable = (value: unknown): Option.Option<ExecutionSummary.ExecutionSummary> =>
  Option.map(decodeUnreadable(value), ({ definition, events, revision, status, user, uuid }) => ({
    uuid,
    saga: definition.name,
    fingerprint: definition.fingerprint,
    status,
    direction: "unknown",
    decision: null,
    commitState: "unknown",
    ...(user !== null && { user }),
    parked: false,
    revision,
    settled: false,
    createdAt: events[0].at,
    updatedAt: (events.at(-1) ?? events[0]).at
  }))
