/**
 * The composition of the folds: decide, perform, record, repeat. A runner takes an execution as far as it can go by
 * itself: to its end, or to where it waits for a reply or a time. Facts are stored before anything they announce
 * happens (SPEC W1, W7); the result of a step and the intent of the next one are one write.
 */
import { Clock, Context, Deferred, Effect, Exit, Layer, Queue, Ref, Result, Schedule, Schema } from "effect"
import type { AnyCommitted, Services } from "../definition/Saga.ts"
import type { SagaResponse } from "../definition/SagaMessage.ts"
import * as SagaRegistry from "../definition/SagaRegistry.ts"
import type { Definition } from "../definition/SagaStep.ts"
import type { Envelope } from "../execution/Envelope.ts"
import { check, type Json } from "../execution/Json.ts"
import * as Decision from "../execution/SagaDecision.ts"
import type { SagaEvent } from "../execution/SagaEvent.ts"
import * as Execution from "../execution/SagaExecution.ts"
import { SagaExecution } from "../execution/SagaExecution.ts"
import { SagaContextEncodeError, SagaFailedCommitCallback, type SagaSystemError } from "../execution/SagaFailure.ts"
import { evolve } from "../execution/SagaState.ts"
import * as Trigger from "../execution/SagaTrigger.ts"
import * as Broker from "../ports/Broker.ts"
import {
  type SagaExecutionConflict,
  type SagaExecutionNotFound,
  SagaExecutionRepository,
  type SagaExecutionRepositoryError,
  type SagaExecutionRetired
} from "../ports/SagaExecutionRepository.ts"
import { TransactionCommitter } from "../ports/TransactionCommitter.ts"
import * as Executor from "./Executor.ts"
import * as Inbox from "./Inbox.ts"
import { RequestContext } from "./RequestContext.ts"
import { SagaConfig } from "./SagaConfig.ts"

/** What can go wrong with the record of an execution. */
export type StorageError =
  | SagaExecutionConflict
  | SagaExecutionNotFound
  | SagaExecutionRetired
  | SagaExecutionRepositoryError

/** The execution failed and was undone as far as possible: `cause` is the first failure, `later` those of undoing. */
export class SagaFailedExecution<E = unknown> extends Schema.TaggedError<SagaFailedExecution<any>>()(
  "SagaFailedExecution",
  {
    uuid: Schema.String,
    saga: Schema.String,
    /** The error a step declares, or a `SagaSystemError`. */
    cause: Schema.Unknown,
    later: Schema.Array(Schema.Unknown),
    /** Paths of steps whose undoing needs a person; empty: everything is undone. */
    parked: Schema.Array(Schema.String),
    execution: Schema.instanceOf(SagaExecution)
  }
) {
  declare readonly cause: E
  override get message(): string {
    const tag = (error: unknown) =>
      typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : String(error)
    const parked = this.parked.length === 0 ? "" : `; parked: ${this.parked.join(", ")}`
    return `Saga ${this.saga} (${this.uuid}) failed: ${tag(this.cause)}${parked}`
  }
}

/** The family of a failed execution: the whole, a step of it, or the agreement of its participants. */
export const isSagaFailedExecution = (
  error: unknown
): error is
  | SagaFailedExecution
  | Extract<SagaSystemError, { readonly _tag: "SagaFailedExecutionStep" | "SagaFailedCommitCallback" }> =>
  typeof error === "object" &&
  error !== null &&
  "_tag" in error &&
  ["SagaFailedExecution", "SagaFailedExecutionStep", "SagaFailedCommitCallback"].includes(String(error._tag))

export const failureOf = (execution: SagaExecution): SagaFailedExecution =>
  new SagaFailedExecution({
    uuid: execution.uuid,
    saga: execution.saga,
    cause: execution.cause,
    later: [...execution.later],
    parked: [...execution.parked],
    execution
  })

// ---- driving ---------------------------------------------------------------------------------------------------

export interface Driven {
  readonly execution: SagaExecution
  /** When to look again although nothing happened; `Infinity`: never. */
  readonly wakeAt: number
}

/**
 * Takes an execution as far as it goes. `since`: when it was looked at last (`-Infinity` after a restart).
 * A conflict on the first write fails; on a later one the newer state is loaded and the work goes on from there.
 */
export type Drive = (
  execution: SagaExecution,
  since: number,
  inbox: Inbox.Inbox
) => Effect.Effect<Driven, StorageError>

