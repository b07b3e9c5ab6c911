/** Mistakes that no type can see, and mistakes of plain JavaScript: each is reported with its place and its rule. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import * as Participant from "../../src/definition/ParticipantContract.ts"
import * as Saga from "../../src/definition/Saga.ts"
import type { Definition } from "../../src/definition/SagaStep.ts"
import * as SagaValidation from "../../src/definition/SagaValidation.ts"
import * as Signal from "../../src/definition/Signal.ts"
import { Payments, PlaceOrder, Shipping } from "./order.ts"

const nothing = () => Effect.void
const start = Saga.make("S", { context: { sku: Schema.String } })
const charge = {
  command: Payments.commands.Charge,
  payload: ({ sku }: { readonly sku: string }) => ({ orderId: sku, amount: 1 })
}

/** The combinators as plain JavaScript sees them. */
const js: { readonly [K in keyof typeof Saga]: any } = Saga // untyped is the point
const committed = (...steps: ReadonlyArray<unknown>): Definition => js.commit((start.pipe as any)(...steps)) // as above
const step = js.local("one", { execute: nothing })

const issues = (saga: Definition, options?: SagaValidation.ValidationOptions) =>
  SagaValidation.validate(saga, options).map(({ _tag, path }) => `${_tag} ${path}`.trim())
const messages = (saga: Definition, options?: SagaValidation.ValidationOptions) =>
  SagaValidation.validate(saga, options).map(({ message }) => message)

describe("a command that answers later", () => {
  const Lab = Participant.make("lab", {
    Examine: { payload: {}, answer: "later" },
    Forget: { payload: {} }
  })
  const examine = { execute: { command: Lab.commands.Examine, payload: () => ({}) } }
  const open = Saga.make("Visit", { context: {} })

  it("needs a time: that of its step, or before the pivot the deadline of the saga (C19)", () => {
    const visit = (step: object) => js.commit(js.remote("result", { ...examine, ...step })(open))
    assert.deepStrictEqual(messages(visit({})), [
      "saga \"Visit\", step 0 \"result\": 'timeout' is needed, or 'deadline' in Saga.make: its command answers later"
    ])
    assert.deepStrictEqual(issues(visit({ timeout: "6 hours" })), [])
    const inTime = Saga.make("Visit", { context: {}, deadline: "1 hour" })
    assert.deepStrictEqual(issues(inTime.pipe(Saga.remote("result", examine), Saga.commit)), [])
    const behind = inTime.pipe(Saga.pivot, Saga.remote("result", examine), Saga.commit)
    assert.deepStrictEqual(messages(behind), [
      'saga "Visit", step 1 "result": \'timeout\' is needed: its command answers later'
    ])
  })

  it("is no compensation: an undo answers at once (C19)", () => {
    const compensate = { command: Lab.commands.Examine, payload: () => ({}) }
    const undone = js.remote("result", { execute: { ...examine.execute, command: Lab.commands.Forget }, compensate })
    assert.deepStrictEqual(messages(committed(undone)), [
      'saga "S", step 0 "result": \'compensate.command\' must be a command that answers at once'
    ])
  })
})

