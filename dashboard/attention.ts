/** The screen of executions that need a person, in groups of one cause: a group is understood once and mended together. */
import type { Attention, AttentionGroup, AttentionKind, Doubt, Row } from "../src/console/dashboard/Forms.ts"
import * as api from "./api.ts"
import { ask, confirmAll, note, say, targetOf } from "./dialog.ts"
import { h } from "./dom.ts"
import { brief, type Context, empty, heading, mayAct, type Screen, time } from "./screen.ts"
import { atLeast } from "./text.ts"

/** The word for each kind of trouble, and the advice that a person reads beside it. */
const kinds: Record<AttentionKind, { readonly word: string; readonly help: string }> = {
  parked: {
    word: "Parked",
    help: "Every try has failed. Repair the cause, then retry; or do by hand what is left, and resolve it."
  },
  stalled: {
    word: "Stalled",
    help: "A service does not answer to the decision of the transaction. It is told again and again; see whether it runs."
  },
  unanswered: {
    word: "No answer",
    help: "They wait for a service for longer than it should take. They go on by themselves once it answers; or they can be cancelled."
  },
  doubt: { word: "In doubt", help: "A participant holds reserved work and cannot learn the decision." },
  overdue: {
    word: "Overdue",
    help: "It should have been woken and was not: no living process knows its saga, or all are too busy."
  },
  drifted: {
    word: "Left behind",
    help: "No process of this deployment has the saga in this form. Run the old version beside the new one until these have ended."
  },
  unreadable: {
    word: "Unreadable",
    help: "A stored value breaks the schema that the saga has now. A process with the former schema goes on with it."
  }
}

/** Tells a group from the others: those with one cause at one step may have failed for different reasons. */
export const idOf = ({ at, cause, failure, kind, saga, step }: AttentionGroup): string =>
  `g-${[kind, saga, cause, step, failure, at].join("-").replaceAll(/[^\w-]/g, "_")}`

export const groupLine = ({ atLeast: isCut, cause, count: n, failure, kind, saga, since, step }: AttentionGroup) => [
  h("span", { class: `kind ${kind}` }, kinds[kind].word),
  h("strong", {}, atLeast(n, isCut)),
  h("span", {}, " ", saga ?? "", step === undefined ? "" : ` at ${step}`),
  h("span", { class: "cause" }, cause),
  // Why it rolls back, where that is another thing than why it is parked.
  failure === undefined || failure === cause ? null : h("span", { class: "quiet" }, `after ${failure}`),
  since === undefined ? null : time(since)
]

export const attention: Screen<Attention> = {
  label: "Needs attention",
  title: () => "Needs attention",
  load: api.attention,
  view: ({ doubts, groups }, context) =>
    h(
      "div",
      { class: "stack" },
      heading("Needs attention"),
      groups.length === 0 && doubts.length === 0
        ? empty("✓ Nothing needs a person", "Nothing is parked, in doubt, overdue or left behind by a deployment.")
        : null,
      groups.map((group) => groupCard(group, context)),
      doubts.length === 0 ? null : doubtCard(doubts, context)
    )
}

const groupCard = (group: AttentionGroup, context: Context) => {
  const { at, count: n, failure, items, kind, saga, waitsFor } = group
  const id = idOf(group)
  const isParked = kind === "parked" || kind === "stalled"
  const filter = new URLSearchParams({
    ...(saga !== undefined && { saga }),
    ...(isParked && { shown: "parked" }),
    ...(failure !== undefined && { failure }),
    ...(at !== undefined && { step: at }),
    ...(waitsFor !== undefined && { waitsFor })
  })
  const canRetry = mayAct(context) && items.length > 0 && isParked
  return h(
    "section",
    { class: "card", key: id, "aria-labelledby": id },
    h("h2", { id, class: "group" }, groupLine(group)),
    group.service === undefined
      ? null
      : h(
          "p",
          {},
          "First: see that ",
          h("strong", {}, group.service),
          kind === "unanswered" ? " runs, and that this is its right name." : " runs and does what it is asked."
        ),
    h("p", { class: "quiet" }, kinds[kind].help),
    brief(items.slice(0, 5), (row) => (kind === "unanswered" ? row.waitingSince : undefined) ?? row.updatedAt),
    h(
      "div",
      { class: "buttons left" },
      canRetry
        ? h(
            "button",
            { type: "button", class: "primary", onclick: () => void retry(group, filter, context) },
            `Retry ${n === 1 ? "it" : `all ${atLeast(n, group.atLeast)}`} …`
          )
        : null,
      mayAct(context) && kind === "unanswered"
        ? h(
            "button",
            { type: "button", class: "danger", onclick: () => void cancel(group, filter, context) },
            `Cancel ${n === 1 ? "it" : `all ${atLeast(n, group.atLeast)}`} …`
          )
        : null,
      saga === undefined ? null : h("a", { class: "button", href: `#/executions?${filter}` }, "See all of them")
    )
  )
}

