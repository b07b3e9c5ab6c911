/**
 * A saga as a Mermaid flowchart. Solid arrows are the way forward. A dotted arrow leaves a step that is undone, and
 * leads to what is undone next; a step without a compensation has none and is passed over.
 */
import * as SagaShape from "../definition/SagaShape.ts"
import type { Definition } from "../definition/SagaStep.ts"

/** Draws a saga, or the shape of one that this program does not have. */
export const mermaid = (saga: Definition | SagaShape.SagaShape): string => {
  const shape = "saga" in saga ? saga : SagaShape.of(saga)
  const paper: Paper = { nodes: [], arrows: [] }
  const end = drawAll(shape.steps, { ahead: [{ from: "start" }], undone: ["undone"] }, paper)
  connect(end.ahead, "finished", paper)
  return `${[
    "flowchart TD",
    "  accDescr: Solid arrows lead forward. If a step fails, dotted arrows lead back from the step before it.",
    `  start(["${shown(shape.saga)}"])`,
    ...paper.nodes.map((line) => `  ${line}`),
    `  finished(["finished"])`,
    `  undone(["undone"])`,
    ...paper.arrows.map((line) => `  ${line}`)
  ].join("\n")}\n`
}

interface Paper {
  readonly nodes: Array<string>
  readonly arrows: Array<string>
}

/** Where the drawing has come to. */
interface Place {
  /** What leads to the next step. */
  readonly ahead: ReadonlyArray<{ readonly from: string; readonly label?: string }>
  /** What is undone first if the next step fails; several after a choice or after branches. */
  readonly undone: ReadonlyArray<string>
}

const drawAll = (steps: ReadonlyArray<SagaShape.StepShape>, place: Place, paper: Paper): Place =>
  steps.reduce((before, step) => draw(step, before, paper), place)

const draw = (step: SagaShape.StepShape, before: Place, paper: Paper): Place => {
  const id = `s${step.path.replaceAll("/", "_")}`
  const name = shown(step.name)
  const { undone } = before
  switch (step.type) {
    case "local":
      paper.nodes.push(`${id}["${name}"]`)
      connect(before.ahead, id, paper)
      return { ahead: [{ from: id }], undone: undo(id, step.compensate === null ? null : step.name, undone, paper) }
    case "remote":
      paper.nodes.push(`${id}["${name}${step.execute === null ? "" : `<br/>${shown(step.execute)}`}"]`)
      connect(before.ahead, id, paper)
      return { ahead: [{ from: id }], undone: undo(id, step.compensate, undone, paper) }
    case "conditional": {
      paper.nodes.push(`${id}{"${name}"}`)
      connect(before.ahead, id, paper)
      const ends = step.alternatives.map((alternative, i) => {
        const label = alternative.else ? "else" : `if ${i + 1}`
        return drawAll(alternative.steps, { ahead: [{ from: id, label }], undone }, paper)
      })
      const hasElse = step.alternatives.some((alternative) => alternative.else)
      return together(hasElse ? ends : [...ends, { ahead: [{ from: id, label: "none" }], undone }])
    }
    case "nested": {
      const nodes: Array<string> = []
      const end = drawAll(step.steps, before, { nodes, arrows: paper.arrows })
      const title = `subgraph ${id}["${name}: ${shown(step.saga)}"]`
      paper.nodes.push(title, ...nodes.map((line) => `  ${line}`), "end")
      return end
    }
    case "parallel": {
      paper.nodes.push(`${id}{{"${name}"}}`)
      connect(before.ahead, id, paper)
      const end = together(
        step.branches.map((branch) =>
          drawAll(branch.steps, { ahead: [{ from: id, label: branch.name }], undone }, paper)
        )
      )
      paper.nodes.push(`${id}_all((" "))`)
      connect(end.ahead, `${id}_all`, paper)
      return { ahead: [{ from: `${id}_all` }], undone: end.undone }
    }
  }
}

const together = (places: ReadonlyArray<Place>): Place => ({
  ahead: places.flatMap(({ ahead }) => ahead),
  undone: [...new Set(places.flatMap(({ undone }) => undone))]
})

const connect = (ahead: Place["ahead"], to: string, { arrows }: Paper): void => {
  for (const { from, label } of ahead) {
    arrows.push(label === undefined ? `${from} --> ${to}` : `${from} -- "${shown(label)}" --> ${to}`)
  }
}

/** What is undone first from here on. */
const undo = (id: string, compensation: string | null, undone: Place["undone"], { arrows }: Paper): Place["undone"] => {
  if (compensation === null) return undone
  for (const to of undone) arrows.push(`${id} -. "undo ${shown(compensation)}" .-> ${to}`)
  return [id]
}

/** Text that Mermaid shows as it is: whatever could mean something to it is written as a character code. */
const shown = (text: string): string =>
  text.replaceAll(/[^\p{L}\p{N}_/ .-]|(?<!\p{L})[.-]|[.-](?!\p{L})/gu, (char) => `#${char.codePointAt(0)};`)
