// Shared by every peer: the work, the load driver, the PostgreSQL meters.
import { execFileSync } from "node:child_process"
import pg from "pg"

export const PG = { host: "127.0.0.1", port: 55432, user: "postgres" }
export const url = (db) => `postgresql://postgres@127.0.0.1:55432/${db}`
export const ms = (n) => new Promise((r) => setTimeout(r, n))

// ---- the work: 3 steps, each with a compensation; every step is a trivial async no-op ----
export class Declined extends Error {}
export const order = (i) => ({ orderId: `order-${i}`, amount: 1 + (i % 1000) })
export const reserveTicket = async (c) => ({ ticketId: `t-${c.orderId}` })
export const takePayment = async (c) => ({ paymentId: `p-${c.orderId}-${c.amount}` })
export const ship = async (c, fail) => {
  if (fail) throw new Declined("shipment declined")
  return { shipmentId: `s-${c.orderId}` }
}
export const cancelTicket = async (c) => ({ ticketCancelled: c.ticketId })
export const refundPayment = async (c) => ({ paymentRefunded: c.paymentId })

/** every peer's outcome is normalised to this and checked on every saga */
export const check = (scenario, i, r) => {
  const ok =
    scenario === "success"
      ? r?.ticketId === `t-order-${i}` && r.paymentId?.startsWith(`p-order-${i}-`) && r.shipmentId === `s-order-${i}`
      : r?.failed === true && r.ticketCancelled === `t-order-${i}` && r.paymentRefunded?.startsWith(`p-order-${i}-`)
  if (!ok) throw new Error(`wrong outcome for ${scenario} ${i}: ${JSON.stringify(r)}`)
}

// ---- load driver ----
const round = (n, d = 3) => (n === undefined || Number.isNaN(n) ? null : +n.toFixed(d))
export const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]
export const median = (xs) => [...xs].sort((a, b) => a - b)[Math.floor(xs.length / 2)]

/** closed loop: `conc` loops call run(i) until `seconds` passed or `max` sagas ran; latency of every `sample`-th */
export const drive = async (run, next, { conc, seconds, max = Infinity, sample = 1 }) => {
  const lat = []
  const start = performance.now(),
    end = start + seconds * 1000
  let n = 0
  const loop = async () => {
    while (n < max) {
      const t0 = n % sample === 0 ? performance.now() : 0
      if (t0 > end) return
      n++
      await run(next())
      if (t0) lat.push(performance.now() - t0)
    }
  }
  await Promise.all(Array.from({ length: conc }, loop))
  const sec = (performance.now() - start) / 1000
  return stats(n, sec, lat)
}
export const stats = (n, sec, lat) => {
  lat.sort((a, b) => a - b)
  return { n, sec, rate: n / sec, p50: quantile(lat, 0.5), p99: quantile(lat, 0.99) }
}
export const summary = (reps) => {
  const rates = reps.map((r) => r.rate)
  return {
    sagas_per_s: round(median(rates), 1),
    min: round(Math.min(...rates), 1),
    max: round(Math.max(...rates), 1),
    p50_ms: round(median(reps.map((r) => r.p50)), 4),
    p99_ms: round(median(reps.map((r) => r.p99)), 4),
    n: reps.map((r) => r.n)
  }
}

// ---- PostgreSQL meters (read from another database, so they do not count themselves) ----
export const admin = async () => {
  const c = new pg.Client({ ...PG, database: "postgres" })
  await c.connect()
  await c.query("create extension if not exists pg_stat_statements")
  const one = async (q, p) => (await c.query(q, p)).rows[0]
  return {
    freshDb: async (db) => {
      await c.query(`drop database if exists "${db}" with (force)`)
      await c.query(`create database "${db}"`)
      await c.query("checkpoint")
    },
    statements: async (db) => {
      const r = await one(
        `select coalesce(sum(calls),0)::float8 as calls,
        coalesce(sum(calls) filter (where query ~* '^\\s*(begin|commit|rollback|start transaction|end)'),0)::float8 as tx
        from pg_stat_statements where query not like '%/* watch */%' and dbid = (select oid from pg_database where datname = $1)`,
        [db]
      )
      return { calls: r.calls, tx: r.tx }
    },
    xacts: async (db) => {
      const r = await one(
        `select (select xact_commit + xact_rollback from pg_stat_database where datname = $1)::float8 as x,
        (select wal_bytes from pg_stat_wal)::float8 as wal, (select wal_sync from pg_stat_wal)::float8 as sync`,
        [db]
      )
      return r
    },
    top: async (db, n = 40) =>
      (
        await c.query(
          `select calls::float8, rows::float8, round(mean_exec_time::numeric,3)::float8 as ms, regexp_replace(query,'\\s+',' ','g') as q
        from pg_stat_statements where dbid = (select oid from pg_database where datname = $1) and calls > 20 order by calls desc limit ${n}`,
          [db]
        )
      ).rows,
    reset: () => c.query("select pg_stat_statements_reset()"),
    end: () => c.end()
  }
}
/** per-saga figures from two readings */
export const perSaga = (a, b, n) => ({
  stmts: round((b.calls - a.calls) / n, 2),
  stmts_no_txctl: round((b.calls - b.tx - a.calls + a.tx) / n, 2)
})

