/**
 * Port: keeps executions. A write appends the facts gained since the last one; of two of the same revision one is refused.
 * Values are not decoded here: a repository keeps executions of sagas that this program does not know.
 */
import { type Cause, Clock, Context, Effect, type Fiber, Layer, PubSub, Stream } from "effect"
import * as SagaPath from "../definition/SagaPath.ts"
import type { SagaState } from "../execution/rules/SagaState.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Uuid from "../wire/Uuid.ts"
import * as ExecutionSummary from "./ExecutionSummary.ts"
import { isCallerGiven, SagaExecutionRetired, type Tombstone, of as tombstone } from "./ExecutionTombstone.ts"
import { FaultPoint } from "./FaultPoint.ts"
import {
  type Buckets,
  type Claimed,
  type ClaimRequest,
  dueFrom,
  type GiveBackRequest,
  type Hint,
  hintOf,
  type KeptExecution,
  Leases,
  type TakeRequest
} from "./Leases.ts"
import { pageStart } from "./PageStart.ts"
import { ReleasingMap } from "./ReleasingMap.ts"
import {
  conflict,
  type SagaExecutionConflict,
  SagaExecutionNotFound,
  type SagaExecutionRepositoryError,
  type SagaRepositoryUnsupported,
  unread
} from "./RepositoryErrors.ts"
import * as SagaInbox from "./SagaInbox.ts"
import { MemoryQueues, type SagaQueues } from "./SagaQueues.ts"
import { type ScheduleTicks, ticksIn } from "./ScheduleTicks.ts"
import * as Setting from "./Setting.ts"

export type { Census, Filter, Page, PageRequest } from "./ExecutionSummary.ts"
export { ExecutionSummary } from "./ExecutionSummary.ts"
export { contextHash, SagaExecutionRetired } from "./ExecutionTombstone.ts"
export {
  type Claimed,
  type ClaimRequest,
  type GiveBackRequest,
  type Held,
  type Hint,
  isClaimable,
  type TakeRequest
} from "./Leases.ts"
export { pageStart } from "./PageStart.ts"
export {
  conflict,
  Operation,
  SagaExecutionConflict,
  SagaExecutionNotFound,
  SagaExecutionRepositoryError,
  SagaRepositoryUnsupported,
  unread
} from "./RepositoryErrors.ts"
export { type InboxRow, SagaInboxFull, type Submitted } from "./SagaInbox.ts"
export type { QueueLimits, QueueStatus, SagaQueues } from "./SagaQueues.ts"
export type { ScheduleTicks } from "./ScheduleTicks.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>
type Stored = Effect.Effect<SagaExecution, SagaExecutionConflict | SagaExecutionRetired | SagaExecutionRepositoryError>

export interface Store {
  (execution: SagaExecution, hint?: Hint): Stored
  /**
   * The same, written in the call and given without an effect: for a store that waits for nothing, and a caller that has its
   * fiber in hand.
   */
  readonly now?: (execution: SagaExecution, hint: Hint | undefined, fiber: AnyFiber) => SagaExecution | Stored
}

// ---- the port --------------------------------------------------------------------------------------------------

