/**
 * How the manager starts an execution: makes it, hands it to the supervisor, and finds the execution that has its name
 * already. The memory repository stores at once, so a saga of local steps has often run before anything is waited for.
 */
import { type Clock, type Context, Effect, type Fiber, Ref } from "effect"
import * as SagaRegistry from "../definition/SagaRegistry.ts"
import type { Definition } from "../definition/SagaStep.ts"
import type { SagaContextEncodeError, SagaContextTooLarge } from "../execution/view/ExecutionErrors.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import { bucketFor, inBucket } from "../ports/Buckets.ts"
import * as RequestContext from "../ports/RequestContext.ts"
import * as RequestHeaders from "../ports/RequestHeaders.ts"
import * as Repository from "../ports/SagaExecutionRepository.ts"
import type { Membership } from "../ports/SagaOwnership.ts"
import { contextOf, type Tracing } from "../ports/Tracing.ts"
import { UuidGenerator } from "../wire/Uuid.ts"
import { started, submit } from "./ExecutionInput.ts"
import type { ControlError, ExecutionSupervisor, RunError, SagaOverloaded, Until } from "./ExecutionSupervisor.ts"
import * as ExecutionTrace from "./ExecutionTrace.ts"
import type { FirstWrites } from "./FirstWrites.ts"
import type { SagaStartConflict, StartError } from "./ManagerErrors.ts"
import type { UntypedStart } from "./ManagerOptions.ts"
import * as ManagerResult from "./ManagerResult.ts"
import type { SagaManager } from "./ManagerService.ts"
import type { Queues } from "./QueuedStart.ts"
import { SagaQueueFull, type SagaQueueUnknown } from "./QueueErrors.ts"
import { differenceOf, startConflict } from "./StartConflict.ts"

export interface Starter {
  readonly registry: SagaRegistry.SagaRegistry
  readonly supervisor: ExecutionSupervisor
  readonly firstWrites: FirstWrites
  /** A stored execution, bound to its saga. */
  readonly load: (uuid: string) => Effect.Effect<SagaExecution, RunError>
  readonly clock: Clock.Clock
  readonly tracing: Tracing
  /** Name of the own service. */
  readonly service: string
  /** The committer enrols services. */
  readonly transactional: boolean
  /** The own service has hooks. */
  readonly takesPart: boolean
  readonly membership: Pick<Membership, "drawsOwn" | "isMine">
  readonly queues: Queues
  readonly repository: Pick<Repository.SagaExecutionRepository["Service"], "find" | "keysHaveBuckets">
  /** Stores a new execution that a claim takes, in a queue or for another instance. `tell`: so that it is claimed soon. */
  readonly storeElsewhere: (
    execution: SagaExecution
  ) => Effect.Effect<{ readonly stored: SagaExecution; readonly tell: Effect.Effect<void> }, RunError>
}

/** The doors of the manager that start an execution. They differ in what their caller waits for. */
export const doors = (starter: Starter): Pick<SagaManager["Service"], "run" | "start" | "execute"> => ({
  run: (saga, options) =>
    Effect.withFiber((fiber) => {
      const until: Until = options.pauseOnDisk === true ? "pause" : "end"
      return Effect.flatMap(runUnsafe(starter, saga, options, until, fiber), (execution) => {
        const result: ReturnType<SagaManager["Service"]["run"]> = ManagerResult.execution(
          execution,
          options.raiseOnError
        )
        return options.returnExecution === false ? Effect.as(result, execution.uuid) : result
      })
    }),
  start: (saga, options) =>
    Effect.withFiber((fiber) => Effect.map(storedOnce(starter, saga, options, fiber), ({ uuid }) => uuid)),
  execute: (saga, options) =>
    Effect.withFiber((fiber) =>
      Effect.flatMapEager(runUnsafe(starter, saga, options, "end", fiber), ManagerResult.context)
    )
})

/** A uuid is drawn so often, at most, until its execution runs here. */
const maxDraws = 10_000

/**
 * Starts an execution at once, and gives the effect that waits for it: for its end, or also for a pause. The effect is
 * done already where the saga has run by then.
 */
