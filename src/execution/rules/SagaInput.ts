/**
 * What reaches an execution from outside: replies, and the wishes of people. Each is judged against the state as it is
 * when it arrives: facts to store, or the reason why nothing changes. Pure, like `SagaDecision`.
 */

import { Result, Schema } from "effect"
import * as SagaPath from "../../definition/SagaPath.ts"
import type { Remote } from "../../definition/SagaStep.ts"
import { messageId, type Op, type ReplyStatus } from "../../wire/Envelope.ts"
import type { Json } from "../../wire/JsonLimits.ts"
import * as CompensationRetry from "./CompensationRetry.ts"
import type { Moment } from "./Moment.ts"
import type * as RetrySchedule from "./RetrySchedule.ts"
import type { SagaEvent } from "./SagaEvent.ts"
import { evolve } from "./SagaEvolution.ts"
import type { SagaState } from "./SagaState.ts"
import { SagaStatus } from "./SagaStatus.ts"
import { collect, isUnanswered, notDone, type Sent, type StepState, stepAt } from "./StepTree.ts"
import * as TwoPhaseCommit from "./TwoPhaseCommit.ts"

/** The execution is finished or errored: there is nothing to run. */
export class SagaExecutionAlreadyExecuted extends Schema.TaggedError<SagaExecutionAlreadyExecuted>()(
  "SagaExecutionAlreadyExecuted",
  { uuid: Schema.String, status: SagaStatus }
) {
  override get message(): string {
    return `Execution ${this.uuid} is already ${this.status}`
  }
}

/** A response without `requestId`, and not exactly one reply is awaited. */
export class SagaResponseAmbiguous extends Schema.TaggedError<SagaResponseAmbiguous>()("SagaResponseAmbiguous", {
  uuid: Schema.String,
  awaited: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `Execution ${this.uuid} awaits ${this.awaited.length} replies: the response must say which request it answers`
  }
}

/** Commit needs an execution whose steps have all finished. */
export class SagaExecutionNotFinished extends Schema.TaggedError<SagaExecutionNotFinished>()(
  "SagaExecutionNotFinished",
  {
    uuid: Schema.String,
    status: SagaStatus
  }
) {
  override get message(): string {
    return `Execution ${this.uuid} is ${this.status}, not finished: it cannot be committed`
  }
}

/** The other decision was taken before. */
export class SagaAlreadyDecided extends Schema.TaggedError<SagaAlreadyDecided>()("SagaAlreadyDecided", {
  uuid: Schema.String,
  decision: Schema.Literals(["commit", "reject"])
}) {
  override get message(): string {
    return `Execution ${this.uuid} is already decided: ${this.decision}`
  }
}

/** The decision is taken, so there is nothing left to cancel. */
export class SagaNotCancellable extends Schema.TaggedError<SagaNotCancellable>()("SagaNotCancellable", {
  uuid: Schema.String,
  status: SagaStatus
}) {
  override get message(): string {
    return `Execution ${this.uuid} is ${this.status} and can no longer be cancelled`
  }
}

/** Nothing was rolled back: it is done already, or something failed on the way. */
export class SagaRollbackExecution extends Schema.TaggedError<SagaRollbackExecution>()("SagaRollbackExecution", {
  uuid: Schema.String,
  reason: Schema.Literals(["already-done", "failed", "nothing-to-do"]),
  causes: Schema.Array(Schema.Defect())
}) {
  override get message(): string {
    return `Execution ${this.uuid} was not rolled back: ${this.reason}`
  }
}

/** No step with that path is parked. */
export class SagaStepNotParked extends Schema.TaggedError<SagaStepNotParked>()("SagaStepNotParked", {
  uuid: Schema.String,
  path: Schema.String
}) {
  override get message(): string {
    return `Step ${this.path} of execution ${this.uuid} is not parked`
  }
}

/** Why a reply changes nothing. It is acknowledged and counted (SPEC C5, I17). */
export type Dropped = "stale" | "sender-mismatch"

export type Verdict<Refusal> = Result.Result<ReadonlyArray<SagaEvent>, Refusal>

const nothing: ReadonlyArray<SagaEvent> = []
const unchanged = Result.succeed(nothing)

export interface Reply {
  readonly inReplyTo: string
  /** The service as the transport knows it; absent in a trusted call. */
  readonly sender?: string
  readonly status: ReplyStatus
  readonly content?: Json
  readonly relatedServices: ReadonlyArray<string>
}

export interface Policy {
  readonly schedule: RetrySchedule.ScheduleConfig
  /** Services that a reply may name as related; absent: any. */
  readonly relatedServices?: ReadonlyArray<string>
}

/** The moment in which a reply arrives, and what the process allows it. */
export type Arrival = Omit<Moment, "since"> & Policy

type Now = Pick<Moment, "now">

