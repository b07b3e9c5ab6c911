/** Bad input (SPEC C11): a typed error at once, or a step that fails and is compensated; nothing is half stored. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Participant, Saga, SagaManager, SagaResponse, type SagaRunner } from "effect-saga"
import {
  type Answer,
  agreeable,
  CreateOrder,
  context,
  lines,
  plain,
  reserved,
  start,
  until,
  write
} from "../fixtures/manager.ts"

const tagOf = (error: unknown) => (error as { readonly _tag: string })._tag

const nested = (depth: number): unknown => (depth === 0 ? "leaf" : { a: nested(depth - 1) })
const wide = (keys: number) => Object.fromEntries(Array.from({ length: keys }, (_, i) => [`k${i}`, 0]))
const cycle = () => {
  const value: Record<string, unknown> = {}
  value.self = { value }
  return value
}
const hostile = (key: string) => JSON.parse(`{"fine":1,"${key}":{"polluted":true}}`)

/** Values that JSON would lose or change, or that could harm a reader. */
const refused: ReadonlyArray<readonly [string, () => unknown]> = [
  ["a bigint", () => 1n],
  ["a function", () => () => 1],
  ["a symbol", () => Symbol("s")],
  ["undefined in a list", () => [undefined]],
  ["NaN", () => Number.NaN],
  ["infinity", () => Number.POSITIVE_INFINITY],
  ["a date", () => new Date(0)],
  ["a map", () => new Map()],
  ["a cycle", cycle],
  ["a key __proto__", () => hostile("__proto__")],
  ["a key constructor", () => hostile("constructor")],
  ["a key prototype", () => hostile("prototype")],
  ["a hostile key inside a list inside a record", () => ({ a: [hostile("__proto__")] })],
  ["more than 32 levels", () => nested(40)],
  ["more than 1,000 keys", () => wide(1_001)]
]

const Keep = Saga.make("Keep", { context: { value: Schema.Unknown } }).pipe(
  Saga.local("read", {
    success: Schema.Unknown,
    execute: ({ value }) => Effect.succeed(value)
  }),
  Saga.commit
)

describe("the initial context", () => {
  for (const [what, value] of refused) {
    it.effect(`${what} is a SagaContextEncodeError that names the place, and nothing is stored`, () =>
      Effect.gen(function* () {
        const { story, use } = yield* start({ sagas: [Keep] })
        const error = yield* Effect.flip(use(SagaManager.run(Keep, { context: { value: value() } })))
        assert.strictEqual(error._tag, "SagaContextEncodeError")
        assert.match(error.message, /\$\.value/)
        assert.deepStrictEqual(story, [])
        assert.isUndefined(({} as { polluted?: unknown }).polluted)
      })
    )
  }

  it.effect(
    "an initial context that does not fit its schema is refused without its value in the message (SPEC C12)",
    () =>
      Effect.gen(function* () {
        const { story, use } = yield* start()
        const wrong: any = { sku: "book", amount: "secret-4111" }
        const error = yield* Effect.flip(use(SagaManager.run(CreateOrder, { context: wrong })))
        assert.strictEqual(error._tag, "SagaContextEncodeError")
        assert.match(error.message, /\$\.amount/)
        assert.notInclude(JSON.stringify(error) + error.message, "secret-4111")
        assert.deepStrictEqual(story, [])
      })
  )

  it.effect("an initial context of a mebibyte fits, one character more is SagaContextTooLarge", () =>
    Effect.gen(function* () {
      const { story, use } = yield* start({ sagas: [Keep] })
      // The value stands twice in the context: given, and read.
      const frame = JSON.stringify({ value: "" }).length + 64
      const finished = yield* use(SagaManager.run(Keep, { context: { value: "x".repeat(524_288 - frame) } }))
      assert.strictEqual(finished.status, "finished")
      const writes = story.length
      const error = yield* Effect.flip(use(SagaManager.run(Keep, { context: { value: "x".repeat(1_048_577) } })))
      assert.strictEqual(error._tag, "SagaContextTooLarge")
      assert.isBelow(error.message.length, 200)
      assert.strictEqual(story.length, writes)
    })
  )

  it.effect("an initial context has no reserved keys, and inherited values do not count", () =>
    Effect.gen(function* () {
      const Odd = Saga.make("Odd", {
        context: { toString: Schema.String, hasOwnProperty: Schema.Int, then: Schema.String }
      }).pipe(
        Saga.local("valueOf", {
          success: Schema.String,
          execute: (all) =>
            Effect.succeed(`${all.toString} ${all.hasOwnProperty} ${all.then} ${"isPrototypeOf" in all}`)
        }),
        Saga.commit
      )
      const { use } = yield* start({ sagas: [Odd] })
      const given: any = { toString: "a", hasOwnProperty: 1, then: "b" }
      const order = yield* use(SagaManager.execute(Odd, { context: given }))
      assert.deepStrictEqual(plain(order), { ...given, valueOf: "a 1 b false" })
    })
  )
})

