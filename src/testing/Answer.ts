/** What a test says in the name of the services that a saga asks: a reply, a refusal, or trouble. */
import type { Duration } from "effect"
import type { Exchange } from "../definition/OutsideTypes.ts"

/** The answer of a service other than a plain reply. */
export class Answer<out A, out E> {
  readonly says:
    | { readonly _tag: "Reply"; readonly value: A }
    | { readonly _tag: "Error"; readonly error: E }
    | { readonly _tag: "Death" }
    | { readonly _tag: "Silence" }
  /** How often the reply comes. */
  readonly copies: number
  /** How long the reply takes. */
  readonly after: Duration.Input

  constructor(says: Answer<A, E>["says"], copies = 1, after: Duration.Input = 0) {
    this.says = says
    this.copies = copies
    this.after = after
  }
}

/** The value of a reply, or an answer of another kind. */
export type Said<A, E> = A | Answer<A, E>

/** The answer to the request of one step: the same each time, or made from the payload. */
export type Reply<P, A, E> = Said<A, E> | ((payload: P) => Said<A, E>)

/** Answers by the names of the steps; those for a nested saga stand under the name of its step. */
export type Replies<Steps> = {
  readonly [K in keyof Steps]?: Steps[K] extends Exchange<infer P, infer A, infer E>
    ? Reply<P, A, E>
    : Replies<Steps[K]>
}

/** Answers to compensations by the names of the steps: they have no result, and no error that counts. */
export type Compensations<Steps> = {
  readonly [K in keyof Steps]?: Steps[K] extends Exchange<any, any, any> ? Answer<void, never> : Compensations<Steps[K]>
}

const answer = <A, E>(said: Said<A, E>): Answer<A, E> =>
  said instanceof Answer ? said : new Answer<A, E>({ _tag: "Reply", value: said })

/** The answer in what a test says. A function is one of the payload: no reply is a function. */
export const toAnswer = (reply: unknown, payload: unknown): Answer<unknown, unknown> =>
  answer<unknown, unknown>(typeof reply === "function" ? reply(payload) : reply)

/**
 * The service refuses with a declared error of its command (400): the step fails, and nothing has to be compensated.
 *
 * @example
 * ```ts
 * replies: { payment: SagaTest.error(new CardDeclined({ reason: "stolen" })) }
 * ```
 */
export const error = <E>(error: E): Answer<never, E> => new Answer({ _tag: "Error", error })

/** The service breaks while it handles the request, and says so (500). Its effects are gone. */
export const dies: Answer<never, never> = new Answer({ _tag: "Death" })

/**
 * The service does not hear the request, and none of its repetitions. The step fails at its deadline. Asked what became of the
 * request (SPEC C3), the service says that it has done nothing.
 */
export const silence: Answer<never, never> = new Answer({ _tag: "Silence" })

/**
 * The service does its work at once, and its reply comes after a time; a number is milliseconds. Later than the deadline of the
 * step: the step has failed, and is compensated, because the service says that the work is done. A command with `answer: "later"` is
 * accepted at once and done when its answer comes: one that is too late has nothing to be compensated.
 *
 * @example
 * ```ts
 * replies: { payment: SagaTest.late("2 minutes", { paymentId: "p-1" }) }
 * ```
 */
export const late = <A, E = never>(after: Duration.Input, said: Said<A, E>): Answer<A, E> => {
  const { copies, says } = answer(said)
  return new Answer(says, copies, after)
}

/** The reply comes twice, as a broker may deliver it. */
export const twice = <A, E = never>(said: Said<A, E>): Answer<A, E> => {
  const { after, says } = answer(said)
  return new Answer(says, 2, after)
}
