/**
 * The dashboard as a person has it: in Debian's chromium, with the mouse and without, on a wide screen and on a phone. Two replicas
 * on one database: what is done at one is seen at the other. Where there is no chromium the API has its own tests.
 */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import type { Page } from "playwright-core"
import * as Shop from "../../fixtures/shop.ts"
import { Chromium, hasBrowser, Replicas, story, visit } from "./browsing.ts"
import { doubt, World } from "./served.ts"

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

/** What axe finds wrong, with its elements. `rules`: only these. */
const violations = async (page: Page, rules: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  // By the protocol of the browser's tools: a script element would be against the page's policy.
  await page.evaluate(axe)
  const only = rules.length === 0 ? {} : { runOnly: { type: "rule", values: rules } }
  const { violations } = await page.evaluate<any>(
    `axe.run(${JSON.stringify({ resultTypes: ["violations"], ...only })})`
  )
  return violations.flatMap(({ id, nodes }: any) => nodes.map(({ target }: any) => `${id}: ${target}`))
}

const fill = Effect.gen(function* () {
  for (let i = 0; i < 3; i++) yield* Shop.order(`sunk-${i}`, "Parked")
  for (let i = 0; i < 4; i++) yield* Shop.order(`dear-${i}`, "Ghent", 5_000 + i)
  yield* Shop.order("far-1", "Far")
  yield* Shop.order("wet-1", "Atlantis")
  for (let i = 0; i < 20; i++) yield* Shop.order(`order-${i}`, "Ghent", 20 + i, i % 2 === 0 ? "ada" : "grace")
  yield* Shop.order(hostile, "Ghent", 6_000, hostile)
})

const hostile = `"><img src=x onerror="document.title='broken'"><script>alert(1)</script>`
const screens = ["", "attention", "executions", "waiting", "dead-letters", "sagas", "processes"]

const Live = Layer.provideMerge(Layer.effectDiscard(fill), Layer.mergeAll(Chromium.layer, Replicas.layer)).pipe(
  Layer.provideMerge(World),
  Layer.provide(Logger.layer([]))
)

