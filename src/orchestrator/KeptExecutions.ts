/**
 * Executions that wait for a reply while a caller of this process waits for them, as their last runner has left them: a reply
 * goes on from there without a read. Another instance may have gone on since. Then the write is refused, and a reply that does
 * not fit is judged again: the loop loads the newer state in both cases (SPEC A3).
 */
import { Exit } from "effect"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { ReleasingMap } from "../ports/ReleasingMap.ts"
import type { LoopResult } from "./ExecutionLoop.ts"
import type * as Inbox from "./Inbox.ts"
import type { TakenUp } from "./Takeover.ts"

/** Executions, at most: the oldest are loaded again. */
const maxKept = 1_000

export class KeptExecutions {
  private readonly executions = new ReleasingMap<string, SagaExecution>()

  /** A runner has ended. `isAwaited`: by a caller of this process. */
  note(uuid: string, exit: Exit.Exit<LoopResult, unknown>, isAwaited: boolean): void {
    this.executions.delete(uuid)
    if (!isAwaited || Exit.isFailure(exit)) return
    const { elsewhere, execution } = exit.value
    if (elsewhere !== undefined || execution.status !== "paused") return
    const [oldest] = this.executions.keys()
    if (this.executions.size === maxKept && oldest !== undefined) this.executions.delete(oldest)
    this.executions.set(uuid, execution)
  }

  /** No caller of this process waits for it any more. */
  forget(uuid: string): void {
    this.executions.delete(uuid)
  }

  /** For a runner that begins with these inputs; undefined: it is to load the execution. Only replies do without. */
  takenUp(uuid: string, { inputs }: Inbox.Inbox): TakenUp | undefined {
    const isReply = inputs.length > 0 && inputs.every(({ input }) => input._tag === "Reply")
    const execution = isReply ? this.executions.get(uuid) : undefined
    return execution && { execution, elsewhere: undefined, isHeld: false, isOld: true }
  }
}
