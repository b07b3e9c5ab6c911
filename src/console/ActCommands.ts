/** The commands that act: retry, resolve, cancel, answer. Each on one execution, or on all that match a filter. */
import { Clock, Console, Effect, Option, Result, Schema, Semaphore } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { ExecutionSummary, Filter } from "../ports/ExecutionSummary.ts"
import { type Action, Inspector, type Outcome } from "../ports/Inspector.ts"
import { Json } from "../wire/JsonLimits.ts"
import { textOf as failureText } from "./Failures.ts"
import * as Flags from "./Flags.ts"
import { lines, summaryTable, within } from "./LookCommands.ts"
import {
  CommandFailed,
  CommandMisused,
  confirmed,
  NeedsAttention,
  plain,
  printJson,
  Screen,
  span,
  table
} from "./Screen.ts"

const targets = Argument.String("execution").pipe(
  Argument.withDescription("Uuids or startKeys. Without them: all that match the filter"),
  Argument.variadic()
)

const shared = { targets, ...Flags.filter, ...Flags.who, ...Flags.place, json: Flags.json }

type SharedFlags = Flags.FilterFlags &
  Flags.WhoFlags &
  Flags.PlaceFlags & { readonly targets: ReadonlyArray<string>; readonly json: boolean }

/** Executions of one bulk action, at most: more are done by calling it again. */
const mostTogether = 100_000
const pageSize = 1_000
/** Actions that wait for their outcome at the same time. */
const concurrency = 32
/** Rows that are shown before a person is asked. */
const preview = 5

interface Result_ {
  readonly uuid: string
  readonly outcome: Outcome | { readonly _tag: "Failed"; readonly message: string }
}

const all = Effect.fnUntraced(function* (filter: Filter) {
  const { find } = yield* Inspector
  const found: Array<ExecutionSummary> = []
  let after: string | undefined
  do {
    const page = yield* find(filter, { limit: pageSize, ...(after !== undefined && { after }) })
    found.push(...page.items)
    after = page.next
  } while (after !== undefined && found.length < mostTogether)
  return found
})

/** The executions that are meant. Those of a filter are shown and counted, and a person is asked. */
const chosen = Effect.fnUntraced(function* (verb: string, flags: SharedFlags, always: Filter) {
  const filter = yield* Flags.filterOf(flags)
  const isFiltered = Object.keys(filter).length > 0
  if (flags.targets.length > 0) {
    if (isFiltered) return yield* new CommandMisused({ message: "Name executions, or a filter: not both" })
    return flags.targets
  }
  if (!isFiltered) return yield* new CommandMisused({ message: "Name an execution, or a filter as for list" })
  const found = yield* all({ ...filter, ...always })
  if (!flags.json) {
    const more = found.length > preview ? [`… and ${found.length - preview} more`] : []
    if (found.length > 0) yield* lines([...(yield* summaryTable(found.slice(0, preview))), ...more])
    yield* Console.log(`${verb}: ${found.length} ${found.length === 1 ? "execution" : "executions"}`)
  }
  const isWanted =
    found.length === 0 ||
    (yield* confirmed(flags, `${verb} ${found.length} ${found.length === 1 ? "execution" : "executions"}`))
  return isWanted ? found.map(({ uuid }) => uuid) : []
})

const textOf = ({ outcome, uuid }: Result_): string => {
  switch (outcome._tag) {
    case "Applied":
      return `${plain(uuid)}  applied`
    case "Refused":
      return `${plain(uuid)}  refused: ${plain(outcome.message, 300)}`
    case "Waiting":
      return `${plain(uuid)}  accepted, not applied yet: no process has taken it (effect-saga processes)`
    case "Failed":
      return `${plain(uuid)}  failed: ${plain(outcome.message, 300)}`
  }
}

