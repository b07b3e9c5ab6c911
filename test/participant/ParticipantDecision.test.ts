/**
 * SPEC C6 as a table, held against the participant in every order of messages: all sequences of up to three, each message
 * once, twice, late and after a purge, and more from every status a transaction can be in.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { incoming } from "../../src/participant/IncomingMessage.ts"
import { defaults } from "../../src/participant/ParticipantConfig.ts"
import { answeredBarrier, decide } from "../../src/participant/ParticipantDecision.ts"
import type { Barrier } from "../../src/ports/ParticipantStore.ts"
import * as CanonicalJson from "../../src/wire/CanonicalJson.ts"
import type { Json } from "../../src/wire/JsonLimits.ts"
import { some } from "../fixtures/participantStore.ts"
import { type Bench, envelopeOf, makeBench, maxSkew, notAfter, type Op, participantRetention } from "./byHand.ts"

type Status = "none" | "pending" | "reserved" | "committed" | "rejected"
type Answer = 200 | 400 | 404 | 500 | "alarm" | "silent alarm" | "nothing"

/** An answer depends on the status, and on whether the path was executed. */
type Cell = readonly [next: Status, answer: Answer] | "by record"

const table: Readonly<Record<Op, Readonly<Record<Status, Cell>>>> = {
  execute: {
    none: ["pending", 200],
    pending: ["pending", 200],
    reserved: ["reserved", 500],
    committed: ["committed", 500],
    rejected: ["rejected", 500]
  },
  reserve: {
    none: ["rejected", 400],
    pending: "by record",
    reserved: ["reserved", 200],
    committed: ["committed", 200],
    rejected: ["rejected", 400]
  },
  commit: {
    none: ["none", "alarm"],
    pending: ["pending", "alarm"],
    reserved: ["committed", 200],
    committed: ["committed", 200],
    rejected: ["rejected", "alarm"]
  },
  "told commit": {
    none: ["none", "silent alarm"],
    pending: ["pending", "silent alarm"],
    reserved: ["committed", "nothing"],
    committed: ["committed", "nothing"],
    rejected: ["rejected", "silent alarm"]
  },
  reject: {
    none: ["rejected", 200],
    pending: ["rejected", 200],
    reserved: ["rejected", 200],
    committed: ["committed", "alarm"],
    rejected: ["rejected", 200]
  },
  failure: {
    none: ["rejected", 200],
    pending: ["rejected", 200],
    reserved: ["rejected", 200],
    committed: ["committed", "alarm"],
    rejected: ["rejected", 200]
  },
  probe: {
    none: ["rejected", 404],
    pending: "by record",
    reserved: "by record",
    committed: "by record",
    rejected: "by record"
  },
  "told reject": {
    none: ["none", "nothing"],
    pending: ["rejected", "nothing"],
    reserved: ["rejected", "nothing"],
    committed: ["committed", "nothing"],
    rejected: ["rejected", "nothing"]
  }
}

/** No record, and so late that there may have been one. */
const late: Readonly<Record<Op, Answer>> = {
  execute: 500,
  probe: 404,
  reserve: 400,
  commit: 200,
  reject: 200,
  failure: 200,
  "told commit": "nothing",
  "told reject": "nothing"
}

interface Move {
  readonly op: Op
  readonly path: string
  readonly how: "once" | "twice" | "late" | "after purge"
}

const messages: ReadonlyArray<Pick<Move, "op" | "path">> = [
  { op: "execute", path: "0" },
  // After a reserve only another path can be new.
  { op: "execute", path: "1" },
  { op: "failure", path: "0" },
  { op: "reserve", path: "" },
  { op: "commit", path: "" },
  { op: "reject", path: "" },
  { op: "probe", path: "0" },
  { op: "told commit", path: "" },
  { op: "told reject", path: "" }
]

const ways = ["once", "twice", "late", "after purge"] as const

