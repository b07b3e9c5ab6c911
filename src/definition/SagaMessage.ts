/**
 * Messages without a contract: the request to a service that has no `Participant`, and the response of any service. A
 * request is data: its `content` may be a function of the context, which is called when the step runs.
 */
import { Effect, Equal, Hash, Schema } from "effect"
import { line, wordOf } from "../wire/OneLine.ts"

/** The service and the command: `"payments/charge"`. */
export type Target = `${string}/${string}`

/** Content that does not depend on the context. */
export type Content = string | number | boolean | null | ReadonlyArray<unknown> | { readonly [key: string]: unknown }

/** A request to a service that has no `Participant`. */
export interface SagaRequest<in Context = any> {
  readonly target: Target
  /** The content, or a function that makes it from the context. Default: null. */
  readonly content?: ((context: Context) => unknown) | Content
}

/**
 * The same as `{ target, content }`. Write a compensation that reads the reply of its own step in that form: while the
 * arguments of `make` are checked, the compiler does not know the type of the reply yet.
 */
export const SagaRequest: {
  readonly make: {
    <Context>(target: Target, content: (context: NoInfer<Context>) => unknown): SagaRequest<Context>
    (target: Target, content?: Content): SagaRequest<unknown>
  }
} = {
  make: (target: Target, content?: SagaRequest["content"]) => (content === undefined ? { target } : { target, content })
}

const statuses = { SUCCESS: 200, ERROR: 400, SYSTEM_ERROR: 500 } as const

/** `SUCCESS` 200: done. `ERROR` 400: refused by the domain. `SYSTEM_ERROR` 500: not done, for another reason. */
export const SagaResponseStatus = Object.assign(Schema.Enum(statuses), statuses)

export type SagaResponseStatus = typeof SagaResponseStatus.Type

/**
 * A response of a service that does not answer over the broker, for `SagaManager.run({ response })`. What a person says is a signal
 * (`SagaManager.signal`). Two responses are equal if their fields are; the order of
 * `relatedServices` does not count.
 */
export class SagaResponse extends Schema.Class<SagaResponse>("SagaResponse")({
  content: Schema.Unknown,
  /** Default: `SUCCESS`. */
  status: SagaResponseStatus.pipe(Schema.withConstructorDefault(Effect.succeed(statuses.SUCCESS))),
  /** Services that the answering one has called within the same transaction. Default: none. */
  relatedServices: Schema.Array(Schema.String).pipe(Schema.withConstructorDefault(Effect.succeed([]))),
  /** The execution that is answered. */
  uuid: Schema.optionalKey(Schema.String),
  /**
   * The step that is answered: its name, or its path where several steps have that name. Name it always: a response without
   * a name is taken only by a step without a contract that is the only one awaited, and a second copy of it can then answer
   * the next step.
   */
  step: Schema.optionalKey(Schema.String),
  /** The request that is answered: the id of its message. */
  requestId: Schema.optionalKey(Schema.String),
  /** The service that answers. */
  service: Schema.optionalKey(Schema.String)
}) {
  /** Whether the status is `SUCCESS`. */
  get ok(): boolean {
    return this.status === SagaResponseStatus.SUCCESS
  }

  [Equal.symbol](that: unknown): boolean {
    return that instanceof SagaResponse && Equal.equals(fields(this), fields(that))
  }

  [Hash.symbol](): number {
    return Hash.hash(fields(this))
  }
}

const fields = (self: SagaResponse) => ({ ...self, relatedServices: new Set(self.relatedServices) })

/**
 * The error of a remote step: a 400 from a service whose errors have no schema, or a 500 from any service. The message has the reason
 * of a participant where that is one word: `ReplyTooLarge`, `ReplyMalformed`, `Died`, `TimedOut`, `Expired`, `Refused`.
 */
export class SagaResponseError extends Schema.TaggedError<SagaResponseError>()("SagaResponseError", {
  status: SagaResponseStatus,
  content: Schema.Unknown
}) {
  override get message(): string {
    const word = this.status === 500 ? wordOf(this.content) : undefined
    return line`the service answered ${this.status}${word === undefined ? "" : `: ${word}`}`
  }

  /** Without the content: it belongs to the program, and not into a log. */
  override toJSON(): unknown {
    return { _tag: this._tag, status: this.status, message: this.message }
  }
}
