/**
 * All executions: filters are in the address, pages are read as the list is scrolled, and only the rows in sight are
 * elements, so ten thousand of them scroll like ten.
 */
import type { Row, Rows, Shown } from "../src/console/dashboard/Forms.ts"
import * as api from "./api.ts"
import { confirmAll, targetOf } from "./dialog.ts"
import { h } from "./dom.ts"
import { type Context, empty, heading, linkTo, mayAct, pill, type Screen, time } from "./screen.ts"
import { count } from "./text.ts"

const statuses: ReadonlyArray<Shown> = ["running", "waiting", "undoing", "parked", "committing", "finished", "undone"]
const pageSize = 200

interface List {
  /** The filters that the rows are of. */
  readonly of: string
  rows: ReadonlyArray<Row>
  next: string | undefined
  previous: string | undefined
  isReading: boolean
  top: number
  height: number
  readonly chosen: Set<string>
}

let list: List | undefined

const filterKeys = [
  "saga",
  "shown",
  "startKey",
  "user",
  "failure",
  "step",
  "waitsFor",
  "attribute",
  "olderThan",
  "after",
  "before"
]

const filtersOf = (query: URLSearchParams): URLSearchParams => {
  const kept = new URLSearchParams()
  for (const key of filterKeys) {
    const value = query.get(key)
    if (value !== null && value !== "") kept.set(key, value)
  }
  return kept
}

const ask = (query: URLSearchParams, place: Record<string, string> = {}): Promise<Rows> => {
  const asked = filtersOf(query)
  for (const [key, value] of Object.entries(place)) {
    asked.delete("after")
    asked.delete("before")
    asked.set(key, value)
  }
  asked.set("limit", String(pageSize))
  return api.executions(asked)
}

/** Changes the shown elements into the wanted ones. Elements that are the same stay, so that focus and scrolling stay too. */
const merged = (old: ReadonlyArray<Row>, { items, next }: Rows): ReadonlyArray<Row> => {
  const last = items.at(-1)
  if (next === undefined || last === undefined) return items
  const fresh = new Set(items.map(({ uuid }) => uuid))
  const below = old.findIndex(
    (row) => row.createdAt < last.createdAt || (row.createdAt === last.createdAt && row.uuid < last.uuid)
  )
  return below < 0 ? items : [...items, ...old.slice(below).filter(({ uuid }) => !fresh.has(uuid))]
}

export const executions: Screen<List> = {
  label: "Executions",
  title: () => "Executions",
  enter: () => {
    list = undefined
  },
  load: async ({ query }) => {
    const of = String(filtersOf(query))
    const page = await ask(query)
    const known = list?.of === of ? list : undefined
    const isAll = known === undefined || known.rows.length <= page.items.length
    list = {
      of,
      rows: known === undefined ? page.items : merged(known.rows, page),
      next: isAll || page.next === undefined ? page.next : known.next,
      previous: page.previous,
      isReading: false,
      top: known?.top ?? 0,
      height: known?.height ?? 600,
      chosen: known?.chosen ?? new Set()
    }
    return list
  },
  view: (list, context) =>
    h(
      "div",
      { class: "stack tall" },
      heading(
        "Executions",
        h(
          "span",
          { class: "quiet", "aria-live": "polite" },
          `${list.rows.length.toLocaleString("en")}${list.next === undefined ? "" : "+"} shown`
        )
      ),
      filters(context),
      chosenBar(list, context),
      list.rows.length === 0
        ? empty(
            "No execution matches",
            filtersOf(context.query).size === 0 ? "They appear here as soon as a saga starts." : "Take a filter away."
          )
        : table(list, context)
    )
}

const set = (query: URLSearchParams, key: string, value: string): void => {
  const next = filtersOf(query)
  next.delete("after")
  next.delete("before")
  if (value === "") next.delete(key)
  else next.set(key, value)
  location.hash = `#/executions?${next}`
}

const uuidForm = /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i

