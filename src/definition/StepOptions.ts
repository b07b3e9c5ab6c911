/**
 * What an author may write for a step, with its types, and the one form it has as data. Durations become milliseconds;
 * one that cannot be read becomes `NaN`. What plain JavaScript leaves out or gets wrong is kept for validation.
 *
 * Casts: steps are erased (see SagaStep.ts), so a missing function has no type that would admit it.
 */
import { Duration, type Effect, Option, Schema } from "effect"
import type { Codec, Command } from "./Command.ts"
import { type SagaRequest, SagaResponseError } from "./SagaMessage.ts"
import type * as Step from "./SagaStep.ts"
import type { Add, Forms, Recoverable, Reply, RequestsAreResent, TagOf, WithUnknown } from "./SagaTypes.ts"

// ---- policies

/** A duration alone is the first pause; the ones after it double. */
export type Backoff =
  | Duration.Input
  | { readonly initial: Duration.Input; readonly factor?: number; readonly max?: Duration.Input }

/** How often to try again after the first attempt. */
export interface Retry {
  readonly times: number
  /** Default: from 100 milliseconds (a compensation: 1 second), doubling, up to 5 minutes. */
  readonly backoff?: Backoff
}

export interface RetryOn<Tag extends string> extends Retry {
  /** The declared errors that are tried again. Defects always are. */
  readonly on?: ReadonlyArray<Tag>
}

/** Times are stored as whole milliseconds; a part of one counts as one. */
const wholeMillis = (duration: Duration.Duration): number => Math.ceil(Duration.toMillis(duration))

const toMillis = (input: Duration.Input): number =>
  typeof input === "number"
    ? Math.ceil(input)
    : Option.match(Duration.fromInput(input), { onNone: () => Number.NaN, onSome: wholeMillis })

const isCurve = (backoff: Backoff): backoff is Exclude<Backoff, Duration.Input> =>
  typeof backoff === "object" && backoff !== null && "initial" in backoff

const toBackoff = (backoff: Backoff): Step.Backoff => {
  const curve = isCurve(backoff) ? backoff : { initial: backoff }
  const initial = toMillis(curve.initial)
  return {
    initial,
    factor: curve.factor ?? 2,
    max: curve.max === undefined ? Math.max(initial, 5 * 60_000) : toMillis(curve.max)
  }
}

const toRetry = ({ backoff, on, times }: RetryOn<string>, initial: number): Step.Retry => ({
  times,
  backoff: toBackoff(backoff ?? initial),
  ...(on && { on: Array.isArray(on) ? [...on] : on })
})

const toPolicies = (options: {
  readonly timeout?: Duration.Input
  readonly retry?: RetryOn<string>
  readonly retryCompensate?: Retry
}): Step.Policies => ({
  ...(options.timeout !== undefined && { timeout: toMillis(options.timeout) }),
  ...(options.retry && { retry: toRetry(options.retry, 100) }),
  ...(options.retryCompensate && { retryCompensate: toRetry(options.retryCompensate, 1_000) })
})

// ---- local

/** Undoes a local step. Its author decides between trying again and dying: it cannot fail. */
export type Compensate<Ctx, R> = (context: Ctx) => Effect.Effect<void, never, R>

export interface LocalOptions<Ctx, Name extends string, A, E, R, Run, Unknown, Form extends Forms> {
  readonly success?: Codec<A>
  readonly error?: Codec<E>
  readonly execute: (context: NoInfer<Ctx>) => Effect.Effect<NoInfer<A>, NoInfer<E>, R>
  readonly compensate?:
    | Compensate<NoInfer<Add<Ctx, Name, A>>, Run>
    | ({ readonly [K in Form]?: unknown } & {
        readonly run: Compensate<NoInfer<Add<Ctx, Name, A>>, Run>
        /** Runs instead where the step may have had its effect and its result is not known. */
        readonly unknown?: Compensate<NoInfer<Ctx>, Unknown>
      })
  readonly timeout?: Recoverable<Form, Duration.Input>
  readonly retry?: RetryOn<NoInfer<TagOf<E>>>
  readonly retryCompensate?: Retry
  readonly onCrash?: Exclude<Step.OnCrash, "compensate"> | WithUnknown<Form, "compensate">
  /** The step's SQL commits in the database transaction that records the step. */
  readonly transactional?: boolean
}

/** `LocalOptions` as the combinators see them. */
export interface AnyLocalOptions {
  readonly success?: Codec<any>
  readonly error?: Codec<any>
  readonly execute: Step.Local["execute"]
  readonly compensate?: Step.LocalCompensation["run"] | Step.LocalCompensation
  readonly timeout?: Duration.Input
  readonly retry?: RetryOn<string>
  readonly retryCompensate?: Retry
  readonly onCrash?: Step.OnCrash
  readonly transactional?: boolean
}

const toCompensation = (form: Step.LocalCompensation["run"] | Step.LocalCompensation): Step.LocalCompensation =>
  typeof form === "function" ? { run: form } : { run: form.run, ...(form.unknown && { unknown: form.unknown }) }

