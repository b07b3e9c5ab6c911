/**
 * The contract of `ParticipantStore` as tests: call `suite` in a test file with the layer to be tested. Each test uses a
 * service name of its own, so a store may be shared. Needs `@effect/vitest`.
 */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, type Layer } from "effect"
import * as Port from "../ports/ParticipantStore.ts"
import { accepted } from "./ParticipantAcceptedSuite.ts"
import { doubts } from "./ParticipantDoubtSuite.ts"
import { units } from "./ParticipantUnitSuite.ts"
import * as Suite from "./Suite.ts"

/** `parallel`: units that are open at the same time, which a store with one database session cannot have. */
export type Part = Suite.Part | "parallel"

/**
 * `core`: one unit of work after the other; `concurrent`: several are asked for at once; `recovery`: units that fail or
 * are interrupted.
 */
export const suite = <E>(
  name: string,
  layer: Layer.Layer<Port.ParticipantStore, E>,
  options: Suite.Options<Part> = {}
): void => Suite.register(`ParticipantStore: ${name}`, layer, { core, concurrent, parallel, recovery }, options)

type Test = Suite.Test<Port.ParticipantStore>

// ---- records ---------------------------------------------------------------------------------------------------

const transaction = (uuid: string, changes: Partial<Port.Transaction> = {}): Port.Transaction => ({
  uuid,
  coordinator: "orders",
  status: "pending",
  notAfter: 1_000,
  heuristic: false,
  updatedAt: 10,
  ...changes
})

const barrier = (id: string, changes: Partial<Port.Barrier> = {}): Port.Barrier => ({
  id,
  transaction: undefined,
  coordinator: "orders",
  request: "0".repeat(64),
  status: 200,
  reply: ' {"b":1,"a":"ü\u2028\ud83d\udc18"}',
  effect: "immediate",
  open: true,
  accepted: undefined,
  keepUntil: 1_000,
  createdAt: 10,
  ...changes
})

/** Names that no other test has. */
const makePlace = () => {
  const service = `service-${randomUUID()}`
  const uuid = randomUUID()
  const id = `${uuid}:0:execute`
  const scope: Port.Scope = { service, transactions: [uuid], messages: [id] }
  return { service, uuid, id, scope, alone: { ...scope, transactions: [] } }
}

const save = (scope: Port.Scope, records: Partial<Port.Records>) =>
  Port.ParticipantStore.use((store) => store.unit(scope, (unit) => unit.save(records)))

/** The stored records of a scope. */
const read = (scope: Port.Scope) =>
  Port.ParticipantStore.use((store) =>
    store.unit(scope, ({ barriers, transactions }) =>
      Effect.succeed({ transactions: [...transactions.values()], barriers: [...barriers.values()] })
    )
  )

const nothing = { transactions: [], barriers: [] }

const sorted = (uuids: ReadonlyArray<string>): ReadonlyArray<string> => [...uuids].sort()

// ---- core ------------------------------------------------------------------------------------------------------

