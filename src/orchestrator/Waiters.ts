/** Callers of this process that wait for an execution, whichever instance runs it. A caller that gives up is forgotten. */
import { type Clock, Deferred, Effect, Exit } from "effect"
import { isParkedForward } from "../execution/rules/SagaState.ts"
import { stepAt } from "../execution/rules/StepTree.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { ReleasingMap } from "../ports/ReleasingMap.ts"
import * as StoredInput from "./StoredInput.ts"

/** A caller waits for the end, or also for a forward pause. */
export type Until = "end" | "pause"

/**
 * Inside: the outcome of an input that was handed on, by its id; or `told`, the end of an execution whose services have been
 * sent its rejects.
 */
export type Wish = Until | "told" | { readonly outcomeOf: string } | Resolution

/** A service was asked whether it has done a step whose result a person has given: its answer, or that none has come. */
export interface Resolution {
  readonly resolutionOf: string
}

/**
 * The waiters that a failure concerns: callers that have started the execution; all `callers` that wait for it; or also those
 * that wait for the outcome of an input.
 */
export type Whom = "starters" | "callers" | "everybody"

export interface Waiter<E> {
  readonly until: Wish
  /** The caller has started the execution. */
  readonly starts: boolean
  readonly reached: Deferred.Deferred<SagaExecution, E>
}

/**
 * `patience`: how long a caller waits for the acknowledgements of a commit, in milliseconds. `rests`: its runner has ended, so
 * that what it had to send has left; or another process runs it.
 */
export const isReached = (
  execution: SagaExecution,
  until: Wish,
  clock: Clock.Clock,
  patience: number,
  rests = false
): boolean => {
  const { state } = execution
  if (typeof until === "object") {
    return "outcomeOf" in until
      ? StoredInput.readOutcome(execution, until.outcomeOf) !== undefined
      : stepAt(state.root, until.resolutionOf)?.step.resolution === undefined
  }
  // A person may take days. Callers hear of it at once and decide for themselves how long they wait (SPEC C18).
  if (until !== "told" && isParkedForward(state)) return true
  switch (state.status) {
    case "errored":
      return until !== "told" || rests || state.commitState !== "rejecting"
    case "finished":
      return (
        state.commitState === "committed" ||
        (state.commitState === "none" && !state.autocommit) ||
        (state.commitState === "committing" &&
          state.phase !== undefined &&
          state.phase.at + patience <= clock.currentTimeMillisUnsafe())
      )
    case "paused":
      return until === "pause"
    default:
      return false
  }
}

export class Waiters<E> {
  private readonly waiters = new ReleasingMap<string, Array<Waiter<E>>>()
  private readonly isReached: (execution: SagaExecution, until: Wish, rests: boolean) => boolean
  private readonly forgotten: (uuid: string) => void
  private outcomes = 0

  /** `forgotten`: nobody waits for the execution any more. */
  constructor(
    isReached: (execution: SagaExecution, until: Wish, rests: boolean) => boolean,
    forgotten: (uuid: string) => void = () => {}
  ) {
    this.isReached = isReached
    this.forgotten = forgotten
  }

  get uuids(): ReadonlyArray<string> {
    return [...this.waiters.keys()]
  }

  /** The executions that are waited for, by what would be news to one of them: most for an outcome, less for a pause. */
  byWish(isWanted: (uuid: string) => boolean): Readonly<Record<"end" | "pause" | "outcome", ReadonlyArray<string>>> {
    const found = { end: [] as string[], pause: [] as string[], outcome: [] as string[] }
    for (const [uuid, waiters] of this.waiters.entries) {
      if (!isWanted(uuid)) continue
      const wishes = waiters.map(({ until }) => until)
      if (wishes.some((until) => typeof until === "object")) found.outcome.push(uuid)
      else found[wishes.includes("pause") ? "pause" : "end"].push(uuid)
    }
    return found
  }

  /** Whether anybody waits for the outcome of an input. */
  get hasOutcomes(): boolean {
    return this.outcomes > 0
  }

  has(uuid: string): boolean {
    return this.waiters.has(uuid)
  }

  /** Waits for an execution that is under way. */
  await(uuid: string, until: Until, starts: boolean): Effect.Effect<SagaExecution, E> {
    const waiter = this.add(uuid, until, starts)
    return Effect.onInterrupt(Deferred.await(waiter.reached), () => Effect.sync(() => this.remove(uuid, waiter)))
  }

  /** Waits from before something is begun, so that an end that this brings at once is not missed. */
  awaitWhile<E2>(
    uuid: string,
    until: Wish,
    begin: () => Effect.Effect<unknown, E2>
  ): Effect.Effect<SagaExecution, E | E2> {
    return Effect.suspend(() => {
      let waiter: Waiter<E> | undefined
      // The handler stands before the waiter does: an interruption in between would leave a waiter for ever.
      return Effect.onError(
        Effect.suspend(() => {
          const mine = this.add(uuid, until, false)
          waiter = mine
          return Effect.andThen(begin(), Deferred.await(mine.reached))
        }),
        () => Effect.sync(() => waiter && this.remove(uuid, waiter))
      )
    })
  }

  /** Resumes the waiters whose wish is fulfilled. `rests`: no runner of this process is at work on the execution. */
  tell(uuid: string, execution: SagaExecution, rests: boolean): void {
    if (this.waiters.size === 0) return
    this.resume(uuid, Exit.succeed(execution), ({ until }) => this.isReached(execution, until, rests))
  }

  /** Fails the waiters of an execution, by default all of them. */
  fail(uuid: string, exit: Exit.Exit<never, E>, whom: Whom = "everybody"): void {
    this.resume(
      uuid,
      exit,
      ({ starts, until }) => starts || whom === "everybody" || (whom === "callers" && typeof until !== "object")
    )
  }

  /** Interrupts every waiter: nothing is run here any more. */
  dismiss(): void {
    for (const uuid of this.uuids) this.fail(uuid, Exit.interrupt())
  }

  private add(uuid: string, until: Wish, starts: boolean): Waiter<E> {
    const waiter: Waiter<E> = { until, starts, reached: Deferred.makeUnsafe() }
    if (typeof until === "object") this.outcomes++
    const others = this.waiters.get(uuid)
    if (others === undefined) this.waiters.set(uuid, [waiter])
    else others.push(waiter)
    return waiter
  }

  private remove(uuid: string, waiter: Waiter<E>): void {
    this.keep(uuid, this.waiters.get(uuid)?.filter((other) => other !== waiter) ?? [])
  }

  private keep(uuid: string, waiters: Array<Waiter<E>>): void {
    this.outcomes -= outcomesIn(this.waiters.get(uuid)) - outcomesIn(waiters)
    if (waiters.length > 0) return void this.waiters.set(uuid, waiters)
    this.waiters.delete(uuid)
    this.forgotten(uuid)
  }

  private resume(uuid: string, exit: Exit.Exit<SagaExecution, E>, concerns: (waiter: Waiter<E>) => boolean): void {
    const present = this.waiters.get(uuid)
    if (present === undefined) return
    const told = present.filter(concerns)
    this.keep(
      uuid,
      present.filter((waiter) => !told.includes(waiter))
    )
    // Resumed last: a waiter may wait again at once, and must not be taken for the one that was just removed.
    for (const { reached } of told) Deferred.doneUnsafe(reached, exit)
  }
}

const outcomesIn = (waiters: ReadonlyArray<Pick<Waiter<never>, "until">> | undefined): number =>
  waiters === undefined ? 0 : waiters.filter(({ until }) => typeof until === "object").length
