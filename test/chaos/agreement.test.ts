/**
 * Transfers between two banks, run by two orchestrators that are stopped and started again, over a wire that loses,
 * repeats, delays and reorders: every transfer is settled, no cent is lost or made, and all sides agree. `SEED=7` is
 * another run of the `TRANSFERS` (default 200); `npm run chaos:agreement` runs 10,000.
 */
import { assert, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import {
  Broker,
  Participant,
  ParticipantStore,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  TransactionCommitter
} from "effect-saga"
import type { Envelope } from "effect-saga/internals"
import { below, type Chance, happens } from "../execution/rules/chance.ts"
import { counting, outcomes } from "../fixtures/manager.ts"
import * as Bank from "./Bank.ts"
import * as Network from "./Network.ts"

const { SEED = "1", TRANSFERS = "200" } = process.env

type Manager = SagaManager.SagaManager["Service"]

const contextOf = (i: number) => ({ from: i % 7, to: i % 11, cents: i + 1 })

/** Rules for every write of a participant (I5, I9); gives a list of violations. */
const watched = (
  inner: ParticipantStore.ParticipantStore["Service"],
  decisionOf: (uuid: string) => string | null,
  wasSent: (id: string) => boolean,
  wrong: Array<string>
): ParticipantStore.ParticipantStore["Service"] => ({
  ...inner,
  unit: (scope, work) =>
    inner.unit(scope, (unit) =>
      work({
        ...unit,
        save: (records) => {
          for (const { status, uuid } of records.transactions ?? []) {
            const before = unit.transactions.get(uuid)?.status ?? "none"
            const isOver = before === "committed" || before === "rejected"
            if (isOver && status !== before) wrong.push(`I2 ${scope.service} ${before} -> ${status} of ${uuid}`)
            if (before === "reserved" && status === "pending") wrong.push(`I9 ${scope.service} reopened ${uuid}`)
            if (status === "committed" && decisionOf(uuid) !== "commit") wrong.push(`I5 ${scope.service} ${uuid}`)
          }
          for (const { id } of records.barriers ?? []) if (!wasSent(id)) wrong.push(`I7 ${scope.service} ${id}`)
          return unit.save(records)
        }
      })
    )
})

const play = Effect.fnUntraced(function* (seed: number, count: number) {
  const random: Chance = { state: seed }
  const wrong: Array<string> = []
  const network = yield* Network.make(random)
  const kept = yield* Layer.build(
    Layer.merge(
      SagaExecutionRepository.layerMemoryWith({ keep: Number.MAX_SAFE_INTEGER, shared: true }),
      ParticipantStore.layerMemory
    )
  )
  const repository = Context.get(kept, SagaExecutionRepository.SagaExecutionRepository)
  const load = (uuid: string) => Effect.runSync(Effect.orDie(repository.load(uuid)))

  // W1, W4: what leaves the orchestrators has been stored before.
  const sent = new Set<string>()
  const isStored = ({ id, op, saga }: Envelope.Envelope): boolean => {
    const { events, state } = load(saga)
    if (op === "reserve") return state.commitState !== "none"
    if (op === "commit" || op === "reject") return state.decision === op
    return events.some((event) => "message" in event && event.message.id === id)
  }
  const broker = Broker.Broker.of({
    ...network.broker,
    publish: (message) =>
      Effect.suspend(() => {
        const envelope: Envelope.Envelope = JSON.parse(message.body)
        if (envelope.op !== "reply" && envelope.op !== "status") {
          sent.add(envelope.id)
          if (!isStored(envelope)) wrong.push(`W1 ${envelope.id} left before it was stored`)
        }
        return network.broker.publish(message)
      })
  })
  const store = watched(
    Context.get(kept, ParticipantStore.ParticipantStore),
    (uuid) => load(uuid).decision,
    (id) => sent.has(id),
    wrong
  )
  const ports = Layer.mergeAll(
    Layer.succeed(SagaExecutionRepository.SagaExecutionRepository, repository),
    Layer.succeed(ParticipantStore.ParticipantStore, store),
    Layer.succeed(Broker.Broker, broker),
    // Logs of every injected failure would hide the real ones.
    Logger.layer([])
  )

  const [north, south] = [new Bank.Books(), new Bank.Books()]
  const ledger = new Bank.Ledger()
  const banks = Layer.merge(
    Participant.layer(Bank.North, north.handlers, north.hooks),
    Participant.layer(Bank.South, south.handlers, south.hooks)
  )
  yield* Layer.build(Layer.provide(banks, ports))

  const outer = yield* Effect.scope
  const hooks = ledger.hooks((uuid) => (load(uuid).context as { readonly cents: number }).cents)
  const open = Effect.gen(function* () {
    const scope = yield* Scope.fork(outer)
    const services = yield* SagaManager.layer([Bank.Transfer], { transaction: hooks }).pipe(
      Layer.provide(Layer.provide(TransactionCommitter.layerTwoPhase, ports)),
      Layer.provide(Layer.orDie(SagaConfig.layer({ service: "orders", maxInFlight: 32 }))),
      Layer.provide(ports),
      Layer.buildWithScope(scope)
    )
    return { manager: Context.get(services, SagaManager.SagaManager), stop: Scope.close(scope, Exit.void) }
  })
  const processes = [yield* open, yield* open]
  const run = (manager: Manager, i: number) =>
    manager.run(Bank.Transfer, { context: contextOf(i), startKey: `transfer ${i}`, raiseOnError: false })

  // All are started; meanwhile processes stop and others take over, and some transfers are cancelled.
  const callers: Array<Fiber.Fiber<unknown, unknown>> = []
  let stops = 0
  for (let started = 0, quiet = 0; quiet < 40; ) {
    for (let n = 0; n < 20 && started < count; n++, started++) {
      callers.push(yield* Effect.forkChild(Effect.exit(run(processes[below(random, 2)]!.manager, started))))
    }
    if (started === count) quiet++
    if (happens(random, 0.15)) {
      const which = below(random, 2)
      stops++
      yield* processes[which]!.stop
      processes[which] = yield* open
    }
    if (happens(random, 0.3)) {
      const { items } = yield* repository.find({ settled: false }, { limit: 50 })
      const victim = items[below(random, items.length)]
      if (victim !== undefined) yield* Effect.ignore(processes[0]!.manager.cancel(victim.uuid, { actor: "chance" }))
    }
    yield* TestClock.adjust(500)
  }

  // The wire is kind again: everything comes to its end, within the longest wait between two attempts.
  network.kind = true
  for (let minutes = 0; minutes < 60; minutes++) {
    yield* TestClock.adjust("1 minute")
    const { items } = yield* repository.find({ settled: false }, { limit: 1 })
    if (items.length === 0) break
  }
  // A caller that got no answer starts again, and gets the same execution.
  const ends = yield* Effect.forEach(
    Array.from({ length: count }, (_, i) => i),
    (i) => Effect.exit(run(processes[0]!.manager, i)),
    { concurrency: 50 }
  ).pipe(Effect.forkChild)
  yield* TestClock.adjust("10 minutes")
  const exits = yield* Fiber.join(ends)
  yield* Fiber.interruptAll(callers)
  return { exits, ledger, load, network, north, repository, south, store, stops, wrong }
})

const statusOf = (store: ParticipantStore.ParticipantStore["Service"], service: string, uuid: string) =>
  Effect.orDie(
    store.unit({ service, transactions: [uuid], messages: [] }, ({ transactions }) =>
      Effect.succeed(transactions.get(uuid)?.status)
    )
  )

it.effect(
  `I1-I9, I13, I17 ${TRANSFERS} transfers end as they must (SEED=${SEED})`,
  () =>
    counting(
      Effect.gen(function* () {
        const count = Number(TRANSFERS)
        const { exits, ledger, load, network, north, repository, south, store, stops, wrong } = yield* play(
          Number(SEED),
          count
        )
        assert.deepStrictEqual(wrong.slice(0, 5), [])
        assert.deepStrictEqual(ledger.contradictions, [])

        let committed = 0
        let money = 0
        for (const [i, exit] of exits.entries()) {
          if (!Exit.isSuccess(exit) || typeof exit.value === "string") {
            assert.fail(`transfer ${i} has no end: ${Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""}`)
          }
          const { uuid } = exit.value
          const { events, ...execution } = ((loaded) => ({
            events: loaded.events,
            decision: loaded.decision,
            settled: loaded.settled,
            status: loaded.status,
            parked: loaded.parked,
            alreadyRollback: loaded.alreadyRollback,
            revision: loaded.revision
          }))(load(uuid))
          const { cents } = contextOf(i)
          const key = `${uuid}:1:execute`
          assert.deepInclude(execution, { settled: true, parked: [] }, `transfer ${i}`)
          // I6: decided once; I3: nothing happened twice.
          const decisions = events.filter(({ _tag }) => _tag === "CommitDecided" || _tag === "RollbackStarted")
          assert.isAtMost(decisions.length, 1)
          const finals = events.filter(({ _tag }) => _tag === "StepSucceeded" || _tag === "StepCompensated")
          assert.strictEqual(new Set(finals.map((it) => `${it._tag} ${"path" in it && it.path}`)).size, finals.length)
          const statuses = [yield* statusOf(store, "north", uuid), yield* statusOf(store, "south", uuid)]
          if (execution.decision === "commit") {
            committed++
            money += cents
            // I8
            assert.isTrue(Bank.canSucceed(cents), `transfer ${i} must not succeed`)
            assert.deepStrictEqual([execution.status, ...statuses], ["finished", "committed", "committed"])
            assert.deepStrictEqual(south.deposited.get(uuid), [{ account: contextOf(i).to, cents }])
            assert.isTrue(north.withdrawn.has(key))
            assert.isFalse(north.paidBack.has(key))
            assert.strictEqual(ledger.outcome.get(uuid), "commit")
          } else {
            // I1, I2, I13
            assert.deepInclude(execution, { decision: "reject", status: "errored", alreadyRollback: true })
            for (const status of statuses) assert.notStrictEqual(status, "committed")
            assert.isFalse(south.deposited.has(uuid))
            assert.isFalse(south.staged.has(uuid))
            assert.strictEqual(north.paidBack.get(key) ?? 0, north.withdrawn.has(key) ? 1 : 0)
            assert.strictEqual(ledger.outcome.get(uuid), "reject")
          }
        }
        // I4
        for (const books of [north, south]) for (const [key, times] of books.effects) assert.strictEqual(times, 1, key)
        const out = [...north.withdrawn].reduce(
          (sum, [key, { cents }]) => sum + (north.paidBack.has(key) ? 0 : cents),
          0
        )
        const into = [...south.deposited.values()].flat().reduce((sum, { cents }) => sum + cents, 0)
        assert.deepStrictEqual([out, into], [money, money])
        assert.deepStrictEqual((yield* repository.find({ settled: false }, { limit: 1 })).items, [])
        // I11: nobody is left waiting.
        for (const service of ["north", "south"])
          for (const status of ["pending", "reserved"] as const)
            assert.deepStrictEqual(
              yield* store.find({ service, status, before: Number.MAX_SAFE_INTEGER, limit: 1 }),
              []
            )
        // I17
        const counted = Object.values(yield* outcomes).reduce((sum, n) => sum + n, 0)
        assert.strictEqual(counted, network.acknowledged)

        // Most transfers that could succeed did so in spite of the failures.
        assert.isAbove(committed, count / 3)
        assert.isBelow(committed, count)
        assert.isAbove(stops, 0)
        assert.isAbove(Math.min(network.lost, network.repeated), count / 10)
      })
    ),
  Math.max(120_000, Number(TRANSFERS) * 200)
)
