/**
 * Error codes of Postgres and of the network whose cause is a setting, a missing right or a full server, in words for a person. The
 * text of the database itself is shown to nobody, as it may quote values (SPEC C12).
 */
import { Effect } from "effect"
import * as NowAndThen from "./NowAndThen.ts"

const words: { readonly [code: string]: string } = {
  "25006": "the database only reads",
  "28000": "the role may not connect",
  "28P01": "the role or its password is wrong",
  "3D000": "there is no database of this name",
  "3F000": "there is no schema of this name",
  "42501": "the role lacks a right there",
  "42703": "there is no column of this name",
  "42704": "there is no role of this name",
  "42P01": "there is no table of this name",
  "53100": "the disk of the database is full",
  "55000": "the database accepts no connections",
  "57P03": "the database accepts no connections yet",
  ECONNREFUSED: "nobody listens at this address",
  ENOTFOUND: "there is no host of this name"
}

/** The code with its words; the code alone where it has none. */
export const inWords = (code: string): string => (Object.hasOwn(words, code) ? `${code}: ${words[code]}` : code)

/** The database is there and has answered: it does not let this role do it, however often it is tried. */
const isRefusal = (code: string): boolean => /^(28|3D000|42501)/.test(code)

/** The code in the cause of an error; empty: it has none. */
export const codeIn = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause && cause.code !== undefined ? String(cause.code) : ""

/** The code with which a database has refused the role; undefined: it has not. */
export const refusalIn = (cause: unknown): string | undefined => {
  const code = codeIn(cause)
  return isRefusal(code) ? code : undefined
}

/** The code in the cause of an error with its words, for the log; "" where it has none that is one. */
const saysOf = (error: { readonly cause?: unknown }): string => {
  const code = codeIn(error.cause)
  return /^\w{1,64}$/.test(code) ? inWords(code) : ""
}

/** The same as a field of a line in the log. */
export const saidBy = (error: { readonly cause?: unknown }): { readonly says?: string } => {
  const says = saysOf(error)
  return says === "" ? {} : { says }
}

/** A message with what the database says, where it says something. */
export const withCode = (message: string, error: { readonly cause?: unknown }): string => {
  const says = saysOf(error)
  return says === "" ? message : `${message} (${says})`
}

/** Classes of SQLSTATE that pass by themselves: a lost connection, a transaction that was ended for another one, a server that starts. */
const passes = /^(08|40|55P03|57)/

/** Whether somebody may have to do something first, such as to give a right or to make room. */
const isLasting = (code: string): boolean =>
  Object.hasOwn(words, code) || (/^(?=.*\d)[0-9A-Z]{5}$/.test(code) && !passes.test(code))

/**
 * Names in the log what the database says to a call that is tried again, where it will say the same until somebody does something.
 * The caller goes on trying, because a person may give the right while the process runs.
 */
export const warnLasting = (error: unknown): Effect.Effect<void> => {
  if (!(error instanceof Error) || !isLasting(codeIn(error.cause))) return Effect.void
  // Any other reason is not tried again.
  if ("reason" in error && error.reason !== "unavailable") return Effect.void
  const says = saysOf(error)
  const what = "operation" in error ? String(error.operation) : error.name
  return NowAndThen.write(
    `${what} ${says}`,
    Effect.logWarning("The database does not do what is asked of it, and is asked again", { operation: what, says })
  )
}
