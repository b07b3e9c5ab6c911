/**
 * The part `queues` of the repository suite: a claim gives places to executions that wait for one, within the limits, and each place
 * is held until its execution gives it back.
 */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type * as Repository from "../ports/SagaExecutionRepository.ts"
import { at, begun, cancelled, goingOn, goneOn, limits, resting, turnedBack, using, waiting } from "./QueueSample.ts"
import * as Sample from "./SampleExecutions.ts"
import type * as Suite from "./Suite.ts"

export const queues = (test: Suite.Test<Repository.SagaExecutionRepository>): void => {
  places(test)
  again(test)
  turns(test)
  changes(test)
  races(test)
}

const places = (test: Suite.Test<Repository.SagaExecutionRepository>): void => {
  test("an execution in a queue is stored, is listed with its place, and is not due", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, repository } = yield* using
      const { uuid } = yield* enter({ key: "ann", priority: 3 })
      assert.deepStrictEqual((yield* claim("a")).given, [], "there is no such queue yet")
      const { items } = yield* repository.find({ status: "created" }, { limit: 1_000 })
      const listed = items.find((item) => item.uuid === uuid)
      assert.deepStrictEqual(listed?.queued, { queue, key: "ann", priority: 3, since: Sample.time })
    }))

  test("a claim gives as many as there are places, and the next one none", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues, repository, status } = yield* using
      yield* queues.declare(queue, limits)
      const all = yield* Effect.forEach([1, 2, 3, 4], (i) => enter({ at: Sample.time - 10 + i }))
      const { given } = yield* claim("a")
      assert.deepStrictEqual([...given].sort(), [all[0]!.uuid, all[1]!.uuid].sort(), "the oldest")
      assert.deepStrictEqual((yield* claim("b")).given, [])
      assert.deepStrictEqual(yield* status, { queued: 2, again: 0, held: 2 })
      const { items } = yield* repository.find({ status: "created" }, { limit: 1_000 })
      const waits = items.filter((item) => item.queued?.queue === queue && item.uuid !== all[0]!.uuid)
      assert.isAtLeast(waits.length, 2)
    }))

  test("a claim gives no more than it is asked for, and takes no place for the others", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues, status } = yield* using
      yield* queues.declare(queue, { ...limits, concurrency: 10 })
      yield* Effect.forEach([1, 2, 3], () => enter())
      yield* claim("a", 0)
      assert.deepStrictEqual(yield* status, { queued: 3, again: 0, held: 0 })
    }))

  test("an execution holds its place until it has ended", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues, status, write } = yield* using
      yield* queues.declare(queue, { ...limits, concurrency: 1 })
      const first = yield* enter({ at: Sample.time - 1 })
      const second = yield* enter()
      assert.deepStrictEqual((yield* claim("a")).given, [first.uuid])
      yield* write(first.uuid, begun, "a")
      yield* write(first.uuid, Sample.paused)
      assert.deepStrictEqual((yield* claim("a")).given, [], "it waits for a reply")
      yield* write(first.uuid, (execution) => Sample.finished(execution), "a")
      assert.deepStrictEqual((yield* claim("a")).given, [], "it is not settled")
      yield* write(first.uuid, Sample.committed)
      assert.deepStrictEqual((yield* claim("a")).given, [second.uuid])
      assert.deepStrictEqual(yield* status, { queued: 0, again: 0, held: 1 })
    }))

  test("an execution that is undone keeps its place to the end of that, and one that is parked has none", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues, status, write } = yield* using
      yield* queues.declare(queue, { ...limits, concurrency: 1 })
      const { uuid } = yield* enter()
      yield* claim("a")
      yield* write(uuid, begun, "a")
      yield* write(uuid, (execution) => Sample.refused(Sample.paused(execution)), "a")
      assert.deepStrictEqual(yield* status, { queued: 0, again: 0, held: 1 })
      yield* write(uuid, (execution) =>
        Sample.after(
          execution,
          { _tag: "StepParked", path: "0", reason: "no attempts left", at: at(execution) },
          { _tag: "ExecutionErrored", at: at(execution) }
        )
      )
      assert.deepStrictEqual(yield* status, { queued: 0, again: 0, held: 0 })
    }))

  test("an execution that is cancelled leaves the queue, and so does one that is deleted", () =>
    Effect.gen(function* () {
      const { enter, queue, queues, repository, status, write } = yield* using
      yield* queues.declare(queue, limits)
      const first = yield* enter()
      const second = yield* enter()
      yield* write(first.uuid, cancelled)
      assert.deepStrictEqual(yield* status, { queued: 1, again: 0, held: 0 })
      yield* repository.delete(second.uuid)
      assert.deepStrictEqual(yield* status, { queued: 0, again: 0, held: 0 })
    }))

  test("an execution that only waits gives its place back, and gets one before new executions do", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues, repository, status, write } = yield* using
      yield* queues.declare(queue, { ...limits, concurrency: 1 })
      const first = yield* enter({ at: Sample.time - 2 })
      const second = yield* enter({ at: Sample.time - 1, priority: 9 })
      const third = yield* enter({ priority: 9 })
      yield* claim("a")
      yield* write(second.uuid, resting)
      assert.deepStrictEqual((yield* claim("a")).given, [third.uuid])
      yield* write(second.uuid, goingOn)
      assert.deepStrictEqual(yield* status, { queued: 1, again: 1, held: 1 })
      const { items } = yield* repository.find({ status: "running" }, { limit: 1_000 })
      assert.strictEqual(items.find(({ uuid }) => uuid === second.uuid)?.queued?.queue, queue)
      assert.deepStrictEqual((yield* claim("a")).given, [])
      yield* write(third.uuid, cancelled)
      assert.deepStrictEqual((yield* claim("a")).given, [second.uuid])
      yield* write(second.uuid, cancelled)
      assert.deepStrictEqual((yield* claim("a")).given, [first.uuid])
    }))
}

