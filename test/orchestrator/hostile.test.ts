/** Hostile values at the doors of a manager (SPEC C11, I29): from plain JavaScript, and over the broker (SPEC I17, I19). */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema, Struct } from "effect"
import { type Broker, Saga, SagaExecution, SagaManager, SagaResponse, Signal } from "effect-saga"
import { Envelope } from "effect-saga/internals"
import { hostile, hostileBodies, hostileInCode, textOf } from "../fixtures/hostile.ts"
import { CreateOrder, context, counting, messageOf, outcomes, reserved, start } from "../fixtures/manager.ts"
import { turn } from "../fixtures/repository.ts"

const everything = [...hostile, ...hostileInCode]
const nowhere = "01890000-0000-4000-8000-000000000000"

describe("C16 arguments from plain JavaScript", () => {
  /** Any payload will do. */
  const Told = Signal.make("told", { payload: Schema.Unknown })
  const Waits = Saga.make("Waits", { context: {} }).pipe(
    Saga.waitFor("ask", { signal: Told, key: () => "a key that nobody else has" }),
    Saga.commit
  )

  /** A manager with an execution that waits for a reply, and one that waits for a signal. */
  const waiting = Effect.gen(function* () {
    const world = yield* start({ keep: 1_000, sagas: [CreateOrder, Waits] })
    const { uuid } = yield* world.use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
    const asking = yield* world.use(SagaManager.run(Waits, { context: {}, pauseOnDisk: true }))
    return { ...world, uuid, asking: asking.uuid }
  })

  /** Casts: nothing of it is what the types say. */
  const untyped: any = SagaManager

  /** The doors, with a value in each place; `use` provides the manager. */
  const doors = (
    manager: any,
    uuid: string,
    asking: string
  ): Readonly<Record<string, (value: any) => Effect.Effect<unknown, any, any>>> => ({
    "run(it)": (it) => untyped.run(it),
    "run(it, options)": (it) => untyped.run(it, { context }),
    "run(saga, it)": (it) => untyped.run(CreateOrder, it),
    "run({ context })": (it) => untyped.run(CreateOrder, { context: it }),
    "run({ response })": (it) => untyped.run({ response: it }),
    "start(it)": (it) => untyped.start(it, { context }),
    "start(saga, it)": (it) => untyped.start(CreateOrder, it),
    "start({ uuid })": (it) => untyped.start(CreateOrder, { context, uuid: it }),
    "start({ startKey })": (it) => untyped.start(CreateOrder, { context, startKey: it }),
    "start({ user })": (it) => untyped.start(CreateOrder, { context, user: it }),
    "start({ autocommit })": (it) => untyped.start(CreateOrder, { context, autocommit: it }),
    "execute(it)": (it) => untyped.execute(it, { context }),
    "execute(saga, it)": (it) => untyped.execute(CreateOrder, it),
    "resume(it)": (it) => untyped.resume(it),
    "resume(response, it)": (it) => untyped.resume(new SagaResponse({ uuid: nowhere, content: null }), it),
    "resume({ uuid })": (it) => untyped.resume({ status: 200, content: null, relatedServices: [], uuid: it }),
    ...Object.fromEntries(
      ["status", "relatedServices", "requestId", "service", "content"].map((field) => [
        `resume({ ${field} })`,
        (it: unknown) => untyped.resume({ status: 200, content: null, relatedServices: [], uuid: nowhere, [field]: it })
      ])
    ),
    "signal(it)": (it) => untyped.signal(it, { uuid: asking, payload: null }),
    "signal({ name })": (it) => untyped.signal({ ...Told, name: it }, { uuid: asking, payload: null }),
    "signal(signal, it)": (it) => untyped.signal(Told, it),
    ...Object.fromEntries(
      ["payload", "key", "id", "actor", "uuid", "startKey"].map((field) => [
        `signal({ ${field} })`,
        (it: unknown) => untyped.signal(Told, { uuid: asking, payload: null, [field]: it })
      ])
    ),
    load: (it) => manager.load(it),
    cancel: (it) => manager.cancel(it),
    "cancel(who)": (it) => manager.cancel(nowhere, it),
    "cancel({ actor })": (it) => manager.cancel(nowhere, { actor: it }),
    "cancel({ reason })": (it) => manager.cancel(nowhere, { actor: "ann", reason: it }),
    commit: (it) => manager.commit(it),
    reject: (it) => manager.reject(it),
    "reject(who)": (it) => manager.reject(nowhere, it),
    retryParked: (it) => manager.retryParked(it, "0", { actor: "ann" }),
    "retryParked(path)": (it) => manager.retryParked(uuid, it, { actor: "ann" }),
    "retryParked(who)": (it) => manager.retryParked(uuid, "0", it),
    resolveParked: (it) => manager.resolveParked(it, "0", { actor: "ann", reason: "done" }),
    "resolveParked({ reason })": (it) => manager.resolveParked(uuid, "0", { actor: "ann", reason: it }),
    find: (it) => manager.find(it),
    ...Object.fromEntries(
      ["saga", "status", "parked", "startKey", "user", "settled", "createdBefore", "createdAfter"].map((field) => [
        `find({ ${field} })`,
        (it: unknown) => manager.find({ [field]: it })
      ])
    ),
    "find(page)": (it) => manager.find({}, it),
    "find({ limit })": (it) => manager.find({}, { limit: it }),
    "find({ after })": (it) => manager.find({}, { after: it })
  })

  it.effect("every argument with every hostile value is taken or is a typed error, and no defect", () =>
    Effect.gen(function* () {
      const { asking, manager, use, uuid } = yield* waiting
      const { revision } = yield* manager.load(uuid)
      for (const [door, call] of Object.entries(doors(manager, uuid, asking)))
        for (const [name, value] of everything) {
          const exit = yield* use(Effect.exit(Effect.asVoid(call(value))))
          const defects = Exit.isSuccess(exit) ? [] : exit.cause.reasons.filter(({ _tag }) => _tag !== "Fail")
          assert.deepStrictEqual(defects, [], `${door}: ${name}`)
        }
      assert.strictEqual((yield* manager.load(uuid)).revision, revision)
      assert.strictEqual((yield* manager.load(asking)).status, "paused")
      const right = { uuid: asking, key: "a key that nobody else has", payload: "yes" }
      assert.strictEqual(yield* use(SagaManager.signal(Told, right)), "applied")
    })
  )

  it.effect("a wrong argument is SagaInvalidArgument with its name; a call without anything says what is missing", () =>
    Effect.gen(function* () {
      const { manager: typed, use, uuid } = yield* waiting
      const manager: any = typed
      const isMeant = (name: string) => `is no option; is ${name} meant?`
      const said: ReadonlyArray<readonly [Effect.Effect<unknown, any, any>, object]> = [
        [untyped.run({}), { _tag: "SagaInvalidArgument", argument: "response" }],
        [untyped.run(undefined), { _tag: "SagaInvalidArgument", argument: "response" }],
        [untyped.run({ response: {} }), { _tag: "SagaResponseUnaddressed" }],
        [untyped.run(undefined, { context }), { _tag: "SagaInvalidArgument", argument: "saga" }],
        [untyped.run({}, { context }), { _tag: "SagaInvalidArgument", argument: "saga.name" }],
        [untyped.run(CreateOrder, undefined), { _tag: "SagaInvalidArgument", argument: "options" }],
        [untyped.start(CreateOrder, { context, uuid: 5 }), { _tag: "SagaInvalidArgument", argument: "uuid" }],
        [
          untyped.start(CreateOrder, { context, autocommit: 1n }),
          { _tag: "SagaInvalidArgument", argument: "autocommit" }
        ],
        [untyped.start(CreateOrder, { context, startkey: "a" }), { argument: "startkey", issue: isMeant("startKey") }],
        [
          untyped.run(CreateOrder, { context, pauseOnDisc: true }),
          { argument: "pauseOnDisc", issue: isMeant("pauseOnDisk") }
        ],
        [untyped.load(CreateOrder, { uid: uuid }), { argument: "uid", issue: isMeant("uuid") }],
        [untyped.start(CreateOrder, { context, key: "ann" }), { _tag: "SagaInvalidStart", field: "key" }],
        [untyped.start(CreateOrder, { context, priority: 1 }), { _tag: "SagaInvalidStart", field: "priority" }],
        [
          untyped.signal(Told, { uuid, payload: "yes", kye: "ann" }),
          { _tag: "SagaSignalInvalid", field: "options", issue: `kye ${isMeant("key")}` }
        ],
        [manager.find({ createdBefore: "x" }), { argument: "filter", issue: "$.createdBefore: not a number" }],
        [manager.find({ status: "gone" }), { _tag: "SagaInvalidArgument", argument: "filter" }],
        [manager.find({}, { after: 5 }), { argument: "page", issue: "$.after: not a string" }],
        [manager.load(5), { argument: "uuid", issue: "is number, not a string" }],
        [manager.cancel(5), { argument: "uuid", issue: "is number, not a string" }],
        [manager.cancel(uuid, { actor: "a\0" }), { argument: "actor", issue: "has a NUL or half a surrogate" }],
        [manager.cancel(uuid, { actor: "x".repeat(257) }), { argument: "actor", issue: "has more than 256 bytes" }],
        [manager.reject(uuid, { actor: "ann", reason: "x".repeat(4_097) }), { argument: "reason" }],
        [manager.retryParked(uuid, 0, { actor: "ann" }), { argument: "path" }],
        [manager.retryParked(uuid, "0"), { argument: "who" }],
        [manager.resolveParked(uuid, "0", { actor: "ann" }), { argument: "reason" }]
      ]
      for (const [call, error] of said) assert.deepInclude(yield* use(Effect.flip(call)), error)
      const without = { context, queue: undefined, key: "ann" }
      assert.isString(yield* use(untyped.start(CreateOrder, without)), "a program that has a queue or none")
    })
  )
})

