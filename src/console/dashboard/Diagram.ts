/** The steps of a saga as the page draws them, with what became of each in one execution. Pure. */
import { Duration } from "effect"
import * as SagaShape from "../../definition/SagaShape.ts"
import type { Definition } from "../../definition/SagaStep.ts"
import type { SagaState } from "../../execution/rules/SagaState.ts"
import { type Frame, framesIn, type StepState, started } from "../../execution/rules/StepTree.ts"
import type { Node, PlanStep, StepFate } from "./Forms.ts"

/** The fates of steps by their paths. */
export type Fates = ReadonlyMap<string, StepFate>

const noFates: Fates = new Map()

/** A saga, as no execution has it. */
export const ofSaga = (definition: Definition): ReadonlyArray<Node> =>
  SagaShape.of(definition).steps.map((step) => nodeOf(step, noFates, undefined))

/** An execution. Where its saga is not known, only the steps that have begun are there. */
export const ofExecution = (state: SagaState, definition: Definition | undefined): ReadonlyArray<Node> => {
  const fates = fatesOf(state)
  return definition === undefined
    ? started(state.root)
        .toSorted(byPath)
        .map((step) => begunNode(step, fates))
    : SagaShape.of(definition).steps.map((step) => nodeOf(step, fates, state))
}

// ---- fates -----------------------------------------------------------------------------------------------------

export const fatesOf = (state: SagaState): Fates => {
  const fates = new Map<string, StepFate>()
  const visit = (frame: Frame): void => {
    for (const step of started(frame)) {
      fates.set(step.path, fateOf(step, frame, state))
      framesIn(step).forEach(visit)
    }
  }
  visit(state.root)
  return fates
}

const fateOf = (step: StepState, frame: Frame, { direction, parked }: SagaState): StepFate => {
  if (step.parked !== undefined && parked.includes(step.path)) return "parked"
  if (direction === "backward") {
    if (step.alreadyRollback) return step.failure === undefined ? "undone" : "failed"
    if (step.compensation !== undefined || step.status === "running-on-failure" || step.status === "paused-on-failure")
      return "undoing"
    if (step.failure !== undefined || step.status.startsWith("errored")) return "failed"
    // It had no effect, or nothing undoes it.
    return frame.current === step ? "undoing" : isRolledBack(step, frame) ? "undone" : "done"
  }
  if (step.status === "finished") return "done"
  if (step.status === "paused-by-on-execute") return "waiting"
  if (step.tries?.failedAt !== undefined) return "waiting"
  return step.status.startsWith("errored") ? "failed" : "running"
}

const isRolledBack = (step: StepState, { rolledBack }: Frame): boolean => {
  for (let node = rolledBack; node !== undefined; node = node.tail) if (node.head.path === step.path) return true
  return false
}

// ---- nodes -----------------------------------------------------------------------------------------------------

const nodeOf = (step: SagaShape.StepShape, fates: Fates, state: SagaState | undefined): Node => {
  const { name, path, type: kind } = step
  const common = { path, name, kind, fate: fateAt(step, fates, state) }
  const all = (steps: ReadonlyArray<SagaShape.StepShape>) => steps.map((inner) => nodeOf(inner, fates, state))
  const isTaken = (steps: ReadonlyArray<SagaShape.StepShape>) => steps.some(({ path }) => fates.has(path))
  switch (step.type) {
    case "local":
      return { ...common, ...(step.compensate !== null && { undo: "local" }), inside: [] }
    case "remote":
      return {
        ...common,
        ...(step.execute !== null && { does: step.execute }),
        ...(step.compensate !== null && { undo: step.compensate }),
        inside: []
      }
    case "wait":
      return { ...common, does: waitOf(step), inside: [] }
    case "start":
      return { ...common, does: `starts ${step.saga}`, undo: "cancel", inside: [] }
    case "pivot":
      return { ...common, inside: [] }
    case "conditional":
      return {
        ...common,
        inside: step.alternatives.map((one, i) => ({
          label: one.else ? "else" : `if ${i + 1}`,
          taken: isTaken(one.steps),
          steps: all(one.steps)
        }))
      }
    case "nested":
      return { ...common, does: step.saga, inside: [{ label: step.saga, taken: true, steps: all(step.steps) }] }
    case "parallel":
      return {
        ...common,
        inside: step.branches.map((branch) => ({ label: branch.name, taken: true, steps: all(branch.steps) }))
      }
    case "forEach":
      return {
        ...common,
        inside: itemsOf(step, fates).map(({ label, steps }) => ({ label, taken: true, steps: all(steps) }))
      }
  }
}

/** Items that a diagram has. Those behind them are counted. */
const maxItems = 20

