/**
 * Port: the records of a participant: its answers to messages, and its transactions. One unit of work holds the records of a
 * message and the effects of its handler: both are kept or neither (SPEC W3). On SQL a unit is a transaction in the
 * database of the handler, and the queries of the handler join it.
 */
import { Clock, Context, Effect, Latch, Layer, Schema } from "effect"
import type { EffectMode } from "../definition/Command.ts"
import type { ReplyStatus } from "../wire/Envelope.ts"
import { json, line } from "../wire/OneLine.ts"
import { withCode } from "./DatabaseCode.ts"
import { type DoubtDecision, type DoubtOutcome, type Doubts, maxOpen } from "./Doubts.ts"
import { FaultPoint } from "./FaultPoint.ts"
import * as KeyedLock from "./KeyedLock.ts"

// ---- records ---------------------------------------------------------------------------------------------------

/** `reserving` and `committing` of the protocol exist only inside a unit of work, so they are never stored. */
export type TransactionStatus = "pending" | "reserved" | "committed" | "rejected"

/** One service's part of one execution. */
export interface Transaction {
  readonly uuid: string
  /** The service that decides. Undefined until it has sent a message: an inner saga opens the transaction before that. */
  readonly coordinator: string | undefined
  readonly status: TransactionStatus
  /** The latest `notAfter` of its messages, in milliseconds since the epoch, as all times here. */
  readonly notAfter: number
  /** A person has decided in place of the coordinator. */
  readonly heuristic: boolean
  /**
   * When the status changed. While pending: when the latest command ran, or the latest `keepUntil` of the commands if that is
   * later. `pendingTtl` counts from it.
   */
  readonly updatedAt: number
}

/** The record of a message that is answered, or that must never run. */
export interface Barrier {
  /** Id of the message; unique in a service. */
  readonly id: string
  /** Undefined for a message without one. The record is kept as long as its transaction. */
  readonly transaction: string | undefined
  readonly coordinator: string
  /** SHA-256 of the request. Undefined for a message that has not come yet: if it comes, it runs nothing. */
  readonly request: string | undefined
  readonly status: ReplyStatus
  /** The body of the reply, to be sent again as it was. Undefined for a message that has not come yet. */
  readonly reply: string | undefined
  /** `none` also once the effect is compensated. */
  readonly effect: "none" | EffectMode
  /** The message has an immediate effect that is not compensated yet, or is accepted. */
  readonly open: boolean
  /**
   * The command and the message as JSON, where the answer comes later (SPEC C19). Then the status is 202, and such a record is never
   * purged. Undefined for all others.
   */
  readonly accepted: string | undefined
  /** The latest of the message's `notAfter`, its `keepUntil` and `createdAt`: until then, at least, the record is kept. */
  readonly keepUntil: number
  readonly createdAt: number
}

export interface Records {
  readonly transactions: ReadonlyArray<Transaction>
  readonly barriers: ReadonlyArray<Barrier>
}

// ---- requests --------------------------------------------------------------------------------------------------

/** The records of a unit of work. A service sees only its own records, also where services share a store. */
export interface Scope {
  readonly service: string
  /** Uuids. Units with a transaction in common run one after the other; without transactions, those with a message in common. */
  readonly transactions: ReadonlyArray<string>
  /** Ids of messages. Their barriers are read. */
  readonly messages: ReadonlyArray<string>
  /**
   * What the one transaction of the scope most likely becomes if it has no record yet: pending, and not heuristic. A store may
   * insert it so while it locks, and does not read barriers then, as each of them belongs to a transaction with a record. It is
   * kept only if the unit saves the transaction.
   */
  readonly opens?: Transaction
  /** The unit may end the transactions, so it also reads what is accepted in them. */
  readonly ending?: boolean
}

export interface Unit {
  /** The stored records of the scope, by uuid and by id of the message. */
  readonly transactions: ReadonlyMap<string, Transaction>
  readonly barriers: ReadonlyMap<string, Barrier>
  /** The accepted messages of the transactions, where the scope is `ending`. */
  readonly accepted: ReadonlyArray<Barrier>
  /**
   * Runs code of a handler in a savepoint: if it fails, its effects are rolled back and the unit continues. Where the
   * database is the reason for the failure, it fails with `ParticipantStoreError`, and the whole unit must run again.
   */
  readonly attempt: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E | ParticipantStoreError, R>
  /**
   * Runs code of a handler as a part of the unit, without a savepoint: if it fails, the unit must fail too, or effects of the
   * failed code are kept. It fails as `attempt` does where the database is the reason.
   */
  readonly run: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E | ParticipantStoreError, R>
  /**
   * Inserts or replaces records. Other units see them when this one has succeeded. A barrier is replaced only if it still has the
   * status that the unit has read (SPEC C6); if not, the unit runs again.
   */
  readonly save: (records: Partial<Records>) => Effect.Effect<void, ParticipantStoreError>
}

