/**
 * The front door: starts, resumes, cancels and finds executions, takes their replies, and goes on with those that a
 * former process left. A caller only waits: interrupting it leaves the execution running.
 */
import { Clock, Context, Effect, type Fiber, Layer, PubSub, Ref, Result, Schema, Stream } from "effect"
import type { AnyCommitted, Saga, Services, Visible } from "../definition/Saga.ts"
import type { SagaResponse } from "../definition/SagaMessage.ts"
import * as SagaPath from "../definition/SagaPath.ts"
import * as SagaRegistry from "../definition/SagaRegistry.ts"
import type { Definition } from "../definition/SagaStep.ts"
import type { Hooks, ServicesOf } from "../definition/TransactionHooks.ts"
import type { SagaEvent } from "../execution/rules/SagaEvent.ts"
import { isDeclared } from "../execution/rules/SagaFailure.ts"
import * as SagaInput from "../execution/rules/SagaInput.ts"
import * as TwoPhaseCommit from "../execution/rules/TwoPhaseCommit.ts"
import {
  type SagaContextEncodeError,
  type SagaContextTooLarge,
  SagaFailedCommitCallback,
  type SagaSystemError
} from "../execution/view/ExecutionErrors.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { Broker } from "../ports/Broker.ts"
import * as RequestContext from "../ports/RequestContext.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"
import { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import { TransactionCommitter } from "../ports/TransactionCommitter.ts"
import * as Uuid from "../wire/Uuid.ts"
import { normalize, UuidGenerator } from "../wire/Uuid.ts"
import * as DecisionConsumer from "./DecisionConsumer.ts"
import { checkDrift } from "./Drift.ts"
import type { StorageError } from "./ExecutionLoop.ts"
import * as ExecutionLoop from "./ExecutionLoop.ts"
import type { ControlError } from "./ExecutionSupervisor.ts"
import * as ExecutionSupervisor from "./ExecutionSupervisor.ts"
import * as Inbox from "./Inbox.ts"
import * as Recovery from "./Recovery.ts"
import * as ReplyConsumer from "./ReplyConsumer.ts"
import * as SagaConfig from "./SagaConfig.ts"
import { failureOf, register, resuming, type SagaFailedExecution, type SetUpError, starting } from "./SagaRunner.ts"
import * as Takeover from "./Takeover.ts"

// ---- errors ----------------------------------------------------------------------------------------------------

/** The key or uuid is in use by an execution of another saga, or with other initial values (SPEC C9). */
export class SagaStartConflict extends Schema.TaggedError<SagaStartConflict>()("SagaStartConflict", {
  uuid: Schema.String,
  saga: Schema.String,
  startKey: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    const named = this.startKey === undefined ? "uuid" : `start key ${JSON.stringify(this.startKey)}`
    return `The ${named} belongs to execution ${this.uuid} of saga ${this.saga}, which was started with something else`
  }
}

/** A response must say which execution it is for. */
export class SagaResponseUnaddressed extends Schema.TaggedError<SagaResponseUnaddressed>()(
  "SagaResponseUnaddressed",
  {}
) {
  override get message(): string {
    return "The response has no uuid: it must name the execution that it answers"
  }
}

/** The own service takes part through hooks, and a remote step asks a participant of the same name. */
export class SagaOwnServiceRequested extends Schema.TaggedError<SagaOwnServiceRequested>()("SagaOwnServiceRequested", {
  saga: Schema.String,
  path: Schema.String,
  step: Schema.String,
  service: Schema.String
}) {
  override get message(): string {
    return `Step ${this.step} (${this.path}) of saga ${this.saga} asks the own service ${this.service}, which has hooks in this process`
  }
}

export { SagaOverloaded } from "./ExecutionSupervisor.ts"

/** Why an execution could not be started, or its record not be written. */
export type StartError =
  | SagaRegistry.SagaNotRegistered
  | SagaRegistry.SagaDefinitionDrift
  | SagaContextEncodeError
  | SagaContextTooLarge
  | Execution.SagaInvalidUuid
  | SagaStartConflict
  | ExecutionSupervisor.SagaOverloaded
  | StorageError

/** Why a response was not taken. */
export type ResumeError =
  | SagaResponseUnaddressed
  | SagaRegistry.SagaDefinitionDrift
  | SagaContextEncodeError
  | SagaInput.SagaExecutionAlreadyExecuted
  | SagaInput.SagaResponseAmbiguous
  | ExecutionSupervisor.SagaOverloaded
  | StorageError

// ---- options and results ---------------------------------------------------------------------------------------

export interface Flags<Pause extends boolean, Raise extends boolean, Return extends boolean> {
  /** Commit when all steps are done. Default true. */
  readonly autocommit?: boolean
  /** Return at a pause instead of waiting for the reply. Default false. */
  readonly pauseOnDisk?: Pause
  /** Fail with `SagaFailedExecution` instead of returning the errored execution. Default true. */
  readonly raiseOnError?: Raise
  /** Return the execution instead of its uuid. Default true. */
  readonly returnExecution?: Return
}

/** An execution is known by a uuid or by a key of the caller, not by both. The same one again is the same execution. */
export type Identity =
  | { readonly uuid?: string; readonly startKey?: never }
  | { readonly uuid?: never; readonly startKey?: string }

export interface Start<Initial> {
  readonly context: Initial
  readonly user?: string
}

/** What `run` gives back. Distributes over flags that are only known as `boolean`. */
export type Returned<Ctx, E, Pause, Raise, Return> = Return extends true
  ?
      | Execution.Finished<Ctx>
      | (Pause extends true ? Execution.Paused<Ctx> : never)
      | (Raise extends true ? never : Execution.Errored<Ctx, E | SagaSystemError>)
  : string

/**
 * What `run` fails with besides errors of starting and storing: everything is undone, or the commit is decided and some
 * have not acknowledged it within `commitWait`.
 */
export type Raised<E, Raise> = Raise extends true
  ? SagaFailedExecution<E | SagaSystemError> | SagaFailedCommitCallback
  : never

/** The options of any run, as the service takes them: untyped in the saga. */
export interface RunOptions extends Flags<boolean, boolean, boolean> {
  readonly context?: unknown
  readonly uuid?: string | undefined
  readonly startKey?: string | undefined
  readonly user?: string
}

export class SagaManager extends Context.Service<
  SagaManager,
  {
    readonly run: (
      saga: Definition,
      options: RunOptions
    ) => Effect.Effect<SagaExecution | string, SagaFailedExecution | SagaFailedCommitCallback | StartError>
    readonly resume: (
      response: SagaResponse,
      options: Flags<boolean, boolean, boolean>
    ) => Effect.Effect<SagaExecution | string, SagaFailedExecution | SagaFailedCommitCallback | ResumeError>
    readonly execute: (saga: Definition, options: RunOptions) => Effect.Effect<unknown, unknown>
    /** The execution, bound to its saga where that is registered. */
    readonly load: (
      uuid: string
    ) => Effect.Effect<SagaExecution, Repository.SagaExecutionNotFound | Repository.SagaExecutionRepositoryError>
    readonly find: SagaExecutionRepository["Service"]["find"]
    /** Undoes an execution whose outcome is not decided; whoever waits for it sees `SagaCancelled`. */
    readonly cancel: (
      uuid: string,
      actor?: string
    ) => Effect.Effect<SagaExecution, SagaInput.SagaNotCancellable | ControlError>
    /** Agrees with all participants on an execution that finished without autocommit, and waits until that is done. */
    readonly commit: (
      uuid: string
    ) => Effect.Effect<
      SagaExecution,
      SagaInput.SagaExecutionNotFinished | SagaInput.SagaAlreadyDecided | SagaFailedCommitCallback | ControlError
    >
    /** Undoes an execution that is not committed, and waits until that is done. */
    readonly reject: (uuid: string) => Effect.Effect<SagaExecution, SagaInput.SagaAlreadyDecided | ControlError>
    /** Tries the parked undoing of a step again. */
    readonly retryParked: (
      uuid: string,
      path: string,
      actor: string
    ) => Effect.Effect<SagaExecution, SagaInput.SagaStepNotParked | ControlError>
    /** Declares a parked step undone: somebody has seen to it. */
    readonly resolveParked: (
      uuid: string,
      path: string,
      who: { readonly actor: string; readonly reason: string }
    ) => Effect.Effect<SagaExecution, SagaInput.SagaStepNotParked | ControlError>
    /** What is stored in this process from now on; a slow reader loses the oldest. */
    readonly events: Stream.Stream<{ readonly uuid: string; readonly saga: string; readonly event: SagaEvent }>
    /** Takes a reply that came over the broker. */
    readonly reply: (
      uuid: string,
      reply: SagaInput.Reply
    ) => Effect.Effect<"applied" | SagaInput.Dropped | "unknown-execution", ControlError>
  }
>()("effect-saga/SagaManager") {}

export { checkDrift, type Drift } from "./Drift.ts"
export type { ControlError } from "./ExecutionSupervisor.ts"

// ---- the functions of the module -------------------------------------------------------------------------------

/**
 * Runs a saga, or goes on with a response, and waits: for the end, with `pauseOnDisk` also for a pause. Result and
 * error follow the literal options.
 */
export const run: {
  <
    Initial,
    Own,
    E,
    R,
    const Pause extends boolean = false,
    const Raise extends boolean = true,
    const Return extends boolean = true
  >(
    saga: Saga<string, Initial, Own, E, R, "committed">,
    options: Start<NoInfer<Initial>> & Flags<Pause, Raise, Return> & Identity
  ): Effect.Effect<
    Returned<Visible<Initial & Own>, E, Pause, Raise, Return>,
    StartError | Raised<E, Raise>,
    SagaManager
  >
  <const Pause extends boolean = false, const Raise extends boolean = true, const Return extends boolean = true>(
    options: { readonly response: SagaResponse } & Flags<Pause, Raise, Return>
  ): Effect.Effect<Returned<unknown, unknown, Pause, Raise, Return>, ResumeError | Raised<unknown, Raise>, SagaManager>
} = (...args: [any, any?]) =>
  // Casts: the overloads say what the flags make of the result; the service behind them is untyped in the saga.
  SagaManager.use(
    (manager): Effect.Effect<any, any> =>
      args.length === 1 ? manager.resume(args[0].response, args[0]) : manager.run(args[0], args[1])
  )

/** Runs a saga to its end: its final context, or the error of the step that failed once everything is undone. */
export const execute = <Initial, Own, E, R>(
  saga: Saga<string, Initial, Own, E, R, "committed">,
  options: Start<NoInfer<Initial>> & Identity
): Effect.Effect<Visible<Initial & Own>, E | Raised<E, true> | StartError, SagaManager> =>
  // The context and errors are those of the saga's schemas.
  SagaManager.use((manager) => manager.execute(saga, options)) as Effect.Effect<any, any, SagaManager>

// ---- implementation --------------------------------------------------------------------------------------------

const make = Effect.fnUntraced(function* (sagas: ReadonlyArray<AnyCommitted>, { transaction: hooks }: LayerOptions) {
  const registry = yield* register(sagas)
  const repository = yield* SagaExecutionRepository
  const committer = yield* TransactionCommitter
  const config = yield* SagaConfig.SagaConfig
  const clock = yield* Clock.Clock
  const services = yield* Effect.context<never>()
  const published = yield* PubSub.sliding<{ readonly uuid: string; readonly saga: string; readonly event: SagaEvent }>(
    1_024
  )
  const { relatedServices, service, settings } = config
  if (hooks !== undefined) yield* checkOwnService(registry.sagas, service)
  const owner = `${service}/${Uuid.v7(clock.currentTimeMillisUnsafe())}`
  // Registered first, so given back last: when nothing runs any more.
  yield* Effect.addFinalizer(() => Effect.ignore(repository.release(owner)))
  const policy: SagaInput.Policy = { settings, ...(relatedServices !== undefined && { relatedServices }) }
  let listeners = 0

  const drive = yield* ExecutionLoop.make(
    (written, stored) => {
      active.stored(stored)
      if (listeners === 0) return
      for (const event of Execution.unstored(written)) {
        PubSub.publishUnsafe(published, { uuid: written.uuid, saga: written.saga, event })
      }
    },
    owner,
    hooks
  )
  const bound = (execution: SagaExecution) =>
    Result.map(registry.find(execution.saga, execution.state.fingerprint), (definition) =>
      Execution.bind(execution, definition)
    )
  const loadBound = (uuid: string) =>
    Effect.flatMap(repository.load(uuid), (execution) => Effect.fromResult(bound(execution)))
  // Before the runners, so ended after them: what they hold may be what it needs to end.
  yield* Effect.forkScoped(Stream.runForEach(repository.changes, (uuid) => active.look(uuid)))
  const active: ExecutionSupervisor.ExecutionSupervisor = yield* ExecutionSupervisor.make({
    ...config,
    commitWait: settings.commitWait,
    drive,
    load: loadBound,
    takeUp: Takeover.make(repository, owner, settings),
    services
  })

  // ---- start -------------------------------------------------------------------------------------------------

  /** A new execution, started and not stored yet. */
  const create = (
    saga: Definition,
    options: RunOptions,
    { headers, user = options.user }: RequestContext.RequestContext,
    generator: typeof UuidGenerator.Service
  ) => {
    if (!registry.has(saga)) {
      return new SagaRegistry.SagaNotRegistered({ saga: saga.name, known: registry.sagas.map(({ name }) => name) })
    }
    const now = clock.currentTimeMillisUnsafe()
    const uuid = options.uuid === undefined ? generator.next(now) : Execution.callerUuid(options.uuid)
    if (typeof uuid !== "string") return uuid
    const { context, startKey } = options
    const created = Execution.creation(saga, { context, uuid, user, startKey }, now)
    return created instanceof SagaExecution
      ? starting(created, {
          service,
          autocommit: options.autocommit ?? true,
          transactional: committer.enrols,
          takesPart: hooks !== undefined,
          headers: headers === undefined ? undefined : Ref.getUnsafe(headers),
          now
        })
      : created
  }

  /** The same key or uuid again is the same execution, if it was started with the same (SPEC C9). */
  const existing = Effect.fnUntraced(function* (
    mine: SagaExecution,
    conflict: Repository.SagaExecutionConflict,
    until: ExecutionSupervisor.Until
  ) {
    const uuid = conflict.existing ?? mine.uuid
    // What is not found is being stored just now.
    const theirs = yield* Effect.catchTag(loadBound(uuid), "SagaExecutionNotFound", () =>
      submit<never>(uuid, () => Result.succeed([]))
    )
    const isSame =
      theirs.saga === mine.saga &&
      theirs.state.fingerprint === mine.state.fingerprint &&
      Repository.contextHash(theirs) === Repository.contextHash(mine)
    if (isSame) return active.isReached(theirs, until) ? theirs : yield* active.wait(theirs.uuid, until)
    const { startKey } = mine
    return yield* new SagaStartConflict({
      uuid: theirs.uuid,
      saga: theirs.saga,
      ...(startKey !== undefined && { startKey })
    })
  })

  /** Starts it at once, and gives the effect that waits for it: one that is done, where the saga has run by then. */
  const startUnsafe = (
    saga: Definition,
    options: RunOptions,
    fiber: Fiber.Fiber<unknown, unknown>
  ): Effect.Effect<SagaExecution, StartError> => {
    const request = fiber.getRef(RequestContext.RequestContext)
    const execution = create(saga, options, request, fiber.getRef(UuidGenerator))
    if (!(execution instanceof SagaExecution)) return Effect.fail(execution)
    const until = untilOf(options)
    const started = active.startUnsafe(execution, until, fiber.context)
    const isNamed = options.startKey !== undefined || options.uuid !== undefined
    const reached = isNamed
      ? Effect.catchTag(started, "SagaExecutionConflict", (conflict) =>
          // Forgotten while it was looked at: now the store says what has become of it.
          Effect.catchTag(existing(execution, conflict, until), "SagaExecutionNotFound", () =>
            active.startUnsafe(execution, until, fiber.context)
          )
        )
      : started
    return served(request, options.user, reached)
  }

  /** The final context, or the error of the step that failed. */
  const outcome = (execution: SagaExecution): Effect.Effect<unknown, unknown> => {
    if (execution.commitState === "committing") return Effect.fail(notAcknowledged(execution))
    if (execution.status === "finished") return Effect.succeed(execution.context)
    const { failure, parked } = execution.state
    return failure !== undefined && isDeclared(failure) && parked.length === 0
      ? Effect.fail(execution.cause)
      : Effect.fail(failureOf(execution))
  }

  /** Tells the request that a caller serves what its execution did. */
  const served = <E>(
    request: RequestContext.RequestContext,
    user: string | undefined,
    reached: Effect.Effect<SagaExecution, E>
  ): Effect.Effect<SagaExecution, E> => {
    const told =
      request.headers === undefined
        ? reached
        : Effect.tap(reached, ({ relatedServices }) => RequestContext.mergeRelatedServices(request, relatedServices))
    return request.user === undefined || user === undefined || request.user === user
      ? told
      : Effect.andThen(Effect.logWarning("The user of the request is used, not the one given to run"), told)
  }

  const result = (
    execution: SagaExecution,
    { raiseOnError, returnExecution }: Flags<boolean, boolean, boolean>
  ): Effect.Effect<SagaExecution | string, SagaFailedExecution | SagaFailedCommitCallback> => {
    if (raiseOnError !== false) {
      if (execution.status === "errored") return Effect.fail(failureOf(execution))
      if (execution.commitState === "committing") return Effect.fail(notAcknowledged(execution))
    }
    return Effect.succeed(returnExecution === false ? execution.uuid : execution)
  }

  // ---- inputs ----------------------------------------------------------------------------------------------

  /** Submits a input. Its refusals have the type that `judge` refuses with; the inbox holds inputs of every kind. */
  const submit = <Refusal>(
    uuid: string,
    judge: (state: SagaExecution["state"], definition: Definition, now: number) => SagaInput.Verdict<Refusal>,
    until?: ExecutionSupervisor.Until
  ) =>
    active.submit(normalize(uuid) ?? uuid, Inbox.pending(judge), until) as Effect.Effect<
      SagaExecution,
      Refusal | ControlError
    > // see above

  const manager = SagaManager.of({
    run: (saga, options) =>
      Effect.withFiber((fiber) =>
        Effect.flatMap(startUnsafe(saga, options, fiber), (execution) => result(execution, options))
      ),
    execute: (saga, options) =>
      Effect.withFiber((fiber) => Effect.flatMapEager(startUnsafe(saga, options, fiber), outcome)),
    resume: Effect.fnUntraced(function* (response, options) {
      if (response.uuid === undefined) return yield* new SagaResponseUnaddressed({})
      const judge = yield* resuming(response, options.autocommit, policy)
      const request = yield* RequestContext.RequestContext
      const reached = submit<SagaInput.SagaExecutionAlreadyExecuted | SagaInput.SagaResponseAmbiguous>(
        response.uuid,
        judge,
        untilOf(options)
      )
      return yield* Effect.flatMap(served(request, undefined, reached), (execution) => result(execution, options))
    }),
    load: (uuid) =>
      Effect.map(repository.load(uuid), (execution) => Result.getOrElse(bound(execution), () => execution)),
    find: repository.find,
    cancel: (uuid, actor) => submit(uuid, (state, _, now) => SagaInput.cancel(state, actor, now)),
    commit: (uuid) => Effect.flatMap(submit(uuid, committing, "end"), committed),
    reject: (uuid) => submit(uuid, (state, _, now) => SagaInput.reject(state, now), "end"),
    retryParked: (uuid, path, actor) => submit(uuid, (state, _, now) => SagaInput.retryParked(state, path, actor, now)),
    resolveParked: (uuid, path, { actor, reason }) =>
      submit(uuid, (state, _, now) => SagaInput.resolveParked(state, path, actor, reason, now)),
    events: Stream.unwrap(
      Effect.gen(function* () {
        const subscription = yield* PubSub.subscribe(published)
        listeners++
        yield* Effect.addFinalizer(() => Effect.sync(() => listeners--))
        return Stream.fromSubscription(subscription)
      })
    ),
    reply: (uuid, reply) =>
      Effect.matchEffect(
        submit<SagaInput.Dropped>(uuid, (state, definition, now) =>
          SagaInput.reply(state, definition, reply, now, policy)
        ),
        {
          onSuccess: () => Effect.succeed("applied" as const),
          onFailure: (error) => {
            if (error === "stale" || error === "sender-mismatch") return Effect.succeed(error)
            return error._tag === "SagaExecutionNotFound"
              ? Effect.succeed("unknown-execution" as const)
              : Effect.fail(error)
          }
        }
      )
  })

  yield* Recovery.run({
    repository,
    bound,
    active,
    owner,
    fingerprints: registry.sagas.map(({ fingerprint }) => fingerprint),
    interval: config.recoveryInterval,
    lease: config.lease,
    clock
  })
  yield* Effect.forkScoped(ReplyConsumer.consume(manager))
  yield* Effect.forkScoped(DecisionConsumer.consume)
  yield* Effect.forkScoped(warnOfDrift(sagas))
  // Changes may be missed: whoever waits for another process asks for itself, now and then.
  const lookAtAll = Effect.suspend(() =>
    Effect.forEach(active.waitedFor(), active.look, { concurrency: 16, discard: true })
  )
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(config.recoveryInterval), lookAtAll)))
  return manager
})

