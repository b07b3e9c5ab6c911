/**
 * Stores what an execution has gained, and finds out what became of a write whose answer is lost. A message leaves only
 * after the write that announces it (SPEC W1).
 */
import { Clock, Effect, Result, Schedule } from "effect"
import type { Definition } from "../definition/SagaStep.ts"
import * as Readable from "../execution/view/Readable.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import * as Broker from "../ports/Broker.ts"
import * as DatabaseCode from "../ports/DatabaseCode.ts"
import {
  type Hint,
  type SagaExecutionRepository,
  SagaExecutionRepositoryError,
  type SagaRepositoryUnsupported
} from "../ports/SagaExecutionRepository.ts"
import type { Membership } from "../ports/SagaOwnership.ts"
import * as CanonicalJson from "../wire/CanonicalJson.ts"
import type { ExecutionTrace } from "./ExecutionTrace.ts"
import * as Inbox from "./Inbox.ts"
import { type Observer, type Progress, reconcile } from "./Progress.ts"
import type { StorageError, StoreError } from "./RunError.ts"
import * as StoredInput from "./StoredInput.ts"
import type { TakeUp } from "./Takeover.ts"

export const isUnavailable = (error: StorageError | SagaRepositoryUnsupported): boolean =>
  error._tag === "SagaExecutionRepositoryError" && error.reason === "unavailable"

/** 50 ms, doubled up to 2 s, ten times (SPEC C8). */
export const untilStored = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")]).pipe(
  Schedule.upTo({ times: 10 })
)

/** As often as it takes, once the schedule above is over. */
const whileAway = Schedule.spaced("2 seconds")

/** Commits in a row that may fail before callers are told, as in the schedule above. */
const maxFailedCommits = 10

export interface RecordFacts {
  /** Goes on from a write that has just succeeded. The effect, if any, publishes the messages that it announces. */
  readonly recorded: (self: Progress, stored: SagaExecution) => Effect.Effect<void> | undefined
  /** Goes on from a write whose plan is gone: the loop had failed meanwhile, or a step committed with it. */
  readonly written: (self: Progress, stored: SagaExecution) => Effect.Effect<void>
  /** After a transaction that has not said whether it committed: goes on from its record, or waits before the next try. */
  readonly notCommitted: (self: Progress, record: SagaExecution, error: StoreError) => Effect.Effect<void, StoreError>
  /** After a write that failed: goes on from the own write or the newer state; fails where nothing can be done. */
  readonly recover: (self: Progress, error: StorageError, observer: Observer) => Effect.Effect<void, StorageError>
  /** Goes on from what is stored, and from the inputs that wait there. */
  readonly reload: (self: Progress, observer: Observer) => Effect.Effect<void, StorageError>
  /** Goes on from what is stored, where what the loop began with was read earlier. */
  readonly refresh: (self: Progress, observer: Observer) => Effect.Effect<void, StorageError>
  /** Takes an execution again that another instance may have taken since the last write, and goes on as `reload`. */
  readonly claimAgain: (self: Progress, observer: Observer) => Effect.Effect<void, StorageError>
  /** Whether the last write names this instance by a name that it had before its lease was over. */
  readonly isFormerly: (self: Progress) => boolean
  /** Gives the execution back until `wakeAt`. False: there is something to do first, or another instance has it. */
  readonly giveBack: (self: Progress, wakeAt: number) => Effect.Effect<boolean, StorageError>
}

