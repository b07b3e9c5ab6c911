/**
 * Port: keeps executions. A write appends what an execution has gained since the last one, and the revision decides who
 * may: of two writers on the same revision one is refused. Nothing is decoded here, so executions of sagas that this
 * program does not know can be kept and listed. `layerMemory` says what a repository does.
 */
import { Context, Effect, Layer, Option, Schema, Stream } from "effect"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import { isSettled, type SagaState } from "../execution/rules/SagaState.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as CanonicalJson from "../wire/CanonicalJson.ts"
import { Uuid as UuidText } from "../wire/Envelope.ts"
import * as Uuid from "../wire/Uuid.ts"
import * as ExecutionSummary from "./ExecutionSummary.ts"
import { isCallerGiven, SagaExecutionRetired, Tombstone, of as tombstone } from "./ExecutionTombstone.ts"
import { FaultPoint } from "./FaultPoint.ts"
import * as KeyedLock from "./KeyedLock.ts"
import { type Claimed, type ClaimRequest, type Hint, Leases, type Place, type TakeRequest } from "./Leases.ts"

export type { Filter, Page, PageRequest } from "./ExecutionSummary.ts"
export { ExecutionSummary } from "./ExecutionSummary.ts"
export { contextHash, SagaExecutionRetired } from "./ExecutionTombstone.ts"
export { type Claimed, type ClaimRequest, type Hint, isClaimable, type TakeRequest } from "./Leases.ts"

// ---- errors ----------------------------------------------------------------------------------------------------

/** Somebody else has made the write of this revision: load the execution and decide again (SPEC W5). */
export class SagaExecutionConflict extends Schema.TaggedError<SagaExecutionConflict>()("SagaExecutionConflict", {
  uuid: Schema.String,
  /** The revision that was refused; 1 for a first write. */
  revision: Schema.Int,
  /** What a first write met: the execution that has its uuid or its `startKey`. */
  existing: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return this.existing === undefined
      ? `Revision ${this.revision} of execution ${this.uuid} was written by somebody else, or the execution is gone`
      : `Execution ${this.uuid} cannot start: ${this.existing === this.uuid ? "it exists" : `its startKey belongs to execution ${this.existing}`}`
  }
}

export class SagaExecutionNotFound extends Schema.TaggedError<SagaExecutionNotFound>()("SagaExecutionNotFound", {
  uuid: Schema.String
}) {
  override get message(): string {
    return `There is no execution ${this.uuid}`
  }
}

export const Operation = Schema.Literals(["store", "load", "delete", "find", "claim", "take", "release", "census"])
export type Operation = typeof Operation.Type

/**
 * `unavailable`: it may work later, and a write may have happened. `corrupt`: what is kept cannot be read. `rejected`:
 * the same call can never work.
 */
export class SagaExecutionRepositoryError extends Schema.TaggedError<SagaExecutionRepositoryError>()(
  "SagaExecutionRepositoryError",
  {
    reason: Schema.Literals(["unavailable", "corrupt", "rejected"]),
    operation: Operation,
    cause: Schema.optionalKey(Schema.Defect())
  }
) {
  override get message(): string {
    return `The repository could not ${this.operation}: ${this.reason}`
  }
}

/** The repository was made without what the operation needs. */
export class SagaRepositoryUnsupported extends Schema.TaggedError<SagaRepositoryUnsupported>()(
  "SagaRepositoryUnsupported",
  { operation: Operation }
) {
  override get message(): string {
    return `The repository cannot ${this.operation} executions`
  }
}

/** Unsettled executions of one definition. */
export interface Census {
  readonly saga: string
  readonly fingerprint: string
  readonly count: number
}

const censusOf = (states: Iterable<SagaState>): ReadonlyArray<Census> => {
  const counts = new Map<string, Census>()
  for (const state of states) {
    if (isSettled(state)) continue
    const { fingerprint, saga } = state
    const key = `${saga} ${fingerprint}`
    counts.set(key, { saga, fingerprint, count: (counts.get(key)?.count ?? 0) + 1 })
  }
  return [...counts.values()]
}

// ---- the port --------------------------------------------------------------------------------------------------

