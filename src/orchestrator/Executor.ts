/**
 * The operations of a step for a caller of their own: a local callback, a request, the handler of a response, run as a
 * step of an execution runs them, with errors instead of facts. Nothing is decided and nothing is stored here; that is
 * what `SagaRunner` is for.
 *
 * Casts: the overloads say what comes of an operation that may be absent.
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
import { SagaConfig } from "./SagaConfig.ts"
import { starting } from "./SagaRunner.ts"
import { buildRequest } from "./steps/RemoteRequest.ts"
import { overlay, type Run, within } from "./steps/StepCallback.ts"

export * from "./steps/PerformStep.ts"

/** Where the operation of a caller belongs: a step of an execution, by its path and its name. */
export interface Place<out Name extends string> {
  readonly run: Run
  readonly path: string
  readonly name: Name
}

/** A place in an execution as it stands; a new execution counts as started by the request that the caller serves. */
export const at = Effect.fnUntraced(function* <const Name extends string>(
  execution: SagaExecution,
  step: { readonly path: string; readonly name: Name }
): Effect.fn.Return<Place<Name>, SagaDefinitionDrift, SagaConfig | TransactionCommitter> {
  const { definition, saga, state } = execution
  if (definition === undefined)
    return yield* new SagaDefinitionDrift({ saga, fingerprint: state.fingerprint, known: [] })
  const { service, settings } = yield* SagaConfig
  const committer = yield* TransactionCommitter
  const { headers } = yield* RequestContext.RequestContext
  const clock = yield* Clock.Clock
  const started = starting(execution, {
    service,
    autocommit: true,
    transactional: committer.enrols,
    headers: headers === undefined ? undefined : yield* Ref.get(headers),
    now: clock.currentTimeMillisUnsafe()
  })
  return { run: { definition, state: started.state, settings, service, clock, fiberContext: undefined }, ...step }
})

/** Runs a function inside the transaction of the execution (`SagaTransaction`) and gives its result. */
export const call = <Args extends ReadonlyArray<any>, A, E, R>(
  { name, path, run }: Place<string>,
  f: (...args: Args) => Effect.Effect<A, E, R>,
  ...args: NoInfer<Args>
): Effect.Effect<A, SagaFailedExecutionStep, R> =>
  Effect.catchCause(
    within(run, path, "execute", () => f(...args)) as Effect.Effect<A, E, R>, // it erases the services of a step
    (cause) =>
      Effect.fail(new SagaFailedExecutionStep({ saga: run.state.saga, path, step: name, cause: defectOf(cause) }))
  )

/** A context with the result of one more step; what gives nothing leaves it as it is. */
// biome-ignore lint/suspicious/noConfusingVoidType: the result of a callback that gives none
export type With<Ctx, Name extends string, A> = [A] extends [void] ? Ctx : Ctx & { readonly [K in Name]: A }

/**
 * Runs a local callback and gives the context with its result under the step's name. Without a callback, or without a
 * result, that is the same context. Whatever goes wrong in it is the cause of a `SagaFailedExecutionStep`.
 */
export const local: {
  <Ctx extends object>(place: Place<string>, execute: undefined, context: Ctx): Effect.Effect<Ctx>
  <Name extends string, Ctx extends object, A, E, R>(
    place: Place<Name>,
    execute: ((context: NoInfer<Ctx>) => Effect.Effect<A, E, R>) | undefined,
    context: Ctx
  ): Effect.Effect<With<Ctx, Name, A>, SagaFailedExecutionStep, R>
} = (place: Place<string>, execute: Handler | undefined, context: object): any =>
  execute === undefined ? Effect.succeed(context) : withResult(place, context, call(place, execute, context))

/**
 * Builds the message that a remote step would send and publishes it, once. A request that cannot be built is a
 * `SagaFailedExecutionStep`; a broker that refuses the message is not a failure: whoever expects an answer sends again.
 */
export const request: <Ctx extends object, P>(
  place: Place<string>,
  execute: Send<Ctx, P, any, any> | SagaRequest<NoInfer<Ctx>>,
  context: Ctx
) => Effect.Effect<Envelope, SagaFailedExecutionStep, Broker> = Effect.fnUntraced(function* (
  { name, path, run }: Place<string>,
  execute: Parameters<typeof toRemote>[1]["execute"],
  context: object
) {
  const step = toRemote(name, { execute })
  const content = () => step.execute.content(context)
  const [fact] = buildRequest(run, {
    _tag: "BuildRequest",
    path,
    step: { ...step, execute: { ...step.execute, content } },
    context: run.state.root.context
  })
  if (fact?._tag !== "RequestSent") {
    const failure = fact?._tag === "StepFailed" ? toError(fact.failure, run.state.saga, run.definition) : undefined
    return yield* failure instanceof SagaFailedExecutionStep ? failure : Effect.die(failure)
  }
  yield* publishOrWarn(yield* Broker, fact.message, fact.command)
  return fact.message
})

/**
 * Runs the handler of a reply and gives the context with its result under the step's name. Without a handler, or without
 * a result, that is the same context.
 */
export const response: {
  <Ctx extends object>(place: Place<string>, handler: undefined, reply: unknown, context: Ctx): Effect.Effect<Ctx>
  <Name extends string, Ctx extends object, Reply, A, E, R>(
    place: Place<Name>,
    handler: ((reply: NoInfer<Reply>, context: NoInfer<Ctx>) => Effect.Effect<A, E, R>) | undefined,
    reply: Reply,
    context: Ctx
  ): Effect.Effect<With<Ctx, Name, A>, SagaFailedExecutionStep, R>
} = (place: Place<string>, handler: Handler | undefined, reply: unknown, context: object): any =>
  handler === undefined ? Effect.succeed(context) : withResult(place, context, call(place, handler, reply, context))

type Handler = (...args: Array<any>) => Effect.Effect<unknown, unknown, any>

const withResult = <E, R>({ name }: Place<string>, context: object, result: Effect.Effect<unknown, E, R>) =>
  Effect.map(result, (value) => (value === undefined ? context : overlay({ ...context }, name, value)))
