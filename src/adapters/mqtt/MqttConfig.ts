/** The settings of the connections to a broker, checked before anything connects. Secrets stay redacted until then. */
import { createSecureContext } from "node:tls"
import { Config, type Duration, Effect, Option, Redacted } from "effect"
import * as Setting from "../../ports/Setting.ts"
import { InvalidSetting } from "../../ports/Setting.ts"
import { isName } from "../../wire/Envelope.ts"
import * as SettingFile from "../SettingFile.ts"

export interface MqttOptions {
  /**
   * Where the broker is: `mqtt://`, `mqtts://`, `ws://` or `wss://`, a host and, if it is not the usual one, a port. User
   * and password have options of their own, as a url is often logged.
   */
  readonly url: string
  /**
   * The name under which the broker keeps what arrives while this instance is away: 1 to 128 visible characters, the same
   * at every start of this instance and of no other one. Default: a new one at every start; with protocol 4 the same for
   * all instances, as there is only one. Set it where an instance keeps its name, as a StatefulSet's pod does.
   */
  readonly clientId?: string
  /**
   * The application, for several of them on one broker: a name of up to 64 letters, digits, `_`, `-` and `.` that begins with a
   * letter. It goes before every topic, and into the client id. All services of an application have the same. Default: none.
   */
  readonly namespace?: string
  /** The user of this service at the broker. Default: none. */
  readonly username?: string
  /** The password of the user. Default: none. */
  readonly password?: Redacted.Redacted
  /** Certificates, as PEM. Only with a url that says TLS; a certificate that cannot be read is `InvalidSetting`. */
  readonly tls?: {
    /** Certificates of the authorities that vouch for the broker. Default: those that the system trusts. */
    readonly ca?: string
    /** This service's certificate, where the broker asks for one. Needs `key`. */
    readonly certificate?: string
    /** The private key of the certificate. */
    readonly key?: Redacted.Redacted
    /** The passphrase of the key. Default: the key has none. */
    readonly passphrase?: Redacted.Redacted
    /** The name in the broker's certificate. Default: the host of the url. */
    readonly servername?: string
  }
  /**
   * The version of MQTT. Default 5. 4 is MQTT 3.1.1: such a broker cannot share messages between instances, so a service
   * may have one instance only.
   */
  readonly protocol?: 4 | 5
  /**
   * How long the broker keeps what arrives for an instance that is gone (MQTT 5). Up to 4,294,967,295 seconds, rounded up
   * to whole seconds; 0: nothing. Default 5 seconds with a `clientId`, enough for a connection that is made again; without one 0,
   * as no instance comes back under the name. An instance that is gone holds its share of the messages for as long, and each
   * of them waits until it is sent again.
   */
  readonly sessionExpiry?: Duration.Input
  /**
   * A connection is given up when it is silent for one and a half times this long. Up to 65,535 seconds, rounded up to
   * whole seconds. Default 5 seconds. Longer saves traffic on a metered line, and finds a dead connection later.
   */
  readonly keepalive?: Duration.Input
  /**
   * Bytes of messages that wait in memory until the broker takes them; more are refused as `full`, or as `unavailable`
   * without a connection. From 2 MiB (2,097,152), default 16 MiB. A refused message is sent again later.
   */
  readonly maxOutgoing?: number
}

/** The checked options. */
export interface MqttConfig {
  readonly protocol: "mqtt" | "mqtts" | "ws" | "wss"
  readonly host: string
  readonly port: number
  /** Of a web socket. */
  readonly path: string
  readonly clientId: string
  readonly namespace: string | undefined
  readonly username: string | undefined
  readonly password: Redacted.Redacted | undefined
  readonly tls: NonNullable<MqttOptions["tls"]>
  readonly version: 4 | 5
  /** In seconds. */
  readonly sessionExpiry: number
  /** In seconds. */
  readonly keepalive: number
  /** In bytes. */
  readonly maxOutgoing: number
}

const ports = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 }

const protocols: Readonly<Record<string, MqttConfig["protocol"]>> = {
  "mqtt:": "mqtt",
  "tcp:": "mqtt",
  "mqtts:": "mqtts",
  "ssl:": "mqtts",
  "tls:": "mqtts",
  "ws:": "ws",
  "wss:": "wss"
}

const invalid = (setting: string, issue: string) => new InvalidSetting({ setting: `MqttBroker.${setting}`, issue })

const seconds = (setting: string, input: Duration.Input, bounds: Setting.DurationBounds) =>
  Effect.map(Setting.duration(`MqttBroker.${setting}`, input, bounds), (millis) => Math.ceil(millis / 1_000))

/** The parts of the url. */
const addressOf = Effect.fnUntraced(function* (text: string) {
  const url = typeof text === "string" && URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined) return yield* invalid("url", "it is no URL")
  const protocol = protocols[url.protocol]
  if (protocol === undefined || url.hostname === "") return yield* invalid("url", "it names no MQTT broker")
  if (url.username !== "" || url.password !== "") return yield* invalid("url", "user and password are separate options")
  return {
    protocol,
    // A socket takes the address of IPv6 without its brackets.
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? ports[protocol] : Number(url.port),
    path: `${url.pathname || "/"}${url.search}`
  }
})

