/**
 * The `Broker` over HTTP, for services without a message broker. A message is a `POST` to the URL of its service, signed with a key
 * that the two share; the service takes it with a route on the router of its own application. Its answer leaves with the response
 * if it is there in time, else in a request of its own.
 */
import { Context, Effect, Layer, type Scope } from "effect"
import { HttpClient, HttpRouter } from "effect/http"
import * as Broker from "../../ports/Broker.ts"
import { FaultPoint } from "../../ports/FaultPoint.ts"
import * as MemoryBroker from "../../ports/MemoryBroker.ts"
import type { InvalidSetting } from "../../ports/Setting.ts"
import * as HttpAuthentication from "./HttpAuthentication.ts"
import * as HttpConfig from "./HttpConfig.ts"
import * as HttpIncoming from "./HttpIncoming.ts"
import * as HttpOutgoing from "./HttpOutgoing.ts"
import * as HttpRoute from "./HttpRoute.ts"

export { HttpAuthentication, HttpRefused, type Signed, type Verified } from "./HttpAuthentication.ts"
export type { HttpKey, HttpOptions, HttpPeer } from "./HttpConfig.ts"
export type { Parties } from "./HttpFormat.ts"

/** How long a process that stops waits for its last messages to leave. */
const farewell = "500 millis"

const make = Effect.fnUntraced(function* (
  settings: HttpConfig.HttpConfig
): Effect.fn.Return<
  Broker.Broker["Service"],
  InvalidSetting,
  HttpAuthentication.HttpAuthentication | HttpClient.HttpClient | HttpRouter.HttpRouter | Scope.Scope
> {
  const authentication = yield* HttpAuthentication.HttpAuthentication
  const client = yield* HttpClient.HttpClient
  const router = yield* HttpRouter.HttpRouter
  const local = Context.get(
    yield* Layer.build(MemoryBroker.layerMemoryWith({ capacity: settings.maxWaiting })),
    Broker.Broker
  )
  const incoming = HttpIncoming.make(local, {
    answerWithin: settings.answerWithin,
    unclaimed: (message) => void outgoing.offer(message)
  })
  const outgoing = yield* HttpOutgoing.make({
    authentication,
    client,
    settings,
    // Lost where too many wait: it comes again, because its request is sent until it is answered.
    take: (message) => Effect.ignore(incoming.deliver(message))
  })
  yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeoutOption(outgoing.empty, farewell)))
  yield* router.add("POST", settings.path, HttpRoute.make(incoming, authentication, settings.maxOpen))

  const isLocal = ({ kind, to }: Broker.Address): boolean =>
    settings.services.get(to)?.url === undefined && incoming.serves(to, kind)

  return Broker.Broker.of({
    publish: (message) =>
      FaultPoint.around("publish", () => {
        if (incoming.answer(message)) return Effect.void
        return isLocal(message.address) ? incoming.deliver(message) : outgoing.offer(message)
      }),
    mayRepeat: (address) => isLocal(address) || outgoing.mayRepeat(address),
    isUnheard: (service) =>
      settings.services.get(service)?.url === undefined
        ? !incoming.serves(service, "command")
        : outgoing.isUnheard(service),
    subscribe: incoming.subscribe
  })
})

type Requirements = HttpClient.HttpClient | HttpRouter.HttpRouter

/**
 * Messages over HTTP, signed with the keys of `services`. It adds a route to the router of the application, and sends with its HTTP
 * client. Options that cannot be used are `InvalidSetting`.
 *
 * @example
 * ```ts
 * const BrokerLive = HttpBroker.layer({
 *   services: { payments: { url: "https://payments.example/saga", keys: [{ id: "2026-11", secret }] } }
 * })
 * ```
 */
export const layer = (options: HttpConfig.HttpOptions): Layer.Layer<Broker.Broker, InvalidSetting, Requirements> =>
  Layer.effect(
    Broker.Broker,
    Effect.gen(function* () {
      const settings = yield* HttpConfig.make(options, true)
      return yield* Effect.provide(make(settings), HttpAuthentication.layerHmac(settings.services))
    })
  )

/** `layer` with an authentication of the application, such as client certificates, instead of keys. */
export const layerAuthenticated = (
  options: HttpConfig.HttpOptions
): Layer.Layer<Broker.Broker, InvalidSetting, Requirements | HttpAuthentication.HttpAuthentication> =>
  Layer.effect(Broker.Broker, Effect.flatMap(HttpConfig.make(options, false), make))
