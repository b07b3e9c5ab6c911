/**
 * A repository from three functions, or from Effect's `KeyValueStore`, for one process. Each write saves the whole
 * execution, and writes of one execution wait for each other, so the functions need no locks and no versions.
 */
import { Clock, Effect, Layer, Option, PubSub, Result, Stream } from "effect"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import type { SagaExecution } from "../../execution/view/SagaExecution.ts"
import * as Execution from "../../execution/view/SagaExecution.ts"
import * as ExecutionSummary from "../../ports/ExecutionSummary.ts"
import { isCallerGiven, SagaExecutionRetired, of as tombstone } from "../../ports/ExecutionTombstone.ts"
import { FaultPoint } from "../../ports/FaultPoint.ts"
import * as KeyedLock from "../../ports/KeyedLock.ts"
import { dueFrom, type Hint, hintOf, type KeptExecution, Leases } from "../../ports/Leases.ts"
import * as Port from "../../ports/SagaExecutionRepository.ts"
import * as SagaInbox from "../../ports/SagaInbox.ts"
import * as Setting from "../../ports/Setting.ts"
import * as CanonicalJson from "../../wire/CanonicalJson.ts"
import * as Uuid from "../../wire/Uuid.ts"
import {
  besideFrom,
  corrupt,
  encoded,
  executionAt,
  type Found,
  fromKept,
  inboxFrom,
  isClaimedName,
  type Kept,
  keyOfStartKey,
  keyOfUuid,
  read,
  revisionOf,
  summaryOfUnreadable
} from "./KeptValues.ts"

export type { Kept } from "./KeptValues.ts"

// ---- options ---------------------------------------------------------------------------------------------------

/**
 * Keeps JSON values by uuid. A value may be given back as it was saved, or as its JSON text. An error of a function is
 * the `cause` of a `SagaExecutionRepositoryError` with the reason `unavailable`: the call may work later.
 */
export interface KeyValueFunctions {
  /** Saves a value in place of the one that has the uuid. */
  readonly save: (uuid: string, value: Kept) => Effect.Effect<unknown, unknown>
  /** The value of the uuid; `undefined`, `null` or `Option.none()` where there is none. */
  readonly get: (uuid: string) => Effect.Effect<unknown, unknown>
  /** Removes the value of the uuid; succeeds where there is none. */
  readonly remove: (uuid: string) => Effect.Effect<unknown, unknown>
  /**
   * All values. Without this function `claim`, `census` and `find` fail with `SagaRepositoryUnsupported`: nothing is listed
   * but the execution of a `startKey`, and no execution is resumed after a crash.
   */
  readonly list?: () => Effect.Effect<Iterable<unknown>, unknown>
}

export interface KeyValueRepositoryOptions {
  /**
   * Whether settled executions stay. Default true: they can be loaded and listed until `delete`. False keeps the store
   * small; the uuid and the `startKey` that a caller has given stay used up either way (SPEC C9).
   */
  readonly keepSettled?: boolean
  /**
   * Whether the functions keep values over a restart of the process. Default true: a participant that asks about an
   * execution that is not kept is told to reject its transaction. With false the answer is that nothing is decided.
   */
  readonly durable?: boolean
}