/** All of a group are read before the question, so that it says how many there are. */
const actOnAll = async (
  filter: URLSearchParams,
  context: Context,
  action: "retry" | "cancel",
  body: HTMLElement
): Promise<void> => {
  const { missing, rows } = await allOf(filter).catch((error: Error): All => {
    note(error.message, "bad")
    return { missing: new Set(), rows: [] }
  })
  if (rows.length === 0) return context.refresh()
  const targets = rows.map((row) => targetOf(row, { action }))
  const word = action === "retry" ? "Retry" : "Cancel"
  const question = h("div", {}, body, missing.size === 0 ? null : notThese([...missing]))
  if (await confirmAll(word, word, targets, question, action === "cancel")) await context.refresh()
}

/** Databases that do not answer may have more of them, and nothing is done about those. */
const notThese = (names: ReadonlyArray<string>) =>
  h(
    "p",
    { class: "notice bad" },
    `Those in ${names.join(", ")} are not among them. Do it again when ${names.length === 1 ? "it answers" : "they answer"}.`
  )

const retry = (group: AttentionGroup, filter: URLSearchParams, context: Context): Promise<void> =>
  actOnAll(
    filter,
    context,
    "retry",
    h(
      "p",
      {},
      "They are parked: ",
      h("strong", {}, group.cause),
      ". Each is tried again at once, with its count of failures at zero."
    )
  )

const cancel = (group: AttentionGroup, filter: URLSearchParams, context: Context): Promise<void> =>
  actOnAll(
    filter,
    context,
    "cancel",
    h(
      "p",
      {},
      "They wait: ",
      h("strong", {}, group.cause),
      ". What they have done is undone, in reverse order. Those whose outcome is decided refuse."
    )
  )

/** How many executions one question is about, at most. */
const most = 10_000

interface All {
  readonly rows: ReadonlyArray<Row>
  /** The databases that have not answered for one of the pages. */
  readonly missing: ReadonlySet<string>
}

const allOf = async (filter: URLSearchParams): Promise<All> => {
  const rows: Array<Row> = []
  const missing = new Set<string>()
  let after: string | undefined
  do {
    const page = await api.executions(
      new URLSearchParams([...filter, ["limit", "1000"], ...(after === undefined ? [] : [["after", after]])])
    )
    rows.push(...page.items)
    for (const name of page.missing ?? []) missing.add(name)
    after = page.next
  } while (after !== undefined && rows.length < most)
  return { rows, missing }
}

const doubtCard = (doubts: ReadonlyArray<Doubt>, context: Context) =>
  h(
    "section",
    { class: "card", key: "doubts", "aria-labelledby": "h-doubts" },
    h(
      "h2",
      { id: "h-doubts", class: "group" },
      h("span", { class: "kind doubt" }, kinds.doubt.word),
      h("strong", {}, doubts.length),
      h("span", {}, " at participants of this database")
    ),
    h(
      "p",
      { class: "quiet" },
      "Their coordinator has not told them the decision. Wait for it if you can. A decision of yours is marked heuristic: if the coordinator decides otherwise, services disagree."
    ),
    h(
      "ul",
      { class: "brief" },
      doubts.map((doubt) =>
        h(
          "li",
          { key: `${doubt.service} ${doubt.transaction}` },
          h(
            "a",
            { class: "id", href: `#/execution/${doubt.transaction}`, title: doubt.transaction },
            doubt.transaction.slice(-8)
          ),
          h("span", { class: "saga" }, doubt.service),
          h("span", { class: "at" }, doubt.coordinator === undefined ? "" : `coordinated by ${doubt.coordinator}`),
          time(doubt.since),
          mayAct(context)
            ? h(
                "span",
                { class: "buttons" },
                (["commit", "reject"] as const).map((decision) =>
                  h(
                    "button",
                    {
                      type: "button",
                      class: "small",
                      "aria-label": `${decision} ${doubt.transaction} at ${doubt.service}`,
                      onclick: () => void decide(doubt, decision, context)
                    },
                    decision === "commit" ? "Commit …" : "Reject …"
                  )
                )
              )
            : null
        )
      )
    )
  )

const decide = async (doubt: Doubt, decision: "commit" | "reject", context: Context): Promise<void> => {
  const { coordinator, service, transaction } = doubt
  const answer = await ask({
    title: decision === "commit" ? `Commit the work of ${service}?` : `Reject the work of ${service}?`,
    body: [
      h(
        "p",
        {},
        `${service} has reserved work for the transaction …${transaction.slice(-8)} and waits for ${coordinator ?? "the decision"}.`
      ),
      h(
        "p",
        {},
        "Ask there first what was decided. If the two differ, the services disagree, and only people can mend that."
      )
    ],
    action: decision === "commit" ? "Commit" : "Reject",
    danger: true
  })
  if (answer === undefined) return
  await api
    .decide({ service, transaction, decision, reason: answer.reason })
    .then(say, (error: Error) => note(error.message, "bad"))
  await context.refresh()
}
