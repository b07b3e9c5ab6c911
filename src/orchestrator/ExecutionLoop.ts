/**
 * The composition of the folds: decide, perform, record, repeat. A drive takes an execution as far as it can go by
 * itself: to its end, or to where it waits for a reply or a time. Facts are stored before anything they announce
 * happens (SPEC W1, W7); the result of a step and the intent of the next one are one write.
 */
import { Clock, type Context, Deferred, Effect, type Fiber, Result, Schedule } from "effect"
import type { Definition } from "../definition/SagaStep.ts"
import type { Hooks } from "../definition/TransactionHooks.ts"
import * as Decision from "../execution/rules/SagaDecision.ts"
import type { SagaEvent } from "../execution/rules/SagaEvent.ts"
import { evolve } from "../execution/rules/SagaEvolution.ts"
import type { SagaState } from "../execution/rules/SagaState.ts"
import * as TwoPhaseCommit from "../execution/rules/TwoPhaseCommit.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Broker from "../ports/Broker.ts"
import {
  type Hint,
  type SagaExecutionConflict,
  type SagaExecutionNotFound,
  SagaExecutionRepository,
  type SagaExecutionRepositoryError,
  type SagaExecutionRetired
} from "../ports/SagaExecutionRepository.ts"
import { TransactionCommitter } from "../ports/TransactionCommitter.ts"
import * as CanonicalJson from "../wire/CanonicalJson.ts"
import * as Inbox from "./Inbox.ts"
import { type Done, type FinishedWork, InFlightWork, type Join, type Joint } from "./InFlightWork.ts"
import { SagaConfig } from "./SagaConfig.ts"
import * as AskParticipants from "./steps/AskParticipants.ts"
import * as PerformStep from "./steps/PerformStep.ts"
import * as Takeover from "./Takeover.ts"

/** What can go wrong with the record of an execution. */
export type StorageError =
  | SagaExecutionConflict
  | SagaExecutionNotFound
  | SagaExecutionRetired
  | SagaExecutionRepositoryError

export interface LoopResult {
  readonly execution: SagaExecution
  /** When to look again although nothing happened; `Infinity`: never. */
  readonly wakeAt: number
  /** The instance that goes on with it, where that is another one. */
  readonly elsewhere: string | undefined
}

/**
 * Takes an execution as far as it goes. `since`: when it was looked at last (`-Infinity` after a restart).
 * A conflict on the first write fails; on a later one the newer state is loaded and the work goes on from there.
 * `elsewhere`: the instance that is at work on it. Then what the inputs bring is stored, and left to that one.
 */
export type ExecutionLoop = (
  execution: SagaExecution,
  since: number,
  inbox: Inbox.Inbox,
  elsewhere?: string
) => Effect.Effect<LoopResult, StorageError>

/** 50 ms, doubled up to 2 s, ten times (SPEC C8). */
const untilStored = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")]).pipe(
  Schedule.upTo({ times: 10 })
)

/** The instance that has an execution, where instances have no names. */
const somebody = ""

