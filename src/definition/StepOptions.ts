/**
 * The options of a local and of a remote step, with their types, and their one form as data. A duration becomes
 * milliseconds; a text that is no duration becomes `NaN`. Mistakes of plain JavaScript are kept: validation reports them.
 *
 * Casts: steps are erased (see SagaStep.ts), so a missing function has no type that would admit it.
 */
import { Duration, type Effect, Option, Schema } from "effect"
import { type Codec, type Command, isLater } from "./Command.ts"
import { type Mistaken, mistakesIn, type Names, retry } from "./OptionNames.ts"
import { type SagaRequest, SagaResponseError } from "./SagaMessage.ts"
import type * as Step from "./SagaStep.ts"
import type { Add, Forms, Recoverable, Reply, RequestsAreResent, TagOf, WithUnknown } from "./SagaTypes.ts"

// ---- policies

/**
 * The pauses between attempts. A number is milliseconds.
 *
 * A duration alone is the first pause, and each following pause is twice as long, up to 5 minutes (a first pause over 5
 * minutes stays as it is). An object says more: `factor` is at least 1, default 2; `max` limits a pause, default as above.
 *
 * @example
 * ```ts
 * const doubling: Saga.Backoff = "200 millis" // 200 ms, 400 ms, 800 ms, …
 * const steady: Saga.Backoff = { initial: "1 second", factor: 1 }
 * const capped: Saga.Backoff = { initial: "1 second", factor: 3, max: "30 seconds" }
 * ```
 */
export type Backoff =
  | Duration.Input
  | { readonly initial: Duration.Input; readonly factor?: number; readonly max?: Duration.Input }

/** How often an operation is tried again, and when. */
export interface Retry {
  /** The number of attempts after the first one; 0 allows none. A whole number. */
  readonly times: number
  /**
   * The pauses between attempts. Default: 100 milliseconds, for a compensation 1 second; then twice as long each time, up
   * to 5 minutes. A compensation needs a pause longer than zero.
   */
  readonly backoff?: Backoff
}

/** A `Retry` of a local step, which may also name errors. */
export interface RetryOn<Tag extends string> extends Retry {
  /**
   * Tags of the declared errors that are tried again. Default: none, an error fails the step at once. Defects are always
   * tried again. Name errors that may pass, such as a service that is busy, and none that the domain means.
   */
  readonly on?: ReadonlyArray<Tag>
}

/** Times are stored as whole milliseconds, rounded up. */
const wholeMillis = (duration: Duration.Duration): number => Math.ceil(Duration.toMillis(duration))

export const toMillis = (input: Duration.Input): number =>
  typeof input === "number"
    ? Math.ceil(input)
    : Option.match(Duration.fromInput(input), { onNone: () => Number.NaN, onSome: wholeMillis })

export const isCurve = (backoff: Backoff): backoff is Exclude<Backoff, Duration.Input> =>
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

