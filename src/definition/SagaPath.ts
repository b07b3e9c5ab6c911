/**
 * Where a step stands in a saga: its index, behind the way into it. `"2"`; in a conditional `"2/if1/0"` and
 * `"2/else/0"`, in a parallel branch `"3/b0/0"`, in a nested saga `"3/n/0"`. `if<i>` and `b<i>` count from 0.
 */
import type { Definition, SagaStep } from "./SagaStep.ts"

export interface Located {
  readonly path: string
  readonly step: SagaStep
}

/** A sequence of steps inside a step: an alternative, a branch, a nested saga. */
export interface Part {
  readonly path: string
  readonly steps: ReadonlyArray<SagaStep>
}

/** The path of the step at `index` of a part. The path of the saga itself is empty. */
export const child = (part: string, index: number): string => (part === "" ? `${index}` : `${part}/${index}`)

/** What stands inside a step, in order. */
export const parts = (step: SagaStep, path: string): ReadonlyArray<Part> => {
  switch (step._tag) {
    case "Local":
    case "Remote":
      return []
    case "Conditional":
      return step.alternatives.map(({ condition, steps }, i) => ({
        path: condition === undefined ? `${path}/else` : `${path}/if${i}`,
        steps
      }))
    case "Nested":
      return [{ path: `${path}/n`, steps: step.saga.steps }]
    case "Parallel":
      return step.branches.map(({ steps }, i) => ({ path: `${path}/b${i}`, steps }))
  }
}

/** Every step of a saga in the order of definition, each before what stands inside it. */
export const steps = (definition: Definition): ReadonlyArray<Located> =>
  Array.from(index(definition), ([path, step]) => ({ path, step }))

/** The step at a path, in constant time. */
export const at = (definition: Definition, path: string): SagaStep | undefined => index(definition).get(path)

const indexes = new WeakMap<Definition, ReadonlyMap<string, SagaStep>>()

/** All steps by path, built once for each definition. */
export const index = (definition: Definition): ReadonlyMap<string, SagaStep> => {
  const known = indexes.get(definition)
  if (known !== undefined) return known
  const built = new Map<string, SagaStep>()
  const add = (part: Part): void =>
    part.steps.forEach((step, i) => {
      const path = child(part.path, i)
      built.set(path, step)
      parts(step, path).forEach(add)
    })
  add({ path: "", steps: definition.steps })
  indexes.set(definition, built)
  return built
}
