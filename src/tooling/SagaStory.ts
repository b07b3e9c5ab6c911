/**
 * An execution as a story, a line for each fact that matters to a person. Errors are told by their tags. Values are left
 * out unless `values` is set, because a story may end up in a log.
 */
import { Duration } from "effect"
import type { Of, SagaEvent } from "../execution/rules/SagaEvent.ts"
import type { SagaFailure } from "../execution/rules/SagaFailure.ts"
import { whole } from "../execution/rules/SagaState.ts"
import { oneLine, wordOf } from "../wire/OneLine.ts"

/** A `SagaExecution`, or another value with the facts of one execution, the oldest first. */
export interface Told {
  readonly events: ReadonlyArray<SagaEvent>
}

/** The options of `tell`. */
export interface StoryOptions {
  /** Tells results, errors and initial values too. Default: false. They may be secret: set it for a person, not for a log. */
  readonly values?: boolean
  /**
   * Tells how long after the start a fact was stored, in front of the first line of each such time: `after 1d: reminder succeeded`.
   * A wait then tells how long it waits, and not until when. Default: false.
   */
  readonly times?: boolean
}

/**
 * The whole story. Steps that have begun and not ended come last.
 *
 * @example
 * ```ts
 * SagaStory.tell(execution)
 * // PlaceOrder starts
 * // reservation succeeded
 * // payment: payments is asked to Charge
 * // payment failed: CardDeclined
 * // the rollback begins: CardDeclined
 * // reservation compensated
 * // errored: everything that was done is compensated
 * ```
 */
export const tell = (execution: Told, { times = false, values = false }: StoryOptions = {}): ReadonlyArray<string> => {
  const dated = times ? elapsed(execution.events) : (line: string) => line
  const told = linesOf(execution, { times, values })
  const open = unfinished(execution.events, times)
  const last = told.slice(-open.length)
  // A wait that has just begun is told by its fact, in the same words.
  const left = open.filter((line) => !last.some(({ text }) => text.startsWith(line)))
  return [...told.map(({ at, text }) => dated(text, at)), ...left]
}

/** A line of a story, and when its fact was stored, in milliseconds since the epoch. */
export interface Line {
  readonly at: number
  readonly text: string
}

/** The story as lines with their times, for tables. What is under way at its end is left out. */
export const lines = (told: Told, { values = false }: Pick<StoryOptions, "values"> = {}): ReadonlyArray<Line> =>
  linesOf(told, { times: false, values })

const linesOf = ({ events }: Told, options: Required<StoryOptions>): ReadonlyArray<Line> => {
  const parked = new Set<string>()
  const isPassed = events.some(({ _tag }) => _tag === "PivotPassed")
  const say = sentences(namesOf(events), options, parked, isPassed)
  return worthTelling(events).flatMap((event) => {
    if (event._tag === "StepParked") parked.add(event.path)
    else if ("path" in event) parked.delete(event.path)
    const text = say(event)
    return text === undefined ? [] : [{ at: event.at, text }]
  })
}

/** Puts the time since the start in front of a line that is later than the one before. */
const elapsed = ([first]: ReadonlyArray<SagaEvent>) => {
  const start = first?.at ?? 0
  let told = start
  return (line: string, at: number): string => {
    if (at <= told) return line
    told = at
    return `after ${Duration.format(Duration.millis(at - start))}: ${line}`
  }
}

/** A short story for the assertions of a test, with the names of steps and their fates: `payment succeeded`. */
export const outline = ({ events }: Told): ReadonlyArray<string> => {
  const nameOf = namesOf(events)
  return worthTelling(events).flatMap((event) => {
    switch (event._tag) {
      case "ExecutionStarted":
        return "started"
      case "StepSucceeded":
        return `${nameOf(event.path)} succeeded`
      case "StepFailed":
        return `${nameOf(event.path)} failed`
      case "StepCompensated":
        return `${nameOf(event.path)} compensated`
      case "StepParked":
        return `${nameOf(event.path)} parked`
      case "StepResolved":
        return `${nameOf(event.path)} resolved`
      case "PivotPassed":
        return "pivot passed"
      case "ExecutionFinished":
        return "finished"
      case "ExecutionErrored":
        return "errored"
      default:
        return []
    }
  })
}

