/**
 * Queues of a repository: limits that all processes share, and the places of executions (SPEC C13). Part of a repository whose
 * processes share queues: memory and SQL.
 */
import { Effect } from "effect"
import { isWanted } from "../execution/rules/QueuePlace.ts"
import type { SagaEvent } from "../execution/rules/SagaEvent.ts"
import { isSettled, type SagaState } from "../execution/rules/SagaState.ts"
import { type ClaimRequest, dueFrom, type KeptExecution } from "./Leases.ts"
import type { Queued, QueueLimits, QueueMemory } from "./QueueAdmission.ts"
import * as QueueAdmission from "./QueueAdmission.ts"
import type { SagaExecutionRepositoryError } from "./RepositoryErrors.ts"

export type { Queued, QueueLimits, Rate } from "./QueueAdmission.ts"

/** A queue as people see it. */
export interface QueueStatus {
  readonly queue: string
  /** As they stand in the repository: those of the program, or as a person has changed them. */
  readonly limits: QueueLimits
  /** Those of the program that was the last to bring others than the one before. */
  readonly declared: QueueLimits
  /** New executions that wait for a place. Counted up to `maxCounted`. */
  readonly queued: number
  /** Executions that wait for a place to go on. */
  readonly again: number
  /** Places that are held. */
  readonly held: number
}

/** A place that an execution has left, and wants again. */
export interface WantedAgain extends Pick<Queued, "uuid" | "queue" | "key" | "priority" | "since"> {
  readonly fingerprint: string
  /** As the execution is stored: what another instance has written since stands. */
  readonly revision: number
  /** The instance that has the execution. */
  readonly owner: string
}

/** Rows of one kind that are counted in one queue: then it means that many or more. */
export const maxCounted = 1_000

export interface SagaQueues {
  /**
   * Brings the limits of a program. They become those of the queue where it is new, or where another program has brought others
   * before: so the limits of a person last until a program with new ones comes. Gives the limits that hold.
   */
  readonly declare: (queue: string, limits: QueueLimits) => Effect.Effect<QueueLimits, SagaExecutionRepositoryError>
  /** Changes the limits of a queue. What runs goes on. False: there is no such queue. */
  readonly limit: (queue: string, limits: QueueLimits) => Effect.Effect<boolean, SagaExecutionRepositoryError>
  readonly list: Effect.Effect<ReadonlyArray<QueueStatus>, SagaExecutionRepositoryError>
  /** How many more new executions may wait in a queue; 0 where there is no such queue. */
  readonly room: (queue: string) => Effect.Effect<number, SagaExecutionRepositoryError>
  /**
   * Gives an execution its place again at once, where one is free that no other execution wants again. The next write of its owner says so. False:
   * nothing has changed, and the execution has to wait for an admission. Without this each wait would cost two more writes.
   */
  readonly regain: (wanted: WantedAgain) => Effect.Effect<boolean, SagaExecutionRepositoryError>
}

/** Whether the place is another one's from now on: what is parked during the rollback waits for a person. */
const isOver = (self: SagaState): boolean => self.status === "errored" || isSettled(self)

/** The place of an execution as a row; undefined: it neither has nor wants one. */
export const rowOf = (state: SagaState): Queued | undefined => {
  const { place, uuid } = state
  if (place === undefined || isOver(state) || (place.status !== "held" && !isWanted(state))) return undefined
  const { isAgain, key, priority, queue, since, status } = place
  return { uuid, queue, key, priority, since, status: status === "held" ? "held" : isAgain ? "again" : "new" }
}

/** Facts that change the row by hand of the owner. An admission changes it before `PlaceTaken`. */
const changing: ReadonlySet<SagaEvent["_tag"]> = new Set([
  "QueueEntered",
  "PlaceLeft",
  "PlaceWanted",
  "RollbackStarted",
  "StepFailed",
  "ExecutionErrored",
  "TransactionSettled"
])

/** What a write makes of the row: another row, none (`null`), or nothing new. */
export const changeOf = (state: SagaState): Queued | null | undefined => {
  if (state.place === undefined) return undefined
  let node = state.history
  for (let left = state.unstored; left > 0 && node !== undefined; left--, node = node.tail) {
    if (!changing.has(node.head._tag)) continue
    const row = rowOf(state)
    return row === undefined ? null : row.status === "held" ? undefined : row
  }
  return undefined
}

/** The id of the input by which an execution gets its place. */
export const admissionId = (since: number): string => `place:${since}`

/** That input, encoded. */
export const admissionInput = (since: number) => ({ _tag: "Admit", since })

/** An execution that the memory store keeps. */
interface Admissible extends Pick<KeptExecution, "state"> {
  inbox: KeptExecution["inbox"]
  hint: KeptExecution["hint"]
}

