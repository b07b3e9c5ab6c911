/** The operations of a step for a caller of their own: callbacks, requests and responses by `Executor`. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Ref, Schema } from "effect"
import {
  Broker,
  RequestContext,
  Saga,
  SagaError,
  SagaExecution,
  SagaRequest,
  SagaTransaction
} from "../../src/index.ts"
import { Envelope, Executor } from "../../src/internals.ts"
import {
  begin,
  bookFlight,
  bookFor,
  context,
  Flights,
  failure,
  go,
  makeStory,
  ports,
  portsEnrolling,
  runnerEnrolling,
  SoldOut,
  trip,
  Wire
} from "../fixtures/travel.ts"

const Trip = trip.pipe(
  Saga.local("seat", { success: Schema.String, execute: () => Effect.succeed("12A") }),
  Saga.remote("flight", { execute: { command: Flights.commands.Book, payload: bookFor } }),
  Saga.commit
)

const created = SagaExecution.fromDefinition(Trip, { context, user: "ann" })
const seat = Effect.flatMap(created, (execution) => Executor.at(execution, { path: "0", name: "seat" }))
const flight = Effect.flatMap(created, (execution) => Executor.at(execution, { path: "1", name: "flight" }))

class Desk extends Context.Service<Desk, { readonly name: string }>()("test/Desk") {}

/** The failure of a callback, which is what went wrong in it. */
const causeOf = <A, R>(self: Effect.Effect<A, SagaError.SagaFailedExecutionStep, R>) =>
  Effect.map(Effect.flip(self), (error) => {
    assert.instanceOf(error, SagaError.SagaFailedExecutionStep)
    assert.deepInclude(error, { saga: "Trip" })
    return error.cause
  })

describe("call", () => {
  it.effect("EXR-001 the callback gets the context, and its result is given back, at once or later", () =>
    Effect.gen(function* () {
      const place = yield* seat
      const now = yield* Executor.call(place, ({ trip }) => Effect.succeed(`seat to ${trip}`), context)
      const later = yield* Executor.call(
        place,
        ({ trip }) => Effect.promise(() => Promise.resolve(`later to ${trip}`)),
        context
      )
      assert.deepStrictEqual([now, later], ["seat to Gent", "later to Gent"])
    }).pipe(Effect.provide(ports()))
  )

  it.effect("EXR-002 the context and closures carry parameters: both reach the callback", () =>
    Effect.gen(function* () {
      const story = makeStory()
      const reserve =
        (parameters: { readonly row: number }) =>
        ({ trip }: { readonly trip: string }) =>
          story.tell(`${trip} row ${parameters.row}`)
      const place = yield* seat
      yield* Executor.local(place, reserve({ row: 12 }), context)
      yield* Executor.local(place, ({ row, trip }) => story.tell(`${trip} row ${row}`), { ...context, row: 13 })
      // arguments given at call time are the last word
      yield* Executor.call(
        place,
        (a: object, b: object) => story.tell(JSON.stringify({ ...a, ...b })),
        { row: 1 },
        { row: 2 }
      )
      assert.deepStrictEqual(story.lines, ["Gent row 12", "Gent row 13", '{"row":2}'])
    }).pipe(Effect.provide(ports()))
  )

  it.effect("EXR-003 a function and its arguments give the function's result", () =>
    Effect.gen(function* () {
      const place = yield* seat
      const sum = yield* Executor.call(place, (a: number, b: number) => Effect.succeed(a + b), 20, 22)
      assert.strictEqual(sum, 42)
      // @ts-expect-error the arguments are those of the function
      yield* Effect.exit(Executor.call(place, (a: number) => Effect.succeed(a), "x"))
    }).pipe(Effect.provide(ports()))
  )

  it.effect("EXR-004 a callback sees the transaction of the execution", () =>
    Effect.gen(function* () {
      const execution = yield* created
      const place = yield* Executor.at(execution, { path: "0", name: "seat" })
      const { enrol: _, ...seen } = yield* Executor.call(place, () => SagaTransaction)
      assert.deepStrictEqual(seen, {
        uuid: execution.uuid,
        saga: "Trip",
        path: "0",
        idempotencyKey: `${execution.uuid}:0:execute`,
        epoch: 0,
        user: "ann",
        headers: {}
      })
      // outside of a callback there is none
      assert.strictEqual((yield* Effect.exit(SagaTransaction))._tag, "Failure")
    }).pipe(Effect.provide(ports()))
  )

  it.effect("EXR-004 every callback of a saga sees the transaction of its execution, each under its own key", () => {
    const seen: Array<readonly [string, string, string]> = []
    const see = (what: string) =>
      Effect.map(SagaTransaction, ({ idempotencyKey, uuid }) => void seen.push([what, uuid, idempotencyKey]))
    const saga = trip.pipe(
      Saga.local("seat", { execute: () => see("execute"), compensate: () => see("compensate") }),
      Saga.remote("flight", { execute: bookFlight, onSuccess: (reply) => Effect.as(see("onSuccess"), reply) }),
      Saga.remote("wayBack", {
        execute: bookFlight,
        success: Schema.Void,
        error: SoldOut,
        onError: (error) => Effect.andThen(see("onError"), Effect.fail(error)),
        onSuccess: () => Effect.void
      }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const paused = yield* go(yield* begin(saga, { context }), { content: { ref: "F1" } })
      const { uuid } = yield* failure(go(paused, { status: 400, content: { _tag: "SoldOut", what: "seat" } }))
      assert.deepStrictEqual(seen, [
        ["execute", uuid, `${uuid}:0:execute`],
        ["onSuccess", uuid, `${uuid}:1:execute`],
        ["onError", uuid, `${uuid}:2:execute`],
        ["compensate", uuid, `${uuid}:0:failure`]
      ])
    }).pipe(Effect.provide(runnerEnrolling([saga])))
  })

  it.effect("a callback keeps the services it needs", () =>
    Effect.gen(function* () {
      const place = yield* seat
      const name = yield* Executor.call(place, () => Desk.use((desk) => Effect.succeed(desk.name)))
      assert.strictEqual(name, "A")
    }).pipe(Effect.provide(Layer.mergeAll(ports(), Layer.succeed(Desk, { name: "A" }))))
  )

  it.effect("an execution without its saga cannot be passed to the executor", () =>
    Effect.gen(function* () {
      const unbound = yield* SagaExecution.fromRaw(SagaExecution.raw(yield* created))
      const refused = yield* Effect.flip(Executor.at(unbound, { path: "0", name: "seat" }))
      assert.deepInclude(refused, { _tag: "SagaDefinitionDrift", saga: "Trip" })
    }).pipe(Effect.provide(ports()))
  )
})

