/** The errors of running sagas: one family, told apart by tag, each with a message and what a person needs. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Result, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as library from "effect-saga"
import {
  Saga,
  SagaConfig,
  SagaError,
  SagaExecution,
  SagaExecutionRepository,
  SagaManager,
  SagaResponse,
  SagaRunner,
  SagaValidation
} from "effect-saga"
import { SagaInput } from "effect-saga/internals"
import {
  agreeable,
  CardDeclined,
  CreateOrder,
  context,
  declined,
  makeWorld,
  refusing,
  reserved,
  start
} from "../fixtures/manager.ts"

const nobody = "01890000-0000-7000-8000-000000000000"

/** All classes of errors that the package exports. */
const classes = new Map<string, { new (fields: any): Error; readonly identifier: string }>()
for (const module of Object.values(library)) {
  const members = typeof module === "function" ? [module] : typeof module === "object" ? Object.values(module) : []
  for (const member of members as ReadonlyArray<any>)
    if (typeof member === "function" && member.prototype instanceof Error) classes.set(member.identifier, member)
}

const isDefinitionError = (tag: string) =>
  Object.values(SagaValidation).some((member: any) => member?.identifier === tag && member.prototype instanceof Error)

/** A paused execution, driven by hand. */
const byHand = Effect.gen(function* () {
  const world = yield* makeWorld()
  const layer = SagaRunner.layer([CreateOrder]).pipe(
    Layer.provide([world.layers, SagaConfig.layer({ service: "orders" })])
  )
  const runner = Context.get(yield* Layer.build(layer), SagaRunner.SagaRunner)
  const created = yield* SagaExecution.fromDefinition(CreateOrder, { context })
  return { runner, created, paused: yield* runner.execute(created) }
})