/** The steps of each item that has begun, or those of any item. */
const itemsOf = (
  { path, steps }: SagaShape.ForEachShape,
  fates: Fates
): ReadonlyArray<{ readonly label: string; readonly steps: ReadonlyArray<SagaShape.StepShape> }> => {
  const begun = new Set<number>()
  for (const one of fates.keys()) {
    const index = one.startsWith(`${path}/i`) ? /^\d+/.exec(one.slice(path.length + 2)) : null
    if (index !== null) begun.add(Number(index[0]))
  }
  if (begun.size === 0) return [{ label: "each item", steps }]
  const shown = [...begun].sort((a, b) => a - b).slice(0, maxItems)
  const more = begun.size - shown.length
  return shown.map((index, i) => ({
    label: `item ${index + 1}${more > 0 && i === shown.length - 1 ? `, and ${more} more` : ""}`,
    steps: steps.map((step) => moved(step, `${path}/i/`, `${path}/i${index}/`))
  }))
}

/** The same steps at the paths of one item. */
const moved = (step: SagaShape.StepShape, from: string, to: string): SagaShape.StepShape => {
  const all = (steps: ReadonlyArray<SagaShape.StepShape>) => steps.map((inner) => moved(inner, from, to))
  const at = { path: step.path.replace(from, to) }
  switch (step.type) {
    case "conditional":
      return { ...step, ...at, alternatives: step.alternatives.map((one) => ({ ...one, steps: all(one.steps) })) }
    case "parallel":
      return { ...step, ...at, branches: step.branches.map((one) => ({ ...one, steps: all(one.steps) })) }
    case "nested":
    case "forEach":
      return { ...step, ...at, steps: all(step.steps) }
    default:
      return { ...step, ...at }
  }
}

const fateAt = (step: SagaShape.StepShape, fates: Fates, state: SagaState | undefined): StepFate => {
  if (step.type === "pivot") return state?.passed === true ? "done" : "ahead"
  const fate = fates.get(step.path)
  if (fate !== undefined) return fate
  // An alternative that was not chosen, or a step that the rollback came before.
  return state !== undefined && (state.direction === "backward" || state.status === "finished") ? "passed" : "ahead"
}

const waitOf = ({ signal, timeout, until }: SagaShape.WaitShape): string => {
  const time =
    timeout === null ? (until ? "a time of the context" : undefined) : Duration.format(Duration.millis(timeout))
  if (signal === null) return time === undefined ? "sleeps" : `sleeps ${time}`
  return time === undefined ? `signal ${signal}` : `signal ${signal}, or ${time}`
}

const begunNode = (step: StepState, fates: Fates): Node => ({
  path: step.path,
  name: step.name,
  kind: step.kind,
  ...(step.request !== undefined && { does: targetOf(step.request) }),
  ...(step.child !== undefined && { does: `starts ${step.child.saga}`, undo: "cancel" }),
  ...(step.kind === "wait" && { does: step.signal === undefined ? "sleeps" : `signal ${step.signal}` }),
  fate: fates.get(step.path) ?? "ahead",
  inside: step.inner.map((frame) => ({
    label: frame.prefix,
    taken: true,
    steps: started(frame)
      .toSorted(byPath)
      .map((inner) => begunNode(inner, fates))
  }))
})

const targetOf = ({
  command,
  message
}: {
  readonly command: string | undefined
  readonly message: { readonly service: string }
}) => (command === undefined ? message.service : `${message.service}/${command}`)

/** In the order of definition: paths are indexes. */
const byPath = (a: StepState, b: StepState): number => last(a.path) - last(b.path)
const last = (path: string): number => Number(path.slice(path.lastIndexOf("/") + 1))

// ---- plan ------------------------------------------------------------------------------------------------------

/** What a cancel undoes now: the steps that are done and have a compensation, the latest first. */
export const planOf = (nodes: ReadonlyArray<Node>): ReadonlyArray<PlanStep> =>
  nodes.toReversed().flatMap((node): ReadonlyArray<PlanStep> => {
    const { fate, inside, kind, name, path, undo } = node
    const plans = inside.filter(({ taken }) => taken).map(({ steps }) => planOf(steps))
    if (kind === "parallel")
      return plans.some((plan) => plan.length > 0) ? [{ path, step: name, how: "concurrently", plans }] : []
    if (inside.length > 0) return plans.flat()
    // A request that is out may have had its effect.
    const isThere =
      fate === "done" || (fate === "waiting" && kind === "remote") || fate === "undoing" || fate === "parked"
    if (!isThere || undo === undefined) return []
    if (kind === "start") return [{ path, step: name, how: "cancel" }]
    return [undo === "local" ? { path, step: name, how: "local" } : { path, step: name, how: "remote", target: undo }]
  })
