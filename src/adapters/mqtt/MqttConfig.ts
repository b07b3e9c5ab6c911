/** What the connections to a broker need to be told, checked before anything connects. Secrets stay redacted until then. */
import { readFileSync } from "node:fs"
import { createSecureContext } from "node:tls"
import { Config, Duration, Effect, Redacted, Schema } from "effect"

export interface Options {
  /** `mqtt://`, `mqtts://`, `ws://` or `wss://`, without user and password: these have options of their own. */
  readonly url: string
  /**
   * The same at every start of this instance and of no other one: under it the broker keeps what arrives meanwhile.
   * Without it an instance has a new one at every start (with protocol 4, one for all: there is only one instance).
   */
  readonly clientId?: string
  readonly username?: string
  readonly password?: Redacted.Redacted
  /** Certificates, as PEM. Needs a url that says TLS. */
  readonly tls?: {
    /** Who vouches for the broker. Default: those whom the system trusts. */
    readonly ca?: string
    /** This service's certificate and its key, where the broker asks for one. */
    readonly certificate?: string
    readonly key?: Redacted.Redacted
    readonly passphrase?: Redacted.Redacted
    /** The name in the broker's certificate. Default: the host of the url. */
    readonly servername?: string
  }
  /** 4 is MQTT 3.1.1: one instance of a service, as nothing can be shared. Default 5. */
  readonly protocol?: 4 | 5
  /**
   * How long the broker keeps what arrives for an instance that is gone (MQTT 5). Default 24 hours, as long as a message
   * may be valid; 1 minute without `clientId`, as nobody will come back for it.
   */
  readonly sessionExpiry?: Duration.Input
  /** A connection that is silent for one and a half times this long is given up. Whole seconds. Default 10 seconds. */
  readonly keepalive?: Duration.Input
  /** Bytes of messages that the broker has not taken yet. More are refused. Default 16 MiB. */
  readonly maxOutgoing?: number
}

/** `issue` never quotes a secret. */
export class InvalidMqttSetting extends Schema.TaggedError<InvalidMqttSetting>()("InvalidMqttSetting", {
  setting: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return `The MQTT setting ${this.setting} cannot be used: ${this.issue}`
  }
}

export interface Settings {
  readonly protocol: "mqtt" | "mqtts" | "ws" | "wss"
  readonly host: string
  readonly port: number
  /** Of a web socket. */
  readonly path: string
  readonly clientId: string
  /** It has its id from nobody, so nobody comes back under it. */
  readonly passing: boolean
  readonly username: string | undefined
  readonly password: Redacted.Redacted | undefined
  readonly tls: NonNullable<Options["tls"]>
  readonly version: 4 | 5
  /** In seconds. */
  readonly sessionExpiry: number
  readonly keepalive: number
  readonly maxOutgoing: number
}

const ports = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 }

const protocols: Readonly<Record<string, Settings["protocol"]>> = {
  "mqtt:": "mqtt",
  "tcp:": "mqtt",
  "mqtts:": "mqtts",
  "ssl:": "mqtts",
  "tls:": "mqtts",
  "ws:": "ws",
  "wss:": "wss"
}

const seconds = (input: Duration.Input): number => Math.ceil(Duration.toSeconds(Duration.fromInputUnsafe(input)))