export interface Query {
  readonly service: string
  /** What is over is not looked for: it only waits for its purge. */
  readonly status: "pending" | "reserved"
  /** Only transactions with `updatedAt` at or before this time. */
  readonly before: number
  /** Only what comes after this one. The transactions with the oldest `updatedAt` come first, those of one time by their uuids. */
  readonly after?: Pick<Transaction, "uuid" | "updatedAt">
  readonly limit: number
}

/** Old records are removed. */
export interface PurgeRequest {
  readonly service: string
  /**
   * Transactions whose `notAfter` is before this time, if they are committed, or rejected without an `open` barrier. Their
   * barriers go with them. A transaction with an accepted barrier stays.
   */
  readonly before: number
  /** Barriers without a transaction whose `keepUntil` is before this time, but no accepted ones. */
  readonly alone: number
  /** How many transactions, and barriers without a transaction, are removed at most. */
  readonly limit: number
}

/** How old the records of a service become before they are looked after, in milliseconds. */
export interface PurgeAges {
  readonly service: string
  /** Pending transactions, after their `updatedAt`: they are rejected then. The others are purged. */
  readonly pending: number
  /** Transactions, with their barriers, after their `notAfter`. */
  readonly inTransaction: number
  /** Barriers without a transaction, after their `keepUntil`. */
  readonly alone: number
}

// ---- the port --------------------------------------------------------------------------------------------------

/** The transaction is decided, or has voted yes: nothing can join it any more. */
export class TransactionRefused extends Schema.TaggedError<TransactionRefused>()("TransactionRefused", {
  uuid: Schema.String,
  status: Schema.Literals(["reserved", "committed", "rejected"])
}) {
  override get message(): string {
    return line`Transaction ${this.uuid} is ${this.status}: nothing can join it`
  }
}

/**
 * `Participant.answer` came too late: the command has another answer, or it was ended by its coordinator, by time or by a person.
 * Nothing of the effect is kept.
 */
export class ParticipantAnswerTooLate extends Schema.TaggedError<ParticipantAnswerTooLate>()(
  "ParticipantAnswerTooLate",
  { service: Schema.String, command: Schema.String, messageId: Schema.String }
) {
  override get message(): string {
    return line`The answer to ${this.command} of ${this.service} comes too late: ${this.messageId} is over`
  }
}

/**
 * `Participant.answer` was called for a message that no handler of the command has accepted: its unit of work may not be over yet, so
 * the call has tried for some seconds.
 */
export class ParticipantAnswerUnknown extends Schema.TaggedError<ParticipantAnswerUnknown>()(
  "ParticipantAnswerUnknown",
  { service: Schema.String, command: Schema.String, messageId: Schema.String }
) {
  override get message(): string {
    return line`${this.command} of ${this.service} has accepted no message ${this.messageId}`
  }
}

/**
 * `unavailable`: the call may work later; the unit has happened as a whole or not at all. `timeout`: the unit took longer
 * than the store allows, and nothing of it is kept. `corrupt`: stored records cannot be read. `rejected`: the same call can
 * never work. `broken`: the code that `run` has run went on after a statement that failed, and nothing of the unit is kept.
 */
export class ParticipantStoreError extends Schema.TaggedError<ParticipantStoreError>()("ParticipantStoreError", {
  reason: Schema.Literals(["unavailable", "timeout", "corrupt", "rejected", "broken"]),
  operation: Schema.Literals(["unit", "find", "purge"]),
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return withCode(line`The participant store could not do ${this.operation}: ${this.reason}`, this)
  }

  override toJSON(): unknown {
    return json(this)
  }
}

