/**
 * Port: which instance runs an execution, and how the others reach it (SPEC C20). Ownership saves work that two instances
 * would do twice, and says who goes on after a crash. Safety comes from revisions (SPEC A3). `layerLease` is for instances
 * that know each other by their repository only; `SagaManager.layer` uses it where no other ownership is provided.
 */
import { Clock, Context, Effect, Layer, type Scope } from "effect"
import type { Dropped, Of } from "../execution/rules/SagaInput.ts"
import { bucketOf } from "./Buckets.ts"
import type { Claimed, ClaimRequest, GiveBackRequest } from "./Leases.ts"
import * as Metrics from "./Metrics.ts"
import {
  SagaExecutionRepository,
  type SagaExecutionRepositoryError,
  type SagaRepositoryUnsupported
} from "./SagaExecutionRepository.ts"

/** What became of a reply. Undefined: the instance could not take it. */
export type ReplyTaken = "applied" | Dropped | undefined

/** An instance: one manager in one process. Its functions are called by the ownership. */
export interface Instance {
  /** Unique among all instances, also those of the past. */
  readonly id: string
  /** The service: its instances share the executions. */
  readonly service: string
  /** How long the instance counts as alive after a claim, in milliseconds. */
  readonly lease: number
  /**
   * Ends the work on executions that are another instance's from now on. Steps that are under way may end, within the grace of a
   * shutdown. Done when none of it runs any more, so that the other one may begin.
   */
  readonly leave: (isGone: (uuid: string) => boolean) => Effect.Effect<void>
  /** Something may be there to go on with: the instance claims soon. */
  readonly look: Effect.Effect<void>
  /**
   * Takes a reply that has come to another instance, and tells once its consequence is stored. Absent: replies of others
   * come through the inbox.
   */
  readonly receive?: (uuid: string, reply: Of<"Reply">) => Effect.Effect<ReplyTaken>
}

export interface Membership {
  /** The instance and its epoch, as they stand in what is stored. It has a new epoch after its lease was over. */
  readonly owner: string
  /**
   * Whether the instance has renewed within its lease, by its own clock. If not, it begins nothing and sends nothing: other
   * instances may have what it holds. `now`: the time, in milliseconds since the epoch, where the caller has just read it. `uuid`: of the
   * execution that it is about. Where executions are spread over several databases, each has leases of its own.
   */
  readonly isAlive: (now?: number, uuid?: string) => boolean
  /**
   * Since when the instance has had its lease without a gap, in milliseconds since the epoch. Deadlines that have passed by then
   * wait for the time of one attempt (SPEC C20). Absent: since it has joined.
   */
  readonly presentSince?: number
  /** Whether inputs for the execution are judged here, and a new one of this uuid is run here. */
  readonly isMine: (uuid: string) => boolean
  /** Not every execution is this instance's: new ones get a uuid that is. Absent: any uuid will do. */
  readonly drawsOwn?: boolean
  /** Takes executions to go on with, and renews the lease. */
  readonly claim: (
    request: Omit<ClaimRequest, "owner" | "leaseMillis" | "former" | "spares">
  ) => Effect.Effect<Claimed, SagaExecutionRepositoryError | SagaRepositoryUnsupported>
  /** Takes an execution that is in the middle of its work. Gives the instance that has it then. */
  readonly take: (request: {
    readonly uuid: string
    readonly now: number
    readonly wakeAt?: number
  }) => Effect.Effect<string, SagaExecutionRepositoryError>
  /** Gives an execution back, as `SagaExecutionRepository.giveBack`. */
  readonly giveBack: (request: Omit<GiveBackRequest, "owner">) => Effect.Effect<boolean, SagaExecutionRepositoryError>
  /** Tells the instance that has the execution of an input that was stored for it. It may be told by other means too. */
  readonly wake: (uuid: string) => Effect.Effect<void>
  /**
   * Hands a reply to the instance that has the execution, and waits until that one has stored its consequence. Undefined: the
   * reply goes into the inbox. Absent: every reply of an execution of another instance does.
   */
  readonly handOn?: (uuid: string, reply: Of<"Reply">) => Effect.Effect<ReplyTaken>
  /** The instance begins to stop: what it is not at work on may go to others. Absent: it goes when the instance has stopped. */
  readonly stops?: Effect.Effect<void>
}

export class SagaOwnership extends Context.Service<
  SagaOwnership,
  {
    /** Makes an instance one of those that share the executions, until the scope ends. Then others may have what it held. */
    readonly join: (instance: Instance) => Effect.Effect<Membership, never, Scope.Scope>
  }
>()("effect-saga/SagaOwnership") {}

const nanosPerMilli = 1_000_000n

/** Of claims that follow each other closely one renews the lease in this part of it. */
const claimsOfRenewal = 6n

