/** Where the executions are: in one database, behind a dashboard, or in several databases that have names. */
import { Effect, Option, Result } from "effect"
import { inWords } from "../ports/DatabaseCode.ts"
import type { Inspector, Refusals } from "../ports/Inspector.ts"
import type { NamedDatabase, Place } from "./Access.ts"
import { CommandMisused, plain } from "./Screen.ts"

const written = /^([A-Za-z][\w-]{0,39})=(\S+)$/

/** `north=postgres://…`. None: it is no name with an address. */
export const parse = (text: string): Option.Option<NamedDatabase> => {
  const [, name, url] = written.exec(text) ?? []
  return name === undefined || url === undefined ? Option.none() : Option.some({ name, url })
}

/** The environment variables that name databases. */
export interface Environment {
  /** Of one database. */
  readonly url: string | undefined
  /** Of several: `north=postgres://… south=postgres://…`. */
  readonly databases: string | undefined
}

export type Where =
  | { readonly _tag: "One"; readonly url: string }
  | { readonly _tag: "Several"; readonly databases: ReadonlyArray<NamedDatabase> }

const misused = (message: string) => Result.fail(new CommandMisused({ message }))

const several = (databases: ReadonlyArray<NamedDatabase>): Result.Result<Where, CommandMisused> => {
  const names = databases.map(({ name }) => name)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  return twice === undefined
    ? Result.succeed({ _tag: "Several", databases })
    : misused(`Two databases have the name ${twice}`)
}

/** The databases that the flags name, else those of the variables. Undefined: neither names one. */
export const where = (
  { databases, url }: Pick<Place, "databases" | "url">,
  environment: Environment
): Result.Result<Where | undefined, CommandMisused> => {
  if (databases.length > 0) return url === undefined ? several(databases) : misused("Say --url or --database: not both")
  if (url !== undefined) return Result.succeed({ _tag: "One", url })
  if (!environment.databases) return Result.succeed(environment.url ? { _tag: "One", url: environment.url } : undefined)
  if (environment.url) return misused("SAGA_PG_URL and SAGA_PG_DATABASES are both set: say --url or --database")
  const parts = environment.databases.trim().split(/\s+/)
  const found = parts.flatMap((part) => Option.toArray(parse(part)))
  return found.length === parts.length
    ? several(found)
    : misused("SAGA_PG_DATABASES must be like north=postgres://… south=postgres://…")
}

/** Names of databases in a sentence. */
export const listed = (names: ReadonlyArray<string>): string => names.map((name) => plain(name, 60)).join(", ")

/** For a person. No name: there is one database. `refusal`: it is there, and refuses the role with this code. */
export const awaySentence = (names: ReadonlyArray<string>, refusal?: string): string => {
  const isOne = names.length < 2
  const who = `The ${isOne ? "database" : "databases"}${names.length === 0 ? "" : ` ${listed(names)}`}`
  return refusal === undefined
    ? `${who} ${isOne ? "does" : "do"} not answer`
    : `${who} ${isOne ? "refuses" : "refuse"} this: ${plain(inWords(refusal), 100)}`
}

/** The same, beside what the other databases say. */
export const missingSentence = (names: ReadonlyArray<string>, refusals: Refusals): string => {
  const all = Map.groupBy(names, (name) => refusals[name])
  const why = Array.from(all, ([refusal, names]) => awaySentence(names, refusal)).join(". ")
  return `${why}: nothing of ${names.length === 1 ? "it" : "them"} is shown or counted (effect-saga doctor says why)`
}

/** The databases that are missing, and why, as far as it is known. */
export const lacking = ({ missing, refusals = Effect.succeed({}) }: Inspector["Service"]) =>
  Effect.all({ missing, refusals })

/** The names of databases with why they refuse the role, in words. */
export const inWordsOf = (refusals: Refusals): Refusals =>
  Object.fromEntries(Object.entries(refusals).map(([name, code]) => [name, inWords(code)]))
