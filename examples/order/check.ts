/** Checks everything that a run needs before anything is started. A missing thing is one line, with the way to mend it. */
import { randomUUID } from "node:crypto"
import { accessSync, constants, mkdirSync } from "node:fs"
import { connect } from "@nats-io/transport-node"
import { Effect, Option } from "effect"
import { SqlClient } from "effect/sql"
import { EmbeddedBroker } from "effect-saga/aedes"
import { connectAsync } from "mqtt"
import * as File from "./file.ts"
import * as Look from "./look.ts"
import { NotReady } from "./not-ready.ts"
import { type Places, server } from "./places.ts"
import { services, Transport } from "./transports.ts"

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : String(cause)

/** Makes the folder if it does not exist. */
const folder = (path: string) =>
  Effect.try({
    try: () => {
      mkdirSync(path, { recursive: true })
      accessSync(path, constants.W_OK)
    },
    catch: (cause) =>
      new NotReady({
        problem: `The folder ${path} cannot be written (${codeOf(cause)})`,
        mend: "name another one with --data FOLDER"
      })
  })

/** The address without its password. */
const shown = ({ host, protocol }: URL) => `${protocol}//${host}`

const address = (url: string, flag: string, protocols: ReadonlyArray<string>) =>
  URL.canParse(url) && protocols.includes(new URL(url).protocol)
    ? Effect.succeed(new URL(url))
    : Effect.fail(
        new NotReady({
          problem: `${flag} ${URL.canParse(url) ? shown(new URL(url)) : url} is no address`,
          mend: `write it as ${protocols[0]}//HOST:PORT${flag === "--pg" ? "/DATABASE" : ""}`
        })
      )

/** Makes the schemas of the services if they do not exist. */
const postgres = Effect.fnUntraced(function* (url: string, schemas: ReadonlyArray<string>) {
  const at = yield* address(url, "--pg", ["postgres:", "postgresql:"])
  yield* SqlClient.SqlClient.use((sql) =>
    Effect.forEach(schemas, (schema) => sql`create schema if not exists ${sql(schema)}`)
  ).pipe(
    Effect.provide(server(url)),
    Effect.mapError(
      (error) =>
        new NotReady({
          problem: `Postgres at ${shown(at)} cannot be used (${error.message.split("\n")[0]})`,
          mend: "start it, or give another address with --pg URL, or leave that out for one without a server"
        })
    )
  )
})

const mqttBroker = Effect.fnUntraced(function* (url: string) {
  const at = yield* address(url, "--mqtt", ["mqtt:", "mqtts:", "ws:", "wss:"])
  yield* Effect.tryPromise({
    try: async () => {
      const client = await connectAsync(url, { protocolVersion: 5, connectTimeout: 5_000, reconnectPeriod: 0 }, false)
      await client.endAsync()
    },
    catch: (cause) =>
      new NotReady({
        problem: `The MQTT broker at ${shown(at)} cannot be used (${codeOf(cause)})`,
        mend: "start it, or give another address with --mqtt URL, or leave that out for one without a server"
      })
  })
})

const natsServer = Effect.fnUntraced(function* (url: string) {
  const at = yield* address(url, "--nats", ["nats:", "tls:"])
  const { password, username } = at
  yield* Effect.tryPromise({
    try: async () => {
      const identity = username === "" ? {} : { user: decodeURIComponent(username), pass: decodeURIComponent(password) }
      const client = await connect({ servers: at.host, reconnect: false, timeout: 5_000, ...identity })
      await client.close()
    },
    catch: (cause) =>
      new NotReady({
        problem: `The NATS server at ${shown(at)} cannot be used (${codeOf(cause)})`,
        mend: "start it, or give another address with --nats URL, or leave that out for a broker without a server"
      })
  })
})

/** A broker in this process, and its address. */
const embedded = (port: number) =>
  EmbeddedBroker.make({ port }).pipe(
    Effect.map(({ url }) => url),
    Effect.mapError(
      ({ cause }) =>
        new NotReady({
          problem: `The port ${port} cannot be used (${codeOf(cause)})`,
          mend: "name another one with --port N, or leave that out for any that is free"
        })
    )
  )

/** The options of a run from the command line. */
export interface Given {
  readonly orders: string
  readonly data: Option.Option<string>
  readonly pg: Option.Option<string>
  readonly mqtt: Option.Option<string>
  readonly nats: Option.Option<string>
  readonly http: boolean
  readonly namespace: Option.Option<string>
  readonly port: number
  readonly dashboard?: boolean
}

/** One way to reach each other. Without an option for it, over a broker in this process. */
const transport = Effect.fnUntraced(function* ({ http, mqtt, namespace: before, nats, port }: Given) {
  const flags = [http && "--http", Option.isSome(mqtt) && "--mqtt", Option.isSome(nats) && "--nats"].filter(
    (flag) => flag !== false
  )
  if (flags.length > 1) {
    const problem = `${flags.join(" and ")} are ${flags.length} ways for the messages`
    return yield* new NotReady({ problem, mend: "give one of them" })
  }
  const namespace = Option.isSome(before) ? { namespace: before.value } : {}
  if (Option.isSome(mqtt)) {
    yield* mqttBroker(mqtt.value)
    return Transport.make({ _tag: "Mqtt", url: mqtt.value, protocol: 5, ...namespace })
  }
  if (Option.isSome(nats)) {
    yield* natsServer(nats.value)
    return Transport.make({ _tag: "Nats", url: nats.value, ...namespace })
  }
  if (!http) return Transport.make({ _tag: "Mqtt", url: yield* embedded(port), protocol: 4, ...namespace })
  if (Option.isSome(before)) {
    const problem = "--namespace goes before topics, and --http has none"
    return yield* new NotReady({ problem, mend: "leave one of them out" })
  }
  const ports = { orders: yield* Look.freePort, payments: yield* Look.freePort, shipping: yield* Look.freePort }
  return Transport.make({ _tag: "Http", ports, secret: randomUUID() })
})

/** The orders, and the places to run them in. */
export const ready = Effect.fnUntraced(function* (given: Given) {
  const { dashboard, data, orders, pg } = given
  const list = yield* File.read(orders)
  const path = Option.getOrElse(data, () => ".data")
  yield* folder(path)
  if (Option.isSome(pg)) yield* postgres(pg.value, services)
  const places: Places = {
    data: path,
    ...(Option.isSome(pg) && { pg: pg.value }),
    ...(dashboard === true && { dashboard: yield* Look.address }),
    transport: yield* transport(given)
  }
  return { list, places }
})
