/** Every way that the opening of a customer can go, in virtual time: hours take no time, and every crash is tried. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Queue } from "effect"
import { Participant, Saga } from "effect-saga"
import { SagaTest } from "effect-saga/testing"
import {
  Accounts,
  Approval,
  Archive,
  BranchClosed,
  Cards,
  Document,
  Mail,
  NotAcceptable,
  Screening
} from "./contracts.ts"
import * as Customers from "./customers.ts"
import { OpenCustomer } from "./saga.ts"
import { hours, waits } from "./times.ts"

const context = { customer: "c-1", name: "Ada", email: "ada@example.org", branch: "Ghent", owners: ["Ada", "Eve"] }
const account = { iban: "BE01" }

const shows = (owner: string) =>
  SagaTest.signal(Document, { after: "30 minutes", key: owner, payload: { document: `passport of ${owner}` } })
const documents = [shows("Ada"), shows("Eve")]
const says = (approved: boolean, after: "1 hour" | "5 hours" | "9 hours") =>
  SagaTest.signal(Approval, { after, payload: { approved, by: "Bob" } })

const ada = SagaTest.given(OpenCustomer, { context, layer: Customers.layerMemory, config: waits }).when({
  replies: {
    check: SagaTest.late("20 minutes", undefined),
    documents: { folder: ({ owner }) => ({ folder: owner }) },
    account,
    card: { card: "card 1" },
    welcome: undefined,
    approval: { reminder: undefined }
  }
})

describe("a customer", () => {
  it.effect("has an account, a card and a letter when check and branch say yes", () =>
    ada.when({ signals: [...documents, says(true, "1 hour")] }).expect({
      status: "finished",
      took: "1 hour",
      commands: [
        { command: "Check", payload: { customer: "c-1", name: "Ada" } },
        { command: "Open", payload: { customer: "c-1", owner: "Ada" } },
        { command: "Open", payload: { customer: "c-1", owner: "Eve" } },
        { command: "Open", payload: { customer: "c-1", branch: "Ghent" } },
        { command: "Print", payload: { customer: "c-1", name: "Ada", iban: "BE01" } },
        { command: "Send" }
      ]
    })
  )

  it.effect("is forgotten when the check says no: no person is asked", () =>
    ada
      .when({
        replies: { check: SagaTest.late("20 minutes", SagaTest.error(new NotAcceptable({ remark: "on a list" }))) }
      })
      .expect({
        status: "errored",
        cause: "NotAcceptable",
        commands: [{ command: "Check" }],
        compensated: [],
        took: "20 minutes"
      })
  )

  it.effect("is forgotten when the check has no result for a week: it is cancelled", () =>
    ada.when({ replies: { check: SagaTest.late("8 days", undefined) } }).expect({
      status: "errored",
      cause: "SagaFailedExecutionStep",
      commands: [{ command: "Check" }],
      took: "168 hours"
    })
  )

  it.effect("is forgotten when the screening service is away for a day", () =>
    ada
      .when({ replies: { check: SagaTest.silence } })
      .expect({ status: "errored", cause: "SagaFailedExecutionStep", took: "24 hours" })
  )

  it.effect("is forgotten when one owner shows nothing for a week: the folders of all are discarded", () =>
    ada.when({ signals: [shows("Ada")] }).expect({ status: "errored", compensated: ["folder", "folder", "check"] })
  )

  it.effect("is forgotten when the branch says no", () =>
    ada
      .when({ signals: [...documents, says(false, "1 hour")] })
      .expect({ status: "errored", cause: "Declined", compensated: ["folder", "folder", "check"] })
  )

  it.effect("is opened when the branch answers after the reminder", () =>
    Effect.gen(function* () {
      const { commands } = yield* ada
        .when({ signals: [...documents, says(true, "5 hours")] })
        .expect({ status: "finished", took: "5 hours" })
      assert.deepStrictEqual(commands[3]?.payload, { to: "branch Ghent", text: "Ada waits for your answer" })
    })
  )

  it.effect("is forgotten when the branch never answers, and a yes after that is told so", () =>
    ada.when({ signals: [...documents, says(true, "9 hours")] }).expect({
      status: "errored",
      compensated: ["folder", "folder", "check"],
      took: "510 minutes",
      answers: ["applied", "applied", "SagaSignalRefused"]
    })
  )

  it.effect("is forgotten when there is no account left", () =>
    ada
      .when({
        signals: [...documents, says(true, "1 hour")],
        replies: { account: SagaTest.error(new BranchClosed({ branch: "Ghent" })) }
      })
      .expect({ status: "errored", cause: "BranchClosed", compensated: ["folder", "folder", "check"] })
  )

  it.effect("has the account closed again when it is cancelled before the card is printed", () =>
    ada
      .when({
        signals: [...documents, says(true, "1 hour")],
        replies: { account: SagaTest.late("30 minutes", account) },
        cancelAfter: "70 minutes"
      })
      .expect({ status: "errored", cause: "SagaCancelled", compensated: ["account", "folder", "folder", "check"] })
  )

  it.effect("keeps the account when no card can be printed: a person is called, and nothing is undone", () =>
    ada
      .when({
        signals: [...documents, says(true, "1 hour")],
        replies: { card: SagaTest.dies },
        cancelAfter: "2 hours"
      })
      .expect({
        status: "paused",
        compensated: [],
        answers: ["applied", "applied", "applied", "SagaNotCancellable"]
      })
  )
})

it("a failure of the account undoes what the entry would undo, but for the account", () => {
  const stepsUndone = (at: "account" | "entry") =>
    Saga.rollbackPlan(OpenCustomer, at).map((undone) => "step" in undone && undone.step)
  assert.deepStrictEqual(stepsUndone("account"), ["documents", "check"])
  assert.deepStrictEqual(stepsUndone("entry"), ["account", "documents", "check"])
})

describe("after a crash at any point", () => {
  /** The work of the services, a line for each piece, in memory. */
  class Done extends Context.Service<Done, Array<string>>()("onboarding/Done") {}
  const does = <A>(line: string, answer: A) =>
    Done.use((done) =>
      Effect.as(
        Effect.sync(() => done.push(line)),
        answer
      )
    )
  /** The screening service has a list of what it has begun, and answers one after the other; or it never answers. */
  const screening = (answer: Effect.Effect<void, NotAcceptable> | undefined) =>
    Layer.unwrap(
      Effect.gen(function* () {
        const list = yield* Queue.unbounded<string>()
        const handlers = Participant.layer(Screening, {
          Check: {
            accept: (_, messageId) => Effect.andThen(does("check", undefined), Queue.offer(list, messageId)),
            cancelled: () => does("no check", undefined)
          },
          Drop: () => does("no check", undefined),
          Look: () => Effect.succeed({ passed: true })
        })
        if (answer === undefined) return handlers
        const answers = Queue.take(list).pipe(
          Effect.flatMap((messageId) => Participant.answer(Screening.commands.Check, messageId, answer)),
          Effect.forever,
          Effect.forkScoped
        )
        return Layer.effectDiscard(answers).pipe(Layer.provide(handlers))
      })
    )
  const Others = Layer.mergeAll(
    Participant.layer(Archive, {
      Open: ({ owner }) => does(`folder of ${owner}`, { folder: owner }),
      Discard: ({ folder }) => does(`no folder of ${folder}`, undefined)
    }),
    Participant.layer(Accounts, { Open: () => does("account", account), Close: () => does("no account", undefined) }),
    Participant.layer(Cards, { Print: () => does("card", { card: "card 1" }) }),
    Participant.layer(Mail, { Send: () => does("letter", undefined) })
  )
  const crashed = (answer: Effect.Effect<void, NotAcceptable> | undefined, approved = true) =>
    SagaTest.crashPoints(OpenCustomer, {
      context,
      // Each question takes its time in each run, so there are few of them.
      config: { ...waits, acceptedResend: hours(24) },
      layer: Layer.merge(screening(answer), Others).pipe(
        Layer.provideMerge(
          Layer.merge(
            Layer.sync(Done, () => []),
            Customers.layerMemory
          )
        )
      ),
      signals: [
        ...["Ada", "Eve"].map((owner) => SagaTest.signal(Document, { key: owner, payload: { document: "passport" } })),
        SagaTest.signal(Approval, { payload: { approved, by: "Bob" } })
      ],
      inspect: Effect.all([Effect.map(Done, (done) => done.toSorted()), Customers.Customers.use(({ all }) => all)])
    })

  it.effect("a customer has one account, one card and one letter", () =>
    Effect.gen(function* () {
      const runs = yield* crashed(Effect.void)
      for (const { crash, execution, inspected } of runs) {
        assert.strictEqual(execution.status, "finished", crash)
        const customers = [{ customer: "c-1", name: "Ada", iban: "BE01" }]
        assert.deepStrictEqual(
          inspected,
          [["account", "card", "check", "folder of Ada", "folder of Eve", "letter"], customers],
          crash
        )
      }
      assert.isAbove(runs.length, 30)
    })
  )

  it.effect("somebody whom the branch does not want has nothing", () =>
    Effect.gen(function* () {
      const runs = yield* crashed(Effect.void, false)
      for (const { crash, execution, inspected } of runs) {
        assert.strictEqual(execution.status, "errored", crash)
        assert.deepStrictEqual(
          inspected,
          [["check", "folder of Ada", "folder of Eve", "no check", "no folder of Ada", "no folder of Eve"], []],
          crash
        )
      }
      assert.isAbove(runs.length, 15)
    })
  )

  for (const [title, answer] of [
    ["somebody whom the check does not let pass has nothing", Effect.fail(new NotAcceptable({ remark: "on a list" }))],
    ["somebody whose check has no result has nothing", undefined]
  ] as const)
    it.effect(title, () =>
      Effect.gen(function* () {
        const runs = yield* crashed(answer)
        for (const { crash, execution, inspected } of runs) {
          assert.strictEqual(execution.status, "errored", crash)
          assert.deepStrictEqual(inspected, [["check", "no check"], []], crash)
        }
        assert.isAbove(runs.length, 5)
      })
    )
})
