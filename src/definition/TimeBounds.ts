/**
 * How long an execution may still turn back, from the definition alone (SPEC C16). The participants of a saga keep what they need to
 * undo for that time.
 */
import * as SagaPath from "./SagaPath.ts"
import type { Definition, SagaStep } from "./SagaStep.ts"

type Bounds = ReadonlyMap<string, number>

/** By the definition and by the wait for replies, which is the same for all sagas of a program. */
const known = new WeakMap<Definition, { readonly replyTimeout: number; readonly bounds: Bounds }>()

/**
 * The longest time, in milliseconds, from the start of the step at a path to the end of the last step that can be undone. Infinite
 * where a step waits without a limit. A local step without a `timeout` counts as nothing: it works, and nobody knows for how long.
 */
export const from = (definition: Definition, path: string, replyTimeout: number): number => {
  const before = known.get(definition)
  if (before?.replyTimeout === replyTimeout) return before.bounds.get(path) ?? 0
  const bounds = new Map<string, number>()
  add({ path: "", steps: SagaPath.reversible(definition) }, 0, 0, replyTimeout, bounds)
  known.set(definition, { replyTimeout, bounds })
  return bounds.get(path) ?? 0
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
      add(
        one,
        left,
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
      return step.policies.timeout ?? replyTimeout
    case "Wait":
      return step.timeout ?? Number.POSITIVE_INFINITY
    case "Conditional":
    case "Nested":
    case "Parallel":
    case "Pivot":
      return Math.max(0, ...SagaPath.sequences(step, path).map((one) => sumOf(one, replyTimeout)))
  }
}

const sumOf = ({ path, steps }: SagaPath.Sequence, replyTimeout: number): number =>
  steps.reduce((sum, step, i) => sum + boundOf(step, SagaPath.child(path, i), replyTimeout), 0)
