/** Where the executions are: in one database, behind a dashboard, or in several databases that have names. */
import { Option, Result } from "effect"
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

/** For a person. No name: there is one database. */
export const awaySentence = (names: ReadonlyArray<string>): string =>
  names.length > 1
    ? `The databases ${listed(names)} do not answer`
    : `The database${names.length === 0 ? "" : ` ${listed(names)}`} does not answer`

/** The same, beside what the other databases say. */
export const missingSentence = (names: ReadonlyArray<string>): string =>
  `${awaySentence(names)}: nothing of ${names.length === 1 ? "it" : "them"} is shown or counted (effect-saga doctor says why)`
