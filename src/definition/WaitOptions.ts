/**
 * The options of steps that wait, with their types, and their one form as data. Mistakes of plain JavaScript are kept:
 * validation reports them.
 */

import { DateTime, type Duration, Schema } from "effect"
import type { Codec } from "./Command.ts"
import { type Mistaken, mistakesIn, type Names } from "./OptionNames.ts"
import type * as Step from "./SagaStep.ts"
import type { Signal } from "./Signal.ts"
import { toMillis } from "./StepOptions.ts"

/** A time of day: a `DateTime`, a `Date`, or milliseconds since the epoch. */
export type PointInTime = DateTime.DateTime | Date | number

/**
 * How long a step waits: a duration from its start (a number is milliseconds), or a function of the context that gives the
 * time at which it ends. The function is pure and synchronous; its result is stored, and it is not asked again.
 */
export type Until<Ctx> = Duration.Input | ((context: NoInfer<Ctx>) => PointInTime)

/** The result of a wait whose time is over. `V` is the type of what `value` gives, in which literals are kept. */
export interface OnTimeout<Ctx, B, V extends B = B> {
  /** The schema of the result, with which it is stored and read back. Of a result and a payload it is tried first. */
  readonly success: Codec<B>
  /** Makes the result. Pure and synchronous; if it throws, the step fails. */
  readonly value: (context: NoInfer<Ctx>) => V
}

/**
 * The options of `Saga.waitFor`. Only `signal` is needed.
 *
 * @example
 * ```ts
 * Saga.waitFor("approval", {
 *   signal: Approval,
 *   timeout: "2 days",
 *   onTimeout: { success: Schema.Literal("nobody"), value: () => "nobody" }
 * })
 * ```
 */
export interface WaitForOptions<Ctx, A, B, V extends B = B, SignalName extends string = string> {
  /** The signal that ends the wait. Its payload is the result of the step. */
  readonly signal: Signal<SignalName, A>
  /**
   * Makes the key of the signal: the wait takes a signal with the same name and the same key, at most 512 bytes. Default: the
   * wait takes a signal without a key. Branches that wait for one signal at the same time need keys that tell them apart.
   */
  readonly key?: (context: NoInfer<Ctx>) => string
  /**
   * How long the signal is waited for. Then the step fails with `SagaStepTimedOut` and the saga is rolled back, unless
   * `onTimeout` gives a result. At most 10 years. Default: as long as the execution lives, up to the `deadline` of the saga.
   */
  readonly timeout?: Until<Ctx>
  /** The result of the step where no signal came in time. Default: the step fails. Needs a `timeout`. */
  readonly onTimeout?: OnTimeout<Ctx, B, V>
}

const toEpochMillis = (time: PointInTime): number =>
  DateTime.isDateTime(time) ? DateTime.toEpochMillis(time) : Math.ceil(Number(time))

const toDeadline = (until: Until<any> | undefined): Pick<Step.Wait, "timeout" | "until"> =>
  until === undefined
    ? {}
    : typeof until === "function"
      ? { until: (context) => toEpochMillis(until(context)) }
      : { timeout: toMillis(until) }

export const toSleep = (name: string, until: Until<any>): Step.Wait => ({
  _tag: "Wait",
  name,
  success: Schema.Void,
  ...toDeadline(until ?? Number.NaN)
})

const waitNames: Names<WaitForOptions<any, any, any>> = {
  signal: true,
  key: true,
  timeout: true,
  onTimeout: { success: true, value: true }
}

export const toWaitFor = (name: string, options: WaitForOptions<any, any, any>): Step.Wait & Mistaken => {
  const { key, onTimeout, signal, timeout } = options
  const payload = signal?.payload ?? Schema.Unknown
  return {
    ...mistakesIn(options, waitNames),
    _tag: "Wait",
    name,
    signal,
    ...(key !== undefined && { key }),
    success: onTimeout === undefined ? payload : Schema.Union([onTimeout.success, payload]),
    ...toDeadline(timeout),
    ...(onTimeout && { onTimeout: { success: onTimeout.success, value: onTimeout.value } })
  }
}
