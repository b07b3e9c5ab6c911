/**
 * Port: what a participant must not forget. Which messages it has answered, and how, and how its transactions stand. One
 * unit of work takes in the records of a message and the effects of its handler: both are kept or neither (SPEC W3). In
 * SQL a unit is a database transaction in the handler's own database, which the handler's queries join.
 */
import { Context, Effect, Layer, Schema } from "effect"
import type { EffectMode } from "../definition/Command.ts"
import type { ReplyStatus } from "../wire/Envelope.ts"
import { FaultPoint } from "./FaultPoint.ts"
import * as KeyedLock from "./KeyedLock.ts"

// ---- records ---------------------------------------------------------------------------------------------------

/** `reserving` and `committing` exist only inside a unit of work, so nobody ever reads them. */
export type TransactionStatus = "pending" | "reserved" | "committed" | "rejected"

/** One service's part of one execution. */
export interface Transaction {
  readonly uuid: string
  /** Who decides about it. Undefined until its own coordinator has sent something: an inner saga opens it before. */
  readonly coordinator: string | undefined
  readonly status: TransactionStatus
  /** The latest `notAfter` of its messages. */
  readonly notAfter: number
  /** A person has decided while the coordinator was silent. */
  readonly heuristic: boolean
  /** When it got its status, or ran its latest command. */
  readonly updatedAt: number
}

/** A message that has been answered, or that must never run. */
export interface Barrier {
  /** Id of the message; unique in a service. */
  readonly id: string
  /** Undefined for messages that open none. It is kept as long as its transaction. */
  readonly transaction: string | undefined
  readonly coordinator: string
  /** SHA-256 of the request. Undefined for a message that has not come: if it comes, it runs nothing. */
  readonly request: string | undefined
  readonly status: ReplyStatus
  /** The exact body of the reply. Undefined for a message that has not come. */
  readonly reply: string | undefined
  readonly effect: "none" | EffectMode
  /** It has an immediate effect that is not undone yet. */
  readonly open: boolean
  readonly notAfter: number
  readonly createdAt: number
}

export interface Records {
  readonly transactions: ReadonlyArray<Transaction>
  readonly barriers: ReadonlyArray<Barrier>
}

// ---- requests --------------------------------------------------------------------------------------------------

/** What a unit of work is about. Services do not see each other's records, also where they share a store. */
export interface Scope {
  readonly service: string
  /** Uuids. Units that share one follow one another; without transactions, units that share a message do. */
  readonly transactions: ReadonlyArray<string>
  /** Ids of the messages whose barriers are read. */
  readonly messages: ReadonlyArray<string>
}

export interface Unit {
  /** What is known of the transactions and messages of the scope, by uuid and id. */
  readonly transactions: ReadonlyMap<string, Transaction>
  readonly barriers: ReadonlyMap<string, Barrier>
  /**
   * Runs user code so that its effects are gone if it fails, while the unit goes on (a savepoint). Where the database is
   * the reason for the failure, it fails with `ParticipantStoreError` instead, and the unit is to be done again.
   */
  readonly attempt: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E | ParticipantStoreError, R>
  /** Inserts or replaces. Seen by others when the unit succeeds. */
  readonly save: (records: Partial<Records>) => Effect.Effect<void, ParticipantStoreError>
}

export interface Query {
  readonly service: string
  readonly status: TransactionStatus
  /** Unchanged since then: `updatedAt` at or before. */
  readonly before: number
  /** In the order of their uuids, from behind this one. */
  readonly after?: string
  readonly limit: number
}

/** Both times are compared with `notAfter`: what is earlier may go. */
export interface PurgeRequest {
  readonly service: string
  /** For transactions that are committed, or rejected without an `open` barrier; their barriers go with them. */
  readonly before: number
  /** For barriers without a transaction. */
  readonly alone: number
  /** Transactions, and barriers without one, to remove at most. */
  readonly limit: number
}

// ---- the port --------------------------------------------------------------------------------------------------

/** The transaction is over, or has promised its outcome: nothing can join it any more. */
export class TransactionRefused extends Schema.TaggedError<TransactionRefused>()("TransactionRefused", {
  uuid: Schema.String,
  status: Schema.Literals(["reserved", "committed", "rejected"])
}) {
  override get message(): string {
    return `Transaction ${this.uuid} is ${this.status}: nothing can join it`
  }
}

/**
 * `unavailable`: it may work later; nothing or everything of the unit has happened. `corrupt`: what is kept cannot be
 * read. `rejected`: the same call can never work.
 */
export class ParticipantStoreError extends Schema.TaggedError<ParticipantStoreError>()("ParticipantStoreError", {
  reason: Schema.Literals(["unavailable", "corrupt", "rejected"]),
  operation: Schema.Literals(["unit", "find", "purge"]),
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `The participant store could not do ${this.operation}: ${this.reason}`
  }
}