/** Acts on each, at the rate, and prints what became of it. */
const acts = Effect.fnUntraced(function* (verb: string, flags: SharedFlags, action: Action, always: Filter = {}) {
  const reason = yield* Flags.reasonOf(flags)
  const screen = yield* Screen
  const who = { actor: Option.getOrElse(flags.actor, () => screen.user), reason, wait: flags.wait }
  const work = Effect.gen(function* () {
    const uuids = yield* chosen(verb, flags, always)
    const { act } = yield* Inspector
    const gate = yield* Semaphore.make(1)
    let done = 0
    let toldAt = yield* Clock.currentTimeMillis
    const one = Effect.fnUntraced(function* (uuid: string) {
      if (uuids.length > 1) yield* gate.withPermit(Effect.sleep(1_000 / flags.rate))
      const acted = yield* Effect.result(act(uuid, action, who))
      const outcome: Result_["outcome"] = Result.isSuccess(acted)
        ? acted.success
        : { _tag: "Failed", message: failureText(acted.failure) }
      done++
      const result = { uuid, outcome }
      if (!flags.json) yield* Console.log(textOf(result))
      const now = yield* Clock.currentTimeMillis
      if (uuids.length > 20 && now - toldAt >= 2_000) {
        toldAt = now
        yield* Console.error(`${done} of ${uuids.length}`)
      }
      return result
    })
    const results = yield* Effect.forEach(uuids, one, { concurrency })
    // Executions that match may be in a database that does not answer: nothing was done about these.
    const missing = flags.targets.length > 0 ? [] : yield* (yield* Inspector).missing
    return { results, missing }
  })
  const { missing, results } = yield* within(Flags.placeOf(flags), work)
  const count = (tag: Result_["outcome"]["_tag"]) => results.filter(({ outcome }) => outcome._tag === tag).length
  const sums = {
    applied: count("Applied"),
    refused: count("Refused"),
    waiting: count("Waiting"),
    failed: count("Failed")
  }
  if (flags.json) yield* printJson({ ...sums, results, ...(missing.length > 0 && { missing }) })
  else if (results.length > 1)
    yield* Console.log(
      `${sums.applied} applied, ${sums.refused} refused, ${sums.waiting} waiting, ${sums.failed} failed`
    )
  if (sums.refused + sums.failed > 0) return yield* new CommandFailed({ message: "" })
  if (sums.waiting + missing.length > 0) return yield* new NeedsAttention()
})

const place = Flag.String("place").pipe(
  Flag.withMetavar("PATH"),
  Flag.withDescription("One place: the path of a step, service:commit, or execution, as show says"),
  Flag.optional
)

const placeOf = (place: Option.Option<string>) =>
  Option.match(place, { onNone: () => ({}), onSome: (place) => ({ place }) })

export const retry = Command.make("retry", { ...shared, place }, (flags) =>
  acts("retry", flags, { _tag: "RetryParked", ...placeOf(flags.place) }, { parked: true })
).pipe(
  Command.withDescription(
    "Try what is parked again, when its cause is repaired. Without --place: every place of the execution"
  ),
  Command.withShortDescription("Try what is parked again"),
  Command.withExamples([
    {
      command: 'effect-saga retry --saga PlaceOrder --failure NoCourier --reason "couriers are back"',
      description: "A group, as attention prints it"
    }
  ])
)

const jsonText = Schema.decodeUnknownResult(Schema.fromJsonString(Json))

const jsonFlag = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("JSON"),
    Flag.withDescription(description),
    Flag.filterMap(
      (text) => Result.getSuccess(jsonText(text)),
      () => "must be JSON"
    ),
    Flag.optional
  )

export const resolve = Command.make(
  "resolve",
  { ...shared, place, result: jsonFlag("result", "The result of a step behind the pivot, as it is stored") },
  (flags) =>
    acts(
      "resolve",
      flags,
      {
        _tag: "ResolveParked",
        ...placeOf(flags.place),
        ...Option.match(flags.result, { onNone: () => ({}), onSome: (result) => ({ result }) })
      },
      { parked: true }
    )
).pipe(
  Command.withDescription(
    "Declare what is parked done by other means: a compensation, or with --result a step behind the pivot"
  ),
  Command.withShortDescription("Declare what is parked done by other means")
)

export const cancel = Command.make("cancel", shared, (flags) =>
  acts("cancel", flags, { _tag: "Cancel" }, { settled: false })
).pipe(
  Command.withDescription("Roll executions back that are not decided: what they have done is compensated"),
  Command.withShortDescription("Roll executions back")
)

