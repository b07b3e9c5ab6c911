/** Claims executions of several databases, each of which has leases of its own. */
import { Clock, Effect, Exit } from "effect"
import type * as Port from "../../ports/SagaExecutionRepository.ts"
import { away, type Repository, type Shards } from "./Shards.ts"

/**
 * Milliseconds in which a database that was away for a whole lease has to renew the next one, so that the others do not wait for it. At
 * every fourth claim it has longer, as it may be there again and be slow.
 */
const patience = 500
const claimsUntilLonger = 4
/** Part of the lease that it has then, and at each claim before the lease there is over: with the interval, the others still renew in time. */
const longerInLease = 3

/**
 * `missed`: the claims in a row to which the database has not answered. `isOver`: it has not for a lease. Undefined: its statements have
 * a limit of their own.
 */
export const patienceWith = (missed: number, isOver: boolean, leaseMillis: number): number | undefined => {
  if (missed === 0) return undefined
  const isLonger = !isOver || missed % claimsUntilLonger === 0
  return isLonger ? Math.max(patience, leaseMillis / longerInLease) : patience
}

type Claim = Repository["claim"]

/** Runs all that are there at the same time. Fails where all fail; the answer of one that fails is undefined. */
export const anyOf = Effect.fnUntraced(function* <A, E>(
  operation: Port.Operation,
  asked: ReadonlyArray<Effect.Effect<A, E> | undefined>
): Effect.fn.Return<ReadonlyArray<A | undefined>, E | Port.SagaExecutionRepositoryError> {
  const exits = yield* Effect.forEach(
    asked,
    (one): Effect.Effect<Exit.Exit<A, E> | undefined> => (one === undefined ? Effect.undefined : Effect.exit(one)),
    { concurrency: "unbounded" }
  )
  if (exits.some((exit) => exit !== undefined && Exit.isSuccess(exit)))
    return exits.map((exit) => (exit !== undefined && Exit.isSuccess(exit) ? exit.value : undefined))
  for (const exit of exits) if (exit !== undefined && Exit.isFailure(exit)) return yield* Effect.failCause(exit.cause)
  return yield* away(operation)
})

/** A claim without what another database has. `limit`: how many of the executions this one gives. */
const requestFor = (
  shards: Shards<Repository>,
  { rests: _, ...request }: Port.ClaimRequest,
  at: number,
  limit: number
): Port.ClaimRequest => {
  const isHere = (uuid: string) => shards.has(at, uuid)
  return {
    ...request,
    limit,
    ...(request.holds !== undefined && { holds: request.holds.filter(({ uuid }) => isHere(uuid)) }),
    ...(request.except !== undefined && { except: request.except.filter(isHere) }),
    ...(request.gives !== undefined && { gives: request.gives.filter(isHere) })
  }
}

/** The claims of all databases as one. A database that is away has claimed nothing, and is asked again at the next interval. */
const together = (claimed: ReadonlyArray<Port.Claimed | undefined>): Port.Claimed => {
  const given = claimed.flatMap((one) => one ?? [])
  const isOver = given.some(({ lapsed }) => lapsed)
  const nextAt = given.length < claimed.length ? [] : given.map(({ nextAt }) => nextAt)
  const isKnown = nextAt.length > 0 && nextAt.every((at) => at !== undefined)
  return {
    executions: isOver ? [] : given.flatMap(({ executions }) => executions),
    lapsed: isOver,
    lost: isOver ? [] : given.flatMap(({ lost }) => lost),
    holders: new Map(given.flatMap(({ holders }) => [...(holders ?? [])])),
    inbox: isOver ? [] : given.flatMap(({ inbox }) => inbox),
    dueAt: new Map(given.flatMap(({ dueAt }) => [...(dueAt ?? [])])),
    takenAt: new Map(given.flatMap(({ takenAt }) => [...(takenAt ?? [])])),
    unreadable: given.flatMap(({ unreadable }) => unreadable ?? []),
    ...(isKnown && { nextAt: Math.min(...nextAt) })
  }
}

