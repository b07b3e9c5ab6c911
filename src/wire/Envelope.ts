/**
 * The message between an orchestrator and a service (SPEC C3). A resend has the same id and the same bytes as the first
 * message, also after a restart. Therefore the whole envelope is stored, in the event that says that it was sent.
 */
import { Schema } from "effect"
import * as CanonicalJson from "./CanonicalJson.ts"
import * as JsonCodec from "./JsonCodec.ts"
import { check, Json } from "./JsonLimits.ts"

/** The kind of a message. `failure` asks for the compensation of a step; `status` asks for the decision on a transaction. */
export const Op = Schema.Literals(["execute", "failure", "probe", "reserve", "commit", "reject", "status", "reply"])
export type Op = typeof Op.Type

/**
 * 200: done. 400: refused by the domain. 500: not done. 404 answers a probe only: not done, and never will be. 202 answers an
 * execute that says `later` only: begun, and the answer comes later (SPEC C19).
 */
export const ReplyStatus = Schema.Literals([200, 202, 400, 404, 500])
export type ReplyStatus = typeof ReplyStatus.Type

/** The content of a 500 to a `failure`: it says that the execute was answered with 200, and the records say otherwise. */
export const unrecorded = "Unrecorded"

const name = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/u

/** A name of a service or a command. Letters, digits and `_.-` only, since it becomes a level of a topic. */
export const Name = Schema.String.pipe(Schema.check(Schema.isPattern(name)))

/** Whether a value is a `Name`: the same pattern without a schema. */
export const isName = (text: unknown): text is string => typeof text === "string" && name.test(text)

/**
 * An index, and for each level around it the name of the sequence and an index (SPEC C3). The names may be of a newer release.
 * The bounds are those of a saga: 1,000 steps, and at most 32 levels.
 */
const path = /^(?:0|[1-9]\d{0,3})(?:\/[a-z]{1,8}(?:0|[1-9]\d{0,3})?\/(?:0|[1-9]\d{0,3})){0,32}$/u

/** The longest path: the pattern is not tried on a longer text. */
const maxPathLength = 4 + 32 * 18

/** Whether a value is the path of a step. */
export const isPath = (text: unknown): text is string =>
  typeof text === "string" && text.length <= maxPathLength && path.test(text)

/** A UUID in the form that is stored: 36 characters, in lower case. */
export const Uuid = Schema.String.pipe(
  Schema.check(Schema.isPattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/u))
)

/** Values that travel with an execution to every service it asks, such as a tenant. */
export const Headers = Schema.Record(Schema.String, Schema.String)
export type Headers = typeof Headers.Type

/** The fields of a message. Their order is that of the text that is sent. */
export const Envelope = Schema.Struct({
  /** The version of the protocol. */
  v: Schema.Literal(1),
  /** `<execution>:<scope>:<op>` (see `messageId`); the id of a reply is that of its request and `:reply`, of a 202 `:accepted`. */
  id: Schema.String,
  op: Op,
  /** The uuid of the execution. */
  saga: Uuid,
  /** The path of the step. Absent in messages about the whole execution. */
  path: Schema.optionalKey(Schema.String),
  /** The service that is asked, or that answers. */
  service: Name,
  /** The service that runs the execution. */
  coordinator: Name,
  /** The id of the request. Replies only, as `status`. */
  inReplyTo: Schema.optionalKey(Schema.String),
  status: Schema.optionalKey(ReplyStatus),
  /** The payload of a request, the result or the error of a reply. */
  content: Schema.optionalKey(Json),
  /** Services that the answering one has called within the same transaction. */
  relatedServices: Schema.Array(Name),
  /** The executions whose transactions the handler joins. Empty: the handler runs in no transaction. */
  transactions: Schema.Array(Uuid),
  /** The user on whose behalf the execution runs. */
  user: Schema.optionalKey(Schema.String),
  headers: Schema.optionalKey(Headers),
  /** Milliseconds since the epoch. A message that arrives later runs nothing. */
  notAfter: Schema.Int,
  /** Of an execute, milliseconds since the epoch: by then the execution has decided whether its effect stays (SPEC C16). */
  keepUntil: Schema.optionalKey(Schema.Int),
  /** Of an execute: its sender understands a 202. */
  later: Schema.optionalKey(Schema.Literal(true)),
  /**
   * Of a `failure`: the service has answered the execute with 200, and keeps the record of it until this time at least, in milliseconds
   * since the epoch. Absent: the answer was not seen, or the orchestrator is of a former release.
   */
  recordedUntil: Schema.optionalKey(Schema.Int),
  /** The trace that the sender belongs to. */
  trace: Schema.optionalKey(Schema.String)
})
export type Envelope = typeof Envelope.Type

