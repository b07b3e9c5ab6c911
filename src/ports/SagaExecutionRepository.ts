/**
 * Port: keeps executions. A write appends what an execution has gained since the last one, and the revision decides who
 * may: of two writers on the same revision one is refused. Nothing is decoded here, so executions of sagas that this
 * program does not know can be kept and listed. `layerMemory` says what a repository does.
 */
import { Context, Effect, Layer, Schema, Stream } from "effect"
import type { SagaState } from "../execution/rules/SagaState.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Uuid from "../wire/Uuid.ts"
import * as ExecutionSummary from "./ExecutionSummary.ts"
import { isCallerGiven, SagaExecutionRetired, type Tombstone, of as tombstone } from "./ExecutionTombstone.ts"
import { FaultPoint } from "./FaultPoint.ts"
import { type Claimed, type ClaimRequest, type Hint, hintOf, Leases, type TakeRequest } from "./Leases.ts"

export type { Census, Filter, Page, PageRequest } from "./ExecutionSummary.ts"
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
    readonly census: Effect.Effect<
      ReadonlyArray<ExecutionSummary.Census>,
      SagaExecutionRepositoryError | SagaRepositoryUnsupported
    >
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
    claim: (request) => Effect.sync(() => leases.claim(kept.values(), request)),
    take: (request) =>
      Effect.sync(() => {
        const place = kept.get(request.uuid)
        const owner = leases.holder(place?.hint, request)
        if (place !== undefined && owner === request.owner) place.hint = hintOf(request)
        return owner
      }),
    release: (owner) => Effect.sync(() => leases.release(owner)),
    census: Effect.sync(() => ExecutionSummary.census(Array.from(kept.values(), ({ state }) => state))),
    changes: Stream.empty,
    atomically: (work) => work,
    durable: false,
    // A crash takes the effects in this process and the record alike.
    transactional: true
  })
}

/** The uuid in the form in which it is stored. Other text is given back as it is: no execution has such an id. */
export const uuidOf = (target: string | SagaExecution): string =>
  typeof target === "string" ? (Uuid.normalize(target) ?? target) : target.uuid

/** Keeps the last `keep` settled executions. What callers have named is remembered for ever. */
export const layerMemoryWith = (options: { readonly keep: number }): Layer.Layer<SagaExecutionRepository> =>
  Layer.sync(SagaExecutionRepository, () => makeMemory(options.keep))

/** Forgets an execution when it is settled. */
export const layerMemory: Layer.Layer<SagaExecutionRepository> = layerMemoryWith({ keep: 0 })
