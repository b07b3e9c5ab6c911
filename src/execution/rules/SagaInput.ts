/**
 * Inputs of an execution: replies of other services, and requests of people. Each is judged against the state in which it
 * arrives, and gives facts to store, or the reason why nothing changes. Pure, like `SagaDecision`.
 */

import { Result, Schema } from "effect"
import * as SagaPath from "../../definition/SagaPath.ts"
import type { Remote } from "../../definition/SagaStep.ts"
import { messageId, type Op, parseMessageId, ReplyStatus } from "../../wire/Envelope.ts"
import { Json } from "../../wire/JsonLimits.ts"
import { line, wordOf } from "../../wire/OneLine.ts"
import * as CompensationRetry from "./CompensationRetry.ts"
import { joining } from "./EnrolmentEvolution.ts"
import type { Moment } from "./Moment.ts"
import * as ParkedInput from "./ParkedInput.ts"
import { isWanted } from "./QueuePlace.ts"
import { accepted, received } from "./ReceivedReply.ts"
import type * as RetrySchedule from "./RetrySchedule.ts"
import type { SagaEvent } from "./SagaEvent.ts"
import { evolve } from "./SagaEvolution.ts"
import type { SagaState } from "./SagaState.ts"
import { SagaStatus } from "./SagaStatus.ts"
import * as SignalInput from "./SignalInput.ts"
import { collect, isUnanswered, notDone, type Sent, type StepState, stepAt } from "./StepTree.ts"
import * as TrustedResponse from "./TrustedResponse.ts"
import * as TwoPhaseCommit from "./TwoPhaseCommit.ts"

export {
  type SagaActor,
  type SagaActorWithReason,
  SagaResolutionRefused,
  SagaStepNotParked
} from "./ParkedInput.ts"
export {
  SagaExecutionAlreadyExecuted,
  SagaResponseAmbiguous,
  SagaResponseConflict,
  SagaResponseNotAwaited
} from "./TrustedResponse.ts"

/**
 * `commit` was called before all steps were finished, or after a failure. Call it again when the execution is finished; an
 * errored one can only be rejected.
 */
export class SagaExecutionNotFinished extends Schema.TaggedError<SagaExecutionNotFinished>()(
  "SagaExecutionNotFinished",
  {
    uuid: Schema.String,
    status: SagaStatus
  }
) {
  override get message(): string {
    return line`Execution ${this.uuid} is ${this.status}, not finished: it cannot be committed`
  }
}

/**
 * `commit` after the decision to reject, or `reject` after the decision to commit. A decision is final: a committed
 * transaction needs a new saga that corrects it.
 */
export class SagaAlreadyDecided extends Schema.TaggedError<SagaAlreadyDecided>()("SagaAlreadyDecided", {
  uuid: Schema.String,
  decision: Schema.Literals(["commit", "reject"])
}) {
  override get message(): string {
    return line`Execution ${this.uuid} is already decided: ${this.decision}`
  }
}

/**
 * `cancel` came too late: the commit of the execution is decided, at its end or at its pivot, or it is rolled back already. To
 * correct a finished execution, run a saga of its own for that.
 */
export class SagaNotCancellable extends Schema.TaggedError<SagaNotCancellable>()("SagaNotCancellable", {
  uuid: Schema.String,
  status: SagaStatus
}) {
  override get message(): string {
    return line`Execution ${this.uuid} is ${this.status} and can no longer be cancelled`
  }
}

/**
 * `rollback` changed nothing. `nothing-to-do`: the execution has not started. `already-done`: it is rolled back, or its
 * commit is decided. A compensation that fails is no error of `rollback`: it is in `later` and `parked` of the execution.
 */
export class SagaRollbackExecution extends Schema.TaggedError<SagaRollbackExecution>()("SagaRollbackExecution", {
  uuid: Schema.String,
  reason: Schema.Literals(["already-done", "nothing-to-do"])
}) {
  override get message(): string {
    return line`Execution ${this.uuid} was not rolled back: ${this.reason}`
  }
}

/**
 * Why a reply changes nothing. `stale`: no answer like that is awaited (any more). `sender-mismatch`: another service was
 * asked. The message is acknowledged and counted all the same (SPEC C5, I17).
 */
export type Dropped = "stale" | "sender-mismatch"

/** The reason why an input of each kind is refused. */
export interface Refusals {
  readonly Reply: Dropped
  readonly Response: TrustedResponse.NotTaken
  readonly Cancel: SagaNotCancellable
  readonly Commit: SagaExecutionNotFinished | SagaAlreadyDecided
  readonly Reject: SagaAlreadyDecided
  readonly Rollback: SagaRollbackExecution
  readonly RetryParked: ParkedInput.SagaStepNotParked
  readonly ResolveParked: ParkedInput.SagaStepNotParked | ParkedInput.SagaResolutionRefused
  readonly Signal: SignalInput.SignalRefusal
  readonly Admit: never
  readonly Look: never
}