export const make = Effect.fnUntraced(function* (
  /** Called after each write with the execution before and after it. */
  onStored: (written: SagaExecution, stored: SagaExecution) => void,
  /** The instance that takes an execution up again if this process does not; undefined: nobody is to. */
  owner: string | undefined,
  /** Of the own service, where it takes part in the phase. */
  hooks: Hooks | undefined
): Effect.fn.Return<ExecutionLoop, never, SagaExecutionRepository | Broker.Broker | TransactionCommitter | SagaConfig> {
  const repository = yield* SagaExecutionRepository
  const broker = yield* Broker.Broker
  const committer = yield* TransactionCommitter
  const { service, settings } = yield* SagaConfig
  const takeUp = Takeover.make(repository, owner, settings)
  const atWork: Hint = owner === undefined ? { owner: somebody, wakeAt: Number.POSITIVE_INFINITY } : { owner }
  /** What recovery is told of an execution that waits. */
  const waiting = (wakeAt: number): Hint => (owner === undefined ? atWork : { owner, wakeAt })

  /** What a write announces is sent once it is stored. Most writes announce nothing. */
  const announce = (written: SagaExecution): Effect.Effect<void> | undefined => {
    const messages = Execution.unstoredMessages(written)
    if (messages === undefined) return undefined
    const [first, ...others] = messages.map(({ command, message }) => Broker.publishOrWarn(broker, message, command))
    return others.reduce<Effect.Effect<void> | undefined>((all, one) => all && Effect.andThen(all, one), first)
  }

  /**
   * Goes on from the newest state. What work has brought is offered to it, and what a input has, wholly or not at all;
   * everything else is judged and decided again (SPEC W5).
   */
  const rebase = Effect.fnUntraced(function* (self: Progress) {
    const { definition, execution, inFlight, gains, inbox } = self
    const load = Effect.map(repository.load(execution.uuid), (latest) => Execution.bind(latest, definition))
    const { elsewhere, execution: latest } = yield* Effect.retry(takeUp(load), {
      schedule: untilStored,
      while: isUnavailable
    })
    const stand = new Set<Inbox.Judged>()
    let { state } = latest
    self.gains = gains.filter(({ facts, judged }) => {
      const next = judged === undefined ? facts.reduce(evolve, state) : wholly(facts, state)
      if (next === undefined || next === state) return false
      state = next
      if (judged !== undefined) stand.add(judged)
      return true
    })
    inbox.inputs.unshift(...inbox.judged.filter((one) => !stand.has(one)).map(({ input }) => input))
    inbox.judged = inbox.judged.filter((one) => stand.has(one))
    const rebased = state === latest.state ? latest : new SagaExecution(state, definition)
    const now = yield* Clock.currentTimeMillis
    self.announces = true
    self.elsewhere = elsewhere
    self.execution = rebased
    // Where nobody tells who has it, facts of mine that count do.
    if (owner === undefined) self.elsewhere = rebased === latest && !brings(inbox, rebased, now) ? somebody : undefined
    else if (elsewhere === undefined) {
      const isMine = (path: string) => inFlight?.isRunning(path) === true || self.unbegun?.has(path) === true
      self.execution = Takeover.afterCrash(rebased, now, isMine)
    }
  })

  const perform = (
    run: PerformStep.Run,
    instruction: Decision.Instruction
  ): Effect.Effect<ReadonlyArray<SagaEvent>> => {
    switch (instruction._tag) {
      case "Resend":
        return Effect.as(Broker.publishOrWarn(broker, instruction.sent.message, instruction.sent.command), [])
      case "Reserve":
      case "Commit":
      case "Reject":
        return AskParticipants.ask(run, committer, hooks, instruction)
      default:
        return PerformStep.perform(run, instruction)
    }
  }

  /** Decide, perform, record, repeat. A write that fails ends it; what the drive has come to is kept. */
  const loop = (self: Progress, now: number): Effect.Effect<LoopResult, StoreError> => {
    const { inFlight, inbox } = self
    if (inbox.inputs.length > 0) look(self, now)
    const decision = decide(self, now)
    const isJoint = inFlight?.isJoint === true
    const work = isJoint ? [] : (inFlight?.notUnderWay(decision.instructions) ?? decision.instructions)
    const needsNoWrite = work.length > 0 && !work.some(Decision.needsIntent) && !holdsBack(self, work)
    if (isJoint || needsNoWrite) return act(self, decision, work, now)
    if (self.execution.state.unstored === 0) return told(self, decision, work, now)
    const isWaiting = work.length === 0 && inFlight?.isAwaited(decision) !== true
    const hint = hintOf(self) ?? (isWaiting ? waiting(decision.wakeAt) : atWork)
    return Effect.flatMap(repository.store(self.execution, hint), (stored) => {
      const announced = recorded(self, stored)
      return announced === undefined
        ? told(self, decision, work, now)
        : Effect.flatMap(announced, () => told(self, decision, work, now))
    })
  }

  const decide = (self: Progress, now: number): Decision.Decision => {
    const { definition, elsewhere, execution, since } = self
    self.since = now
    if (elsewhere !== undefined) return Decision.nothing
    const { decision, state } = Decision.advance(execution.state, definition, now, since, settings)
    if (state !== execution.state) self.execution = new SagaExecution(state, definition)
    return decision
  }

  /** Whoever waits for what is stored now is told, and may want something else. */
  const told = (self: Progress, decision: Decision.Decision, work: Work, now: number) => {
    const { inbox } = self
    if (inbox.judged.length > 0) {
      Inbox.complete(inbox.judged, self.execution)
      inbox.judged = []
    }
    if (inbox.inputs.length === 0) return act(self, decision, work, now)
    // What was to be done is decided again.
    for (const instruction of work) {
      if (instruction._tag === "RunStep") self.unbegun = new Set(self.unbegun).add(instruction.path)
      else if (instruction._tag === "Resend" || "services" in instruction) self.since = Number.NEGATIVE_INFINITY
    }
    return Effect.suspend(() => loop(self, now))
  }

  const act = (
    self: Progress,
    decision: Decision.Decision,
    work: Work,
    now: number
  ): Effect.Effect<LoopResult, StoreError> => {
    const { wakeAt } = decision
    const only = work[0]
    if (self.unbegun !== undefined) for (const { path } of work) self.unbegun.delete(path)
    if (self.inFlight?.isAwaited(decision) !== true) {
      if (only === undefined) {
        const result = { execution: self.execution, wakeAt, elsewhere: self.elsewhere }
        return isUnanswered(self)
          ? Effect.as(waitsFor(self.execution.uuid, now, wakeAt), result)
          : Effect.succeed(result)
      }
      if (work.length === 1 && isDoneInPlace(only, wakeAt)) {
        return Effect.flatMap(perform(runOf(self), only), (facts) => {
          // What a callback ran in is not for what comes after it.
          self.fiber.setContext(self.fiberContext)
          gained(self, facts)
          // The last fact says what time it is; without one the clock does.
          return loop(self, facts.at(-1)?.at ?? self.clock.currentTimeMillisUnsafe())
        })
      }
    }
    return Effect.flatMap(fly(self, work, wakeAt - now), (now) => loop(self, now))
  }

  /** Nobody is at work on it any more, though nothing has been written. */
  const waitsFor = (uuid: string, now: number, wakeAt: number): Effect.Effect<void> =>
    owner === undefined ? Effect.void : Effect.ignore(repository.take({ uuid, owner, now, wakeAt }))

  const runOf = ({ clock, definition, execution, fiberContext }: Progress): PerformStep.Run => ({
    definition,
    state: execution.state,
    settings,
    service,
    clock,
    fiberContext
  })

  /** Lets the work take off, and waits for the first that lands. Gives the time. */
  const fly = Effect.fnUntraced(function* (self: Progress, work: Work, within: number) {
    self.inFlight ??= yield* InFlightWork.make<StoreError>()
    const { inFlight } = self
    const run = runOf(self)
    for (const instruction of work) {
      yield* isTransactional(instruction)
        ? inFlight.startJoint(instruction, (join) => transact(run, instruction, join))
        : inFlight.start(instruction, perform(run, instruction))
    }
    const finished = yield* inFlight.takeFinished(self.inbox, within)
    const now = self.clock.currentTimeMillisUnsafe()
    if (finished.joint === undefined) {
      const facts = yield* Effect.result(finished.exit)
      if (Result.isSuccess(facts)) gained(self, facts.success)
      else yield* notCommitted(self, self.execution, facts.failure)
    } else yield* commitJointly(self, finished, finished.joint, now)
    return now
  })

  /**
   * A transactional step: what it writes and its record commit together, or neither does (SPEC W7). A step that fails is
   * undone by that, and its failure is recorded like any other.
   */
  const transact = (
    run: PerformStep.Run,
    instruction: Decision.Instruction,
    join: Join
  ): Effect.Effect<Done, StoreError> =>
    Effect.gen(function* () {
      const facts = yield* perform({ ...run, fiberContext: undefined, atomically: repository.atomically }, instruction)
      if (facts.some(isFailure)) return yield* Effect.fail({ _tag: "Undone" as const, facts: facts.map(withoutEffect) })
      return { facts, stored: yield* repository.store(yield* join(facts), atWork) }
    }).pipe(
      repository.atomically,
      Effect.catchTag("Undone", ({ facts }) => Effect.succeed({ facts, stored: undefined }))
    )

  /** Gives a transactional step its record, which has the intent of the next step too, and waits for the commit. */
  const commitJointly = Effect.fnUntraced(function* (
    self: Progress,
    { exit }: FinishedWork<StoreError>,
    joint: Joint<StoreError>,
    now: number
  ) {
    const before = self.execution
    const known = self.gains.length
    gained(self, yield* exit)
    const { state } = Decision.advance(self.execution.state, self.definition, now, self.since, settings)
    self.execution = new SagaExecution(state, self.definition)
    yield* Deferred.succeed(joint.record, self.execution)
    const stored = yield* Effect.result(Deferred.await(joint.stored))
    if (Result.isSuccess(stored)) return stored.success && (yield* written(self, stored.success))
    const record = self.execution
    self.execution = before
    self.gains.splice(known)
    yield* notCommitted(self, record, stored.failure)
  })

  /** A transaction that has not said that it committed may have (SPEC A1). Else the step runs again, under the same key. */
  const notCommitted = Effect.fnUntraced(function* (self: Progress, record: SagaExecution, error: StoreError) {
    if (!isUnavailable(error)) return yield* Effect.fail(error)
    const mine = yield* ownWrite(record, self.definition)
    if (mine !== undefined) {
      self.execution = record
      return yield* written(self, mine)
    }
    if (++self.undone > 10) return yield* Effect.fail(error)
    yield* Effect.sleep(Math.min(2_000, 50 * 2 ** self.undone))
  })

  const written = (self: Progress, stored: SagaExecution): Effect.Effect<void> => {
    self.undone = 0
    // Nobody acts on the decision that this record was made with: what it would have asked is asked by the next.
    const { phase } = self.execution.state
    if (phase?.asks.some(({ status }) => status === "new") === true) self.since = Number.NEGATIVE_INFINITY
    return recorded(self, stored) ?? Effect.void
  }

  const recorded = (self: Progress, stored: SagaExecution): Effect.Effect<void> | undefined => {
    const written = self.execution
    onStored(written, stored)
    self.execution = stored
    self.gains = []
    if (!self.announces) return undefined
    self.announces = false
    return announce(written)
  }

  /** A write may have happened although it failed: then it is the one that is in its own way (SPEC A1). */
  const ownWrite = Effect.fnUntraced(function* (execution: SagaExecution, definition: Definition) {
    const after = Execution.stored(execution)
    const latest = yield* Effect.result(
      Effect.retry(repository.load(execution.uuid), { schedule: untilStored, while: isUnavailable })
    )
    if (Result.isFailure(latest))
      return latest.failure._tag === "SagaExecutionNotFound" && after.settled ? after : undefined
    const { events, revision } = latest.success
    const isMine =
      revision === after.revision && CanonicalJson.stringify(events) === CanonicalJson.stringify(execution.events)
    return isMine ? Execution.bind(latest.success, definition) : undefined
  })

  /** What a drive whose write has failed goes on with, if it can. */
  const recover = Effect.fnUntraced(function* (
    self: Progress,
    error: StoreError
  ): Effect.fn.Return<void, StorageError> {
    if (isUnavailable(error)) {
      if (self.undone > 10) return yield* Effect.fail(error)
      const again = Effect.retry(repository.store(self.execution, hintOf(self) ?? atWork), {
        schedule: untilStored,
        while: isUnavailable
      })
      const stored = yield* Effect.result(again)
      if (Result.isFailure(stored) && isUnavailable(stored.failure)) return yield* Effect.fail(stored.failure)
      if (Result.isSuccess(stored)) return yield* written(self, stored.success)
      const mine =
        stored.failure._tag === "SagaExecutionConflict" ? yield* ownWrite(self.execution, self.definition) : undefined
      return yield* mine === undefined ? recover(self, stored.failure) : written(self, mine)
    }
    if (error._tag !== "SagaExecutionConflict") return yield* Effect.fail(error)
    if (self.execution.revision > 0) return yield* rebase(self)
    // It exists already: what came meanwhile is for the one that does.
    const { inbox } = self
    inbox.inputs.unshift(...inbox.judged.map(({ input }) => input))
    inbox.judged = []
    return yield* Effect.fail(error)
  })

  const drive = (self: Progress): Effect.Effect<LoopResult, StorageError> =>
    Effect.catch(loop(self, self.clock.currentTimeMillisUnsafe()), (error) =>
      Effect.flatMap(recover(self, error), () => drive(self))
    )

  return (execution, since, inbox, elsewhere) =>
    Effect.withFiber<LoopResult, StorageError>((fiber) => {
      const { definition } = execution
      if (definition === undefined) {
        return Effect.die(new Error(`execution ${execution.uuid} is not bound to its saga`))
      }
      const self: Progress = {
        execution,
        definition,
        fiber,
        clock: fiber.getRef(Clock.Clock),
        fiberContext: fiber.context,
        since,
        inbox,
        elsewhere,
        // Nobody tells a runner by hand that a half-done step is its own: what was made of it stands.
        gains: owner === undefined ? [{ facts: Execution.unstored(execution), judged: undefined }] : [],
        unbegun: undefined,
        undone: 0,
        announces: true,
        inFlight: undefined
      }
      return drive(self)
    })
})