export class SagaExecutionRepository extends Context.Service<
  SagaExecutionRepository,
  {
    /**
     * Writes what the execution has gained since its last write, and gives the execution after it. One that has gained
     * nothing is given back as it is.
     */
    readonly store: (
      execution: SagaExecution,
      hint?: Hint
    ) => Effect.Effect<SagaExecution, SagaExecutionConflict | SagaExecutionRetired | SagaExecutionRepositoryError>
    /** The execution without its definition. Any text form of the uuid will do. */
    readonly load: (uuid: string) => Effect.Effect<SagaExecution, SagaExecutionNotFound | SagaExecutionRepositoryError>
    /** What is not there is deleted already. Ids that a caller gave stay used up. */
    readonly delete: (target: string | SagaExecution) => Effect.Effect<void, SagaExecutionRepositoryError>
    /** Newest first. A cursor that `next` has not given is `rejected`. */
    readonly find: (
      filter: ExecutionSummary.Filter,
      page?: ExecutionSummary.PageRequest
    ) => Effect.Effect<ExecutionSummary.Page, SagaExecutionRepositoryError | SagaRepositoryUnsupported>
    /**
     * Says that the owner lives, and takes unsettled executions that nobody alive has, that wait for nobody's decision and
     * that are due. They are the owner's until it gives them back or its lease is over (SPEC C7).
     */
    readonly claim: (
      request: ClaimRequest
    ) => Effect.Effect<Claimed, SagaExecutionRepositoryError | SagaRepositoryUnsupported>
    /**
     * Makes an execution the owner's, unless another instance that lives is at work on it; gives the instance that has it
     * then. What is not there is the owner's.
     */
    readonly take: (request: TakeRequest) => Effect.Effect<string, SagaExecutionRepositoryError>
    /** Gives back what the owner has. */
    readonly release: (owner: string) => Effect.Effect<void, SagaExecutionRepositoryError>
    /** How many unsettled executions there are of each definition. */
    readonly census: Effect.Effect<ReadonlyArray<Census>, SagaExecutionRepositoryError | SagaRepositoryUnsupported>
    /**
     * Uuids of executions that any process has written so that somebody may have waited for it: paused, woken, decided,
     * parked, ended. Some may be missing; empty where one process is all there is.
     */
    readonly changes: Stream.Stream<string>
    /**
     * Runs work so that what it stores, and what it writes through the repository's own client, commits together or not
     * at all. Inside another one it is a part that can fail alone. Where not `transactional`: the work as it is.
     */
    readonly atomically: <A, E, R>(
      work: Effect.Effect<A, E, R>
    ) => Effect.Effect<A, E | SagaExecutionRepositoryError, R>
    /** What is stored survives a restart. */
    readonly durable: boolean
    /** Local steps can join the database transaction of a write. */
    readonly transactional: boolean
  }
>()("effect-saga/SagaExecutionRepository") {}

export const conflict = ({ revision, uuid }: SagaExecution, existing?: string): SagaExecutionConflict =>
  new SagaExecutionConflict({ uuid, revision: revision + 1, ...(existing !== undefined && { existing }) })

/** Where a page begins; undefined for the first one. */
export const pageStart = ({ after }: ExecutionSummary.PageRequest) =>
  after === undefined
    ? Effect.succeed(undefined)
    : Effect.mapError(
        Effect.fromOption(ExecutionSummary.position(after)),
        () => new SagaExecutionRepositoryError({ reason: "rejected", operation: "find" })
      )

// ---- memory ----------------------------------------------------------------------------------------------------

