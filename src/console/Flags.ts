/** The flags that commands share: where the executions are, which ones are meant, and who acts. */
import { Clock, Effect, Option, Result } from "effect"
import { CliError, Flag } from "effect/cli"
import type { Attributes } from "../definition/Attributes.ts"
import type { Filter, PageRequest } from "../ports/ExecutionSummary.ts"
import { ofState, State } from "../ports/Inspector.ts"
import type { NamedDatabase, Place } from "./Access.ts"
import * as Databases from "./Databases.ts"
import { CommandMisused } from "./Screen.ts"

const text = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar(metavar),
    Flag.withDescription(description),
    // As of a variable that is not set: another database would be taken than was meant.
    Flag.filter(
      (value) => value !== "",
      () => "must not be empty"
    ),
    Flag.optional
  )

export const given = <A>(option: Option.Option<A>): A | undefined => Option.getOrUndefined(option)

const headerText = /^[\w-]+:[ -~]*$/

/** Reads a text that may have a password: an error does not repeat it. */
const unrepeated =
  <A>(option: string, parse: (text: string) => Option.Option<A>, expected: string) =>
  (text: string): Effect.Effect<A, CliError.CliError> =>
    Option.match(parse(text), {
      onNone: () => Effect.fail(new CliError.InvalidValue({ option, value: "…", expected, kind: "flag" })),
      onSome: Effect.succeed
    })

// ---- where -----------------------------------------------------------------------------------------------------

export const place = {
  url: text(
    "url",
    "URL",
    "postgres://…, the folder of a PGlite that no process has open, or http://… of a dashboard. Default: SAGA_PG_URL, then the config"
  ),
  database: Flag.String("database").pipe(
    Flag.withMetavar("NAME=URL"),
    Flag.withDescription(
      "One of several databases among which executions are spread, in place of --url; said once for each. Default: SAGA_PG_DATABASES, as 'north=postgres://… south=postgres://…'"
    ),
    Flag.mapEffect(unrepeated("database", Databases.parse, "must be a name, = and an address, as north=postgres://…")),
    Flag.atLeast(0)
  ),
  schema: text(
    "schema",
    "NAME",
    "Schema of the tables, as in SqlSagaExecutionRepository.layer. Default: SAGA_PG_SCHEMA"
  ),
  prefix: text("prefix", "NAME", "Prefix of the tables, as in SqlSagaExecutionRepository.layer"),
  config: text("config", "FILE", "Module with the sagas. Default: effect-saga.config.ts here, if it is there"),
  header: Flag.String("header").pipe(
    Flag.withMetavar("NAME: VALUE"),
    Flag.withDescription(
      "For a dashboard: a header that lets you in; may be repeated. SAGA_DASHBOARD_AUTHORIZATION is its authorization"
    ),
    Flag.mapEffect(
      unrepeated(
        "header",
        Option.liftPredicate((text: string) => headerText.test(text)),
        "must be a name, a colon and a value"
      )
    ),
    Flag.atLeast(0)
  )
}

export type PlaceFlags = {
  readonly [K in Exclude<keyof typeof place, "database" | "header">]: Option.Option<string>
} & { readonly database: ReadonlyArray<NamedDatabase>; readonly header: ReadonlyArray<string> }

export const placeOf = ({ config, database, header, prefix, schema, url }: PlaceFlags): Place => ({
  url: given(url),
  databases: database,
  schema: given(schema),
  prefix: given(prefix),
  config: given(config),
  headers: header
})

/** For commands that only need the sagas. */
export const onlyConfig = (config: Option.Option<string>): Place => ({
  url: undefined,
  databases: [],
  schema: undefined,
  prefix: undefined,
  config: given(config),
  headers: []
})

export const json = Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))

// ---- which -----------------------------------------------------------------------------------------------------

const unitMillis: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const millisOf = (text: string): number | undefined => {
  const [, number = "", unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  const millis = unitMillis[unit]
  return millis === undefined ? undefined : Number(number) * millis
}

export const time = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("TIME"),
    Flag.withDescription(`${description}: 30s, 5m, 2h, 7d`),
    Flag.filterMap(
      (text) => {
        const millis = millisOf(text)
        return millis === undefined ? Option.none() : Option.some(millis)
      },
      (text) => `must be a number with s, m, h or d, and is ${JSON.stringify(text.slice(0, 20))}`
    )
  )

