/**
 * Puts a phase of the two-phase commit to the services of an execution: to the own service through its hooks, to the
 * others through the committer, all at the same time. Answers that are known at once are facts; the others come as replies.
 */
import { Cause, Effect, Exit } from "effect"
import type { Hooks } from "../../definition/TransactionHooks.ts"
import type { SagaEvent } from "../../execution/rules/SagaEvent.ts"
import { vote } from "../../execution/rules/SagaInput.ts"
import * as TwoPhaseCommit from "../../execution/rules/TwoPhaseCommit.ts"
import { make, runInside } from "../../ports/SagaTransaction.ts"
import type { TransactionCommitter } from "../../ports/TransactionCommitter.ts"
import { messageId } from "../../wire/Envelope.ts"
import { type ExecutionScope, type Facts, type InstructionOf, now } from "./ExecutionScope.ts"

const phases = { Reserve: "reserve", Commit: "commit", Reject: "reject" } as const
type Phase = (typeof phases)[keyof typeof phases]

/** `hooks`: those of the own service, when it takes part itself. */
export const ask = (
  scope: ExecutionScope,
  committer: TransactionCommitter["Service"],
  hooks: Hooks | undefined,
  { _tag, services }: InstructionOf<"Reserve" | "Commit" | "Reject">
): Effect.Effect<Facts> => {
  const phase = phases[_tag]
  const others = services.filter((service) => hooks === undefined || service !== scope.service)
  const asked = others.length === 0 ? noFacts : askOthers(scope, committer, phase, others)
  return hooks === undefined || others.length === services.length
    ? asked
    : Effect.map(Effect.all([asked, callOwnHook(scope, phase, hooks)], { concurrency: 2 }), (facts) => facts.flat())
}

const noFacts: Effect.Effect<Facts> = Effect.succeed([])

const askOthers = (
  scope: ExecutionScope,
  committer: TransactionCommitter["Service"],
  phase: Phase,
  services: ReadonlyArray<string>
): Effect.Effect<Facts> => {
  const answered: Effect.Effect<ReadonlyArray<string>, { readonly reason: string }> = committer[phase](
    TwoPhaseCommit.transaction(scope.state, services)
  )
  return Effect.matchEffect(answered, {
    onSuccess: (inFavour) =>
      Effect.succeed(inFavour.flatMap((service) => answerFacts(phase, service, undefined, now(scope)))),
    onFailure: ({ reason }) =>
      phase === "reserve"
        ? Effect.succeed<Facts>([
            { _tag: "RollbackStarted", failure: { _tag: "CommitFailed", reason }, at: now(scope) }
          ])
        : Effect.as(Effect.logWarning("Services could not be told the decision now", { op: phase, reason }), [])
  })
}

/** `against`: why the service refuses. In the first phase that is a vote against; in the second it is asked again. */
const answerFacts = (
  phase: Phase,
  service: string,
  against: string | undefined,
  at: number
): ReadonlyArray<SagaEvent> => {
  if (phase === "reserve") return vote(service, against, at)
  return against === undefined ? [{ _tag: "DecisionAcknowledged", service, at }] : []
}

const callOwnHook = (scope: ExecutionScope, phase: Phase, hooks: Hooks): Effect.Effect<Facts> => {
  const { service, state } = scope
  const { creation, revision, start, uuid } = state
  const { saga, user } = creation
  const hook = hooks[phase]
  const answer = (against?: string): Facts => answerFacts(phase, service, against, now(scope))
  if (hook === undefined) return Effect.sync(() => answer())
  const idempotencyKey = messageId(uuid, service, phase)
  const transaction = make({ uuid, saga, idempotencyKey, epoch: revision, user, headers: start?.headers })
  const annotated = () =>
    Effect.annotateLogs(
      Effect.suspend(() => hook({ uuid })),
      { saga, uuid, hook: phase }
    )
  return Effect.flatMap(Effect.exit(runInside<void, unknown>(transaction, annotated)), (exit) => {
    if (Exit.isSuccess(exit)) return Effect.succeed(answer())
    const died = Cause.hasDies(exit.cause)
      ? Effect.logError("A hook of the own service died", { op: phase, uuid }, exit.cause)
      : Effect.void
    return Effect.as(died, answer("Refused"))
  })
}
