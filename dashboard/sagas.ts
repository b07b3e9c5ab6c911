/** The sagas: how they are built, what is undone if a step fails, and how many executions each version still has. */
import type { SagaForm } from "../src/console/dashboard/Forms.ts"
import * as api from "./api.ts"
import { diagram } from "./diagram.ts"
import { planList } from "./dialog.ts"
import { h } from "./dom.ts"
import { empty, heading, type Screen } from "./screen.ts"
import { atLeast, span } from "./text.ts"

export const sagas: Screen<ReadonlyArray<SagaForm>> = {
  label: "Sagas",
  title: () => "Sagas",
  load: api.sagas,
  view: (sagas) =>
    h(
      "div",
      { class: "stack" },
      heading("Sagas"),
      sagas.length === 0
        ? empty("No sagas", "Neither does this process have one, nor has the database an open execution.")
        : null,
      sagas.map(card)
    )
}

const card = ({
  atLeast: isCut,
  deadline,
  diagram: steps,
  fingerprint,
  known,
  latest,
  live,
  name,
  plans,
  version
}: SagaForm) => {
  const id = `saga-${fingerprint.slice(0, 16)}`
  return h(
    "section",
    { class: "card", key: fingerprint, "aria-labelledby": id },
    h(
      "h2",
      { id, class: "group" },
      name,
      version === undefined ? null : h("span", { class: "tag" }, `version ${version}`),
      h("code", { title: fingerprint }, fingerprint.slice(0, 8)),
      h("span", { class: "quiet" }, `${atLeast(live, isCut)} open`),
      known
        ? latest
          ? h("span", { class: "tag" }, "new executions begin with it")
          : h("span", { class: "tag" }, "older version")
        : h("span", { class: "tag bad" }, "not in this process")
    ),
    deadline === undefined ? null : h("p", { class: "quiet" }, `An execution has ${span(deadline)}.`),
    !known
      ? h("p", {}, "Executions of this form wait for a process that has it.")
      : h(
          "div",
          { class: "columns even" },
          diagram(steps, `The steps of ${name}`, true),
          h(
            "div",
            {},
            h("h3", {}, "If a step fails"),
            plans.map(({ path, plan, step }) =>
              h(
                "details",
                { key: path },
                h(
                  "summary",
                  {},
                  h("strong", {}, step),
                  h(
                    "span",
                    { class: "quiet" },
                    plan.length === 0 ? " – nothing is undone" : ` – undoes ${plan.map((one) => one.step).join(", ")}`
                  )
                ),
                planList(plan)
              )
            )
          )
        )
  )
}
