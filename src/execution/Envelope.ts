/**
 * A message between an orchestrator and a service (SPEC C3). The id is derived from the execution and the path, and a
 * resend has the same id and the same bytes: so the envelope is part of the event that expects its answer.
 */
import { Schema } from "effect"
import { Json } from "./Json.ts"

export const Op = Schema.Literals(["execute", "failure", "probe", "reserve", "commit", "reject", "status", "reply"])
export type Op = typeof Op.Type

/** 404 answers a probe only: there is no effect and there never will be one. */
export const ReplyStatus = Schema.Literals([200, 400, 404, 500])
export type ReplyStatus = typeof ReplyStatus.Type

const name = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/u

/** Names of services and commands become topic positions. */
export const Name = Schema.String.pipe(Schema.check(Schema.isPattern(name)))

export const isName = (text: unknown): text is string => typeof text === "string" && name.test(text)

export const Uuid = Schema.String.pipe(
  Schema.check(Schema.isPattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/u))
)

export const Headers = Schema.Record(Schema.String, Schema.String)
export type Headers = typeof Headers.Type

export const Envelope = Schema.Struct({
  v: Schema.Literal(1),
  id: Schema.String,
  op: Op,
  /** The execution. */
  saga: Uuid,
  path: Schema.optionalKey(Schema.String),
  /** The service that is asked, or that answers. */
  service: Name,
  /** The service that runs the execution. */
  coordinator: Name,
  inReplyTo: Schema.optionalKey(Schema.String),
  status: Schema.optionalKey(ReplyStatus),
  content: Schema.optionalKey(Json),
  relatedServices: Schema.Array(Name),
  /** Executions whose transaction the handler joins; empty: none is opened. */
  transactions: Schema.Array(Uuid),
  user: Schema.optionalKey(Schema.String),
  headers: Schema.optionalKey(Headers),
  /** Milliseconds since the epoch after which the message runs nothing. */
  notAfter: Schema.Int,
  trace: Schema.optionalKey(Schema.String)
})
export type Envelope = typeof Envelope.Type

export const messageId = (uuid: string, scope: string, op: Op): string => `${uuid}:${scope}:${op}`

/** The parts of a message id, or undefined where it is none. */
export const parseMessageId = (
  id: string
): { readonly uuid: string; readonly scope: string; readonly op: string } | undefined => {
  const [uuid, scope, op, ...rest] = id.split(":")
  return uuid === undefined || scope === undefined || op === undefined || rest.length > 0
    ? undefined
    : { uuid, scope, op }
}

/** The answer to a message: same execution, same path, the other way. */
export const reply = (
  to: Envelope,
  answer: { readonly status: ReplyStatus; readonly content?: Json; readonly relatedServices: ReadonlyArray<string> }
): Envelope => ({
  v: 1,
  id: `${to.id}:reply`,
  op: "reply",
  saga: to.saga,
  ...(to.path !== undefined && { path: to.path }),
  service: to.service,
  coordinator: to.coordinator,
  inReplyTo: to.id,
  status: answer.status,
  ...(answer.content !== undefined && { content: answer.content }),
  relatedServices: answer.relatedServices,
  transactions: to.transactions,
  ...(to.user !== undefined && { user: to.user }),
  ...(to.headers !== undefined && { headers: to.headers }),
  notAfter: to.notAfter,
  ...(to.trace !== undefined && { trace: to.trace })
})
