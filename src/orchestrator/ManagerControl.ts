/** The doors of the manager that hand an input to an execution: replies, responses, and what people do by hand. */
import { Effect, Result } from "effect"
import type { Definition } from "../definition/SagaStep.ts"
import * as SagaInput from "../execution/rules/SagaInput.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { RequestContext } from "../ports/RequestContext.ts"
import { normalize } from "../wire/Uuid.ts"
import { responding } from "./ExecutionInput.ts"
import type { ControlError, ExecutionSupervisor, Until } from "./ExecutionSupervisor.ts"
import * as Inbox from "./Inbox.ts"
import { SagaResponseUnaddressed } from "./ManagerErrors.ts"
import * as ManagerResult from "./ManagerResult.ts"
import type { SagaManager } from "./ManagerService.ts"
import { servedBy } from "./StartExecution.ts"

export type Control = Pick<
  SagaManager["Service"],
  "resume" | "cancel" | "commit" | "reject" | "retryParked" | "resolveParked" | "reply"
>

export const make = (supervisor: ExecutionSupervisor, policy: SagaInput.Policy): Control => {
  /** The refusals have the type that `judge` refuses with: the inbox holds inputs of every kind. */
  const submit = <Refusal>(
    uuid: string,
    judge: (state: SagaExecution["state"], definition: Definition, now: number) => SagaInput.Verdict<Refusal>,
    until?: Until
  ) =>
    supervisor.submit(normalize(uuid) ?? uuid, Inbox.pending(judge), until) as Effect.Effect<
      SagaExecution,
      Refusal | ControlError
    > // see above
  return {
    resume: Effect.fnUntraced(function* (response, { autocommit, raiseOnError, until = "end" } = {}) {
      const { uuid } = response
      if (uuid === undefined) return yield* new SagaResponseUnaddressed({})
      const judge = yield* responding(response, autocommit, policy)
      const request = yield* RequestContext
      const reached = submit<SagaInput.SagaExecutionAlreadyExecuted | SagaInput.SagaResponseAmbiguous>(
        uuid,
        judge,
        until
      )
      return yield* ManagerResult.execution(yield* servedBy(request, undefined, reached), raiseOnError)
    }),
    cancel: (uuid, who) => submit(uuid, (state, _, now) => SagaInput.cancel(state, who, { now })),
    commit: (uuid) => Effect.flatMap(submit(uuid, committing, "end"), ManagerResult.committed),
    reject: (uuid, who) => submit(uuid, (state, _, now) => SagaInput.reject(state, who, { now }), "end"),
    retryParked: (uuid, path, who) => submit(uuid, (state, _, now) => SagaInput.retryParked(state, path, who, { now })),
    resolveParked: (uuid, path, who) =>
      submit(uuid, (state, _, now) => SagaInput.resolveParked(state, path, who, { now })),
    reply: (uuid, reply) =>
      Effect.matchEffect(
        submit<SagaInput.Dropped>(uuid, (state, definition, now) =>
          SagaInput.reply(state, reply, { ...policy, definition, now })
        ),
        {
          onSuccess: () => Effect.succeed("applied" as const),
          onFailure: (error) => {
            if (error === "stale" || error === "sender-mismatch") return Effect.succeed(error)
            return error._tag === "SagaExecutionNotFound"
              ? Effect.succeed("unknown-execution" as const)
              : Effect.fail(error)
          }
        }
      )
  }
}

/** A rejected execution cannot be committed any more (SPEC C9). */
const committing = (
  state: SagaExecution["state"],
  _: Definition,
  now: number
): SagaInput.Verdict<SagaInput.SagaExecutionNotFinished | SagaInput.SagaAlreadyDecided> =>
  state.decision === "reject"
    ? Result.fail(new SagaInput.SagaAlreadyDecided({ uuid: state.uuid, decision: "reject" }))
    : SagaInput.commit(state, { now })
