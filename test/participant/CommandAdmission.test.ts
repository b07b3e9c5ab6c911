/** Limits of a command: which message begins next, what waits, and what is let go. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Broker, Participant, ParticipantConfig, ParticipantStore } from "effect-saga"
import type { Envelope } from "effect-saga/internals"
import * as CommandAdmission from "../../src/participant/CommandAdmission.ts"
import { quiet } from "../fixtures/manager.ts"
import { isMemory } from "../fixtures/repository.ts"
import { envelopeOf, type Op } from "./byHand.ts"

const limits = (changes: Partial<CommandAdmission.Limits> = {}): CommandAdmission.Limits => ({
  ...{ concurrency: 100, rate: undefined, priority: 0, hasUnit: true },
  ...changes
})

/** Messages that come in this order, one after the other, to a participant whose handlers never end. */
const play = (
  commands: Readonly<Record<string, CommandAdmission.Limits>>,
  { maxHandlers = 100, maxWaiting = 100 }: { readonly maxHandlers?: number; readonly maxWaiting?: number } = {}
) => {
  const settings = { commands: new Map(Object.entries(commands)), maxHandlers, maxWaiting }
  let state = CommandAdmission.begin
  let id = 0
  let nextAt = 0
  const admit = (now: number) => {
    const next = CommandAdmission.admit(state, settings, now)
    state = next.state
    nextAt = next.nextAt
    return next.admitted.map(({ command, id }) => `${command} ${id}`)
  }
  return {
    admit,
    comes: (...names: ReadonlyArray<string>) =>
      names.flatMap((command) => {
        const { letGo, state: next } = CommandAdmission.arrive(state, { id: id++, command }, settings)
        state = next
        return letGo === undefined ? [] : [`${letGo.command} ${letGo.id}`]
      }),
    leaves: (command: string) => {
      state = CommandAdmission.leave(state, command)
    },
    nextAt: () => nextAt
  }
}

describe("which message begins next", () => {
  it("a command has no more than its concurrency, and others do not wait for it", () => {
    const { admit, comes, leaves } = play({ slow: limits({ concurrency: 1 }), quick: limits() })
    comes("slow", "slow", "quick", "slow", "quick")
    assert.sameMembers(admit(0), ["slow 0", "quick 2", "quick 4"])
    assert.deepStrictEqual(admit(0), [])
    leaves("slow")
    assert.deepStrictEqual(admit(0), ["slow 1"])
  })

  it("a rate lets so many begin at once, and then one after the other", () => {
    const { admit, comes, nextAt } = play({ mail: limits({ rate: { limit: 2, per: 1_000 } }) })
    comes("mail", "mail", "mail", "mail")
    assert.deepStrictEqual([admit(0), nextAt()], [["mail 0", "mail 1"], 500])
    assert.deepStrictEqual([admit(400), nextAt()], [[], 500])
    assert.deepStrictEqual([admit(500), nextAt()], [["mail 2"], 1_000])
    assert.deepStrictEqual([admit(9_000), nextAt()], [["mail 3"], Number.POSITIVE_INFINITY])
  })

  it("a higher priority comes first, and what waits longest has every eighth turn", () => {
    const { admit, comes, leaves } = play(
      { low: limits({ priority: -1 }), high: limits({ priority: 5 }) },
      { maxHandlers: 1 }
    )
    comes("low", ...Array.from({ length: 10 }, () => "high"))
    const order = []
    for (let i = 0; i < 9; i++) {
      const [one = ""] = admit(0)
      order.push(one)
      leaves(one.split(" ")[0]!)
    }
    const expected = ["high 1", "high 2", "high 3", "high 4", "high 5", "high 6", "high 7", "low 0", "high 8"]
    assert.deepStrictEqual(order, expected)
  })

  it("commands of one priority take turns, whatever each of them sends", () => {
    const { admit, comes, leaves } = play({ a: limits(), b: limits(), c: limits() }, { maxHandlers: 1 })
    comes("a", "a", "a", "a", "c", "b")
    const order = []
    for (let i = 0; i < 6; i++) {
      const [one = ""] = admit(0)
      order.push(one)
      leaves(one.split(" ")[0]!)
    }
    assert.deepStrictEqual(order, ["a 0", "b 5", "c 4", "a 1", "a 2", "a 3"])
  })

  it("handlers without a transaction have no place among those in a unit", () => {
    const { admit, comes } = play({ unit: limits(), outside: limits({ hasUnit: false }) }, { maxHandlers: 1 })
    comes("unit", "unit", "outside", "outside")
    assert.sameMembers(admit(0), ["unit 0", "outside 2", "outside 3"])
  })

  it("where too many wait, the newest of the command with most of them is let go", () => {
    const { admit, comes } = play({ flood: limits(), rare: limits() }, { maxHandlers: 1, maxWaiting: 3 })
    comes("rare")
    admit(0)
    assert.deepStrictEqual(comes("flood", "flood", "flood", "flood"), ["flood 4"])
    assert.deepStrictEqual(comes("rare"), ["flood 3"])
    assert.deepStrictEqual(comes("flood"), ["flood 6"])
  })
})

