/**
 * The door for steps that start another saga (`Saga.start`): it makes the other execution, and takes it back. That one is stored
 * unowned and due, like the one of a schedule's tick: any process runs it when it has room. So a start is never refused for want
 * of room, and a saga that starts itself does not run inside of itself.
 */
import { type Clock, Effect, Result, Schedule } from "effect"
import type { SagaRegistry } from "../definition/SagaRegistry.ts"
import type { Definition } from "../definition/SagaStep.ts"
import type { SagaState } from "../execution/rules/SagaState.ts"
import { contextView } from "../execution/view/ContextView.ts"
import { SagaContextDecodeError } from "../execution/view/ExecutionErrors.ts"
import * as Execution from "../execution/view/SagaExecution.ts"
import { SagaExecution } from "../execution/view/SagaExecution.ts"
import { passedOn } from "../ports/RequestHeaders.ts"
import type { Hint, SagaExecutionRepository, SagaExecutionRetired } from "../ports/SagaExecutionRepository.ts"
import { contextHash, SagaExecutionNotFound } from "../ports/SagaExecutionRepository.ts"
import { started } from "./ExecutionInput.ts"
import { isUnavailable, notRenewed } from "./RecordFacts.ts"
import { differenceOf, startConflict } from "./StartConflict.ts"
import * as StoredInput from "./StoredInput.ts"
import type { Begun, Fate, StartedSagas } from "./steps/OtherSagas.ts"

interface Canceller {
  readonly actor: string
  readonly reason: string
}

export interface Options {
  readonly registry: SagaRegistry
  readonly repository: SagaExecutionRepository["Service"]
  readonly clock: Clock.Clock
  readonly service: string
  readonly transactional: boolean
  readonly takesPart: boolean
  readonly newUuid: StartedSagas["newUuid"]
  /** Nobody begins anything whose lease is over. */
  readonly isAlive: () => boolean
  /** The execution is stored: tells who may run it. `stored` undefined: by a write whose answer was lost, or by another process. */
  readonly tell: (execution: SagaExecution, stored: SagaExecution | undefined) => Effect.Effect<void>
  /** Cancels an execution, and waits a moment for its end. It may fail or be late: what became of it is looked at afterwards. */
  readonly cancel: (uuid: string, who: Canceller) => Effect.Effect<void>
}

/** 50 ms, doubled up to 2 s, for as long as the process lives. */
const whileAway = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")])

export const make = (self: Options): StartedSagas => ({
  newUuid: self.newUuid,
  begin: (saga, options) => begin(self, saga, options),
  undo: Effect.fnUntraced(function* (saga, options) {
    const before = yield* look(self, saga, options)
    if (before !== "cancellable") return before
    const { child, parent, step } = options
    const who = { actor: `${parent.creation.saga} ${parent.uuid}`, reason: `step ${step} is compensated` }
    yield* self.cancel(child.uuid, who)
    const after = yield* look(self, saga, options)
    return after === "cancellable" ? open : after
  })
})

const open: Fate = { _tag: "Open" }

/** Nobody has it and it is due at once: the first process that claims it runs it. */
const dueNow = ({ state }: SagaExecution): Hint => ({ wakeAt: state.updatedAt })

// ---- start -----------------------------------------------------------------------------------------------------

type Beginning = Parameters<StartedSagas["begin"]>[1]

/** The execution that the step asks for, not stored yet; or why it can never be. */
const created = (
  { clock, service, takesPart, transactional }: Options,
  saga: Definition,
  { child, isOver, parent, values: context }: Beginning
) => {
  const now = clock.currentTimeMillisUnsafe()
  const { startKey, uuid } = child
  const { user } = parent.creation
  const deadline = isOver ? new Date(now) : undefined
  const made = Execution.creation(saga, { context, uuid, user, startKey, deadline }, now)
  // Its transactions are its own, and not those of a request that the other one serves.
  const headers = passedOn(parent.start?.headers, user)
  return made instanceof SagaExecution
    ? started(made, { service, autocommit: true, transactional, takesPart, headers, now })
    : made
}

const begin = (self: Options, saga: Definition, options: Beginning): Effect.Effect<Begun, unknown> =>
  Effect.suspend(() => {
    const { isAlive, repository, tell } = self
    const execution = created(self, saga, options)
    if (!(execution instanceof SagaExecution)) return Effect.fail(execution)
    const { uuid } = execution
    const store = Effect.suspend(() =>
      isAlive() ? repository.store(execution, dueNow(execution)) : Effect.fail(notRenewed)
    )
    const own: Begun = { uuid, isOwn: true }
    return Effect.retry(store, { schedule: whileAway, while: isUnavailable }).pipe(
      Effect.flatMap((stored) => tell(execution, stored)),
      Effect.map(() => own),
      Effect.catchTags({
        SagaExecutionConflict: ({ existing = uuid }) =>
          existing === uuid
            ? Effect.map(tell(execution, undefined), () => own)
            : found(self, saga, options, execution, existing),
        SagaExecutionRetired: (retired) => retiredAs(execution, retired)
      })
    )
  })