describe("validate", () => {
  it("DEF-017 an empty saga is reported first, then mistakes in steps, then a saga that is not committed", () => {
    assert.deepStrictEqual(issues(start), ["EmptySaga", "SagaNotCommitted"])
    const open = start.pipe(Saga.local("one", { execute: nothing, timeout: Number.NaN }))
    assert.deepStrictEqual(issues(open), ["InvalidPolicy 0", "SagaNotCommitted"])
    assert.deepStrictEqual(issues(start.pipe(Saga.local("one", { execute: nothing }))), ["SagaNotCommitted"])
    assert.deepStrictEqual(issues(PlaceOrder), [])
  })

  it("an option that there is not is reported, with the one that is meant", () => {
    const compensate = { run: nothing, unknwon: nothing }
    const send = { command: charge.command, payload: charge.payload }
    const signal = Signal.make("yes", { payload: Schema.Void })
    const other = Saga.make("Other", { context: {} }).pipe(Saga.local("one", { execute: nothing }), Saga.commit)
    const mistaken: ReadonlyArray<readonly [step: unknown, message: string]> = [
      [
        js.local("one", { execute: nothing, compensat: nothing }),
        "'compensat' must be an option that there is; is 'compensate' meant?"
      ],
      [
        js.local("one", { execute: nothing, compensate }),
        "'compensate.unknwon' must be an option that there is; is 'unknown' meant?"
      ],
      [
        js.local("one", { execute: nothing, retry: { times: 1, bakoff: 5 } }),
        "'retry.bakoff' must be an option that there is; is 'backoff' meant?"
      ],
      [js.local("one", { execute: nothing, parallelism: 5 }), "'parallelism' must be an option that there is"],
      [js.local("one", { execute: nothing, constructor: 5 }), "'constructor' must be an option that there is"],
      [js.remote("one", { execute: send, timout: 5 }), "'timout' must be an option that there is; is 'timeout' meant?"],
      [
        js.remote("one", { execute: { ...send, paylod: 5 } }),
        "'execute.paylod' must be an option that there is; is 'payload' meant?"
      ],
      [js.waitFor("one", { signal, timout: 5 }), "'timout' must be an option that there is; is 'timeout' meant?"],
      [
        js.waitFor("one", { signal, timeout: 5, onTimeout: { success: Schema.Void, value: nothing, vaule: 5 } }),
        "'onTimeout.vaule' must be an option that there is; is 'value' meant?"
      ],
      [
        js.forEach("one", {
          items: () => [],
          item: Schema.Void,
          as: "item",
          steps: (each: any) => each.pipe(step),
          concurency: 2
        }),
        "'concurency' must be an option that there is; is 'concurrency' meant?"
      ],
      [
        js.nested("one", { saga: other, context: () => ({}), contxt: 5 }),
        "'contxt' must be an option that there is; is 'context' meant?"
      ],
      [
        js.start("one", { saga: other, context: () => ({}), startkey: nothing }),
        "'startkey' must be an option that there is; is 'startKey' meant?"
      ]
    ]
    for (const [it, message] of mistaken) assert.include(messages(committed(it)), `saga "S", step 0 "one": ${message}`)
    const late = js.commit(step(js.make("S", { context: {}, deadlin: 5 })))
    assert.deepStrictEqual(messages(late), [
      `saga "S": 'deadlin' must be an option that there is; is 'deadline' meant?`
    ])
    // The attributes of a step are added to what was made of it.
    const labelled = committed(js.local("one", { execute: nothing, compensat: nothing }), js.attributes(nothing))
    assert.deepStrictEqual(issues(labelled), ["InvalidOption 0"])
  })

  it("a saga without options, or with a context without fields, is valid", () => {
    const execute = { execute: nothing }
    assert.deepStrictEqual(issues(js.commit(js.local("one", execute)(js.make("S")))), [])
    assert.deepStrictEqual(issues(js.commit(js.local("one", execute)(js.make("S", {})))), [])
    assert.deepStrictEqual(issues({ ...committed(step), context: Schema.Unknown }), [])
  })

  it("validation reports all issues, each with its place, in the order of the source", () => {
    const saga = committed(
      js.local("one", {}),
      js.remote("two", { compensate: { target: "a/b" } }),
      js.conditional("three", [
        js.elseThen((b: unknown) => b),
        js.ifThen(() => true, js.local("one", { execute: nothing }))
      ]),
      js.parallel("four", {
        a: js.local("five", { execute: nothing, timeout: "soon" }),
        b: js.local("five", { execute: nothing })
      }),
      js.nested("six", {})
    )
    assert.deepStrictEqual(issues(saga), [
      "EmptySagaStep 0",
      "UndefinedOnExecute 1",
      "ElseThenNotLast 2",
      "EmptySagaStep 2/else",
      "StepNameAlreadyUsed 2/if1/0",
      "InvalidPolicy 3/b0/0",
      "StepNameAlreadyUsed 3/b1/0",
      "SagaNotDefined 4"
    ])
  })

  it("validation of the same saga a second time is answered from memory", () => {
    assert.strictEqual(SagaValidation.validate(PlaceOrder), SagaValidation.validate(PlaceOrder))
  })
})

