/** A participant on the wire: the two-phase commit, what it asks and forgets by itself, what it puts away, what it survives. */
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, type Duration, Effect, Exit, Fiber, Latch, Layer, Logger, Ref, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  DeadLetters,
  Participant,
  ParticipantConfig,
  ParticipantStore,
  RequestContext,
  SagaTransaction
} from "effect-saga"
import type { Envelope } from "effect-saga/internals"
import { counting, outcomes, quiet, until } from "../fixtures/manager.ts"
import { seriesOf } from "../fixtures/metrics.ts"
import * as Participants from "../fixtures/participantStore.ts"
import { isMemory } from "../fixtures/repository.ts"
import { envelopeOf, type Message, maxSkew, notAfter, uuid } from "./byHand.ts"

class Full extends Schema.TaggedError<Full>()("Full", {}) {}

const Bank = Participant.make("bank", {
  Charge: { payload: {}, success: Schema.String },
  Stage: { payload: {}, success: Schema.String, effect: "staged" },
  Refund: { payload: {} },
  Call: { payload: {}, success: Schema.String },
  Note: { payload: {}, compensable: false }
})

interface Options {
  /** Stands between the participant and the memory layers. */
  readonly store?: (inner: ParticipantStore.ParticipantStore["Service"]) => ParticipantStore.ParticipantStore["Service"]
  readonly broker?: (inner: Broker.Broker["Service"]) => Broker.Broker["Service"]
  readonly settings?: ParticipantConfig.ParticipantConfigOptions
  /** Does not start it. */
  readonly still?: boolean
}

const makeWire = Effect.fnUntraced(function* (options: Options = {}) {
  const services = yield* Layer.build(Layer.merge(Layer.fresh(Broker.layerMemory), Participants.layerOnWire()))
  const broker = Context.get(services, Broker.Broker)
  const store = Context.get(services, ParticipantStore.ParticipantStore)
  const letters = DeadLetters.makeMemory()
  const story: Array<string> = []
  const say = (line: string) => Effect.sync(() => void story.push(line))
  const logged: Array<string> = []
  /** The work of the hooks; a test may change it. */
  const hooks = {
    reserve: (_: Participant.TransactionPart): Effect.Effect<void, Full> => say("reserve"),
    commit: (_: Participant.TransactionPart): Effect.Effect<void> => say("commit"),
    reject: (_: Participant.TransactionPart): Effect.Effect<void> => say("reject")
  }
  const live = Participant.layer(
    Bank,
    {
      Charge: () => Effect.as(say("charge"), "c-1"),
      Stage: () => Effect.as(say("stage"), "s-1"),
      Refund: () => say("refund"),
      Note: () => say("note"),
      Call: () =>
        Effect.gen(function* () {
          yield* (yield* SagaTransaction).enrol("stock")
          const { headers, user } = yield* RequestContext.RequestContext
          if (headers === undefined) return "nothing"
          const { keep_until = "", transactions = "nothing" } = yield* Ref.get(headers)
          yield* say(`called as ${user} with ${transactions}${keep_until}`)
          yield* Ref.update(headers, (it) => ({ ...it, related_services: "mail,stock" }))
          return "called"
        })
    },
    {
      reserve: (part) => hooks.reserve(part),
      commit: (part) => hooks.commit(part),
      reject: (part) => hooks.reject(part)
    }
  ).pipe(
    Layer.provide(
      Layer.mergeAll(
        Layer.succeed(Broker.Broker, options.broker?.(broker) ?? broker),
        Layer.succeed(ParticipantStore.ParticipantStore, options.store?.(store) ?? store),
        Layer.succeed(DeadLetters.DeadLetters, letters),
        Layer.orDie(ParticipantConfig.layer(options.settings ?? {})),
        Logger.layer([Logger.make(({ message }) => void logged.push([message].flat().join(" ")))])
      )
    )
  )
  const scope = yield* Scope.Scope
  let latest: Effect.Effect<void> = Effect.void
  const start = Effect.gen(function* () {
    const own = yield* Scope.fork(scope)
    yield* Layer.buildWithScope(live, own)
    yield* quiet
    latest = Scope.close(own, Exit.void)
    return latest
  })

  const replies: Array<{ readonly topic: string; readonly body: string; readonly envelope: Envelope.Envelope }> = []
  yield* broker.subscribe({ service: "orders", kinds: ["reply", "status"] }).pipe(
    Stream.runForEach((delivery) => {
      const { acknowledge, address, body } = delivery
      replies.push({ topic: Broker.topic(address), body, envelope: JSON.parse(body) })
      return acknowledge
    }),
    Effect.forkScoped
  )
  const stop = options.still === true ? Effect.void : yield* start
  /** Hours, or days. Where a look at what is due is not free, the participant is away meanwhile. */
  const pass = (time: Duration.Input) =>
    isMemory
      ? TestClock.adjust(time)
      : latest.pipe(Effect.andThen(TestClock.adjust(time)), Effect.andThen(start), Effect.andThen(quiet))

  const sendAs = (envelope: Envelope.Envelope, command: string | undefined, from?: string) => {
    const { address, body } = Broker.toMessage(envelope, command)
    return Effect.orDie(broker.publish({ body, address: { ...address, ...(from !== undefined && { from }) } }))
  }
  const send = (message: Message, command: string = message.op === "failure" ? "Refund" : "Charge") => {
    const envelope = envelopeOf(message)
    return Effect.andThen(sendAs(envelope, envelope.path === undefined ? undefined : command), quiet)
  }
  const ask = Effect.fnUntraced(function* (message: Message, command?: string) {
    const before = replies.length
    yield* send(message, command)
    yield* until("a reply", () => replies.length > before)
    return replies.at(-1)!.envelope
  })
  const reasons = Effect.map(Effect.orDie(letters.list()), (all) => all.map(({ reason }) => reason).reverse())
  const status = Effect.orDie(
    store.unit({ service: "bank", transactions: [uuid], messages: [] }, ({ transactions }) =>
      Effect.succeed(transactions.get(uuid)?.status)
    )
  )
  return {
    broker,
    store,
    letters,
    story,
    logged,
    hooks,
    start,
    stop,
    pass,
    replies,
    sendAs,
    send,
    ask,
    reasons,
    status
  }
})

