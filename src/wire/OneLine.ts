/**
 * Texts for messages and logs. A value from outside (a name, a reason, the message of somebody's error) may have newlines
 * or control characters, which would forge a line of a log. So every message of the library is one line, of bounded length,
 * and says of another error its tag and its message only: other fields may be a payload, which is never logged (SPEC C12).
 */

/** Characters of one value in a message; more are cut. */
const longest = 1_000

/** Control characters, half surrogates, and characters that change the direction of text. */
const unprintable = /[\p{Cc}\p{Cs}\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/gu

/** A value as text without newlines and control characters, cut where it is long. */
export const oneLine = (value: unknown): string => {
  // Cut before the search, so that a value of megabytes costs no more than a short one.
  const text = String(value)
  const cut = text.length > longest ? `${text.slice(0, longest)}…` : text
  return cut.replaceAll(/\s+/gu, " ").replaceAll(unprintable, "\uFFFD")
}

/** A template whose values are made `oneLine`: for the message of an error. */
export const line = (texts: TemplateStringsArray, ...values: ReadonlyArray<unknown>): string =>
  texts.reduce((before, text, i) => `${before}${oneLine(values[i - 1])}${text}`)

/** A word of the protocol, such as the reason of a participant. Other content of an answer may be secret (SPEC C12). */
export const wordOf = (content: unknown): string | undefined =>
  typeof content === "string" && /^[A-Za-z]{1,64}$/u.test(content) ? content : undefined

/** Tag (else name) and message of an error; of a value that has neither, its kind. A text is its own message. */
export const describe = (error: unknown): string => {
  const { message, tag } = summary(error)
  return message === "" ? tag : tag === "" ? message : `${tag}: ${message}`
}

/** Tag (else name) and message of an error, for JSON. Both are one line. */
export const summary = (error: unknown): { readonly tag: string; readonly message: string } => {
  if (typeof error !== "object" || error === null) return { tag: "", message: oneLine(error) }
  const text = (key: "_tag" | "message" | "name"): string => {
    const value: unknown = Reflect.get(error, key)
    return typeof value === "string" ? oneLine(value) : ""
  }
  return { tag: text("_tag") || text("name") || "an object without a tag", message: text("message") }
}

/**
 * The JSON of an error, for loggers: its message and its fields that are plain texts, numbers and flags. Of an error inside
 * it is the summary, and any other object is left out.
 */
export const json = (self: Error): { readonly [field: string]: unknown } => {
  const fields = Object.entries(self).flatMap(([key, value]) => {
    const field = shown(value)
    return field === undefined || key === "cause" ? [] : [[key, field]]
  })
  const why = self.cause === undefined ? {} : { cause: summary(self.cause) }
  return { ...Object.fromEntries(fields), ...why, message: self.message }
}

const shown = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map((item) => shown(item) ?? summary(item))
  if (value instanceof Error) return summary(value)
  return typeof value === "object" ? undefined : value
}