/** The execution of another starter, if that has asked for the same. */
const found = (self: Options, saga: Definition, options: Beginning, mine: SagaExecution, uuid: string) =>
  Effect.retry(self.repository.load(uuid), { schedule: whileAway, while: isUnavailable }).pipe(
    Effect.flatMap((theirs): Effect.Effect<Begun, unknown> => {
      const difference = differenceOf(mine, theirs)
      return difference === undefined
        ? Effect.succeed({ uuid, isOwn: false })
        : Effect.fail(startConflict(mine, uuid, theirs.saga, difference))
    }),
    // It was removed meanwhile: the store says what is left of it.
    Effect.catchIf(
      (error) => error instanceof SagaExecutionNotFound,
      () => begin(self, saga, options)
    )
  )

/** The execution is over and no longer kept: it was there all the same. */
const retiredAs = (mine: SagaExecution, retired: SagaExecutionRetired): Effect.Effect<Begun, unknown> => {
  const { contextHash: theirs, saga, uuid } = retired
  if (uuid === mine.uuid) return Effect.succeed({ uuid, isOwn: true })
  if (saga !== mine.saga) return Effect.fail(startConflict(mine, uuid, saga, "saga"))
  return theirs === contextHash(mine)
    ? Effect.succeed({ uuid, isOwn: false })
    : Effect.fail(startConflict(mine, uuid, saga, "context"))
}

// ---- rollback --------------------------------------------------------------------------------------------------

type Undoing = Parameters<StartedSagas["undo"]>[1]

/** The fate of an execution as it is stored. What cannot be read now is looked at again. */
const look = (self: Options, saga: Definition, options: Undoing): Effect.Effect<Fate | "cancellable", unknown> =>
  self.repository.load(options.child.uuid).pipe(
    Effect.map((execution) => fateOf(self.registry, execution)),
    Effect.catchTags({
      SagaExecutionNotFound: () => lookAtGrave(self, saga, options),
      SagaExecutionRepositoryError: () => Effect.succeed(open)
    })
  )

const fateOf = (registry: SagaRegistry, { saga, state }: SagaExecution): Fate | "cancellable" => {
  const { alreadyRollback, decision, direction, parked, setAside, status, uuid } = state
  const isStuck = setAside === "parked" || parked.length > 0
  const stuck: Fate = { _tag: "Stuck", reason: `the execution ${uuid} of ${saga}, which it has started, is parked` }
  if (decision === "commit") {
    if (status === "finished") return { _tag: "Finished", ...contextOf(registry, state) }
    return isStuck ? stuck : open
  }
  if (direction === "forward") return setAside === "parked" ? stuck : "cancellable"
  if (status === "errored" && alreadyRollback) return { _tag: "Undone" }
  return setAside === "parked" || (status === "errored" && isStuck) ? stuck : open
}

/** The final context, where this program has the saga and can read it. */
const contextOf = (registry: SagaRegistry, { creation, root }: SagaState): { readonly context?: unknown } => {
  const known = registry.find(creation.saga, creation.fingerprint)
  const view = Result.isSuccess(known) ? contextView(known.success, root.context) : undefined
  return view === undefined || view instanceof SagaContextDecodeError ? {} : { context: view }
}

/**
 * The execution is no longer kept: a start under its name says how it has ended. One of which nothing is known is made, and ends
 * before its first step.
 */
const lookAtGrave = (self: Options, saga: Definition, options: Undoing): Effect.Effect<Fate, unknown> => {
  const execution = created(self, saga, { ...options, isOver: true })
  if (!(execution instanceof SagaExecution)) return Effect.fail(execution)
  return Effect.flatMap(self.repository.store(execution, dueNow(execution)), (stored) =>
    self.tell(execution, stored)
  ).pipe(
    Effect.as(open),
    Effect.catchTags({
      SagaExecutionRetired: ({ outcome, saga, uuid }) => Effect.succeed(fates(saga, uuid)[outcome]),
      SagaExecutionConflict: () => Effect.succeed(open),
      SagaExecutionRepositoryError: () => Effect.succeed(open)
    })
  )
}

const fates = (saga: string, uuid: string): { readonly [K in SagaExecutionRetired["outcome"]]: Fate } => ({
  committed: { _tag: "Finished" },
  rejected: { _tag: "Undone" },
  deleted: { _tag: "Stuck", reason: `the execution ${uuid} of ${saga}, which it has started, was deleted` }
})

// ---- cancel ----------------------------------------------------------------------------------------------------

/** Leaves the wish in the inbox of the execution, once: whoever can read that execution takes it. */
export const leaveCancel = Effect.fnUntraced(function* (
  { clock, repository }: Pick<Options, "clock" | "repository">,
  uuid: string,
  who: Canceller
) {
  const row = StoredInput.rowOf(uuid, { _tag: "Cancel", ...who }, clock.currentTimeMillisUnsafe())
  return yield* Effect.ignore(repository.submit({ ...row, id: `cancel:${who.actor}` }))
})
