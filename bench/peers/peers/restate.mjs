// Tier D (h): Restate — its own single-node server (own log on disk, no PostgreSQL), the SDK's HTTP/2 endpoint in this
// process, calls through the HTTP ingress. options: fsync=... see README (server default is used)
import { spawn } from "node:child_process"
import { rmSync } from "node:fs"
import http from "node:http"
import { createRequire } from "node:module"
import * as restate from "@restatedev/restate-sdk"
import { cancelTicket, ms, order, refundPayment, reserveTicket, rss, ship, takePayment } from "../lib.mjs"
export const tier = "D",
  pg = false
const bin = createRequire(import.meta.url).resolve("@restatedev/restate-server-linux-x64/bin/restate-server")
const base = new URL("../restate-data", import.meta.url).pathname
const saga = restate.service({
  name: "order",
  handlers: {
    run: async (ctx, { fail, ...o }) => {
      let c = o
      const undo = []
      try {
        c = { ...c, ...(await ctx.run("ticket", () => reserveTicket(c))) }
        undo.push(["ticket-undo", cancelTicket])
        c = { ...c, ...(await ctx.run("payment", () => takePayment(c))) }
        undo.push(["payment-undo", refundPayment])
        return {
          ...c,
          ...(await ctx.run("shipment", () =>
            ship(c, fail).catch((e) => {
              throw new restate.TerminalError(e.message)
            })
          ))
        }
      } catch (e) {
        if (!(e instanceof restate.TerminalError)) throw e
        for (const [name, f] of undo.reverse()) c = { ...c, ...(await ctx.run(name, () => f(c))) }
        return { ...c, failed: true }
      }
    }
  }
})
export const open = async ({ options }) => {
  rmSync(base, { recursive: true, force: true })
  const env = {
    ...process.env,
    RUST_LOG: "error",
    RESTATE_INGRESS__BIND_ADDRESS: "127.0.0.1:58080",
    RESTATE_ADMIN__BIND_ADDRESS: "127.0.0.1:59070",
    RESTATE_BIND_ADDRESS: "127.0.0.1:55122",
    RESTATE_NODE_NAME: "n1",
    RESTATE_BASE_DIR: base,
    RESTATE_DISABLE_TELEMETRY: "true",
    DO_NOT_TRACK: "1",
    ...Object.fromEntries(Object.entries(options).filter(([k]) => k.startsWith("RESTATE_")))
  }
  const server = spawn(bin, ["--no-logo", "--listen-mode", "tcp"], {
    env,
    stdio: ["ignore", "ignore", process.env.DEBUG ? "inherit" : "ignore"]
  })
  await restate.serve({ services: [saga], port: 59080, logger: () => {} })
  const post = (path, body) =>
    fetch(`http://127.0.0.1:59070${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body)
    })
  for (let k = 0; ; k++) {
    try {
      const r = await post("/deployments", { uri: "http://127.0.0.1:59080", force: true })
      if (r.ok) break
      else if (k > 100) throw new Error(await r.text())
    } catch (e) {
      if (k > 100) throw e
    }
    await ms(200)
  }
  const agent = new http.Agent({ keepAlive: true, maxSockets: 128 })
  const call = (body) =>
    new Promise((ok, ko) => {
      const req = http.request(
        {
          host: "127.0.0.1",
          port: 58080,
          path: "/order/run",
          method: "POST",
          agent,
          headers: { "content-type": "application/json" }
        },
        (res) => {
          let s = ""
          res
            .setEncoding("utf8")
            .on("data", (d) => {
              s += d
            })
            .on("end", () => (res.statusCode < 300 ? ok(JSON.parse(s)) : ko(new Error(s))))
        }
      )
      req.on("error", ko).end(JSON.stringify(body))
    })
  return {
    run: (i, s) => call({ ...order(i), fail: s === "failure" }),
    serverPid: server.pid,
    close: async () => {
      if (process.env.DEBUG) console.error("server rss MB", rss(server.pid))
      server.kill()
      await new Promise((r) => server.once("exit", r))
    }
  }
}