const filters = ({ me, query }: Context) => {
  const field = (key: string, label: string, hint = "") =>
    h(
      "label",
      { class: "field", key },
      h("span", {}, label),
      h("input", {
        type: "search",
        name: key,
        placeholder: hint,
        value: query.get(key) ?? "",
        onchange: ({ target }: { target: HTMLInputElement }) => set(query, key, target.value.trim())
      })
    )
  const sagas = [...new Set([...me.sagas, ...(query.has("saga") ? [query.get("saga")!] : [])])]
  return h(
    "search",
    {},
    h(
      "form",
      { class: "filters", "aria-label": "Filters", onsubmit: (event: Event) => event.preventDefault() },
      h(
        "label",
        { class: "field", key: "find" },
        h("span", {}, "Key or uuid"),
        h("input", {
          type: "search",
          name: "find",
          placeholder: "order-42",
          value: query.get("startKey") ?? "",
          onchange: ({ target }: { target: HTMLInputElement }) => {
            const text = target.value.trim()
            if (uuidForm.test(text)) location.hash = `#/execution/${text.toLowerCase()}`
            else set(query, "startKey", text)
          }
        })
      ),
      h(
        "label",
        { class: "field", key: "saga" },
        h("span", {}, "Saga"),
        h(
          "select",
          {
            name: "saga",
            value: query.get("saga") ?? "",
            onchange: ({ target }: { target: HTMLSelectElement }) => set(query, "saga", target.value)
          },
          h("option", { value: "" }, "any"),
          sagas.map((saga) => h("option", { value: saga }, saga))
        )
      ),
      h(
        "label",
        { class: "field", key: "shown" },
        h("span", {}, "Status"),
        h(
          "select",
          {
            name: "shown",
            value: query.get("shown") ?? "",
            onchange: ({ target }: { target: HTMLSelectElement }) => set(query, "shown", target.value)
          },
          h("option", { value: "" }, "any"),
          statuses.map((shown) => h("option", { value: shown }, shown))
        )
      ),
      field("waitsFor", "Waits for", "payments/Charge"),
      field("failure", "Failure", "CardDeclined"),
      field("user", "User"),
      field("attribute", "Attribute", "customer=42"),
      h(
        "label",
        { class: "field", key: "age" },
        h("span", {}, "Older than"),
        h(
          "select",
          {
            name: "olderThan",
            value: query.get("olderThan") ?? "",
            onchange: ({ target }: { target: HTMLSelectElement }) => set(query, "olderThan", target.value)
          },
          [
            ["", "any age"],
            ["300000", "5 minutes"],
            ["3600000", "1 hour"],
            ["86400000", "1 day"],
            ["604800000", "1 week"]
          ].map(([value, text]) => h("option", { value }, text))
        )
      ),
      filtersOf(query).size === 0 ? null : h("a", { class: "button", href: "#/executions" }, "Clear")
    )
  )
}

const chosenBar = (list: List, context: Context) => {
  const chosen = list.rows.filter(({ uuid }) => list.chosen.has(uuid))
  if (chosen.length === 0 || !mayAct(context)) return null
  const parked = chosen.filter(({ shown }) => shown === "parked")
  const open = chosen.filter(({ settled, shown }) => !settled && shown !== "undoing")
  const act = async (title: string, targets: Parameters<typeof confirmAll>[2], danger: boolean, body?: HTMLElement) => {
    if (!(await confirmAll(title, title, targets, body, danger))) return
    list.chosen.clear()
    await context.refresh()
  }
  return h(
    "div",
    { class: "chosen", role: "region", "aria-label": "Chosen executions" },
    h("strong", {}, count(chosen.length, "execution"), " chosen"),
    h(
      "button",
      {
        type: "button",
        disabled: parked.length === 0,
        onclick: () =>
          void act(
            "Retry",
            parked.map((row) => targetOf(row, { action: "retry" })),
            false
          )
      },
      `Retry ${parked.length} parked …`
    ),
    h(
      "button",
      {
        type: "button",
        class: "danger",
        disabled: open.length === 0,
        onclick: () =>
          void act(
            "Cancel",
            open.map((row) => targetOf(row, { action: "cancel" })),
            true,
            h("p", {}, "What they have done is undone, in reverse order. Those whose outcome is decided refuse.")
          )
      },
      `Cancel ${open.length} …`
    ),
    h(
      "button",
      {
        type: "button",
        class: "plain",
        onclick: () => {
          list.chosen.clear()
          context.render()
        }
      },
      "Choose none"
    )
  )
}

const headings = ["Execution", "Saga", "Status", "At", "Waits for", "Age"]

const rowHeight = (): number => (window.innerWidth < 720 ? 76 : 38)

