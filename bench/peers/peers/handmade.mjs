// Tier D, reference (not a peer): the least a durable saga can do on PostgreSQL through @effect/sql-pg — one jsonb row per
// saga, upserted when it starts and after every step or compensation (4 writes on success, 6 on failure), each write
// durable before the next step. options: write=row (default: one statement per write) | batch (group commit: writes
// wait for the flush in flight and go out together as one unnest upsert), pool=N (default 10), flights=N (default 2), sync=off
import { PgClient } from "@effect/sql-pg"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as SqlClient from "effect/sql/SqlClient"
import { cancelTicket, order, PG, refundPayment, reserveTicket, ship, takePayment } from "../lib.mjs"
export const tier = "D"
const SET = `on conflict (id) do update set version = excluded.version, state = excluded.state`
const ROW = `insert into saga (id, version, state) values ($1, $2, $3::jsonb) ${SET}`
const BATCH = `insert into saga (id, version, state) select * from unnest($1::text[], $2::int[], $3::jsonb[]) ${SET}`
export const open = async ({ db, options }) => {
  const rt = ManagedRuntime.make(
    PgClient.layer({
      host: PG.host,
      port: PG.port,
      username: PG.user,
      database: db,
      maxConnections: +(options.pool ?? 10),
      multiplex: options.multiplex === "on",
      ...(options.sync === "off" ? { startupParameters: { synchronous_commit: "off" } } : {})
    })
  )
  const sql = await rt.runPromise(Effect.service(SqlClient.SqlClient))
  const q = (s, p) => rt.runPromise(sql.unsafe(s, p))
  await q(
    `create table saga (id text primary key, version int not null, state jsonb not null) with (fillfactor = 70)`,
    []
  )
  let queue = [],
    flying = 0
  const flush = () => {
    if (!queue.length || flying >= +(options.flights ?? 2)) return
    const b = queue.splice(0, 512)
    flying++
    q(BATCH, [b.map((w) => w.id), b.map((w) => w.v), b.map((w) => w.s)])
      .then(
        () => {
          for (const { ok } of b) ok()
        },
        (e) => {
          for (const { ko } of b) ko(e)
        }
      )
      .finally(() => {
        flying--
        flush()
      })
  }
  const write =
    options.write === "batch"
      ? (id, v, s) =>
          new Promise((ok, ko) => {
            queue.push({ id, v, s, ok, ko })
            if (queue.length === 1) queueMicrotask(flush)
          })
      : (id, v, s) => q(ROW, [id, v, s])
  const saga = async (i, fail) => {
    let c = order(i),
      v = 0
    const undo = []
    const save = (r) => {
      c = { ...c, ...r }
      return write(c.orderId, ++v, JSON.stringify(c))
    }
    await save({ status: "running" })
    try {
      await save(await reserveTicket(c))
      undo.push(cancelTicket)
      await save(await takePayment(c))
      undo.push(refundPayment)
      await save({ ...(await ship(c, fail)), status: "done" })
      return c
    } catch {
      await save({ status: "compensating" })
      while (undo.length > 1) await save(await undo.pop()(c))
      await save({ ...(await undo.pop()(c)), status: "failed", failed: true })
      return c
    }
  }
  return { run: (i, s) => saga(i, s === "failure"), close: () => rt.dispose() }
}
