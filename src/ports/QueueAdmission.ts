/**
 * Who is admitted from a queue: a pure function of its limits, of the places that are held and wanted, and of the time. Keys take
 * turns, in their order, from where the last admission has ended: no key waits for the work of another one. What goes on after a
 * wait comes before what is new. The SQL store does the same in one statement.
 */

export interface Rate {
  /** Places that are given to new executions in `per`, and the most that are given at once. */
  readonly limit: number
  /** In milliseconds. */
  readonly per: number
}

/** The limits of a queue, as they stand in the repository. */
export interface QueueLimits {
  /** Places of the queue. 0: nothing is admitted. */
  readonly concurrency: number
  /** New executions that wait, about. */
  readonly maxQueued: number
  readonly rate?: Rate
  /** Of each key. */
  readonly perKey?: { readonly concurrency?: number; readonly rate?: Rate }
}

/** The tokens of a rate at a time, in milliseconds since the epoch. */
export interface Tokens {
  readonly left: number
  readonly at: number
}

/** What a queue remembers of its admissions. */
export interface QueueMemory {
  /** The key that was admitted last. */
  readonly cursor: string
  readonly tokens: Tokens | undefined
  readonly tokensOf: ReadonlyMap<string, Tokens>
}

export const noMemory: QueueMemory = { cursor: "", tokens: undefined, tokensOf: new Map() }

/** `new`, `again`: a place is wanted, by an execution that had none yet, or that has waited meanwhile. */
export type PlaceStatus = "new" | "again" | "held"

/** A row of a queue. */
export interface Queued {
  readonly uuid: string
  readonly queue: string
  readonly key: string
  readonly priority: number
  readonly since: number
  readonly status: PlaceStatus
}

export interface Admission {
  /** In the order of their turns. */
  readonly admitted: ReadonlyArray<Queued>
  readonly memory: QueueMemory
  /** When a rate has a token again for what waits; `Infinity`: no rate holds anything up. */
  readonly nextAt: number
}

/** The tokens that there are by now. A rate that is new has all of them. */
export const refilled = ({ limit, per }: Rate, tokens: Tokens | undefined, now: number): number =>
  tokens === undefined ? limit : Math.min(limit, tokens.left + (Math.max(0, now - tokens.at) * limit) / per)

/** Keys after the cursor first, then the others. */
const inTurn = (keys: Iterable<string>, cursor: string): ReadonlyArray<string> => {
  const sorted = [...keys].sort(byText)
  return [...sorted.filter((key) => key > cursor), ...sorted.filter((key) => key <= cursor)]
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Among those of one key. */
export const inLine = (a: Queued, b: Queued): number =>
  b.priority - a.priority || a.since - b.since || byText(a.uuid, b.uuid)

const byKey = (places: Iterable<Queued>, status: PlaceStatus): ReadonlyMap<string, ReadonlyArray<Queued>> => {
  const found = new Map<string, Array<Queued>>()
  for (const place of places) {
    if (place.status !== status) continue
    const others = found.get(place.key)
    if (others === undefined) found.set(place.key, [place])
    else others.push(place)
  }
  return found
}

/** The first of each key, then the second of each, until there are enough. `freeOf`: how many a key may have. */
const takeTurns = (
  lines: ReadonlyMap<string, ReadonlyArray<Queued>>,
  cursor: string,
  most: number,
  freeOf: (key: string) => number
): ReadonlyArray<Queued> => {
  if (most <= 0) return []
  const heads = inTurn(lines.keys(), cursor).map((key) =>
    [...lines.get(key)!].sort(inLine).slice(0, Math.max(0, Math.min(most, freeOf(key))))
  )
  const longest = heads.reduce((length, line) => Math.max(length, line.length), 0)
  const turns = Array.from({ length: longest }, (_, turn) => heads.flatMap((line) => line[turn] ?? []))
  return turns.flat().slice(0, most)
}

const countOf = (places: ReadonlyArray<Queued>): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const { key } of places) counts.set(key, (counts.get(key) ?? 0) + 1)
  return counts
}

/** Admits at most `most` of those that want a place. */
export const admit = (
  { concurrency, perKey = {}, rate }: QueueLimits,
  memory: QueueMemory,
  places: ReadonlyArray<Queued>,
  most: number,
  now: number
): Admission => {
  const held = byKey(places, "held")
  const heldInAll = [...held.values()].reduce((sum, line) => sum + line.length, 0)
  const free = Math.max(0, Math.min(most, concurrency - heldInAll))
  const freeOf = (key: string) => (perKey.concurrency ?? free + heldInAll) - (held.get(key)?.length ?? 0)
  const again = takeTurns(byKey(places, "again"), memory.cursor, free, freeOf)

  const taken = countOf(again)
  const tokens = rate === undefined ? Number.POSITIVE_INFINITY : refilled(rate, memory.tokens, now)
  const tokensOf = (key: string) =>
    perKey.rate === undefined ? Number.POSITIVE_INFINITY : refilled(perKey.rate, memory.tokensOf.get(key), now)
  const waiting = byKey(places, "new")
  const fresh = takeTurns(waiting, memory.cursor, Math.min(free - again.length, Math.floor(tokens)), (key) =>
    Math.min(freeOf(key) - (taken.get(key) ?? 0), Math.floor(tokensOf(key)))
  )

  const spent = new Map(memory.tokensOf)
  if (perKey.rate !== undefined) {
    for (const [key, count] of countOf(fresh)) spent.set(key, { left: tokensOf(key) - count, at: now })
    // A key with all its tokens is as a new one.
    for (const [key, { at }] of spent) if (at + perKey.rate.per <= now) spent.delete(key)
  }
  const admitted = [...again, ...fresh]
  const isHeldUp = [...waiting.values()].reduce((sum, line) => sum + line.length, 0) > fresh.length
  return {
    admitted,
    memory: {
      cursor: admitted.at(-1)?.key ?? memory.cursor,
      tokens: rate === undefined ? undefined : { left: tokens - fresh.length, at: now },
      tokensOf: spent
    },
    nextAt: isHeldUp && admitted.length < free ? now + untilToken(rate, tokens - fresh.length, perKey.rate) : never
  }
}

/** Whether a key has a place that is free, and that nobody wants again. */
export const isFree = ({ concurrency, perKey }: QueueLimits, places: ReadonlyArray<Queued>, key: string): boolean => {
  const spoken = places.filter(({ status }) => status !== "new")
  const ofKey = spoken.filter((place) => place.key === key)
  return spoken.length < concurrency && ofKey.length < (perKey?.concurrency ?? concurrency)
}

const never = Number.POSITIVE_INFINITY

/** How long until there is a token: exactly for the queue, at most for a key. */
export const untilToken = (rate: Rate | undefined, left: number, ofKey: Rate | undefined): number => {
  const inQueue = rate === undefined || left >= 1 ? never : ((1 - left) * rate.per) / rate.limit
  const inKey = ofKey === undefined ? never : ofKey.per / ofKey.limit
  return Math.ceil(Math.min(inQueue, inKey))
}