/** Items of a longer list are told as one, but for what goes wrong in them. */
const maxItemsTold = 20

/** Leaves out what goes well in the items of a long list. */
const worthTelling = (events: ReadonlyArray<SagaEvent>): ReadonlyArray<SagaEvent> => {
  const long = events.flatMap((event) =>
    event._tag === "ForEachStarted" && event.items.length > maxItemsTold ? `${event.path}/i` : []
  )
  const told = withoutChoices(events)
  if (long.length === 0) return told
  return told.filter(
    (event) => !("path" in event) || wrong.has(event._tag) || !long.some((items) => event.path.startsWith(items))
  )
}

const wrong: ReadonlySet<SagaEvent["_tag"]> = new Set([
  "StepFailed",
  "TryStarted",
  "CompensationFailed",
  "StepParked",
  "StepUnparked",
  "StepResolved"
])

/** Leaves out the end of a conditional step, which has no effect of its own: the story tells its choice. */
const withoutChoices = (events: ReadonlyArray<SagaEvent>): ReadonlyArray<SagaEvent> => {
  const choices = new Set(events.flatMap((event) => (event._tag === "AlternativeChosen" ? event.path : [])))
  return events.filter(
    (event) => !((event._tag === "StepSucceeded" || event._tag === "StepCompensated") && choices.has(event.path))
  )
}

/** The names of steps. One of an item has that of the item behind it, counted from 1: `reservation (line 18)`. */
const namesOf = (events: ReadonlyArray<SagaEvent>): ((path: string) => string) => {
  const names = new Map([[whole, "the execution"]])
  const items = new Map<string, string>()
  for (const event of events) {
    if ("name" in event && event.name !== undefined) names.set(event.path, event.name)
    if (event._tag === "ForEachStarted") items.set(event.path, event.as)
  }
  return (path) => {
    const name = names.get(path) ?? `step ${path}`
    const around = [...path.matchAll(/\/i(\d+)\//g)].flatMap(({ 1: at, index }) => {
      const item = items.get(path.slice(0, index))
      return item === undefined ? [] : `${item} ${Number(at) + 1}`
    })
    return around.length === 0 ? name : `${name} (${around.join(", ")})`
  }
}

