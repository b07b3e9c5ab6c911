/** Services that replies name behind a pivot: there is no transaction that they could join, so they are counted and dropped (SPEC C18). */
import { type Fiber, Metric } from "effect"
import type { SagaState } from "../execution/rules/SagaState.ts"
import type * as Inbox from "./Inbox.ts"

/** Services that would have joined the transaction of their execution, if its pivot were not passed. */
export const dropped = Metric.counter("effect_saga_related_services_dropped_total", {
  description: "Related services in replies to steps behind a pivot, which join no transaction",
  incremental: true
})

/** Counts those that the inputs name which wait to be judged. The service that replies is none of them. */
export const count = (
  inputs: ReadonlyArray<Inbox.PendingInput>,
  { passed }: SagaState,
  { context }: Fiber.Fiber<unknown, unknown>
): void => {
  if (!passed) return
  for (const { input } of inputs) {
    if (input._tag !== "Reply") continue
    const others = input.relatedServices.filter((service) => service !== input.sender)
    if (others.length > 0) dropped.updateUnsafe(others.length, context)
  }
}
