/** The facts about steps that a crash has left half done (SPEC C7). */

import * as SagaPath from "../../definition/SagaPath.ts"
import type { Local } from "../../definition/SagaStep.ts"
import type { Moment } from "./Moment.ts"
import type { Of } from "./SagaEvent.ts"
import type { SagaState } from "./SagaState.ts"
import { collect, type StepState } from "./StepTree.ts"

export type Interrupted = Of<"StepFailed" | "StepParked">

/** A restart finds a local step running whose `onCrash` forbids running it again: the step has failed. */
export const interrupted = (
  self: SagaState,
  { definition, now }: Pick<Moment, "definition" | "now">
): ReadonlyArray<Interrupted> =>
  collect(
    self.root,
    ({ current }) => (current === undefined || self.setAside !== undefined ? [] : [current]),
    (facts, current) => {
      const step = SagaPath.at(definition, current.path)
      if (step?._tag === "Local") facts.push(...factsOf(current, step, now))
    }
  )

const factsOf = (current: StepState, step: Local, at: number): ReadonlyArray<Interrupted> => {
  if (current.status !== "running-on-execute" || step.onCrash === "retry" || step.transactional) return []
  const { path } = current
  const failed: Interrupted = {
    _tag: "StepFailed",
    path,
    status: "errored-on-execute",
    effect: "unknown",
    failure: { _tag: "StepInterrupted", path, step: step.name },
    at
  }
  return step.onCrash === "park"
    ? [failed, { _tag: "StepParked", path, reason: "a crash left it half done", at }]
    : [failed]
}
