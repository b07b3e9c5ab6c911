/**
 * Paths: the position of a step in a saga. A step of the saga itself has its index, `"2"`. A step inside it has the path of
 * the outer step, the sequence and its index: `"2/if1/0"` and `"2/else/0"` in a conditional, `"3/b0/0"` in a parallel
 * branch, `"3/n/0"` in a nested saga. `if<i>` and `b<i>` count from 0. The steps of a `forEach` are `"4/i/0"` in the saga; in an
 * execution each item has its own, `"4/i17/0"` for the item at 17, counted from 0.
 */
import type { Definition, SagaStep } from "./SagaStep.ts"
import type * as Signal from "./Signal.ts"

/** A step and its path. */
export interface Located {
  readonly path: string
  readonly step: SagaStep
}

/** Steps that run one after the other: those of a saga, an alternative, a branch or a nested saga. */
export interface Sequence {
  /** The path of the sequence; empty for the saga itself. */
  readonly path: string
  readonly steps: ReadonlyArray<SagaStep>
}

/** The path of the step at an index of a sequence. */
export const child = (sequence: string, index: number): string =>
  sequence === "" ? `${index}` : `${sequence}/${index}`

/** The sequences inside a step, in the order of definition. */
export const sequences = (step: SagaStep, path: string): ReadonlyArray<Sequence> => {
  switch (step._tag) {
    case "Local":
    case "Remote":
    case "Wait":
    case "Start":
    case "Pivot":
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
    case "ForEach":
      return [{ path: `${path}/i`, steps: step.steps }]
  }
}

/** All steps of a saga in the order of definition, each before the steps inside it. */
export const steps = (definition: Definition): ReadonlyArray<Located> =>
  Array.from(index(definition), ([path, step]) => ({ path, step }))

/** The steps that an execution can turn back from: those before the pivot, or all. */
export const reversible = ({ steps }: Pick<Definition, "steps">): ReadonlyArray<SagaStep> => {
  const pivot = steps.findIndex(({ _tag }) => _tag === "Pivot")
  return pivot < 0 ? steps : steps.slice(0, pivot)
}

/** The path of the step with a name. Nested sagas and items have names of their own, which are not looked at. */
export const named = (definition: Definition, name: string): string | undefined =>
  steps(definition).find(({ path, step }) => step.name === name && !path.includes("/n/") && !path.includes("/i/"))?.path

/** The step at a path of the saga or of an execution, in constant time. */
export const at = (definition: Definition, path: string): SagaStep | undefined =>
  index(definition).get(inDefinition(path))

/** The path in the saga of a path in an execution: that of a step inside an item is without the number of the item. */
export const inDefinition = (path: string): string => (path.includes("/i") ? path.replaceAll(itemPart, "/i/") : path)

const itemPart = /\/i\d+\//g

/** The path inside the item at an index; with a `/` behind it the prefix of its steps. */
export const ofItem = (path: string, index: number): string => `${path}/i${index}`

/** The sagas that a saga starts, and those that they start, each once; the saga itself is not among them. */
export const started = (definition: Definition): ReadonlyArray<Definition> => {
  const found = new Set([definition])
  for (const one of found)
    for (const step of index(one).values()) if (step._tag === "Start") found.add(step.definition())
  return [...found].slice(1)
}

/** The signals that a saga waits for, nested sagas included, by their names, in the order of definition. */
export const signals = (definition: Definition): ReadonlyMap<string, Signal.Any> => {
  const known = signalsOf.get(definition)
  if (known !== undefined) return known
  const found = new Map<string, Signal.Any>()
  for (const step of index(definition).values()) {
    const signal = step._tag === "Wait" ? step.signal : undefined
    if (signal !== undefined && !found.has(signal.name)) found.set(signal.name, signal)
  }
  signalsOf.set(definition, found)
  return found
}

const signalsOf = new WeakMap<Definition, ReadonlyMap<string, Signal.Any>>()

/** The names of these signals: the head of an execution has them. */
export const signalNames = (definition: Definition): ReadonlyArray<string> => {
  const known = namesOf.get(definition)
  if (known !== undefined) return known
  const names = [...signals(definition).keys()]
  namesOf.set(definition, names)
  return names
}

const namesOf = new WeakMap<Definition, ReadonlyArray<string>>()

/** An index costs a walk over all steps, so each definition keeps its own. */
const indexes = new WeakMap<Definition, ReadonlyMap<string, SagaStep>>()

/** All steps of a definition by their paths, in the order of `steps`. */
export const index = (definition: Definition): ReadonlyMap<string, SagaStep> => {
  const known = indexes.get(definition)
  if (known !== undefined) return known
  const built = new Map<string, SagaStep>()
  const add = (sequence: Sequence): void =>
    sequence.steps.forEach((step, i) => {
      const path = child(sequence.path, i)
      built.set(path, step)
      sequences(step, path).forEach(add)
    })
  add({ path: "", steps: definition.steps })
  indexes.set(definition, built)
  return built
}
