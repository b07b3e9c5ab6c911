/** Decisions of a person about a parked place: another try, or nothing more (SPEC C5, C18). */
import { Result, Schema } from "effect"
import * as SagaPath from "../../definition/SagaPath.ts"
import type { Definition } from "../../definition/SagaStep.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import { type Json, maxContextSize } from "../../wire/JsonLimits.ts"
import { line } from "../../wire/OneLine.ts"
import type { Moment } from "./Moment.ts"
import { sizeWith } from "./SagaContext.ts"
import type { Of, SagaEvent } from "./SagaEvent.ts"
import { type SagaState, whole } from "./SagaState.ts"
import { isUnanswered, stepAt } from "./StepTree.ts"
import * as TwoPhaseCommit from "./TwoPhaseCommit.ts"

/**
 * `retryParked` or `resolveParked` was called for a path that is not parked (any more). `SagaExecution.parked` lists the
 * paths of now; somebody may have been faster.
 */
export class SagaStepNotParked extends Schema.TaggedError<SagaStepNotParked>()("SagaStepNotParked", {
  uuid: Schema.String,
  path: Schema.String
}) {
  override get message(): string {
    return line`Step ${this.path} of execution ${this.uuid} is not parked`
  }
}

/**
 * `resolveParked` was called with a result that cannot be one, and nothing has changed. `result`: it does not fit the schema of the
 * step, or is missing, or the context has no room for it; `issue` names the place, never the value. `no-result`: what is parked has
 * no result of its own, as a compensation, a condition or a nested saga: repair the cause and call `retryParked`.
 */
export class SagaResolutionRefused extends Schema.TaggedError<SagaResolutionRefused>()("SagaResolutionRefused", {
  uuid: Schema.String,
  path: Schema.String,
  reason: Schema.Literals(["result", "no-result"]),
  issue: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    const why =
      this.reason === "result" ? `the result does not fit: ${this.issue ?? ""}` : "it has no result of its own"
    return line`Step ${this.path} of execution ${this.uuid} cannot be resolved so: ${why}`
  }
}

/** The person or program that changes an execution by hand, and the reason. Both are stored with the fact and shown to people. */
export interface SagaActor {
  /** The person or program, in the words of the caller: a user name, the name of a job. */
  readonly actor: string
  /** The reason, in a sentence for readers of the execution's story. Default: none. */
  readonly reason?: string
}

/** The same with a reason, where only the reason tells why the step needs no compensation any more. */
export type SagaActorWithReason = SagaActor & { readonly reason: string }

export const by = ({ actor, reason }: Partial<SagaActor> = {}): Partial<SagaActor> => ({
  ...(actor !== undefined && { actor }),
  ...(reason !== undefined && { reason })
})

type Now = Pick<Moment, "now">

/** Whether a step, or a stalled service (`payments:commit`), needs a person. */
const isParked = (self: SagaState, path: string): boolean =>
  self.parked.includes(path) || TwoPhaseCommit.serviceAt(self.phase, path) !== undefined

const notParked = (self: SagaState, path: string) => Result.fail(new SagaStepNotParked({ uuid: self.uuid, path }))

/**
 * A parked compensation is tried again from the first attempt, and so is a step behind the pivot; a stalled service is asked as if
 * it were the first time.
 */
export const retry = (
  self: SagaState,
  { path, ...who }: SagaActor & { readonly path: string },
  { now }: Now
): Result.Result<ReadonlyArray<SagaEvent>, SagaStepNotParked> =>
  isParked(self, path) || (path === whole && self.setAside === "parked")
    ? Result.succeed([{ _tag: "StepUnparked", path, actor: who.actor, ...by(who), at: now }])
    : notParked(self, path)

/**
 * A parked compensation counts as done from now on; a step behind the pivot is finished with the given result; a service that is
 * told to commit is asked until it answers itself.
 */
export const resolve = (
  self: SagaState,
  { actor, path, reason, result }: SagaActorWithReason & { readonly path: string; readonly result?: Json },
  { definition, now: at }: Now & { readonly definition: Definition }
): Result.Result<ReadonlyArray<SagaEvent>, SagaStepNotParked | SagaResolutionRefused> => {
  if (!isParked(self, path)) return notParked(self, path)
  const fact: Of<"StepResolved"> = { _tag: "StepResolved", path, actor, reason, at }
  const refused = (reason: SagaResolutionRefused["reason"], issue?: string) =>
    Result.fail(new SagaResolutionRefused({ uuid: self.uuid, path, reason, ...(issue !== undefined && { issue }) }))
  if (!self.passed || !self.parked.includes(path))
    return result === undefined ? Result.succeed([fact]) : refused("no-result")
  const step = SagaPath.at(definition, path)
  if (step === undefined || !("success" in step)) return refused("no-result")
  const decoded = JsonCodec.decode(step.success, result)
  if (JsonCodec.isCodecIssue(decoded)) return refused("result", decoded.message)
  const { frame, step: state } = stepAt(self.root, path)! // a parked step is in the tree
  const size = result === undefined ? 0 : sizeWith(frame.context, step.name, result)
  if (size > maxContextSize) return refused("result", `the context would have ${size} of ${maxContextSize} bytes`)
  // The service may have done it all the same.
  const asks = step._tag === "Remote" && step.execute.probe && isUnanswered(state)
  return Result.succeed([{ ...fact, ...(result !== undefined && { result }), ...(asks && { asks: true as const }) }])
}
