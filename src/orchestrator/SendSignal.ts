/**
 * A signal by way of the stored inbox (SPEC C16): from a process that does not own the execution, or does not know its saga. It
 * is answered from what is stored where that says enough, so a signal that is sent again leaves nothing.
 */
import { Clock, Effect } from "effect"
import type * as SagaInput from "../execution/rules/SagaInput.ts"
import * as SignalInput from "../execution/rules/SignalInput.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { type SagaExecutionRepository, SagaExecutionRepositoryError } from "../ports/SagaExecutionRepository.ts"
import type { Membership } from "../ports/SagaOwnership.ts"
import { SagaOverloaded } from "./Overloaded.ts"
import * as StoredInput from "./StoredInput.ts"

type Signal = SagaInput.Of<"Signal">

export interface Sender {
  readonly repository: Pick<SagaExecutionRepository["Service"], "load" | "submit">
  readonly membership: Pick<Membership, "wake">
}

/** Where a signal is. `id`: that of its row in the inbox; undefined: it is in the history already. */
export interface Left {
  readonly id: string | undefined
  /** As it was read last; undefined: only a newer release can read it. */
  readonly execution: SagaExecution | undefined
}

/** Leaves a signal in the inbox of its execution. `known`: the execution as its caller has just read it. */
export const leave = Effect.fnUntraced(function* (self: Sender, uuid: string, signal: Signal, known?: SagaExecution) {
  const execution = known ?? (yield* read(self, uuid))
  if (execution !== undefined && (yield* isThere(execution, signal))) return { id: undefined, execution }
  const now = yield* Clock.currentTimeMillis
  const row = StoredInput.rowOf(uuid, signal, now, execution)
  const answer = yield* submit(self, row, signal.signal)
  if (answer === "stored" || answer === "known") {
    yield* self.membership.wake(uuid)
    return { id: row.id, execution }
  }
  // The same one may have been taken since the execution was read.
  const latest = yield* read(self, uuid)
  if (latest !== undefined && (yield* isThere(latest, signal))) return { id: undefined, execution: latest }
  const reason = answer === "settled" ? "ended" : answer
  return yield* new SignalInput.SagaSignalRefused({ uuid, signal: signal.signal, reason })
}) satisfies (...args: never) => Effect.Effect<Left, unknown>

/** Whether the signal is in the history. Fails with the refusal that the state gives it. */
const isThere = ({ state }: SagaExecution, signal: Signal) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    // Without its definition no name is refused here: the store does that.
    Effect.map(
      Effect.fromResult(SignalInput.signal(state, signal, { now, definition: undefined })),
      (facts) => facts.length === 0
    )
  )

/** An execution that a newer release has written is there, and cannot be read here. */
const read = ({ repository }: Sender, uuid: string) =>
  Effect.catchIf(repository.load(uuid), isOfNewer, () => Effect.succeed(undefined))

export const isOfNewer = (error: { readonly _tag: string; readonly reason?: string }): boolean =>
  error._tag === "SagaExecutionRepositoryError" && error.reason === "corrupt"

export const submit = (
  { repository }: Pick<Sender, "repository">,
  ...args: Parameters<SagaExecutionRepository["Service"]["submit"]>
) =>
  Effect.catchTags(repository.submit(...args), {
    SagaInboxFull: ({ rows }) => Effect.fail(new SagaOverloaded({ limit: "inbox", value: rows })),
    SagaRepositoryUnsupported: () =>
      Effect.fail(new SagaExecutionRepositoryError({ reason: "rejected", operation: "submit" }))
  })
