/**
 * The facts of an execution. Folding them gives the execution; storing them is storing it. Every value in a fact is in
 * its encoded form (plain JSON): a fact is its own encoding, and the schema is needed only to read one back.
 *
 * `at` is milliseconds since the epoch on the orchestrator's Clock.
 */
import { Schema } from "effect"
import { Attributes } from "../../definition/Attributes.ts"
import { Envelope, Headers, Name, ReplyStatus, Uuid } from "../../wire/Envelope.ts"
import { Json } from "../../wire/JsonLimits.ts"
import { SagaFailure } from "./SagaFailure.ts"

const at = Schema.Int
const step = { path: Schema.String, name: Schema.String, at }
const path = { path: Schema.String, at }
/** A message with the command it names; its topic follows from both. */
const message = { command: Schema.optionalKey(Schema.String), message: Envelope }

/** Knowledge about the effect of a step. `unknown` is never guessed: the service is asked, or the compensation can handle it. */
export const EffectKnowledge = Schema.Literals(["none", "exists", "unknown"])
export type EffectKnowledge = typeof EffectKnowledge.Type

export const SagaEvent = Schema.Union([
  Schema.TaggedStruct("ExecutionCreated", {
    uuid: Uuid,
    saga: Schema.String,
    version: Schema.optionalKey(Schema.String),
    fingerprint: Schema.String,
    context: Json,
    user: Schema.optionalKey(Schema.String),
    startKey: Schema.optionalKey(Schema.String),
    attributes: Schema.optionalKey(Attributes),
    at
  }),
  Schema.TaggedStruct("ExecutionStarted", {
    /** The own service: the coordinator of this execution. */
    service: Name,
    autocommit: Schema.Boolean,
    /** Whether participants are enrolled in a transaction (false: committer `layerNone`). */
    transactional: Schema.Boolean,
    /** The own service has hooks, and is enrolled with its first local step. */
    takesPart: Schema.optionalKey(Schema.Literal(true)),
    headers: Schema.optionalKey(Headers),
    at
  }),

  /** The end of the time that the execution has. It is a fact of its own, so that no process overlooks it. */
  Schema.TaggedStruct("DeadlineSet", { deadline: Schema.Int, at }),

  /** A resume asks for the other way of ending. */
  Schema.TaggedStruct("AutocommitChanged", { autocommit: Schema.Boolean, at }),

  /** The outcome of an input that came through the inbox, for its sender: `why` is the encoded refusal. */
  Schema.TaggedStruct("ActionApplied", { id: Schema.String, at }),
  Schema.TaggedStruct("ActionRefused", { id: Schema.String, why: Json, at }),

  // Forward.
  Schema.TaggedStruct("StepStarted", { ...step, deadline: Schema.optionalKey(Schema.Int) }),
  Schema.TaggedStruct("RequestSent", { ...step, ...message, deadline: Schema.Int }),
  Schema.TaggedStruct("AlternativeChosen", {
    ...step,
    /** Position of the alternative; null: no condition held and there is no else. */
    choice: Schema.NullOr(Schema.Int),
    /** Its part of the path: `if1`, `else`. */
    label: Schema.optionalKey(Schema.String)
  }),
  Schema.TaggedStruct("NestedStarted", { ...step, context: Json }),
  Schema.TaggedStruct("ParallelStarted", {
    ...step,
    branches: Schema.Array(Schema.Struct({ name: Schema.String, steps: Schema.Int }))
  }),
  /** Without `signal` it is a sleep; without `deadline` only a signal ends it. */
  Schema.TaggedStruct("WaitStarted", {
    ...step,
    signal: Schema.optionalKey(Schema.String),
    key: Schema.optionalKey(Schema.String),
    deadline: Schema.optionalKey(Schema.Int)
  }),
  /** Stored whether a step waits for it yet or not. `id`: the same signal again is no second one. */
  Schema.TaggedStruct("SignalReceived", {
    signal: Schema.String,
    key: Schema.optionalKey(Schema.String),
    id: Schema.String,
    content: Schema.optionalKey(Json),
    actor: Schema.optionalKey(Schema.String),
    at
  }),
  Schema.TaggedStruct("ReplyReceived", {
    ...path,
    status: ReplyStatus,
    content: Schema.optionalKey(Json),
    relatedServices: Schema.Array(Name),
    /** Which message of the step it answers; absent: the first, which is the only one before the pivot. */
    attempt: Schema.optionalKey(Schema.Int),
    /** A refusal that was given by hand: it does not prove that the service did nothing. */
    effect: Schema.optionalKey(Schema.Literal("unknown"))
  }),
  Schema.TaggedStruct("StepSucceeded", {
    ...path,
    /** Absent: the step gives nothing, or its result follows from its parts. */
    result: Schema.optionalKey(Json),
    /** `onError` made the result: the other side has no effect, so there is nothing to compensate. */
    recovered: Schema.optionalKey(Schema.Literal(true)),
    /** The id of the signal that ended a wait. */
    signal: Schema.optionalKey(Schema.String),
    /** No signal came in time: `onTimeout` made the result. */
    timedOut: Schema.optionalKey(Schema.Literal(true)),
    relatedServices: Schema.optionalKey(Schema.Array(Name))
  }),
  Schema.TaggedStruct("StepFailed", {
    ...path,
    status: Schema.Literals(["errored-on-execute", "errored-by-on-execute", "errored-on-success", "errored-on-error"]),
    effect: EffectKnowledge,
    failure: SagaFailure,
    /** For a step that never started: its kind and name are not known from an earlier event. */
    name: Schema.optionalKey(Schema.String),
    kind: Schema.optionalKey(Schema.Literals(["local", "remote", "conditional", "nested", "parallel", "wait"]))
  }),

  // Behind the pivot: `StepFailed` says that a try has failed.
  /** The point of no return. With a two-phase commit it is the decision. */
  Schema.TaggedStruct("PivotPassed", path),
  /** The next try of a step, with what there is: the same message, the stored reply, the time of a wait anew. */
  Schema.TaggedStruct("TryStarted", { ...path, deadline: Schema.optionalKey(Schema.Int) }),

  // Backward.
  /** The rollback begins for a reason that is not a failed step: a cancel, a reject, a negative vote. */
  Schema.TaggedStruct("RollbackStarted", { failure: SagaFailure, at }),
  Schema.TaggedStruct("ProbeSent", { ...path, ...message }),
  Schema.TaggedStruct("ProbeAnswered", {
    ...path,
    status: ReplyStatus,
    content: Schema.optionalKey(Json),
    relatedServices: Schema.optionalKey(Schema.Array(Name))
  }),
  Schema.TaggedStruct("CompensationStarted", path),
  Schema.TaggedStruct("CompensationSent", { ...path, ...message }),
  Schema.TaggedStruct("CompensationFailed", {
    ...path,
    failure: SagaFailure,
    /** When the compensation is tried again; absent: never, and the step is parked. */
    retryAt: Schema.optionalKey(Schema.Int)
  }),
  Schema.TaggedStruct("StepCompensated", path),
  Schema.TaggedStruct("StepParked", { ...path, reason: Schema.String }),
  Schema.TaggedStruct("StepUnparked", { ...path, actor: Schema.String, reason: Schema.optionalKey(Schema.String) }),
  Schema.TaggedStruct("StepResolved", {
    ...path,
    actor: Schema.String,
    reason: Schema.String,
    /** Behind the pivot: the result of the step. */
    result: Schema.optionalKey(Json),
    /** It counts only if the service says that it has done nothing: the service is asked first. */
    asks: Schema.optionalKey(Schema.Literal(true))
  }),

  // The end.
  Schema.TaggedStruct("ReservationStarted", { at }),
  /** A service votes for the commit. A vote against it starts the rollback. */
  Schema.TaggedStruct("VoteReceived", { service: Name, at }),
  Schema.TaggedStruct("CommitDecided", { at }),
  Schema.TaggedStruct("RejectRequested", { at }),
  Schema.TaggedStruct("DecisionAcknowledged", { service: Name, at }),
  /** A service contradicts the decision, or has not answered for long. It is still told, and a person should look. */
  Schema.TaggedStruct("ServiceStalled", { service: Name, reason: Schema.String, at }),
  Schema.TaggedStruct("ExecutionFinished", { at }),
  Schema.TaggedStruct("ExecutionErrored", { at }),
  Schema.TaggedStruct("TransactionSettled", {
    state: Schema.Literals(["committed", "rejected"]),
    at
  })
])
export type SagaEvent = typeof SagaEvent.Type
export type Of<Tag extends SagaEvent["_tag"]> = Extract<SagaEvent, { readonly _tag: Tag }>
