/** The request that a caller serves: its headers, its user, and what it is told at the end. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Ref } from "effect"
import { Broker, RequestContext, SagaManager, SagaResponse } from "effect-saga"
import { agreeable, CreateOrder, charged, context, refusing, reserved, start, until } from "../fixtures/manager.ts"

const parent = "0c3a2a4e-5d3b-4c59-9a3a-4a1f6a1b2c3d"

const within = (headers: Record<string, string>, user?: string) =>
  Effect.map(Ref.make<Readonly<Record<string, string>>>(headers), (ref) => ({
    ref,
    serve: RequestContext.provide({ headers: ref, user })
  }))

const services = (headers: Readonly<Record<string, string>>) =>
  (headers.related_services ?? "").split(",").filter((name) => name !== "")

describe("headers", () => {
  it.effect(
    "MGR-003 after a run the request has the services of all steps in related_services, and no other change",
    () =>
      Effect.gen(function* () {
        const { use, wire } = yield* start()
        wire.answer = agreeable
        const { ref, serve } = yield* within({ tenant: "acme", "x-request": "1" })
        yield* serve(use(SagaManager.run(CreateOrder, { context })))
        const { related_services, ...others } = yield* Ref.get(ref)
        assert.deepStrictEqual(new Set(related_services?.split(",")), new Set(["orders", "stock", "payments"]))
        assert.strictEqual(related_services?.split(",").length, 3)
        assert.deepStrictEqual(others, { tenant: "acme", "x-request": "1" })
      })
  )

  it.effect("MGR-003 related_services has the services of all steps also after a run that fails or is resumed", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      wire.answer = refusing
      const failing = yield* within({})
      yield* failing.serve(Effect.exit(use(SagaManager.run(CreateOrder, { context }))))
      assert.deepStrictEqual(services(yield* Ref.get(failing.ref)).sort(), ["orders", "payments", "stock"])

      wire.answer = () => undefined
      const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      const resuming = yield* within({ tenant: "acme" })
      const response = new SagaResponse({
        uuid,
        step: "stock",
        content: reserved.content,
        relatedServices: ["stock", "warehouse"]
      })
      yield* resuming.serve(use(SagaManager.run({ response, pauseOnDisk: true })))
      assert.deepStrictEqual(services(yield* Ref.get(resuming.ref)).sort(), ["orders", "stock", "warehouse"])
    })
  )

  it.effect("MGR-004 related_services that are there already are kept, each once", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      wire.answer = agreeable
      const { ref, serve } = yield* within({ related_services: "stock, crm ,stock" })
      yield* serve(use(SagaManager.run(CreateOrder, { context })))
      assert.deepStrictEqual(services(yield* Ref.get(ref)).sort(), ["crm", "orders", "payments", "stock"])
    })
  )

  it.effect(
    "headers of a request go with every message, also compensations, except those that are fields of the envelope",
    () =>
      Effect.gen(function* () {
        const { use, wire } = yield* start()
        wire.answer = refusing
        const { serve } = yield* within({
          tenant: "acme",
          saga: parent,
          transactions: `${parent}, ${parent.toUpperCase()},no-uuid,`,
          related_services: "crm"
        })
        yield* Effect.exit(serve(use(SagaManager.run(CreateOrder, { context }))))
        assert.deepStrictEqual(
          wire.sent.map(({ envelope }) => envelope.op),
          ["execute", "execute", "failure"]
        )
        for (const { address, body, envelope } of wire.sent) {
          assert.deepStrictEqual(envelope.headers, { tenant: "acme" })
          // A receiver refuses the whole message if this is no uuid.
          assert.deepStrictEqual(new Set(envelope.transactions), new Set([parent]))
          assert.notStrictEqual(envelope.saga, parent)
          assert.isUndefined(envelope.user)
          yield* Broker.decode({ address, body })
        }
      })
  )

  for (const [user, headers] of [
    [undefined, { tenant: "acme", user: "eve" }],
    ["ada", { tenant: "acme" }]
  ] as const)
    it.effect(`EXR-017, F33: a header user goes along unless the execution has a user (${user ?? "none"})`, () =>
      Effect.gen(function* () {
        const { journal, use, wire } = yield* start()
        wire.answer = refusing
        const { serve } = yield* within({ tenant: "acme", user: "eve" }, user)
        yield* Effect.exit(serve(use(SagaManager.run(CreateOrder, { context }))))
        assert.strictEqual(wire.sent.length, 3)
        for (const { envelope } of wire.sent) {
          assert.deepStrictEqual(envelope.headers, headers)
          // A header is a claim of the caller: it never becomes the user of the execution.
          assert.strictEqual(envelope.user, user)
        }
        assert.deepStrictEqual(new Set(journal.map((line) => line.user)), new Set([user]))
      })
    )

  it.effect("an execution in a transaction adds itself to those of the request", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start({ enrols: true })
      wire.answer = agreeable
      const { serve } = yield* within({ transactions: parent })
      const { uuid } = yield* serve(use(SagaManager.run(CreateOrder, { context })))
      assert.deepStrictEqual(
        wire.sent.map(({ envelope }) => envelope.transactions),
        [
          [parent, uuid],
          [parent, uuid]
        ]
      )
    })
  )

  it.effect("a header that no receiver would accept is left out, and the message is sent", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      wire.answer = agreeable
      const headers = JSON.parse('{"__proto__": "x", "constructor": "y", "tenant": "acme"}')
      const { serve } = yield* within(headers)
      yield* serve(use(SagaManager.run(CreateOrder, { context })))
      for (const { address, body } of wire.sent) {
        const envelope = yield* Broker.decode({ address, body })
        assert.deepStrictEqual(envelope.headers, { tenant: "acme" })
      }
    })
  )

  it.effect("later changes of the request do not reach an execution that is under way", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      const { ref, serve } = yield* within({ tenant: "acme" })
      const { uuid } = yield* serve(use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true })))
      yield* Ref.set(ref, { tenant: "other" })
      const response = new SagaResponse({ uuid, step: "stock", content: reserved.content })
      yield* serve(use(SagaManager.run({ response, pauseOnDisk: true })))
      assert.deepStrictEqual(
        wire.sent.map(({ envelope }) => envelope.headers),
        [{ tenant: "acme" }, { tenant: "acme" }]
      )
    })
  )
})

describe("user", () => {
  it.effect("MGR-013 the user of the request wins over the one given to run, and the log says so", () =>
    Effect.gen(function* () {
      const { journal, logged, use, wire } = yield* start()
      wire.answer = agreeable
      const { serve } = yield* within({}, "ada")
      const execution = yield* serve(use(SagaManager.run(CreateOrder, { context, user: "eve" })))
      assert.strictEqual(execution.user, "ada")
      assert.deepStrictEqual(
        wire.sent.map(({ envelope }) => envelope.user),
        ["ada", "ada"]
      )
      assert.deepStrictEqual(new Set(journal.map(({ user }) => user)), new Set(["ada"]))
      assert.match(logged.join(), /The user of the request is used/)
    })
  )

  it.effect("nothing is logged when both users are the same", () =>
    Effect.gen(function* () {
      const { logged, use, wire } = yield* start()
      wire.answer = agreeable
      const same = yield* within({}, "ada")
      yield* same.serve(use(SagaManager.run(CreateOrder, { context, user: "ada" })))
      yield* same.serve(use(SagaManager.run(CreateOrder, { context })))
      const nobody = yield* within({})
      yield* nobody.serve(use(SagaManager.run(CreateOrder, { context, user: "eve" })))
      yield* use(SagaManager.run(CreateOrder, { context }))
      assert.deepStrictEqual(
        wire.sent.map(({ envelope }) => envelope.user),
        ["ada", "ada", "ada", "ada", "eve", "eve", undefined, undefined]
      )
      assert.deepStrictEqual(logged, [])
    })
  )

  it.effect("the user of an execution stays the one of its start, also if another request brings the reply", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, user: "ada", pauseOnDisk: true }))
      const { serve } = yield* within({ tenant: "acme" }, "eve")
      const resume = (content: unknown) =>
        serve(
          use(
            SagaManager.run({
              response: new SagaResponse({ uuid, step: content === charged.content ? "payment" : "stock", content }),
              pauseOnDisk: true
            })
          )
        )
      yield* resume(reserved.content)
      yield* resume(charged.content)
      yield* until("both requests", () => wire.sent.length === 2)
      assert.deepStrictEqual(
        wire.sent.map(({ envelope }) => [envelope.user, envelope.headers]),
        [
          ["ada", undefined],
          ["ada", undefined]
        ]
      )
    })
  )
})
