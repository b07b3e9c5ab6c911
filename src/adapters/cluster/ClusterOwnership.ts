/**
 * Ownership by Effect Cluster (SPEC C20). Executions fall into buckets by their uuid, and each bucket is a singleton of the cluster:
 * while it runs here, its executions are this instance's. A reply that comes to another instance is handed on by a message that
 * nobody stores. The facts, and the broker until they are stored, keep what is to be kept.
 *
 * The cluster says where an execution belongs. It does not make two processes exclude each other: a process that stands still believes
 * for a while that it has its buckets. So each instance has a lease besides, as without a cluster, and goes on with an execution of its
 * buckets only when no other living instance is at work on it.
 */
import { Effect, Exit, Layer, Option, Schema, Scope, Semaphore } from "effect"
import { ClusterSchema, Entity, Sharding } from "effect/cluster"
import { Rpc } from "effect/rpc"
import { SagaInput } from "../../execution/rules/SagaInput.ts"
import { bucketCount, bucketOf } from "../../ports/Buckets.ts"
import { SagaExecutionRepository } from "../../ports/SagaExecutionRepository.ts"
import { type Instance, lease, type Membership, type ReplyTaken, SagaOwnership } from "../../ports/SagaOwnership.ts"

/** How long an instance has to take a reply that is handed on to it. After that the reply goes into the inbox. */
const patience = "1 second"

/** Messages between the instances of a service. There is one entity for each bucket, where the bucket is. */
const messagesOf = (service: string) =>
  Entity.make(`effect-saga/${service}`, [
    Rpc.make("Reply", {
      payload: { uuid: Schema.String, reply: SagaInput },
      success: Schema.Literals(["applied", "stale", "sender-mismatch", "not-taken"])
    }),
    Rpc.make("Look")
  ])
    // Work for an execution is in the trace of that execution, not in one of the cluster.
    .annotate(ClusterSchema.ClientTracingEnabled, false)

type Messages = ReturnType<typeof messagesOf>

type Repository = SagaExecutionRepository["Service"]

class Member implements Membership {
  private readonly inner: Membership
  private readonly repository: Repository
  private readonly instance: Instance
  /** The buckets that are here. */
  private readonly here = new Set<number>()
  /** Buckets that are gone, whose executions are not given back yet. */
  private readonly left = new Set<number>()
  private readonly releasing = Semaphore.makeUnsafe(1)
  /** Buckets whose instance is being told to look. True: it is to be told once more. */
  private readonly waking = new Map<number, boolean>()
  private readonly scope: Scope.Scope
  private readonly clientOf: (bucket: number) => ReturnType<Effect.Success<Messages["client"]>>
  /** The lease is given back: all that the instance was at work on is free. */
  private isOver = false
  readonly stops: Effect.Effect<void>

  constructor(options: {
    readonly inner: Membership
    readonly repository: Repository
    readonly instance: Instance
    readonly scope: Scope.Scope
    readonly clientOf: Member["clientOf"]
    readonly stops: Effect.Effect<void>
  }) {
    this.inner = options.inner
    this.repository = options.repository
    this.instance = options.instance
    this.scope = options.scope
    this.clientOf = options.clientOf
    this.stops = options.stops
  }

  get owner(): string {
    return this.inner.owner
  }

  get presentSince(): number {
    return this.inner.presentSince ?? Number.NEGATIVE_INFINITY
  }

  /** Where no bucket is here yet, any uuid will do: the execution is stored for the instance that it belongs to. */
  get drawsOwn(): boolean {
    return this.here.size > 0
  }

  readonly isAlive: Membership["isAlive"] = (now, uuid) => this.inner.isAlive(now, uuid)
  readonly isMine = (uuid: string): boolean => this.here.has(bucketOf(uuid))

  readonly claim: Membership["claim"] = (request) =>
    Effect.suspend(() => this.inner.claim({ ...request, buckets: [...this.here] })).pipe(
      Effect.tap(({ elsewhere = [] }) => Effect.forEach(elsewhere, this.wake, { discard: true }))
    )

  readonly take: Membership["take"] = (request) =>
    Effect.suspend(() => (this.isMine(request.uuid) ? this.inner.take(request) : Effect.succeed(another)))

  readonly giveBack: Membership["giveBack"] = (request) => this.inner.giveBack(request)

  /** Does not wait: an instance that does not hear it looks at its next interval. */
  readonly wake: Membership["wake"] = (uuid) =>
    Effect.suspend(() => {
      const bucket = bucketOf(uuid)
      if (this.here.has(bucket) || Number.isNaN(bucket)) return Effect.void
      if (this.waking.has(bucket)) return Effect.sync(() => void this.waking.set(bucket, true))
      return Effect.asVoid(Effect.forkIn(this.tell(bucket), this.scope))
    })