/** How many services a reply may name as related (SPEC C11). A reply with more is read: the step that it answers can say so. */
export const maxRelatedServices = 64

/** The envelope in JSON from outside. All of the JSON must be within the limits of SPEC C11, also unknown fields. */
export const decode = (json: unknown): Envelope | JsonCodec.CodecIssue => {
  const exact = JsonCodec.exact(Envelope, json)
  if (exact !== undefined) return exact
  const checked = check(json)
  return typeof checked === "number" ? JsonCodec.decode(Envelope, json) : new JsonCodec.CodecIssue(checked.message)
}

/** Names of the fields, in the order of the schema, which is that of the text that is sent. */
const names = Object.keys(Envelope.fields)
const unset = Object.fromEntries(names.map((name) => [name, undefined]))
/** Fields that release 0.1.0 does not know. */
const newer: ReadonlyArray<string> = ["keepUntil", "later", "recordedUntil"]
/** The fields that are plain texts, numbers and lists of them, in the order of their names, without the newer ones. */
const [, , , ...plainNames] = names.filter((name) => !newer.includes(name)).toSorted()
const unsetPlain = Object.fromEntries(plainNames.map((name) => [name, undefined]))

/** Most envelopes were made in this order. To see it takes less time than to copy them. */
const isInOrder = (envelope: Envelope): boolean => {
  let i = 0
  for (const name in envelope) {
    while (i < names.length && names[i] !== name) i++
    if (i === names.length) return false
    i++
  }
  return true
}

/** The text that is sent. The order of the fields is that of the schema, whatever order the envelope was made in. */
export const stringify = (envelope: Envelope): string =>
  JSON.stringify(isInOrder(envelope) ? envelope : { ...unset, ...envelope })

/**
 * The same text as `CanonicalJson.stringify`, in half the time: the order of the fields is known, and these three come first.
 * Without the newer fields: release 0.1.0 drops them when it reads a message, and its instances know a message by this text too. In
 * messages that end a transaction without `trace`: former releases send them without.
 */
export const canonical = ({
  content,
  coordinator,
  headers,
  keepUntil,
  later,
  recordedUntil,
  ...plain
}: Envelope): string =>
  `{${field("content", content)}${field("coordinator", coordinator)}${field("headers", headers)}${JSON.stringify({ ...unsetPlain, ...plain, ...(endsTransaction(plain) && { trace: undefined }) }).slice(1)}`

const endsTransaction = ({ op }: Pick<Envelope, "op">): boolean =>
  op === "reserve" || op === "commit" || op === "reject"

const field = (name: string, value: Json | undefined): string =>
  value === undefined ? "" : `"${name}":${CanonicalJson.stringify(value)},`

/**
 * The id of a request. `scope` is the path of a step; in messages about the whole execution, a service. `attempt`: behind a pivot
 * a step whose request was refused is asked again with a new message, `uuid:path:execute:2` (SPEC C18).
 */
export const messageId = (uuid: string, scope: string, op: Op, attempt = 1): string =>
  attempt === 1 ? `${uuid}:${scope}:${op}` : `${uuid}:${scope}:${op}:${attempt}`

/** The parts of the id of a request; undefined for any other text. */
export const parseMessageId = (
  id: string
): { readonly uuid: string; readonly scope: string; readonly op: string; readonly attempt: number } | undefined => {
  const [uuid, scope, op, number, ...rest] = id.split(":")
  if (uuid === undefined || scope === undefined || op === undefined || rest.length > 0) return undefined
  if (number === undefined) return { uuid, scope, op, attempt: 1 }
  return attempts.test(number) && Number(number) > 1 ? { uuid, scope, op, attempt: Number(number) } : undefined
}

const attempts = /^[1-9]\d{0,8}$/u

/** Which message of its step this is, from 1: the last part of its id. */
export const attemptOf = (id: string): number => parseMessageId(id)?.attempt ?? 1

/** The reply to a request: the same execution, path and services, in the other direction. */
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
    id: status === 202 ? `${id}:accepted` : `${id}:reply`,
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
