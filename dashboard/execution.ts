/** One execution: what became of each step, when, in words and in messages; and what a person can do now. */
import type { Detail, Parked, Values, Wait } from "../src/console/dashboard/Forms.ts"
import * as api from "./api.ts"
import { diagram } from "./diagram.ts"
import { ask, note, planList, say } from "./dialog.ts"
import { h } from "./dom.ts"
import { answer } from "./form.ts"
import { type Context, heading, mayAct, pill, type Screen, time } from "./screen.ts"
import { moment, shortMessage, span } from "./text.ts"
import { timeline } from "./timeline.ts"

/** Values that were asked for, of the execution that is shown. They are forgotten with it. */
let values: Values | undefined

export const execution: Screen<Detail> = {
  label: "Execution",
  title: ({ id }) => `Execution …${id.slice(-8)}`,
  enter: () => {
    values = undefined
  },
  load: ({ id }) => api.execution(id),
  view: (detail, context) => {
    const { known, lanes, now, row, story } = detail
    return h(
      "div",
      { class: "stack", key: row.uuid },
      heading(row.startKey ?? row.saga, pill(row.shown), buttons(detail, context)),
      facts(detail),
      detail.asked.length === 0 ? null : asked(detail),
      detail.parked.length === 0 ? null : parkedCard(detail, context),
      detail.waits.length === 0 ? null : waitCard(detail, context),
      h(
        "div",
        { class: "columns even" },
        h(
          "section",
          { class: "card", "aria-labelledby": "h-diagram" },
          h("h2", { id: "h-diagram" }, "Steps"),
          known
            ? null
            : h(
                "p",
                { class: "quiet" },
                "This process does not have the saga: only the steps that have begun are drawn."
              ),
          diagram(detail.diagram, "The steps and what became of them")
        ),
        h(
          "div",
          { class: "stack" },
          h(
            "section",
            { class: "card", "aria-labelledby": "h-time" },
            h("h2", { id: "h-time" }, "Time"),
            lanes.length === 0
              ? h("p", { class: "quiet" }, "No step has begun.")
              : timeline(lanes, now, row.settled, context.render)
          ),
          h(
            "section",
            { class: "card", "aria-labelledby": "h-story" },
            h("h2", { id: "h-story" }, "Story"),
            h(
              "ol",
              { class: "story" },
              story.map(({ at, text }, i) =>
                h(
                  "li",
                  { key: `${i}` },
                  h("time", { datetime: new Date(at).toISOString() }, moment(at)),
                  h("span", {}, text)
                )
              )
            )
          )
        )
      ),
      messages(detail),
      valuesCard(detail, context)
    )
  }
}

const facts = ({ cause, commitState, deadline, decision, fingerprint, now, owner, row, trace }: Detail) => {
  const fact = (name: string, value: Parameters<typeof h>[2]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))
  return h(
    "dl",
    { class: "facts card" },
    fact("Saga", h("a", { href: `#/executions?${new URLSearchParams({ saga: row.saga })}` }, row.saga)),
    fact("Uuid", h("code", {}, row.uuid)),
    fact("Started", [moment(row.createdAt), " (", time(row.createdAt), " ago)"]),
    row.settled
      ? fact("Ended", `after ${span(row.updatedAt - row.createdAt)}`)
      : fact("Last change", [time(row.updatedAt), " ago"]),
    row.waitsFor === undefined
      ? null
      : fact("Waits for", [row.waitsFor, row.waitingSince === undefined ? "" : [", for ", time(row.waitingSince)]]),
    cause === undefined
      ? null
      : fact("Failure", [
          h("strong", { class: "bad" }, cause.tag),
          cause.step === undefined ? "" : ` at ${cause.step}`
        ]),
    row.wakeAt === undefined || row.settled
      ? null
      : fact("Looked at again", row.wakeAt <= now ? "now" : `in ${span(row.wakeAt - now)}`),
    deadline === undefined ? null : fact("Deadline", moment(deadline)),
    row.user === undefined ? null : fact("User", row.user),
    row.attributes === undefined
      ? null
      : fact(
          "Attributes",
          Object.entries(row.attributes).map(([name, value]) => h("span", { class: "tag" }, `${name} = ${value}`))
        ),
    fact("Decision", decision === null ? "none yet" : `${decision}${commitState === "none" ? "" : `: ${commitState}`}`),
    owner === undefined ? null : fact("Owner", h("code", {}, owner.slice(0, 8))),
    trace === undefined ? null : fact("Trace", h("code", {}, trace)),
    fact("Version", h("code", { title: fingerprint }, fingerprint.slice(0, 8)))
  )
}

