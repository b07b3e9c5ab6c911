/** How the services reach each other: the only file that knows MQTT, NATS and HTTP. */
import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import { Layer, Redacted, Schema } from "effect"
import { FetchHttpClient, HttpRouter } from "effect/http"
import { HttpBroker } from "effect-saga/http"
import { MqttBroker } from "effect-saga/mqtt"
import { NatsBroker } from "effect-saga/nats"

export const services = ["orders", "payments", "shipping"] as const
export const Service = Schema.Literals(services)
export type Service = typeof Service.Type

/** Before every topic, where others use the broker too. */
const namespace = Schema.optionalKey(Schema.String)

export const Transport = Schema.TaggedUnion({
  /** 4 (MQTT 3.1.1) for the broker of this example. */
  Mqtt: { url: Schema.String, protocol: Schema.Literals([4, 5]), namespace },
  Nats: { url: Schema.String, namespace },
  /** No broker: each service listens on a port of this machine, and each two of them share a secret made of this one. */
  Http: {
    ports: Schema.Struct({ orders: Schema.Int, payments: Schema.Int, shipping: Schema.Int }),
    secret: Schema.String
  }
})
export type Transport = typeof Transport.Type

const topics = ({ namespace, url: text }: { readonly url: string; readonly namespace?: string }) => {
  const url = new URL(text)
  const { password, username } = url
  url.username = ""
  url.password = ""
  return {
    url: url.href,
    ...(namespace !== undefined && { namespace }),
    ...(username !== "" && { username: decodeURIComponent(username) }),
    ...(password !== "" && { password: Redacted.make(decodeURIComponent(password)) })
  }
}

/** Answers leave with the response to their command, so participants need no address of the orchestrator. */
const http = (service: Service, { ports, secret }: Transport & { readonly _tag: "Http" }) => {
  const peers = service === "orders" ? (["payments", "shipping"] as const) : (["orders"] as const)
  const peer = (name: Service) => ({
    keys: [{ id: "this-run", secret: Redacted.make(`${secret} of ${[service, name].sort().join(" and ")}`) }],
    ...(name !== "orders" && { url: `http://127.0.0.1:${ports[name]}/saga` })
  })
  const broker = HttpBroker.layer({ services: Object.fromEntries(peers.map((name) => [name, peer(name)])) })
  return HttpRouter.serve(broker, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide([
      NodeHttpServer.layer(() => createServer(), { port: ports[service], host: "127.0.0.1" }),
      FetchHttpClient.layer
    ])
  )
}

/** With MQTT the client id is the same at every start: the broker keeps messages for it while the service starts again. */
export const broker = (service: Service, transport: Transport) => {
  switch (transport._tag) {
    case "Mqtt":
      return MqttBroker.layer({
        ...topics(transport),
        protocol: transport.protocol,
        clientId: `order-example.${service}`
      })
    case "Nats":
      return NatsBroker.layer(topics(transport))
    case "Http":
      return http(service, transport)
  }
}