describe("the result of a local step", () => {
  const Make = (make: () => unknown) =>
    Saga.make("Make", { context: {} }).pipe(
      Saga.local("before", { execute: () => write("before"), compensate: () => write("undo before") }),
      Saga.local("value", {
        success: Schema.Unknown,
        execute: () => Effect.sync(make),
        compensate: { run: () => write("undo value"), unknown: () => write("undo unknown value") }
      }),
      Saga.commit
    )

  for (const [what, value] of refused) {
    it.effect(`${what} as a result fails its step, which is compensated with the value in hand (F27)`, () =>
      Effect.gen(function* () {
        const saga = Make(value)
        const { use, world } = yield* start({ sagas: [saga] })
        const error = yield* Effect.flip(use(SagaManager.run(saga, { context: {} })))
        assert.strictEqual(error._tag, "SagaFailedExecution")
        const { cause } = error as unknown as SagaRunner.SagaFailedExecution
        assert.strictEqual(tagOf(cause), "SagaFailedExecutionStep")
        assert.strictEqual(tagOf((cause as Error).cause), "SagaContextEncodeError")
        assert.match((cause as Error).message, /stored or sent: \$/)
        assert.deepStrictEqual(lines(world), ["before", "undo value", "undo before"])
      })
    )
  }

  it.effect("a result that would make the context larger than a mebibyte fails its step", () =>
    Effect.gen(function* () {
      const saga = Make(() => "x".repeat(1_048_576))
      const { use, world } = yield* start({ sagas: [saga] })
      const error = yield* Effect.flip(use(SagaManager.run(saga, { context: {} })))
      const { cause } = error as unknown as SagaRunner.SagaFailedExecution
      assert.strictEqual(tagOf((cause as Error).cause), "SagaContextTooLarge")
      assert.isBelow((cause as Error).message.length, 300)
      assert.deepStrictEqual(lines(world), ["before", "undo value", "undo before"])
    })
  )
})

