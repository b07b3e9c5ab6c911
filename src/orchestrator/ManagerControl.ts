/** The doors of the manager that hand an input to an execution: replies, responses, and what people do by hand. */
import { Effect } from "effect"
import type { Dropped, Of } from "../execution/rules/SagaInput.ts"
import { stepAt } from "../execution/rules/StepTree.ts"
import { RequestContext } from "../ports/RequestContext.ts"
import type { Membership, ReplyTaken } from "../ports/SagaOwnership.ts"
import * as CancelDoor from "./CancelDoor.ts"
import { resolving, responding, submit } from "./ExecutionInput.ts"
import type { ControlError, ExecutionSupervisor } from "./ExecutionSupervisor.ts"
import * as HandOn from "./HandOn.ts"
import { SagaResponseUnaddressed } from "./ManagerErrors.ts"
import * as ManagerResult from "./ManagerResult.ts"
import type { SagaManager } from "./ManagerService.ts"
import * as SendSignal from "./SendSignal.ts"
import * as SignalDoor from "./SignalDoor.ts"
import { servedBy } from "./StartExecution.ts"

export type Control = Pick<
  SagaManager["Service"],
  "resume" | "signal" | "cancel" | "commit" | "reject" | "retryParked" | "resolveParked" | "reply"
>

interface Keeper extends SignalDoor.Keeper, CancelDoor.Keeper {
  readonly repository: SignalDoor.Keeper["repository"] & CancelDoor.Keeper["repository"]
  readonly membership: Pick<Membership, "handOn" | "isMine" | "wake">
}

export const make = (supervisor: ExecutionSupervisor, keeper: Keeper): Control => ({
  resume: Effect.fnUntraced(function* (response, { autocommit, raiseOnError, until = "end" } = {}) {
    const { uuid } = response
    if (uuid === undefined) return yield* new SagaResponseUnaddressed({})
    const input = yield* responding(response, autocommit)
    const request = yield* RequestContext
    const reached = submit(supervisor, uuid, input, until)
    return yield* ManagerResult.execution(yield* servedBy(request, undefined, reached), raiseOnError)
  }),
  signal: (signal, options) => SignalDoor.signal(supervisor, keeper, signal, options),
  cancel: (uuid, who) => CancelDoor.cancel(supervisor, keeper, uuid, who),
  commit: (uuid) => Effect.flatMap(submit(supervisor, uuid, { _tag: "Commit" }, "end"), ManagerResult.committed),
  reject: (uuid, who) => submit(supervisor, uuid, { _tag: "Reject", ...who }, "told"),
  retryParked: (uuid, path, who) => submit(supervisor, uuid, { _tag: "RetryParked", path, ...who }),
  resolveParked: (uuid, path, who) =>
    resolving(uuid, path, who).pipe(
      Effect.flatMap((input) => submit(supervisor, uuid, input)),
      Effect.flatMap((execution) =>
        stepAt(execution.state.root, path)?.step.resolution === undefined
          ? Effect.succeed(execution)
          : supervisor.wait(execution.uuid, { resolutionOf: path })
      ),
      Effect.flatMap((execution) => ManagerResult.resolved(execution, path))
    ),
  reply: (uuid, reply) =>
    Effect.matchEffect(takeReply(supervisor, keeper, uuid, { _tag: "Reply", ...reply }), {
      onSuccess: () => Effect.succeed("applied" as const),
      onFailure: (error) => {
        if (error === "stale" || error === "sender-mismatch") return Effect.succeed(error)
        return error._tag === "SagaExecutionNotFound"
          ? Effect.succeed("unknown-execution" as const)
          : Effect.fail(error)
      }
    })
})

/** A reply to an execution of another instance goes there, or waits in the inbox. */
const takeReply = (
  supervisor: ExecutionSupervisor,
  keeper: Keeper,
  uuid: string,
  reply: Of<"Reply">
): Effect.Effect<unknown, Dropped | ControlError> => {
  const { handOn, isMine } = keeper.membership
  const taken = takeHere(supervisor, keeper, uuid, reply)
  if (handOn === undefined || isMine(uuid)) return taken
  return Effect.flatMap(handOn(uuid, reply), (outcome): Effect.Effect<unknown, Dropped | ControlError> => {
    if (outcome === undefined) return taken
    return outcome === "applied" ? Effect.void : Effect.fail(outcome)
  })
}

/** What became of a reply that another instance has handed on. `supervisor` undefined: the manager is being built. */
export const receive = (
  supervisor: ExecutionSupervisor | undefined,
  uuid: string,
  reply: Of<"Reply">
): Effect.Effect<ReplyTaken> =>
  supervisor === undefined
    ? Effect.succeed(undefined)
    : Effect.match(submit(supervisor, uuid, reply), {
        onSuccess: () => "applied",
        onFailure: (error) => (error === "stale" || error === "sender-mismatch" ? error : undefined)
      })

/** A reply to an execution that only another release can read waits for a process of that release (SPEC C20). */
const takeHere = (
  supervisor: ExecutionSupervisor,
  keeper: SignalDoor.Keeper,
  uuid: string,
  reply: Of<"Reply">
): Effect.Effect<unknown, Dropped | ControlError> =>
  Effect.catch(submit(supervisor, uuid, reply), (error): Effect.Effect<void, Dropped | ControlError> => {
    const isOfOthers =
      typeof error === "object" &&
      (error._tag === "SagaDefinitionDrift" || error._tag === "SagaExecutionUnreadable" || SendSignal.isOfNewer(error))
    return isOfOthers ? HandOn.keep(keeper, uuid, reply) : Effect.fail(error)
  })
