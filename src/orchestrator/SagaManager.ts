/**
 * The front door of the orchestrator: starts sagas, resumes them, and gives their ends. A caller only waits:
 * interrupting it leaves the execution running. Four doors start or resume one:
 *
 * - `execute` gives the final context, or the declared error: for code that only wants the result.
 * - `start` gives the uuid once the execution is stored: for code that does not wait.
 * - `resume` hands in a reply that did not come over the broker.
 * - `run` is the door of Minos: everything at once, by flags.
 *
 * The service itself (`yield* SagaManager.SagaManager`) has what works by uuid: `load`, `find`, `cancel`, `commit`,
 * `reject`, `retryParked`, `resolveParked`, `events`.
 */
import { Effect, Layer } from "effect"
import type { AnyCommitted, Saga, Services, Visible } from "../definition/Saga.ts"
import type { SagaResponse } from "../definition/SagaMessage.ts"
import * as SagaPath from "../definition/SagaPath.ts"
import type { Signal } from "../definition/Signal.ts"
import type { Hooks, ServicesOf } from "../definition/TransactionHooks.ts"
import { SagaResolutionRefused, type SagaStepNotParked } from "../execution/rules/SagaInput.ts"
import type { SagaFailedCommitCallback, SagaSystemError } from "../execution/view/ExecutionErrors.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { Broker } from "../ports/Broker.ts"
import type {
  SagaExecutionRepository,
  SagaExecutionRepositoryError,
  SagaRepositoryUnsupported
} from "../ports/SagaExecutionRepository.ts"
import type { InvalidSetting } from "../ports/Setting.ts"
import * as ShutdownGrace from "../ports/ShutdownGrace.ts"
import type { TransactionCommitter } from "../ports/TransactionCommitter.ts"
import * as JsonCodec from "../wire/JsonCodec.ts"
import type { SagaFailedExecution, SagaParkedForward } from "./FailedExecution.ts"
import * as LoadExecution from "./LoadExecution.ts"
import * as ManagerArguments from "./ManagerArguments.ts"
import type {
  ControlError,
  LoadError,
  ResumeError,
  SagaOwnServiceRequested,
  SagaResolutionOverruled,
  SignalError,
  StartError
} from "./ManagerErrors.ts"
import * as ManagerLive from "./ManagerLive.ts"
import type {
  Addressee,
  ExecuteOptions,
  Flags,
  Identity,
  Initial,
  Loaded,
  Raised,
  ResolveOptions,
  Resumed,
  ResumeOptions,
  Returned,
  SignalAnswer,
  SignalOptions,
  StartOptions,
  Until
} from "./ManagerOptions.ts"
import { SagaManager } from "./ManagerService.ts"
import type { SetUpError } from "./Registration.ts"
import * as SagaConfig from "./SagaConfig.ts"
import type { SagaQueue } from "./SagaQueue.ts"

export type { SagaActor, SagaActorWithReason } from "../execution/rules/SagaInput.ts"
export { checkDrift, type Drift, type DriftOptions } from "./Drift.ts"
export type { StoredEvent } from "./EventFeed.ts"
export * from "./ManagerErrors.ts"
export type * from "./ManagerOptions.ts"
export { SagaManager } from "./ManagerService.ts"
export type { SetUpError } from "./Registration.ts"

// ---- doors -----------------------------------------------------------------------------------------------------

/**
 * Runs a saga, or goes on with a response, and waits for its end; with `pauseOnDisk` also for a pause. Result and error
 * follow the literal options: a flag that is only known as `boolean` gives the union. The options are `Flags`, and for a
 * new execution `Initial` and `Identity`.
 *
 * @example
 * ```ts
 * const execution = yield* SagaManager.run(PlaceOrder, { context, startKey: "order-17" })
 * const uuid = yield* SagaManager.run(PlaceOrder, { context, pauseOnDisk: true, returnExecution: false })
 * const later = yield* SagaManager.run({ response, pauseOnDisk: true })
 * ```
 */
export const run: {
  <
    Context,
    Own,
    E,
    R,
    const Pause extends boolean = false,
    const Raise extends boolean = true,
    const Return extends boolean = true
  >(
    saga: Saga<string, Context, Own, E, R, "committed">,
    options: Initial<NoInfer<Context>> & Flags<Pause, Raise, Return> & Identity
  ): Effect.Effect<
    Returned<Visible<Context & Own>, E, Pause, Raise, Return>,
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
      args.length === 1 ? resumed(manager, args[0]) : manager.run(args[0], args[1])
  )

const resumed = (
  manager: SagaManager["Service"],
  options: { readonly response: SagaResponse } & Flags<boolean, boolean, boolean>
) => {
  // Plain JavaScript may give nothing: then there is no response.
  const { response, ...flags } = options ?? {}
  const { autocommit, pauseOnDisk, raiseOnError, returnExecution } = flags
  const reached = manager.resume(response, {
    until: pauseOnDisk === true ? "pause" : "end",
    ...(autocommit !== undefined && { autocommit }),
    ...(raiseOnError !== undefined && { raiseOnError })
  })
  return returnExecution === false ? Effect.map(reached, ({ uuid }) => uuid) : reached
}