export const toLocal = (name: string, options: AnyLocalOptions): Step.Local => ({
  _tag: "Local",
  name,
  success: options.success ?? Schema.Void,
  error: options.error ?? Schema.Never,
  execute: options.execute,
  ...(options.compensate && { compensate: toCompensation(options.compensate) }),
  policies: toPolicies(options),
  onCrash: options.onCrash ?? "retry",
  transactional: options.transactional ?? false
})

// ---- remote

/** Sends a command of a participant. */
export interface Send<Ctx, P, A, E> {
  readonly command: Command<string, string, P, A, E>
  readonly payload: (context: NoInfer<Ctx>) => NoInfer<P>
}

/** Undoes a remote step. It reads the decoded reply under the name of the step, whatever `onSuccess` made of it. */
export interface SendCompensation<Ctx, Replied, P> {
  readonly command: Command<string, string, P, any, any>
  readonly payload: (context: NoInfer<Replied>) => NoInfer<P>
  /** Makes the payload where the reply was never seen and the participant cannot be probed. */
  readonly unknown?: (context: NoInfer<Ctx>) => NoInfer<P>
}

export interface RequestCompensation<Ctx, Replied> extends SagaRequest<NoInfer<Replied>> {
  readonly unknown?: (context: NoInfer<Ctx>) => unknown
}

export interface RemoteOptions<Ctx, Name extends string, P, A, E, P2, A2, E2, ES, RS, EE, RE> {
  readonly execute: Send<Ctx, P, A, E> | SagaRequest<NoInfer<Ctx>>
  /** The schema of the result where it is not the reply of the command, and of the reply where there is no command. */
  readonly success?: Codec<A2>
  /** The schema of the errors that `onSuccess` and `onError` add to those of the command. */
  readonly error?: Codec<E2>
  readonly onSuccess?: (reply: NoInfer<Reply<A, A2>>, context: NoInfer<Ctx>) => Effect.Effect<NoInfer<A2>, ES, RS>
  readonly onError?: (error: NoInfer<E>, context: NoInfer<Ctx>) => Effect.Effect<NoInfer<A2>, EE, RE>
  readonly compensate?:
    | SendCompensation<Ctx, Add<Ctx, Name, Reply<A, A2>>, P2>
    | RequestCompensation<Ctx, Add<Ctx, Name, Reply<A, A2>>>
  readonly timeout?: Duration.Input
  readonly retry?: RequestsAreResent
  readonly retryCompensate?: Retry
}

/** `RemoteOptions` as the combinators see them. */
export interface AnyRemoteOptions {
  readonly execute: Send<any, any, any, any> | SagaRequest
  readonly success?: Codec<any>
  readonly error?: Codec<any>
  readonly onSuccess?: Step.Remote["onSuccess"]
  readonly onError?: Step.Remote["onError"]
  readonly compensate?: SendCompensation<any, any, any> | RequestCompensation<any, any>
  readonly timeout?: Duration.Input
  readonly retry?: RetryOn<string>
  readonly retryCompensate?: Retry
}

const toRequest = (form: Send<any, any, any, any> | SagaRequest, reply: Codec<any>): Step.Request => {
  // `in` throws for the number that plain JavaScript may pass.
  if (typeof form === "object" && "target" in form) return toUntyped(form, reply)
  const { command, payload } = form as {
    readonly command?: Command<string, string, any, any, any>
    readonly payload: any
  }
  return {
    service: command?.participant ?? "",
    command: command?.tag ?? "",
    probe: command?.probe ?? false,
    effect: command?.effect ?? "immediate",
    payload: command?.payload ?? Schema.Unknown,
    success: command?.success ?? Schema.Unknown,
    error: command?.error ?? Schema.Never,
    content: payload
  }
}

const toUntyped = ({ content = null, target }: SagaRequest, reply: Codec<any>): Step.Request => {
  const [service = "", ...command] = String(target).split("/")
  return {
    service,
    command: command.join("/"),
    probe: false,
    effect: "immediate",
    payload: Schema.Unknown,
    success: reply,
    content: typeof content === "function" ? content : () => content
  }
}

const toRemoteCompensation = (form: SendCompensation<any, any, any> | RequestCompensation<any, any>) => ({
  ...toRequest(form, Schema.Unknown),
  ...(form.unknown && { unknown: form.unknown })
})

/** Every error a remote step can fail with. A command without errors adds nothing to the declared ones. */
const toErrors = (ofReply: Codec<any>, declared: Codec<any> | undefined): Codec<any> =>
  declared === undefined ? ofReply : ofReply.ast._tag === "Never" ? declared : Schema.Union([ofReply, declared])

export const toRemote = (name: string, options: AnyRemoteOptions): Step.Remote => {
  const execute = options.execute ? toRequest(options.execute, options.success ?? Schema.Unknown) : undefined
  return {
    _tag: "Remote",
    name,
    execute: execute as Step.Request,
    success: options.success ?? execute?.success ?? Schema.Unknown,
    error: toErrors(execute?.error ?? SagaResponseError, options.error),
    ...(options.onSuccess && { onSuccess: options.onSuccess }),
    ...(options.onError && { onError: options.onError }),
    ...(options.compensate && { compensate: toRemoteCompensation(options.compensate) }),
    policies: toPolicies(options)
  }
}