describe("names", () => {
  it("a name that is used twice is an issue, also where the compiler knows it only as a string", () => {
    const name: string = "one"
    const saga = start.pipe(
      Saga.local("one", { execute: nothing }),
      Saga.local(name, { execute: nothing }),
      Saga.local("sku" as string, { execute: nothing }),
      Saga.commit
    )
    assert.deepStrictEqual(messages(saga), [
      'saga "S", step 1 "one": the name is already used by step 0',
      'saga "S", step 2 "sku": the name is already used by the initial context'
    ])
  })

  it("alternatives may share names; the steps after them, parallel branches and their own conditional may not", () => {
    const way = js.conditional("way", [js.ifThen(() => true, step), js.ifThen(() => false, step), js.elseThen(step)])
    assert.deepStrictEqual(issues(committed(way)), [])
    assert.deepStrictEqual(issues(committed(way, step)), ["StepNameAlreadyUsed 1"])
    assert.deepStrictEqual(issues(committed(js.parallel("both", { a: step, b: step }))), ["StepNameAlreadyUsed 0/b1/0"])
    assert.deepStrictEqual(issues(committed(js.conditional("one", [js.elseThen(step)]))), [
      "StepNameAlreadyUsed 0/else/0"
    ])
  })

  it("a nested saga has names of its own", () => {
    const inner = committed(step)
    assert.deepStrictEqual(issues(committed(step, js.nested("two", { saga: inner, context: nothing }))), [])
    const clash = committed(step, step)
    assert.deepStrictEqual(issues(committed(js.nested("two", { saga: clash, context: nothing }))), [
      "StepNameAlreadyUsed 0/n/1"
    ])
  })

  it("names of sagas, steps, branches, services and commands are short and plain", () => {
    const good = ["a", "A1", "a.b-c_d", "a".repeat(64)]
    const bad = ["", "1a", "_a", "a b", "a/b", "é", "a".repeat(65), "constructor", "prototype", "__proto__"]
    const command = { ...charge.command }
    const uses = (name: any) => ({
      saga: js.commit(Saga.make(name, { context: {} }).pipe(step)),
      step: committed(js.local(name, { execute: nothing })),
      branch: committed(js.parallel("both", Object.defineProperty({}, name, { value: step, enumerable: true }))),
      service: committed(js.remote("pay", { execute: { ...charge, command: { ...command, participant: name } } })),
      command: committed(
        js.remote("pay", { execute: charge, compensate: { ...charge, command: { ...command, tag: name } } })
      )
    })
    const found = (saga: Definition) =>
      SagaValidation.validate(saga).map((issue) =>
        issue._tag === "InvalidName" ? [issue.kind, issue.name] : issue._tag
      )
    for (const name of good) {
      for (const saga of Object.values(uses(name))) assert.deepStrictEqual(found(saga), [])
    }
    for (const name of bad) {
      for (const [kind, saga] of Object.entries(uses(name))) assert.deepStrictEqual(found(saga), [[kind, name]])
    }
    assert.deepStrictEqual(found(uses(7).step), [["step", "7"]])
    assert.deepStrictEqual(issues(committed(js.remote("pay", { execute: { target: "a/b/c" } }))), ["InvalidName 0"])
    assert.deepStrictEqual(issues(committed(js.remote("pay", { execute: { target: "a" } }))), ["InvalidName 0"])
  })

  it("keys of the initial context are free, but for those that would reach a prototype", () => {
    const of = (key: string) =>
      Saga.make("S", { context: { [key]: Schema.String } }).pipe(Saga.local("one", { execute: nothing }), Saga.commit)
    assert.deepStrictEqual(issues(of("any key, 日本")), [])
    for (const key of ["__proto__", "prototype", "constructor"]) {
      assert.deepStrictEqual(messages(of(key)), [`saga "S": "${key}" cannot be the name of a context key`])
    }
  })
})