const core = (test: Test): void => {
  doubts(test)
  units(test)
  accepted(test)
  test("W3 keeps the records that a unit has saved, unchanged", () =>
    Effect.gen(function* () {
      const { id, scope, uuid } = makePlace()
      assert.deepStrictEqual(yield* read(scope), nothing)
      const first = {
        transactions: [transaction(uuid, { coordinator: undefined, notAfter: 4_102_444_800_000 })],
        barriers: [
          barrier(id, {
            transaction: uuid,
            request: undefined,
            reply: undefined,
            status: 500,
            effect: "none",
            open: false
          })
        ]
      }
      yield* save(scope, first)
      assert.deepStrictEqual(yield* read(scope), first)
      const second = {
        transactions: [transaction(uuid, { status: "reserved", heuristic: true, updatedAt: 11 })],
        barriers: [barrier(id, { transaction: uuid, effect: "staged", status: 400, createdAt: 12 })]
      }
      yield* save(scope, second)
      assert.deepStrictEqual(yield* read(scope), second)
      yield* save(scope, {})
      assert.deepStrictEqual(yield* read(scope), second)
    }))

  test("a unit reads the transactions and messages of its scope, and no others", () =>
    Effect.gen(function* () {
      const { id, scope, service, uuid } = makePlace()
      const other = randomUUID()
      const ids = [id, `${uuid}:1:execute`, `${uuid}:2:execute`]
      yield* save(
        { service, transactions: [uuid, other], messages: ids },
        {
          transactions: [transaction(uuid), transaction(other)],
          barriers: ids.map((id) => barrier(id, { transaction: uuid }))
        }
      )
      const found = yield* read(scope)
      assert.deepStrictEqual(
        [found.transactions.map(({ uuid }) => uuid), found.barriers.map(({ id }) => id)],
        [[uuid], [id]]
      )
      const all = yield* read({ service, transactions: [other, uuid], messages: [...ids].reverse() })
      assert.deepStrictEqual(sorted(all.transactions.map(({ uuid }) => uuid)), sorted([uuid, other]))
      assert.deepStrictEqual(sorted(all.barriers.map(({ id }) => id)), sorted(ids))
      assert.deepStrictEqual(yield* read({ service, transactions: [], messages: [] }), nothing)
    }))

  test("keeps the records of different services apart", () =>
    Effect.gen(function* () {
      const { id, scope, uuid } = makePlace()
      const elsewhere = { ...scope, service: makePlace().service }
      yield* save(scope, { transactions: [transaction(uuid)], barriers: [barrier(id, { transaction: uuid })] })
      assert.deepStrictEqual(yield* read(elsewhere), nothing)
      yield* save(elsewhere, { transactions: [transaction(uuid, { status: "rejected" })] })
      assert.deepStrictEqual((yield* read(scope)).transactions, [transaction(uuid)])
      const store = yield* Port.ParticipantStore
      assert.strictEqual(yield* store.purge({ service: scope.service, before: 2_000, alone: 0, limit: 10 }), 0)
      assert.deepStrictEqual((yield* read(elsewhere)).transactions, [transaction(uuid, { status: "rejected" })])
    }))

  test("a unit gives the result of its work, an attempt gives the result of its own", () =>
    Effect.gen(function* () {
      const { scope } = makePlace()
      const store = yield* Port.ParticipantStore
      assert.strictEqual(yield* store.unit(scope, ({ attempt }) => attempt(Effect.succeed(7))), 7)
      assert.strictEqual(yield* Effect.flip(store.unit(scope, () => Effect.fail("mine"))), "mine")
    }))

  test("a unit goes on after an attempt that fails or dies, and keeps what it saves afterwards", () =>
    Effect.gen(function* () {
      const { scope, uuid } = makePlace()
      const store = yield* Port.ParticipantStore
      const seen = yield* store.unit(scope, (unit) =>
        Effect.gen(function* () {
          const failed = yield* Effect.flip(unit.attempt(Effect.fail("declined")))
          const died = yield* Effect.exit(unit.attempt(Effect.die("dead")))
          yield* unit.save({ transactions: [transaction(uuid)] })
          return [failed, Exit.hasDies(died)]
        })
      )
      assert.deepStrictEqual(seen, ["declined", true])
      assert.deepStrictEqual((yield* read(scope)).transactions, [transaction(uuid)])
    }))

  test("finds transactions by status and age, the oldest first, those of one time in the order of their uuids", () =>
    Effect.gen(function* () {
      const { service } = makePlace()
      const store = yield* Port.ParticipantStore
      const uuids = sorted(Array.from({ length: 5 }, () => randomUUID()))
      // The last of them is the oldest.
      const at = (i: number) => (i === 4 ? 5 : 20)
      const made = uuids.map((uuid, i) => transaction(uuid, { status: "reserved", updatedAt: at(i) }))
      const old = [...made.slice(4), ...made.slice(0, 4)]
      const others = [
        transaction(randomUUID(), { status: "reserved", updatedAt: 21 }),
        transaction(randomUUID(), { status: "pending", updatedAt: 5 }),
        transaction(randomUUID(), { status: "committed", updatedAt: 5 })
      ]
      for (const it of [...others, ...old].reverse())
        yield* save({ service, transactions: [it.uuid], messages: [] }, { transactions: [it] })
      const query = { service, status: "reserved", before: 20 } as const
      assert.deepStrictEqual(yield* store.find({ ...query, limit: 10 }), old)
      const first = yield* store.find({ ...query, limit: 3 })
      const rest = yield* store.find({ ...query, limit: 3, after: old[2]! })
      const afterTwo = yield* store.find({
        ...query,
        limit: 1,
        after: { uuid: old[0]!.uuid, updatedAt: old[0]!.updatedAt }
      })
      assert.deepStrictEqual([first, rest, afterTwo], [old.slice(0, 3), old.slice(3), old.slice(1, 2)])
      assert.deepStrictEqual(yield* store.find({ ...query, before: 4, limit: 10 }), [])
      assert.deepStrictEqual(yield* store.find({ ...query, service: makePlace().service, limit: 10 }), [])
    }))

  test("C14 the purge removes a transaction with its barriers when it is over and none of its barriers is open", () =>
    Effect.gen(function* () {
      const { service } = makePlace()
      const store = yield* Port.ParticipantStore
      const make = (changes: Partial<Port.Transaction>, open: boolean) => {
        const it = transaction(randomUUID(), changes)
        const id = `${it.uuid}:0:execute`
        const records = { transactions: [it], barriers: [barrier(id, { transaction: it.uuid, open })] }
        return { ...records, scope: { service, transactions: [it.uuid], messages: [id] } }
      }
      const gone = [make({ status: "committed" }, true), make({ status: "rejected" }, false)]
      const kept = [
        make({ status: "committed", notAfter: 2_000 }, true),
        make({ status: "rejected", notAfter: 2_000 }, false),
        make({ status: "rejected" }, true),
        make({ status: "pending" }, false),
        make({ status: "reserved" }, false)
      ]
      for (const { scope, ...records } of [...gone, ...kept]) yield* save(scope, records)
      assert.strictEqual(yield* store.purge({ service, before: 1_001, alone: 1_001, limit: 10 }), 2)
      for (const { scope } of gone) assert.deepStrictEqual(yield* read(scope), nothing)
      for (const { barriers, scope, transactions } of kept)
        assert.deepStrictEqual(yield* read(scope), { barriers, transactions })
    }))

  test("C14 the purge removes barriers without a transaction when their own time is over", () =>
    Effect.gen(function* () {
      const { alone, id, service, uuid } = makePlace()
      const store = yield* Port.ParticipantStore
      const later = `${uuid}:1:execute`
      const messages = [id, later]
      yield* save({ ...alone, messages }, { barriers: [barrier(id), barrier(later, { keepUntil: 2_000 })] })
      assert.strictEqual(yield* store.purge({ service, before: 9_000, alone: 1_000, limit: 10 }), 0)
      assert.strictEqual(yield* store.purge({ service, before: 9_000, alone: 1_001, limit: 10 }), 1)
      assert.deepStrictEqual((yield* read({ ...alone, messages })).barriers, [barrier(later, { keepUntil: 2_000 })])
    }))

  test("C14 one purge removes no more records than its limit", () =>
    Effect.gen(function* () {
      const { service } = makePlace()
      const store = yield* Port.ParticipantStore
      for (let i = 0; i < 5; i++) {
        const uuid = randomUUID()
        yield* save(
          { service, transactions: [uuid], messages: [] },
          { transactions: [transaction(uuid, { status: "committed" })] }
        )
      }
      const request = { service, before: 2_000, alone: 0, limit: 2 }
      const removed = []
      for (let i = 0; i < 4; i++) removed.push(yield* store.purge(request))
      assert.deepStrictEqual(removed, [2, 2, 1, 0])
    }))
}