describe("requests", () => {
  const Files = Participant.make("files", {
    Put: { payload: { body: Schema.Unknown } },
    Drop: { payload: { body: Schema.Unknown } }
  })
  const Upload = (body: () => unknown, undo: () => unknown = () => null) =>
    Saga.make("Upload", { context: {} }).pipe(
      Saga.local("before", { execute: () => write("before"), compensate: () => write("undo before") }),
      Saga.remote("file", {
        execute: { command: Files.commands.Put, payload: () => ({ body: body() }) },
        compensate: { command: Files.commands.Drop, payload: () => ({ body: undo() }) }
      }),
      Saga.local("after", { execute: () => Effect.die(new Error("after")) }),
      Saga.commit
    )

  const fail = Effect.fnUntraced(function* (saga: ReturnType<typeof Upload>, answer: Answer = { status: 200 }) {
    const { use, wire, world } = yield* start({ sagas: [saga] })
    wire.answer = () => answer
    const error = yield* Effect.flip(use(SagaManager.run(saga, { context: {} })))
    assert.strictEqual(error._tag, "SagaFailedExecution")
    const { cause, parked } = error as unknown as SagaRunner.SagaFailedExecution
    return { cause: cause as Error & { readonly cause: Error }, parked, sent: wire.sent, lines: lines(world) }
  })

  for (const [what, value] of refused) {
    it.effect(`${what} in a payload fails the step, and nothing is sent`, () =>
      Effect.gen(function* () {
        const { cause, lines, sent } = yield* fail(Upload(value))
        assert.strictEqual(tagOf(cause.cause), "SagaContextEncodeError")
        assert.match(cause.message, /stored or sent: \$\.body/)
        assert.deepStrictEqual([sent, lines], [[], ["before", "undo before"]])
      })
    )
  }

  for (const [what, value] of [
    ["characters", () => "x".repeat(262_144)],
    ["bytes, though not in characters", () => "€".repeat(90_000)]
  ] as const) {
    it.effect(`a message larger than 256 KiB in ${what} fails the step, and is not sent`, () =>
      Effect.gen(function* () {
        const { cause, lines, sent } = yield* fail(Upload(value))
        assert.strictEqual(tagOf(cause.cause), "SagaContextTooLarge")
        assert.isBelow(cause.message.length, 300)
        assert.deepStrictEqual([sent, lines], [[], ["before", "undo before"]])
      })
    )
  }

  it.effect("a payload that is too deep inside its envelope is not sent", () =>
    Effect.gen(function* () {
      // 32 levels with the payload's own, 33 within the envelope.
      const { cause, sent } = yield* fail(Upload(() => nested(31)))
      assert.match(cause.message, /nested deeper than 32/)
      assert.deepStrictEqual(sent, [])
      const fitting = yield* fail(Upload(() => nested(30)))
      assert.strictEqual(fitting.sent.length, 2)
      assert.match(fitting.cause.message, /after/)
    })
  )

  for (const [what, value] of [
    ["that cannot be encoded", () => 1n],
    ["that is too large", () => "x".repeat(262_144)],
    ["that throws", () => assert.fail("no payload")]
  ] as const) {
    it.effect(`a compensation with a payload ${what} is parked, and the others go on`, () =>
      Effect.gen(function* () {
        const { lines, parked, sent } = yield* fail(Upload(() => null, value))
        assert.deepStrictEqual(parked, ["1"])
        assert.deepStrictEqual(
          sent.map(({ envelope }) => envelope.op),
          ["execute"]
        )
        assert.deepStrictEqual(lines, ["before", "undo before"])
      })
    )
  }
})

describe("replies", () => {
  it.effect("a reply that does not fit the command fails the step, and its effect is compensated", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      wire.answer = (envelope, command) =>
        command === "Charge" ? { status: 200, content: { paymentId: 7 } } : agreeable(envelope, command)
      const error = yield* Effect.flip(use(SagaManager.run(CreateOrder, { context })))
      assert.strictEqual(error._tag, "SagaFailedExecution")
      if (error._tag !== "SagaFailedExecution") return
      const cause = error.cause as Error
      assert.strictEqual(tagOf(cause.cause), "SagaContextDecodeError")
      assert.match(cause.message, /payment.*\$\.paymentId/)
      // A reply that cannot be decoded gives no result to compensate with: the step is parked (DESIGN §4).
      assert.deepStrictEqual(error.parked, ["2"])
      assert.strictEqual(wire.of("failure", "stock").length, 1)
    })
  )

  it.effect("a refusal that does not fit the declared error fails the step all the same", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      wire.answer = (envelope, command) =>
        command === "Charge" ? { status: 400, content: { _tag: "Other" } } : agreeable(envelope, command)
      const error = yield* Effect.flip(use(SagaManager.execute(CreateOrder, { context })))
      assert.strictEqual(error._tag, "SagaFailedExecution")
      if (error._tag !== "SagaFailedExecution") return
      assert.deepStrictEqual([tagOf((error.cause as Error).cause), error.parked], ["SagaContextDecodeError", []])
    })
  )

  it.effect("related services outside the allow-list fail the step, and a 200 is compensated", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start({ relatedServices: ["stock", "payments"] })
      wire.answer = (envelope, command) =>
        command === "Charge"
          ? { status: 200, content: { paymentId: "p-1" }, relatedServices: ["payments", "casino"] }
          : agreeable(envelope, command)
      const error = yield* Effect.flip(use(SagaManager.run(CreateOrder, { context })))
      assert.strictEqual(error._tag, "SagaFailedExecution")
      if (error._tag !== "SagaFailedExecution") return
      assert.strictEqual(tagOf((error.cause as Error).cause), "SagaRelatedServicesRefused")
      assert.match((error.cause as Error).message, /casino/)
      assert.deepStrictEqual(
        wire.of("failure").map(({ envelope }) => envelope.service),
        ["payments", "stock"]
      )
      assert.deepStrictEqual(error.parked, [])
    })
  )
})

