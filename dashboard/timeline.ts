/** When each step ran, waited and was undone. Attempts of a step are one bar until it is opened. */
import type { Attempt, Lane } from "../src/console/dashboard/Forms.ts"
import { h } from "./dom.ts"
import { fateSigns, fateWords, moment, span } from "./text.ts"

const open = new Set<string>()

export const timeline = (lanes: ReadonlyArray<Lane>, now: number, isOver: boolean, render: () => void): HTMLElement => {
  const all = lanes.flatMap(({ attempts }) => attempts)
  const from = Math.min(...all.map((one) => one.from))
  const ends = all.map(({ from, to }) => to ?? (isOver ? from : now))
  const to = Math.max(from + 1, ...ends)
  const place = (attempt: { readonly from: number; readonly to?: number }) => ({
    left: `${((attempt.from - from) / (to - from)) * 100}%`,
    width: `max(4px, ${(((attempt.to ?? (isOver ? attempt.from : to)) - attempt.from) / (to - from)) * 100}%)`
  })
  const words = ({ from, kind, outcome, to }: Attempt) =>
    `${kind} from ${moment(from)}${to === undefined ? "" : `, ${span(to - from)}`}${outcome === undefined ? "" : `: ${outcome}`}`
  const bar = (attempt: Attempt) =>
    h("span", {
      class: `bar ${attempt.kind} ${attempt.outcome?.split(":")[0] ?? "open"}`,
      style: place(attempt),
      title: words(attempt)
    })
  return h(
    "div",
    { class: "timeline" },
    h(
      "div",
      { class: "axis", "aria-hidden": "true" },
      h("span", {}, moment(from)),
      h("span", {}, span(to - from)),
      h("span", {}, isOver ? moment(to) : "now")
    ),
    h(
      "ul",
      {},
      lanes.map((lane) => {
        const { attempts, depth, fate, name, path } = lane
        const isOpen = open.has(path)
        const last = attempts.at(-1)
        const total = last === undefined ? "" : span((last.to ?? (isOver ? last.from : now)) - attempts[0]!.from)
        return h(
          "li",
          { key: path, class: fate },
          h(
            "button",
            {
              type: "button",
              class: "lane",
              "aria-expanded": isOpen ? "true" : "false",
              onclick: () => {
                if (!open.delete(path)) open.add(path)
                render()
              }
            },
            h(
              "span",
              { class: "name", style: { "padding-left": `${depth * 14}px` } },
              h("span", { class: `sign ${fate}`, "aria-hidden": "true" }, fateSigns[fate]),
              " ",
              name,
              attempts.length > 1 ? h("span", { class: "times" }, ` ×${attempts.length}`) : null
            ),
            h("span", { class: "track" }, attempts.map(bar)),
            h("span", { class: "took" }, total, h("span", { class: "hidden" }, `, ${fateWords[fate]}`))
          ),
          isOpen
            ? h(
                "ol",
                { class: "attempts" },
                attempts.map((attempt) => h("li", {}, words(attempt)))
              )
            : null
        )
      })
    )
  )
}