const movesOf = (of: typeof messages): ReadonlyArray<Move> =>
  of.flatMap((message) => ways.map((how) => ({ ...message, how })))

const moves = movesOf(messages)

/** A row of the table: the expected answer, and the state that it follows from. */
class Model {
  status: Status = "none"
  /** By path; `null`: it must never run. */
  readonly executed = new Map<string, "done" | "refused" | "null">()
  readonly compensated = new Set<string>()
  /** Messages that have a recorded answer. */
  readonly answered = new Map<string, string>()

  purge(isOver: boolean): void {
    const open = [...this.executed].some(([path, it]) => it === "done" && !this.compensated.has(path))
    if (!isOver || !(this.status === "committed" || (this.status === "rejected" && !open))) return
    this.status = "none"
    this.executed.clear()
    this.answered.clear()
  }

  /** The effect of a message that comes for the first time, or again. */
  apply({ op, path }: Move, isOver: boolean): Answer | "again" {
    if (this.answered.has(`${op} ${path}`)) return "again"
    const known = this.executed.get(path)
    if (op === "execute" && (known === "null" || (isOver && this.status !== "none"))) return 500
    if (this.status === "none" && isOver) return late[op]
    const [next, answer] = this.cell(op, path)
    if (op === "execute") this.executed.set(path, answer === 200 ? "done" : "refused")
    if (op === "failure" && answer === 200) {
      if (known === undefined) this.executed.set(path, "null")
      if (known === "done") this.compensated.add(path)
    }
    if (op === "probe" && known === undefined) this.executed.set(path, "null")
    this.status = next
    return answer
  }

  cell(op: Op, path: string): readonly [Status, Answer] {
    const cell = table[op][this.status]
    if (cell !== "by record") return cell
    if (op === "reserve") return this.executed.get("0") === "done" ? ["reserved", 200] : ["rejected", 400]
    return [this.status, this.executed.get(path) === "done" ? 200 : 404]
  }
}

const answerOf = ({ _tag, status }: { readonly _tag: string; readonly status: number | undefined }): Answer =>
  _tag === "putAway" ? (status === undefined ? "silent alarm" : "alarm") : ((status as Answer | undefined) ?? "nothing") // the statuses of a reply

const isRecorded = (op: Op, answer: Answer | "again") =>
  op !== "probe" && (answer === 200 || answer === 400 || answer === 500)

const story = (sequence: ReadonlyArray<Move>): string =>
  sequence.map(({ how, op, path }) => `${op}${path === "" ? "" : ` ${path}`} ${how}`).join(", ")

/** Plays a sequence against both, and compares after every delivery. */
const play = Effect.fnUntraced(function* (sequence: ReadonlyArray<Move>) {
  yield* TestClock.setTime(1)
  const bench: Bench = yield* makeBench()
  const model = new Model()
  let isOver = false
  for (const move of sequence) {
    const { how, op, path } = move
    if (how === "late" || how === "after purge") {
      if (!isOver) yield* TestClock.setTime(notAfter + maxSkew + 1)
      isOver = true
    }
    if (how === "after purge") {
      yield* bench.purge
      model.purge(isOver)
    }
    const before = yield* bench.status()
    const effectsBefore = bench.effects.size
    for (let copy = 0; copy < (how === "twice" ? 2 : 1); copy++) {
      const expected = model.apply(move, isOver)
      const outcome = yield* bench.deliver(path === "" ? { op } : { op, path })
      const where = () => `${story(sequence)}: ${op} ${path}, copy ${copy}`
      if (expected === "again") {
        // The recorded reply, byte for byte.
        if (outcome._tag !== "duplicate" || outcome.body !== model.answered.get(`${op} ${path}`))
          assert.fail(`${where()}: not the recorded reply but ${outcome.body}`)
      } else if (answerOf(outcome) !== expected) {
        assert.fail(`${where()}: ${answerOf(outcome)} instead of ${expected}`)
      } else if (outcome._tag === "applied" && outcome.body !== undefined && isRecorded(op, expected)) {
        const kept = yield* Effect.orDie(
          bench.store.unit({ service: "bank", transactions: [], messages: [idOf(move)] }, ({ barriers }) =>
            Effect.succeed(barriers.get(idOf(move))?.reply)
          )
        )
        if (kept !== undefined) model.answered.set(`${op} ${path}`, kept)
      }
      const status = yield* bench.status()
      if (status !== model.status) assert.fail(`${where()}: ${status} instead of ${model.status}`)
    }
    checkStep(move, before, yield* bench.status(), bench.effects.size - effectsBefore, isOver, sequence)
  }
  checkEnd(bench, model, sequence)
  return bench
})