const Office = Participant.make("office", {
  Mail: { payload: {}, success: Schema.String },
  Call: { payload: {}, success: Schema.String },
  Undo: { payload: {} }
})

/** A participant on the wire, with handlers of ten seconds. */
const begun = Effect.fnUntraced(function* (
  own: Participant.HandlerLimits,
  settings: ParticipantConfig.ParticipantConfigOptions = {}
) {
  const services = yield* Layer.build(Layer.fresh(Layer.merge(Broker.layerMemory, ParticipantStore.layerMemory)))
  const began: Array<string> = []
  const work = (name: string) =>
    Effect.suspend(() => {
      began.push(name)
      return Effect.as(Effect.sleep("10 seconds"), name)
    })
  yield* Participant.layer(Office, {
    Mail: { handle: () => work("mail"), ...own },
    Call: () => work("call"),
    Undo: { handle: () => Effect.asVoid(work("undo")), concurrency: 1 }
  }).pipe(
    Layer.provide(Layer.orDie(ParticipantConfig.layer(settings))),
    Layer.provide(Layer.succeedContext(services)),
    Layer.build
  )
  const broker = Context.get(services, Broker.Broker)
  const answered: Array<number | undefined> = []
  yield* broker.subscribe({ service: "orders", kinds: ["reply"] }).pipe(
    Stream.runForEach(({ acknowledge, body }) => {
      const { status }: Envelope.Envelope = JSON.parse(body)
      answered.push(status)
      return acknowledge
    }),
    Effect.forkScoped
  )
  yield* quiet
  let sagas = 0
  const send = (command: "Mail" | "Call" | "Undo", op: Op = "execute", of = sagas++) => {
    const saga = `01890000-0000-7000-8000-0000000${String(of).padStart(5, "0")}`
    return Effect.andThen(
      Effect.orDie(
        broker.publish(
          Broker.toMessage(envelopeOf({ op, changes: { saga } }, { service: "office", alone: true }), command)
        )
      ),
      quiet
    )
  }
  const pass = (seconds: number) => Effect.andThen(TestClock.adjust(seconds * 1_000), quiet)
  return { began, answered, send, pass }
})

// Time passes for the handlers.
if (isMemory)
  describe("a participant with limits", () => {
    it.effect("a command has no more than its concurrency, and others go on", () =>
      Effect.gen(function* () {
        const { answered, began, pass, send } = yield* begun({ concurrency: 2 })
        for (let i = 0; i < 5; i++) yield* send("Mail")
        yield* send("Call")
        assert.deepStrictEqual(began, ["mail", "mail", "call"])
        yield* pass(10)
        assert.deepStrictEqual([began.length, answered.length], [5, 3])
        yield* pass(10)
        yield* pass(10)
        assert.deepStrictEqual([began.length, answered.length], [6, 6])
      })
    )

    it.effect("a rate lets the next one begin when its time has come", () =>
      Effect.gen(function* () {
        const { began, pass, send } = yield* begun({ rate: { limit: 1, per: "1 minute" } })
        for (let i = 0; i < 3; i++) yield* send("Mail")
        assert.lengthOf(began, 1)
        yield* pass(59)
        assert.lengthOf(began, 1)
        yield* pass(1)
        assert.lengthOf(began, 2)
        yield* pass(60)
        assert.lengthOf(began, 3)
      })
    )

    it.effect("a priority says who begins next where there are few places", () =>
      Effect.gen(function* () {
        const { began, pass, send } = yield* begun({ priority: 7 }, { maxHandlers: 1 })
        yield* send("Call")
        yield* send("Call")
        yield* send("Mail")
        yield* pass(10)
        yield* pass(10)
        assert.deepStrictEqual(began, ["call", "mail", "call"])
      })
    )

    it.effect("a compensation waits for no limit", () =>
      Effect.gen(function* () {
        const { began, pass, send } = yield* begun({ concurrency: 1 }, { maxHandlers: 1 })
        yield* send("Mail", "execute", 90)
        yield* send("Mail", "execute", 91)
        yield* pass(10)
        yield* pass(10)
        yield* send("Undo")
        yield* send("Undo", "failure", 90)
        yield* send("Undo", "failure", 91)
        assert.deepStrictEqual(began, ["mail", "mail", "undo", "undo", "undo"])
      })
    )

    it.effect("what is let go is not answered, and runs when it comes again", () =>
      Effect.gen(function* () {
        const { answered, began, pass, send } = yield* begun({ concurrency: 1 }, { maxInFlight: 4 })
        for (let i = 0; i < 4; i++) yield* send("Mail", "execute", i)
        assert.lengthOf(began, 1)
        for (let i = 0; i < 3; i++) yield* pass(10)
        // One ran and two waited.
        assert.deepStrictEqual(answered, [200, 200, 200])
        yield* send("Mail", "execute", 3)
        yield* pass(10)
        assert.deepStrictEqual(answered, [200, 200, 200, 200])
      })
    )
  })
