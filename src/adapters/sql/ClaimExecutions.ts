/** Claims executions: renews the lease, takes what is due, and reads it together with the inputs that wait for it. */
import { Clock, Effect, Result } from "effect"
import type { SagaExecution } from "../../execution/view/SagaExecution.ts"
import { bucketOf } from "../../ports/Buckets.ts"
import { SagaExecutionRepositoryError } from "../../ports/RepositoryErrors.ts"
import type * as Port from "../../ports/SagaExecutionRepository.ts"
import * as SteadyClock from "../../ports/SteadyClock.ts"
import * as ClaimOutlook from "./ClaimOutlook.ts"
import { call, inputFrom } from "./ExecutionRows.ts"
import type { LimitedStatements } from "./LimitedStatements.ts"
import type { LostRow } from "./OwnershipStatements.ts"
import type { Admitted } from "./QueueAdmissionStatement.ts"
import type { WrittenSummaries } from "./WrittenSummaries.ts"

/** Bytes of the inputs that a claim reads, about. The others come with the next claims. */
const maxInboxBytes = 8 * 1024 * 1024

/** How often inputs that were left behind are looked for, in milliseconds. */
const remindMillis = 10_000

const nanosPerMilli = 1_000_000
/** The lease is renewed between two statements of a claim when this part of it has passed. */
const renewalsInLease = 4

/** A shorter lease is not renewed between statements: it could not last as long as one of them. */
const leastMillis = 1_000

const never = Number.POSITIVE_INFINITY

/** Executions that one statement gives the new name of their owner, at most. */
const adoptedTogether = 1_000

/** After how many milliseconds a queue is looked at again from which another process has just admitted. */
const contendedMillis = 50

/** The lease is over. What was claimed by then names the owner, as what it holds does. */
const overNow: Port.Claimed = { executions: [], lapsed: true, lost: [], inbox: [] }

/** Fails where the database does not answer in so many milliseconds. */
const answered = <A>(renewal: Effect.Effect<A, Port.SagaExecutionRepositoryError>, millis: number | undefined) =>
  millis === undefined
    ? renewal
    : Effect.timeoutOrElse(renewal, {
        duration: millis,
        orElse: () => Effect.fail(new SagaExecutionRepositoryError({ reason: "unavailable", operation: "claim" }))
      })

type Read = (
  uuids: ReadonlyArray<string>
) => Effect.Effect<
  ReadonlyMap<string, Result.Result<SagaExecution, Port.SagaExecutionRepositoryError>>,
  Port.SagaExecutionRepositoryError
>

