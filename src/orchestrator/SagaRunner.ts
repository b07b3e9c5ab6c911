/**
 * Control by hand: runs one execution as far as it goes, commits, rejects, rolls back, and gives the execution as it is
 * afterwards. No consumer, no recovery and no lease stands behind it: `SagaManager` has those, and runs many.
 */
import { Clock, Context, Deferred, Effect, Layer, Ref, Result } from "effect"
import type { AnyCommitted, Services } from "../definition/Saga.ts"
import { SagaResponse } from "../definition/SagaMessage.ts"
import type * as SagaRegistry from "../definition/SagaRegistry.ts"
import type { Signal } from "../definition/Signal.ts"
import * as SagaInput from "../execution/rules/SagaInput.ts"
import type * as SignalInput from "../execution/rules/SignalInput.ts"
import * as TwoPhaseCommit from "../execution/rules/TwoPhaseCommit.ts"
import { type SagaContextEncodeError, SagaFailedCommitCallback } from "../execution/view/ExecutionErrors.ts"
import * as Readable from "../execution/view/Readable.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { Broker } from "../ports/Broker.ts"
import { bucketFor, inBucket } from "../ports/Buckets.ts"
import { contextHash } from "../ports/ExecutionTombstone.ts"
import { RequestContext } from "../ports/RequestContext.ts"
import { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import * as SteadyClock from "../ports/SteadyClock.ts"
import * as Tracing from "../ports/Tracing.ts"
import { TransactionCommitter } from "../ports/TransactionCommitter.ts"
import type { Json } from "../wire/JsonLimits.ts"
import { resolving, responding, started } from "./ExecutionInput.ts"
import * as ExecutionLoop from "./ExecutionLoop.ts"
import * as ExecutionTrace from "./ExecutionTrace.ts"
import { failureOf, type SagaFailedExecution } from "./FailedExecution.ts"
import * as Inbox from "./Inbox.ts"
import { SagaSignalInvalid } from "./ManagerErrors.ts"
import type { Said } from "./ManagerOptions.ts"
import { Measures } from "./MeasureFacts.ts"
import * as Presence from "./Presence.ts"
import { register, type SetUpError } from "./Registration.ts"
import type { RunError, StorageError } from "./RunError.ts"
import { SagaConfig } from "./SagaConfig.ts"
import { inputOf } from "./SignalDoor.ts"
import * as StartedSagas from "./StartedSagas.ts"
import { afterCrash } from "./Takeover.ts"

export { isSagaFailedExecution, SagaFailedExecution } from "./FailedExecution.ts"
export { SagaTransactionUnsupported, type SetUpError } from "./Registration.ts"
export type { StorageError } from "./RunError.ts"

export interface ExecuteOptions {
  /**
   * The reply that the execution waits for, as the service gave it. Without a name it answers the only step that the given value
   * awaits. Default: none, for an execution that is new or was left in the middle.
   */
  readonly response?: SagaResponse
  /**
   * Commit when all steps have finished. With `false` the execution stays finished and undecided, until `commit` or
   * `reject`. Default true for a new execution; otherwise it stays as it is.
   */
  readonly autocommit?: boolean
}

/**
 * Control by hand. Every operation stores, and gives the execution as it is afterwards; a pause is a value with status
 * `paused`. The caller brings the replies, and sees to it that nobody else runs the same execution. What is stored counts,
 * not the value at hand: a value from before the first write may be used as long as its execution is kept.
 *
 * @example
 * ```ts
 * const runner = yield* SagaRunner.SagaRunner
 * const created = yield* SagaExecution.fromDefinition(PlaceOrder, { context })
 * const paused = yield* runner.execute(created)
 * const finished = yield* runner.execute(paused, { response: new SagaResponse({ step: "payment", content }), autocommit: false })
 * const committed = yield* runner.commit(finished)
 * ```
 */
export class SagaRunner extends Context.Service<
  SagaRunner,
  {
    /**
     * Runs an execution to its end or to the next pause. With a response it goes on from the pause; without one where a
     * reply is awaited it resends what is due, and one whose sleep or wait is over by now goes on. Votes and acknowledgements are responses too: their `requestId` says
     * which question they answer. Fails with `SagaFailedExecution` once everything is compensated, and with
     * `SagaExecutionAlreadyExecuted` where there is nothing to run.
     */
    readonly execute: (
      execution: SagaExecution,
      options?: ExecuteOptions
    ) => Effect.Effect<
      SagaExecution,
      | SagaFailedExecution
      | SagaContextEncodeError
      | SagaInput.SagaExecutionAlreadyExecuted
      | SagaInput.SagaResponseAmbiguous
      | SagaInput.SagaResponseConflict
      | SagaInput.SagaResponseNotAwaited
      | SagaRegistry.SagaDefinitionDrift
      | StorageError
    >
    /**
     * Commits a finished execution: asks all participants and tells them the decision. Fails with
     * `SagaFailedCommitCallback` where one is against. A second time changes nothing.
     */
    readonly commit: (
      execution: SagaExecution
    ) => Effect.Effect<
      SagaExecution,
      | SagaInput.SagaExecutionNotFinished
      | SagaInput.SagaAlreadyDecided
      | SagaFailedCommitCallback
      | SagaRegistry.SagaDefinitionDrift
      | StorageError
    >
    /** Rolls back an execution that is not committed, and tells all participants. A second time changes nothing. */
    readonly reject: (
      execution: SagaExecution,
      who?: SagaInput.SagaActor
    ) => Effect.Effect<SagaExecution, SagaInput.SagaAlreadyDecided | SagaRegistry.SagaDefinitionDrift | StorageError>
    /**
     * Rolls back an execution that is not decided, and nothing more. A second time, and for a new execution, it fails with
     * `SagaRollbackExecution`.
     */
    readonly rollback: (
      execution: SagaExecution
    ) => Effect.Effect<SagaExecution, SagaInput.SagaRollbackExecution | SagaRegistry.SagaDefinitionDrift | StorageError>
    /** Rolls back an execution whose outcome is not decided, for the given reason. A second time changes nothing. */
    readonly cancel: (
      execution: SagaExecution,
      who?: SagaInput.SagaActor
    ) => Effect.Effect<SagaExecution, SagaInput.SagaNotCancellable | SagaRegistry.SagaDefinitionDrift | StorageError>
    /**
     * Tells an execution something that it waits for, or will wait for, as `SagaManager.signal`. A second time changes nothing.
     */
    readonly signal: <Payload>(
      execution: SagaExecution,
      signal: Signal<string, Payload>,
      said: Said<NoInfer<Payload>>
    ) => Effect.Effect<
      SagaExecution,
      | SagaSignalInvalid
      | SignalInput.SagaSignalConflict
      | SignalInput.SagaSignalsFull
      | SignalInput.SagaSignalRefused
      | SagaRegistry.SagaDefinitionDrift
      | StorageError
    >
    /**
     * Tries the parked compensation of a step again, when its cause is repaired: finishes a rollback that has failed in part.
     * The path is one of `SagaExecution.parked`.
     */
    readonly retryParked: (
      execution: SagaExecution,
      path: string,
      who: SagaInput.SagaActor
    ) => Effect.Effect<SagaExecution, SagaInput.SagaStepNotParked | SagaRegistry.SagaDefinitionDrift | StorageError>
    /**
     * Declares a parked step compensated, because a person has done it by other means. The reason is for the record. Behind the
     * pivot it finishes the step with `result`, in the encoded form of its schema.
     */
    readonly resolveParked: (
      execution: SagaExecution,
      path: string,
      who: SagaInput.SagaActorWithReason & { readonly result?: Json }
    ) => Effect.Effect<
      SagaExecution,
      SagaInput.SagaStepNotParked | SagaInput.SagaResolutionRefused | SagaRegistry.SagaDefinitionDrift | StorageError
    >
  }
>()("effect-saga/SagaRunner") {}

interface Parts {
  readonly repository: SagaExecutionRepository["Service"]
  readonly registry: SagaRegistry.SagaRegistry
  readonly loop: ExecutionLoop.ExecutionLoop
  readonly policy: SagaInput.Policy
  /** As in `SagaConfig`. */
  readonly recoveryInterval: number
  /** What the steps require. */
  readonly services: Context.Context<never>
}

/**
 * The execution as it is stored, for a value from before its first write. Another execution that has taken its uuid is not it:
 * the first write finds that out.
 */
const latest = ({ repository }: Parts, execution: SagaExecution): Effect.Effect<SagaExecution, StorageError> =>
  execution.revision > 0
    ? Effect.succeed(execution)
    : repository.load(execution.uuid).pipe(
        Effect.map((stored) =>
          stored.saga === execution.saga && contextHash(stored) === contextHash(execution) ? stored : execution
        ),
        Effect.catchTag("SagaExecutionNotFound", () => Effect.succeed(execution))
      )

/** Drives an execution as far as it goes by itself, or with one input. */
const drive = Effect.fnUntraced(function* (
  { loop, policy, recoveryInterval, registry, services }: Parts,
  execution: SagaExecution,
  input?: SagaInput.SagaInput
): Effect.fn.Return<SagaExecution, SagaInput.Refusal | RunError> {
  const definition =
    execution.definition ??
    (yield* Effect.fromResult(registry.find(execution.saga, execution.state.creation.fingerprint)))
  const now = yield* Clock.currentTimeMillis
  // Nobody else runs the execution: a local step that is stored as running was left half done.
  const bound = afterCrash(yield* Effect.fromResult(Readable.read(execution, definition)), now)
  if (input !== undefined && execution.revision === 0) {
    // A refusal must leave a new execution unstored: its caller can still run it.
    const verdict = SagaInput.judge(bound.state, input, { ...policy, definition, now })
    if (Result.isFailure(verdict)) return yield* Effect.fail(verdict.failure)
  }
  const pending = input === undefined ? [] : [Inbox.pending(input)]
  let result = yield* Effect.provideContext(loop(bound, now, Inbox.make(pending)), services)
  // An execution that waits for a time, and for nobody's answer, goes on when it has come.
  while (isOnlyDelayed(result)) {
    const since = yield* Clock.currentTimeMillis
    yield* SteadyClock.sleepUntil(yield* Clock.Clock, result.wakeAt, recoveryInterval)
    result = yield* Effect.provideContext(loop(result.execution, since, Inbox.make()), services)
  }
  for (const { done } of pending) yield* Effect.catchTag(Deferred.await(done), "Elsewhere", Effect.die) // has no owners
  return result.execution
})

/** Drives an execution with an input. It is refused only in the ways of its kind. */
const apply = <Input extends SagaInput.SagaInput>(parts: Parts, execution: SagaExecution, input: Input) =>
  drive(parts, execution, input) as Effect.Effect<SagaExecution, SagaInput.Refusals[Input["_tag"]] | RunError> // `judge` has one function for each kind, with its refusals

/** The same for a value that a caller has, which may be older than what is stored. */
const judge = <Input extends SagaInput.SagaInput>(parts: Parts, given: SagaExecution, input: Input) =>
  Effect.flatMap(latest(parts, given), (execution) => apply(parts, execution, input))

/** Drives an execution without an input: nothing is refused. */
const forward = (parts: Parts, execution: SagaExecution) => apply(parts, execution, { _tag: "Look" })

const failed = (execution: SagaExecution): Effect.Effect<SagaExecution, SagaFailedExecution> =>
  execution.status === "errored" ? Effect.fail(failureOf(execution)) : Effect.succeed(execution)

const make = Effect.fnUntraced(function* (sagas: ReadonlyArray<AnyCommitted>) {
  const { recoveryInterval, relatedServices, schedule, service } = yield* SagaConfig
  const committer = yield* TransactionCommitter
  const context = yield* Effect.context<never>()
  const measures = new Measures(context)
  const clock = yield* Clock.Clock
  const tracing = yield* Tracing.SagaTracing
  const repository = yield* SagaExecutionRepository
  const registry = yield* register(sagas, committer.enrols)
  const startedSagas = StartedSagas.make({
    registry,
    repository,
    clock,
    service,
    transactional: committer.enrols,
    takesPart: false,
    newUuid: ({ next }, now, startKey) => {
      const bucket = bucketFor(repository, startKey)
      return bucket === undefined ? next(now) : inBucket(next(now), bucket)
    },
    isAlive: () => true,
    // Who has the sagas runs them, or cancels them: a manager, or a caller with this runner.
    tell: () => Effect.void,
    cancel: (uuid, who) => StartedSagas.leaveCancel({ clock, repository }, uuid, who)
  })
  const parts: Parts = {
    repository,
    registry,
    loop: yield* ExecutionLoop.make(
      (written, stored) => {
        measures.write(written, stored)
        if (written.revision === 0) ExecutionTrace.started(written, clock)
      },
      undefined,
      undefined,
      Presence.always,
      startedSagas
    ),
    policy: { schedule, ...(relatedServices !== undefined && { relatedServices }) },
    recoveryInterval,
    services: context
  }

  const execute: SagaRunner["Service"]["execute"] = Effect.fnUntraced(function* (given, options = {}) {
    const { autocommit } = options
    const response = naming(given, options.response)
    const execution = yield* latest(parts, given)
    if (execution.status === "created") {
      const { headers } = yield* RequestContext
      const { saga, uuid } = execution
      const span = yield* Effect.withFiber((fiber) => Effect.succeed(ExecutionTrace.start(fiber, tracing, saga, uuid)))
      const next = started(execution, {
        service,
        autocommit: autocommit ?? true,
        transactional: committer.enrols,
        headers: headers === undefined ? undefined : yield* Ref.get(headers),
        trace: span && Tracing.contextOf(span),
        now: yield* Clock.currentTimeMillis
      })
      if (span !== undefined) ExecutionTrace.starting(next, span)
      return yield* Effect.flatMap(forward(parts, next), failed)
    }
    const isOver = execution.status === "finished" || execution.status === "errored"
    const isTold = TwoPhaseCommit.isReached(execution.state.phase)
    if (isOver && (response === undefined || (execution.status === "finished" && isTold))) {
      return yield* new SagaInput.SagaExecutionAlreadyExecuted({ uuid: execution.uuid, status: execution.status })
    }
    if (response === undefined) return yield* Effect.flatMap(forward(parts, execution), failed)
    // The caller of a runner brings the replies of the services.
    const input = { ...(yield* responding(response, autocommit)), proven: true } as const
    const next = yield* apply(parts, execution, input)
    return execution.status === "errored" ? next : yield* failed(next)
  })

  return SagaRunner.of({
    execute,
    commit: Effect.fnUntraced(function* (given) {
      const execution = yield* latest(parts, given)
      const committed = apply(parts, execution, { _tag: "Commit" })
      const next = yield* Effect.catchTag(committed, "SagaAlreadyDecided", ({ uuid }) =>
        Effect.fail(new SagaInput.SagaExecutionNotFinished({ uuid, status: execution.status }))
      )
      return next.cause instanceof SagaFailedCommitCallback ? yield* Effect.fail(next.cause) : next
    }),
    reject: (execution, who) => judge(parts, execution, { _tag: "Reject", ...who }),
    rollback: (execution) => judge(parts, execution, { _tag: "Rollback" }),
    cancel: (execution, who) => judge(parts, execution, { _tag: "Cancel", ...who }),
    signal: (execution, signal, said) => {
      const input = inputOf(signal, said)
      return input instanceof SagaSignalInvalid ? Effect.fail(input) : judge(parts, execution, input)
    },
    retryParked: (execution, path, who) => judge(parts, execution, { _tag: "RetryParked", path, ...who }),
    resolveParked: (execution, path, who) =>
      Effect.flatMap(resolving(execution.uuid, path, who), (input) => judge(parts, execution, input))
  })
})

/** A response without a name answers the only step that the given value awaits, also if the stored execution is further. */
const naming = (given: SagaExecution, response: SagaResponse | undefined): SagaResponse | undefined => {
  if (response?.step !== undefined || response?.requestId !== undefined) return response
  const [only, ...others] = SagaInput.awaiting(given.state).filter(({ op }) => op === "execute")
  return response === undefined || only === undefined || others.length > 0
    ? response
    : new SagaResponse({ ...response, requestId: only.id })
}

/** One that sleeps or waits for a signal is given back as it is: that may last for days. */
const isOnlyDelayed = ({ execution, wakeAt }: ExecutionLoop.LoopResult): boolean =>
  execution.status !== "paused" &&
  wakeAt !== Number.POSITIVE_INFINITY &&
  SagaInput.awaiting(execution.state).length === 0

/** A runner for the given sagas. Requires every service that their steps use. */
export const layer = <const Sagas extends ReadonlyArray<AnyCommitted>>(
  sagas: Sagas
): Layer.Layer<
  SagaRunner,
  SetUpError,
  SagaExecutionRepository | Broker | TransactionCommitter | SagaConfig | Services<Sagas[number]>
> => Layer.effect(SagaRunner, make(sagas))
