/**
 * Messages that the broker does not take, for a while: its limit may be raised. A broker with MQTT 5 can name its limit; another
 * one only ends the connection, and then each message is known by its hash.
 */
import { createHash } from "node:crypto"
import type { Clock } from "effect"

/** Messages that are remembered, at most: one that is forgotten is tried again. */
const most = 256

/** Nanoseconds. */
const kept = 600_000_000_000n

export interface RefusedMessages {
  readonly add: (topic: string, body: string, issue: string) => void
  /** Why the broker does not take the message. */
  readonly issueOf: (topic: string, body: string) => string | undefined
}

const keyOf = (topic: string, body: string): string =>
  createHash("sha256").update(topic).update("\n").update(body).digest("base64")

export const make = (clock: Clock.Clock): RefusedMessages => {
  const all = new Map<string, { readonly issue: string; readonly at: bigint }>()
  return {
    add: (topic, body, issue) => {
      // The first one is the oldest.
      for (const [key] of all) if (all.size >= most) all.delete(key)
      all.set(keyOf(topic, body), { issue, at: clock.monotonicTimeNanosUnsafe() })
    },
    issueOf: (topic, body) => {
      // The usual case costs no hash.
      if (all.size === 0) return undefined
      const key = keyOf(topic, body)
      const known = all.get(key)
      if (known === undefined || clock.monotonicTimeNanosUnsafe() - known.at < kept) return known?.issue
      all.delete(key)
      return undefined
    }
  }
}
