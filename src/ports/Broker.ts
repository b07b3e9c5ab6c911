/**
 * Port: carries messages between services. An accepted message may arrive twice, late, in another order or not at all, so
 * a sender that expects an answer sends again (SPEC C1, C8). A receiver acknowledges a delivery after its consequence is
 * stored; a delivery that is not acknowledged comes again.
 */
import { Context, Effect, Result, Schema, type Stream } from "effect"
import { decode as decodeEnvelope, type Envelope, isName, isPath, stringify } from "../wire/Envelope.ts"
import * as JsonCodec from "../wire/JsonCodec.ts"
import * as JsonLimits from "../wire/JsonLimits.ts"
import { json, line } from "../wire/OneLine.ts"
import * as Text from "../wire/Text.ts"
import * as Metrics from "./Metrics.ts"

// ---- addresses -------------------------------------------------------------------------------------------------

/** `command`: execute, failure, probe. `tx`: reserve, commit, reject, and the answer to `status`. */
export type Kind = "command" | "tx" | "reply" | "status"

/** The address of a message: `saga/v1/<to>/<kind>/<from>`, for a command also `/<name>`, for a reply perhaps `/<instance>` (SPEC C3). */
export interface Address {
  readonly to: string
  readonly kind: Kind
  /** The sender, as the transport has authenticated it (SPEC C12). */
  readonly from: string
  /** The name of the command; only for the kind `command`. */
  readonly name?: string
  /**
   * The instance of the receiver that has asked, as its message said (`Message.replyTo`); only for the kind `reply`. Where that instance
   * is not there, another one gets the message. Absent: any instance.
   */
  readonly instance?: string
}

export const topic = ({ from, instance, kind, name, to }: Address): string => {
  const last = kind === "command" ? name : instance
  return last === undefined ? `saga/v1/${to}/${kind}/${from}` : `saga/v1/${to}/${kind}/${from}/${last}`
}

/** The same address without an instance: any instance of the receiver may have the message. */
export const shared = ({ instance: _, ...address }: Address): Address => address

const isKind = (text: string | undefined): text is Kind =>
  text === "command" || text === "tx" || text === "reply" || text === "status"

/** Parsed topics: they are few, and every message has one. */
const known = new Map<string, Address>()
const maxKnown = 1_024

/** The address of a topic; undefined for a topic that is none of ours. */
export const parseTopic = (topic: string): Address | undefined => {
  const found = known.get(topic)
  if (found !== undefined) return found
  const address = parse(topic)
  if (address === undefined) return undefined
  if (known.size === maxKnown) known.clear()
  known.set(topic, address)
  return address
}

const parse = (topic: string): Address | undefined => {
  const [saga, v1, to, kind, from, name, ...rest] = topic.split("/")
  if (saga !== "saga" || v1 !== "v1" || !isName(to) || !isKind(kind) || !isName(from) || rest.length > 0)
    return undefined
  if (kind === "command") return isName(name) ? { to, kind, from, name } : undefined
  if (name === undefined) return { to, kind, from }
  return kind === "reply" && isName(name) ? { to, kind, from, instance: name } : undefined
}

/** Whether all parts of an address are names, so that its topic says each of them. */
export const isAddress = (address: Address): boolean => {
  const parsed = parseTopic(topic(address))
  return parsed !== undefined && parsed.from === address.from && parsed.instance === address.instance
}

/** The address of an envelope. `command` is the command of the step: its execute, failure and probe share an address. */
export const addressOf = (envelope: Envelope, command?: string): Address => {
  const { coordinator, service } = envelope
  switch (envelope.op) {
    case "execute":
    case "failure":
    case "probe":
      return { to: service, kind: "command", from: coordinator, ...(command !== undefined && { name: command }) }
    case "reserve":
    case "commit":
    case "reject":
      return { to: service, kind: "tx", from: coordinator }
    case "status":
      return { to: coordinator, kind: "status", from: service }
    case "reply":
      // A status query comes from the service, so its answer goes there.
      return envelope.inReplyTo?.endsWith(":status")
        ? { to: service, kind: "tx", from: coordinator }
        : { to: coordinator, kind: "reply", from: service }
  }
}