describe("families", () => {
  it("ERR-001 every error of the package is of one family and has a tag of its own", () => {
    assert.isAtLeast(classes.size, 50)
    for (const [tag, { name, prototype }] of classes) {
      assert.strictEqual(name, tag)
      const error: unknown = Object.create(prototype, { _tag: { value: tag } })
      if (isDefinitionError(tag)) assert.isFalse(SagaError.isSagaExecutionError(error), tag)
      else assert.isTrue(SagaError.isSagaError(error), tag)
    }
    for (const other of [
      undefined,
      null,
      "SagaCancelled",
      new Error("x"),
      { _tag: "CardDeclined" },
      { _tag: "toString" }
    ])
      assert.isFalse(SagaError.isSagaError(other))
  })

  it.effect("ERR-001 every mistake of a caller is a typed error of the family or of the saga", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* start({ keep: 5, maxPending: 2 })
      const Unknown = Saga.make("Unknown", { context: {} }).pipe(
        Saga.local("one", { execute: () => Effect.void }),
        Saga.commit
      )
      const hostile: any = JSON.parse('{"__proto__": 1, "sku": 1}')
      const response = (fields: object) => SagaManager.run({ response: new SagaResponse({ content: 1, ...fields }) })
      wire.answer = agreeable
      const { uuid } = yield* use(SagaManager.run(CreateOrder, { context }))
      wire.answer = refusing
      const wrong: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        use(SagaManager.run(Unknown, { context: {} })),
        use(SagaManager.run(CreateOrder, { context: hostile })),
        use(SagaManager.run(CreateOrder, { context: null as any })),
        use(SagaManager.run(CreateOrder, { context, uuid: "x" })),
        use(SagaManager.run(CreateOrder, { context })),
        use(response({})),
        use(response({ uuid })),
        use(response({ uuid: nobody })),
        manager.load(nobody),
        manager.load("__proto__"),
        manager.cancel(uuid),
        manager.cancel(nobody),
        manager.reject(uuid),
        manager.commit(nobody),
        manager.retryParked(uuid, "0", { actor: "ada" }),
        manager.resolveParked(uuid, "0", { actor: "ada", reason: "" }),
        manager.find({}, { after: "?" })
      ]
      const tags: Array<string> = []
      for (const each of wrong) {
        const exit = yield* Effect.exit(each)
        const reasons = Exit.isFailure(exit) ? exit.cause.reasons : []
        assert.deepStrictEqual(
          reasons.map(({ _tag }) => _tag),
          ["Fail"]
        )
        for (const reason of reasons) {
          if (reason._tag !== "Fail") continue
          assert.isTrue(SagaError.isSagaError(reason.error))
          tags.push((reason.error as { readonly _tag: string })._tag)
        }
      }
      assert.deepStrictEqual(tags, [
        "SagaNotRegistered",
        "SagaContextEncodeError",
        "SagaContextEncodeError",
        "SagaInvalidUuid",
        "SagaFailedExecution",
        "SagaResponseUnaddressed",
        "SagaExecutionAlreadyExecuted",
        "SagaExecutionNotFound",
        "SagaExecutionNotFound",
        "SagaExecutionNotFound",
        "SagaNotCancellable",
        "SagaExecutionNotFound",
        "SagaAlreadyDecided",
        "SagaExecutionNotFound",
        "SagaStepNotParked",
        "SagaStepNotParked",
        "SagaExecutionRepositoryError"
      ])
    })
  )

  it.effect("ERR-001 sagas that cannot run keep the manager from being built, with every issue", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const empty: any = Saga.commit(Saga.make("Empty", { context: {} }) as any)
      const layer = SagaManager.layer([empty, CreateOrder]).pipe(
        Layer.provide([world.layers, SagaConfig.layer({ service: "orders" })])
      )
      const error = yield* Effect.flip(Layer.build(layer as Layer.Layer<SagaManager.SagaManager, unknown>))
      assert.isTrue(SagaError.isSagaError(error))
      assert.strictEqual((error as { _tag: string })._tag, "SagaInvalid")
      const { issues } = error as SagaError.SagaInvalid
      assert.deepStrictEqual(
        issues.map(({ _tag }) => _tag),
        ["EmptySaga"]
      )
      assert.isTrue(issues.every(SagaError.isSagaDefinitionError))
    })
  )

  it("ERR-002 an error about a step's definition is not one about an execution", () => {
    const broken: any = Saga.commit(
      Saga.make("Broken", { context: {} }).pipe(
        Saga.local("one", { compensate: () => Effect.void } as any),
        Saga.nested("two", {} as any)
      ) as any
    )
    const issues = SagaValidation.validate(broken)
    assert.includeMembers(
      issues.map(({ _tag }) => _tag as string),
      ["UndefinedOnExecute", "SagaNotDefined"]
    )
    for (const issue of issues) {
      assert.isTrue(SagaError.isSagaStepError(issue))
      assert.isTrue(SagaError.isSagaError(issue))
      assert.isFalse(SagaError.isSagaExecutionError(issue) || SagaError.isSagaStepExecutionError(issue))
    }
  })

  it.effect("ERR-004 errors of an execution and errors of a step are families of their own", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* start({ keep: 5 })
      const notFound = yield* Effect.flip(manager.load(nobody))
      const { paused, runner } = yield* byHand
      const undone = yield* runner.rollback(paused)
      const rollback = yield* Effect.flip(runner.rollback(undone))
      assert.strictEqual(notFound._tag, "SagaExecutionNotFound")
      assert.strictEqual(rollback._tag, "SagaRollbackExecution")
      for (const error of [notFound, rollback]) {
        assert.isTrue(SagaError.isSagaExecutionError(error))
        assert.isFalse(SagaError.isSagaStepExecutionError(error))
      }

      // A pause is a value and no error; a step that could not be compensated is parked, and addressed by its path.
      const execution = yield* use(SagaManager.run(CreateOrder, { context, pauseOnDisk: true }))
      assert.strictEqual(execution.status, "paused")
      wire.answer = (envelope, command) => (envelope.op === "probe" ? { status: 404 } : agreeable(envelope, command))
      const response = new SagaResponse({ uuid: execution.uuid, step: "stock", status: 500, content: "down" })
      const failed = yield* Effect.flip(use(SagaManager.run({ response })))
      assert.strictEqual(failed._tag, "SagaFailedExecution")
      const step = (failed as SagaRunner.SagaFailedExecution).cause
      const notParked = yield* Effect.flip(manager.retryParked(execution.uuid, "0", { actor: "ada" }))
      assert.strictEqual((step as { _tag: string })._tag, "SagaFailedExecutionStep")
      for (const error of [step, (step as Error).cause, notParked]) {
        assert.isTrue(SagaError.isSagaStepExecutionError(error))
        assert.isFalse(SagaError.isSagaExecutionError(error))
      }
    })
  )

  it.effect("the family of a failed execution is the whole, a step of it, or the phase of its participants", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      wire.answer = (envelope, command) => (command === "Charge" ? { status: 500 } : agreeable(envelope, command))
      const failed = yield* Effect.flip(use(SagaManager.run(CreateOrder, { context })))
      assert.isTrue(SagaError.isSagaFailedExecution(failed))
      if (failed._tag === "SagaFailedExecution") assert.isTrue(SagaError.isSagaFailedExecution(failed.cause))
      const commit = new SagaError.SagaFailedCommitCallback({ decision: "reject", pending: [], reason: "no" })
      assert.isTrue(SagaError.isSagaFailedExecution(commit))
      assert.isFalse(SagaError.isSagaFailedExecution(new CardDeclined({ reason: "limit" })))
    })
  )
})