const checkTls = Effect.fnUntraced(function* (tls: NonNullable<MqttOptions["tls"]>, protocol: MqttConfig["protocol"]) {
  const named = { ca: true, certificate: true, key: true, passphrase: true, servername: true }
  const { ca, certificate, key, passphrase, servername } = yield* Setting.known("MqttBroker.tls", tls, named)
  if (servername !== undefined && typeof servername !== "string")
    return yield* invalid("tls", "the server name must be a text")
  if (protocol !== "mqtts" && protocol !== "wss") return yield* invalid("tls", "the url does not say TLS")
  if ((certificate === undefined) !== (key === undefined))
    return yield* invalid("tls", "a certificate and its key belong together")
  // A certificate that cannot be read would make every connection fail.
  yield* Effect.try({
    try: () =>
      createSecureContext({
        ca,
        cert: certificate,
        key: key && Redacted.value(key),
        passphrase: passphrase && Redacted.value(passphrase)
      }),
    catch: () => invalid("tls", "a certificate cannot be read, or not its key with this passphrase")
  })
})

const names: Setting.Names<MqttOptions> = {
  url: true,
  clientId: true,
  namespace: true,
  username: true,
  password: true,
  tls: true,
  protocol: true,
  sessionExpiry: true,
  keepalive: true,
  maxOutgoing: true
}

/** Checks the options. `instance` is the client id of an instance that was given none. */
export const make = Effect.fnUntraced(function* (
  options: MqttOptions,
  instance: string
): Effect.fn.Return<MqttConfig, InvalidSetting> {
  yield* Setting.known("MqttBroker", options, names)
  const { clientId, keepalive = "5 seconds", maxOutgoing = 16 * 1024 * 1024, namespace } = options
  const { sessionExpiry = clientId === undefined ? 0 : "5 seconds" } = options
  const { password, tls, username } = options
  const { protocol: version = 5 } = options
  const address = yield* addressOf(options.url)
  if (version !== 4 && version !== 5) return yield* invalid("protocol", "it must be 4 or 5")
  if (username !== undefined && typeof username !== "string") return yield* invalid("username", "it must be a text")
  if (password !== undefined && !Redacted.isRedacted(password)) return yield* invalid("password", "it must be redacted")
  if (tls !== undefined) yield* checkTls(tls, address.protocol)
  if (clientId !== undefined && !(typeof clientId === "string" && /^[\x21-\x7e]{1,128}$/.test(clientId)))
    return yield* invalid("clientId", "it must be 1 to 128 visible characters")
  if (namespace !== undefined && !isName(namespace))
    return yield* invalid(
      "namespace",
      "it must be a name of up to 64 letters, digits, _, - and . that begins with a letter"
    )
  const client = clientId ?? (version === 4 ? "effect-saga" : instance)
  return {
    ...address,
    clientId: namespace === undefined ? client : `${namespace}.${client}`,
    namespace,
    username,
    password,
    tls: tls ?? {},
    version,
    sessionExpiry: yield* seconds("sessionExpiry", sessionExpiry, {
      least: "0 millis",
      most: "4294967295 seconds"
    }),
    keepalive: yield* seconds("keepalive", keepalive, { least: "1 milli", most: "65535 seconds" }),
    maxOutgoing: yield* Setting.outgoing("MqttBroker.maxOutgoing", maxOutgoing)
  }
})

// ---- environment -----------------------------------------------------------------------------------------------

const variables = Config.all({
  url: Config.String("SAGA_MQTT_URL"),
  protocol: Config.option(Config.Int("SAGA_MQTT_PROTOCOL")),
  files: Setting.optional({
    ca: Config.String("SAGA_MQTT_CA_FILE"),
    certificate: Config.String("SAGA_MQTT_CERTIFICATE_FILE"),
    key: Config.String("SAGA_MQTT_KEY_FILE")
  }),
  secrets: Setting.optional({ passphrase: Config.Redacted("SAGA_MQTT_KEY_PASSPHRASE") }),
  others: Setting.optional({
    clientId: Config.String("SAGA_MQTT_CLIENT_ID"),
    namespace: Config.String("SAGA_MQTT_NAMESPACE"),
    username: Config.String("SAGA_MQTT_USERNAME"),
    password: Config.Redacted("SAGA_MQTT_PASSWORD"),
    sessionExpiry: Config.Duration("SAGA_MQTT_SESSION_EXPIRY"),
    keepalive: Config.Duration("SAGA_MQTT_KEEPALIVE"),
    maxOutgoing: Config.Int("SAGA_MQTT_MAX_OUTGOING")
  })
})

/** The options from Effect's `Config`. */
export const fromConfig: Effect.Effect<MqttOptions, Config.ConfigError | InvalidSetting> = Effect.gen(function* () {
  const { files, others, protocol, secrets, url } = yield* variables
  const version = Option.getOrUndefined(protocol)
  if (version !== undefined && version !== 4 && version !== 5)
    return yield* invalid("protocol", `it must be 4 or 5, and is ${version}`)
  const ca = yield* SettingFile.read("MqttBroker.ca", files.ca)
  const certificate = yield* SettingFile.read("MqttBroker.certificate", files.certificate)
  const key = yield* SettingFile.read("MqttBroker.key", files.key)
  const tls = {
    ...(ca !== undefined && { ca }),
    ...(certificate !== undefined && { certificate }),
    ...(key !== undefined && { key: Redacted.make(key) }),
    ...secrets
  }
  return {
    url,
    ...others,
    ...(version !== undefined && { protocol: version }),
    ...(Object.keys(tls).length > 0 && { tls })
  }
})