/** `summaries`: those that this process remembers as written. A claim changes them. */
export const make = (
  statements: LimitedStatements,
  read: Read,
  summaries: Pick<WrittenSummaries, "delete" | "clear">
) => {
  let remindedAt = Number.NEGATIVE_INFINITY
  /** By the monotonic clock, in nanoseconds. */
  let renewedAt = 0n
  /** Only a process of a former release leaves inputs behind, so this is done now and then. */
  const remind = (now: number) =>
    Effect.suspend(() => {
      remindedAt = now
      return call("claim", statements.remind(now))
    })
  const heldByOthers = (owner: string, held: ReadonlyArray<string>) =>
    held.length === 0 ? Effect.succeed([]) : call("claim", statements.lost(owner, held))
  /** In parts: all that a process has may take longer than a claim has, and what is adopted stays so. Undefined: the lease is over. */
  const adopted = Effect.fnUntraced(function* (
    owner: string,
    former: string,
    held: ReadonlyArray<string>,
    isOver: Effect.Effect<boolean, Port.SagaExecutionRepositoryError>
  ) {
    const others: Array<LostRow> = []
    for (let at = 0; at === 0 || at < held.length; at += adoptedTogether) {
      if (at > 0 && (yield* isOver)) return undefined
      const end = at + adoptedTogether
      // Until the last part the lease of the former name keeps the others away from what names it still.
      const adopts = statements.adopt(owner, former, held.slice(at, end), end < held.length)
      others.push(...(yield* call("claim", adopts)))
    }
    return others
  })
  /**
   * Gives places in queues to executions, which the owner has then, up to `most`. They come after what is due: that has a place, or needs
   * none. Gives them, and the time until there may be more.
   */
  const admitFrom = Effect.fnUntraced(function* (request: Port.ClaimRequest, most: number) {
    const { buckets, except = [], fingerprints, now: at, owner } = request
    const admitted: Array<Admitted["given"][number]> = []
    let left = most
    let until = never
    for (const queue of yield* call("claim", statements.wantedQueues)) {
      if (queue.until !== null) until = Math.min(until, Math.ceil(queue.until))
      if (!queue.free || left === 0) continue
      const { contended, count, given } = yield* call(
        "claim",
        statements.admit({ queue: queue.name, most: left, owner, except, fingerprints, at })
      )
      left -= count
      admitted.push(...given)
      if (contended) until = Math.min(until, contendedMillis)
    }
    // A queue has one order for all buckets.
    const isElsewhere = (uuid: string) => buckets?.includes(bucketOf(uuid)) === false
    const elsewhere = admitted.flatMap(({ uuid }) => (isElsewhere(uuid) ? uuid : []))
    if (elsewhere.length > 0) yield* call("claim", statements.disown(owner, elsewhere))
    return { admitted: admitted.filter(({ uuid }) => !isElsewhere(uuid)), elsewhere, until }
  })
  return Effect.fnUntraced(function* (
    request: Port.ClaimRequest
  ): Effect.fn.Return<Port.Claimed, Port.SagaExecutionRepositoryError> {
    const { dueBy = request.now, except = [], fingerprints, former, holds = [], leaseMillis, limit, owner } = request
    const clock = yield* Clock.Clock
    const renew = (begins: boolean, looks = false) =>
      Effect.suspend(() => {
        const sent = clock.monotonicTimeNanosUnsafe()
        renewedAt = sent
        return Effect.map(call("claim", statements.renew(owner, leaseMillis, begins, looks)), (renewed) => {
          SteadyClock.follow(clock, renewed.now, sent)
          return renewed
        })
      })
    const isLapsed = Effect.map(renew(false), ({ lapsed }) => lapsed)
    // After an outage there is much to read, and it may take longer than the lease: others would take what runs here.
    const isOver = Effect.suspend(() => {
      const passed = Number(clock.monotonicTimeNanosUnsafe() - renewedAt) / nanosPerMilli
      return passed * renewalsInLease < Math.max(leaseMillis, leastMillis) ? Effect.succeed(false) : isLapsed
    })
    // A reminder makes executions due, so a renewal before it cannot tell that none is.
    const reminds = limit > 0 && Math.abs(request.now - remindedAt) >= remindMillis
    const looks = !reminds && ClaimOutlook.isAtRest(request)
    const renewal = renew(holds.length === 0 || former !== undefined, looks)
    const renewed = request.isFresh === true ? undefined : yield* answered(renewal, request.answersWithin)
    const lapsed = renewed?.lapsed === true
    // After a lapse other processes may have written any of them.
    if (lapsed || former !== undefined) summaries.clear()
    if (lapsed) return overNow
    const emptyUntil = looks ? ClaimOutlook.emptyUntil(dueBy, renewed) : undefined
    if (emptyUntil !== undefined) return { executions: [], lapsed, lost: [], inbox: [], nextAt: emptyUntil }
    const held = holds.map(({ uuid }) => uuid)
    const others = yield* former === undefined ? heldByOthers(owner, held) : adopted(owner, former, held, isOver)
    if (others === undefined) return overNow
    const { gives = [] } = request
    for (const uuid of gives) summaries.delete(uuid)
    if (gives.length > 0) yield* call("claim", statements.disown(owner, gives))
    if (yield* isOver) return overNow
    const sparing = request.spares === true ? [owner, former ?? owner] : undefined
    const { buckets } = request
    const claims = statements.claim({
      owner,
      limit,
      dueBy,
      fingerprints,
      holds: request.holds,
      except,
      buckets,
      sparing
    })
    if (reminds) yield* remind(request.now)
    const { hasQueues = true, nextAt: dueNext, rows } = limit > 0 ? yield* call("claim", claims) : { rows: [] }
    if (yield* isOver) return overNow
    const { admitted, elsewhere, until } =
      limit > 0 && hasQueues
        ? yield* admitFrom(request, limit - rows.length)
        : { admitted: [], elsewhere: [], until: never }
    const nextAt = dueNext && Math.min(dueNext, clock.currentTimeMillisUnsafe() + until)
    if (yield* isOver) return overNow
    const takenAt = new Map([...rows, ...admitted].map(({ revision, uuid }) => [uuid, revision]))
    const uuids = [...takenAt.keys()]
    const dueAt = new Map(rows.flatMap(({ dueAt, uuid }) => (dueAt === null ? [] : [[uuid, Number(dueAt)] as const])))
    for (const { uuid } of admitted) dueAt.set(uuid, request.now)
    for (const uuid of uuids) summaries.delete(uuid)
    const executions: Array<SagaExecution> = []
    const unreadable: Array<string> = []
    if (uuids.length > 0) {
      const found = yield* read(uuids)
      for (const uuid of uuids) {
        // An execution without a fact is as unreadable as one with a wrong fact: it would stay claimed in silence.
        const execution = found.get(uuid)
        if (execution !== undefined && Result.isSuccess(execution)) executions.push(execution.success)
        else unreadable.push(uuid)
      }
    }
    // Another process may have a newer version, which can read them.
    if (unreadable.length > 0) yield* call("claim", statements.disown(owner, unreadable))
    if (yield* isOver) return overNow
    const lost = others.map(({ uuid }) => uuid)
    const gone = new Set(lost)
    const mine = [...uuids, ...held.filter((uuid) => !gone.has(uuid))]
    const inbox = mine.length === 0 ? [] : yield* call("claim", statements.ofClaim.inbox(mine, maxInboxBytes))
    return {
      executions,
      lapsed,
      lost,
      holders: new Map(others.map(({ owner, uuid }) => [uuid, owner ?? undefined])),
      inbox: inbox.map(inputFrom),
      dueAt,
      takenAt,
      ...(nextAt !== undefined && { nextAt }),
      unreadable,
      ...(elsewhere.length > 0 && { elsewhere })
    }
  })
}
