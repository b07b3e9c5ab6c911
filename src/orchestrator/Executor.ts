/**
 * The operations of a step, for a program that calls them itself: a local callback, a request, the handler of a reply. Each
 * runs as a step of an execution runs it, with errors instead of facts. Nothing is decided and nothing is stored: for that
 * there is `SagaRunner`.
 *
 * Casts: the overloads say what an operation gives that may be absent.
 */
import { Clock, Effect, Ref } from "effect"
import type { SagaRequest } from "../definition/SagaMessage.ts"
import { SagaDefinitionDrift } from "../definition/SagaRegistry.ts"
import { type Send, toRemote } from "../definition/StepOptions.ts"
import { defectOf, SagaFailedExecutionStep, toError } from "../execution/view/ExecutionErrors.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { Broker, publishOrWarn } from "../ports/Broker.ts"
import * as RequestContext from "../ports/RequestContext.ts"
import { TransactionCommitter } from "../ports/TransactionCommitter.ts"
import type { Envelope } from "../wire/Envelope.ts"
import { started } from "./ExecutionInput.ts"
import { SagaConfig } from "./SagaConfig.ts"
import type { ExecutionScope } from "./steps/ExecutionScope.ts"
import { buildRequest } from "./steps/RemoteStep.ts"
import { overlay, runCallback } from "./steps/StepCallback.ts"

export type { ExecutionScope } from "./steps/ExecutionScope.ts"

/** The step of an execution as which an operation runs. Made by `at`. */
export interface StepScope<out Name extends string> {
  readonly scope: ExecutionScope
  readonly path: string
  readonly name: Name
}

/**
 * Chooses the step of an execution, in its present state, as which the operations below run. An execution that has not
 * been started counts as started by the request that the caller serves (`RequestContext`). `path` is the path of the step
 * (`SagaPath`), `name` the key of its result in the context.
 *
 * Fails with `SagaDefinitionDrift` where the program does not have the saga of the execution.
 *
 * @example
 * ```ts
 * const step = yield* Executor.at(execution, { path: "0", name: "seat" })
 * const context = yield* Executor.local(step, ({ trip }) => reserveSeat(trip), { trip: "Rome" })
 * context.seat
 * ```
 */
export const at = Effect.fnUntraced(function* <const Name extends string>(
  execution: SagaExecution,
  step: { readonly path: string; readonly name: Name }
): Effect.fn.Return<StepScope<Name>, SagaDefinitionDrift, SagaConfig | TransactionCommitter> {
  const { definition, saga, state } = execution
  if (definition === undefined)
    return yield* new SagaDefinitionDrift({ saga, fingerprint: state.creation.fingerprint, known: [] })
  const { service, schedule } = yield* SagaConfig
  const committer = yield* TransactionCommitter
  const { headers } = yield* RequestContext.RequestContext
  const clock = yield* Clock.Clock
  const begun = started(execution, {
    service,
    autocommit: true,
    transactional: committer.enrols,
    headers: headers === undefined ? undefined : yield* Ref.get(headers),
    now: clock.currentTimeMillisUnsafe()
  })
  return { scope: { definition, state: begun.state, schedule, service, clock, fiberContext: undefined }, ...step }
})

/**
 * Runs a function inside the transaction of the execution (`SagaTransaction`) and gives its result. A failure, a defect, a
 * throw or an interruption of the function is the cause of a `SagaFailedExecutionStep`.
 */
export const call = <Args extends ReadonlyArray<any>, A, E, R>(
  { name, path, scope }: StepScope<string>,
  f: (...args: Args) => Effect.Effect<A, E, R>,
  ...args: NoInfer<Args>
): Effect.Effect<A, SagaFailedExecutionStep, R> =>
  Effect.catchCause(
    runCallback(scope, { path, step: { name } }, "execute", () => f(...args)) as Effect.Effect<A, E, R>, // it erases the services of a step
    (cause) =>
      Effect.fail(
        new SagaFailedExecutionStep({ saga: scope.state.creation.saga, path, step: name, cause: defectOf(cause) })
      )
  )

