/**
 * Says who sent a request (SPEC C12). The default is a signature with a key that two services share: it covers the sender, the
 * receiver, the time and the body. Each line of the response is signed too, so that nobody else can answer. An application with
 * another proof, such as client certificates, brings its own layer.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto"
import { Clock, Context, Effect, Layer, Redacted, Schema } from "effect"
import { isName } from "../../wire/Envelope.ts"
import type { HttpConfig } from "./HttpConfig.ts"
import type { Parties } from "./HttpFormat.ts"

export type Headers = Readonly<Record<string, string | undefined>>

/** Why a request is not read. `clock`: its time is more than five minutes from ours. */
export class HttpRefused extends Schema.TaggedError<HttpRefused>()("HttpRefused", {
  reason: Schema.Literals(["unsigned", "unknown-service", "unknown-key", "clock", "signature", "replayed"])
}) {
  override get message(): string {
    return `The request is refused: ${this.reason}`
  }
}

/** A request that is about to be sent. */
export interface Signed {
  readonly headers: Readonly<Record<string, string>>
  /** The text in a line of the response; undefined where the receiver has not written it. */
  readonly readAnswer: (line: string) => string | undefined
}

/** A request that was received. */
export interface Verified extends Parties {
  /** The line of the response for a text. */
  readonly writeAnswer: (text: string) => string
}

export class HttpAuthentication extends Context.Service<
  HttpAuthentication,
  {
    /** Proves who sends the body. Fails with `unknown-service` where there is no proof for the receiver. */
    readonly sign: (parties: Parties, body: Uint8Array) => Effect.Effect<Signed, HttpRefused>
    /** Looks at the headers first, so that a stranger's body is not read; then at the body. */
    readonly verify: (
      headers: Headers
    ) => Effect.Effect<(body: Uint8Array) => Effect.Effect<Verified, HttpRefused>, HttpRefused>
  }
>()("effect-saga/HttpAuthentication") {}

/** How far the clocks of two services may be apart, and how long a request may be on its way, in milliseconds. */
const tolerance = 300_000

/** Signatures that are remembered, at most: a request that comes a second time is refused within their time. */
const maxSeen = 65_536

const version = "effect-saga-http-1"

const mac = (secret: string, parts: ReadonlyArray<string>): string =>
  createHmac("sha256", secret).update(parts.join("\n")).digest("base64url")

const isSame = (left: string, right: string): boolean => {
  const [a, b] = [Buffer.from(left), Buffer.from(right)]
  return a.length === b.length && timingSafeEqual(a, b)
}

const digestOf = (body: Uint8Array): string => createHash("sha256").update(body).digest("hex")

interface Claim extends Parties {
  readonly key: string
  readonly time: string
}

const signatureOf = (secret: string, { from, key, time, to }: Claim, body: Uint8Array): string =>
  mac(secret, [version, key, from, to, time, digestOf(body)])

const answerOf = (secret: string, signature: string, text: string): string =>
  mac(secret, [version, "answer", signature, text])

/** The claim of the headers; undefined where they have none. */
const claimOf = (headers: Headers): (Claim & { readonly signature: string }) | undefined => {
  const [from, to, key, time, signature] = ["from", "to", "key", "time", "signature"].map((it) => headers[`saga-${it}`])
  if (!isName(from) || !isName(to) || key === undefined || time === undefined || signature === undefined)
    return undefined
  return { from, to, key, time, signature }
}

const refuse = (reason: HttpRefused["reason"]) => Effect.fail(new HttpRefused({ reason }))

const makeHmac = (services: HttpConfig["services"]): HttpAuthentication["Service"] => {
  /** The end of its time for each signature, the oldest first. */
  const seen = new Map<string, number>()

  const isReplayed = (signature: string, now: number): boolean => {
    for (const [old, until] of seen) {
      if (until >= now && seen.size < maxSeen) break
      seen.delete(old)
    }
    if (seen.has(signature)) return true
    seen.set(signature, now + 2 * tolerance)
    return false
  }

  return HttpAuthentication.of({
    sign: Effect.fnUntraced(function* (parties, body) {
      const key = services.get(parties.to)?.keys[0]
      if (key === undefined) return yield* refuse("unknown-service")
      const secret = Redacted.value(key.secret)
      const time = `${yield* Clock.currentTimeMillis}`
      const signature = signatureOf(secret, { ...parties, key: key.id, time }, body)
      return {
        headers: {
          "saga-from": parties.from,
          "saga-to": parties.to,
          "saga-key": key.id,
          "saga-time": time,
          "saga-signature": signature
        },
        readAnswer: (line) => {
          const [proof = "", text] = [line.slice(0, 43), line.slice(44)]
          return isSame(proof, answerOf(secret, signature, text)) ? text : undefined
        }
      }
    }),
    verify: Effect.fnUntraced(function* (headers) {
      const claim = claimOf(headers)
      if (claim === undefined) return yield* refuse("unsigned")
      const peer = services.get(claim.from)
      if (peer === undefined) return yield* refuse("unknown-service")
      const key = peer.keys.find(({ id }) => id === claim.key)
      if (key === undefined) return yield* refuse("unknown-key")
      const secret = Redacted.value(key.secret)
      const now = yield* Clock.currentTimeMillis
      if (!/^\d{1,16}$/.test(claim.time) || Math.abs(now - Number(claim.time)) > tolerance)
        return yield* refuse("clock")
      return (body) =>
        Effect.suspend(() => {
          const { from, signature, to } = claim
          if (!isSame(signature, signatureOf(secret, claim, body))) return refuse("signature")
          // Remembered only now: strangers cannot fill the memory.
          if (isReplayed(signature, now)) return refuse("replayed")
          return Effect.succeed({
            from,
            to,
            writeAnswer: (text: string) => `${answerOf(secret, signature, text)} ${text}`
          })
        })
    })
  })
}

/** Signatures by HMAC-SHA256 with the keys of each service. The first key signs; all are accepted, so that keys can be changed. */
export const layerHmac = (services: HttpConfig["services"]): Layer.Layer<HttpAuthentication> =>
  Layer.sync(HttpAuthentication, () => makeHmac(services))
