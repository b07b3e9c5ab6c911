/**
 * Starts in a queue: the execution is stored without an owner, and a claim admits it. The process that stores it needs no place for it,
 * and keeps nothing of it.
 */
import { Effect } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import * as KeyedLock from "../ports/KeyedLock.ts"
import {
  type SagaExecutionRepository,
  type SagaExecutionRepositoryError,
  SagaRepositoryUnsupported
} from "../ports/SagaExecutionRepository.ts"
import { InvalidSetting } from "../ports/Setting.ts"
import * as Text from "../wire/Text.ts"
import type { UntypedStart } from "./ManagerOptions.ts"
import { SagaQueueFull, SagaQueueUnknown } from "./QueueErrors.ts"
import * as QueueSettings from "./QueueSettings.ts"
import type { SagaQueue } from "./SagaQueue.ts"

/** The queues of a manager. */
export interface Queues {
  /** The execution in its queue, if its start names one; or why it cannot be there. */
  readonly enter: (
    execution: SagaExecution,
    options: UntypedStart,
    now: number
  ) => SagaExecution | SagaQueueUnknown | Execution.SagaInvalidStart
  /** Fails where the manager has no such queue. */
  readonly check: (queue: UntypedStart["queue"]) => Effect.Effect<void, SagaQueueUnknown>
  /** Fails where as many wait as may. */
  readonly room: (execution: SagaExecution) => Effect.Effect<void, SagaQueueFull | SagaExecutionRepositoryError>
}

/** How long the number of those that may still come is known without a look, in milliseconds. */
const roomMillis = 1_000

/** Bounds of a priority. */
export const mostPriority = 1_000

/** Writes the limits of the program where they are new, and gives the queues. */
export const make = Effect.fnUntraced(function* (
  declared: ReadonlyArray<SagaQueue>,
  { queues: port }: SagaExecutionRepository["Service"],
  now: () => number
): Effect.fn.Return<Queues, InvalidSetting | SagaExecutionRepositoryError | SagaRepositoryUnsupported> {
  const names = new Set<string>()
  for (const { limits, name } of declared) {
    if (names.has(name)) {
      const issue = "two queues of the manager have this name"
      return yield* new InvalidSetting({ setting: `SagaQueue ${name}`, issue })
    }
    const own = yield* QueueSettings.read(name, limits)
    if (port === undefined) return yield* new SagaRepositoryUnsupported({ operation: "queue" })
    const holds = yield* port.declare(name, own)
    if (JSON.stringify(holds) !== JSON.stringify(own))
      yield* Effect.logInfo("A queue has limits that a person has set", { queue: name, limits: holds })
    names.add(name)
  }
  const rooms = new Map<string, { left: number; until: number }>()
  const lock = KeyedLock.make()
  return {
    check: (queue) =>
      queue === undefined || names.has(QueueSettings.nameOf(queue))
        ? Effect.void
        : Effect.fail(new SagaQueueUnknown({ queue: QueueSettings.nameOf(queue), known: [...names] })),
    enter: (execution, options, at) => {
      const { key = "", priority = 0, queue } = options
      const issue = issueOf(options)
      if (issue !== undefined) return issue
      if (queue === undefined) return execution
      const name = QueueSettings.nameOf(queue)
      return names.has(name)
        ? Execution.evolve(execution, { _tag: "QueueEntered", queue: name, key, priority, at })
        : new SagaQueueUnknown({ queue: name, known: [...names] })
    },
    room: ({ state: { place } }) => {
      if (place === undefined || port === undefined) return Effect.void
      const { queue } = place
      const look = Effect.map(port.room(queue), (room) => {
        // Others start executions too, so only a half of it is counted on.
        const known = { left: Math.ceil(room / 2), until: now() + roomMillis }
        rooms.set(queue, known)
        return known
      })
      const take = Effect.suspend(() => {
        const known = rooms.get(queue)
        const isKnown = known !== undefined && known.left > 0 && now() < known.until
        return Effect.flatMap(isKnown ? Effect.succeed(known) : look, (found) =>
          found.left-- > 0 ? Effect.void : Effect.fail(new SagaQueueFull({ queue }))
        )
      })
      return lock.hold(queue, take)
    }
  }
})

/** Why a start cannot be in a queue; undefined: it can. Plain JavaScript may give anything. */
export const issueOf = (options: {
  readonly queue?: unknown
  readonly key?: unknown
  readonly priority?: unknown
}): Execution.SagaInvalidStart | undefined => {
  // Most starts are in no queue.
  if (options.queue === undefined && options.key === undefined && options.priority === undefined) return undefined
  const { key = "", priority = 0, queue } = options
  const invalid = (field: "queue" | "key" | "priority", issue: string) =>
    new Execution.SagaInvalidStart({ field, issue })
  const name: unknown = typeof queue === "object" && queue !== null ? Reflect.get(queue, "name") : queue
  if (queue !== undefined && typeof name !== "string") return invalid("queue", "is no queue, and no name of one")
  // A `key` alone may be meant as the `startKey`. A program that has a queue or none says `queue: undefined`.
  const alone = (["key", "priority"] as const).find((field) => !("queue" in options) && options[field] !== undefined)
  if (alone !== undefined) return invalid(alone, "is of no use without a queue")
  const keyIssue = Text.issueOf(key, Text.maxBytes.queueKey)
  if (keyIssue !== undefined) return invalid("key", keyIssue)
  return Number.isInteger(priority) && Math.abs(Number(priority)) <= mostPriority
    ? undefined
    : invalid("priority", `is no whole number from -${mostPriority} to ${mostPriority}`)
}