export const toRetry = ({ backoff, on, times }: RetryOn<string>, initial: number): Step.Retry => ({
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

/**
 * Takes back the effect of a local step. It has no errors: there is no rollback of a rollback. Code that cannot go on dies
 * (`Effect.orDie`); the compensation is then tried again as `retryCompensate` says, and parked for a person after that.
 */
export type Compensate<Ctx, R> = (context: Ctx) => Effect.Effect<void, never, R>

/**
 * The options of `Saga.local`. Only `execute` is needed.
 *
 * @example
 * ```ts
 * Saga.local("seat", {
 *   success: Schema.Struct({ number: Schema.String }),
 *   error: SoldOut,
 *   execute: ({ flight }) => Seats.use((seats) => seats.take(flight)),
 *   compensate: {
 *     run: ({ seat }) => Seats.use((seats) => seats.release(seat.number)),
 *     unknown: ({ flight }) => Seats.use((seats) => seats.releaseAllOf(flight))
 *   },
 *   timeout: "10 seconds",
 *   retry: { times: 3, backoff: "200 millis" }
 * })
 * ```
 */
export interface LocalOptions<Ctx, Name extends string, A, E, R, Run, Unknown, Form extends Forms> {
  /** The schema of the result, with which it is stored. Default: `Schema.Void`, the step has no result. */
  readonly success?: Codec<A>
  /** The schema of the errors, with which they are stored. Default: `Schema.Never`, the step can only die. */
  readonly error?: Codec<E>
  /**
   * The work of the step; its result is later read under the name of the step. An error or a defect fails the step, and
   * the rollback begins.
   *
   * A crash may make it run twice (SPEC W7), each time with the same `RequestContext.idempotencyKey`: give that key to a
   * system that accepts one, or set `transactional`, or `onCrash`.
   */
  readonly execute: (context: NoInfer<Ctx>) => Effect.Effect<NoInfer<A>, NoInfer<E>, R>
  /**
   * Takes back the effect of the step if a later step fails. Default: nothing is done, the step counts as compensated.
   *
   * Write a function, or `{ run, unknown }` where the result may be unknown (after `timeout`, or with
   * `onCrash: "compensate"`).
   */
  readonly compensate?:
    | Compensate<NoInfer<Add<Ctx, Name, A>>, Run>
    | ({ readonly [K in Form]?: unknown } & {
        /** Runs when the result is known, and reads it under the name of the step. */
        readonly run: Compensate<NoInfer<Add<Ctx, Name, A>>, Run>
        /**
         * Runs when the step may have had its effect and nobody knows its result. It gets the context before the step,
         * and must also be right if there was no effect. Default: such a step is parked for a person.
         */
        readonly unknown?: Compensate<NoInfer<Ctx>, Unknown>
      })
  /**
   * How long the step may take, with all its attempts, from its start; a number is milliseconds. The deadline is stored
   * and also counts after a crash. A step that is late is interrupted and fails with `SagaStepTimedOut`.
   *
   * Default: no limit. Must be longer than zero. With a compensation it needs `compensate: { run, unknown }`, since a step
   * that was interrupted may have had its effect.
   */
  readonly timeout?: Recoverable<Form, Duration.Input>
  /**
   * Tries `execute` again before the step fails. Defects are tried again, and the errors that `on` names. Nothing is
   * stored between attempts, so a crash starts to count anew. Default: one attempt.
   */
  readonly retry?: RetryOn<NoInfer<TagOf<E>>>
  /**
   * How often the compensation is tried again before the step is parked (SPEC C8). Default: `retryCompensate` of
   * `SagaConfig`, 10 times from 1 second up to 5 minutes. Say more where a parked step is expensive.
   */
  readonly retryCompensate?: Retry
  /**
   * What happens to the step if the process stops while `execute` runs, so that nobody knows how far it came:
   *
   * - `"retry"` (default): it runs again with the same idempotency key. Right for work that may be repeated.
   * - `"compensate"`: it fails with `SagaStepInterrupted`, and `compensate.unknown` runs. Right for work that must not be
   *   repeated and can be taken back without its result. Needs `compensate: { run, unknown }`.
   * - `"park"`: it fails with `SagaStepInterrupted`, and waits for a person. Right where only a person can find out.
   *
   * A transactional step is always run again, as its effect is gone with its database transaction.
   */
  readonly onCrash?: Exclude<Step.OnCrash, "compensate"> | WithUnknown<Form, "compensate">
  /**
   * The SQL of `execute` and `compensate` commits together with the record of the step, so that its effect happens exactly
   * once. Default: false. Needs executions in the same database: the layer of the manager fails with
   * `SagaTransactionUnsupported` where they are stored elsewhere.
   *
   * Each attempt of `retry` is a savepoint. Where the database ends the whole transaction, the step runs again in a new one by
   * itself: after a deadlock or a serialization failure ten times, after 50 ms, then twice as late, at most 2 s (SPEC C8), and
   * then it fails with that error; while the connection is lost or the server only reads, until the database is back or the
   * `timeout` is over. Let such an error pass: a failed statement that is caught ends the transaction all the same, unless it
   * runs in a nested `withTransaction`.
   */
  readonly transactional?: boolean
}

/** `LocalOptions` without the types of one step. */
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

const localNames: Names<AnyLocalOptions> = {
  success: true,
  error: true,
  execute: true,
  compensate: { run: true, unknown: true },
  timeout: true,
  retry,
  retryCompensate: retry,
  onCrash: true,
  transactional: true
}

export const toLocal = (name: string, options: AnyLocalOptions): Step.Local & Mistaken => ({
  ...mistakesIn(options, localNames),
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

/** The request of a remote step: a command of a participant, as data. */
export interface Send<Ctx, P, A, E> {
  /** The command, from the contract of a participant: `Payments.commands.Charge`. */
  readonly command: Command<string, string, P, A, E>
  /** Makes the payload. Synchronous and without effects; if it throws, the step fails before anything is sent. */
  readonly payload: (context: NoInfer<Ctx>) => NoInfer<P>
}

/** The compensation of a remote step: a command that takes its effect back. */
export interface SendCompensation<Ctx, Replied, P> {
  /** It answers at once. */
  readonly command: Command<string, string, P, any, any> & { readonly answer?: never }
  /** Makes the payload. It reads the decoded reply under the name of the step, also where `onSuccess` made another result. */
  readonly payload: (context: NoInfer<Replied>) => NoInfer<P>
  /**
   * Makes the payload when the reply was never seen and the participant cannot be probed. It gets the context before the
   * step. Default: such a step is parked for a person.
   */
  readonly unknown?: (context: NoInfer<Ctx>) => NoInfer<P>
}

/** The same for a service without a `Participant`: a `SagaRequest`. */
export interface RequestCompensation<Ctx, Replied> extends SagaRequest<NoInfer<Replied>> {
  /** Makes the content when the reply was never seen. Default: such a step is parked for a person. */
  readonly unknown?: (context: NoInfer<Ctx>) => unknown
}

/**
 * The options of `Saga.remote`. Only `execute` is needed.
 *
 * @example
 * ```ts
 * Saga.remote("payment", {
 *   execute: { command: Payments.commands.Charge, payload: ({ order, total }) => ({ order, amount: total }) },
 *   compensate: {
 *     command: Payments.commands.Refund,
 *     payload: ({ payment }) => ({ paymentId: payment.paymentId })
 *   },
 *   timeout: "30 seconds"
 * })
 * ```
 */
export interface RemoteOptions<Ctx, Name extends string, P, A, E, P2, A2, E2, ES, RS, EE, RE> {
  /**
   * The request. It is sent again until it is answered (SPEC C8); the participant runs its handler once. A 400 fails the
   * step with the declared error of the command, unless `onError` says otherwise.
   */
  readonly execute: Send<Ctx, P, A, E> | SagaRequest<NoInfer<Ctx>>
  /**
   * The schema of the result. With a command it is needed only where `onSuccess` or `onError` makes another result than
   * the reply. Without a command it decodes the reply, and the default is `Schema.Unknown`.
   */
  readonly success?: Codec<A2>
  /** The schema of the errors that `onSuccess` and `onError` add to those of the command. Default: they add none. */
  readonly error?: Codec<E2>
  /**
   * Makes the result of the step from the reply. Default: the reply is the result. May run again after a crash, so it
   * should have no effects. If it fails, the step fails, and its compensation is sent.
   */
  readonly onSuccess?: (reply: NoInfer<Reply<A, A2>>, context: NoInfer<Ctx>) => Effect.Effect<NoInfer<A2>, ES, RS>
  /**
   * Answers a 400 of the participant: it gives a result, and the saga goes on; or it fails, and the step fails with that
   * error instead. Default: the step fails with the error of the command. A step that `onError` has finished is not
   * compensated: its participant has done nothing.
   */
  readonly onError?: (error: NoInfer<E>, context: NoInfer<Ctx>) => Effect.Effect<NoInfer<A2>, EE, RE>
  /**
   * The request that takes back the effect of the step if a later step fails. Default: nothing is sent, the step counts as
   * compensated. If the reply was never seen, the participant is probed first.
   */
  readonly compensate?:
    | SendCompensation<Ctx, Add<Ctx, Name, Reply<A, A2>>, P2>
    | RequestCompensation<Ctx, Add<Ctx, Name, Reply<A, A2>>>
  /**
   * How long the reply is waited for, from the first request; a number is milliseconds. Then the step fails with
   * `SagaStepTimedOut`. Default: `replyTimeout` of `SagaConfig`, 5 minutes. Must be longer than zero. Say more for a
   * command that takes long. What a person answers is a signal: `Saga.waitFor`.
   *
   * A command that answers later needs one, or its saga a `deadline`; behind a pivot only this counts. Until the service has accepted
   * the command, `replyTimeout` counts as well.
   */
  readonly timeout?: Duration.Input
  /** Not for a remote step, whose request is sent again until it is answered: the compiler refuses it. */
  readonly retry?: RequestsAreResent
  /**
   * How often the compensation is tried again before the step is parked (SPEC C8). Default: `retryCompensate` of
   * `SagaConfig`, 10 times from 1 second up to 5 minutes. Say more where a parked step is expensive.
   */
  readonly retryCompensate?: Retry
}

/** `RemoteOptions` without the types of one step. */
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
    content: payload,
    ...(command !== undefined && isLater(command) && { later: true })
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

/** The schema of all errors of a remote step. A command without errors adds nothing to the declared ones. */
const toErrors = (ofReply: Codec<any>, declared: Codec<any> | undefined): Codec<any> =>
  declared === undefined ? ofReply : ofReply.ast._tag === "Never" ? declared : Schema.Union([ofReply, declared])

const requestNames = { command: true, payload: true, target: true, content: true } as const

const remoteNames: Names<AnyRemoteOptions> = {
  execute: requestNames,
  success: true,
  error: true,
  onSuccess: true,
  onError: true,
  compensate: { ...requestNames, unknown: true },
  timeout: true,
  retry,
  retryCompensate: retry
}

export const toRemote = (name: string, options: AnyRemoteOptions): Step.Remote & Mistaken => {
  const execute = options.execute ? toRequest(options.execute, options.success ?? Schema.Unknown) : undefined
  return {
    ...mistakesIn(options, remoteNames),
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
