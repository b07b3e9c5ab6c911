/**
 * The composition of the folds: plan, store, act, repeat. A loop takes one execution as far as it can go by itself: to its
 * end, or to where it waits for a reply or a time. What a turn does is decided in `LoopPlan`; the result of a step and the
 * intent of the next one are one write.
 */
import { Cause, Clock, Context, type Duration, Effect, type Fiber, References, Result } from "effect"
import type { Hooks } from "../definition/TransactionHooks.ts"
import type { Instruction } from "../execution/rules/Instruction.ts"
import type { SagaEvent } from "../execution/rules/SagaEvent.ts"
import type { Policy } from "../execution/rules/SagaInput.ts"
import type { Draft, Sent } from "../execution/rules/StepTree.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Broker from "../ports/Broker.ts"
import { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import type { Membership } from "../ports/SagaOwnership.ts"
import * as SteadyClock from "../ports/SteadyClock.ts"
import { SagaTracing } from "../ports/Tracing.ts"
import { TransactionCommitter } from "../ports/TransactionCommitter.ts"
import * as DroppedServices from "./DroppedServices.ts"
import * as ExecutionTrace from "./ExecutionTrace.ts"
import * as Inbox from "./Inbox.ts"
import { InFlightWork } from "./InFlightWork.ts"
import { type Act, gainsClosing, hintOf, hintsOf, plan } from "./LoopPlan.ts"
import type { Presence } from "./Presence.ts"
import { gain, gainOfWork, judgeInputs, type Observer, type Progress, postpone, type Work } from "./Progress.ts"
import * as Record from "./RecordFacts.ts"
import type { StorageError, StoreError } from "./RunError.ts"
import { SagaConfig } from "./SagaConfig.ts"
import * as AskParticipants from "./steps/AskParticipants.ts"
import type { StartedSagas } from "./steps/OtherSagas.ts"
import * as PerformStep from "./steps/PerformStep.ts"
import * as Takeover from "./Takeover.ts"
import * as TransactionalStep from "./TransactionalStep.ts"

export type { StorageError } from "./RunError.ts"

export interface LoopResult {
  readonly execution: SagaExecution
  /** When to look again although nothing happened, in milliseconds since the epoch; `Infinity`: never. */
  readonly wakeAt: number
  /** The other instance that goes on with the execution; undefined: this one has it. */
  readonly elsewhere: string | undefined
  /** The execution was given back by itself, not with a write: what was read at the same revision may be from before. */
  readonly isGivenBack?: true
}

/**
 * Takes an execution as far as it goes. `since`: when it was looked at last (`-Infinity` after a restart: everything that is
 * not answered is sent again). An execution that this instance holds is given back at the end.
 * A conflict on the first write fails; on a later one the newer state is loaded and the work goes on from there, unless
 * another instance owns the execution: then the loop ends, and its inputs are handed on. `hasDied`: the loop before this one, maybe
 * of code of the author that has ended its fiber; that code gets a fiber of its own now.
 */
export type ExecutionLoop = (
  execution: SagaExecution,
  since: number,
  inbox: Inbox.Inbox,
  takenUp?: Pick<Takeover.TakenUp, "isHeld" | "isOld"> & { readonly hasDied?: boolean }
) => Effect.Effect<LoopResult, StorageError>

/** How often a loop whose lease is over looks whether it was renewed. */
const untilRenewed: Duration.Input = "200 millis"

/** One run of the loop. */
interface Run extends Progress {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly clock: Clock.Clock
  /** Of the work that is performed in place, one piece after the other: with the state as it is then. */
  readonly scope: Draft<PerformStep.ExecutionScope> & { readonly fiberContext: Context.Context<never> }
  /** Goes on after such a piece. */
  readonly performed: (facts: ReadonlyArray<SagaEvent>) => Effect.Effect<LoopResult, StorageError>
  inFlight: InFlightWork<StoreError> | undefined
}

export const make = Effect.fnUntraced(function* (
  /** Called after each write with the execution before and after it. */
  onStored: (written: SagaExecution, stored: SagaExecution) => void,
  /** Of this instance. Undefined: a runner by hand, whose executions nobody takes over. */
  membership: Membership | undefined,
  /** Of the own service, where it takes part in the two-phase commit. */
  hooks: Hooks | undefined,
  presence: Pick<Presence, "attempt" | "since">,
  sagas: StartedSagas,
  /** Called when the store has been away for long; see `RecordFacts`. */
  onAway?: (uuid: string, error: StoreError) => void
): Effect.fn.Return<ExecutionLoop, never, SagaExecutionRepository | Broker.Broker | TransactionCommitter | SagaConfig> {
  const repository = yield* SagaExecutionRepository
  const broker = yield* Broker.Broker
  const committer = yield* TransactionCommitter
  const tracing = yield* SagaTracing
  const { recoveryInterval, relatedServices, schedule, service } = yield* SagaConfig
  const policy: Policy = { schedule, ...(relatedServices !== undefined && { relatedServices }) }
  const record = Record.make({
    repository,
    broker,
    membership,
    onStored,
    onAway,
    takeUp: Takeover.make(membership, schedule)
  })
  const hints = hintsOf(membership)
  const maxBytes = () => broker.maxBytes?.()
  const refusal = ({ command, message }: Sent) => broker.refusal?.(Broker.toMessage(message, command))

  const perform = <A, E>(
    scope: PerformStep.ExecutionScope,
    instruction: Instruction,
    then: (facts: ReadonlyArray<SagaEvent>) => Effect.Effect<A, E>
  ): Effect.Effect<A, E> => {
    switch (instruction._tag) {
      case "Resend": {
        const { command, message } = instruction.sent
        return Effect.flatMap(Broker.orWarn(Broker.publishAgain(broker, message, command), message), () => then([]))
      }
      case "Reserve":
      case "Commit":
      case "Reject":
        return Effect.flatMap(AskParticipants.ask(scope, committer, hooks, instruction), then)
      default:
        return PerformStep.perform(scope, instruction, then)
    }
  }

  /** Plan, store, act, repeat. A write that fails ends it; `self` keeps how far it has come. */
  const turn = (self: Run, now: number): Effect.Effect<LoopResult, StorageError> => {
    if (isLeft(self)) return takeAgain(self, now)
    self.presentSince = presence.since(now)
    if (self.inbox.inputs.length > 0 || self.since < self.presentSince) self.attemptSince = presence.attempt(now)
    if (self.inbox.inputs.length > 0) {
      DroppedServices.count(self.inbox.inputs, self.execution.state, self.fiber)
      judgeInputs(self, now, policy)
      if (self.isOld === true && self.inbox.judged.some(({ refused }) => Result.isFailure(refused)))
        return judgeAgain(self)
    }
    if (self.inbox.stop === "asked") self.inbox.stop = "seen"
    const { execution, next } = plan(self, self.inFlight, now, schedule, hints)
    self.execution = execution
    self.since = now
    if (next._tag !== "Store") return answer(self, next, now, false)
    const { hint, then, wantsPlace } = next
    if (wantsPlace && membership?.isAlive(now, execution.uuid) === true) return regain(self, membership.owner)
    self.hint = hint
    // The facts are kept until the lease is renewed, as while the store is away. A new execution is stored: no other has it.
    const isOver = membership?.isAlive(now, execution.uuid) === false
    if (execution.revision > 0 && isOver) return Effect.fail(Record.notRenewed)
    self.inbox.isWriting = true
    self.inbox.isLeaving = hint.owner === undefined
    const { store } = repository
    const storing = store.now?.(execution, hint, self.fiber) ?? store(execution, hint)
    return storing instanceof SagaExecution
      ? goOn(self, storing, then, now, isOver)
      : Effect.flatMap(storing, (stored) => goOn(self, stored, then, now, isOver))
  }

  /** Goes on after a write. `isOver`: whose lease was over when it was stored may have lost it at once. */
  const goOn = (self: Run, stored: SagaExecution, then: Act, now: number, isOver: boolean) => {
    self.inbox.isWriting = false
    const announced = record.recorded(self, stored)
    self.isUnsure = isOver
    return announced === undefined
      ? answer(self, then, now, true)
      : Effect.flatMap(announced, () => answer(self, then, now, true))
  }

  /**
   * Asks for a place that is free: then the wish and the step that wants the place are one write. Otherwise the execution waits for
   * its admission.
   */
  const regain = (self: Run, owner: string): Effect.Effect<LoopResult, StorageError> => {
    const { creation, place, revision, uuid } = self.execution.state
    const { key, priority, queue, since } = place!
    const wanted = { uuid, queue, key, priority, since, fingerprint: creation.fingerprint, revision, owner }
    const regained = repository.queues?.regain(wanted) ?? Effect.succeed(false)
    return Effect.flatMap(
      Effect.orElseSucceed(regained, () => false),
      (isRegained) => {
        if (isRegained) self.inbox.inputs.push(Inbox.pending({ _tag: "Admit", since }))
        return turn(self, self.clock.currentTimeMillisUnsafe())
      }
    )
  }

  /**
   * Completes the inputs whose facts are stored; those of the stored inbox only with a write, which takes them out of it. A
   * sender may come back with another input at once: that is judged first.
   */
  const answer = (self: Run, act: Act, now: number, isWritten: boolean): Effect.Effect<LoopResult, StorageError> => {
    const { inbox } = self
    if (self.trace !== undefined && (isWritten || isActive(act))) self.trace.decided()
    if (inbox.judged.length > 0 && self.execution.state.unstored === 0) {
      if (isWritten || Inbox.reads(inbox).length === 0) {
        Inbox.complete(inbox.judged, self.execution)
        inbox.judged = []
      }
    }
    if (inbox.inputs.length === 0 && !isLeft(self)) return follow(self, act, now, isWritten && repository.durable)
    postpone(self, act.work)
    return Effect.suspend(() => turn(self, self.clock.currentTimeMillisUnsafe()))
  }

  /** `isLater`: time has passed since `now`. */
  const follow = (self: Run, act: Act, now: number, isLater: boolean): Effect.Effect<LoopResult, StorageError> => {
    // The process has stopped while the intent of this work was being stored.
    if (self.inbox.stop === "over" && act._tag !== "Done")
      return Effect.succeed({ execution: self.execution, wakeAt: now, elsewhere: undefined })
    if (act.work.length > 0 && membership?.isAlive(isLater ? undefined : now, self.execution.uuid) === false)
      return untilAlive(self, act.work, now)
    if (self.unbegun !== undefined) for (const { path } of act.work) self.unbegun.delete(path)
    switch (act._tag) {
      case "Done":
        if (self.unreadable !== undefined && self.inbox.stop === undefined) return Effect.fail(self.unreadable)
        return self.isHeld && self.inbox.stop === undefined && !self.execution.settled
          ? giveBack(self, act.wakeAt)
          : Effect.succeed({ execution: self.execution, wakeAt: act.wakeAt, elsewhere: undefined })
      case "Perform":
        self.scope.state = self.execution.state
        return perform(self.scope, act.work[0], self.performed)
      case "Await":
        return Effect.flatMap(startAndAwait(self, act.work, act.wakeAt), (now) => turn(self, now))
    }
  }

  /** Keeps the execution until what is stored says that nobody has it; goes on where there is something to do first. */
  const giveBack = (self: Run, wakeAt: number): Effect.Effect<LoopResult, StorageError> =>
    Effect.flatMap(record.giveBack(self, wakeAt), (isGiven) => {
      self.isHeld = !isGiven
      return isGiven
        ? Effect.succeed({ execution: self.execution, wakeAt, elsewhere: undefined, isGivenBack: true })
        : Effect.flatMap(record.reload(self, observe(self)), () => next(self))
    })

  /** The lease is over: nothing begins before it is renewed. By then another instance may have taken the execution. */
  const untilAlive = (self: Run, work: Work, now: number): Effect.Effect<LoopResult, StorageError> => {
    postpone(self, work)
    const mayGoOn = () => membership?.isAlive(undefined, self.execution.uuid) !== false || self.inbox.stop !== undefined
    const wait: Effect.Effect<void> = Effect.suspend(() =>
      mayGoOn() ? Effect.void : Effect.andThen(Effect.sleep(untilRenewed), wait)
    )
    return Effect.flatMap(wait, () => turn(self, Math.max(now, self.clock.currentTimeMillisUnsafe())))
  }

  /** Another instance may own the execution by now. A process that stops begins nothing, so it does not ask. */
  const isLeft = (self: Run): boolean =>
    (self.isUnsure || (self.isHeld && record.isFormerly(self))) &&
    self.inbox.stop === undefined &&
    self.inFlight?.isJoint !== true

  /** Takes the execution again before anything begins or is written. What is to begin is not half done. */
  const takeAgain = (self: Run, now: number): Effect.Effect<LoopResult, StorageError> => {
    // Asked before there is a lease, the answer would not stand.
    if (membership?.isAlive(now, self.execution.uuid) === false) return untilAlive(self, [], now)
    if (self.execution.state.unstored === 0) {
      const planned = plan(self, self.inFlight, now, schedule, hints).next
      postpone(self, planned._tag === "Store" ? planned.then.work : planned.work)
    }
    return Effect.flatMap(record.claimAgain(self, observe(self)), () => next(self))
  }

  /** What is refused by a state that was read earlier may fit the newer one. */
  const judgeAgain = (self: Run): Effect.Effect<LoopResult, StorageError> =>
    Effect.flatMap(record.refresh(self, observe(self)), () => next(self))

  const performed = (self: Run, facts: ReadonlyArray<SagaEvent>): Effect.Effect<LoopResult, StorageError> => {
    // The context of a callback is not for the work that follows.
    self.fiber.setContext(self.scope.fiberContext)
    gain(self, facts)
    // The last fact says what time it is; without one the clock does.
    return turn(self, facts.at(-1)?.at ?? self.clock.currentTimeMillisUnsafe())
  }

  /** Starts the work, and waits for the first piece that ends, for an input, or until a time. Gives the time. */
  const startAndAwait = Effect.fnUntraced(function* (self: Run, work: Work, until: number) {
    self.inFlight ??= yield* InFlightWork.make<StoreError>()
    const { inFlight } = self
    const scope = { ...self.scope, state: self.execution.state, fiber: undefined }
    const inside = { ...scope, fiberContext: undefined }
    for (const instruction of work) {
      yield* TransactionalStep.isTransactional(instruction)
        ? inFlight.startJoint(instruction, (join) =>
            TransactionalStep.perform(
              repository,
              (transaction) => perform({ ...inside, transaction }, instruction, Effect.succeed),
              join,
              () => {
                self.hint = hintOf(self, undefined, gainsClosing(self.execution.state), hints)
                return self.hint
              },
              self.failedCommits > 0
            )
          )
        : inFlight.start(instruction, perform(scope, instruction, Effect.succeed))
    }
    const finished = yield* inFlight.takeFinished(self.inbox, until, (at) =>
      SteadyClock.sleepUntil(self.clock, at, recoveryInterval)
    )
    const now = self.clock.currentTimeMillisUnsafe()
    if (finished.joint !== undefined) {
      const mayBegin =
        self.inbox.stop === undefined &&
        self.unreadable === undefined &&
        membership?.isAlive(now, self.execution.uuid) !== false
      yield* TransactionalStep.commit(self, finished, finished.joint, now, schedule, record, mayBegin)
      // The commit may have taken longer than the lease.
      return self.clock.currentTimeMillisUnsafe()
    }
    const facts = yield* Effect.result(finished.exit)
    if (Result.isSuccess(facts)) {
      gainOfWork(self, facts.success, inFlight.isJoint)
      return now
    }
    yield* record.notCommitted(self, self.execution, facts.failure)
    return self.clock.currentTimeMillisUnsafe()
  })

  const observe = (self: Run): Observer => ({
    isNamed: membership !== undefined,
    isRunning: (path) => self.inFlight?.isRunning(path) === true,
    policy
  })

  /** Runs turns until the loop ends; after a write that failed, from where that leads. */
  const run = (self: Run): Effect.Effect<LoopResult, StorageError> =>
    // `Effect.catch` would make two functions more for each execution.
    Effect.catchCause(turn(self, self.clock.currentTimeMillisUnsafe()), (cause) => {
      const found = Cause.findError(cause)
      if (Result.isFailure(found)) return Effect.failCause(found.failure)
      self.inbox.isWriting = false
      return Effect.flatMap(record.recover(self, found.success, observe(self)), () => next(self))
    })

  /** Goes on from what was loaded, unless another instance owns the execution. */
  const next = (self: Run): Effect.Effect<LoopResult, StorageError> => {
    const { elsewhere, execution, inbox } = self
    if (elsewhere === undefined) return run(self)
    if (membership === undefined) {
      // By hand there is nobody to hand them on to, and they bring nothing.
      judgeInputs(self, self.clock.currentTimeMillisUnsafe(), policy)
      Inbox.complete(inbox.judged, execution)
      inbox.judged = []
    }
    return Effect.succeed({ execution, wakeAt: Number.POSITIVE_INFINITY, elsewhere })
  }

  return (execution, since, inbox, { hasDied, isHeld, isOld = false } = { isHeld: false }) =>
    Effect.withFiber<LoopResult, StorageError>((fiber) => {
      const { definition } = execution
      if (definition === undefined) {
        return Effect.die(new Error(`execution ${execution.uuid} is not bound to its saga`))
      }
      // A runner by hand is the only sign of who has a half-done step: the facts that it starts with stand.
      inbox.revision = execution.revision
      const gains = membership === undefined ? [{ facts: Execution.unstored(execution), judged: undefined }] : []
      const clock = fiber.getRef(Clock.Clock)
      const trace = ExecutionTrace.of(fiber, tracing, execution, broker.system)
      const self: Run = {
        execution,
        definition,
        fiber,
        clock,
        scope: {
          definition,
          state: execution.state,
          schedule,
          service,
          sagas,
          clock,
          maxBytes,
          fiberContext: fiber.context,
          fiber: hasDied === true ? undefined : fiber,
          annotations: annotationsOf(fiber),
          trace
        },
        performed: (facts) => performed(self, facts),
        trace,
        isUnheard: broker.isUnheard,
        refusal,
        since,
        presentSince: never,
        attemptSince: never,
        inbox,
        elsewhere: undefined,
        isHeld,
        isOld,
        isUnsure: false,
        hint: undefined,
        gains,
        unbegun: undefined,
        failedCommits: 0,
        announces: true,
        inFlight: undefined
      }
      return run(self)
    })
})

interface Annotations {
  readonly context: Context.Context<never> | undefined
  /** Undefined: none. */
  readonly found: Readonly<Record<string, unknown>> | undefined
}

let last: Annotations = { context: undefined, found: undefined }

/** Remembers the last look-up: contexts do not change, most runners share one, and most have no annotations. */
const annotationsOf = ({ context }: Fiber.Fiber<unknown, unknown>): Annotations["found"] => {
  if (last.context !== context) {
    const annotations = Context.get(context, References.CurrentLogAnnotations)
    last = { context, found: Object.keys(annotations).length === 0 ? undefined : annotations }
  }
  return last.found
}

/** Something is done. What is only sent again, or waited for, is no activation. */
const isActive = ({ work }: Act): boolean => work.some(({ _tag }) => _tag !== "Resend")

const never = Number.NEGATIVE_INFINITY
