/** Two databases among which the sagas of `bench/processes.ts` are spread: two schemas of one server. */
import { PgClient } from "@effect/sql-pg"
import { Redacted } from "effect"

export interface Place {
  readonly url: string
  readonly schema: string
}

export const southOf = (schema: string): string => `${schema}_south`

export const of = ({ schema, url }: Place, maxConnections: number) => {
  const at = (schema: string) => ({ client: PgClient.layer({ url: Redacted.make(url), maxConnections }), schema })
  return { north: at(schema), south: at(southOf(schema)) }
}
