/**
 * The executions that this process has found and cannot read (SPEC C10, C20). Whether one can be read depends on the program, so
 * each process knows its own, and nothing of it is stored. They are given back at once and not claimed again; `find`, a metric
 * and the log show them. Now and then they are looked at again: another process may have brought them further.
 */
import { type Context, Effect, Result } from "effect"
import type { SagaDefinitionDrift, SagaRegistry } from "../definition/SagaRegistry.ts"
import { corruptFacts, otherSaga, read, SagaExecutionUnreadable } from "../execution/view/Readable.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import * as Metrics from "../ports/Metrics.ts"
import type { Page, SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import type { Membership } from "../ports/SagaOwnership.ts"

/** Executions that a process remembers. More of them are given back for a while, and found again. */
const maxKnown = 10_000

/** How long one that is not remembered is left alone, in milliseconds. */
const restMillis = 600_000

/** Kinds of trouble that the log has said; more are said again. */
const maxSaid = 1_000

/** Executions that are looked at again in one round. */
const batch = 64

interface Found {
  readonly error: SagaExecutionUnreadable
  /** Undefined: this process does not have it, or not even its facts can be read. */
  readonly revision: number | undefined
}

export class Unreadable {
  private readonly registry: SagaRegistry
  private readonly service: string
  private readonly repository: Pick<SagaExecutionRepository["Service"], "load">
  /** Asks for a claim at once: one is to be given back. */
  private readonly claim: () => void
  private readonly known = new Map<string, SagaExecutionUnreadable>()
  private readonly said = new Set<string>()
  private fresh: Array<Found> = []
  /** Those that were looked at again: a race may have made one this process's since it was given back. */
  private seen: Array<string> = []
  /** The sagas that the metric has, so that one with none left is set to 0. */
  private measured = new Set<string>()

  constructor(
    registry: SagaRegistry,
    service: string,
    repository: Pick<SagaExecutionRepository["Service"], "load">,
    claim: () => void
  ) {
    this.registry = registry
    this.service = service
    this.repository = repository
    this.claim = claim
  }

  /** The execution with the saga that it follows, where this process has that saga and can read what is stored. */
  readonly bound = (
    execution: SagaExecution
  ): Result.Result<SagaExecution, SagaDefinitionDrift | SagaExecutionUnreadable> => {
    const bound = this.read(execution)
    if (Result.isFailure(bound) && bound.failure._tag === "SagaExecutionUnreadable")
      this.found(bound.failure, execution.revision)
    return bound
  }

  /**
   * The same for an execution that a claim has given. A claim goes by the definition in the row: where the facts name another one,
   * the execution would be claimed again and again. One that a caller only asks for may be of any program.
   */
  readonly claimed: Unreadable["bound"] = (execution) => {
    const bound = this.bound(execution)
    if (Result.isFailure(bound) && bound.failure._tag === "SagaDefinitionDrift") {
      const { revision, saga, uuid } = execution
      this.found(new SagaExecutionUnreadable({ uuid, saga, path: "", step: "", ...otherSaga }), revision)
    }
    return bound
  }

  private read(execution: SagaExecution): ReturnType<Unreadable["bound"]> {
    return Result.flatMap(
      this.registry.find(execution.saga, execution.state.creation.fingerprint),
      (definition): ReturnType<Unreadable["bound"]> => read(execution, definition, this.service)
    )
  }

  /** Notes one that is not to be claimed. */
  found(error: SagaExecutionUnreadable, revision?: number): void {
    if (this.known.has(error.uuid)) return
    if (!this.isFull) this.known.set(error.uuid, error)
    this.fresh.push({ error, revision })
    this.claim()
  }

  /** Notes executions of which a claim has said that their facts cannot be read. They have no owner by then. */
  corrupt(uuids: ReadonlyArray<string>): void {
    for (const uuid of uuids) {
      if (this.known.has(uuid) || this.isFull) continue
      const error = new SagaExecutionUnreadable({ uuid, saga: "", path: "", step: "", ...corruptFacts })
      this.known.set(uuid, error)
      this.fresh.push({ error, revision: undefined })
    }
  }

  /** No more of them are remembered. */
  get isFull(): boolean {
    return this.known.size >= maxKnown
  }

  /** Those that are not to be claimed. */
  get uuids(): ReadonlyArray<string> {
    return [...this.known.keys()]
  }

  /**
   * Says those found since the last call, in the log and in the metric, and gives the uuids of those to be given back with the
   * next claim. One that is not remembered waits for a while.
   */
  settle({ giveBack }: Pick<Membership, "giveBack">, now: number): Effect.Effect<ReadonlyArray<string>> {
    return Effect.gen({ self: this }, function* () {
      const { fresh, known, seen } = this
      this.seen = []
      if (fresh.length === 0) return seen
      this.fresh = []
      for (const { error, revision } of fresh) {
        yield* this.say(error)
        if (known.has(error.uuid) || revision === undefined) continue
        yield* Effect.ignore(giveBack({ uuid: error.uuid, revision, wakeAt: now + restMillis }))
      }
      yield* this.measure
      const owned = fresh.filter(({ error, revision }) => known.has(error.uuid) && revision !== undefined)
      return [...seen, ...owned.map(({ error }) => error.uuid)]
    })
  }

  /** One kind of trouble is said once, however many executions have it: `find` lists them. */
  private say({ path, rule, saga, step, uuid, value }: SagaExecutionUnreadable): Effect.Effect<void> {
    const kind = value === "facts" ? uuid : JSON.stringify([saga, path, value, rule])
    if (this.said.has(kind)) return Effect.void
    if (this.said.size < maxSaid || value === "facts") this.said.add(kind)
    return Effect.logError(
      "An execution cannot be read by this program, and is left to others",
      value === "facts" ? { uuid } : { uuid, saga, path, step, value, rule }
    )
  }

  private readonly measure: Effect.Effect<void> = Effect.suspend(() => {
    const counts = new Map(Array.from(this.measured, (saga) => [saga, 0]))
    for (const { saga } of this.known.values()) counts.set(saga, (counts.get(saga) ?? 0) + 1)
    this.measured = new Set(counts.keys())
    return Effect.contextWith((context: Context.Context<never>) =>
      Effect.sync(() => {
        for (const [saga, count] of counts) Metrics.unreadable.update(context, count, this.service, saga)
      })
    )
  })

  /** Looks at some of them again, each in its turn, and forgets those that are over, gone, or readable by now. */
  readonly lookAgain: Effect.Effect<void> = Effect.suspend(() => {
    const some = [...this.known].slice(0, batch)
    return some.length === 0
      ? Effect.void
      : Effect.andThen(
          Effect.forEach(some, (one) => this.look(one), { concurrency: 4, discard: true }),
          this.measure
        )
  })

  private look([uuid, error]: readonly [string, SagaExecutionUnreadable]): Effect.Effect<void> {
    return Effect.map(Effect.result(this.repository.load(uuid)), (loaded) => {
      const isGone = Result.isFailure(loaded)
        ? loaded.failure._tag === "SagaExecutionNotFound"
        : Result.isSuccess(this.read(loaded.success))
      this.known.delete(uuid)
      if (isGone) return
      this.known.set(uuid, error)
      this.seen.push(uuid)
    })
  }

  /** Marks those of a page that wait for a program that can read them. */
  readonly mark = (page: Page): Page =>
    this.known.size === 0
      ? page
      : {
          ...page,
          items: page.items.map((item) => {
            const found = item.settled ? undefined : this.known.get(item.uuid)
            if (found === undefined) return item
            const { path, rule, step, value } = found
            return { ...item, unreadable: { path, step, value, rule } }
          })
        }
}
