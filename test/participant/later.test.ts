/** C19: a command is accepted, and its answer comes later. What ends it otherwise leaves nothing of accepting. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as ParticipantMaintenance from "../../src/participant/ParticipantMaintenance.ts"
import { isMemory } from "../fixtures/repository.ts"
import {
  type Bench,
  Declined,
  type Message,
  makeBench,
  maxSkew,
  notAfter,
  participantRetention,
  pendingTtl,
  uuid
} from "./byHand.ts"

const execute: Message = { op: "execute", command: "Examine" }
const id = `${uuid}:0:execute`

const begun = (options: { readonly alone?: boolean } = {}) =>
  Effect.gen(function* () {
    yield* TestClock.setTime(1)
    const bench = yield* makeBench()
    return { bench, first: yield* bench.deliver(execute, options) }
  })

/** The record of the command: its status, or nothing. */
const recorded = ({ code, store }: Bench, transactions: ReadonlyArray<string> = [uuid]) =>
  store.unit({ service: code.contract.name, transactions, messages: [id] }, ({ barriers }) =>
    Effect.succeed(barriers.get(id))
  )

/** It is as if it had never been accepted. */
const hasNothing = (bench: Bench) => assert.deepStrictEqual([...bench.accepted], [])

describe("C19 a command that answers later", () => {
  it.effect("says 202 once it is recorded, and again to each copy, until it has its answer", () =>
    Effect.gen(function* () {
      const { bench, first } = yield* begun()
      assert.deepInclude(first.envelope, { id: `${id}:accepted`, op: "reply", inReplyTo: id, status: 202 })
      assert.deepStrictEqual([...bench.accepted], [[id, "ada"]])
      // It was accepted in time, so it is past `notAfter` too.
      yield* TestClock.setTime(notAfter + maxSkew + 1)
      const again = yield* bench.deliver(execute)
      assert.deepStrictEqual([again._tag, again.body], ["duplicate", first.body])
      yield* bench.answer(Effect.sync(() => "well"))
      const last = yield* bench.deliver(execute)
      assert.deepInclude(last.envelope, { id: `${id}:reply`, status: 200, content: "well", inReplyTo: id })
      assert.deepStrictEqual(bench.sent, [last.envelope])
    })
  )

  it.effect("says nothing to a sender that does not say `later`", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1)
      const bench = yield* makeBench()
      const old: Message = { ...execute, changes: { content: { name: "ada" } } }
      const message = { ...old, changes: { ...old.changes, later: undefined } } as unknown as Message
      for (const _ of [1, 2]) assert.isUndefined((yield* bench.deliver(message)).body)
      assert.lengthOf(bench.accepted, 1)
      yield* bench.answer(Effect.succeed("well"))
      assert.deepInclude((yield* bench.deliver(message)).envelope, { status: 200, content: "well" })
    })
  )

  it.effect("has one answer: the same again is sent again, and another one keeps nothing", () =>
    Effect.gen(function* () {
      const { bench } = yield* begun()
      yield* bench.answer(Effect.succeed("well"))
      yield* bench.answer(Effect.succeed("well"))
      assert.strictEqual((yield* Effect.flip(bench.answer(Effect.succeed("ill"))))._tag, "ParticipantAnswerTooLate")
      assert.strictEqual((yield* Effect.flip(bench.answer(Effect.die("no"))))._tag, "ParticipantAnswerTooLate")
      assert.deepStrictEqual(
        bench.sent.map(({ content }) => content),
        ["well", "well"]
      )
      assert.strictEqual((yield* recorded(bench))?.status, 200)
    })
  )

  for (const [name, answer, status] of [
    ["400", Effect.fail(new Declined({})), 400],
    ["500", Effect.die("broken"), 500]
  ] as const)
    it.effect(`a ${name} leaves nothing of accepting`, () =>
      Effect.gen(function* () {
        const { bench } = yield* begun()
        yield* bench.answer(answer)
        hasNothing(bench)
        assert.deepInclude((yield* bench.deliver(execute)).envelope, { status, id: `${id}:reply` })
        yield* bench.answer(answer)
        assert.strictEqual((yield* Effect.flip(bench.answer(Effect.succeed("well"))))._tag, "ParticipantAnswerTooLate")
        assert.lengthOf(bench.sent, 2)
        assert.strictEqual((yield* bench.deliver({ op: "failure" })).status, 200)
        assert.lengthOf(bench.compensated, 0)
      })
    )

  // The pauses are virtual.
  if (isMemory)
    it.effect("is unknown until it is accepted, and the answer waits for that", () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(1)
        const bench = yield* makeBench()
        const unknown = yield* Effect.forkChild(Effect.flip(bench.answer(Effect.succeed("well"))))
        yield* TestClock.adjust("15 seconds")
        assert.strictEqual((yield* Fiber.join(unknown))._tag, "ParticipantAnswerUnknown")
        const early = yield* Effect.forkChild(bench.answer(Effect.succeed("well")))
        yield* Effect.yieldNow
        yield* bench.deliver(execute)
        yield* TestClock.adjust("15 seconds")
        yield* Fiber.join(early)
        assert.deepInclude((yield* bench.deliver(execute)).envelope, { status: 200 })
      })
    )

  /** Whatever ends it, what is answered, and what an execute hears from then on. */
  const ends: ReadonlyArray<readonly [name: string, message: Message, status: number, execute: number]> = [
    ["a probe", { op: "probe" }, 404, 500],
    ["a failure", { op: "failure" }, 200, 500],
    ["a reject", { op: "reject" }, 200, 500],
    ["a reserve that names it", { op: "reserve", paths: ["0"] }, 400, 500],
    ["a reserve that names another path", { op: "reserve", paths: ["7"] }, 400, 500]
  ]
  for (const [name, message, status, then] of ends)
    it.effect(`${name} ends it: nothing of accepting is left, and no answer counts any more`, () =>
      Effect.gen(function* () {
        const { bench } = yield* begun()
        assert.strictEqual((yield* bench.deliver(message)).status, status)
        hasNothing(bench)
        assert.strictEqual((yield* Effect.flip(bench.answer(Effect.succeed("well"))))._tag, "ParticipantAnswerTooLate")
        assert.deepStrictEqual([bench.sent.length, (yield* bench.deliver(execute)).status], [0, then])
        // The same message again changes nothing.
        assert.strictEqual((yield* bench.deliver(message)).status, status)
        assert.strictEqual((yield* bench.deliver({ op: "probe" })).status, 404)
        assert.strictEqual((yield* bench.deliver({ op: "failure" })).status, 200)
        assert.strictEqual((yield* bench.deliver({ op: "reject" })).status, 200)
      })
    )

  for (const message of [{ op: "probe" }, { op: "failure" }] as const)
    it.effect(`a ${message.op} that is of no transaction ends it`, () =>
      Effect.gen(function* () {
        const { bench } = yield* begun({ alone: true })
        assert.strictEqual((yield* bench.deliver(message, { alone: true })).status, message.op === "probe" ? 404 : 200)
        hasNothing(bench)
        assert.strictEqual((yield* bench.deliver(execute, { alone: true })).status, 500)
      })
    )

  it.effect("a service that votes against the commit ends what it has accepted", () =>
    Effect.gen(function* () {
      const { bench } = yield* begun()
      const code = { ...bench.code, hooks: { ...bench.code.hooks, reserve: () => Effect.fail("no") } }
      yield* bench.deliver({ op: "execute", path: "1", command: "Charge" })
      const { status } = yield* bench.deliver({ op: "reserve", paths: ["1"] }, { code })
      assert.strictEqual(status, 400)
      hasNothing(bench)
      assert.strictEqual(yield* bench.status(), "rejected")
    })
  )

  it.effect("`pendingTtl` ends it", () =>
    Effect.gen(function* () {
      const { bench } = yield* begun()
      yield* TestClock.setTime(1 + pendingTtl)
      yield* bench.provide(ParticipantMaintenance.expire(bench.code, 1 + pendingTtl))
      hasNothing(bench)
      assert.deepStrictEqual([yield* bench.status(), (yield* bench.deliver(execute)).status], ["rejected", 500])
    })
  )

  it.effect("`cancelled` that dies is as a failing compensation: nothing is recorded, and it is tried again", () =>
    Effect.gen(function* () {
      for (const [name, message, status, done] of ends) {
        const { bench } = yield* begun()
        bench.dies.cancelled = 1
        const { _tag, status: said } = yield* bench.deliver(message)
        // A 500 to a probe or a failure is not final; the others hear nothing, and are sent again.
        assert.deepStrictEqual(
          [_tag, said],
          ["failed", name.includes("probe") || name.includes("failure") ? 500 : undefined]
        )
        assert.strictEqual((yield* recorded(bench))?.status, 202)
        assert.strictEqual((yield* bench.deliver(message)).status, status)
        hasNothing(bench)
        assert.strictEqual((yield* bench.deliver(execute)).status, done)
      }
      const { bench } = yield* begun()
      bench.dies.cancelled = 1
      assert.isTrue(Exit.hasDies(yield* Effect.exit(bench.answer(Effect.fail(new Declined({}))))))
      assert.strictEqual((yield* recorded(bench))?.status, 202)
      yield* bench.answer(Effect.fail(new Declined({})))
      hasNothing(bench)
    })
  )

  it.effect("after 200 the compensation undoes it, and a reserve may name it", () =>
    Effect.gen(function* () {
      const { bench } = yield* begun()
      yield* bench.answer(Effect.succeed("well"))
      assert.strictEqual((yield* bench.deliver({ op: "failure" })).status, 200)
      assert.lengthOf(bench.compensated, 1)
      const other = (yield* begun()).bench
      yield* other.answer(Effect.succeed("well"))
      assert.strictEqual((yield* other.deliver({ op: "reserve", paths: ["0"] })).status, 200)
    })
  )

  it.effect("is never purged before it has its answer", () =>
    Effect.gen(function* () {
      for (const alone of [true, false]) {
        const { bench } = yield* begun({ alone })
        // Another path lets the transaction commit without it.
        if (!alone) {
          yield* bench.deliver({ op: "reserve", paths: [] })
          yield* bench.deliver({ op: "commit" })
        }
        yield* TestClock.setTime(notAfter + 2 * maxSkew + 2 * participantRetention)
        yield* bench.purge
        assert.strictEqual((yield* recorded(bench))?.status, 202)
        if (alone) yield* bench.answer(Effect.succeed("well"))
        // Without it the transaction is over, so there is no effect any more.
        else
          assert.strictEqual(
            (yield* Effect.flip(bench.answer(Effect.succeed("well"))))._tag,
            "ParticipantAnswerTooLate"
          )
        yield* TestClock.adjust(`${2 * participantRetention} millis`)
        yield* bench.purge
        assert.isUndefined(yield* recorded(bench))
      }
    })
  )

  it.effect("a compensation cannot answer later", () =>
    Effect.gen(function* () {
      const { bench } = yield* begun()
      yield* bench.deliver({ op: "execute", path: "1", command: "Charge" })
      const undone = yield* bench.deliver({ op: "failure", path: "1", command: "Examine" })
      assert.deepStrictEqual([undone._tag, undone.status], ["failed", 500])
    })
  )
})
