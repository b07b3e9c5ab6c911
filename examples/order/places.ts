/** Where a run has its data: the only file that knows PGlite and Postgres. */
import { cpSync, existsSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Logger, Redacted, Schema } from "effect"
import { PgliteClient } from "effect-saga/pglite"
import { type Service, services, Transport } from "./transports.ts"

export const Places = Schema.Struct({
  /** The folder for the logs of the services, and for the databases if there is no server. */
  data: Schema.String,
  pg: Schema.optionalKey(Schema.String),
  transport: Transport,
  /** Where the orchestrator serves its dashboard, and the token for it: the same after a crash. */
  dashboard: Schema.optionalKey(Schema.Struct({ port: Schema.Int, token: Schema.String }))
})
export type Places = typeof Places.Type

/** On a server each service has a schema of its own, which is the default schema of its connection. */
export const server = (url: string, service?: Service) =>
  PgClient.layer({
    url: Redacted.make(url),
    connectTimeout: "5 seconds",
    ...(service !== undefined && { startupParameters: { search_path: service } })
  })

export const database = (service: Service, { data, pg }: Places) =>
  pg === undefined ? PgliteClient.layer({ folder: join(data, service) }) : server(pg, service)

/** Makes the folders of the databases. A new folder takes seconds, so it is made once and copied. */
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

/** The log of the library goes to a file: the screen is for the orders. */
export const logs = ({ data }: Places) => Logger.layer([Logger.toFile(Logger.formatLogFmt, join(data, "log"))])

/** Removes all data. */
export const remove = (data: string) => {
  for (const name of [...services, "log"]) rmSync(join(data, name), { recursive: true, force: true })
}