describe.skipIf(!hasBrowser)("in a browser", () => {
  layer(Live, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.effect("from the overview to one execution, and what it waits for is answered", () =>
      story({}, async ({ page, title }) => {
        await title("Overview")
        await page.getByRole("heading", { name: "Needs a person" }).waitFor()
        await page.getByRole("link", { name: "Executions", exact: true }).click()
        await title("Executions")
        await page.getByLabel("Status").selectOption("waiting")
        await page.getByRole("link", { name: "dear-0" }).waitFor()
        assert.include(page.url(), "shown=waiting")
        // The one that waits stood in the former list too.
        await page.getByRole("link", { name: "order-1", exact: true }).waitFor({ state: "detached" })
        await page.getByRole("link", { name: "dear-0" }).click()
        await title("dear-0")
        await page.getByRole("button", { name: "Answer …" }).click()
        await page.getByLabel("approved").selectOption("yes")
        await page.getByLabel("by", { exact: true }).fill("grace")
        await page.getByLabel("limit (optional)").fill("7000")
        await page.getByLabel("Reason").fill("checked with the bank")
        await page.getByRole("button", { name: "Send it" }).click()
        await page.locator(".heading .pill.finished").waitFor()
        await page.getByText("the signal approval has come from ada@example.com").waitFor()
      })
    )

    it.effect("values are shown when they are asked for", () =>
      story({}, async ({ page, open, title }) => {
        await open("executions?startKey=far")
        await page.getByRole("link", { name: "far-1" }).click()
        await title("far-1")
        assert.notInclude(await page.content(), "book for Far")
        await page.getByRole("button", { name: "Show the values" }).click()
        await page.getByText("book for Far").first().waitFor()
        await page.getByRole("button", { name: "Hide them" }).click()
        assert.notInclude(await page.content(), "book for Far")
      })
    )

    it.effect("a cancel shows what it undoes, and asks for a reason", () =>
      story({}, async ({ page, open, title }) => {
        await open("executions?startKey=dear-1")
        await page.getByRole("link", { name: "dear-1" }).click()
        await title("dear-1")
        await page.getByRole("button", { name: "Cancel …" }).click()
        const dialog = page.getByRole("dialog")
        assert.deepStrictEqual(await dialog.locator("ol.plan > li > strong").allTextContents(), [
          "payment",
          "reservation"
        ])
        await dialog.getByRole("button", { name: "Cancel" }).click()
        assert.strictEqual(await dialog.count(), 1)
        await dialog.getByLabel("Reason").fill("ordered twice")
        await dialog.getByRole("button", { name: "Cancel" }).click()
        await page.locator(".heading .pill.undone").waitFor()
      })
    )

    it.effect("a hostile name is text, wherever it stands", () =>
      story({}, async ({ page, open, title }) => {
        for (const screen of ["executions", "waiting", ""]) {
          await open(screen)
          await page.locator("main[aria-busy]").waitFor({ state: "detached" })
        }
        await open(`executions?attribute=${encodeURIComponent(`customer=${hostile}`)}`)
        await page.getByRole("link", { name: hostile }).click()
        await title(hostile)
        await page.getByText(`customer = ${hostile}`).waitFor()
        assert.strictEqual(await page.locator("img, main script").count(), 0)
        assert.notStrictEqual(await page.title(), "broken")
      })
    )

    it.effect("a reader has no button that acts", () =>
      story({ may: "read" }, async ({ page, open, title }) => {
        await page.getByText("read only").waitFor()
        for (const screen of ["attention", "waiting", "executions"]) {
          await open(screen)
          await page.locator("main a.id").first().waitFor()
          assert.strictEqual(await page.getByRole("button", { name: /…$/ }).count(), 0, screen)
          assert.strictEqual(await page.getByRole("checkbox").count(), 0, screen)
        }
        await open("executions?startKey=dear-2")
        await page.getByRole("link", { name: "dear-2" }).click()
        await title("dear-2")
        await page.getByText("You may not see stored values.").waitFor()
        assert.strictEqual(await page.getByRole("button", { name: /…$/ }).count(), 0)
      })
    )

    it.effect("by keyboard alone: to a screen, to an execution, through a dialog and back", () =>
      story({}, async ({ page, title }) => {
        await title("Overview")
        await page.keyboard.press("Tab")
        assert.strictEqual(await page.evaluate("document.activeElement.textContent"), "Skip to the content")
        const focused = () => page.evaluate<string>("document.activeElement.textContent")
        const tabTo = async (text: string) => {
          for (let i = 0; i < 60 && (await focused()) !== text; i++) await page.keyboard.press("Tab")
          assert.strictEqual(await focused(), text)
        }
        await tabTo("Waiting")
        await page.keyboard.press("Enter")
        await title("Waiting")
        await tabTo("dear-3")
        await page.keyboard.press("Enter")
        await title("dear-3")
        await tabTo("Answer …")
        await page.keyboard.press("Enter")
        await page.getByRole("dialog").waitFor()
        await page.keyboard.press("Escape")
        await page.getByRole("dialog").waitFor({ state: "detached" })
        assert.strictEqual(await focused(), "Answer …")
      })
    )

    for (const [name, options, rules] of [
      ["light", {}, []],
      ["dark", { colorScheme: "dark" }, ["color-contrast"]],
      ["on a phone", { viewport: { width: 360, height: 740 } }, ["target-size", "scrollable-region-focusable"]]
    ] as const)
      it.effect(`every screen is usable ${name}: axe finds nothing, and nothing is wider than the screen`, () =>
        story(options, async ({ page, open, title }) => {
          const check = async (screen: string) => {
            await page.locator("main[aria-busy]").waitFor({ state: "detached" })
            assert.deepStrictEqual([screen, await violations(page, rules)], [screen, []])
            const [width, inner] = await page.evaluate<[number, number]>(
              "[document.documentElement.scrollWidth, innerWidth]"
            )
            assert.isAtMost(width, inner, screen)
          }
          for (const screen of screens) {
            await open(screen)
            await check(screen)
          }
          await open("executions?startKey=far-1")
          await page.getByRole("link", { name: "far-1" }).click()
          await title("far-1")
          await check("execution")
          await page.getByRole("button", { name: "Cancel …" }).click()
          await check("dialog")
        })
      )

    it.effect("a doubt is decided, with a warning and a reason", () =>
      Effect.gen(function* () {
        yield* doubt("01890000-0000-7000-8000-0000000d0b70")
        yield* story({}, async ({ page, open }) => {
          await open("attention")
          await page.getByRole("button", { name: /^commit .* at payments$/ }).click()
          const dialog = page.getByRole("dialog")
          await dialog.getByText("waits for former-orders").waitFor()
          await dialog.getByLabel("Reason").fill("its database says commit")
          await dialog.getByRole("button", { name: "Commit" }).click()
          await page.locator(".note.good").waitFor()
          await page.getByRole("heading", { name: "In doubt" }).waitFor({ state: "detached", timeout: 60_000 })
        })
      })
    )

    it.effect("a parked group is retried with progress, and the other replica shows it", () =>
      Effect.gen(function* () {
        const other = yield* visit({ at: "there" })
        yield* Effect.promise(() => other.open("executions?startKey=sunk"))
        yield* Effect.promise(() => other.page.locator(".pill.parked").nth(2).waitFor())
        Shop.shop.stockIsBack = true
        yield* story({}, async ({ page, open }) => {
          await open("attention")
          await page.getByRole("button", { name: "Retry all 3 …" }).click()
          const dialog = page.getByRole("dialog")
          await dialog.getByText("Retry: 3 executions?").waitFor()
          await dialog.getByLabel("Reason").fill("the stock is back")
          await dialog.getByRole("button", { name: "Retry all 3" }).click()
          await dialog.getByText("3 of 3").waitFor()
          assert.strictEqual(await dialog.locator(".results li").count(), 3)
          await dialog.getByRole("button", { name: "Close" }).click()
          await page.getByText("✓ Nothing needs a person").waitFor()
        })
        yield* Effect.promise(() => other.page.locator(".pill.undone").nth(2).waitFor())
        assert.deepStrictEqual(other.wrong, [])
      }).pipe(Effect.scoped)
    )
  })
})
