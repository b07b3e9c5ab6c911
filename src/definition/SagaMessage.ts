/**
 * The untyped messages: what a saga asks of a service that has no `Participant`, and what any service answers.
 * A request is data: its `content` may be a function of the context, and nothing calls it before the step runs.
 */
import { Effect, Equal, Hash, Schema } from "effect"

/** The service that is asked, and the name of what it is asked for: `"payments/charge"`. */
export type Target = `${string}/${string}`

/** Content that does not depend on the context. */
export type Content = string | number | boolean | null | ReadonlyArray<unknown> | { readonly [key: string]: unknown }

export interface SagaRequest<in Context = any> {
  readonly target: Target
  readonly content?: ((context: Context) => unknown) | Content
}

/**
 * The same as writing `{ target, content }`. A compensation that reads the reply of its own step is written as data:
 * the type of the reply is not known yet while the arguments of a call are checked.
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

/** `SUCCESS`: done. `ERROR`: refused by the domain. `SYSTEM_ERROR`: not done, for a reason the domain does not know. */
export const SagaResponseStatus = Object.assign(Schema.Enum(statuses), statuses)

export type SagaResponseStatus = typeof SagaResponseStatus.Type

export class SagaResponse extends Schema.Class<SagaResponse>("SagaResponse")({
  content: Schema.Unknown,
  status: SagaResponseStatus.pipe(Schema.withConstructorDefault(Effect.succeed(statuses.SUCCESS))),
  /** Services that the answering one has called within the same transaction. A set: neither order nor number counts. */
  relatedServices: Schema.Array(Schema.String).pipe(Schema.withConstructorDefault(Effect.succeed([]))),
  /** The execution that is answered. */
  uuid: Schema.optionalKey(Schema.String),
  /** The request that is answered: the id of its message. */
  requestId: Schema.optionalKey(Schema.String),
  /** Who answers. */
  service: Schema.optionalKey(Schema.String)
}) {
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

/** A 400 from a service whose errors have no schema, or a 500 from any service. */
export class SagaResponseError extends Schema.TaggedError<SagaResponseError>()("SagaResponseError", {
  status: SagaResponseStatus,
  content: Schema.Unknown
}) {
  override get message(): string {
    return `the service answered ${this.status}`
  }
}
