/** The page: which screen the address asks for, its data, and when both are looked at again. */
import * as api from "./api.ts"
import { attention } from "./attention.ts"
import { h, morph } from "./dom.ts"
import { execution } from "./execution.ts"
import { executions } from "./executions.ts"
import { deadLetters, processes } from "./lists.ts"
import { overview } from "./overview.ts"
import { sagas } from "./sagas.ts"
import type { Context, Screen } from "./screen.ts"
import { nextTheme, theme } from "./theme.ts"
import { waiting } from "./waiting.ts"

const screens: Readonly<Record<string, Screen<any>>> = {
  "": overview,
  attention,
  executions,
  execution,
  waiting,
  "dead-letters": deadLetters,
  sagas,
  processes
}
const navigation = ["", "attention", "executions", "waiting", "dead-letters", "sagas", "processes"]

let me: Context["me"] | undefined
let isLive = true
/** Databases that do not answer, where executions are spread over several. */
let missing: ReadonlyArray<string> = []
/** Those of them that refuse the role of the dashboard, each with the reason. */
let refused: Readonly<Record<string, string>> = {}
/** The number of things that need a person: it stands beside the entry of the screen. */
let toAttend = 0
let shown:
  | {
      readonly name: string
      readonly screen: Screen<any>
      readonly context: Context
      data: unknown
      failure: Error | undefined
    }
  | undefined

const route = (): { readonly name: string; readonly id: string; readonly query: URLSearchParams } => {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?")
  const [name = "", id = ""] = path.split("/")
  // An execution without its uuid is the list of all.
  const asked = name === "execution" && id === "" ? "executions" : name
  return { name: Object.hasOwn(screens, asked) ? asked : "", id: idOf(id), query: new URLSearchParams(query) }
}

/** An address that a person has broken names no execution. */
const idOf = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Only the latest question is answered: an answer that comes late is of another screen. */
let asked = 0

const open = async (): Promise<void> => {
  if (me === undefined) return
  const { id, name, query } = route()
  const screen = screens[name]!
  const before = shown
  const isSame = before?.name === name && before.context.id === id
  const context: Context = { me, id, query, render, refresh: load }
  listen(name === "execution" ? id : undefined)
  shown = { name, screen, context, data: isSame ? before.data : undefined, failure: undefined }
  if (!isSame) {
    screen.enter?.(context)
    window.scrollTo(0, 0)
  }
  render()
  await load()
  if (!isSame && before !== undefined) document.getElementById("title")?.focus()
}

const load = async (): Promise<void> => {
  const current = shown
  if (current === undefined) return
  const question = ++asked
  const [data, failure] = await current.screen.load(current.context).then(
    (data) => [data, undefined] as const,
    (error: Error) => [undefined, error] as const
  )
  if (question !== asked || shown !== current) return
  if (failure === undefined) current.data = data
  current.failure = failure
  render()
}

const told = (away: ReadonlyArray<string>, refusing: Readonly<Record<string, string>>): void => {
  missing = away
  refused = refusing
  render()
  changed()
}

let late: ReturnType<typeof setTimeout> | undefined

/** Several changes in a row are one look. */
const changed = (): void => {
  late ??= setTimeout(() => {
    late = undefined
    void load()
    void countAttention()
  }, 250)
}

let heard: { readonly of: string | undefined; readonly leave: () => void } | undefined

/** Hears of changes: of all, and on its screen of the one execution. */
const listen = (uuid: string | undefined): void => {
  if (heard !== undefined && heard.of === uuid) return
  heard?.leave()
  heard = {
    of: uuid,
    leave: api.news(uuid, told, (live) => {
      const wasAway = !isLive
      isLive = live
      if (live && wasAway) changed()
      render()
    })
  }
}

const countAttention = async (): Promise<void> => {
  const found = await api.attention().catch(() => undefined)
  if (found === undefined) return
  toAttend = found.groups.reduce((sum, { count }) => sum + count, 0) + found.doubts.length
  render()
}

function render(): void {
  const root = document.getElementById("app")
  if (root === null || shown === undefined) return
  const { context, data, failure, name, screen } = shown
  document.title = `${screen.title(context)} · Sagas`
  const content = data !== undefined ? screen.view(data, context) : failure === undefined ? skeleton() : undefined
  morph(
    root,
    h(
      "div",
      { id: "app" },
      side(name),
      h(
        "main",
        { id: "main", tabindex: "-1", "aria-busy": data === undefined && failure === undefined ? "true" : undefined },
        missing.length === 0 ? null : awayNotice(missing),
        failure === undefined
          ? null
          : h(
              "div",
              { class: "notice bad", role: "alert" },
              failure.message,
              " ",
              h("button", { type: "button", onclick: () => void load() }, "Try again")
            ),
        content
      )
    )
  )
}

/** On every screen: a list does not look as if it were whole. */
const awayNotice = (names: ReadonlyArray<string>) => {
  const isOne = names.length === 1
  const sentences = Array.from(
    Map.groupBy(names, (name) => refused[name]),
    ([why, names]) => {
      const who = `The ${names.length === 1 ? "database" : "databases"} ${names.join(", ")}`
      if (why !== undefined) return `${who} ${names.length === 1 ? "refuses" : "refuse"} this: ${why}. `
      return `${who} ${names.length === 1 ? "does" : "do"} not answer. `
    }
  )
  return h(
    "div",
    { class: "notice bad", role: "status" },
    h("strong", {}, ...sentences),
    `${isOne ? "Its" : "Their"} executions are kept, and are not shown or counted here until then.`
  )
}

const skeleton = () =>
  h(
    "div",
    { class: "skeleton" },
    h("h1", { id: "title", tabindex: "-1" }, "Loading …"),
    ...[1, 2, 3, 4].map(() => h("div", { class: "bone" }))
  )

const side = (name: string) =>
  h(
    "header",
    { class: "side" },
    h("a", { class: "brand", href: "#/" }, h("span", { class: "mark", "aria-hidden": "true" }, "↺"), " Sagas"),
    h(
      "nav",
      { "aria-label": "Screens" },
      h(
        "ul",
        {},
        navigation.map((to) => {
          const isHere = to === name || (to === "executions" && name === "execution")
          return h(
            "li",
            {},
            h(
              "a",
              { href: `#/${to}`, "aria-current": isHere ? "page" : undefined },
              screens[to]!.label,
              to === "attention" && toAttend > 0
                ? h("span", { class: "badge" }, toAttend, h("span", { class: "hidden" }, " to look at"))
                : null
            )
          )
        })
      )
    ),
    h(
      "div",
      { class: "foot" },
      h("span", { class: isLive ? "live" : "live off" }, isLive ? "Live" : "Not connected"),
      h("span", { class: "who", title: me?.may.join(", ") ?? "" }, me?.actor ?? ""),
      me?.may.includes("act") === true ? null : h("span", { class: "who" }, "read only"),
      h(
        "button",
        {
          type: "button",
          class: "plain",
          onclick: () => {
            nextTheme()
            render()
          }
        },
        `Colours: ${theme()}`
      )
    )
  )

const start = async (): Promise<void> => {
  nextTheme(theme())
  const root = document.getElementById("main")
  try {
    me = await api.me()
  } catch (error) {
    root?.replaceChildren(
      h("h1", {}, "No entry"),
      h("p", { class: "notice bad", role: "alert" }, (error as Error).message)
    )
    return
  }
  window.addEventListener("hashchange", () => void open())
  // Ages grow by themselves.
  setInterval(render, 5_000)
  void countAttention()
  await open()
}

void start()