// ---- over the broker ---------------------------------------------------------------------------------------------

describe("I17, I19 replies and questions", () => {
  /** Values of which there is one in JSON. */
  const inJson = hostile.filter(([, value]) => typeof value !== "number" || Number.isFinite(value))
  const known = /^(applied|stale|sender-mismatch|unknown-execution|[A-Z]\w+)$/

  const paused = Effect.gen(function* () {
    const world = yield* start({ keep: 10_000 })
    const begin = world.use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
    const total = Effect.map(outcomes, (counts) => Object.values(counts).reduce((all, each) => all + each, 0))
    const outcomeOf = Effect.fnUntraced(function* (message: Broker.Message) {
      const before = yield* outcomes
      const count = yield* total
      yield* world.wire.deliver(message)
      for (let turns = 0; turns < 5_000 && (yield* total) === count; turns++) yield* turn
      const after = yield* outcomes
      const outcome = Object.keys(after).filter((key) => after[key] !== before[key])
      assert.deepStrictEqual([outcome.length, yield* total], [1, count + 1])
      return outcome[0] ?? ""
    })
    return { ...world, begin, outcomeOf }
  })

  it.effect("no hostile field or body of a reply changes an execution that it is not for, or stops the consumer", () =>
    counting(
      Effect.gen(function* () {
        const { begin, manager, outcomeOf, wire } = yield* paused
        const other = yield* begin
        const raw = () => Effect.map(manager.load(other.uuid), SagaExecution.raw)
        const before = yield* raw()
        const sentTo = (uuid: string) => wire.sent.find(({ envelope }) => envelope.saga === uuid)!.envelope
        let mine = yield* begin
        const hostiles: Array<readonly [string, (right: Broker.Message) => string]> = []
        for (const field of [...Struct.keys(Envelope.Envelope.fields), "unknown", "constructor"])
          for (const [name, value] of inJson)
            hostiles.push([`${field}: ${name}`, ({ body }) => JSON.stringify({ ...JSON.parse(body), [field]: value })])
        for (const [i, [name]] of hostileBodies("{}").entries())
          hostiles.push([name, ({ body }) => textOf(hostileBodies(body)[i]?.[1] ?? "")])
        hostiles.push(["of the other", () => messageOf({ ...sentTo(other.uuid), service: "eve" }, reserved).body])
        for (const [name, change] of hostiles) {
          const right = messageOf(sentTo(mine.uuid), reserved)
          const outcome = yield* outcomeOf({ ...right, body: change(right) })
          assert.match(outcome, known, name)
          // A field that a reply does not need may be anything that its schema allows.
          if (outcome === "applied") mine = yield* begin
        }
        assert.deepStrictEqual(yield* raw(), before)
        assert.strictEqual(yield* outcomeOf(messageOf(sentTo(other.uuid), reserved)), "applied")
        const foreign = messageOf(sentTo(mine.uuid), reserved)
        assert.strictEqual(
          yield* outcomeOf({ ...foreign, address: { ...foreign.address, from: "eve" } }),
          "SenderMismatch"
        )
        assert.strictEqual(yield* outcomeOf(messageOf(sentTo(other.uuid), reserved)), "stale")
      })
    )
  )

  it.effect("no hostile field or body of a question for a decision changes anything, or stops the consumer", () =>
    counting(
      Effect.gen(function* () {
        const { begin, manager, outcomeOf, wire } = yield* paused
        const { uuid } = yield* begin
        const { revision } = yield* manager.load(uuid)
        const right = {
          ...{ v: 1, id: `${uuid}:stock:status`, op: "status", saga: uuid, service: "stock", coordinator: "orders" },
          ...{ relatedServices: [], transactions: [uuid], notAfter: 86_400_000 }
        }
        const ask = (body: string) => outcomeOf({ address: { to: "orders", kind: "status", from: "stock" }, body })
        for (const field of [...Struct.keys(Envelope.Envelope.fields), "unknown"])
          for (const [name, value] of inJson)
            assert.match(yield* ask(JSON.stringify({ ...right, [field]: value })), known, `${field}: ${name}`)
        // Its answer would be one to the request.
        const [request] = wire.sent
        assert.strictEqual(yield* ask(JSON.stringify({ ...right, id: request?.envelope.id })), "MessageMalformed")
        for (const [name, body] of hostileBodies(JSON.stringify(right)))
          assert.match(yield* ask(textOf(body)), known, name)
        assert.strictEqual((yield* manager.load(uuid)).revision, revision)
        assert.strictEqual(yield* ask(JSON.stringify(right)), "applied")
      })
    )
  )
})
