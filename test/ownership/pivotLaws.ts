/**
 * What C18 says of what is stored and of what participants have done: read from the facts alone, without the functions that are
 * under test.
 */
import type { Of, SagaEvent } from "../../src/execution/rules/SagaEvent.ts"
import type { SagaState } from "../../src/execution/rules/SagaState.ts"
import { attemptOf, type Envelope, messageId } from "../../src/wire/Envelope.ts"
import { eventsOf, numberOf, uuid } from "./WaitWorld.ts"

interface Service {
  readonly status: string
  readonly records: Readonly<Record<string, number | null>>
  readonly undone: ReadonlyArray<string>
}
type Services = Readonly<Record<string, Service>>

/** What the facts say, without a look at the state that is made of them. */
interface Told {
  readonly passedAt: number
  readonly events: ReadonlyArray<SagaEvent>
  readonly decision: "commit" | "reject" | null
  /** Paths of steps whose result a person has given, and whether the service was asked before. */
  readonly given: ReadonlyMap<string, boolean>
  readonly requests: ReadonlyArray<Of<"RequestSent">>
}

const telling = new Map<number, Told>()

const tell = (state: SagaState): Told => {
  const number = numberOf(state)
  const known = telling.get(number)
  if (known !== undefined) return known
  const events = eventsOf(state)
  const passedAt = events.findIndex(({ _tag }) => _tag === "PivotPassed")
  const isBack = events.some((fact, i) => turnsBack(fact) && (passedAt < 0 || i < passedAt))
  const told: Told = {
    passedAt,
    events,
    decision: passedAt >= 0 ? "commit" : isBack ? "reject" : null,
    given: resolutions(events),
    requests: events.filter((fact) => fact._tag === "RequestSent")
  }
  telling.set(number, told)
  return told
}

const turnsBack = ({ _tag }: SagaEvent): boolean => _tag === "RollbackStarted" || _tag === "StepFailed"

/** A given result counts at once, or when the service says that it has done nothing. */
const resolutions = (events: ReadonlyArray<SagaEvent>): ReadonlyMap<string, boolean> => {
  const asked = new Set<string>()
  const given = new Map<string, boolean>()
  for (const fact of events) {
    if (fact._tag === "StepResolved" && fact.asks === true) asked.add(fact.path)
    else if (fact._tag === "StepResolved") given.set(fact.path, false)
    else if (fact._tag === "StepParked") asked.delete(fact.path)
    else if (fact._tag === "ProbeAnswered" && asked.delete(fact.path) && fact.status !== 200) given.set(fact.path, true)
  }
  return given
}

// ---- a message -------------------------------------------------------------------------------------------------

/** Behind the pivot a message opens no transaction, and undoes nothing. */
export const sent = ({ id, op, path, transactions }: Envelope, pivot: number): string | undefined => {
  if (path === undefined || !isBehind(path, pivot)) return undefined
  if (op === "failure") return `${id} undoes what stands behind the pivot`
  return transactions.length > 0 ? `${id} opens a transaction behind the pivot` : undefined
}

const isBehind = (path: string, pivot: number): boolean => Number.parseInt(path, 10) > pivot

// ---- a write ---------------------------------------------------------------------------------------------------

const forbidden = new Set<SagaEvent["_tag"]>([
  "RollbackStarted",
  "CompensationStarted",
  "CompensationSent",
  "CompensationFailed",
  "StepCompensated",
  "ExecutionErrored",
  "RejectRequested"
])

/** Of a write that has landed. */
export const written = (before: SagaState | undefined, after: SagaState, pivot: number): string | undefined => {
  if (before !== undefined && before.decision !== null && before.decision !== after.decision)
    return `the decision ${before.decision} has become ${after.decision}`
  if (before?.direction === "backward" && after.direction !== "backward") return "an execution turns round"
  if (after.revision !== (before?.revision ?? 0) + 1) return "a revision is left out"
  const { decision, events, passedAt } = tell(after)
  if (after.decision !== decision) return `the decision is ${after.decision}, and the facts say ${decision}`
  if (passedAt < 0) return undefined
  const since = events.slice(passedAt + 1)
  const undone = since.find(({ _tag }) => forbidden.has(_tag))
  if (undone !== undefined) return `${undone._tag} behind the pivot`
  if (since.some(({ _tag }) => _tag === "PivotPassed")) return "the pivot is passed twice"
  if (after.status !== "running" && after.status !== "paused" && after.status !== "finished")
    return `an execution behind the pivot is ${after.status}`
  const wasPassed = before !== undefined && tell(before).passedAt >= 0
  if (!wasPassed && !since.some((fact) => "path" in fact && isBehind(fact.path, pivot)))
    return "the pivot is passed, and the next step does not begin with it"
  return inTurn(events)
}