/** The functions with the errors of the port. */
const accessTo = ({ get, list, remove, save }: KeyValueFunctions) => {
  const call = <A>(operation: Port.Operation, self: Effect.Effect<A, unknown>) =>
    Effect.mapError(self, (cause) => new Port.SagaExecutionRepositoryError({ reason: "unavailable", operation, cause }))

  const value = (operation: Port.Operation, uuid: string) =>
    Effect.flatMap(call(operation, get(uuid)), (given) => read(operation, given))

  const claimedName = (operation: Port.Operation, key: string) =>
    Effect.flatMap(value(operation, key), (value) =>
      value === undefined || isClaimedName(value)
        ? Effect.succeed(value?.claimed)
        : Effect.fail(corrupt(operation)(new Execution.SagaDecodeError({ issue: "$.claimed" })))
    )

  const all = Effect.fnUntraced(function* (operation: "find" | "claim" | "census") {
    if (list === undefined) return yield* new Port.SagaRepositoryUnsupported({ operation })
    return yield* collected(operation, yield* call(operation, list()))
  })

  /** A value that cannot be read is set apart: the other executions do not wait for its repair. */
  const collected = Effect.fnUntraced(function* (operation: Port.Operation, values: Iterable<unknown>) {
    const executions: Array<Found> = []
    const unreadable: Array<ExecutionSummary.ExecutionSummary> = []
    for (const given of values) {
      const found = yield* Effect.result(fromKept(operation, given))
      if (Result.isSuccess(found)) executions.push(...found.success)
      else {
        const summary = Option.flatMap(yield* Effect.option(read(operation, given)), summaryOfUnreadable)
        if (Option.isSome(summary)) unreadable.push(summary.value)
        else if (operation === "find")
          yield* Effect.logWarning(`An execution cannot be listed: ${found.failure.message}`)
      }
    }
    return { executions, unreadable }
  })

  /** The execution that has the `startKey`. */
  const named = Effect.fnUntraced(function* (operation: "find", startKey: string) {
    const claimed = yield* claimedName(operation, keyOfStartKey(startKey))
    const kept = claimed === undefined ? undefined : yield* value(operation, claimed.uuid)
    return yield* collected(operation, kept === undefined ? [] : [kept])
  })

  return {
    all,
    named,
    claimedName,
    value,
    save: (operation: Port.Operation, uuid: string, kept: Kept) => call(operation, save(uuid, kept)),
    remove: (operation: Port.Operation, uuid: string) => call(operation, remove(uuid))
  }
}

// ---- writing ---------------------------------------------------------------------------------------------------

