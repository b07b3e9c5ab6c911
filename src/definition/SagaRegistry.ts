/**
 * The sagas that a program knows. Storage holds names, fingerprints and paths, never code: an execution is continued
 * only by a saga that is registered under both its name and its fingerprint (SPEC C10).
 *
 * Several versions of a saga may be registered together, so that executions of an old one end as they began.
 */
import { Result, Schema } from "effect"
import type { Definition } from "./SagaStep.ts"
import * as SagaValidation from "./SagaValidation.ts"

/** Some of the sagas cannot run. */
export class SagaInvalid extends Schema.TaggedError<SagaInvalid>()("SagaInvalid", {
  issues: Schema.Array(SagaValidation.SagaDefinitionError)
}) {
  override get message(): string {
    return this.issues.map((issue) => issue.message).join("\n")
  }
}

/** A saga is asked for that the program was not given. */
export class SagaNotRegistered extends Schema.TaggedError<SagaNotRegistered>()("SagaNotRegistered", {
  saga: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `saga "${this.saga}" is not registered, only ${this.known.join(", ") || "none"}`
  }
}

/** A stored execution belongs to a saga that the program does not know, or knows in other versions. */
export class SagaDefinitionDrift extends Schema.TaggedError<SagaDefinitionDrift>()("SagaDefinitionDrift", {
  saga: Schema.String,
  fingerprint: Schema.String,
  /** The fingerprints that are registered under the name. */
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `saga "${this.saga}" with fingerprint ${this.fingerprint} is not registered, only ${this.known.join(", ") || "none"}`
  }
}

export interface SagaRegistry {
  /** Every registered saga; versions of one name stand together. */
  readonly sagas: ReadonlyArray<Definition>
  readonly has: (saga: Definition) => boolean
  /** The saga of a stored execution. */
  readonly find: (name: string, fingerprint: string) => Result.Result<Definition, SagaDefinitionDrift>
  /** The last one given under a name. */
  readonly latest: (name: string) => Result.Result<Definition, SagaNotRegistered>
  /** All versions of a name, in the order given. */
  readonly byName: (name: string) => ReadonlyArray<Definition>
}

/** Fails with the issues of all sagas. A saga given twice counts once. */
export const make = (
  sagas: ReadonlyArray<Definition>,
  options?: SagaValidation.Options
): Result.Result<SagaRegistry, SagaInvalid> => {
  const issues = sagas.flatMap((saga) => SagaValidation.validate(saga, options))
  return issues.length > 0 ? Result.fail(new SagaInvalid({ issues })) : Result.succeed(fromValid(sagas))
}

const fromValid = (sagas: ReadonlyArray<Definition>): SagaRegistry => {
  const names = new Map<string, Map<string, Definition>>()
  for (const saga of sagas) {
    const versions = names.get(saga.name) ?? new Map<string, Definition>()
    if (!versions.has(saga.fingerprint)) names.set(saga.name, versions.set(saga.fingerprint, saga))
  }
  const byName = (name: string) => Array.from(names.get(name)?.values() ?? [])
  return {
    sagas: Array.from(names.keys()).flatMap(byName),
    has: (saga) => names.get(saga.name)?.has(saga.fingerprint) ?? false,
    find: (name, fingerprint) => {
      const versions = names.get(name)
      const saga = versions?.get(fingerprint)
      return saga === undefined
        ? Result.fail(new SagaDefinitionDrift({ saga: name, fingerprint, known: Array.from(versions?.keys() ?? []) }))
        : Result.succeed(saga)
    },
    latest: (name) => {
      const saga = byName(name).at(-1)
      return saga === undefined
        ? Result.fail(new SagaNotRegistered({ saga: name, known: Array.from(names.keys()) }))
        : Result.succeed(saga)
    },
    byName
  }
}