/** The same claim once more, without what it has given. */
const afterwards = (
  { except = [], former: _, gives: __, holds, ...request }: Port.ClaimRequest,
  { executions, unreadable = [] }: Port.Claimed
): Port.ClaimRequest => ({
  ...request,
  isFresh: true,
  except: [...except, ...unreadable],
  ...(holds !== undefined && { holds: [...holds, ...executions.map(({ revision, uuid }) => ({ uuid, revision }))] })
})

/** Without what the first answer has said already. */
const onlyNew = (claimed: Port.Claimed): Port.Claimed => {
  const given = new Set(claimed.executions.map(({ uuid }) => uuid))
  return { ...claimed, lost: [], inbox: claimed.inbox.filter(({ uuid }) => given.has(uuid)) }
}

const nanosPerMilli = 1_000_000n

/**
 * Whether a claim spares what others have: after an outage of the database that was longer than a lease, for the time of a lease. By the
 * monotonic clock, in nanoseconds.
 */
const sparing = () => {
  let answeredAt: bigint | undefined
  let until = 0n
  return {
    /** A claim begins. `isOver`: the last answer was a lease ago. */
    begins: (now: bigint, leaseMillis: number): { readonly spares: boolean; readonly isOver: boolean } => {
      const lease = BigInt(Math.ceil(leaseMillis)) * nanosPerMilli
      const isOver = answeredAt !== undefined && now - answeredAt >= lease
      if (isOver) until = now + lease
      return { spares: now < until, isOver: isOver || answeredAt === undefined }
    },
    /** The claim that has begun then is answered. */
    answers: (now: bigint): void => {
      answeredAt = now
    }
  }
}

export const make = (shards: Shards<Repository>): Claim => {
  /** The claims in a row to which each database has not answered. */
  const missed = shards.all.map(() => 0)
  const spared = shards.all.map(sparing)
  /** The database that gets the greatest part of the next claim. */
  let turn = 0

  const claimOf = (
    request: Port.ClaimRequest,
    at: number,
    limit: number,
    now: bigint
  ): ReturnType<Claim> | undefined => {
    const repository = shards.there(at)
    if (repository === undefined) return undefined
    const { isOver, spares } = spared[at]!.begins(now, request.leaseMillis)
    const answersWithin = patienceWith(missed[at]!, isOver, request.leaseMillis)
    const claims = repository.claim({
      ...requestFor(shards, request, at, limit),
      ...(spares && { spares }),
      ...(answersWithin !== undefined && { answersWithin })
    })
    return claims.pipe(
      Effect.tap(() =>
        Effect.sync(() => {
          missed[at] = 0
          spared[at]!.answers(now)
        })
      ),
      // A claim that is interrupted, as at a stop, says nothing of the database.
      Effect.tapError(() =>
        ++missed[at]! === 1
          ? Effect.logWarning("A database is away: its executions wait", { database: shards.all[at]?.name })
          : Effect.void
      )
    )
  }

  return Effect.fnUntraced(function* (request) {
    yield* shards.look
    const now = (yield* Clock.Clock).monotonicTimeNanosUnsafe()
    const count = shards.all.length
    const first = turn++ % count
    const { limit } = request
    const shareOf = (at: number) => Math.floor((limit + ((at - first + count) % count)) / count)
    const shares = shards.all.map((_, at) => shareOf(at))
    const claimed = yield* anyOf(
      "claim",
      shares.map((share, at) => claimOf(request, at, share, now))
    )
    const silent = new Set(claimed.flatMap((answer, at) => (answer === undefined ? at : [])))
    const unrenewed = silent.size === 0 ? [] : shards.bucketsOf(silent)
    const answers = [together(claimed)]
    // Where one has little, another one may have more.
    for (const [at, share] of shares.entries()) {
      const answer = claimed[at]
      const left = answers.reduce((left, { executions }) => left - executions.length, limit)
      if (answers.some(({ lapsed }) => lapsed) || left <= 0) break
      if (answer === undefined || answer.executions.length < share) continue
      const more = claimOf(afterwards(request, answer), at, left, now)
      if (more === undefined) continue
      const got = yield* Effect.exit(more)
      if (Exit.isSuccess(got)) answers.push(onlyNew(got.value))
    }
    return {
      ...(answers.length === 1 ? answers[0]! : together(answers)),
      ...(unrenewed.length > 0 && { unrenewed })
    }
  })
}
