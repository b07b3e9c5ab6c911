/** The settings of messages over HTTP, checked before anything is sent. Secrets stay redacted. */
import { type Duration, Effect, Redacted } from "effect"
import * as Setting from "../../ports/Setting.ts"
import { InvalidSetting } from "../../ports/Setting.ts"
import { isName } from "../../wire/Envelope.ts"

/** A key that two services share. */
export interface HttpKey {
  /** Its name, 1 to 64 visible characters. It is sent with each request. */
  readonly id: string
  /** At least 16 characters that nobody can guess. */
  readonly secret: Redacted.Redacted
}

/** A service that messages come from and go to. */
export interface HttpPeer {
  /**
   * The URL of its route, `http://` or `https://`. Absent: it is not called. Its messages are taken all the same, and the answers
   * leave with the responses to them.
   */
  readonly url?: string
  /**
   * The keys that this process shares with the service and with no other one: with the key of two services, a third one could
   * speak for either. The first signs, and both are accepted: a new key is added as second everywhere, then made the first
   * everywhere, then the old one is removed. One or two; none only with an authentication of your own.
   */
  readonly keys?: ReadonlyArray<HttpKey>
}

export interface HttpOptions {
  /**
   * All services that this process speaks with, by their names. A message for a service without a URL here that this process
   * serves itself stays within the process. URLs never come from a message.
   */
  readonly services: Readonly<Record<string, HttpPeer>>
  /** The path of the route that takes messages. Default `/saga`. */
  readonly path?: `/${string}`
  /**
   * How long a request is held open until its message is stored and answered. An answer that takes longer comes in a request of its
   * own. 100 milliseconds to 5 minutes, default 10 seconds. Shorter where a proxy cuts requests earlier.
   */
  readonly answerWithin?: Duration.Input
  /** Requests in flight to one service, at most. From 1, default 32. */
  readonly maxRequests?: number
  /** Bytes of messages that wait for their receivers; more are refused as `full` or `unavailable`. From 2 MiB, default 16 MiB. */
  readonly maxOutgoing?: number
  /** Messages for one service that wait in this process until a handler is free; more are answered 503. From 1, default 1,024. */
  readonly maxWaiting?: number
  /** Requests that are answered at the same time, at most; more are answered 503. From 1, default 256. */
  readonly maxOpen?: number
}

/** The checked options. */
export interface HttpConfig {
  readonly services: ReadonlyMap<string, { readonly url: string | undefined; readonly keys: ReadonlyArray<HttpKey> }>
  readonly path: `/${string}`
  /** In milliseconds. */
  readonly answerWithin: number
  readonly maxRequests: number
  readonly maxOutgoing: number
  readonly maxWaiting: number
  readonly maxOpen: number
}

const invalid = (setting: string, issue: string) => new InvalidSetting({ setting: `HttpBroker.${setting}`, issue })

const isObject = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const issueOfUrl = (text: string): string | undefined => {
  const url = typeof text === "string" && URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) return "the url is none of HTTP"
  if (url.username !== "" || url.password !== "") return "a url has no user and no password"
  return url.hash === "" ? undefined : "a url has no fragment"
}

const issueOfKey = (key: HttpKey): string | undefined => {
  if (!isObject(key) || typeof key.id !== "string" || !/^[!-~]{1,64}$/.test(key.id))
    return "the id of a key has 1 to 64 visible characters"
  const secret: unknown = Redacted.isRedacted(key.secret) ? Redacted.value(key.secret) : undefined
  return typeof secret === "string" && secret.length >= 16
    ? undefined
    : "the secret of a key is redacted and has at least 16 characters"
}

const issueOfKeys = (keys: ReadonlyArray<HttpKey>, isKeyed: boolean): string | undefined => {
  if (!Array.isArray(keys) || keys.length > 2 || (isKeyed && keys.length === 0))
    return "there must be one key, or two while they change"
  const issue = keys.map(issueOfKey).find((it) => it !== undefined)
  if (issue !== undefined) return issue
  return keys.length === 2 && keys[0]?.id === keys[1]?.id ? "two keys have two ids" : undefined
}

const peerOf = Effect.fnUntraced(function* (name: string, peer: HttpPeer, isKeyed: boolean) {
  if (!isName(name)) return yield* invalid("services", "a name has up to 64 letters, digits, _, - and .")
  if (!isObject(peer)) return yield* invalid("services", `${name} must be an object`)
  const { keys = [], url } = yield* Setting.known(`HttpBroker.services.${name}`, peer, { url: true, keys: true })
  const issue = (url === undefined ? undefined : issueOfUrl(url)) ?? issueOfKeys(keys, isKeyed)
  if (issue !== undefined) return yield* invalid("services", `of ${name}, ${issue}`)
  return [name, { url, keys }] as const
})

const names: Setting.Names<HttpOptions> = {
  services: true,
  path: true,
  answerWithin: true,
  maxRequests: true,
  maxOutgoing: true,
  maxWaiting: true,
  maxOpen: true
}

/** Checks the options. `isKeyed`: each service must have a key. */
export const make = Effect.fnUntraced(function* (
  options: HttpOptions,
  isKeyed: boolean
): Effect.fn.Return<HttpConfig, InvalidSetting> {
  yield* Setting.known("HttpBroker", options, names)
  const { answerWithin = "10 seconds", maxOpen = 256, maxOutgoing = 16 * 1_024 * 1_024 } = options
  const { maxRequests = 32, maxWaiting = 1_024, path = "/saga", services } = options
  if (!isObject(services)) return yield* invalid("services", "it must be an object")
  if (typeof path !== "string" || !/^(?:\/[\w.~-]+)+$/.test(path))
    return yield* invalid("path", "it must be a path such as /saga")
  return {
    services: new Map(yield* Effect.forEach(Object.entries(services), ([name, peer]) => peerOf(name, peer, isKeyed))),
    path,
    answerWithin: yield* Setting.duration("HttpBroker.answerWithin", answerWithin, {
      least: "100 millis",
      most: "5 minutes"
    }),
    maxRequests: yield* Setting.wholeNumber("HttpBroker.maxRequests", maxRequests, { least: 1 }),
    maxOutgoing: yield* Setting.outgoing("HttpBroker.maxOutgoing", maxOutgoing),
    maxWaiting: yield* Setting.wholeNumber("HttpBroker.maxWaiting", maxWaiting, { least: 1 }),
    maxOpen: yield* Setting.wholeNumber("HttpBroker.maxOpen", maxOpen, { least: 1 })
  }
})
