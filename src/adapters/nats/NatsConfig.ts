/** The settings of the connection to NATS, checked before anything connects. Secrets stay redacted until then. */
import { createSecureContext } from "node:tls"
import { Config, type Duration, Effect, Redacted } from "effect"
import * as Setting from "../../ports/Setting.ts"
import { InvalidSetting } from "../../ports/Setting.ts"
import { isName } from "../../wire/Envelope.ts"
import * as SettingFile from "../SettingFile.ts"

export interface NatsOptions {
  /**
   * Where the servers are: `nats://` or `tls://`, a host and, if it is not 4222, a port. Several servers of a cluster are separated
   * by commas. User and password have options of their own, as a url is often logged.
   */
  readonly url: string
  /**
   * The application, for several of them on one server: a name of up to 64 letters, digits, `_`, `-` and `.` that begins with a
   * letter. It goes before every subject, and into the names of the streams. All services of an application have the same. Default:
   * none.
   */
  readonly namespace?: string
  /**
   * The user of this service. Answers of the server come to `_INBOX.<user>.>`, so that permissions can name them. Default: none,
   * and `_INBOX.>`.
   */
  readonly username?: string
  /** The password of the user. Default: none. */
  readonly password?: Redacted.Redacted
  /** A token instead of a user. Default: none. */
  readonly token?: Redacted.Redacted
  /** The text of a `.creds` file, with a JWT and its seed, instead of a user. Default: none. */
  readonly credentials?: Redacted.Redacted
  /** Certificates, as PEM. Only with a url that says TLS; a certificate that cannot be read is `InvalidSetting`. */
  readonly tls?: {
    /** Certificates of the authorities that vouch for the server. Default: those that the system trusts. */
    readonly ca?: string
    /** This service's certificate, where the server asks for one. Needs `key`. */
    readonly certificate?: string
    /** The private key of the certificate. */
    readonly key?: Redacted.Redacted
  }
  /**
   * A connection is given up when it is silent for up to twice this long. From 1 millisecond to a day. Default 5 seconds. Longer
   * saves traffic on a metered line, and finds a dead connection later.
   */
  readonly keepalive?: Duration.Input
  /**
   * Bytes of messages that wait in memory until the server takes them; more are refused as `full`, or as `unavailable`
   * without a connection. From 2 MiB (2,097,152), default 16 MiB. A refused message is sent again later.
   */
  readonly maxOutgoing?: number
  /**
   * After how long without a sign of life a message goes to another instance. A living instance gives a sign for each message that
   * it has, so a handler may take longer. From 100 milliseconds to a day, default 5 seconds. Only for a consumer that does not
   * exist yet, as the next four: those that exist are used as they are.
   */
  readonly ackWait?: Duration.Input
  /** Servers that keep each message: 1, 3 or 5. Default 1. With 3, no message is lost with a server. */
  readonly replicas?: 1 | 3 | 5
  /** Where the server keeps messages. Default `file`. With `memory` a server that restarts has lost them: they are sent again. */
  readonly storage?: "file" | "memory"
  /**
   * Bytes of messages that wait for one service, at most: more are refused, and sent again later. A whole number from 1, default
   * 256 MiB. The server sets so much storage aside.
   */
  readonly maxStored?: number
  /** How long a message waits for its service before the server drops it. From 1 minute to ten years, default 1 day. */
  readonly maxAge?: Duration.Input
}

/** The checked options. Times are in milliseconds, sizes in bytes. */
export interface NatsConfig {
  readonly servers: ReadonlyArray<string>
  readonly isSecure: boolean
  readonly namespace: string | undefined
  readonly username: string | undefined
  readonly password: Redacted.Redacted | undefined
  readonly token: Redacted.Redacted | undefined
  readonly credentials: Redacted.Redacted | undefined
  readonly tls: NonNullable<NatsOptions["tls"]>
  readonly keepalive: number
  readonly maxOutgoing: number
  readonly ackWait: number
  readonly replicas: 1 | 3 | 5
  readonly storage: "file" | "memory"
  readonly maxStored: number
  readonly maxAge: number
}

const invalid = (setting: string, issue: string) => new InvalidSetting({ setting: `NatsBroker.${setting}`, issue })

/** Hosts with ports, and whether the urls say TLS. */
const serversOf = Effect.fnUntraced(function* (text: string) {
  const urls = typeof text === "string" ? text.split(",").map((url) => url.trim()) : []
  const servers: Array<string> = []
  const protocols = new Set<string>()
  for (const url of urls) {
    if (!URL.canParse(url)) return yield* invalid("url", "it is no URL")
    const { hostname, password, port, protocol, username } = new URL(url)
    if ((protocol !== "nats:" && protocol !== "tls:") || hostname === "")
      return yield* invalid("url", "it names no NATS server")
    if (username !== "" || password !== "") return yield* invalid("url", "user and password are separate options")
    protocols.add(protocol)
    servers.push(`${hostname}:${port === "" ? 4222 : port}`)
  }
  if (servers.length === 0) return yield* invalid("url", "it is no URL")
  if (protocols.size > 1) return yield* invalid("url", "all servers have TLS, or none")
  return { servers, isSecure: protocols.has("tls:") }
})

const checkTls = Effect.fnUntraced(function* (tls: NonNullable<NatsOptions["tls"]>, isSecure: boolean) {
  const { ca, certificate, key } = yield* Setting.known("NatsBroker.tls", tls, {
    ca: true,
    certificate: true,
    key: true
  })
  if (!isSecure) return yield* invalid("tls", "the url does not say TLS")
  if ((certificate === undefined) !== (key === undefined))
    return yield* invalid("tls", "a certificate and its key belong together")
  // A certificate that cannot be read would make every connection fail.
  yield* Effect.try({
    try: () => createSecureContext({ ca, cert: certificate, key: key && Redacted.value(key) }),
    catch: () => invalid("tls", "a certificate cannot be read, or not its key")
  })
})