describe("the two-phase commit", () => {
  it.effect(
    "each message of the two-phase commit calls a hook and gets an answer; staged effects are left to the hooks",
    () =>
      Effect.gen(function* () {
        const { ask, replies, story } = yield* makeWire()
        assert.strictEqual((yield* ask({ op: "execute" }, "Stage")).status, 200)
        assert.strictEqual((yield* ask({ op: "reserve" })).status, 200)
        assert.strictEqual((yield* ask({ op: "commit" })).status, 200)
        assert.strictEqual((yield* ask({ op: "commit" })).status, 200)
        assert.deepStrictEqual(story, ["stage", "reserve", "commit"])
        assert.deepStrictEqual(
          replies.map(({ envelope: { id, inReplyTo }, topic }) => [topic, inReplyTo, id]),
          ["0:execute", "bank:reserve", "bank:commit", "bank:commit"].map((it) => [
            "saga/v1/orders/reply/bank",
            `${uuid}:${it}`,
            `${uuid}:${it}:reply`
          ])
        )
        assert.strictEqual(replies[2]?.body, replies[3]?.body)
      })
  )

  it.effect(
    "only a vote is kept without what its hook has done: where another hook fails, all of its message is gone",
    () =>
      Effect.gen(function* () {
        const story: Array<string> = []
        const { ask, hooks } = yield* makeWire({
          store: (inner) => ({
            ...inner,
            unit: (scope, work) =>
              inner.unit(scope, (unit) =>
                work({
                  ...unit,
                  attempt: (code) => {
                    story.push("kept apart")
                    return unit.attempt(code)
                  }
                })
              )
          })
        })
        for (const name of ["reserve", "commit"] as const) hooks[name] = () => Effect.sync(() => void story.push(name))
        yield* ask({ op: "execute" }, "Stage")
        yield* ask({ op: "reserve" })
        yield* ask({ op: "commit" })
        assert.deepStrictEqual(story, ["kept apart", "reserve", "commit"])
      })
  )

  it.effect("a participant votes no when a hook refuses, and discards staged effects", () =>
    Effect.gen(function* () {
      for (const refusal of [Effect.fail(new Full()), Effect.die(new Error("dead"))]) {
        const { ask, hooks, status, story } = yield* makeWire()
        hooks.reserve = () => refusal
        yield* ask({ op: "execute" }, "Stage")
        assert.strictEqual((yield* ask({ op: "reserve" })).status, 400)
        assert.deepStrictEqual([story, yield* status], [["stage", "reject"], "rejected"])
        assert.strictEqual((yield* ask({ op: "reject" })).status, 200)
        assert.deepStrictEqual(story, ["stage", "reject"])
      }
    })
  )

  it.effect("a participant does not answer a commit whose hook dies, and does it when the message comes again", () =>
    Effect.gen(function* () {
      const { ask, hooks, replies, send, status } = yield* makeWire()
      const { commit } = hooks
      hooks.commit = () => Effect.die(new Error("dead"))
      yield* ask({ op: "execute" })
      yield* ask({ op: "reserve" })
      yield* send({ op: "commit" })
      assert.deepStrictEqual([replies.length, yield* status], [2, "reserved"])
      hooks.commit = commit
      assert.strictEqual((yield* ask({ op: "commit" })).status, 200)
      assert.strictEqual(yield* status, "committed")
    })
  )

  it.effect("a participant answers 500 to a compensation whose discard hook dies, until the hook works", () =>
    Effect.gen(function* () {
      const { ask, hooks, status, story } = yield* makeWire()
      const { reject } = hooks
      hooks.reject = () => Effect.die(new Error("dead"))
      yield* ask({ op: "execute" })
      assert.strictEqual((yield* ask({ op: "failure" })).status, 500)
      assert.strictEqual(yield* status, "pending")
      hooks.reject = reject
      assert.strictEqual((yield* ask({ op: "failure" })).status, 200)
      assert.deepStrictEqual([story, yield* status], [["charge", "reject", "refund"], "rejected"])
    })
  )

  it.effect("a reply names the services that the handler enrols, and those of the sagas it runs", () =>
    Effect.gen(function* () {
      const { ask, story } = yield* makeWire()
      const reply = yield* ask({ op: "execute", changes: { user: "ada" } }, "Call")
      assert.deepStrictEqual(reply.relatedServices, ["bank", "stock", "mail"])
      assert.deepStrictEqual(story, [`called as ada with ${uuid}`])
    })
  )

  it.effect(
    "C16 the request of a handler says until when the execution can turn back, where it is in a transaction",
    () =>
      Effect.gen(function* () {
        const { ask, story } = yield* makeWire()
        yield* ask({ op: "execute", changes: { user: "ada", keepUntil: 7 } }, "Call")
        yield* ask({ op: "execute", path: "1", changes: { user: "ada", keepUntil: 7, transactions: [] } }, "Call")
        assert.deepStrictEqual(story, [`called as ada with ${uuid}7`, "called as ada with nothing"])
      })
  )
})