const idOf = ({ op, path }: Move): string => `01890000-0000-7000-8000-000000000001:${path === "" ? "bank" : path}:${op}`

/** I9, I13: what a single delivery may not do, whatever the table says. */
const checkStep = (
  { op }: Move,
  before: Status,
  after: Status,
  effects: number,
  isOver: boolean,
  sequence: ReadonlyArray<Move>
) => {
  const ends: ReadonlyArray<Op> = ["commit", "reject", "failure", "told commit", "told reject"]
  if (before === "reserved" && after !== "reserved" && !ends.includes(op))
    assert.fail(`I9 ${story(sequence)}: ${op} ended a reserved transaction`)
  if (
    after === "committed" &&
    before !== "committed" &&
    !(before === "reserved" && (op === "commit" || op === "told commit"))
  )
    assert.fail(`I5 ${story(sequence)}: ${op} committed a transaction that was ${before}`)
  if (effects > 0 && (op !== "execute" || isOver || before === "rejected" || before === "committed"))
    assert.fail(`I13 ${story(sequence)}: an effect by ${op}`)
}

/** I4: at most one effect and one compensation for a message, none of these without those. */
const checkEnd = ({ effects, compensated }: Bench, model: Model, sequence: ReadonlyArray<Move>) => {
  for (const counts of [effects, compensated])
    for (const [key, times] of counts) if (times !== 1) assert.fail(`I4 ${story(sequence)}: ${times} times ${key}`)
  for (const key of compensated.keys())
    if (!effects.has(key.replace("failure", "execute"))) assert.fail(`I4 ${story(sequence)}: ${key} undid nothing`)
  if (model.compensated.size !== compensated.size)
    assert.fail(`I4 ${story(sequence)}: ${compensated.size} were compensated`)
}

const sequences = (length: number, of: ReadonlyArray<Move> = moves): ReadonlyArray<ReadonlyArray<Move>> =>
  length === 0 ? [[]] : sequences(length - 1, of).flatMap((sequence) => of.map((move) => [...sequence, move]))

const once = (op: Op, path = ""): Move => ({ op, path, how: "once" })

/** How a transaction gets into each status. */
const starts: Readonly<Record<Status, ReadonlyArray<Move>>> = {
  none: [],
  pending: [once("execute", "0")],
  reserved: [once("execute", "0"), once("reserve")],
  committed: [once("execute", "0"), once("reserve"), once("commit")],
  rejected: [once("execute", "0"), once("reject")]
}

it.effect("I13 a message that was refused as too late is not run later by a process whose clock is behind", () =>
  Effect.gen(function* () {
    for (const alone of [true, false]) {
      const bench = yield* makeBench()
      for (const time of [notAfter + 1, notAfter - 1]) {
        yield* TestClock.setTime(time)
        assert.strictEqual((yield* bench.deliver({ op: "execute" }, { alone })).status, 500)
      }
      assert.strictEqual(bench.effects.size, 0)
    }
  })
)

it.effect("C6 a transaction that nobody knows is rejected for as long as another clock may run something of it", () =>
  Effect.gen(function* () {
    for (const op of ["reserve", "reject", "failure", "probe"] as const) {
      const bench = yield* makeBench()
      yield* TestClock.setTime(notAfter + maxSkew)
      yield* bench.deliver({ op })
      assert.strictEqual(yield* bench.status(), "rejected", op)
    }
  })
)

