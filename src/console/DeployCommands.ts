/** The commands around a deployment: attention, drift, migrate, doctor; and those for one saga or execution as a file. */
import { Clock, Console, Effect, Layer, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as SagaPath from "../definition/SagaPath.ts"
import type { Definition } from "../definition/SagaStep.ts"
import * as RetrySchedule from "../execution/rules/RetrySchedule.ts"
import * as SagaDecision from "../execution/rules/SagaDecision.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { checkDrift, type Drift } from "../orchestrator/Drift.ts"
import type { Check } from "../ports/Check.ts"
import * as Summary from "../ports/ExecutionSummary.ts"
import { executionOf, Inspector } from "../ports/Inspector.ts"
import { SagaExecutionRepository, SagaExecutionRepositoryError } from "../ports/SagaExecutionRepository.ts"
import * as SagaDiagram from "../tooling/SagaDiagram.ts"
import * as SagaStory from "../tooling/SagaStory.ts"
import { Access, type ConsoleConfig, type Place } from "./Access.ts"
import * as Attention from "./Attention.ts"
import * as Flags from "./Flags.ts"
import { lines, within } from "./LookCommands.ts"
import {
  CommandFailed,
  CommandMisused,
  coloured,
  jsonOf,
  many,
  NeedsAttention,
  plain,
  printJson,
  Screen,
  table
} from "./Screen.ts"

const configOf = (place: Place) => Effect.flatMap(Access, ({ config }) => config(place))

const neededConfig = Effect.fnUntraced(function* (place: Place) {
  const config = yield* configOf(place)
  if (config !== undefined) return config
  return yield* new CommandMisused({
    message: "There is no effect-saga.config.ts here: it exports default { sagas }. Name another file with --config"
  })
})

// ---- drift -----------------------------------------------------------------------------------------------------

/** The part of a repository that drift reads, on an inspector. */
const reading = Layer.effect(
  SagaExecutionRepository,
  Effect.map(Inspector, ({ census, find, load }) => {
    const failed = (operation: "find" | "load" | "census") => (cause: { readonly reason: string }) =>
      new SagaExecutionRepositoryError({
        reason: cause.reason === "corrupt" || cause.reason === "rejected" ? cause.reason : "unavailable",
        operation,
        cause
      })
    const never = () => Effect.die("drift only reads")
    return SagaExecutionRepository.of({
      find: (...args) => Effect.mapError(find(...args), failed("find")),
      census: Effect.mapError(census, failed("census")),
      load: (uuid) =>
        Effect.catchTag(load(uuid), "InspectorError", (error) => Effect.fail(failed("load")(error))).pipe(
          Effect.flatMap((inspected) =>
            Effect.mapError(Effect.fromOption(executionOf(inspected)), () => failed("load")({ reason: "corrupt" }))
          )
        ),
      store: never,
      delete: never,
      submit: never,
      inbox: never,
      claim: never,
      take: never,
      giveBack: never,
      release: never,
      ended: never,
      changes: never() as never,
      inputs: never() as never,
      atomically: (work) => work,
      durable: true,
      transactional: true
    })
  })
)

const driftOf = ({ sagas, service }: ConsoleConfig, limit: number) =>
  checkDrift(sagas, { limit, ...(service !== undefined && { service }) }).pipe(
    Effect.provide(reading),
    Effect.mapError((error) => new CommandFailed({ message: plain(error.message) }))
  )

const limit = Flags.number("limit", "Executions whose values are read, at most", 1_000_000).pipe(
  Flag.withDefault(10_000)
)

const countOf = (count: number): string => many({ count, isMore: Summary.isCut({ count }) })

const driftLines = ({ checked, continued, drifted, isComplete, unreadable }: Drift): ReadonlyArray<string> => [
  ...continued.map(
    ({ count, fingerprint, saga }) => `ok          ${plain(saga)} ${fingerprint.slice(0, 12)}: ${countOf(count)}`
  ),
  ...drifted.map(
    ({ count, fingerprint, saga }) =>
      `drifted     ${plain(saga)} ${plain(fingerprint.slice(0, 12))}: ${countOf(count)} wait for a program with this form of the saga`
  ),
  ...unreadable.map(
    ({ rule, saga, step, uuid, value }) =>
      `unreadable  ${plain(saga)} ${uuid}: ${value}${step === "" ? "" : ` of ${plain(step)}`}: ${plain(rule)}`
  ),
  `${checked} read${isComplete ? "" : ", and there are more (--limit)"}. ${
    drifted.length + unreadable.length === 0
      ? "This program continues all of them."
      : "This program cannot continue all of them."
  }`
]

export const drift = Command.make(
  "drift",
  { limit, ...Flags.place, json: Flags.json },
  Effect.fn(function* (flags) {
    const place = { ...Flags.placeOf(flags), values: true }
    const config = yield* neededConfig(place)
    const found = yield* within(place, driftOf(config, flags.limit))
    yield* flags.json ? printJson(found) : lines(driftLines(found))
    if (found.drifted.length + found.unreadable.length > 0) return yield* new NeedsAttention()
  })
).pipe(
  Command.withDescription(
    "Say which stored executions the sagas of effect-saga.config.ts cannot continue: for the gate of a deployment. Exit code 3 if there are any"
  ),
  Command.withShortDescription("What a deployment would leave behind")
)

// ---- attention -------------------------------------------------------------------------------------------------

const waits = {
  unansweredAfter: Flags.time("unanswered-after", "An answer is late after").pipe(
    Flag.withDefault(Attention.patience.unanswered)
  ),
  overdueAfter: Flags.time("overdue-after", "An execution is overdue after").pipe(
    Flag.withDefault(Attention.patience.overdue)
  ),
  inDoubtAfter: Flags.time("in-doubt-after", "A participant is in doubt after").pipe(
    Flag.withDefault(Attention.patience.inDoubt)
  )
}

const findingLines = (found: ReadonlyArray<Attention.Finding>, hasColours: boolean): ReadonlyArray<string> =>
  found.flatMap(({ first, kind, next, text }) => [
    `${coloured(kind, "red", hasColours)}  ${plain(text, 400)}`,
    ...(first === undefined ? [] : [`  first  ${plain(first, 400)}`]),
    `  next   ${plain(next, 600)}`
  ])

export const attention = Command.make(
  "attention",
  { ...waits, limit, ...Flags.place, json: Flags.json },
  Effect.fn(function* (flags) {
    const place = Flags.placeOf(flags)
    const config = yield* configOf(place)
    const patience = {
      unanswered: flags.unansweredAfter,
      overdue: flags.overdueAfter,
      inDoubt: flags.inDoubtAfter
    }
    const work = Effect.gen(function* () {
      // Drift is known only where there are sagas to compare with, and where all databases answer.
      const isKnown =
        config !== undefined && config.sagas.length > 0 && (yield* Inspector.use(({ missing }) => missing)).length === 0
      const drift = isKnown ? yield* driftOf(config, flags.limit) : undefined
      const found = yield* Attention.findings(patience, drift)
      return found.map((finding) => Attention.inPlace(finding, place))
    })
    const found = yield* within(place, work)
    if (flags.json) yield* printJson({ findings: found })
    else if (found.length === 0) yield* Console.log("Nothing needs attention.")
    else yield* lines(findingLines(found, (yield* Screen).hasColours))
    if (found.length > 0) return yield* new NeedsAttention()
  })
).pipe(
  Command.withDescription(
    "What needs a person, each with the command that is next: parked, stalled, in doubt, drifted, overdue, unanswered, a database that is away. Exit code 3 if there is any"
  ),
  Command.withShortDescription("What needs a person, and what to do next")
)

// ---- migrate, doctor -------------------------------------------------------------------------------------------

export const migrate = Command.make(
  "migrate",
  {
    tables: Flag.Literals("tables", ["all", "executions", "participants", "dead-letters"]).pipe(
      Flag.withDescription("Of which part"),
      Flag.withDefault("all")
    ),
    printSql: Flag.Boolean("print-sql").pipe(
      Flag.withDescription("Print the statements of all migrations, and run none"),
      Flag.withDefault(false)
    ),
    appRole: Flag.String("app-role").pipe(
      Flag.withMetavar("ROLE"),
      Flag.withDescription("Give this role the rights that a running process needs, and no others"),
      Flag.optional
    ),
    ...Flags.place,
    json: Flags.json
  },
  Effect.fn(function* (flags) {
    const { migrate } = yield* Access
    const parts = flags.tables === "all" ? (["executions", "participants", "dead-letters"] as const) : [flags.tables]
    const done = yield* migrate(Flags.placeOf(flags), {
      parts,
      printsSql: flags.printSql,
      appRole: Option.getOrUndefined(flags.appRole)
    })
    const hasFailed = done.some(({ failed }) => failed !== undefined)
    if (flags.json) yield* printJson(done)
    else if (flags.printSql)
      yield* lines(
        done.flatMap(({ migrations, statements }) => [
          ...migrations.map((name) => `-- ${name}`),
          ...statements.map((text) => `${text};`)
        ])
      )
    else
      yield* lines(
        done.map(
          ({ database, failed, migrations, newer, part }) =>
            `${database === undefined ? "" : `${database} `}${part}: ${failed ?? (migrations.length > 0 ? migrations.join(", ") : newer === undefined ? "nothing to do" : "nothing to do: the tables are of a newer release")}`
        )
      )
    if (hasFailed) return yield* new CommandFailed({ message: "not all tables are up to this release: run it again" })
  })
).pipe(
  Command.withDescription(
    "Make the tables, or bring them up to this release, in each database that is named. Former releases work on beside them"
  ),
  Command.withShortDescription("Make the tables, or bring them up to date")
)

const sagaChecks = (config: ConsoleConfig | undefined): ReadonlyArray<Check> => {
  if (config === undefined)
    return [{ what: "config", state: "skipped", found: "there is no effect-saga.config.ts here" }]
  const names = config.sagas.map(({ name }) => name)
  return [
    {
      what: "config",
      state: "ok",
      found: `${names.length} ${names.length === 1 ? "saga" : "sagas"}: ${names.join(", ")}`
    },
    {
      what: "services",
      state: "ok",
      found: servicesOf(config).join(", ") || "no saga asks another service"
    }
  ]
}

const servicesOf = ({ sagas }: ConsoleConfig): ReadonlyArray<string> =>
  [...new Set(sagas.flatMap((saga) => targetsOf(saga)))].sort()

const brokerChecks = (config: ConsoleConfig | undefined): Effect.Effect<ReadonlyArray<Check>> => {
  if (config?.broker === undefined)
    return Effect.succeed([{ what: "broker", state: "skipped", found: "effect-saga.config.ts names no broker" }])
  if (config.service === undefined)
    return Effect.succeed([{ what: "broker", state: "failed", found: "effect-saga.config.ts names no service" }])
  return config.broker({ service: config.service, targets: servicesOf(config) })
}

/** The services that a saga asks. */
const targetsOf = (saga: Definition): ReadonlyArray<string> =>
  SagaPath.steps(saga).flatMap(({ step }) =>
    step._tag === "Remote" ? [step.execute, step.compensate].flatMap((request) => request?.service ?? []) : []
  )

export const doctor = Command.make(
  "doctor",
  { ...Flags.place, json: Flags.json },
  Effect.fn(function* (flags) {
    const { checks } = yield* Access
    const place = Flags.placeOf(flags)
    const config = yield* Effect.result(configOf(place))
    const ofConfig: ReadonlyArray<Check> =
      config._tag === "Success"
        ? sagaChecks(config.success)
        : [{ what: "config", state: "failed", found: config.failure.message }]
    const ofBroker = yield* brokerChecks(config._tag === "Success" ? config.success : undefined)
    const found = [...ofConfig, ...(yield* checks(place)), ...ofBroker]
    const screen = yield* Screen
    if (flags.json) yield* printJson({ checks: found })
    else
      yield* lines(
        table(
          found,
          [
            {
              title: "CHECK",
              of: ({ state }) => state,
              colour: ({ state }) => (state === "failed" ? "red" : state === "ok" ? "green" : "dim")
            },
            { title: "OF", of: ({ what }) => what },
            { title: "FOUND", of: ({ found }) => found, least: 20 }
          ],
          screen
        )
      )
    if (found.some(({ state }) => state === "failed")) return yield* new CommandFailed({ message: "" })
  })
).pipe(
  Command.withDescription(
    "Check what a program needs: the config loads and its sagas are valid, the database is reached, its version, rights, migrations and clock; with a broker in the config that it is reached, takes what the service sends, and that somebody listens for each service that the sagas ask"
  ),
  Command.withShortDescription("Check what a program needs")
)

// ---- files -----------------------------------------------------------------------------------------------------

export const diagram = Command.make(
  "diagram",
  { saga: Argument.String("saga").pipe(Argument.withDescription("Its name")), config: Flags.place.config },
  Effect.fn(function* ({ config, saga }) {
    const { sagas } = yield* neededConfig(Flags.onlyConfig(config))
    const found = sagas.filter(({ name }) => name === saga)
    if (found.length === 0)
      return yield* new CommandFailed({
        message: `There is no saga ${plain(saga)}: there are ${sagas.map(({ name }) => name).join(", ")}`
      })
    yield* lines(found.map((one) => SagaDiagram.mermaid(one)))
  })
).pipe(Command.withDescription("Print a saga as a Mermaid flowchart"))

export const exporting = Command.make(
  "export",
  {
    target: Argument.String("execution").pipe(Argument.withDescription("Its uuid, or its startKey")),
    file: Flag.String("file").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Where to write it. Default: printed"),
      Flag.optional
    ),
    ...Flags.place
  },
  Effect.fn(function* (flags) {
    const { writeFile } = yield* Access
    const inspected = yield* within(
      { ...Flags.placeOf(flags), values: true },
      Inspector.use(({ load }) => load(flags.target))
    )
    const execution = executionOf(inspected)
    if (Option.isNone(execution))
      return yield* new CommandFailed({ message: "Its facts cannot be read by this release" })
    const text = jsonOf(Execution.raw(execution.value))
    if (Option.isNone(flags.file)) return yield* Console.log(text)
    yield* writeFile(flags.file.value, `${text}\n`)
    yield* Console.log(`Written to ${plain(flags.file.value)}. It has the values of the execution: treat it as secret`)
  })
).pipe(
  Command.withDescription("One execution as a file, with all of its values, for replay and for a report"),
  Command.withShortDescription("One execution as a file")
)

