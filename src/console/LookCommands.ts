/** The commands that show what is stored: list, show, watch, stats, dead-letters, processes. */
import { Clock, Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { SagaEvent } from "../execution/rules/SagaEvent.ts"
import type { ExecutionSummary } from "../ports/ExecutionSummary.ts"
import { executionOf, type Inspected, Inspector, stateOf } from "../ports/Inspector.ts"
import { placesOf } from "../ports/InspectorGroups.ts"
import { traceIdOf } from "../ports/Tracing.ts"
import * as SagaStory from "../tooling/SagaStory.ts"
import { Access, type Place } from "./Access.ts"
import { lacking, missingSentence } from "./Databases.ts"
import { explained } from "./Failures.ts"
import * as Flags from "./Flags.ts"
import { type Colour, type Column, many, moment, plain, printJson, Screen, span, table } from "./Screen.ts"
import * as WithoutValues from "./WithoutValues.ts"

/** Says which databases are not among what is printed. */
const tellMissing = Effect.gen(function* () {
  const { missing, refusals } = yield* lacking(yield* Inspector)
  if (missing.length > 0) yield* Console.error(`effect-saga: ${missingSentence(missing, refusals)}`)
})

/** Runs a command on the storage that its flags name. */
export const within = <A, E, R>(place: Place, work: Effect.Effect<A, E, R | Inspector>) =>
  Effect.flatMap(Access, ({ inspector }) =>
    explained(
      Effect.provide(
        Effect.tap(work, () => tellMissing),
        inspector(place)
      )
    )
  )

export const lines = (all: ReadonlyArray<string>): Effect.Effect<void> =>
  all.length === 0 ? Effect.void : Console.log(all.join("\n"))

const colourOf = (state: string): Colour | undefined =>
  ({ errored: "red", undoing: "yellow", finished: "green" })[state] as Colour | undefined

// ---- list ------------------------------------------------------------------------------------------------------

const columns = (now: number): ReadonlyArray<Column<ExecutionSummary>> => [
  { title: "UUID", of: ({ uuid }) => uuid },
  { title: "SAGA", of: ({ saga }) => saga, least: 8 },
  { title: "STATE", of: stateOf, colour: (row) => colourOf(stateOf(row)) },
  { title: "WAITS FOR", of: ({ waitsFor = "" }) => waitsFor, least: 10, isOptional: true },
  { title: "AT", of: ({ step }) => step?.name ?? "", least: 7, isOptional: true },
  { title: "AGE", of: ({ createdAt }) => span(now - createdAt), isRight: true },
  { title: "!", of: ({ parked }) => (parked ? "!" : ""), isOptional: true, colour: () => "red" },
  { title: "FAILURE", of: ({ failure }) => failure?.tag ?? "", least: 8, isOptional: true },
  { title: "KEY", of: ({ startKey = "" }) => startKey, least: 6, isOptional: true },
  { title: "USER", of: ({ user = "" }) => user, least: 6, isOptional: true }
]

export const summaryTable = (rows: ReadonlyArray<ExecutionSummary>) =>
  Effect.gen(function* () {
    return table(rows, columns(yield* Clock.currentTimeMillis), yield* Screen)
  })

export const list = Command.make(
  "list",
  { ...Flags.filter, ...Flags.page, ...Flags.place, json: Flags.json },
  Effect.fn(function* (flags) {
    const work = Effect.gen(function* () {
      const { find } = yield* Inspector
      const page = yield* find(yield* Flags.filterOf(flags), Flags.pageRequestOf(flags))
      if (flags.json) return yield* printJson(page)
      if (page.items.length === 0) return yield* Console.log("No executions.")
      yield* lines(yield* summaryTable(page.items))
      if (page.previous !== undefined) yield* Console.log(`newer: --before ${page.previous}`)
      if (page.next !== undefined) yield* Console.log(`older: --after ${page.next}`)
    })
    yield* within(Flags.placeOf(flags), work)
  })
).pipe(
  Command.withDescription(
    "List executions, newest first. STATE undoing: it rolls back; !: it needs a person. WAITS FOR and AT are as of the last pause"
  ),
  Command.withShortDescription("List executions"),
  Command.withExamples([
    { command: "effect-saga list --parked", description: "What needs a person" },
    {
      command: "effect-saga list --waits-for payments --older 5m",
      description: "What has waited for a service for long"
    },
    {
      command: "effect-saga list --attribute customer=7 --json",
      description: "The executions of a customer, for a script"
    }
  ])
)

// ---- show ------------------------------------------------------------------------------------------------------

const target = Argument.String("execution").pipe(Argument.withDescription("Its uuid, or its startKey"))

const factLine = (fact: SagaEvent, hasValues: boolean): string => {
  const { _tag, at, ...fields } = hasValues ? fact : WithoutValues.fact(fact)
  const rest = Object.entries(fields)
    .filter(([name]) => hasValues || !WithoutValues.valueFields.has(name))
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
  return plain(`${moment(at)}  ${_tag}  ${rest.join(" ")}`.trimEnd(), hasValues ? 4_000 : 300)
}

const inputOf = (input: unknown): string =>
  typeof input === "object" && input !== null && "_tag" in input ? plain(String(input._tag), 40) : "an input"

/** The id of the trace in which it was started. */
const traceOf = (facts: ReadonlyArray<SagaEvent>): string | undefined =>
  traceIdOf(facts.find((fact) => fact._tag === "ExecutionStarted")?.trace)

/** What is known of an execution, before its story. */
const headOf = ({ facts, inbox, owner, ownerIsAlive, summary }: Inspected, now: number): ReadonlyArray<string> => {
  const { createdAt, failure, startKey, step, updatedAt, user, waitingSince, waitsFor, wakeAt } = summary
  const since = waitingSince === undefined ? "" : ` for ${span(now - waitingSince)}`
  const rows: ReadonlyArray<readonly [string, string | undefined]> = [
    [
      "state",
      `${stateOf(summary)}${summary.settled ? ", settled" : ""}${summary.parked ? ", parked: it needs a person" : ""}`
    ],
    ["key", startKey],
    ["user", user],
    [
      "attributes",
      summary.attributes &&
        Object.entries(summary.attributes)
          .map(([k, v]) => `${k}=${v}`)
          .join(" ")
    ],
    ["decision", summary.decision === null ? undefined : `${summary.decision} (${summary.commitState})`],
    ["failure", failure && `${failure.tag}${failure.path === undefined ? "" : ` at ${failure.path}`}`],
    ["at", step && `${step.name} (${step.path})`],
    ["waits for", waitsFor && `${waitsFor}${since}`],
    [
      "next look",
      wakeAt === undefined || summary.settled
        ? undefined
        : wakeAt > now
          ? `in ${span(wakeAt - now)}`
          : `due for ${span(now - wakeAt)}`
    ],
    ["owner", owner && `${owner}${ownerIsAlive === true ? "" : " (its lease is over)"}`],
    ["trace", traceOf(facts)],
    ["created", `${moment(createdAt)}, changed ${span(now - updatedAt)} ago`],
    ...inbox.map(({ actor, at, input, reason }): readonly [string, string] => [
      "in the inbox",
      `${inputOf(input)}${actor === undefined ? "" : ` by ${actor}`}${reason === undefined ? "" : ` (${reason})`}, ${span(now - at)} ago`
    ])
  ]
  return [
    `${plain(summary.saga, 100)} ${summary.uuid}`,
    ...rows.flatMap(([name, value]) =>
      value === undefined || value === "" ? [] : `  ${name.padEnd(13)}${plain(value, 300)}`
    )
  ]
}

const parkedLines = (inspected: Inspected): ReadonlyArray<string> =>
  Option.match(executionOf(inspected), {
    onNone: () => [],
    onSome: (execution) =>
      placesOf(execution).map(({ failure, kind, place, reason, service, step }) => {
        const what =
          kind === "service"
            ? `${service} does not answer to the decision`
            : kind === "step"
              ? `step ${step} (${place})`
              : "as a whole"
        const why = [failure, reason].filter((part) => part !== undefined && part !== failure).join(", ")
        return `  ${"parked".padEnd(13)}${plain(`${what}${failure === undefined ? "" : `: ${failure}`}${why === "" ? "" : `, ${why}`}`, 300)}`
      })
  })

export const show = Command.make(
  "show",
  {
    target,
    events: Flag.Boolean("events").pipe(Flag.withDescription("Every fact, not the story"), Flag.withDefault(false)),
    values: Flag.Boolean("values").pipe(
      Flag.withDescription("Initial values, results and errors too; they may be secret"),
      Flag.withDefault(false)
    ),
    ...Flags.place,
    json: Flags.json
  },
  Effect.fn(function* (flags) {
    const { events, json, target, values } = flags
    const work = Effect.gen(function* () {
      const { load } = yield* Inspector
      const inspected = yield* load(target)
      if (json) return yield* printJson(values ? inspected : WithoutValues.inspected(inspected))
      const now = yield* Clock.currentTimeMillis
      const story = events
        ? inspected.facts.map((fact) => factLine(fact, values))
        : SagaStory.tell({ events: inspected.facts }, { times: true, values }).map((line) =>
            plain(line, values ? 4_000 : 300)
          )
      yield* lines([...headOf(inspected, now), ...parkedLines(inspected), "", ...story])
    })
    yield* within({ ...Flags.placeOf(flags), values }, work)
  })
).pipe(
  Command.withDescription("Show one execution: where it stands, and its story"),
  Command.withShortDescription("Show one execution")
)

// ---- stats, waiting --------------------------------------------------------------------------------------------

const statsLines = Effect.gen(function* () {
  const { count, waiting } = yield* Inspector
  const [screen, now] = [yield* Screen, yield* Clock.currentTimeMillis]
  const counts = yield* count()
  const waits = yield* waiting
  const byState = table(
    counts,
    [
      { title: "SAGA", of: ({ saga }) => saga, least: 10 },
      { title: "STATE", of: ({ state }) => state, colour: ({ state }) => colourOf(state) },
      { title: "SETTLED", of: ({ settled }) => (settled ? "yes" : "no") },
      { title: "COUNT", of: many, isRight: true },
      { title: "OLDEST", of: ({ oldest }) => span(now - oldest), isRight: true }
    ],
    screen
  )
  const byWait = table(
    waits,
    [
      { title: "WAITS FOR", of: ({ waitsFor }) => waitsFor, least: 12 },
      { title: "SAGA", of: ({ saga }) => saga, least: 10 },
      { title: "AT", of: ({ step }) => step, least: 8 },
      { title: "COUNT", of: many, isRight: true },
      { title: "OLDEST", of: ({ oldest }) => span(now - oldest), isRight: true }
    ],
    screen
  )
  return {
    counts,
    waits,
    text: counts.length === 0 ? ["No executions."] : [...byState, ...(waits.length === 0 ? [] : ["", ...byWait])]
  }
})

export const stats = Command.make(
  "stats",
  { ...Flags.place, json: Flags.json },
  Effect.fn(function* (flags) {
    const work = Effect.gen(function* () {
      const { counts, text, waits } = yield* statsLines
      const missing = yield* (yield* Inspector).missing
      yield* flags.json ? printJson({ counts, waiting: waits, ...(missing.length > 0 && { missing }) }) : lines(text)
    })
    yield* within(Flags.placeOf(flags), work)
  })
).pipe(
  Command.withDescription(
    "How many executions each saga has in each state, what they wait for, and the oldest of each"
  ),
  Command.withShortDescription("Counts by saga, state, and what is waited for")
)

export const watch = Command.make(
  "watch",
  {
    target: Argument.String("execution").pipe(
      Argument.withDescription("One execution, until it has ended. Default: the counts of stats"),
      Argument.optional
    ),
    every: Flags.time("every", "Between two looks").pipe(Flag.withDefault(2_000)),
    ...Flags.place
  },
  Effect.fn(function* (flags) {
    const pause = Effect.sleep(Math.max(500, flags.every))
    const all = Effect.gen(function* () {
      const { hasColours, columns } = yield* Screen
      while (true) {
        const { text } = yield* statsLines
        yield* tellMissing
        // On a terminal the former picture goes; in a file each one stays.
        yield* lines([columns !== undefined && hasColours ? "\u001b[2J\u001b[H" : "", ...text])
        yield* pause
      }
    })
    const one = (uuid: string) =>
      Effect.gen(function* () {
        const { load } = yield* Inspector
        let told: ReadonlyArray<string> = []
        while (true) {
          const inspected = yield* load(uuid)
          // The last lines are of what has not ended: they change.
          const story = SagaStory.tell({ events: inspected.facts }, { times: true }).map((line) => plain(line, 300))
          const same = story.findIndex((line, i) => line !== told[i])
          yield* lines(same < 0 ? [] : story.slice(same))
          told = story
          const { settled, status } = inspected.summary
          if (settled || (status === "errored" && inspected.summary.parked)) return
          yield* pause
        }
      })
    yield* within(Flags.placeOf(flags), Option.match(flags.target, { onNone: () => all, onSome: (uuid) => one(uuid) }))
  })
).pipe(
  Command.withDescription("Look again and again: the story of one execution as it goes on, or the counts"),
  Command.withShortDescription("Follow one execution, or the counts")
)

// ---- dead letters, processes -----------------------------------------------------------------------------------

export const deadLetters = Command.make(
  "dead-letters",
  {
    limit: Flags.number("limit", "How many, 1 to 1000", 1_000).pipe(Flag.withDefault(50)),
    ...Flags.place,
    json: Flags.json
  },
  Effect.fn(function* (flags) {
    const work = Effect.gen(function* () {
      const letters = yield* (yield* Inspector).deadLetters(flags.limit)
      if (flags.json) return yield* printJson(letters)
      if (letters.length === 0) return yield* Console.log("No dead letters.")
      const [screen, now] = [yield* Screen, yield* Clock.currentTimeMillis]
      yield* lines(
        table(
          letters,
          [
            { title: "AGE", of: ({ receivedAt }) => span(now - receivedAt), isRight: true },
            { title: "REASON", of: ({ reason }) => reason, least: 12 },
            { title: "FROM", of: ({ sender }) => sender, least: 8 },
            { title: "TOPIC", of: ({ topic }) => topic, least: 16 },
            { title: "BYTES", of: ({ size }) => String(size), isRight: true, isOptional: true }
          ],
          screen
        )
      )
    })
    yield* within(Flags.placeOf(flags), work)
  })
).pipe(
  Command.withDescription(
    "Messages that nobody could read or was allowed to send, newest first. Their content is not kept"
  ),
  Command.withShortDescription("Messages that nobody could read")
)

export const processes = Command.make(
  "processes",
  { ...Flags.place, json: Flags.json },
  Effect.fn(function* (flags) {
    const work = Effect.gen(function* () {
      const found = yield* (yield* Inspector).processes
      if (flags.json) return yield* printJson(found)
      if (found.length === 0) return yield* Console.log("No processes.")
      const [screen, now] = [yield* Screen, yield* Clock.currentTimeMillis]
      yield* lines(
        table(
          found,
          [
            { title: "SERVICE", of: ({ service = "" }) => service, least: 8 },
            { title: "PROCESS", of: ({ id }) => id.slice(id.lastIndexOf("/") + 1), least: 12 },
            {
              title: "ALIVE",
              of: ({ isAlive }) => (isAlive ? "yes" : "no"),
              colour: ({ isAlive }) => (isAlive ? "green" : "red")
            },
            { title: "WORKS ON", of: ({ working }) => String(working), isRight: true },
            {
              title: "UP",
              of: ({ startedAt }) => (startedAt === undefined ? "" : span(now - startedAt)),
              isRight: true
            }
          ],
          screen
        )
      )
    })
    yield* within(Flags.placeOf(flags), work)
  })
).pipe(
  Command.withDescription("The processes that share the executions, and those that ended, for a day"),
  Command.withShortDescription("The processes that share the executions")
)

/** What becomes of a command that has no answer. */
const becomes = { accepted: "is answered later", running: "its handler runs", interrupted: "runs again" }

export const commands = Command.make(
  "commands",
  { ...Flags.place, json: Flags.json },
  Effect.fn(function* (flags) {
    const work = Effect.gen(function* () {
      const found = yield* (yield* Inspector).commands
      if (flags.json) return yield* printJson(found)
      if (found.length === 0) return yield* Console.log("No commands without an answer.")
      const [screen, now] = [yield* Screen, yield* Clock.currentTimeMillis]
      yield* lines(
        table(
          found,
          [
            { title: "COMMAND", of: ({ command, service }) => `${service}/${command}`, least: 12 },
            {
              title: "STATE",
              of: ({ state }) => becomes[state],
              colour: ({ state }) => (state === "interrupted" ? "yellow" : undefined)
            },
            { title: "COUNT", of: many, isRight: true },
            { title: "OLDEST", of: ({ oldest }) => span(now - oldest), isRight: true },
            { title: "MESSAGE", of: ({ sample }) => sample, least: 12, isOptional: true }
          ],
          screen
        )
      )
    })
    yield* within(Flags.placeOf(flags), work)
  })
).pipe(
  Command.withDescription(
    "Commands that the participants of this database have begun and not answered: accepted, running without a transaction, interrupted"
  ),
  Command.withShortDescription("Commands that participants have not answered")
)