describe("maintenance", () => {
  if (isMemory)
    it.effect(
      "C8 a participant asks its coordinator when a decision does not come, ever more rarely, and never decides",
      () =>
        Effect.gen(function* () {
          const { ask, replies, send, status, story } = yield* makeWire()
          yield* ask({ op: "execute" })
          yield* ask({ op: "reserve" })
          const questions = () => replies.filter(({ envelope: { op } }) => op === "status")
          yield* TestClock.adjust("29 seconds")
          assert.deepStrictEqual(questions(), [])
          const counted: Array<number> = []
          for (const time of ["6 seconds", "11 seconds", "1 minute", "10 minutes", "24 hours"] as const) {
            yield* TestClock.adjust(time)
            yield* quiet
            counted.push(questions().length)
          }
          const [first = 0, second = 0, third = 0, fourth = 0, last = 0] = counted
          assert.deepStrictEqual([first, second], [1, 2])
          assert.isTrue(third > second && third < 8, `${third}`)
          assert.isTrue(fourth - third >= 8 && fourth - third <= 11, `${fourth - third} in ten minutes`)
          assert.isTrue(last - fourth > 1_000 && last - fourth <= 1_441, `${last - fourth} in a day`)
          assert.strictEqual(questions()[0]?.topic, "saga/v1/orders/status/bank")
          assert.strictEqual(questions()[0]?.envelope.id, `${uuid}:bank:status`)
          assert.strictEqual(new Set(questions().map(({ body }) => body)).size, 1)
          assert.strictEqual(yield* status, "reserved")

          yield* send({ op: "told commit", changes: { content: "undecided" } })
          assert.strictEqual(yield* status, "reserved")
          yield* send({ op: "told commit" })
          assert.deepStrictEqual([yield* status, story.at(-1)], ["committed", "commit"])
          const asked = questions().length
          yield* TestClock.adjust("1 hour")
          assert.strictEqual(questions().length, asked)
        })
    )

  it.effect("C6 a participant ends a transaction that nobody decides on, unless it has promised to wait", () =>
    Effect.gen(function* () {
      const { ask, status, story } = yield* makeWire()
      yield* ask({ op: "execute" }, "Stage")
      yield* TestClock.adjust("59 minutes")
      assert.strictEqual(yield* status, "pending")
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual([yield* status, story], ["rejected", ["stage", "reject"]])
      assert.strictEqual((yield* ask({ op: "reserve" })).status, 400)
      assert.strictEqual((yield* ask({ op: "execute", path: "1" })).status, 500)
      assert.deepStrictEqual(story, ["stage", "reject"])
    })
  )

  it.effect("C20 a transaction that cannot be ended does not keep the others from being ended", () =>
    Effect.gen(function* () {
      const others = ["01890000-0000-7000-8000-000000000002", "01890000-0000-7000-8000-000000000003"]
      const refused = new ParticipantStore.ParticipantStoreError({ reason: "rejected", operation: "unit" })
      let isAway = false
      const { logged, sendAs, status, store, ask } = yield* makeWire({
        store: (inner) => ({
          ...inner,
          unit: (scope, work) => {
            if (isAway && scope.transactions[0] === uuid) return Effect.fail(refused)
            return isAway && scope.transactions[0] === others[0] ? Effect.die("a bug") : inner.unit(scope, work)
          }
        })
      })
      yield* ask({ op: "execute" })
      for (const saga of others) yield* sendAs(envelopeOf({ op: "execute", changes: { saga } }), "Charge")
      yield* quiet
      isAway = true
      yield* TestClock.adjust("61 minutes")
      const statusOf = (saga: string) =>
        store.unit({ service: "bank", transactions: [saga], messages: [] }, ({ transactions }) =>
          Effect.succeed(transactions.get(saga)?.status)
        )
      assert.deepStrictEqual([yield* status, yield* statusOf(others[1]!)], ["pending", "rejected"])
      for (const line of ["A transaction could not be looked after", "A defect was set aside"])
        assert.isTrue(
          logged.some((said) => said.startsWith(line)),
          line
        )
    })
  )

  it.effect(
    "C14 a participant forgets a transaction that is over, and answers later messages as if they were new",
    () =>
      Effect.gen(function* () {
        const { ask, pass, status, story } = yield* makeWire()
        yield* ask({ op: "execute" })
        yield* ask({ op: "reserve" })
        yield* ask({ op: "commit" })
        yield* pass(notAfter + maxSkew / 2)
        assert.strictEqual(yield* status, "committed")
        yield* pass(maxSkew / 2 + 10_000)
        assert.strictEqual(yield* status, undefined)
        const late = []
        for (const op of ["execute", "failure", "reserve", "commit", "reject", "probe"] as const)
          late.push((yield* ask({ op })).status)
        assert.deepStrictEqual(late, [500, 200, 400, 200, 200, 404])
        assert.deepStrictEqual([yield* status, story], [undefined, ["charge", "reserve", "commit"]])
      })
  )

  it.effect("C14 a participant keeps replies without a transaction for longer", () =>
    Effect.gen(function* () {
      const { ask, pass } = yield* makeWire()
      const alone = { op: "execute", changes: { transactions: [] } } as const
      const first = yield* ask(alone)
      yield* pass(notAfter + maxSkew + 10_000)
      assert.deepStrictEqual(yield* ask(alone), first)
    })
  )

  it.effect("C14 a participant keeps a transaction until the latest time of its messages is over", () =>
    Effect.gen(function* () {
      const { ask, pass, status } = yield* makeWire()
      yield* ask({ op: "execute", changes: { notAfter: 2 * notAfter } })
      yield* ask({ op: "execute", path: "1" })
      yield* ask({ op: "reserve" })
      yield* ask({ op: "commit" })
      yield* pass(notAfter + maxSkew + 10_000)
      assert.strictEqual(yield* status, "committed")
      yield* pass(notAfter)
      assert.strictEqual(yield* status, undefined)
    })
  )

  it.effect(
    "C14 a participant keeps an effect that was rejected until it is compensated, unless it has no compensation",
    () => {
      const reject = Effect.fnUntraced(function* (command: string, isKept: boolean) {
        yield* TestClock.setTime(1)
        const { ask, pass, status, story } = yield* makeWire()
        assert.strictEqual((yield* ask({ op: "execute" }, command)).status, 200)
        yield* ask({ op: "reject" })
        yield* pass(notAfter + maxSkew + 10_000)
        assert.strictEqual(yield* status, isKept ? "rejected" : undefined)
        if (!isKept) return
        assert.strictEqual((yield* ask({ op: "failure" })).status, 200)
        assert.strictEqual(story.at(-1), "refund")
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* status, undefined)
      }, Effect.scoped)
      return Effect.andThen(reject("Charge", true), reject("Note", false))
    }
  )

  it.effect("a participant still compensates, after a restart, a command that ran before it", () =>
    Effect.gen(function* () {
      const { ask, start, stop, story } = yield* makeWire()
      const first = yield* ask({ op: "execute" })
      yield* stop
      yield* start
      assert.deepStrictEqual(yield* ask({ op: "execute" }), first)
      assert.strictEqual((yield* ask({ op: "failure" })).status, 200)
      assert.deepStrictEqual(story, ["charge", "reject", "refund"])
    })
  )

  it.effect("a participant asks at once after a restart about transactions in doubt", () =>
    Effect.gen(function* () {
      const { ask, replies, start, stop } = yield* makeWire()
      yield* ask({ op: "execute" })
      yield* ask({ op: "reserve" })
      yield* stop
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(replies.length, 2)
      yield* start
      yield* until("the question", () => replies.length === 3)
      assert.strictEqual(replies[2]?.envelope.op, "status")
    })
  )
})

