/** Error codes of Postgres and of the network whose cause is a setting or a missing right, in words for a person. */
const words: { readonly [code: string]: string } = {
  "28000": "the role may not connect",
  "28P01": "the role or its password is wrong",
  "3D000": "there is no database of this name",
  "42501": "the role lacks a right there",
  "42704": "there is no role of this name",
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