export class SagaExecutionRepository extends Context.Service<
  SagaExecutionRepository,
  {
    /**
     * Writes the facts that the execution has gained since its last write, and gives the execution with its new revision.
     * An execution that has gained none is given back as it is, unless the write takes inputs out of the inbox.
     */
    readonly store: Store
    /** Gives the execution without its definition. The uuid may be in any text form. */
    readonly load: (uuid: string) => Effect.Effect<SagaExecution, SagaExecutionNotFound | SagaExecutionRepositoryError>
    /**
     * Deletes an execution; succeeds where there is none. A uuid or `startKey` that a caller has given stays used up
     * (SPEC C9).
     */
    readonly delete: (target: string | SagaExecution) => Effect.Effect<void, SagaExecutionRepositoryError>
    /**
     * Stores an input for the owner of the execution, and makes the execution due now, in one unit of work. Without a
     * compare-and-set, from any process. The rows go with their execution. `signal`: the input is a signal of this name, and
     * is stored only if the execution has not ended or turned back, and has a wait for such a signal (SPEC C16). Which
     * signals that are stands beside the execution from its first write on.
     */
    readonly submit: (
      row: SagaInbox.InboxRow,
      signal?: string
    ) => Effect.Effect<
      SagaInbox.Submitted,
      SagaExecutionNotFound | SagaInbox.SagaInboxFull | SagaExecutionRepositoryError | SagaRepositoryUnsupported
    >
    /** The inputs that wait for an execution, oldest first. Empty where there is no such execution. */
    readonly inbox: (
      uuid: string
    ) => Effect.Effect<ReadonlyArray<SagaInbox.InboxRow>, SagaExecutionRepositoryError | SagaRepositoryUnsupported>
    /** Gives a page of summaries, newest first. A cursor that is no `next` of a page is `rejected`. */
    readonly find: (
      filter: ExecutionSummary.Filter,
      page?: ExecutionSummary.PageRequest
    ) => Effect.Effect<ExecutionSummary.Page, SagaExecutionRepositoryError | SagaRepositoryUnsupported>
    /**
     * Renews the owner's lease, and gives it executions that no living instance has, that are due and that do not wait for
     * a person. They are the owner's until it releases them or its lease is over (SPEC C7). An execution that cannot be read
     * is named and belongs to nobody.
     */
    readonly claim: (
      request: ClaimRequest
    ) => Effect.Effect<Claimed, SagaExecutionRepositoryError | SagaRepositoryUnsupported>
    /** Makes an execution the owner's, unless another living instance works on it. Gives who has it then; the owner, if it is not there. */
    readonly take: (request: TakeRequest) => Effect.Effect<string, SagaExecutionRepositoryError>
    /**
     * Gives an execution back: nobody has it until it is due again. False, and nothing is changed: another instance has it,
     * it was written since, or inputs wait for it. Then load it and decide again (SPEC C20). True where there is no such
     * execution.
     */
    readonly giveBack: (request: GiveBackRequest) => Effect.Effect<boolean, SagaExecutionRepositoryError>
    /** Ends the owner's lease: others may claim its executions at once. With `buckets`: gives back only those in these. */
    readonly release: (owner: string, buckets?: Buckets) => Effect.Effect<void, SagaExecutionRepositoryError>
    /** The number of unsettled executions of each definition. */
    readonly census: Effect.Effect<
      ReadonlyArray<ExecutionSummary.Census>,
      SagaExecutionRepositoryError | SagaRepositoryUnsupported
    >
    /**
     * Those of the executions that have ended, that wait for a person behind their pivot, or that are not there; with `orPaused` also
     * those that wait for anything else. More may be among them. For callers that wait
     * for executions of other instances: it finds those with news, however many there are.
     */
    readonly ended: (
      uuids: ReadonlyArray<string>,
      orPaused: boolean
    ) => Effect.Effect<ReadonlyArray<string>, SagaExecutionRepositoryError | SagaRepositoryUnsupported>
    /**
     * Uuids of executions that any process has written and that a caller may wait for: paused, woken, decided, parked,
     * ended. Some may be missing. Empty for a repository of one process.
     */
    readonly changes: Stream.Stream<string>
    /**
     * Uuids of executions for which any process has submitted an input. Some may be missing. An empty one tells an instance
     * that was alone (`Claimed.isAlone`) that it is so no more. `*` says that nobody had the execution of the uuid before: the
     * instances claim soon.
     */
    readonly inputs: Stream.Stream<string>
    /**
     * Runs work in a transaction: what it stores, and what it writes through the repository's own client, is committed
     * together or not at all. Inside another `atomically` it can fail alone. A repository that is not `transactional` just
     * runs the work.
     */
    readonly atomically: <A, E, R>(
      work: Effect.Effect<A, E, R>
    ) => Effect.Effect<A, E | SagaExecutionRepositoryError, R>
    /**
     * Whether the database has ended the transaction in which this failure arose: nothing of it is kept, and the same work may
     * succeed in a new one. `contested`: in favour of another one. `away`: with its connection, or because it only reads for
     * now. Absent: it never does that.
     */
    readonly rolledBackBy?: (cause: Cause.Cause<unknown>) => "contested" | "away" | undefined
    /** The last ticks of schedules. Absent: processes share no schedules here, and `SagaSchedule` refuses the repository. */
    readonly schedules?: ScheduleTicks
    /** Queues, from which a claim admits executions. Absent: a start in a queue is refused. */
    readonly queues?: SagaQueues
    /** The uuid of an execution with a `startKey` has to be in the bucket of the key. Absent: it may be any. */
    readonly keysHaveBuckets?: boolean
    /** Stored executions survive a restart. */
    readonly durable: boolean
    /** A local step can write in the database transaction that stores its result. */
    readonly transactional: boolean
  }
