/**
 * Which request a trusted response answers (SPEC C5, C16). It names its step or its request. A response without a name is
 * taken only where nothing can be mistaken: by a step without a contract that is the only one awaited.
 */
import { Result, Schema } from "effect"
import * as SagaPath from "../../definition/SagaPath.ts"
import type { Definition, Remote } from "../../definition/SagaStep.ts"
import * as CanonicalJson from "../../wire/CanonicalJson.ts"
import { messageId, type Op, type ReplyStatus } from "../../wire/Envelope.ts"
import type { Json } from "../../wire/JsonLimits.ts"
import { line } from "../../wire/OneLine.ts"
import type { SagaEvent } from "./SagaEvent.ts"
import type { SagaState } from "./SagaState.ts"
import { SagaStatus } from "./SagaStatus.ts"
import { collect, type StepState, started } from "./StepTree.ts"

/**
 * `resume` or `SagaRunner.execute` was called for an execution that is over: there is nothing to run. The execution itself
 * is not changed; `SagaManager.load` gives its result.
 */
export class SagaExecutionAlreadyExecuted extends Schema.TaggedError<SagaExecutionAlreadyExecuted>()(
  "SagaExecutionAlreadyExecuted",
  { uuid: Schema.String, status: SagaStatus }
) {
  override get message(): string {
    return line`Execution ${this.uuid} is already ${this.status}`
  }
}

/**
 * A response that names neither a step nor a request, for an execution that does not await exactly one step without a
 * contract. Send it again with `step`, the name of the step that it answers; `awaited` has the paths of the steps that wait.
 */
export class SagaResponseAmbiguous extends Schema.TaggedError<SagaResponseAmbiguous>()("SagaResponseAmbiguous", {
  uuid: Schema.String,
  awaited: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return line`Execution ${this.uuid} awaits ${this.awaited.length} replies: the response must name the step that it answers`
  }
}

/**
 * Nobody awaits the step or the request that a response names: the name is wrong, or the response comes before its step.
 * Nothing has changed. `awaited` has the paths of the steps that wait now.
 */
export class SagaResponseNotAwaited extends Schema.TaggedError<SagaResponseNotAwaited>()("SagaResponseNotAwaited", {
  uuid: Schema.String,
  /** The step or the request id, as the response names it. */
  named: Schema.String,
  awaited: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return line`Execution ${this.uuid} does not await a response to ${JSON.stringify(this.named)}`
  }
}

/**
 * The step was answered before, with another answer. The first one counts; the same answer again is no error. Look at the
 * execution (`SagaManager.load`), and tell the person who answered second.
 */
export class SagaResponseConflict extends Schema.TaggedError<SagaResponseConflict>()("SagaResponseConflict", {
  uuid: Schema.String,
  path: Schema.String,
  step: Schema.String
}) {
  override get message(): string {
    return line`Step ${this.step} (${this.path}) of execution ${this.uuid} was answered before, with another answer`
  }
}

/** Why a response is not taken. */
export type NotTaken =
  | SagaExecutionAlreadyExecuted
  | SagaResponseAmbiguous
  | SagaResponseNotAwaited
  | SagaResponseConflict

/** The part of a response that says what it answers. */
export interface Answer {
  readonly requestId?: string
  /** Name or path of the step. */
  readonly step?: string
  readonly proven?: true
  readonly status: ReplyStatus
  readonly content?: Json
}

interface Awaited {
  readonly id: string
  readonly op: Op
  readonly path: string
}

const unchanged = Result.succeed(undefined)

