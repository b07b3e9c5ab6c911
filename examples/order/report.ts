/** The end of a run in words: the outcomes of the orders, the books, and one order that was rolled back, as a story. */
import { styleText } from "node:util"
import type { Books, Summary, Tally } from "./summary.ts"

const euros = (cents: number) => `€${(cents / 100).toLocaleString("en", { minimumFractionDigits: 2 })}`

const bold = (text: string) => styleText("bold", text, { stream: process.stdout })

const crashed = (crashes: number) =>
  crashes === 0
    ? []
    : [
        "",
        `The orchestrator was killed ${crashes === 1 ? "once" : `${crashes} times`} in the middle of its work. Every step is written down`,
        "before it is done, so each new process went on where the one before it had stopped."
      ]

const story = ({ example }: Tally) =>
  example === undefined
    ? []
    : ["", bold(`How ${example.orderId} was undone`), ...example.story.map((line) => `  ${line}`)]

const headline = ({ orders, seconds }: Summary, { earlier }: Tally): string => {
  const speed = `${seconds.toFixed(1)} s, ${Math.round((orders - earlier) / seconds)} a second`
  return earlier === 0
    ? `${orders} orders in ${speed}`
    : `${orders} orders, ${earlier} of them in an earlier run, the others in ${speed}`
}

export const report = (summary: Summary, books: Books, tally: Tally, diagram: string): string => {
  const { committed, crashes, parked, undone } = summary
  const { orders, payments, shipping } = books
  const reasons = [...tally.reasons].sort(([, a], [, b]) => b - a).map(([why, count]) => `${count} ${why}`)
  return [
    bold(headline(summary, tally)),
    `  ${committed} committed`,
    `  ${undone} undone${reasons.length === 0 ? "" : `: ${reasons.join(", ")}`}`,
    `  ${parked} parked`,
    ...crashed(crashes),
    "",
    bold("What the tables of the services say"),
    `  orders    ${orders.orders} confirmed for ${euros(orders.sold)}, ${orders.pending} reservations left over`,
    `  payments  ${payments.payments} charged for ${euros(payments.received)}, ${payments.refunds} given back`,
    `  shipping  ${shipping.parcels} parcels`,
    summary.conserved ? "  Money, goods and parcels add up." : "  THEY DO NOT ADD UP.",
    ...story(tally),
    "",
    `The saga as a diagram: ${diagram}`
  ].join("\n")
}