/** A step is asked anew only after its service has said that nothing is left there. */
const inTurn = (events: ReadonlyArray<SagaEvent>): string | undefined => {
  const last = new Map<string, { readonly attempt: number; readonly isRefused: boolean }>()
  for (const fact of events) {
    if (fact._tag === "ReplyReceived") {
      const known = last.get(fact.path)
      if (known !== undefined && known.attempt === (fact.attempt ?? 1))
        last.set(fact.path, { ...known, isRefused: fact.status === 400 || fact.status === 500 })
    } else if (fact._tag === "RequestSent") {
      const known = last.get(fact.path)
      const attempt = attemptOf(fact.message.id)
      if (attempt !== (known?.attempt ?? 0) + 1) return `${fact.message.id} is out of turn`
      if (known?.isRefused === false) return `${fact.message.id} is sent while the one before may still act`
      if (attempt > 1 && fact.message.notAfter <= fact.at) return `${fact.message.id} has no time of its own`
      last.set(fact.path, { attempt, isRefused: false })
    }
  }
  return undefined
}

// ---- a state ---------------------------------------------------------------------------------------------------

/** Of what is stored and what participants have done. */
export const outside = (state: SagaState, services: Services): string | undefined => {
  const { decision, given, passedAt, requests } = tell(state)
  const all = Object.entries(services)
  const committed = all.find(([, { status }]) => status === "committed")
  const rejected = all.find(([, { status }]) => status === "rejected")
  if (committed !== undefined && rejected !== undefined) return `${committed[0]} is committed, ${rejected[0]} rejected`
  if (committed !== undefined && decision !== "commit") return `${committed[0]} is committed, and nothing is decided`
  for (const [name, { records, status, undone }] of all) {
    if (passedAt >= 0 && undone.length > 0) return `${name} has undone a step of what is behind its pivot`
    if (passedAt >= 0 && status !== "none" && status !== "reserved" && status !== "committed")
      return `the pivot is passed, and ${name} is ${status}`
    for (const [path, isAsked] of given)
      for (const [id, status] of Object.entries(records))
        if (isAsked && status === 200 && isOf(id, path))
          return `a person's result counts for ${path}, and ${name} has done it`
  }
  for (const { message, path } of requests) {
    const attempt = attemptOf(message.id)
    if (attempt === 1) continue
    const before = services[message.service]?.records[messageId(uuid, path, "execute", attempt - 1)]
    if (before === undefined || before === null || before === 200)
      return `${message.id} is stored, and the one before has ${before}`
  }
  return undefined
}

const isOf = (id: string, path: string): boolean => id.startsWith(`${messageId(uuid, path, "execute")}`)

/** `isSettled`: what everybody is told. */
export const settled = (
  state: SagaState,
  isSettled: boolean,
  services: Services,
  transactional: boolean
): string | undefined => {
  const { events, given, passedAt, requests } = tell(state)
  const has = (tag: SagaEvent["_tag"]): boolean => events.some(({ _tag }) => _tag === tag)
  const ended = events.find((fact) => fact._tag === "TransactionSettled")?.state
  const isCommitted = passedAt >= 0 && (ended === "committed" || state.enrolled.length === 0)
  const isFinished = has("ExecutionFinished")
  if (isSettled && !isFinished && !has("ExecutionErrored")) return "an execution is settled while its steps run"
  if (isFinished && isCommitted && !isSettled) return "an execution is finished and committed, and not settled"
  if (!isSettled) return undefined
  const all = Object.entries(services)
  if (isFinished) {
    if (passedAt < 0) return "an execution is finished and has not passed its pivot"
    if (transactional && all.some(([, { status }]) => status === "reserved")) return "a service is left reserved"
    for (const { message, path } of requests) {
      const done = Object.entries(services[message.service]?.records ?? {}).filter(
        ([id, status]) => status === 200 && isOf(id, path)
      ).length
      if (given.get(path) !== false && done !== (given.has(path) ? 0 : 1))
        return `the step ${path} is done ${done} times`
    }
    return undefined
  }
  if (passedAt >= 0) return "an execution behind its pivot is settled, and not finished"
  for (const [name, { records, status, undone }] of all) {
    if (transactional && status !== "rejected" && status !== "none") return `${name} is left ${status}`
    const left = Object.entries(records).find(
      ([id, status]) => name === "stock" && status === 200 && !undone.includes(id.split(":")[1] ?? "")
    )
    if (left !== undefined) return `${name} is left with what it has done`
  }
  return undefined
}