export const filter = {
  saga: text("saga", "NAME", "Of this saga"),
  state: Flag.Literals("state", State.literals).pipe(
    Flag.withAlias("status"),
    Flag.withDescription("In this state; undoing: it rolls back"),
    Flag.optional
  ),
  parked: Flag.Boolean("parked").pipe(Flag.withDescription("Needs a person"), Flag.withDefault(false)),
  waitsFor: text("waits-for", "WHAT", "Waits for service/Command, a service, 'signal NAME', or timer"),
  failure: text("failure", "TAG", "The tag of its failure"),
  step: text("step", "NAME", "At this step; with --parked or --waits-for"),
  key: text("key", "KEY", "With this startKey"),
  keyPrefix: text("key-prefix", "TEXT", "With a startKey that begins so; in the order of the keys"),
  user: text("user", "NAME", "Started for this user"),
  attribute: Flag.KeyValuePair("attribute").pipe(
    Flag.withMetavar("NAME=VALUE"),
    Flag.withDescription("With this attribute; a value like 7 or true is a number or a flag, '\"7\"' is a text"),
    Flag.optional
  ),
  older: time("older", "Created longer ago than").pipe(Flag.optional),
  newer: time("newer", "Created within").pipe(Flag.optional)
}

export type FilterFlags = {
  readonly saga: Option.Option<string>
  readonly state: Option.Option<State>
  readonly parked: boolean
  readonly waitsFor: Option.Option<string>
  readonly failure: Option.Option<string>
  readonly step: Option.Option<string>
  readonly key: Option.Option<string>
  readonly keyPrefix: Option.Option<string>
  readonly user: Option.Option<string>
  readonly attribute: Option.Option<Record<string, string>>
  readonly older: Option.Option<number>
  readonly newer: Option.Option<number>
}

/** A value of an attribute as it is written: a number, a flag, or a text. */
const attributeValue = (written: string): Attributes[string] => {
  const parsed = Result.try(() => JSON.parse(written) as unknown)
  const value = Result.isSuccess(parsed) ? parsed.success : undefined
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : written
}

export const filterOf = (flags: FilterFlags): Effect.Effect<Filter> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const { attribute, failure, key, keyPrefix, newer, older, parked, saga, state, step, user, waitsFor } = flags
    const some = <K extends string, A>(name: K, option: Option.Option<A>): { readonly [P in K]?: A } =>
      Option.match(option, { onNone: () => ({}), onSome: (value) => ({ [name]: value }) as { readonly [P in K]: A } })
    return {
      ...Option.match(state, { onNone: () => ({}), onSome: ofState }),
      ...(parked && { parked }),
      ...some("saga", saga),
      ...some("waitsFor", waitsFor),
      ...some("failure", failure),
      ...some("step", step),
      ...some("startKey", key),
      ...some("startKeyPrefix", keyPrefix),
      ...some("user", user),
      ...some(
        "attributes",
        Option.map(attribute, (written) =>
          Object.fromEntries(Object.entries(written).map(([name, value]) => [name, attributeValue(value)]))
        )
      ),
      ...some(
        "createdBefore",
        Option.map(older, (millis) => now - millis)
      ),
      ...some(
        "createdAfter",
        Option.map(newer, (millis) => now - millis)
      )
    }
  })

/** A whole number from 1 on. */
export const number = (name: string, description: string, most: number) =>
  Flag.Int(name).pipe(
    Flag.withMetavar("N"),
    Flag.withDescription(description),
    Flag.filter(
      (n) => n >= 1 && n <= most,
      (n) => `must be from 1 to ${most}, and is ${n}`
    )
  )

export const page = {
  limit: number("limit", "Executions on a page, 1 to 1000", 1_000).pipe(Flag.withDefault(50)),
  after: text("after", "CURSOR", "The page after this cursor (next)"),
  before: text("before", "CURSOR", "The page before this cursor (previous)")
}

export const pageRequestOf = (flags: {
  readonly limit: number
  readonly after: Option.Option<string>
  readonly before: Option.Option<string>
}): PageRequest => ({
  limit: flags.limit,
  ...(Option.isSome(flags.after) && { after: flags.after.value }),
  ...(Option.isSome(flags.before) && { before: flags.before.value })
})

// ---- who -------------------------------------------------------------------------------------------------------

export const who = {
  actor: text("actor", "NAME", "Who acts, for the history. Default: user@host"),
  reason: text("reason", "TEXT", "Why, for the history. Required"),
  yes: Flag.Boolean("yes").pipe(
    Flag.withAlias("y"),
    Flag.withDescription("Do not ask before an action on several executions"),
    Flag.withDefault(false)
  ),
  rate: Flag.Int("rate").pipe(
    Flag.withMetavar("N"),
    Flag.withDescription("Actions a second, 1 to 1000"),
    Flag.filter(
      (n) => n >= 1 && n <= 1_000,
      () => "must be from 1 to 1000"
    ),
    Flag.withDefault(20)
  ),
  wait: time("wait", "How long to wait for the outcome of each; 0s: not at all").pipe(Flag.withDefault(10_000))
}

export type WhoFlags = {
  readonly actor: Option.Option<string>
  readonly reason: Option.Option<string>
  readonly yes: boolean
  readonly rate: number
  readonly wait: number
}

export const reasonOf = ({ reason }: Pick<WhoFlags, "reason">): Effect.Effect<string, CommandMisused> =>
  Option.match(reason, {
    onNone: () => Effect.fail(new CommandMisused({ message: "--reason is required: it goes to the history" })),
    onSome: Effect.succeed
  })
