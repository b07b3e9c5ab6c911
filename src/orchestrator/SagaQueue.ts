/**
 * Queues: executions that wait in the database until there is a place for them. A queue has limits that all processes share: how many
 * run at once, how many begin in a time, in all and for each key. What waits costs a row.
 */
import { Effect } from "effect"
import type { SagaExecutionRepositoryError } from "../ports/SagaExecutionRepository.ts"
import {
  type QueueStatus,
  SagaExecutionRepository,
  SagaRepositoryUnsupported
} from "../ports/SagaExecutionRepository.ts"
import type * as Setting from "../ports/Setting.ts"
import { SagaQueueUnknown } from "./QueueErrors.ts"
import { type Limits, nameOf, read } from "./QueueSettings.ts"

export type { QueueLimits, QueueStatus } from "../ports/SagaExecutionRepository.ts"
export type { Rate } from "../ports/SagaQueues.ts"
export type { Limits, RateOptions } from "./QueueSettings.ts"

export interface SagaQueue {
  readonly name: string
  readonly limits: Limits
}

/**
 * A queue, to be given to `SagaManager.layer` and to starts. `name`: letters, digits, `_`, `.` and `-`. What cannot be used is an
 * `InvalidSetting` of the layer.
 *
 * The limits stand in the repository. Those of the program are written there when a manager starts, if they are not those that a
 * program has brought before: so what a person has set by `setLimits` lasts until a release comes with other limits.
 *
 * @example
 * ```ts
 * const Nightly = SagaQueue.make("nightly", { concurrency: 4, perKey: { concurrency: 1 }, rate: { limit: 10, per: "1 second" } })
 * const main = SagaManager.layer([Invoice], { queues: [Nightly] })
 * const uuid = yield* SagaManager.start(Invoice, { context, queue: Nightly, key: customer })
 * ```
 */
export const make = (name: string, limits: Limits = {}): SagaQueue => ({ name, limits })

type Unavailable = SagaExecutionRepositoryError | SagaRepositoryUnsupported

const queues = Effect.flatMap(SagaExecutionRepository, ({ queues }) =>
  queues === undefined ? Effect.fail(new SagaRepositoryUnsupported({ operation: "queue" })) : Effect.succeed(queues)
)

/** All queues of the repository: their limits, how much waits and runs in them. Also from a process without sagas. */
export const list: Effect.Effect<ReadonlyArray<QueueStatus>, Unavailable, SagaExecutionRepository> = Effect.flatMap(
  queues,
  ({ list }) => list
)

/**
 * Replaces all limits of a queue, from any process. What runs goes on, also where there are fewer places from now on. With
 * `concurrency: 0` nothing is admitted. Fails with `SagaQueueUnknown` where no manager has brought such a queue.
 */
export const setLimits = Effect.fnUntraced(function* (
  queue: SagaQueue | string,
  limits: Limits
): Effect.fn.Return<void, Setting.InvalidSetting | SagaQueueUnknown | Unavailable, SagaExecutionRepository> {
  const name = nameOf(queue)
  const port = yield* queues
  if (yield* port.limit(name, yield* read(name, limits, 0))) return
  const known = (yield* port.list).map(({ queue }) => queue)
  return yield* new SagaQueueUnknown({ queue: name, known })
})