describe("steps", () => {
  it("an option that is not a function or a schema is reported by its name", () => {
    const saga = committed(
      js.local("one", { execute: 1, success: "string" }),
      js.local("two", { execute: nothing, compensate: {} }),
      js.local("three", { execute: nothing, compensate: { run: nothing, unknown: 1 }, error: {} }),
      js.remote("four", { execute: { ...charge, payload: {} }, onSuccess: 1, onError: 1 }),
      js.remote("five", { execute: charge, compensate: { ...charge, unknown: 1 } }),
      js.conditional("six", [js.ifThen(true, js.local("seven", { execute: nothing }))]),
      js.nested("eight", { saga: PlaceOrder })
    )
    assert.deepStrictEqual(messages(saga), [
      `saga "S", step 0 "one": 'execute' must be a function`,
      `saga "S", step 0 "one": 'success' must be a schema`,
      `saga "S", step 1 "two": 'compensate' must be a function`,
      `saga "S", step 2 "three": 'unknown' must be a function`,
      `saga "S", step 2 "three": 'error' must be a schema`,
      `saga "S", step 3 "four": 'execute.payload' must be a function`,
      `saga "S", step 3 "four": 'onSuccess' must be a function`,
      `saga "S", step 3 "four": 'onError' must be a function`,
      `saga "S", step 4 "five": 'unknown' must be a function`,
      `saga "S", step 5/if0 "six": 'condition' must be a function`,
      `saga "S", step 6 "eight": 'context' must be a function`
    ])
  })

  it("a combinator never throws, whatever plain JavaScript gives it", () => {
    for (const junk of [undefined, null, 0, "x", [], {}, nothing, [undefined], [0]]) {
      const saga = committed(
        js.local("one", junk),
        js.local("two", { execute: junk, compensate: junk, retry: junk, timeout: junk, success: junk }),
        js.remote("three", junk),
        js.remote("four", { execute: junk, compensate: junk, retryCompensate: junk }),
        js.remote("five", { execute: { target: junk, content: junk } }),
        js.remote("six", { execute: { command: junk, payload: junk } }),
        js.conditional("seven", junk),
        js.conditional("eight", [js.ifThen(junk, junk), js.elseThen(junk)]),
        js.nested("nine", junk),
        js.nested("ten", { saga: junk, context: junk }),
        js.parallel("eleven", junk),
        js.parallel("twelve", { a: junk })
      )
      assert.strictEqual(saga.steps.length, 12)
      assert.isAbove(SagaValidation.validate(saga).length, 7, String(junk))
    }
  })

  it("a branch, a parallel step and a nested saga cannot be empty, a nested saga not open", () => {
    const open = (Saga.make("Inner", { context: {} }).pipe as any)(step) // untyped, to be nested as it is
    assert.deepStrictEqual(issues(committed(js.parallel("both", {}))), ["EmptySagaStep 0"])
    assert.deepStrictEqual(issues(committed(js.parallel("both", { a: (b: unknown) => b }))), ["EmptySagaStep 0/b0"])
    assert.deepStrictEqual(messages(committed(js.nested("in", { saga: js.commit(start), context: nothing }))), [
      'saga "S", step 0/n "in": a step, an alternative and a branch must define at least one operation'
    ])
    assert.deepStrictEqual(messages(committed(js.nested("in", { saga: open, context: nothing }))), [
      'saga "S", step 0: only a committed saga can run: end it with Saga.commit'
    ])
  })
})

