/** Nested sagas from end to end, with services that answer: results, failures, order of compensation, what is sent. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Participant, ParticipantStore, Saga, SagaExecution, SagaManager, SagaRunner } from "../../../src/index.ts"
import {
  Agreement,
  begin,
  compensated,
  Flights,
  failure,
  go,
  Hotels,
  makeStory,
  manager,
  managerEnrolling,
  runner,
  SoldOut,
  statuses,
  Wire
} from "../../fixtures/travel.ts"

/** A stay: a room and its key. Fails in a town named "full". */
const makeStay = (story: ReturnType<typeof makeStory>) =>
  Saga.make("Stay", { context: { town: Schema.String, nights: Schema.Int } }).pipe(
    Saga.local("quote", {
      success: Schema.Int,
      execute: ({ nights }) => story.tell("quote", nights * 100),
      compensate: ({ quote }) => story.tell(`quote ${quote} back`)
    }),
    Saga.remote("room", {
      execute: { command: Hotels.commands.Book, payload: ({ town }) => ({ trip: town }) },
      compensate: { command: Hotels.commands.Cancel, payload: ({ room }) => ({ ref: room.ref }) }
    }),
    Saga.local("key", {
      success: Schema.String,
      error: Schema.Literal("no key"),
      execute: ({ room, town }) =>
        town === "keyless" ? Effect.fail("no key" as const) : Effect.succeed(`key ${room.ref}`),
      compensate: ({ key }) => story.tell(`${key} back`)
    }),
    Saga.commit
  )

const makeTravel = (story: ReturnType<typeof makeStory>) => {
  const Stay = makeStay(story)
  return Saga.make("Travel", { context: { trip: Schema.String } }).pipe(
    Saga.remote("flight", {
      execute: { command: Flights.commands.Book, payload: ({ trip }) => ({ trip }) },
      compensate: { command: Flights.commands.Cancel, payload: ({ flight }) => ({ ref: flight.ref }) }
    }),
    Saga.nested("stay", { saga: Stay, context: ({ trip }) => ({ town: trip, nights: 2 }) }),
    Saga.local("report", {
      success: Schema.String,
      error: SoldOut,
      execute: ({ flight, stay, trip }) =>
        trip === "unreported"
          ? Effect.fail(new SoldOut({ what: "paper" }))
          : Effect.succeed(`${flight.ref}, ${stay.key}, ${stay.quote} for ${stay.town}`)
    }),
    Saga.commit
  )
}

/** Services that book and cancel, and write it down. */
const services = (story: ReturnType<typeof makeStory>) =>
  Layer.mergeAll(
    Participant.layer(Flights, {
      Book: ({ trip }) => story.tell("flight", { ref: `F ${trip}` }),
      Cancel: ({ ref }) => story.tell(`${ref} back`)
    }),
    Participant.layer(Hotels, {
      Book: ({ trip }) =>
        trip === "full" ? Effect.fail(new SoldOut({ what: trip })) : story.tell("room", { ref: `H ${trip}` }),
      Cancel: ({ ref }) => story.tell(`${ref} back`)
    })
  ).pipe(Layer.provide(ParticipantStore.layerMemory))

const make = () => {
  const story = makeStory()
  const saga = makeTravel(story)
  return { story, saga, world: Layer.provideMerge(services(story), manager([saga])) }
}