// ---- memory ----------------------------------------------------------------------------------------------------

interface KeptQueue {
  limits: QueueLimits
  declared: QueueLimits
  memory: QueueMemory
}

/** The queues of a repository in the memory of this process. */
export class MemoryQueues {
  private readonly queues = new Map<string, KeptQueue>()
  private readonly places = new Map<string, Queued>()

  copy(): MemoryQueues {
    const copy = new MemoryQueues()
    for (const [name, queue] of this.queues) copy.queues.set(name, { ...queue })
    for (const [uuid, place] of this.places) copy.places.set(uuid, place)
    return copy
  }

  /** After a write. An admission that the writer has not read stands. */
  write(state: SagaState): void {
    const change = changeOf(state)
    if (change === null) this.places.delete(state.uuid)
    else if (change !== undefined) this.places.set(state.uuid, change)
  }

  remove(uuid: string): void {
    this.places.delete(uuid)
  }

  /**
   * Gives places to executions that wait for one, of those that the instance can run, so that its claim finds them. Gives the time at
   * which a rate lets more of them in.
   */
  admit(kept: Pick<ReadonlyMap<string, Admissible>, "get">, { fingerprints, limit, now }: ClaimRequest): number {
    let [left, nextAt] = [limit, Number.POSITIVE_INFINITY]
    if (this.places.size === 0) return nextAt
    const isKnown = (uuid: string) => fingerprints?.includes(kept.get(uuid)!.state.creation.fingerprint) !== false
    for (const [name, queue] of this.queues) {
      const places = this.of(name).filter(({ status, uuid }) => status === "held" || isKnown(uuid))
      const found = QueueAdmission.admit(queue.limits, queue.memory, places, left, now)
      nextAt = Math.min(nextAt, found.nextAt)
      if (found.admitted.length === 0) continue
      queue.memory = found.memory
      left -= found.admitted.length
      for (const place of found.admitted) this.give(place, kept.get(place.uuid)!, now)
    }
    return nextAt
  }

  private give(place: Queued, execution: Admissible, now: number): void {
    const { since, uuid } = place
    const id = admissionId(since)
    this.places.set(uuid, { ...place, status: "held" })
    execution.inbox = new Map(execution.inbox).set(id, { uuid, id, input: admissionInput(since), at: now })
    execution.hint = dueFrom(execution.hint, now)
  }

  private of(queue: string): ReadonlyArray<Queued> {
    return [...this.places.values()].filter((place) => place.queue === queue)
  }

  /** As in the port. */
  private regain({ owner, revision, ...wanted }: WantedAgain, known: Admissible | undefined): boolean {
    const { key, queue, uuid } = wanted
    const limits = this.queues.get(queue)?.limits
    if (limits === undefined || known?.state.revision !== revision || known.state.direction !== "forward") return false
    if (isOver(known.state) || (known.hint?.owner ?? owner) !== owner) return false
    if (!QueueAdmission.isFree(limits, this.of(queue), key)) return false
    this.places.set(uuid, { ...wanted, status: "held" })
    return true
  }

  /** The port on what the repository keeps. `tell`: there may be more to admit. */
  port(kept: Pick<ReadonlyMap<string, Admissible>, "get">, tell: Effect.Effect<unknown>): SagaQueues {
    const { queues } = this
    return {
      declare: (name, limits) =>
        Effect.sync(() => {
          const known = queues.get(name)
          const isSame = known !== undefined && JSON.stringify(known.declared) === JSON.stringify(limits)
          if (!isSame) queues.set(name, { memory: QueueAdmission.noMemory, ...known, limits, declared: limits })
          return isSame ? known.limits : limits
        }),
      limit: (name, limits) =>
        Effect.suspend(() => {
          const known = queues.get(name)
          if (known === undefined) return Effect.succeed(false)
          known.limits = limits
          return Effect.as(tell, true)
        }),
      list: Effect.sync(() =>
        Array.from(queues, ([queue, { declared, limits }]) => this.status(queue, limits, declared))
      ),
      room: (name) => Effect.sync(() => (queues.get(name)?.limits.maxQueued ?? 0) - this.count(this.of(name), "new")),
      regain: (wanted) => Effect.sync(() => this.regain(wanted, kept.get(wanted.uuid)))
    }
  }

  private count(places: ReadonlyArray<Queued>, wanted: Queued["status"]): number {
    return places.filter(({ status }) => status === wanted).length
  }

  private status(queue: string, limits: QueueLimits, declared: QueueLimits): QueueStatus {
    const places = this.of(queue)
    return {
      queue,
      limits,
      declared,
      queued: this.count(places, "new"),
      again: this.count(places, "again"),
      held: this.count(places, "held")
    }
  }
}
