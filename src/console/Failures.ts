/** Errors of the ports, as a person reads them who does not know this library. */
import { Effect } from "effect"
import { codeIn, inWords, refusalIn } from "../ports/DatabaseCode.ts"
import type { InspectorError } from "../ports/Inspector.ts"
import type { SagaExecutionNotFound } from "../ports/RepositoryErrors.ts"
import { awaySentence, listed } from "./Databases.ts"
import { DashboardRefused } from "./dashboard/HttpInspector.ts"
import { CommandFailed, plain } from "./Screen.ts"

const inspectorError = ({ cause, databases, operation, reason }: InspectorError): string => {
  if (cause instanceof DashboardRefused) return plain(cause.why, 400)
  const which = databases === undefined || databases.length === 0 ? "" : ` in ${listed(databases)}`
  switch (reason) {
    case "unavailable":
      if (databases?.length === 0) return "no database serves the bucket of this execution now: see effect-saga buckets"
      return `${awaySentence(databases ?? [], refusalIn(cause))} (${operation}${networkIn(cause)})`
    case "unmigrated":
      return `the tables are not there${which}: name the --schema and --prefix of the program, or run effect-saga migrate`
    case "rejected":
      return operation === "find" ? "the cursor is none that list has printed" : `${operation} was refused`
    case "corrupt":
      return "what is stored cannot be read: it is of a newer release, or was changed by other hands"
    case "unsupported":
      return `this storage cannot do ${operation}`
  }
}

/** The code of the network or of the database, with its words. Empty for a refusal of the role: the sentence has its code already. */
const networkIn = (cause: unknown): string =>
  codeIn(cause) === "" || refusalIn(cause) !== undefined ? "" : `, ${plain(inWords(codeIn(cause)), 100)}`

/** For a person; the errors of the inspector have texts for programs. */
export const textOf = (error: InspectorError | SagaExecutionNotFound): string =>
  error._tag === "InspectorError" ? inspectorError(error) : plain(error.message)

/** A failure of a port as that of a command. */
export const explained = <A, E, R>(
  effect: Effect.Effect<A, E | InspectorError | SagaExecutionNotFound, R>
): Effect.Effect<A, Exclude<E, InspectorError | SagaExecutionNotFound> | CommandFailed, R> =>
  Effect.mapError(effect, (error) => {
    const { _tag } = error as { readonly _tag?: string }
    return _tag === "InspectorError" || _tag === "SagaExecutionNotFound"
      ? new CommandFailed({ message: textOf(error as InspectorError | SagaExecutionNotFound) })
      : (error as Exclude<E, InspectorError | SagaExecutionNotFound>)
  })
