/**
 * The reply to the request of a step, as it comes. It is read at once: one that does not fit the schema of its command fails
 * the step, and its sender is at fault (SPEC C5). So every stored reply that has not failed its step was readable once, and a
 * program that cannot read it knows that its own schema has changed (SPEC C10).
 */
import * as SagaPath from "../../definition/SagaPath.ts"
import type { Definition, Remote } from "../../definition/SagaStep.ts"
import { attemptOf, type ReplyStatus } from "../../wire/Envelope.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import type { Json } from "../../wire/JsonLimits.ts"
import type { Of, SagaEvent } from "./SagaEvent.ts"
import type { SagaFailure } from "./SagaFailure.ts"
import type { SagaState } from "./SagaState.ts"
import { type Sent, stepAt } from "./StepTree.ts"

/** The fact that a service has begun. From then on the step waits as long as it says itself (SPEC C19). */
export const accepted = (
  self: SagaState,
  path: string,
  { definition, now: at }: { readonly definition: Definition; readonly now: number }
): ReadonlyArray<SagaEvent> => {
  const { execute, policies } = SagaPath.at(definition, path) as Remote // no other step awaits an answer
  if (execute.later !== true) return []
  const { request } = stepAt(self.root, path)!.step
  const deadline = policies.timeout === undefined ? {} : { deadline: Math.ceil(request!.at + policies.timeout) }
  return [{ _tag: "RequestAccepted", path, ...deadline, ...whichOf(request!), at }]
}

const whichOf = ({ message: { id } }: Sent) => (attemptOf(id) === 1 ? {} : { attempt: attemptOf(id) })

interface Received {
  readonly status: ReplyStatus
  readonly content?: Json
}

/** The services among those that it names that take part, and why it is refused for the others. */
interface Joining {
  readonly services: ReadonlyArray<string>
  readonly issue: string | undefined
}

/** During a rollback a reply only tells of an effect. */
export const received = (
  self: SagaState,
  path: string,
  { content, status }: Received,
  { issue: refused, services }: Joining,
  { definition, now: at }: { readonly definition: Definition; readonly now: number }
): ReadonlyArray<SagaEvent> => {
  const said = content === undefined ? {} : { content }
  const { name, request } = stepAt(self.root, path)!.step // its answer is awaited
  const which = whichOf(request!)
  const fact: SagaEvent = { _tag: "ReplyReceived", path, status, ...said, relatedServices: services, ...which, at }
  if (self.direction === "backward") return [fact]
  const failed = (rule: Rejected["rule"], issue: string, become: Of<"StepFailed">["status"]): SagaEvent => ({
    _tag: "StepFailed",
    path,
    status: become,
    effect: status === 200 ? "exists" : "none",
    failure: { _tag: "StepValueRejected", path, step: name, rule, issue },
    at
  })
  if (refused !== undefined) return [fact, failed("related-services", refused, "errored-by-on-execute")]
  const issue = misfit(definition, path, status, content)
  if (issue === undefined) return [fact]
  return [fact, failed("decode", issue, status === 200 ? "errored-on-success" : "errored-on-error")]
}

type Rejected = Extract<SagaFailure, { readonly _tag: "StepValueRejected" }>

/** Why a reply does not fit the schema of its command; undefined: it does. */
const misfit = (
  definition: Definition,
  path: string,
  status: ReplyStatus,
  content: Json | undefined
): string | undefined => {
  const { execute } = SagaPath.at(definition, path) as Remote // no other step awaits an answer
  const codec = status === 200 ? execute.success : status === 400 ? execute.error : undefined
  const decoded = codec === undefined ? undefined : JsonCodec.decode(codec, content)
  return JsonCodec.isCodecIssue(decoded) ? decoded.message : undefined
}
