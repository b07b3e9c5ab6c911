/**
 * What needs a person, the most urgent first, each with the command that is next. Pure but for the reads: the dashboard shows the
 * same findings.
 */
import { Clock, Effect, Schema } from "effect"
import type { Drift } from "../orchestrator/Drift.ts"
import * as Summary from "../ports/ExecutionSummary.ts"
import {
  type InDoubt,
  Inspector,
  type OverdueGroup,
  type ParkedGroup,
  type Refusals,
  type WaitingGroup
} from "../ports/Inspector.ts"
import { isStalled } from "../ports/InspectorGroups.ts"
import type { Place } from "./Access.ts"
import { lacking, missingSentence } from "./Databases.ts"
import { many, quoted, span } from "./Screen.ts"

/** `away`: a database does not answer, where executions are spread over several. */
export const Kind = Schema.Literals([
  "away",
  "parked",
  "stalled",
  "in-doubt",
  "drifted",
  "unreadable",
  "overdue",
  "unanswered"
])
export type Kind = typeof Kind.Type

/** One line for a person, and what to do next. */
export const Finding = Schema.Struct({
  kind: Kind,
  saga: Schema.optionalKey(Schema.String),
  service: Schema.optionalKey(Schema.String),
  count: Schema.Int,
  /** There are more than `count`. */
  isMore: Schema.Boolean,
  /** Since when, in milliseconds since the epoch. */
  since: Schema.optionalKey(Schema.Int),
  /** The uuid of one of them. */
  sample: Schema.optionalKey(Schema.String),
  text: Schema.String,
  /** What to repair before, in words. */
  first: Schema.optionalKey(Schema.String),
  /** The command that ends it, or that leads further. */
  next: Schema.String
})
export type Finding = typeof Finding.Type

/** For how long something is no trouble yet, in milliseconds. */
export interface Patience {
  readonly unanswered: number
  readonly overdue: number
  readonly inDoubt: number
}

export const patience: Patience = { unanswered: 300_000, overdue: 60_000, inDoubt: 60_000 }

const program = "effect-saga"

/** A command with its arguments in quotes where a shell needs them. */
export const commandOf = (
  ...parts: ReadonlyArray<string | readonly [flag: string, value: string | undefined]>
): string =>
  [
    program,
    ...parts.flatMap((part) => {
      if (typeof part === "string") return [part]
      const [flag, value] = part
      return value === undefined ? [] : [flag, quoted(value)]
    })
  ].join(" ")

/** A password or a token is nothing to print; the variable that has it serves the next command too. */
const isSecret = (url: string): boolean => /:\/\/[^/]*:[^/]*@|[?&](?:token|password)=/i.test(url)

/** The flags with which another command looks at the same database. */
export const placeFlags = ({ config, databases, prefix, schema, url }: Place): string => {
  const isPrintable = !databases.some(({ url }) => isSecret(url))
  return [
    ["--url", url === undefined || isSecret(url) ? undefined : url],
    ...(isPrintable ? databases : []).map(({ name, url }) => ["--database", `${name}=${url}`]),
    ["--schema", schema],
    ["--prefix", prefix],
    ["--config", config]
  ]
    .flatMap(([flag, value]) => (value === undefined ? [] : ` ${flag} ${quoted(value)}`))
    .join("")
}

/** The same finding with commands that go where this one went. */
export const inPlace = (finding: Finding, place: Place): Finding => {
  const there = placeFlags(place)
  const { first, next } = finding
  return {
    ...finding,
    next: next + there,
    ...(first !== undefined && { first: first.includes(`${program} `) ? first + there : first })
  }
}

const repaired: readonly [string, string] = ["--reason", "cause repaired"]

export const ofParked = (group: ParkedGroup, now: number): Finding => {
  const { failure, oldest, places, saga, sample, step } = group
  const place = places[0]
  const service = place?.service
  const at = place?.step ?? step
  const stalled = isStalled(group)
  const why = place?.failure ?? failure
  const text = stalled
    ? `${service} does not answer to the decision${place?.reason === undefined ? "" : ` (${place.reason})`}`
    : place?.kind === "execution"
      ? "set aside as a whole: its runners die, or its write is refused"
      : `${at === undefined ? "a step" : `step ${at}`} is parked${why === undefined ? "" : `: ${why}`}${place?.reason === undefined || place.reason === why ? "" : `, ${place.reason}`}`
  return {
    kind: stalled ? "stalled" : "parked",
    saga,
    ...(service !== undefined && { service }),
    count: group.count,
    isMore: group.isMore,
    since: oldest,
    sample,
    text: `${saga}: ${text}. ${many(group)}, the oldest of ${span(now - oldest)} ago`,
    first:
      service === undefined
        ? `look at one: ${commandOf("show", sample)}`
        : `see that ${service} runs and does it: ${commandOf("show", sample)}`,
    next: commandOf(
      "retry",
      ["--saga", saga],
      ...(failure === undefined ? ["--parked"] : []),
      ["--failure", failure],
      ["--step", step],
      repaired
    )
  }
}

