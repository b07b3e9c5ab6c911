/**
 * Two or three participants and a coordinator that keeps to the rules, on a wire that loses, repeats, delays and reorders,
 * while time passes and records are forgotten: however it goes, all of them end the same way. `SEED=7` looks at one run,
 * `EFFORT=50` at fifty times as many: 100,000.
 */
import { assert, it } from "@effect/vitest"
import { Cause, Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import * as HandleMessage from "../../src/participant/HandleMessage.ts"
import { defaults } from "../../src/participant/ParticipantConfig.ts"
import * as ParticipantDecision from "../../src/participant/ParticipantDecision.ts"
import { below, type Chance, pick } from "../execution/rules/chance.ts"
import { some } from "../fixtures/participantStore.ts"
import { type Bench, type Message, makeBench, maxSkew, notAfter, uuid } from "./byHand.ts"

const { EFFORT = "1", SEED } = process.env
const seeds = SEED === undefined ? Array.from({ length: 2_000 * Number(EFFORT) }, (_, i) => i + 1) : [Number(SEED)]

interface Step {
  readonly path: string
  readonly to: number
  readonly command: "Charge" | "Stage"
  readonly keepUntil?: number
}

/** What a compensation says where the success was seen. */
const seen = { recordedUntil: notAfter }

/** The state of the coordinator and its sent messages: only a sent message can arrive (SPEC W1). */
class Coordinator {
  readonly sent: Array<{ readonly to: number; readonly message: Message }> = []
  readonly known = new Map<string, number>()
  readonly votes = new Set<number>()
  readonly done = new Set<string>()
  decision: "commit" | "reject" | undefined
  reserving = false
  readonly steps: ReadonlyArray<Step>
  readonly services: number

  constructor(services: number, steps: ReadonlyArray<Step>) {
    this.services = services
    this.steps = steps
  }

  send(to: number, message: Message): void {
    this.sent.push({ to, message })
  }

  toAll(op: "commit" | "reject"): void {
    for (let to = 0; to < this.services; to++) this.send(to, { op })
  }

  /** The next thing it does by itself. */
  advance(): void {
    if (this.decision !== undefined) return
    const next = this.steps.find(({ path }) => !this.known.has(path))
    if (next !== undefined) {
      const { command, keepUntil, path, to } = next
      return this.send(to, { op: "execute", path, command, ...(keepUntil !== undefined && { changes: { keepUntil } }) })
    }
    if (this.reserving) return
    this.reserving = true
    for (let to = 0; to < this.services; to++) {
      this.send(to, { op: "reserve", paths: this.steps.filter((step) => step.to === to).map(({ path }) => path) })
    }
  }

  reject(): void {
    if (this.decision !== undefined) return
    this.decision = "reject"
    this.toAll("reject")
    for (const { path, to } of this.steps) {
      if (!this.sent.some(({ message }) => message.op === "execute" && message.path === path)) continue
      if (this.known.get(path) === 200) this.send(to, { op: "failure", path, changes: seen })
      else if (!this.known.has(path)) this.send(to, { op: "probe", path })
    }
  }

  /** A reply arrives, perhaps not for the first time. */
  hears(to: number, { op, path = "" }: Message, status: number): void {
    if (op === "execute" && this.decision === undefined) {
      if (!this.known.has(path)) this.known.set(path, status)
      if (status !== 200) this.reject()
    }
    if (op === "reserve" && this.decision === undefined) {
      if (status !== 200) return this.reject()
      this.votes.add(to)
      if (this.votes.size < this.services) return
      this.decision = "commit"
      this.toAll("commit")
    }
    if (op === "probe" && status === 200 && !this.done.has(`probe ${path}`))
      this.send(to, { op: "failure", path, changes: seen })
    if (op === "probe" || op === "failure") {
      if (status !== 500) this.done.add(`${op} ${path}`)
    }
    if (op === "commit" || op === "reject") {
      assert.strictEqual(status, 200, `${op} is answered ${status}`)
      this.done.add(`${op} ${to}`)
    }
  }
}

const stepsOf = (random: Chance, services: number): ReadonlyArray<Step> =>
  Array.from({ length: services + below(random, 2) }, (_, i) => ({
    path: `${i}`,
    // Each is asked for something.
    to: i < services ? i : below(random, services),
    command: pick(random, ["Charge", "Stage"]),
    ...(below(random, 2) === 0 && { keepUntil: pick(random, [3_600_000, 7_200_000, 90 * notAfter]) })
  }))

const play = Effect.fnUntraced(function* (seed: number) {
  const random: Chance = { state: seed }
  yield* TestClock.setTime(1)
  const services = 2 + below(random, 2)
  const coordinator = new Coordinator(services, stepsOf(random, services))
  const benches: ReadonlyArray<Bench> = yield* Effect.forEach(Array.from({ length: services }), (_, i) =>
    makeBench(`bank${i}`)
  )

  const deliver = Effect.fnUntraced(function* (to: number, message: Message, isHeard: boolean) {
    const bench = benches[to]!
    const before = yield* bench.status()
    const outcome = yield* bench.deliver(message)
    assert.notStrictEqual(
      outcome.envelope?.content,
      "Unrecorded",
      "C6 a participant that has purged its record is no other one"
    )
    const after = yield* bench.status()
    if (before === "reserved" && after !== "reserved" && (message.op === "execute" || message.op === "probe"))
      assert.fail(`I9 ${message.op} ended a reserved transaction`)
    if (after === "committed" && coordinator.decision !== "commit") assert.fail("I5 committed without a decision")
    if (outcome.status !== undefined && isHeard) coordinator.hears(to, message, outcome.status)
  })

  /** The actions of a participant without a decision. */
  const expire = ({ code, effects, provide, store }: Bench, to: number) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      yield* store.unit({ service: code.contract.name, transactions: [uuid], messages: [] }, (unit) =>
        Effect.gen(function* () {
          const expired = ParticipantDecision.expire(unit, uuid, now, defaults)
          if (expired === undefined) return
          for (const { keepUntil = 0, path, ...step } of coordinator.steps)
            if (step.to === to && effects.has(`${uuid}:${path}:execute`) && keepUntil > now)
              assert.fail("C16 given up although its execution can turn back")
          yield* HandleMessage.requireHook(code, unit, "reject", { coordinator: "orders", id: "", saga: uuid })
          yield* unit.save({ transactions: [expired] })
        })
      )
    }).pipe(provide, Effect.orDie)

  const told = (): Message => ({
    op: coordinator.decision === "commit" ? "told commit" : "told reject",
    ...(coordinator.decision === undefined && { changes: { content: "undecided" } })
  })

  const act = (): Effect.Effect<void> => {
    const dice = below(random, 100)
    const to = below(random, services)
    if (dice < 20) return Effect.sync(() => coordinator.advance())
    if (dice < 80) {
      const sent = coordinator.sent[below(random, Math.max(1, coordinator.sent.length))]
      return sent === undefined ? Effect.void : deliver(sent.to, sent.message, below(random, 10) < 8)
    }
    if (dice < 88) return deliver(to, told(), false)
    if (dice < 92) return expire(benches[to]!, to)
    if (dice < 95) return TestClock.adjust(pick(random, ["1 minute", "40 minutes", "2 hours"] as const))
    if (dice < 96) return TestClock.adjust(notAfter + maxSkew)
    if (dice < 98) return benches[to]!.purge.pipe(Effect.asVoid)
    return Effect.sync(() => coordinator.reject())
  }
  for (let i = 0; i < 40; i++) yield* act()

  // From here on nothing is lost: it settles.
  if (coordinator.decision === undefined) coordinator.reject()
  for (let i = 0; i < coordinator.sent.length; i++) {
    const { message, to } = coordinator.sent[i]!
    const { op, path = "" } = message
    const isOpen =
      op === "commit" || op === "reject"
        ? !coordinator.done.has(`${op} ${to}`)
        : (op === "probe" || op === "failure") && !coordinator.done.has(`${op} ${path}`)
    if (isOpen) yield* deliver(to, message, true)
  }
  // Later messages change nothing any more.
  const settled = yield* Effect.forEach(benches, (bench) => bench.status())
  for (const { message, to } of coordinator.sent) yield* deliver(to, message, false)
  assert.deepStrictEqual(yield* Effect.forEach(benches, (bench) => bench.status()), settled)
  check(coordinator, benches, settled)
  return coordinator.decision ?? "reject"
})

