/** The dashboard over two databases: it shows and steers the executions of both, and says in plain words which one does not answer. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger } from "effect"
import { HttpRouter } from "effect/http"
import { Inspector, SagaExecutionRepository } from "effect-saga"
import { SagaHealth } from "effect-saga/health"
import { SqlInspector } from "effect-saga/sql"
import { findings } from "../../../src/console/Attention.ts"
import * as Sample from "../../../src/testing/SampleExecutions.ts"
import { away, divided, onPglites, repository, uuidIn, withoutRights } from "../../fixtures/manyDatabases.ts"
import { Chromium, hasBrowser, Replicas, serve, story } from "./browsing.ts"
import { asking, writing } from "./served.ts"

/** Parked executions of both, and an inspector that reaches both, or only the first one. */
const stored = Effect.gen(function* () {
  const databases = yield* onPglites
  yield* divided(databases)
  const { store } = Context.get(
    yield* Layer.build(repository(databases)),
    SagaExecutionRepository.SagaExecutionRepository
  )
  const uuids = { north: uuidIn("north"), south: uuidIn("south") }
  for (const uuid of Object.values(uuids)) {
    let execution = yield* store(Sample.started(Sample.created({ uuid, saga: "Order" })))
    for (const step of [Sample.paused, Sample.refused, Sample.parked])
      execution = yield* store(step(execution), { wakeAt: Sample.time })
  }
  const inspecting = (layer: Layer.Layer<Inspector.Inspector, unknown>) =>
    Effect.map(Layer.build(layer), (context) => Context.get(context, Inspector.Inspector))
  return {
    databases,
    uuids,
    both: yield* inspecting(SqlInspector.layerSharded(databases)),
    part: yield* inspecting(SqlInspector.layerSharded({ north: databases.north, south: away }))
  }
})

const healthOf = Effect.fnUntraced(function* (inspector: Inspector.Inspector["Service"]) {
  const health = HttpRouter.toWebHandler(SagaHealth.layer(), { disableLogger: true })
  yield* Effect.addFinalizer(() => Effect.promise(health.dispose))
  return yield* Effect.promise(async () => {
    const request = new Request("http://shop.example/sagas")
    return (await health.handler(request, Context.make(Inspector.Inspector, inspector))).json()
  })
})

const quiet = Logger.layer([])

