/**
 * Named points around every durable write, publish, acknowledgement and callback (SPEC C15). A test provides a handler,
 * which can stop the instance at exactly this instruction. Without a handler the points do nothing.
 */
import { Context, Effect, type Fiber } from "effect"

export type Operation = "store" | "publish" | "acknowledge" | "callback"

export type Name = `${Operation}.${"before" | "after"}`

/** `path`: the step whose callback runs. The other operations do not know their step. */
export type Handler = (name: Name, path?: string) => Effect.Effect<void>

const nothing: Handler = () => Effect.void

/** The handler that runs at a fault point. Default: does nothing. */
export class FaultPoint extends Context.Reference<Handler>("effect-saga/FaultPoint", { defaultValue: () => nothing }) {
  /** The point as an effect. There is one effect for each name, so that a point allocates nothing. */
  static at(name: Name): Effect.Effect<void> {
    return points[name]
  }

  /** The points before and after an effect; also after one that fails, as it may have happened all the same. */
  static around<A, E, R>(
    operation: Operation,
    effect: (fiber: Fiber.Fiber<unknown, unknown>) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    return Effect.withFiber((fiber) => FaultPoint.within(fiber, operation, effect))
  }

  /** Whether there is a handler. */
  static isSet({ context }: Fiber.Fiber<unknown, unknown>): boolean {
    return handlerIn(context) !== nothing
  }

  /** `around` for a caller that has the fiber already. */
  static within<A, E, R>(
    fiber: Fiber.Fiber<unknown, unknown>,
    operation: Operation,
    effect: (fiber: Fiber.Fiber<unknown, unknown>) => Effect.Effect<A, E, R>,
    path?: string
  ): Effect.Effect<A, E, R> {
    const handler = handlerIn(fiber.context)
    return handler === nothing
      ? effect(fiber)
      : Effect.flatMap(handler(`${operation}.before`, path), () =>
          Effect.flatMap(Effect.exit(effect(fiber)), (exit) =>
            Effect.andThen(handler(`${operation}.after`, path), exit)
          )
        )
  }
}

let last: { readonly context: Context.Context<never> | undefined; readonly handler: Handler } = {
  context: undefined,
  handler: nothing
}

/** Remembers the last look-up: contexts do not change, and most runners share one. */
const handlerIn = (context: Context.Context<never>): Handler => {
  if (last.context !== context) last = { context, handler: Context.get(context, FaultPoint) }
  return last.handler
}

const point = (name: Name): Effect.Effect<void> => Effect.withFiber((fiber) => fiber.getRef(FaultPoint)(name))

const points: { readonly [N in Name]: Effect.Effect<void> } = {
  "store.before": point("store.before"),
  "store.after": point("store.after"),
  "publish.before": point("publish.before"),
  "publish.after": point("publish.after"),
  "acknowledge.before": point("acknowledge.before"),
  "acknowledge.after": point("acknowledge.after"),
  "callback.before": point("callback.before"),
  "callback.after": point("callback.after")
}
