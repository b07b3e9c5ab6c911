/** Where things are kept and how messages travel: the only file that knows of PGlite, Postgres and MQTT. */
import { cpSync, existsSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Logger, Redacted, Schema } from "effect"
import { MqttBroker } from "effect-saga/mqtt"
import { PgliteClient } from "effect-saga/pglite"

export const Places = Schema.Struct({
  /** A folder for the databases, unless there is a server, and for what services log. */
  data: Schema.String,
  pg: Schema.optionalKey(Schema.String),
  mqtt: Schema.String,
  /** 4 for the broker of this example, which speaks MQTT 3.1.1. */
  protocol: Schema.Literals([4, 5])
})
export type Places = typeof Places.Type

export const services = ["orders", "payments", "shipping"] as const
export const Service = Schema.Literals(services)
export type Service = typeof Service.Type

/** On a server each service has a schema of its own, which it finds without naming it. */
export const server = (url: string, service?: Service) =>
  PgClient.layer({
    url: Redacted.make(url),
    connectTimeout: "5 seconds",
    ...(service !== undefined && { startupParameters: { search_path: service } })
  })

export const database = (service: Service, { data, pg }: Places) =>
  pg === undefined ? PgliteClient.layer({ folder: join(data, service) }) : server(pg, service)

/** The same client at every start: the broker keeps for it what arrives while it is down. */
export const broker = (service: Service, { mqtt, protocol }: Places) => {
  const url = new URL(mqtt)
  const { password, username } = url
  url.username = ""
  url.password = ""
  return MqttBroker.layer({
    url: url.href,
    protocol,
    clientId: `order-example.${service}`,
    ...(username !== "" && { username: decodeURIComponent(username) }),
    ...(password !== "" && { password: Redacted.make(decodeURIComponent(password)) })
  })
}

/** Makes the folders of the databases. That takes seconds for one; copying it does not. */
export const prepare = Effect.fnUntraced(function* ({ data, pg }: Places) {
  const [first, ...others] = services.map((service) => join(data, service)).filter((folder) => !existsSync(folder))
  if (pg !== undefined || first === undefined) return
  yield* Effect.scoped(Layer.build(PgliteClient.layer({ folder: first })))
  yield* Effect.sync(() => {
    for (const folder of others) {
      rmSync(`${folder}.new`, { recursive: true, force: true })
      cpSync(first, `${folder}.new`, { recursive: true })
      renameSync(`${folder}.new`, folder)
    }
  })
})

/** The screen is for the orders: what the library has to say goes to a file. */
export const logs = ({ data }: Places) => Logger.layer([Logger.toFile(Logger.formatLogFmt, join(data, "log"))])

/** Forgets it all. */
export const remove = (data: string) => {
  for (const name of [...services, "log"]) rmSync(join(data, name), { recursive: true, force: true })
}