/** 50 ms, doubled up to 2 s, ten times (SPEC C8). */
const untilStored = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")]).pipe(
  Schedule.upTo({ times: 10 })
)

/** 1 s, doubled up to 5 minutes, for as long as it takes (SPEC C8: commit, reject). */
const untilTold = Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("5 minutes")])

export const makeDrive = Effect.fnUntraced(function* (
  onStored: (execution: SagaExecution, facts: ReadonlyArray<SagaEvent>) => void
): Effect.fn.Return<Drive, never, SagaExecutionRepository | Broker.Broker | TransactionCommitter | SagaConfig> {
  const repository = yield* SagaExecutionRepository
  const broker = yield* Broker.Broker
  const committer = yield* TransactionCommitter
  const { service, settings } = yield* SagaConfig

  const publish = (message: Envelope, command: string | undefined): Effect.Effect<void> =>
    // Not a failure of anything: the message is stored and sent again until it is answered.
    Effect.catch(broker.publish(Broker.toMessage(message, command)), (error) =>
      Effect.logWarning("A saga message could not be published now", { id: message.id, reason: error.reason })
    )

  const persist = (execution: SagaExecution) =>
    Effect.catchTag(repository.store(execution), "SagaExecutionRepositoryError", (error) =>
      error.reason === "unavailable" ? Effect.retry(repository.store(execution), untilStored) : Effect.fail(error)
    )

  /** One write, and then what it announces. */
  const record = Effect.fnUntraced(function* (execution: SagaExecution) {
    const facts = Execution.unstored(execution)
    const stored = yield* persist(execution)
    onStored(stored, facts)
    for (const fact of facts) {
      if (fact._tag === "RequestSent" || fact._tag === "ProbeSent" || fact._tag === "CompensationSent") {
        yield* publish(fact.message, fact.command)
      }
    }
    return stored
  })

  /** The newest state with those of my facts that it still admits, or undefined where somebody else drives it. */
  const rebase = Effect.fnUntraced(function* (mine: SagaExecution, definition: Definition, inbox: Inbox.Inbox) {
    const loaded = yield* repository.load(mine.uuid)
    const latest = Execution.bind(loaded, definition)
    const rebased = Execution.unstored(mine).reduce(Execution.evolve, latest)
    const goesOn = rebased !== latest || inbox.overtaken
    inbox.overtaken = false
    return { execution: rebased, goesOn }
  })

  const perform = (run: Executor.Run, instruction: Decision.Instruction): Effect.Effect<ReadonlyArray<SagaEvent>> => {
    switch (instruction._tag) {
      case "RunStep":
        return Executor.runStep(run, instruction)
      case "Compensate":
        return Executor.compensate(run, instruction)
      case "BuildRequest":
        return Executor.buildRequest(run, instruction)
      case "Choose":
        return Executor.choose(run, instruction)
      case "MapContext":
        return Executor.mapContext(run, instruction)
      case "HandleReply":
        return Executor.handleReply(run, instruction)
      case "BuildProbe":
        return Executor.buildProbe(run, instruction)
      case "BuildCompensation":
        return Executor.buildCompensation(run, instruction)
      case "Resend":
        return Effect.as(publish(instruction.sent.message, instruction.sent.command), [])
      case "Reserve":
        return reserve(run)
      case "Commit":
        return tell(run, committer.commit, "committed")
      case "Reject":
        return tell(run, committer.reject, "rejected")
    }
  }

  const transactionOf = ({ state }: Executor.Run) => ({ uuid: state.uuid, services: [...state.enrolled].sort() })

  const reserve = Effect.fnUntraced(function* (run: Executor.Run): Effect.fn.Return<ReadonlyArray<SagaEvent>> {
    const vote = yield* Effect.result(committer.reserve(transactionOf(run)))
    const at = yield* Clock.currentTimeMillis
    return Result.isSuccess(vote)
      ? [{ _tag: "CommitDecided", at }]
      : [{ _tag: "RollbackStarted", failure: { _tag: "CommitFailed", reason: vote.failure.reason }, at }]
  })

  const tell = Effect.fnUntraced(function* (
    run: Executor.Run,
    operation: typeof committer.commit,
    state: "committed" | "rejected"
  ): Effect.fn.Return<ReadonlyArray<SagaEvent>> {
    yield* Effect.retry(operation(transactionOf(run)), untilTold).pipe(Effect.orDie) // the schedule never ends
    return [{ _tag: "TransactionSettled", state, at: yield* Clock.currentTimeMillis }]
  })

  return Effect.fnUntraced(function* (initial, since, inbox) {
    const definition = initial.definition
    if (definition === undefined)
      return yield* Effect.die(new Error(`execution ${initial.uuid} is not bound to its saga`))
    const clock = yield* Clock.Clock
    let execution = initial
    let seen = since
    let judged: ReadonlyArray<Inbox.Judged> = []
    let flights: Flights | undefined

    while (true) {
      const now = clock.currentTimeMillisUnsafe()
      if (inbox.triggers.length > 0) {
        const looked = look(execution, definition, inbox, now)
        execution = looked.execution
        judged = judged.length === 0 ? looked.judged : [...judged, ...looked.judged]
      }
      const advanced = Decision.advance(execution.state, definition, now, seen, settings)
      if (advanced.state !== execution.state) execution = new SagaExecution(advanced.state, definition)
      seen = now
      const { instructions, wakeAt } = advanced.decision
      const work = flights === undefined ? instructions : instructions.filter((each) => !flights!.keys.has(keyOf(each)))

      if (work.length === 0 || work.some(Decision.needsIntent)) {
        if (execution.state.unstored > 0) {
          const mine = execution
          const stored = yield* Effect.result(record(mine))
          if (Result.isFailure(stored)) {
            if (stored.failure._tag !== "SagaExecutionConflict" || mine.revision === 0) {
              abandon(judged, inbox, stored.failure)
              return yield* Effect.fail(stored.failure)
            }
            const rebased = yield* rebase(mine, definition, inbox)
            // What was judged on the old state is judged again on the new one.
            inbox.triggers.unshift(...judged.map(({ trigger }) => trigger))
            judged = []
            if (!rebased.goesOn && inbox.triggers.length === 0)
              return { execution: rebased.execution, wakeAt: Number.POSITIVE_INFINITY }
            execution = rebased.execution
            continue
          }
          execution = stored.success
        }
        if (judged.length > 0) {
          Inbox.complete(judged, execution)
          judged = []
        }
        if (inbox.triggers.length > 0) continue
      }

      if (work.length === 0) {
        if (flights === undefined || flights.keys.size === 0) return { execution, wakeAt }
        execution = yield* land(flights, inbox, execution)
      } else if (work.length === 1 && (flights === undefined || flights.keys.size === 0)) {
        const facts = yield* perform({ definition, state: execution.state, settings, service }, work[0]!)
        execution = facts.reduce(Execution.evolve, execution)
      } else {
        flights = flights ?? { keys: new Set(), landed: yield* Queue.unbounded<Landed>() } // at most one per step under way
        for (const instruction of work) {
          yield* takeOff(
            flights,
            keyOf(instruction),
            perform({ definition, state: execution.state, settings, service }, instruction)
          )
        }
        execution = yield* land(flights, inbox, execution)
      }
    }
  })
})

