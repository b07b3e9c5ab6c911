/**
 * The contract of `SagaOwnership` as tests: call `suite` in a test file with a layer of the ownership and of the repository
 * whose executions it shares out. Needs `@effect/vitest`.
 */
import { assert } from "@effect/vitest"
import { Effect, Exit, type Layer, Scope } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"
import { type Instance, type Membership, SagaOwnership } from "../ports/SagaOwnership.ts"
import * as Uuid from "../wire/Uuid.ts"
import * as Sample from "./SampleExecutions.ts"
import * as Suite from "./Suite.ts"

export type Options = Suite.Options

/**
 * `core`: one instance after the other asks; `concurrent`: two at the same time; `recovery`: an instance leaves, or its lease
 * is over.
 */
export const suite = <E>(
  name: string,
  layer: Layer.Layer<SagaOwnership | Repository.SagaExecutionRepository, E>,
  options: Options = {}
): void => Suite.register(`SagaOwnership: ${name}`, layer, { core, concurrent, recovery }, options)

type Test = Suite.Test<SagaOwnership | Repository.SagaExecutionRepository>

const repository = Repository.SagaExecutionRepository

const hour = 3_600_000

const request = { now: Sample.time, limit: 100_000, holds: [] }

/** An instance of a service that has claimed once. */
const joined = Effect.fnUntraced(function* (service: string, options: Partial<Instance> = {}) {
  const { join } = yield* SagaOwnership
  const membership = yield* join({
    id: `${service}/${Sample.callerUuid()}`,
    service,
    lease: hour,
    leave: () => Effect.void,
    look: Effect.void,
    ...options
  })
  yield* membership.claim({ ...request, limit: 0 })
  return membership
})

const two = Effect.suspend(() => {
  const service = Sample.uniqueName()
  return Effect.all([joined(service), joined(service)])
})

/** A new uuid whose execution the instance runs. */
const uuidOf = ({ isMine }: Membership): string => {
  for (let draws = 0; draws < 10_000; draws++) {
    const uuid = Uuid.v7(Sample.time)
    if (isMine(uuid)) return uuid
  }
  return assert.fail("none of 10,000 uuids is the instance's")
}

/** An execution of the instance, as the hint says. */
const written = Effect.fnUntraced(function* (membership: Membership, hint: Repository.Hint) {
  const { store } = yield* repository
  return yield* store(Sample.started(Sample.created({ uuid: uuidOf(membership) })), hint)
})

/** How often claims of the instances give the execution. */
const given = Effect.fnUntraced(function* (
  { uuid }: SagaExecution,
  members: ReadonlyArray<Membership>,
  now = Sample.time
) {
  const claims = members.map((membership) => membership.claim({ ...request, now }))
  const claimed = yield* Effect.all(claims, { concurrency: "unbounded" })
  return claimed.flatMap(({ executions }) => executions).filter((one) => one.uuid === uuid).length
})