export const answer = Command.make(
  "answer",
  {
    ...shared,
    signal: Flag.String("signal").pipe(Flag.withMetavar("NAME"), Flag.withDescription("The signal that is waited for")),
    signalKey: Flag.String("signal-key").pipe(
      Flag.withMetavar("KEY"),
      Flag.withDescription("The key of the wait, where it has one"),
      Flag.optional
    ),
    id: Flag.String("id").pipe(
      Flag.withMetavar("ID"),
      Flag.withDescription("The same id again is no second answer. Default: one for each signal and key"),
      Flag.optional
    ),
    payload: jsonFlag("payload", "What the signal says, as it is stored")
  },
  (flags) =>
    acts(
      "answer",
      flags,
      {
        _tag: "Signal",
        signal: flags.signal,
        ...Option.match(flags.signalKey, { onNone: () => ({}), onSome: (key) => ({ key }) }),
        ...Option.match(flags.id, { onNone: () => ({}), onSome: (id) => ({ id }) }),
        ...Option.match(flags.payload, { onNone: () => ({}), onSome: (payload) => ({ payload }) })
      },
      { settled: false }
    )
).pipe(
  Command.withDescription("Answer a wait: send a signal"),
  Command.withExamples([
    {
      command: `effect-saga answer order-7 --signal approval --payload '{"by":"anna"}' --reason "asked by phone"`,
      description: "For one execution, by its startKey"
    }
  ])
)

// ---- doubt -----------------------------------------------------------------------------------------------------

const doubtList = Command.make(
  "list",
  { ...Flags.place, json: Flags.json },
  Effect.fn(function* (flags) {
    const work = Effect.gen(function* () {
      const found = yield* (yield* Inspector).inDoubt(0)
      if (flags.json) return yield* printJson(found)
      if (found.length === 0) return yield* Console.log("Nobody is in doubt.")
      const [screen, now] = [yield* Screen, yield* Clock.currentTimeMillis]
      yield* lines(
        table(
          found,
          [
            { title: "SERVICE", of: ({ service }) => service, least: 8 },
            { title: "EXECUTION", of: ({ uuid }) => uuid },
            { title: "COORDINATOR", of: ({ coordinator = "" }) => coordinator, least: 11, isOptional: true },
            { title: "FOR", of: ({ since }) => span(now - since), isRight: true }
          ],
          screen
        )
      )
    })
    yield* within(Flags.placeOf(flags), work)
  })
).pipe(Command.withDescription("Participants that have voted yes and do not know the decision"))

const doubtDecide = Command.make(
  "decide",
  {
    service: Argument.String("service").pipe(Argument.withDescription("The participant in doubt")),
    execution: Argument.String("execution").pipe(Argument.withDescription("The uuid, as doubt list says")),
    decision: Argument.Literals("decision", ["commit", "reject"]),
    actor: Flags.who.actor,
    reason: Flags.who.reason,
    wait: Flags.who.wait,
    ...Flags.place,
    json: Flags.json
  },
  Effect.fn(function* (flags) {
    const { decision, execution: uuid, json, service, wait } = flags
    const reason = yield* Flags.reasonOf(flags)
    const actor = Option.getOrElse(flags.actor, () => "")
    const screen = yield* Screen
    const work = Effect.gen(function* () {
      const { decideInDoubt } = yield* Inspector
      const outcome = yield* decideInDoubt(
        { service, uuid, decision },
        { actor: actor === "" ? screen.user : actor, reason, wait }
      )
      yield* json ? printJson({ uuid, outcome }) : Console.log(textOf({ uuid, outcome }))
      return outcome
    })
    const outcome = yield* within(Flags.placeOf(flags), work)
    if (outcome._tag === "Refused") return yield* new CommandFailed({ message: "" })
    if (outcome._tag === "Waiting") return yield* new NeedsAttention()
  })
).pipe(
  Command.withDescription(
    "Decide in place of a coordinator that never comes back. If it comes back with the other decision, the services contradict each other for ever: the transaction is marked heuristic"
  ),
  Command.withShortDescription("Decide in place of the coordinator"),
  Command.withExamples([
    {
      command: `effect-saga doubt decide payments 0197… commit --reason "orders is gone, its database says commit"`,
      description: "After looking at what the coordinator has decided"
    }
  ])
)

export const doubt = Command.make("doubt").pipe(
  Command.withDescription("Participants that do not know the decision of a transaction"),
  Command.withSubcommands([doubtList, doubtDecide])
)
