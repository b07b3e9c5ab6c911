/** The parts of a screen, and the elements that all screens share. */
import type { Me, Row, Shown, StepFate } from "../src/console/dashboard/Forms.ts"
import { type Child, h } from "./dom.ts"
import { age, exact, fateSigns, fateWords, shortId, signs } from "./text.ts"

export interface Context {
  readonly me: Me
  /** The uuid in the address. */
  readonly id: string
  readonly query: URLSearchParams
  readonly render: () => void
  readonly refresh: () => Promise<void>
}

export interface Screen<Data> {
  readonly label: string
  readonly title: (context: Context) => string
  /** Forgets what an earlier visit left. */
  readonly enter?: (context: Context) => void
  readonly load: (context: Context) => Promise<Data>
  readonly view: (data: Data, context: Context) => HTMLElement
}

export const mayAct = ({ me }: Context): boolean => me.may.includes("act")

export const heading = (text: string, ...beside: ReadonlyArray<Child>): HTMLElement =>
  h("div", { class: "heading" }, h("h1", { id: "title", tabindex: "-1" }, text), h("div", { class: "beside" }, beside))

export const pill = (shown: Shown): HTMLElement =>
  h("span", { class: `pill ${shown}` }, h("span", { "aria-hidden": "true" }, signs[shown]), " ", shown)

export const fate = (of: StepFate): HTMLElement =>
  h("span", { class: `fate ${of}` }, h("span", { "aria-hidden": "true" }, fateSigns[of]), " ", fateWords[of])

export const time = (at: number): HTMLElement => h("time", { datetime: exact(at), title: exact(at) }, age(at))

export const empty = (title: string, text: string): HTMLElement =>
  h("div", { class: "empty" }, h("p", { class: "big" }, title), h("p", {}, text))

export const linkTo = (row: Pick<Row, "uuid" | "startKey">): HTMLElement =>
  h("a", { href: `#/execution/${row.uuid}`, class: "id", title: row.uuid }, row.startKey ?? shortId(row.uuid))

/** A short list of executions, for groups and the overview. */
export const brief = (rows: ReadonlyArray<Row>, since: (row: Row) => number): HTMLElement =>
  h(
    "ul",
    { class: "brief" },
    rows.map((row) =>
      h(
        "li",
        { key: row.uuid },
        linkTo(row),
        h("span", { class: "saga" }, row.saga),
        h(
          "span",
          { class: "at" },
          row.step?.name ?? row.failure?.tag ?? "",
          row.waitsFor === undefined ? "" : ` ← ${row.waitsFor}`
        ),
        pill(row.shown),
        time(since(row))
      )
    )
  )