/** Judges what waits in the inbox against the state as it is. */
const look = (
  execution: SagaExecution,
  definition: Definition,
  inbox: Inbox.Inbox,
  now: number
): { readonly execution: SagaExecution; readonly judged: ReadonlyArray<Inbox.Judged> } => {
  let { state } = execution
  const judged = inbox.triggers.splice(0).map((trigger): Inbox.Judged => {
    const verdict = trigger.judge(state, definition, now)
    if (Result.isFailure(verdict)) return { trigger, refused: Result.fail(verdict.failure) }
    state = verdict.success.reduce(evolve, state)
    return { trigger, refused: Result.void }
  })
  return { execution: state === execution.state ? execution : new SagaExecution(state, definition), judged }
}

const abandon = (judged: ReadonlyArray<Inbox.Judged>, inbox: Inbox.Inbox, error: unknown): void =>
  Inbox.abandon([...judged.map(({ trigger }) => trigger), ...inbox.triggers.splice(0)], Exit.fail(error))

// ---- several pieces of work at once ----------------------------------------------------------------------------

interface Landed {
  readonly key: string | undefined
  readonly exit: Exit.Exit<ReadonlyArray<SagaEvent>>
}

interface Flights {
  readonly keys: Set<string>
  readonly landed: Queue.Queue<Landed>
}

const keyOf = (instruction: Decision.Instruction): string => `${instruction._tag}:${instruction.path}`

