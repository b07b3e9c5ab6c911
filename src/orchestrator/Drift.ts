/**
 * Finds the stored executions that a deployment could not continue (SPEC C10): their saga, as it was then, is not in it, or it
 * could not read what is stored of them. For use before a deployment, and by every process when it starts.
 */
import { Effect, Result } from "effect"
import type { AnyCommitted } from "../definition/Saga.ts"
import type { SagaRegistry } from "../definition/SagaRegistry.ts"
import { corruptFacts, read, SagaExecutionUnreadable } from "../execution/view/Readable.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { ExecutionSummary } from "../ports/ExecutionSummary.ts"
import {
  type Census,
  type SagaExecutionNotFound,
  SagaExecutionRepository,
  type SagaExecutionRepositoryError
} from "../ports/SagaExecutionRepository.ts"
import { register } from "./Registration.ts"

export interface Drift {
  /** Unsettled executions that the given sagas continue, by saga and fingerprint; those that they cannot read among them. */
  readonly continued: ReadonlyArray<Census>
  /** Unsettled executions that wait until a program has their saga in its old form. Nothing of them is lost. */
  readonly drifted: ReadonlyArray<Census>
  /** Unsettled executions whose saga is there and whose values it cannot read: they wait for a program that can. */
  readonly unreadable: ReadonlyArray<SagaExecutionUnreadable>
  /** Unsettled executions whose values were decoded. */
  readonly checked: number
  /** Every one was, up to those that came meanwhile. False: there are more than `limit`. */
  readonly isComplete: boolean
}

export interface DriftOptions {
  /** Executions whose values are decoded, at most, the newest of each saga first. Default 10,000. */
  readonly limit?: number
  /**
   * Name of the own service. An execution that another service has started is unreadable: replies to its requests come to that
   * one. Default: any service.
   */
  readonly service?: string
}

const defaultLimit = 10_000

/** Executions on a page, which are loaded together, and those between two lines in the log. */
const page = 50
const saidEach = 1_000

/**
 * Asks the repository what these sagas can and cannot continue. Needs no running manager. Decodes every stored value, in
 * batches, and says in the log how far it is. Fails with `SagaRepositoryUnsupported` where the repository cannot list
 * executions.
 *
 * @example
 * ```ts
 * const { drifted, unreadable } = yield* SagaManager.checkDrift([PlaceOrder], { service: "orders" })
 * ```
 */
export const checkDrift = (sagas: ReadonlyArray<AnyCommitted>, options: DriftOptions = {}) =>
  checkSlowly(sagas, options, Effect.void)

/** The same, with a pause after each page: a process at its start has other things to do. */
export const checkSlowly = Effect.fnUntraced(function* (
  sagas: ReadonlyArray<AnyCommitted>,
  options: DriftOptions,
  pause: Effect.Effect<void>
) {
  const registry = yield* register(sagas)
  const { census } = yield* SagaExecutionRepository
  const counted = yield* census
  const isKnown = ({ fingerprint, saga }: Census) => registry.find(saga, fingerprint)._tag === "Success"
  const drift: Drift = {
    continued: counted.filter(isKnown),
    drifted: counted.filter((one) => !isKnown(one)),
    ...(yield* readAll(registry, options, pause))
  }
  return drift
})

/** Reads the unsettled executions of the sagas, saga by saga and page by page. */
const readAll = Effect.fnUntraced(function* (
  registry: SagaRegistry,
  { limit = defaultLimit, service }: DriftOptions,
  pause: Effect.Effect<void>
) {
  const { find, load } = yield* SagaExecutionRepository
  const unreadable: Array<SagaExecutionUnreadable> = []
  let checked = 0
  let saidAt = 0
  const check = Effect.fnUntraced(function* (listed: ExecutionSummary) {
    const loaded = yield* Effect.result(load(listed.uuid))
    checked++
    const problem = Result.isFailure(loaded)
      ? yield* unloaded(listed, loaded.failure)
      : problemOf(registry, loaded.success, service)
    if (problem !== undefined) unreadable.push(problem)
  })
  for (const saga of new Set(registry.sagas.map(({ name }) => name))) {
    let after: string | undefined
    do {
      const listed = yield* find({ saga, settled: false }, { limit: page, ...(after !== undefined && { after }) })
      const known = listed.items.filter(({ fingerprint }) => Result.isSuccess(registry.find(saga, fingerprint)))
      const room = limit - checked
      yield* Effect.forEach(known.slice(0, room), check, { concurrency: page, discard: true })
      if (checked - saidAt >= saidEach) {
        saidAt = checked
        yield* Effect.logInfo("Stored executions are being read", { saga, checked, unreadable: unreadable.length })
      }
      if (known.length > room) return { unreadable, checked, isComplete: false }
      after = listed.next
      if (after !== undefined) yield* pause
    } while (after !== undefined)
  }
  return { unreadable, checked, isComplete: true }
})

const problemOf = (
  registry: SagaRegistry,
  execution: SagaExecution,
  service: string | undefined
): SagaExecutionUnreadable | undefined => {
  const definition = registry.find(execution.saga, execution.state.creation.fingerprint)
  const readable = Result.isSuccess(definition) ? read(execution, definition.success, service) : undefined
  return readable !== undefined && Result.isFailure(readable) ? readable.failure : undefined
}

/** One that has ended meanwhile is none; facts that cannot be read are one too. */
const unloaded = (
  { saga, uuid }: ExecutionSummary,
  error: SagaExecutionNotFound | SagaExecutionRepositoryError
): Effect.Effect<SagaExecutionUnreadable | undefined, SagaExecutionRepositoryError> => {
  if (error._tag === "SagaExecutionNotFound") return Effect.succeed(undefined)
  return error.reason === "corrupt"
    ? Effect.succeed(new SagaExecutionUnreadable({ uuid, saga, path: "", step: "", ...corruptFacts }))
    : Effect.fail(error)
}
