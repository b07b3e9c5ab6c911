/**
 * The sagas of a program. Storage has names, fingerprints and paths, never code. Therefore an execution goes on only with a
 * saga that is registered under its name and its fingerprint (SPEC C10).
 *
 * Register an old version of a saga beside the new one until its executions have ended.
 */
import { Result, Schema } from "effect"
import { line } from "../wire/OneLine.ts"
import type { Definition } from "./SagaStep.ts"
import * as SagaValidation from "./SagaValidation.ts"

/** Some of the sagas cannot run; all their mistakes are listed. */
export class SagaInvalid extends Schema.TaggedError<SagaInvalid>()("SagaInvalid", {
  issues: Schema.Array(SagaValidation.SagaDefinitionError)
}) {
  override get message(): string {
    return this.issues.map((issue) => issue.message).join("\n")
  }
}

/** The program has no saga of this name; or it has, in another form only: with other steps, or another version. */
export class SagaNotRegistered extends Schema.TaggedError<SagaNotRegistered>()("SagaNotRegistered", {
  saga: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    if (this.known.includes(this.saga))
      return line`another form of saga "${this.saga}" is registered, with other steps or another version, and not this one: give this one to the layer too`
    return line`saga "${this.saga}" is not registered, only ${this.known.join(", ") || "none"}`
  }
}

/** The saga of a stored execution is not in the program, or only in other versions. */
export class SagaDefinitionDrift extends Schema.TaggedError<SagaDefinitionDrift>()("SagaDefinitionDrift", {
  saga: Schema.String,
  fingerprint: Schema.String,
  /** The fingerprints that are registered under the name. */
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return line`saga "${this.saga}" with fingerprint ${this.fingerprint} is not registered, only ${this.known.join(", ") || "none"}`
  }
}

export interface SagaRegistry {
  /** All registered sagas. The versions of one name stand together. */
  readonly sagas: ReadonlyArray<Definition>
  readonly has: (saga: Definition) => boolean
  /** The saga of a stored execution. */
  readonly find: (name: string, fingerprint: string) => Result.Result<Definition, SagaDefinitionDrift>
  /** The version of a name that was given last: new executions begin with it. */
  readonly latest: (name: string) => Result.Result<Definition, SagaNotRegistered>
  /** All versions of a name, in the order in which they were given. */
  readonly byName: (name: string) => ReadonlyArray<Definition>
}

/** Fails with the mistakes of all sagas. A saga that is given twice counts once. */
export const make = (
  sagas: ReadonlyArray<Definition>,
  options?: SagaValidation.ValidationOptions
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
