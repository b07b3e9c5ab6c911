/** Messages of errors, and what loggers write of them: what a person needs, in one line, and nothing of a payload. */
import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Formatter, Logger, type Schema } from "effect"
import { Saga, SagaError, SagaExecution, SagaManager, type SagaRunner, SagaValidation } from "effect-saga"
import { EmbeddedBroker } from "effect-saga/aedes"
import { PgliteClient } from "effect-saga/pglite"
import { agreeable, CreateOrder, refusing, start } from "../fixtures/manager.ts"

const secret = "secret-4111"
/** Nothing in it may reach a message as it stands. */
const forged = "x\ny\u0000\u001B\u2028\u202E"
const control = /[\p{Cc}\p{Zl}\p{Zp}\u202E]/u

const context = { sku: secret, amount: 10 }

/** All that loggers and people write of a value, in every way that Effect and Node offer. */
const written = (value: unknown) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const keep = (line: unknown) => lines.push(typeof line === "string" ? line : inspect(line, { depth: null }))
    const loggers = [Logger.formatJson, Logger.formatStructured, Logger.formatLogFmt, Logger.formatSimple]
    yield* Effect.logError("failed", value, Cause.fail(value)).pipe(
      Effect.annotateLogs({ value }),
      Effect.provide(Logger.layer(loggers.map((logger: Logger.Logger<unknown, unknown>) => Logger.map(logger, keep))))
    )
    return [
      ...lines,
      JSON.stringify(value),
      JSON.stringify({ deep: [value] }),
      inspect(value, { depth: null }),
      String(value),
      Formatter.format(value),
      Formatter.formatJson(value),
      Cause.pretty(Cause.fail(value)),
      Cause.pretty(Cause.die(value))
    ]
  })

const failing = (saga: Parameters<typeof start>[0], answer = agreeable) =>
  Effect.gen(function* () {
    const { use, wire } = yield* start(saga)
    wire.answer = answer
    const error = yield* Effect.flip(use(SagaManager.run(CreateOrder, { context })))
    return error as SagaRunner.SagaFailedExecution
  })

/** A value for a field of an error: texts with control characters, and secrets where anything may stand. */
const hostile = (ast: any): unknown => {
  switch (ast._tag) {
    case "String":
      return forged
    case "Number":
      return 1
    case "Boolean":
      return true
    case "Literal":
      return ast.literal
    case "Enum":
      return ast.enums[0][1]
    case "Union":
      return hostile(ast.types[0])
    case "Arrays":
      return ast.rest.slice(0, 1).map(hostile)
    default:
      return Object.assign(new Error(`inner ${forged}`), { detail: secret })
  }
}

describe("errors that help (F30)", () => {
  it.effect(
    "F30: a refused remote step is named with its path, service and command, and the error that it declares",
    () =>
      Effect.gen(function* () {
        const error = yield* failing({}, refusing)
        assert.strictEqual(
          error.message,
          `Saga CreateOrder (${error.uuid}) failed at step payment (2, payments/Charge): CardDeclined`
        )
        assert.deepStrictEqual(error.failedStep, { path: "2", step: "payment", service: "payments", command: "Charge" })
      })
  )

  it.effect("F30: the cause of a step that failed otherwise stands in the message of the execution", () =>
    Effect.gen(function* () {
      const error = yield* failing({}, (envelope, command) =>
        command === "Charge" ? { status: 500, content: secret } : agreeable(envelope, command)
      )
      const cause = "SagaResponseError: the service answered 500"
      assert.strictEqual(
        error.message,
        `Saga CreateOrder (${error.uuid}) failed at step payment (2, payments/Charge): ${cause}`
      )
      assert.strictEqual(
        (error.cause as Error).message,
        `Step payment (2, payments/Charge) of saga CreateOrder failed: ${cause}`
      )
    })
  )

  it.effect("F30: a local step is named with its path, and the message of its defect becomes one line", () =>
    Effect.gen(function* () {
      const Dies = Saga.make("Dies", { context: {} }).pipe(
        Saga.local("entry", { execute: () => Effect.die(new TypeError("closed\n[ERROR] forged")) }),
        Saga.commit
      )
      const { use } = yield* start({ sagas: [Dies] })
      const error = yield* Effect.flip(use(SagaManager.run(Dies, { context: {} })))
      assert.match(
        error.message,
        /^Saga Dies \([0-9a-f-]{36}\) failed at step entry \(0\): TypeError: closed \[ERROR\] forged$/
      )
    })
  )

  it.effect("F30: an execution that a person cancelled names the person, and no step", () =>
    Effect.gen(function* () {
      const { manager, use } = yield* start()
      const { uuid } = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      yield* manager.cancel(uuid, { actor: "ada\nforged", reason: "a mistake" })
      const execution = yield* manager.load(uuid)
      assert.strictEqual((execution.cause as Error).message, "The execution was cancelled by ada forged: a mistake")
    })
  )
})