const core = (test: Test): void => {
  test("C20 what one instance is at work on, another does not get", () =>
    Effect.gen(function* () {
      const [one, other] = yield* two
      const execution = yield* written(one, { owner: one.owner })
      const { uuid } = execution
      assert.notStrictEqual(yield* other.take({ uuid, now: Sample.time }), other.owner)
      assert.strictEqual(yield* given(execution, [other]), 0)
      assert.strictEqual(yield* one.take({ uuid, now: Sample.time }), one.owner)
    }))

  test("C20 what waits is given to nobody before it is due", () =>
    Effect.gen(function* () {
      const [one, other] = yield* two
      const execution = yield* written(one, { wakeAt: Sample.time + 1_000 })
      assert.strictEqual(yield* given(execution, [one, other], Sample.time + 999), 0)
      assert.strictEqual(yield* given(execution, [one, other], Sample.time + 1_000), 1)
    }))

  test("C20 what is given back waits, unless it was written since", () =>
    Effect.gen(function* () {
      const [one, other] = yield* two
      const { store } = yield* repository
      const before = yield* written(one, { owner: one.owner })
      const execution = yield* store(Sample.paused(before), { owner: one.owner })
      const back = { uuid: execution.uuid, wakeAt: Sample.time + 1_000, now: Sample.time }
      assert.isFalse(yield* one.giveBack({ ...back, revision: before.revision }))
      assert.isTrue(yield* one.giveBack({ ...back, revision: execution.revision }))
      assert.strictEqual(yield* given(execution, [one, other], Sample.time), 0)
      assert.strictEqual(yield* given(execution, [one, other], Sample.time + 1_000), 1)
    }))

  test("C16 an input that another instance has stored reaches the one that has the execution", () =>
    Effect.gen(function* () {
      const { submit } = yield* repository
      const [one, other] = yield* two
      const execution = yield* written(one, { owner: one.owner })
      const { uuid } = execution
      yield* submit({ uuid, id: "i", input: { _tag: "Cancel" }, at: Sample.time })
      yield* other.wake(uuid)
      const { inbox } = yield* one.claim({ ...request, holds: [execution] })
      assert.deepStrictEqual(
        inbox.filter((row) => row.uuid === uuid).map(({ id }) => id),
        ["i"]
      )
    }))

  test("C20 a new uuid is one instance's, or that of each; who draws its own finds some", () =>
    Effect.gen(function* () {
      const [one, other] = yield* two
      for (let i = 0; i < 100; i++) {
        const uuid = Uuid.v7(Sample.time)
        if (one.drawsOwn === true) assert.notStrictEqual(one.isMine(uuid), other.isMine(uuid))
        else assert.isTrue(one.isMine(uuid))
      }
      for (const member of [one, other]) assert.isTrue(member.isMine(uuidOf(member)))
    }))

  test("C20 an instance that has renewed counts itself as alive", () =>
    Effect.gen(function* () {
      for (const { isAlive } of yield* two) assert.isTrue(isAlive())
    }))
}

const concurrent = (test: Test): void => {
  test("C20 of two instances that claim at the same time one gets what is due", () =>
    Effect.gen(function* () {
      const [one, other] = yield* two
      const execution = yield* written(one, { wakeAt: Sample.time })
      assert.strictEqual(yield* given(execution, [other, one]), 1)
    }))
}

const recovery = (test: Test): void => {
  test("C20 what an instance was at work on when it left, another one gets", () =>
    Effect.gen(function* () {
      const service = Sample.uniqueName()
      const scope = yield* Scope.fork(yield* Scope.Scope)
      const [one, other] = [yield* Scope.provide(joined(service), scope), yield* joined(service)]
      const execution = yield* written(one, { owner: one.owner })
      assert.strictEqual(yield* given(execution, [other]), 0)
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(other.isMine(execution.uuid))
      assert.strictEqual(yield* given(execution, [other]), 1)
    }))

  test("C20 an instance is told to leave what it does not have any more, before another one has it", () =>
    Effect.gen(function* () {
      const service = Sample.uniqueName()
      const left = new Set<string>()
      const uuids = Array.from({ length: 100 }, () => Uuid.v7(Sample.time))
      let isElsewhere = (_: string): boolean => false
      const one = yield* joined(service, {
        leave: (isGone) =>
          Effect.sync(() => {
            for (const uuid of uuids.filter(isGone)) {
              assert.isFalse(isElsewhere(uuid), "another one has it")
              left.add(uuid)
            }
          })
      })
      const before = uuids.filter(one.isMine)
      const other = yield* joined(service)
      isElsewhere = other.isMine
      assert.deepStrictEqual(
        before.filter((uuid) => !one.isMine(uuid)),
        before.filter((uuid) => left.has(uuid))
      )
    }))

  test("C20 an instance whose lease was over goes on with what nobody has taken", () =>
    Effect.gen(function* () {
      const one = yield* joined(Sample.uniqueName(), { lease: 0 })
      const execution = yield* written(one, { owner: one.owner })
      const { lapsed, lost } = yield* one.claim({ ...request, holds: [execution] })
      assert.deepStrictEqual({ lapsed, lost }, { lapsed: false, lost: [] })
      assert.strictEqual(yield* one.take({ uuid: execution.uuid, now: Sample.time }), one.owner)
    }))
}
