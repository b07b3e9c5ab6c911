/**
 * One connection is one client of mqtt.js, which never reconnects by itself: so no acknowledgement of an old connection can
 * reach a new one. `keep` makes a new connection whenever one is lost.
 *
 * This file writes messages and acknowledgements into the stream of the client itself. mqtt.js would acknowledge a message
 * before it is handled, or read nothing else while one is handled.
 */
import { Buffer } from "node:buffer"
import { isIPv6 } from "node:net"
import { Deferred, type Duration, Effect, Exit, Fiber, Redacted, Schema, type Scope } from "effect"
import mqtt, { type IClientOptions, type IConnackPacket, type IPublishPacket, type MqttClient } from "mqtt"
import type { Arrived } from "../../ports/ArrivedMessages.ts"
import * as Reconnection from "../../ports/Reconnection.ts"
import type { MqttConfig } from "./MqttConfig.ts"
import * as Packet from "./MqttPacket.ts"

/** There is no connection, and `reason` says why. It contains no secret. `isReached`: the broker had accepted it. */
export class MqttConnectionLost extends Schema.TaggedError<MqttConnectionLost>()("MqttConnectionLost", {
  reason: Schema.String,
  isReached: Schema.Boolean
}) {}

export interface Connection {
  readonly client: MqttClient
  /** The broker has kept the session of an earlier connection. */
  readonly resumed: boolean
  /** How many messages the broker takes before it has acknowledged one. */
  readonly receiveMaximum: number
  /** The largest packet that the broker takes, in bytes; undefined: it has named none. */
  readonly largest: number | undefined
  /** Sends a message with QoS 1. `replyTopic`: where the reply is wanted. No effect on a lost connection. */
  readonly publish: (topic: string, body: string, messageId: number, replyTopic?: string) => void
  /** Sets the one listener, which is called when the broker takes or refuses a message that was sent. */
  readonly onTaken: (listener: (messageId: number, refusal: string | undefined, isUnheard: boolean) => void) => void
  /** Fails when the connection is lost. */
  readonly lost: Effect.Effect<never, MqttConnectionLost>
}

export interface MqttSession {
  readonly clientId: string
  /** For a connection that receives. Without it the broker keeps nothing when the connection ends. */
  readonly receives?: { readonly maxInFlight: number; readonly take: (arrived: Arrived) => void }
  readonly close: (client: MqttClient) => Effect.Effect<void>
}

/** The largest packet to receive, in bytes. Ours are smaller; a broker with MQTT 5 drops larger ones. */
const maximumPacketSize = 1024 * 1024

const connectTimeout = 10_000

/** mqtt.js passes all options of TLS to a web socket except these. */
const tlsOfWebSocket = (servername: string) => ({ rejectUnauthorized: true, servername })

const clientOptions = (settings: MqttConfig, { clientId, receives }: MqttSession): IClientOptions => ({
  protocol: settings.protocol,
  // A web socket has an address of IPv6 in brackets.
  host: isIPv6(settings.host) && settings.protocol.startsWith("ws") ? `[${settings.host}]` : settings.host,
  port: settings.port,
  path: settings.path,
  clientId,
  ...(settings.username !== undefined && { username: settings.username }),
  ...(settings.password !== undefined && { password: Redacted.value(settings.password) }),
  ...(settings.tls.ca !== undefined && { ca: settings.tls.ca }),
  ...(settings.tls.certificate !== undefined && { cert: settings.tls.certificate }),
  ...(settings.tls.key !== undefined && { key: Redacted.value(settings.tls.key) }),
  ...(settings.tls.passphrase !== undefined && { passphrase: Redacted.value(settings.tls.passphrase) }),
  ...(settings.tls.servername !== undefined && {
    servername: settings.tls.servername,
    wsOptions: tlsOfWebSocket(settings.tls.servername)
  }),
  protocolVersion: settings.version,
  clean: receives === undefined,
  keepalive: settings.keepalive,
  connectTimeout,
  manualConnect: true,
  reconnectPeriod: 0,
  resubscribe: false,
  // With the variable `DEBUG` mqtt.js would log packets, and so passwords.
  log: () => {},
  ...(settings.version === 5 &&
    receives !== undefined && {
      properties: {
        sessionExpiryInterval: settings.sessionExpiry,
        receiveMaximum: Math.min(65_535, receives.maxInFlight),
        maximumPacketSize
      }
    })
})