const check = (
  { decision, steps }: Coordinator,
  benches: ReadonlyArray<Bench>,
  settled: ReadonlyArray<string>
): void => {
  const isCommit = decision === "commit"
  assert.notInclude(settled, isCommit ? "rejected" : "committed", `I2 ${decision}`)
  assert.notInclude(settled, "pending", "I11")
  assert.notInclude(settled, "reserved", "I11")
  for (const { command, path, to } of steps) {
    const { effects, staged, compensated, visible } = benches[to]!
    const key = `${uuid}:${path}:execute`
    const effect = effects.get(key) ?? 0
    const back = compensated.get(`${uuid}:${path}:failure`) ?? 0
    assert.isAtMost(effect, 1, `I4 effects of ${path}`)
    assert.isAtMost(back, effect, `I4 compensations of ${path}`)
    assert.strictEqual(staged.has(uuid), false, `I1 ${path} is still staged`)
    if (isCommit) {
      assert.deepStrictEqual([effect, back], [1, 0], `I8 ${path}`)
      assert.strictEqual(visible.has(key), command === "Stage", `I8 ${path} is visible`)
    } else {
      assert.isFalse(visible.has(key), `I1 ${path} is visible`)
      if (command === "Charge") assert.strictEqual(back, effect, `I1 ${path}`)
    }
  }
}

it.effect(
  "I1, I2, I4, I5, I8, I9, I13 all participants end as their coordinator decides, whatever happens to messages and processes",
  () =>
    Effect.gen(function* () {
      const ends = { commit: 0, reject: 0 }
      for (const seed of some(seeds, SEED === undefined ? 50 : 1)) {
        const decision = yield* Effect.catchCause(play(seed), (cause) =>
          Effect.die(new Error(`SEED=${seed}: ${Cause.pretty(cause)}`))
        )
        ends[decision]++
      }
      // Both ends are reached, or the test would show nothing.
      if (SEED === undefined) assert.isAbove(Math.min(ends.commit, ends.reject), (ends.commit + ends.reject) / 10)
    }),
  600_000
)
