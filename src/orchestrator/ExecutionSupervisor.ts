/**
 * The executions that this process works on: at most one runner for each. What follows from each event is decided in
 * `Slot`; here runners are launched and interrupted, and waiters are resumed. A runner lives only while there is something
 * to do; an execution that waits costs at most a wake-up, and no fiber.
 */
import { Cause, Clock, type Context, Deferred, Effect, Exit, Fiber, type Scope } from "effect"
import type { Refusal, SagaInput } from "../execution/rules/SagaInput.ts"
import { isParkedForward } from "../execution/rules/SagaState.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { ReleasingMap } from "../ports/ReleasingMap.ts"
import { conflict, type Held } from "../ports/SagaExecutionRepository.ts"
import { Admission } from "./Admission.ts"
import * as CallerContext from "./CallerContext.ts"
import type { LoopResult } from "./ExecutionLoop.ts"
import * as HandOn from "./HandOn.ts"
import * as Inbox from "./Inbox.ts"
import { KeptExecutions } from "./KeptExecutions.ts"
import * as Lookout from "./Lookout.ts"
import { SagaOverloaded } from "./Overloaded.ts"
import { urgencyOf } from "./RunnerQueue.ts"
import { isActive, type Moment, never, type Output, type RunError, reduce, type SlotEvent } from "./Slot.ts"
import { StepWaits } from "./StepWaits.ts"
import type { Options, Reached } from "./SupervisorOptions.ts"
import { afterCrash, type TakenUp } from "./Takeover.ts"
import { isReached, type Resolution, type Until, Waiters, type Wish } from "./Waiters.ts"
import * as WakeUps from "./WakeUps.ts"

export { SagaOverloaded } from "./Overloaded.ts"
export type { RunError } from "./Slot.ts"
export type { Options } from "./SupervisorOptions.ts"
export type { Until } from "./Waiters.ts"

/** Why an input from outside was not taken. */
export type ControlError = RunError | SagaOverloaded
type Inputs = ReadonlyArray<Inbox.PendingInput>

export interface ExecutionSupervisor {
  /** Starts a new execution, at once where there is room, and gives the effect that waits for it. */
  readonly startUnsafe: (
    execution: SagaExecution,
    until: Until,
    caller: Context.Context<never>
  ) => Effect.Effect<SagaExecution, RunError | SagaOverloaded>
  /** Whether a caller that waits for this is to be resumed, as time stands. */
  readonly isReached: (execution: SagaExecution, until: Until) => boolean
  /** Waits for a stored execution that this or another process runs. `begin` gives it; default: it is loaded. */
  readonly wait: (uuid: string, until: Until | Resolution, begin?: Reached) => Reached
  /**
   * Judges the input against the execution's newest state. Gives the execution that has stored its facts, or with
   * `until` the one that this has led to.
   */
  readonly submit: (
    uuid: string,
    input: SagaInput,
    until?: Until | "told"
  ) => Effect.Effect<SagaExecution, Refusal | ControlError>
  /** Loads an execution that is waited for, and resumes its waiters if another process has brought it that far. */
  readonly look: (uuid: string) => Effect.Effect<void>
  readonly waitedFor: () => ReadonlyArray<string>
  /** Looks at all executions that are waited for, those with news. */
  readonly lookAtAll: Effect.Effect<void>
  /** Goes on with an execution that recovery has claimed, and with the inputs that wait for it. `taken`: `Claimed.takenAt`. */
  readonly resume: (execution: SagaExecution, since: number, inputs: Inputs, taken?: number) => void
  /** Gives inputs from the stored inbox to the runner of their execution, if it has one. */
  readonly offer: (uuid: string, inputs: Inputs) => void
  /** Whether the execution has a runner. */
  readonly isRunning: (uuid: string) => boolean
  /** Executions that have a runner. */
  readonly running: () => ReadonlyArray<string>
  /** A claim is sent: gives the executions that this process has, as it knows them. */
  readonly claimBegins: () => ReadonlyArray<Held>
  /** The executions that the claim has brought are taken up, or it has failed. */
  readonly claimEnds: () => void
  /** There are no other instances: an execution that waits is looked at again without a claim. */
  readonly goAlone: () => void
  /** Ends the work on executions that are another instance's from now on, and waits until none of it runs. */
  readonly leave: (isGone: (uuid: string) => boolean) => Effect.Effect<void>
  /** Stops the runner of an execution that the claim has found with another instance. Its callers wait for that one (SPEC C7). */
  readonly lose: (uuid: string) => void
  /** How many more executions recovery may bring. */
  readonly room: () => number
  /** Calls back once, when there is room for a few. */
  readonly whenRoom: (tell: () => void) => void
  /** Runners are under way. */
  readonly isBusy: () => boolean
  /** There is no runner of the execution, and none has ended since the claim was sent. */
  readonly isIdle: (uuid: string, taken?: number) => boolean
  /**
   * Stops in good order (SPEC C7): nothing new begins; a step that is under way may end, and its result is stored, within
   * `shutdownGrace`; then it is interrupted.
   */
  readonly close: Effect.Effect<void>
  /** Called by the runner after each write. */
  readonly stored: (execution: SagaExecution) => void
  /** Called by a runner that holds facts while the store is away: whoever waits is told, and the runner goes on trying. */
  readonly away: (uuid: string, error: RunError) => void
}