/** Opens a connection until the scope closes. */
export const open = Effect.fnUntraced(function* (
  settings: MqttConfig,
  session: MqttSession
): Effect.fn.Return<Connection, MqttConnectionLost, Scope.Scope> {
  const lost = yield* Deferred.make<never, MqttConnectionLost>()
  const connected = yield* Deferred.make<IConnackPacket, MqttConnectionLost>()
  let reason = "the connection was closed"
  let isReached = false
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => mqtt.connect(clientOptions(settings, session))),
    session.close
  )
  client.on("error", (error) => {
    reason = error.message || ("code" in error ? String(error.code) : error.name)
    // Nothing is read after a packet that makes no sense. Mosquitto refuses a message that is too large by one.
    client.stream?.destroy()
  })
  client.on("disconnect", ({ reasonCode = 0 }) => {
    reason = reasonCode === sessionTakenOver ? "another client has its id" : `the broker ended it (${reasonCode})`
  })
  client.on("close", () => {
    const exit = Exit.fail(new MqttConnectionLost({ reason, isReached }))
    Deferred.doneUnsafe(connected, exit)
    Deferred.doneUnsafe(lost, exit)
  })
  client.on("connect", (packet) => {
    isReached = true
    // Not every broker sends a `disconnect` before it ends a connection.
    reason = "the connection was closed; if this goes on, another client may have its id"
    Deferred.doneUnsafe(connected, Exit.succeed(packet))
  })
  const { flush, send } = sender(client)
  yield* Effect.addFinalizer(() => Effect.sync(flush))
  let taken: Parameters<Connection["onTaken"]>[0] = () => {}
  client.on("packetreceive", (packet) => {
    if (packet.cmd === "connack") noDelay(client)
    else if (packet.cmd === "publish") session.receives?.take(takeOver(send, packet))
    else if (packet.cmd === "puback" && packet.messageId !== undefined)
      taken(packet.messageId, refusalOf(packet.reasonCode), packet.reasonCode === noSubscribers)
  })
  client.connect()
  const { properties = {}, sessionPresent } = yield* Deferred.await(connected)
  const { maximumPacketSize: largest, maximumQoS, receiveMaximum = 65_535 } = properties
  if (maximumQoS === 0) return yield* new MqttConnectionLost({ reason: "the broker knows no QoS 1", isReached })
  return {
    client,
    resumed: sessionPresent,
    receiveMaximum,
    largest,
    publish: (topic, body, messageId, replyTopic) =>
      send(Packet.publish(topic, body, messageId, settings.version, replyTopic)),
    onTaken: (listener) => {
      taken = listener
    },
    lost: Deferred.await(lost)
  }
})

const sessionTakenOver = 0x8e

/** With Nagle's algorithm and delayed acknowledgements a message takes 40 ms instead of 0.2 ms. */
const noDelay = ({ stream }: MqttClient): void => {
  if ("setNoDelay" in stream && typeof stream.setNoDelay === "function") stream.setNoDelay(true)
}

const noSubscribers = 0x10

/** The refusal of a message that is too large. */
export const tooLarge = "Packet too large"

/** Why the broker refused a message; undefined if it took it, also for a topic without subscribers. */
const refusalOf = (reasonCode = 0): string | undefined =>
  reasonCode === 0 || reasonCode === noSubscribers
    ? undefined
    : (Object.entries(mqtt.ReasonCodes).find(([code]) => Number(code) === reasonCode)?.[1] ?? `reason ${reasonCode}`)

/** Writes all packets of one turn of the event loop in one piece. Packets for a lost connection are lost with it. */
const sender = (client: MqttClient) => {
  let packets: Array<Uint8Array> = []
  const flush = () => {
    const all = packets
    packets = []
    if (all.length > 0 && client.connected && !client.disconnecting && !client.stream.destroyed)
      client.stream.write(Buffer.concat(all))
  }
  return {
    flush,
    send: (packet: Uint8Array): void => {
      if (packets.push(packet) === 1) queueMicrotask(flush)
    }
  }
}

/** Makes a message look like QoS 0 to mqtt.js, so that mqtt.js does not acknowledge it. */
const takeOver = (send: (packet: Uint8Array) => void, packet: IPublishPacket): Arrived => {
  const { dup, messageId, payload, properties, qos, retain, topic } = packet
  packet.qos = 0
  return {
    topic,
    payload: typeof payload === "string" ? new TextEncoder().encode(payload) : payload,
    retained: retain,
    redelivered: dup,
    replyTopic: properties?.responseTopic,
    acknowledge: () => {
      if (qos === 1 && messageId !== undefined) send(Packet.acknowledgement(messageId))
    }
  }
}

const closeOne = (client: MqttClient): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (client.stream === undefined) return resume(Effect.void)
    // A connected client ends properly, so that sent messages still arrive.
    client.end(!client.connected, () => resume(Effect.void))
  }).pipe(Effect.timeoutOption(closeTimeout), Effect.andThen(Effect.sync(() => client.stream?.destroy())))

/** How long the broker has to see the end of a connection. */
const closeTimeout: Duration.Input = "500 millis"

/**
 * Closes connections side by side: who is done with one does not wait, and the broker may stand still. At the end of the
 * scope all of them are closed.
 */
export const closer: Effect.Effect<MqttSession["close"], never, Scope.Scope> = Effect.gen(function* () {
  const closing = new Set<Fiber.Fiber<void>>()
  yield* Effect.addFinalizer(() => Fiber.awaitAll([...closing]))
  return (client) =>
    Effect.map(Effect.forkDetach(closeOne(client), { startImmediately: true }), (fiber) => {
      closing.add(fiber)
      fiber.addObserver(() => closing.delete(fiber))
    })
})

// ---- reconnecting --------------------------------------------------------------------------------------------------

/** Uses one connection after the other, until the scope closes. `ofBroker`: what was said of the broker, by any of its connections. */
export const keep = (
  clientId: string,
  use: Effect.Effect<never, MqttConnectionLost, Scope.Scope>,
  ofBroker: Reconnection.Said
): Effect.Effect<void, never, Scope.Scope> =>
  Reconnection.keep({
    loop: "MQTT connection",
    says: "No connection to the MQTT broker",
    about: { clientId },
    stable: 2 * connectTimeout,
    ofPlace: ofBroker,
    use
  })
