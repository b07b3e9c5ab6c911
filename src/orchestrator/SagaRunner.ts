/**
 * Control by hand: runs one execution as far as it goes, commits, rejects, rolls back, and gives the execution as it is
 * afterwards. `SagaManager` does the same by itself, for many.
 */
import { Clock, Context, Deferred, Effect, Layer, Ref, Result, Schema } from "effect"
import type { AnyCommitted, Services } from "../definition/Saga.ts"
import type { SagaResponse } from "../definition/SagaMessage.ts"
import * as SagaPath from "../definition/SagaPath.ts"
import * as SagaRegistry from "../definition/SagaRegistry.ts"
import type { Definition } from "../definition/SagaStep.ts"
import * as SagaInput from "../execution/rules/SagaInput.ts"
import * as TwoPhaseCommit from "../execution/rules/TwoPhaseCommit.ts"
import {
  SagaContextEncodeError,
  SagaFailedCommitCallback,
  type SagaSystemError
} from "../execution/view/ExecutionErrors.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { Broker } from "../ports/Broker.ts"
import { kept, RequestContext } from "../ports/RequestContext.ts"
import { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import { TransactionCommitter } from "../ports/TransactionCommitter.ts"
import { check, type Json } from "../wire/JsonLimits.ts"
import type { StorageError } from "./ExecutionLoop.ts"
import * as ExecutionLoop from "./ExecutionLoop.ts"
import * as Inbox from "./Inbox.ts"
import { SagaConfig } from "./SagaConfig.ts"
import { afterCrash } from "./Takeover.ts"

/** The execution failed and was undone as far as possible: `cause` is the first failure, `later` those of undoing. */
export class SagaFailedExecution<E = unknown> extends Schema.TaggedError<SagaFailedExecution<any>>()(
  "SagaFailedExecution",
  {
    uuid: Schema.String,
    saga: Schema.String,
    /** The error a step declares, or a `SagaSystemError`. */
    cause: Schema.Unknown,
    later: Schema.Array(Schema.Unknown),
    /** Paths of steps whose undoing needs a person; empty: everything is undone. */
    parked: Schema.Array(Schema.String),
    execution: Schema.instanceOf(SagaExecution)
  }
) {
  declare readonly cause: E
  override get message(): string {
    const tag = (error: unknown) =>
      typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : String(error)
    const parked = this.parked.length === 0 ? "" : `; parked: ${this.parked.join(", ")}`
    return `Saga ${this.saga} (${this.uuid}) failed: ${tag(this.cause)}${parked}`
  }
}

/** The family of a failed execution: the whole, a step of it, or the phase of its participants. */
export const isSagaFailedExecution = (
  error: unknown
): error is
  | SagaFailedExecution
  | Extract<SagaSystemError, { readonly _tag: "SagaFailedExecutionStep" | "SagaFailedCommitCallback" }> =>
  typeof error === "object" &&
  error !== null &&
  "_tag" in error &&
  ["SagaFailedExecution", "SagaFailedExecutionStep", "SagaFailedCommitCallback"].includes(String(error._tag))

export const failureOf = (execution: SagaExecution): SagaFailedExecution =>
  new SagaFailedExecution({
    uuid: execution.uuid,
    saga: execution.saga,
    cause: execution.cause,
    later: [...execution.later],
    parked: [...execution.parked],
    execution
  })

export interface ExecuteOptions {
  readonly response?: SagaResponse
  readonly autocommit?: boolean
}

/**
 * Control by hand: every operation stores, and gives the execution as it is afterwards; a pause is a value with status
 * `paused`. Nobody else takes replies for it: for that there is `SagaManager`.
 */
export class SagaRunner extends Context.Service<
  SagaRunner,
  {
    /**
     * Runs to the end or to the next pause; with a response from the pause on. Votes and acknowledgements of services
     * that a committer asks by messages are responses too: their `requestId` says what they answer.
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
      | SagaRegistry.SagaDefinitionDrift
      | StorageError
    >
    /** Agrees with all participants; a second time changes nothing. */
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
    /** Undoes what is not decided, and tells all participants; a second time changes nothing. */
    readonly reject: (
      execution: SagaExecution
    ) => Effect.Effect<SagaExecution, SagaInput.SagaAlreadyDecided | SagaRegistry.SagaDefinitionDrift | StorageError>
    /** Undoes what is not decided; once. */
    readonly rollback: (
      execution: SagaExecution
    ) => Effect.Effect<SagaExecution, SagaInput.SagaRollbackExecution | SagaRegistry.SagaDefinitionDrift | StorageError>
  }
>()("effect-saga/SagaRunner") {}

/** The saga's own JSON of what a trusted caller hands in. */
export const responseContent = (content: unknown): Json | undefined | SagaContextEncodeError => {
  if (content === undefined) return undefined
  const checked = check(content)
  return typeof checked === "number"
    ? (content as Json) // `check` has walked it
    : new SagaContextEncodeError({ path: "", step: "", issue: checked.message })
}

/** A `transactional` step needs a repository that commits its effect and its record together. */
export class SagaTransactionUnsupported extends Schema.TaggedError<SagaTransactionUnsupported>()(
  "SagaTransactionUnsupported",
  { saga: Schema.String, path: Schema.String, step: Schema.String }
) {
  override get message(): string {
    return `Step ${this.step} (${this.path}) of saga ${this.saga} is transactional, and the repository cannot be`
  }
}

/** Why a program cannot run its sagas. */
export type SetUpError = SagaRegistry.SagaInvalid | SagaTransactionUnsupported

/** The sagas of a program, if they are valid and its repository can run them. */
export const register = Effect.fnUntraced(function* (
  sagas: ReadonlyArray<AnyCommitted>
): Effect.fn.Return<SagaRegistry.SagaRegistry, SetUpError, SagaExecutionRepository> {
  const registry = yield* Effect.fromResult(SagaRegistry.make(sagas))
  const { transactional } = yield* SagaExecutionRepository
  for (const saga of transactional ? [] : registry.sagas) {
    const found = SagaPath.steps(saga).find(({ step }) => step._tag === "Local" && step.transactional)
    if (found === undefined) continue
    return yield* new SagaTransactionUnsupported({ saga: saga.name, path: found.path, step: found.step.name })
  }
  return registry
})

/** The fact that starts an execution, with what the request it serves hands on. */
export const starting = (
  self: SagaExecution,
  options: {
    readonly service: string
    readonly autocommit: boolean
    readonly transactional: boolean
    /** The own service has hooks. Default false. */
    readonly takesPart?: boolean
    readonly headers: Readonly<Record<string, string>> | undefined
    readonly now: number
  }
): SagaExecution => {
  const { autocommit, headers, now, service, takesPart, transactional } = options
  return Execution.evolve(self, {
    _tag: "ExecutionStarted",
    service,
    autocommit,
    transactional,
    ...(takesPart === true && transactional && { takesPart }),
    ...(headers !== undefined && { headers: kept(headers) }),
    at: now
  })
}

const make = Effect.fnUntraced(function* (sagas: ReadonlyArray<AnyCommitted>) {
  const registry = yield* register(sagas)
  const { relatedServices, service, settings } = yield* SagaConfig
  const committer = yield* TransactionCommitter
  const drive = yield* ExecutionLoop.make(() => undefined, undefined, undefined)
  const services = yield* Effect.context<never>()
  const policy: SagaInput.Policy = { settings, ...(relatedServices !== undefined && { relatedServices }) }

  /** Drives with one input; what the input refuses is the error. */
  const apply = Effect.fnUntraced(function* <R>(
    execution: SagaExecution,
    judge: Inbox.PendingInput["judge"] | undefined
  ): Effect.fn.Return<SagaExecution, R | SagaRegistry.SagaDefinitionDrift | StorageError> {
    const definition =
      execution.definition ?? (yield* Effect.fromResult(registry.find(execution.saga, execution.state.fingerprint)))
    const now = yield* Clock.currentTimeMillis
    // Nobody else runs it: a local step that is stored as running was left half done.
    const bound = afterCrash(Execution.bind(execution, definition), now)
    if (judge !== undefined && execution.revision === 0) {
      // A refusal must leave a new execution unstored: whoever holds it can still run it.
      const verdict = judge(bound.state, definition, now)
      if (Result.isFailure(verdict)) return yield* Effect.fail(verdict.failure as R) // see below
    }
    const input = judge === undefined ? undefined : Inbox.pending(judge)
    let result = yield* Effect.provideContext(
      drive(bound, now, Inbox.make(input === undefined ? [] : [input])),
      services
    )
    // Time alone goes on with what waits for a time and for nobody's answer.
    while (isOnlyDelayed(result)) {
      const since = yield* Clock.currentTimeMillis
      yield* Effect.sleep(Math.max(0, result.wakeAt - since))
      result = yield* Effect.provideContext(drive(result.execution, since, Inbox.make()), services)
    }
    // The refusal has the type that `judge` refuses with; the inbox holds inputs of every kind.
    if (input !== undefined) yield* Deferred.await(input.done) as Effect.Effect<SagaExecution, R>
    return result.execution
  })

  const failed = (execution: SagaExecution): Effect.Effect<SagaExecution, SagaFailedExecution> =>
    execution.status === "errored" ? Effect.fail(failureOf(execution)) : Effect.succeed(execution)

  return SagaRunner.of({
    execute: Effect.fnUntraced(function* (execution, options = {}) {
      const { autocommit, response } = options
      if (execution.status === "created") {
        const { headers } = yield* RequestContext
        const now = yield* Clock.currentTimeMillis
        const started = starting(execution, {
          service,
          autocommit: autocommit ?? true,
          transactional: committer.enrols,
          headers: headers === undefined ? undefined : yield* Ref.get(headers),
          now
        })
        return yield* Effect.flatMap(apply<never>(started, undefined), failed)
      }
      const isOver = execution.status === "finished" || execution.status === "errored"
      const isTold = TwoPhaseCommit.isReached(execution.state.phase)
      if (isOver && (response === undefined || (execution.status === "finished" && isTold))) {
        return yield* new SagaInput.SagaExecutionAlreadyExecuted({ uuid: execution.uuid, status: execution.status })
      }
      if (response === undefined) return yield* Effect.flatMap(apply<never>(execution, undefined), failed)
      const judge = yield* resuming(response, autocommit, policy)
      const next = yield* apply<SagaInput.SagaExecutionAlreadyExecuted | SagaInput.SagaResponseAmbiguous>(
        execution,
        judge
      )
      return execution.status === "errored" ? next : yield* failed(next)
    }),
    commit: Effect.fnUntraced(function* (execution) {
      const next = yield* apply<SagaInput.SagaExecutionNotFinished | SagaInput.SagaAlreadyDecided>(
        execution,
        (state, _, now) => SagaInput.commit(state, now)
      )
      return next.cause instanceof SagaFailedCommitCallback ? yield* Effect.fail(next.cause) : next
    }),
    reject: (execution) =>
      apply<SagaInput.SagaAlreadyDecided>(execution, (state, _, now) => SagaInput.reject(state, now)),
    rollback: (execution) =>
      apply<SagaInput.SagaRollbackExecution>(execution, (state, _, now) => SagaInput.rollback(state, now))
  })
})

const isOnlyDelayed = ({ execution, wakeAt }: ExecutionLoop.LoopResult): boolean =>
  execution.status === "running" &&
  wakeAt !== Number.POSITIVE_INFINITY &&
  SagaInput.awaiting(execution.state).length === 0

/** The input of a trusted response, with the wish for another way of ending. */
export const resuming = Effect.fnUntraced(function* (
  response: SagaResponse,
  autocommit: boolean | undefined,
  policy: SagaInput.Policy
) {
  const content = responseContent(response.content)
  if (content instanceof SagaContextEncodeError) return yield* content
  return (
    state: SagaExecution["state"],
    definition: Definition,
    now: number
  ): SagaInput.Verdict<SagaInput.SagaExecutionAlreadyExecuted | SagaInput.SagaResponseAmbiguous> => {
    const answer = {
      status: response.status,
      ...(content !== undefined && { content }),
      relatedServices: response.relatedServices,
      ...(response.requestId !== undefined && { requestId: response.requestId })
    }
    return Result.map(SagaInput.response(state, definition, answer, now, policy), (facts) =>
      autocommit === undefined || autocommit === state.autocommit || facts.length === 0
        ? facts
        : [{ _tag: "AutocommitChanged", autocommit, at: now } as const, ...facts]
    )
  }
})

/** A runner for the given sagas. Requires every service that their steps use. */
export const layer = <const Sagas extends ReadonlyArray<AnyCommitted>>(
  sagas: Sagas
): Layer.Layer<
  SagaRunner,
  SetUpError,
  SagaExecutionRepository | Broker | TransactionCommitter | SagaConfig | Services<Sagas[number]>
> => Layer.effect(SagaRunner, make(sagas))