const runUnsafe = (
  self: Starter,
  saga: Definition,
  options: UntypedStart,
  until: Until,
  fiber: Fiber.Fiber<unknown, unknown>
): Effect.Effect<SagaExecution, StartError> => {
  const request = fiber.getRef(RequestContext.RequestContext)
  const execution = create(self, saga, options, fiber, request)
  if (!(execution instanceof SagaExecution)) return Effect.fail(execution)
  const { clock, supervisor } = self
  const waiting = ExecutionTrace.ending(execution, clock, begin(self, execution, until, fiber.context))
  const reached = isNamed(options)
    ? Effect.catchTag(taken(self, execution, waiting), "SagaExecutionConflict", (conflict) =>
        Effect.flatMap(existing(self, execution, conflict), (theirs) =>
          supervisor.isReached(theirs, until) ? Effect.succeed(theirs) : supervisor.wait(theirs.uuid, until)
        ).pipe(
          // The execution was removed while it was looked at: it is started again, and the store says what became of it.
          Effect.catchTag("SagaExecutionNotFound", () => begin(self, execution, until, fiber.context))
        )
      )
    : waiting
  return servedBy(request, options.user, reached)
}

/** The caller may have named an execution that another instance runs. */
const begin = (
  { membership, queues, storeElsewhere, supervisor }: Starter,
  execution: SagaExecution,
  until: Until,
  caller: Context.Context<never>
): Effect.Effect<SagaExecution, RunError | SagaOverloaded | SagaQueueFull> => {
  if (execution.state.place !== undefined) {
    // The caller waits before a claim is asked for: the execution may be over and forgotten soon.
    return Effect.andThen(
      queues.room(execution),
      Effect.flatMap(storeElsewhere(execution), ({ stored, tell }) =>
        supervisor.wait(stored.uuid, until, Effect.as(tell, stored))
      )
    )
  }
  return !membership.isMine(execution.uuid)
    ? Effect.flatMap(storeElsewhere(execution), ({ stored: { uuid }, tell }) =>
        Effect.andThen(tell, supervisor.wait(uuid, until))
      )
    : supervisor.startUnsafe(execution, until, caller)
}

/** A full queue takes no new execution, and refuses none that is there already (SPEC C9). */
const taken = <E>(
  { load, repository }: Starter,
  execution: SagaExecution,
  started: Effect.Effect<SagaExecution, E | SagaQueueFull>
) =>
  Effect.catchIf(
    started,
    (error): error is SagaQueueFull => error instanceof SagaQueueFull,
    (full) => {
      const { startKey, uuid } = execution
      const named: Effect.Effect<string | undefined, unknown> =
        startKey === undefined
          ? Effect.as(load(uuid), uuid)
          : Effect.map(repository.find({ startKey }), ({ items }) => items[0]?.uuid)
      const known: Effect.Effect<string | undefined> = Effect.orElseSucceed(named, () => undefined)
      return Effect.flatMap(known, (uuid) =>
        Effect.fail(uuid === undefined ? full : Repository.conflict(execution, uuid))
      )
    }
  )

/** Starts an execution and gives it as its first write has stored it. */
const storedOnce = (
  self: Starter,
  saga: Definition,
  options: UntypedStart,
  fiber: Fiber.Fiber<unknown, unknown>
): Effect.Effect<SagaExecution, StartError> => {
  const request = fiber.getRef(RequestContext.RequestContext)
  const execution = create(self, saga, options, fiber, request)
  if (!(execution instanceof SagaExecution)) return Effect.fail(execution)
  const begun = Effect.suspend(() => begin(self, execution, "end", fiber.context))
  const ended = ExecutionTrace.ending(execution, self.clock, begun)
  const run = isNamed(options) ? taken(self, execution, ended) : ended
  const stored = self.firstWrites.await(execution.uuid, run)
  if (!isNamed(options)) return withWarning(request, options.user, stored)
  const same = Effect.flatMap(stored, (theirs) => unlessOther(execution, theirs)).pipe(
    Effect.catchTag("SagaExecutionConflict", (conflict) =>
      // The execution was removed while it was looked at: the first write says what became of it.
      Effect.catchTag(existing(self, execution, conflict), "SagaExecutionNotFound", () => stored)
    )
  )
  return withWarning(request, options.user, same)
}

const isNamed = ({ startKey, uuid }: UntypedStart): boolean => startKey !== undefined || uuid !== undefined

/** A new execution for the caller, started and not stored yet; or why there is none. */
export const created = (self: Starter, saga: Definition, options: UntypedStart) =>
  Effect.withFiber((fiber) =>
    Effect.succeed(create(self, saga, options, fiber, fiber.getRef(RequestContext.RequestContext)))
  )

