/** What a code of Postgres says to a person, where a setting or a right of theirs is the reason. */
const words: { readonly [code: string]: string } = {
  "28000": "the role may not connect",
  "28P01": "the role or its password is wrong",
  "3D000": "there is no database of this name",
  "42501": "the role lacks a right there",
  "42704": "there is no role of this name",
  "55000": "the database accepts no connections",
  ECONNREFUSED: "nobody listens at this address",
  ENOTFOUND: "there is no host of this name"
}

/** The code, and what it says where that is known. */
export const inWords = (code: string): string => (Object.hasOwn(words, code) ? `${code}: ${words[code]}` : code)