describe("SPEC C6", () => {
  for (const [status, start] of Object.entries(starts)) {
    it.effect(`every pair of messages does what the table says to a transaction that is ${status}`, () =>
      Effect.gen(function* () {
        for (const sequence of some(sequences(2), 20)) yield* play([...start, ...sequence])
      })
    )
  }

  it.effect(
    "I4, I5, I9, I13 every sequence of up to three messages does what the table says",
    () =>
      Effect.gen(function* () {
        const all = [1, 2, 3].flatMap((length) => sequences(length))
        for (const sequence of some(all, 200)) yield* play(sequence)
      }),
    600_000
  )
})

/** The columns of a path that has no final answer yet: accepted (SPEC C19), or begun by a handler that runs. */
describe("SPEC C6 while a path has no answer", () => {
  type Cell = readonly [transaction: Status, answer: Answer | 202, record: number | undefined]
  const columns: Readonly<Record<"Examine" | "Pay", Readonly<Record<Op, Cell>>>> = {
    Examine: {
      execute: ["pending", 202, 202],
      reserve: ["rejected", 400, 500],
      commit: ["pending", "alarm", 202],
      "told commit": ["pending", "silent alarm", 202],
      reject: ["rejected", 200, 500],
      failure: ["rejected", 200, 500],
      probe: ["pending", 404, 500],
      "told reject": ["rejected", "nothing", 500]
    },
    Pay: {
      execute: ["pending", "nothing", 202],
      reserve: ["rejected", 400, 202],
      commit: ["pending", "alarm", 202],
      "told commit": ["pending", "silent alarm", 202],
      reject: ["rejected", 200, 202],
      failure: ["pending", 500, 202],
      probe: ["pending", 500, 202],
      "told reject": ["rejected", "nothing", 202]
    }
  }
  for (const command of ["Examine", "Pay"] as const)
    for (const [op, cell] of Object.entries(columns[command]) as ReadonlyArray<readonly [Op, Cell]>)
      it.effect(`${command === "Examine" ? "accepted" : "begun"}: ${op}`, () =>
        Effect.gen(function* () {
          yield* TestClock.setTime(1)
          const bench = yield* makeBench()
          const begins = yield* Deferred.make<void>()
          bench.outside.pay = () => Effect.andThen(Deferred.succeed(begins, undefined), Effect.never)
          const running = yield* Effect.forkChild(bench.deliver({ op: "execute", command }))
          yield* command === "Pay" ? Deferred.await(begins) : Fiber.join(running)
          const outcome = yield* bench.deliver(op === "execute" ? { op, command } : { op })
          const id = "01890000-0000-7000-8000-000000000001:0:execute"
          const record = yield* bench.store.unit(
            { service: "bank", transactions: [], messages: [id] },
            ({ barriers }) => Effect.succeed(barriers.get(id)?.status)
          )
          assert.deepStrictEqual([yield* bench.status(), answerOf(outcome), record], cell)
          assert.strictEqual(bench.accepted.size, command === "Examine" && record === 202 ? 1 : 0)
          yield* Fiber.interrupt(running)
        })
      )
})

