/**
 * The uuids of executions and steps. An execution gets version 7, from a generator that tests replace. A step gets
 * version 5, made of its execution and its path, so that each process finds the same one without asking.
 */
import { Context, Effect } from "effect"
import { nodeCrypto } from "./NodeCrypto.ts"

const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** A UUID in the form that is stored, from any case and with spaces around it; undefined for any other text. */
export const normalize = (text: string): string | undefined => {
  if (pattern.test(text)) return text
  const lower = text.trim().toLowerCase()
  return pattern.test(lower) ? lower : undefined
}

/** The version digit of a UUID in its stored form. */
export const version = (uuid: string): string | undefined => uuid[14]

/** A version 7 UUID for the given milliseconds since the epoch. */
export const v7 = (now: number): string => `${timePrefix(now)}${randomSuffix()}`

/** When a version 7 UUID was made, in milliseconds since the epoch; undefined for any other text. */
export const timeOf = (uuid: string): number | undefined =>
  pattern.test(uuid) && version(uuid) === "7" ? Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16) : undefined

/** `xxx-yxxx-xxxxxxxxxxxx`: three digits, the variant, three digits, and twelve. */
const suffixLength = 21
const suffixes = { text: "", at: 0 }

/** The 74 random bits and the variant. Made for 500 uuids at once: to draw them for each takes longer. */
const randomSuffix = (): string => {
  if (suffixes.at === suffixes.text.length) {
    suffixes.text = newSuffixes(500)
    suffixes.at = 0
  }
  const { at, text } = suffixes
  suffixes.at = at + suffixLength
  return text.slice(at, at + suffixLength)
}

/** Each random byte becomes the digit at its place. */
const newSuffixes = (count: number): string => {
  const digits = Buffer.from("0123456789abcdef")
  const variants = Buffer.from("89ab")
  const hyphen = 0x2d
  const text = nodeCrypto.randomBytes(count * suffixLength)
  for (let at = 0; at < text.length; at += suffixLength) {
    const variant = variants[text[at + 4]! & 3]!
    for (let i = at; i < at + suffixLength; i++) text[i] = digits[text[i]! & 15]!
    text[at + 3] = hyphen
    text[at + 4] = variant
    text[at + 8] = hyphen
  }
  return text.toString("latin1")
}

let prefix = { now: Number.NaN, text: "" }

/** The time and the version. Kept for the uuids of one millisecond, which share it. */
const timePrefix = (now: number): string => {
  if (prefix.now !== now) {
    const time = Math.max(0, Math.floor(now)).toString(16).padStart(12, "0")
    prefix = { now, text: `${time.slice(0, 8)}-${time.slice(8, 12)}-7` }
  }
  return prefix.text
}

/**
 * Makes the uuids of executions. Default: version 7, from the milliseconds since the epoch that `next` gets.
 * Replace it in a test that compares uuids.
 */
export const UuidGenerator = Context.Reference<{ readonly next: (now: number) => string }>(
  "effect-saga/UuidGenerator",
  {
    defaultValue: () => ({ next: v7 })
  }
)

/** Gives executions the same uuids, in the same order, for the same seed. */
export const seeded = (seed: string) => Effect.provideService(UuidGenerator, { next: sequence(seed) })

const sequence = (seed: string) => {
  let count = 0
  return (now: number): string => {
    const random = nodeCrypto.createHash("sha256").update(`${seed}:${count++}`).digest("hex")
    return `${timePrefix(now)}${random.slice(0, 3)}-8${random.slice(3, 6)}-${random.slice(6, 18)}`
  }
}

/** The uuid of a step: version 5, with the uuid of its execution as the namespace. */
export const ofStep = (execution: string, path: string): string => {
  const hash = nodeCrypto
    .createHash("sha1")
    .update(Buffer.from(execution.replaceAll("-", ""), "hex"))
    .update(path)
    .digest()
  hash[6] = (hash[6]! & 0x0f) | 0x50
  hash[8] = (hash[8]! & 0x3f) | 0x80
  const hex = hash.toString("hex").slice(0, 32)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