const again = (test: Suite.Test<Repository.SagaExecutionRepository>): void => {
  test("an execution that goes on has its place again at once, where one is free", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues, regain, status, write } = yield* using
      yield* queues.declare(queue, limits)
      const { uuid } = yield* enter()
      yield* claim("a")
      yield* write(uuid, resting)
      assert.deepStrictEqual(yield* status, { queued: 0, again: 0, held: 0 })
      assert.isTrue(yield* regain(uuid))
      assert.isTrue(yield* regain(uuid), "the answer was lost")
      assert.deepStrictEqual(yield* status, { queued: 0, again: 0, held: 1 })
      assert.deepStrictEqual((yield* claim("a")).given, [], "there is nothing to tell it")
      yield* write(uuid, goneOn, "a")
      assert.deepStrictEqual(yield* status, { queued: 0, again: 0, held: 1 })
    }))

  test("a place that is given again, and of which the execution does not know, is free when it wants one or turns back", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues, regain, status, write } = yield* using
      yield* queues.declare(queue, limits)
      const { uuid: first } = yield* enter()
      const { uuid: second } = yield* enter()
      yield* claim("a")
      for (const uuid of [first, second]) {
        yield* write(uuid, resting)
        assert.isTrue(yield* regain(uuid))
      }
      yield* write(first, goingOn)
      yield* write(second, turnedBack)
      assert.deepStrictEqual(yield* status, { queued: 0, again: 1, held: 0 })
    }))

  test("an execution that goes on waits where its queue or its key is full, or another one wants a place again", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues, regain, status, write } = yield* using
      yield* queues.declare(queue, { ...limits, perKey: { concurrency: 1 } })
      const [ann, bob] = [yield* enter({ key: "ann" }), yield* enter({ key: "bob" })]
      yield* claim("a")
      yield* write(ann.uuid, resting)
      const other = yield* enter({ key: "ann" })
      assert.deepStrictEqual((yield* claim("a")).given, [other.uuid])
      assert.isFalse(yield* regain(ann.uuid), "the key is full")
      yield* queues.limit(queue, limits)
      assert.isFalse(yield* regain(ann.uuid), "the queue is full")
      yield* write(bob.uuid, resting)
      yield* write(bob.uuid, goingOn)
      assert.deepStrictEqual(yield* status, { queued: 0, again: 1, held: 1 })
      assert.isFalse(yield* regain(ann.uuid), "the free place is wanted")
      yield* write(bob.uuid, cancelled)
      assert.isTrue(yield* regain(ann.uuid))
    }))

  test("a question for a place changes nothing after another instance has written", () =>
    Effect.gen(function* () {
      const { claim, enter, mine, queue, queues, regain, status, write } = yield* using
      yield* queues.declare(queue, limits)
      const { uuid } = yield* enter()
      yield* claim("a")
      yield* write(uuid, resting)
      const { revision } = mine.get(uuid)!
      yield* write(uuid, (execution) => Sample.after(execution, { _tag: "ActionApplied", id: "x", at: at(execution) }))
      assert.isFalse(yield* regain(uuid, { revision }), "it still waits, for all that is known")
      assert.deepStrictEqual(yield* status, { queued: 0, again: 0, held: 0 })
      yield* write(uuid, goingOn)
      assert.isFalse(yield* regain(uuid, { revision }), "it waits for its admission")
      assert.deepStrictEqual(yield* status, { queued: 0, again: 1, held: 0 })
      assert.deepStrictEqual((yield* claim("a")).given, [uuid])
    }))

  test("nobody gets a place for an execution that another instance has, that turns back or has ended, or in no queue", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues, regain, status, write } = yield* using
      yield* queues.declare(queue, limits)
      const { uuid } = yield* enter()
      yield* claim("a")
      yield* write(uuid, resting, "b")
      assert.isFalse(yield* regain(uuid), "another instance has it")
      assert.isFalse(yield* regain(uuid, { owner: "b", queue: Sample.uniqueName() }))
      yield* write(uuid, turnedBack, "b")
      assert.isFalse(yield* regain(uuid, { owner: "b" }))
      assert.deepStrictEqual(yield* status, { queued: 0, again: 0, held: 0 })
    }))
}

