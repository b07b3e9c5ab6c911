/**
 * Port: what an operator sees, and what he may do. It reads what is stored and knows no saga, so every program that reaches the
 * storage can have it. An action is an input in the inbox of its execution (SPEC C16): the process that owns the execution
 * judges it, and its actor and reason go to the history. Lists and counts are bounded, however much is stored.
 */
import { Context, type Duration, type Effect, Option, Schema } from "effect"
import { SagaEvent } from "../execution/rules/SagaEvent.ts"
import { CommitState } from "../execution/rules/SagaStatus.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { Json } from "../wire/JsonLimits.ts"
import { json, line } from "../wire/OneLine.ts"
import * as Uuid from "../wire/Uuid.ts"
import type { DeadLetter } from "./DeadLetters.ts"
import * as Summary from "./ExecutionSummary.ts"
import type { SagaExecutionNotFound } from "./RepositoryErrors.ts"
import { InboxRow } from "./SagaInbox.ts"

// ---- what is seen ----------------------------------------------------------------------------------------------

/** The status for people: an execution that rolls back and has not ended is `undoing`. */
export const State = Schema.Literals(["created", "running", "paused", "undoing", "finished", "errored"])
export type State = typeof State.Type

/** The state of an execution; a status that a newer release has written is given as it is. */
export const stateOf = (summary: Pick<Summary.ExecutionSummary, "status" | "direction">): string =>
  Summary.isUndoing(summary) ? "undoing" : summary.status

/** The filter for the executions in a state. */
export const ofState = (state: State): Summary.Filter => {
  if (state === "undoing") return { undoing: true }
  return Summary.underWay.includes(state) ? { status: state, undoing: false } : { status: state }
}

/** How many executions of a group are counted. */
export const maxCounted = 10_000

const counted = {
  /** At most `maxCounted`. */
  count: Schema.Int,
  /** There are more than that. */
  isMore: Schema.Boolean
}

/** How many executions of a saga are in a state. */
export const Count = Schema.Struct({
  saga: Schema.String,
  /** A `State`, or a status of a newer release. */
  state: Schema.String,
  settled: Schema.Boolean,
  ...counted,
  /** When the oldest of them was created, in milliseconds since the epoch. */
  oldest: Schema.Int
})
export type Count = typeof Count.Type

/** Executions that wait for the same thing at the same step. */
export const WaitingGroup = Schema.Struct({
  /** `service/Command`, `signal <name>`, or `timer`. */
  waitsFor: Schema.String,
  saga: Schema.String,
  /** The name of the step. */
  step: Schema.String,
  ...counted,
  /** Since when the first of those counted waits, in milliseconds since the epoch. */
  oldest: Schema.Int
})
export type WaitingGroup = typeof WaitingGroup.Type

/** A place of an execution that needs a person: a value of `SagaExecution.parked`. */
export const ParkedPlace = Schema.Struct({
  /** The path of a step; `service:decision`; or `execution`. */
  place: Schema.String,
  /** `service`: a stalled one. `execution`: it is set aside as a whole. */
  kind: Schema.Literals(["step", "service", "execution"]),
  /** The name of the step. */
  step: Schema.optionalKey(Schema.String),
  /** The service that is stalled, or that the step asks. */
  service: Schema.optionalKey(Schema.String),
  /** The tag of the failure for which it is parked; never its values. */
  failure: Schema.optionalKey(Schema.String),
  /** Why it is parked, in a word of the rules. */
  reason: Schema.optionalKey(Schema.String)
})
export type ParkedPlace = typeof ParkedPlace.Type

/** Executions that are parked at the same step after the same failure. */
export const ParkedGroup = Schema.Struct({
  saga: Schema.String,
  commitState: Schema.Union([CommitState, Schema.String]),
  /** The tag of the failure of the execution. */
  failure: Schema.optionalKey(Schema.String),
  /** The name of the step that the execution is at. */
  step: Schema.optionalKey(Schema.String),
  ...counted,
  /** When the oldest of them was created, in milliseconds since the epoch. */
  oldest: Schema.Int,
  /** The newest of them. */
  sample: Schema.String,
  /** Where that one is parked. Empty where its facts cannot be read, or it goes on already. */
  places: Schema.Array(ParkedPlace)
})
export type ParkedGroup = typeof ParkedGroup.Type

/** Executions that are due, and that no process takes: no living one knows their saga or can read them, or none is there. */
export const OverdueGroup = Schema.Struct({
  saga: Schema.String,
  fingerprint: Schema.String,
  ...counted,
  /** When the first of them was due, in milliseconds since the epoch; absent: its process died at work. */
  since: Schema.optionalKey(Schema.Int),
  /** One of them. */
  sample: Schema.String
})
export type OverdueGroup = typeof OverdueGroup.Type

/** The part of a service in a transaction: it has voted yes, and does not know the decision. */
export const InDoubt = Schema.Struct({
  service: Schema.String,
  /** The execution. */
  uuid: Schema.String,
  /** The service that decides. */
  coordinator: Schema.optionalKey(Schema.String),
  /** When it voted, in milliseconds since the epoch. */
  since: Schema.Int
})
export type InDoubt = typeof InDoubt.Type

