// A single-node Restate server of its own (its log on disk, fsync as it is by default), and calls through its HTTP ingress.
import { spawn } from "node:child_process"
import { rmSync } from "node:fs"
import http from "node:http"
import { createRequire } from "node:module"
import { ms } from "./lib.mjs"

const bin = createRequire(import.meta.url).resolve("@restatedev/restate-server-linux-x64/bin/restate-server")
const base = new URL("restate-data", import.meta.url).pathname

/** `more`: its settings as variables of the environment. */
export const start = (more = {}) => {
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
    ...more
  }
  const server = spawn(bin, ["--no-logo", "--listen-mode", "tcp"], {
    env,
    stdio: ["ignore", "ignore", process.env.DEBUG ? "inherit" : "ignore"]
  })
  const ended = new Promise((r) => server.once("exit", r))
  return {
    pid: server.pid,
    stop: () => {
      server.kill()
      return ended
    }
  }
}

const post = (path, body) =>
  fetch(`http://127.0.0.1:59070${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body)
  })

/** Tells the server about the services at a port, as soon as it is there. */
export const register = async (port) => {
  for (let k = 0; ; k++) {
    try {
      const r = await post("/deployments", { uri: `http://127.0.0.1:${port}`, force: true })
      if (r.ok) return
      else if (k > 100) throw new Error(await r.text())
    } catch (e) {
      if (k > 100) throw e
    }
    await ms(200)
  }
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 128 })

/** Calls a handler: `order/run`. */
export const call = (path, body, headers = {}) =>
  new Promise((ok, ko) => {
    const options = { host: "127.0.0.1", port: 58080, path: `/${path}`, method: "POST", agent }
    const req = http.request({ ...options, headers: { "content-type": "application/json", ...headers } }, (res) => {
      let s = ""
      res
        .setEncoding("utf8")
        .on("data", (d) => {
          s += d
        })
        .on("end", () => (res.statusCode < 300 ? ok(JSON.parse(s)) : ko(new Error(s))))
    })
    req.on("error", ko).end(JSON.stringify(body))
  })