describe("forward", () => {
  it.effect("the final context of the nested saga is the step's result; the outer context does not mix with it", () => {
    const { saga, story, world } = make()
    return Effect.gen(function* () {
      const receipt = yield* SagaManager.execute(saga, { context: { trip: "Gent" } })
      const stay: { readonly town: string; readonly quote: number; readonly key: string } = receipt.stay
      assert.deepEqual(stay, {
        town: "Gent",
        nights: 2,
        quote: 200,
        room: { ref: "H Gent" },
        key: "key H Gent"
      } as never)
      assert.strictEqual(receipt.report, "F Gent, key H Gent, 200 for Gent")
      assert.deepStrictEqual(Object.keys(receipt), ["trip", "flight", "stay", "report"])
      assert.deepStrictEqual(story.lines, ["flight", "quote", "room"])
    }).pipe(Effect.provide(world))
  })

  it.effect("messages of a nested saga have the uuid and user of the whole execution, and a path of their own", () => {
    const { saga, world } = make()
    return Effect.gen(function* () {
      const wire = yield* Wire
      const finished = yield* SagaManager.run(saga, { context: { trip: "Gent" }, user: "ann" })
      assert.deepStrictEqual(
        wire.sent().map(({ envelope, line }) => [line, envelope.saga, envelope.path, envelope.user]),
        [
          ["execute flights/Book", finished.uuid, "0", "ann"],
          ["execute hotels/Book", finished.uuid, "1/n/1", "ann"]
        ]
      )
    }).pipe(Effect.provide(world))
  })

  it.effect("a nested saga never commits alone: all services are asked once, at the end of the whole execution", () => {
    const story = makeStory()
    const saga = makeTravel(story)
    return Effect.gen(function* () {
      const finished = yield* SagaManager.run(saga, { context: { trip: "Gent" } })
      assert.deepStrictEqual(
        (yield* Agreement).asked().map(({ op, services, uuid }) => [op, uuid, ...services]),
        [
          ["reserve", finished.uuid, "flights", "hotels"],
          ["commit", finished.uuid, "flights", "hotels"]
        ]
      )
    }).pipe(Effect.provide(Layer.provideMerge(services(story), managerEnrolling([saga]))))
  })

  it.effect("a pause inside a nested saga is a pause of the step, and survives being stored", () => {
    const story = makeStory()
    const saga = makeTravel(story)
    return Effect.gen(function* () {
      const inside = yield* go(yield* begin(saga, { context: { trip: "Gent" } }), { content: { ref: "F1" } })
      assert.deepInclude(inside.pausedStep, { name: "stay", kind: "nested", status: "paused-by-on-execute" })
      const [inner] = inside.pausedStep?.inner ?? []
      assert.deepInclude(inner, { uuid: inside.uuid, status: "paused" })
      assert.deepStrictEqual(inner?.context, { town: "Gent", nights: 2, quote: 200 })
      assert.deepEqual(inside.context, { trip: "Gent", flight: { ref: "F1" } })
      const read = yield* SagaExecution.fromRaw(JSON.parse(JSON.stringify(SagaExecution.raw(inside))), saga)
      const finished = yield* go(read, { content: { ref: "H1" } })
      assert.deepInclude(finished.context, { report: "F1, key H1, 200 for Gent" })
      assert.deepStrictEqual(statuses(finished.executedSteps), {
        flight: "finished",
        stay: "finished",
        quote: "finished",
        room: "finished",
        key: "finished",
        report: "finished"
      })
    }).pipe(Effect.provide(runner([saga])))
  })
})

describe("depth", () => {
  it.effect("steps inside steps inside steps have paths of their own; a reply finds the one it answers", () => {
    const Rooms = Saga.make("Rooms", { context: { town: Schema.String } }).pipe(
      Saga.parallel("both", {
        one: Saga.remote("first", {
          execute: { command: Hotels.commands.Book, payload: ({ town }) => ({ trip: `${town} 1` }) }
        }),
        two: Saga.conditional("maybe", [
          Saga.elseThen(
            Saga.remote("second", {
              execute: { command: Hotels.commands.Book, payload: ({ town }) => ({ trip: `${town} 2` }) }
            })
          )
        ])
      }),
      Saga.commit
    )
    const saga = Saga.make("Deep", { context: { trip: Schema.String } }).pipe(
      Saga.conditional("way", [
        Saga.ifThen(
          ({ trip }) => trip !== "",
          Saga.nested("rooms", { saga: Rooms, context: ({ trip }) => ({ town: trip }) })
        )
      ]),
      Saga.local("count", { success: Schema.String, execute: ({ rooms }) => Effect.succeed(`${rooms?.second.ref}`) }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const wire = yield* Wire
      const paused = yield* begin(saga, { context: { trip: "Gent" } })
      assert.strictEqual(paused.status, "paused")
      assert.deepStrictEqual(
        wire.sent().map(({ envelope }) => [envelope.path, envelope.content]),
        [
          ["0/if0/0/n/0/b0/0", { trip: "Gent 1" }],
          ["0/if0/0/n/0/b1/0/else/0", { trip: "Gent 2" }]
        ]
      )
      const one = yield* go(paused, { to: wire.sent()[1], content: { ref: "H2" } })
      assert.strictEqual(one.status, "paused")
      const finished = yield* go(one, { to: wire.sent()[0], content: { ref: "H1" } })
      assert.deepEqual(finished.context, {
        trip: "Gent",
        rooms: { town: "Gent", first: { ref: "H1" }, second: { ref: "H2" }, maybe: 0 },
        way: 0,
        count: "H2"
      })
    }).pipe(Effect.provide(runner([saga])))
  })
})

