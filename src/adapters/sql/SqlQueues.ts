/** The queues of a repository on Postgres, as `SagaQueues`. Places that are wanted again at the same time are one statement. */
import { Effect, Exit, type Scope, Semaphore } from "effect"
import { SagaExecutionRepositoryError } from "../../ports/RepositoryErrors.ts"
import type { SagaQueues, WantedAgain } from "../../ports/SagaQueues.ts"
import * as GroupCommit from "./GroupCommit.ts"
import type { QueueStatements } from "./QueueStatements.ts"
import type { Statement } from "./SqlStatements.ts"

/** How often a statement is tried that comes beside an admission: then its executions wait for theirs. */
const tries = 3

/** `tell`: there may be more to admit. */
export const make = Effect.fnUntraced(function* (
  { declareQueue, limitQueue, queueRoom, queues, regain }: QueueStatements,
  call: <A>(operation: "queue", statement: Statement<A>) => Effect.Effect<A, SagaExecutionRepositoryError>,
  tell: Effect.Effect<unknown>
): Effect.fn.Return<SagaQueues, never, Scope.Scope> {
  // One statement at a time: a second one would find the queue changed.
  const alone = Semaphore.makeUnsafe(1)
  const regained = (wanted: ReadonlyArray<WantedAgain>) =>
    Effect.repeat(regain(wanted), { until: ({ contended }) => !contended, times: tries - 1 })
  const together = yield* GroupCommit.make<WantedAgain, boolean, SagaExecutionRepositoryError>({
    key: ({ uuid }) => uuid,
    size: ({ key, queue }) => key.length + queue.length,
    writeAll: (wanted) =>
      Effect.match(call("queue", alone.withPermits(1)(regained(wanted))), {
        onFailure: (error) => wanted.map(() => Exit.fail(error)),
        onSuccess: ({ given }) => wanted.map(({ uuid }) => Exit.succeed(given.includes(uuid)))
      }),
    refused: () => new SagaExecutionRepositoryError({ reason: "unavailable", operation: "queue" }),
    most: 512
  })
  return {
    declare: (...queue) => call("queue", declareQueue(...queue)),
    limit: (...queue) => Effect.tap(call("queue", limitQueue(...queue)), () => tell),
    list: call("queue", queues),
    room: (queue) => call("queue", queueRoom(queue)),
    regain: together.write
  }
})
