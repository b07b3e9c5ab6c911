/** The first screen: what needs a person comes first, then what is there, what moves, and what has waited longest. */
import type { Minute, Overview, Shown } from "../src/console/dashboard/Forms.ts"
import * as api from "./api.ts"
import { groupLine, idOf } from "./attention.ts"
import { h } from "./dom.ts"
import { brief, empty, heading, pill, type Screen } from "./screen.ts"
import { age, atLeast, count, moment } from "./text.ts"

const statuses: ReadonlyArray<Shown> = ["running", "waiting", "undoing", "parked", "committing", "finished", "undone"]

export const overview: Screen<Overview> = {
  label: "Overview",
  title: () => "Overview",
  load: api.overview,
  view: (data) =>
    h(
      "div",
      { class: "stack" },
      heading("Overview"),
      attention(data),
      h(
        "div",
        { class: "columns" },
        h(
          "div",
          { class: "stack" },
          card("sagas", "Executions by saga", table(data)),
          card(
            "oldest",
            "Waiting longest",
            data.oldestWaiting.length === 0
              ? h("p", { class: "quiet" }, "Nothing waits.")
              : brief(data.oldestWaiting, (row) => row.waitingSince ?? row.updatedAt)
          )
        ),
        h(
          "div",
          { class: "stack" },
          card("minutes", "Started, a minute", chart(data)),
          card("processes", "Processes", processes(data))
        )
      )
    )
}

const card = (name: string, title: string, content: HTMLElement) =>
  h("section", { class: "card", "aria-labelledby": `h-${name}` }, h("h2", { id: `h-${name}` }, title), content)

const attention = ({ attention, deadLetters, doubts }: Overview) => {
  const isCalm = attention.length === 0 && doubts === 0
  return h(
    "section",
    { class: isCalm ? "card calm" : "card alarm", "aria-labelledby": "h-attention" },
    h("h2", { id: "h-attention" }, isCalm ? "✓ Nothing needs a person" : "Needs a person"),
    isCalm ? h("p", { class: "quiet" }, "Nothing is parked, in doubt, overdue or left behind by a deployment.") : null,
    attention.length === 0
      ? null
      : h(
          "ul",
          { class: "groups" },
          attention.map((group) => h("li", { key: idOf(group) }, h("a", { href: "#/attention" }, groupLine(group))))
        ),
    doubts === 0
      ? null
      : h(
          "p",
          {},
          h("a", { href: "#/attention" }, `${count(doubts, "unit of work", "units of work")} in doubt at a participant`)
        ),
    deadLetters === 0
      ? null
      : h("p", { class: "quiet" }, h("a", { href: "#/dead-letters" }, count(deadLetters, "dead letter")))
  )
}

/** A column for each status that there is. */
const table = ({ sagas }: Overview) => {
  const columns = statuses.filter((shown) =>
    sagas.some(({ counts }) => counts.some((one) => one.shown === shown && one.count > 0))
  )
  return tableOf(sagas, columns)
}

const tableOf = (sagas: Overview["sagas"], columns: ReadonlyArray<Shown>) =>
  sagas.length === 0
    ? empty("No executions yet", "They appear here as soon as a saga starts.")
    : h(
        "div",
        { class: "scroll", tabindex: "0", role: "group", "aria-labelledby": "h-sagas" },
        h(
          "table",
          {},
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              h("th", { scope: "col" }, "Saga"),
              columns.map((shown) => h("th", { scope: "col", class: "number" }, pill(shown)))
            )
          ),
          h(
            "tbody",
            {},
            sagas.map(({ counts, saga }) =>
              h(
                "tr",
                { key: saga },
                h("th", { scope: "row" }, h("a", { href: `#/executions?${new URLSearchParams({ saga })}` }, saga)),
                columns.map((shown) => {
                  const found = counts.find((one) => one.shown === shown)
                  return h(
                    "td",
                    { class: "number" },
                    found === undefined || found.count === 0
                      ? h("span", { class: "none" }, "0")
                      : h(
                          "a",
                          { href: `#/executions?${new URLSearchParams({ saga, shown })}` },
                          atLeast(found.count, found.atLeast)
                        )
                  )
                })
              )
            )
          )
        )
      )

const chart = ({ minutes, minutesCut }: Overview) => {
  const most = Math.max(1, ...minutes.map(({ started }) => started))
  const [width, height, gap] = [300, 96, 3]
  const each = width / Math.max(1, minutes.length)
  const sum = (of: (minute: Minute) => number) => minutes.reduce((total, minute) => total + of(minute), 0)
  const bar = (value: number, i: number, from: number, kind: string) =>
    h("rect", {
      class: `bar ${kind}`,
      x: i * each + gap / 2,
      width: Math.max(1, each - gap),
      y: height - ((from + value) / most) * height,
      height: (value / most) * height
    })
  const words = `${sum((one) => one.started)} started in ${minutes.length} minutes; ${sum((one) => one.finished)} of them have finished, ${sum((one) => one.undone)} are undone`
  return h(
    "figure",
    {},
    h(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words, preserveAspectRatio: "none" },
      h("line", { class: "base", x1: 0, x2: width, y1: height, y2: height }),
      minutes.map(({ finished, started, undone }, i) => [
        bar(finished, i, 0, "finished"),
        bar(undone, i, finished, "undone"),
        bar(Math.max(0, started - finished - undone), i, finished + undone, "running")
      ])
    ),
    h(
      "figcaption",
      {},
      h("span", { class: "key finished" }, `${sum((one) => one.finished)} finished`),
      h("span", { class: "key undone" }, `${sum((one) => one.undone)} undone`),
      h("span", { class: "key running" }, `${sum((one) => one.started - one.finished - one.undone)} under way`),
      h(
        "span",
        { class: "quiet" },
        minutesCut
          ? "the newest of the last minutes; there were more"
          : `of those started since ${moment(minutes[0]?.at ?? Date.now())}; most ${most} a minute`
      )
    )
  )
}

const processes = ({ processes }: Overview) =>
  processes.length === 0
    ? h("p", { class: "quiet" }, "No process has a lease.")
    : h(
        "ul",
        { class: "processes" },
        processes.map(({ alive, aliveUntil, held, name, service }) =>
          h(
            "li",
            { key: name },
            h("span", { class: alive ? "dot on" : "dot" }),
            h("span", { title: name }, service ?? name.slice(0, 12)),
            h("span", {}, alive ? `at work on ${held}` : ""),
            h(
              "span",
              { class: "quiet" },
              alive ? "alive" : aliveUntil === undefined ? "gone" : `gone for ${age(aliveUntil)}`
            )
          )
        )
      )
