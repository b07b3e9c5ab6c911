/**
 * The form of a request and of its response (docs/protocol.md). A request has one message a line, and the response one outcome a
 * line, as soon as it is known: a slow message does not hold up the others. Bodies of messages are texts, because a message that
 * is sent again has the same bytes.
 */
import { Option, Schema } from "effect"
import * as Broker from "../../ports/Broker.ts"
import { Name } from "../../wire/Envelope.ts"

export const contentType = "application/x-ndjson"

/** A message without its sender and receiver: those are signed, and the same for the whole request. */
export const SentMessage = Schema.Struct({
  kind: Schema.Literals(["command", "tx", "reply", "status"]),
  /** The name of the command; of the kind `command` only. */
  name: Schema.optionalKey(Name),
  /** The text of the envelope. */
  body: Schema.String,
  /** The sender has sent it before and does not know what became of it. */
  again: Schema.optionalKey(Schema.Literal(true))
})
export type SentMessage = typeof SentMessage.Type

/**
 * 200: its consequence is stored, and `messages` are the answers to it. 202: it is stored, and what answers it comes in a request
 * of its own. 400: it can never be taken. 503: it was not taken. 504: it is not stored yet. The last two are sent again.
 */
export const Outcome = Schema.Struct({
  /** Which message of the request, from 0. */
  n: Schema.Int,
  status: Schema.Literals([200, 202, 400, 503, 504]),
  messages: Schema.Array(SentMessage)
})
export type Outcome = typeof Outcome.Type

const readMessage = Schema.decodeUnknownOption(Schema.fromJsonString(SentMessage))
const readOutcome = Schema.decodeUnknownOption(Schema.fromJsonString(Outcome))

/** Messages in one request, at most. */
export const maxMessages = 64

/** Bytes of a request, at most. The largest message, each of whose characters is escaped, has 512 KiB. */
export const maxRequestBytes = 1_048_576

const sentOf = ({ address: { kind, name }, body }: Broker.Message): SentMessage => ({
  kind,
  ...(name !== undefined && { name }),
  body
})

export const lineOf = (message: Broker.Message): string => JSON.stringify(sentOf(message))

/** The line of a message that is sent once more. */
export const lineAgain = (line: string): string => (line.startsWith(again) ? line : `${again}${line.slice(1)}`)

const again = '{"again":true,'

export const outcomeOf = (n: number, status: Outcome["status"], messages: ReadonlyArray<Broker.Message>): string =>
  JSON.stringify({ n, status, messages: messages.map(sentOf) } satisfies Outcome)

/** The sender and the receiver, as the transport has authenticated them. */
export interface Parties {
  readonly from: string
  readonly to: string
}

/** The message with its address; undefined for an address that there is not. */
export const addressed = ({ body, kind, name }: SentMessage, { from, to }: Parties): Broker.Message | undefined => {
  if (name !== undefined && kind !== "command") return undefined
  const address = { to, kind, from, ...(name !== undefined && { name }) }
  return Broker.isAddress(address) ? { address, body } : undefined
}

/** The messages of a request, undefined where a line is none; undefined where the request has none or too many. */
export const readRequest = (text: string): ReadonlyArray<SentMessage | undefined> | undefined => {
  const lines = text.split("\n")
  if (lines.at(-1) === "") lines.pop()
  if (lines.length === 0 || lines.length > maxMessages) return undefined
  return lines.map((line) => Option.getOrUndefined(readMessage(line)))
}

/** The outcome in a line of a response; undefined where it is none. */
export const readOutcomeOf = (line: string): Outcome | undefined => Option.getOrUndefined(readOutcome(line))