// ---- concurrent ------------------------------------------------------------------------------------------------

const concurrent = (test: Test): void => {
  const counting = (scope: Port.Scope, key: string, ran: Array<string>) =>
    Port.ParticipantStore.use((store) =>
      store.unit(scope, (unit) =>
        Effect.gen(function* () {
          const known = unit.barriers.get(key)
          yield* Effect.yieldNow
          ran.push(key)
          yield* unit.save({ barriers: [barrier(key, { createdAt: (known?.createdAt ?? 0) + 1 })] })
        })
      )
    )

  test("C6 units of one transaction run one after the other: none reads what another is about to change", () =>
    Effect.gen(function* () {
      const { id, scope } = makePlace()
      yield* Effect.forEach(Array.from({ length: 20 }), () => counting(scope, id, []), {
        concurrency: 8,
        discard: true
      })
      assert.strictEqual((yield* read(scope)).barriers[0]?.createdAt, 20)
    }))

  test("C6 without a transaction, a later unit of a message sees what an earlier one has recorded", () =>
    Effect.gen(function* () {
      const { alone, id } = makePlace()
      const store = yield* Port.ParticipantStore
      const once = store.unit(alone, (unit) =>
        Effect.gen(function* () {
          const known = unit.barriers.get(id)
          if (known !== undefined) return known.reply
          yield* Effect.yieldNow
          const reply = randomUUID()
          yield* unit.save({ barriers: [barrier(id, { reply })] })
          return reply
        })
      )
      const replies = yield* Effect.forEach(Array.from({ length: 10 }), () => once, { concurrency: 8 })
      assert.strictEqual(new Set(replies).size, 1)
      assert.strictEqual((yield* read(alone)).barriers[0]?.reply, replies[0])
    }))

  test("C6 without a transaction, units of a recorded message run one after the other", () =>
    Effect.gen(function* () {
      const { alone, id } = makePlace()
      yield* save(alone, { barriers: [barrier(id, { createdAt: 0 })] })
      yield* Effect.forEach(Array.from({ length: 20 }), () => counting(alone, id, []), {
        concurrency: 8,
        discard: true
      })
      assert.strictEqual((yield* read(alone)).barriers[0]?.createdAt, 20)
    }))
}

