/**
 * The composition of the folds: decide, perform, record, repeat. A drive takes an execution as far as it can go by
 * itself: to its end, or to where it waits for a reply or a time. Facts are stored before anything they announce
 * happens (SPEC W1, W7); the result of a step and the intent of the next one are one write.
 */
import { Clock, Effect, Exit, Queue, Result, Schedule } from "effect"
import type { Definition } from "../definition/SagaStep.ts"
import type { Envelope } from "../execution/Envelope.ts"
import * as Decision from "../execution/SagaDecision.ts"
import type { SagaEvent } from "../execution/SagaEvent.ts"
import * as Execution from "../execution/SagaExecution.ts"
import { SagaExecution } from "../execution/SagaExecution.ts"
import { evolve } from "../execution/SagaState.ts"
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
import * as RequestExecutor from "./RequestExecutor.ts"
import { SagaConfig } from "./SagaConfig.ts"

/** What can go wrong with the record of an execution. */
export type StorageError =
  | SagaExecutionConflict
  | SagaExecutionNotFound
  | SagaExecutionRetired
  | SagaExecutionRepositoryError

export interface Driven {
  readonly execution: SagaExecution
  /** When to look again although nothing happened; `Infinity`: never. */
  readonly wakeAt: number
}

/**
 * Takes an execution as far as it goes. `since`: when it was looked at last (`-Infinity` after a restart).
 * A conflict on the first write fails; on a later one the newer state is loaded and the work goes on from there.
 */
export type Drive = (execution: SagaExecution, since: number, inbox: Inbox.Inbox) => Effect.Effect<Driven, StorageError>

/** 50 ms, doubled up to 2 s, ten times (SPEC C8). */
const untilStored = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")]).pipe(
  Schedule.upTo({ times: 10 })
)

/** 1 s, doubled up to 5 minutes, for as long as it takes (SPEC C8: commit, reject). */
const untilTold = Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("5 minutes")])

export const make = Effect.fnUntraced(function* (
  /** Called after each write with the execution before and after it. */
  onStored: (written: SagaExecution, stored: SagaExecution) => void
): Effect.fn.Return<Drive, never, SagaExecutionRepository | Broker.Broker | TransactionCommitter | SagaConfig> {
  const repository = yield* SagaExecutionRepository
  const broker = yield* Broker.Broker
  const committer = yield* TransactionCommitter
  const { service, settings } = yield* SagaConfig

  const publish = (message: Envelope, command: string | undefined) => RequestExecutor.publish(broker, message, command)

  /** One write. Its failure is a value: most failures are handled where the write is asked for. */
  const record = (execution: SagaExecution): Effect.Effect<SagaExecution | Unrecorded> =>
    Effect.catch(repository.store(execution), (error) =>
      isUnavailable(error)
        ? repository.store(execution).pipe(
            Effect.retry({ schedule: untilStored, while: isUnavailable }),
            Effect.catch((last) => Effect.succeed(new Unrecorded(last)))
          )
        : Effect.succeed(new Unrecorded(error))
    )

  /** What a write announces is sent once it is stored. Most writes announce nothing. */
  const announce = (written: SagaExecution): Effect.Effect<void> | undefined => {
    const messages = Execution.unstoredMessages(written)
    return messages === undefined
      ? undefined
      : Effect.forEach(messages, ({ command, message }) => publish(message, command), { discard: true })
  }

  /** The newest state with those of my facts that it still admits; whether it is mine to go on with. */
  const rebase = Effect.fnUntraced(function* (mine: SagaExecution, definition: Definition, inbox: Inbox.Inbox) {
    const latest = Execution.bind(yield* repository.load(mine.uuid), definition)
    const execution = Execution.unstored(mine).reduce(Execution.evolve, latest)
    // Facts that count make me its owner; without any, somebody else drives it.
    const goesOn = execution !== latest || inbox.overtaken
    inbox.overtaken = false
    return { execution, goesOn }
  })

  const perform = (run: Executor.Run, instruction: Decision.Instruction): Effect.Effect<ReadonlyArray<SagaEvent>> => {
    switch (instruction._tag) {
      case "Resend":
        return Effect.as(publish(instruction.sent.message, instruction.sent.command), [])
      case "Reserve":
        return reserve(run)
      case "Commit":
        return tell(run, committer.commit, "committed")
      case "Reject":
        return tell(run, committer.reject, "rejected")
      default:
        return Executor.perform(run, instruction)
    }
  }

  const transactionOf = ({ state }: Executor.Run) => ({ uuid: state.uuid, services: [...state.enrolled].sort() })

  const reserve = Effect.fnUntraced(function* (run: Executor.Run): Effect.fn.Return<ReadonlyArray<SagaEvent>> {
    const vote = yield* Effect.result(committer.reserve(transactionOf(run)))
    const at = run.clock.currentTimeMillisUnsafe()
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
    return [{ _tag: "TransactionSettled", state, at: run.clock.currentTimeMillisUnsafe() }]
  })

  return Effect.fnUntraced(function* (initial, since, inbox) {
    const definition = initial.definition
    if (definition === undefined) {
      return yield* Effect.die(new Error(`execution ${initial.uuid} is not bound to its saga`))
    }
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
        judged = [...judged, ...looked.judged]
      }
      const advanced = Decision.advance(execution.state, definition, now, seen, settings)
      if (advanced.state !== execution.state) execution = new SagaExecution(advanced.state, definition)
      seen = now
      const { instructions, wakeAt } = advanced.decision
      const work = flights === undefined ? instructions : flights.notUnderWay(instructions)

      if (work.length === 0 || work.some(Decision.needsIntent)) {
        if (execution.state.unstored > 0) {
          const recorded = yield* record(execution)
          if (recorded instanceof Unrecorded) {
            if (recorded.error._tag !== "SagaExecutionConflict" || execution.revision === 0) {
              abandon(judged, inbox, recorded.error)
              return yield* Effect.fail(recorded.error)
            }
            const rebased = yield* rebase(execution, definition, inbox)
            // What was judged on the old state is judged again on the new one.
            inbox.triggers.unshift(...judged.map(({ trigger }) => trigger))
            judged = []
            execution = rebased.execution
            if (!rebased.goesOn && inbox.triggers.length === 0) {
              return { execution, wakeAt: Number.POSITIVE_INFINITY }
            }
            continue
          }
          onStored(execution, recorded)
          const announced = announce(execution)
          execution = recorded
          if (announced !== undefined) yield* announced
        }
        if (judged.length > 0) {
          Inbox.complete(judged, execution)
          judged = []
        }
        if (inbox.triggers.length > 0) continue
      }

      if (flights === undefined || flights.isEmpty) {
        const [only, ...others] = work
        if (only === undefined) return { execution, wakeAt }
        if (others.length === 0) {
          const facts = yield* perform({ definition, state: execution.state, settings, service, clock }, only)
          execution = facts.reduce(Execution.evolve, execution)
          continue
        }
      }
      flights ??= new Flights(yield* Queue.unbounded<Landed>()) // holds at most one entry per step under way
      const run = { definition, state: execution.state, settings, service, clock }
      for (const instruction of work) yield* flights.takeOff(instruction, perform(run, instruction))
      const facts = yield* flights.land(inbox)
      execution = facts.reduce(Execution.evolve, execution)
    }
  })
})