/** One way to say who one is. */
const checkIdentity = Effect.fnUntraced(function* ({ credentials, password, token, username }: NatsOptions) {
  if (username !== undefined && !(typeof username === "string" && /^[^\s.*>]{1,128}$/.test(username)))
    return yield* invalid("username", "it must be up to 128 characters without blanks, dots, * and >")
  for (const [setting, secret] of Object.entries({ password, token, credentials }))
    if (secret !== undefined && !Redacted.isRedacted(secret)) return yield* invalid(setting, "it must be redacted")
  if ([username, token, credentials].filter((it) => it !== undefined).length > 1)
    return yield* invalid("username", "a user, a token and credentials exclude each other")
})

const names: Setting.Names<NatsOptions> = {
  url: true,
  namespace: true,
  username: true,
  password: true,
  token: true,
  credentials: true,
  tls: true,
  keepalive: true,
  maxOutgoing: true,
  ackWait: true,
  replicas: true,
  storage: true,
  maxStored: true,
  maxAge: true
}

/** Checks the options. */
export const make = Effect.fnUntraced(function* (options: NatsOptions): Effect.fn.Return<NatsConfig, InvalidSetting> {
  yield* Setting.known("NatsBroker", options, names)
  const { keepalive = "5 seconds", maxOutgoing = 16 * 1024 * 1024, namespace, tls } = options
  const { ackWait = "5 seconds", maxAge = "1 day", maxStored = 256 * 1024 * 1024 } = options
  const { replicas = 1, storage = "file" } = options
  const address = yield* serversOf(options.url)
  yield* checkIdentity(options)
  if (tls !== undefined) yield* checkTls(tls, address.isSecure)
  if (namespace !== undefined && !isName(namespace))
    return yield* invalid(
      "namespace",
      "it must be a name of up to 64 letters, digits, _, - and . that begins with a letter"
    )
  if (replicas !== 1 && replicas !== 3 && replicas !== 5) return yield* invalid("replicas", "it must be 1, 3 or 5")
  if (storage !== "file" && storage !== "memory") return yield* invalid("storage", "it must be file or memory")
  const time = (setting: string, input: Duration.Input, bounds: Setting.DurationBounds) =>
    Setting.duration(`NatsBroker.${setting}`, input, bounds)
  return {
    ...address,
    namespace,
    username: options.username,
    password: options.password,
    token: options.token,
    credentials: options.credentials,
    tls: tls ?? {},
    keepalive: yield* time("keepalive", keepalive, { least: "1 milli", most: "1 day" }),
    maxOutgoing: yield* Setting.outgoing("NatsBroker.maxOutgoing", maxOutgoing),
    ackWait: yield* time("ackWait", ackWait, { least: "100 millis", most: "1 day" }),
    replicas,
    storage,
    maxStored: yield* Setting.wholeNumber("NatsBroker.maxStored", maxStored, { least: 1 }),
    maxAge: yield* time("maxAge", maxAge, { least: "1 minute" })
  }
})

// ---- environment -----------------------------------------------------------------------------------------------

const variables = Config.all({
  url: Config.String("SAGA_NATS_URL"),
  replicas: Config.withDefault(Config.Int("SAGA_NATS_REPLICAS"), 1),
  files: Setting.optional({
    ca: Config.String("SAGA_NATS_CA_FILE"),
    certificate: Config.String("SAGA_NATS_CERTIFICATE_FILE"),
    key: Config.String("SAGA_NATS_KEY_FILE"),
    credentials: Config.String("SAGA_NATS_CREDENTIALS_FILE")
  }),
  others: Setting.optional({
    namespace: Config.String("SAGA_NATS_NAMESPACE"),
    username: Config.String("SAGA_NATS_USERNAME"),
    password: Config.Redacted("SAGA_NATS_PASSWORD"),
    token: Config.Redacted("SAGA_NATS_TOKEN"),
    keepalive: Config.Duration("SAGA_NATS_KEEPALIVE"),
    maxOutgoing: Config.Int("SAGA_NATS_MAX_OUTGOING"),
    ackWait: Config.Duration("SAGA_NATS_ACK_WAIT"),
    maxStored: Config.Int("SAGA_NATS_MAX_STORED"),
    maxAge: Config.Duration("SAGA_NATS_MAX_AGE"),
    storage: Config.Literals(["file", "memory"], "SAGA_NATS_STORAGE")
  })
})

/** The options from Effect's `Config`. */
export const fromConfig: Effect.Effect<NatsOptions, Config.ConfigError | InvalidSetting> = Effect.gen(function* () {
  const { files, others, replicas, url } = yield* variables
  if (replicas !== 1 && replicas !== 3 && replicas !== 5)
    return yield* invalid("replicas", `it must be 1, 3 or 5, and is ${replicas}`)
  const ca = yield* SettingFile.read("NatsBroker.ca", files.ca)
  const certificate = yield* SettingFile.read("NatsBroker.certificate", files.certificate)
  const key = yield* SettingFile.read("NatsBroker.key", files.key)
  const credentials = yield* SettingFile.read("NatsBroker.credentials", files.credentials)
  const tls = {
    ...(ca !== undefined && { ca }),
    ...(certificate !== undefined && { certificate }),
    ...(key !== undefined && { key: Redacted.make(key) })
  }
  return {
    url,
    replicas,
    ...others,
    ...(credentials !== undefined && { credentials: Redacted.make(credentials) }),
    ...(Object.keys(tls).length > 0 && { tls })
  }
})
