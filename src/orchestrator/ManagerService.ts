/**
 * The service behind `SagaManager`: what its doors call, and what people and tools use by uuid. It does not know the
 * types of a saga; the functions of the module `SagaManager` do.
 */
import { Context, type Effect, type Stream } from "effect"
import type { SagaResponse } from "../definition/SagaMessage.ts"
import type { Definition } from "../definition/SagaStep.ts"
import type { Signal } from "../definition/Signal.ts"
import type * as SagaInput from "../execution/rules/SagaInput.ts"
import type { SagaFailedCommitCallback } from "../execution/view/ExecutionErrors.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type * as Repository from "../ports/SagaExecutionRepository.ts"
import type { Json } from "../wire/JsonLimits.ts"
import type { StoredEvent } from "./EventFeed.ts"
import type { SagaFailedExecution, SagaParkedForward } from "./FailedExecution.ts"
import type {
  ControlError,
  ResumeError,
  SagaInvalidArgument,
  SagaResolutionOverruled,
  SignalError,
  StartError
} from "./ManagerErrors.ts"
import type { RunOptions, SignalAnswer, SignalOptions, UntypedResume, UntypedStart } from "./ManagerOptions.ts"
import type { ReplyReceiver } from "./ReplyConsumer.ts"
import type { ScheduleDoor } from "./ScheduleDoor.ts"

type Find = Repository.SagaExecutionRepository["Service"]["find"]

export class SagaManager extends Context.Service<
  SagaManager,
  {
    /** See the function `run`. */
    readonly run: (
      saga: Definition,
      options: RunOptions
    ) => Effect.Effect<
      SagaExecution | string,
      SagaFailedExecution | SagaFailedCommitCallback | SagaParkedForward | StartError
    >
    /** See the function `start`. */
    readonly start: (saga: Definition, options: UntypedStart) => Effect.Effect<string, StartError>
    /** See the function `execute`. */
    readonly execute: (saga: Definition, options: UntypedStart) => Effect.Effect<unknown, unknown>
    /** See the function `resume`. */
    readonly resume: (
      response: SagaResponse,
      options?: UntypedResume
    ) => Effect.Effect<SagaExecution, SagaFailedExecution | SagaFailedCommitCallback | SagaParkedForward | ResumeError>
    /** See the function `signal`. */
    readonly signal: <Payload>(
      signal: Signal<string, Payload>,
      options: SignalOptions<NoInfer<Payload>>
    ) => Effect.Effect<SignalAnswer, SignalError>
    /**
     * A stored execution. It is bound to its saga where that is registered here in the same form; otherwise it can be
     * shown, and its context is as it is stored.
     */
    readonly load: (
      uuid: string
    ) => Effect.Effect<
      SagaExecution,
      Repository.SagaExecutionNotFound | Repository.SagaExecutionRepositoryError | SagaInvalidArgument
    >
    /** Summaries of stored executions, newest first, page by page (`SagaExecutionRepository`). */
    readonly find: (
      ...args: Parameters<Find>
    ) => Effect.Effect<Effect.Success<ReturnType<Find>>, Effect.Error<ReturnType<Find>> | SagaInvalidArgument>
    /**
     * Rolls back an execution whose outcome is not decided. Gives it as soon as the wish is stored; its callers see
     * `SagaCancelled` once it is rolled back. A second time changes nothing.
     *
     * Its owner judges it between two steps. While a step takes longer than ten seconds, or cancels its own saga, the wish waits in the
     * inbox: it outlives the process, and the execution that is given still goes forward.
     */
    readonly cancel: (
      uuid: string,
      who?: SagaInput.SagaActor
    ) => Effect.Effect<SagaExecution, SagaInput.SagaNotCancellable | ControlError>
    /**
     * Commits an execution that finished with `autocommit: false`: asks all participants, and waits until they have
     * acknowledged, at most `commitWait`. A second time changes nothing.
     */
    readonly commit: (
      uuid: string
    ) => Effect.Effect<
      SagaExecution,
      SagaInput.SagaExecutionNotFinished | SagaInput.SagaAlreadyDecided | SagaFailedCommitCallback | ControlError
    >
    /**
     * Rolls back an execution that is not committed, and waits until that is done and its participants have been told to
     * reject; it does not wait for their answers. A second time changes nothing.
     */
    readonly reject: (
      uuid: string,
      who?: SagaInput.SagaActor
    ) => Effect.Effect<SagaExecution, SagaInput.SagaAlreadyDecided | ControlError>
    /**
     * Tries the parked compensation of a step again, or a step that is parked behind the pivot, when its cause is repaired: failures
     * are counted anew. The path is one of `SagaExecution.parked`; that may also be a service that is stalled, like `payments:commit`, or `execution` for one
     * that is set aside as a whole.
     */
    readonly retryParked: (
      uuid: string,
      path: string,
      who: SagaInput.SagaActor
    ) => Effect.Effect<SagaExecution, SagaInput.SagaStepNotParked | ControlError>
    /**
     * Declares a parked step compensated, because a person has done it by other means. The reason is for the record. A
     * service that does not acknowledge a commit is no longer listed; it is still told now and then, and the execution is
     * kept until the service has answered.
     *
     * Behind the pivot it finishes the step with `result`, in the encoded form of its schema (absent for a step without one);
     * another value is `SagaResolutionRefused`. See the function `resolveParked`, which has its type.
     */
    readonly resolveParked: (
      uuid: string,
      path: string,
      who: SagaInput.SagaActorWithReason & { readonly result?: Json }
    ) => Effect.Effect<
      SagaExecution,
      SagaInput.SagaStepNotParked | SagaInput.SagaResolutionRefused | SagaResolutionOverruled | ControlError
    >
    /** The facts that this process stores from now on, of all executions. A reader that is slow loses the oldest. */
    readonly events: Stream.Stream<StoredEvent>
    /** For schedules (`SagaSchedule`). Other code calls `start`. */
    readonly schedules: ScheduleDoor
    /** Takes a reply that came over the broker. For consumers of replies; other code calls `resume`. */
    readonly reply: ReplyReceiver["reply"]
  }
>()("effect-saga/SagaManager") {}