/**
 * Starts a saga and gives the uuid of its execution as soon as its first write is stored; it does not wait for the end.
 * From then on the execution survives its caller, and with a durable repository its process. Interrupting the caller
 * leaves the execution running; one that has no place yet (`maxRunning`) is given up.
 *
 * How it ends is seen by `load`, by `events`, or by calling `run` or `execute` with the same `startKey` or uuid.
 *
 * @example
 * ```ts
 * // A request that is repeated gets the same uuid.
 * const uuid = yield* SagaManager.start(PlaceOrder, { context, startKey: "order-17" })
 * const { status } = yield* SagaManager.SagaManager.use((manager) => manager.load(uuid))
 * ```
 */
export const start = <Context, Own, E, R>(
  saga: Saga<string, Context, Own, E, R, "committed">,
  options: StartOptions<NoInfer<Context>>
): Effect.Effect<string, StartError, SagaManager> => SagaManager.use((manager) => manager.start(saga, options))

/**
 * Runs a saga to its end and gives its final context, and nothing else. It fails with the declared error of the step that
 * failed once everything is compensated; with `SagaFailedExecution` where something is not, or where the failure is not
 * declared; with `SagaFailedCommitCallback` where the commit is decided and not acknowledged within `commitWait`.
 *
 * @example
 * ```ts
 * const { payment } = yield* SagaManager.execute(PlaceOrder, { context }).pipe(
 *   Effect.catchTag("OutOfStock", ({ sku }) => new NotFound({ sku }))
 * )
 * ```
 */
export const execute = <Context, Own, E, R>(
  saga: Saga<string, Context, Own, E, R, "committed">,
  options: ExecuteOptions<NoInfer<Context>>
): Effect.Effect<Visible<Context & Own>, E | Raised<E, true> | StartError, SagaManager> =>
  // The context and errors are those of the saga's schemas.
  SagaManager.use((manager) => manager.execute(saga, options)) as Effect.Effect<any, any, SagaManager>

/**
 * Hands a reply to the execution that waits for it, and gives the execution at its end; with `until: "pause"` also where
 * it waits for the next reply. For replies that do not come over the broker; the caller is trusted. The response names its
 * execution by `uuid` (else `SagaResponseUnaddressed`), and its step by `step` or `requestId`. Without such a name it is taken
 * only by a step without a contract that is the only one awaited (else `SagaResponseAmbiguous`). A name that nobody awaits
 * is `SagaResponseNotAwaited`. The same answer again changes nothing; another one to the same step is
 * `SagaResponseConflict`. A status other than 200 does not prove that a service did nothing: its step is probed before it
 * counts as undone. An execution that has failed already is given unchanged, as `SagaFailedExecution`; one that has
 * finished is `SagaExecutionAlreadyExecuted`.
 *
 * @example
 * ```ts
 * const response = new SagaResponse({ uuid, step: "payment", content: { paymentId: "p-1" } })
 * const execution = yield* SagaManager.resume(response, { until: "pause" })
 * ```
 */
export const resume = <const U extends Until = "end">(
  response: SagaResponse,
  options: ResumeOptions<U> = {}
): Effect.Effect<
  Resumed<U>,
  ResumeError | SagaFailedExecution<unknown | SagaSystemError> | SagaFailedCommitCallback | SagaParkedForward,
  SagaManager
> =>
  // The status of the execution is what `until` says.
  SagaManager.use((manager) => manager.resume(response, options)) as Effect.Effect<any, any, SagaManager>

/**
 * Tells an execution something that it waits for, or will wait for (`Saga.waitFor`): by its uuid or start key, from any process
 * that shares the repository, also one that knows the signal and not the saga. The signal is stored before the caller is told.
 * It may come before anybody waits; the same one again changes nothing, so it may be sent again after any failure.
 *
 * Fails with `SagaExecutionNotFound`; with `SagaSignalConflict` where another one was stored under the same id; with
 * `SagaSignalRefused` where the execution has ended, turns back, or has no wait for such a signal; with `SagaSignalsFull` where
 * 100 of this name and key are unused; with `SagaSignalInvalid` where the payload cannot be stored.
 *
 * @example
 * ```ts
 * yield* SagaManager.signal(Approval, { startKey: "order-17", payload: { approved: true, by: "Ann" } })
 * ```
 */
export const signal = <Name extends string, Payload>(
  signal: Signal<Name, Payload>,
  options: SignalOptions<NoInfer<Payload>>
): Effect.Effect<SignalAnswer, SignalError, SagaManager> =>
  SagaManager.use((manager) => manager.signal(signal, options))

/**
 * A stored execution with the types of its saga, as it is now: by its uuid or start key, in any process that shares the repository
 * and has the saga, also one that does not run it. `status` tells what it has: `finished` the whole context, `errored` a `cause`. It
 * reads all facts of the execution; for lists there is `find`, and `load` of the service gives an execution of any saga.
 *
 * Fails with `SagaExecutionNotFound` where this saga has no such execution, or has one no longer; with `SagaDefinitionDrift` where
 * it follows another version of the saga, and with `SagaExecutionUnreadable` where a stored value does not fit the saga.
 *
 * @example
 * ```ts
 * const order = yield* SagaManager.load(PlaceOrder, { startKey: "order-17" })
 * if (order.status === "finished") yield* Console.log(order.context.payment)
 * ```
 */