describe("messages", () => {
  const examples: ReadonlyArray<readonly [Error, RegExp]> = [
    [new SagaError.SagaStepTimedOut({ path: "1", step: "payment", deadline: 0 }), /payment \(1\).*1970/],
    [
      new SagaError.SagaStartedNotUndone({ path: "1", step: "delivery", uuid: "u-2" }),
      /u-2.*delivery \(1\).*not undone/
    ],
    [new SagaError.SagaStepInterrupted({ path: "1", step: "payment" }), /payment \(1\).*crash/],
    [
      new SagaError.SagaContextEncodeError({ path: "", step: "", issue: "$.a is NaN" }),
      /initial context.*\$\.a is NaN/
    ],
    [new SagaError.SagaContextDecodeError({ path: "1", step: "payment", issue: "$.a" }), /payment \(1\).*\$\.a/],
    [new SagaError.SagaContextTooLarge({ path: "", step: "", issue: "9 of 8" }), /initial context.*9 of 8/],
    [new SagaInput.SagaResponseNotAwaited({ uuid: nobody, named: "approval", awaited: [] }), /not await .*"approval"/],
    [new SagaInput.SagaResponseConflict({ uuid: nobody, path: "1", step: "approval" }), /another answer/],
    [new SagaError.SagaRelatedServicesRefused({ path: "1", step: "payment", issue: "casino" }), /not allowed: casino/],
    [
      new SagaError.SagaTooManyItems({ path: "1", step: "lines", issue: "9 of 8" }),
      /lines \(1\).*too many items: 9 of 8/
    ],
    [new SagaError.SagaCancelled({ actor: "ada" }), /cancelled by ada/],
    [new SagaError.SagaCancelled({}), /cancelled$/],
    [new SagaError.SagaRejected({}), /rejected/],
    [new SagaError.SagaFailedCommitCallback({ decision: "commit", pending: ["a", "b"], reason: "late" }), /a, b: late/],
    [
      new SagaError.SagaFailedCommitCallback({ decision: "reject", pending: [], reason: "a said no" }),
      /rejected: a said no/
    ],
    [new SagaInput.SagaExecutionAlreadyExecuted({ uuid: nobody, status: "finished" }), /already finished/],
    [new SagaInput.SagaExecutionNotFinished({ uuid: nobody, status: "paused" }), /paused, not finished/],
    [new SagaInput.SagaAlreadyDecided({ uuid: nobody, decision: "commit" }), /already decided: commit/],
    [new SagaInput.SagaNotCancellable({ uuid: nobody, status: "finished" }), /no longer be cancelled/],
    [new SagaInput.SagaRollbackExecution({ uuid: nobody, reason: "already-done" }), /already-done/],
    [new SagaInput.SagaStepNotParked({ uuid: nobody, path: "7" }), /Step 7 .*not parked/],
    [
      new SagaInput.SagaResolutionRefused({ uuid: nobody, path: "7", reason: "result", issue: "$: no" }),
      /does not fit: \$: no/
    ],
    [new SagaInput.SagaResolutionRefused({ uuid: nobody, path: "7", reason: "no-result" }), /no result of its own/],
    [new SagaError.SagaResolutionOverruled({ uuid: nobody, path: "7" }), /Step 7 .*was done by its service/],
    [new SagaInput.SagaResponseAmbiguous({ uuid: nobody, awaited: ["0", "1"] }), /2 replies/],
    [
      new SagaManager.SagaStartConflict({ uuid: nobody, saga: "S", startKey: "k", difference: "version" }),
      /start key "k" .* another version/
    ],
    [new SagaManager.SagaResponseUnaddressed({}), /no uuid/],
    [new SagaManager.SagaOverloaded({ limit: "maxPending", value: 3 }), /maxPending is 3/],
    [new SagaExecutionRepository.SagaExecutionNotFound({ uuid: nobody }), new RegExp(nobody)],
    [new SagaExecutionRepository.SagaExecutionNotFound({ uuid: "k", startKey: "k" }), /start key "k"/],
    [new SagaExecution.SagaInvalidUuid({ reason: "not a uuid" }), /not a uuid/],
    [new SagaConfig.InvalidServiceName({ service: "a/b" }), /"a\/b"/]
  ]

  it("ERR-003 every error has a message that names the rule or the place", () => {
    for (const [error, message] of examples) {
      assert.match(error.message, message)
      assert.match(String(error), message)
    }
  })

  it("every error can be encoded and decoded", () => {
    for (const [error] of examples) {
      const codecOf = (error as any).constructor as Schema.Codec<Error>
      const codec = Schema.fromJsonString(Schema.toCodecJson(codecOf))
      const back = Result.flatMap(Schema.encodeUnknownResult(codec)(error), Schema.decodeUnknownResult(codec))
      assert.isTrue(Result.isSuccess(back), error.name)
      if (Result.isSuccess(back)) assert.strictEqual(back.success.message, error.message)
    }
  })
})

