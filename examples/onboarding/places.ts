/**
 * Storage and transport: the only file that knows PGlite, Postgres and MQTT. Without settings everything is in the two processes:
 * Postgres in a folder of each, and the MQTT broker in the process of the bank.
 */
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import { PgClient } from "@effect/sql-pg"
import { Config, Effect, Layer, Logger, Option, type Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { EmbeddedBroker } from "effect-saga/aedes"
import { MqttBroker } from "effect-saga/mqtt"
import { PgliteClient } from "effect-saga/pglite"

export type Process = "bank" | "services"

const settings = Config.all({
  /** The folder of the databases, where there is no server. */
  data: Config.withDefault(Config.String("BANK_DATA"), ".data/onboarding"),
  /** A Postgres server. Each process has a schema of its own there, as it would have a database. */
  pg: Config.option(Config.Redacted("BANK_PG_URL")),
  /** An MQTT 5 broker, such as Mosquitto. */
  mqtt: Config.option(Config.String("BANK_MQTT_URL")),
  /** The port of the broker in the process of the bank. */
  mqttPort: Config.withDefault(Config.Port("BANK_MQTT_PORT"), 1884)
})

/** The port of the routes. */
export const port = Config.withDefault(Config.Port("BANK_PORT"), 8080)

const onServer = (url: Redacted.Redacted, process: Process) => {
  const client = (schema?: string) =>
    PgClient.layer({
      url,
      connectTimeout: "5 seconds",
      ...(schema !== undefined && { startupParameters: { search_path: schema } })
    })
  const schema = `onboarding_${process}`
  const made = SqlClient.SqlClient.use((sql) => sql`create schema if not exists ${sql(schema)}`)
  return Layer.unwrap(Effect.as(Effect.provide(made, client()), client(schema)))
}

export const database = (process: Process) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { data, pg } = yield* settings
      return Option.isSome(pg) ? onServer(pg.value, process) : PgliteClient.layer({ folder: join(data, process) })
    })
  )

/** On a server each process has a client id of its own, as any number of them may run. */
export const broker = (process: Process) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { mqtt, mqttPort } = yield* settings
      if (Option.isSome(mqtt)) return MqttBroker.layer({ url: mqtt.value })
      const url = `mqtt://127.0.0.1:${mqttPort}`
      // There is one of each. With the same id at every start the broker keeps messages while it starts again.
      const client = MqttBroker.layer({ url, protocol: 4, clientId: `onboarding.${process}` })
      return process === "bank" ? Layer.provide(client, EmbeddedBroker.layer({ port: mqttPort })) : client
    })
  )

/** The log goes to a file, as the screen is for what happens. An error that ends the process is on the screen. */
export const logs = (process: Process) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { data } = yield* settings
      yield* Effect.sync(() => mkdirSync(data, { recursive: true }))
      return Logger.layer([Logger.toFile(Logger.formatLogFmt, join(data, `${process}.log`))])
    })
  ).pipe(Layer.provide(NodeFileSystem.layer))
