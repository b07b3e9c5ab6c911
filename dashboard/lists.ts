/** Dead letters and processes: tables that are only read. */
import type { Overview } from "../src/console/dashboard/Forms.ts"
import * as api from "./api.ts"
import { type Child, h } from "./dom.ts"
import { empty, heading, type Screen, time } from "./screen.ts"
import { age } from "./text.ts"

const table = (label: string, heads: ReadonlyArray<string>, rows: ReadonlyArray<HTMLElement>) =>
  h(
    "div",
    { class: "card scroll", tabindex: "0", role: "region", "aria-label": label },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map((head) => h("th", { scope: "col" }, head))
        )
      ),
      h("tbody", {}, rows)
    )
  )

const row = (key: string, ...cells: ReadonlyArray<Child>) =>
  h(
    "tr",
    { key },
    cells.map((cell) => h("td", {}, cell))
  )

type Letters = Awaited<ReturnType<typeof api.deadLetters>>

export const deadLetters: Screen<Letters> = {
  label: "Dead letters",
  title: () => "Dead letters",
  load: api.deadLetters,
  view: (letters) =>
    h(
      "div",
      { class: "stack" },
      heading("Dead letters"),
      h(
        "p",
        { class: "quiet" },
        "Messages that broke a rule and were put aside. Their bodies are not kept, only their hash: the sender has the message."
      ),
      letters.length === 0
        ? empty("No dead letters", "Every message that came was understood.")
        : table(
            "Dead letters",
            ["Received", "Why", "Topic", "Sender", "Bytes", "SHA-256"],
            letters.map(({ reason, receivedAt, sender, sha256, size, topic }, i) =>
              row(
                `${i} ${sha256}`,
                time(receivedAt),
                h("strong", {}, reason),
                h("code", {}, topic),
                sender,
                size.toLocaleString("en"),
                h("code", { title: sha256 }, `${sha256.slice(0, 12)}…`)
              )
            )
          )
    )
}

export const processes: Screen<Overview["processes"]> = {
  label: "Processes",
  title: () => "Processes",
  load: api.processes,
  view: (processes) =>
    h(
      "div",
      { class: "stack" },
      heading("Processes"),
      h(
        "p",
        { class: "quiet" },
        "Each process of a manager has a lease. When the lease is over, others take its executions."
      ),
      processes.length === 0
        ? empty("No process has a lease", "Executions wait until a manager runs.")
        : table(
            "Processes",
            ["Service", "Process", "State", "Began", "Lease", "At work on"],
            processes.map(({ alive, aliveUntil, held, name, service, startedAt }) =>
              row(
                name,
                service ?? "",
                h("code", { title: name }, name.replace(/^.*\//, "").slice(0, 18)),
                h("span", {}, h("span", { class: alive ? "dot on" : "dot" }), alive ? " alive" : " gone"),
                startedAt === undefined ? "" : [time(startedAt), " ago"],
                aliveUntil === undefined
                  ? alive
                    ? "without an end"
                    : "given back"
                  : alive
                    ? `${age(Date.now(), aliveUntil)} left`
                    : `over for ${age(aliveUntil)}`,
                held.toLocaleString("en")
              )
            )
          )
    )
}
