/**
 * Attributes that follow the context (`Saga.attributes`): what the steps that end with a write change of them, as a fact of the same
 * write. They serve people, so a function of them that fails stops nothing.
 */
import { type Context, Effect } from "effect"
import * as Attributes from "../definition/Attributes.ts"
import * as SagaPath from "../definition/SagaPath.ts"
import type { Definition } from "../definition/SagaStep.ts"
import type { SagaContext } from "../execution/rules/SagaContext.ts"
import type { Of, SagaEvent } from "../execution/rules/SagaEvent.ts"
import type { SagaState } from "../execution/rules/SagaState.ts"
import { stepAt } from "../execution/rules/StepTree.ts"
import { contextView } from "../execution/view/ContextView.ts"
import { SagaContextDecodeError } from "../execution/view/ExecutionErrors.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Execution from "../execution/view/SagaExecution.ts"

type Makers = ReadonlyMap<string, (context: any) => unknown>

const known = new WeakMap<Definition, Makers>()
/** The last look-up: the writes of one saga mostly follow each other. */
let last: { readonly definition: Definition; readonly makers: Makers } | undefined

/** The functions of a saga by the paths of their steps. Most sagas have none. */
const makersOf = (definition: Definition): Makers => {
  if (last?.definition === definition) return last.makers
  const makers = known.get(definition) ?? new Map(SagaPath.steps(definition).flatMap(ofStep))
  known.set(definition, makers)
  last = { definition, makers }
  return makers
}

/** A nested saga has no attributes of its own. */
const ofStep = ({
  path,
  step: { attributes }
}: SagaPath.Located): ReadonlyArray<[string, (context: any) => unknown]> =>
  attributes === undefined || path.includes("/n/") ? [] : [[path, attributes]]

/** The execution with what the steps change that have ended since the last write. */
export const added = (self: SagaExecution): SagaExecution => {
  const { definition, state } = self
  if (definition === undefined || state.unstored === 0) return self
  const makers = makersOf(definition)
  if (makers.size === 0) return self
  const facts = Execution.unstored(self)
  const done = new Set(facts.flatMap((fact) => (fact._tag === "AttributesChanged" ? fact.path : [])))
  return facts.reduce((execution, fact) => {
    const path = endsStep(fact) && !done.has(fact.path) ? fact.path : undefined
    const make = path === undefined ? undefined : makers.get(path)
    const change =
      path === undefined || make === undefined ? undefined : changeOf(execution.state, definition, path, make)
    return change === undefined ? execution : Execution.evolve(execution, change)
  }, self)
}

/** What a person says counts at once, or when the service was asked. */
const endsStep = (fact: SagaEvent): fact is Of<"StepSucceeded" | "StepResolved" | "ProbeAnswered" | "PivotPassed"> =>
  fact._tag === "StepSucceeded" ||
  fact._tag === "StepResolved" ||
  fact._tag === "ProbeAnswered" ||
  fact._tag === "PivotPassed"

/** Undefined: nothing is new, or the step has no result that others read. */
const changeOf = (
  { attributes = {}, direction, root, updatedAt }: SagaState,
  definition: Definition,
  path: string,
  make: (context: any) => unknown
): Of<"AttributesChanged"> | undefined => {
  const at = stepAt(root, path)
  if (at !== undefined && at.step.status !== "finished") return undefined
  const context = path.includes("/") && at !== undefined ? at.frame.context : root.context
  // The execution has turned back in the same write, or because of another branch before the step was over.
  if (direction === "backward" && !hasEntry(context, path)) return undefined
  const view = contextView(definition, context)
  const change =
    view instanceof SagaContextDecodeError ? "cannot read the context" : Attributes.changed(make, view, attributes)
  if (change === undefined) return undefined
  const fact = { _tag: "AttributesChanged", path, at: updatedAt } as const
  return typeof change === "string" ? { ...fact, attributes: {}, issue: change } : { ...fact, attributes: change }
}

const hasEntry = (context: SagaContext, path: string): boolean => {
  let node: SagaContext | undefined = context
  while (node !== undefined && node.path !== path) node = node.parent
  return node !== undefined
}

/** Says in the log which attributes a write has left out, and why. */
export const warn = (written: SagaExecution, context: Context.Context<never>): void => {
  const { definition, saga, uuid } = written
  if (definition === undefined || makersOf(definition).size === 0) return
  for (const fact of Execution.unstored(written)) {
    if (fact._tag !== "AttributesChanged" || fact.issue === undefined) continue
    const step = SagaPath.at(definition, fact.path)?.name
    const said = { uuid, saga, step, issue: fact.issue }
    Effect.runForkWith(context)(Effect.logWarning("Attributes of an execution are left out", said))
  }
}