describe("policies", () => {
  const rules = (options: object) =>
    SagaValidation.validate(
      committed(js.local("one", { execute: nothing, compensate: { run: nothing, unknown: nothing }, ...options }))
    ).map((issue) => issue._tag === "InvalidPolicy" && `${issue.option} ${issue.rule}`)

  it("F23 a timeout is a duration longer than zero, of at most ten years", () => {
    for (const timeout of ["1 second", "3650 days", 1, 0.5, Duration.minutes(1), { seconds: 1 }])
      assert.deepStrictEqual(rules({ timeout }), [])
    for (const timeout of [0, -1, Number.NaN, "Infinity", "soon", { second: 1 }, null, "3651 days", 2 ** 53 - 1]) {
      const rule = "timeout must be a duration longer than zero, of at most 3,650 days"
      assert.deepStrictEqual(rules({ timeout }), [rule], String(timeout))
    }
  })

  it("a retry has a whole number of times, and waits that do not shrink", () => {
    for (const retry of [
      { times: 0 },
      { times: 3, backoff: 0 },
      { times: 1, backoff: { initial: 1, factor: 1, max: 1 }, on: ["A"] }
    ]) {
      assert.deepStrictEqual(rules({ retry }), [])
    }
    for (const times of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, "3", undefined]) {
      assert.deepStrictEqual(rules({ retry: { times } }), ["retry must say 'times' as a whole number"], String(times))
    }
    for (const backoff of [
      "soon",
      -1,
      "Infinity",
      { initial: Number.NaN },
      { initial: 1, max: "late" },
      "3651 days",
      { initial: 1, max: "1000000000 days" }
    ]) {
      assert.deepStrictEqual(
        rules({ retry: { times: 1, backoff } }),
        ["retry must have durations of at most 3,650 days as 'backoff'"],
        String(backoff)
      )
    }
    for (const factor of [0, 0.5, -2, Number.NaN, "2"]) {
      const retryCompensate = { times: 1, backoff: { initial: 1, factor } }
      assert.deepStrictEqual(
        rules({ retryCompensate }),
        ["retryCompensate must have a 'factor' of at least 1"],
        String(factor)
      )
    }
    for (const on of ["A", [1], {}])
      assert.deepStrictEqual(rules({ retry: { times: 1, on } }), ["retry must list tags in 'on'"])
    assert.deepStrictEqual(rules({ retryCompensate: { times: 1, backoff: 0 } }), [
      "retryCompensate must pause between attempts"
    ])
  })

  it("a compensation without a result needs 'unknown'", () => {
    const needs = "needs 'compensate: { run, unknown }'"
    assert.deepStrictEqual(rules({ onCrash: "compensate", timeout: 1 }), [])
    assert.deepStrictEqual(rules({ onCrash: "compensate", timeout: 1, compensate: nothing }), [
      `onCrash ${needs}`,
      `timeout ${needs}`
    ])
    assert.deepStrictEqual(rules({ onCrash: "compensate", timeout: 1, compensate: undefined }), [`onCrash ${needs}`])
    assert.deepStrictEqual(rules({ onCrash: "ignore" }), ["onCrash must be 'retry', 'compensate' or 'park'"])
  })

  it("a remote step has no retry", () => {
    assert.deepStrictEqual(messages(committed(js.remote("pay", { execute: charge, retry: { times: 1 } }))), [
      `saga "S", step 0 "pay": 'retry' is for local steps: a request is resent until it is answered`
    ])
  })
})

