/** The dashboard in Debian's chromium: servers of it, and visits by which nothing may go wrong. */
import { existsSync } from "node:fs"
import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { Inspector } from "effect-saga"
import { Dashboard } from "effect-saga/dashboard"
import { type Browser, type BrowserContextOptions, chromium } from "playwright-core"
import * as Shop from "../../fixtures/shop.ts"
import { Auth } from "./served.ts"

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium"
export const hasBrowser = existsSync(executablePath) || process.env.CI !== undefined

/** Nothing of its own goes over the network. */
const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync"
]

export class Chromium extends Context.Service<Chromium, Browser>()("test/Chromium") {
  static readonly layer = Layer.effect(
    Chromium,
    Effect.acquireRelease(
      Effect.promise(() => chromium.launch({ executablePath, args })),
      (browser) => Effect.promise(() => browser.close())
    )
  )
}

/** The addresses of two replicas that share one database and nothing else. */
export class Replicas extends Context.Service<Replicas, { readonly here: string; readonly there: string }>()(
  "test/Replicas"
) {
  static readonly layer = Layer.effect(
    Replicas,
    Effect.gen(function* () {
      const [here, there] = [
        yield* serve({ path: "/ops/sagas", sagas: Shop.sagas }),
        yield* serve({ sagas: Shop.sagas })
      ]
      return { here: `${here}/ops/sagas/`, there: `${there}/` }
    })
  )
}

/** A server of its own, until the scope closes. Gives its origin. */
export const serve = (options: Dashboard.Options) =>
  Effect.gen(function* () {
    const inspector = yield* Inspector.Inspector
    const app = HttpRouter.serve(Dashboard.layer(options).pipe(Layer.provide(Auth)), { disableLogger: true }).pipe(
      Layer.provide(Layer.succeed(Inspector.Inspector, inspector)),
      Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
    )
    const { address } = Context.get(yield* Layer.build(app), HttpServer.HttpServer)
    return `http://127.0.0.1:${(address as { readonly port: number }).port}`
  })

interface Visit extends BrowserContextOptions {
  /** The rights of the visitor. */
  readonly may?: string
  readonly at?: "here" | "there"
}

/** A page, with all that it must not do: errors, warnings of the policy, requests to anywhere else. */
export const visit = ({ at = "here", may = "read-act-values", ...options }: Visit = {}) =>
  Effect.gen(function* () {
    const browser = yield* Chromium
    const url = (yield* Replicas)[at]
    const wrong: Array<string> = []
    const context = yield* Effect.acquireRelease(
      Effect.promise(() => browser.newContext({ viewport: { width: 1280, height: 860 }, ...options })),
      (context) => Effect.promise(() => context.close())
    )
    yield* Effect.promise(() => context.addCookies([{ name: "may", value: may, url }]))
    const page = yield* Effect.promise(() => context.newPage())
    page.setDefaultTimeout(10_000)
    page.on("pageerror", (error) => wrong.push(error.message))
    page.on("console", (message) => message.type() === "error" && wrong.push(message.text()))
    page.on("dialog", (dialog) => {
      wrong.push(`a dialog: ${dialog.message()}`)
      void dialog.dismiss()
    })
    page.on("request", (request) => {
      if (!request.url().startsWith(url)) wrong.push(`asks for ${request.url()}`)
    })
    const open = (screen: string) => page.goto(`${url}#/${screen}`)
    yield* Effect.promise(() => open(""))
    return { page, open, wrong, title: (text: string) => page.getByRole("heading", { level: 1, name: text }).waitFor() }
  })

export type Visited = Effect.Success<ReturnType<typeof visit>>

/** A story in the browser; nothing may go wrong meanwhile. */
export const story = (options: Visit, tell: (visited: Visited) => Promise<void>) =>
  Effect.gen(function* () {
    const visited = yield* visit(options)
    yield* Effect.promise(() => tell(visited))
    assert.deepStrictEqual(visited.wrong, [])
  }).pipe(Effect.scoped)