describe("local", () => {
  it.effect("EXR-005 the result is in the context that is given back; the one passed in is as it was", () =>
    Effect.gen(function* () {
      const place = yield* seat
      const next = yield* Executor.local(place, ({ trip }) => Effect.succeed(`seat to ${trip}`), context)
      const typed: { readonly trip: string; readonly seat: string } = next
      assert.deepEqual(typed, { trip: "Gent", seat: "seat to Gent" })
      assert.deepStrictEqual(context, { trip: "Gent" })
    }).pipe(Effect.provide(ports()))
  )

  it.effect("EXR-006 a local step without an operation gives the same context back, and nothing runs", () =>
    Effect.gen(function* () {
      const same = yield* Executor.local(yield* seat, undefined, context)
      assert.strictEqual(same, context)
    }).pipe(Effect.provide(ports()))
  )

  it.effect("EXR-007 a callback that returns nothing leaves the context as it is", () =>
    Effect.gen(function* () {
      const story = makeStory()
      const same: typeof context = yield* Executor.local(yield* seat, () => story.tell("ran"), context)
      assert.strictEqual(same, context)
      assert.deepStrictEqual(story.lines, ["ran"])
    }).pipe(Effect.provide(ports()))
  )

  it.effect(
    "EXR-008 a typed failure, a defect, a throw and an interruption are the cause of SagaFailedExecutionStep",
    () =>
      Effect.gen(function* () {
        const place = yield* seat
        const soldOut = new SoldOut({ what: "seat" })
        const thrown = new Error("thrown")
        assert.strictEqual(yield* causeOf(Executor.local(place, () => Effect.fail(soldOut), context)), soldOut)
        assert.strictEqual(yield* causeOf(Executor.local(place, () => Effect.die(thrown), context)), thrown)
        const throws = (): Effect.Effect<string> => {
          throw thrown
        }
        assert.strictEqual(yield* causeOf(Executor.local(place, throws, context)), thrown)
        const interrupted = yield* causeOf(Executor.local(place, () => Effect.interrupt, context))
        assert.deepInclude(interrupted, { message: "the callback interrupted itself" })
        const failed = yield* Effect.flip(Executor.local(place, () => Effect.fail(soldOut), context))
        assert.deepInclude(failed, { step: "seat", path: "0" })
      }).pipe(Effect.provide(ports()))
  )

  it.effect("an interruption of the caller is no failure of the step", () =>
    Effect.gen(function* () {
      const place = yield* seat
      const started = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        Executor.local(place, () => Effect.andThen(Deferred.succeed(started, undefined), Effect.never), context)
      )
      yield* Deferred.await(started)
      yield* Fiber.interrupt(fiber)
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(exit._tag === "Failure" && exit.cause.reasons.every(({ _tag }) => _tag === "Interrupt"))
    }).pipe(Effect.provide(ports()))
  )
})