>()("effect-saga/SagaExecutionRepository") {}

/**
 * The names of the signals that the saga of an execution has waits for; undefined: none. Its first write stores them beside
 * it.
 */
export const signalsOf = ({ definition }: SagaExecution): ReadonlyArray<string> | undefined => {
  const names = definition === undefined ? [] : SagaPath.signalNames(definition)
  return names.length === 0 ? undefined : names
}

/** Whether a write changes anything. */
export const isEmpty = ({ state }: SagaExecution, hint: Hint | undefined): boolean =>
  state.unstored === 0 && (hint?.reads === undefined || hint.reads.length === 0)

// ---- memory ----------------------------------------------------------------------------------------------------

interface Kept extends KeptExecution {
  state: SagaState
  /** The names of the signals that it has waits for. */
  readonly signals: ReadonlyArray<string> | undefined
  inbox: ReadonlyMap<string, SagaInbox.InboxRow> | undefined
}

const announcements = () => Effect.runSync(PubSub.sliding<string>(SagaInbox.maxAnnounced))

export interface MemoryOptions {
  /** How many settled executions are kept. A whole number from 0. */
  readonly keep: number
  /** Managers renew leases at intervals, for tests of crashes. Default `false`: one that is alone claims what is due. */
  readonly shared?: boolean
}

/** All that the memory store keeps. A copy goes its own way: tests explore several ways on from one state. */
export class MemoryStorage {
  /** The latest state of each execution, in the order of their first writes. States are immutable. */
  readonly kept = new ReleasingMap<string, Kept>()
  readonly startKeys = new Map<string, string>()
  /** Tombstones by uuid and by `startKey`: neither may start an execution again. */
  readonly retiredUuids = new Map<string, Tombstone>()
  readonly retiredStartKeys = new Map<string, Tombstone>()
  /** The last tick of each schedule. */
  readonly ticks = new Map<string, number>()
  readonly queues: MemoryQueues
  /** Settled executions that are kept, oldest first. */
  readonly settled = new Set<string>()
  readonly leases: Leases
  /** Listeners hear of inputs in every copy. */
  readonly inputs: PubSub.PubSub<string>
  /** Senders of inputs wait for the write that has their outcome. */
  readonly changes: PubSub.PubSub<string>

  constructor(leases = new Leases(), inputs = announcements(), changes = announcements(), queues = new MemoryQueues()) {
    this.leases = leases
    this.queues = queues
    this.inputs = inputs
    this.changes = changes
  }

  copy(): MemoryStorage {
    const copy = new MemoryStorage(new Leases(this.leases.until), this.inputs, this.changes, this.queues.copy())
    for (const [uuid, kept] of this.kept.entries) copy.kept.set(uuid, { ...kept })
    for (const [key, uuid] of this.startKeys) copy.startKeys.set(key, uuid)
    for (const [uuid, left] of this.retiredUuids) copy.retiredUuids.set(uuid, left)
    for (const [key, left] of this.retiredStartKeys) copy.retiredStartKeys.set(key, left)
    for (const [schedule, at] of this.ticks) copy.ticks.set(schedule, at)
    for (const uuid of this.settled) copy.settled.add(uuid)
    return copy
  }
}

