/**
 * The executions that this process works on: at most one runner for each, those who wait for them, and when to look at
 * them again. A runner lives only while there is something to do; a paused execution costs a timer and no fiber.
 */
import { Cause, Clock, Context, Deferred, Effect, Exit, Fiber, Schema, type Scope } from "effect"
import type { SagaDefinitionDrift } from "../definition/SagaRegistry.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { conflict } from "../ports/SagaExecutionRepository.ts"
import { SagaTransaction } from "../ports/SagaTransaction.ts"
import type { ExecutionLoop, LoopResult, StorageError } from "./ExecutionLoop.ts"
import * as Inbox from "./Inbox.ts"
import { afterCrash, type TakenUp, type TakeUp } from "./Takeover.ts"
import * as WakeUps from "./WakeUps.ts"

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

/** Why an input from outside was not taken. */
export type ControlError = RunError | SagaOverloaded

export interface ExecutionSupervisor {
  /** Starts a new execution, at once where there is room, and gives the effect that waits for it. */
  readonly startUnsafe: (
    execution: SagaExecution,
    until: Until,
    caller: Context.Context<never>
  ) => Effect.Effect<SagaExecution, RunError | SagaOverloaded>
  /** Whether it is what a caller waits for, as time stands. */
  readonly isReached: (execution: SagaExecution, until: Until) => boolean
  /** Waits for a stored execution that this or another process runs. */
  readonly wait: (uuid: string, until: Until) => Effect.Effect<SagaExecution, RunError>
  /**
   * Judges the input against the execution's newest state. Gives the execution that has stored its facts, or with
   * `until` the one that this has led to.
   */
  readonly submit: (uuid: string, input: Inbox.PendingInput, until?: Until) => Effect.Effect<SagaExecution, unknown>
  /** Tells those who wait for an execution what another process has made of it. */
  readonly look: (uuid: string) => Effect.Effect<void>
  readonly waitedFor: () => ReadonlyArray<string>
  /** Goes on with a stored execution. */
  readonly resume: (execution: SagaExecution, since: number) => void
  /** Executions that have a runner. */
  readonly running: () => ReadonlyArray<string>
  /** Stops the runner of an execution that somebody else has. Its callers wait for what they make of it (SPEC C7). */
  readonly lose: (uuid: string) => void
  /** How many more executions may run. */
  readonly room: () => number
  /** Called by the runner after each write. */
  readonly stored: (execution: SagaExecution) => void
}

/** What a caller waits for: the end, or also a forward pause. */
export type Until = "end" | "pause"

/** Triggers of one execution that wait for its runner. */
const maxInbox = 1_024