export class ParticipantStore extends Context.Service<
  ParticipantStore,
  {
    /**
     * Runs work as one unit: it succeeds and everything is kept, or it fails, dies or is interrupted and nothing is.
     * The work may run again from its start, with what is known then, if somebody else has been faster.
     */
    readonly unit: <A, E, R>(
      scope: Scope,
      work: (unit: Unit) => Effect.Effect<A, E, R>
    ) => Effect.Effect<A, E | ParticipantStoreError, R>
    readonly find: (query: Query) => Effect.Effect<ReadonlyArray<Transaction>, ParticipantStoreError>
    /** The number of transactions and single barriers that were removed. */
    readonly purge: (request: PurgeRequest) => Effect.Effect<number, ParticipantStoreError>
  }
>()("effect-saga/ParticipantStore") {}

// ---- memory ----------------------------------------------------------------------------------------------------

interface Kept {
  readonly transactions: Map<string, Transaction>
  readonly barriers: Map<string, Barrier>
}

const makeMemory = (): ParticipantStore["Service"] => {
  const services = new Map<string, Kept>()
  const locks = KeyedLock.make()

  const keptOf = (service: string): Kept => {
    const known = services.get(service)
    if (known !== undefined) return known
    const kept: Kept = { transactions: new Map(), barriers: new Map() }
    services.set(service, kept)
    return kept
  }

  /** In one order everywhere, so that no two units wait for each other. */
  const holding = <A, E, R>({ messages, service, transactions }: Scope, use: Effect.Effect<A, E, R>) => {
    const keys = transactions.length > 0 ? transactions : messages
    return (keys.length < 2 ? keys : [...new Set(keys)].sort()).reduceRight(
      (inner, key) => locks.hold(`${service}/${key}`, inner),
      use
    )
  }

  return ParticipantStore.of({
    unit: (scope, work) => {
      const once = Effect.suspend(() => {
        const kept = keptOf(scope.service)
        const saved: Array<Partial<Records>> = []
        const unit: Unit = {
          transactions: pick(kept.transactions, scope.transactions),
          barriers: pick(kept.barriers, scope.messages),
          // Effects in memory cannot be taken back; there is nothing to save here.
          attempt: (work) => work,
          save: (records) =>
            Effect.sync(() => {
              const { barriers = none, transactions = none } = records
              if (barriers.length + transactions.length > 0) saved.push(records)
            })
        }
        const commit = () => {
          for (const { barriers = none, transactions = none } of saved) {
            for (const transaction of transactions) kept.transactions.set(transaction.uuid, transaction)
            for (const barrier of barriers) kept.barriers.set(barrier.id, barrier)
          }
        }
        return Effect.flatMap(work(unit), (value) =>
          saved.length === 0
            ? Effect.succeed(value)
            : FaultPoint.around("store", () => {
                commit()
                return Effect.succeed(value)
              })
        )
      })
      return holding(scope, once)
    },
    find: ({ after = "", before, limit, service, status }) =>
      Effect.sync(() =>
        Array.from(keptOf(service).transactions.values())
          .filter((it) => it.status === status && it.updatedAt <= before && it.uuid > after)
          .sort((one, other) => (one.uuid < other.uuid ? -1 : 1))
          .slice(0, limit)
      ),
    purge: (request) => Effect.sync(() => purge(keptOf(request.service), request))
  })
}

const none: ReadonlyArray<never> = []
const nothing: ReadonlyMap<string, never> = new Map<string, never>()

/** Most messages are the first of what they are about. */
const pick = <A>(from: ReadonlyMap<string, A>, keys: ReadonlyArray<string>): ReadonlyMap<string, A> => {
  let found: Map<string, A> | undefined
  for (const key of keys) {
    const value = from.get(key)
    if (value !== undefined) found = (found ?? new Map<string, A>()).set(key, value)
  }
  return found ?? nothing
}

const purge = ({ barriers, transactions }: Kept, { alone, before, limit }: PurgeRequest): number => {
  const open = new Set<string>()
  for (const { open: isOpen, transaction } of barriers.values())
    if (isOpen && transaction !== undefined) open.add(transaction)
  const gone = new Set<string>()
  let left = limit
  for (const { notAfter, status, uuid } of transactions.values()) {
    if (left === 0) break
    if (notAfter >= before || !(status === "committed" || (status === "rejected" && !open.has(uuid)))) continue
    transactions.delete(uuid)
    gone.add(uuid)
    left--
  }
  for (const { id, notAfter, transaction } of barriers.values()) {
    if (transaction !== undefined) {
      if (gone.has(transaction)) barriers.delete(id)
    } else if (left > 0 && notAfter < alone) {
      barriers.delete(id)
      left--
    }
  }
  return limit - left
}

/** Within one process: it outlives the participants that use it, not the process. */
export const layerMemory: Layer.Layer<ParticipantStore> = Layer.sync(ParticipantStore, makeMemory)
