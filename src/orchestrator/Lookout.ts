/**
 * Looks for executions that callers of this process wait for and that another instance may have ended. Notifications tell of
 * each; one may be missed, so all are looked at now and then: which of them have news is asked for in a few statements.
 */
import { Effect, Exit } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import type { RunError } from "./RunError.ts"
import type { Waiters } from "./Waiters.ts"

export interface Lookout {
  /** Loads an execution, and resumes its waiters if it has come that far. */
  readonly look: (uuid: string) => Effect.Effect<void>
  /** Looks at all executions with news that this process does not run itself. */
  readonly lookAtAll: Effect.Effect<void>
}

/** Executions in one statement, at most. */
const chunk = 1_000

export const make = (
  options: {
    readonly load: (uuid: string) => Effect.Effect<SagaExecution, RunError>
    readonly repository: Pick<SagaExecutionRepository["Service"], "ended" | "load">
  },
  waiters: Waiters<RunError>,
  isHere: (uuid: string) => boolean
): Lookout => {
  const { load, repository } = options
  const look: Lookout["look"] = (uuid) =>
    Effect.suspend(() =>
      waiters.has(uuid) && !isHere(uuid)
        ? load(uuid).pipe(
            // A process that does not know the saga waits for the outcome of a signal.
            Effect.catchTag(["SagaDefinitionDrift", "SagaExecutionUnreadable"], () => repository.load(uuid)),
            Effect.map((execution) => waiters.tell(uuid, execution, true)),
            // The execution was settled and removed, so no later look will find it.
            Effect.catchTag("SagaExecutionNotFound", (error) =>
              Effect.sync(() => waiters.fail(uuid, Exit.fail(error)))
            ),
            Effect.ignore
          )
        : Effect.void
    )
  const lookAt = (uuids: ReadonlyArray<string>) => Effect.forEach(uuids, look, { concurrency: 16, discard: true })
  /** A repository that cannot say is asked for each. */
  const news = (uuids: ReadonlyArray<string>, orPaused: boolean) =>
    Effect.catchTag(repository.ended(uuids, orPaused), "SagaRepositoryUnsupported", () => Effect.succeed(uuids))
  const lookAtAll = Effect.suspend(() => {
    const { end, outcome, pause } = waiters.byWish((uuid) => !isHere(uuid))
    const chunks = [...chunksOf(end, false), ...chunksOf(pause, true)]
    return Effect.andThen(
      Effect.forEach(chunks, ({ orPaused, uuids }) => Effect.flatMap(news(uuids, orPaused), lookAt), { discard: true }),
      // The outcome of an input stands in the facts only.
      lookAt(outcome)
    )
  })
  return { look, lookAtAll: Effect.ignore(lookAtAll) }
}

const chunksOf = (uuids: ReadonlyArray<string>, orPaused: boolean) =>
  Array.from({ length: Math.ceil(uuids.length / chunk) }, (_, i) => ({
    orPaused,
    uuids: uuids.slice(i * chunk, (i + 1) * chunk)
  }))
