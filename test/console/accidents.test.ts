/** Each of the five accidents is found with `attention`, and mended with the command that it prints. Time is virtual. */
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Inspector,
  ParticipantStore,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import { run } from "effect-saga/cli"
import { type Accident, accidents, locker } from "../../examples/accidents/accidents.ts"

/** Runs a command while the time goes on. */
const effectSaga = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
  const out: Array<string> = []
  const config = { sagas: [], layer: Layer.succeed(Inspector.Inspector, yield* Inspector.Inspector) }
  const running = yield* run(args, { config }).pipe(
    Effect.provideService(Console.Console, {
      ...globalThis.console,
      log: (...parts: ReadonlyArray<unknown>) => void out.push(parts.join(" "))
    }),
    Effect.forkChild({ startImmediately: true })
  )
  for (let i = 0; i < 14; i++) yield* TestClock.adjust("1 second")
  return { code: yield* Fiber.join(running), out: out.join("\n") }
})

const attention = Effect.map(effectSaga(["attention", "--json"]), ({ code, out }) => ({
  code,
  findings: JSON.parse(out).findings as ReadonlyArray<{ readonly kind: string; readonly next: string }>
}))

const words = (command: string): ReadonlyArray<string> =>
  [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "")

const processes = ({ others, sagas }: Accident, isRepaired: boolean) =>
  Layer.merge(SagaManager.layer(sagas), others(isRepaired)).pipe(
    Layer.provide([SagaConfig.layer({ service: "tours" }), TransactionCommitter.layerNone]),
    Layer.fresh
  )

const kinds = ["parked", "parked", "parked", "in-doubt", "unanswered"]

describe("accidents", () => {
  for (const [i, accident] of accidents.entries())
    it.effect(`${accident.title} is found with attention, and mended with the command that it prints`, () =>
      Effect.gen(function* () {
        locker.isStuck = true
        yield* Effect.gen(function* () {
          yield* accident.begin
          for (let n = 0; n < 6; n++) yield* TestClock.adjust("2 minutes")
        }).pipe(Effect.provide(processes(accident, false)))
        const found = yield* attention
        assert.strictEqual(found.code, 3)
        assert.deepStrictEqual(
          found.findings.map(({ kind }) => kind),
          [kinds[i]]
        )
        locker.isStuck = false
        const [program, ...command] = words(found.findings[0]!.next)
        assert.strictEqual(program, "effect-saga")
        yield* Effect.gen(function* () {
          yield* TestClock.adjust("10 seconds")
          const mended = yield* effectSaga(command[0] === "doubt" ? command : [...command, "--yes"])
          assert.strictEqual(mended.code, 0, mended.out)
          yield* TestClock.adjust("1 minute")
        }).pipe(Effect.provide(processes(accident, true)))
        assert.deepStrictEqual(yield* attention, { code: 0, findings: [] })
      }).pipe(
        Effect.provide(Inspector.layerMemory({ services: accident.services })),
        Effect.provide([
          SagaExecutionRepository.layerMemoryWith({ keep: 100 }),
          ParticipantStore.layerMemory,
          Broker.layerMemory
        ])
      )
    )
})