export type Refusal = Refusals[keyof Refusals]

/** The facts that an input brings (none: it changes nothing), or the refusal that its sender gets. */
export type Verdict<Refusal> = Result.Result<ReadonlyArray<SagaEvent>, Refusal>

const nothing: ReadonlyArray<SagaEvent> = []
const unchanged = Result.succeed(nothing)

const text = Schema.optionalKey(Schema.String)
const answer = { status: ReplyStatus, content: Schema.optionalKey(Json), relatedServices: Schema.Array(Schema.String) }

/** An input as data. It can be logged, stored, and sent to the instance that owns the execution. */
export const SagaInput = Schema.Union([
  /** `sender`: the service that sent the reply, as the transport knows it; absent in a trusted call of this process. */
  Schema.TaggedStruct("Reply", { inReplyTo: Schema.String, sender: text, ...answer }),
  /**
   * The reply that a trusted caller gives. `autocommit` replaces the setting that the execution was started with. `proven`: the
   * caller brings the reply of the service itself, so a refusal says that nothing was done.
   */
  Schema.TaggedStruct("Response", {
    requestId: text,
    step: text,
    autocommit: Schema.optionalKey(Schema.Boolean),
    proven: Schema.optionalKey(Schema.Literal(true)),
    ...answer
  }),
  Schema.TaggedStruct("Cancel", { actor: text, reason: text }),
  Schema.TaggedStruct("Commit", {}),
  Schema.TaggedStruct("Reject", { actor: text, reason: text }),
  Schema.TaggedStruct("Rollback", {}),
  Schema.TaggedStruct("RetryParked", { path: Schema.String, actor: Schema.String, reason: text }),
  /** `result`: of a step behind the pivot. */
  Schema.TaggedStruct("ResolveParked", {
    path: Schema.String,
    actor: Schema.String,
    reason: Schema.String,
    result: Schema.optionalKey(Json)
  }),
  /**
   * `signal` is its name. `id`: the same signal again brings nothing. `accepted`: its sender was told that it is stored, and waits no
   * more, so its payload is not refused.
   */
  Schema.TaggedStruct("Signal", {
    signal: Schema.String,
    key: text,
    id: Schema.String,
    content: Schema.optionalKey(Json),
    accepted: Schema.optionalKey(Schema.Literal(true)),
    actor: text
  }),
  /** The execution has a place in its queue, which it has wanted since this time. */
  Schema.TaggedStruct("Admit", { since: Schema.Int }),
  /** Brings nothing: its sender wants the execution as it is stored. */
  Schema.TaggedStruct("Look", {})
])
export type SagaInput = typeof SagaInput.Type
export type Of<Tag extends SagaInput["_tag"]> = Extract<SagaInput, { readonly _tag: Tag }>

export type Reply = Omit<Of<"Reply">, "_tag">

/** The part of the config of a process that its inputs are judged by. */
export interface Policy {
  readonly schedule: RetrySchedule.ScheduleConfig
  /** Services that a reply may name as related; absent: any. */
  readonly relatedServices?: ReadonlyArray<string>
}

/** The moment in which a reply arrives, and the config of the process. */
export type Arrival = Pick<Moment, "definition" | "now"> & Policy

type Now = Pick<Moment, "now">

/** Judges an input against the state in which it arrives. */
export const judge = (self: SagaState, input: SagaInput, moment: Arrival): Verdict<Refusal> => {
  switch (input._tag) {
    case "Look":
      return unchanged
    case "Reply":
      return reply(self, input, moment)
    case "Response": {
      const { autocommit } = input
      return Result.map(response(self, input, moment), (facts) =>
        autocommit === undefined || autocommit === self.autocommit || facts.length === 0
          ? facts
          : [{ _tag: "AutocommitChanged", autocommit, at: moment.now }, ...facts]
      )
    }
    case "Cancel":
      return cancel(self, input, moment)
    case "Commit":
      // A rejected execution cannot be committed any more (SPEC C9).
      return self.decision === "reject"
        ? Result.fail(new SagaAlreadyDecided({ uuid: self.uuid, decision: "reject" }))
        : commit(self, moment)
    case "Reject":
      return reject(self, input, moment)
    case "Rollback":
      return rollback(self, moment)
    case "RetryParked":
      return ParkedInput.retry(self, input, moment)
    case "ResolveParked":
      return ParkedInput.resolve(self, input, moment)
    case "Signal":
      return SignalInput.signal(self, input, moment)
    case "Admit":
      return isWanted(self) && self.place?.since === input.since
        ? Result.succeed([{ _tag: "PlaceTaken", at: moment.now }])
        : unchanged
  }
}