// ---- parallel --------------------------------------------------------------------------------------------------

const parallel = (test: Test): void => {
  test("units of different transactions do not wait for each other", () =>
    Effect.gen(function* () {
      const [one, other] = [makePlace(), makePlace()]
      const store = yield* Port.ParticipantStore
      const begun = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const slow = yield* Effect.forkChild(
        store.unit(one.scope, (unit) =>
          Deferred.succeed(begun, undefined).pipe(
            Effect.andThen(Deferred.await(go)),
            Effect.andThen(unit.save({ transactions: [transaction(one.uuid)] }))
          )
        )
      )
      yield* Deferred.await(begun)
      yield* save(other.scope, { transactions: [transaction(other.uuid)] })
      assert.deepStrictEqual((yield* read(other.scope)).transactions, [transaction(other.uuid)])
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(slow)
      assert.deepStrictEqual((yield* read(one.scope)).transactions, [transaction(one.uuid)])
    }))

  test("a unit that is interrupted while it waits for another one blocks no later unit", () =>
    Effect.gen(function* () {
      const place = makePlace()
      const store = yield* Port.ParticipantStore
      const begun = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const slow = yield* Effect.forkChild(
        store.unit(place.scope, (unit) =>
          Deferred.succeed(begun, undefined).pipe(
            Effect.andThen(Deferred.await(go)),
            Effect.andThen(unit.save({ transactions: [transaction(place.uuid)] }))
          )
        )
      )
      yield* Deferred.await(begun)
      let ran = false
      const waiting = yield* Effect.forkChild(store.unit(place.scope, () => Effect.sync(() => (ran = true))))
      yield* Effect.repeat(Effect.yieldNow, { times: 50 })
      yield* Fiber.interrupt(waiting)
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(slow)
      assert.isFalse(ran)
      assert.deepStrictEqual((yield* read(place.scope)).transactions, [transaction(place.uuid)])
    }))

  test("units that share several transactions do not deadlock, in any order", () =>
    Effect.gen(function* () {
      const { service } = makePlace()
      const store = yield* Port.ParticipantStore
      const [one, other] = [randomUUID(), randomUUID()]
      const held = Effect.fnUntraced(function* (uuid: string) {
        const begun = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        yield* Effect.forkChild(
          store.unit({ service, transactions: [uuid], messages: [] }, () =>
            Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(go))
          )
        )
        yield* Deferred.await(begun)
        return Deferred.succeed(go, undefined)
      })
      const releases = [yield* held(one), yield* held(other)]
      const waiting = yield* Effect.forEach(
        [
          [one, other],
          [other, one]
        ],
        (transactions) =>
          Effect.forkChild(
            save(
              { service, transactions, messages: [] },
              { transactions: transactions.map((uuid) => transaction(uuid)) }
            )
          )
      )
      for (const release of releases) {
        yield* Effect.repeat(Effect.yieldNow, { times: 20 })
        yield* release
      }
      yield* Effect.forEach(waiting, Fiber.join, { discard: true })
      const all = yield* read({ service, transactions: [one, other], messages: [] })
      assert.strictEqual(all.transactions.length, 2)
    }))
}

// ---- recovery --------------------------------------------------------------------------------------------------

const recovery = (test: Test): void => {
  const changes = ({ id, uuid }: ReturnType<typeof makePlace>) => ({
    transactions: [transaction(uuid)],
    barriers: [barrier(id, { transaction: uuid })]
  })

  test("W3 a unit that fails or dies stores nothing", () =>
    Effect.gen(function* () {
      const place = makePlace()
      const store = yield* Port.ParticipantStore
      for (const end of [Effect.fail("no"), Effect.die("dead")]) {
        yield* Effect.exit(store.unit(place.scope, (unit) => Effect.andThen(unit.save(changes(place)), end)))
        assert.deepStrictEqual(yield* read(place.scope), nothing)
      }
    }))

  test("W3 a unit that is interrupted stores nothing, and lets the next unit run", () =>
    Effect.gen(function* () {
      const place = makePlace()
      const store = yield* Port.ParticipantStore
      const saved = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        store.unit(place.scope, (unit) =>
          unit
            .save(changes(place))
            .pipe(Effect.andThen(Deferred.succeed(saved, undefined)), Effect.andThen(Effect.never))
        )
      )
      yield* Deferred.await(saved)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* read(place.scope), nothing)
      yield* save(place.scope, changes(place))
      assert.deepStrictEqual(yield* read(place.scope), changes(place))
    }))
}
