/**
 * A saga as a Mermaid flowchart. Solid arrows lead forward. A dotted arrow is a compensation: it leaves the step that is
 * compensated, and leads to the step that is compensated next. Steps without a compensation are passed over.
 */
import { Duration } from "effect"
import * as SagaShape from "../definition/SagaShape.ts"
import type { Definition } from "../definition/SagaStep.ts"

/** The flowchart of a saga; also of a shape, which may come from another program. */
export const mermaid = (saga: Definition | SagaShape.SagaShape): string => {
  const shape = "saga" in saga ? saga : SagaShape.of(saga)
  const paper: Paper = { nodes: [], arrows: [] }
  const end = drawAll(shape.steps, { ahead: [{ from: "start" }], rollback: ["errored"] }, paper)
  connect(end.ahead, "finished", paper)
  return `${[
    "flowchart TD",
    "  accDescr: Solid arrows lead forward. If a step fails, dotted arrows show the compensations, from the step before it.",
    `  start(["${shown(shape.saga)}"])`,
    ...paper.nodes.map((line) => `  ${line}`),
    `  finished(["finished"])`,
    `  errored(["errored"])`,
    ...paper.arrows.map((line) => `  ${line}`)
  ].join("\n")}\n`
}

interface Paper {
  readonly nodes: Array<string>
  readonly arrows: Array<string>
}

/** The loose ends of a drawing, to which the next step is tied. */
interface Ends {
  /** The beginnings of the solid arrows to the next step. */
  readonly ahead: ReadonlyArray<{ readonly from: string; readonly label?: string }>
  /** The steps that are compensated first if the next step fails; several after alternatives or branches. */
  readonly rollback: ReadonlyArray<string>
}

const drawAll = (steps: ReadonlyArray<SagaShape.StepShape>, ends: Ends, paper: Paper): Ends =>
  steps.reduce((before, step) => draw(step, before, paper), ends)

const draw = (step: SagaShape.StepShape, before: Ends, paper: Paper): Ends => {
  const id = `s${step.path.replaceAll("/", "_")}`
  const name = shown(step.name)
  const { rollback } = before
  switch (step.type) {
    case "local":
      paper.nodes.push(`${id}["${name}"]`)
      connect(before.ahead, id, paper)
      return {
        ahead: [{ from: id }],
        rollback: compensate(id, step.compensate === null ? null : step.name, rollback, paper)
      }
    case "remote":
      paper.nodes.push(
        `${id}["${name}${step.execute === null ? "" : `<br/>${shown(step.execute)}`}${step.later === true ? ", later" : ""}"]`
      )
      connect(before.ahead, id, paper)
      return { ahead: [{ from: id }], rollback: compensate(id, step.compensate, rollback, paper) }
    case "wait": {
      const what = [name, ...(step.signal === null ? [] : [`signal ${shown(step.signal)}`]), ...timeOf(step)].join(
        "<br/>"
      )
      // A parallelogram is an input: it comes from outside.
      paper.nodes.push(step.signal === null ? `${id}("${what}")` : `${id}[/"${what}"/]`)
      connect(before.ahead, id, paper)
      return { ahead: [{ from: id }], rollback }
    }
    case "start":
      // An asymmetric shape leads away: the other saga lives on by itself.
      paper.nodes.push(`${id}>"${name}<br/>starts ${shown(step.saga)}"]`)
      connect(before.ahead, id, paper)
      return { ahead: [{ from: id }], rollback: compensate(id, step.saga, rollback, paper, "cancel") }
    case "pivot":
      paper.nodes.push(`${id}[["${name}<br/>no way back"]]`)
      connect(before.ahead, id, paper)
      return { ahead: [{ from: id }], rollback: [] }
    case "conditional": {
      paper.nodes.push(`${id}{"${name}"}`)
      connect(before.ahead, id, paper)
      const ends = step.alternatives.map((alternative, i) => {
        const label = alternative.else ? "else" : `if ${i + 1}`
        return drawAll(alternative.steps, { ahead: [{ from: id, label }], rollback }, paper)
      })
      const hasElse = step.alternatives.some((alternative) => alternative.else)
      return together(hasElse ? ends : [...ends, { ahead: [{ from: id, label: "none" }], rollback }])
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
          drawAll(branch.steps, { ahead: [{ from: id, label: branch.name }], rollback }, paper)
        )
      )
      paper.nodes.push(`${id}_all((" "))`)
      connect(end.ahead, `${id}_all`, paper)
      return { ahead: [{ from: `${id}_all` }], rollback: end.rollback }
    }
    case "forEach": {
      const nodes: Array<string> = []
      const end = drawAll(step.steps, before, { nodes, arrows: paper.arrows })
      // In one line: a second one would lie over the first node.
      const title = [`${name}: for each ${shown(step.as)}`, ...atATime(step)].join(", ")
      paper.nodes.push(`subgraph ${id}["${title}"]`, ...nodes.map((line) => `  ${line}`), "end")
      return end
    }
  }
}

const atATime = ({ concurrency }: SagaShape.ForEachShape): ReadonlyArray<string> =>
  concurrency === 1 ? [] : [`${concurrency} at a time`]

const timeOf = ({ onTimeout, signal, timeout, until }: SagaShape.WaitShape): ReadonlyArray<string> => {
  if (timeout === null && !until) return []
  const time = timeout === null ? "a time of the context" : Duration.format(Duration.millis(timeout))
  if (signal === null) return [timeout === null ? `until ${time}` : time]
  return [`or ${time}${onTimeout ? "" : ", then it fails"}`]
}

const together = (all: ReadonlyArray<Ends>): Ends => ({
  ahead: all.flatMap(({ ahead }) => ahead),
  rollback: [...new Set(all.flatMap(({ rollback }) => rollback))]
})

const connect = (ahead: Ends["ahead"], to: string, { arrows }: Paper): void => {
  for (const { from, label } of ahead) {
    arrows.push(label === undefined ? `${from} --> ${to}` : `${from} -- "${shown(label)}" --> ${to}`)
  }
}

/** Draws the dotted arrows of a step. Gives the steps that are compensated first from here on. */
const compensate = (
  id: string,
  compensation: string | null,
  rollback: Ends["rollback"],
  { arrows }: Paper,
  verb = "compensate"
): Ends["rollback"] => {
  if (compensation === null) return rollback
  for (const to of rollback) arrows.push(`${id} -. "${verb} ${shown(compensation)}" .-> ${to}`)
  return [id]
}

/** A text that Mermaid shows as it is: other signs than letters, digits and a few are written as character codes. */
const shown = (text: string): string =>
  text.replaceAll(/[^\p{L}\p{N}_/ .-]|(?<!\p{L})[.-]|[.-](?!\p{L})/gu, (char) => `#${char.codePointAt(0)};`)