// ---- the port --------------------------------------------------------------------------------------------------

export interface Message {
  readonly address: Address
  /** The text of the envelope. A message that is sent again has the same bytes. */
  readonly body: string
  /**
   * The instance that wants the reply, by the address that the transport has given it (`Group.onOwnAddress`). It is no part of the
   * body: a message that is sent again need not say it. A transport without such addresses drops it. Absent: any instance of the
   * sender may have the reply.
   */
  readonly replyTo?: string
}

/** The message of an envelope. An envelope that was stored and read again gives the same text. */
export const toMessage = (envelope: Envelope, command?: string): Message => ({
  address: addressOf(envelope, command),
  body: stringify(envelope)
})

export interface Delivery extends Message {
  /** The message may have been delivered before. */
  readonly redelivered: boolean
  /** Says that the consequence is stored, so the message need not come again. No effect after the subscription has ended. */
  readonly acknowledge: Effect.Effect<void>
}

export interface Group {
  readonly service: string
  readonly kinds: ReadonlyArray<Kind>
  /** Deliveries that are handed out and not acknowledged, at most. Default 64. */
  readonly maxInFlight?: number
  /**
   * Called when it becomes known whether messages come: false before the subscription stands and when it is lost, true when it
   * stands. What passes meanwhile says nothing about who was asked (SPEC C20). A transport that cannot tell never calls it.
   */
  readonly onStanding?: (stands: boolean) => void
  /**
   * Completes when the subscriber stops. A transport that `drains` then gives later messages to other subscribers, still delivers what
   * it has sent to this one, and ends the subscription when all of that is acknowledged. Without it what has arrived and is not
   * handled would be lost with the process, and be missed until it is sent again.
   */
  readonly leaves?: Effect.Effect<void>
  /**
   * For the kind `reply`: called with the address at which replies reach this subscriber alone (`Message.replyTo`), when it stands, and
   * with undefined when it stands no more. A transport that has none never calls it. Absent: the subscriber wants no such address.
   */
  readonly onOwnAddress?: (address: string | undefined) => void
}

/**
 * Where the replies to the messages of a fiber are wanted: the address of the instance that sends them, as its transport has
 * said last. Undefined, and the default: any instance of the service may have them.
 */
export const RepliesTo = Context.Reference<{ at: string | undefined } | undefined>("effect-saga/RepliesTo", {
  defaultValue: () => undefined
})

/**
 * `full`: too many messages wait. `unavailable`: the call may work later. `rejected`: the same call can never work.
 * `too-large`: the broker takes no message of this size, and `issue` says which.
 */
export class BrokerError extends Schema.TaggedError<BrokerError>()("BrokerError", {
  operation: Schema.Literals(["publish", "subscribe"]),
  reason: Schema.Literals(["full", "unavailable", "rejected", "too-large"]),
  issue: Schema.optionalKey(Schema.String),
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return line`The broker could not ${this.operation}: ${this.issue ?? this.reason}`
  }

  override toJSON(): unknown {
    return json(this)
  }
}

