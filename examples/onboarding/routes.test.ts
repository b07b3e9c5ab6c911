/** The routes as a browser sees them: two clicks open one customer, and whatever is wrong has a status and a sentence. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schedule, type Scope } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import {
  Broker,
  Participant,
  ParticipantStore,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { Accounts, Archive, Cards, Mail, NotAcceptable, Screening } from "./contracts.ts"
import * as Customers from "./customers.ts"
import { Applications } from "./queues.ts"
import { Routes } from "./routes.ts"
import { OpenCustomer } from "./saga.ts"

/** The checks that have begun: the id of the message by the customer. The test says their results. */
class Checks extends Context.Service<Checks, Map<string, string>>()("onboarding/Checks") {}

const Services = Layer.mergeAll(
  Participant.layer(Screening, {
    Check: {
      accept: ({ customer }, messageId) =>
        Checks.use((checks) => Effect.sync(() => void checks.set(customer, messageId))),
      cancelled: () => Effect.void
    },
    Drop: () => Effect.void,
    Look: () => Effect.succeed({ passed: true })
  }),
  Participant.layer(Archive, { Open: () => Effect.succeed({ folder: "f-1" }), Discard: () => Effect.void }),
  Participant.layer(Accounts, { Open: () => Effect.succeed({ iban: "BE01" }), Close: () => Effect.void }),
  Participant.layer(Cards, { Print: () => Effect.succeed({ card: "card 1" }) }),
  Participant.layer(Mail, { Send: () => Effect.void })
)

const Sagas = Layer.merge(SagaManager.layer([OpenCustomer], { queues: [Applications] }), Services).pipe(
  Layer.provideMerge(Layer.sync(Checks, () => new Map())),
  Layer.provide([
    SagaConfig.layer({ service: "bank" }),
    SagaExecutionRepository.layerMemoryWith({ keep: 100 }),
    ParticipantStore.layerMemory,
    Broker.layerMemory,
    TransactionCommitter.layerNone,
    Customers.layerMemory
  ])
)

const form = { name: "Ada", email: "ada@example.org", branch: "Ghent", owners: ["Ada"] }
const yes = { approved: true, by: "Bob" }
const passport = { document: "passport 17" }
const again = Schedule.spaced("5 millis")

/** The screening service says the result of a check when it has begun. */
const checked = Effect.fnUntraced(function* (customer: string, result: Effect.Effect<void, NotAcceptable>) {
  const messageId = yield* Checks.use((checks) =>
    Effect.suspend(() => Effect.fromNullishOr(checks.get(customer)))
  ).pipe(Effect.retry(again))
  yield* Participant.answer(Screening.commands.Check, messageId, result)
})

const bank = Effect.gen(function* () {
  const services = yield* Effect.context<SagaManager.SagaManager>()
  const { dispose, handler } = HttpRouter.toWebHandler(
    Routes.pipe(Layer.provideMerge(Layer.succeedContext(services)), Layer.provide(HttpServer.layerServices)),
    { disableLogger: true }
  )
  yield* Effect.addFinalizer(() => Effect.promise(dispose))
  const ask = (path: string, init: RequestInit = {}) =>
    Effect.promise(async () => {
      const response = await handler(new Request(`http://localhost${path}`, init))
      const text = await response.text()
      return {
        status: response.status,
        location: response.headers.get("location"),
        body: text === "" ? {} : JSON.parse(text)
      }
    })
  const post = (path: string, body: unknown, headers = {}) =>
    ask(path, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body), headers })
  return {
    get: (path: string) => ask(path),
    post,
    status: (path: string, body: unknown) => Effect.map(post(path, body), ({ status }) => status),
    apply: (key: string, body: unknown = form) => post("/customers", body, { "idempotency-key": key }),
    see: (key: string, text: string) =>
      Effect.repeat(ask(`/customers/${key}`), { until: ({ body }) => String(body.text).startsWith(text) })
  }
})

const live = (title: string, test: Effect.Effect<void, unknown, Layer.Success<typeof Sagas> | Scope.Scope>) =>
  it.live(title, () => Effect.provide(Effect.scoped(test), Sagas))