describe("backward", () => {
  it.effect(
    "a failure inside a nested saga compensates its steps in reverse, then the steps before; its error is that of the whole execution",
    () => {
      const { saga, story, world } = make()
      return Effect.gen(function* () {
        const failed = yield* failure(SagaManager.run(saga, { context: { trip: "keyless" } }))
        assert.strictEqual(failed.cause, "no key")
        assert.deepStrictEqual(story.lines, [
          "flight",
          "quote",
          "room",
          "H keyless back",
          "quote 200 back",
          "F keyless back"
        ])
        assert.deepStrictEqual(statuses(failed.execution.executedSteps), {
          flight: "finished",
          stay: "errored-by-on-execute",
          quote: "finished",
          room: "finished",
          key: "errored-on-execute"
        })
        assert.deepStrictEqual(compensated(failed.execution.executedSteps), ["flight", "stay", "quote", "room"])
        assert.deepInclude(failed.execution, { status: "errored", alreadyRollback: true })
      }).pipe(Effect.provide(world))
    }
  )

  it.effect("a refusal inside a nested saga is the error that execute fails with", () => {
    const { saga, story, world } = make()
    return Effect.gen(function* () {
      const error = yield* Effect.flip(SagaManager.execute(saga, { context: { trip: "full" } }))
      assert.instanceOf(error, SoldOut)
      assert.deepStrictEqual(story.lines, ["flight", "quote", "quote 200 back", "F full back"])
    }).pipe(Effect.provide(world))
  })

  it.effect("a failure after a nested saga compensates the nested saga as a whole", () => {
    const { saga, story, world } = make()
    return Effect.gen(function* () {
      const failed = yield* failure(SagaManager.run(saga, { context: { trip: "unreported" } }))
      assert.deepInclude(failed.cause, { what: "paper" })
      assert.deepStrictEqual(story.lines, [
        "flight",
        "quote",
        "room",
        "key H unreported back",
        "H unreported back",
        "quote 200 back",
        "F unreported back"
      ])
      assert.deepStrictEqual(statuses(failed.execution.executedSteps).stay, "finished")
      assert.deepStrictEqual(compensated(failed.execution.executedSteps), ["flight", "stay", "quote", "room", "key"])
    }).pipe(Effect.provide(world))
  })

  it.effect("a nested saga whose context cannot be made fails before any of its steps begins", () => {
    const story = makeStory()
    const broken = new Error("no nights")
    const saga = Saga.make("Travel", { context: { trip: Schema.String } }).pipe(
      Saga.local("first", { execute: () => story.tell("first"), compensate: () => story.tell("first back") }),
      Saga.nested("stay", {
        saga: makeStay(story),
        context: () => {
          throw broken
        }
      }),
      Saga.commit
    )
    const wrong = Saga.make("Wrong", { context: { trip: Schema.String } }).pipe(
      Saga.nested("stay", { saga: makeStay(story), context: () => ({ town: "Gent", nights: 0.5 }) }),
      Saga.commit
    )
    return Effect.gen(function* () {
      const failed = yield* failure(begin(saga, { context: { trip: "Gent" } }))
      assert.deepInclude(failed.cause, { _tag: "SagaFailedExecutionStep", step: "stay", path: "1", cause: broken })
      assert.deepStrictEqual(story.lines, ["first", "first back"])
      assert.deepStrictEqual(statuses(failed.execution.executedSteps), {
        first: "finished",
        stay: "errored-on-execute"
      })
      const refused = yield* failure(begin(wrong, { context: { trip: "Gent" } }))
      assert.deepNestedInclude(refused, { "cause.cause._tag": "SagaContextEncodeError" })
    }).pipe(Effect.provide(runner([saga, wrong])))
  })

  it.effect(
    "a rollback during a pause inside a nested saga probes the awaited step first, then compensates inside, then outside",
    () => {
      const story = makeStory()
      const saga = makeTravel(story)
      return Effect.gen(function* () {
        const wire = yield* Wire
        const inside = yield* go(yield* begin(saga, { context: { trip: "Gent" } }), { content: { ref: "F1" } })
        const asking = yield* SagaRunner.SagaRunner.use((service) => service.rollback(inside))
        const room = yield* go(asking, { to: wire.sent().at(-1), content: { ref: "H1" } })
        const flight = yield* go(room, { to: wire.sent().at(-1) })
        const { execution } = yield* failure(go(flight, { to: wire.sent().at(-1) }))
        assert.deepStrictEqual(wire.story().slice(2), [
          "probe hotels/Book",
          "failure hotels/Cancel",
          "failure flights/Cancel"
        ])
        assert.deepStrictEqual(story.lines, ["quote", "quote 200 back"])
        assert.deepInclude(execution, { status: "errored", alreadyRollback: true })
      }).pipe(Effect.provide(runner([saga])))
    }
  )
})
