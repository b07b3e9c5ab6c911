/**
 * The execution that code of an author runs in: a callback of a step, a handler of a command, or a hook. An effect
 * outside the database passes `idempotencyKey` along, so that the other side recognizes a repetition.
 */
import { Context, Effect, Fiber, References } from "effect"
import { isName } from "../wire/Envelope.ts"
import { FaultPoint } from "./FaultPoint.ts"

/**
 * Read with `yield* SagaTransaction` inside a callback, a handler or a hook.
 *
 * @example
 * ```ts
 * const reserve = Effect.gen(function* () {
 *   const { idempotencyKey } = yield* SagaTransaction
 *   return yield* Hotel.use((hotel) => hotel.reserve(idempotencyKey))
 * })
 * ```
 */
export interface SagaTransaction {
  /** Uuid of the execution. */
  readonly uuid: string
  /**
   * In the orchestrator: the name of the saga. In a participant: the service that coordinates the execution. Empty inside
   * `transactional`, where the request does not name the coordinator.
   */
  readonly saga: string
  /** Path of the step. Empty in a hook and inside `transactional`: they belong to no step. */
  readonly path: string
  /**
   * The same text for every attempt of the same operation, and for no other operation: `uuid:path:execute` or
   * `uuid:path:failure` for a step (SPEC W7), `uuid:service:reserve`, `…:commit` or `…:reject` for a hook.
   */
  readonly idempotencyKey: string
  /**
   * Revision of the execution when the callback started. A compensation has a greater one than what it compensates, so a system
   * that keeps the greatest epoch of each step (`uuid` and `path`) refuses a process that stood still and sends too late. A step
   * that runs again after a crash has the same one: `idempotencyKey` recognizes it. 0 in a participant.
   */
  readonly epoch: number
  /** The user in whose name the execution runs. */
  readonly user: string | undefined
  /** Headers of the request that started the execution. */
  readonly headers: Readonly<Record<string, string>>
  /**
   * Makes a service take part in the execution, when the callback has called it by other means than a remote step. A text
   * that cannot be the name of a service is a defect. Has no effect in compensations and hooks.
   */
  readonly enrol: (service: string) => Effect.Effect<void>
}

/** Reading it outside of a callback, a handler or a hook is a defect. */
export const SagaTransaction = Context.Reference<SagaTransaction>("effect-saga/SagaTransaction", {
  defaultValue: () => {
    throw new Error("SagaTransaction is read outside of a callback of a saga")
  }
})

/** Collects the names of services. A text that cannot be a name is a bug of the author: a defect, which fails the callback. */
export const enrolInto =
  (services: Array<string>): SagaTransaction["enrol"] =>
  (service) =>
    isName(service)
      ? Effect.sync(() => void services.push(service))
      : Effect.die(new Error(`${JSON.stringify(service)} is no name of a service`))

/** For compensations and hooks: no service joins an execution that is being ended. */
const enrolNobody: SagaTransaction["enrol"] = () => Effect.void

const noHeaders: Readonly<Record<string, string>> = {}

/** The fields that every caller knows; the others have defaults. */
export interface Fields extends Pick<SagaTransaction, "uuid" | "saga" | "idempotencyKey" | "user"> {
  readonly headers: Readonly<Record<string, string>> | undefined
  readonly path?: string | undefined
  readonly epoch?: number
  readonly enrol?: SagaTransaction["enrol"] | undefined
}

/** A transaction. By default it belongs to no step, has the epoch 0, and lets no service join. */
export const make = ({
  enrol = enrolNobody,
  epoch = 0,
  headers = noHeaders,
  idempotencyKey,
  path = "",
  saga,
  user,
  uuid
}: Fields): SagaTransaction => ({ uuid, saga, path, idempotencyKey, epoch, user, headers, enrol })

/** Annotations of the log within code of an author: those around it, and `saga`, `uuid` and `step`. */
export type Annotations = Readonly<Record<string, unknown>>

const inside = (
  context: Context.Context<never>,
  transaction: SagaTransaction,
  annotations: Annotations | undefined
): Context.Context<never> => {
  const within = Context.addUnsafe(context, SagaTransaction.key, transaction)
  return annotations === undefined
    ? within
    : Context.addUnsafe(within, References.CurrentLogAnnotations.key, annotations)
}

/**
 * Runs code of an author inside a transaction, between the fault points of a callback. A throw while the code is called is
 * a defect like any other. `annotations`: those of the log inside; undefined: those around it.
 *
 * `fiberContext`: for a fiber that belongs to the caller, who restores its context afterwards. The code then starts from
 * this context, without the cost of restoring it here. `running`: this is the fiber that runs now, so the code is called at
 * once, unless a test stops at its fault points.
 */
export const runInside = <A, E>(
  transaction: SagaTransaction,
  code: () => Effect.Effect<A, E, any>,
  annotations?: Annotations,
  fiberContext?: Context.Context<never>,
  running?: Fiber.Fiber<unknown, unknown>
): Effect.Effect<A, E> => {
  // The services of the code are erased in its step or contract; the layer that runs it requires and provides them.
  const erased = code as () => Effect.Effect<A, E>
  if (running !== undefined && fiberContext !== undefined && !FaultPoint.isSet(running)) {
    running.setContext(inside(fiberContext, transaction, annotations))
    return effectOf(erased)
  }
  return Effect.withFiber((fiber) => {
    const call = () =>
      inOwnFiber(
        Effect.updateContext(
          Effect.suspend(() => effectOf(erased)),
          (context: Context.Context<never>) => inside(fiberContext ?? context, transaction, annotations)
        )
      )
    return FaultPoint.within(fiber, "callback", call, transaction.path)
  })
}

/** The effect that the author's function gives. A throw, or a value that is no effect, is a defect of that function, and not of its caller. */
export const effectOf = <A, E, R>(code: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  // The author's function may throw.
  try {
    const effect = code()
    return Effect.isEffect(effect) ? effect : Effect.die(new TypeError(noEffect))
  } catch (defect) {
    return Effect.die(defect)
  }
}

const noEffect =
  "the function gives no Effect: an async function has to be called by Effect.promise or Effect.tryPromise"

/**
 * Code that goes on with something that is no effect ends its fiber at once: no finalizer runs, and no transaction is ended. So its
 * fiber is its own, and whoever waits for it hears of a defect.
 */
export const inOwnFiber = <A, E, R>(code: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkChild(restore(code), { startImmediately: true, uninterruptible: "inherit" }), (fiber) =>
      Effect.onInterrupt(restore(Fiber.join(fiber)), () => Fiber.interrupt(fiber))
    )
  )
