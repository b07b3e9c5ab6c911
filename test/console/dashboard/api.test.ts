/** The API of the dashboard and the files of its page: who is let in, what is shown, what is done. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer, Logger, Schedule } from "effect"
import type { HttpRouter } from "effect/http"
import { Inspector, Saga, SagaManager } from "effect-saga"
import { Dashboard, type DashboardAuth } from "effect-saga/dashboard"
import * as Shop from "../../fixtures/shop.ts"
import { type Answer, asking, doubt, World, writing } from "./served.ts"

const api = "/ops/sagas/api"

/** Real time: processes wait for each other. */
const live = (name: string, work: Effect.Effect<unknown, unknown, any>) =>
  it.live(
    name,
    () => work.pipe(Effect.scoped, Effect.provide([World, Logger.layer([])])) as Effect.Effect<unknown, unknown>
  )

/** Asks again until the answer is as wanted. */
const until = <A>(ask: Effect.Effect<A, unknown, any>, isWanted: (answer: A) => boolean) =>
  Effect.repeat(ask, { until: isWanted, schedule: Schedule.spaced("20 millis"), times: 1_000 }) as Effect.Effect<A>

const of = (ask: (path: string) => Effect.Effect<Answer>, key: string) =>
  Effect.map(
    until(ask(`${api}/executions?startKey=${key}`), ({ body }) => body.items.length > 0),
    ({ body }) => body.items[0]
  )

/** The same ten minutes later, for those that wait. */
const later = Effect.map(Inspector.Inspector, (inspector) => ({
  ...inspector,
  waiting: Effect.map(inspector.waiting, (groups) =>
    groups.map((group) => ({ ...group, oldest: group.oldest - 600_000 }))
  )
}))

describe("attention", () => {
  live(
    "a service that is silent for long has a group, with the service to look at; people and times have none",
    Effect.gen(function* () {
      yield* Shop.order("far-1", "Far")
      yield* Shop.order("dear-1", "Ghent", 5_000)
      yield* SagaManager.start(Shop.Reminder, { context: { customer: "ada" } })
      const now = yield* asking()
      yield* until(now.ask(`${api}/waiting`), ({ body }) => body.groups.length === 3)
      const groupsOf = ({ body }: Answer): ReadonlyArray<any> => body.groups
      assert.deepStrictEqual(groupsOf(yield* now.ask(`${api}/attention`)), [])
      const { ask } = yield* Effect.provideServiceEffect(asking(), Inspector.Inspector, later)
      const groups = groupsOf(yield* ask(`${api}/attention`))
      assert.deepStrictEqual(
        groups.map(({ at, cause, count, items, kind, service, waitsFor }) => [
          ...[kind, cause, service, waitsFor, at, count],
          items.map(({ startKey }: any) => startKey)
        ]),
        [["unanswered", "no answer from courier/Book", "courier", "courier/Book", "courier", 1, ["far-1"]]]
      )
    })
  )

  live(
    "groups of one cause that failed for different reasons are two, and a group says why its step is parked",
    Effect.gen(function* () {
      yield* Shop.order("sunk-1", "Parked")
      yield* Shop.order("sunk-2", "Parked", 13)
      const { ask } = yield* asking()
      const { body } = yield* until(ask(`${api}/attention`), ({ body }) => body.groups.length === 2)
      assert.sameDeepMembers(
        body.groups.map(({ cause, failure, step }: any) => [step, cause, failure]),
        [
          ["reservation", "StepDefect", "NoCourier"],
          ["reservation", "StepDefect", "CardDeclined"]
        ]
      )
    })
  )
})