export const make = (options: {
  readonly repository: SagaExecutionRepository["Service"]
  readonly broker: Broker.Broker["Service"]
  /** Undefined: a runner by hand. */
  readonly membership: Membership | undefined
  readonly takeUp: TakeUp
  /** Called after each write with the execution before and after it. */
  readonly onStored: (written: SagaExecution, stored: SagaExecution) => void
  /**
   * Called when the store has been away for all tries of the schedule: callers are told, and the facts are kept. Undefined:
   * nobody would store them later, so the loop fails.
   */
  readonly onAway: ((uuid: string, error: StoreError) => void) | undefined
}): RecordFacts => {
  const { broker, membership, onAway, onStored, repository, takeUp } = options

  const recorded = (self: Progress, stored: SagaExecution): Effect.Effect<void> | undefined => {
    const written = self.execution
    onStored(written, stored)
    self.trace?.stored(written, stored)
    self.execution = stored
    self.inbox.revision = stored.revision
    self.isHeld = self.hint?.wakeAt === undefined
    self.isUnsure = false
    self.isOld = false
    self.gains = none
    if (!self.announces) return undefined
    self.announces = false
    // Another instance may have the execution by now: it sends the message when that is due again.
    return membership?.isAlive(undefined, stored.uuid) === false ? undefined : announce(broker, written, self.trace)
  }

  const written = Effect.fnUntraced(function* (self: Progress, stored: SagaExecution) {
    self.failedCommits = 0
    // The store may have been away for long: a message of this write has its time from now on.
    self.attemptSince = yield* Clock.currentTimeMillis
    // The plan of this write is gone: the questions that it was to put are put by the next one.
    const { phase } = self.execution.state
    if (phase?.asks.some(({ status }) => status === "new") === true) self.since = Number.NEGATIVE_INFINITY
    yield* recorded(self, stored) ?? Effect.void
  })

  /** The stored execution, if the write that failed is what stands there: it has happened all the same (SPEC A1). */
  const ownWrite = Effect.fnUntraced(function* (execution: SagaExecution, definition: Definition) {
    const after = Execution.stored(execution)
    const load = Effect.tapError(repository.load(execution.uuid), DatabaseCode.warnLasting)
    const latest = yield* Effect.result(Effect.retry(load, { schedule: untilStored, while: isUnavailable }))
    if (Result.isFailure(latest))
      return latest.failure._tag === "SagaExecutionNotFound" && after.settled ? after : undefined
    const { events, revision } = latest.success
    const isMine =
      revision === after.revision && CanonicalJson.stringify(events) === CanonicalJson.stringify(execution.events)
    return isMine ? Execution.bind(latest.success, definition) : undefined
  })

  /** The facts of a started execution are kept for as long as the process lives: a step that has ended is not run again (F4). */
  const isKept = ({ execution }: Progress): boolean => execution.revision > 0 && onAway !== undefined

  /** Asks a store that is away again: as the schedule says, and then for as long as the facts are kept. */
  const persist = <A, E extends StorageError | SagaRepositoryUnsupported>(
    self: Progress,
    ask: Effect.Effect<A, E>
  ): Effect.Effect<A, E> => {
    const said = Effect.tapError(ask, DatabaseCode.warnLasting)
    const first = Effect.retry(said, { schedule: untilStored, while: isUnavailable })
    if (!isKept(self)) return first
    return Effect.catchIf(first, isUnavailable, (error) => {
      onAway?.(self.execution.uuid, error._tag === "SagaExecutionRepositoryError" ? error : unavailable)
      return Effect.retry(said, { schedule: whileAway, while: isUnavailable })
    })
  }

  const rebase = Effect.fnUntraced(function* (self: Progress, observer: Observer, isContested: boolean) {
    // A process of another release may have written what this one cannot read.
    const load = Effect.flatMap(repository.load(self.execution.uuid), (latest) =>
      Effect.fromResult(Readable.read(latest, self.definition))
    )
    const newer = yield* persist(self, takeUp(load, isContested))
    self.inbox.revision = newer.execution.revision
    reconcile(self, newer, yield* Clock.currentTimeMillis, observer)
  })

  const reload: RecordFacts["reload"] = Effect.fnUntraced(function* (self, observer) {
    yield* rebase(self, observer, true)
    if (self.elsewhere !== undefined) return
    const rows = persist(self, repository.inbox(self.execution.uuid)).pipe(
      Effect.catchTag("SagaRepositoryUnsupported", () => Effect.succeed(none))
    )
    Inbox.offerAll(self.inbox, (yield* rows).map(StoredInput.pendingOf))
  })

  /**
   * Stores the facts again. Only what callbacks have brought is as it was: after an absence, or where inputs have come meanwhile,
   * deadlines, inputs and what begins next are decided anew (SPEC W5, C20).
   */
  const storeAgain = Effect.fnUntraced(function* (
    self: Progress,
    observer: Observer
  ): Effect.fn.Return<void, StorageError> {
    const { execution, hint: planned } = self
    let wasAway = false
    const store = Effect.suspend(() => {
      if (execution.revision > 0 && membership?.isAlive(undefined, execution.uuid) === false) {
        wasAway = true
        return Effect.fail(notRenewed)
      }
      if (isKept(self) && (wasAway || self.inbox.inputs.length > 0)) return Effect.undefined
      self.hint = hintOfNow(self)
      return repository.store(execution, self.hint)
    })
    const stored = yield* Effect.result(persist(self, store))
    if (Result.isSuccess(stored) && stored.success !== undefined) return yield* written(self, stored.success)
    if (Result.isFailure(stored) && isUnavailable(stored.failure)) return yield* Effect.fail(stored.failure)
    // An earlier try may have landed all the same, and its messages are to leave.
    const isRefused = Result.isFailure(stored) && stored.failure._tag !== "SagaExecutionConflict"
    const mine = isRefused ? undefined : yield* ownWrite(self.execution, self.definition)
    if (mine === undefined) {
      if (Result.isFailure(stored)) return yield* recover(self, stored.failure, observer)
      yield* reload(self, observer)
      self.hint = undefined
      return
    }
    self.hint = planned
    yield* writtenLongAgo(self, mine)
  })

  /** The write has landed at an earlier time than now: another instance may have claimed the execution since (SPEC C20). */
  const writtenLongAgo = (self: Progress, mine: SagaExecution): Effect.Effect<void> =>
    Effect.andThen(
      written(self, mine),
      Effect.sync(() => (self.isUnsure = membership !== undefined && self.isHeld))
    )

  /** Whether the last write names the instance as it was called before its lease was over. */
  const isFormerly = ({ hint }: Progress): boolean =>
    membership !== undefined && hint?.owner !== undefined && hint.owner !== membership.owner

  /** The instance may have a new name since the write was planned. */
  const hintOfNow = ({ hint = {} }: Progress): Hint =>
    membership === undefined || hint.owner === undefined ? hint : { ...hint, owner: membership.owner }

  const recover: RecordFacts["recover"] = (self, error, observer) => {
    if (error._tag === "SagaExecutionRepositoryError" && isUnavailable(error)) {
      return self.failedCommits > maxFailedCommits && !isKept(self) ? Effect.fail(error) : storeAgain(self, observer)
    }
    if (error._tag !== "SagaExecutionConflict") return Effect.fail(error)
    if (error.unread === true) return reload(self, observer)
    if (self.execution.revision > 0) return rebase(self, observer, self.hint?.takes === true)
    // The execution exists already: inputs that came meanwhile are for the one that does.
    Inbox.unjudge(self.inbox)
    return Effect.fail(error)
  }

  const giveBack: RecordFacts["giveBack"] = (self, wakeAt) => {
    const { revision, uuid } = self.execution
    return membership === undefined
      ? Effect.succeed(true)
      : persist(self, membership.giveBack({ uuid, revision, wakeAt }))
  }

  return {
    recorded,
    written,
    isFormerly,
    claimAgain: Effect.fnUntraced(function* (self, observer) {
      // What was written is in the log: its senders are told, and it is not judged again.
      if (self.execution.state.unstored === 0) {
        Inbox.complete(self.inbox.judged, self.execution)
        self.inbox.judged = none
      }
      yield* reload(self, observer)
      self.hint = undefined
    }),
    notCommitted: Effect.fnUntraced(function* (self, record, error) {
      if (!isUnavailable(error)) return yield* Effect.fail(error)
      const mine = yield* ownWrite(record, self.definition)
      if (mine !== undefined) {
        self.execution = record
        return yield* writtenLongAgo(self, mine)
      }
      self.failedCommits++
      yield* DatabaseCode.warnLasting(error)
      if (self.failedCommits > maxFailedCommits) {
        // Other branches may hold results: they are not dropped for a database that is away (F4).
        if (!isKept(self)) return yield* Effect.fail(error)
        if (self.failedCommits === maxFailedCommits + 1) onAway?.(self.execution.uuid, error)
      }
      yield* Effect.sleep(Math.min(2_000, 50 * 2 ** self.failedCommits))
    }),
    recover,
    reload,
    refresh: (self, observer) => rebase(self, observer, false),
    giveBack
  }
}

const none: ReadonlyArray<never> = []

const unavailable = new SagaExecutionRepositoryError({ operation: "store", reason: "unavailable" })

/** An instance whose lease is over writes nothing: another one may have claimed the execution (SPEC C20). */
export const notRenewed = unavailable

/** Publishes the messages of a write. Most writes have none. */
const announce = (
  broker: Broker.Broker["Service"],
  written: SagaExecution,
  trace: ExecutionTrace | undefined
): Effect.Effect<void> | undefined => {
  const messages = Execution.unstoredMessages(written)
  if (messages === undefined) return undefined
  const [first, ...others] = messages.map(({ command, message }) =>
    trace === undefined
      ? Broker.publishOrWarn(broker, message, command)
      : Broker.orWarn(trace.sending(message, Broker.publishFirst(broker, message, command)), message)
  )
  return others.reduce<Effect.Effect<void> | undefined>((all, one) => all && Effect.andThen(all, one), first)
}