/** Said once: what this process will not touch. */
const warnOfDrift = (sagas: ReadonlyArray<AnyCommitted>) =>
  checkDrift(sagas).pipe(
    Effect.flatMap(({ drifted }) =>
      drifted.length === 0
        ? Effect.void
        : Effect.logWarning("Executions wait for a program that has their saga in its old form", drifted)
    ),
    Effect.ignore
  )

/** What is rejected cannot be committed any more (SPEC C9). */
const committing = (
  state: SagaExecution["state"],
  _: Definition,
  now: number
): SagaInput.Verdict<SagaInput.SagaExecutionNotFinished | SagaInput.SagaAlreadyDecided> =>
  state.decision === "reject"
    ? Result.fail(new SagaInput.SagaAlreadyDecided({ uuid: state.uuid, decision: "reject" }))
    : SagaInput.commit(state, now)

/** Not everybody was in favour, or somebody rejected it while they were asked. */
const committed = (
  execution: SagaExecution
): Effect.Effect<SagaExecution, SagaFailedCommitCallback | SagaInput.SagaAlreadyDecided> => {
  const { cause, commitState, status, uuid } = execution
  if (commitState === "committing") return Effect.fail(notAcknowledged(execution))
  if (status !== "errored") return Effect.succeed(execution)
  return Effect.fail(
    cause instanceof SagaFailedCommitCallback ? cause : new SagaInput.SagaAlreadyDecided({ uuid, decision: "reject" })
  )
}