/** completion watcher for peers whose own `await` polls slowly: one statement every 5 ms for all pending ids; the
 *  meters do not count it. `sql` takes the pending ids and returns (id, out) of the finished ones */
export const watcher = async (db, sql) => {
  const c = new pg.Client({ ...PG, database: db }),
    pending = new Map()
  await c.connect()
  let live = true
  const loop = (async () => {
    while (live) {
      if (pending.size)
        for (const r of (await c.query(`/* watch */ ${sql}`, [[...pending.keys()]])).rows) {
          pending.get(r.id)?.(r.out)
          pending.delete(r.id)
        }
      await ms(5)
    }
  })()
  return {
    done: (id) => new Promise((ok) => pending.set(id, ok)),
    close: async () => {
      live = false
      await loop
      await c.end()
    }
  }
}

// ---- CPU and quietness meters (the machine may be shared: figures carry what the others took) ----
import { closeSync, fdatasyncSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs"

const stat = (pid) => {
  try {
    const f = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ")
    return { ppid: +f[1], own: +f[11] + +f[12], kids: +f[13] + +f[14] }
  } catch {
    return undefined
  }
}
/** CPU milliseconds of a process tree: dead children are in the root's cumulative counters, live ones are added */
export const treeCpu = (root) => {
  const r = stat(root)
  if (!r) return 0
  let ticks = r.own + r.kids
  for (const d of readdirSync("/proc"))
    if (/^\d+$/.test(d)) {
      const s = stat(d)
      if (s?.ppid === root) ticks += s.own + s.kids
    }
  return ticks * 10
}
export const pgPid = () => {
  try {
    return +readFileSync(new URL("pg/data/postmaster.pid", import.meta.url), "utf8").split("\n")[0]
  } catch {
    return undefined
  }
}
const busy = () => {
  const f = readFileSync("/proc/stat", "utf8").split("\n")[0].split(/\s+/).slice(1).map(Number)
  return (f[0] + f[1] + f[2] + f[5] + f[6] + f[7]) * 10
}
export const cpu = (serverPid) => {
  const u = process.cpuUsage()
  return {
    t: performance.now(),
    node: (u.user + u.system) / 1000,
    server: serverPid ? treeCpu(serverPid) : 0,
    busy: busy()
  }
}
/** per saga CPU of this process and of the server, and how many cores everybody else used meanwhile */
export const cpuDelta = (a, b, n) => ({
  node_cpu_ms: (b.node - a.node) / n,
  server_cpu_ms: (b.server - a.server) / n,
  others: Math.max(0, (b.busy - a.busy - (b.node - a.node) - (b.server - a.server)) / (b.t - a.t))
})
/** median 8 kB write + fdatasync, ms */
export const fsyncMs = (n = 40) => {
  const buf = Buffer.alloc(8192, 1),
    fd = openSync(new URL("pg/fsync.tmp", import.meta.url).pathname, "w"),
    lat = []
  writeSync(fd, buf)
  fdatasyncSync(fd)
  for (let i = 0; i < n; i++) {
    const t = performance.now()
    writeSync(fd, buf, 0, 8192, 0)
    fdatasyncSync(fd)
    lat.push(performance.now() - t)
  }
  closeSync(fd)
  return median(lat)
}
/** wait (at most QUIET_WAIT seconds, default 15) until the rest of the machine uses < 0.15 core and fsync is < 0.4 ms */
export const quiet = async ({ disk = false } = {}) => {
  const allowed = disk ? 0.15 : 1.15 // without a server one free core is enough
  const end = performance.now() + 1000 * (process.env.QUIET_WAIT ?? 15)
  for (;;) {
    const b0 = busy(),
      c0 = process.cpuUsage(),
      t0 = performance.now()
    await ms(300)
    const c = process.cpuUsage(c0),
      others = (busy() - b0 - (c.user + c.system) / 1000) / (performance.now() - t0)
    const f = disk ? fsyncMs() : undefined
    if ((others < allowed && !(f > 0.4)) || performance.now() > end) return f
  }
}
export const rss = (pid) =>
  +execFileSync("ps", ["-o", "rss=", "-p", String(pid)])
    .toString()
    .trim() / 1024
