/** Services that replies name behind a pivot: there is no transaction that they could join, so they are counted and dropped (SPEC C18). */
import type { Fiber } from "effect"
import type { SagaState } from "../execution/rules/SagaState.ts"
import * as Metrics from "../ports/Metrics.ts"
import type * as Inbox from "./Inbox.ts"

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
    if (others.length > 0) Metrics.droppedServices.update(context, others.length)
  }
}
