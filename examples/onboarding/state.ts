/** How far a customer is, in plain words: for the customer who asks, and for the people of the branch. */
import { Effect, Schema } from "effect"
import { SagaManager, Signal } from "effect-saga"
import { Approval } from "./contracts.ts"
import { keyOf, OpenCustomer } from "./saga.ts"

export const State = Schema.Struct({
  customer: Schema.String,
  state: Schema.Literals(["under way", "open", "not opened", "taken back", "waits for help"]),
  text: Schema.String
})
export type State = typeof State.Type

/** The steps of the saga and of its approval, as people call them. */
const places: { readonly [step: string]: string } = {
  check: "The check is under way, which takes about twenty minutes",
  folder: "The documents of the owners are awaited",
  document: "The documents of the owners are awaited",
  answer: "The branch is asked",
  reminder: "The branch is asked again",
  lateAnswer: "The branch is asked again",
  account: "The account is made",
  entry: "The account is made",
  card: "The card is printed",
  welcome: "A letter is written"
}

/** Errors that steps declare, and failures of the library, by their tags. */
const reasons: { readonly [tag: string]: string } = {
  NotAcceptable: "The check says no",
  Declined: "The branch says no",
  BranchClosed: "The branch is closed",
  StepTimedOut: "Somebody did not answer in time",
  DeadlinePassed: "It took too long",
  Cancelled: "It was cancelled"
}

/** All of it is in the summary of the execution, which is one row: its steps and results need not be read. */
export const stateOf = Effect.fnUntraced(function* (customer: string) {
  const manager = yield* SagaManager.SagaManager
  const { items } = yield* manager.find({ saga: OpenCustomer.name, startKey: keyOf(customer) })
  const [found] = items
  if (found === undefined) return undefined
  const { direction, failure, parked, status, step } = found
  const state = (state: State["state"], text: string): State => ({ customer, state, text })
  const where = places[step?.name ?? ""] ?? "It waits for its turn"
  if (parked) return state("waits for help", `${where}: a person has to look at it`)
  if (status === "finished") return state("open", "Welcome")
  if (direction === "forward") return state("under way", where)
  const why = reasons[failure?.tag ?? ""] ?? "Something failed"
  return status === "errored" ? state("not opened", why) : state("taken back", why)
})

/** The customers that wait for a person, a hundred at most. Lists need no loading: they are made of summaries. */
export const waitingForBranch = Effect.fnUntraced(function* (branch: string | undefined) {
  const manager = yield* SagaManager.SagaManager
  const { items } = yield* manager.find({
    saga: OpenCustomer.name,
    waitsFor: Signal.waitsFor(Approval),
    ...(branch !== undefined && { attributes: { branch } })
  })
  return items.map(({ attributes, waitingSince = 0 }) => ({
    ...attributes,
    since: new Date(waitingSince).toISOString()
  }))
})