/** By the monotonic clock in nanoseconds, and by the other one in milliseconds. */
interface Moment {
  readonly nanos: bigint
  readonly at: number
}

/** Whether any was renewed last by that time. */
const isOver = (renewed: ReadonlyMap<number, Moment>, nanos: bigint): boolean =>
  Array.from(renewed.values()).some((moment) => moment.nanos <= nanos)

/** Before any lease. */
const never: Moment = { nanos: -(2n ** 62n), at: Number.NEGATIVE_INFINITY }

/** A member by lease: what it works on is its own, as long as it renews its lease; what waits belongs to nobody. */
class Lease implements Membership {
  private epoch = 1
  /** The name under which the lease was over. What is held still names it, until a claim has renamed it. */
  private former: string | undefined
  /** Until when, in nanoseconds, executions of others are spared: they may have been without the repository too. */
  private sparesUntil = 0n
  private readonly id: string
  private readonly service: string
  private readonly repository: SagaExecutionRepository["Service"]
  private readonly clock: Clock.Clock
  private readonly millis: number
  /** A claim has succeeded. Before that others know of no lease, and take what names this owner at once. */
  private isJoined = false
  /** When the lease was renewed last. */
  private renewed: Moment
  /** The same for buckets whose database was away since. */
  private behind: ReadonlyMap<number, Moment> = new Map()
  owner: string
  presentSince?: number
  /** Executions taken while a claim is under way, which may have found them before: they are not lost. */
  private taken: Set<string> | undefined
  /** There are no other instances, or the repository knows no leases. */
  private isAlone = false

  constructor(repository: SagaExecutionRepository["Service"], clock: Clock.Clock, { id, lease, service }: Instance) {
    this.repository = repository
    this.clock = clock
    this.millis = lease
    this.id = id
    this.service = service
    this.owner = this.named()
    this.renewed = this.moment()
  }

  private named(): string {
    return `${this.id}#${this.epoch}`
  }

  private moment() {
    return { nanos: this.clock.monotonicTimeNanosUnsafe(), at: this.clock.currentTimeMillisUnsafe() }
  }

  /** The clock of the day may have been set by the claim: the moment in its time of now. */
  private since(nanos: bigint) {
    const now = this.moment()
    return { nanos, at: now.at - Number(now.nanos - nanos) / Number(nanosPerMilli) }
  }

  readonly isAlive = (now = this.clock.currentTimeMillisUnsafe(), uuid?: string): boolean =>
    this.isAlone || (this.isJoined && this.isRenewed(now, this.renewedFor(uuid)))

  private renewedFor(uuid: string | undefined): Moment {
    const isBehind = uuid !== undefined && this.behind.size > 0
    return (isBehind ? this.behind.get(bucketOf(uuid)) : undefined) ?? this.renewed
  }

  private isRenewed(now: number, { at, nanos }: Moment): boolean {
    // Asked before every step. The clock of the day is cheap; where it has jumped, the monotonic clock decides.
    const since = now - at
    return (since >= 0 && since < this.millis) || this.clock.monotonicTimeNanosUnsafe() - nanos < this.nanos
  }

  private isWithinLease(nanos: bigint): boolean {
    return nanos - this.renewed.nanos < this.nanos
  }

  private get nanos(): bigint {
    return BigInt(Math.ceil(this.millis)) * nanosPerMilli
  }

  readonly isMine = (): boolean => true

  readonly claim: Membership["claim"] = (request) =>
    Effect.suspend(() => {
      // The lease counts from before the claim: its answer may take long.
      const begun = this.moment()
      const wasAway = !this.isAlone && !this.isWithinLease(begun.nanos)
      if (wasAway) this.sparesUntil = begun.nanos + this.nanos
      const taken = new Set<string>()
      this.taken = taken
      const { behind, owner } = this
      const spares = begun.nanos < this.sparesUntil
      const isSoon = (begun.nanos - this.renewed.nanos) * claimsOfRenewal < this.nanos
      const isFresh = this.isJoined && !spares && this.behind.size === 0 && isSoon
      const claims = Effect.flatMap(this.claimNow({ ...request, ...(isFresh && { isFresh }) }, spares), (claimed) =>
        Effect.map(this.withoutOwn(claimed), (lost) => ({ ...claimed, lost }))
      )
      return Effect.map(claims, (claimed) => {
        const last = this.isJoined ? this.renewed : never
        const before = this.behind
        this.behind = new Map(claimed.unrenewed?.map((bucket) => [bucket, before.get(bucket) ?? last]))
        this.renewed = this.since(isFresh && owner === this.owner ? this.renewed.nanos : begun.nanos)
        // Deadlines of what its database has kept from this process have passed without it.
        const isBack = this.behind.size < behind.size && isOver(behind, begun.nanos - this.nanos)
        if (wasAway || isBack || !this.isJoined) this.presentSince = this.clock.currentTimeMillisUnsafe()
        this.isJoined = true
        this.isAlone = claimed.isAlone === true
        this.former = undefined
        this.taken = undefined
        return taken.size === 0 ? claimed : { ...claimed, lost: claimed.lost.filter((uuid) => !taken.has(uuid)) }
      })
    })