const create = (
  { clock, membership, queues, registry, repository, service, takesPart, tracing, transactional }: Starter,
  saga: Definition,
  options: UntypedStart,
  fiber: Fiber.Fiber<unknown, unknown>,
  { headers, user = options.user }: RequestContext.RequestContext
):
  | SagaExecution
  | SagaRegistry.SagaNotRegistered
  | Execution.SagaInvalidUuid
  | Execution.SagaInvalidStart
  | SagaQueueUnknown
  | SagaContextEncodeError
  | SagaContextTooLarge => {
  if (!registry.has(saga)) {
    return new SagaRegistry.SagaNotRegistered({ saga: saga.name, known: registry.sagas.map(({ name }) => name) })
  }
  const now = clock.currentTimeMillisUnsafe()
  const uuid =
    options.uuid === undefined
      ? newUuid(fiber.getRef(UuidGenerator), now, membership, bucketFor(repository, options.startKey))
      : Execution.callerUuid(options.uuid)
  if (typeof uuid !== "string") return uuid
  const { context, deadline, startKey } = options
  const created = Execution.creation(saga, { context, uuid, user, startKey, deadline }, now)
  const entered = created instanceof SagaExecution ? queues.enter(created, options, now) : created
  if (!(entered instanceof SagaExecution)) return entered
  const span = ExecutionTrace.start(fiber, tracing, saga.name, uuid)
  const execution = started(entered, {
    service,
    autocommit: options.autocommit ?? true,
    transactional,
    takesPart,
    headers: headers === undefined ? undefined : Ref.getUnsafe(headers),
    trace: span && contextOf(span),
    now
  })
  if (span !== undefined) ExecutionTrace.starting(execution, span)
  return execution
}

/**
 * A new uuid whose execution runs here. Where every execution does, nobody is asked. `bucket`: one of this bucket, wherever it runs.
 */
export const newUuid = (
  { next }: typeof UuidGenerator.Service,
  now: number,
  { drawsOwn, isMine }: Starter["membership"],
  bucket?: number
): string => {
  if (bucket !== undefined) return inBucket(next(now), bucket)
  if (drawsOwn !== true) return next(now)
  for (let draws = 0; draws < maxDraws; draws++) {
    const uuid = next(now)
    if (isMine(uuid)) return uuid
  }
  // A defect: an instance that has no executions is not to be given new ones.
  throw new Error(`none of ${maxDraws} new uuids is for this instance: its ownership gives it no executions`)
}

/** The execution that has the name of mine. It is an error if it was started with something else (SPEC C9). */
const existing = (
  { firstWrites, load, supervisor }: Starter,
  mine: SagaExecution,
  conflict: Repository.SagaExecutionConflict
): Effect.Effect<SagaExecution, ControlError | SagaStartConflict> => {
  const uuid = conflict.existing ?? mine.uuid
  const look = submit(supervisor, uuid, { _tag: "Look" })
  // An execution that is not found is being stored at this moment. Its write is awaited from before a second look: the write may
  // come in between, and its first step may take long. The input without facts fails where that write fails.
  const stored = firstWrites.await(
    uuid,
    Effect.catchTag(load(uuid), "SagaExecutionNotFound", () => look)
  )
  return Effect.flatMap(
    Effect.catchTag(load(uuid), "SagaExecutionNotFound", () => stored),
    (theirs) => unlessOther(mine, theirs)
  ).pipe(
    // This program need not know the other saga, or read it, to see that it is another one.
    Effect.catchTag(["SagaDefinitionDrift", "SagaExecutionUnreadable"], (error) =>
      Effect.fail(error.saga === mine.saga ? error : startConflict(mine, uuid, error.saga, "saga"))
    )
  )
}

const unlessOther = (mine: SagaExecution, theirs: SagaExecution): Effect.Effect<SagaExecution, SagaStartConflict> => {
  const difference = differenceOf(mine, theirs)
  return difference === undefined
    ? Effect.succeed(theirs)
    : Effect.fail(startConflict(mine, theirs.uuid, theirs.saga, difference))
}

/** Adds the services that took part to the request that the caller serves, once the execution is reached. */
export const servedBy = <E>(
  request: RequestContext.RequestContext,
  user: string | undefined,
  reached: Effect.Effect<SagaExecution, E>
): Effect.Effect<SagaExecution, E> =>
  withWarning(
    request,
    user,
    request.headers === undefined
      ? reached
      : Effect.tap(reached, ({ relatedServices }) => RequestHeaders.addRelatedServices(request, relatedServices))
  )

const withWarning = <A, E>(
  request: RequestContext.RequestContext,
  user: string | undefined,
  self: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  request.user === undefined || user === undefined || request.user === user
    ? self
    : Effect.andThen(Effect.logWarning("The user of the request is used, not the one given to run"), self)