/** Inputs of one execution that wait for its runner. */
const maxInbox = 1_024

/** The end of an execution is stored. One value for all of them. */
const over: SlotEvent = { _tag: "Over" }

export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<ExecutionSupervisor, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const supervisor = new Supervisor(options, clock)
  yield* supervisor.start()
  return supervisor
})

class Supervisor implements ExecutionSupervisor {
  private readonly options: Options
  private readonly clock: Clock.Clock
  /** Most events need no time: the clock is read when it is asked for. */
  private readonly moment: Omit<Moment, "isAlone"> & { isAlone: boolean }
  private readonly admission: Admission
  private readonly waiters: Waiters<RunError>
  private readonly lookout: Lookout.Lookout
  private readonly kept = new KeptExecutions()
  private readonly fibers = new ReleasingMap<string, Fiber.Fiber<LoopResult, RunError>>()
  private readonly stepWaits: StepWaits
  private wakeUps!: WakeUps.WakeUps
  private isClosed = false
  private readonly contextFor: (caller: Context.Context<never>) => Context.Context<never>

  constructor(options: Options, clock: Clock.Clock) {
    this.options = options
    this.clock = clock
    this.moment = {
      get now() {
        return clock.currentTimeMillisUnsafe()
      },
      recoveryInterval: options.recoveryInterval,
      isAlone: false
    }
    this.admission = new Admission(options)
    this.waiters = new Waiters(this.isReached, (uuid) => this.kept.forget(uuid))
    this.lookout = Lookout.make(options, this.waiters, (uuid) => isActive(this.admission.get(uuid)))
    this.stepWaits = new StepWaits(
      (uuid) => isActive(this.admission.get(uuid)),
      (uuid) => this.admission.leave(uuid)?.()
    )
    this.contextFor = CallerContext.make(options.services)
  }