const turns = (test: Suite.Test<Repository.SagaExecutionRepository>): void => {
  test("keys take turns, however many executions one of them has", () =>
    Effect.gen(function* () {
      const { claim, enter, mine, queue, queues, write } = yield* using
      yield* queues.declare(queue, { ...limits, concurrency: 1 })
      yield* Effect.forEach([1, 2, 3, 4], (i) => enter({ key: "ann", at: Sample.time - 100 + i }))
      yield* Effect.forEach([1, 2], (i) => enter({ key: "bob", at: Sample.time - 50 + i }))
      yield* enter({ key: "" })
      const order: Array<string> = []
      for (let turn = 0; turn < 7; turn++) {
        const [uuid] = (yield* claim("a")).given
        order.push(mine.get(uuid!)!.state.place!.key)
        yield* write(uuid!, cancelled)
      }
      assert.deepStrictEqual(order, ["ann", "bob", "", "ann", "bob", "ann", "ann"])
    }))

  test("the priority counts among executions of one key, then the age", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues } = yield* using
      yield* queues.declare(queue, { ...limits, concurrency: 3 })
      const low = yield* enter({ at: Sample.time - 9, priority: -1, key: "ann" })
      const late = yield* enter({ priority: 5, key: "ann" })
      const early = yield* enter({ at: Sample.time - 1, priority: 5, key: "ann" })
      const other = yield* enter({ key: "bob", priority: -100 })
      const { given } = yield* claim("a")
      assert.deepStrictEqual([...given].sort(), [early.uuid, other.uuid, late.uuid].sort())
      assert.notInclude(given, low.uuid)
    }))

  test("a key has no more places than its own limit, and does not hold up the others", () =>
    Effect.gen(function* () {
      const { claim, enter, mine, queue, queues } = yield* using
      yield* queues.declare(queue, { ...limits, concurrency: 10, perKey: { concurrency: 2 } })
      yield* Effect.forEach([1, 2, 3, 4], () => enter({ key: "ann" }))
      yield* enter({ key: "bob" })
      const { given } = yield* claim("a")
      const keys = given.map((uuid) => mine.get(uuid)!.state.place!.key).sort()
      assert.deepStrictEqual(keys, ["ann", "ann", "bob"])
      assert.deepStrictEqual((yield* claim("a")).given, [])
    }))

  test("a rate gives its tokens once, and says when there is another", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues } = yield* using
      yield* queues.declare(queue, { ...limits, concurrency: 10, rate: { limit: 3, per: 3_600_000 } })
      yield* Effect.forEach([1, 2, 3, 4, 5], () => enter())
      const first = yield* claim("a")
      assert.strictEqual(first.given.length, 3)
      assert.isTrue(Number.isFinite(first.nextAt))
      assert.deepStrictEqual((yield* claim("a")).given, [])
    }))

  test("a rate of each key", () =>
    Effect.gen(function* () {
      const { claim, enter, mine, queue, queues } = yield* using
      const perKey = { rate: { limit: 1, per: 3_600_000 } }
      yield* queues.declare(queue, { ...limits, concurrency: 10, perKey })
      yield* Effect.forEach(["ann", "ann", "bob"], (key) => enter({ key }))
      const { given } = yield* claim("a")
      assert.deepStrictEqual(given.map((uuid) => mine.get(uuid)!.state.place!.key).sort(), ["ann", "bob"])
      yield* enter({ key: "cat" })
      assert.strictEqual((yield* claim("a")).given.length, 1)
    }))

  test("what goes on after a wait needs no token", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues, write } = yield* using
      yield* queues.declare(queue, { ...limits, rate: { limit: 1, per: 3_600_000 } })
      const { uuid } = yield* enter()
      yield* claim("a")
      yield* write(uuid, resting)
      yield* write(uuid, goingOn)
      assert.deepStrictEqual((yield* claim("a")).given, [uuid])
    }))
}