describe("dead letters", () => {
  it.effect("C12 a coordinator is bound by its first message; another can do nothing", () =>
    Effect.gen(function* () {
      const { ask, reasons, replies, send, status, story } = yield* makeWire()
      yield* ask({ op: "execute" })
      yield* ask({ op: "reserve" })
      const ops = ["commit", "reject", "failure", "probe", "execute", "told commit", "told reject"] as const
      for (const op of ops) yield* send({ op, changes: { coordinator: "eve" } })
      yield* send({ op: "execute", path: "9", changes: { coordinator: "eve" } })
      assert.deepStrictEqual(yield* reasons, Array(8).fill("SenderMismatch"))
      assert.deepStrictEqual([yield* status, replies.length, story], ["reserved", 2, ["charge", "reserve"]])
    })
  )

  it.effect("C12 a coordinator is bound by its first message also without a transaction", () =>
    Effect.gen(function* () {
      const { ask, reasons, replies, send, story } = yield* makeWire()
      yield* ask({ op: "execute", changes: { transactions: [] } })
      yield* send({ op: "failure", changes: { transactions: [], coordinator: "eve" } })
      assert.deepStrictEqual([yield* reasons, replies.length, story], [["SenderMismatch"], 1, ["charge"]])
    })
  )

  it.effect("C12 a message that claims another sender than the transport has seen is a dead letter", () =>
    Effect.gen(function* () {
      const { reasons, sendAs, story } = yield* makeWire()
      yield* sendAs(envelopeOf({ op: "execute" }), "Charge", "eve")
      yield* quiet
      assert.deepStrictEqual([yield* reasons, story], [["SenderMismatch"], []])
    })
  )

  it.effect("C6 a message with a known id and another body gets no answer, and the record stays", () =>
    Effect.gen(function* () {
      const { ask, logged, reasons, replies, send, story } = yield* makeWire()
      const first = yield* ask({ op: "execute" })
      yield* send({ op: "execute", changes: { content: { other: true } } })
      yield* send({ op: "execute" }, "Stage")
      assert.deepStrictEqual(
        [yield* reasons, replies.length, story],
        [["MessageIdReused", "MessageIdReused"], 1, ["charge"]]
      )
      assert.deepStrictEqual(yield* ask({ op: "execute" }), first)
      assert.include(logged.join("\n"), "A message was put away")
    })
  )

  it.effect("C6 a message that contradicts the record is answered 500 and kept as a dead letter", () =>
    Effect.gen(function* () {
      const { ask, reasons, status } = yield* makeWire()
      const refused = yield* ask({ op: "commit" })
      assert.deepStrictEqual([refused.status, refused.content], [500, "ProtocolViolation"])
      assert.deepStrictEqual([yield* reasons, yield* status], [["ProtocolViolation"], undefined])
    })
  )

  it.effect("a compensation outside the transaction of its command is a dead letter", () =>
    Effect.gen(function* () {
      const { ask, reasons, send, story } = yield* makeWire()
      yield* ask({ op: "execute" })
      yield* ask({ op: "reserve" })
      yield* ask({ op: "commit" })
      yield* send({ op: "failure", changes: { transactions: [] } })
      assert.deepStrictEqual([yield* reasons, story], [["TransactionMismatch"], ["charge", "reserve", "commit"]])
    })
  )

  it.effect("a message whose id does not match its fields, or a reserve with wrong content, is a dead letter", () =>
    Effect.gen(function* () {
      const { reasons, replies, send } = yield* makeWire()
      yield* send({ op: "execute", changes: { id: `${uuid}:1:execute` } })
      yield* send({ op: "reserve", changes: { id: `${uuid}:stock:reserve` } })
      yield* send({ op: "reserve", changes: { content: { paths: 7 } } })
      yield* send({ op: "told commit", changes: { content: "maybe" } })
      assert.deepStrictEqual([yield* reasons, replies], [Array(4).fill("MessageMalformed"), []])
    })
  )

  for (const [what, path] of [
    ["-1", "-1"],
    ["../0", "../0"],
    ["empty", ""],
    ["01", "01"],
    ["0/n", "0/n"],
    ["0/N/0", "0/N/0"],
    ["with a newline", "0\n"],
    ["of 100 kB", "1".repeat(100_000)],
    ["of 33 levels", `0${"/n/0".repeat(33)}`]
  ] as const)
    it.effect(`F32: a command whose path is none (${what}) runs nothing and is a dead letter`, () =>
      Effect.gen(function* () {
        const { reasons, replies, send, story } = yield* makeWire()
        for (const op of ["execute", "probe", "failure"] as const) yield* send({ op, path })
        yield* send({ op: "reserve", paths: [path] })
        assert.deepStrictEqual([yield* reasons, replies, story], [Array(4).fill("MessageMalformed"), [], []])
      })
    )

  it.effect("C12 the latest dead letters are listed with sizes and hashes, without their content", () =>
    Effect.gen(function* () {
      const { broker, letters } = yield* makeWire()
      const address = { to: "bank", kind: "command", from: "orders", name: "Charge" } as const
      yield* TestClock.adjust("1 second")
      yield* broker.publish({ address, body: "secret: ü" })
      yield* quiet
      assert.deepStrictEqual(yield* letters.list(), [
        {
          receivedAt: 1_000,
          topic: "saga/v1/bank/command/orders/Charge",
          sender: "orders",
          reason: "MessageMalformed",
          size: 10,
          sha256: "deda89ee31efed2502afc7d1f80b8ee94721265a02a7df4e857773a6bbb1acc6"
        }
      ])
      const few = DeadLetters.makeMemory(3)
      const [letter] = yield* letters.list()
      for (let i = 0; i < 5; i++) yield* few.record({ ...letter!, receivedAt: i })
      assert.deepStrictEqual(
        (yield* few.list()).map(({ receivedAt }) => receivedAt),
        [4, 3, 2]
      )
      assert.deepStrictEqual([(yield* few.list({ limit: 1 })).length, (yield* few.list({ limit: 0 })).length], [1, 0])
    })
  )
})

