/**
 * Messages on their way to other services, in memory. Those of one sender to one receiver share requests. What could not be handed
 * over is sent again, until it is too old: a stored message comes again by itself until it is answered.
 */
import { Cause, Clock, Effect, Exit, FiberSet, Metric, MutableList, Option, type Scope } from "effect"
import type { HttpClient } from "effect/http"
import * as Broker from "../../ports/Broker.ts"
import type { HttpAuthentication } from "./HttpAuthentication.ts"
import type { HttpConfig } from "./HttpConfig.ts"
import * as HttpFormat from "./HttpFormat.ts"
import * as HttpRequest from "./HttpRequest.ts"

/** Counts messages that were given up, by reason and by the service that they were for. */
export const refused = Metric.counter("effect_saga_http_refused_total", {
  description: "Messages that could not be handed to their service over HTTP, by reason and service",
  incremental: true
})

/** Bytes of the messages in one request, at most, but for a single larger one. */
const maxBatchBytes = HttpFormat.maxRequestBytes / 2

/** Milliseconds after which a message is no longer kept here. */
const kept = 60_000

/** Milliseconds after a request that has failed: doubled each time. */
const rest = { least: 100, most: 30_000 }

/** Milliseconds that a response may be late. */
const patience = 20_000

/** About how much memory a message takes besides its text, in bytes. */
const overhead = 256

const defect = new HttpRequest.HttpFailed({ reason: "defect" })

interface OutgoingMessage {
  line: string
  /** Undefined for one that came while its service was reached. */
  readonly key: string | undefined
  readonly bytes: number
  /** In milliseconds, by the monotonic clock. */
  readonly since: number
}

/** The messages from one sender to one receiver. */
interface Lane extends HttpFormat.Parties {
  readonly url: string
  readonly waiting: MutableList.MutableList<OutgoingMessage>
  inFlight: number
  /** Requests that have failed since the last one that did not. */
  failures: number
  restsUntil: number
  isWaking: boolean
}

export interface HttpOutgoing {
  readonly offer: (message: Broker.Message) => Exit.Exit<void, Broker.BrokerError>
  readonly mayRepeat: (address: Broker.Address) => boolean
  /** Whether the last request to the service has failed. */
  readonly isUnheard: (service: string) => boolean
  /** Waits until no message waits for a service that can be reached. */
  readonly empty: Effect.Effect<void>
}

export interface HttpOutgoingOptions {
  readonly settings: HttpConfig
  readonly authentication: HttpAuthentication["Service"]
  readonly client: HttpClient.HttpClient
  /** Takes a message that a response has brought. */
  readonly take: (message: Broker.Message) => Effect.Effect<void>
}