/** Messages of one command that a participant holds without a final answer. */
export const CommandGroup = Schema.Struct({
  service: Schema.String,
  /** Empty where its record cannot be read. */
  command: Schema.String,
  /**
   * `accepted`: its answer comes later. `running`: its handler runs without a transaction. `interrupted`: that handler has died, or its
   * process has; it runs again when the message comes again.
   */
  state: Schema.Literals(["accepted", "running", "interrupted"]),
  ...counted,
  /** Since when the first of them is there, in milliseconds since the epoch. */
  oldest: Schema.Int,
  /** The id of that message. It begins with the uuid of its execution. */
  sample: Schema.String
})
export type CommandGroup = typeof CommandGroup.Type

/** A process that has, or had, a lease. */
export const Process = Schema.Struct({
  /** Its name, with its service and its epoch. */
  id: Schema.String,
  service: Schema.optionalKey(Schema.String),
  /** When it began, in milliseconds since the epoch, where its name says so. */
  startedAt: Schema.optionalKey(Schema.Int),
  /** Until when it counts as alive, in milliseconds since the epoch. Absent: without an end, as it is alone. */
  leaseUntil: Schema.optionalKey(Schema.Int),
  isAlive: Schema.Boolean,
  /** The executions that it is at work on; those that only wait belong to nobody. */
  working: Schema.Int
})
export type Process = typeof Process.Type

/** One execution with all that is stored of it. The facts have its values: hide them from who may not see them. */
export const Inspected = Schema.Struct({
  summary: Summary.ExecutionSummary,
  /** The process that works on it now. */
  owner: Schema.optionalKey(Schema.String),
  ownerIsAlive: Schema.optionalKey(Schema.Boolean),
  /** Inputs that wait for the owner. */
  inbox: Schema.Array(InboxRow),
  facts: Schema.Array(SagaEvent)
})
export type Inspected = typeof Inspected.Type

/** The execution that the facts fold to, without its definition; none for facts that this release cannot fold. */
export const executionOf = ({ facts, summary }: Inspected): Option.Option<SagaExecution> => {
  const execution = Execution.fromEvents(summary.revision, facts)
  return execution instanceof Execution.SagaDecodeError ? Option.none() : Option.some(execution)
}

// ---- what is done ----------------------------------------------------------------------------------------------

/** The person who acts, and why. Both go to the history. */
export const Who = Schema.Struct({ actor: Schema.NonEmptyString, reason: Schema.NonEmptyString })
export type Who = typeof Who.Type

/** An action on one execution. */
export const Action = Schema.Union([
  /** Rolls it back, if nothing is decided yet. */
  Schema.TaggedStruct("Cancel", {}),
  /** Commits one that was started with `autocommit: false` and has finished. */
  Schema.TaggedStruct("Commit", {}),
  /** Rolls back one that has finished and is not committed. */
  Schema.TaggedStruct("Reject", {}),
  /** Tries a parked place again. Without `place`: all of them, one after the other. */
  Schema.TaggedStruct("RetryParked", { place: Schema.optionalKey(Schema.String) }),
  /**
   * Declares a parked place done by other means. Without `place`: the only one. `result`: the result of a step behind the pivot,
   * in its encoded form.
   */
  Schema.TaggedStruct("ResolveParked", {
    place: Schema.optionalKey(Schema.String),
    result: Schema.optionalKey(Json)
  }),
  /** Answers a wait. `id`: the same one again is no second signal; default: one for each content. */
  Schema.TaggedStruct("Signal", {
    signal: Schema.String,
    key: Schema.optionalKey(Schema.String),
    id: Schema.optionalKey(Schema.String),
    /** In the encoded form of its schema. */
    payload: Schema.optionalKey(Json)
  })
])
export type Action = typeof Action.Type

/** What became of an action. */
export const Outcome = Schema.Union([
  /** It stands in the history. */
  Schema.TaggedStruct("Applied", {}),
  /** It changed nothing: `why` is the tag of the refusal, `message` says it to a person. */
  Schema.TaggedStruct("Refused", { why: Schema.String, message: Schema.String }),
  /** It is accepted and kept, and no process has applied it yet. */
  Schema.TaggedStruct("Waiting", { inbox: Schema.Int })
])
export type Outcome = typeof Outcome.Type

/** A transaction in doubt, and what is decided about it in place of its coordinator. */
export const Doubt = Schema.Struct({
  service: Schema.String,
  /** The execution. */
  uuid: Schema.String,
  decision: Schema.Literals(["commit", "reject"])
})
export type Doubt = typeof Doubt.Type

export interface ActOptions extends Who {
  /** How long to wait for the outcome. Default 10 seconds; 0: not at all. */
  readonly wait?: Duration.Input
}

/**
 * `unavailable`: the same call may work later. `rejected`: it never will, such as a cursor that is none. `corrupt`: what is stored
 * cannot be read by this release. `unmigrated`: the tables are not there, or lack what this release reads. `unsupported`: the
 * storage cannot tell.
 */
