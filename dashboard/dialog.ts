/** Questions before something is done, and what became of it. Nothing is done without a reason, which goes to the history. */
import type { Act, Done, PlanStep, Row } from "../src/console/dashboard/Forms.ts"
import * as api from "./api.ts"
import { type Child, h, morph } from "./dom.ts"
import { count, shortId } from "./text.ts"

/** Says something in passing, also to a screen reader. */
export const note = (text: string, tone: "good" | "bad" = "good"): void => {
  const line = h("p", { class: `note ${tone}` }, text)
  document.getElementById("notes")?.append(line)
  setTimeout(() => line.remove(), 8_000)
}

interface Question {
  readonly title: string
  readonly body?: Child
  /** The word on the button. */
  readonly action: string
  readonly danger?: boolean
  /** More fields, read when it is submitted. Undefined: something in them is wrong. */
  readonly fields?: () => Child
  readonly reason?: string
}

/** Asks for a reason. Undefined: the person has thought better of it. The form comes along, for more fields. */
export const ask = (
  question: Question
): Promise<{ readonly reason: string; readonly form: HTMLFormElement } | undefined> =>
  new Promise((resolve) => {
    const before = document.activeElement
    const close = (answer: { readonly reason: string; readonly form: HTMLFormElement } | undefined) => {
      resolve(answer)
      dialog.close()
      dialog.remove()
      if (before instanceof HTMLElement) before.focus()
    }
    const form = h(
      "form",
      {
        onsubmit: (event: Event) => {
          event.preventDefault()
          const reason = String(new FormData(form).get("reason") ?? "").trim()
          if (reason !== "") close({ reason, form })
        }
      },
      h("h2", { id: "question" }, question.title),
      h("div", { class: "body" }, question.body),
      question.fields?.(),
      h(
        "label",
        { class: "field" },
        h("span", {}, "Reason, for the history"),
        h("input", {
          name: "reason",
          required: true,
          maxlength: "500",
          autocomplete: "off",
          value: question.reason ?? ""
        })
      ),
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "button", onclick: () => close(undefined) }, "Leave it"),
        h("button", { type: "submit", class: question.danger === true ? "danger" : "primary" }, question.action)
      )
    ) as HTMLFormElement
    const dialog = h(
      "dialog",
      { "aria-labelledby": "question", oncancel: () => close(undefined) },
      form
    ) as HTMLDialogElement
    document.getElementById("dialogs")?.append(dialog)
    dialog.showModal()
    ;(form.querySelector("[data-first], input[name=reason]") as HTMLElement | null)?.focus()
  })

/** The compensations of a plan, in their order. */
export const planList = (plan: ReadonlyArray<PlanStep>): HTMLElement =>
  plan.length === 0
    ? h("p", { class: "quiet" }, "Nothing has to be undone.")
    : h(
        "ol",
        { class: "plan" },
        plan.map(({ how, plans, step, target }) =>
          h(
            "li",
            {},
            h("strong", {}, step),
            how === "remote" ? h("span", { class: "quiet" }, ` → ${target}`) : null,
            how === "cancel" ? h("span", { class: "quiet" }, " – what it has started is cancelled") : null,
            how === "either" ? h("span", { class: "quiet" }, " – of the alternative that ran:") : null,
            how === "concurrently" ? h("span", { class: "quiet" }, " – its branches at the same time:") : null,
            how === "each" ? h("span", { class: "quiet" }, " – for each item, the last one first:") : null,
            plans?.map(planList)
          )
        )
      )

/** An action, and the execution and step that it is for. */
export interface Target {
  readonly uuid: string
  readonly label: string
  readonly act: Omit<Act, "reason">
}

export const targetOf = ({ startKey, uuid }: Pick<Row, "startKey" | "uuid">, act: Omit<Act, "reason">): Target => ({
  uuid,
  label: startKey ?? shortId(uuid),
  act
})

interface Run {
  readonly total: number
  done: number
  failed: number
  isStopped: boolean
  isOver: boolean
  readonly lines: Array<{ readonly label: string; readonly text: string; readonly isBad: boolean }>
}

/** How many executions are acted on at the same time. */
const width = 4

const words: Record<Done["answer"], string> = {
  applied: "Done",
  waiting: "Asked: the process that has the execution takes it next",
  refused: "It was refused"
}

/** Tells what became of an action. */
export const say = ({ answer, why }: Done): void =>
  note(why === undefined ? words[answer] : `${words[answer]}: ${why}`, answer === "refused" ? "bad" : "good")

/** Acts on one after the other, and shows how far it is and what became of each. Gives how many were refused. */
export const runAll = (title: string, targets: ReadonlyArray<Target>, reason: string): Promise<number> =>
  new Promise((resolve) => {
    const run: Run = { total: targets.length, done: 0, failed: 0, isStopped: false, isOver: false, lines: [] }
    const view = () =>
      h(
        "dialog",
        { "aria-labelledby": "progress", oncancel: (event: Event) => event.preventDefault() },
        h("h2", { id: "progress" }, title),
        h("progress", { max: run.total, value: run.done, "aria-label": title }),
        h(
          "p",
          { "aria-live": "polite" },
          `${run.done} of ${run.total}`,
          run.failed > 0 ? `, ${run.failed} refused` : ""
        ),
        h(
          "ul",
          { class: "results", tabindex: "0", "aria-label": "Results" },
          run.lines
            .slice(-200)
            .map(({ isBad, label, text }) =>
              h("li", { class: isBad ? "bad" : "" }, h("span", { class: "id" }, label), " ", text)
            )
        ),
        h(
          "div",
          { class: "buttons" },
          run.isOver
            ? h("button", { type: "button", class: "primary", key: "close", onclick: close }, "Close")
            : h(
                "button",
                {
                  type: "button",
                  key: "stop",
                  onclick: () => {
                    run.isStopped = true
                  }
                },
                "Stop"
              )
        )
      )
    const close = () => {
      dialog.close()
      dialog.remove()
      resolve(run.failed)
    }
    const dialog = view() as HTMLDialogElement
    const show = () => {
      const next = view()
      next.setAttribute("open", "")
      morph(dialog, next)
    }
    document.getElementById("dialogs")?.append(dialog)
    dialog.showModal()
    const left = [...targets]
    const work = async (): Promise<void> => {
      for (let target = left.shift(); target !== undefined && !run.isStopped; target = left.shift()) {
        const { act, label, uuid } = target
        const line = await api.act(uuid, { ...act, reason }).then(
          ({ answer, why }) => ({ label, text: why ?? words[answer], isBad: answer === "refused" }),
          (error: Error) => ({ label, text: error.message, isBad: true })
        )
        run.lines.push(line)
        run.done++
        if (line.isBad) run.failed++
        show()
      }
    }
    void Promise.all(Array.from({ length: width }, work)).then(() => {
      run.isOver = true
      show()
      ;(dialog.querySelector(".primary") as HTMLElement | null)?.focus()
    })
  })

/** Asks once for many, with their number, and then acts on each. */
export const confirmAll = async (
  title: string,
  action: string,
  targets: ReadonlyArray<Target>,
  body?: Child,
  danger = false
): Promise<boolean> => {
  const answer = await ask({
    title: `${title}: ${count(targets.length, "execution")}?`,
    body,
    action: `${action} ${targets.length === 1 ? "it" : `all ${targets.length}`}`,
    danger
  })
  if (answer === undefined) return false
  const failed = await runAll(title, targets, answer.reason)
  if (failed > 0) note(`${failed} of ${targets.length} were refused`, "bad")
  return true
}
