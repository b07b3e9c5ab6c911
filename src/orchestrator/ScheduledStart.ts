/**
 * The door of the manager for schedules. The tick and the first write of its execution are one unit of work, so any number of
 * processes may try to make the same tick.
 */
import { Effect } from "effect"
import { SagaNotRegistered } from "../definition/SagaRegistry.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import { type Hint, type SagaExecutionRepository, SagaRepositoryUnsupported } from "../ports/SagaExecutionRepository.ts"
import { notRenewed } from "./RecordFacts.ts"
import type { ScheduleDoor } from "./ScheduleDoor.ts"
import * as StartExecution from "./StartExecution.ts"

export const make = (
  starter: StartExecution.Starter,
  {
    interval,
    isAlive,
    repository,
    tell
  }: {
    readonly interval: number
    readonly isAlive: () => boolean
    readonly repository: SagaExecutionRepository["Service"]
    /** Tells the instance that runs a new execution of it. */
    readonly tell: (execution: SagaExecution, stored: SagaExecution) => Effect.Effect<void>
  }
): ScheduleDoor => {
  const { schedules } = repository
  const { registry } = starter
  const unsupported = Effect.fail(new SagaRepositoryUnsupported({ operation: "schedule" }))
  const check: ScheduleDoor["check"] = (saga, queue) => {
    const known = registry.sagas.map(({ name }) => name)
    if (!registry.has(saga)) return Effect.fail(new SagaNotRegistered({ saga: saga.name, known }))
    return schedules === undefined ? unsupported : starter.queues.check(queue)
  }
  const pass: ScheduleDoor["pass"] = ({ at, schedule }) => schedules?.advance(schedule, at) ?? unsupported
  return {
    clock: starter.clock,
    interval,
    check,
    last: (schedule, since) => schedules?.last(schedule, since) ?? unsupported,
    putBack: ({ at, schedule }, beyond) => schedules?.putBack(schedule, at, beyond) ?? unsupported,
    pass,
    start: Effect.fnUntraced(function* (saga, options, tick) {
      const execution = yield* StartExecution.created(starter, saga, options)
      if (!(execution instanceof SagaExecution)) return yield* Effect.fail(execution)
      // A process that stood still may have been replaced by others.
      if (!isAlive()) return yield* Effect.fail(notRenewed)
      yield* starter.queues.room(execution)
      const stored = yield* repository.atomically(
        Effect.gen(function* () {
          return (yield* pass(tick)) ? yield* repository.store(execution, firstHint(execution)) : undefined
        })
      )
      if (stored !== undefined) yield* tell(execution, stored)
      return stored?.uuid
    })
  }
}

/**
 * Nobody has it. It is due at once, and the first process that claims it runs it; in a queue it is due when there is a place for it, or
 * at its deadline.
 */
export const firstHint = ({ state }: SagaExecution): Hint => ({
  wakeAt: state.place === undefined ? state.updatedAt : (state.deadline ?? Number.POSITIVE_INFINITY)
})
