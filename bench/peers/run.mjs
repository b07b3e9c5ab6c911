// node run.mjs <peer> <success|failure> <concurrency> [seconds=5] [reps=3]   -> one JSON line
import { admin, check, cpu, cpuDelta, drive, median, ms, perSaga, pgPid, quiet, summary } from "./lib.mjs"

const [, , peerArg, scenario = "success", concArg = "1", secArg, repArg] = process.argv
const conc = +concArg,
  [name, ...opts] = peerArg.split(":")
const options = Object.fromEntries(opts.map((o) => o.split("=")))
const peer = await import(`./peers/${name}.mjs`)
const seconds = +(secArg ?? 5),
  reps = +(repArg ?? 3)
const db = `bench_${name.replace(/-/g, "_")}`
const meter = peer.tier === "D" && peer.pg !== false ? await admin() : undefined
if (meter) await meter.freshDb(db)
const x0 = await meter?.xacts(db)
let seq = 0
const next = () => seq++
const session = await peer.open({ db, conc, scenario, options })
const settle = async () => {
  if (meter) await ms(200)
}

let one
if (session.loop) {
  // the peer drives itself (effect programs looping inside their own runtime)
  one = (seconds, max) => session.loop({ conc, seconds, max, next, sample: peer.sample ?? 1 })
} else {
  const run = async (i) => check(scenario, i, await session.run(i, scenario))
  one = (seconds, max) => drive(run, next, { conc, seconds, max, sample: peer.sample ?? 1 })
}
const warm = Math.min(seconds, peer.warm ?? 2)
await one(warm, peer.max ?? Infinity)
await settle()
const results = [],
  s0 = await meter?.statements(db)
const serverPid = session.serverPid ?? (meter ? pgPid() : undefined),
  fsyncs = [],
  cpus = []
for (let r = 0; r < reps; r++) {
  globalThis.gc?.()
  fsyncs.push(await quiet({ disk: peer.tier === "D" }))
  const c0 = cpu(serverPid),
    res = await one(seconds, peer.max ?? Infinity)
  results.push(res)
  cpus.push(cpuDelta(c0, cpu(serverPid), res.n))
}
await settle()
const s1 = await meter?.statements(db)
const measured = results.reduce((a, r) => a + r.n, 0)
const out = { peer: peerArg, tier: peer.tier, scenario, conc, ...summary(results) }
const mid = (k, d = 3) => +median(cpus.map((c) => c[k])).toFixed(d)
Object.assign(out, {
  node_cpu_ms: mid("node_cpu_ms", 4),
  ...(serverPid ? { server_cpu_ms: mid("server_cpu_ms") } : {}),
  others_cores: cpus.map((c) => +c.others.toFixed(2)),
  ...(peer.tier === "D" ? { fsync_ms: fsyncs.map((f) => +f.toFixed(3)) } : {})
})
out.rss_mb = Math.round(process.memoryUsage().rss / 1048576)
if (process.env.TOP && meter)
  console.error((await meter.top(db)).map((r) => `${r.calls} x ${r.ms}ms ${r.q.slice(0, 110)}`).join("\n"))
await session.close()
if (meter) {
  Object.assign(out, perSaga(s0, s1, measured))
  await ms(300)
  const x1 = await meter.xacts(db) // all backends are gone: their counters are flushed
  out.xacts = +((x1.x - x0.x) / seq).toFixed(2)
  out.wal_kb = +((x1.wal - x0.wal) / seq / 1024).toFixed(2)
  out.wal_syncs = +((x1.sync - x0.sync) / seq).toFixed(3)
  await meter.end()
}
console.log(JSON.stringify(out))
process.exit(0)