/** How far a drive has come. */
interface Progress {
  execution: SagaExecution
  readonly definition: Definition
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly clock: Clock.Clock
  readonly fiberContext: Context.Context<never>
  /** When the execution was looked at last. */
  since: number
  readonly inbox: Inbox.Inbox
  /** The instance that is at work on it, where that is another one. */
  elsewhere: string | undefined
  /** What work and inputs have brought since the last write, in order. What was decided from it is not among it. */
  gains: Array<Gain>
  /** Local steps whose intent is stored and that have not begun. */
  unbegun: Set<string> | undefined
  /** Transactions that did not commit since the last write. */
  undone: number
  /** Whether there may be a message among the facts that are not stored yet. */
  announces: boolean
  inFlight: InFlightWork<StoreError> | undefined
}

interface Gain {
  readonly facts: ReadonlyArray<SagaEvent>
  /** The input that has brought them; absent: work. */
  readonly judged: Inbox.Judged | undefined
}

/** Instructions whose work is not under way. */
type Work = ReadonlyArray<Decision.Instruction>

type StoreError = SagaExecutionConflict | SagaExecutionRetired | SagaExecutionRepositoryError

const isUnavailable = (error: StorageError): boolean =>
  error._tag === "SagaExecutionRepositoryError" && error.reason === "unavailable"