describe("failures of store and broker", () => {
  const unavailable = new ParticipantStore.ParticipantStoreError({ reason: "unavailable", operation: "unit" })

  it.effect("W2 while the store is away no message is acknowledged or answered", () =>
    Effect.gen(function* () {
      let down = true
      const { replies, send, story } = yield* makeWire({
        store: (inner) => ({
          ...inner,
          unit: (scope, work) => (down ? Effect.fail(unavailable) : inner.unit(scope, work))
        })
      })
      yield* send({ op: "execute" })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([replies, story], [[], []])
      down = false
      yield* TestClock.adjust("2 seconds")
      yield* until("it is answered", () => replies.length === 1)
      assert.deepStrictEqual(story, ["charge"])
    })
  )

  it.effect("W2 a message that comes again while it is handled is acknowledged when it is done, or comes again", () =>
    Effect.gen(function* () {
      const stored = yield* Latch.make()
      const acknowledged: Array<string> = []
      let taken = 0
      const { replies, send, story } = yield* makeWire({
        // Every message is delivered once more, as after a lost connection.
        broker: (inner) => ({
          ...inner,
          subscribe: (group) =>
            Stream.flatMap(inner.subscribe(group), (delivery) => {
              taken++
              return Stream.fromIterable(
                [false, true].map((redelivered) => ({
                  ...delivery,
                  redelivered,
                  acknowledge: Effect.sync(() => void acknowledged.push(redelivered ? "again" : "first"))
                }))
              )
            })
        }),
        store: (inner) => ({
          ...inner,
          unit: (scope, work) => Effect.andThen(stored.await, inner.unit(scope, work))
        })
      })
      yield* send({ op: "execute" })
      yield* until("it is taken", () => taken === 1)
      yield* quiet
      assert.deepStrictEqual(acknowledged, [])
      yield* stored.open
      yield* until("it is answered", () => replies.length === 1)
      yield* quiet
      assert.deepStrictEqual([acknowledged, story], [["first", "again"], ["charge"]])
    })
  )

  it.effect("W3 a unit whose outcome is unknown is looked up: the handler runs once, and is answered", () =>
    Effect.gen(function* () {
      let lost = 1
      const { ask, story } = yield* makeWire({
        store: (inner) => ({
          ...inner,
          unit: (scope, work) =>
            Effect.flatMap(inner.unit(scope, work), (given) =>
              scope.messages.includes(`${uuid}:0:execute`) && lost-- > 0
                ? Effect.fail(unavailable)
                : Effect.succeed(given)
            )
        })
      })
      const asked = yield* Effect.forkChild(ask({ op: "execute" }))
      yield* quiet
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([(yield* Fiber.join(asked)).status, story, lost < 0], [200, ["charge"], true])
    })
  )

  it.effect("I17 a participant counts every message that it has acknowledged once", () =>
    counting(
      Effect.gen(function* () {
        const { ask, broker, send } = yield* makeWire()
        yield* ask({ op: "execute" })
        yield* ask({ op: "execute" })
        yield* ask({ op: "commit" })
        yield* send({ op: "told reject", changes: { content: "undecided" } })
        yield* broker.publish({ address: { to: "bank", kind: "tx", from: "orders" }, body: "?" })
        yield* ask({ op: "reject" })
        assert.deepStrictEqual(yield* outcomes, {
          applied: 2,
          duplicate: 1,
          stale: 1,
          ProtocolViolation: 1,
          MessageMalformed: 1
        })
      })
    )
  )

  it.effect(
    "C8 a message whose handling dies is tried five times, then refused for good, and the next one is handled",
    () =>
      Effect.gen(function* () {
        let deaths = 0
        let killing = true
        const { ask, reasons, replies, send, story } = yield* makeWire({
          store: (inner) => ({
            ...inner,
            unit: (scope, work) => {
              if (!killing || !scope.messages.includes(`${uuid}:0:execute`) || deaths >= 5)
                return inner.unit(scope, work)
              deaths++
              return Effect.die(new Error("a bug"))
            }
          })
        })
        yield* send({ op: "execute" })
        yield* ask({ op: "execute", path: "1" })
        yield* TestClock.adjust("1 minute")
        yield* until("it is refused", () => replies.length === 2)
        killing = false
        assert.deepStrictEqual([deaths, replies[1]?.envelope.status, yield* reasons], [5, 500, ["Defect"]])
        assert.strictEqual((yield* ask({ op: "execute" })).status, 500)
        assert.deepStrictEqual(story, ["charge"])
      })
  )

  /** The unit of the messages with this id runs into its time, as it does on SQL: nothing of it is kept. */
  const slow = (inner: ParticipantStore.ParticipantStore["Service"], id: string, isSlow: () => boolean) => ({
    ...inner,
    unit: <A, E, R>(scope: ParticipantStore.Scope, work: (unit: ParticipantStore.Unit) => Effect.Effect<A, E, R>) =>
      scope.messages.includes(id) && isSlow()
        ? Effect.fail(new ParticipantStore.ParticipantStoreError({ reason: "timeout", operation: "unit" }))
        : inner.unit(scope, work)
  })

  it.effect(
    "F21 a command whose unit runs into its time five times is refused for good, and said in the log once",
    () =>
      Effect.gen(function* () {
        let tries = 0
        const timeouts = Effect.map(seriesOf("effect_saga_unit_timeouts"), (series) => series["bank Charge"] ?? 0)
        const before = yield* timeouts
        const { ask, logged, reasons, replies, send, story } = yield* makeWire({
          settings: { maxInFlight: 1 },
          store: (inner) => slow(inner, `${uuid}:0:execute`, () => ++tries <= 5)
        })
        yield* send({ op: "execute" })
        yield* until("it is tried", () => tries === 1)
        assert.deepStrictEqual(replies, [])
        yield* TestClock.adjust("1 minute")
        yield* until("it is refused", () => replies.length === 1)
        assert.deepInclude(replies[0]!.envelope, { status: 500, content: "TimedOut" })
        assert.deepStrictEqual(yield* reasons, ["UnitTimeout"])
        assert.strictEqual((yield* timeouts) - before, 5)
        assert.lengthOf(
          logged.filter((line) => line.includes("takes longer")),
          1
        )
        // Recorded: a later copy gets the same answer and runs nothing, although there is time for it now.
        assert.deepInclude(yield* ask({ op: "execute" }), { status: 500, content: "TimedOut" })
        assert.deepStrictEqual([tries, story], [7, []])
        assert.strictEqual((yield* ask({ op: "execute", path: "1" })).status, 200)
      })
  )

  it.effect("F21 a compensation whose unit runs into its time is answered 500 after five tries, and runs later", () =>
    Effect.gen(function* () {
      let tries = 0
      const { ask, replies, send, story } = yield* makeWire({
        store: (inner) => slow(inner, `${uuid}:0:failure`, () => ++tries <= 5)
      })
      yield* ask({ op: "execute" })
      yield* send({ op: "failure" })
      yield* TestClock.adjust("1 minute")
      yield* until("it is answered", () => replies.length === 2)
      assert.strictEqual(replies[1]!.envelope.status, 500)
      assert.strictEqual((yield* ask({ op: "failure" })).status, 200)
      assert.deepStrictEqual(story, ["charge", "reject", "refund"])
    })
  )

  it.effect("I29 a message that makes its consumer die is put away, and gives its place to the next one", () =>
    Effect.gen(function* () {
      const { ask, reasons, replies, send } = yield* makeWire({
        settings: { maxInFlight: 1 },
        broker: (inner) => ({
          ...inner,
          publish: (message) =>
            message.body.includes(":0:execute") ? Effect.die(new Error("a bug")) : inner.publish(message)
        })
      })
      yield* send({ op: "execute" })
      assert.deepStrictEqual([yield* reasons, replies], [["Defect"], []])
      assert.strictEqual((yield* ask({ op: "execute", path: "1" })).status, 200)
    })
  )

  const refusing = (reason: Broker.BrokerError["reason"], operation: "publish" | "subscribe") =>
    new Broker.BrokerError({ operation, reason })

  it.effect("a subscription that fails is renewed", () =>
    Effect.gen(function* () {
      let failures = 3
      const { ask, logged, replies, send } = yield* makeWire({
        broker: (inner) => ({
          ...inner,
          subscribe: (group) =>
            Stream.suspend(() =>
              group.kinds.includes("command") && failures-- > 0
                ? Stream.fail(refusing("unavailable", "subscribe"))
                : inner.subscribe(group)
            )
        })
      })
      yield* send({ op: "execute" })
      assert.deepStrictEqual(replies, [])
      yield* TestClock.adjust("1 second")
      yield* until("it is answered", () => replies.length === 1)
      assert.strictEqual((yield* ask({ op: "reserve" })).status, 200)
      assert.include(logged.join("\n"), "could not subscribe")
    })
  )

  it.effect("a subscription that can never work is given up, and said in the log", () =>
    Effect.gen(function* () {
      let attempts = 0
      const { logged } = yield* makeWire({
        broker: (inner) => ({
          ...inner,
          subscribe: () =>
            Stream.suspend(() => {
              attempts++
              return Stream.fail(refusing("rejected", "subscribe"))
            })
        })
      })
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual([attempts, logged.filter((line) => line.includes("could not subscribe")).length], [2, 2])
    })
  )

  it.effect("a reply that the broker will never take is put away, and does not hold up the others", () =>
    Effect.gen(function* () {
      const { ask, reasons, replies, send } = yield* makeWire({
        settings: { maxInFlight: 1 },
        broker: (inner) => ({
          ...inner,
          publish: (message) =>
            message.body.includes(":0:execute") ? Effect.fail(refusing("rejected", "publish")) : inner.publish(message)
        })
      })
      yield* send({ op: "execute" })
      assert.deepStrictEqual([yield* reasons, replies], [["ReplyRejected"], []])
      assert.strictEqual((yield* ask({ op: "execute", path: "1" })).status, 200)
    })
  )

  it.effect("C13 commands that wait do not keep out the messages that end their transactions", () =>
    Effect.gen(function* () {
      const { ask, replies, send, status } = yield* makeWire({
        settings: { maxInFlight: 1 },
        store: (inner) => ({
          ...inner,
          unit: (scope, work) => (scope.messages.includes(`${uuid}:7:execute`) ? Effect.never : inner.unit(scope, work))
        })
      })
      yield* ask({ op: "execute" })
      yield* send({ op: "execute", path: "7" })
      assert.strictEqual((yield* ask({ op: "reject" })).status, 200)
      assert.deepStrictEqual([yield* status, replies.length], ["rejected", 2])
    })
  )
})

