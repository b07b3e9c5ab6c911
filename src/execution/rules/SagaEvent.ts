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
const optionalInt = Schema.optionalKey(Schema.Int)
const step = { path: Schema.String, name: Schema.String, at }
const path = { path: Schema.String, at }
/** A message with the command it names; its topic follows from both. */
const message = { command: Schema.optionalKey(Schema.String), message: Envelope }

/** Knowledge about the effect of a step. `unknown` is never guessed: the service is asked, or the compensation can handle it. */
export const EffectKnowledge = Schema.Literals(["none", "exists", "unknown"])
export type EffectKnowledge = typeof EffectKnowledge.Type

/** Of an input that a person has sent: what it was, by whom, and why. */
const action = {
  action: Schema.optionalKey(Schema.String),
  actor: Schema.optionalKey(Schema.String),
  reason: Schema.optionalKey(Schema.String)
}

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
    /** The W3C context of the span that started it. Absent: it is not traced. */
    trace: Schema.optionalKey(Schema.String),
    /** The messages that end its transaction carry `trace`. Former releases send them without, and a message keeps its bytes. */
    tracesEnd: Schema.optionalKey(Schema.Literal(true)),
    at
  }),

  /** The end of the time that the execution has. It is a fact of its own, so that no process overlooks it. */
  Schema.TaggedStruct("DeadlineSet", { deadline: Schema.Int, at }),

  /** It begins no step before it has a place in the queue. A fact of its own, so that no process overlooks it. */
  Schema.TaggedStruct("QueueEntered", { queue: Schema.String, key: Schema.String, priority: Schema.Int, at }),
  Schema.TaggedStruct("PlaceTaken", { at }),
  /** It only waits: the place is given back. */
  Schema.TaggedStruct("PlaceLeft", { at }),
  /** It goes on, and stands in the queue before new executions. */
  Schema.TaggedStruct("PlaceWanted", { at }),

  /**
   * The step at the path has succeeded, and these are added to the attributes of the execution. `issue`: why nothing is changed. A fact of
   * its own, so that no process overlooks it.
   */
  Schema.TaggedStruct("AttributesChanged", {
    ...path,
    attributes: Attributes,
    issue: Schema.optionalKey(Schema.String)
  }),

  /** A resume asks for the other way of ending. */
  Schema.TaggedStruct("AutocommitChanged", { autocommit: Schema.Boolean, at }),

  /** The outcome of an input that came through the inbox, for its sender: `why` is the encoded refusal. */
  Schema.TaggedStruct("ActionApplied", { id: Schema.String, ...action, at }),
  Schema.TaggedStruct("ActionRefused", { id: Schema.String, why: Json, ...action, at }),

  // Forward.
  Schema.TaggedStruct("StepStarted", { ...step, deadline: optionalInt }),
  Schema.TaggedStruct("RequestSent", { ...step, ...message, deadline: Schema.Int }),
  Schema.TaggedStruct("AlternativeChosen", {
    ...step,
    /** Position of the alternative; null: no condition held and there is no else. */
    choice: Schema.NullOr(Schema.Int),
    /** Its part of the path: `if1`, `else`. */
    label: Schema.optionalKey(Schema.String)
  }),
  Schema.TaggedStruct("NestedStarted", { ...step, context: Json }),
  /** Another saga is to be started, under this key and with these values, as the execution `uuid` if there is none yet. */
  Schema.TaggedStruct("StartRequested", {
    ...step,
    saga: Schema.String,
    uuid: Uuid,
    startKey: Schema.String,
    context: Json
  }),
  Schema.TaggedStruct("ParallelStarted", {
    ...step,
    branches: Schema.Array(Schema.Struct({ name: Schema.String, steps: Schema.Int }))
  }),
  /** The list is not made again. `as`: the name of an item; `steps`: how many an item has; `concurrency`: how many run at a time. */
  Schema.TaggedStruct("ForEachStarted", {
    ...step,
    as: Schema.String,
    steps: Schema.Int,
    concurrency: Schema.Int,
    items: Schema.Array(Json)
  }),
  /** Without `signal` it is a sleep; without `deadline` only a signal ends it. */
  Schema.TaggedStruct("WaitStarted", {
    ...step,
    signal: Schema.optionalKey(Schema.String),
    key: Schema.optionalKey(Schema.String),
    deadline: optionalInt,
    /** The W3C context of the activation that ends with it. */
    trace: Schema.optionalKey(Schema.String)
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
    attempt: optionalInt,
    /** A refusal that was given by hand: it does not prove that the service did nothing. */
    effect: Schema.optionalKey(Schema.Literal("unknown")),
    /** A success that was given by hand: the service may know nothing of it. */
    byHand: Schema.optionalKey(Schema.Literal(true))
  }),
  /** The service has begun, and answers later: until `deadline`, or without an end (SPEC C19). `attempt` as in `ReplyReceived`. */
  Schema.TaggedStruct("RequestAccepted", { ...path, deadline: optionalInt, attempt: optionalInt }),
  Schema.TaggedStruct("StepSucceeded", {
    ...path,
    /** Absent: the step gives nothing, or its result follows from its parts. */
    result: Schema.optionalKey(Json),
    /** `onError` made the result: the other side has no effect, so there is nothing to compensate. */
    recovered: Schema.optionalKey(Schema.Literal(true)),
    /** The id of the signal that ended a wait. */
    signal: Schema.optionalKey(Schema.String),
    /** The execution that the step was to start was there already, and is not its own. */
    existing: Schema.optionalKey(Schema.Literal(true)),
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
    kind: Schema.optionalKey(
      Schema.Literals(["local", "remote", "conditional", "nested", "parallel", "forEach", "wait", "start"])
    )
  }),

  // Behind the pivot: `StepFailed` says that a try has failed.
  /** The point of no return. With a two-phase commit it is the decision. */
  Schema.TaggedStruct("PivotPassed", path),
  /** The next try of a step, with what there is: the same message, the stored reply, the time of a wait anew. */
  Schema.TaggedStruct("TryStarted", { ...path, deadline: optionalInt }),

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
    retryAt: optionalInt
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
