/** A reservation ends in time, and never twice: also where the payment comes in the last moment, or after it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SagaTest } from "effect-saga/testing"
import { Paid, Seats, SoldOut, Ticket } from "./ticket.ts"

const seats = (free: number) =>
  Layer.succeed(Seats, {
    hold: () => (free > 0 ? Effect.succeed("seat 7") : Effect.fail(new SoldOut())),
    release: () => Effect.void
  })

const pays = (...after: ReadonlyArray<number>) =>
  after.map((minutes) =>
    SagaTest.signal(Paid, { after: `${minutes} minutes`, payload: { payment: "p-1" }, id: `after ${minutes}` })
  )

describe("a reservation", () => {
  const ticket = SagaTest.given(Ticket, { context: { guest: "Ada" }, layer: seats(1) })
  const sent = ticket.when({ replies: { mail: undefined } })

  it.effect("becomes a ticket when it is paid in time", () =>
    sent.when({ signals: pays(14) }).expect({
      status: "finished",
      took: "14 minutes",
      commands: [{ command: "SendTicket", payload: { to: "Ada", seat: "seat 7" } }],
      answers: ["applied"]
    })
  )

  it.effect("expires after 15 minutes, and money that comes then is refused", () =>
    ticket.when({ signals: pays(15, 20) }).expect({
      status: "errored",
      took: "15 minutes",
      compensated: ["seat"],
      commands: [],
      answers: ["SagaSignalRefused", "SagaSignalRefused"]
    })
  )

  it.effect("is not held where nothing is free", () =>
    SagaTest.given(Ticket, { context: { guest: "Bob" }, layer: seats(0) }).expect({ cause: "SoldOut", compensated: [] })
  )

  it.effect("gives the seat back when the ticket cannot be sent", () =>
    ticket
      .when({ signals: pays(1), replies: { mail: SagaTest.silence } })
      .expect({ status: "errored", compensated: ["seat"], took: "1441 minutes" })
  )

  it.effect("ends the same way after a crash at any write", () =>
    Effect.gen(function* () {
      const runs = yield* SagaTest.crashPoints(Ticket, { context: { guest: "Ada" }, layer: seats(1), only: "store" })
      for (const { crash, story } of runs)
        assert.deepStrictEqual(
          story,
          ["started", "seat succeeded", "paid failed", "seat compensated", "errored"],
          crash
        )
      assert.isAbove(runs.length, 5)
    })
  )
})