/** `instance` is the client id of one that was given none. */
export const make = Effect.fnUntraced(function* (
  options: Options,
  instance: string
): Effect.fn.Return<Settings, InvalidMqttSetting> {
  const invalid = (setting: string, issue: string) => new InvalidMqttSetting({ setting, issue })
  const url = URL.canParse(options.url) ? new URL(options.url) : undefined
  if (url === undefined) return yield* invalid("url", "it is no URL")
  const protocol = protocols[url.protocol]
  if (protocol === undefined || url.hostname === "") return yield* invalid("url", "it names no MQTT broker")
  if (url.username !== "" || url.password !== "") return yield* invalid("url", "user and password are separate options")
  const {
    clientId,
    keepalive = "10 seconds",
    maxOutgoing = 16 * 1024 * 1024,
    protocol: version = 5,
    tls = {}
  } = options
  if (options.tls !== undefined && protocol !== "mqtts" && protocol !== "wss")
    return yield* invalid("tls", "the url does not say TLS")
  if ((tls.certificate === undefined) !== (tls.key === undefined))
    return yield* invalid("tls", "a certificate and its key belong together")
  // Otherwise every connection would fail for it.
  yield* Effect.try({
    try: () =>
      createSecureContext({
        ca: tls.ca,
        cert: tls.certificate,
        key: tls.key && Redacted.value(tls.key),
        passphrase: tls.passphrase && Redacted.value(tls.passphrase)
      }),
    catch: () => invalid("tls", "a certificate cannot be read, or not its key with this passphrase")
  })
  if (clientId !== undefined && !/^[\x21-\x7e]{1,128}$/.test(clientId))
    return yield* invalid("clientId", "it must be 1 to 128 visible characters")
  const settings: Settings = {
    protocol,
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? ports[protocol] : Number(url.port),
    path: `${url.pathname || "/"}${url.search}`,
    clientId: clientId ?? (version === 4 ? "effect-saga" : instance),
    passing: clientId === undefined && version === 5,
    username: options.username,
    password: options.password,
    tls,
    version,
    sessionExpiry: seconds(options.sessionExpiry ?? (clientId === undefined ? "1 minute" : "24 hours")),
    keepalive: seconds(keepalive),
    maxOutgoing
  }
  if (!(settings.keepalive >= 1 && settings.keepalive <= 65_535))
    return yield* invalid("keepalive", "1 to 65,535 seconds")
  if (!(settings.sessionExpiry >= 1 && settings.sessionExpiry < 2 ** 32))
    return yield* invalid("sessionExpiry", "1 to 4,294,967,295 seconds")
  if (!(maxOutgoing > 0)) return yield* invalid("maxOutgoing", "more than 0 bytes")
  return settings
})

// ---- configuration ---------------------------------------------------------------------------------------------

const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> =>
  Config.map(Config.option(config), (value) => (value._tag === "Some" ? value.value : undefined))

const variables = Config.all({
  url: Config.String("SAGA_MQTT_URL"),
  clientId: optional(Config.String("SAGA_MQTT_CLIENT_ID")),
  username: optional(Config.String("SAGA_MQTT_USERNAME")),
  password: optional(Config.Redacted("SAGA_MQTT_PASSWORD")),
  ca: optional(Config.String("SAGA_MQTT_CA_FILE")),
  certificate: optional(Config.String("SAGA_MQTT_CERTIFICATE_FILE")),
  key: optional(Config.String("SAGA_MQTT_KEY_FILE")),
  passphrase: optional(Config.Redacted("SAGA_MQTT_KEY_PASSPHRASE")),
  protocol: optional(Config.Int("SAGA_MQTT_PROTOCOL")),
  sessionExpiry: optional(Config.Duration("SAGA_MQTT_SESSION_EXPIRY")),
  keepalive: optional(Config.Duration("SAGA_MQTT_KEEPALIVE")),
  maxOutgoing: optional(Config.Int("SAGA_MQTT_MAX_OUTGOING"))
})

const readFile = (setting: string, file: string | undefined) =>
  file === undefined
    ? Effect.succeed(undefined)
    : Effect.try({
        try: () => readFileSync(file, "utf8"),
        catch: () => new InvalidMqttSetting({ setting, issue: "the file cannot be read" })
      })

/** The options from Effect's `Config`. */
export const fromConfig: Effect.Effect<Options, Config.ConfigError | InvalidMqttSetting> = Effect.gen(function* () {
  const { ca, certificate, clientId, key, passphrase, protocol, ...rest } = yield* variables
  if (protocol !== undefined && protocol !== 4 && protocol !== 5)
    return yield* new InvalidMqttSetting({ setting: "protocol", issue: "4 or 5" })
  const pem = yield* readFile("ca", ca)
  const own = yield* readFile("certificate", certificate)
  const secret = yield* readFile("key", key)
  const tls = {
    ...(pem !== undefined && { ca: pem }),
    ...(own !== undefined && { certificate: own }),
    ...(secret !== undefined && { key: Redacted.make(secret) }),
    ...(passphrase !== undefined && { passphrase })
  }
  return {
    url: rest.url,
    ...(clientId !== undefined && { clientId }),
    ...(rest.username !== undefined && { username: rest.username }),
    ...(rest.password !== undefined && { password: rest.password }),
    ...(protocol !== undefined && { protocol }),
    ...(rest.sessionExpiry !== undefined && { sessionExpiry: rest.sessionExpiry }),
    ...(rest.keepalive !== undefined && { keepalive: rest.keepalive }),
    ...(rest.maxOutgoing !== undefined && { maxOutgoing: rest.maxOutgoing }),
    ...(Object.keys(tls).length > 0 && { tls })
  }
})
