/** Postgres in the process. Imports `@electric-sql/pglite` and `@effect/sql-pg`, which nobody else needs. */
export * as PgliteClient from "./adapters/pglite/PgliteClient.ts"