describe("limits", () => {
  const many = (count: number) =>
    committed(...Array.from({ length: count }, (_, i) => js.local(`s${i}`, { execute: nothing })))

  it("a saga has at most 1000 steps, nested ones included", () => {
    assert.deepStrictEqual(issues(many(1_000)), [])
    assert.deepStrictEqual(messages(many(1_001)), [
      'saga "S": a saga can have 1000 steps, nested ones included; these are 1001'
    ])
    assert.deepStrictEqual(issues(committed(js.nested("in", { saga: many(999), context: nothing }))), [])
    assert.deepStrictEqual(issues(committed(js.nested("in", { saga: many(1_000), context: nothing }))), [
      "TooManySteps"
    ])
  })

  it("steps are nested at most 16 deep", () => {
    const deep = (depth: number): any =>
      // any kind of step
      depth === 0 ? js.local("leaf", { execute: nothing }) : js.conditional(`c${depth}`, [js.elseThen(deep(depth - 1))])
    assert.deepStrictEqual(issues(committed(deep(16))), [])
    assert.deepStrictEqual(issues(committed(deep(17))), [`NestingTooDeep 0${"/else/0".repeat(16)}`])
    assert.strictEqual(issues(committed(deep(500))).length, 1)
  })
})

describe("participants", () => {
  it("a step may ask only services that are given, if any are", () => {
    const saga = start.pipe(
      Saga.remote("pay", { execute: charge, compensate: { target: "mail/send" } }),
      Saga.nested("order", { saga: PlaceOrder, context: ({ sku }) => ({ orderId: "", sku, quantity: 1, amount: 1 }) }),
      Saga.commit
    )
    assert.deepStrictEqual(issues(saga), [])
    assert.deepStrictEqual(issues(saga, { participants: [Payments, Shipping], knownServices: ["mail"] }), [])
    assert.deepStrictEqual(messages(saga, { participants: [Payments] }), [
      'saga "S", step 0 "pay": there is no participant "mail", only payments',
      'saga "S", step 1/n/2/if0/0 "courier": there is no participant "shipping", only payments',
      'saga "S", step 1/n/2/if0/0 "courier": there is no participant "shipping", only payments'
    ])
    assert.deepStrictEqual(
      issues(saga, { participants: [Participant.make("payments", {})], knownServices: ["mail", "shipping"] }),
      []
    )
    assert.deepStrictEqual(issues(saga, { knownServices: ["payments", "shipping", "mail"] }), [])
  })
})

