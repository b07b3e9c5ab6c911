/**
 * One client of mqtt.js is one connection here: it never connects again by itself, so nothing of an old connection can
 * reach a new one, least of all an acknowledgement. Connections end and are made again for as long as they are wanted.
 *
 * Messages are sent and acknowledged by us, on the stream of the client. mqtt.js would acknowledge one before it is
 * handled, or handle one at a time, reading nothing else meanwhile.
 */
import { Buffer } from "node:buffer"
import { isIPv6 } from "node:net"
import { Clock, Deferred, Effect, Exit, Random, Redacted, Schema, type Scope } from "effect"
import mqtt, { type IClientOptions, type IConnackPacket, type IPublishPacket, type MqttClient } from "mqtt"
import type { MqttConfig } from "./MqttConfig.ts"
import * as Packet from "./MqttPacket.ts"

/** Why there is no connection. Names no secret. */
export class MqttConnectionLost extends Schema.TaggedError<MqttConnectionLost>()("MqttConnectionLost", {
  reason: Schema.String
}) {}

/** A message as it came. */
export interface Arrived {
  readonly topic: string
  readonly payload: Uint8Array
  readonly retained: boolean
  readonly redelivered: boolean
  /** Tells the broker. Has no effect when the connection is gone: then the broker delivers it again. */
  readonly acknowledge: () => void
}

export interface Connection {
  readonly client: MqttClient
  /** The broker knew the session. */
  readonly resumed: boolean
  /** Messages that the broker wants to acknowledge at the same time. */
  readonly receiveMaximum: number
  /** The broker takes packets that are so large. */
  readonly fits: (topic: string, body: string) => boolean
  /** Sends a message, QoS 1. Has no effect when the connection is gone. */
  readonly publish: (topic: string, body: string, messageId: number) => void
  /** Called when the broker has taken a message that was sent, or says why it does not. One listener. */
  readonly onTaken: (listener: (messageId: number, refusal: string | undefined) => void) => void
  /** Fails when the connection is lost. */
  readonly lost: Effect.Effect<never, MqttConnectionLost>
}

export interface Session {
  readonly clientId: string
  /** Of a connection that receives; another one leaves nothing at the broker. */
  readonly receives?: { readonly maxInFlight: number; readonly take: (arrived: Arrived) => void }
}

/** Packets that are larger are not ours: a broker with MQTT 5 keeps them to itself. */
const maximumPacketSize = 1024 * 1024

const connectTimeout = 10_000

/** mqtt.js hands the other options of TLS on by itself. */
const tlsOfWebSocket = (servername: string) => ({ rejectUnauthorized: true, servername })

const clientOptions = (settings: MqttConfig, { clientId, receives }: Session): IClientOptions => ({
  protocol: settings.protocol,
  // In the address of a web socket.
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
  // It would write packets, and so passwords, where `DEBUG` says.
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
  session: Session
): Effect.fn.Return<Connection, MqttConnectionLost, Scope.Scope> {
  const lost = yield* Deferred.make<never, MqttConnectionLost>()
  const connected = yield* Deferred.make<IConnackPacket, MqttConnectionLost>()
  let reason = "the connection was closed"
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => mqtt.connect(clientOptions(settings, session))),
    close
  )
  client.on("error", (error) => {
    reason = error.message || ("code" in error ? String(error.code) : error.name)
  })
  client.on("disconnect", ({ reasonCode = 0 }) => {
    reason = reasonCode === sessionTakenOver ? "another client has its id" : `the broker ended it (${reasonCode})`
  })
  client.on("close", () => {
    const exit = Exit.fail(new MqttConnectionLost({ reason }))
    Deferred.doneUnsafe(connected, exit)
    Deferred.doneUnsafe(lost, exit)
  })
  client.on("connect", (packet) => {
    // Not every broker says so.
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
      taken(packet.messageId, refusalOf(packet.reasonCode))
  })
  client.connect()
  const { properties = {}, sessionPresent } = yield* Deferred.await(connected)
  const { maximumPacketSize: largest, maximumQoS, receiveMaximum = 65_535 } = properties
  if (maximumQoS === 0) return yield* new MqttConnectionLost({ reason: "the broker knows no QoS 1" })
  return {
    client,
    resumed: sessionPresent,
    receiveMaximum,
    fits: (topic, body) => largest === undefined || Packet.sizeOfPublish(topic, body, settings.version) <= largest,
    publish: (topic, body, messageId) => send(Packet.publish(topic, body, messageId, settings.version)),
    onTaken: (listener) => {
      taken = listener
    },
    lost: Deferred.await(lost)
  }
})

const sessionTakenOver = 0x8e

/** Nagle's algorithm and delayed acknowledgements make a message of 0.2 ms one of 40 ms. */
const noDelay = ({ stream }: MqttClient): void => {
  if ("setNoDelay" in stream && typeof stream.setNoDelay === "function") stream.setNoDelay(true)
}

const noSubscribers = 0x10

/** Undefined: it was taken, also where nobody has asked for it yet. */
const refusalOf = (reasonCode = 0): string | undefined =>
  reasonCode === 0 || reasonCode === noSubscribers
    ? undefined
    : (Object.entries(mqtt.ReasonCodes).find(([code]) => Number(code) === reasonCode)?.[1] ?? `reason ${reasonCode}`)

/** Packets of one turn leave in one piece. What a connection that is gone was to send is lost with it. */
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

/** A message of QoS 1 becomes one of QoS 0 for mqtt.js, which then leaves the acknowledgement to us. */
const takeOver = (send: (packet: Uint8Array) => void, packet: IPublishPacket): Arrived => {
  const { dup, messageId, payload, qos, retain, topic } = packet
  packet.qos = 0
  return {
    topic,
    payload: typeof payload === "string" ? new TextEncoder().encode(payload) : payload,
    retained: retain,
    redelivered: dup,
    acknowledge: () => {
      if (qos === 1 && messageId !== undefined) send(Packet.acknowledgement(messageId))
    }
  }
}

const close = (client: MqttClient): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (client.stream === undefined) return resume(Effect.void)
    // What is on its way may still arrive. One that is not connected has nobody to say goodbye to.
    client.end(!client.connected, () => resume(Effect.void))
  }).pipe(Effect.timeoutOption("1 second"), Effect.andThen(Effect.sync(() => client.stream?.destroy())))

// ---- for as long as it is wanted ---------------------------------------------------------------------------------

/** What held this long did not fail because of what it is for. An attempt that nobody answers takes less. */
const stable = 2 * connectTimeout

const longest = 5_000

/** Uses one connection after the other: after a failure at once, then ever more slowly, up to 5 seconds. */
export const keep = (
  clientId: string,
  use: Effect.Effect<never, MqttConnectionLost, Scope.Scope>
): Effect.Effect<never> => {
  let failures = 0
  let said: string | undefined
  const once = Effect.gen(function* () {
    const since = yield* Clock.currentTimeMillis
    const { reason } = yield* Effect.flip(Effect.scoped(use))
    if ((yield* Clock.currentTimeMillis) - since >= stable) {
      failures = 0
      said = undefined
    }
    if (said !== reason) yield* Effect.logWarning("No connection to the MQTT broker", { clientId, reason })
    said = reason
    // At random, so that not all who lost it come back at the same time.
    yield* Effect.sleep(Math.min(longest, 100 * 2 ** failures++) * (0.5 + (yield* Random.next)))
  })
  return Effect.forever(
    Effect.catchDefect(once, (defect) =>
      Effect.andThen(Effect.logError("The connection to the MQTT broker died", defect), Effect.sleep(longest))
    )
  )
}