export const replay = Command.make(
  "replay",
  {
    file: Argument.String("file").pipe(Argument.withDescription("A file of export")),
    config: Flags.place.config,
    json: Flags.json
  },
  Effect.fn(function* ({ config, file, json }) {
    const access = yield* Access
    const found = yield* access.config(Flags.onlyConfig(config))
    const parsed = yield* Effect.mapError(
      Effect.flatMap(access.readFile(file), Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Unknown))),
      (error) => new CommandFailed({ message: error instanceof CommandFailed ? error.message : "The file is not JSON" })
    )
    const failed = (error: { readonly message: string }) => new CommandFailed({ message: plain(error.message) })
    const shown = yield* Effect.mapError(Execution.fromRaw(parsed), failed)
    const definition = found?.sagas.find(
      ({ fingerprint, name }) => name === shown.saga && fingerprint === shown.state.creation.fingerprint
    )
    const now = yield* Clock.currentTimeMillis
    const next = definition === undefined ? undefined : nextOf(shown, definition, now)
    const story = SagaStory.tell(shown, { times: true })
    if (json)
      return yield* printJson({ uuid: shown.uuid, saga: shown.saga, status: shown.status, story, next: next ?? null })
    yield* lines([
      `${plain(shown.saga)} ${shown.uuid}`,
      "",
      ...story.map((line) => plain(line, 300)),
      "",
      ...(next === undefined
        ? ["Its saga is not in effect-saga.config.ts in this form: what is next cannot be decided."]
        : next.length === 0
          ? ["Next: nothing by itself."]
          : ["Next:", ...next.map((line) => `  ${plain(line, 200)}`)])
    ])
  })
).pipe(
  Command.withDescription(
    "Fold a file of export and decide it again, without any effect: its story, and what would be next"
  ),
  Command.withShortDescription("Decide a file of export again, without effects")
)

/** What a process would do for the execution now, as if it had just started. */
const nextOf = (execution: Execution.SagaExecution, definition: Definition, now: number): ReadonlyArray<string> => {
  const { decision, state } = SagaDecision.advance(execution.state, {
    definition,
    now,
    since: Number.NEGATIVE_INFINITY,
    presentSince: Number.NEGATIVE_INFINITY,
    attemptSince: Number.NEGATIVE_INFINITY,
    schedule: RetrySchedule.defaults
  })
  const decided = new Execution.SagaExecution(state, definition).events.slice(execution.events.length)
  return [
    ...decided.map((fact) => `${fact._tag}${"path" in fact ? ` at ${fact.path}` : ""}`),
    ...decision.instructions.map(({ _tag, path }) => `${_tag}${path === "" ? "" : ` at ${path}`}`)
  ]
}