describe("request", () => {
  it.effect("EXR-009 one message is published: target, content, and the ids of execution, transaction and user", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const execution = yield* created
      const place = yield* Executor.at(execution, { path: "1", name: "flight" })
      const message = yield* Executor.request(place, bookFlight, context)
      assert.strictEqual(wire.sent().length, 1)
      assert.strictEqual(wire.sent()[0]?.topic, "saga/v1/flights/command/trips/Book")
      assert.deepStrictEqual(wire.sent()[0]?.envelope, message)
      assert.deepStrictEqual(message, {
        v: 1,
        id: `${execution.uuid}:1:execute`,
        op: "execute",
        saga: execution.uuid,
        path: "1",
        service: "flights",
        coordinator: "trips",
        content: { trip: "Gent" },
        relatedServices: [],
        transactions: [execution.uuid],
        user: "ann",
        notAfter: 24 * 60 * 60_000,
        // The only step waits for five minutes, and the votes for half a minute.
        keepUntil: 330_000
      })
    }).pipe(Effect.provide(portsEnrolling()))
  )

  it.effect("EXR-009 a request without a command says its target and content itself", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const place = yield* flight
      yield* Executor.request(place, SagaRequest.make("taxis/order", "now"), context)
      yield* Executor.request(place, { target: "taxis/order", content: ({ trip }) => ({ to: trip }) }, context)
      assert.deepStrictEqual(
        wire.sent().map(({ envelope, topic }) => [topic, envelope.content]),
        [
          ["saga/v1/taxis/command/trips/order", "now"],
          ["saga/v1/taxis/command/trips/order", { to: "Gent" }]
        ]
      )
    }).pipe(Effect.provide(portsEnrolling()))
  )

  it.effect("EXR-010 without a user the message names none", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const execution = yield* SagaExecution.fromDefinition(Trip, { context })
      yield* Executor.request(yield* Executor.at(execution, { path: "1", name: "flight" }), bookFlight, context)
      assert.isFalse("user" in (wire.sent()[0]?.envelope ?? { user: "" }))
    }).pipe(Effect.provide(portsEnrolling()))
  )

  it.effect(
    "EXR-011 ambient headers are copied, the own transaction is added at the end; the ambient ones stay as they are",
    () =>
      Effect.gen(function* () {
        const wire = yield* Wire
        const first = "0e9f4f0a-7c1f-4b4e-9a55-111111111111"
        const ambient = { transactions: first, saga: "another", user: "bob", related_services: "desk", locale: "nl" }
        const headers = yield* Ref.make<Readonly<Record<string, string>>>(ambient)
        const execution = yield* created
        const place = yield* Executor.at(execution, { path: "1", name: "flight" }).pipe(
          RequestContext.provide({ headers })
        )
        const message = yield* Executor.request(place, bookFlight, context).pipe(RequestContext.provide({ headers }))
        assert.deepStrictEqual(message.transactions, [first, execution.uuid])
        assert.deepStrictEqual(message.headers, { locale: "nl" })
        assert.deepInclude(message, { saga: execution.uuid, user: "ann" })
        assert.deepStrictEqual(yield* Ref.get(headers), ambient)
        assert.strictEqual(wire.sent().length, 1)
      }).pipe(Effect.provide(portsEnrolling()))
  )

  it.effect("EXR-011 a saga that starts within a request hands its headers on with every message", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const first = "0e9f4f0a-7c1f-4b4e-9a55-111111111111"
      const headers = yield* Ref.make<Readonly<Record<string, string>>>({ transactions: first, locale: "nl" })
      const paused = yield* begin(Trip, { context }).pipe(RequestContext.provide({ headers }))
      assert.deepInclude(wire.sent()[0]?.envelope, { headers: { locale: "nl" }, transactions: [first, paused.uuid] })
      assert.deepStrictEqual(yield* Ref.get(headers), { transactions: first, locale: "nl" })
    }).pipe(Effect.provide(runnerEnrolling([Trip])))
  )

  it.effect("EXR-012 a reply comes on the topic of the two services; no other topic can be named", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const headers = yield* Ref.make<Readonly<Record<string, string>>>({ reply_topic: "elsewhere" })
      const place = yield* flight.pipe(RequestContext.provide({ headers }))
      yield* Executor.request(place, bookFlight, context)
      const [sent] = wire.sent()
      assert.deepInclude(sent?.envelope, { service: "flights", coordinator: "trips" })
      const answer = Envelope.reply(sent!.envelope, { status: 200, relatedServices: [] })
      assert.strictEqual(Broker.toMessage(answer).address.kind, "reply")
      assert.strictEqual(Broker.topic(Broker.addressOf(answer)), "saga/v1/trips/reply/flights")
    }).pipe(Effect.provide(portsEnrolling()))
  )

  it.effect("EXR-013 a broker that refuses the message does not fail the request: it is built as ever", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      wire.refuse(() => true)
      const message = yield* Executor.request(yield* flight, bookFlight, context)
      assert.deepStrictEqual(
        wire.refused().map(({ envelope }) => envelope),
        [message]
      )
    }).pipe(Effect.provide(portsEnrolling()))
  )

  it.effect("a request that cannot be built is a SagaError.SagaFailedExecutionStep, and nothing is published", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const place = yield* flight
      const thrown = new Error("no trip")
      const throws = (): { trip: string } => {
        throw thrown
      }
      const { Book: command } = Flights.commands
      assert.strictEqual(yield* causeOf(Executor.request(place, { command, payload: throws }, context)), thrown)
      const long = yield* causeOf(
        Executor.request(place, { command, payload: () => ({ trip: "x".repeat(Broker.maxMessageBytes) }) }, context)
      )
      assert.deepInclude(long, { _tag: "SagaContextTooLarge" })
      assert.deepStrictEqual(wire.sent(), [])
    }).pipe(Effect.provide(portsEnrolling()))
  )
})