class Unrecorded {
  readonly error: SagaExecutionConflict | SagaExecutionRetired | SagaExecutionRepositoryError
  constructor(error: Unrecorded["error"]) {
    this.error = error
  }
}

const isUnavailable = (error: Unrecorded["error"]): boolean =>
  error._tag === "SagaExecutionRepositoryError" && error.reason === "unavailable"

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

interface Landed {
  /** Absent: nothing has landed, a trigger waits. */
  readonly key: string | undefined
  readonly exit: Exit.Exit<ReadonlyArray<SagaEvent>>
}

/** Several pieces of work at once, each of them once. */
class Flights {
  private readonly keys = new Set<string>()
  private readonly landed: Queue.Queue<Landed>

  constructor(landed: Queue.Queue<Landed>) {
    this.landed = landed
  }

  get isEmpty(): boolean {
    return this.keys.size === 0
  }

  notUnderWay(instructions: ReadonlyArray<Decision.Instruction>): ReadonlyArray<Decision.Instruction> {
    return instructions.filter((instruction) => !this.keys.has(keyOf(instruction)))
  }

  takeOff(instruction: Decision.Instruction, work: Effect.Effect<ReadonlyArray<SagaEvent>>) {
    const key = keyOf(instruction)
    this.keys.add(key)
    const flight = Effect.flatMap(Effect.exit(work), (exit) => Queue.offer(this.landed, { key, exit }))
    return Effect.forkChild(flight, { startImmediately: true })
  }

  /** Waits for the first work that ends, or for a trigger. */
  land(inbox: Inbox.Inbox): Effect.Effect<ReadonlyArray<SagaEvent>> {
    inbox.notify = () => Queue.offerUnsafe(this.landed, { key: undefined, exit: Exit.succeed([]) })
    if (inbox.triggers.length > 0) inbox.notify()
    return Effect.flatMap(Queue.take(this.landed), ({ exit, key }) => {
      inbox.notify = undefined
      if (key !== undefined) this.keys.delete(key)
      return exit
    })
  }
}

const keyOf = (instruction: Decision.Instruction): string => `${instruction._tag}:${instruction.path}`