/** The id of the request that a response answers; undefined: the response changes nothing. */
export const requestOf = (
  self: SagaState,
  answer: Answer,
  awaited: ReadonlyArray<Awaited>,
  definition: Definition
): Result.Result<string | undefined, NotTaken> => {
  const { requestId, step: named } = answer
  const requests = requested(self)
  const executes = awaited.filter(({ op }) => op === "execute")
  const paths = executes.map(({ path }) => path)
  if (requestId === undefined && named === undefined) {
    const over = whenOver(self)
    if (over !== undefined) return over
    const [only, ...others] = executes
    return only !== undefined && others.length === 0 && isUntyped(definition, only.path)
      ? Result.succeed(only.id)
      : Result.fail(new SagaResponseAmbiguous({ uuid: self.uuid, awaited: paths }))
  }
  const answered = requests.filter(({ message, name, path }) => {
    const isStep = named === undefined || named === name || named === path
    return isStep && (requestId === undefined || requestId === message.id)
  })
  const open = answered.filter(
    ({ message, reply }) => reply === undefined && executes.some(({ id }) => id === message.id)
  )
  if (open.length > 1)
    return Result.fail(new SagaResponseAmbiguous({ uuid: self.uuid, awaited: open.map(({ path }) => path) }))
  const only = open[0]
  if (only !== undefined) {
    // A refusal by hand proves nothing. In a rollback the probe tells, and so it does where a person has given the result.
    const isProbed = self.direction === "backward" || only.resolution !== undefined
    return isProbed && answer.status !== 200 && answer.proven !== true ? unchanged : Result.succeed(only.message.id)
  }
  if (answered.some(({ reply }) => reply !== undefined && isSame(reply, answer))) return unchanged
  if (answered.length > 0 && self.status === "errored") return unchanged
  const before = answered.find(({ reply }) => reply !== undefined)
  if (before !== undefined)
    return Result.fail(new SagaResponseConflict({ uuid: self.uuid, path: before.path, step: before.name }))
  // Votes, acknowledgements and answers to compensations are named by their request alone.
  if (requestId !== undefined && named === undefined) {
    if (awaited.some(({ id, op }) => id === requestId && op !== "execute")) return Result.succeed(requestId)
    if (answered.length > 0 || wasAsked(self, requests, requestId)) return unchanged
  } else if (requestId === undefined) {
    const over = whenOver(self)
    if (over !== undefined) return over
  }
  const missing = requestId ?? named!
  return Result.fail(new SagaResponseNotAwaited({ uuid: self.uuid, named: missing, awaited: paths }))
}

/**
 * The facts of a response. A refusal by hand does not prove that the service did nothing: the step is probed (SPEC C16). A success by
 * hand does not prove that the service has a record of it.
 */
export const unproven = (facts: ReadonlyArray<SagaEvent>): ReadonlyArray<SagaEvent> =>
  facts.map((fact) =>
    (fact._tag === "ReplyReceived" && fact.status !== 200) || (fact._tag === "StepFailed" && fact.effect === "none")
      ? { ...fact, effect: "unknown" }
      : fact._tag === "ReplyReceived"
        ? { ...fact, byHand: true }
        : fact
  )

const whenOver = ({ status, uuid }: SagaState): Result.Result<undefined, NotTaken> | undefined => {
  if (status === "errored") return unchanged
  return status === "finished" ? Result.fail(new SagaExecutionAlreadyExecuted({ uuid, status })) : undefined
}

/** A step whose request has no contract: its answer may come from a person. */
const isUntyped = (definition: Definition, path: string): boolean =>
  (SagaPath.at(definition, path) as Remote).execute.error === undefined // only a remote step awaits an execute

interface Requested extends Pick<StepState, "compensation" | "name" | "path" | "reply" | "resolution"> {
  readonly message: { readonly id: string }
}

/** All steps whose request was sent. */
const requested = (self: SagaState): ReadonlyArray<Requested> =>
  collect<Requested>(self.root, started, (found, { request, ...step }) => {
    if (request !== undefined) found.push({ ...step, message: request.message })
  })

const isSame = (reply: NonNullable<StepState["reply"]>, { content, status }: Answer): boolean =>
  reply.status === status && CanonicalJson.stringify(reply.content ?? null) === CanonicalJson.stringify(content ?? null)

/** Whether the id is one of a vote, an acknowledgement or a compensation that was asked for. */
const wasAsked = ({ enrolled, phase, uuid }: SagaState, requests: ReadonlyArray<Requested>, id: string): boolean => {
  const has = (scope: string, ops: ReadonlyArray<Op>) => ops.some((op) => messageId(uuid, scope, op) === id)
  return (
    (phase !== undefined && enrolled.some((service) => has(service, ["reserve", "commit", "reject"]))) ||
    requests.some(({ compensation, path }) => compensation !== undefined && has(path, ["probe", "failure"]))
  )
}
