/** Executions in a queue, and what the tests of the repository suite do with one. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"
import { admissionId, admissionInput, type SagaQueues, type WantedAgain } from "../ports/SagaQueues.ts"
import * as Sample from "./SampleExecutions.ts"

export const waiting: Repository.Hint = { wakeAt: Number.POSITIVE_INFINITY, closes: true }
export const limits: Repository.QueueLimits = { concurrency: 2, maxQueued: 1_000 }

const sinceOf = (execution: SagaExecution): number => execution.state.place!.since
export const at = (execution: SagaExecution): number => execution.state.updatedAt + 1

export const begun = (execution: SagaExecution): SagaExecution =>
  Sample.after(
    execution,
    { _tag: "PlaceTaken", at: at(execution) },
    { _tag: "StepStarted", path: "0", name: "reservation", at: at(execution) }
  )

/** Its wait is under way, so it has given its place back. */
export const resting = (execution: SagaExecution): SagaExecution =>
  Sample.after(
    execution,
    { _tag: "PlaceTaken", at: at(execution) },
    { _tag: "WaitStarted", path: "0", name: "approval", deadline: at(execution), at: at(execution) },
    { _tag: "PlaceLeft", at: at(execution) }
  )

export const goingOn = (execution: SagaExecution): SagaExecution =>
  Sample.after(
    execution,
    { _tag: "StepSucceeded", path: "0", timedOut: true, at: at(execution) },
    { _tag: "PlaceWanted", at: at(execution) }
  )

/** The same with a place that it has got at once. */
export const goneOn = (execution: SagaExecution): SagaExecution =>
  Sample.after(
    goingOn(execution),
    { _tag: "PlaceTaken", at: at(execution) },
    { _tag: "StepStarted", path: "1", name: "payment", at: at(execution) }
  )

export const turnedBack = (execution: SagaExecution): SagaExecution =>
  Sample.after(execution, { _tag: "RollbackStarted", failure: { _tag: "Cancelled" }, at: at(execution) })

export const cancelled = (execution: SagaExecution): SagaExecution =>
  Sample.after(
    execution,
    { _tag: "RollbackStarted", failure: { _tag: "Cancelled" }, at: at(execution) },
    ...(execution.state.root.done === undefined
      ? []
      : [{ _tag: "StepCompensated", path: "0", at: at(execution) } as const]),
    { _tag: "ExecutionErrored", at: at(execution) }
  )

/** The port, and what the tests of one queue do with it. */
export const using = Effect.gen(function* () {
  const repository = yield* Repository.SagaExecutionRepository
  const queues: SagaQueues = repository.queues ?? assert.fail("the repository has queues")
  const queue = Sample.uniqueName()
  const mine = new Map<string, SagaExecution>()
  const enter = (place?: Sample.Place) =>
    Effect.map(repository.store(Sample.queued(queue, place), waiting), (stored) => {
      mine.set(stored.uuid, stored)
      return stored
    })
  /** The executions of the queue that a claim gives, with an input that admits each. */
  const claim = (owner: string, limit = 1_000) =>
    Effect.map(
      repository.claim({ owner, limit, now: Sample.time + 10, leaseMillis: 60_000, rests: false }),
      ({ executions, inbox, nextAt }) => {
        const given = executions.filter(({ uuid }) => mine.has(uuid))
        for (const { uuid } of given) {
          const ids = inbox.filter((row) => row.uuid === uuid)
          const since = sinceOf(mine.get(uuid)!)
          assert.deepStrictEqual(
            ids.map(({ id, input }) => ({ id, input })),
            [{ id: admissionId(since), input: admissionInput(since) }]
          )
        }
        return { given: given.map(({ uuid }) => uuid), nextAt }
      }
    )
  /** Stores the next state of an execution that was given, as its owner does. */
  const write = (uuid: string, step: (execution: SagaExecution) => SagaExecution, owner?: string) => {
    const execution = mine.get(uuid)!
    const hint = owner === undefined ? waiting : { owner }
    return Effect.map(
      repository.store(step(execution), { ...hint, reads: [admissionId(sinceOf(execution))] }),
      (stored) => {
        mine.set(uuid, stored)
        return stored
      }
    )
  }
  const status = Effect.map(queues.list, (all) => {
    const { again, held, queued } = all.find((one) => one.queue === queue)!
    return { queued, again, held }
  })
  /** Wants the place of an execution again, as its owner does. */
  const regain = (uuid: string, wanted: Partial<WantedAgain> = {}) => {
    const { creation, place, revision } = mine.get(uuid)!.state
    const { key, priority, since } = place!
    return queues.regain({
      uuid,
      queue,
      key,
      priority,
      since,
      fingerprint: creation.fingerprint,
      revision,
      owner: "a",
      ...wanted
    })
  }
  return { repository, queues, queue, mine, enter, claim, write, status, regain }
})