/** A message whose answer is awaited. */
export interface Awaited {
  readonly id: string
  readonly op: Op
  /** Of its step; "" for what is asked of a service as a whole. */
  readonly path: string
  readonly service: string
  readonly deadline: number | undefined
}

/** Everything that is awaited from other services. */
export const awaiting = (self: SagaState): ReadonlyArray<Awaited> => {
  const add = (found: Array<Awaited>, { path }: StepState, sent: Sent | undefined, deadline: number | undefined) => {
    if (sent !== undefined) {
      const { id, op, service } = sent.message
      found.push({ id, op, path, service, deadline })
    }
  }
  const ofSteps = collect<Awaited>(self.root, notDone, (found, step) => {
    if (isUnanswered(step)) add(found, step, step.request, self.direction === "forward" ? step.deadline : undefined)
    if (!step.alreadyRollback) add(found, step, step.compensation?.sent, undefined)
  })
  const asked = TwoPhaseCommit.pending(self.phase)
  if (asked.length === 0) return ofSteps
  const { op } = self.phase!
  const ofServices = asked.map((service) => ({
    id: messageId(self.uuid, service, op),
    op,
    path: "",
    service,
    deadline: undefined
  }))
  return [...ofSteps, ...ofServices]
}

/** Facts of a reply. It counts only if it answers what is awaited, and comes from who was asked (SPEC C5). */
export const reply = (self: SagaState, answer: Reply, moment: Arrival): Verdict<Dropped> => {
  const awaited = awaiting(self).find(({ id }) => id === answer.inReplyTo)
  if (awaited === undefined) return Result.fail("stale")
  if (answer.sender !== undefined && answer.sender !== awaited.service) return Result.fail("sender-mismatch")
  const facts = factsOf(self, awaited, answer, moment)
  const first = facts[0]
  return first === undefined || evolve(self, first) === self ? Result.fail("stale") : Result.succeed(facts)
}

const factsOf = (
  self: SagaState,
  { op, path, service }: Awaited,
  { content, relatedServices, status }: Reply,
  moment: Arrival
): ReadonlyArray<SagaEvent> => {
  const { now: at, relatedServices: allowed } = moment
  const said = content === undefined ? {} : { content }
  const accepted = allowed === undefined ? relatedServices : relatedServices.filter((name) => allowed.includes(name))
  switch (op) {
    case "execute": {
      if (status === 404) return nothing
      const refused = relatedServices.filter((service) => !accepted.includes(service))
      const received: SagaEvent = { _tag: "ReplyReceived", path, status, ...said, relatedServices: accepted, at }
      if (refused.length === 0 || self.direction === "backward") return [received]
      const failure = {
        _tag: "StepValueRejected" as const,
        path,
        step: stepAt(self.root, path)!.step.name,
        rule: "related-services" as const,
        issue: refused.join(", ")
      }
      const effect = status === 200 ? ("exists" as const) : ("none" as const)
      return [received, { _tag: "StepFailed", path, status: "errored-by-on-execute", effect, failure, at }]
    }
    case "probe":
      return status === 500
        ? [attemptFailed(self, path, content, moment)]
        : [{ _tag: "ProbeAnswered", path, status, ...said, relatedServices: accepted, at }]
    case "failure":
      return status === 200 ? [{ _tag: "StepCompensated", path, at }] : [attemptFailed(self, path, content, moment)]
    case "reserve":
      return vote(service, status === 200 ? undefined : reasonOf(content), at)
    case "commit":
    case "reject":
      if (status === 200) return [{ _tag: "DecisionAcknowledged", service, at }]
      // It says that it has decided otherwise, or cannot do what it has promised.
      return status === 500 ? [{ _tag: "ServiceStalled", service, reason: reasonOf(content), at }] : nothing
    default:
      return nothing
  }
}

/** Facts of a vote: one against is enough (SPEC C5). */
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

/** A word of the protocol, never what else may be in an answer (SPEC C12). */
const reasonOf = (content: Json | undefined): string =>
  typeof content === "string" && /^[A-Za-z]{1,64}$/u.test(content) ? content : "Refused"

/** A 500 to a probe or a compensation is not final: it is counted, and tried again while attempts are left. */
const attemptFailed = (
  self: SagaState,
  path: string,
  content: Json | undefined,
  { definition, now, schedule }: Omit<Moment, "since">
): SagaEvent => {
  const { step: state } = stepAt(self.root, path)!
  const failure = { _tag: "StepRefused", path, step: state.name, status: 500, content: content ?? null } as const
  const step = SagaPath.at(definition, path) as Remote // no other step awaits an answer
  return CompensationRetry.attemptFailed(state, step, failure, schedule, now)
}

