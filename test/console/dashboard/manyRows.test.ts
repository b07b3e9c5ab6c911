/**
 * Ten thousand executions in a list. Smooth is what costs the same however many there are: elements, and the changes that a scroll
 * makes to them. No time is measured.
 */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import { Inspector } from "effect-saga"
import type { Page } from "playwright-core"
import * as Shop from "../../fixtures/shop.ts"
import { Chromium, hasBrowser, Replicas, serve, story } from "./browsing.ts"
import { World } from "./served.ts"

const many = 10_000
const began = 1_790_000_000_000

/** The summary of the n-th, the newest first. */
const summary = (n: number): Inspector.Page["items"][number] => ({
  uuid: `${(began - n)
    .toString(16)
    .padStart(12, "0")
    .replace(/^(.{8})(.{4})$/, "$1-$2")}-7000-8000-${String(n).padStart(12, "0")}`,
  startKey: `order-${n}`,
  saga: "PlaceOrder",
  fingerprint: Shop.PlaceOrder.fingerprint,
  status: n % 3 === 0 ? "paused" : "finished",
  direction: "forward",
  decision: null,
  commitState: "none",
  parked: false,
  revision: 3,
  settled: n % 3 !== 0,
  createdAt: began - n,
  updatedAt: began - n
})

/** An inspector whose list has that many; a cursor is the number of the next one. */
const Listed = Layer.effect(
  Inspector.Inspector,
  Effect.map(Inspector.Inspector, (inspector): Inspector.Inspector["Service"] => ({
    ...inspector,
    find: (_, { after = "0", limit = 50 } = {}) => {
      const [from, to] = [Number(after), Math.min(many, Number(after) + limit)]
      const items = Array.from({ length: to - from }, (_, i) => summary(from + i))
      return Effect.succeed({ items, ...(to < many && { next: String(to) }) })
    }
  }))
).pipe(Layer.provide(World))

const Live = Layer.merge(
  Chromium.layer,
  Layer.effect(
    Replicas,
    Effect.map(serve({ sagas: Shop.sagas }), (origin) => ({ here: `${origin}/`, there: `${origin}/` }))
  )
).pipe(Layer.provide(Listed), Layer.provide(Logger.layer([])))

/** What one scroll does: the changes of the tree, and whether rows stand wherever a person looks afterwards. */
interface Scrolled {
  readonly changes: number
  readonly elements: number
  readonly isCovered: boolean
}

const scrollTo = (page: Page, share: number): Promise<Scrolled> =>
  page.evaluate<Scrolled>(`(async () => {
    const grid = document.querySelector(".grid")
    grid.scrollIntoView({ block: "center" })
    let changes = 0
    const watching = new MutationObserver((records) => { changes += records.length })
    watching.observe(grid, { subtree: true, childList: true, attributes: true, characterData: true })
    grid.scrollTop = ${share} * (grid.scrollHeight - grid.clientHeight)
    const frame = () => new Promise(requestAnimationFrame)
    for (let i = 0; i < 4; i++) await frame()
    watching.disconnect()
    const { bottom, left, top } = grid.getBoundingClientRect()
    const looks = [top + 60, (top + bottom) / 2, bottom - 20]
    const isCovered = looks.every((y) => document.elementFromPoint(left + 60, y)?.closest("[aria-rowindex]") != null)
    return { changes, elements: document.querySelectorAll("*").length, isCovered }
  })()`)

describe.skipIf(!hasBrowser)("a long list in a browser", () => {
  layer(Live, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    for (const [name, options] of [
      ["wide", {}],
      ["on a phone", { viewport: { width: 360, height: 740 } }]
    ] as const)
      it.effect(`10,000 executions cost as many elements as 200, and a scroll as many changes: ${name}`, () =>
        story(options, async ({ page, open, title }) => {
          await open("executions")
          await title("Executions")
          const rows = page.getByRole("table", { name: "Executions" })
          await rows.getByRole("link", { name: "order-0", exact: true }).waitFor()
          const few = [await scrollTo(page, 0.5), await scrollTo(page, 0)]
          // All pages are read by scrolling on.
          for (let i = 0; i < 4_000 && (await page.getByText("10,000 shown").count()) === 0; i++)
            await scrollTo(page, 1)
          await page.getByText("10,000 shown").waitFor()
          const all: Array<Scrolled> = []
          for (const share of [0, 0.31, 0.33, 0.5, 0.97, 1, 0.2, 0]) all.push(await scrollTo(page, share))
          const most = (of: (one: Scrolled) => number, among: ReadonlyArray<Scrolled>) => Math.max(...among.map(of))
          const isLikeFew = (of: (one: Scrolled) => number) => most(of, all) <= 2 * most(of, few)
          assert.isTrue(
            isLikeFew(({ elements }) => elements),
            JSON.stringify({ few, all })
          )
          assert.isTrue(
            isLikeFew(({ changes }) => changes),
            JSON.stringify({ few, all })
          )
          assert.isTrue(
            all.every(({ isCovered }) => isCovered),
            JSON.stringify(all)
          )
          // The last one is there, and its place in the list is told to a screen reader.
          await scrollTo(page, 1)
          await rows.getByRole("link", { name: "order-9999" }).waitFor()
          assert.strictEqual(await rows.getAttribute("aria-rowcount"), "10001")
        })
      )
  })
})
