/** C20 with a cluster of processes: who stops lets its steps end, and who comes gets its share, and no step runs twice. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Queue } from "effect"
import { url } from "../fixtures/postgres.ts"
import type * as Program from "../kill/Program.ts"
import { started, withDatabase } from "./processes.ts"

const pace = 100
const steps = 10

/** What programs print, together: which steps have begun, and where. */
class Journal {
  readonly begun: Array<{ readonly step: string; readonly by: number }> = []

  /** The programs that have their share of the executions. */
  readonly settled = new Set<number>()

  reads({ lines }: Program.Program, by: number) {
    const read = Effect.map(Queue.take(lines), (line) => {
      if (line === "settled") this.settled.add(by)
      if (line.startsWith("step ")) this.begun.push({ step: line.slice("step ".length), by })
    })
    return Effect.forkScoped(Effect.forever(read))
  }

  /** Whether the program has begun a step since so many had begun. */
  hasBegun(by: number, since = 0): boolean {
    return this.begun.slice(since).some((it) => it.by === by)
  }

  get sagas(): ReadonlyArray<string> {
    return [...new Set(this.begun.map(({ step }) => step.split(" ")[0] ?? ""))]
  }

  get steps(): ReadonlyArray<string> {
    return this.begun.map(({ step }) => step)
  }
}

const until = (isSo: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (isSo() ? Effect.void : Effect.andThen(Effect.sleep(20), until(isSo))))

if (url !== undefined) {
  describe("a cluster of processes", () => {
    it.live(
      "C20 I28 processes that come and stop under load share the executions out, and each step runs once",
      () =>
        withDatabase(
          Effect.fnUntraced(function* (url) {
            const journal = new Journal()
            const begun = (by: number) =>
              Effect.gen(function* () {
                const program = yield* started({ url, steps, pace }, "cluster")
                yield* journal.reads(program, by)
                yield* program.say("settle")
                yield* until(() => journal.settled.has(by))
                return program
              })
            const one = yield* begun(1)
            let count = 0
            const load = yield* Effect.forkChild(
              Effect.forever(
                Effect.andThen(
                  Effect.suspend(() => one.say(`start saga${count++}`)),
                  Effect.sleep(100)
                )
              )
            )
            yield* until(() => journal.begun.length > 50)
            yield* begun(2)
            // What one of them was at work on goes on at the other one.
            yield* until(() => journal.hasBegun(2))
            yield* until(() => journal.begun.length > 500)
            yield* Fiber.interrupt(load)
            const before = journal.begun.length
            yield* one.signal("SIGTERM")
            yield* one.ended
            const all = () => journal.sagas.flatMap((saga) => Array.from({ length: steps }, (_, n) => `${saga} ${n}`))
            yield* until(() => journal.begun.length >= all().length)
            assert.isTrue(journal.hasBegun(2, before), "the other one goes on")
            assert.deepStrictEqual([...journal.steps].sort(), all().sort())
          })
        ),
      300_000
    )
  })
}