describe("a failed step", () => {
  it.effect("ERR-005 a failed step carries the original error, and its message shows it", () =>
    Effect.gen(function* () {
      const original = new TypeError("the ledger is closed")
      const Dies = Saga.make("Dies", { context: {} }).pipe(
        Saga.local("entry", { execute: () => Effect.die(original) }),
        Saga.commit
      )
      const { use } = yield* start({ sagas: [Dies] })
      const failed = yield* Effect.flip(use(SagaManager.run(Dies, { context: {} })))
      assert.strictEqual(failed._tag, "SagaFailedExecution")
      if (failed._tag !== "SagaFailedExecution") return
      const step = failed.cause
      assert.instanceOf(step, SagaError.SagaFailedExecutionStep)
      assert.strictEqual((step as Error).cause, original)
      assert.strictEqual((step as Error).message, "Step entry (0) of saga Dies failed: TypeError: the ledger is closed")
      assert.match(
        failed.message,
        /^Saga Dies \([0-9a-f-]{36}\) failed at step entry \(0\): TypeError: the ledger is closed$/
      )
    })
  )

  it.effect("ERR-005 a failed step carries the original error also after a restart, as far as it can be stored", () =>
    Effect.gen(function* () {
      const Dies = Saga.make("Dies", { context: {} }).pipe(
        Saga.local("entry", { execute: () => Effect.die(new TypeError("the ledger is closed")) }),
        Saga.commit
      )
      const { manager, use } = yield* start({ keep: 1, sagas: [Dies] })
      const { uuid } = yield* use(SagaManager.run(Dies, { context: {}, raiseOnError: false }))
      const raw = JSON.parse(JSON.stringify(SagaExecution.raw(yield* manager.load(uuid))))
      const { cause } = yield* SagaExecution.fromRaw(raw, Dies)
      assert.instanceOf(cause, SagaError.SagaFailedExecutionStep)
      assert.match((cause as Error).message, /TypeError: the ledger is closed/)
    })
  )

  it.effect("a reply 500 is a SagaResponseError with its content; a reply 400 is the declared error itself", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start()
      const fail = Effect.gen(function* () {
        const failed = yield* Effect.flip(use(SagaManager.run(CreateOrder, { context })))
        return (failed as SagaRunner.SagaFailedExecution).cause as Error
      })
      wire.answer = (envelope, command) =>
        command === "Charge" ? { status: 500, content: { code: 7 } } : agreeable(envelope, command)
      const system = yield* fail
      assert.deepInclude(system.cause, { _tag: "SagaResponseError", status: 500, content: { code: 7 } })
      wire.answer = refusing
      const declared = yield* fail
      assert.instanceOf(declared, CardDeclined)
      assert.deepInclude(declared, declined.content)
    })
  )

  it.effect("a failed compensation is attached to the first failure, and never replaces it (G2)", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start({ keep: 1 })
      wire.answer = (envelope, command) =>
        envelope.op === "failure" ? { status: 500, content: "no" } : refusing(envelope, command)
      const running = yield* Effect.forkChild(Effect.flip(use(SagaManager.run(CreateOrder, { context }))))
      yield* TestClock.adjust("2 hours")
      const failed = (yield* Fiber.join(running)) as SagaRunner.SagaFailedExecution
      assert.instanceOf(failed.cause, CardDeclined)
      assert.strictEqual(failed.later.length, 1)
      assert.instanceOf(failed.later[0], SagaError.SagaFailedExecutionStep)
      assert.deepStrictEqual(failed.parked, ["0"])
      assert.match(failed.message, /failed at step payment \(2, payments\/Charge\): CardDeclined; parked: 0$/)
      assert.deepStrictEqual([reserved.status, failed.execution.alreadyRollback], [200, false])
    })
  )
})
