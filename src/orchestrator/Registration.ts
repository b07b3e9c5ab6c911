/** The checks that the sagas of a program pass before one of them may run, and the errors of a program that cannot. */
import { Effect, Schema } from "effect"
import type { AnyCommitted } from "../definition/Saga.ts"
import * as SagaPath from "../definition/SagaPath.ts"
import * as SagaRegistry from "../definition/SagaRegistry.ts"
import type { Definition } from "../definition/SagaStep.ts"
import { SagaExecutionRepository } from "../ports/SagaExecutionRepository.ts"
import { line } from "../wire/OneLine.ts"

/** A `transactional` step needs a repository that commits the effect of the step and its record together. */
export class SagaTransactionUnsupported extends Schema.TaggedError<SagaTransactionUnsupported>()(
  "SagaTransactionUnsupported",
  { saga: Schema.String, path: Schema.String, step: Schema.String }
) {
  override get message(): string {
    return line`Step ${this.step} (${this.path}) of saga ${this.saga} is transactional, and the repository cannot be`
  }
}

/** The own service takes part through hooks, and a remote step asks a participant of the same name. */
export class SagaOwnServiceRequested extends Schema.TaggedError<SagaOwnServiceRequested>()("SagaOwnServiceRequested", {
  saga: Schema.String,
  path: Schema.String,
  step: Schema.String,
  service: Schema.String
}) {
  override get message(): string {
    return line`Step ${this.step} (${this.path}) of saga ${this.saga} asks the own service ${this.service}, which has hooks in this process`
  }
}

/** Why the layer of a manager or a runner cannot be built with its sagas. */
export type SetUpError = SagaRegistry.SagaInvalid | SagaRegistry.SagaNotRegistered | SagaTransactionUnsupported

/** The sagas of a program, if all are valid and its repository can run them. `transactional`: its committer enrols services. */
export const register = Effect.fnUntraced(function* (
  sagas: ReadonlyArray<AnyCommitted>,
  transactional?: boolean
): Effect.fn.Return<SagaRegistry.SagaRegistry, SetUpError, SagaExecutionRepository> {
  const registry = yield* Effect.fromResult(
    SagaRegistry.make(sagas, transactional === true ? { transactional } : undefined)
  )
  for (const saga of registry.sagas) {
    for (const { step } of SagaPath.steps(saga)) {
      if (step._tag !== "Start" || registry.has(step.definition())) continue
      const known = registry.sagas.map(({ name }) => name)
      return yield* new SagaRegistry.SagaNotRegistered({ saga: step.saga, known })
    }
  }
  const repository = yield* SagaExecutionRepository
  for (const saga of repository.transactional ? [] : registry.sagas) {
    const found = SagaPath.steps(saga).find(({ step }) => step._tag === "Local" && step.transactional)
    if (found === undefined) continue
    return yield* new SagaTransactionUnsupported({ saga: saga.name, path: found.path, step: found.step.name })
  }
  return registry
})

/**
 * Refuses a remote step to the own service, where that has hooks: hooks are called in process, and the service's
 * participant would never hear of the decision.
 */
export const checkOwnService = (
  sagas: ReadonlyArray<Definition>,
  service: string
): Effect.Effect<void, SagaOwnServiceRequested> => {
  for (const saga of sagas) {
    const found = SagaPath.steps(saga).find(({ step }) => step._tag === "Remote" && step.execute.service === service)
    if (found !== undefined) {
      return Effect.fail(
        new SagaOwnServiceRequested({ saga: saga.name, path: found.path, step: found.step.name, service })
      )
    }
  }
  return Effect.void
}