  private claimNow(
    request: Parameters<Membership["claim"]>[0],
    spares: boolean
  ): Effect.Effect<Claimed, SagaExecutionRepositoryError | SagaRepositoryUnsupported> {
    const { former, millis, owner, repository } = this
    const claim = repository.claim({
      ...request,
      owner,
      leaseMillis: millis,
      ...(former !== undefined && { former }),
      ...(spares && { spares })
    })
    return claim.pipe(
      Effect.tapError(({ _tag }) => Effect.sync(() => (this.isAlone = _tag === "SagaRepositoryUnsupported"))),
      Effect.flatMap((claimed) => {
        if (!claimed.lapsed) return Effect.succeed(claimed)
        this.former = owner
        this.epoch++
        this.owner = this.named()
        // Nobody knows of a lease under the new name, also where that under the former one is not over.
        this.renewed = never
        this.behind = new Map()
        return Effect.withFiber(({ context }) => {
          Metrics.leaseLost.update(context, 1, this.service)
          return Effect.andThen(
            Effect.logWarning("The lease of this process was over: others may have taken what it ran"),
            this.claimNow({ ...request, isFresh: false }, true)
          )
        })
      })
    )
  }

  /**
   * A write under a name that the instance had before may have landed after the claim that has renamed what it held; or that claim
   * was cut off, and the lease was over once more. What names it is the instance's own, and runs here: it is taken, and is not
   * lost (I28). What cannot be asked is said by the next claim. After a lease that was over nearly all may be lost: to ask for each
   * would take longer than the next lease.
   */
  private withoutOwn({ holders, lost }: Claimed): Effect.Effect<ReadonlyArray<string>> {
    if (this.epoch === 1 || lost.length === 0) return Effect.succeed(lost)
    const isAnothers = (uuid: string) => holders?.has(uuid) === true && !this.isFormer(holders.get(uuid))
    return Effect.filter(
      lost,
      (uuid) =>
        isAnothers(uuid)
          ? Effect.succeed(true)
          : Effect.match(this.takeOwn({ uuid, now: this.clock.currentTimeMillisUnsafe() }, true), {
              onFailure: () => false,
              onSuccess: (holder) => holder !== this.owner
            }),
      { concurrency: 16 }
    )
  }

  readonly take: Membership["take"] = (request) =>
    Effect.tap(this.takeOwn(request), (holder) =>
      Effect.sync(() => holder === this.owner && this.taken?.add(request.uuid))
    )

  private takeOwn(request: Parameters<Membership["take"]>[0], sparesAll = false) {
    return Effect.flatMap(this.takeNow(request, this.former, sparesAll), (holder) =>
      // A write under a name that the instance had before has landed late: it is its own all the same.
      this.isFormer(holder) ? this.takeNow(request, holder, sparesAll) : Effect.succeed(holder)
    )
  }

  private takeNow(
    request: Parameters<Membership["take"]>[0],
    former: string | undefined,
    sparesAll: boolean
  ): Effect.Effect<string, SagaExecutionRepositoryError> {
    return Effect.suspend(() => {
      const { owner, sparesUntil } = this
      // Who has not renewed was without the repository, and so were the others, perhaps.
      const isBack = sparesUntil > 0n && this.clock.monotonicTimeNanosUnsafe() < sparesUntil
      const spares = sparesAll || isBack || !this.isAlive(undefined, request.uuid)
      return this.repository.take({
        ...request,
        owner,
        ...(former !== undefined && { former }),
        ...(spares && { spares })
      })
    })
  }

  private isFormer(holder: string | undefined): holder is string {
    return holder !== undefined && holder !== this.owner && holder.startsWith(`${this.id}#`)
  }

  readonly giveBack: Membership["giveBack"] = (request) => this.repository.giveBack({ ...request, owner: this.owner })

  /** The repository tells of inputs that it has got. */
  readonly wake = (): Effect.Effect<void> => Effect.void

  readonly release = Effect.suspend(() => Effect.ignore(this.repository.release(this.owner)))
}

export const lease = (repository: SagaExecutionRepository["Service"]): SagaOwnership["Service"] =>
  SagaOwnership.of({
    join: (instance) =>
      Effect.acquireRelease(
        Effect.map(Clock.Clock, (clock) => new Lease(repository, clock, instance)),
        ({ release }) => release
      )
  })

/** Ownership by leases in the repository. */
export const layerLease: Layer.Layer<SagaOwnership, never, SagaExecutionRepository> = Layer.effect(
  SagaOwnership,
  Effect.map(SagaExecutionRepository, lease)
)
