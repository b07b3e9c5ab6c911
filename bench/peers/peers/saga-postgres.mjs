// Tier D: this library on PostgreSQL. options: pool=N (default 10)
import { PgClient } from "@effect/sql-pg"
import { Layer } from "effect"
import { SagaManager } from "../../../dist/index.js"
import { SqlSagaExecutionRepository } from "../../../dist/sql.js"
import { PG } from "../lib.mjs"
import { Order, others, start } from "./saga-memory.mjs"

export const tier = "D"

export const open = ({ db, options, scenario }) => {
  const client = PgClient.layer({
    host: PG.host,
    port: PG.port,
    username: PG.user,
    database: db,
    maxConnections: Number(options.pool ?? 10)
  })
  return start(
    SagaManager.layer([Order]).pipe(
      Layer.provide([others, SqlSagaExecutionRepository.layer().pipe(Layer.provide(client))])
    ),
    scenario
  )
}
