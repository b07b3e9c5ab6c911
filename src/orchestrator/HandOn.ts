/**
 * Hands an input on to the instance that owns the execution: stores it in the inbox, and waits for the outcome among the
 * facts (SPEC C16). A reply has no outcome: it counts as taken once it is in the inbox.
 */
import { Clock, Effect, Result } from "effect"
import * as SagaInput from "../execution/rules/SagaInput.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { SagaExecutionRepositoryError } from "../ports/SagaExecutionRepository.ts"
import type { InboxRow } from "../ports/SagaInbox.ts"
import { Elsewhere } from "./Inbox.ts"
import type { SagaOverloaded } from "./Overloaded.ts"
import type { RunError } from "./RunError.ts"
import * as SendSignal from "./SendSignal.ts"
import * as StoredInput from "./StoredInput.ts"

export interface HandOn extends SendSignal.Sender {
  readonly policy: SagaInput.Policy
  readonly load: (uuid: string) => Effect.Effect<SagaExecution, RunError>
  /** Waits for an execution whose facts say the outcome of an input. Begins with the effect, and gives the execution. */
  readonly awaitOutcome: <E>(
    uuid: string,
    id: string,
    begin: Effect.Effect<unknown, E>
  ) => Effect.Effect<SagaExecution, E | RunError>
}

/** `execution`: as it was found, with another owner. */
export const handOn = Effect.fnUntraced(function* (
  self: HandOn,
  execution: SagaExecution,
  input: SagaInput.SagaInput
): Effect.fn.Return<SagaExecution, SagaInput.Refusal | RunError | SagaOverloaded> {
  if (input._tag === "Look") return execution
  const { uuid } = execution
  if (input._tag === "Reply") return yield* Effect.as(keep(self, uuid, input), execution)
  if (input._tag === "Signal") return yield* signal(self, execution, input)
  const row = StoredInput.rowOf(uuid, input, yield* Clock.currentTimeMillis)
  const reached = yield* self
    .awaitOutcome(uuid, row.id, submit(self, row))
    .pipe(Effect.catchTag("Settled", () => Effect.flatMap(self.load(uuid), (settled) => judged(self, settled, input))))
  return yield* answerIn(reached, row.id)
})

/** The execution with the outcome of the input, or the refusal that it has stored. */
const answerIn = (execution: SagaExecution, id: string) => {
  const outcome = StoredInput.readOutcome(execution, id)
  if (outcome === undefined || Result.isSuccess(outcome)) return Effect.succeed(execution)
  return Effect.fail(outcome.failure === StoredInput.unreadable ? notUnderstood : outcome.failure)
}

const signal = Effect.fnUntraced(function* (self: HandOn, execution: SagaExecution, input: SagaInput.Of<"Signal">) {
  const { uuid } = execution
  const { id } = yield* SendSignal.leave(self, uuid, input, execution)
  if (id === undefined) return execution
  const reached = yield* self
    .awaitOutcome(uuid, id, Effect.void)
    // The signal was taken: the execution has ended with it, and the repository has removed the execution.
    .pipe(Effect.catchTag("SagaExecutionNotFound", () => Effect.succeed(execution)))
  return yield* answerIn(reached, id)
})

/**
 * Goes on with an input that was not judged here: another instance owns the execution, or this process does not know its saga. A
 * signal needs no saga.
 */
export const otherwise = (
  self: HandOn,
  uuid: string,
  input: SagaInput.SagaInput,
  error: Elsewhere | SagaInput.Refusal | RunError
): Effect.Effect<SagaExecution, SagaInput.Refusal | RunError | SagaOverloaded> => {
  if (error instanceof Elsewhere) return handOn(self, error.execution, input)
  const isUnknown =
    input._tag === "Signal" &&
    typeof error === "object" &&
    error._tag === "SagaDefinitionDrift" &&
    error.known.length === 0
  return isUnknown
    ? Effect.flatMap(self.repository.load(uuid), (execution) => handOn(self, execution, input))
    : Effect.fail(error)
}

/** Keeps a reply in the inbox, for the owner or for a program that can read the execution. */
export const keep = Effect.fnUntraced(function* (self: SendSignal.Sender, uuid: string, reply: SagaInput.Of<"Reply">) {
  const row = StoredInput.rowOf(uuid, reply, yield* Clock.currentTimeMillis)
  return yield* Effect.catchTag(submit(self, row), "Settled", () => Effect.fail(stale))
})

const stale: SagaInput.Dropped = "stale"

/** The execution is over for good, so nobody would read the input. */
const settled = { _tag: "Settled" } as const

const submit = ({ membership, repository }: SendSignal.Sender, row: InboxRow) =>
  Effect.flatMap(SendSignal.submit({ repository }, row), (answer) =>
    answer === "settled" ? Effect.fail(settled) : membership.wake(row.uuid)
  )

/** An execution that is over changes no more: the input is refused, or changes nothing. */
const judged = (
  { policy }: HandOn,
  execution: SagaExecution,
  input: SagaInput.SagaInput
): Effect.Effect<SagaExecution, SagaInput.Refusal> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const { definition } = execution
    if (definition === undefined) return Effect.succeed(execution)
    const verdict = SagaInput.judge(execution.state, input, { ...policy, definition, now })
    return Result.isFailure(verdict) ? Effect.fail(verdict.failure) : Effect.succeed(execution)
  })

/** The owner runs an older release that does not know the input. */
const notUnderstood = new SagaExecutionRepositoryError({ reason: "rejected", operation: "submit" })