const takeOff = (flights: Flights, key: string, work: Effect.Effect<ReadonlyArray<SagaEvent>>) => {
  flights.keys.add(key)
  return Effect.forkChild(
    Effect.flatMap(Effect.exit(work), (exit) => Queue.offer(flights.landed, { key, exit })),
    { startImmediately: true }
  )
}

/** Waits for the first work that ends, or for a trigger. */
const land = Effect.fnUntraced(function* (flights: Flights, inbox: Inbox.Inbox, execution: SagaExecution) {
  inbox.notify = () => Queue.offerUnsafe(flights.landed, { key: undefined, exit: Exit.succeed([]) })
  if (inbox.triggers.length > 0) inbox.notify()
  const { exit, key } = yield* Queue.take(flights.landed)
  inbox.notify = undefined
  if (key !== undefined) flights.keys.delete(key)
  return (yield* exit).reduce(Execution.evolve, execution)
})

// ---- by hand ---------------------------------------------------------------------------------------------------

export interface ExecuteOptions {
  readonly response?: SagaResponse
  readonly autocommit?: boolean
}

/**
 * Control by hand: every operation stores, and gives the execution as it is afterwards; a pause is a value with status
 * `paused`. Nobody else takes replies for it: for that there is `SagaManager`.
 */
export class SagaRunner extends Context.Service<
  SagaRunner,
  {
    /** Runs to the end or to the next pause; with a response from the pause on. */
    readonly execute: (
      execution: SagaExecution,
      options?: ExecuteOptions
    ) => Effect.Effect<
      SagaExecution,
      | SagaFailedExecution
      | SagaContextEncodeError
      | Trigger.SagaExecutionAlreadyExecuted
      | Trigger.SagaResponseAmbiguous
      | SagaRegistry.SagaDefinitionDrift
      | StorageError
    >
    /** Agrees with all participants; a second time changes nothing. */
    readonly commit: (
      execution: SagaExecution
    ) => Effect.Effect<
      SagaExecution,
      | Trigger.SagaExecutionNotFinished
      | Trigger.SagaAlreadyDecided
      | SagaFailedCommitCallback
      | SagaRegistry.SagaDefinitionDrift
      | StorageError
    >
    /** Undoes what is not decided, and tells all participants; a second time changes nothing. */
    readonly reject: (
      execution: SagaExecution
    ) => Effect.Effect<SagaExecution, Trigger.SagaAlreadyDecided | SagaRegistry.SagaDefinitionDrift | StorageError>
    /** Undoes what is not decided; once. */
    readonly rollback: (
      execution: SagaExecution
    ) => Effect.Effect<SagaExecution, Trigger.SagaRollbackExecution | SagaRegistry.SagaDefinitionDrift | StorageError>
  }
>()("effect-saga/SagaRunner") {}

/** The saga's own JSON of what a trusted caller hands in. */
export const responseContent = (content: unknown): Json | undefined | SagaContextEncodeError => {
  if (content === undefined) return undefined
  const checked = check(content)
  return typeof checked === "number"
    ? (content as Json) // `check` has walked it
    : new SagaContextEncodeError({ path: "", step: "", issue: checked.message })
}

/** The fact that starts an execution, with what the request it serves hands on. */
export const starting = (
  self: SagaExecution,
  options: {
    readonly service: string
    readonly autocommit: boolean
    readonly transactional: boolean
    readonly headers: Readonly<Record<string, string>> | undefined
    readonly now: number
  }
): SagaExecution => {
  const { autocommit, headers, now, service, transactional } = options
  return Execution.evolve(self, {
    _tag: "ExecutionStarted",
    service,
    autocommit,
    transactional,
    ...(headers !== undefined && { headers }),
    at: now
  })
}