it("requires what handlers and hooks need, and refuses a commit or reject that may fail", () => {
  class Ledger extends Context.Service<Ledger, { readonly post: Effect.Effect<void> }>()("test/Ledger") {}
  class Vault extends Context.Service<Vault, { readonly lock: Effect.Effect<void> }>()("test/Vault") {}
  const handlers = {
    Charge: () =>
      Effect.as(
        Ledger.use(({ post }) => post),
        ""
      ),
    Stage: () => Effect.succeed(""),
    Refund: () => Effect.void,
    Call: () => Effect.succeed(""),
    Note: () => Effect.void
  }
  const reserve = () => Vault.use(({ lock }) => lock)
  type Services<L> = L extends Layer.Layer<never, never, infer R> ? R : never
  const bare = Participant.layer(Bank, handlers)
  const hooked = Participant.layer(Bank, handlers, { reserve })
  expectTypeOf<Services<typeof bare>>().toEqualTypeOf<Broker.Broker | ParticipantStore.ParticipantStore | Ledger>()
  expectTypeOf<Services<typeof hooked>>().toEqualTypeOf<
    Broker.Broker | ParticipantStore.ParticipantStore | Ledger | Vault
  >()
  // @ts-expect-error: after a yes, commit has to succeed
  Participant.layer(Bank, handlers, { commit: () => Effect.fail(new Full()) })
  // @ts-expect-error: a handler fails with the errors of its command
  Participant.layer(Bank, { ...handlers, Note: () => Effect.fail(new Full()) })
})