describe("errors", () => {
  const all = SagaValidation.SagaDefinitionError.members
  const at = { saga: "S", path: "2/if1/0" }
  const every: ReadonlyArray<SagaValidation.SagaDefinitionError> = [
    new SagaValidation.EmptySaga({ saga: "S", path: "" }),
    new SagaValidation.SagaNotCommitted({ saga: "S", path: "" }),
    new SagaValidation.TooManySteps({ saga: "S", path: "", steps: 1_001 }),
    new SagaValidation.InvalidName({ ...at, kind: "step", name: "a b" }),
    new SagaValidation.InvalidDeadline({ saga: "S", path: "", rule: "must be" }),
    new SagaValidation.SagaNotDefined({ ...at, step: "one" }),
    new SagaValidation.EmptySagaStep({ ...at, step: "one" }),
    new SagaValidation.UndefinedOnExecute({ ...at, step: "one" }),
    new SagaValidation.StepNameAlreadyUsed({ ...at, step: "one", usedBy: "0" }),
    new SagaValidation.ElseThenNotLast({ ...at, step: "one" }),
    new SagaValidation.MultipleElseThen({ ...at, step: "one" }),
    new SagaValidation.UnknownParticipant({ ...at, step: "one", service: "mail", known: [] }),
    new SagaValidation.NestingTooDeep({ ...at, step: "one" }),
    new SagaValidation.InvalidPolicy({ ...at, step: "one", option: "retry", rule: "must be" }),
    new SagaValidation.InvalidOption({ ...at, step: "one", option: "execute", expected: "a function" }),
    new SagaValidation.SignalAwaitedTwice({ ...at, step: "one", signal: "go", awaitedBy: "0" }),
    new SagaValidation.DeadlineRequired({ ...at, step: "one", remote: "0" }),
    new SagaValidation.PivotMisplaced({ ...at, step: "one", rule: "top-level" }),
    new SagaValidation.NotBehindPivot({ ...at, step: "one", option: "compensate" })
  ]

  it("ERR-001 definition errors are one family of typed values, told apart by tag", () => {
    assert.deepStrictEqual(
      every.map(SagaValidation.isSagaDefinitionError),
      every.map(() => true)
    )
    assert.deepStrictEqual(
      [new Error(), null, "EmptySaga", { _tag: "EmptySaga" }].map(SagaValidation.isSagaDefinitionError),
      [false, false, false, false]
    )
    assert.strictEqual(new Set(every.map(({ _tag }) => _tag)).size, all.length)
    assert.isTrue(every.every((error) => error instanceof Error))
  })

  it.effect("ERR-002 the errors of steps are a family of their own, caught together", () =>
    Effect.gen(function* () {
      const ofSteps = every.filter(SagaValidation.isSagaStepError).map(({ _tag }) => _tag)
      assert.deepStrictEqual(ofSteps, [
        "SagaNotDefined",
        "EmptySagaStep",
        "UndefinedOnExecute",
        "StepNameAlreadyUsed",
        "ElseThenNotLast",
        "MultipleElseThen",
        "UnknownParticipant",
        "NestingTooDeep",
        "InvalidPolicy",
        "InvalidOption",
        "SignalAwaitedTwice",
        "DeadlineRequired",
        "PivotMisplaced",
        "NotBehindPivot"
      ])
      const fail = (error: SagaValidation.SagaDefinitionError) => Effect.fail(error)
      const caught = yield* Effect.forEach(every, (error) =>
        fail(error).pipe(
          Effect.catchIf(SagaValidation.isSagaStepError, ({ step }) => Effect.succeed(step)),
          Effect.catch(({ _tag }) => Effect.succeed(_tag))
        )
      )
      assert.deepStrictEqual(caught, [
        "EmptySaga",
        "SagaNotCommitted",
        "TooManySteps",
        "InvalidName",
        "InvalidDeadline",
        ...ofSteps.map(() => "one")
      ])
    })
  )

  it("ERR-003 every error says the saga, the place and the rule that is broken", () => {
    assert.deepStrictEqual(
      every.map(({ message }) => message),
      [
        'saga "S": a saga must have at least one step',
        'saga "S": only a committed saga can run: end it with Saga.commit',
        'saga "S": a saga can have 1000 steps, nested ones included; these are 1001',
        'saga "S", step 2/if1/0: "a b" cannot be the name of a step',
        `saga "S": 'deadline' must be`,
        'saga "S", step 2/if1/0 "one": the step must define the saga that it runs or starts',
        'saga "S", step 2/if1/0 "one": a step, an alternative and a branch must define at least one operation',
        `saga "S", step 2/if1/0 "one": a step must define at least 'execute'`,
        'saga "S", step 2/if1/0 "one": the name is already used by step 0',
        `saga "S", step 2/if1/0 "one": 'elseThen' must be the last alternative`,
        `saga "S", step 2/if1/0 "one": a conditional step can only define one 'elseThen'`,
        'saga "S", step 2/if1/0 "one": there is no participant "mail", only none',
        'saga "S", step 2/if1/0 "one": steps can be nested 16 deep',
        `saga "S", step 2/if1/0 "one": 'retry' must be`,
        `saga "S", step 2/if1/0 "one": 'execute' must be a function`,
        'saga "S", step 2/if1/0 "one": step 0 waits for the signal go at the same time: give them keys that differ',
        `saga "S", step 2/if1/0 "one": a wait without a limit after remote step 0 needs a 'deadline' in Saga.make`,
        'saga "S", step 2/if1/0 "one": a pivot stands between the steps of the saga itself, and in no other step',
        `saga "S", step 2/if1/0 "one": 'compensate' has no place behind the pivot: nothing is undone there`
      ]
    )
  })
})