/** The reply that a trusted caller gives; without `requestId` it is that of the one awaited execute. */
export const response = (
  self: SagaState,
  answer: Omit<Reply, "inReplyTo" | "sender"> & { readonly requestId?: string },
  moment: Arrival
): Verdict<SagaExecutionAlreadyExecuted | SagaResponseAmbiguous> => {
  const all = awaiting(self)
  const isNamed = all.some(({ id }) => id === answer.requestId)
  if (!isNamed && self.status === "errored") return unchanged
  if (!isNamed && self.status === "finished")
    return Result.fail(new SagaExecutionAlreadyExecuted({ uuid: self.uuid, status: self.status }))
  const awaited = all.filter(({ op }) => op === "execute")
  const inReplyTo = answer.requestId ?? (awaited.length === 1 ? awaited[0]!.id : undefined)
  if (inReplyTo === undefined)
    return Result.fail(new SagaResponseAmbiguous({ uuid: self.uuid, awaited: awaited.map(({ path }) => path) }))
  const judged = reply(self, { ...answer, inReplyTo }, moment)
  return Result.isSuccess(judged) ? Result.succeed(judged.success) : unchanged
}

/** Who does something to an execution by hand, and why. Both are stored with the fact and shown to people. */
export interface SagaActor {
  /** The person or program, in the words of the caller: a user name, the name of a job. */
  readonly actor: string
  /** Why, in a sentence for whoever reads the story of the execution. Default: not said. */
  readonly reason?: string
}

/** The same where it must be said why, because nothing else tells that the step needs no compensation any more. */
export type SagaActorWithReason = SagaActor & { readonly reason: string }

const by = (who: SagaActor | undefined): Partial<SagaActor> =>
  who === undefined ? {} : { actor: who.actor, ...(who.reason !== undefined && { reason: who.reason }) }

export const cancel = (self: SagaState, who: SagaActor | undefined, { now }: Now): Verdict<SagaNotCancellable> => {
  const fact: SagaEvent = {
    _tag: "RollbackStarted",
    failure: { _tag: "Cancelled", ...by(who) },
    at: now
  }
  if (self.direction === "backward" && self.failure?._tag === "Cancelled") return unchanged
  return evolve(self, fact) === self
    ? Result.fail(new SagaNotCancellable({ uuid: self.uuid, status: self.status }))
    : Result.succeed([fact])
}

export const commit = (self: SagaState, { now }: Now): Verdict<SagaExecutionNotFinished | SagaAlreadyDecided> => {
  if (self.decision === "commit") return unchanged
  if (self.status !== "finished")
    return Result.fail(new SagaExecutionNotFinished({ uuid: self.uuid, status: self.status }))
  return self.commitState === "none" ? Result.succeed([{ _tag: "ReservationStarted", at: now }]) : unchanged
}

/** Rolls back where nothing is decided, and tells the participants of an execution that was left undecided. */
export const reject = (self: SagaState, who: SagaActor | undefined, { now }: Now): Verdict<SagaAlreadyDecided> => {
  if (self.decision === "commit") return Result.fail(new SagaAlreadyDecided({ uuid: self.uuid, decision: "commit" }))
  if (self.direction === "backward") {
    return self.commitState === "none" ? Result.succeed([{ _tag: "RejectRequested", at: now }]) : unchanged
  }
  const failure = { _tag: "Rejected" as const, ...by(who) }
  const started: ReadonlyArray<SagaEvent> = [{ _tag: "RollbackStarted", failure, at: now }]
  return Result.succeed(
    self.autocommit || !self.transactional ? started : [...started, { _tag: "RejectRequested", at: now }]
  )
}

export const rollback = (self: SagaState, { now }: Now): Verdict<SagaRollbackExecution> => {
  const fact: SagaEvent = { _tag: "RollbackStarted", failure: { _tag: "Rejected" }, at: now }
  const refuse = (reason: "already-done" | "nothing-to-do") =>
    Result.fail(new SagaRollbackExecution({ uuid: self.uuid, reason, causes: [] }))
  if (self.status === "created") return refuse("nothing-to-do")
  return self.direction === "backward" || evolve(self, fact) === self ? refuse("already-done") : Result.succeed([fact])
}

/** A step, or a service that is stalled (`payments:commit`). */
const isParked = (self: SagaState, path: string): boolean =>
  self.parked.includes(path) || TwoPhaseCommit.serviceAt(self.phase, path) !== undefined

export const retryParked = (self: SagaState, path: string, who: SagaActor, { now }: Now): Verdict<SagaStepNotParked> =>
  isParked(self, path)
    ? Result.succeed([{ _tag: "StepUnparked", path, actor: who.actor, ...by(who), at: now }])
    : Result.fail(new SagaStepNotParked({ uuid: self.uuid, path }))

export const resolveParked = (
  self: SagaState,
  path: string,
  { actor, reason }: SagaActorWithReason,
  { now }: Now
): Verdict<SagaStepNotParked> =>
  isParked(self, path)
    ? Result.succeed([{ _tag: "StepResolved", path, actor, reason, at: now }])
    : Result.fail(new SagaStepNotParked({ uuid: self.uuid, path }))