const titles = { cancel: "Cancel", commit: "Commit", reject: "Reject" } as const

const buttons = (detail: Detail, context: Context) =>
  mayAct(context)
    ? (["commit", "reject", "cancel"] as const)
        .filter((action) => detail.actions.includes(action))
        .map((action) =>
          h(
            "button",
            {
              type: "button",
              key: action,
              class: action === "commit" ? "primary" : "danger",
              onclick: () => void end(detail, action, context)
            },
            `${titles[action]} …`
          )
        )
    : null

const end = async ({ plan, row }: Detail, action: keyof typeof titles, context: Context): Promise<void> => {
  const undo =
    action === "commit"
      ? h("p", {}, "Every service is asked to keep what it has done. There is no way back.")
      : [
          h("p", {}, "What is undone, in this order:"),
          plan === undefined
            ? h(
                "p",
                { class: "quiet" },
                "The steps that have begun, in reverse order. This process does not have the saga."
              )
            : planList(plan),
          h("p", { class: "quiet" }, "The step under way is ended first, and undone if it had an effect.")
        ]
  const given = await ask({
    title: `${titles[action]} ${row.startKey ?? "the execution"}?`,
    body: undo,
    action: titles[action],
    danger: action !== "commit"
  })
  if (given !== undefined) await tell(row.uuid, { action, reason: given.reason }, context)
}

const tell = async (uuid: string, act: Parameters<typeof api.act>[1], context: Context): Promise<void> => {
  await api.act(uuid, act).then(say, (error: Error) => note(error.message, "bad"))
  await context.refresh()
}

const asked = ({ asked }: Detail) =>
  h(
    "section",
    { class: "card busy", "aria-label": "Asked for" },
    asked.map(({ actor, at, id, reason, what }) =>
      h(
        "p",
        { key: id },
        h("span", { class: "spin", "aria-hidden": "true" }),
        " ",
        h("strong", {}, what),
        actor === undefined ? "" : ` by ${actor}`,
        reason === undefined ? "" : `: ${reason}`,
        " · ",
        time(at),
        " ago, not taken yet"
      )
    )
  )

const places: Record<Parked["kind"], string> = {
  compensation: "could not be undone",
  step: "could not be done, behind the point of no return",
  service: "does not answer to the decision",
  execution: "cannot go on as a whole"
}

const parkedCard = (detail: Detail, context: Context) =>
  h(
    "section",
    { class: "card alarm", "aria-labelledby": "h-parked" },
    h("h2", { id: "h-parked" }, "Parked for a person"),
    h(
      "ul",
      { class: "parked" },
      detail.parked.map((place) =>
        h(
          "li",
          { key: place.path },
          h(
            "p",
            {},
            h("strong", {}, place.step),
            ` ${places[place.kind]}`,
            place.since === undefined ? "" : [" · ", time(place.since), " ago"]
          ),
          place.reason === undefined ? null : h("p", { class: "cause" }, place.reason),
          mayAct(context)
            ? h(
                "div",
                { class: "buttons left" },
                h(
                  "button",
                  { type: "button", class: "primary", onclick: () => void retry(detail, place, context) },
                  "Retry …"
                ),
                place.kind === "execution"
                  ? null
                  : h(
                      "button",
                      { type: "button", onclick: () => void resolve(detail, place, context) },
                      "Resolve by hand …"
                    )
              )
            : null
        )
      )
    )
  )

const retry = async ({ row }: Detail, { path, step }: Parked, context: Context): Promise<void> => {
  const given = await ask({
    title: `Retry ${step}?`,
    body: h("p", {}, "It is tried again at once, with its count of failures at zero."),
    action: "Retry"
  })
  if (given !== undefined) await tell(row.uuid, { action: "retry", path, reason: given.reason }, context)
}