/** The memory store on what it keeps. */
export const memoryOn = (
  storage: MemoryStorage,
  { keep, shared = false }: MemoryOptions
): SagaExecutionRepository["Service"] => {
  const { changes, inputs, kept, leases, queues, retiredStartKeys, retiredUuids, settled, startKeys } = storage

  const write = (
    execution: SagaExecution,
    hint: Hint | undefined,
    fiber: AnyFiber
  ): SagaExecution | Effect.Effect<never, SagaExecutionConflict | SagaExecutionRetired> => {
    const known = kept.get(execution.uuid)
    if (known === undefined) {
      const refused = refusal(execution)
      if (refused !== undefined) return Effect.fail(refused)
    } else if (known.state.revision !== execution.revision) {
      return Effect.fail(conflict(execution, execution.revision === 0 ? execution.uuid : undefined))
    }
    if (isEmpty(execution, hint)) return execution
    if (hint?.takes === true && isElsewhere(known?.hint, hint.owner, fiber)) return Effect.fail(conflict(execution))
    if (hint?.closes === true && SagaInbox.isUnread(known?.inbox, hint.reads)) return Effect.fail(unread(execution))
    const next = Execution.stored(execution)
    queues.write(execution.state)
    if (known === undefined) {
      kept.set(next.uuid, { state: next.state, signals: signalsOf(execution), inbox: undefined, hint })
      if (next.startKey !== undefined) startKeys.set(next.startKey, next.uuid)
    } else {
      known.state = next.state
      known.inbox = SagaInbox.without(known.inbox, hint?.reads)
      known.hint = hint
      if (hint?.reads !== undefined || hint?.owner === "") PubSub.publishUnsafe(changes, next.uuid)
    }
    if (next.settled) settle(next)
    return next
  }

  /** Whether another living instance is at work on an execution. */
  const isElsewhere = (hint: Hint | undefined, owner = "", fiber: AnyFiber): boolean =>
    leases.holder(hint, { owner, now: fiber.getRef(Clock.Clock).currentTimeMillisUnsafe() }) !== owner

  /** Why an execution that is not kept cannot be written; undefined if it can. */
  const refusal = (execution: SagaExecution) => {
    const { revision, startKey, uuid } = execution
    if (revision > 0) return conflict(execution)
    const retired = retiredUuids.get(uuid) ?? (startKey === undefined ? undefined : retiredStartKeys.get(startKey))
    if (retired !== undefined) return new SagaExecutionRetired(retired)
    const existing = startKey === undefined ? undefined : startKeys.get(startKey)
    return existing === undefined ? undefined : conflict(execution, existing)
  }

  const settle = ({ uuid }: SagaExecution): void => {
    if (keep === 0) return remove(uuid)
    settled.add(uuid)
    for (const oldest of settled) {
      if (settled.size <= keep) break
      remove(oldest)
    }
  }

  const remove = (uuid: string): void => {
    const state = kept.get(uuid)?.state
    if (state === undefined) return
    kept.delete(uuid)
    settled.delete(uuid)
    queues.remove(uuid)
    if (state.creation.startKey !== undefined) startKeys.delete(state.creation.startKey)
    const left = tombstone(new SagaExecution(state, undefined))
    if (left === undefined) return
    if (isCallerGiven(uuid)) retiredUuids.set(uuid, left)
    if (left.startKey !== undefined) retiredStartKeys.set(left.startKey, left)
  }

  const submit = (
    row: SagaInbox.InboxRow,
    signal: string | undefined
  ): Effect.Effect<SagaInbox.Submitted, SagaExecutionNotFound | SagaInbox.SagaInboxFull> => {
    const uuid = uuidOf(row.uuid)
    const known = kept.get(uuid)
    if (known === undefined) return Effect.fail(new SagaExecutionNotFound({ uuid }))
    const rows = new Map(known.inbox)
    if (rows.has(row.id)) return Effect.succeed("known")
    const refused = signal === undefined ? undefined : SagaInbox.refused(known.state, known.signals, signal)
    if (refused !== undefined) return Effect.succeed(refused)
    if (settled.has(uuid)) return Effect.succeed("settled")
    if (rows.size >= SagaInbox.maxRows) return Effect.fail(new SagaInbox.SagaInboxFull({ uuid, rows: rows.size }))
    known.inbox = rows.set(row.id, { ...row, uuid })
    known.hint = dueFrom(known.hint, row.at)
    return Effect.as(
      PubSub.publishAll(inputs, SagaInbox.announcements(uuid, known.hint?.owner === undefined)),
      "stored"
    )
  }

  const giveBack = ({ owner, revision, uuid, wakeAt }: GiveBackRequest): boolean => {
    const known = kept.get(uuid)
    if (known === undefined) return true
    if (known.hint?.owner !== owner || known.state.revision !== revision || known.inbox !== undefined) return false
    known.hint = { wakeAt }
    return true
  }

  const summaries = function* ({ startKey }: ExecutionSummary.Filter) {
    const named = startKey === undefined ? undefined : kept.get(startKeys.get(startKey) ?? "")
    const found = startKey === undefined ? kept.values : named === undefined ? [] : [named]
    for (const { state } of found) yield ExecutionSummary.of(new SagaExecution(state, undefined))
  }

  const store = (execution: SagaExecution, hint: Hint | undefined, fiber: AnyFiber): Stored =>
    FaultPoint.within(fiber, "store", () => {
      const written = write(execution, hint, fiber)
      return written instanceof SagaExecution ? Effect.succeed(written) : written
    })

  return SagaExecutionRepository.of({
    store: Object.assign<Store, Pick<Store, "now">>(
      (execution, hint) => Effect.withFiber((fiber) => store(execution, hint, fiber)),
      {
        now: (execution, hint, fiber) =>
          FaultPoint.isSet(fiber) ? store(execution, hint, fiber) : write(execution, hint, fiber)
      }
    ),
    load: (text) =>
      Effect.suspend(() => {
        const uuid = uuidOf(text)
        const state = kept.get(uuid)?.state
        return state === undefined
          ? Effect.fail(new SagaExecutionNotFound({ uuid }))
          : Effect.succeed(new SagaExecution(state, undefined))
      }),
    delete: (target) => FaultPoint.around("store", () => Effect.sync(() => remove(uuidOf(target)))),
    submit: (row, signal) => FaultPoint.around("store", () => submit(row, signal)),
    inbox: (text) => Effect.sync(() => SagaInbox.inOrder(kept.get(uuidOf(text))?.inbox?.values() ?? [])),
    find: (filter, page = {}) =>
      Effect.map(pageStart(page), (from) => ExecutionSummary.page(summaries(filter), filter, page, from)),
    claim: (request) =>
      Effect.sync(() => {
        if (leases.meet(request)) PubSub.publishUnsafe(inputs, SagaInbox.anotherInstance)
        if (leases.isOver(request)) return leases.claim(kept.values, request)
        const nextAt = queues.admit(kept, request)
        const claimed = leases.claim(kept.values, shared ? { ...request, rests: false } : request)
        return { ...claimed, nextAt: Math.min(nextAt, claimed.nextAt ?? nextAt) }
      }),
    take: (request) =>
      Effect.sync(() => {
        const known = kept.get(request.uuid)
        const owner = leases.holder(known?.hint, request)
        if (known !== undefined && owner === request.owner) known.hint = hintOf(request)
        return owner
      }),
    giveBack: (request) => Effect.sync(() => giveBack(request)),
    release: (owner, buckets) =>
      Effect.sync(() => (buckets === undefined ? leases.release(owner) : leases.leave(kept.values, owner, buckets))),
    census: Effect.sync(() => ExecutionSummary.census(Array.from(kept.values, ({ state }) => state))),
    ended: (uuids, orPaused) =>
      Effect.sync(() => uuids.filter((uuid) => !ExecutionSummary.isUnderWay(kept.get(uuidOf(uuid))?.state, orPaused))),
    changes: Stream.fromPubSub(changes),
    inputs: Stream.fromPubSub(inputs),
    atomically: (work) => work,
    schedules: ticksIn(storage.ticks),
    queues: queues.port(kept, PubSub.publish(inputs, SagaInbox.anotherInstance)),
    durable: false,
    // A crash of the process loses the effects in its memory and the record together.
    transactional: true
  })
}

