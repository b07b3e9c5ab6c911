/**
 * `npm run screenshots`: the pictures of the dashboard in `docs/`, made by a browser of a shop in memory. With a folder: every screen
 * into it, wide, dark and on a phone, to be looked at.
 */
import { mkdirSync } from "node:fs"
import { createServer } from "node:http"
import { join } from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { NodeHttpServer } from "@effect/platform-node"
import { Clock, Context, Effect, Layer, Logger } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { DeadLetters, SagaManager } from "effect-saga"
import { Dashboard, DashboardAuth } from "effect-saga/dashboard"
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core"
import { doubt, World } from "../test/console/dashboard/served.ts"
import * as Shop from "../test/fixtures/shop.ts"

const folder = process.argv[2]
const docs = fileURLToPath(new URL("../docs/", import.meta.url))

// ---- the shop ------------------------------------------------------------------------------------------------------

/** The time of the shop: its orders were placed in the last hour, which a picture has no time for. */
let behind = 62 * 60_000
const real = Clock.Clock.defaultValue()
const millis = () => Date.now() - behind
const nanos = () => BigInt(millis()) * 1_000_000n
const clock: Clock.Clock = {
  sleep: (duration) => real.sleep(duration),
  currentTimeMillisUnsafe: millis,
  currentTimeMillis: Effect.sync(millis),
  currentTimeNanosUnsafe: nanos,
  currentTimeNanos: Effect.sync(nanos),
  // Both clocks go on together: a jump of one alone would be a wrong clock.
  monotonicTimeNanosUnsafe: nanos,
  monotonicTimeNanos: Effect.sync(nanos)
}

/** Goes to so many minutes before now, once what was started has come to rest. */
const minutesAgo = (minutes: number) =>
  Effect.andThen(
    Effect.sleep("150 millis"),
    Effect.sync(() => {
      behind = minutes * 60_000
    })
  )

const customers = ["ada", "grace", "edsger", "barbara", "tony", "leslie"]

const fill = Effect.gen(function* () {
  yield* Shop.order("order-1007", "Far", 42, "grace")
  yield* minutesAgo(41)
  for (const n of [1011, 1012, 1013]) yield* Shop.order(`order-${n}`, "Parked", n % 100, customers[n % 6])
  yield* SagaManager.start(Shop.Reminder, { startKey: "reminder-88", context: { customer: "tony" } })
  yield* minutesAgo(24)
  yield* Shop.order("order-1019", "Ghent", 2_400, "barbara")
  yield* Shop.order("order-1020", "Ghent", 1_850, "ada")
  for (let n = 0; n < 48; n++) {
    const minutes = 13.6 - n * 0.27
    if (n % 4 === 0) yield* minutesAgo(minutes)
    const city = n % 9 === 4 ? "Atlantis" : "Ghent"
    yield* Shop.order(`order-${1_030 + n}`, city, n % 11 === 7 ? 13 : 20 + n, customers[n % 6])
  }
  yield* minutesAgo(0.4)
  yield* Shop.order("order-1080", "Ghent", 3_100, "leslie")
  yield* doubt("01890000-0000-7000-8000-0000000d0b70", Date.now() - 17 * 60_000)
  const letters = yield* DeadLetters.DeadLetters
  const letter = { topic: "saga/v1/orders/reply/payments/Charge", sender: "payments", reason: "MessageMalformed" }
  yield* letters.record({ ...letter, receivedAt: Date.now() - 3_000_000, size: 412, sha256: "9c1f".repeat(16) })
  yield* Effect.sleep("300 millis")
})

const Auth = Layer.succeed(DashboardAuth, {
  visitor: () => Effect.succeed({ actor: "ada@shop.example", may: new Set(["read", "act", "values"] as const) })
})

const served = Effect.gen(function* () {
  const app = HttpRouter.serve(Layer.provide(Dashboard.layer({ sagas: Shop.sagas }), Auth), {
    disableLogger: true
  }).pipe(Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })))
  const { address } = Context.get(yield* Layer.build(app), HttpServer.HttpServer)
  return `http://127.0.0.1:${(address as { readonly port: number }).port}/`
})

// ---- the pictures --------------------------------------------------------------------------------------------------

const modes: Readonly<Record<string, BrowserContextOptions>> = {
  wide: { viewport: { width: 1280, height: 800 } },
  dark: { viewport: { width: 1280, height: 800 }, colorScheme: "dark" },
  phone: { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 }
}

const screens = ["", "attention", "executions", "waiting", "dead-letters", "sagas", "processes"]

const settled = async (page: Page): Promise<void> => {
  await page.locator("main[aria-busy]").waitFor({ state: "detached" })
  await page.waitForTimeout(400)
}

const openExecution = async (page: Page, url: string, key: string): Promise<void> => {
  await page.goto(`${url}#/executions?startKey=${key}`)
  await page.getByRole("link", { name: key }).click()
  await page.getByRole("heading", { level: 1, name: key }).waitFor()
  await settled(page)
}

const visiting = async (browser: Browser, options: BrowserContextOptions, use: (page: Page) => Promise<void>) => {
  const context = await browser.newContext(options)
  try {
    await use(await context.newPage())
  } finally {
    await context.close()
  }
}

/** The two pictures of the pages in `docs/`. */
const forDocs = (browser: Browser, url: string) =>
  visiting(browser, { viewport: { width: 1280, height: 780 } }, async (page) => {
    await page.goto(url)
    await settled(page)
    await page.screenshot({ path: join(docs, "dashboard-overview.png") })
    await page.setViewportSize({ width: 1280, height: 1100 })
    await openExecution(page, url, "order-1011")
    await page.screenshot({ path: join(docs, "dashboard-execution.png") })
  })

const everything = async (browser: Browser, url: string, into: string): Promise<void> => {
  mkdirSync(into, { recursive: true })
  for (const [mode, options] of Object.entries(modes))
    await visiting(browser, options, async (page) => {
      const take = (name: string) =>
        page.screenshot({ path: join(into, `${mode}-${name === "" ? "overview" : name}.png`), fullPage: true })
      for (const screen of screens) {
        await page.goto(`${url}#/${screen}`)
        await settled(page)
        await take(screen)
      }
      for (const key of ["order-1011", "order-1019", "order-1030"]) {
        await openExecution(page, url, key)
        await take(key)
      }
      await openExecution(page, url, "order-1019")
      await page.getByRole("button", { name: "Answer …" }).click()
      await take("answer")
      await page.keyboard.press("Escape")
      await page.getByRole("button", { name: "Cancel …" }).click()
      await take("cancel")
    })
}

const program = Effect.gen(function* () {
  yield* fill
  behind = 0
  const url = yield* served
  const browser = yield* Effect.acquireRelease(
    Effect.promise(() =>
      chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] })
    ),
    (browser) => Effect.promise(() => browser.close())
  )
  yield* Effect.promise(() => (folder === undefined ? forDocs(browser, url) : everything(browser, url, folder)))
}).pipe(
  Effect.scoped,
  Effect.provide(World),
  Effect.provide(Logger.layer([])),
  Effect.provideService(Clock.Clock, clock)
)

await Effect.runPromise(program)