describe("response", () => {
  it.effect("EXR-014 the result of the reply handler is added to the context", () =>
    Effect.gen(function* () {
      const place = yield* flight
      const next = yield* Executor.response(
        place,
        ({ ref }, { trip }) => Effect.succeed(`${ref} to ${trip}`),
        { ref: "F1" },
        context
      )
      const typed: { readonly trip: string; readonly flight: string } = next
      assert.deepEqual(typed, { trip: "Gent", flight: "F1 to Gent" })
      assert.strictEqual(yield* Executor.response(place, undefined, { ref: "F1" }, context), context)
    }).pipe(Effect.provide(ports()))
  )

  it.effect("EXR-015 a handler that dies or throws is the cause of SagaFailedExecutionStep", () =>
    Effect.gen(function* () {
      const place = yield* flight
      const thrown = new Error("thrown")
      const throws = (): Effect.Effect<string> => {
        throw thrown
      }
      assert.strictEqual(yield* causeOf(Executor.response(place, throws, { ref: "F1" }, context)), thrown)
      assert.strictEqual(
        yield* causeOf(Executor.response(place, () => Effect.die(thrown), { ref: "F1" }, context)),
        thrown
      )
      const failed = yield* Effect.flip(Executor.response(place, throws, { ref: "F1" }, context))
      assert.deepInclude(failed, { step: "flight", path: "1" })
    }).pipe(Effect.provide(ports()))
  )

  it.effect("EXR-016 a handler that fails with a declared error is the cause of SagaFailedExecutionStep", () =>
    Effect.gen(function* () {
      const soldOut = new SoldOut({ what: "seat" })
      const handler = () => Effect.fail(soldOut)
      assert.strictEqual(yield* causeOf(Executor.response(yield* flight, handler, { ref: "F1" }, context)), soldOut)
    }).pipe(Effect.provide(ports()))
  )
})
