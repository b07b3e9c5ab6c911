/**
 * The step that starts another saga: its options with their types, and their one form as data. Mistakes of plain JavaScript are
 * kept: validation reports them.
 */

import type { Effect } from "effect"
import { Uuid } from "../wire/Envelope.ts"
import { type Mistaken, mistakesIn, type Names, retry } from "./OptionNames.ts"
import type * as Out from "./OutsideTypes.ts"
import * as Step from "./SagaStep.ts"
import type * as Types from "./SagaTypes.ts"
import type { Add, Saga, Visible } from "./SagaTypes.ts"
import { append, isSaga } from "./SagaValue.ts"
import { type Retry, toRetry } from "./StepOptions.ts"

/** A saga that starts with these values, whatever else it is. For the function that `Saga.suspend` gets. */
export type Startable<Initial> = Saga<string, Initial, any, any, any, "committed", any>

/** A saga that is defined later. Made by `Saga.suspend`. */
export interface Suspended<in out Initial, out Own, out Svc> {
  readonly name: string
  readonly saga: () => Saga<string, Initial, Own, any, Svc, "committed", any>
}

/** What became of a saga that a step has started, and that can no longer be cancelled. */
export interface Started<out Ctx> {
  readonly uuid: string
  /** Its final context. Absent where the execution is no longer kept, or where this program cannot read it. */
  readonly context?: Ctx
}

/**
 * The options of `Saga.start`. `saga` and `context` are needed.
 *
 * @example
 * ```ts
 * Saga.start("delivery", {
 *   saga: Deliver,
 *   context: ({ order, city }) => ({ order, city }),
 *   compensate: ({ order }, { context }) => Returns.use((returns) => returns.announce(order, context?.parcel))
 * })
 * ```
 */
export interface StartOptions<Ctx, Name extends string, Initial, Own, Svc, Run, Outside = any> {
  /** The saga to start. It must be committed, and registered in the same manager (else `SagaNotRegistered`). */
  readonly saga: Saga<string, Initial, Own, any, Svc, "committed", Outside> | Suspended<Initial, Own, Svc>
  /**
   * Makes the initial values of the other saga. Pure and synchronous; its result is stored before the start, and it is not asked
   * again. If it throws, or its values do not fit, the step fails.
   */
  readonly context: (context: NoInfer<Ctx>) => NoInfer<Initial>
  /**
   * Makes the start key of the other execution, at most 512 bytes, as `startKey` of `SagaManager.start`. Default: the uuid of this
   * execution and the path of the step, like `0199…:3`, which is nobody else's. Set it where the other execution is to be there
   * once, whoever starts it: the step then succeeds with one that is there already, and does not undo that. Another saga, version
   * or context under the key fails the step (`SagaStartConflict`).
   */
  readonly startKey?: (context: NoInfer<Ctx>) => string
  /**
   * Takes back what the other saga has done, where it can no longer be cancelled: it is finished. Default: the step is parked for a
   * person then. May run again, as the compensation of a local step.
   */
  readonly compensate?: (
    context: NoInfer<Add<Ctx, Name, string>>,
    started: Started<NoInfer<Visible<Initial & Own>>>
  ) => Effect.Effect<void, never, Run>
  /** How often `compensate` is tried again before the step is parked (SPEC C8). Default: `retryCompensate` of `SagaConfig`. */
  readonly retryCompensate?: Retry
}

/** The services of a saga, where they are known. */
export type KnownServices<R> = Types.IsAny<R> extends true ? never : R

const successOf = Uuid

const startNames: Names<StartOptions<any, string, any, any, any, any>> = {
  saga: true,
  context: true,
  startKey: true,
  compensate: true,
  retryCompensate: retry
}

/** `options` has the types of the signatures below; in plain JavaScript it may be anything. */
const toStart = (name: string, options: StartOptions<any, string, any, any, any, any>): Step.Start & Mistaken => {
  const { compensate, context, retryCompensate, saga, startKey } = options
  const find = typeof saga === "object" && saga !== null && !isSaga(saga) ? saga.saga : () => saga
  return {
    ...mistakesIn(options, startNames),
    _tag: "Start",
    name,
    saga: saga?.name ?? "",
    definition: () => {
      const found: unknown = typeof find === "function" ? find() : undefined
      return isSaga(found) && found.name === saga.name ? found : Step.notDefined
    },
    context,
    ...(startKey !== undefined && { startKey }),
    success: successOf,
    ...(compensate !== undefined && { compensate }),
    policies: { ...(retryCompensate && { retryCompensate: toRetry(retryCompensate, 1_000) }) }
  }
}

/**
 * Adds a step that starts another saga. That one lives on by itself: the step is done once its execution is stored, and nobody
 * waits for it. The result, under the name of the step, is the uuid of that execution, as text. It has the user and the headers of this one.
 *
 * The start happens once, whatever crashes: the key and the values are stored before it. The other execution waits in the repository
 * until some process has room for it, so a start is never refused for want of room. Nothing bounds how many a saga starts but its own logic: a saga that starts itself is a
 * loop (`Saga.suspend`).
 *
 * If a later step fails, the other execution is cancelled, and the step counts as compensated when that one is undone. One that is
 * finished goes to `compensate`; one that waits for a person parks this step as well.
 */
export const start = <
  I,
  Own,
  const Name extends string,
  I2,
  Own2 = Types.NoResults,
  R2 = never,
  Run = never,
  O2 = Types.NoResults
>(
  name: Name & Types.Unused<Name, I & Own>,
  options: StartOptions<I & Own, Name, I2, Own2, R2, Run, O2> & Types.Undoable<I & Own>
): (<SagaName extends string, E0, R0, O0>(
  self: Saga<SagaName, I, Own, E0, R0, Types.Appendable, O0>
) => Saga<
  SagaName,
  I,
  Types.Add<Own, Name, string>,
  E0,
  R0 | Run | KnownServices<R2>,
  "open",
  O0 & Out.Starts<Name, O2>
>) => append(toStart(name, (options ?? {}) as any)) // plain JavaScript may give none

/**
 * Names a saga that is defined later, for `Saga.start`: a saga that starts itself, or two that start each other. The function says its
 * type, because the compiler cannot infer a value from itself.
 *
 * @example
 * ```ts
 * const Poll = Saga.make("Poll", { context: { round: Schema.Int } }).pipe(
 *   Saga.sleep("pause", "1 hour"),
 *   Saga.start("next", {
 *     saga: Saga.suspend("Poll", (): Saga.Startable<{ readonly round: number }> => Poll),
 *     context: ({ round }) => ({ round: round + 1 })
 *   }),
 *   Saga.commit
 * )
 * ```
 */
export const suspend = <I, Own, R>(
  name: string,
  saga: () => Saga<string, I, Own, any, R, "committed", any>
): Suspended<I, Own, R> => ({ name, saga })
