/**
 * Compares what the processes have done with what both databases and the books of the services say: each order is one execution with
 * the outcome that it must have, money and goods are conserved, and what is outside of the databases has run once and is undone where it
 * must be.
 */
import { Effect } from "effect"
import * as Bench from "../../bench/business/business.ts"
import { expected } from "../../examples/order/expected.ts"
import * as Kill from "../kill/audit.ts"
import { journaled, type Lived } from "./audit.ts"
import * as Business from "./Business.ts"

interface Placed extends Lived {
  /** Orders with the numbers from 0 have been placed. */
  readonly orders: number
  /** Of the databases with the executions. */
  readonly schemas: ReadonlyArray<string>
  /** In the order of the services. */
  readonly books: ReadonlyArray<Parameters<typeof Bench.differences>[1][number]>
}

export const audit = Effect.fnUntraced(function* ({ books, orders, schemas, ...lived }: Placed) {
  const executions = (yield* Effect.forEach(schemas, Kill.executionsOf)).flat()
  const { did, excused, lost, stalls, wrong: twice } = journaled(lived)
  const placed = Bench.ordersFrom(0, orders)
  const wrong = [...twice, ...lost(new Set(executions.map(({ uuid }) => uuid))), ...Bench.differences(placed, books)]
  const byKey = Map.groupBy(executions, ({ key }) => key)
  for (const order of placed) {
    const of = byKey.get(order.orderId) ?? []
    if (of.length !== 1) wrong.push(`${order.orderId} has ${of.length} executions`)
    const isExpected = expected(order) === "committed"
    for (const one of of) if (Kill.isCommitted(one) !== isExpected) wrong.push(`${one.uuid}: ${expected(order)}`)
  }
  const effects = Map.groupBy(did, ({ op, step, uuid }) => `${uuid} ${op} ${step}`)
  for (const execution of executions) {
    const { commit_state, key, status, uuid } = execution
    const says = (what: string) => wrong.push(`${uuid} (${key}, ${status}, ${commit_state}): ${what}`)
    Kill.problemsOf(execution).forEach(says)
    for (const step of Business.outsideSteps) {
      const isDone = effects.has(`${uuid} execute ${step}`)
      const isUndone = effects.has(`${uuid} failure ${step}`)
      if (Kill.isCommitted(execution) ? !isDone || isUndone : isDone !== isUndone)
        says(`${step} is ${isDone ? "done" : "not done"} and ${isUndone ? "undone" : "not undone"}`)
    }
  }
  for (const [what, all] of effects)
    if (new Set(all.map(({ key }) => key)).size > 1) wrong.push(`${what} has several keys`)
  const committed = executions.filter(Kill.isCommitted).length
  return { orders, committed, rejected: executions.length - committed, excused, stalls, wrong }
})