describe("the door", () => {
  it("needs a DashboardAuth", () => {
    const routes = Dashboard.layer({ path: "/sagas" })
    // @ts-expect-error: the layer requires a DashboardAuth, so it cannot run without one
    const open: Layer.Layer<never, unknown, HttpRouter.HttpRouter | Inspector.Inspector> = routes
    const closed: Layer.Layer<never, unknown, HttpRouter.HttpRouter | Inspector.Inspector | DashboardAuth> = routes
    assert.strictEqual(open, closed)
  })

  live(
    "gives the application's answer to whoever is not let in, on every route",
    Effect.gen(function* () {
      const { ask } = yield* asking()
      const { body } = yield* ask(`${api}/openapi.json`)
      const paths = [...Object.keys(body.paths), "/ops/sagas/", "/ops/sagas/app.js", "/ops/sagas/frame.css"]
      assert.isAbove(paths.length, 14)
      for (const path of paths) {
        const method = body.paths[path]?.post === undefined ? "GET" : "POST"
        const answer = yield* ask(path.replace("{uuid}", "x"), {
          method,
          may: "",
          ...(method === "POST" && { body: {} })
        })
        assert.deepStrictEqual([path, answer.status, answer.body], [path, 401, "Sign in"])
      }
    })
  )

  live(
    "shows nothing to a visitor without the right to read",
    Effect.gen(function* () {
      const { ask } = yield* asking()
      for (const path of ["/ops/sagas/", "/ops/sagas/app.js", `${api}/overview`, `${api}/events`])
        assert.strictEqual((yield* ask(path, { may: "act" })).status, 403, path)
    })
  )

  live(
    "takes no write of a reader, of another site, or without its header: each route",
    Effect.gen(function* () {
      yield* Shop.order("dear", "Ghent", 5_000)
      const { ask } = yield* asking()
      const { uuid } = yield* until(of(ask, "dear"), ({ waitsFor }) => waitsFor === "signal approval")
      const { body } = yield* ask(`${api}/openapi.json`)
      const writes = Object.entries<any>(body.paths).filter(([, methods]) =>
        Object.keys(methods).some((one) => one !== "get")
      )
      assert.deepStrictEqual(
        writes.map(([path]) => path),
        [`${api}/executions/{uuid}/actions`, `${api}/doubts`]
      )
      const bodies = [
        ...["cancel", "retry", "resolve", "commit", "reject"].map((action) => ({ action, reason: "try" })),
        { action: "signal", signal: "approval", payload: { approved: true, by: "eve" }, reason: "try" },
        { service: "payments", transaction: uuid, decision: "commit", reason: "try" }
      ]
      for (const [path] of writes) {
        const to = path.replace("{uuid}", uuid)
        for (const body of bodies) {
          assert.strictEqual((yield* ask(to, writing(body, "read-values"))).status, 403)
          assert.strictEqual((yield* ask(to, { ...writing(body), headers: {} })).status, 403)
          const foreign = { ...writing(body), headers: { "x-effect-saga": "x", "sec-fetch-site": "cross-site" } }
          assert.strictEqual((yield* ask(to, foreign)).status, 403)
        }
      }
      const after = yield* ask(`${api}/executions/${uuid}`)
      assert.deepStrictEqual([after.body.row.shown, after.body.asked], ["waiting", []])
    })
  )

  live(
    "says in every answer that only its own origin counts, and that nothing is kept",
    Effect.gen(function* () {
      const { ask } = yield* asking()
      for (const [path, status] of [
        ["/ops/sagas/", 200],
        ["/ops/sagas", 302],
        ["/ops/sagas/app.js", 200],
        [`${api}/overview`, 200],
        [`${api}/executions/none`, 404],
        [`${api}/executions?after=nonsense`, 400],
        [`${api}/executions?attribute=nonsense`, 400],
        [`${api}/executions?shown=nonsense`, 400]
      ] as const) {
        const { headers, status: is } = yield* ask(path)
        assert.deepStrictEqual([path, is], [path, status])
        assert.match(headers.get("content-security-policy") ?? path, /^default-src 'self'; .*frame-ancestors 'none'$/)
        assert.strictEqual(headers.get("x-content-type-options"), "nosniff")
        assert.strictEqual(headers.get("cache-control"), path.includes("api/") ? "no-store" : "no-cache", path)
      }
    })
  )
})

