/** What the supervisor of a process works with. */
import type { Cause, Context, Effect } from "effect"
import type { Policy } from "../execution/rules/SagaInput.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import type { Membership } from "../ports/SagaOwnership.ts"
import type { ShutdownGrace } from "../ports/ShutdownGrace.ts"
import type { ExecutionLoop } from "./ExecutionLoop.ts"
import type { RunError } from "./RunError.ts"
import type { TakeUp } from "./Takeover.ts"

/** An execution as it is stored. */
export type Reached = Effect.Effect<SagaExecution, RunError>

export interface Options {
  readonly drive: ExecutionLoop
  /** The own service. */
  readonly service: string
  readonly repository: Pick<SagaExecutionRepository["Service"], "load" | "submit" | "inbox" | "ended">
  readonly membership: Pick<Membership, "isMine" | "wake">
  readonly policy: Policy
  /** Asks for a claim at once: something is due. */
  readonly claim: () => void
  /** An execution that waits is due at this time, in milliseconds since the epoch: a claim will find it. */
  readonly dueAt: (at: number) => void
  readonly load: (uuid: string) => Effect.Effect<SagaExecution, RunError>
  readonly takeUp: TakeUp
  /** Parks an execution as a whole, with its cause. */
  readonly setAside: (uuid: string, cause: Cause.Cause<RunError>) => Effect.Effect<void>
  /** After how many milliseconds an execution is looked at again whose runner has failed. */
  readonly recoveryInterval: number
  readonly maxRunning: number
  readonly maxPending: number
  /** How long a caller waits for the acknowledgements of a commit, in milliseconds. */
  readonly commitWait: number
  /** How long steps may go on when the process stops. */
  readonly grace: ShutdownGrace
  readonly services: Context.Context<never>
}
