/** One request to a service, and the outcomes that its response says. */
import { Effect, Schema, Stream } from "effect"
import {
  type HttpClient as Client,
  HttpBody,
  HttpClient,
  HttpClientRequest,
  type HttpClientResponse
} from "effect/http"
import type { HttpAuthentication } from "./HttpAuthentication.ts"
import * as HttpFormat from "./HttpFormat.ts"

/** The request could not be made, or no saga service has answered it. */
export class HttpFailed extends Schema.TaggedError<HttpFailed>()("HttpFailed", {
  reason: Schema.String,
  /** Milliseconds that the receiver asks to wait. */
  rest: Schema.optionalKey(Schema.Number)
}) {}

/** The longest wait that a receiver may ask for, in milliseconds. */
const longestRest = 60_000

const restOf = ({ headers }: HttpClientResponse.HttpClientResponse): number | undefined => {
  const seconds = headers["retry-after"]
  return seconds !== undefined && /^\d{1,6}$/.test(seconds) ? Math.min(Number(seconds) * 1_000, longestRest) : undefined
}

/** The lines of a response, as they come. More than its messages can have end it. */
const linesOf = (
  response: HttpClientResponse.HttpClientResponse,
  messages: number
): Stream.Stream<string, HttpFailed> => {
  let bytes = 0
  return response.stream.pipe(
    Stream.mapError(() => new HttpFailed({ reason: "cut" })),
    Stream.tap((chunk) => {
      bytes += chunk.length
      return bytes > messages * HttpFormat.maxRequestBytes
        ? Effect.fail(new HttpFailed({ reason: "too-long" }))
        : Effect.void
    }),
    Stream.decodeText,
    Stream.splitLines
  )
}

export interface HttpRequestOptions extends HttpFormat.Parties {
  readonly url: string
  /** The messages, a line each. */
  readonly lines: ReadonlyArray<string>
  /** Milliseconds without a line of the response after which the request is given up. */
  readonly patience: number
  /** Called for each outcome as it comes. */
  readonly onOutcome: (outcome: HttpFormat.Outcome) => Effect.Effect<void>
}

/**
 * Sends messages. Succeeds when the response has ended; messages without an outcome were not taken. Fails where no outcome came.
 */
export const send = Effect.fnUntraced(function* (
  client: Client.HttpClient,
  authentication: HttpAuthentication["Service"],
  { from, lines, onOutcome, patience, to, url }: HttpRequestOptions
): Effect.fn.Return<void, HttpFailed> {
  const body = new TextEncoder().encode(`${lines.join("\n")}\n`)
  const { headers, readAnswer } = yield* Effect.mapError(
    authentication.sign({ from, to }, body),
    ({ reason }) => new HttpFailed({ reason })
  )
  const response = yield* HttpClientRequest.post(url).pipe(
    HttpClientRequest.setHeaders(headers),
    HttpClientRequest.setBody(HttpBody.uint8Array(body, HttpFormat.contentType)),
    client.execute,
    // The trace of a message is in its envelope.
    Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
    Effect.timeout(patience),
    Effect.mapError(({ _tag }) => new HttpFailed({ reason: _tag === "TimeoutError" ? "silent" : "unreachable" }))
  )
  const isOurs = (response.headers["content-type"] ?? "").startsWith(HttpFormat.contentType)
  if (!isOurs) {
    const rest = restOf(response)
    return yield* new HttpFailed({ reason: `status ${response.status}`, ...(rest !== undefined && { rest }) })
  }
  let outcomes = 0
  yield* linesOf(response, lines.length).pipe(
    Stream.runForEach((line) => {
      const text = readAnswer(line)
      const outcome = text === undefined ? undefined : HttpFormat.readOutcomeOf(text)
      if (outcome === undefined || outcome.n < 0 || outcome.n >= lines.length)
        return Effect.fail(new HttpFailed({ reason: "forged" }))
      outcomes++
      return onOutcome(outcome)
    }),
    Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.fail(new HttpFailed({ reason: "silent" })) }),
    Effect.catch((failed) => (outcomes > 0 ? Effect.void : Effect.fail(failed)))
  )
})