const writerTo = (
  { claimedName, remove, save, value }: ReturnType<typeof accessTo>,
  hints: Map<string, Hint>,
  leases: Leases,
  keepSettled: boolean
) => {
  /** Writes that have failed and may have happened all the same (SPEC W5). */
  const unknown = new WeakSet<SagaExecution>()

  /** A first write: no name of the execution may be in use or used up. */
  const begin = Effect.fnUntraced(function* (execution: SagaExecution) {
    const { revision, startKey, uuid } = execution
    if (revision > 0) return yield* Port.conflict(execution)
    if (isCallerGiven(uuid)) {
      const claimed = yield* claimedName("store", keyOfUuid(uuid))
      if (claimed?.tombstone !== undefined) return yield* new SagaExecutionRetired(claimed.tombstone)
    }
    if (startKey === undefined) return
    const key = keyOfStartKey(startKey)
    const claimed = yield* claimedName("store", key)
    if (claimed?.tombstone !== undefined) return yield* new SagaExecutionRetired(claimed.tombstone)
    // A crash between this write and the next leaves a name without an execution: the name is free.
    if (claimed !== undefined && claimed.uuid !== uuid && (yield* value("store", claimed.uuid)) !== undefined)
      return yield* Port.conflict(execution, claimed.uuid)
    yield* save("store", key, { v: 1, claimed: { uuid } })
  })

  const retire = Effect.fnUntraced(function* (operation: Port.Operation, execution: SagaExecution) {
    const left = tombstone(execution)
    const claimed = { v: 1, claimed: { uuid: execution.uuid, ...(left !== undefined && { tombstone: left }) } } as const
    if (left?.startKey !== undefined) yield* save(operation, keyOfStartKey(left.startKey), claimed)
    if (isCallerGiven(execution.uuid)) yield* save(operation, keyOfUuid(execution.uuid), claimed)
    yield* remove(operation, execution.uuid)
    hints.delete(execution.uuid)
  })

  const write = Effect.fnUntraced(function* (execution: SagaExecution, hint: Hint | undefined) {
    const next = Execution.stored(execution)
    const kept = yield* value("store", execution.uuid)
    const beside =
      kept === undefined ? { rows: undefined, signals: Port.signalsOf(execution) } : yield* besideFrom("store", kept)
    if (kept === undefined) yield* begin(execution)
    else {
      const known = revisionOf(kept)
      if (Option.isNone(known)) return yield* corrupt("store")(new Execution.SagaDecodeError({ issue: "$.revision" }))
      if (known.value.revision !== execution.revision) {
        if (unknown.has(execution) && CanonicalJson.sha256(kept) === CanonicalJson.sha256(encoded(next, beside)))
          return next
        return yield* Port.conflict(execution, execution.revision === 0 ? execution.uuid : undefined)
      }
    }
    if (Port.isEmpty(execution, hint)) return execution
    if (hint?.takes === true) {
      const { owner = "" } = hint
      const now = yield* Clock.currentTimeMillis
      if (leases.holder(hints.get(execution.uuid), { owner, now }) !== owner) return yield* Port.conflict(execution)
    }
    if (hint?.closes === true && SagaInbox.isUnread(beside.rows, hint.reads)) return yield* Port.unread(execution)
    const left = { ...beside, rows: SagaInbox.without(beside.rows, hint?.reads) }
    if (next.settled || hint === undefined) hints.delete(next.uuid)
    else hints.set(next.uuid, hint)
    yield* next.settled && !keepSettled
      ? retire("store", next)
      : Effect.onError(save("store", next.uuid, encoded(next, left)), () => Effect.sync(() => unknown.add(execution)))
    return next
  })

  const submit = Effect.fnUntraced(function* (row: SagaInbox.InboxRow, signal: string | undefined) {
    const { id, uuid } = row
    const kept = Uuid.normalize(uuid) === undefined ? undefined : yield* value("submit", uuid)
    if (kept === undefined || isClaimedName(kept)) return yield* new Port.SagaExecutionNotFound({ uuid })
    const execution = yield* executionAt("submit", uuid, kept)
    const { rows: before, signals } = yield* besideFrom("submit", kept)
    const rows = new Map(before)
    if (rows.has(id)) return "known"
    const refused = signal === undefined ? undefined : SagaInbox.refused(execution.state, signals, signal)
    if (refused !== undefined) return refused
    if (execution.settled) return "settled"
    if (rows.size >= SagaInbox.maxRows) return yield* new SagaInbox.SagaInboxFull({ uuid, rows: rows.size })
    yield* save("submit", uuid, encoded(execution, { rows: rows.set(id, row), signals }))
    const hint = dueFrom(hints.get(uuid), row.at)
    if (hint !== undefined) hints.set(uuid, hint)
    return "stored"
  })

  const giveBack = Effect.fnUntraced(function* ({ owner, revision, uuid, wakeAt }: Port.GiveBackRequest) {
    const kept = yield* value("giveBack", uuid)
    if (kept === undefined || isClaimedName(kept)) return true
    if (hints.get(uuid)?.owner !== owner) return false
    if (Option.getOrUndefined(revisionOf(kept))?.revision !== revision) return false
    if ((yield* inboxFrom("giveBack", kept)) !== undefined) return false
    hints.set(uuid, { wakeAt })
    return true
  })

  return { giveBack, retire, submit, write }
}

// ---- repository ------------------------------------------------------------------------------------------------

/**
 * A repository from three functions, and `list` for recovery and lists. Fails with `InvalidSetting` where an option cannot be used, or
 * a function is none.
 *
 * @example
 * ```ts
 * const kept = new Map<string, string>()
 * const repository = KeyValueRepository.make({
 *   save: (uuid, value) => Effect.sync(() => kept.set(uuid, JSON.stringify(value))),
 *   get: (uuid) => Effect.sync(() => kept.get(uuid)),
 *   remove: (uuid) => Effect.sync(() => kept.delete(uuid)),
 *   list: () => Effect.sync(() => kept.values())
 * })
 * const RepositoryLive = Layer.effect(SagaExecutionRepository.SagaExecutionRepository, repository)
 * ```
 */