/** The uuid in the form in which it is stored. Other text is given back as it is: no execution has such an id. */
export const uuidOf = (target: string | SagaExecution): string =>
  typeof target === "string" ? (Uuid.normalize(target) ?? target) : target.uuid

/**
 * In the memory of this process. Keeps the last `keep` settled executions: set it where tests or a dashboard look at
 * executions that are over. Uuids and `startKey`s that callers have given are remembered for ever. Fails with `InvalidSetting`.
 */
export const layerMemoryWith = (options: MemoryOptions): Layer.Layer<SagaExecutionRepository, Setting.InvalidSetting> =>
  Layer.effect(
    SagaExecutionRepository,
    Effect.gen(function* () {
      const named = { keep: true, shared: true }
      const { keep, shared = false } = yield* Setting.known("SagaExecutionRepository", options, named)
      return memoryOn(new MemoryStorage(), {
        keep: yield* Setting.wholeNumber("SagaExecutionRepository.keep", keep, { least: 0 }),
        shared: yield* Setting.flag("SagaExecutionRepository.shared", shared)
      })
    })
  )

/** In the memory of this process. An execution is removed when it is settled. */
export const layerMemory: Layer.Layer<SagaExecutionRepository> = Layer.sync(SagaExecutionRepository, () =>
  memoryOn(new MemoryStorage(), { keep: 0 })
)
