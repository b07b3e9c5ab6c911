/** When each step ran, waited, was undone and was parked, out of the facts of an execution. Pure. */
import type { SagaEvent } from "../../execution/rules/SagaEvent.ts"
import type { SagaFailure } from "../../execution/rules/SagaFailure.ts"
import { whole } from "../../execution/rules/SagaState.ts"
import type { Fates } from "./Diagram.ts"
import type { Attempt, Lane } from "./Forms.ts"

interface Open {
  readonly path: string
  readonly name: string
  readonly attempts: Array<{ -readonly [Key in keyof Attempt]: Attempt[Key] }>
}

/** A lane for each step that has begun, in the order of their beginnings. */
export const lanesOf = (events: ReadonlyArray<SagaEvent>, fates: Fates): ReadonlyArray<Lane> => {
  const lanes = new Map<string, Open>()
  for (const event of events) if ("path" in event && event.path !== whole) note(lanes, event)
  const ended = events.findLast(({ _tag }) => _tag === "ExecutionFinished" || _tag === "ExecutionErrored")
  return Array.from(lanes.values(), ({ attempts, name, path }) => ({
    path,
    name,
    depth: path.split("/").length >> 1,
    fate: fates.get(path) ?? "running",
    attempts: ended === undefined ? attempts : attempts.map((one) => closed(one, ended.at))
  }))
}

/** What is parked stays so after the rest has ended. */
const closed = (attempt: Attempt, at: number): Attempt =>
  attempt.to !== undefined || attempt.kind === "parked" ? attempt : { ...attempt, to: Math.max(attempt.from, at) }

type OfStep = Extract<SagaEvent, { readonly path: string }>

const note = (lanes: Map<string, Open>, event: OfStep): void => {
  const { at, path } = event
  const known = lanes.get(path)
  const lane = known ?? { path, name: "name" in event && event.name !== undefined ? event.name : path, attempts: [] }
  if (known === undefined) lanes.set(path, lane)
  const begin = (kind: Attempt["kind"]): void => {
    end()
    lane.attempts.push({ kind, from: at })
  }
  const end = (outcome?: string): void => {
    const last = lane.attempts.at(-1)
    if (last === undefined || last.to !== undefined) {
      if (outcome !== undefined) lane.attempts.push({ kind: "execute", from: at, to: at, outcome })
      return
    }
    last.to = at
    if (outcome !== undefined) last.outcome = outcome
  }
  switch (event._tag) {
    case "StepStarted":
    case "AlternativeChosen":
    case "NestedStarted":
    case "ParallelStarted":
    case "TryStarted":
      return begin("execute")
    case "RequestSent":
    case "WaitStarted":
      return begin("wait")
    case "ReplyReceived":
      return end(event.status === 200 ? "succeeded" : `failed: status ${event.status}`)
    case "StepSucceeded":
      return isEnded(lane, "succeeded") ? undefined : end("succeeded")
    case "StepFailed":
      return isEnded(lane, "failed") ? rename(lane, event.failure) : end(`failed: ${tagOf(event.failure)}`)
    case "CompensationStarted":
    case "CompensationSent":
    case "ProbeSent":
      return begin("undo")
    case "ProbeAnswered":
      return end(event.status === 200 ? "succeeded: it was done" : "succeeded: it was not done")
    case "CompensationFailed":
      return end(`failed: ${tagOf(event.failure)}`)
    case "StepCompensated":
      return end("undone")
    case "StepParked":
      return begin("parked")
    case "StepUnparked":
      return end("retried")
    case "StepResolved":
      return end("resolved by hand")
    case "PivotPassed":
      return
  }
}

/** The reply has ended it already. */
const isEnded = ({ attempts }: Open, outcome: string): boolean => {
  const last = attempts.at(-1)
  return last?.to !== undefined && last.outcome?.startsWith(outcome) === true
}

const rename = ({ attempts }: Open, failure: SagaFailure): void => {
  attempts.at(-1)!.outcome = `failed: ${tagOf(failure)}`
}

/** The tag of a declared error, or that of the failure; never a value. */
export const tagOf = (failure: SagaFailure): string => {
  const error = failure._tag === "StepError" ? failure.error : undefined
  const tag = typeof error === "object" && error !== null && "_tag" in error ? error._tag : undefined
  return typeof tag === "string" ? tag : failure._tag
}