export const make = Effect.fnUntraced(function* (
  functions: KeyValueFunctions,
  options: KeyValueRepositoryOptions = {}
): Effect.fn.Return<Port.SagaExecutionRepository["Service"], Setting.InvalidSetting> {
  const named = { durable: true, keepSettled: true }
  const { durable = true, keepSettled = true } = yield* Setting.known("KeyValueRepository", options, named)
  const { get, list, remove, save } = yield* Setting.known<KeyValueFunctions>("KeyValueRepository", functions, {
    save: true,
    get: true,
    remove: true,
    list: true
  })
  for (const [name, given] of Object.entries({ save, get, remove, list: list ?? get }))
    yield* Setting.aFunction(`KeyValueRepository.${name}`, given)
  return repositoryOn(functions, {
    durable: yield* Setting.flag("KeyValueRepository.durable", durable),
    keepSettled: yield* Setting.flag("KeyValueRepository.keepSettled", keepSettled)
  })
})

const repositoryOn = (
  functions: KeyValueFunctions,
  { durable, keepSettled }: Required<KeyValueRepositoryOptions>
): Port.SagaExecutionRepository["Service"] => {
  const locks = KeyedLock.make()
  const leases = new Leases()
  const hints = new Map<string, Hint>()
  const inputs = Effect.runSync(PubSub.sliding<string>(SagaInbox.maxAnnounced))
  const access = accessTo(functions)
  const { giveBack, retire, submit, write } = writerTo(access, hints, leases, keepSettled)

  const alone =
    (key: string) =>
    <A, E>(use: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      locks.hold(key, use)

  /** No other execution starts under the `startKey` in the meantime. */
  const holdingName = ({ startKey }: SagaExecution) =>
    startKey === undefined ? <A>(use: A): A => use : alone(keyOfStartKey(startKey))

  const load = Effect.fnUntraced(function* (text: string) {
    const uuid = Port.uuidOf(text)
    const value = Uuid.normalize(uuid) === undefined ? undefined : yield* access.value("load", uuid)
    if (value === undefined) return yield* new Port.SagaExecutionNotFound({ uuid })
    return yield* executionAt("load", uuid, value)
  })

  return Port.SagaExecutionRepository.of({
    store: (execution, hint) =>
      FaultPoint.around("store", () => write(execution, hint)).pipe(holdingName(execution), alone(execution.uuid)),
    load,
    delete: Effect.fnUntraced(function* (target) {
      const uuid = Port.uuidOf(target)
      if (Uuid.normalize(uuid) === undefined) return
      yield* Effect.gen(function* () {
        const value = yield* access.value("delete", uuid)
        if (value === undefined) return
        const execution = yield* executionAt("delete", uuid, value)
        yield* FaultPoint.around("store", () => retire("delete", execution)).pipe(holdingName(execution))
      }).pipe(alone(uuid))
    }),
    submit: (row, signal) => {
      const uuid = Port.uuidOf(row.uuid)
      return FaultPoint.around("store", () => submit({ ...row, uuid }, signal)).pipe(
        alone(uuid),
        Effect.tap((submitted) =>
          submitted === "stored"
            ? PubSub.publishAll(inputs, SagaInbox.announcements(uuid, hints.get(uuid)?.owner === undefined))
            : Effect.void
        )
      )
    },
    inbox: Effect.fnUntraced(function* (text) {
      const uuid = Port.uuidOf(text)
      const value = Uuid.normalize(uuid) === undefined ? undefined : yield* access.value("inbox", uuid)
      return value === undefined ? [] : SagaInbox.inOrder((yield* inboxFrom("inbox", value))?.values() ?? [])
    }),
    find: Effect.fnUntraced(function* (filter, page = {}) {
      const from = yield* Port.pageStart(page)
      // A name leads to its execution, also where nothing can be listed.
      const { executions, unreadable } = yield* filter.startKey === undefined
        ? access.all("find")
        : access.named("find", filter.startKey)
      const summaries = executions.map(({ execution }) => ExecutionSummary.of(execution))
      return ExecutionSummary.page([...summaries, ...unreadable], filter, page, from)
    }),
    claim: Effect.fnUntraced(function* (request) {
      const { executions, unreadable } = yield* access.all("claim")
      const kept = executions.map(
        ({ execution: { state }, inbox }): KeptExecution => ({ state, hint: hints.get(state.uuid), inbox })
      )
      const claimed = leases.claim(kept, { ...request, rests: false })
      for (const { hint, state } of kept) if (hint !== undefined) hints.set(state.uuid, hint)
      const except = new Set(request.except)
      return { ...claimed, unreadable: unreadable.flatMap(({ uuid }) => (except.has(uuid) ? [] : [uuid])) }
    }),
    take: (request) =>
      Effect.sync(() => {
        const owner = leases.holder(hints.get(request.uuid), request)
        if (owner === request.owner) hints.set(request.uuid, hintOf(request))
        return owner
      }),
    giveBack: (request) => giveBack(request).pipe(alone(request.uuid)),
    release: (owner, buckets) =>
      Effect.sync(() => {
        if (buckets === undefined) return leases.release(owner)
        const kept = Array.from(hints, ([uuid, hint]) => ({ state: { uuid }, hint }))
        leases.leave(kept, owner, buckets)
        for (const { hint, state } of kept) if (hint !== undefined) hints.set(state.uuid, hint)
      }),
    // One that cannot be read is no news.
    ended: (uuids, orPaused) =>
      Effect.filter(
        uuids,
        (uuid) =>
          Effect.match(load(uuid), {
            onFailure: ({ _tag }) => _tag === "SagaExecutionNotFound",
            onSuccess: ({ state }) => !ExecutionSummary.isUnderWay(state, orPaused)
          }),
        { concurrency: 16 }
      ),
    census: Effect.map(
      Effect.suspend(() => access.all("census")),
      ({ executions }) => ExecutionSummary.census(executions.map(({ execution }) => execution.state))
    ),
    changes: Stream.empty,
    inputs: Stream.fromPubSub(inputs),
    atomically: (work) => work,
    durable,
    transactional: false
  })
}

// ---- KeyValueStore ---------------------------------------------------------------------------------------------

export interface KeyValueStoreOptions extends KeyValueRepositoryOptions {
  /** Before the uuid in every key. Default `effect-saga/`. Set it where several programs share one store. */
  readonly prefix?: string
}

/** A repository in a `KeyValueStore` (files, Redis, browser storage, …): one key for each execution, as JSON text. */
export const fromKeyValueStore = Effect.fnUntraced(function* (
  store: KeyValueStore.KeyValueStore,
  given: KeyValueStoreOptions = {}
): Effect.fn.Return<Port.SagaExecutionRepository["Service"], Setting.InvalidSetting> {
  const named = { durable: true, keepSettled: true, prefix: true }
  const { prefix = "effect-saga/", ...options } = yield* Setting.known("KeyValueRepository", given, named)
  const own = KeyValueStore.prefix(store, yield* Setting.text("KeyValueRepository.prefix", prefix))
  const functions = {
    save: (uuid: string, raw: Kept) => own.set(uuid, JSON.stringify(raw)),
    get: own.get,
    remove: own.remove,
    list: () => Effect.flatMap(own.keys, Effect.forEach(own.get))
  }
  return yield* make(functions, options)
})

/** `fromKeyValueStore` with the `KeyValueStore` of the context. */
export const layer = (
  options?: KeyValueStoreOptions
): Layer.Layer<Port.SagaExecutionRepository, Setting.InvalidSetting, KeyValueStore.KeyValueStore> =>
  Layer.effect(
    Port.SagaExecutionRepository,
    Effect.flatMap(KeyValueStore.KeyValueStore, (store) => fromKeyValueStore(store, options))
  )
