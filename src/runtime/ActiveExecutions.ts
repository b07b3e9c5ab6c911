/**
 * The executions that this process works on: at most one runner for each, those who wait for them, and when to look at
 * them again. A runner lives only while there is something to do; a paused execution costs a timer and no fiber.
 */
import { Cause, Clock, Context, Deferred, Effect, Exit, Fiber, Schema, type Scope } from "effect"
import type { SagaDefinitionDrift } from "../definition/SagaRegistry.ts"
import type { SagaExecution } from "../execution/SagaExecution.ts"
import type { Drive, StorageError } from "./Drive.ts"
import * as Inbox from "./Inbox.ts"
import * as Timers from "./Timers.ts"

/** Too much is pending in this process; nothing of the new execution is stored. */
export class SagaOverloaded extends Schema.TaggedError<SagaOverloaded>()("SagaOverloaded", {
  limit: Schema.Literals(["maxPending", "inbox"]),
  value: Schema.Int
}) {
  override get message(): string {
    return `Refused: ${this.limit} is ${this.value}`
  }
}

export type RunError = StorageError | SagaDefinitionDrift

export interface ActiveExecutions {
  /** Starts a new execution and waits for it. */
  readonly start: (
    execution: SagaExecution,
    until: Until,
    caller: Context.Context<never>
  ) => Effect.Effect<SagaExecution, RunError | SagaOverloaded>
  /** Waits for a stored execution that this or another process runs. */
  readonly wait: (uuid: string, until: Until) => Effect.Effect<SagaExecution, RunError>
  /**
   * Judges the trigger against the execution's newest state. Gives the execution that has stored its facts, or with
   * `until` the one that this has led to.
   */
  readonly submit: (uuid: string, trigger: Inbox.Trigger, until?: Until) => Effect.Effect<SagaExecution, unknown>
  /** Goes on with a stored execution. */
  readonly resume: (execution: SagaExecution, since: number) => void
  /** Called by the runner after each write. */
  readonly stored: (execution: SagaExecution) => void
}

/** What a caller waits for: the end, or also a forward pause. */
export type Until = "end" | "pause"

/** Triggers of one execution that wait for its runner. */
const maxInbox = 1_024

export const isReached = ({ state }: SagaExecution, until: Until): boolean => {
  switch (state.status) {
    case "errored":
      return true
    case "finished":
      return state.commitState === "committed" || (state.commitState === "none" && !state.autocommit)
    case "paused":
      return until === "pause"
    default:
      return false
  }
}

interface Waiter {
  readonly until: Until
  readonly reached: Deferred.Deferred<SagaExecution, RunError>
}