/** A message whose answer is awaited. */
export interface Awaited {
  readonly id: string
  readonly op: Op
  /** Path of its step; "" for a phase of the two-phase commit. */
  readonly path: string
  readonly service: string
  readonly deadline: number | undefined
}

/** All messages whose answer is awaited: of steps in the order in which they ran, then those of the phase. */
export const awaiting = (self: SagaState): ReadonlyArray<Awaited> => {
  const ofSteps = collect<Awaited>(self.root, notDone, (found, step) => void found.push(...awaitedBy(self, step)))
  return [...ofSteps, ...awaitedByPhase(self)]
}

const awaitedBy = ({ direction }: SagaState, step: StepState): ReadonlyArray<Awaited> => {
  const found: Array<Awaited> = []
  const add = (sent: Sent | undefined, deadline: number | undefined) => {
    if (sent === undefined) return
    const { id, op, service } = sent.message
    found.push({ id, op, path: step.path, service, deadline })
  }
  if (isUnanswered(step)) add(step.request, direction === "forward" ? step.deadline : undefined)
  if (!step.alreadyRollback) add(step.compensation?.sent, undefined)
  return found
}

const awaitedByPhase = (self: SagaState): ReadonlyArray<Awaited> => {
  const asked = TwoPhaseCommit.pending(self.phase)
  if (asked.length === 0) return []
  const { op } = self.phase!
  return asked.map((service) => ({
    id: messageId(self.uuid, service, op),
    op,
    path: "",
    service,
    deadline: undefined
  }))
}

/** The awaited message with an id. The id tells the step, so the others are not looked at. */
const awaitedUnder = (self: SagaState, id: string): Awaited | undefined => {
  const path = parseMessageId(id)?.scope
  const step = path === undefined ? undefined : stepAt(self.root, path)?.step
  return [...(step === undefined ? [] : awaitedBy(self, step)), ...awaitedByPhase(self)].find((one) => one.id === id)
}

/** Facts of a reply. A reply counts only if its answer is awaited, and if it comes from the service that was asked (SPEC C5). */
export const reply = (self: SagaState, answer: Reply, moment: Arrival): Verdict<Dropped> => {
  const awaited = awaitedUnder(self, answer.inReplyTo)
  if (awaited === undefined) return Result.fail("stale")
  if (answer.sender !== undefined && answer.sender !== awaited.service) return Result.fail("sender-mismatch")
  const facts = factsOf(self, awaited, answer, moment)
  const first = facts[0]
  return first === undefined || evolve(self, first) === self ? Result.fail("stale") : Result.succeed(facts)
}

const factsOf = (
  self: SagaState,
  { op, path, service }: Awaited,
  answer: Reply,
  moment: Arrival
): ReadonlyArray<SagaEvent> => {
  const { content, relatedServices, status } = answer
  const { now: at, relatedServices: allowed } = moment
  const said = content === undefined ? {} : { content }
  // Only a command whose answer comes later is accepted first; to anything else the word says nothing.
  if (status === 202) return op === "execute" ? accepted(self, path, moment) : nothing
  const { issue, services } = joining(self, relatedServices, allowed)
  switch (op) {
    case "execute":
      // A person has given the result: the answer only tells whether it counts.
      if (self.passed && stepAt(self.root, path)!.step.resolution !== undefined)
        return [{ _tag: "ProbeAnswered", path, status: status === 500 ? 404 : status, ...said, at }]
      return status === 404 ? nothing : received(self, path, answer, { issue, services }, moment)
    case "probe":
      // Behind the pivot the question is asked again until its time is over.
      if (self.passed && status === 500) return nothing
      return status === 500
        ? [attemptFailed(self, path, content, moment)]
        : [{ _tag: "ProbeAnswered", path, status, ...said, relatedServices: services, at }]
    case "failure":
      return status === 200 ? [{ _tag: "StepCompensated", path, at }] : [attemptFailed(self, path, content, moment)]
    case "reserve":
      return vote(service, status === 200 ? undefined : reasonOf(content), at)
    case "commit":
    case "reject":
      if (status === 200) return [{ _tag: "DecisionAcknowledged", service, at }]
      // The service says that it has decided otherwise, or that it cannot keep its promise.
      return status === 500 ? [{ _tag: "ServiceStalled", service, reason: reasonOf(content), at }] : nothing
    /* v8 ignore next -- @preserve No answer of our own kind is awaited: `status` and `reply` are never sent as questions. */
    default:
      return nothing
  }
}