const changes = (test: Suite.Test<Repository.SagaExecutionRepository>): void => {
  test("lower limits stop nothing that runs, and count from then on", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues, status, write } = yield* using
      yield* queues.declare(queue, { ...limits, concurrency: 3 })
      yield* Effect.forEach([1, 2, 3, 4, 5], () => enter())
      const { given } = yield* claim("a")
      assert.isTrue(yield* queues.limit(queue, { ...limits, concurrency: 1 }))
      assert.deepStrictEqual(yield* status, { queued: 2, again: 0, held: 3 })
      yield* write(given[0]!, cancelled)
      yield* write(given[1]!, cancelled)
      assert.deepStrictEqual((yield* claim("a")).given, [])
      yield* write(given[2]!, cancelled)
      assert.strictEqual((yield* claim("a")).given.length, 1)
      yield* queues.limit(queue, { ...limits, concurrency: 0 })
      assert.deepStrictEqual((yield* claim("a")).given, [])
      yield* queues.limit(queue, { ...limits, concurrency: 9 })
      assert.strictEqual((yield* claim("a")).given.length, 1)
      assert.isFalse(yield* queues.limit(Sample.uniqueName(), limits))
    }))

  test("limits of a person hold until a program brings new ones", () =>
    Effect.gen(function* () {
      const { queue, queues } = yield* using
      const rate = { limit: 5, per: 1_000 }
      const perKey = { concurrency: 2, rate }
      assert.deepStrictEqual(yield* queues.declare(queue, limits), limits)
      const byHand = { ...limits, concurrency: 7, rate, perKey }
      yield* queues.limit(queue, byHand)
      const shown = Effect.map(queues.list, (all) => {
        const { declared, limits } = all.find((one) => one.queue === queue)!
        return { declared, limits }
      })
      for (const program of ["the next", "one more"]) {
        assert.deepStrictEqual(yield* queues.declare(queue, limits), byHand, program)
        assert.deepStrictEqual(yield* shown, { declared: limits, limits: byHand }, program)
      }
      const next = { ...limits, concurrency: 3 }
      assert.deepStrictEqual(yield* queues.declare(queue, next), next)
      assert.deepStrictEqual(yield* shown, { declared: next, limits: next })
    }))

  test("the room of a queue is what may still wait in it", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues } = yield* using
      assert.strictEqual(yield* queues.room(queue), 0, "there is no such queue")
      yield* queues.declare(queue, { concurrency: 1, maxQueued: 3 })
      assert.strictEqual(yield* queues.room(queue), 3)
      yield* Effect.forEach([1, 2, 3], () => enter())
      assert.strictEqual(yield* queues.room(queue), 0)
      yield* claim("a")
      assert.strictEqual(yield* queues.room(queue), 1)
    }))
}

const races = (test: Suite.Test<Repository.SagaExecutionRepository>): void => {
  test("claims at the same time give no more places than there are", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues, status } = yield* using
      yield* queues.declare(queue, { ...limits, concurrency: 7, perKey: { concurrency: 2 } })
      // What other tests have left is due, and would come before what is admitted.
      yield* claim("others")
      yield* Effect.forEach(Array.from({ length: 30 }), (_, i) => enter({ key: `key ${i % 5}` }))
      let given: ReadonlyArray<string> = []
      for (let round = 0; round < 20 && given.length < 7; round++) {
        const all = yield* Effect.forEach(["a", "b", "c", "d"], (owner) => claim(owner, 3), {
          concurrency: "unbounded"
        })
        given = [...given, ...all.flatMap((one) => one.given)]
      }
      assert.strictEqual(new Set(given).size, 7)
      assert.strictEqual(given.length, 7)
      assert.deepStrictEqual(yield* status, { queued: 23, again: 0, held: 7 })
    }))

  test("a write that has not read its admission is refused, and the place is not lost", () =>
    Effect.gen(function* () {
      const { claim, enter, mine, queue, queues, repository, status } = yield* using
      yield* queues.declare(queue, limits)
      const { uuid } = yield* enter()
      yield* claim("a")
      const signalled = Sample.after(mine.get(uuid)!, { _tag: "ActionApplied", id: "x", at: Sample.time })
      const error = yield* Effect.flip(repository.store(signalled, waiting))
      assert.isTrue(error._tag === "SagaExecutionConflict" && error.unread)
      assert.isFalse(yield* repository.giveBack({ uuid, owner: "a", revision: 1, wakeAt: Number.POSITIVE_INFINITY }))
      assert.deepStrictEqual(yield* status, { queued: 0, again: 0, held: 1 })
    }))

  test("another owner that takes over finds the admission too", () =>
    Effect.gen(function* () {
      const { claim, enter, queue, queues, repository } = yield* using
      yield* queues.declare(queue, limits)
      const { uuid } = yield* enter()
      assert.deepStrictEqual((yield* claim("a")).given, [uuid])
      yield* repository.release("a")
      assert.deepStrictEqual((yield* claim("b")).given, [uuid])
    }))
}