describe("responses of a caller", () => {
  const paused = Effect.fnUntraced(function* (keep = 0) {
    const world = yield* start({ keep })
    const { uuid } = yield* world.use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
    return { ...world, uuid }
  })
  const resume = (fields: Record<string, unknown>) =>
    SagaManager.run({ response: new SagaResponse({ content: null, ...fields }), pauseOnDisk: true })

  it.effect("a response without uuid is SagaResponseUnaddressed", () =>
    Effect.gen(function* () {
      const { use, world } = yield* paused()
      const error = yield* Effect.flip(use(resume(reserved)))
      assert.strictEqual(error._tag, "SagaResponseUnaddressed")
      assert.deepStrictEqual(lines(world), [])
    })
  )

  it.effect("a response for an unknown execution, or with text that is no uuid, is SagaExecutionNotFound", () =>
    Effect.gen(function* () {
      const { use } = yield* paused()
      for (const uuid of ["01890000-0000-7000-8000-000000000000", "nothing", "__proto__", ""]) {
        assert.strictEqual((yield* Effect.flip(use(resume({ uuid }))))._tag, "SagaExecutionNotFound")
      }
    })
  )

  it.effect("a response with a uuid in capitals is for the same running execution", () =>
    Effect.gen(function* () {
      const { use, uuid, wire, world } = yield* paused()
      const resumed = yield* use(resume({ ...reserved, uuid: uuid.toUpperCase(), step: "stock" }))
      assert.deepStrictEqual([resumed.uuid, resumed.status], [uuid, "paused"])
      assert.deepStrictEqual([lines(world).length, wire.sent.length], [2, 2])
    })
  )

  it.effect("a response with content that is not JSON is SagaContextEncodeError, and the execution still waits", () =>
    Effect.gen(function* () {
      const { manager, use, uuid } = yield* paused()
      for (const [, value] of refused) {
        const error = yield* Effect.flip(use(resume({ uuid, step: "stock", content: { reservation: value() } })))
        assert.strictEqual(error._tag, "SagaContextEncodeError")
      }
      assert.strictEqual((yield* manager.load(uuid)).status, "paused")
    })
  )

  it.effect("F20 a response to a request that is not awaited is SagaResponseNotAwaited, and changes nothing", () =>
    Effect.gen(function* () {
      const { manager, use, uuid } = yield* paused()
      const { revision } = yield* manager.load(uuid)
      for (const requestId of [`${uuid}:2:execute`, `${uuid}:0:failure`, "other", ""]) {
        const error = yield* Effect.flip(use(resume({ ...reserved, uuid, requestId })))
        assert.deepInclude(error, { _tag: "SagaResponseNotAwaited", named: requestId, awaited: ["0"] })
        assert.strictEqual((yield* manager.load(uuid)).revision, revision)
      }
    })
  )

  it.effect(
    "a response for a finished execution is SagaExecutionAlreadyExecuted; for an errored one it changes nothing",
    () =>
      Effect.gen(function* () {
        const { manager, use, uuid, wire } = yield* paused(10)
        wire.answer = agreeable
        const ended = yield* use(SagaManager.run({ response: new SagaResponse({ ...reserved, uuid, step: "stock" }) }))
        assert.strictEqual(ended.status, "finished")
        const again = yield* Effect.flip(use(resume({ ...reserved, uuid })))
        assert.strictEqual(again._tag, "SagaExecutionAlreadyExecuted")
        if (again._tag === "SagaExecutionAlreadyExecuted")
          assert.deepStrictEqual([again.uuid, again.status], [uuid, "finished"])

        wire.answer = () => undefined
        const other = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
        // A refusal by hand does not prove that the service did nothing: it is asked.
        wire.answer = (envelope, command) => (envelope.op === "probe" ? { status: 404 } : agreeable(envelope, command))
        const refusal = new SagaResponse({
          uuid: other.uuid,
          step: "stock",
          status: 400,
          content: { _tag: "OutOfStock", sku: "book" }
        })
        const errored = yield* use(SagaManager.run({ response: refusal, raiseOnError: false }))
        assert.strictEqual(errored.status, "errored")
        const { revision } = yield* manager.load(other.uuid)
        const sent = wire.sent.length
        const same = yield* use(SagaManager.run({ response: refusal, raiseOnError: false }))
        assert.deepStrictEqual([same.status, same.revision, wire.sent.length], ["errored", revision, sent])
        const raised = yield* Effect.flip(use(SagaManager.run({ response: refusal })))
        assert.strictEqual(raised._tag, "SagaFailedExecution")
      })
  )

  it.effect("a response without a request id where several are awaited is SagaResponseAmbiguous, with the paths", () =>
    Effect.gen(function* () {
      const Ask = Participant.make("ask", { One: { payload: {} }, Two: { payload: {} } })
      const Both = Saga.make("Both", { context: {} }).pipe(
        Saga.parallel("both", {
          left: (branch) =>
            branch.pipe(Saga.remote("one", { execute: { command: Ask.commands.One, payload: () => ({}) } })),
          right: (branch) =>
            branch.pipe(Saga.remote("two", { execute: { command: Ask.commands.Two, payload: () => ({}) } }))
        }),
        Saga.commit
      )
      const { use, wire } = yield* start({ sagas: [Both] })
      const { status, uuid } = yield* use(SagaManager.run(Both, { context: {}, pauseOnDisk: true }))
      assert.strictEqual(status, "paused")
      const error = yield* Effect.flip(use(resume({ uuid })))
      assert.strictEqual(error._tag, "SagaResponseAmbiguous")
      if (error._tag === "SagaResponseAmbiguous") assert.deepStrictEqual(error.awaited, ["0/b0/0", "0/b1/0"])
      const [one, two] = wire.sent
      const first = yield* use(resume({ uuid, requestId: two!.envelope.id }))
      assert.strictEqual(first.status, "paused")
      // F20 one is left, and it has a contract: a response without a name is not taken for its service's.
      const left = yield* Effect.flip(use(resume({ uuid })))
      assert.deepInclude(left, { _tag: "SagaResponseAmbiguous", awaited: ["0/b0/0"] })
      assert.strictEqual((yield* use(resume({ uuid, requestId: one!.envelope.id }))).status, "finished")
    })
  )

  it.effect("a response that fails its handler by a defect fails the step; the manager goes on", () =>
    Effect.gen(function* () {
      const Ask = Participant.make("ask", { One: { payload: {} } })
      const Dies = Saga.make("Dies", { context: { how: Schema.String } }).pipe(
        Saga.remote("one", {
          execute: { command: Ask.commands.One, payload: () => ({}) },
          onSuccess: (_, { how }) =>
            how === "throw" ? assert.fail("thrown") : how === "die" ? Effect.die("dead") : Effect.interrupt
        }),
        Saga.commit
      )
      const { use, wire } = yield* start({ sagas: [Dies] })
      wire.answer = () => ({ status: 200 })
      for (const how of ["throw", "die", "interrupt"]) {
        const error = yield* Effect.flip(use(SagaManager.run(Dies, { context: { how } })))
        assert.strictEqual(error._tag, "SagaFailedExecution")
        if (error._tag === "SagaFailedExecution") assert.strictEqual(tagOf(error.cause), "SagaFailedExecutionStep")
      }
    })
  )
})

it.effect("a wrong reply delays a step no longer than its deadline", () =>
  Effect.gen(function* () {
    const { use, wire } = yield* start({ replyTimeout: "10 seconds" })
    wire.answer = ({ op }) => (op === "probe" ? { status: 404 } : undefined)
    const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
    yield* until("the request", () => wire.sent.length === 1)
    const { address, body } = wire.sent[0]!
    yield* wire.deliver({ address: { to: "orders", kind: "reply", from: "stock" }, body: body.slice(0, 20) })
    yield* TestClock.adjust("10 seconds")
    assert.strictEqual((yield* Fiber.join(running))._tag, "SagaFailedExecution")
    assert.strictEqual(address.to, "stock")
  })
)