/** Whoever is at work on it elsewhere still is. */
const hintOf = ({ elsewhere }: Progress): Hint | undefined =>
  elsewhere === undefined ? undefined : { owner: elsewhere }

/** The own service is asked, and its hook is not being called: it has failed, and is called again later. */
const isUnanswered = ({ elsewhere, execution: { state } }: Progress): boolean =>
  elsewhere === undefined && TwoPhaseCommit.pending(state.phase).includes(state.service ?? "")

const gained = (self: Progress, facts: ReadonlyArray<SagaEvent>, judged?: Inbox.Judged): void => {
  const state = facts.reduce(evolve, self.execution.state)
  if (state === self.execution.state) return
  self.execution = new SagaExecution(state, self.definition)
  self.announces ||= facts.some((fact) => "message" in fact)
  self.gains.push({ facts, judged })
}

/** The state with all of the facts, if it admits all of them. */
const wholly = (facts: ReadonlyArray<SagaEvent>, self: SagaState): SagaState | undefined => {
  let state = self
  for (const fact of facts) {
    const next = evolve(state, fact)
    if (next === state) return undefined
    state = next
  }
  return state
}

/** Whether a input that waits changes anything. */
const brings = ({ inputs }: Inbox.Inbox, { definition, state }: SagaExecution, now: number): boolean =>
  definition !== undefined &&
  inputs.some(({ judge }) => {
    const verdict = judge(state, definition, now)
    return Result.isSuccess(verdict) && verdict.success.length > 0
  })