/** The line of a fact; undefined where another fact says the same. */
const sentences = (
  nameOf: (path: string) => string,
  { times, values }: Required<StoryOptions>,
  parked: ReadonlySet<string>,
  isPassed: boolean
) => {
  const given = (value: unknown): string => (values && value !== undefined ? `: ${JSON.stringify(value)}` : "")
  const why = (failure: SagaFailure): string => `${reasonOf(failure)}${values ? given(detailOf(failure)) : ""}`
  const asked = (event: Of<"RequestSent" | "CompensationSent">): string =>
    `${event.message.service} is asked${event.command === undefined ? "" : ` to ${event.command}`}`
  return (event: SagaEvent): string | undefined => {
    const step = "path" in event ? nameOf(event.path) : ""
    switch (event._tag) {
      case "ExecutionCreated":
        return `${event.saga} starts${given(event.context)}`
      case "RequestSent":
        return `${step}: ${asked(event)}`
      case "AlternativeChosen":
        return `${step}: ${event.choice === null ? "no condition holds" : `alternative ${event.choice + 1} is chosen`}`
      case "NestedStarted":
        return `${step} begins${given(event.context)}`
      case "StartRequested":
        return `${step} starts ${event.saga} as ${event.uuid}${given(event.context)}`
      case "ParallelStarted":
        return `${step} begins: ${event.branches.map(({ name }) => name).join(", ")} at the same time`
      case "ForEachStarted":
        return `${step} begins: ${countOf(event)}${given(event.items)}`
      case "WaitStarted":
        return `${step} ${waitsFor(event, times)}${values && event.key !== undefined ? given(event.key) : ""}`
      case "SignalReceived":
        return `the signal ${event.signal} has come${event.actor === undefined ? "" : ` from ${oneLine(event.actor)}`}${given(event.content)}`
      case "RequestAccepted":
        return `${step}: the service has begun, and answers later`
      case "StepSucceeded":
        if (event.existing === true) return `${step} succeeded: it was there already${given(event.result)}`
        if (event.timedOut === true) return `${step} goes on without a signal${given(event.result)}`
        return `${step} succeeded${event.recovered === true ? " in spite of an error" : ""}${given(event.result)}`
      case "StepFailed":
        return `${step} failed: ${why(event.failure)}${effects[event.effect]}`
      case "PivotPassed":
        return "the point of no return is passed: nothing is undone from here on"
      case "TryStarted":
        return `${step} is tried again`
      case "RollbackStarted":
        return `the rollback begins: ${why(event.failure)}`
      case "ProbeSent":
        return `${step}: ${event.message.service} is asked what became of it`
      case "ProbeAnswered":
        return `${step}: ${event.status === 200 ? "it was done" : "it was not done, and never will be"}`
      case "CompensationSent":
        return `${step}: ${asked(event)}`
      case "CompensationFailed": {
        const next = event.retryAt === undefined ? "it is not tried again" : "it is tried again"
        return `${step} could not be compensated: ${why(event.failure)}; ${next}`
      }
      case "StepCompensated":
        return `${step} compensated`
      case "StepParked":
        // The message of a defect may hold a value.
        return `${step} is parked for a person: ${event.path === whole && !values ? "it cannot go on" : oneLine(event.reason)}`
      case "StepUnparked":
        return `${step} is tried again by ${oneLine(event.actor)}${given(event.reason)}`
      case "StepResolved":
        return `${step} is declared ${isPassed ? "done" : "compensated"} by ${oneLine(event.actor)}${event.asks === true ? ", if the service has not done it" : ""}${given(event.reason)}`
      case "ReservationStarted":
        return "everybody is asked whether to commit"
      case "VoteReceived":
        return `${event.service} is in favour`
      case "DecisionAcknowledged":
        return `${event.service} knows the decision`
      case "ServiceStalled":
        return `${event.service} needs a person: ${event.reason}`
      case "CommitDecided":
        return "the commit is decided"
      case "RejectRequested":
        return "the execution is to be rejected"
      case "ExecutionFinished":
        return "finished: every step has succeeded"
      case "ExecutionErrored":
        return parked.size === 0
          ? "errored: everything that was done is compensated"
          : `errored: everything is compensated but ${[...parked].map(nameOf).join(", ")}`
      case "QueueEntered":
        return `waits for a place in the queue ${oneLine(event.queue)}`
      case "PlaceTaken":
        return "has a place in its queue"
      case "PlaceLeft":
        return "waits without its place in the queue"
      case "PlaceWanted":
        return "waits for a place to go on"
      case "ActionRefused":
        return `${inputOf(event)} was refused: ${refusalOf(event.why)}`
      case "AttributesChanged":
        return event.issue && `the attributes behind ${nameOf(event.path)} are left out: they ${event.issue}`
      case "ActionApplied":
      case "DeadlineSet":
      case "ExecutionStarted":
      case "AutocommitChanged":
      case "TransactionSettled":
      case "StepStarted":
      case "ReplyReceived":
      case "CompensationStarted":
        return undefined
    }
  }
}

const countOf = ({ concurrency, items: { length } }: Of<"ForEachStarted">): string =>
  length === 0
    ? "no items"
    : `${length === 1 ? "1 item" : `${length.toLocaleString("en-US")} items`}${concurrency > 1 && length > 1 ? `, ${Math.min(concurrency, length)} at a time` : ""}`

const waitsFor = ({ at, deadline, signal }: Of<"WaitStarted">, times: boolean): string => {
  const until =
    deadline === undefined
      ? ""
      : times
        ? ` for ${Duration.format(Duration.millis(Math.max(0, deadline - at)))}`
        : ` until ${new Date(deadline).toISOString()}`
  return signal === undefined ? `sleeps${until}` : `waits for the signal ${signal}${until}`
}

const effects = { none: "", exists: "; its effect stands", unknown: "; whether it had an effect is not known" } as const