export class Broker extends Context.Service<
  Broker,
  {
    /** The transport, as spans name it (`messaging.system`). Default `effect-saga`. */
    readonly system?: string
    /** Hands a message to the transport. Does not wait for a connection or a receiver. */
    readonly publish: (message: Message) => Effect.Effect<void, BrokerError>
    /**
     * Asked before a message is published again. False where nobody listens at the address, but for one message now and then, at
     * last one a minute for each service (SPEC C8). Absent: the transport cannot tell, and all are published.
     */
    readonly mayRepeat?: (address: Address) => boolean
    /**
     * Whether the transport knows that nobody takes the commands of the service at the moment: said in the error of a step that
     * gets no reply. Absent: it cannot tell.
     */
    readonly isUnheard?: (service: string) => boolean
    /** The largest body that the transport takes, in bytes, as far as it knows. Absent, or undefined: `maxMessageBytes`. */
    readonly maxBytes?: () => number | undefined
    /**
     * Why the transport does not take the message: it is too large for the broker. Said in the error of a step that gets no reply.
     * Absent, or undefined: it takes it, or cannot tell.
     */
    readonly refusal?: (message: Message) => string | undefined
    /**
     * The messages for a service; each goes to one of its subscribers. The subscription begins and ends with the stream.
     * Deliveries that are not acknowledged at its end are delivered again.
     */
    readonly subscribe: (group: Group) => Stream.Stream<Delivery, BrokerError>
    /** Whether a subscription ends as `leaves` of its group says. Absent: it goes on until it is interrupted. */
    readonly drains?: boolean
  }
>()("effect-saga/Broker") {}

/** Hands the message of an envelope to the broker for the first time. The reply to it is wanted by this instance (`RepliesTo`). */
export const publishFirst = (
  { publish }: Broker["Service"],
  envelope: Envelope,
  command?: string
): Effect.Effect<void, BrokerError> =>
  Effect.withFiber((fiber) => {
    const message = toMessage(envelope, command)
    const replyTo = envelope.op === "reply" ? undefined : fiber.getRef(RepliesTo)?.at
    return publish(replyTo === undefined ? message : { ...message, replyTo })
  })

/**
 * Hands a message to the broker that it has got before, unless the broker knows that nobody listens. Any instance may have the reply:
 * so whatever keeps replies from this one costs no more than the time until a message is sent again.
 */
export const publishAgain = (
  { mayRepeat, publish }: Broker["Service"],
  envelope: Envelope,
  command?: string
): Effect.Effect<void, BrokerError> =>
  Effect.withFiber(({ context }) => {
    const message = toMessage(envelope, command)
    if (mayRepeat?.(message.address) === false) return Effect.void
    Metrics.resends.update(context, 1, envelope.service)
    return publish(message)
  })

/** Where a refusal is only logged: stored messages are sent again until they are answered. */
export const orWarn = (published: Effect.Effect<void, BrokerError>, { id }: Envelope): Effect.Effect<void> =>
  Effect.catch(published, ({ issue, reason }) =>
    Effect.logWarning("A saga message could not be published now", {
      id,
      reason,
      ...(issue !== undefined && { issue })
    })
  )

/** Hands a message to the broker. A refusal is only logged. */
export const publishOrWarn = (broker: Broker["Service"], envelope: Envelope, command?: string): Effect.Effect<void> =>
  orWarn(publishFirst(broker, envelope, command), envelope)

// ---- reading ---------------------------------------------------------------------------------------------------

/** The longest body of a message, in bytes of UTF-8 (SPEC C11). */
export const maxMessageBytes = 262_144

export class MessageTooLarge extends Schema.TaggedError<MessageTooLarge>()("MessageTooLarge", {
  from: Schema.String,
  bytes: Schema.Int
}) {
  override get message(): string {
    return line`A message from ${this.from} has ${this.bytes} bytes, more than ${maxMessageBytes}`
  }
}

/** `issue` names places in the message, never values. */
export class MessageMalformed extends Schema.TaggedError<MessageMalformed>()("MessageMalformed", {
  from: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return line`A message from ${this.from} cannot be read: ${this.issue}`
  }
}

/** The sender in the envelope is not the sender that the transport has authenticated. */
export class SenderMismatch extends Schema.TaggedError<SenderMismatch>()("SenderMismatch", {
  from: Schema.String,
  claimed: Schema.String,
  id: Schema.String
}) {
  override get message(): string {
    return line`Message ${this.id} from ${this.from} says it comes from ${this.claimed}`
  }
}