const table = (list: List, context: Context) => {
  const each = rowHeight()
  const from = Math.max(0, Math.floor(list.top / each) - 8)
  const rows = list.rows.slice(from, from + Math.ceil(list.height / each) + 16)
  const canChoose = mayAct(context)
  const isAllChosen = list.rows.length > 0 && list.rows.every(({ uuid }) => list.chosen.has(uuid))
  const read = async (): Promise<void> => {
    if (list.next === undefined || list.isReading) return
    list.isReading = true
    const page = await ask(context.query, { after: list.next }).catch(() => undefined)
    list.isReading = false
    if (page === undefined) return
    list.rows = [...list.rows, ...page.items]
    list.next = page.next
    context.render()
  }
  const onscroll = ({ currentTarget }: Event) => {
    const { clientHeight, scrollHeight, scrollTop } = currentTarget as HTMLElement
    const isFar = Math.abs(scrollTop - list.top) > each * 4 || clientHeight !== list.height
    if (isFar) {
      list.top = scrollTop
      list.height = clientHeight
      requestAnimationFrame(context.render)
    }
    if (scrollHeight - scrollTop < clientHeight * 3) void read()
  }
  return h(
    "div",
    { class: "list", key: "list" },
    list.previous === undefined
      ? null
      : h(
          "a",
          { class: "button more", href: `#/executions?${withPlace(context.query, "before", list.previous)}` },
          "↑ Newer"
        ),
    h(
      "div",
      {
        class: canChoose ? "grid choose" : "grid",
        role: "table",
        "aria-label": "Executions",
        "aria-rowcount": list.next === undefined ? list.rows.length + 1 : -1,
        tabindex: "0",
        key: "rows",
        onscroll
      },
      h(
        "div",
        { role: "rowgroup", class: "head" },
        h(
          "div",
          { role: "row", class: "row", "aria-rowindex": 1 },
          canChoose
            ? h(
                "span",
                { role: "columnheader" },
                h("input", {
                  type: "checkbox",
                  "aria-label": "Choose all that are shown",
                  ...(isAllChosen && { checked: true }),
                  onchange: () => {
                    for (const { uuid } of list.rows) isAllChosen ? list.chosen.delete(uuid) : list.chosen.add(uuid)
                    context.render()
                  }
                })
              )
            : null,
          headings.map((text) => h("span", { role: "columnheader" }, text))
        )
      ),
      h(
        "div",
        { role: "rowgroup", class: "rows", style: { height: `${list.rows.length * each}px` } },
        rows.map((row, i) => line(row, from + i, each, list, context, canChoose))
      )
    ),
    list.next === undefined
      ? null
      : h(
          "a",
          { class: "button more", href: `#/executions?${withPlace(context.query, "after", list.next)}` },
          "↓ Older"
        )
  )
}

const withPlace = (query: URLSearchParams, key: string, place: string): URLSearchParams => {
  const next = filtersOf(query)
  next.delete("after")
  next.delete("before")
  next.set(key, place)
  return next
}

const line = (row: Row, at: number, each: number, list: List, context: Context, canChoose: boolean) =>
  h(
    "div",
    {
      role: "row",
      class: list.chosen.has(row.uuid) ? "row on" : "row",
      key: row.uuid,
      "aria-rowindex": at + 2,
      style: { top: `${at * each}px` }
    },
    canChoose
      ? h(
          "span",
          { role: "cell", class: "check" },
          h("input", {
            type: "checkbox",
            "aria-label": `Choose ${row.startKey ?? row.uuid}`,
            ...(list.chosen.has(row.uuid) && { checked: true }),
            onchange: () => {
              if (!list.chosen.delete(row.uuid)) list.chosen.add(row.uuid)
              context.render()
            }
          })
        )
      : null,
    h("span", { role: "cell", class: "c-id" }, linkTo(row)),
    h("span", { role: "cell", class: "c-saga" }, row.saga),
    h("span", { role: "cell", class: "c-shown" }, pill(row.shown)),
    h(
      "span",
      { role: "cell", class: "c-at" },
      row.step === undefined ? null : h("span", { class: "place" }, row.step.name),
      row.failure === undefined ? null : h("span", { class: "cause" }, row.failure.tag)
    ),
    h("span", { role: "cell", class: "c-waits" }, row.waitsFor ?? ""),
    h("span", { role: "cell", class: "c-age" }, time(row.createdAt))
  )
