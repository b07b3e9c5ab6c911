/** A page of executions out of the pages that several databases have given to the same request. */
import * as Summary from "../../ports/ExecutionSummary.ts"
import type { Shards } from "./Shards.ts"

/** `pages`: by the numbers of the databases; undefined: it has not answered, and is named in `missing`. */
export const together = (
  shards: Shards<unknown>,
  filter: Summary.Filter,
  page: Summary.PageRequest,
  start: Summary.PageStart,
  pages: ReadonlyArray<Summary.Page | undefined>
): Summary.Page => {
  // While a bucket moves, two databases have its rows.
  const foreign = new Set(
    pages.flatMap((page, at) => page?.items.filter(({ uuid }) => shards.isElsewhere(at, uuid)) ?? [])
  )
  const isOwn = (row: Summary.ExecutionSummary) => !foreign.has(row)
  const own = pages.flatMap((page) => (page === undefined ? [] : [{ ...page, items: page.items.filter(isOwn) }]))
  // Foreign rows count for where the page ends: what a database has behind them is on the next one. Of two that are the same the own
  // one is first.
  const merged = Summary.merged(filter, page, start, [...own, { items: [...foreign] }])
  const missing = shards.all.flatMap(({ name }, at) => (pages[at] === undefined ? [name] : []))
  return { ...merged, items: merged.items.filter(isOwn), ...(missing.length > 0 && { missing }) }
}
