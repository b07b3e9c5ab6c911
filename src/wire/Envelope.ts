/**
 * A message between an orchestrator and a service (SPEC C3). The id is derived from the execution and the path, and a
 * resend has the same id and the same bytes: so the envelope is part of the event that expects its answer.
 */
import { Schema } from "effect"
import * as CanonicalJson from "./CanonicalJson.ts"
import * as JsonCodec from "./JsonCodec.ts"
import { check, Json } from "./JsonLimits.ts"

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

/** The envelope in JSON that nobody has checked: also what is not read of it is within the limits of SPEC C11. */
export const decode = (json: unknown): Envelope | JsonCodec.CodecIssue => {
  const exact = JsonCodec.exact(Envelope, json)
  if (exact !== undefined) return exact
  const checked = check(json)
  return typeof checked === "number" ? JsonCodec.decode(Envelope, json) : new JsonCodec.CodecIssue(checked.message)
}

/** A field that is not set has its place, and no text. */
type Whole = { readonly [K in keyof Required<Envelope>]: Envelope[K] | undefined }

/** The text that is sent. The order of the fields is that of the schema, whoever has made the envelope. */
export const stringify = (envelope: Envelope): string =>
  JSON.stringify({
    v: envelope.v,
    id: envelope.id,
    op: envelope.op,
    saga: envelope.saga,
    path: envelope.path,
    service: envelope.service,
    coordinator: envelope.coordinator,
    inReplyTo: envelope.inReplyTo,
    status: envelope.status,
    content: envelope.content,
    relatedServices: envelope.relatedServices,
    transactions: envelope.transactions,
    user: envelope.user,
    headers: envelope.headers,
    notAfter: envelope.notAfter,
    trace: envelope.trace
  } satisfies Whole)

/** `CanonicalJson.stringify`, for which the fields need not be sorted each time. */
export const canonical = (envelope: Envelope): string =>
  JSON.stringify({
    content: CanonicalJson.sorted(envelope.content),
    coordinator: envelope.coordinator,
    headers: CanonicalJson.sorted(envelope.headers),
    id: envelope.id,
    inReplyTo: envelope.inReplyTo,
    notAfter: envelope.notAfter,
    op: envelope.op,
    path: envelope.path,
    relatedServices: envelope.relatedServices,
    saga: envelope.saga,
    service: envelope.service,
    status: envelope.status,
    trace: envelope.trace,
    transactions: envelope.transactions,
    user: envelope.user,
    v: envelope.v
  } satisfies { readonly [K in keyof Whole]: unknown })

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
  { coordinator, headers, id, notAfter, path, saga, service, trace, transactions, user }: Envelope,
  {
    content,
    relatedServices,
    status
  }: { readonly status: ReplyStatus; readonly content?: Json; readonly relatedServices: ReadonlyArray<string> }
): Envelope => {
  const envelope: { -readonly [K in keyof Envelope]: Envelope[K] } = {
    v: 1,
    id: `${id}:reply`,
    op: "reply",
    saga,
    service,
    coordinator,
    inReplyTo: id,
    status,
    relatedServices,
    transactions,
    notAfter
  }
  if (path !== undefined) envelope.path = path
  if (content !== undefined) envelope.content = content
  if (user !== undefined) envelope.user = user
  if (headers !== undefined) envelope.headers = headers
  if (trace !== undefined) envelope.trace = trace
  return envelope
}