/** Without a transaction there is no status: only what is recorded of the path, and the time. */
describe("SPEC C6 without a transaction", () => {
  type Alone = "execute" | "failure" | "probe"
  const times = { "in time": 1, late: notAfter + maxSkew + 1, forgotten: notAfter + maxSkew + participantRetention + 1 }
  type Time = keyof typeof times

  const table: Readonly<Record<Alone, Readonly<Record<Time, Answer>>>> = {
    execute: { "in time": 200, late: 500, forgotten: "silent alarm" },
    failure: { "in time": 200, late: 200, forgotten: 500 },
    probe: { "in time": 404, late: 404, forgotten: 500 }
  }
  const order: ReadonlyArray<Time> = ["in time", "late", "forgotten"]
  const all = (["execute", "failure", "probe"] as const).flatMap((op) =>
    order.flatMap((time) => [1, 2].map((copies) => ({ op, time, copies })))
  )
  type Step = (typeof all)[number]

  const play = Effect.fnUntraced(function* (sequence: ReadonlyArray<Step>) {
    const bench = yield* makeBench()
    const known: { executed?: "done" | "null"; failed?: Time } = {}
    let latest = 0
    for (const { copies, op, time } of sequence) {
      latest = Math.max(latest, order.indexOf(time))
      const now = order[latest] ?? time
      yield* TestClock.setTime(times[now])
      if (now !== "in time") {
        yield* bench.purge
        if (now === "forgotten") {
          delete known.executed
          // An answer is kept for as long after it as one that was given in time.
          if (known.failed === "in time") delete known.failed
        }
      }
      for (let copy = 0; copy < copies; copy++) {
        const { executed, failed } = known
        const expected: Answer =
          op === "execute" && executed !== undefined
            ? executed === "done"
              ? 200
              : 500
            : op === "probe" && executed !== undefined
              ? executed === "done"
                ? 200
                : 404
              : op === "failure" && (executed !== undefined || failed !== undefined)
                ? 200
                : table[op][now]
        const outcome = yield* bench.deliver({ op }, { alone: true })
        const where = sequence.map((it) => `${it.op} ${it.time} ${it.copies}`).join(", ")
        if (answerOf(outcome) !== expected)
          assert.fail(`${where}: ${op} ${now} is answered ${answerOf(outcome)} instead of ${expected}`)
        if (now === "in time" && executed === undefined) known.executed = op === "execute" ? "done" : "null"
        if (op === "failure" && (now === "in time" || executed !== undefined)) known.failed ??= now
      }
    }
    for (const counts of [bench.effects, bench.compensated])
      for (const [key, times] of counts) assert.strictEqual(times, 1, `I4 ${key}`)
    if (bench.compensated.size > bench.effects.size) assert.fail("I4 compensated without an effect")
  })

  it.effect("I4, I13 every sequence of up to three messages does what the table says", () =>
    Effect.gen(function* () {
      const pairs = all.flatMap((one) => all.map((two) => [one, two]))
      const triples = pairs.flatMap((pair) => all.map((three) => [...pair, three]))
      for (const sequence of some([...all.map((one) => [one]), ...pairs, ...triples], 30)) yield* play(sequence)
    })
  )
})

it("C6 a message that release 0.1.0 has recorded is recognized, whatever its keys are, and whatever it does not know", () => {
  const recordedBy = (content: Json): Barrier => {
    const message = incoming(envelopeOf({ op: "execute", changes: { content } }), "Charge")
    const request = CanonicalJson.sha256OfText(CanonicalJson.formerly([message.command, message.envelope]))
    return { ...answeredBarrier(message, 200, "the answer", 0), request }
  }
  const said = (barrier: Barrier, content: Json) => {
    const known = { transactions: new Map(), barriers: new Map([[barrier.id, barrier]]) }
    const message = incoming(envelopeOf({ op: "execute", changes: { content, keepUntil: 5 } }), "Charge")
    const action = decide(known, message, 0, defaults)
    return action._tag === "Repeat" ? action.body : action
  }
  for (const content of [{ b: 1, a: 2 }, { 9: 1, 10: 2, b: [{ 1: 0, 0: 1 }] }, []]) {
    assert.strictEqual(said(recordedBy(content), content), "the answer")
    const { request } = incoming(envelopeOf({ op: "execute", changes: { content } }), "Charge")
    assert.strictEqual(said({ ...recordedBy(content), request }, content), "the answer")
    assert.deepStrictEqual(said(recordedBy(content), { 9: 1, 10: 3 }), { _tag: "PutAway", fault: "MessageIdReused" })
  }
})