/** Facts of a vote. One vote against the commit is enough for a rollback (SPEC C5). */
export const vote = (service: string, against: string | undefined, at: number): ReadonlyArray<SagaEvent> =>
  against === undefined
    ? [{ _tag: "VoteReceived", service, at }]
    : [
        {
          _tag: "RollbackStarted",
          failure: { _tag: "CommitFailed", reason: `${service} is against: ${against}` },
          at
        }
      ]

/** Only a word of the protocol is stored. */
const reasonOf = (content: Json | undefined): string => wordOf(content) ?? "Refused"

/** A 500 to a probe or a compensation is not final: the attempt counts as failed, and the next one follows. */
const attemptFailed = (
  self: SagaState,
  path: string,
  content: Json | undefined,
  { definition, now, schedule }: Arrival
): SagaEvent => {
  const { step: state } = stepAt(self.root, path)!
  const failure = { _tag: "StepRefused", path, step: state.name, status: 500, content: content ?? null } as const
  const step = SagaPath.at(definition, path) as Remote // no other step awaits an answer
  return CompensationRetry.attemptFailed(state, step, failure, schedule, now)
}

/** The reply that a trusted caller gives. */
export const response = (
  self: SagaState,
  answer: Omit<Reply, "inReplyTo" | "sender"> & Pick<Of<"Response">, "requestId" | "step" | "proven">,
  moment: Arrival
): Verdict<TrustedResponse.NotTaken> =>
  Result.flatMap(TrustedResponse.requestOf(self, answer, awaiting(self), moment.definition), (inReplyTo) => {
    if (inReplyTo === undefined) return unchanged
    const judged = reply(self, { ...answer, inReplyTo }, moment)
    /* v8 ignore next -- @preserve No input leads here: the request is awaited, and a trusted caller has no sender. */
    if (Result.isFailure(judged)) return unchanged
    return Result.succeed(answer.proven === true ? judged.success : TrustedResponse.unproven(judged.success))
  })

/** Starts the rollback, as long as no decision is stored. A second cancel changes nothing. */
export const cancel = (
  self: SagaState,
  who: Partial<ParkedInput.SagaActor> | undefined,
  { now }: Now
): Verdict<SagaNotCancellable> => {
  const fact: SagaEvent = {
    _tag: "RollbackStarted",
    failure: { _tag: "Cancelled", ...ParkedInput.by(who) },
    at: now
  }
  if (self.direction === "backward" && self.failure?._tag === "Cancelled") return unchanged
  return evolve(self, fact) === self
    ? Result.fail(new SagaNotCancellable({ uuid: self.uuid, status: self.status }))
    : Result.succeed([fact])
}

/** Starts the two-phase commit of a finished execution that was left undecided (`autocommit: false`). */
export const commit = (self: SagaState, { now }: Now): Verdict<SagaExecutionNotFinished | SagaAlreadyDecided> => {
  if (self.decision === "commit") return unchanged
  if (self.status !== "finished")
    return Result.fail(new SagaExecutionNotFinished({ uuid: self.uuid, status: self.status }))
  return self.commitState === "none" ? Result.succeed([{ _tag: "ReservationStarted", at: now }]) : unchanged
}

/** Starts the rollback where no decision is stored. After a failure without `autocommit`, tells the participants. */
export const reject = (
  self: SagaState,
  who: Partial<ParkedInput.SagaActor> | undefined,
  { now }: Now
): Verdict<SagaAlreadyDecided> => {
  if (self.decision === "commit") return Result.fail(new SagaAlreadyDecided({ uuid: self.uuid, decision: "commit" }))
  if (self.direction === "backward") {
    return self.commitState === "none" ? Result.succeed([{ _tag: "RejectRequested", at: now }]) : unchanged
  }
  const failure = { _tag: "Rejected" as const, ...ParkedInput.by(who) }
  const started: ReadonlyArray<SagaEvent> = [{ _tag: "RollbackStarted", failure, at: now }]
  return Result.succeed(
    self.autocommit || self.start?.transactional !== true ? started : [...started, { _tag: "RejectRequested", at: now }]
  )
}

/** Starts the rollback of an execution that was started and is not decided. */
export const rollback = (self: SagaState, { now }: Now): Verdict<SagaRollbackExecution> => {
  const fact: SagaEvent = { _tag: "RollbackStarted", failure: { _tag: "Rejected" }, at: now }
  const refuse = (reason: "already-done" | "nothing-to-do") =>
    Result.fail(new SagaRollbackExecution({ uuid: self.uuid, reason }))
  if (self.status === "created") return refuse("nothing-to-do")
  return self.direction === "backward" || evolve(self, fact) === self ? refuse("already-done") : Result.succeed([fact])
}
