/** Executions in lists: a summary as a row, and the filters of the list as those of the inspector. */
import type { Attributes } from "../../definition/Attributes.ts"
import * as Summary from "../../ports/ExecutionSummary.ts"
import type { Count } from "../../ports/Inspector.ts"
import type { Listing } from "./DashboardApi.ts"
import type { Row, Shown } from "./Forms.ts"

/** The status in one word. What is parked comes first: a person has to see it. */
export const shownOf = (one: Summary.ExecutionSummary): Shown => {
  if (one.parked) return "parked"
  if (Summary.isUndoing(one)) return "undoing"
  switch (one.status) {
    case "created":
    case "running":
      return "running"
    case "paused":
      return "waiting"
    case "finished":
      return one.settled ? "finished" : "committing"
    case "errored":
      return one.settled ? "undone" : "undoing"
    default:
      return "newer"
  }
}

/** The same word for a count, which does not say what is parked. */
export const shownOfCount = ({ settled, state }: Pick<Count, "settled" | "state">): Shown =>
  state === "undoing"
    ? "undoing"
    : shownOf({ status: state, settled, parked: false, direction: "forward" } as Summary.ExecutionSummary) // of these it reads no others

export const rowOf = (one: Summary.ExecutionSummary): Row => ({
  uuid: one.uuid,
  saga: one.saga,
  ...(one.startKey !== undefined && { startKey: one.startKey }),
  shown: shownOf(one),
  ...(one.step !== undefined && { step: one.step }),
  ...(one.waitsFor !== undefined && { waitsFor: one.waitsFor }),
  ...(one.waitingSince !== undefined && { waitingSince: one.waitingSince }),
  ...(one.wakeAt !== undefined && { wakeAt: one.wakeAt }),
  ...(one.failure !== undefined && { failure: one.failure }),
  ...(one.user !== undefined && { user: one.user }),
  ...(one.attributes !== undefined && { attributes: one.attributes }),
  settled: one.settled,
  createdAt: one.createdAt,
  updatedAt: one.updatedAt
})

/** The filter for executions that are shown with this word. What is parked may be under others too. */
const ofShown = (shown: Shown): Summary.Filter => {
  switch (shown) {
    case "running":
    case "waiting":
      return { status: shown === "running" ? "running" : "paused", undoing: false, parked: false }
    case "undoing":
      return { undoing: true, parked: false }
    case "parked":
      return { parked: true }
    case "committing":
      return { status: "finished", settled: false, parked: false }
    case "finished":
      return { status: "finished", settled: true }
    case "undone":
      return { status: "errored", settled: true }
    case "newer":
      return {}
  }
}

/** `name=value`: a number or a truth value where it reads as one. Undefined: it is no pair. */
const attributeOf = (text: string): ReadonlyArray<Attributes> | undefined => {
  const at = text.indexOf("=")
  if (at < 1) return undefined
  const [name, value] = [text.slice(0, at), text.slice(at + 1)]
  const asText = { [name]: value }
  if (value === "true" || value === "false") return [{ [name]: value === "true" }, asText]
  return value.trim() !== "" && Number.isFinite(Number(value)) ? [{ [name]: Number(value) }, asText] : [asText]
}

/** The filters to try, the first one that finds something counts: `42` may be a number or a text. Undefined: no filter. */
export const filtersOf = (listing: Listing, now: number): ReadonlyArray<Summary.Filter> | undefined => {
  const { attribute, failure, olderThan, saga, shown, startKey, step, user, waitsFor } = listing
  const attributes = attribute === undefined ? [undefined] : attributeOf(attribute)
  return attributes?.map((attributes) => ({
    ...(shown !== undefined && ofShown(shown)),
    ...(saga !== undefined && { saga }),
    ...(startKey !== undefined && { startKeyPrefix: startKey }),
    ...(user !== undefined && { user }),
    ...(failure !== undefined && { failure }),
    ...(step !== undefined && { step }),
    ...(waitsFor !== undefined && { waitsFor }),
    ...(attributes !== undefined && { attributes }),
    ...(olderThan !== undefined && { createdBefore: Math.trunc(now - olderThan) })
  }))
}

/** Before every other one: the page that ends here has the oldest executions. */
export const oldest: Summary.PageRequest = {
  before: Summary.cursor({ createdAt: -1, uuid: "00000000-0000-0000-0000-000000000000" })
}
