/** The dashboard of one's own machine: a token for a cookie, one name for the host, and only reading unless more is allowed. */
import { request } from "node:http"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import { LocalDashboard } from "effect-saga/dashboard"
import * as Shop from "../../fixtures/shop.ts"
import { World } from "./served.ts"

interface Answer {
  readonly status: number
  readonly headers: Record<string, string | ReadonlyArray<string> | undefined>
  readonly text: string
}

/** By `node:http`, which sends any `Host`. */
const ask = (
  url: string,
  headers: Record<string, string> = {},
  { body, method = "GET" }: { readonly method?: string; readonly body?: string } = {}
) =>
  Effect.callback<Answer>((resume) => {
    const asked = request(url, { method, headers }, (response) => {
      let text = ""
      const done = () => resume(Effect.succeed({ status: response.statusCode ?? 0, headers: response.headers, text }))
      response.setEncoding("utf8").on("data", (piece) => {
        text += piece
        // A stream of events does not end by itself.
        if (response.headers["content-type"] !== "text/event-stream") return
        asked.destroy()
        done()
      })
      response.on("end", done)
    })
    asked.on("error", () => undefined)
    asked.end(body)
  })

const live = (name: string, work: Effect.Effect<unknown, unknown, any>) =>
  it.live(name, () => work.pipe(Effect.scoped, Effect.provide([World, Logger.layer([])])) as Effect.Effect<unknown>)

/** Opens the printed address as a browser does. Gives the origin and the cookie. */
const open = (options: LocalDashboard.LocalOptions = {}) =>
  Effect.gen(function* () {
    const address = yield* LocalDashboard.serve({ sagas: Shop.sagas, ...options })
    const { headers, status } = yield* ask(address)
    const [cookie = ""] = headers["set-cookie"] ?? []
    assert.deepStrictEqual([status, headers.location], [302, "./"])
    assert.match(cookie, /^effect_saga_\d+=[\w-]{32}; Path=\/; HttpOnly; SameSite=Strict$/)
    return { address, origin: new URL(address).origin, cookie: cookie.split(";")[0] ?? "" }
  })

live(
  "the token of the address is exchanged for a cookie, and nothing is shown without one",
  Effect.gen(function* () {
    const { address, cookie, origin } = yield* open()
    const wrong = address.replace(/.{4}$/, "AAAA")
    for (const url of [`${origin}/`, `${origin}/api/overview`, `${origin}/api/events`, wrong])
      assert.strictEqual((yield* ask(url)).status, 401, url)
    const other = cookie.endsWith("_") ? "-" : "_"
    assert.strictEqual((yield* ask(`${origin}/api/me`, { cookie: `${cookie.slice(0, -1)}${other}` })).status, 401)
    for (const path of ["/", "/app.js", "/api/overview", "/api/openapi.json"])
      assert.strictEqual((yield* ask(`${origin}${path}`, { cookie })).status, 200, path)
    const events = yield* ask(`${origin}/api/events`, { cookie })
    assert.match(events.text, /^data: \{"state":"\w{16}"\}/m)
  })
)

live(
  "a page elsewhere that has our address under a name of its own is refused",
  Effect.gen(function* () {
    const { address, cookie, origin } = yield* open()
    for (const host of ["evil.example", `evil.example:${new URL(origin).port}`, "127.0.0.1:1"]) {
      assert.strictEqual((yield* ask(`${origin}/api/me`, { cookie, host })).status, 421, host)
      assert.strictEqual((yield* ask(address, { host })).status, 421, host)
    }
    assert.strictEqual(
      (yield* ask(`${origin}/api/me`, { cookie, host: `localhost:${new URL(origin).port}` })).status,
      200
    )
  })
)

live(
  "reads only, unless more is allowed; the history has the actor",
  Effect.gen(function* () {
    yield* Shop.order("dear", "Ghent", 5_000)
    const body = JSON.stringify({ action: "cancel", reason: "ordered twice" })
    const send = ({ cookie, origin }: { readonly cookie: string; readonly origin: string }, uuid: string) =>
      ask(
        `${origin}/api/executions/${uuid}/actions`,
        { cookie, "x-effect-saga": "test", "content-type": "application/json" },
        { method: "POST", body }
      )
    const reader = yield* open()
    const found = yield* ask(`${reader.origin}/api/executions?startKey=dear`, { cookie: reader.cookie })
    const { uuid } = JSON.parse(found.text).items[0]
    const values = yield* ask(`${reader.origin}/api/executions/${uuid}/values`, { cookie: reader.cookie })
    assert.deepStrictEqual([(yield* send(reader, uuid)).status, values.status], [403, 403])
    const actor = yield* open({ may: ["act"], actor: "ada", token: LocalDashboard.newToken() })
    assert.strictEqual((yield* send(actor, uuid)).status, 200)
    const me = yield* ask(`${actor.origin}/api/me`, { cookie: actor.cookie })
    assert.deepInclude(JSON.parse(me.text), { actor: "ada", may: ["read", "act"] })
  })
)

live(
  "says that its port is taken, and takes no request that is too large",
  Effect.gen(function* () {
    const { cookie, origin } = yield* open()
    const taken = yield* Effect.flip(LocalDashboard.serve({ port: Number(new URL(origin).port) }))
    assert.deepInclude(taken, { _tag: "DashboardNotServed", reason: "EADDRINUSE" })
    const large = { method: "POST", body: "x".repeat(1_100_000) }
    const headers = { cookie, "x-effect-saga": "test", "content-type": "application/json" }
    assert.strictEqual((yield* ask(`${origin}/api/executions/x/actions`, headers, large)).status, 400)
  })
)

it.live("is gone when its scope closes", () =>
  Effect.gen(function* () {
    const address = yield* Effect.scoped(LocalDashboard.serve())
    const over = yield* Effect.exit(Effect.tryPromise(() => fetch(address)))
    assert.strictEqual(over._tag, "Failure")
  }).pipe(Effect.provide(Layer.fresh(World)))
)
