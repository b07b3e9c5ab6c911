/**
 * The metrics of executions, taken from what a write has stored: each fact is counted once, by the instance that has written it,
 * and times are those of the facts.
 */
import type { Context } from "effect"
import type { Of, SagaEvent } from "../execution/rules/SagaEvent.ts"
import type { SagaFailure } from "../execution/rules/SagaFailure.ts"
import type { SagaState } from "../execution/rules/SagaState.ts"
import { type StepState, stepAt } from "../execution/rules/StepTree.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Metrics from "../ports/Metrics.ts"

/** Whether a write has settled the execution. One that is settled may be written again: inputs that come too late are refused by facts. */
export const settles = (state: SagaState, stored: SagaExecution): boolean => {
  if (!stored.settled) return false
  let node = state.history
  for (let i = 0; i < state.unstored; i++) {
    if (ends.has(node!.head._tag)) return true
    node = node!.tail
  }
  return false
}

/** Facts that can settle an execution. */
const ends: ReadonlySet<SagaEvent["_tag"]> = new Set([
  "TransactionSettled",
  "ExecutionFinished",
  "ExecutionErrored",
  "StepCompensated",
  "StepResolved"
])

/** Mostly the step that has just ended. */
const stepOf = ({ root }: SagaState, path: string): StepState | undefined => {
  const last = root.done?.head
  return last?.path === path ? last : stepAt(root, path)?.step
}

/** The series of a saga that each of its executions needs, kept from their first use on. */
class SagaSeries {
  readonly saga: string
  started: Metrics.Series | undefined = undefined
  finished: Metrics.Series | undefined = undefined
  duration: Metrics.Series | undefined = undefined
  /** By the names of steps. */
  readonly stepDuration = new Map<string, Metrics.Series>()

  constructor(saga: string) {
    this.saga = saga
  }
}

/** The metrics of one program. */
export class Measures {
  private readonly started: Metrics.Registered
  private readonly settled: Metrics.Registered
  private readonly duration: Metrics.Registered
  private readonly stepDuration: Metrics.Registered
  private readonly stepFailures: Metrics.Registered
  private readonly undoAttempts: Metrics.Registered
  private readonly replySeconds: Metrics.Registered
  private readonly sagas = new Map<string, SagaSeries>()
  /** That of the last write: most are of the same saga. */
  private last = new SagaSeries("")

  constructor(context: Context.Context<never>) {
    this.started = Metrics.started.within(context)
    this.settled = Metrics.settled.within(context)
    this.duration = Metrics.duration.within(context)
    this.stepDuration = Metrics.stepDuration.within(context)
    this.stepFailures = Metrics.stepFailures.within(context)
    this.undoAttempts = Metrics.undoAttempts.within(context)
    this.replySeconds = Metrics.replySeconds.within(context)
  }

  /** Measures the facts of a write. `written`: the execution before it, with the facts; `stored`: after it. */
  readonly write = ({ state }: SagaExecution, stored: SagaExecution): void => {
    const series = this.of(state.creation.saga)
    let node = state.history
    for (let i = 0; i < state.unstored; i++) {
      this.fact(series, state, node!.head)
      node = node!.tail
    }
    if (!settles(state, stored)) return
    const { saga } = series
    if (state.status === "finished") {
      series.finished ??= this.settled.at(saga, "finished")
      series.finished.note(1)
    } else this.settled.update(1, saga, state.status)
    series.duration ??= this.duration.at(saga)
    series.duration.note((state.updatedAt - state.creation.at) / 1_000)
  }

  private of(saga: string): SagaSeries {
    if (this.last.saga !== saga) {
      this.last = this.sagas.get(saga) ?? new SagaSeries(saga)
      if (this.sagas.size < Metrics.maxSeries) this.sagas.set(saga, this.last)
    }
    return this.last
  }

  private fact(series: SagaSeries, state: SagaState, fact: SagaEvent): void {
    switch (fact._tag) {
      case "StepStarted":
        return
      case "StepSucceeded":
        return this.ended(series, state, fact)
      case "ExecutionCreated":
        series.started ??= this.started.at(series.saga)
        return series.started.note(1)
      case "StepFailed": {
        const step = fact.name ?? stepOf(state, fact.path)?.name
        this.stepFailures.update(1, series.saga, step, errorOf(fact.failure))
        return this.ended(series, state, fact)
      }
      case "StepCompensated":
        return this.undone(state, fact.path, "undone")
      case "CompensationFailed":
        return this.undone(state, fact.path, "failed")
      case "StepParked":
        return this.undone(state, fact.path, "parked")
      case "ReplyReceived":
        return this.answered(state, fact)
      default:
    }
  }

  private ended(
    { saga, stepDuration }: SagaSeries,
    state: SagaState,
    { at, path }: Of<"StepSucceeded" | "StepFailed">
  ): void {
    const step = stepOf(state, path)
    if (step === undefined) return
    const known = stepDuration.get(step.name)
    const series = known ?? this.stepDuration.at(saga, step.name)
    if (known === undefined && stepDuration.size < Metrics.maxSeries) stepDuration.set(step.name, series)
    series.note(Math.max(0, at - step.startedAt) / 1_000)
  }

  private undone(state: SagaState, path: string, outcome: string): void {
    this.undoAttempts.update(1, state.creation.saga, stepOf(state, path)?.name ?? Metrics.other, outcome)
  }

  private answered(state: SagaState, { at, path }: Of<"ReplyReceived">): void {
    const request = stepOf(state, path)?.request
    if (request === undefined) return
    const { command, message } = request
    this.replySeconds.update(Math.max(0, at - request.at) / 1_000, message.service, command ?? message.op)
  }
}

/** The tag of a declared error, else that of the failure. A tag that a value has instead of a name counts as `other`. */
export const errorOf = (failure: SagaFailure): string => {
  if (failure._tag !== "StepError") return failure._tag
  const { error } = failure
  return typeof error === "object" && error !== null && "_tag" in error && typeof error._tag === "string"
    ? tagOf(error._tag)
    : failure._tag
}

/** A tag is a name in the code of a program. Any other text may be a value, and values are shown to nobody (SPEC C12). */
export const tagOf = (text: string): string => (/^[A-Za-z][\w./-]{0,63}$/u.test(text) ? text : Metrics.other)
