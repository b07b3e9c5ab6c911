/** The rules of pivots: one, between the steps of the saga itself, and nothing behind it that would have to be undone (SPEC C18). */
import { NotBehindPivot, PivotMisplaced, type SagaDefinitionError } from "./SagaIssue.ts"
import * as SagaPath from "./SagaPath.ts"
import type { Definition, SagaStep } from "./SagaStep.ts"

type Issues = Generator<SagaDefinitionError, void>

export function* pivot(definition: Definition): Issues {
  const before = SagaPath.reversible(definition).length
  for (const [path, step] of SagaPath.index(definition)) {
    const at = { saga: definition.name, path, step: step.name }
    if (step._tag === "Pivot" && path !== `${before}`) {
      yield new PivotMisplaced({ ...at, rule: path.includes("/") ? "top-level" : "once" })
    }
    if (Number.parseInt(path, 10) <= before) continue
    if (hasCompensation(step)) yield new NotBehindPivot({ ...at, option: "compensate" })
    if (step._tag === "Remote" && step.execute?.effect === "staged") {
      yield new NotBehindPivot({ ...at, option: "effect: staged" })
    }
  }
}

const hasCompensation = (step: SagaStep): boolean =>
  (step._tag === "Local" || step._tag === "Remote" || step._tag === "Start") && step.compensate !== undefined