export class ParticipantStore extends Context.Service<
  ParticipantStore,
  {
    /**
     * Runs work as one unit: if it succeeds, all its records and effects are kept; if it fails, dies or is interrupted,
     * none. The work may run again from its start, with newer records, if another unit was faster.
     */
    readonly unit: <A, E, R>(
      scope: Scope,
      work: (unit: Unit) => Effect.Effect<A, E, R>
    ) => Effect.Effect<A, E | ParticipantStoreError, R>
    readonly find: (query: Query) => Effect.Effect<ReadonlyArray<Transaction>, ParticipantStoreError>
    /** Removes old records. Gives the number of transactions, and of barriers without one, that were removed. */
    readonly purge: (request: PurgeRequest) => Effect.Effect<number, ParticipantStoreError>
    /**
     * Waits while no transaction of the service is reserved, and nothing is old enough to be rejected or purged: nothing has to
     * be looked after. Absent: other processes may write, so the participant looks at its intervals.
     */
    readonly idle?: (ages: PurgeAges) => Effect.Effect<void>
    /** The messages of a service without a final answer, for an inspector in the same process. Absent: it has a way of its own. */
    readonly unanswered?: (service: string) => Effect.Effect<ReadonlyArray<Barrier>>
    /** What people decide about transactions in doubt. Absent: this store keeps no such decisions. */
    readonly doubts?: Doubts<ParticipantStoreError>
  }
>()("effect-saga/ParticipantStore") {}

// ---- memory ----------------------------------------------------------------------------------------------------

interface Kept {
  /** Opened by each write. */
  readonly written: Latch.Latch
  readonly transactions: Map<string, Transaction>
  readonly barriers: Map<string, Barrier>
  /** Those of them that are accepted. */
  readonly accepted: Map<string, Barrier>
}

const makeMemory = (): ParticipantStore["Service"] => {
  const services = new Map<string, Kept>()
  const locks = KeyedLock.make()

  const keptOf = (service: string): Kept => {
    const known = services.get(service)
    if (known !== undefined) return known
    const kept: Kept = {
      written: Latch.makeUnsafe(),
      transactions: new Map(),
      barriers: new Map(),
      accepted: new Map()
    }
    services.set(service, kept)
    return kept
  }

  /** Keys are taken in one order everywhere, so that no two units wait for each other. */
  const holding = <A, E, R>({ messages, service, transactions }: Scope, use: Effect.Effect<A, E, R>) => {
    const keys = transactions.length > 0 ? transactions : messages
    return (keys.length < 2 ? keys : [...new Set(keys)].sort()).reduceRight(
      (inner, key) => locks.hold(`${service}/${key}`, inner),
      use
    )
  }

  return ParticipantStore.of({
    unit: <A, E, R>(scope: Scope, work: (unit: Unit) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
      const once: Effect.Effect<A, E, R> = Effect.suspend(() => {
        const kept = keptOf(scope.service)
        const saved: Array<Partial<Records>> = []
        const unit: Unit = {
          transactions: pick(kept.transactions, scope.transactions),
          barriers: pick(kept.barriers, scope.messages),
          accepted: scope.ending === true ? acceptedIn(kept, scope.transactions) : none,
          // Effects in memory cannot be rolled back.
          attempt: (work) => work,
          run: (work) => work,
          save: (records) =>
            Effect.sync(() => {
              const { barriers = none, transactions = none } = records
              if (barriers.length + transactions.length > 0) saved.push(records)
            })
        }
        const commit = () => {
          for (const { barriers = none, transactions = none } of saved) {
            for (const transaction of transactions) kept.transactions.set(transaction.uuid, transaction)
            for (const barrier of barriers) {
              kept.barriers.set(barrier.id, barrier)
              if (barrier.status === 202) kept.accepted.set(barrier.id, barrier)
              else kept.accepted.delete(barrier.id)
            }
          }
          kept.written.openUnsafe()
        }
        const wasRead = ({ id }: Barrier) => unit.barriers.get(id) ?? unit.accepted.find((one) => one.id === id)
        const isOvertaken = () =>
          saved.some(({ barriers = none }) =>
            barriers.some((it) => kept.barriers.get(it.id)?.status !== wasRead(it)?.status)
          )
        return Effect.flatMap(work(unit), (value) =>
          saved.length === 0
            ? Effect.succeed(value)
            : FaultPoint.around("store", () => {
                if (isOvertaken()) return Effect.suspend(() => once)
                commit()
                return Effect.succeed(value)
              })
        )
      })
      return holding(scope, once)
    },
    find: ({ after, before, limit, service, status }) =>
      Effect.sync(() =>
        Array.from(keptOf(service).transactions.values())
          .filter(
            (it) => it.status === status && it.updatedAt <= before && (after === undefined || comesAfter(it, after))
          )
          .sort((one, other) => (comesAfter(one, other) ? 1 : -1))
          .slice(0, limit)
      ),
    purge: (request) => Effect.sync(() => purge(keptOf(request.service), request)),
    unanswered: (service) => Effect.sync(() => [...keptOf(service).accepted.values()]),
    doubts: doubtsIn((service, uuid) => keptOf(service).transactions.get(uuid)?.status === "reserved"),
    idle: (ages) => Effect.flatMap(Clock.currentTimeMillis, (now) => idle(keptOf(ages.service), ages, now))
  })
}