describe("the page", () => {
  for (const path of ["/", "/sagas", "/deep/ops/sagas/"] as const)
    live(
      `works under ${path}`,
      Effect.gen(function* () {
        const { ask } = yield* asking({ path })
        const base = path.replace(/\/$/, "")
        const page = yield* ask(`${base}/`)
        assert.deepStrictEqual([page.status, page.headers.get("content-type")], [200, "text/html; charset=utf-8"])
        assert.notMatch(page.body, /(?:src|href)="(?:\/|http)/)
        for (const [, file = ""] of page.body.matchAll(/(?:src|href)="([\w.]+)"/g)) {
          const { headers, status } = yield* ask(`${base}/${file}`)
          assert.strictEqual(status, 200, file)
          const again = yield* ask(`${base}/${file}`, { headers: { "if-none-match": headers.get("etag") ?? "" } })
          assert.deepStrictEqual([again.status, again.body], [304, ""])
        }
        if (base !== "") {
          const { headers, status } = yield* ask(base)
          const to = new URL(headers.get("location") ?? "", `http://shop.example${base}`)
          assert.deepStrictEqual([status, to.pathname], [302, `${base}/`])
        }
      })
    )

  live(
    "refuses a path that is none, and sagas that cannot run",
    Effect.gen(function* () {
      const twice = Saga.make("Broken", { context: {} }).pipe(
        Saga.local("one", { execute: () => Effect.void }),
        // @ts-expect-error: the name is used twice
        Saga.local("one", { execute: () => Effect.void })
      )
      const broken = Saga.commit(twice)
      for (const options of [{ path: "/a b" }, { path: "/:id" }, { sagas: [broken] }] as const) {
        const { ask } = yield* asking(options)
        assert.strictEqual((yield* Effect.exit(ask("/")))._tag, "Failure")
      }
    })
  )
})

describe("what is shown", () => {
  live(
    "the overview has what needs a person, and counts what is parked once",
    Effect.gen(function* () {
      const { ask } = yield* asking()
      yield* Shop.order("sunk", "Parked")
      yield* Shop.order("dear", "Ghent", 5_000)
      yield* Shop.order("plain", "Ghent")
      const { body } = yield* until(ask(`${api}/overview`), ({ body }) => body.attention.length > 0)
      assert.deepInclude(body.attention[0], { kind: "parked", saga: "PlaceOrder", step: "reservation", count: 1 })
      const counts = Object.fromEntries(body.sagas[0].counts.map(({ count, shown }: any) => [shown, count]))
      assert.deepInclude(counts, { waiting: 1, parked: 1, finished: 1 })
      assert.strictEqual(counts.undoing ?? 0, 0)
      assert.strictEqual(body.minutes.at(-1).started + body.minutes.at(-2).started, 3)
      assert.deepStrictEqual(
        body.oldestWaiting.map(({ startKey }: any) => startKey),
        ["dear"]
      )
    })
  )

  live(
    "the list has filters, and pages in both directions",
    Effect.gen(function* () {
      const { ask } = yield* asking()
      for (let i = 0; i < 5; i++) yield* Shop.order(`order-${i}`, "Ghent", 20, i === 3 ? "grace" : "ada")
      const keys = (query: string) =>
        Effect.map(ask(`${api}/executions?${query}`), ({ body }) => body.items.map(({ startKey }: any) => startKey))
      yield* until(keys("shown=finished"), (found) => found.length === 5)
      const first = yield* ask(`${api}/executions?limit=2`)
      const second = yield* ask(`${api}/executions?limit=2&after=${first.body.next}`)
      const back = yield* ask(`${api}/executions?limit=2&before=${second.body.previous}`)
      assert.deepStrictEqual(back.body.items, first.body.items)
      assert.notDeepEqual(second.body.items, first.body.items)
      assert.deepStrictEqual(yield* keys("attribute=customer%3Dgrace"), ["order-3"])
      assert.deepStrictEqual(yield* keys("user=grace&saga=PlaceOrder"), ["order-3"])
      assert.deepStrictEqual(yield* keys("startKey=order-4"), ["order-4"])
      for (const query of [
        "shown=parked",
        "shown=undoing",
        "shown=committing",
        "olderThan=60000",
        "waitsFor=timer",
        "attribute=n%3D5"
      ])
        assert.deepStrictEqual(yield* keys(query), [], query)
    })
  )

  live(
    "an execution has its steps with their fates, its times, its story and what may be done",
    Effect.gen(function* () {
      const { ask } = yield* asking()
      yield* Shop.order("sunk", "Parked")
      const { uuid } = yield* until(of(ask, "sunk"), ({ shown }) => shown === "parked")
      const { body } = yield* ask(`${api}/executions/${uuid}`)
      const fates = (steps: ReadonlyArray<any>): Record<string, string> =>
        Object.assign(
          {},
          ...steps.map(({ fate, inside, name }) => ({
            [name]: fate,
            ...Object.assign({}, ...inside.map(({ steps }: any) => fates(steps)))
          }))
        )
      assert.deepStrictEqual(fates(body.diagram), {
        reservation: "parked",
        payment: "undone",
        check: "undone",
        answer: "passed",
        delivery: "undone",
        parcel: "failed",
        letter: "undone",
        far: "passed",
        courier: "passed"
      })
      assert.deepStrictEqual(body.cause, { tag: "NoCourier", step: "parcel" })
      assert.deepInclude(body.parked[0], { path: "0", step: "reservation", kind: "compensation" })
      assert.deepStrictEqual(body.actions, ["retry", "resolve"])
      const reservation = body.lanes.find(({ path }: any) => path === "0")
      assert.deepStrictEqual(
        reservation.attempts.map(({ kind, outcome }: any) => [kind, outcome]),
        [
          ["execute", "succeeded"],
          ["undo", "failed: StepDefect"],
          ["parked", undefined]
        ]
      )
      assert.include(
        body.story.map(({ text }: any) => text),
        "parcel failed: NoCourier"
      )
      assert.deepStrictEqual(
        body.messages.map(({ way, what }: any) => [way, what]),
        [
          ["out", "payments/Charge"],
          ["in", "answer"],
          ["out", "payments/Refund"]
        ]
      )
      assert.notInclude(JSON.stringify(body), 'Parked"')
    })
  )

  live(
    "a dashboard without the sagas shows the steps that have begun",
    Effect.gen(function* () {
      const { ask } = yield* asking({ path: "/ops/sagas" })
      yield* Shop.order("dear", "Ghent", 5_000)
      const { uuid } = yield* until(of(ask, "dear"), ({ waitsFor }) => waitsFor === "signal approval")
      const { body } = yield* ask(`${api}/executions/${uuid}`)
      assert.deepStrictEqual([body.known, body.plan], [false, undefined])
      assert.deepStrictEqual(
        body.diagram.map(({ does, fate, name }: any) => [name, fate, does]),
        [
          ["reservation", "done", undefined],
          ["payment", "done", "payments/Charge"],
          ["check", "waiting", undefined]
        ]
      )
      assert.isUndefined(body.waits[0].form)
      assert.deepInclude((yield* ask(`${api}/sagas`)).body[0], { name: "PlaceOrder", known: false, live: 1 })
    })
  )

  live(
    "the sagas have their diagrams, and what each failing step undoes",
    Effect.gen(function* () {
      const { ask } = yield* asking()
      const [place, reminder] = (yield* ask(`${api}/sagas`)).body
      assert.deepStrictEqual([place.name, place.latest, reminder.name], ["PlaceOrder", true, "Reminder"])
      const plan = place.plans.find(({ step }: any) => step === "parcel").plan
      assert.deepStrictEqual(plan, [
        { path: "1", step: "payment", how: "remote", target: "payments/Refund" },
        { path: "0", step: "reservation", how: "local" }
      ])
    })
  )

  it.live("values are shown only to those who may see them, and that is logged", () => {
    const logged: Array<unknown> = []
    const log = Logger.layer([Logger.make(({ message }) => void logged.push(message))])
    return Effect.gen(function* () {
      const { ask } = yield* asking()
      yield* Shop.order("dear", "Ghent", 5_000, "a secret")
      const { uuid } = yield* of(ask, "dear")
      const refused = yield* ask(`${api}/executions/${uuid}/values`, { may: "read-act" })
      assert.deepStrictEqual([refused.status, refused.body.why], [403, "You may not see stored values"])
      const shown = yield* ask(`${api}/executions/${uuid}/values`, { may: "read-values" })
      assert.deepInclude(shown.body.context, { city: "Ghent", amount: 5_000, customer: "a secret" })
      assert.strictEqual(shown.body.facts[0]._tag, "ExecutionCreated")
      const line = ["A visitor of the dashboard sees stored values", { actor: "ada@example.com", uuid }]
      assert.deepStrictEqual(
        logged.filter((one) => String(one).includes("visitor")),
        [line]
      )
      assert.notInclude(JSON.stringify(logged), "a secret")
    }).pipe(Effect.scoped, Effect.provide(World), Effect.provide(log))
  })
})

describe("what is done", () => {
  live(
    "an answer that its schema refuses is refused; a good one goes to the history with its actor",
    Effect.gen(function* () {
      const { ask } = yield* asking()
      yield* Shop.order("dear", "Ghent", 5_000)
      const { uuid } = yield* until(of(ask, "dear"), ({ waitsFor }) => waitsFor === "signal approval")
      const { body } = yield* ask(`${api}/executions/${uuid}`)
      assert.deepInclude(body.waits[0], { step: "answer", signal: "approval" })
      assert.deepStrictEqual(Object.keys(body.waits[0].form.properties), ["approved", "by", "limit"])
      const act = (payload: unknown) =>
        ask(
          `${api}/executions/${uuid}/actions`,
          writing({ action: "signal", signal: "approval", payload, reason: "checked" })
        )
      const wrong = yield* act({ approved: "yes" })
      assert.strictEqual(wrong.status, 400)
      assert.match(wrong.body.why, /^approval says something else/)
      assert.deepStrictEqual((yield* act({ approved: true, by: "ada" })).body, { answer: "applied" })
      const after = yield* until(ask(`${api}/executions/${uuid}`), ({ body }) => body.row.settled)
      assert.include(
        after.body.story.map(({ text }: any) => text),
        "the signal approval has come from ada@example.com"
      )
    })
  )

  live(
    "a cancel says before what it undoes",
    Effect.gen(function* () {
      const { ask } = yield* asking()
      yield* Shop.order("dear", "Ghent", 5_000)
      const { uuid } = yield* until(of(ask, "dear"), ({ waitsFor }) => waitsFor === "signal approval")
      const { body } = yield* ask(`${api}/executions/${uuid}`)
      assert.deepStrictEqual(
        body.plan.map(({ step }: any) => step),
        ["payment", "reservation"]
      )
      const act = () => ask(`${api}/executions/${uuid}/actions`, writing({ action: "cancel", reason: "ordered twice" }))
      assert.strictEqual((yield* act()).body.answer, "applied")
      const after = yield* until(ask(`${api}/executions/${uuid}`), ({ body }) => body.row.settled)
      assert.strictEqual(after.body.row.shown, "undone")
      assert.strictEqual((yield* act()).body.answer, "applied")
      assert.strictEqual((yield* ask(`${api}/executions/${uuid}`)).body.revision, after.body.revision)
    })
  )

  live(
    "a service in doubt is decided by hand, once, and its process carries that out",
    Effect.gen(function* () {
      const transaction = "01890000-0000-7000-8000-000000000001"
      yield* doubt(transaction)
      const { ask } = yield* asking()
      const { body } = yield* ask(`${api}/attention`)
      assert.deepStrictEqual(body.doubts, [
        { service: "payments", transaction, coordinator: "former-orders", since: 1 }
      ])
      const decide = (decision: string) =>
        ask(`${api}/doubts`, writing({ service: "payments", transaction, decision, reason: "its database says so" }))
      assert.include(["applied", "waiting"], (yield* decide("commit")).body.answer)
      assert.strictEqual((yield* decide("reject")).body.answer, "refused")
      yield* until(ask(`${api}/attention`), ({ body }) => body.doubts.length === 0)
    })
  )

  live(
    "a reason is needed, and an action on nothing is told so",
    Effect.gen(function* () {
      const { ask } = yield* asking()
      const none = "01a226eb-a3eb-7d39-8ee9-e76ba3a0acbc"
      const act = (body: unknown) => ask(`${api}/executions/${none}/actions`, writing(body))
      assert.strictEqual((yield* act({ action: "cancel", reason: "" })).status, 400)
      assert.strictEqual((yield* act({ action: "cancel", reason: "why not" })).status, 404)
      assert.strictEqual((yield* act({ action: "signal", reason: "no name" })).status, 400)
    })
  )

  live(
    "what happens is told to every listener, and each replica shows the same",
    Effect.gen(function* () {
      const [here, there] = [yield* asking(), yield* asking({ path: "/ops/sagas" })]
      const heard: Array<string> = []
      yield* there.listen(`${api}/events`, (state) => heard.push(state))
      yield* until(
        Effect.sync(() => heard.length),
        (n) => n === 1
      )
      yield* Shop.order("sunk", "Parked")
      const { uuid } = yield* until(of(here.ask, "sunk"), ({ shown }) => shown === "parked")
      yield* until(
        Effect.sync(() => new Set(heard).size),
        (n) => n > 1
      )
      const row = { uuid, shown: "parked" }
      assert.deepInclude((yield* there.ask(`${api}/executions/${uuid}`)).body.row, row)
      const retry = writing({ action: "retry", reason: "the stock is back" })
      Shop.shop.stockIsBack = true
      yield* there.ask(`${api}/executions/${uuid}/actions`, retry)
      const after = yield* until(here.ask(`${api}/executions/${uuid}`), ({ body }) => body.row.settled)
      assert.strictEqual(after.body.row.shown, "undone")
    })
  )
})