/** A callback may take long, and another branch has a message that would leave only after it. */
const holdsBack = ({ announces, execution }: Progress, work: Work): boolean =>
  announces && work.some(isCallback) && Execution.unstoredMessages(execution) !== undefined

const isCallback = ({ _tag }: Decision.Instruction): boolean => _tag === "HandleReply"

/** Judges what waits in the inbox against the state as it is. */
const look = (self: Progress, now: number): void => {
  const { inbox } = self
  const judged = inbox.inputs.splice(0).map((input): Inbox.Judged => {
    const verdict = input.judge(self.execution.state, self.definition, now)
    if (Result.isFailure(verdict)) return { input, refused: Result.fail(verdict.failure) }
    const judged = { input, refused: Result.void }
    gained(self, verdict.success, judged)
    return judged
  })
  inbox.judged = [...inbox.judged, ...judged]
}

/**
 * Work that is alone and keeps nobody waiting. A callback does when replies are awaited in other branches; an phase
 * takes as long as its participants, and the execution may be cancelled or looked after meanwhile.
 */
const isDoneInPlace = (instruction: Decision.Instruction, wakeAt: number): boolean => {
  switch (instruction._tag) {
    case "Reserve":
    case "Commit":
    case "Reject":
      return false
    case "RunStep":
    case "Compensate":
      return wakeAt === Number.POSITIVE_INFINITY && !instruction.step.transactional
    case "HandleReply":
      return wakeAt === Number.POSITIVE_INFINITY
    default:
      return true
  }
}

const isTransactional = (instruction: Decision.Instruction): boolean =>
  (instruction._tag === "RunStep" || instruction._tag === "Compensate") && instruction.step.transactional

const isFailure = ({ _tag }: SagaEvent): boolean => _tag === "StepFailed" || _tag === "CompensationFailed"

/** What its transaction has undone leaves nothing. */
const withoutEffect = (fact: SagaEvent): SagaEvent => (fact._tag === "StepFailed" ? { ...fact, effect: "none" } : fact)
