/** Carries out what people have decided about transactions in doubt (SPEC C6). */
import { Clock, Effect } from "effect"
import type { DoubtDecision } from "../ports/Doubts.ts"
import { ParticipantStore, type ParticipantStoreError } from "../ports/ParticipantStore.ts"
import { messageId } from "../wire/Envelope.ts"
import * as HandleMessage from "./HandleMessage.ts"
import type { ParticipantCode } from "./ParticipantHandlers.ts"

/** Carries out the decisions about the transactions of a service. One whose hook fails is tried again in the next round. */
export const carryOut = Effect.fnUntraced(function* (
  code: ParticipantCode
): Effect.fn.Return<void, ParticipantStoreError, ParticipantStore> {
  const { doubts } = yield* ParticipantStore
  if (doubts === undefined) return
  for (const decision of yield* doubts.open(code.contract.name)) yield* one(code, decision)
})

const one = Effect.fnUntraced(function* (code: ParticipantCode, { actor, decision, service, uuid }: DoubtDecision) {
  const { doubts, unit } = yield* ParticipantStore
  const now = yield* Clock.currentTimeMillis
  const outcome = yield* unit({ service, transactions: [uuid], messages: [], ending: true }, (unit) =>
    Effect.gen(function* () {
      const known = unit.transactions.get(uuid)
      if (known?.status !== "reserved") return "too-late" as const
      yield* HandleMessage.requireHook(code, unit, decision, {
        coordinator: known.coordinator ?? service,
        id: messageId(uuid, service, decision),
        saga: uuid
      })
      if (decision === "reject") yield* HandleMessage.cancel(code, unit, unit.accepted, now)
      const status = decision === "commit" ? "committed" : "rejected"
      yield* unit.save({ transactions: [{ ...known, status, heuristic: true, updatedAt: now }] })
      return "applied" as const
    })
  ).pipe(
    // The hook has failed, and the log says so.
    Effect.catchTag("UnitFailed", () => Effect.succeed(undefined))
  )
  if (outcome === undefined) return
  // Again after a crash in between: then it is too late for the transaction, and the first decision has counted.
  yield* doubts?.close(service, uuid, outcome, now) ?? Effect.void
  yield* Effect.logWarning("A person has decided a transaction in doubt", { service, uuid, decision, actor, outcome })
})
