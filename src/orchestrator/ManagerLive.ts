/**
 * The manager of a process: its parts put together, and its background work started. The order matters: what a process
 * left is taken up before any reply is taken, and leases are given back when nothing runs any more.
 */
import { Clock, Effect, Option, Result, Scope, Stream } from "effect"
import type { AnyCommitted } from "../definition/Saga.ts"
import type { SagaRegistry } from "../definition/SagaRegistry.ts"
import * as TransactionHooks from "../definition/TransactionHooks.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import { Broker, RepliesTo } from "../ports/Broker.ts"
import { bucketFor } from "../ports/Buckets.ts"
import * as Loop from "../ports/Loop.ts"
import { type Filter, type PageRequest, SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import * as SagaInbox from "../ports/SagaInbox.ts"
import * as SagaOwnership from "../ports/SagaOwnership.ts"
import { changeOf } from "../ports/SagaQueues.ts"
import * as Setting from "../ports/Setting.ts"
import * as ShutdownGrace from "../ports/ShutdownGrace.ts"
import * as SteadyClock from "../ports/SteadyClock.ts"
import { SagaTracing } from "../ports/Tracing.ts"
import { TransactionCommitter } from "../ports/TransactionCommitter.ts"
import * as Vitals from "../ports/Vitals.ts"
import * as Uuid from "../wire/Uuid.ts"
import * as DecisionConsumer from "./DecisionConsumer.ts"
import { checkSlowly } from "./Drift.ts"
import * as EventFeed from "./EventFeed.ts"
import { submit } from "./ExecutionInput.ts"
import * as ExecutionLoop from "./ExecutionLoop.ts"
import * as ExecutionSupervisor from "./ExecutionSupervisor.ts"
import * as ExecutionTrace from "./ExecutionTrace.ts"
import * as FirstWrites from "./FirstWrites.ts"
import * as LaterAttributes from "./LaterAttributes.ts"
import * as ManagerArguments from "./ManagerArguments.ts"
import * as ManagerControl from "./ManagerControl.ts"
import { SagaManager } from "./ManagerService.ts"
import { Measures } from "./MeasureFacts.ts"
import { NextClaim } from "./NextClaim.ts"
import { Presence } from "./Presence.ts"
import * as QueuedStart from "./QueuedStart.ts"
import * as Recovery from "./Recovery.ts"
import { checkOwnService, register } from "./Registration.ts"
import * as ReplyConsumer from "./ReplyConsumer.ts"
import * as Resends from "./Resends.ts"
import * as SagaConfig from "./SagaConfig.ts"
import type { SagaQueue } from "./SagaQueue.ts"
import * as ScheduledStart from "./ScheduledStart.ts"
import * as SetAside from "./SetAside.ts"
import * as StartExecution from "./StartExecution.ts"
import * as StartedSagas from "./StartedSagas.ts"
import * as StoredInput from "./StoredInput.ts"
import * as Takeover from "./Takeover.ts"
import { Unreadable } from "./Unreadable.ts"

/** The manager, and what stops with its scope. */
export const make = Effect.fnUntraced(function* (sagas: ReadonlyArray<AnyCommitted>, options: Options) {
  const names = { transaction: true, queues: true }
  const { queues = [], transaction } = yield* Setting.known("SagaManager", options, names)
  if (transaction !== undefined) yield* Setting.known("SagaManager.transaction", transaction, TransactionHooks.names)
  const clock = yield* Clock.Clock
  return yield* live(sagas, transaction, queues).pipe(
    Effect.provideService(RepliesTo, { at: undefined }),
    Effect.provideService(Clock.Clock, SteadyClock.of(clock))
  )
})

interface Options {
  /** Hooks of the own service, where it takes part. */
  readonly transaction?: TransactionHooks.Hooks | undefined
  readonly queues?: ReadonlyArray<SagaQueue>
}

const live = Effect.fnUntraced(function* (
  sagas: ReadonlyArray<AnyCommitted>,
  hooks: TransactionHooks.Hooks | undefined,
  declared: ReadonlyArray<SagaQueue>
) {
  const part = yield* Vitals.join("orchestrator")
  const repository = yield* SagaExecutionRepository
  const { enrols } = yield* TransactionCommitter
  const registry = yield* register(sagas, enrols)
  const config = yield* SagaConfig.SagaConfig
  const { relatedServices, schedule, service } = config
  const clock = yield* Clock.Clock
  if (hooks !== undefined) yield* checkOwnService(registry.sagas, service)
  const queues = yield* QueuedStart.make(declared, repository, () => clock.currentTimeMillisUnsafe())
  const ownership = Option.getOrElse(yield* Effect.serviceOption(SagaOwnership.SagaOwnership), () =>
    SagaOwnership.lease(repository)
  )
  const grace = yield* ShutdownGrace.make(config.shutdownGrace)
  // Joined first, so left last: when nothing runs any more.
  const joined = yield* Scope.make()
  yield* Effect.addFinalizer((exit) => ShutdownGrace.briefly(Scope.close(joined, exit)))
  const nextClaim = new NextClaim(clock)
  const built: { supervisor?: ExecutionSupervisor.ExecutionSupervisor } = {}
  const join = ownership.join({
    id: `${service}/${Uuid.v7(clock.currentTimeMillisUnsafe())}`,
    service,
    lease: config.lease,
    // A manager that is being built has no executions, and may lose some before it has begun.
    leave: (isGone) => Effect.suspend(() => built.supervisor?.leave(isGone) ?? Effect.void),
    look: Effect.sync(nextClaim.now),
    receive: (uuid, reply) => Effect.suspend(() => ManagerControl.receive(built.supervisor, uuid, reply))
  })
  const membership = yield* Scope.provide(join, joined)
  const presence = new Presence(membership, clock, schedule.resend.initial)

  const feed = yield* EventFeed.make
  const firstWrites = FirstWrites.make()
  const context = yield* Effect.context<never>()
  const measures = new Measures(context)
  const onStored = (written: SagaExecution, stored: SagaExecution): void => {
    measures.write(written, stored)
    LaterAttributes.warn(written, context)
    if (written.revision === 0) ExecutionTrace.started(written, clock)
    supervisor.stored(stored)
    firstWrites.stored(stored)
    feed.publish(written)
    admitSoon(written, nextClaim)
  }
  const startedSagas = StartedSagas.make({
    registry,
    repository,
    clock,
    service,
    transactional: enrols,
    takesPart: hooks !== undefined,
    newUuid: (generator, now, startKey) =>
      StartExecution.newUuid(generator, now, membership, bucketFor(repository, startKey)),
    isAlive: membership.isAlive,
    tell: (execution, stored) => tellDue(execution, stored),
    cancel: (uuid, who) => cancelSoon(supervisor, { clock, repository }, uuid, who)
  })
  const drive = yield* ExecutionLoop.make(onStored, membership, hooks, presence, startedSagas, (uuid, error) =>
    supervisor.away(uuid, error)
  )
  const unreadable = new Unreadable(registry, service, repository, nextClaim.now)
  const { bound } = unreadable
  const load = (uuid: string) =>
    Effect.flatMap(repository.load(uuid), (execution) => Effect.fromResult(bound(execution)))
  // Before the runners, so ended after them: a runner may hold what this fiber needs to end.
  yield* Loop.run(
    "changes of executions",
    Stream.runForEach(repository.changes, (uuid) => supervisor.look(uuid))
  )
  // Before the first claim, which finds what was announced before. A loop that comes back after a defect may have missed some.
  yield* Loop.run(
    "inputs of executions",
    Effect.andThen(
      Effect.sync(nextClaim.look),
      Stream.runForEach(repository.inputs, (uuid) => readInputs(repository, supervisor, nextClaim, uuid))
    ),
    { startImmediately: true }
  )
  const supervisor: ExecutionSupervisor.ExecutionSupervisor = yield* ExecutionSupervisor.make({
    ...config,
    grace,
    commitWait: schedule.commitWait,
    drive,
    repository,
    membership,
    policy: { schedule, ...(relatedServices !== undefined && { relatedServices }) },
    claim: nextClaim.now,
    dueAt: nextClaim.at,
    load,
    takeUp: Takeover.make(membership, schedule),
    setAside: yield* SetAside.make(repository),
    services: context
  })

  built.supervisor = supervisor
  // Told last: a caller that waits for the first write only gives up this effect then.
  const tell = (execution: SagaExecution, stored: SagaExecution) =>
    Effect.map(membership.wake(stored.uuid), () => onStored(execution, stored))
  // It is due at once, and nobody else may be there to find it. Without claims it is taken up here, outside of the step that starts it.
  const scope = yield* Effect.scope
  const tellDue = (execution: SagaExecution, stored?: SagaExecution): Effect.Effect<void> => {
    const { uuid } = execution
    const told = stored === undefined ? Effect.asVoid(membership.wake(uuid)) : tell(execution, stored)
    return Effect.flatMap(told, () => {
      if (!nextClaim.isOver) return Effect.sync(nextClaim.soon)
      const takeUp = Effect.map(load(uuid), (found) => supervisor.resume(found, found.state.updatedAt, []))
      return Effect.asVoid(Effect.forkIn(Effect.andThen(Effect.yieldNow, Effect.ignore(takeUp)), scope))
    })
  }
  const starter: StartExecution.Starter = {
    registry,
    supervisor,
    firstWrites,
    load,
    clock,
    tracing: yield* SagaTracing,
    service,
    membership,
    queues,
    repository,
    storeElsewhere: (execution) =>
      Effect.map(repository.store(execution, ScheduledStart.firstHint(execution)), (stored) => ({
        stored,
        tell: tell(execution, stored)
      })),
    transactional: enrols,
    takesPart: hooks !== undefined
  }
  const unchecked = {
    ...StartExecution.doors(starter),
    ...ManagerControl.make(supervisor, { repository, membership, load }),
    load: (uuid: string) =>
      Effect.map(repository.load(uuid), (execution) => Result.getOrElse(bound(execution), () => execution)),
    find: (filter: Filter, page?: PageRequest) => Effect.map(repository.find(filter, page), unreadable.mark)
  }
  const manager = SagaManager.of({
    ...ManagerArguments.checked(unchecked),
    signal: unchecked.signal,
    reply: unchecked.reply,
    schedules: ScheduledStart.make(starter, {
      interval: config.recoveryInterval,
      isAlive: membership.isAlive,
      repository,
      tell: tellDue
    }),
    events: feed.events
  })
  yield* startBackground(sagas, { registry, unreadable, supervisor, membership, presence, nextClaim, clock, manager })
  presence.begin()
  // Given as long as the layer stands: its tables are migrated before.
  part.check("storage", () => membership.isAlive())
  part.check("subscriptions", () => presence.isListening)
  yield* Effect.addFinalizer(() => part.drains)
  return manager
})

/** A claim admits executions from queues: at once where a write has given a place back, and soon where it wants one. */
const admitSoon = ({ state }: SagaExecution, nextClaim: NextClaim): void => {
  const change = changeOf(state)
  if (change === null) nextClaim.now()
  else if (change !== undefined) nextClaim.at(state.updatedAt)
}
/** How long a step that is undone waits for the saga that it has started. After that it waits in the repository. */
const patience = "1 second"

const cancelSoon = (
  supervisor: ExecutionSupervisor.ExecutionSupervisor,
  keeper: Parameters<typeof StartedSagas.leaveCancel>[0],
  uuid: string,
  who: Parameters<typeof StartedSagas.leaveCancel>[2]
): Effect.Effect<void> =>
  submit(supervisor, uuid, { _tag: "Cancel", ...who }, "end").pipe(
    Effect.asVoid,
    // It has ended meanwhile, or this process cannot judge it: another one may.
    Effect.catch(({ _tag }) =>
      _tag === "SagaNotCancellable" ? Effect.void : StartedSagas.leaveCancel(keeper, uuid, who)
    ),
    Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.void })
  )

