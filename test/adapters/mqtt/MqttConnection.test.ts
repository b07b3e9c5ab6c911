/** Connections that do not come about, one after the other. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { TestClock } from "effect/testing"
import * as Connection from "../../../src/adapters/mqtt/MqttConnection.ts"
import * as Reconnection from "../../../src/ports/Reconnection.ts"

/** The log of ten minutes in which each connection of these clients ends this long after its start. */
const said = Effect.fnUntraced(function* (
  time: `${number} seconds`,
  isReached = false,
  clients: ReadonlyArray<string> = ["a"]
) {
  const reasons: Array<string> = []
  let attempts = 0
  const lost = Effect.suspend(() => {
    attempts++
    return Effect.fail(new Connection.MqttConnectionLost({ reason: "nobody answers", isReached }))
  })
  const ofBroker = new Reconnection.Said()
  const keep = (client: string) => Connection.keep(client, Effect.delay(lost, time), ofBroker)
  yield* Effect.forEach(clients, keep, { concurrency: "unbounded" }).pipe(
    Effect.provide(Logger.layer([Logger.make(({ message }) => void reasons.push(JSON.stringify(message)))])),
    Effect.forkChild
  )
  yield* TestClock.adjust("10 minutes")
  assert.isAbove(attempts, 10)
  return reasons.length
})

describe("MqttConnection.keep", () => {
  it.effect("the log says once that a broker does not answer, however many connections are tried", () =>
    Effect.gen(function* () {
      // After ten seconds an attempt is given up.
      for (const time of ["0 seconds", "10 seconds", "11 seconds"] as const) assert.strictEqual(yield* said(time), 1)
    })
  )

  it.effect("the log says again that a broker does not answer if it answered in between", () =>
    Effect.gen(function* () {
      assert.isAbove(yield* said("20 seconds"), 10)
    })
  )

  it.effect(
    "the log says once, and not for each client, that a broker cannot be reached, and for each what it refuses to it",
    () =>
      Effect.gen(function* () {
        const clients = ["a", "b", "c"]
        assert.strictEqual(yield* said("0 seconds", false, clients), 1)
        assert.strictEqual(yield* said("0 seconds", true, clients), 3)
      })
  )
})