describe("the routes", () => {
  live(
    "open one customer for two clicks",
    Effect.gen(function* () {
      const { apply, get, post, see, status } = yield* bank
      const [first, second] = yield* Effect.all([apply("ada"), apply("ada")], { concurrency: 2 })
      assert.deepStrictEqual([first.status, second.status], [202, 202])
      assert.strictEqual(first.location, "/customers/ada")
      yield* see("ada", "The check is under way")
      assert.deepStrictEqual((yield* get("/approvals")).body, { approvals: [] })

      yield* checked("ada", Effect.void)
      yield* see("ada", "The documents of the owners are awaited")
      assert.strictEqual(yield* status("/customers/ada/documents/Ada", passport), 200)
      yield* see("ada", "The branch is asked")
      const approvals = (yield* get("/approvals?branch=Ghent")).body.approvals
      assert.deepStrictEqual(
        approvals.map(({ customer, name }: { customer: string; name: string }) => [customer, name]),
        [["ada", "Ada"]]
      )
      assert.deepStrictEqual((yield* get("/approvals?branch=Porto")).body, { approvals: [] })

      const clicks = yield* Effect.all([post("/customers/ada/approval", yes), post("/customers/ada/approval", yes)], {
        concurrency: 2
      })
      assert.deepStrictEqual(
        clicks.map(({ status }) => status),
        [200, 200]
      )
      assert.strictEqual((yield* see("ada", "Welcome")).body.state, "open")
      assert.strictEqual(yield* status("/customers/ada/approval", yes), 200)
      assert.strictEqual(yield* status("/customers/ada/approval", { ...yes, approved: false }), 409)
      const { items } = yield* SagaManager.SagaManager.use(({ find }) => find({}))
      assert.lengthOf(items, 1)
    })
  )

  live(
    "say why a customer was not opened, and that a yes after that is too late",
    Effect.gen(function* () {
      const { apply, see, status } = yield* bank
      yield* apply("mallory")
      yield* checked("mallory", Effect.fail(new NotAcceptable({ remark: "on a list" })))
      assert.strictEqual((yield* see("mallory", "The check says no")).body.state, "not opened")
      assert.strictEqual(yield* status("/customers/mallory/approval", yes), 410)

      yield* apply("bea")
      yield* checked("bea", Effect.void)
      yield* status("/customers/bea/documents/Ada", passport)
      yield* status("/customers/bea/approval", { ...yes, approved: false })
      yield* see("bea", "The branch says no")
    })
  )

  live(
    "answer what is wrong with a status and a sentence",
    Effect.gen(function* () {
      const { apply, get, post, status } = yield* bank
      yield* apply("ada")
      assert.strictEqual((yield* apply("ada", { ...form, name: "Eve" })).status, 409)
      for (const bad of [
        "{",
        "",
        "[]",
        { name: "Ada" },
        { ...form, name: "" },
        { ...form, name: "a".repeat(101) },
        { ...form, owners: [] },
        { ...form, owners: ["A", "A"] }
      ]) {
        const { body, status } = yield* apply("eve", bad)
        assert.strictEqual(status, 400, JSON.stringify(bad))
        assert.isNotEmpty(body.problem)
      }
      for (const key of ["", "a b", "a".repeat(65), "a/b"]) assert.strictEqual((yield* apply(key)).status, 400, key)
      assert.strictEqual((yield* post("/customers", form)).status, 400)
      assert.strictEqual((yield* get("/customers/eve")).status, 404)
      assert.strictEqual((yield* get("/customers/a%20b")).status, 400)
      assert.strictEqual(yield* status("/customers/eve/approval", yes), 404)
      assert.strictEqual(yield* status("/customers/ada/approval", { approved: "yes", by: "Bob" }), 400)
      assert.strictEqual(yield* status("/customers/ada/approval", "{"), 400)
      assert.strictEqual((yield* get("/nothing")).status, 404)
    })
  )

  live(
    "are those of the README: its commands, one after the other, open Ada",
    Effect.gen(function* () {
      const { get, post, see } = yield* bank
      const readme = readFileSync(new URL("README.md", import.meta.url), "utf8")
      const commands = Array.from(
        readme.matchAll(/^curl (?:-i )?'?localhost:8080([^\s']+)'?(?: -H 'Idempotency-Key: (\S+)')?(?: -d '(.+)')?$/gm)
      )
      assert.lengthOf(commands, readme.split("\ncurl ").length - 1)
      const statuses: Array<number> = []
      for (const [, path = "", key, body] of commands) {
        // The README waits for the check here.
        if (path.startsWith("/approvals")) {
          yield* checked("ada-1", Effect.void)
          yield* see("ada-1", "The branch is asked")
        }
        const headers = key === undefined ? {} : { "idempotency-key": key }
        const answer = yield* body === undefined ? get(path) : post(path, body, headers)
        if (path.startsWith("/approvals")) assert.lengthOf(answer.body.approvals, 1)
        statuses.push(answer.status)
      }
      assert.deepStrictEqual(statuses, [202, 202, 200, 200, 200, 200, 200, 200])
      yield* see("ada-1", "Welcome")
    })
  )
})