/** Reads the stored inbox of an execution that runs here. What is missed here comes with the next claim. */
const readInputs = (
  repository: SagaExecutionRepository["Service"],
  supervisor: ExecutionSupervisor.ExecutionSupervisor,
  nextClaim: NextClaim,
  uuid: string
): Effect.Effect<void> =>
  Effect.suspend(() =>
    supervisor.isRunning(uuid)
      ? Effect.ignore(
          Effect.map(repository.inbox(uuid), (rows) => supervisor.offer(uuid, rows.map(StoredInput.pendingOf)))
        )
      : Effect.sync(uuid === SagaInbox.ofNobody ? nextClaim.soon : nextClaim.look)
  )

/** Recovery first, so that what a former process left is taken up before a reply is taken. */
const startBackground = Effect.fnUntraced(function* (
  sagas: ReadonlyArray<AnyCommitted>,
  options: {
    readonly registry: SagaRegistry
    readonly unreadable: Unreadable
    readonly supervisor: ExecutionSupervisor.ExecutionSupervisor
    readonly membership: SagaOwnership.Membership
    readonly presence: Presence
    readonly nextClaim: NextClaim
    readonly clock: Clock.Clock
    readonly manager: SagaManager["Service"]
  }
) {
  const { clock, manager, membership, nextClaim, presence, registry, supervisor, unreadable } = options
  const { lease, recoveryInterval, schedule, service } = yield* SagaConfig.SagaConfig
  yield* Recovery.run({
    membership,
    unreadable,
    active: supervisor,
    fingerprints: registry.sagas.map(({ fingerprint }) => fingerprint),
    interval: recoveryInterval,
    service,
    next: nextClaim,
    // The interval and a slow batch together are shorter than a lease.
    resends: Resends.make(yield* Broker, membership, (lease - recoveryInterval) / 2),
    schedule,
    presence,
    clock
  })
  // Stopped before the recovery: it renews the lease while steps are let end.
  const { stops = Effect.void } = membership
  yield* Effect.addFinalizer(() => Effect.andThen(ShutdownGrace.briefly(stops), supervisor.close))
  yield* Loop.run("replies", ReplyConsumer.consume(manager, presence.hears))
  yield* Loop.run("questions for decisions", DecisionConsumer.consume)
  yield* Effect.forkScoped(warnOfDrift(sagas, service, unreadable))
  // A notification of a change may be missed: executions that callers wait for are looked at now and then.
  yield* Loop.repeat(
    "waiting callers",
    Effect.andThen(nextClaim.sleepAmongOthers(recoveryInterval), supervisor.lookAtAll)
  )
})

/** So a process that reads many executions at its start sends few statements a second for that. */
const betweenPages = "250 millis"

/** Says once which stored executions this process will not touch, and why. */
const warnOfDrift = (sagas: ReadonlyArray<AnyCommitted>, service: string, unreadable: Unreadable) =>
  checkSlowly(sagas, { service }, Effect.sleep(betweenPages)).pipe(
    Effect.flatMap((drift) => {
      for (const one of drift.unreadable) unreadable.found(one)
      return drift.drifted.length === 0
        ? Effect.void
        : Effect.logWarning("Executions wait for a program that has their saga in its old form", drift.drifted)
    }),
    Effect.ignore
  )