/** It is committed, and whoever has not said so yet is told again and again. */
const notAcknowledged = ({ state }: SagaExecution): SagaFailedCommitCallback =>
  new SagaFailedCommitCallback({
    decision: "commit",
    pending: [...TwoPhaseCommit.pending(state.phase)],
    reason: "they are told again"
  })

/** Its hooks are called in process, and its participant would never hear of the decision. */
const checkOwnService = (
  sagas: ReadonlyArray<Definition>,
  service: string
): Effect.Effect<void, SagaOwnServiceRequested> => {
  for (const saga of sagas) {
    const found = SagaPath.steps(saga).find(({ step }) => step._tag === "Remote" && step.execute.service === service)
    if (found !== undefined) {
      return Effect.fail(
        new SagaOwnServiceRequested({ saga: saga.name, path: found.path, step: found.step.name, service })
      )
    }
  }
  return Effect.void
}

const untilOf = ({ pauseOnDisk }: { readonly pauseOnDisk?: boolean }): ExecutionSupervisor.Until =>
  pauseOnDisk === true ? "pause" : "end"

export interface LayerOptions<H extends Hooks = Hooks> {
  /**
   * The own service takes part in the transaction of an execution, from its first local step on. The hooks are called in
   * this process, perhaps again after a crash, with the same uuid.
   */
  readonly transaction?: H
}

/**
 * A manager for the given sagas, with the consumer of their replies and the recovery of what a former process left.
 * Requires every service that the steps and hooks use.
 */
export const layer = <const Sagas extends ReadonlyArray<AnyCommitted>, const H extends Hooks = object>(
  sagas: Sagas,
  options: LayerOptions<H & Hooks> = {}
): Layer.Layer<
  SagaManager,
  SetUpError | SagaOwnServiceRequested,
  | SagaExecutionRepository
  | Broker
  | TransactionCommitter
  | SagaConfig.SagaConfig
  | Services<Sagas[number]>
  | ServicesOf<H>
> => Layer.effect(SagaManager, make(sagas, options))

/** The same with service name, limits and timeouts from Effect's `Config` (`SagaConfig.layerConfig`). */
export const layerConfig = <const Sagas extends ReadonlyArray<AnyCommitted>, const H extends Hooks = object>(
  sagas: Sagas,
  options: LayerOptions<H & Hooks> = {}
) => Layer.provide(layer(sagas, options), SagaConfig.layerConfig)