describe("the dashboard over two databases", () => {
  it.live(
    "lists the executions of both, and an action reaches the database of its execution",
    () =>
      Effect.gen(function* () {
        const { both, uuids } = yield* stored
        const { ask } = yield* Effect.provideService(asking({}), Inspector.Inspector, both)
        const { body } = yield* ask("/api/executions")
        assert.sameMembers(
          body.items.map(({ uuid }: { uuid: string }) => uuid),
          Object.values(uuids)
        )
        assert.isUndefined(body.missing)
        const overview = yield* ask("/api/overview")
        assert.strictEqual(overview.body.attention[0].count, 2)
        for (const uuid of Object.values(uuids)) {
          const retry = writing({ action: "retry", reason: "repaired", wait: 0 })
          assert.strictEqual((yield* ask(`/api/executions/${uuid}/actions`, retry)).body.answer, "waiting")
          assert.strictEqual((yield* ask(`/api/executions/${uuid}`)).body.asked.length, 1)
        }
      }).pipe(Effect.scoped, Effect.provide(quiet)),
    60_000
  )

  it.live(
    "shows what it can while one is away, names that one, and refuses what is there in words",
    () =>
      Effect.gen(function* () {
        const { part, uuids } = yield* stored
        const { ask, listen } = yield* Effect.provideService(asking({}), Inspector.Inspector, part)
        for (const path of ["/api/overview", "/api/executions", "/api/stored/executions"])
          assert.deepStrictEqual((yield* ask(path)).body.missing, ["south"], path)
        assert.deepStrictEqual((yield* ask("/api/stored/missing")).body, ["south"])
        assert.strictEqual((yield* ask("/api/attention")).body.groups[0].count, 1)
        assert.strictEqual((yield* ask(`/api/executions/${uuids.north}`)).status, 200)
        const refused = { status: 503, body: { _tag: "NotNow", why: "The database south does not answer" } }
        assert.deepInclude(yield* ask(`/api/executions/${uuids.south}`), refused)
        assert.deepInclude(yield* ask("/api/sagas"), refused)
        assert.deepInclude(yield* healthOf(part), { parked: 1, missing: ["south"] })
        const cancel = writing({ action: "cancel", reason: "try" })
        assert.deepInclude(yield* ask(`/api/executions/${uuids.south}/actions`, cancel), refused)
        const heard: Array<ReadonlyArray<string> | undefined> = []
        yield* listen("/api/events", (_, missing) => heard.push(missing))
        while (heard.length === 0) yield* Effect.sleep(20)
        assert.deepStrictEqual(heard[0], ["south"])
      }).pipe(Effect.scoped, Effect.provide(quiet)),
    60_000
  )

  it.live(
    "says of one that gives the role no rights that it does, on the page, in health and on the command line",
    () =>
      Effect.gen(function* () {
        const { both, databases, uuids } = yield* stored
        yield* withoutRights(databases.south)
        const { ask, listen } = yield* Effect.provideService(asking({}), Inspector.Inspector, both)
        const lacking = "42501: the role lacks a right there"
        assert.deepStrictEqual((yield* ask("/api/executions")).body.missing, ["south"])
        const why = `The database south refuses this: ${lacking}`
        const refused = { status: 503, body: { _tag: "NotNow", why } }
        assert.deepInclude(yield* ask(`/api/executions/${uuids.south}`), refused)
        assert.deepInclude(yield* ask("/api/sagas"), refused)
        assert.deepStrictEqual((yield* ask("/api/stored/refusals")).body, { south: "42501" })
        const sagas = yield* healthOf(both)
        assert.deepInclude(sagas, { missing: ["south"], refused: { south: lacking } })
        const [first] = yield* Effect.provideService(findings(), Inspector.Inspector, both)
        assert.strictEqual(first?.kind, "away")
        assert.include(first?.text, `${why}: nothing of it is shown or counted`)
        assert.include(first?.first, "right")
        const heard: Array<object> = []
        yield* listen("/api/events", (_, missing, refused) => heard.push({ missing, refused }))
        while (heard.length === 0) yield* Effect.sleep(20)
        assert.deepStrictEqual(heard[0], { missing: ["south"], refused: { south: lacking } })
      }).pipe(Effect.scoped, Effect.provide(quiet)),
    60_000
  )

  it.live(
    "says that one database gives the role no rights, where there is one",
    () =>
      Effect.gen(function* () {
        const { databases } = yield* stored
        yield* withoutRights(databases.north)
        const alone = yield* Layer.build(Layer.provide(SqlInspector.layer(), databases.north.client))
        const inspector = Context.get(alone, Inspector.Inspector)
        const { ask } = yield* Effect.provideService(asking({}), Inspector.Inspector, inspector)
        const why = "The database refuses this: 42501: the role lacks a right there"
        assert.deepInclude(yield* ask("/api/executions"), { status: 503, body: { _tag: "NotNow", why } })
        const sagas = { sagas: "unavailable", why: "42501: the role lacks a right there" }
        assert.deepStrictEqual(yield* healthOf(inspector), sagas)
      }).pipe(Effect.scoped, Effect.provide(quiet)),
    60_000
  )

  it.live.skipIf(!hasBrowser)(
    "says on every screen which database does not answer",
    () =>
      Effect.gen(function* () {
        const { part, uuids } = yield* stored
        const here = yield* Effect.provideService(serve({}), Inspector.Inspector, part)
        const told = story({}, async ({ open, page }) => {
          for (const screen of ["", "attention", "executions", `execution/${uuids.north}`, "waiting", "processes"]) {
            await open(screen)
            await page.getByRole("status").getByText("The database south does not answer.").waitFor()
          }
          await open("executions")
          await page.locator(`main a[href*="${uuids.north}"]`).first().waitFor()
          const folder = process.env.SAGA_SCREENSHOTS
          if (folder !== undefined) {
            await page.screenshot({ path: `${folder}/executions.png` })
            await open("")
            await page.getByRole("heading", { name: "Needs a person" }).waitFor()
            await page.screenshot({ path: `${folder}/overview.png` })
          }
        })
        const replicas = Layer.succeed(Replicas, { here: `${here}/`, there: `${here}/` })
        yield* Effect.provide(told, Layer.merge(Chromium.layer, replicas))
      }).pipe(Effect.scoped, Effect.provide(quiet)),
    90_000
  )

  it.live.skipIf(!hasBrowser)(
    "says before all are retried which database they are not of",
    () =>
      Effect.gen(function* () {
        const { both, part } = yield* stored
        for (const [inspector, missing] of [
          [part, 1],
          [both, 0]
        ] as const) {
          const here = yield* Effect.provideService(serve({}), Inspector.Inspector, inspector)
          const told = story({}, async ({ open, page }) => {
            await open("attention")
            await page.getByRole("button", { name: /^Retry (it|all 2) …$/ }).click()
            const dialog = page.getByRole("dialog")
            await dialog.getByText("Each is tried again at once").waitFor()
            assert.strictEqual(await dialog.getByText("Those in south are not among them").count(), missing)
          })
          const replicas = Layer.succeed(Replicas, { here: `${here}/`, there: `${here}/` })
          yield* Effect.provide(told, Layer.merge(Chromium.layer, replicas))
        }
      }).pipe(Effect.scoped, Effect.provide(quiet)),
    90_000
  )

  it.live.skipIf(!hasBrowser)(
    "says on the screen which database refuses the role, and why",
    () =>
      Effect.gen(function* () {
        const { both, databases } = yield* stored
        yield* withoutRights(databases.south)
        const here = yield* Effect.provideService(serve({}), Inspector.Inspector, both)
        const told = story({}, async ({ open, page }) => {
          await open("executions")
          const why = "The database south refuses this: 42501: the role lacks a right there."
          await page.getByRole("status").getByText(why).waitFor()
        })
        const replicas = Layer.succeed(Replicas, { here: `${here}/`, there: `${here}/` })
        yield* Effect.provide(told, Layer.merge(Chromium.layer, replicas))
      }).pipe(Effect.scoped, Effect.provide(quiet)),
    90_000
  )
})