  start(): Effect.Effect<void, never, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      this.wakeUps = yield* WakeUps.make({
        longest: this.options.recoveryInterval,
        fire: ({ since, uuid }) => Effect.sync(() => this.on(uuid, { _tag: "Due", since }))
      })
      yield* this.admission.measured(this.options.service)
      yield* Effect.addFinalizer(() => this.close)
    })
  }

  readonly close: ExecutionSupervisor["close"] = Effect.suspend(() => {
    if (this.isClosed) return Effect.void
    this.isClosed = true
    const stop = Effect.suspend(() => {
      for (const { inbox } of this.active()) Inbox.stop(inbox)
      return this.options.grace.end(Fiber.awaitAll(this.fibers.values), this.interruptAll())
    })
    const dismiss = Effect.sync(() => {
      for (const fiber of this.fibers.values) fiber.interruptUnsafe()
      this.admission.dismiss()
      this.waiters.dismiss()
    })
    // A runner that is just being launched may have brought the stop about: it has a fiber after a yield.
    return Effect.yieldNow.pipe(Effect.andThen(stop), Effect.andThen(dismiss))
  })

  /** Interrupts the steps. A runner that holds results is not interrupted, except by a crash: it stores them and ends. */
  private interruptAll(isGone: (uuid: string) => boolean = () => true): Effect.Effect<void> {
    return Effect.suspend(() => {
      for (const { inbox, uuid } of this.active().filter(({ uuid }) => isGone(uuid)))
        if (!Inbox.end(inbox) || this.options.grace.isCut) this.fibers.get(uuid)?.interruptUnsafe()
      return Fiber.awaitAll(this.fibers.entries.flatMap(([uuid, fiber]) => (isGone(uuid) ? fiber : [])))
    })
  }

  private active(): ReadonlyArray<{ readonly uuid: string; readonly inbox: Inbox.Inbox }> {
    return this.admission.running.flatMap((uuid) => {
      const slot = this.admission.get(uuid)
      return isActive(slot) ? [{ uuid, inbox: slot.inbox }] : []
    })
  }

  // ---- events --------------------------------------------------------------------------------------------------

  private on(uuid: string, event: SlotEvent, before = this.admission.get(uuid)): void {
    const { outputs, slot } = reduce(before, event, this.moment)
    // The slot stands before anything is done: a waiter that is resumed may start the same uuid at once.
    if (slot !== before) this.admission.set(uuid, slot, before)
    if (slot === undefined) this.wakeUps.cancel(uuid)
    for (const output of outputs) this.perform(uuid, output)
  }

  private perform(uuid: string, output: Output): void {
    switch (output._tag) {
      case "Run": {
        const { from, hasDied, inbox, since } = output
        this.wakeUps.cancel(uuid)
        const takenUp = from ?? this.kept.takenUp(uuid, inbox)
        const run = Effect.flatMap(takenUp === undefined ? this.loaded(uuid) : Effect.succeed(takenUp), (found) =>
          found.elsewhere === undefined
            ? this.options.drive(found.execution, since, inbox, { ...found, hasDied })
            : Effect.succeed({ ...found, wakeAt: Number.POSITIVE_INFINITY })
        )
        const launch = () => void this.launch(uuid, run, inbox, this.options.services)
        if (this.admission.hasRoom || this.isClosed || this.stepWaits.has(uuid)) return launch()
        return this.admission.await(uuid, urgencyOf(from, inbox), launch)
      }
      case "Offer":
        Inbox.offer(output.inbox, output.input)
        return this.admission.hurry(uuid, urgencyOf(undefined, output.inbox))
      case "Interrupt":
      case "Stop":
        if (this.admission.leave(uuid) !== undefined) return this.on(uuid, { _tag: "Ended", exit: Exit.interrupt() })
        return output._tag === "Stop" ? Inbox.stop(output.inbox) : this.fibers.get(uuid)?.interruptUnsafe()
      case "Schedule":
        // A waiting execution is kept in no memory: the instance whose claim comes first goes on with it.
        if (this.admission.get(uuid) === undefined) return this.options.dueAt(output.at)
        return this.wakeUps.schedule({ uuid, at: output.at, since: output.since })
      case "Tell":
        return this.waiters.tell(uuid, output.result.execution, true)
      case "Fail":
        return this.waiters.fail(uuid, output.exit, output.whom)
      case "SetAside":
        return this.fork(this.options.setAside(uuid, output.cause))
      case "HandOn":
        return Inbox.handOn(output.inbox, output.execution)
      case "Abandon":
        return Inbox.abandon(output.inbox, output.exit)
    }
  }

  /**
   * Forks a runner: the fiber belongs to this process and not to the caller. Gives its exit if it has ended by now. `onEnd` is
   * called before that has consequences: others may bring the execution to its end in the same moment.
   */
  private launch(
    uuid: string,
    run: Effect.Effect<LoopResult, RunError>,
    inbox: Inbox.Inbox,
    context: Context.Context<never>,
    onEnd?: (exit: Exit.Exit<LoopResult, RunError>) => void
  ): Exit.Exit<LoopResult, RunError> | undefined {
    if (this.isClosed) {
      this.admission.set(uuid, undefined)
      Inbox.abandon(inbox, Exit.interrupt())
      return Exit.interrupt()
    }
    this.admission.begun()
    const fiber = Effect.runForkWith(context)(run)
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) {
      onEnd?.(exit)
      this.ended(uuid, exit)
      return exit
    }
    this.fibers.set(uuid, fiber)
    fiber.addObserver((exit) => {
      this.fibers.delete(uuid)
      this.ended(uuid, exit)
    })
    return undefined
  }

  private ended(uuid: string, exit: Exit.Exit<LoopResult, RunError>): void {
    if (Exit.isFailure(exit) && Cause.hasDies(exit.cause)) {
      this.fork(Effect.logWarning("A saga runner died", { uuid }, exit.cause))
    }
    this.admission.gone(uuid, exit)
    this.kept.note(uuid, exit, this.waiters.has(uuid))
    this.on(uuid, { _tag: "Ended", exit })
    this.admission.next()
  }

  private readonly fork = (work: Effect.Effect<void>) => void Effect.runForkWith(this.options.services)(work)

  /** Loads an execution to go on with it. Where no other instance works on it, a step stored as running was left half done. */
  private loaded(uuid: string): Effect.Effect<TakenUp, RunError> {
    const { load, takeUp } = this.options
    return Effect.map(takeUp(load(uuid)), ({ elsewhere, execution, isHeld }) => ({
      execution: elsewhere === undefined ? afterCrash(execution, this.clock.currentTimeMillisUnsafe()) : execution,
      elsewhere,
      isHeld
    }))
  }

  // ---- starts --------------------------------------------------------------------------------------------------

  readonly startUnsafe: ExecutionSupervisor["startUnsafe"] = (execution, until, caller) => {
    const { admission } = this
    if (admission.isFull) return this.overloaded()
    if (this.stepWaits.isStep(caller)) {
      return this.stepWaits.waitInStep(execution.uuid, () => this.startNow(execution, until, caller))
    }
    return admission.hasRoom
      ? this.startNow(execution, until, caller)
      : admission.inTurn(() => this.startNow(execution, until, caller), this.overloaded)
  }

  private readonly overloaded = (limit: SagaOverloaded["limit"] = "maxPending", value = this.options.maxPending) =>
    Effect.fail(new SagaOverloaded({ limit, value }))

  private startNow(
    execution: SagaExecution,
    until: Until,
    caller: Context.Context<never>
  ): Effect.Effect<SagaExecution, RunError> {
    const { uuid } = execution
    const before = this.admission.get(uuid)
    // The caller has named an execution that is under way here: there is one runner for each.
    if (isActive(before)) {
      this.admission.next()
      return Effect.fail(conflict(execution, uuid))
    }
    const inbox = Inbox.make()
    this.on(uuid, { _tag: "Start", inbox }, before)
    const run = this.options.drive(execution, execution.state.updatedAt, inbox)
    let waiting: Effect.Effect<SagaExecution, RunError> | undefined
    const exit = this.launch(uuid, run, inbox, this.contextFor(caller), (exit) => {
      // The caller waits before anybody else can go on with the execution: its end would be missed.
      if (Exit.isSuccess(exit) && !this.isReached(exit.value.execution, until))
        waiting = this.waiters.await(uuid, until, true)
    })
    if (waiting !== undefined) return waiting
    if (exit === undefined) return this.waiters.await(uuid, until, true)
    // A saga of local steps has mostly run by now.
    return Exit.isSuccess(exit) ? Effect.succeed(exit.value.execution) : Effect.failCause(exit.cause)
  }

  // ---- doors ---------------------------------------------------------------------------------------------------

  readonly isReached = (execution: SagaExecution, until: Wish, rests?: boolean): boolean =>
    isReached(execution, until, this.clock, this.options.commitWait, rests)

  readonly wait: ExecutionSupervisor["wait"] = (uuid, until, begin = this.options.load(uuid)) =>
    this.stepWaits.wait(uuid, () =>
      this.waiters.awaitWhile(uuid, until, () =>
        Effect.map(begin, (execution) => this.waiters.tell(uuid, execution, false))
      )
    )

  readonly look: ExecutionSupervisor["look"] = (uuid) => this.lookout.look(uuid)
  readonly lookAtAll: ExecutionSupervisor["lookAtAll"] = Effect.suspend(() => this.lookout.lookAtAll)

  readonly submit: ExecutionSupervisor["submit"] = (uuid, input, until) =>
    this.stepWaits.wait(uuid, () =>
      until === undefined
        ? this.deliver(uuid, input)
        : this.waiters.awaitWhile(uuid, until, () => this.deliver(uuid, input))
    )

  private deliver(uuid: string, input: SagaInput): Effect.Effect<SagaExecution, Refusal | ControlError> {
    const slot = this.admission.get(uuid)
    if (isActive(slot) && slot.inbox.inputs.length >= maxInbox) return this.overloaded("inbox", maxInbox)
    if (!isActive(slot) && this.admission.isQueueFull) return this.overloaded()
    const { isMine } = this.options.membership
    const otherwise = (error: Inbox.Elsewhere | Refusal | RunError) =>
      HandOn.otherwise(this.handingOn, uuid, input, error)
    if (!isMine(uuid)) {
      const elsewhere = Effect.map(this.options.load(uuid), (execution) => new Inbox.Elsewhere(execution))
      return Effect.catch(Effect.flatMap(elsewhere, Effect.fail), otherwise)
    }
    const pending = Inbox.pending(input)
    this.on(uuid, { _tag: "Input", input: pending })
    // The input has mostly been judged and stored by now.
    return Effect.catch(pending.done.effect ?? Deferred.await(pending.done), otherwise)
  }

  private get handingOn(): HandOn.HandOn {
    const { load, membership, policy, repository } = this.options
    return {
      load,
      membership,
      policy,
      repository,
      awaitOutcome: (uuid, id, begin) =>
        this.waiters.awaitWhile(uuid, { outcomeOf: id }, () =>
          Effect.tap(begin, () => {
            // The owner may have given the execution back by now: then it is claimed here, or by another.
            this.options.claim()
            return this.look(uuid)
          })
        )
    }
  }

  readonly resume: ExecutionSupervisor["resume"] = (execution, since, inputs, taken) => {
    const { uuid } = execution
    if (this.isRunning(uuid)) return this.offer(uuid, inputs)
    const claimed = this.admission.claimed(uuid, taken)
    // The runner has stored it as waiting, with no owner: a later claim brings it.
    if (claimed === "left") return
    // Begun again from an older state, a step would run twice (SPEC I28).
    const takenUp = claimed === "unknown" ? undefined : { execution, elsewhere: undefined, isHeld: true }
    const from = takenUp === undefined && since === never ? this.moment.now : since
    this.on(uuid, { _tag: "Claimed", takenUp, since: from, inputs })
  }

  readonly offer: ExecutionSupervisor["offer"] = (uuid, inputs) => {
    const slot = this.admission.get(uuid)
    if (slot?._tag === "Running") Inbox.offerStored(slot.inbox, inputs)
  }

  readonly isRunning = (uuid: string): boolean => this.admission.get(uuid)?._tag === "Running"
  readonly goAlone = (): void => {
    this.moment.isAlone = true
  }
  readonly leave: ExecutionSupervisor["leave"] = (isGone) =>
    Effect.suspend(() => {
      const gone = this.admission.uuids.filter(isGone)
      const fibers = gone.flatMap((uuid) => this.fibers.get(uuid) ?? [])
      for (const uuid of gone) this.on(uuid, { _tag: "Left" })
      return this.options.grace.ofPart.end(Fiber.awaitAll(fibers), this.interruptAll(isGone))
    })

  readonly lose: ExecutionSupervisor["lose"] = (uuid) => {
    if (!this.admission.isNewer(uuid)) this.on(uuid, { _tag: "Lost" })
  }
  readonly stored: ExecutionSupervisor["stored"] = (execution) => {
    const { uuid } = execution
    if (!this.waiters.has(uuid)) return
    const isEnd = this.isReached(execution, "end")
    // A caller that is resumed may start the next one at once: this one no longer holds a place.
    if (isEnd && !isParkedForward(execution.state)) this.on(uuid, over)
    if (isEnd || this.waiters.hasOutcomes) this.waiters.tell(uuid, execution, false)
  }

  readonly away: ExecutionSupervisor["away"] = (uuid, error) => {
    const slot = this.admission.get(uuid)
    if (isActive(slot)) Inbox.abandon(slot.inbox, Exit.fail(error))
    this.waiters.fail(uuid, Exit.fail(error))
  }

  readonly waitedFor = (): ReadonlyArray<string> => this.waiters.uuids
  readonly running = (): ReadonlyArray<string> => this.admission.running
  readonly claimBegins = (): ReadonlyArray<Held> => this.admission.claimBegins()
  readonly claimEnds = (): void => this.admission.claimEnds()
  readonly room = (): number => (this.isClosed ? 0 : this.admission.room)
  readonly whenRoom = (tell: () => void): void => this.admission.whenRoom(tell)
  readonly isBusy = (): boolean => this.admission.isBusy
  readonly isIdle: ExecutionSupervisor["isIdle"] = (uuid, taken) => this.admission.isIdle(uuid, taken)
}
