/**
 * How long an execution may still turn back, from the definition alone (SPEC C16). The participants of a saga keep what they need to
 * undo for that time.
 */
import { limits } from "./SagaIssue.ts"
import * as SagaPath from "./SagaPath.ts"
import type { Definition, ForEach, SagaStep } from "./SagaStep.ts"

type Bounds = ReadonlyMap<string, number>

/** By the definition and by the wait for replies, which is the same for all sagas of a program. */
const known = new WeakMap<Definition, { readonly replyTimeout: number; readonly bounds: Bounds }>()

/**
 * The longest time, in milliseconds, from the start of the step at a path to the end of the last step that can be undone. Infinite
 * where a step waits without a limit. A local step without a `timeout` counts as nothing: it works, and nobody knows for how long.
 */
export const from = (definition: Definition, path: string, replyTimeout: number): number => {
  const before = known.get(definition)
  const at = SagaPath.inDefinition(path)
  if (before?.replyTimeout === replyTimeout) return before.bounds.get(at) ?? 0
  const bounds = new Map<string, number>()
  add({ path: "", steps: SagaPath.reversible(definition) }, 0, 0, replyTimeout, bounds)
  known.set(definition, { replyTimeout, bounds })
  return bounds.get(at) ?? 0
}

/** `after`: the time of what follows the sequence. `beside`: the time that other branches take meanwhile, with what follows. */
const add = (
  sequence: SagaPath.Sequence,
  after: number,
  beside: number,
  replyTimeout: number,
  bounds: Map<string, number>
): void => {
  let left = after
  for (const [i, step] of [...sequence.steps.entries()].reverse()) {
    const path = SagaPath.child(sequence.path, i)
    const inner = SagaPath.sequences(step, path)
    for (const one of inner) {
      const others = step._tag === "Parallel" ? inner.filter((other) => other !== one) : []
      // The step may be that of the first items: all others follow.
      const more = step._tag === "ForEach" ? (roundsOf(step) - 1) * sumOf(one, replyTimeout) : 0
      add(
        one,
        left + more,
        Math.max(beside, ...others.map((other) => left + sumOf(other, replyTimeout))),
        replyTimeout,
        bounds
      )
    }
    left += boundOf(step, path, replyTimeout)
    bounds.set(path, Math.max(left, beside))
  }
}

/** Of alternatives one runs, and branches run at the same time: the longest counts. */
const boundOf = (step: SagaStep, path: string, replyTimeout: number): number => {
  switch (step._tag) {
    case "Local":
      return step.policies.timeout ?? 0
    case "Remote":
      return step.policies.timeout ?? (step.execute.later === true ? Number.POSITIVE_INFINITY : replyTimeout)
    case "Wait":
      return step.timeout ?? Number.POSITIVE_INFINITY
    case "ForEach":
      return roundsOf(step) * sumOf({ path: `${path}/i`, steps: step.steps }, replyTimeout)
    // It goes on as soon as the other saga is stored.
    case "Start":
    case "Conditional":
    case "Nested":
    case "Parallel":
    case "Pivot":
      return Math.max(0, ...SagaPath.sequences(step, path).map((one) => sumOf(one, replyTimeout)))
  }
}

/** How often one item follows on another: with as many items as there can be. */
const roundsOf = ({ concurrency }: ForEach): number => Math.ceil(limits.items / Math.max(1, concurrency))

const sumOf = ({ path, steps }: SagaPath.Sequence, replyTimeout: number): number =>
  steps.reduce((sum, step, i) => sum + boundOf(step, SagaPath.child(path, i), replyTimeout), 0)