const resolve = async ({ row }: Detail, { kind, path, step }: Parked, context: Context): Promise<void> => {
  const isForward = kind === "step"
  const given = await ask({
    title: `Declare ${step} ${isForward ? "done" : kind === "service" ? "settled" : "undone"}?`,
    body: h("p", {}, "Do it by other means first. It is not tried again, and your word is its record."),
    action: "Resolve",
    danger: true,
    ...(isForward && {
      fields: () =>
        h(
          "label",
          { class: "field" },
          h("span", {}, "Result of the step, as JSON (leave it empty for a step without one)"),
          h("textarea", { name: "result", rows: "3" })
        )
    })
  })
  if (given === undefined) return
  const text = String(new FormData(given.form).get("result") ?? "").trim()
  try {
    await tell(
      row.uuid,
      { action: "resolve", path, reason: given.reason, ...(text !== "" && { result: JSON.parse(text) }) },
      context
    )
  } catch {
    note("The result is no JSON", "bad")
  }
}

const waitCard = (detail: Detail, context: Context) =>
  h(
    "section",
    { class: "card", "aria-labelledby": "h-waits" },
    h("h2", { id: "h-waits" }, "Waits for a signal"),
    h(
      "ul",
      { class: "parked" },
      detail.waits.map((wait: Wait) =>
        h(
          "li",
          { key: wait.path },
          h(
            "p",
            {},
            h("strong", {}, wait.step),
            " waits for ",
            h("code", {}, wait.signal),
            wait.key === undefined ? "" : [" with the key ", h("code", {}, wait.key)],
            " · ",
            time(wait.since),
            wait.deadline === undefined ? "" : `, until ${moment(wait.deadline)}`
          ),
          mayAct(context)
            ? h(
                "div",
                { class: "buttons left" },
                h(
                  "button",
                  { type: "button", class: "primary", onclick: () => void answer(detail.row, wait, context) },
                  "Answer …"
                )
              )
            : null
        )
      )
    )
  )

const messages = ({ messages }: Detail) =>
  messages.length === 0
    ? null
    : h(
        "section",
        { class: "card", "aria-labelledby": "h-messages" },
        h("h2", { id: "h-messages" }, "Messages"),
        h(
          "div",
          { class: "scroll", tabindex: "0", role: "group", "aria-labelledby": "h-messages" },
          h(
            "table",
            {},
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                ["At", "Way", "What", "Step", "Status", "Id"].map((head) => h("th", { scope: "col" }, head))
              )
            ),
            h(
              "tbody",
              {},
              messages.map(({ at, id, status, step, way, what }, i) =>
                h(
                  "tr",
                  { key: `${i}` },
                  h("td", {}, moment(at)),
                  h("td", {}, way === "out" ? "→ out" : "← in"),
                  h("td", {}, what),
                  h("td", {}, step ?? ""),
                  h("td", { class: status !== undefined && status !== 200 ? "bad" : "" }, status ?? ""),
                  h("td", {}, id === undefined ? "" : h("code", { title: id }, shortMessage(id)))
                )
              )
            )
          )
        )
      )

const valuesCard = ({ row }: Detail, context: Context) =>
  h(
    "section",
    { class: "card", "aria-labelledby": "h-values" },
    h("h2", { id: "h-values" }, "Values"),
    values !== undefined
      ? [
          h("h3", {}, "Initial values and results"),
          h("pre", { tabindex: "0" }, JSON.stringify(values.context, null, 2)),
          h(
            "details",
            {},
            h("summary", {}, `All ${values.facts.length} facts`),
            h("pre", { tabindex: "0" }, JSON.stringify(values.facts, null, 2))
          ),
          h(
            "button",
            {
              type: "button",
              onclick: () => {
                values = undefined
                context.render()
              }
            },
            "Hide them"
          )
        ]
      : context.me.may.includes("values")
        ? [
            h("p", { class: "quiet" }, "They may be personal. That you look at them is logged."),
            h("button", { type: "button", onclick: () => void show(row.uuid, context) }, "Show the values")
          ]
        : h("p", { class: "quiet" }, "You may not see stored values.")
  )

const show = async (uuid: string, context: Context): Promise<void> => {
  values = await api.values(uuid).catch((error: Error) => {
    note(error.message, "bad")
    return undefined
  })
  context.render()
}
