/**
 * The code of a service for its commands: one handler for each. Most are a function, which runs in the unit of work of its message. Two
 * other forms hold no connection while they work: one answers later, the other runs outside of the unit.
 */
import type { Duration, Effect } from "effect"
import type * as Command from "../definition/Command.ts"
import type { RateOptions } from "../ports/RateSetting.ts"

/**
 * One handler for each command of a contract. It gets the payload, and gives the result or fails with the error that the
 * contract declares. Inside it `SagaTransaction` tells the execution and the idempotency key. A command that answers later has a
 * handler of two parts. With `transaction: false` a handler runs outside of the unit of work (`AtLeastOnceHandler`).
 */
export type Handlers<Commands extends Record<string, Command.Any>> = {
  readonly [Tag in keyof Commands]: Commands[Tag] extends Command.Command<
    any,
    any,
    infer Payload,
    infer Success,
    infer Error
  >
    ? Commands[Tag] extends { readonly answer: "later" }
      ? LaterHandler<Payload, Error>
      :
          | ((payload: Payload) => Effect.Effect<Success, Error, any>)
          | LimitedHandler<Payload, Success, Error>
          | AtLeastOnceHandler<Payload, Success, Error>
    : never
}

/**
 * Limits of one command in this process. A message over a limit waits for its turn; if too many wait, it is let go, and its sender sends
 * it again. Compensations and questions of executions are never limited.
 *
 * @example
 * ```ts
 * const PaymentsLive = Participant.layer(Payments, {
 *   Charge: { handle: ({ amount }) => charge(amount), priority: 10 },
 *   Report: { handle: ({ month }) => report(month), concurrency: 2, rate: { limit: 10, per: "1 second" } }
 * })
 * ```
 */
export interface HandlerLimits {
  /**
   * How many messages of the command are handled at the same time. A whole number from 1, default `ParticipantConfig.maxInFlight`. Set it
   * where another system takes no more.
   */
  readonly concurrency?: number
  /** How many begin in a time, by the clock of the process. Each delivery counts, also that of a copy. Default: no limit. */
  readonly rate?: RateOptions
  /**
   * Which of the messages that wait begins first: that of the command with the highest number. A whole number from -1,000 to 1,000,
   * default 0. Every eighth place is given to the message that waits longest, so none waits for ever. Messages wait where
   * `ParticipantConfig.maxHandlers` or a limit of their command says so.
   */
  readonly priority?: number
}

/** A handler in the unit of work of its message, like a function, with limits. */
export interface LimitedHandler<in Payload, out Success, out Error> extends HandlerLimits {
  readonly transaction?: true
  readonly handle: (payload: Payload) => Effect.Effect<Success, Error, any>
}

/**
 * The handler of a command whose answer comes later (SPEC C19). `Participant.answer` gives the answer under the `messageId`, so
 * `accept` stores that id with the work that it begins.
 */
export interface LaterHandler<in Payload, out Error> extends HandlerLimits {
  /**
   * Begins the work, in one unit of work with the record that it is accepted. It ends soon, and leaves the work to others: a row in
   * a table of jobs, for example. If it fails with the declared error of the command, that is the answer (400).
   */
  readonly accept: (payload: Payload, messageId: string) => Effect.Effect<void, Error, any>
  /**
   * Undoes what `accept` did, in one unit of work with the record that there is no effect. Runs once where the answer is not 200, and
   * where the command is ended without one: by the rollback of its execution, by time, by a person. It cannot fail; when it dies,
   * nothing is recorded and it is called again later, like a compensation.
   */
  readonly cancelled: (payload: Payload, messageId: string) => Effect.Effect<void, never, any>
}

/**
 * A handler that runs *at least once*, without a transaction and without a connection: for calls to other systems, which take seconds.
 * That the message is begun is recorded before it runs, and its result after it has ended. Where the process stops in between, it runs
 * again: when the message comes again, or when its execution asks about it. So the effect needs a system that knows the key, or that can
 * be asked whether it was done. A handler that fails or dies in the middle has no database that takes its effects back:
 *
 * - It fails with the declared error of the command (400) only where no effect is left.
 * - When it dies, or its `timeout` is over, nobody knows what it has done. Nothing is answered, and it runs again with the same key.
 *
 * While it runs, questions about it are answered "not yet", and a compensation waits for its end. Its effect is immediate.
 *
 * @example
 * ```ts
 * const PaymentsLive = Participant.layer(Payments, {
 *   Charge: {
 *     transaction: false,
 *     handle: ({ amount }, idempotencyKey) => Cards.use((cards) => cards.charge(amount, { idempotencyKey }))
 *   }
 * })
 * ```
 */
export interface AtLeastOnceHandler<in Payload, out Success, out Error> extends HandlerLimits {
  readonly transaction: false
  /** The `idempotencyKey` is the id of the message: the same each time it runs, and another one for each command and its compensation. */
  readonly handle: (payload: Payload, idempotencyKey: string) => Effect.Effect<Success, Error, any>
  /**
   * How long it may run. Then it is interrupted, and runs again when the message comes again. From 1 ms to 3,650 days, default 5 minutes:
   * the execution no longer waits then (`SagaConfig.replyTimeout`).
   */
  readonly timeout?: Duration.Input
}

/** Of an `AtLeastOnceHandler`. */
export const defaultTimeout: Duration.Input = "5 minutes"

/** A handler of any command. One with limits is its function, and its limits stand beside it. */
export type Handler =
  | ((payload: any) => Effect.Effect<unknown, unknown, any>)
  | AtLeastOnceHandler<any, unknown, unknown>
  | LaterHandler<any, unknown>

export const isLaterHandler = (handler: Handler): handler is LaterHandler<any, unknown> => "accept" in handler

export const isAtLeastOnce = (handler: Handler): handler is AtLeastOnceHandler<any, unknown, unknown> =>
  "handle" in handler