const make = Effect.fnUntraced(function* (sagas: ReadonlyArray<AnyCommitted>) {
  const registry = yield* Effect.fromResult(SagaRegistry.make(sagas))
  const { relatedServices, service, settings } = yield* SagaConfig
  const committer = yield* TransactionCommitter
  const drive = yield* makeDrive(() => undefined)
  const services = yield* Effect.context<never>()
  const policy: Trigger.Policy = { settings, ...(relatedServices !== undefined && { relatedServices }) }

  /** Drives with one trigger; what the trigger refuses is the error. */
  const apply = Effect.fnUntraced(function* <R>(
    execution: SagaExecution,
    judge: Inbox.Trigger["judge"] | undefined
  ): Effect.fn.Return<SagaExecution, R | SagaRegistry.SagaDefinitionDrift | StorageError> {
    const definition =
      execution.definition ?? (yield* Effect.fromResult(registry.find(execution.saga, execution.state.fingerprint)))
    const bound = Execution.bind(execution, definition)
    const now = yield* Clock.currentTimeMillis
    const trigger = judge === undefined ? undefined : Inbox.trigger(judge)
    const driven = yield* Effect.provideContext(
      drive(bound, now, Inbox.make(trigger === undefined ? [] : [trigger])),
      services
    )
    // The refusal has the type that `judge` refuses with; the inbox holds triggers of every kind.
    if (trigger !== undefined) yield* Deferred.await(trigger.done) as Effect.Effect<SagaExecution, R>
    return driven.execution
  })

  const failed = (execution: SagaExecution): Effect.Effect<SagaExecution, SagaFailedExecution> =>
    execution.status === "errored" ? Effect.fail(failureOf(execution)) : Effect.succeed(execution)

  return SagaRunner.of({
    execute: Effect.fnUntraced(function* (execution, options = {}) {
      const { autocommit, response } = options
      if (execution.status === "created") {
        const { headers } = yield* RequestContext
        const now = yield* Clock.currentTimeMillis
        const started = starting(execution, {
          service,
          autocommit: autocommit ?? true,
          transactional: committer.enrols,
          headers: headers === undefined ? undefined : yield* Ref.get(headers),
          now
        })
        return yield* Effect.flatMap(apply<never>(started, undefined), failed)
      }
      const isOver = execution.status === "finished" || execution.status === "errored"
      if (isOver && (response === undefined || execution.status === "finished")) {
        return yield* new Trigger.SagaExecutionAlreadyExecuted({ uuid: execution.uuid, status: execution.status })
      }
      if (response === undefined) return yield* Effect.flatMap(apply<never>(execution, undefined), failed)
      const judge = yield* resuming(response, autocommit, policy)
      const next = yield* apply<Trigger.SagaExecutionAlreadyExecuted | Trigger.SagaResponseAmbiguous>(execution, judge)
      return execution.status === "errored" ? next : yield* failed(next)
    }),
    commit: Effect.fnUntraced(function* (execution) {
      const next = yield* apply<Trigger.SagaExecutionNotFinished | Trigger.SagaAlreadyDecided>(
        execution,
        (state, _, now) => Trigger.commit(state, now)
      )
      return next.cause instanceof SagaFailedCommitCallback ? yield* Effect.fail(next.cause) : next
    }),
    reject: (execution) => apply<Trigger.SagaAlreadyDecided>(execution, (state, _, now) => Trigger.reject(state, now)),
    rollback: (execution) =>
      apply<Trigger.SagaRollbackExecution>(execution, (state, _, now) => Trigger.rollback(state, now))
  })
})

/** The trigger of a trusted response, with the wish for another way of ending. */
export const resuming = Effect.fnUntraced(function* (
  response: SagaResponse,
  autocommit: boolean | undefined,
  policy: Trigger.Policy
) {
  const content = responseContent(response.content)
  if (content instanceof SagaContextEncodeError) return yield* content
  return (
    state: SagaExecution["state"],
    definition: Definition,
    now: number
  ): Trigger.Verdict<Trigger.SagaExecutionAlreadyExecuted | Trigger.SagaResponseAmbiguous> => {
    const answer = {
      status: response.status,
      ...(content !== undefined && { content }),
      relatedServices: response.relatedServices,
      ...(response.requestId !== undefined && { requestId: response.requestId })
    }
    return Result.map(Trigger.response(state, definition, answer, now, policy), (facts) =>
      autocommit === undefined || autocommit === state.autocommit || facts.length === 0
        ? facts
        : [{ _tag: "AutocommitChanged", autocommit, at: now } as const, ...facts]
    )
  }
})

/** A runner for the given sagas. Requires every service that their steps use. */
export const layer = <const Sagas extends ReadonlyArray<AnyCommitted>>(
  sagas: Sagas
): Layer.Layer<
  SagaRunner,
  SagaRegistry.SagaInvalid,
  SagaExecutionRepository | Broker.Broker | TransactionCommitter | SagaConfig | Services<Sagas[number]>
> => Layer.effect(SagaRunner, make(sagas))
