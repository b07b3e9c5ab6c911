/** The steps of a saga as a drawing: one below the other, alternatives and branches side by side. Elements, no picture. */
import type { Node as Step } from "../src/console/dashboard/Forms.ts"
import { h } from "./dom.ts"
import { fateSigns, fateWords } from "./text.ts"

const kinds: Record<Step["kind"], string> = {
  local: "local",
  remote: "remote",
  wait: "wait",
  start: "starts a saga",
  pivot: "point of no return",
  conditional: "choice",
  nested: "nested saga",
  parallel: "at the same time",
  forEach: "for each item"
}

/** `isPlain`: of a saga, without the fates of an execution. */
export const diagram = (steps: ReadonlyArray<Step>, label: string, isPlain = false): HTMLElement =>
  h(
    "div",
    { class: isPlain ? "diagram plain" : "diagram", role: "group", "aria-label": label },
    sequence(steps, isPlain)
  )

const sequence = (steps: ReadonlyArray<Step>, isPlain: boolean): HTMLElement =>
  h(
    "ol",
    { class: "sequence" },
    steps.map((step) => h("li", { key: step.path }, node(step, isPlain)))
  )

const node = (step: Step, isPlain: boolean): HTMLElement => {
  const { does, fate, inside, kind, name, undo } = step
  return h(
    "div",
    { class: `step ${kind} ${isPlain ? "ahead" : fate}` },
    h(
      "div",
      { class: "box" },
      isPlain ? null : h("span", { class: "sign", "aria-hidden": "true" }, fateSigns[fate]),
      h(
        "span",
        { class: "name" },
        h("strong", {}, name),
        h("span", { class: "what" }, does ?? kinds[kind]),
        undo === undefined
          ? null
          : h(
              "span",
              { class: "undo" },
              h("span", { "aria-hidden": "true" }, "↺ "),
              h("span", { class: "hidden" }, "undone by "),
              undo === "local" ? "in this process" : undo
            )
      ),
      isPlain ? null : h("span", { class: "fate" }, fateWords[fate])
    ),
    inside.length === 0
      ? null
      : h(
          "div",
          { class: "inside" },
          inside.map(({ label, steps, taken }) =>
            h(
              "div",
              { class: taken || isPlain || fate === "ahead" ? "branch" : "branch away", key: label },
              label === "" ? null : h("span", { class: "label" }, label),
              steps.length === 0 ? h("p", { class: "quiet" }, "nothing") : sequence(steps, isPlain)
            )
          )
        )
  )
}
