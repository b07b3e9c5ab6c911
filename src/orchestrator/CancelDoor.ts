/**
 * The door of the manager for a cancel. The owner judges it between two steps, and a step may take long: then the wish is left
 * in the stored inbox (SPEC C16), where it outlives the process, and its caller does not wait for the step.
 */
import { Clock, Context, Effect } from "effect"
import * as SagaInput from "../execution/rules/SagaInput.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import { SagaTransaction } from "../ports/SagaTransaction.ts"
import { normalize } from "../wire/Uuid.ts"
import { patience, submit } from "./ExecutionInput.ts"
import type { ControlError, ExecutionSupervisor } from "./ExecutionSupervisor.ts"
import * as SendSignal from "./SendSignal.ts"
import * as StoredInput from "./StoredInput.ts"

export interface Keeper extends SendSignal.Sender {
  readonly repository: Pick<SagaExecutionRepository["Service"], "inbox" | "load" | "submit">
  /** Gives an execution as callers get it: bound to its saga. */
  readonly load: (uuid: string) => Effect.Effect<SagaExecution, ControlError>
}

export const cancel = Effect.fnUntraced(function* (
  supervisor: ExecutionSupervisor,
  keeper: Keeper,
  given: string,
  who: SagaInput.SagaActor | undefined
): Effect.fn.Return<SagaExecution, SagaInput.SagaNotCancellable | ControlError> {
  const uuid = normalize(given) ?? given
  const input = { _tag: "Cancel", ...who } as const
  const caller = Context.getOrUndefined(yield* Effect.context<never>(), SagaTransaction)
  return yield* Effect.timeoutOrElse(submit(supervisor, uuid, input), {
    // A step that cancels its own saga would wait for itself. Its runner has the wish all the same, and judges it next.
    duration: caller?.uuid === uuid ? 0 : patience,
    orElse: () => leave(keeper, uuid, input)
  })
})

/** Leaves the wish where it is needed, and gives the execution as it is stored. */
const leave = (
  keeper: Keeper,
  uuid: string,
  input: SagaInput.Of<"Cancel">
): Effect.Effect<SagaExecution, SagaInput.SagaNotCancellable | ControlError> =>
  Effect.gen(function* () {
    const execution = yield* keeper.load(uuid)
    const now = yield* Clock.currentTimeMillis
    const facts = yield* Effect.fromResult(SagaInput.cancel(execution.state, input, { now }))
    if (facts.length === 0 || (yield* isLeft(keeper, uuid, input))) return execution
    const answer = yield* SendSignal.submit(keeper, StoredInput.rowOf(uuid, input, now))
    // The execution has ended since it was read. It is read again: then the cancel changes nothing, or is refused.
    if (answer === "settled") return yield* leave(keeper, uuid, input)
    yield* keeper.membership.wake(uuid)
    return execution
  })

/** Whether the same person's wish waits in the inbox: of this call, which was handed on, or of another one. */
const isLeft = ({ repository }: Keeper, uuid: string, { actor }: SagaInput.Of<"Cancel">) =>
  repository.inbox(uuid).pipe(
    Effect.catchTag("SagaRepositoryUnsupported", () => Effect.succeed([])),
    Effect.map((rows) => rows.some((row) => row.actor === actor && StoredInput.pendingOf(row).input._tag === "Cancel"))
  )
