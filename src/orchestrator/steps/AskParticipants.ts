/**
 * Brings the services of an execution to one decision: the own service through its hooks, the others through the
 * committer, all at the same time. What they answer at once are facts; the rest comes as replies.
 */
import { Cause, Effect, Exit } from "effect"
import type { Hooks } from "../../definition/TransactionHooks.ts"
import type { SagaEvent } from "../../execution/rules/SagaEvent.ts"
import { vote } from "../../execution/rules/SagaInput.ts"
import * as TwoPhaseCommit from "../../execution/rules/TwoPhaseCommit.ts"
import { FaultPoint } from "../../ports/FaultPoint.ts"
import { enrolNobody, SagaTransaction } from "../../ports/SagaTransaction.ts"
import type { TransactionCommitter } from "../../ports/TransactionCommitter.ts"
import { messageId } from "../../wire/Envelope.ts"
import { type At, type Facts, now, type Run } from "./StepCallback.ts"

const questions = { Reserve: "reserve", Commit: "commit", Reject: "reject" } as const

/** Puts the question. `hooks`: the own service takes part itself. */
export const ask = (
  run: Run,
  committer: TransactionCommitter["Service"],
  hooks: Hooks | undefined,
  { _tag, services }: At<"Reserve" | "Commit" | "Reject">
): Effect.Effect<Facts> => {
  const op = questions[_tag]
  const isOwn = (service: string) => hooks !== undefined && service === run.service
  const others = services.filter((service) => !isOwn(service))
  const asked = others.length === 0 ? silence : answers(run, op, committer[op](transactionOf(run, others)))
  return hooks === undefined || others.length === services.length
    ? asked
    : Effect.map(Effect.all([asked, own(run, op, hooks)], { concurrency: 2 }), (facts) => facts.flat())
}

const silence: Effect.Effect<Facts> = Effect.succeed([])

const transactionOf = ({ state }: Run, services: ReadonlyArray<string>) => TwoPhaseCommit.transaction(state, services)

/** What the committer has heard already. */
const answers = <E extends { readonly reason: string }>(
  run: Run,
  op: TwoPhaseCommit.Question,
  asking: Effect.Effect<ReadonlyArray<string>, E>
): Effect.Effect<Facts> =>
  Effect.matchEffect(asking, {
    onSuccess: (services) => Effect.succeed(services.flatMap((service) => answer(op, service, undefined, now(run)))),
    onFailure: ({ reason }) =>
      op === "reserve"
        ? Effect.succeed<Facts>([{ _tag: "RollbackStarted", failure: { _tag: "CommitFailed", reason }, at: now(run) }])
        : Effect.as(Effect.logWarning("Services could not be told the decision now", { op, reason }), [])
  })

/** A hook that fails is a vote against; of a decision, it is called again. */
const answer = (
  op: TwoPhaseCommit.Question,
  service: string,
  against: string | undefined,
  at: number
): ReadonlyArray<SagaEvent> => {
  if (op === "reserve") return vote(service, against, at)
  return against === undefined ? [{ _tag: "DecisionAcknowledged", service, at }] : []
}

const own = (run: Run, op: TwoPhaseCommit.Question, hooks: Hooks): Effect.Effect<Facts> => {
  const { headers, revision, saga, user, uuid } = run.state
  // Its services are erased; the layer that runs it requires and provides them.
  const hook = hooks[op] as ((part: { readonly uuid: string }) => Effect.Effect<void, unknown>) | undefined
  if (hook === undefined) return Effect.sync(() => answer(op, run.service, undefined, now(run)))
  return FaultPoint.around("callback", () => Effect.suspend(() => hook({ uuid }))).pipe(
    Effect.provideService(SagaTransaction, {
      uuid,
      saga,
      path: "",
      idempotencyKey: messageId(uuid, run.service, op),
      epoch: revision,
      user,
      headers: headers ?? {},
      enrol: enrolNobody
    }),
    Effect.exit,
    Effect.flatMap((exit) => {
      if (Exit.isSuccess(exit)) return Effect.succeed(answer(op, run.service, undefined, now(run)))
      const died = Cause.hasDies(exit.cause)
        ? Effect.logError("A hook of the own service died", { op, uuid }, exit.cause)
        : Effect.void
      return Effect.as(died, answer(op, run.service, "Refused", now(run)))
    })
  )
}