/** `patience`: how long a caller waits for the acknowledgements of a commit, in milliseconds. */
const isReached = ({ state }: SagaExecution, until: Until, clock: Clock.Clock, patience: number): boolean => {
  switch (state.status) {
    case "errored":
      return true
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

/** Since when an execution is looked at that was left in the middle: all that is not answered is sent again. */
const crashed = Number.NEGATIVE_INFINITY

/** However often it is taken up here: it is not there, it is another program's, or what is to be written never will be. */
const isFinal = (cause: Cause.Cause<RunError>): boolean =>
  cause.reasons.some(
    (reason) =>
      reason._tag === "Fail" &&
      (reason.error._tag !== "SagaExecutionRepositoryError" || reason.error.reason === "rejected")
  )

const isConflict = (cause: Cause.Cause<RunError>): boolean =>
  cause.reasons.some((reason) => reason._tag === "Fail" && reason.error._tag === "SagaExecutionConflict")

interface Waiter {
  readonly until: Until
  /** It has started the execution. */
  readonly starts: boolean
  readonly reached: Deferred.Deferred<SagaExecution, RunError>
}

/**
 * Without the transactions that the caller has open: `effect/sql` keeps their connections in the context under these keys. A
 * saga is no part of them and may outlive them.
 */
const withoutTransactions = (caller: Context.Context<never>): Context.Context<never> => {
  const kept = [...caller.mapUnsafe].filter(([key]) => !key.startsWith("effect/sql/SqlClient/Transaction"))
  return kept.length === caller.mapUnsafe.size ? caller : Context.makeUnsafe(new Map(kept))
}

export const make = Effect.fnUntraced(function* (options: {
  readonly drive: ExecutionLoop
  readonly load: (uuid: string) => Effect.Effect<SagaExecution, RunError>
  readonly takeUp: TakeUp
  /** After how many milliseconds an execution is taken up again whose runner has failed. */
  readonly recoveryInterval: number
  readonly maxRunning: number
  readonly maxPending: number
  /** How long a caller waits for the acknowledgements of a commit, in milliseconds. */
  readonly commitWait: number
  readonly services: Context.Context<never>
}): Effect.fn.Return<ExecutionSupervisor, never, Scope.Scope> {
  const { commitWait, drive, load, maxPending, maxRunning, recoveryInterval, services, takeUp } = options
  const clock = yield* Clock.Clock
  const reached = (execution: SagaExecution, until: Until): boolean => isReached(execution, until, clock, commitWait)
  const active = new Map<string, Inbox.Inbox>()
  const fibers = new Map<string, Fiber.Fiber<unknown, unknown>>()
  /** Executions that somebody else has and whose runner has not ended yet; whether they have come back since. */
  const lost = new Map<string, boolean>()
  const waiters = new Map<string, Array<Waiter>>()
  /** Executions of this process that are not over and that nobody runs: they wait for a reply or a time. */
  const waiting = new Set<string>()
  /** How many of those active are over: their runner is about to end. */
  let over = 0
  const starts: Array<Deferred.Deferred<void>> = []

  const wakeUps: WakeUps.WakeUps = yield* WakeUps.make({
    fire: ({ since, uuid }) =>
      Effect.sync(() => {
        // Somebody tries to start it again; it is looked at after that.
        if (active.has(uuid))
          return wakeUps.schedule({ uuid, at: clock.currentTimeMillisUnsafe() + recoveryInterval, since })
        goOn(uuid, loaded(uuid), since, Inbox.make())
      })
  })
  let closed = false
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      closed = true
      return Effect.andThen(Fiber.interruptAll([...fibers.values()]), Effect.sync(dismiss))
    })
  )

  /** Nothing is run here any more: whoever still waits is told so. */
  const dismiss = (): void => {
    for (const turn of starts.splice(0)) Deferred.doneUnsafe(turn, Effect.interrupt)
    for (const uuid of [...waiters.keys()]) settle(uuid, Exit.interrupt())
  }

  const settle = (
    uuid: string,
    exit: Exit.Exit<SagaExecution, RunError>,
    concerns: (waiter: Waiter) => boolean = ({ until }) => Exit.isFailure(exit) || reached(exit.value, until)
  ): void => {
    const present = waiters.get(uuid)
    if (present === undefined) return
    const told = present.filter(concerns)
    if (told.length === present.length) waiters.delete(uuid)
    else
      waiters.set(
        uuid,
        present.filter((waiter) => !told.includes(waiter))
      )
    // Whoever is told may go on at once, and wait again.
    for (const { reached } of told) Deferred.doneUnsafe(reached, exit)
  }

  const nextTurn = (): void => {
    const next = active.size < maxRunning ? starts.shift() : undefined
    if (next !== undefined) Deferred.doneUnsafe(next, Effect.void)
  }

  /** Whoever no longer waits leaves the line, or passes on the turn it has got. */
  const giveUp = (turn: Deferred.Deferred<void>): void => {
    const place = starts.indexOf(turn)
    if (place < 0) nextTurn()
    else starts.splice(place, 1)
  }

  const isFull = (): boolean => active.size - over + waiting.size + starts.length >= maxPending

  const overloaded = () => Effect.fail(new SagaOverloaded({ limit: "maxPending", value: maxPending }))

  const startInTurn = (
    execution: SagaExecution,
    until: Until,
    caller: Context.Context<never>
  ): Effect.Effect<SagaExecution, RunError | SagaOverloaded> => {
    const turn = Deferred.makeUnsafe<void>()
    let isTaken = false
    const take = () => {
      isTaken = true
      return startNow(execution, until, caller)
    }
    // Its end is seen to before it is in the line: an interruption in between would leave a place there that is nobody's.
    return Effect.onExit(
      Effect.suspend((): Effect.Effect<SagaExecution, RunError | SagaOverloaded> => {
        if (isFull()) return overloaded()
        if (active.size < maxRunning) return take()
        starts.push(turn)
        return Effect.flatMap(Deferred.await(turn), take)
      }),
      () => {
        if (!isTaken) giveUp(turn)
        return Effect.void
      }
    )
  }

  /** Forks the runner: the fiber belongs to this process and not to who asked for it. Gives its exit if it is over. */
  const launch = (
    uuid: string,
    run: Effect.Effect<LoopResult, RunError>,
    inbox: Inbox.Inbox,
    context: Context.Context<never>
  ): Exit.Exit<LoopResult, RunError> | undefined => {
    if (closed) {
      const exit = Exit.interrupt()
      Inbox.abandon(inbox, exit)
      return exit
    }
    active.set(uuid, inbox)
    const fiber = Effect.runForkWith(context)(run)
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) {
      ended(uuid, inbox, exit)
      return exit
    }
    fibers.set(uuid, fiber)
    fiber.addObserver((exit) => {
      fibers.delete(uuid)
      ended(uuid, inbox, exit)
    })
    // The end of the process may be what the first thing that it did has brought about.
    if (closed) fiber.interruptUnsafe()
    return undefined
  }

  /** What it is gone on with: where nobody else is at work on it, a local step that is stored as running was left half done. */
  const loaded = (uuid: string): Effect.Effect<TakenUp, RunError> =>
    Effect.map(takeUp(load(uuid)), ({ elsewhere, execution }) => ({
      execution: elsewhere === undefined ? afterCrash(execution, clock.currentTimeMillisUnsafe()) : execution,
      elsewhere
    }))

  const goOn = (uuid: string, takenUp: Effect.Effect<TakenUp, RunError>, since: number, inbox: Inbox.Inbox): void => {
    wakeUps.cancel(uuid)
    waiting.delete(uuid)
    launch(
      uuid,
      Effect.flatMap(takenUp, ({ elsewhere, execution }) => drive(execution, since, inbox, elsewhere)),
      inbox,
      services
    )
  }

  /** Whoever is told may come back at once, so they are told last, and what they start is not taken for this runner. */
  const ended = (uuid: string, inbox: Inbox.Inbox, exit: Exit.Exit<LoopResult, RunError>): void => {
    active.delete(uuid)
    if (inbox.isOver) over--
    const isBack = lost.size === 0 ? undefined : lost.get(uuid)
    if (isBack !== undefined) lost.delete(uuid)
    if (isBack === true || (isBack === false && Exit.isFailure(exit))) handOver(uuid, inbox, isBack)
    else if (Exit.isFailure(exit)) failed(uuid, inbox, exit.cause)
    else {
      const { elsewhere, execution, wakeAt } = exit.value
      const now = clock.currentTimeMillisUnsafe()
      if (inbox.inputs.length > 0) goOn(uuid, Effect.succeed(exit.value), now, Inbox.make(inbox.inputs))
      else {
        // What is over may still have to be told to others.
        const isOver = execution.status === "finished" || execution.status === "errored"
        if (elsewhere !== undefined || (isOver && wakeAt === Number.POSITIVE_INFINITY)) waiting.delete(uuid)
        else waiting.add(uuid)
        if (wakeAt !== Number.POSITIVE_INFINITY) wakeUps.schedule({ uuid, at: wakeAt, since: now })
        settle(uuid, Exit.succeed(execution))
      }
    }
    nextTurn()
  }

  /** What it was asked for meanwhile is asked again of what somebody else has made of it. */
  const handOver = (uuid: string, inbox: Inbox.Inbox, isBack: boolean): void => {
    waiting.delete(uuid)
    const inputs = [...inbox.judged.map(({ input }) => input), ...inbox.inputs]
    if (!isBack && inputs.length === 0) return
    const since = isBack ? crashed : clock.currentTimeMillisUnsafe()
    goOn(uuid, loaded(uuid), since, Inbox.make(inputs))
  }

  const failed = (uuid: string, inbox: Inbox.Inbox, cause: Cause.Cause<RunError>): void => {
    const exit = Exit.failCause(cause)
    const now = clock.currentTimeMillisUnsafe()
    if (Cause.hasDies(cause)) Effect.runForkWith(services)(Effect.logError("A saga runner died", { uuid }, cause))
    if (isConflict(cause)) {
      // It exists already, and what came for it is not for the one that could not start.
      if (inbox.inputs.length > 0) goOn(uuid, loaded(uuid), now, Inbox.make(inbox.inputs))
      return settle(uuid, exit, ({ starts }) => starts)
    }
    if (isFinal(cause)) waiting.delete(uuid)
    else {
      // The store was down for longer than a runner tries, or there is a bug: what is stored is this process's to go on with.
      waiting.add(uuid)
      wakeUps.schedule({ uuid, at: now + recoveryInterval, since: crashed })
    }
    settle(uuid, exit)
    Inbox.abandon(inbox, exit)
  }

  // The services of the steps win over those of a caller; what only the caller has (its span, its log annotations)
  // goes along. Callers mostly share one context, so the last merge is kept.
  let merged = { caller: services, all: services }
  const contextFor = (caller: Context.Context<never>): Context.Context<never> => {
    if (merged.caller !== caller) merged = { caller, all: Context.merge(withoutTransactions(caller), services) }
    return merged.all
  }

  const waitFor = (uuid: string, until: Until, starts = false): Waiter => {
    const waiter: Waiter = { until, starts, reached: Deferred.makeUnsafe() }
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
    Effect.onInterrupt(Deferred.await(waiter.reached), () => Effect.sync(() => leave(uuid, waiter)))

  /** Waits from before something is begun: what this brings is not missed. */
  const waitWhile = <E>(uuid: string, until: Until, begin: () => Effect.Effect<unknown, E>) =>
    Effect.suspend(() => {
      let waiter: Waiter | undefined
      // Its end is seen to before it waits: an interruption in between would leave one who waits for ever.
      return Effect.onError(
        Effect.suspend(() => {
          const mine = waitFor(uuid, until)
          waiter = mine
          return Effect.andThen(begin(), Deferred.await(mine.reached))
        }),
        () => Effect.sync(() => waiter && leave(uuid, waiter))
      )
    })

  const startNow = (
    execution: SagaExecution,
    until: Until,
    caller: Context.Context<never>
  ): Effect.Effect<SagaExecution, RunError> => {
    const { uuid } = execution
    // A caller has named it, and it is under way here: there is one runner for each.
    if (active.has(uuid)) {
      nextTurn()
      return Effect.fail(conflict(execution, uuid))
    }
    const inbox = Inbox.make()
    const exit = launch(uuid, drive(execution, execution.state.updatedAt, inbox), inbox, contextFor(caller))
    // A saga of local steps has mostly run by now.
    if (exit !== undefined && Exit.isFailure(exit)) return Effect.failCause(exit.cause)
    return exit !== undefined && reached(exit.value.execution, until)
      ? Effect.succeed(exit.value.execution)
      : waitOn(uuid, waitFor(uuid, until, true))
  }

  const deliver = (uuid: string, input: Inbox.PendingInput): Effect.Effect<SagaExecution, unknown> => {
    const inbox = active.get(uuid)
    if (inbox === undefined) {
      goOn(uuid, loaded(uuid), clock.currentTimeMillisUnsafe(), Inbox.make([input]))
    } else if (inbox.inputs.length >= maxInbox) {
      return Effect.fail(new SagaOverloaded({ limit: "inbox", value: maxInbox }))
    } else Inbox.offer(inbox, input)
    // It has mostly been judged and stored by now.
    return input.done.effect ?? Deferred.await(input.done)
  }

  return {
    startUnsafe: (execution, until, caller) => {
      if (isFull()) return overloaded()
      // Whoever waits for this one may be a step, and its execution has a place already.
      return active.size < maxRunning || caller.mapUnsafe.has(SagaTransaction.key)
        ? startNow(execution, until, caller)
        : startInTurn(execution, until, caller)
    },
    isReached: reached,
    wait: (uuid, until) =>
      waitWhile(uuid, until, () => Effect.map(load(uuid), (execution) => settle(uuid, Exit.succeed(execution)))),
    look: (uuid) =>
      Effect.suspend(() =>
        waiters.has(uuid) && !active.has(uuid)
          ? Effect.ignore(Effect.map(load(uuid), (execution) => settle(uuid, Exit.succeed(execution))))
          : Effect.void
      ),
    waitedFor: () => [...waiters.keys()],
    submit: (uuid, input, until) =>
      until === undefined
        ? Effect.suspend(() => deliver(uuid, input))
        : waitWhile(uuid, until, () => deliver(uuid, input)),
    resume: (execution, since) => {
      const { uuid } = execution
      if (!active.has(uuid)) goOn(uuid, Effect.succeed({ execution, elsewhere: undefined }), since, Inbox.make())
      else if (lost.has(uuid)) lost.set(uuid, true)
    },
    running: () => [...active.keys()],
    lose: (uuid) => {
      const fiber = fibers.get(uuid)
      if (fiber === undefined || lost.has(uuid)) return
      lost.set(uuid, false)
      fiber.interruptUnsafe()
    },
    room: () => Math.min(maxRunning - active.size - starts.length, maxPending - active.size - waiting.size),
    stored: (execution) => {
      if (!reached(execution, "end")) return
      const inbox = active.get(execution.uuid)
      if (inbox !== undefined && !inbox.isOver) {
        inbox.isOver = true
        over++
      }
      if (waiters.size > 0) settle(execution.uuid, Exit.succeed(execution))
    }
  }
})
