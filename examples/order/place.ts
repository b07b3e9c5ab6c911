/** Places one order: runs the saga under the key of the order, and gives its outcome. */
import { Effect } from "effect"
import { SagaManager, SagaStory } from "effect-saga"
import type { Order } from "./contracts.ts"
import { NotReady } from "./not-ready.ts"
import { PlaceOrder } from "./saga.ts"
import type { Settled } from "./summary.ts"

/** A second call for the same order gets the same execution: no order runs twice, in whatever process it began. */
export const place = Effect.fnUntraced(function* (order: Order) {
  const execution = yield* SagaManager.run(PlaceOrder, {
    context: order,
    startKey: order.orderId,
    raiseOnError: false
  }).pipe(
    Effect.catchTag("SagaStartConflict", () =>
      Effect.fail(
        new NotReady({
          problem: `Another ${order.orderId} was placed before, with other values`,
          mend: "give this one another orderId, or name another folder with --data FOLDER"
        })
      )
    )
  )
  const parked = execution.parked.length > 0
  const outcome = parked ? "parked" : execution.status === "finished" ? "committed" : "undone"
  const why = execution.status === "errored" ? tagOf(execution.cause) : ""
  const settled: Settled = {
    orderId: order.orderId,
    outcome,
    at: execution.events.at(-1)?.at ?? 0,
    why,
    trail: trailOf(SagaStory.outline(execution), why),
    story: outcome === "committed" ? [] : SagaStory.tell(execution)
  }
  return settled
})

const tagOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "_tag" in cause ? String(cause._tag) : "unknown"

/** `payment succeeded` becomes `payment ✓`. */
const trailOf = (outline: ReadonlyArray<string>, why: string): string =>
  outline
    .flatMap((line) => {
      const [step, became] = line.split(" ")
      const mark = { succeeded: "✓", failed: `✗ ${why}`, compensated: "↩", parked: "!" }[became ?? ""]
      return mark === undefined ? [] : `${step} ${mark}`
    })
    .join("  ")
