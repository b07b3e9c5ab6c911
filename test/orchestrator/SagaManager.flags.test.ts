/** `SagaManager.run` with every combination of its flags: what it gives, what it fails with, and when. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schema } from "effect"
import { Saga, SagaExecution, SagaManager, type SagaRunner } from "effect-saga"
import {
  CardDeclined,
  charged,
  context,
  lines,
  Payments,
  plain,
  quiet,
  refusing,
  start,
  until,
  write
} from "../fixtures/manager.ts"

const open = Saga.make("Bill", { context: { sku: Schema.String, amount: Schema.Int } }).pipe(
  Saga.local("number", {
    success: Schema.Int,
    execute: () => Effect.as(write("number"), 7),
    compensate: ({ number }) => write(`give ${number} back`)
  })
)

/** Never waits for anybody. */
const Succeeds = Saga.commit(open)

const Fails = open.pipe(
  Saga.local("check", { error: CardDeclined, execute: () => new CardDeclined({ reason: "limit" }) }),
  Saga.commit
)

/** Waits for a reply. */
const Pauses = open.pipe(
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) }
  }),
  Saga.commit
)

const booleans = [true, false]
const combinations = booleans.flatMap((autocommit) =>
  booleans.flatMap((pauseOnDisk) =>
    booleans.flatMap((raiseOnError) =>
      booleans.map((returnExecution) => ({ autocommit, pauseOnDisk, raiseOnError, returnExecution }))
    )
  )
)
type Flags = (typeof combinations)[number]

const title = (flags: Flags) =>
  Object.entries(flags)
    .map(([flag, on]) => `${on ? "" : "no "}${flag}`)
    .join(", ")

const opened = (saga: Saga.AnyCommitted) => start({ keep: 10, sagas: [saga] })

/** The execution that a successful `run` tells of, which is itself or its uuid. */
const told = Effect.fnUntraced(function* (
  result: unknown,
  { returnExecution }: Flags,
  manager: SagaManager.SagaManager["Service"]
) {
  if (returnExecution) {
    assert.instanceOf(result, SagaExecution.SagaExecution)
    return result as SagaExecution.SagaExecution
  }
  assert.isString(result)
  return yield* manager.load(result as string)
})

const assertFinished = (execution: SagaExecution.SagaExecution, { autocommit }: Flags) => {
  assert.deepStrictEqual([execution.status, execution.commitState], ["finished", autocommit ? "committed" : "none"])
  assert.deepStrictEqual(execution.cause, undefined)
}

const assertFailed = Effect.fnUntraced(function* (
  exit: Exit.Exit<unknown, unknown>,
  flags: Flags,
  manager: SagaManager.SagaManager["Service"]
) {
  const check = (execution: SagaExecution.SagaExecution) => {
    assert.deepStrictEqual([execution.status, execution.alreadyRollback], ["errored", true])
    assert.strictEqual((execution.cause as CardDeclined).reason, "limit")
  }
  if (!flags.raiseOnError) {
    assert.isTrue(Exit.isSuccess(exit))
    if (Exit.isSuccess(exit)) check(yield* told(exit.value, flags, manager))
    return
  }
  const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  assert.strictEqual(reason?._tag, "Fail")
  if (reason?._tag !== "Fail") return
  const failure = reason.error as SagaRunner.SagaFailedExecution<CardDeclined>
  assert.strictEqual(failure._tag, "SagaFailedExecution")
  assert.instanceOf(failure.cause, CardDeclined)
  assert.deepStrictEqual([failure.later, failure.parked, failure.saga], [[], [], "Bill"])
  assert.strictEqual(failure.uuid, failure.execution.uuid)
  check(failure.execution)
})

describe("success", () => {
  for (const flags of combinations) {
    it.effect(title(flags), () =>
      Effect.gen(function* () {
        const { manager, use, world } = yield* opened(Succeeds)
        const execution = yield* told(yield* use(SagaManager.run(Succeeds, { context, ...flags })), flags, manager)
        assertFinished(execution, flags)
        assert.deepStrictEqual(plain(execution.context), { ...context, number: 7 })
        assert.deepStrictEqual(lines(world), ["number"])
      })
    )
  }
})

describe("failure", () => {
  for (const flags of combinations) {
    it.effect(title(flags), () =>
      Effect.gen(function* () {
        const { manager, use, world } = yield* opened(Fails)
        const exit = yield* Effect.exit(use(SagaManager.run(Fails, { context, ...flags })))
        yield* assertFailed(exit, flags, manager)
        assert.deepStrictEqual(lines(world), ["number", "give 7 back"])
      })
    )
  }
})

describe("pause", () => {
  for (const flags of combinations) {
    it.effect(title(flags), () =>
      Effect.gen(function* () {
        const { manager, use, wire } = yield* opened(Pauses)
        const running = yield* Effect.forkChild(use(SagaManager.run(Pauses, { context, ...flags })))
        yield* until("the request", () => wire.sent.length === 1)
        yield* quiet
        if (flags.pauseOnDisk) {
          const paused = yield* told(yield* Fiber.join(running), flags, manager)
          assert.deepStrictEqual([paused.status, paused.pausedStep?.name], ["paused", "payment"])
          assert.deepStrictEqual(plain(paused.context), { ...context, number: 7 })
          return
        }
        assert.isUndefined(running.pollUnsafe())
        yield* wire.reply(wire.sent[0]!, charged)
        assertFinished(yield* told(yield* Fiber.join(running), flags, manager), flags)
      })
    )

    it.effect(`${title(flags)}, and the reply is a refusal`, () =>
      Effect.gen(function* () {
        const { manager, use, wire, world } = yield* opened(Pauses)
        // A pause on disk is over before the reply: what follows is told to nobody but the store.
        wire.answer = flags.pauseOnDisk ? () => undefined : refusing
        const exit = yield* Effect.exit(use(SagaManager.run(Pauses, { context, ...flags })))
        if (!flags.pauseOnDisk) return yield* assertFailed(exit, flags, manager)
        yield* wire.reply(wire.sent[0]!, refusing(wire.sent[0]!.envelope, "Charge")!)
        yield* until("it is undone", () => lines(world).length === 2)
        const { saga } = wire.sent[0]!.envelope
        yield* until("it is acknowledged", () => wire.acknowledged === 1)
        yield* quiet
        assert.strictEqual((yield* manager.load(saga)).status, "errored")
      })
    )
  }
})
