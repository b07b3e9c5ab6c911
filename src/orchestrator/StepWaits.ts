/**
 * Executions that steps of this process wait for. Such an execution runs in the place of the step that waits for it: with a
 * place of its own the two could wait for each other (SPEC I20).
 */
import { Context, Effect } from "effect"
import { SagaTransaction } from "../ports/SagaTransaction.ts"

export class StepWaits {
  private readonly counts = new Map<string, number>()
  private readonly isRunning: (uuid: string) => boolean
  private readonly onWait: (uuid: string) => void

  /** `onWait`: called when a step begins to wait for an execution. */
  constructor(isRunning: (uuid: string) => boolean, onWait: (uuid: string) => void) {
    this.isRunning = isRunning
    this.onWait = onWait
  }

  has(uuid: string): boolean {
    return this.counts.has(uuid)
  }

  /** Whether the caller is a step of an execution that runs here: it holds a place while it waits. */
  isStep(caller: Context.Context<never>): boolean {
    const transaction = Context.getOrUndefined(caller, SagaTransaction)
    return transaction !== undefined && this.isRunning(transaction.uuid)
  }

  /** Waits for an execution, in the name of a step if the caller is one. */
  wait<A, E>(uuid: string, use: () => Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.withFiber(({ context }) => (this.isStep(context) ? this.waitInStep(uuid, use) : use()))
  }

  waitInStep<A, E>(uuid: string, use: () => Effect.Effect<A, E>): Effect.Effect<A, E> {
    const begin = Effect.sync(() => {
      this.counts.set(uuid, (this.counts.get(uuid) ?? 0) + 1)
      this.onWait(uuid)
    })
    const end = Effect.sync(() => {
      const others = this.counts.get(uuid)! - 1
      if (others === 0) this.counts.delete(uuid)
      else this.counts.set(uuid, others)
    })
    return Effect.acquireUseRelease(begin, use, () => end)
  }
}
