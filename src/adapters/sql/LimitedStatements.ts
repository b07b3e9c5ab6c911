/**
 * The statements of the repository with the connection on which each of them runs, and its time limit. In a transaction each
 * runs in the transaction. Those of the lease are kept shorter than the lease: a statement on a silent connection must leave
 * time for another one on a new connection. A renewal that was cut off has more time when it is tried again: a slow database would cut off
 * each of them. The other statements of a claim have the same limit always, as no renewal is sent while one of them runs; `Recovery` asks
 * for less after one was cut off.
 */
import { Clock, Effect } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { SagaExecutionStatements } from "./SagaExecutionStatements.ts"
import type { ReservedConnections, Run } from "./SqlConnections.ts"
import { codeOf } from "./SqlErrors.ts"

type Statements = SagaExecutionStatements["Service"]

/** A renewal that hangs, the interval until the next one, and that one together are shorter than a lease. */
const renewalsInLease = 5
/** A claim has this part of the lease: it is cut off early enough for the next renewal to come in time. */
const claimsInLease = 3
/** However short the lease is: a statement that is not given the time to work at all ends nowhere. */
const leastMillis = 250
/** A process that stops does not wait for long to say so. */
const releaseMillis = 1_000

export interface LimitedStatements extends Statements {
  /** The same on the connection of the lease: what others read must not delay the next renewal. */
  readonly ofClaim: Pick<Statements, "events" | "inbox">
}

/**
 * Runs a statement with its limit. It has twice as long after it was cut off, up to `most`, and then at least twice the time
 * that it took last.
 */
const growing = (run: Run, most: number) => {
  let grown = 0
  return <A>(statement: Effect.Effect<A, SqlError>, millis: number) =>
    Effect.flatMap(Clock.Clock, (clock) => {
      const begun = clock.monotonicTimeNanosUnsafe()
      const limit = Math.min(most, Math.max(millis, grown))
      return run(statement, limit).pipe(
        Effect.tap(() => {
          grown = (2 * Number(clock.monotonicTimeNanosUnsafe() - begun)) / nanosPerMilli
          return Effect.void
        }),
        Effect.tapError((error) => {
          if (codeOf(error) === "StatementTimeout") grown = 2 * limit
          return Effect.void
        })
      )
    })
}

const nanosPerMilli = 1_000_000

export const make = (
  statements: Statements,
  { lease, long, shared, statementMillis, write }: ReservedConnections
): LimitedStatements => {
  const shareOf = (leaseMillis: number, parts: number) =>
    Math.min(statementMillis, Math.max(leastMillis, leaseMillis / parts))
  const renewal = growing(lease, statementMillis)
  let claimMillis = statementMillis
  return {
    write: (rows) => write(statements.write(rows)),
    writeFree: (rows) => write(statements.writeFree(rows)),
    writeIds: (places) => write(statements.writeIds(places)),
    names: (names) => write(statements.names(names)),
    recount: (uuids) => write(statements.recount(uuids)),
    watch: (uuids) => write(statements.watch(uuids)),
    renew: (owner, leaseMillis, ...options) => {
      claimMillis = shareOf(leaseMillis, claimsInLease)
      return renewal(statements.renew(owner, leaseMillis, ...options), shareOf(leaseMillis, renewalsInLease))
    },
    adopt: (...request) => lease(statements.adopt(...request), claimMillis),
    claim: (...request) => lease(statements.claim(...request), claimMillis),
    remind: (now) => lease(statements.remind(now), claimMillis),
    lost: (...request) => lease(statements.lost(...request), claimMillis),
    disown: (...request) => lease(statements.disown(...request), claimMillis),
    ofClaim: {
      events: (uuids) => lease(statements.events(uuids), claimMillis),
      inbox: (...question) => lease(statements.inbox(...question), claimMillis)
    },
    release: (owner, buckets) =>
      buckets === undefined
        ? lease(statements.release(owner), Math.min(statementMillis, releaseMillis))
        : shared(statements.release(owner, buckets)),
    events: (uuids) => shared(statements.events(uuids)),
    inbox: (uuids) => shared(statements.inbox(uuids)),
    lastTick: (...question) => shared(statements.lastTick(...question)),
    advance: (...tick) => shared(statements.advance(...tick)),
    putTickBack: (...tick) => shared(statements.putTickBack(...tick)),
    declareQueue: (...queue) => shared(statements.declareQueue(...queue)),
    limitQueue: (...queue) => shared(statements.limitQueue(...queue)),
    queueRoom: (...question) => shared(statements.queueRoom(...question)),
    regain: (wanted) => shared(statements.regain(wanted)),
    queues: long(statements.queues),
    wantedQueues: Effect.suspend(() => lease(statements.wantedQueues, claimMillis)),
    admit: (query) => lease(statements.admit(query), claimMillis),
    ended: (...question) => shared(statements.ended(...question)),
    submit: (row, signal) => shared(statements.submit(row, signal)),
    take: (...request) => shared(statements.take(...request)),
    giveBack: (requests) => shared(statements.giveBack(requests)),
    find: (...question) => long(statements.find(...question)),
    census: long(statements.census),
    forget: long(statements.forget),
    remove: (uuid) => long(statements.remove(uuid)),
    purge: (...request) => long(statements.purge(...request))
  }
}