/** Why a message is not read. It becomes a dead letter and is acknowledged, as another delivery cannot be read either. */
export type Unreadable = MessageTooLarge | MessageMalformed | SenderMismatch

/** The envelope of a message, if it is within the limits (SPEC C11) and from the sender that it names (SPEC C12). */
export const read = ({ address, body }: Message): Result.Result<Envelope, Unreadable> => {
  const malformed = (issue: string) => Result.fail(new MessageMalformed({ from: address.from, issue }))
  const bytes = sizeOf(body)
  if (bytes > maxMessageBytes) return Result.fail(new MessageTooLarge({ from: address.from, bytes }))
  const parsed = Result.try({ try: (): unknown => JSON.parse(body), catch: () => undefined })
  if (Result.isFailure(parsed)) return malformed("$ is not JSON")
  const envelope = decodeEnvelope(parsed.success)
  if (JsonCodec.isCodecIssue(envelope)) return malformed(envelope.message)
  const wrong = wrongField(envelope)
  if (wrong !== undefined) return malformed(wrong.message)
  const expected = addressOf(envelope, address.name)
  if (expected.kind !== address.kind || expected.to !== address.to) return malformed("it is not for its topic")
  if (expected.from !== address.from)
    return Result.fail(new SenderMismatch({ from: address.from, claimed: expected.from, id: envelope.id }))
  return Result.succeed(envelope)
}

/** `read` as an effect. */
export const decode = (message: Message): Effect.Effect<Envelope, Unreadable> =>
  Effect.suspend(() => Effect.fromResult(read(message)))

/**
 * Bytes of a body, for a comparison with `maxMessageBytes`. A character has at most three bytes, so short bodies, which are
 * most, are not counted: they give their length.
 */
export const sizeOf = (body: string): number =>
  body.length * 3 <= maxMessageBytes ? body.length : Buffer.byteLength(body)

/**
 * Why no receiver would read the message (SPEC C11), or the transport would not take it, so that it must not be sent; undefined if
 * it can be sent. `limit`: the largest body that the transport takes.
 */
export const unsendable = (
  envelope: Envelope,
  limit?: number
): JsonLimits.JsonIssue | { readonly bytes: number } | undefined => {
  const most = Math.min(maxMessageBytes, limit ?? maxMessageBytes)
  const { content, headers, id, relatedServices, transactions, user } = envelope
  // All other fields are bounded by their format. The two are checked as deep as they are in the message.
  const checked = JsonLimits.check({ content: content ?? null, headers: headers ?? null })
  if (typeof checked !== "number") return checked
  const wrong = wrongField(envelope)
  if (wrong !== undefined) return wrong
  const text = 2 * id.length + (user?.length ?? 0) + 70 * (relatedServices.length + transactions.length)
  // A character takes at most six bytes, with its escape. So the text of most messages is not made for this check.
  if ((1_024 + text + checked) * 6 <= most) return undefined
  const bytes = Buffer.byteLength(stringify(envelope))
  return bytes > most ? { bytes } : undefined
}

/**
 * The field that the operation needs and the envelope lacks, or that is not what it is to be. Checked here and not by the
 * schema, by which stored messages are read too.
 */
const wrongField = ({ content, inReplyTo, op, path, status, user }: Envelope): JsonLimits.JsonIssue | undefined => {
  const wrong = (field: string, reason = "is missing") => new JsonLimits.JsonIssue(reason, `$.${field}`)
  if (path !== undefined && !isPath(path)) return wrong("path", "is no path")
  const issue = user === undefined ? undefined : Text.issueOf(user, Text.maxBytes.user)
  if (issue !== undefined) return wrong("user", issue)
  if (op === "reply")
    return inReplyTo === undefined ? wrong("inReplyTo") : status === undefined ? wrong("status") : undefined
  if (op === "reserve" && Array.isArray(content) && !content.every(isPath)) return wrong("content", "has no paths")
  return (op === "execute" || op === "failure" || op === "probe") && path === undefined ? wrong("path") : undefined
}