const makeMemory = (keep: number): SagaExecutionRepository["Service"] => {
  /** The latest state of each execution, in the order of their first writes. States are immutable. */
  const kept = new Map<string, { state: SagaState; hint: Hint | undefined }>()
  const startKeys = new Map<string, string>()
  /** By uuid and by `startKey`: neither may ever start again. */
  const retiredUuids = new Map<string, Tombstone>()
  const retiredStartKeys = new Map<string, Tombstone>()
  /** Settled executions that are kept, oldest first. */
  const settled = new Set<string>()
  const leases = new Leases()

  const write = (
    execution: SagaExecution,
    hint: Hint | undefined
  ): Effect.Effect<SagaExecution, SagaExecutionConflict | SagaExecutionRetired> => {
    const place = kept.get(execution.uuid)
    if (place === undefined) {
      const refused = refusal(execution)
      if (refused !== undefined) return Effect.fail(refused)
    } else if (place.state.revision !== execution.revision) {
      return Effect.fail(conflict(execution, execution.revision === 0 ? execution.uuid : undefined))
    }
    if (execution.state.unstored === 0) return Effect.succeed(execution)
    const next = Execution.stored(execution)
    if (place === undefined) {
      kept.set(next.uuid, { state: next.state, hint })
      if (next.startKey !== undefined) startKeys.set(next.startKey, next.uuid)
    } else {
      place.state = next.state
      place.hint = hint
    }
    if (next.settled) settle(next)
    return Effect.succeed(next)
  }

  /** Why an execution that is not here cannot be written. */
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
    if (state.startKey !== undefined) startKeys.delete(state.startKey)
    const left = tombstone(new SagaExecution(state, undefined))
    if (left === undefined) return
    if (isCallerGiven(uuid)) retiredUuids.set(uuid, left)
    if (left.startKey !== undefined) retiredStartKeys.set(left.startKey, left)
  }

  const heads = function* () {
    for (const { state } of kept.values()) yield ExecutionSummary.of(new SagaExecution(state, undefined))
  }

  return SagaExecutionRepository.of({
    store: (execution, hint) =>
      Effect.withFiber((fiber) => FaultPoint.within(fiber, "store", () => write(execution, hint))),
    load: (text) =>
      Effect.suspend(() => {
        const uuid = uuidOf(text)
        const state = kept.get(uuid)?.state
        return state === undefined
          ? Effect.fail(new SagaExecutionNotFound({ uuid }))
          : Effect.succeed(new SagaExecution(state, undefined))
      }),
    delete: (target) => FaultPoint.around("store", () => Effect.sync(() => remove(uuidOf(target)))),
    find: (filter, page = {}) =>
      Effect.map(pageStart(page), (from) => ExecutionSummary.page(heads(), filter, page, from)),
    claim: (request) => Effect.sync(() => leases.take(kept.values(), request)),
    take: (request) =>
      Effect.sync(() => {
        const place = kept.get(request.uuid)
        const owner = leases.holder(place?.hint, request)
        if (place !== undefined && owner === request.owner) place.hint = hintOf(request)
        return owner
      }),
    release: (owner) => Effect.sync(() => leases.release(owner)),
    census: Effect.sync(() => censusOf(Array.from(kept.values(), ({ state }) => state))),
    changes: Stream.empty,
    atomically: (work) => work,
    durable: false,
    // A crash takes the effects in this process and the record alike.
    transactional: true
  })
}

const hintOf = ({ owner, wakeAt }: TakeRequest): Hint => ({ owner, ...(wakeAt !== undefined && { wakeAt }) })

/** The id as it is stored. Text that is no uuid stays what it is: nothing has such an id. */
const uuidOf = (target: string | SagaExecution): string =>
  typeof target === "string" ? (Uuid.normalize(target) ?? target) : target.uuid

/** Keeps the last `keep` settled executions. What callers have named is remembered for ever. */
export const layerMemoryWith = (options: { readonly keep: number }): Layer.Layer<SagaExecutionRepository> =>
  Layer.sync(SagaExecutionRepository, () => makeMemory(options.keep))

/** Forgets an execution when it is settled. */
export const layerMemory: Layer.Layer<SagaExecutionRepository> = layerMemoryWith({ keep: 0 })

// ---- three functions -------------------------------------------------------------------------------------------

/** Keeps values by uuid. Uuids come in one form; a value is JSON and is given back as it was, or as its text. */
export interface Functions {
  readonly save: (uuid: string, value: Kept) => Effect.Effect<unknown, unknown>
  /** Nothing, or `Option.none`, where nothing is kept. */
  readonly get: (uuid: string) => Effect.Effect<unknown, unknown>
  readonly remove: (uuid: string) => Effect.Effect<unknown, unknown>
  /** All values. Without it nothing is found and nothing recovered. */
  readonly list?: () => Effect.Effect<Iterable<unknown>, unknown>
}

export interface MakeOptions {
  /** Default true; false: an execution is removed when it is settled. */
  readonly keepSettled?: boolean
  /** What is saved survives a restart. Default true. */
  readonly durable?: boolean
}

/** Kept beside the executions, under uuids made from what it is about. */
const Named = Schema.Struct({
  v: Schema.Literal(1),
  claimed: Schema.Struct({ uuid: UuidText, tombstone: Schema.optionalKey(Tombstone) })
})

/** What the functions keep: an execution in its encoded form, or who has a name. */
export type Kept = Execution.Raw | typeof Named.Type

const isClaimed = Schema.is(Named)
const revisionOf = Schema.decodeUnknownOption(Schema.Struct({ revision: Schema.Int }))
/** What `JSON.parse` says quotes the text, which must not get into an error (SPEC C12). */
const parse = (text: string) =>
  Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: () => new Execution.SagaDecodeError({ issue: "$ is not JSON" })
  })
