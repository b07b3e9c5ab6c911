import { Effect, Redacted } from "effect"
import { HttpBroker } from "effect-saga/http"
import { BrokerSuite } from "effect-saga/testing/suites"
import { network } from "../../fixtures/http.ts"

const names = ["sender", "orders", ...Array.from({ length: 40 }, (_, i) => `service${i}`)]
const keys = [{ id: "one", secret: Redacted.make("a secret of the tests") }]
const services = Object.fromEntries(names.map((name) => [name, { url: "http://own/saga", keys }]))
let used = 0

/** Sends to itself, through the whole of both sides, but without a socket. */
const layer = network().host("own", HttpBroker.layer({ services, maxWaiting: 400 }))

BrokerSuite.suite("HTTP", layer, {
  excludeTestServices: true,
  serviceName: () => `service${used++}`,
  settle: Effect.repeat(
    Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void))),
    { times: 50 }
  )
})