  private tell(bucket: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.waking.set(bucket, false)
      const look = this.clientOf(bucket).Look(undefined, { discard: true })
      return Effect.flatMap(Effect.exit(Effect.timeoutOption(look, patience)), () => {
        if (this.waking.get(bucket) === true) return this.tell(bucket)
        return Effect.sync(() => void this.waking.delete(bucket))
      })
    })
  }

  readonly handOn: NonNullable<Membership["handOn"]> = (uuid, reply) =>
    Effect.suspend(() => {
      const bucket = bucketOf(uuid)
      if (Number.isNaN(bucket)) return Effect.succeed(undefined)
      return Effect.match(Effect.timeoutOption(this.clientOf(bucket).Reply({ uuid, reply }), patience), {
        onFailure: (): ReplyTaken => undefined,
        onSuccess: (taken): ReplyTaken =>
          Option.isNone(taken) || taken.value === "not-taken" ? undefined : taken.value
      })
    })

  /** A reply that another instance hands on. The bucket may have left since it was sent. */
  receive(uuid: string, reply: SagaInput): Effect.Effect<NonNullable<ReplyTaken> | "not-taken"> {
    const { receive } = this.instance
    return receive === undefined || reply._tag !== "Reply" || !this.isMine(uuid)
      ? Effect.succeed("not-taken")
      : Effect.map(receive(uuid, reply), (taken) => taken ?? "not-taken")
  }

  /** The work of a bucket. The cluster gives it to another runner only when it has ended. */
  readonly bucket = (bucket: number): Effect.Effect<void, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => void this.here.add(bucket)),
      () => this.leave(bucket)
    ).pipe(Effect.andThen(this.instance.look))

  readonly ends: Effect.Effect<void> = Effect.sync(() => {
    this.isOver = true
  })

  private leave(bucket: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.here.delete(bucket)
      const left = this.instance.leave((uuid) => bucketOf(uuid) === bucket)
      return Effect.andThen(
        left,
        Effect.suspend(() => this.release(bucket))
      )
    })
  }

  /** Many buckets leave together: they are given back together. What is not given back now, the next claim gives back. */
  private release(bucket: number): Effect.Effect<void> {
    const all = Effect.suspend(() => {
      const buckets = [...this.left]
      this.left.clear()
      return this.isOver || buckets.length === 0 ? Effect.void : this.repository.release(this.owner, buckets)
    })
    this.left.add(bucket)
    return Effect.andThen(Effect.yieldNow, this.releasing.withPermit(Effect.ignore(all)))
  }
}

const another = "another instance"

const join = Effect.fnUntraced(function* (
  sharding: Sharding.Sharding["Service"],
  repository: Repository,
  instance: Instance
) {
  const Messages = messagesOf(instance.service)
  const nameOf = (bucket: number) => `effect-saga/${instance.service}/${bucket}`
  const scope = yield* Effect.scope
  // Buckets end last, side by side: a cluster that gives them away earlier would wait for each of them.
  const buckets = yield* Scope.make("parallel")
  yield* Effect.addFinalizer((exit) => Scope.close(buckets, exit))
  // The cluster gives away what a runner has when the first of its entities ends.
  const receiving = yield* Scope.fork(scope)
  const inner = yield* lease(repository).join(instance)
  const client = yield* Effect.provideService(Messages.client, Sharding.Sharding, sharding)
  const member = new Member({
    inner,
    repository,
    instance,
    scope,
    clientOf: (bucket) => client(nameOf(bucket)),
    stops: Scope.close(receiving, Exit.void)
  })
  yield* Effect.addFinalizer(() => member.ends)
  yield* sharding
    .registerEntity(
      Messages,
      Effect.succeed(
        Messages.of({
          Reply: ({ payload: { reply, uuid } }) => member.receive(uuid, reply),
          Look: () => instance.look
        })
      ),
      { concurrency: "unbounded", maxIdleTime: Number.POSITIVE_INFINITY }
    )
    .pipe(Scope.provide(receiving))
  for (let bucket = 0; bucket < bucketCount; bucket++)
    yield* Scope.provide(sharding.registerSingleton(nameOf(bucket), member.bucket(bucket)), buckets)
  return member
})

/**
 * Ownership by the cluster: one manager of a service on each runner. A new execution gets a uuid that belongs to its instance, and runs
 * there. All instances of a service change over from leases together: those without the cluster do not know the buckets.
 */
export const layer: Layer.Layer<SagaOwnership, never, Sharding.Sharding | SagaExecutionRepository> = Layer.effect(
  SagaOwnership,
  Effect.map(Effect.all([Sharding.Sharding, SagaExecutionRepository]), ([sharding, repository]) =>
    SagaOwnership.of({ join: (instance) => join(sharding, repository, instance) })
  )
)
