/** The route that takes messages: one `POST`, whose sender is known before its body is read. */
import { Effect, Metric, Option, Schema, Stream } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import type { HttpAuthentication, Verified } from "./HttpAuthentication.ts"
import * as HttpFormat from "./HttpFormat.ts"
import type { HttpIncoming } from "./HttpIncoming.ts"

/** Counts requests that were not read, by reason. */
export const unread = Metric.counter("effect_saga_http_unread_total", {
  description: "Requests with messages that were not read, by reason",
  incremental: true
})

/** How long a body may take. */
const bodyWithin = "10 seconds"

/** A request whose messages are not read. */
class Unread extends Schema.TaggedError<Unread>()("Unread", {
  status: Schema.Literals([400, 401, 408, 413, 503]),
  reason: Schema.String
}) {}

const readBody = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<Uint8Array, Unread> =>
  Effect.gen(function* () {
    const tooLarge = new Unread({ status: 413, reason: "too-large" })
    if (Number(request.headers["content-length"] ?? 0) > HttpFormat.maxRequestBytes) return yield* tooLarge
    const chunks: Array<Uint8Array> = []
    let bytes = 0
    yield* request.stream.pipe(
      Stream.mapError(() => new Unread({ status: 400, reason: "cut" })),
      Stream.runForEach((chunk) => {
        chunks.push(chunk)
        bytes += chunk.length
        return bytes > HttpFormat.maxRequestBytes ? Effect.fail(tooLarge) : Effect.void
      })
    )
    return Buffer.concat(chunks)
  }).pipe(
    Effect.timeoutOrElse({
      duration: bodyWithin,
      orElse: () => Effect.fail(new Unread({ status: 408, reason: "slow" }))
    })
  )

/** Text of bytes that are UTF-8; nothing for others. */
const textOf = Option.liftThrowable((bytes: Uint8Array) =>
  new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
)

type Taken = readonly [text: string, status: HttpFormat.Outcome["status"]]

/** The outcome of one message of a request. */
const takeOne = (
  incoming: HttpIncoming,
  verified: Verified,
  sent: HttpFormat.SentMessage | undefined,
  n: number
): Effect.Effect<Taken> => {
  const message = sent === undefined ? undefined : HttpFormat.addressed(sent, verified)
  if (message === undefined) return Effect.succeed([verified.writeAnswer(HttpFormat.outcomeOf(n, 400, [])), 400])
  return Effect.map(incoming.take(message, sent?.again === true), ({ messages, status }) => [
    verified.writeAnswer(HttpFormat.outcomeOf(n, status, messages)),
    status
  ])
}

const retryAfter = { "retry-after": "1" }

/** A single outcome is also the status of the response. Of several, each is written as soon as it is known. */
const respond = (
  incoming: HttpIncoming,
  verified: Verified,
  sent: ReadonlyArray<HttpFormat.SentMessage | undefined>
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  const { contentType } = HttpFormat
  if (sent.length === 1)
    return Effect.map(takeOne(incoming, verified, sent[0], 0), ([line, status]) =>
      HttpServerResponse.text(`${line}\n`, {
        status,
        contentType,
        ...(status === 503 && { headers: retryAfter })
      })
    )
  const lines = Stream.fromIterable(sent.entries()).pipe(
    Stream.mapEffect(([n, message]) => takeOne(incoming, verified, message, n), {
      concurrency: "unbounded",
      unordered: true
    }),
    Stream.map(([line]) => `${line}\n`),
    Stream.encodeText
  )
  return Effect.succeed(HttpServerResponse.stream(lines, { contentType }))
}

/** Answers requests with messages; at most `maxOpen` at the same time. */
export const make = (
  incoming: HttpIncoming,
  authentication: HttpAuthentication["Service"],
  maxOpen: number
): ((request: HttpServerRequest.HttpServerRequest) => Effect.Effect<HttpServerResponse.HttpServerResponse>) => {
  let open = 0
  const handle = Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
    if (open > maxOpen) return yield* new Unread({ status: 503, reason: "busy" })
    const refused = ({ reason }: { readonly reason: string }) => new Unread({ status: 401, reason })
    const verify = yield* Effect.mapError(authentication.verify(request.headers), refused)
    const body = yield* readBody(request)
    const verified = yield* Effect.mapError(verify(body), refused)
    const sent = HttpFormat.readRequest(Option.getOrElse(textOf(body), () => ""))
    if (sent === undefined) return yield* new Unread({ status: 400, reason: "malformed" })
    return yield* respond(incoming, verified, sent)
  })
  return (request) =>
    Effect.suspend(() => {
      open++
      return Effect.ensuring(
        Effect.catchTag(handle(request), "Unread", ({ reason, status }) =>
          Effect.as(
            Metric.update(Metric.withAttributes(unread, { reason }), 1),
            HttpServerResponse.text(`${reason}\n`, { status, ...(status === 503 && { headers: retryAfter }) })
          )
        ),
        Effect.sync(() => open--)
      )
    })
}
