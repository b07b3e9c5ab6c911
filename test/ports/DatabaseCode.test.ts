/** What a database says to a call that is tried again stands in the log, and does not fill it. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Logger } from "effect"
import { TestClock } from "effect/testing"
import { ParticipantStore, SagaExecutionRepository } from "effect-saga"
import * as Consumer from "../../src/ports/Consumer.ts"
import * as DatabaseCode from "../../src/ports/DatabaseCode.ts"
import * as NowAndThen from "../../src/ports/NowAndThen.ts"

/** Runs with a log that has said nothing yet, and gives its lines. */
const logged = <A, E, R>(program: (lines: ReadonlyArray<unknown>) => Effect.Effect<A, E, R>) => {
  const lines: Array<unknown> = []
  const logger = Logger.make(({ message }) => void lines.push([message].flat().at(-1)))
  return Effect.suspend(() => program(lines)).pipe(
    Effect.provideService(NowAndThen.Written, new Map()),
    Effect.provide(Logger.layer([logger]))
  )
}

const failing = (cause: unknown, operation: "unit" | "find" = "unit") =>
  new ParticipantStore.ParticipantStoreError({ reason: "unavailable", operation, cause })

const lacking = { operation: "unit", says: "42501: the role lacks a right there" }

it.effect("a missing right is named when a message is tried again, and then once a minute", () =>
  logged((lines) =>
    Effect.gen(function* () {
      let tries = 0
      const handled = Effect.suspend(() =>
        ++tries < 100 ? Effect.fail(failing({ code: "42501", kind: "AuthorizationError" })) : Effect.succeed("done")
      )
      const retried = yield* Effect.forkChild(Consumer.retry(handled, ({ reason }) => reason === "unavailable"))
      yield* TestClock.adjust("59 seconds")
      assert.isAbove(tries, 20)
      assert.deepStrictEqual(lines, [lacking])
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(lines, [lacking, lacking])
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(yield* Fiber.join(retried), "done")
    })
  )
)

it.effect("each kind has a line of its own, and what passes by itself has none", () =>
  logged((lines) =>
    Effect.gen(function* () {
      for (const code of ["42501", "42P01", "40001", "57P01", "08006", "55P03", "ConnectionError", "EPIPE", "XX000"])
        for (let i = 0; i < 3; i++) yield* DatabaseCode.warnLasting(failing({ code }))
      yield* DatabaseCode.warnLasting(failing({ code: "42501" }, "find"))
      for (const other of [undefined, "42501", { code: "42501" }, new Error("42501")])
        yield* DatabaseCode.warnLasting(other)
      const refused = { reason: "rejected", operation: "store", cause: { code: "22003" } } as const
      yield* DatabaseCode.warnLasting(new SagaExecutionRepository.SagaExecutionRepositoryError(refused))
      yield* DatabaseCode.warnLasting(new Error("of somebody", { cause: { code: "53100" } }))
      assert.deepStrictEqual(lines, [
        lacking,
        { operation: "unit", says: "42P01: there is no table of this name" },
        { operation: "unit", says: "XX000" },
        { operation: "find", says: "42501: the role lacks a right there" },
        { operation: "Error", says: "53100: the disk of the database is full" }
      ])
    })
  )
)

it.effect("names that come from outside do not fill the memory, nor keep others silent for long", () =>
  logged((lines) =>
    Effect.gen(function* () {
      const say = (kind: string) => NowAndThen.write(kind, Effect.logWarning(kind))
      for (let i = 0; i < 2_000; i++) yield* say(`kind ${i}`)
      assert.strictEqual(lines.length, 1_024)
      yield* TestClock.adjust("1 minute")
      yield* say("another")
      assert.strictEqual(lines.at(-1), "another")
      assert.strictEqual((yield* NowAndThen.Written).size, 1)
    })
  )
)

it("a message says the code of the database with its meaning, and nothing else of the cause", () => {
  const of = (cause?: unknown) =>
    new SagaExecutionRepository.SagaExecutionRepositoryError({
      reason: "unavailable",
      operation: "store",
      ...(cause !== undefined && { cause })
    }).message
  assert.strictEqual(
    of({ code: "42501" }),
    "The repository could not store: unavailable (42501: the role lacks a right there)"
  )
  assert.strictEqual(of({ code: "XX000", kind: "x" }), "The repository could not store: unavailable (XX000)")
  for (const cause of [undefined, new Error("secret"), { code: "a secret\nline" }, { code: "" }])
    assert.strictEqual(of(cause), "The repository could not store: unavailable")
  assert.strictEqual(
    failing({ code: "42P01" }).message,
    "The participant store could not do unit: unavailable (42P01: there is no table of this name)"
  )
})
