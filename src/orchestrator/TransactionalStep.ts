/**
 * A transactional step: its SQL and its record commit together, or neither does (SPEC W7). The loop gives the record, since
 * only the loop writes; the step waits for it inside its transaction.
 */
import { Cause, Deferred, Effect, Exit, Result } from "effect"
import type { Instruction } from "../execution/rules/Instruction.ts"
import type { ScheduleConfig } from "../execution/rules/RetrySchedule.ts"
import * as Decision from "../execution/rules/SagaDecision.ts"
import type { SagaEvent } from "../execution/rules/SagaEvent.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import {
  type Hint,
  type SagaExecutionRepository,
  SagaExecutionRepositoryError
} from "../ports/SagaExecutionRepository.ts"
import type { Done, FinishedWork, Join, Joint } from "./InFlightWork.ts"
import * as LaterAttributes from "./LaterAttributes.ts"
import { gain, type Progress } from "./Progress.ts"
import { isUnavailable, type RecordFacts, untilStored } from "./RecordFacts.ts"
import type { StoreError } from "./RunError.ts"
import type { StepTransaction } from "./steps/ExecutionScope.ts"

export const isTransactional = (instruction: Instruction): boolean =>
  (instruction._tag === "RunStep" || instruction._tag === "Compensate") &&
  instruction.step._tag === "Local" &&
  instruction.step.transactional

/** One try of a step, in a transaction of its own. */
class Try implements StepTransaction {
  endedBy: "contested" | "away" | undefined
  get isOver(): boolean {
    return this.endedBy !== undefined
  }
  readonly atomically: StepTransaction["atomically"]
  readonly watch: StepTransaction["watch"]

  /**
   * `isRepeated`: the last try could not commit. It may have ignored the failure of a statement, which no later statement
   * survives; in a savepoint that is found out before the record is written, and fails the step.
   */
  constructor({ atomically, rolledBackBy }: SagaExecutionRepository["Service"], isRepeated: boolean) {
    const note = (by: Try["endedBy"]) =>
      Effect.sync(() => {
        this.endedBy ??= by
      })
    // A savepoint that cannot be made or released is no failure of the work in it.
    this.atomically = (work) =>
      Effect.suspend(() => {
        let ended: Exit.Exit<unknown, unknown> | undefined
        const noted = Effect.onExit(work, (exit) =>
          Effect.sync(() => {
            ended = exit
          })
        )
        return Effect.tapCause(atomically(noted), (cause) =>
          note((ended === undefined || Exit.isSuccess(ended)) && isStoreAway(cause) ? "away" : undefined)
        )
      })
    this.watch = (attempt) =>
      Effect.tapCause(isRepeated ? this.atomically(attempt) : attempt, (cause) => note(rolledBackBy?.(cause)))
  }
}

const isStoreAway = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.some(
    (reason) =>
      Cause.isFailReason(reason) && reason.error instanceof SagaExecutionRepositoryError && isUnavailable(reason.error)
  )

/**
 * Performs the step in a transaction, and stores in it the record that the loop gives for its facts. Where the database ends the
 * transaction (a deadlock, a serialization failure, a lost connection), the step runs again in another one: at most ten times,
 * within its deadline (SPEC C8). A database that is away for longer has said nothing about the step: it is as when the store is
 * away (F4).
 */
export const perform = (
  repository: SagaExecutionRepository["Service"],
  work: (transaction: StepTransaction) => Effect.Effect<ReadonlyArray<SagaEvent>>,
  join: Join,
  hint: () => Hint,
  isRepeated: boolean
): Effect.Effect<Done, StoreError> =>
  Effect.suspend(() => {
    const transaction = new Try(repository, isRepeated)
    return Effect.gen(function* () {
      const facts = yield* work(transaction)
      if (facts.some(isFailure)) {
        const { endedBy } = transaction
        return yield* Effect.fail({ _tag: "Failed" as const, endedBy, facts: facts.map(withoutEffect) })
      }
      return { facts, stored: yield* repository.store(yield* join(facts), hint()) }
    }).pipe(repository.atomically)
  }).pipe(
    Effect.retry({ while: (error) => error._tag === "Failed" && error.endedBy !== undefined, schedule: untilStored }),
    // The transaction is rolled back by now. The failure of the step is recorded like any other.
    Effect.catchTag("Failed", ({ endedBy, facts }) =>
      endedBy === "away" ? Effect.fail(isAway) : Effect.succeed({ facts, stored: undefined })
    )
  )

/**
 * Gives the step its record, which also has the intent of the next step, and waits for the commit. The record commits also
 * where the lease of the process is over by now: its revision decides whether it counts, and the effect with it (SPEC A3).
 * `mayBegin`: false in a process that begins nothing, because it stops or has no lease. The intent of the next step is left
 * out then: whoever goes on would take that step for half done.
 */
export const commit = Effect.fnUntraced(function* (
  self: Progress,
  { exit }: FinishedWork<StoreError>,
  joint: Joint<StoreError>,
  now: number,
  schedule: ScheduleConfig,
  record: RecordFacts,
  mayBegin: boolean
) {
  const { execution: before, gains } = self
  gain(self, yield* exit)
  const { attemptSince, definition, presentSince, since } = self
  const moment = { definition, now, since, presentSince, attemptSince, schedule }
  const next = mayBegin
    ? new SagaExecution(Decision.advance(self.execution.state, moment).state, definition)
    : self.execution
  const written = LaterAttributes.added(next)
  self.execution = written
  yield* Deferred.succeed(joint.record, written)
  const stored = yield* Effect.result(Deferred.await(joint.stored))
  if (Result.isSuccess(stored)) return stored.success && (yield* record.written(self, stored.success))
  self.execution = before
  self.gains = gains
  yield* record.notCommitted(self, written, stored.failure)
})

const isAway = new SagaExecutionRepositoryError({ operation: "store", reason: "unavailable" })

const isFailure = ({ _tag }: SagaEvent): boolean => _tag === "StepFailed" || _tag === "CompensationFailed"

/** The effect of a step that failed is gone with its transaction. */
const withoutEffect = (fact: SagaEvent): SagaEvent => (fact._tag === "StepFailed" ? { ...fact, effect: "none" } : fact)
