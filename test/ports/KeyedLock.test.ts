/** Holders of a key, fibers that wait for it, and fibers that are interrupted while waiting. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scheduler } from "effect"
import * as KeyedLock from "../../src/ports/KeyedLock.ts"
import { below, type Chance, forSeeds, happens } from "../execution/rules/chance.ts"

/** Turns of all other fibers. */
const turns = (count = 10) => Effect.repeat(Effect.yieldNow, { times: count })

/** The key is free, without waiting fibers: it is taken at once. */
const isFree = (lock: KeyedLock.KeyedLock, key: string) => {
  let isTaken = false
  return Effect.andThen(
    Effect.forkChild(
      lock.hold(
        key,
        Effect.sync(() => {
          isTaken = true
        })
      ),
      { startImmediately: true }
    ),
    Effect.sync(() => isTaken)
  )
}

describe("a keyed lock", () => {
  it.effect("a keyed lock is held by one fiber at a time, in the order of arrival", () =>
    Effect.gen(function* () {
      const lock = KeyedLock.make()
      const told: Array<string> = []
      const one = (name: number) =>
        lock.hold(
          "a",
          Effect.gen(function* () {
            told.push(`${name} has it`)
            yield* turns(name % 3)
            told.push(`${name} gives it back`)
          })
        )
      const fibers = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => i),
        (i) => Effect.forkChild(one(i), { startImmediately: true })
      )
      yield* Fiber.awaitAll(fibers)
      assert.deepStrictEqual(told, Array.from({ length: 20 }, (_, i) => [`${i} has it`, `${i} gives it back`]).flat())
      assert.isTrue(yield* isFree(lock, "a"))
    })
  )

  it.effect("a keyed lock does not block other keys", () =>
    Effect.gen(function* () {
      const lock = KeyedLock.make()
      yield* Effect.forkChild(lock.hold("a", Effect.never), { startImmediately: true })
      assert.isTrue(yield* isFree(lock, "b"))
      assert.isFalse(yield* isFree(lock, "a"))
      assert.strictEqual(yield* lock.hold("b", lock.hold("c", Effect.succeed(1))), 1)
    })
  )

  it.effect("a keyed lock is released with the result, whatever it is", () =>
    Effect.gen(function* () {
      const lock = KeyedLock.make()
      assert.strictEqual(yield* lock.hold("a", Effect.succeed(1)), 1)
      assert.deepStrictEqual(yield* Effect.exit(lock.hold("a", Effect.fail("no"))), Exit.fail("no"))
      assert.deepStrictEqual(yield* Effect.exit(lock.hold("a", Effect.die("bug"))), Exit.die("bug"))
      assert.isTrue(yield* isFree(lock, "a"))
      // The same with somebody in the line.
      const waiting = yield* Effect.forkChild(
        Effect.forEach([Effect.fail("no"), Effect.die("bug"), Effect.succeed(2)], (use) =>
          Effect.exit(lock.hold("a", Effect.andThen(Effect.yieldNow, use)))
        )
      )
      yield* lock.hold("a", turns())
      assert.deepStrictEqual(yield* Fiber.join(waiting), [Exit.fail("no"), Exit.die("bug"), Exit.succeed(2)])
      assert.isTrue(yield* isFree(lock, "a"))
    })
  )

  it.effect("an interrupted fiber does not wait for a keyed lock any more", () =>
    Effect.gen(function* () {
      const lock = KeyedLock.make()
      const done = yield* Deferred.make<void>()
      const told: Array<string> = []
      const one = (name: string) =>
        Effect.forkChild(
          lock.hold(
            "a",
            Effect.sync(() => void told.push(name))
          ),
          { startImmediately: true }
        )
      const holder = yield* Effect.forkChild(lock.hold("a", Deferred.await(done)), { startImmediately: true })
      const line = yield* Effect.forEach(["first", "second", "third", "fourth"], one)
      yield* Fiber.interruptAll([line[0]!, line[2]!])
      assert.deepStrictEqual(told, [])
      yield* Deferred.succeed(done, undefined)
      yield* Fiber.awaitAll([holder, ...line])
      assert.deepStrictEqual(told, ["second", "fourth"])
      assert.isTrue(yield* isFree(lock, "a"))
    })
  )

  it.effect("a keyed lock goes to the next fiber when its holder is interrupted, and is free when all are", () =>
    Effect.gen(function* () {
      const lock = KeyedLock.make()
      const told: Array<string> = []
      const one = (name: string) =>
        Effect.forkChild(
          lock.hold(
            "a",
            Effect.andThen(
              Effect.sync(() => told.push(name)),
              Effect.never
            )
          ),
          { startImmediately: true }
        )
      const fibers = yield* Effect.forEach(["first", "second", "third"], one)
      yield* turns()
      assert.deepStrictEqual(told, ["first"])
      yield* Fiber.interrupt(fibers[0]!)
      yield* turns()
      assert.deepStrictEqual(told, ["first", "second"])
      yield* Fiber.interruptAll(fibers)
      assert.deepStrictEqual(told, ["first", "second"])
      assert.isTrue(yield* isFree(lock, "a"))
    })
  )

  it.effect("a keyed lock is not lost when the next fiber is interrupted while it gets the lock", () =>
    Effect.gen(function* () {
      const lock = KeyedLock.make()
      for (let later = 0; later < 8; later++) {
        const done = yield* Deferred.make<void>()
        const holder = yield* Effect.forkChild(lock.hold("a", Deferred.await(done)), { startImmediately: true })
        const next = yield* Effect.forkChild(lock.hold("a", turns()), { startImmediately: true })
        const last = yield* Effect.forkChild(lock.hold("a", Effect.succeed("mine")), { startImmediately: true })
        yield* Deferred.succeed(done, undefined)
        yield* turns(later)
        yield* Fiber.interrupt(next)
        assert.strictEqual(yield* Fiber.join(last), "mine", `${later} turns later`)
        yield* Fiber.join(holder)
        assert.isTrue(yield* isFree(lock, "a"), `${later} turns later`)
      }
    })
  )

  it.effect("very many fibers may wait for a keyed lock, come and go", () =>
    Effect.gen(function* () {
      const lock = KeyedLock.make()
      const count = 10_000
      const done = yield* Deferred.make<void>()
      let last = -1
      const holder = yield* Effect.forkChild(lock.hold("a", Deferred.await(done)), { startImmediately: true })
      const line = yield* Effect.forEach(
        Array.from({ length: count }, (_, i) => i),
        (i) =>
          Effect.forkChild(
            lock.hold(
              "a",
              Effect.sync(() => {
                assert.isBelow(last, i)
                last = i
              })
            ),
            { startImmediately: true }
          )
      )
      yield* Fiber.interruptAll(line.slice(0, count / 2))
      yield* Deferred.succeed(done, undefined)
      yield* Fiber.join(holder)
      for (const fiber of line.slice(count / 2)) yield* Fiber.join(fiber)
      assert.strictEqual(last, count - 1)
      assert.isTrue(yield* isFree(lock, "a"))
    })
  )

  it.effect("a keyed lock is held by one fiber at a time wherever fibers yield, and is free at the end", () =>
    Effect.gen(function* () {
      const chances: Array<Chance> = []
      forSeeds(30, (seed) => void chances.push({ state: seed }))
      for (const chance of chances) {
        const seed = chance.state
        const lock = KeyedLock.make()
        const keys = ["a", "b"]
        const holders = new Map<string, number>()
        const use = (key: string, length: number) =>
          Effect.suspend(() => {
            const present = holders.get(key)
            assert.isUndefined(present, `SEED=${seed}: ${key} is held twice`)
            holders.set(key, seed)
            return turns(length).pipe(Effect.ensuring(Effect.sync(() => holders.delete(key))))
          })
        const fibers: Array<Fiber.Fiber<void>> = []
        for (let i = 0; i < 60; i++) {
          const key = keys[below(chance, 2)]!
          const times = 1 + below(chance, 3)
          // Others have their turn after so many steps, and so in the middle of anything.
          const one = Effect.repeat(lock.hold(key, use(key, below(chance, 3))), { times }).pipe(
            Effect.provideService(Scheduler.MaxOpsBeforeYield, 3 + below(chance, 12))
          )
          fibers.push(yield* Effect.forkChild(Effect.asVoid(one), { startImmediately: happens(chance, 0.5) }))
          if (happens(chance, 0.3)) yield* Effect.yieldNow
          if (happens(chance, 0.2)) fibers[below(chance, fibers.length)]!.interruptUnsafe()
        }
        const all = yield* Effect.forkChild(Fiber.awaitAll(fibers))
        yield* turns(20_000).pipe(Effect.raceFirst(Fiber.await(all)))
        assert.isDefined(all.pollUnsafe(), `SEED=${seed}: somebody waits for ever`)
        for (const key of keys) assert.isTrue(yield* isFree(lock, key), `SEED=${seed}: ${key} is still held`)
      }
    })
  )
})