export const make = Effect.fnUntraced(function* (options: {
  readonly drive: Drive
  readonly load: (uuid: string) => Effect.Effect<SagaExecution, RunError>
  readonly maxRunning: number
  readonly maxPending: number
  readonly services: Context.Context<never>
}): Effect.fn.Return<ActiveExecutions, never, Scope.Scope> {
  const { drive, load, maxPending, maxRunning, services } = options
  const clock = yield* Clock.Clock
  const active = new Map<string, Inbox.Inbox>()
  const fibers = new Set<Fiber.Fiber<unknown, unknown>>()
  const waiters = new Map<string, Array<Waiter>>()
  const pending = new Set<string>()
  const starts: Array<Deferred.Deferred<void>> = []

  const timers = yield* Timers.make({
    limit: maxPending,
    fire: ({ since, uuid }) =>
      Effect.sync(() => (active.has(uuid) ? undefined : launch(uuid, load(uuid), since, Inbox.make(), services)))
  })
  yield* Effect.addFinalizer(() => Fiber.interruptAll(fibers))

  const settle = (uuid: string, exit: Exit.Exit<SagaExecution, RunError>): void => {
    const waiting = waiters.get(uuid)
    if (waiting === undefined) return
    const left = waiting.filter(({ reached, until }) => {
      if (Exit.isSuccess(exit) && !isReached(exit.value, until)) return true
      Deferred.doneUnsafe(reached, exit)
      return false
    })
    if (left.length === 0) waiters.delete(uuid)
    else waiters.set(uuid, left)
  }

  /** Forks the runner; the fiber belongs to this process and not to who asked for it. */
  const launch = (
    uuid: string,
    execution: Effect.Effect<SagaExecution, RunError>,
    since: number,
    inbox: Inbox.Inbox,
    context: Context.Context<never>
  ): void => {
    active.set(uuid, inbox)
    timers.cancel(uuid)
    const run = Effect.flatMap(execution, (loaded) => drive(loaded, since, inbox))
    const fiber = Effect.runForkWith(context)(run)
    const ended = (exit: Exit.Exit<{ readonly execution: SagaExecution; readonly wakeAt: number }, RunError>): void => {
      fibers.delete(fiber)
      active.delete(uuid)
      starts.shift()?.pipe((next) => Deferred.doneUnsafe(next, Effect.void))
      if (Exit.isFailure(exit)) {
        if (Cause.hasDies(exit.cause))
          Effect.runForkWith(context)(Effect.logError("A saga runner died", { uuid }, exit.cause))
        pending.delete(uuid)
        Inbox.abandon(inbox.triggers.splice(0), exit)
        settle(uuid, Exit.failCause(exit.cause))
        return
      }
      const { execution, wakeAt } = exit.value
      if (execution.status === "finished" || execution.status === "errored") pending.delete(uuid)
      if (inbox.triggers.length > 0)
        return launch(
          uuid,
          Effect.succeed(execution),
          clock.currentTimeMillisUnsafe(),
          Inbox.make(inbox.triggers),
          services
        )
      if (wakeAt !== Number.POSITIVE_INFINITY)
        timers.schedule({ uuid, at: wakeAt, since: clock.currentTimeMillisUnsafe() })
      settle(uuid, Exit.succeed(execution))
    }
    const done = fiber.pollUnsafe()
    if (done !== undefined) return ended(done)
    fibers.add(fiber)
    fiber.addObserver(ended)
  }

  // The services of the steps win over those of a caller; what only the caller has (its span, its log annotations)
  // goes along. Callers mostly share one context, so the last merge is kept.
  let merged = { caller: services, all: services }
  const contextFor = (caller: Context.Context<never>): Context.Context<never> => {
    if (merged.caller !== caller) merged = { caller, all: Context.merge(caller, services) }
    return merged.all
  }

  const waitFor = (uuid: string, until: Until): Waiter => {
    const waiter: Waiter = { until, reached: Deferred.makeUnsafe() }
    const others = waiters.get(uuid)
    if (others === undefined) waiters.set(uuid, [waiter])
    else others.push(waiter)
    return waiter
  }

  const leave = (uuid: string, waiter: Waiter): void => {
    const left = waiters.get(uuid)?.filter((other) => other !== waiter) ?? []
    if (left.length === 0) waiters.delete(uuid)
    else waiters.set(uuid, left)
  }

  const waitOn = (uuid: string, waiter: Waiter): Effect.Effect<SagaExecution, RunError> =>
    // Mostly reached already: a saga of local steps has run while it was started.
    waiter.reached.effect ??
    Effect.onInterrupt(Deferred.await(waiter.reached), () => Effect.sync(() => leave(uuid, waiter)))

  const startNow = (
    execution: SagaExecution,
    until: Until,
    caller: Context.Context<never>
  ): Effect.Effect<SagaExecution, RunError> => {
    const { uuid } = execution
    pending.add(uuid)
    const waiter = waitFor(uuid, until)
    launch(uuid, Effect.succeed(execution), clock.currentTimeMillisUnsafe(), Inbox.make(), contextFor(caller))
    return waitOn(uuid, waiter)
  }

  const deliver = (uuid: string, trigger: Inbox.Trigger): Effect.Effect<SagaExecution, unknown> => {
    const inbox = active.get(uuid)
    if (inbox === undefined) {
      launch(uuid, load(uuid), clock.currentTimeMillisUnsafe(), Inbox.make([trigger]), services)
    } else if (inbox.triggers.length >= maxInbox) {
      return Effect.fail(new SagaOverloaded({ limit: "inbox", value: maxInbox }))
    } else Inbox.offer(inbox, trigger)
    return Deferred.await(trigger.done)
  }

  return {
    start: (execution, until, caller) =>
      Effect.suspend((): Effect.Effect<SagaExecution, RunError | SagaOverloaded> => {
        if (pending.size + starts.length >= maxPending) {
          return Effect.fail(new SagaOverloaded({ limit: "maxPending", value: maxPending }))
        }
        if (active.size < maxRunning) return startNow(execution, until, caller)
        const turn = Deferred.makeUnsafe<void>()
        starts.push(turn)
        return Effect.flatMap(Deferred.await(turn), () => startNow(execution, until, caller))
      }),
    wait: (uuid, until) =>
      Effect.suspend(() => {
        // Waiting begins before looking: what is reached in between is not missed.
        const waiter = waitFor(uuid, until)
        const looked = Effect.map(load(uuid), (execution) => {
          if (isReached(execution, until)) Deferred.doneUnsafe(waiter.reached, Exit.succeed(execution))
        })
        return Effect.andThen(looked, waitOn(uuid, waiter))
      }),
    submit: (uuid, trigger, until) =>
      Effect.suspend(() => {
        if (until === undefined) return deliver(uuid, trigger)
        const waiter = waitFor(uuid, until)
        return Effect.andThen(
          Effect.onError(deliver(uuid, trigger), () => Effect.sync(() => leave(uuid, waiter))),
          waitOn(uuid, waiter)
        )
      }),
    resume: (execution, since) => {
      if (!active.has(execution.uuid)) launch(execution.uuid, Effect.succeed(execution), since, Inbox.make(), services)
    },
    stored: (execution) => {
      if (waiters.size > 0 && isReached(execution, "end")) settle(execution.uuid, Exit.succeed(execution))
    }
  }
})