export const load = <Context, Own, E>(
  saga: Saga<string, Context, Own, E, any, "committed">,
  options: Addressee
): Effect.Effect<Loaded<Visible<Context & Own>, E>, LoadError, SagaManager> =>
  // Cast: the context and the cause are those of the saga's schemas.
  SagaManager.use((manager) =>
    ManagerArguments.unless(ManagerArguments.loading(saga, options), () => LoadExecution.load(manager, saga, options))
  ) as Effect.Effect<any, LoadError, SagaManager>

/**
 * Finishes a step that is parked behind the pivot with the result that a person gives, by its name; a step inside a nested saga by
 * its path. Where the service may have done the step all the same, it is asked first: if it has done it, its recorded result counts,
 * and this fails with `SagaResolutionOverruled`. Gives the execution that goes on with the result; one in which the service has not
 * answered either has the step in `parked` again.
 *
 * Fails with `SagaStepNotParked`; with `SagaResolutionRefused` where the result does not fit, or the step has none of its own: a
 * condition, a nested saga. SPEC C18.
 *
 * @example
 * ```ts
 * yield* SagaManager.resolveParked(PlaceOrder, { uuid, step: "parcel", result: "p-17", actor: "Ann", reason: "sent by hand" })
 * ```
 */
export const resolveParked = <Own, Step extends keyof Visible<Own> & string>(
  saga: Saga<string, any, Own, any, any, "committed">,
  options: ResolveOptions<Step, NoInfer<Visible<Own>[Step]>>
): Effect.Effect<
  SagaExecution,
  SagaStepNotParked | SagaResolutionRefused | SagaResolutionOverruled | ControlError,
  SagaManager
> =>
  SagaManager.use((manager) =>
    ManagerArguments.unless(ManagerArguments.resolving(saga, options), () => {
      const { actor, reason, result, step: name, uuid } = options
      const path = SagaPath.named(saga, name) ?? name
      const step = SagaPath.at(saga, path)
      const isOwn = step !== undefined && "success" in step
      const encoded = isOwn ? JsonCodec.encode(step.success, result) : undefined
      return JsonCodec.isCodecIssue(encoded)
        ? Effect.fail(new SagaResolutionRefused({ uuid, path, reason: "result", issue: encoded.message }))
        : manager.resolveParked(uuid, path, { actor, reason, ...(encoded !== undefined && { result: encoded }) })
    })
  )

// ---- layers ----------------------------------------------------------------------------------------------------

export interface LayerOptions<H extends Hooks = Hooks> {
  /**
   * Hooks of the own service (`reserve`, `commit`, `reject`). With them it takes part in the transaction of an execution,
   * from the first local step of that on. They are called in this process, after a crash perhaps again, with the same
   * uuid. Default: the own service takes no part.
   */
  readonly transaction?: H
  /**
   * The queues in which executions may be started here (`SagaQueue`). Their limits are written to the repository where they are new;
   * a repository without queues is refused (`SagaRepositoryUnsupported`), and so are two of one name (`InvalidSetting`). Default: none.
   */
  readonly queues?: ReadonlyArray<SagaQueue>
}

/**
 * A manager for the given sagas, with the consumer of their replies and the recovery of what a former process left.
 * Requires every service that the steps and hooks use. Fails with `SagaInvalid` for a saga that is not valid, with
 * `SagaTransactionUnsupported` where the repository cannot run one, with `SagaOwnServiceRequested` where a saga asks the
 * own service although that has hooks here.
 *
 * @example
 * ```ts
 * const main = SagaManager.layer([PlaceOrder, ReturnOrder]).pipe(
 *   Layer.provide([SagaConfig.layer({ service: "orders" }), SqlSagaExecutionRepository.layer(), MqttBroker.layer()])
 * )
 * ```
 */
export const layer = <const Sagas extends ReadonlyArray<AnyCommitted>, const H extends Hooks = object>(
  sagas: Sagas,
  options: LayerOptions<H & Hooks> = {}
): Layer.Layer<
  SagaManager,
  SetUpError | SagaOwnServiceRequested | InvalidSetting | SagaExecutionRepositoryError | SagaRepositoryUnsupported,
  | SagaExecutionRepository
  | Broker
  | TransactionCommitter
  | SagaConfig.SagaConfig
  | Services<Sagas[number]>
  | ServicesOf<H>
> => Layer.provide(Layer.effect(SagaManager, ManagerLive.make(sagas, options)), ShutdownGrace.layer)

/** The same, with service name, limits and timeouts from Effect's `Config` (`SagaConfig.layerConfig`). */
export const layerConfig = <const Sagas extends ReadonlyArray<AnyCommitted>, const H extends Hooks = object>(
  sagas: Sagas,
  options: LayerOptions<H & Hooks> = {}
) => Layer.provide(layer(sagas, options), SagaConfig.layerConfig)
