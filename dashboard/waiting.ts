/** The screen of open waits: for services, for people, and for times; and of commands that participants have not answered. */
import type { CommandGroup, Waiting, WaitingGroup } from "../src/console/dashboard/Forms.ts"
import * as api from "./api.ts"
import { note } from "./dialog.ts"
import { h } from "./dom.ts"
import { answer } from "./form.ts"
import { type Context, empty, heading, linkTo, mayAct, type Screen, time } from "./screen.ts"
import { atLeast } from "./text.ts"

const words: Record<WaitingGroup["kind"], string> = { signal: "Signals", service: "Services", timer: "Times" }

export const waiting: Screen<Waiting> = {
  label: "Waiting",
  title: () => "Waiting",
  load: api.waiting,
  view: ({ commands, groups }, context) =>
    h(
      "div",
      { class: "stack" },
      heading("Waiting"),
      groups.length === 0 ? empty("Nothing waits", "No execution waits for a service, a signal or a time.") : null,
      (["signal", "service", "timer"] as const).map((kind) => {
        const found = groups.filter((group) => group.kind === kind)
        return found.length === 0
          ? null
          : h(
              "section",
              { key: kind, class: "stack", "aria-labelledby": `h-${kind}` },
              h("h2", { id: `h-${kind}` }, words[kind]),
              found.map((group) => card(group, context))
            )
      }),
      commands.length === 0 ? null : participants(commands)
    )
}

const becomes: Record<CommandGroup["state"], string> = {
  accepted: "the answer comes later",
  running: "a handler runs",
  interrupted: "a handler has stopped in the middle, and runs again when its execution asks"
}

const participants = (commands: ReadonlyArray<CommandGroup>) =>
  h(
    "section",
    { class: "card", key: "commands", "aria-labelledby": "h-commands" },
    h("h2", { id: "h-commands", class: "group" }, "Commands without an answer, at participants of this database"),
    h(
      "ul",
      { class: "brief" },
      commands.map(({ atLeast: isCut, command, count, execution, oldest, service, state }) =>
        h(
          "li",
          { key: `${service} ${command} ${state}` },
          h("a", { class: "id", href: `#/execution/${execution}`, title: execution }, execution.slice(-8)),
          h("code", { class: "saga" }, `${service}/${command}`),
          h("strong", {}, atLeast(count, isCut)),
          h("span", { class: "at" }, becomes[state]),
          time(oldest)
        )
      )
    )
  )

const card = (group: WaitingGroup, context: Context) => {
  const { atLeast: isCut, count, items, kind, oldest, target } = group
  const id = `w-${kind}-${target}`.replaceAll(/[^\w-]/g, "_")
  return h(
    "section",
    { class: "card", key: target, "aria-labelledby": id },
    h(
      "h3",
      { id, class: "group" },
      h("span", { class: `kind ${kind}` }, kind),
      h("code", {}, target),
      h("strong", {}, atLeast(count, isCut)),
      oldest === undefined ? null : h("span", { class: "quiet" }, "the oldest for ", time(oldest))
    ),
    h(
      "ul",
      { class: "brief" },
      items.map((row) =>
        h(
          "li",
          { key: row.uuid },
          linkTo(row),
          h("span", { class: "saga" }, row.saga),
          h("span", { class: "at" }, row.step?.name ?? ""),
          time(row.waitingSince ?? row.updatedAt),
          kind === "signal" && mayAct(context)
            ? h(
                "button",
                {
                  type: "button",
                  class: "small",
                  "aria-label": `Answer ${row.startKey ?? row.uuid}`,
                  onclick: () => void open(row.uuid, context)
                },
                "Answer …"
              )
            : null
        )
      )
    ),
    items.length < count || isCut
      ? h(
          "div",
          { class: "buttons left" },
          h(
            "a",
            {
              class: "button",
              href: `#/executions?${new URLSearchParams({ waitsFor: kind === "signal" ? `signal ${target}` : target })}`
            },
            "See all of them"
          )
        )
      : null
  )
}

/** The wait with its key and its form are read when somebody answers. */
const open = async (uuid: string, context: Context): Promise<void> => {
  const detail = await api.execution(uuid).catch((error: Error) => {
    note(error.message, "bad")
    return undefined
  })
  if (detail === undefined) return
  const [wait] = detail.waits
  if (wait === undefined) note("It does not wait any more")
  else if (detail.waits.length > 1) location.hash = `#/execution/${uuid}`
  else await answer(detail.row, wait, context)
  await context.refresh()
}