const reasonOf = (failure: SagaFailure): string => {
  switch (failure._tag) {
    case "StepError":
      return tagOf(failure.error) ?? "an error without a tag"
    case "StepDefect":
      // Its message may hold a value.
      return `it died${nameOfDefect(failure.defect)}`
    case "StepTimedOut":
      return `no result at its deadline${failure.unheard === true ? ": nobody listens to the service" : failure.refused === undefined ? "" : `: ${failure.refused}`}`
    case "StepRefused":
      return failure.status === 400 ? "it was refused" : `the other side failed${afterColon(failure.content)}`
    case "StepValueRejected":
      return `a value broke a rule (${failure.rule}): ${oneLine(failure.issue)}`
    case "StartedNotUndone":
      return "the saga that it has started is not undone yet"
    case "StepInterrupted":
      return "a crash left it half done"
    case "DeadlinePassed":
      return "nothing was decided at the deadline"
    case "CommitFailed":
      return `the commit failed: ${oneLine(failure.reason)}`
    case "Cancelled":
      return failure.actor === undefined ? "cancelled" : `cancelled by ${oneLine(failure.actor)}`
    case "Rejected":
      return failure.actor === undefined ? "rejected by its caller" : `rejected by ${oneLine(failure.actor)}`
  }
}

const afterColon = (content: unknown): string => {
  const word = wordOf(content)
  return word === undefined ? "" : `: ${word}`
}

/** The class of a defect, where it says more than `Error`. */
const nameOfDefect = (defect: unknown): string =>
  typeof defect === "object" && defect !== null && "name" in defect && defect.name !== "Error"
    ? afterColon(defect.name)
    : ""

/** The part of a failure that may hold values. */
const detailOf = (failure: SagaFailure): unknown => {
  switch (failure._tag) {
    case "StepError":
      return failure.error
    case "StepDefect":
      return failure.defect
    case "StepRefused":
      return failure.content
    case "Cancelled":
    case "Rejected":
      return failure.reason
    default:
      return undefined
  }
}

const tagOf = (error: unknown): string | undefined =>
  typeof error === "object" && error !== null && "_tag" in error && typeof error._tag === "string"
    ? error._tag
    : undefined

/** The refused action and its actor, because several people may act on one execution. */
const inputOf = ({ action, actor }: Of<"ActionRefused">): string =>
  actor === undefined ? "an input" : `${action ?? "an input"} by ${oneLine(actor)}`

/** Its tag, and for a signal its name and the reason: whoever has sent it may have been told only that it is stored. */
const refusalOf = (why: unknown): string => {
  const tag = tagOf(why) ?? String(why)
  if (typeof why !== "object" || why === null || !("signal" in why) || typeof why.signal !== "string") return tag
  return `${tag}, the signal ${why.signal}${"reason" in why && typeof why.reason === "string" ? ` (${why.reason})` : ""}`
}

/** Lines for the steps that have begun and not ended. */
const unfinished = (events: ReadonlyArray<SagaEvent>, times: boolean): ReadonlyArray<string> => {
  const open = new Map<string, string>()
  const nameOf = namesOf(events)
  for (const event of events) {
    switch (event._tag) {
      case "StepStarted":
      case "StartRequested":
      case "TryStarted":
        open.set(event.path, `${nameOf(event.path)} is running`)
        break
      case "WaitStarted":
        open.set(event.path, `${nameOf(event.path)} ${waitsFor(event, times)}`)
        break
      case "RequestSent":
      case "ProbeSent":
      case "CompensationSent":
        open.set(event.path, `${nameOf(event.path)} waits for ${event.message.service}`)
        break
      case "RequestAccepted":
        open.set(event.path, `${nameOf(event.path)} is done by its service, which answers later`)
        break
      case "CompensationStarted":
        open.set(event.path, `${nameOf(event.path)} is being compensated`)
        break
      case "StepSucceeded":
      case "StepFailed":
      case "ProbeAnswered":
      case "CompensationFailed":
      case "StepCompensated":
      case "StepParked":
      case "StepResolved":
        // The question to the service follows.
        open.delete(event.path)
        break
    }
  }
  return [...open.values()]
}