describe("errors without payload (F29)", () => {
  it.effect("F29: no logger writes the context, a reply or a result of a failed execution", () =>
    Effect.gen(function* () {
      const refusedWith = (content: unknown) =>
        failing({ keep: 1 }, (envelope, command) =>
          command === "Charge" ? { status: 500, content } : agreeable(envelope, command)
        )
      for (const content of [secret, { [secret]: secret }, [secret]]) {
        const error = yield* refusedWith(content)
        for (const value of [error, error.cause, error.execution, { error }, [error.execution]])
          for (const text of yield* written(value)) assert.notInclude(text, secret)
        // The execution and the content are there for code.
        assert.deepInclude(error.execution.context, { sku: secret })
        assert.deepStrictEqual((error.cause as Error).cause, new SagaError.SagaResponseError({ status: 500, content }))
      }
    })
  )

  it.effect("F29: the JSON of a failed execution says where and why it failed, and what is parked", () =>
    Effect.gen(function* () {
      const error = yield* failing({}, refusing)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(error)), {
        _tag: "SagaFailedExecution",
        uuid: error.uuid,
        saga: "CreateOrder",
        message: error.message,
        failedStep: { path: "2", step: "payment", service: "payments", command: "Charge" },
        cause: { tag: "CardDeclined", message: "" },
        later: [],
        parked: []
      })
      assert.deepStrictEqual(JSON.parse(JSON.stringify(error.execution)), {
        uuid: error.uuid,
        saga: "CreateOrder",
        status: "errored",
        revision: error.execution.revision,
        decision: "reject",
        commitState: "rejected",
        alreadyRollback: true,
        parked: [],
        cause: { tag: "CardDeclined", message: "" }
      })
      assert.strictEqual(String(error.execution), `SagaExecution(CreateOrder ${error.uuid}: errored)`)
      // Who wants all of it as JSON asks for it.
      assert.include(JSON.stringify(SagaExecution.raw(error.execution)), secret)
    })
  )

  it.effect("F29: no error of the library takes a newline or a control character from outside into its message", () =>
    Effect.gen(function* () {
      const known: ReadonlyArray<unknown> = SagaError.SagaError.members
      const classes: ReadonlyArray<any> = [
        // Their executions cannot be made up; their texts are those of `describe`.
        ...known.filter((it) => it !== SagaError.SagaFailedExecution && it !== SagaError.SagaParkedForward),
        EmbeddedBroker.EmbeddedBrokerUnavailable,
        PgliteClient.PgliteFolderLocked,
        PgliteClient.PgliteUnavailable
      ]
      assert.isAtLeast(classes.length, 50)
      for (const Class of classes) {
        const fields = Object.entries<Schema.Top>(Class.fields).filter(([key]) => key !== "_tag")
        const args = Object.fromEntries(fields.map(([key, { ast }]) => [key, hostile(ast)]))
        const given =
          Class === SagaError.SagaInvalid
            ? { issues: [new SagaValidation.EmptySaga({ saga: forged, path: forged })] }
            : args
        const error: Error = new Class(given, { disableChecks: true })
        assert.notMatch(error.message, control, Class.identifier)
        assert.notInclude(error.message, secret, Class.identifier)
        for (const each of yield* written(error)) assert.notInclude(each, secret, Class.identifier)
      }
    })
  )
})