export const make = Effect.fnUntraced(function* ({
  authentication,
  client,
  settings,
  take
}: HttpOutgoingOptions): Effect.fn.Return<HttpOutgoing, never, Scope.Scope> {
  const fork = yield* FiberSet.makeRuntime<never>()
  const clock = yield* Clock.Clock
  const lanes = new Map<string, Lane>()
  /** Messages for services that are not reached: the same one is not added twice. */
  const known = new Set<string>()
  const idle = new Set<() => void>()
  const logged = new Set<string>()
  let bytes = 0

  const now = (): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

  const done = (outgoing: OutgoingMessage): void => {
    if (outgoing.key !== undefined) known.delete(outgoing.key)
    bytes -= outgoing.bytes
    if (bytes === 0) for (const resume of [...idle]) resume()
  }

  /** Logged when it begins: what follows tells nothing new. */
  const warn = (service: string, text: string, reason: string): void => {
    const key = `${service} ${text} ${reason}`
    if (logged.has(key)) return
    logged.add(key)
    fork(Effect.logWarning(text, { service, reason }))
  }

  const drop = (lane: Lane, outgoing: OutgoingMessage, reason: string): void => {
    done(outgoing)
    fork(Metric.update(Metric.withAttributes(refused, { reason, service: lane.to }), 1))
    if (reason !== "old") warn(lane.to, "A service does not take a message", reason)
  }

  const takeBatch = (lane: Lane): ReadonlyArray<OutgoingMessage> => {
    const batch: Array<OutgoingMessage> = []
    // One message finds out whether a service that has failed is there again.
    const most = lane.failures > 0 ? 1 : HttpFormat.maxMessages
    let size = 0
    while (batch.length < most) {
      const [next] = MutableList.takeN(lane.waiting, 1)
      if (next === undefined) break
      if (now() - next.since > kept) {
        drop(lane, next, "old")
        continue
      }
      if (batch.length > 0 && size + next.bytes > maxBatchBytes) {
        MutableList.prepend(lane.waiting, next)
        break
      }
      size += next.bytes
      batch.push(next)
    }
    return batch
  }

  const pump = (lane: Lane): void => {
    while (lane.waiting.length > 0 && now() >= lane.restsUntil) {
      if (lane.inFlight >= (lane.failures > 0 ? 1 : settings.maxRequests)) return
      const batch = takeBatch(lane)
      if (batch.length === 0) return
      lane.inFlight++
      fork(exchange(lane, batch)).addObserver(() => {
        lane.inFlight--
        pump(lane)
      })
    }
  }

  /** Messages of the same moment leave together. */
  const wake = (lane: Lane): void => {
    if (lane.isWaking) return
    lane.isWaking = true
    queueMicrotask(() => {
      lane.isWaking = false
      pump(lane)
    })
  }

  const pause = (lane: Lane, millis: number): void => {
    lane.restsUntil = now() + millis
    fork(
      Effect.andThen(
        Effect.sleep(millis),
        Effect.sync(() => pump(lane))
      )
    )
  }

  /** Messages that were not taken go to the front, and leave again after a while. */
  const keep = (lane: Lane, left: Iterable<OutgoingMessage>, millis: number): void => {
    for (const outgoing of [...left].reverse()) {
      outgoing.line = HttpFormat.lineAgain(outgoing.line)
      MutableList.prepend(lane.waiting, outgoing)
    }
    pause(lane, millis)
  }

  const failed = (
    lane: Lane,
    batch: ReadonlyArray<OutgoingMessage>,
    { reason, rest: wanted }: HttpRequest.HttpFailed
  ) => {
    if (reason === "status 413" && batch.length === 1) return drop(lane, batch[0]!, "too-large")
    lane.failures++
    warn(lane.to, "A service cannot be reached over HTTP", reason)
    keep(lane, batch, wanted ?? Math.min(rest.least * 2 ** Math.min(lane.failures - 1, 16), rest.most))
  }

  /** Sends a batch. What was not taken waits for the next request. */
  const exchange = (lane: Lane, batch: ReadonlyArray<OutgoingMessage>): Effect.Effect<void> => {
    const left = new Set(batch)
    const onOutcome = ({ messages, n, status }: HttpFormat.Outcome): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (lane.failures > 0) logged.clear()
        lane.failures = 0
        const outgoing = batch[n]!
        if ((status === 200 || status === 202 || status === 400) && left.delete(outgoing)) {
          if (status === 400) drop(lane, outgoing, "refused")
          else done(outgoing)
        }
        const parties = { from: lane.to, to: lane.from }
        const answers = messages.flatMap((message) => HttpFormat.addressed(message, parties) ?? [])
        return Effect.forEach(answers, take, { discard: true })
      })
    const request = HttpRequest.send(client, authentication, {
      from: lane.from,
      to: lane.to,
      url: lane.url,
      lines: batch.map(({ line }) => line),
      patience: settings.answerWithin + patience,
      onOutcome
    })
    return Effect.map(Effect.exit(request), (exit) => {
      if (Exit.isSuccess(exit)) {
        if (left.size > 0) keep(lane, left, rest.least)
      } else
        failed(
          lane,
          [...left],
          Option.getOrElse(Cause.findErrorOption(exit.cause), () => defect)
        )
    })
  }

  const laneOf = ({ from, to }: HttpFormat.Parties, url: string): Lane => {
    const key = `${from} ${to}`
    const lane = lanes.get(key) ?? {
      from,
      to,
      url,
      waiting: MutableList.make<OutgoingMessage>(),
      inFlight: 0,
      failures: 0,
      restsUntil: 0,
      isWaking: false
    }
    lanes.set(key, lane)
    return lane
  }

  const refusal = (reason: Broker.BrokerError["reason"], issue?: string) =>
    Exit.fail(new Broker.BrokerError({ operation: "publish", reason, ...(issue !== undefined && { issue }) }))

  return {
    offer: (message) => {
      const { address, body } = message
      const topic = Broker.topic(address)
      if (!Broker.isAddress(address) || Broker.sizeOf(body) > Broker.maxMessageBytes) return refusal("rejected")
      const url = settings.services.get(address.to)?.url
      if (url === undefined) return refusal("rejected", `no URL is set for the service ${address.to}`)
      const lane = laneOf(address, url)
      const key = lane.failures > 0 ? `${topic} ${body}` : undefined
      if (key !== undefined && known.has(key)) return Exit.void
      const line = HttpFormat.lineOf(message)
      const size = 2 * line.length + overhead
      if (bytes + size > settings.maxOutgoing) return refusal(lane.failures > 0 ? "unavailable" : "full")
      if (key !== undefined) known.add(key)
      bytes += size
      MutableList.append(lane.waiting, { line, key, bytes: size, since: now() })
      wake(lane)
      return Exit.void
    },
    mayRepeat: ({ from, to }) => {
      const lane = lanes.get(`${from} ${to}`)
      return lane === undefined || lane.failures === 0 || (lane.waiting.length === 0 && now() >= lane.restsUntil)
    },
    isUnheard: (service) => Array.from(lanes.values()).some(({ failures, to }) => to === service && failures > 0),
    empty: Effect.callback<void>((resume) => {
      const isWaiting = Array.from(lanes.values()).some(
        ({ failures, inFlight, waiting }) => failures === 0 && inFlight + waiting.length > 0
      )
      if (!isWaiting) return resume(Effect.void)
      const ready = () => resume(Effect.void)
      idle.add(ready)
      return Effect.sync(() => idle.delete(ready))
    })
  }
})