export class InspectorError extends Schema.TaggedError<InspectorError>()("InspectorError", {
  reason: Schema.Literals(["unavailable", "rejected", "corrupt", "unmigrated", "unsupported"]),
  operation: Schema.String,
  /**
   * Where executions are spread over several databases: the names of those that are the reason. Empty: none of them has the bucket of
   * the execution now. Absent: there is one database.
   */
  databases: Schema.optionalKey(Schema.Array(Schema.String)),
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    const { databases = [], operation, reason } = this
    return databases.length === 0
      ? line`The storage could not do ${operation}: ${reason}`
      : line`The storage could not do ${operation}: ${reason} (${databases.join(", ")})`
  }

  override toJSON(): unknown {
    return json(this)
  }
}

/** The names of databases, each with the code of Postgres with which it refuses the role. */
export const Refusals = Schema.Record(Schema.String, Schema.String)
export type Refusals = typeof Refusals.Type

// ---- the port --------------------------------------------------------------------------------------------------

type Seen<A> = Effect.Effect<A, InspectorError>

/**
 * Where executions are spread over several databases, lists and groups are of those that answer: `missing` names the others. A question
 * that needs all of them (`census`), or one that does not answer, fails with `unavailable` and the `databases` that have not answered.
 */
export class Inspector extends Context.Service<
  Inspector,
  {
    /**
     * The names of databases that do not answer now, or have left one of the latest questions open: so ask it after the lists that it is
     * about. Always empty where there is one database: then the others of these fail.
     */
    readonly missing: Effect.Effect<ReadonlyArray<string>>
    /** Of `missing`, those that are there and refuse the role of this program, as where it lacks rights. Absent: it is none. */
    readonly refusals?: Effect.Effect<Refusals>
    /** A page of summaries, as `SagaExecutionRepository.find`. */
    readonly find: (filter: Summary.Filter, page?: Summary.PageRequest) => Seen<Summary.Page>
    /** How many executions each saga has in each state, and the oldest of each. With a name: of that saga. */
    readonly count: (saga?: string) => Seen<ReadonlyArray<Count>>
    /** What executions wait for, and at which step. */
    readonly waiting: Seen<ReadonlyArray<WaitingGroup>>
    /** One execution, by its uuid or its `startKey`. */
    readonly load: (target: string) => Effect.Effect<Inspected, SagaExecutionNotFound | InspectorError>
    /** What needs a person, by saga, failure and step. At most 200 groups. */
    readonly parked: Seen<ReadonlyArray<ParkedGroup>>
    /** Those of `parked` where a service does not answer to the decision, or contradicts it. */
    readonly stalled: Seen<ReadonlyArray<ParkedGroup>>
    /** Executions that no process has taken for so long after they were due. */
    readonly overdue: (longer: Duration.Input) => Seen<ReadonlyArray<OverdueGroup>>
    /** Transactions whose decision participants do not know for so long: of those that keep their records here. At most 1,000. */
    readonly inDoubt: (longer: Duration.Input) => Seen<ReadonlyArray<InDoubt>>
    /** Commands that participants have begun and not answered: of those that keep their records here. At most 200 groups. */
    readonly commands: Seen<ReadonlyArray<CommandGroup>>
    /** Messages that nobody could read or was allowed to send, newest first. */
    readonly deadLetters: (limit?: number) => Seen<ReadonlyArray<DeadLetter>>
    /** The processes that share the executions; those that ended, for a day. */
    readonly processes: Seen<ReadonlyArray<Process>>
    /** The number of unsettled executions of each saga in each of its forms, counted up to 100. Fails where a database is missing. */
    readonly census: Seen<ReadonlyArray<Summary.Census>>
    /**
     * Puts an action into the inbox of an execution, and wakes the process that has it. What the stored facts already refuse is
     * refused at once, also where no process is there.
     */
    readonly act: (
      target: string,
      action: Action,
      options: ActOptions
    ) => Effect.Effect<Outcome, SagaExecutionNotFound | InspectorError>
    /**
     * Decides a transaction in doubt in place of its coordinator, which may decide otherwise: then the transaction is a
     * contradiction for ever, which is marked `heuristic`. A process of the service carries it out, within seconds. Only for one whose
     * coordinator never comes back (SPEC C6).
     */
    readonly decideInDoubt: (doubt: Doubt, options: ActOptions) => Effect.Effect<Outcome, InspectorError>
  }
>()("effect-saga/Inspector") {}

/** The name of an owner: its service, the uuid of the process, which has its start, and the epoch. */
const owner = /^(.*)\/([0-9a-f-]{36})(?:#\d+)?$/

/** What the name of a process says. */
export const named = (id: string): Pick<Process, "service" | "startedAt"> => {
  const [, service, uuid] = owner.exec(id) ?? []
  const startedAt = uuid === undefined ? undefined : Uuid.timeOf(uuid)
  return { ...(service !== undefined && { service }), ...(startedAt !== undefined && { startedAt }) }
}
