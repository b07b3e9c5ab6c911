/** SPEC C6 and I1: a compensation of what was done elsewhere is never counted as done. */
import type { Mutant } from "./Mutant.ts"

const lost = "test/participant/lostRecord.test.ts"
const laws = "test/participant/laws.test.ts"
const wire = "test/wire/Envelope.test.ts"
const decisions = "test/execution/rules/SagaDecision.test.ts"
const inputs = "test/execution/rules/SagaInput.test.ts"
const compensation = "test/orchestrator/steps/compensation.test.ts"

const times = "src/participant/KeptTimes.ts"
const machine = "src/participant/ParticipantDecision.ts"

const one = (what: string, file: string, find: string, replace: string, ...tests: ReadonlyArray<string>): Mutant => ({
  rule: "C6",
  what,
  file,
  find,
  replace,
  tests
})

export const lostRecords: ReadonlyArray<Mutant> = [
  one(
    "a compensation of what another instance has done counts as done",
    machine,
    "KeptTimes.isLost(envelope, executed, now) ? refused(unrecorded)",
    "KeptTimes.isLost(envelope, executed, now) && now < 0 ? refused(unrecorded)",
    lost
  ),
  one(
    "the answer that nothing was found is final, so no later delivery finds it",
    machine,
    "{ discard, final: undone.status === 200 }",
    "{ discard }",
    lost
  ),
  one(
    "an execute that is late runs where its compensation was not found",
    machine,
    "const unseen = executed === undefined ? [blockedExecute(envelope, now)] : []",
    "const unseen = executed === undefined && undone.status === 200 ? [blockedExecute(envelope, now)] : []",
    lost
  ),
  one(
    "what must never run here counts as undone when it is asked for again",
    times,
    ": executed.status !== 200",
    ": executed.status !== 200 && executed.status !== 500",
    lost
  ),
  one(
    "a record that its transaction may have purged is missed",
    times,
    "transactions.length === 0 || now <= recordedUntil",
    "transactions.length === 0 || now <= 2 * recordedUntil",
    lost,
    laws
  ),
  one(
    "a record without a transaction is not missed after the time of its message",
    times,
    "transactions.length === 0 || now <= recordedUntil",
    "now <= recordedUntil",
    lost
  ),
  one(
    "the log says nothing of a record that is missing",
    "src/participant/LostRecord.ts",
    "return executed === undefined || executed.request !== undefined",
    "return false",
    lost
  ),
  one(
    "the log says at each attempt that a record is missing",
    "src/participant/LostRecord.ts",
    "return executed === undefined || executed.request !== undefined",
    "return true",
    lost
  ),
  one(
    "a compensation of a former release counts as another message",
    "src/wire/Envelope.ts",
    "  recordedUntil,\n  ...plain",
    "  ...plain",
    wire,
    lost
  ),
  one(
    "a compensation does not say that the success was seen",
    "src/orchestrator/steps/RemoteStep.ts",
    "    ...recordedUntil(state)\n",
    "",
    compensation,
    lost
  ),
  one(
    "a success that a person gave counts as one that the service has a record of",
    "src/execution/rules/TrustedResponse.ts",
    "? { ...fact, byHand: true }",
    "? fact",
    inputs,
    compensation
  ),
  one(
    "a success that a person gave on the way back counts as one that the service has a record of",
    "src/execution/rules/RollbackEvolution.ts",
    "content: event.content, byHand: event.byHand",
    "content: event.content, byHand: undefined",
    inputs
  ),
  one(
    "a step is parked without the reason that its service has no record of it",
    "src/execution/rules/CompensationRetry.ts",
    "failure.content === unrecorded",
    "failure.content === null",
    decisions,
    lost
  ),
  one(
    "the retry of a person sends nothing where nothing is tried again",
    "src/execution/rules/SagaDecision.ts",
    "Math.max(1, retry.times)",
    "retry.times",
    decisions
  )
]