const noUuid = "00000000-0000-0000-0000-000000000000"
const placeOfUuid = (uuid: string): string => Uuid.ofStep(uuid, "uuid")
const placeOfStartKey = (startKey: string): string => Uuid.ofStep(noUuid, `startKey ${startKey}`)

/**
 * A repository from three functions, for one process: writes of one execution wait for each other, and each saves the
 * whole execution.
 */
export const make = (functions: Functions, options: MakeOptions = {}): SagaExecutionRepository["Service"] => {
  const locks = KeyedLock.make()
  const leases = new Leases()
  const hints = new Map<string, Hint>()
  /** Writes that have failed and may have happened all the same (SPEC W5). */
  const unknown = new WeakSet<SagaExecution>()
  const { list } = functions

  const alone =
    (key: string) =>
    <A, E>(use: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      locks.hold(key, use)

  const call = <A>(operation: Operation, self: Effect.Effect<A, unknown>) =>
    Effect.mapError(self, (cause) => new SagaExecutionRepositoryError({ reason: "unavailable", operation, cause }))

  const corrupt = (operation: Operation) => (cause: unknown) =>
    new SagaExecutionRepositoryError({ reason: "corrupt", operation, cause })

  const read = (operation: Operation, given: unknown) => {
    const value = Option.isOption(given) ? Option.getOrUndefined(given) : given
    return typeof value === "string"
      ? Effect.mapError(parse(value), corrupt(operation))
      : Effect.succeed(value ?? undefined)
  }

  const get = (operation: Operation, uuid: string) =>
    Effect.flatMap(call(operation, functions.get(uuid)), (given) => read(operation, given))

  const getClaimed = (operation: Operation, place: string) =>
    Effect.flatMap(get(operation, place), (value) =>
      value === undefined || isClaimed(value)
        ? Effect.succeed(value?.claimed)
        : Effect.fail(corrupt(operation)(new Execution.SagaDecodeError({ issue: "$.claimed" })))
    )

  /** A first write: no name of the execution may be taken or used up. */
  const begin = Effect.fnUntraced(function* (execution: SagaExecution) {
    const { revision, startKey, uuid } = execution
    if (revision > 0) return yield* conflict(execution)
    if (isCallerGiven(uuid)) {
      const claimed = yield* getClaimed("store", placeOfUuid(uuid))
      if (claimed?.tombstone !== undefined) return yield* new SagaExecutionRetired(claimed.tombstone)
    }
    if (startKey === undefined) return
    const place = placeOfStartKey(startKey)
    const claimed = yield* getClaimed("store", place)
    if (claimed?.tombstone !== undefined) return yield* new SagaExecutionRetired(claimed.tombstone)
    // A crash between this write and the next leaves a name without an execution: it is free.
    if (claimed !== undefined && claimed.uuid !== uuid && (yield* get("store", claimed.uuid)) !== undefined)
      return yield* conflict(execution, claimed.uuid)
    yield* call("store", functions.save(place, { v: 1, claimed: { uuid } }))
  })

  const retire = Effect.fnUntraced(function* (operation: Operation, execution: SagaExecution) {
    const left = tombstone(execution)
    const claimed = { v: 1, claimed: { uuid: execution.uuid, ...(left !== undefined && { tombstone: left }) } } as const
    if (left?.startKey !== undefined) yield* call(operation, functions.save(placeOfStartKey(left.startKey), claimed))
    if (isCallerGiven(execution.uuid)) yield* call(operation, functions.save(placeOfUuid(execution.uuid), claimed))
    yield* call(operation, functions.remove(execution.uuid))
    hints.delete(execution.uuid)
  })

  const write = Effect.fnUntraced(function* (execution: SagaExecution, hint: Hint | undefined) {
    const next = Execution.stored(execution)
    const kept = yield* get("store", execution.uuid)
    if (kept === undefined) yield* begin(execution)
    else {
      const known = revisionOf(kept)
      if (Option.isNone(known)) return yield* corrupt("store")(new Execution.SagaDecodeError({ issue: "$.revision" }))
      if (known.value.revision !== execution.revision) {
        if (unknown.has(execution) && CanonicalJson.sha256(kept) === CanonicalJson.sha256(Execution.raw(next)))
          return next
        return yield* conflict(execution, execution.revision === 0 ? execution.uuid : undefined)
      }
    }
    if (execution.state.unstored === 0) return execution
    if (next.settled || hint === undefined) hints.delete(next.uuid)
    else hints.set(next.uuid, hint)
    yield* next.settled && options.keepSettled === false
      ? retire("store", next)
      : Effect.onError(call("store", functions.save(next.uuid, Execution.raw(next))), () =>
          Effect.sync(() => unknown.add(execution))
        )
    return next
  })

  const fromKept = (operation: Operation, given: unknown) =>
    Effect.flatMap(read(operation, given), (value) =>
      value === undefined || isClaimed(value) ? Effect.succeed([]) : Effect.map(Execution.fromRaw(value), Array.of)
    )

  /** What cannot be read stays where it is: the others must not wait for whoever repairs it. */
  const all = Effect.fnUntraced(function* (operation: "find" | "claim" | "census") {
    if (list === undefined) return yield* new SagaRepositoryUnsupported({ operation })
    const found = yield* Effect.forEach(yield* call(operation, list()), (given) =>
      Effect.catch(fromKept(operation, given), (error) =>
        Effect.as(Effect.logWarning(`An execution cannot be listed: ${error.message}`), [])
      )
    )
    return found.flat()
  })

  /** No other execution starts under the name in the meantime. */
  const holdingName = ({ startKey }: SagaExecution) =>
    startKey === undefined ? <A>(use: A): A => use : alone(placeOfStartKey(startKey))

  return SagaExecutionRepository.of({
    store: (execution, hint) =>
      FaultPoint.around("store", () => write(execution, hint)).pipe(holdingName(execution), alone(execution.uuid)),
    load: Effect.fnUntraced(function* (text) {
      const uuid = uuidOf(text)
      const value = Uuid.normalize(uuid) === undefined ? undefined : yield* get("load", uuid)
      if (value === undefined) return yield* new SagaExecutionNotFound({ uuid })
      return yield* Effect.mapError(Execution.fromRaw(value), corrupt("load"))
    }),
    delete: Effect.fnUntraced(function* (target) {
      const uuid = uuidOf(target)
      if (Uuid.normalize(uuid) === undefined) return
      yield* Effect.gen(function* () {
        const value = yield* get("delete", uuid)
        if (value === undefined) return
        const execution = yield* Effect.mapError(Execution.fromRaw(value), corrupt("delete"))
        yield* FaultPoint.around("store", () => retire("delete", execution)).pipe(holdingName(execution))
      }).pipe(alone(uuid))
    }),
    find: Effect.fnUntraced(function* (filter, page = {}) {
      const from = yield* pageStart(page)
      return ExecutionSummary.page((yield* all("find")).map(ExecutionSummary.of), filter, page, from)
    }),
    claim: Effect.fnUntraced(function* (request) {
      const found = yield* all("claim")
      const places = found.map(({ state }): Place => ({ state, hint: hints.get(state.uuid) }))
      const claimed = leases.take(places, request)
      for (const { hint, state } of places) if (hint !== undefined) hints.set(state.uuid, hint)
      return claimed
    }),
    take: (request) =>
      Effect.sync(() => {
        const owner = leases.holder(hints.get(request.uuid), request)
        if (owner === request.owner) hints.set(request.uuid, hintOf(request))
        return owner
      }),
    release: (owner) => Effect.sync(() => leases.release(owner)),
    census: Effect.map(
      Effect.suspend(() => all("census")),
      (found) => censusOf(found.map(({ state }) => state))
    ),
    changes: Stream.empty,
    atomically: (work) => work,
    durable: options.durable ?? true,
    transactional: false
  })
}

/** Keeps executions in a `KeyValueStore`, each under the prefix and its uuid. Default prefix: `effect-saga/`. */
export const fromKeyValueStore = (
  store: KeyValueStore.KeyValueStore,
  options: MakeOptions & { readonly prefix?: string } = {}
): SagaExecutionRepository["Service"] => {
  const own = KeyValueStore.prefix(store, options.prefix ?? "effect-saga/")
  return make(
    {
      save: (uuid, raw) => own.set(uuid, JSON.stringify(raw)),
      get: own.get,
      remove: own.remove,
      list: () => Effect.flatMap(own.keys, Effect.forEach(own.get))
    },
    options
  )
}

export const layerKeyValueStore = (options?: MakeOptions & { readonly prefix?: string }) =>
  Layer.effect(
    SagaExecutionRepository,
    Effect.map(KeyValueStore.KeyValueStore, (store) => fromKeyValueStore(store, options))
  )