type Place = Pick<Transaction, "uuid" | "updatedAt">

const comesAfter = (one: Place, other: Place): boolean =>
  one.updatedAt === other.updatedAt ? one.uuid > other.uuid : one.updatedAt > other.updatedAt

/** Decisions in the memory of this process. */
const doubtsIn = (isInDoubt: (service: string, uuid: string) => boolean): Doubts<never> => {
  const decisions = new Map<string, { readonly decision: DoubtDecision; outcome: DoubtOutcome | undefined }>()
  const keyOf = (service: string, uuid: string) => `${service} ${uuid}`
  return {
    decide: (decision) =>
      Effect.sync(() => {
        const key = keyOf(decision.service, decision.uuid)
        if (decisions.has(key)) return "known"
        if (!isInDoubt(decision.service, decision.uuid)) return "not-in-doubt"
        decisions.set(key, { decision, outcome: undefined })
        return "stored"
      }),
    open: (service) =>
      Effect.sync(() =>
        [...decisions.values()]
          .flatMap(({ decision, outcome }) => (decision.service === service && outcome === undefined ? [decision] : []))
          .slice(0, maxOpen)
      ),
    close: (service, uuid, outcome) =>
      Effect.sync(() => {
        const known = decisions.get(keyOf(service, uuid))
        if (known !== undefined) known.outcome = outcome
      }),
    outcome: (service, uuid) => Effect.sync(() => decisions.get(keyOf(service, uuid))?.outcome)
  }
}

const none: ReadonlyArray<never> = []
const nothing: ReadonlyMap<string, never> = new Map<string, never>()

/** The records of the keys. Most messages are the first for their keys, so the empty case allocates nothing. */
const pick = <A>(from: ReadonlyMap<string, A>, keys: ReadonlyArray<string>): ReadonlyMap<string, A> => {
  let found: Map<string, A> | undefined
  for (const key of keys) {
    const value = from.get(key)
    if (value !== undefined) found = (found ?? new Map<string, A>()).set(key, value)
  }
  return found ?? nothing
}

const acceptedIn = ({ accepted }: Kept, uuids: ReadonlyArray<string>): ReadonlyArray<Barrier> =>
  accepted.size === 0 ? none : [...accepted.values()].filter(({ transaction = "" }) => uuids.includes(transaction))

/** Waits for a write, which may open a transaction, or until the first row may be rejected or purged. */
const idle = ({ barriers, transactions, written }: Kept, ages: PurgeAges, now: number): Effect.Effect<void> => {
  let first = Number.POSITIVE_INFINITY
  for (const { notAfter, status, updatedAt } of transactions.values()) {
    if (status === "reserved") return Effect.void
    first = Math.min(first, status === "pending" ? updatedAt + ages.pending : notAfter + ages.inTransaction)
  }
  for (const { keepUntil, status, transaction } of barriers.values())
    if (transaction === undefined && status !== 202) first = Math.min(first, keepUntil + ages.alone)
  if (first < now) return Effect.void
  written.closeUnsafe()
  return first === Number.POSITIVE_INFINITY
    ? written.await
    : Effect.raceFirst(written.await, Effect.sleep(first - now + 1))
}

const purge = ({ accepted, barriers, transactions }: Kept, { alone, before, limit }: PurgeRequest): number => {
  const open = new Set<string>()
  for (const { open: isOpen, transaction } of barriers.values())
    if (isOpen && transaction !== undefined) open.add(transaction)
  const waiting = new Set([...accepted.values()].map(({ transaction }) => transaction))
  const gone = new Set<string>()
  let left = limit
  for (const { notAfter, status, uuid } of transactions.values()) {
    if (left === 0) break
    if (notAfter >= before || waiting.has(uuid)) continue
    if (!(status === "committed" || (status === "rejected" && !open.has(uuid)))) continue
    transactions.delete(uuid)
    gone.add(uuid)
    left--
  }
  for (const { id, keepUntil, status, transaction } of barriers.values()) {
    if (transaction !== undefined) {
      if (gone.has(transaction)) barriers.delete(id)
    } else if (left > 0 && keepUntil < alone && status !== 202) {
      barriers.delete(id)
      left--
    }
  }
  return limit - left
}

/** In the memory of this process: the records outlive the participants that use them, but not the process. */
export const layerMemory: Layer.Layer<ParticipantStore> = Layer.sync(ParticipantStore, makeMemory)