/** A context with the result of one more step. A callback without a result leaves the context as it is. */
// biome-ignore lint/suspicious/noConfusingVoidType: the result of a callback that gives none
export type WithResult<Ctx, Name extends string, A> = [A] extends [void] ? Ctx : Ctx & { readonly [K in Name]: A }

/**
 * Runs a local callback and gives the context with its result under the step's name. Without a callback, or without a
 * result, gives the same context. Fails as `call` does.
 */
export const local: {
  <Ctx extends object>(step: StepScope<string>, execute: undefined, context: Ctx): Effect.Effect<Ctx>
  <Name extends string, Ctx extends object, A, E, R>(
    step: StepScope<Name>,
    execute: ((context: NoInfer<Ctx>) => Effect.Effect<A, E, R>) | undefined,
    context: Ctx
  ): Effect.Effect<WithResult<Ctx, Name, A>, SagaFailedExecutionStep, R>
} = (step: StepScope<string>, execute: Handler | undefined, context: object): any =>
  execute === undefined ? Effect.succeed(context) : withResult(step, context, call(step, execute, context))

/**
 * Builds the message that a remote step would send, publishes it once, and gives it. Fails with `SagaFailedExecutionStep`
 * where the message cannot be built or is larger than `Broker.maxMessageBytes`. A broker that does not take the message is
 * no failure: a caller that gets no answer publishes the same message again.
 *
 * @example
 * ```ts
 * const message = yield* Executor.request(step, SagaRequest.make("taxis/order", "now"), context)
 * ```
 */
export const request: <Ctx extends object, P>(
  step: StepScope<string>,
  execute: Send<Ctx, P, any, any> | SagaRequest<NoInfer<Ctx>>,
  context: Ctx
) => Effect.Effect<Envelope, SagaFailedExecutionStep, Broker> = Effect.fnUntraced(function* (
  { name, path, scope }: StepScope<string>,
  execute: Parameters<typeof toRemote>[1]["execute"],
  context: object
) {
  const step = toRemote(name, { execute })
  const content = () => step.execute.content(context)
  const [fact] = buildRequest(scope, {
    _tag: "BuildRequest",
    attempt: 1,
    path,
    step: { ...step, execute: { ...step.execute, content } },
    context: scope.state.root.context
  })
  if (fact?._tag !== "RequestSent") {
    const failure =
      fact?._tag === "StepFailed" ? toError(fact.failure, scope.state.creation.saga, scope.definition) : undefined
    return yield* failure instanceof SagaFailedExecutionStep ? failure : Effect.die(failure)
  }
  yield* publishOrWarn(yield* Broker, fact.message, fact.command)
  return fact.message
})

/**
 * Runs the handler of a reply and gives the context with its result under the step's name. Without a handler, or without a
 * result, gives the same context. Fails as `call` does.
 */
export const response: {
  <Ctx extends object>(step: StepScope<string>, handler: undefined, reply: unknown, context: Ctx): Effect.Effect<Ctx>
  <Name extends string, Ctx extends object, Reply, A, E, R>(
    step: StepScope<Name>,
    handler: ((reply: NoInfer<Reply>, context: NoInfer<Ctx>) => Effect.Effect<A, E, R>) | undefined,
    reply: Reply,
    context: Ctx
  ): Effect.Effect<WithResult<Ctx, Name, A>, SagaFailedExecutionStep, R>
} = (step: StepScope<string>, handler: Handler | undefined, reply: unknown, context: object): any =>
  handler === undefined ? Effect.succeed(context) : withResult(step, context, call(step, handler, reply, context))

type Handler = (...args: Array<any>) => Effect.Effect<unknown, unknown, any>

const withResult = <E, R>({ name }: StepScope<string>, context: object, result: Effect.Effect<unknown, E, R>) =>
  Effect.map(result, (value) => (value === undefined ? context : overlay({ ...context }, name, value)))