/** Somebody who is to answer is silent. Waits for signals and times are no trouble. */
export const ofWaiting = (group: WaitingGroup, now: number): Finding => {
  const { oldest, saga, step, waitsFor } = group
  const service = serviceIn(waitsFor)
  return {
    kind: "unanswered",
    saga,
    service,
    count: group.count,
    isMore: group.isMore,
    since: oldest,
    text: `${saga}: step ${step} waits for ${waitsFor}. ${many(group)}, the longest for ${span(now - oldest)}`,
    first: `see that a participant ${service} runs, and that its name is right: then they go on by themselves`,
    next: commandOf("cancel", ["--saga", saga], ["--waits-for", waitsFor], ["--step", step], ["--reason", "no answer"])
  }
}

/** The service whose answer is waited for. */
export const serviceIn = (waitsFor: string): string => waitsFor.split("/", 1)[0] ?? waitsFor

export const isAnswer = (waitsFor: string): boolean =>
  waitsFor !== Summary.timer && !waitsFor.startsWith(Summary.ofSignal)

export const ofOverdue = (group: OverdueGroup, now: number): Finding => ({
  kind: "overdue",
  saga: group.saga,
  count: group.count,
  isMore: group.isMore,
  ...(group.since !== undefined && { since: group.since }),
  sample: group.sample,
  text: `${group.saga}: ${many(group)} due${group.since === undefined ? "" : ` for ${span(now - group.since)}`}, and no process takes them (fingerprint ${group.fingerprint.slice(0, 12)})`,
  first: "see that a process with this saga, in this form, runs and can read them",
  next: commandOf("processes")
})

const ofAway = (name: string, refusals: Refusals): Finding => ({
  kind: "away",
  count: 1,
  isMore: false,
  text: missingSentence([name], refusals),
  first:
    refusals[name] === undefined
      ? "see that it runs, and that this machine reaches it"
      : "see that the role may connect, and has its rights on the tables and the schema",
  next: commandOf("doctor")
})

/** The decision of the coordinator. Unknown where its execution is stored elsewhere, or its database does not answer. */
const decisionOf = ({ uuid }: InDoubt) =>
  Inspector.use(({ load }) => load(uuid)).pipe(
    Effect.map(({ summary }) => summary.decision),
    Effect.catchIf(
      (error) => error._tag === "SagaExecutionNotFound" || error.reason === "unavailable",
      () => Effect.succeed(undefined)
    )
  )

const ofDoubt = (
  { coordinator = "its coordinator", service, since, uuid }: InDoubt,
  decision: string | null | undefined,
  now: number
): Finding => ({
  kind: "in-doubt",
  service,
  count: 1,
  isMore: false,
  since,
  sample: uuid,
  text: `${service}: has voted yes in ${uuid} and does not know the decision of ${coordinator} for ${span(now - since)}`,
  first:
    decision === undefined
      ? `start ${coordinator}, which tells the decision by itself. If it never comes back, look what the other services did`
      : `start ${coordinator}: it has ${decision === null ? "not decided yet" : `decided ${decision}`}, and tells it by itself`,
  next: commandOf("doubt", "decide", quoted(service), uuid, decision === "commit" ? "commit" : "reject", [
    "--reason",
    "coordinator is gone"
  ])
})

const ofDrift = ({ drifted, unreadable }: Drift): ReadonlyArray<Finding> => [
  ...drifted.map(
    ({ count, fingerprint, saga }): Finding => ({
      kind: "drifted",
      saga,
      count,
      isMore: Summary.isCut({ count }),
      text: `${saga}: ${many({ count, isMore: Summary.isCut({ count }) })} of another form (fingerprint ${fingerprint.slice(0, 12)}), which this program does not have`,
      first: "deploy a program that has this form of the saga too",
      next: commandOf("drift")
    })
  ),
  ...[
    ...Map.groupBy(unreadable, ({ rule, saga, step, value }) => JSON.stringify([saga, step, value, rule])).values()
  ].map((group): Finding => {
    const { rule, saga, step, uuid, value } = group[0]!
    return {
      kind: "unreadable",
      saga,
      count: group.length,
      isMore: false,
      sample: uuid,
      text: `${saga}: ${group.length} cannot be read by this program: ${value}${step === "" ? "" : ` of ${step}`}: ${rule}`,
      first: "deploy a program whose schemas read what is stored",
      next: commandOf("drift")
    }
  })
]

/** All that needs a person. `drift`: what the sagas of the program cannot continue, if they are known. */
export const findings = Effect.fnUntraced(function* (waits: Patience = patience, drift?: Drift) {
  const inspector = yield* Inspector
  const now = yield* Clock.currentTimeMillis
  const parked = yield* inspector.parked
  const inDoubt = yield* inspector.inDoubt(waits.inDoubt)
  const overdue = yield* inspector.overdue(waits.overdue)
  const waiting = yield* inspector.waiting
  const { missing, refusals } = yield* lacking(inspector)
  const found: ReadonlyArray<Finding> = [
    ...missing.map((name) => ofAway(name, refusals)),
    ...parked.map((group) => ofParked(group, now)),
    ...(yield* Effect.forEach(inDoubt, (doubt) =>
      Effect.map(decisionOf(doubt), (decision) => ofDoubt(doubt, decision, now))
    )),
    ...(drift === undefined ? [] : ofDrift(drift)),
    ...overdue.map((group) => ofOverdue(group, now)),
    ...waiting
      .filter(({ oldest, waitsFor }) => isAnswer(waitsFor) && now - oldest >= waits.unanswered)
      .map((group) => ofWaiting(group, now))
  ]
  return found
})
