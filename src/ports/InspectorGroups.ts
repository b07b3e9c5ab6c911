/** What an operator sees of executions that a program has in its hands: places that need a person, and groups. Pure. */
import type { SagaState } from "../execution/rules/SagaState.ts"
import { whole } from "../execution/rules/SagaState.ts"
import { stepAt } from "../execution/rules/StepTree.ts"
import { serviceAt } from "../execution/rules/TwoPhaseCommit.ts"
import { failureTag } from "../execution/view/FailureTag.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Summary from "./ExecutionSummary.ts"
import {
  type CommandGroup,
  type Count,
  maxCounted,
  type ParkedGroup,
  type ParkedPlace,
  stateOf,
  type WaitingGroup
} from "./Inspector.ts"
import * as KeptMessage from "./KeptMessage.ts"
import type { Barrier } from "./ParticipantStore.ts"

/** The places of an execution that need a person. */
export const placesOf = ({ parked, state }: SagaExecution): ReadonlyArray<ParkedPlace> =>
  parked.map((place) => placeOf(state, place))

const placeOf = ({ phase, root, setAside }: SagaState, place: string): ParkedPlace => {
  if (place === whole && setAside === "parked") return { place, kind: "execution" }
  const service = serviceAt(phase, place)
  if (service !== undefined) {
    const reason = phase?.asks.find((ask) => ask.service === service)?.stalled
    return { place, kind: "service", service, ...(reason !== undefined && { reason }) }
  }
  const step = stepAt(root, place)?.step
  if (step === undefined) return { place, kind: "step" }
  const asked = step.compensation?.sent?.message.service ?? step.request?.message.service
  const failure = step.compensation?.failure ?? step.tries?.failure ?? step.failure
  return {
    place,
    kind: "step",
    step: step.name,
    ...(asked !== undefined && { service: asked }),
    ...(failure !== undefined && { failure: failureTag(failure) }),
    ...(step.parked !== undefined && { reason: step.parked.reason })
  }
}

// ---- groups of summaries, where a storage cannot group -----------------------------------------------------------

const grouped = (
  summaries: ReadonlyArray<Summary.ExecutionSummary>,
  parts: (summary: Summary.ExecutionSummary) => ReadonlyArray<unknown>
): ReadonlyArray<ReadonlyArray<Summary.ExecutionSummary>> => {
  const groups = new Map<string, Array<Summary.ExecutionSummary>>()
  for (const summary of summaries) {
    const key = JSON.stringify(parts(summary))
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [summary])
    else group.push(summary)
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group)
}

/** Bounded as a database counts. */
export const counted = (count: number) => ({ count: Math.min(count, maxCounted), isMore: count > maxCounted })

const oldestOf = (group: ReadonlyArray<Summary.ExecutionSummary>) =>
  group.reduce((oldest, { createdAt }) => Math.min(oldest, createdAt), Number.MAX_SAFE_INTEGER)

export const counts = (summaries: ReadonlyArray<Summary.ExecutionSummary>): ReadonlyArray<Count> =>
  grouped(summaries, (one) => [one.saga, stateOf(one), one.settled]).map((group) => ({
    saga: group[0]!.saga,
    state: stateOf(group[0]!),
    settled: group[0]!.settled,
    ...counted(group.length),
    oldest: oldestOf(group)
  }))

export const waiting = (summaries: ReadonlyArray<Summary.ExecutionSummary>): ReadonlyArray<WaitingGroup> =>
  grouped(
    summaries.filter(({ waitsFor }) => waitsFor !== undefined),
    ({ saga, step, waitsFor }) => [waitsFor, saga, step?.name]
  ).map((group) => ({
    waitsFor: group[0]!.waitsFor ?? "",
    saga: group[0]!.saga,
    step: group[0]!.step?.name ?? "",
    ...counted(group.length),
    oldest: group.reduce((oldest, { waitingSince = oldest }) => Math.min(oldest, waitingSince), Number.MAX_SAFE_INTEGER)
  }))

/** Without their places, which only the facts say. */
export const parked = (
  summaries: ReadonlyArray<Summary.ExecutionSummary>
): ReadonlyArray<Omit<ParkedGroup, "places">> =>
  grouped(
    summaries.filter(({ parked }) => parked),
    ({ commitState, failure, saga, step }) => [saga, commitState, failure?.tag ?? "", step?.name ?? ""]
  ).map((group) => {
    const { commitState, failure, saga, step } = group[0]!
    return {
      saga,
      commitState,
      ...(failure !== undefined && { failure: failure.tag }),
      ...(step !== undefined && { step: step.name }),
      ...counted(group.length),
      oldest: oldestOf(group),
      sample: group.toSorted(Summary.newestFirst)[0]!.uuid
    }
  })

export const isStalled = ({ places }: Pick<ParkedGroup, "places">): boolean =>
  places.some(({ kind }) => kind === "service")

/** Groups of parked executions that are given, at most: the facts of one of each are read. */
export const maxGroups = 200

// ---- what participants hold --------------------------------------------------------------------------------------

/** The messages without a final answer, by command and by what becomes of them. */
export const commands = (
  service: string,
  rows: ReadonlyArray<Pick<Barrier, "accepted" | "createdAt" | "id">>,
  now: number
): ReadonlyArray<CommandGroup> => {
  const groups = new Map<string, CommandGroup>()
  for (const { accepted, createdAt, id } of [...rows].sort((one, other) => one.createdAt - other.createdAt)) {
    const { command, runsUntil } = KeptMessage.partsOf(accepted)
    const state = runsUntil === undefined ? "accepted" : runsUntil > now ? "running" : "interrupted"
    const key = `${command} ${state}`
    const known = groups.get(key)
    const { oldest, sample } = known ?? { oldest: createdAt, sample: id }
    groups.set(key, { service, command, state, ...counted((known?.count ?? 0) + 1), oldest, sample })
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group)
}
