/**
 * The shape of a saga: everything but its functions, as JSON with a schema. For a function there is `true`; an operation
 * that a step does not have is `false` or `null`.
 *
 * The fingerprint covers a part of it (SPEC C10): kinds, names, paths, targets, nested fingerprints and the version.
 * Timeouts, retries and schemas are left out, so they may change while executions of the saga are alive.
 */
import { Schema } from "effect"
import * as CanonicalJson from "../wire/CanonicalJson.ts"
import type { Codec } from "./Command.ts"
import { jsonSchema } from "./JsonSchema.ts"
import * as SagaPath from "./SagaPath.ts"
import type * as Step from "./SagaStep.ts"

/** `attributes`: a function behind the step makes some (`Saga.attributes`). */
const at = { name: Schema.String, path: Schema.String, attributes: Schema.optionalKey(Schema.Literal(true)) }

const retry = Schema.Struct({
  times: Schema.Finite,
  backoff: Schema.Struct({ initial: Schema.Finite, factor: Schema.Finite, max: Schema.Finite }),
  on: Schema.optionalKey(Schema.Array(Schema.String))
})

const policies = {
  timeout: Schema.NullOr(Schema.Finite),
  retry: Schema.NullOr(retry),
  retryCompensate: Schema.NullOr(retry)
}

/** A local step. Times are milliseconds. */
export const LocalShape = Schema.Struct({
  type: Schema.Literal("local"),
  ...at,
  success: Schema.Json,
  error: Schema.Json,
  execute: Schema.Boolean,
  compensate: Schema.NullOr(Schema.Struct({ unknown: Schema.Boolean })),
  onCrash: Schema.Literals(["retry", "compensate", "park"]),
  transactional: Schema.Boolean,
  ...policies
})

export type LocalShape = typeof LocalShape.Type

/** A remote step. Times are milliseconds. */
export const RemoteShape = Schema.Struct({
  type: Schema.Literal("remote"),
  ...at,
  success: Schema.Json,
  error: Schema.Json,
  /** The service and the command: `"payments/Charge"`. */
  execute: Schema.NullOr(Schema.String),
  /** The answer to the command comes later, when its service gives it. */
  later: Schema.optionalKey(Schema.Literal(true)),
  onSuccess: Schema.Boolean,
  onError: Schema.Boolean,
  compensate: Schema.NullOr(Schema.String),
  unknown: Schema.Boolean,
  ...policies
})

export type RemoteShape = typeof RemoteShape.Type

/** A wait or a sleep. Times are milliseconds; those that the context gives are `until: true`. */
export const WaitShape = Schema.Struct({
  type: Schema.Literal("wait"),
  ...at,
  /** The name of the signal; null: a sleep. */
  signal: Schema.NullOr(Schema.String),
  key: Schema.Boolean,
  timeout: Schema.NullOr(Schema.Finite),
  until: Schema.Boolean,
  onTimeout: Schema.Boolean,
  success: Schema.Json
})

export type WaitShape = typeof WaitShape.Type

/** A step that starts another saga. Times are milliseconds. */
export const StartShape = Schema.Struct({
  type: Schema.Literal("start"),
  ...at,
  /** The name of the other saga. */
  saga: Schema.String,
  startKey: Schema.Boolean,
  compensate: Schema.Boolean,
  retryCompensate: Schema.NullOr(retry)
})

export type StartShape = typeof StartShape.Type

/** The point of no return. */
export const PivotShape = Schema.Struct({ type: Schema.Literal("pivot"), ...at })

export type PivotShape = typeof PivotShape.Type

/** A conditional step, with its alternatives in the order in which their conditions are tried. */
export interface ConditionalShape {
  readonly type: "conditional"
  readonly name: string
  readonly path: string
  readonly attributes?: true
  readonly alternatives: ReadonlyArray<{ readonly else: boolean; readonly steps: ReadonlyArray<StepShape> }>
}

/** A nested step, with the steps of its saga. */
export interface NestedShape {
  readonly type: "nested"
  readonly name: string
  readonly path: string
  readonly attributes?: true
  readonly saga: string
  readonly version: string | null
  readonly fingerprint: string
  readonly steps: ReadonlyArray<StepShape>
}

/** A parallel step, with its branches. */
export interface ParallelShape {
  readonly type: "parallel"
  readonly name: string
  readonly path: string
  readonly attributes?: true
  readonly branches: ReadonlyArray<{ readonly name: string; readonly steps: ReadonlyArray<StepShape> }>
}

/** A `forEach`, with the steps of an item. */
export interface ForEachShape {
  readonly type: "forEach"
  readonly name: string
  readonly path: string
  readonly attributes?: true
  /** The name of the item in the context of its steps. */
  readonly as: string
  /** The JSON Schema of an item. */
  readonly item: Schema.Json
  readonly concurrency: number
  readonly steps: ReadonlyArray<StepShape>
}

export type StepShape =
  | LocalShape
  | RemoteShape
  | ConditionalShape
  | NestedShape
  | ParallelShape
  | ForEachShape
  | WaitShape
  | StartShape
  | PivotShape

const steps = Schema.Array(Schema.suspend((): Schema.Codec<StepShape> => StepShape))

export const ConditionalShape = Schema.Struct({
  type: Schema.Literal("conditional"),
  ...at,
  alternatives: Schema.Array(Schema.Struct({ else: Schema.Boolean, steps }))
})

export const NestedShape = Schema.Struct({
  type: Schema.Literal("nested"),
  ...at,
  saga: Schema.String,
  version: Schema.NullOr(Schema.String),
  fingerprint: Schema.String,
  steps
})

export const ParallelShape = Schema.Struct({
  type: Schema.Literal("parallel"),
  ...at,
  branches: Schema.Array(Schema.Struct({ name: Schema.String, steps }))
})

export const ForEachShape = Schema.Struct({
  type: Schema.Literal("forEach"),
  ...at,
  as: Schema.String,
  item: Schema.Json,
  concurrency: Schema.Finite,
  steps
})

export const StepShape: Schema.Codec<StepShape> = Schema.Union([
  LocalShape,
  RemoteShape,
  ConditionalShape,
  NestedShape,
  ParallelShape,
  ForEachShape,
  WaitShape,
  StartShape,
  PivotShape
])

export const SagaShape = Schema.Struct({
  saga: Schema.String,
  version: Schema.NullOr(Schema.String),
  /** Milliseconds from the creation of an execution to the end of its time. */
  deadline: Schema.NullOr(Schema.Finite),
  /** A function makes attributes from the initial context. */
  attributes: Schema.optionalKey(Schema.Literal(true)),
  /** Empty until the saga is committed. */
  fingerprint: Schema.String,
  committed: Schema.Boolean,
  /** The JSON Schema of the initial context. */
  context: Schema.Json,
  steps
})
export interface SagaShape extends Schema.Schema.Type<typeof SagaShape> {}

/** The shape of a saga. Compare shapes to compare sagas: functions have no equality. */
export const of = (definition: Step.Definition): SagaShape => write(definition, jsonSchema)

/** Hexadecimal SHA-256 of the parts of a shape that stored executions depend on (SPEC C10). */
export const fingerprint = (saga: Step.Definition | SagaShape): string => {
  const { steps, version, ...shape } = "saga" in saga ? saga : write(saga, () => null)
  return CanonicalJson.sha256({ saga: shape.saga, version, steps: steps.map(identity) })
}

const identity = (step: StepShape): unknown => {
  const { name, path, type } = step
  switch (step.type) {
    case "local":
    case "pivot":
      return { type, name, path }
    case "remote":
      return { type, name, path, execute: step.execute, compensate: step.compensate }
    case "conditional": {
      const alternatives = step.alternatives.map((one) => ({ else: one.else, steps: one.steps.map(identity) }))
      return { type, name, path, alternatives }
    }
    case "nested":
      return { type, name, path, fingerprint: step.fingerprint }
    case "wait":
      return { type, name, path, signal: step.signal }
    case "start":
      // Not its fingerprint: the other saga lives on by itself, and may change while executions of this one are alive.
      return { type, name, path, saga: step.saga }
    case "parallel": {
      const branches = step.branches.map((branch) => ({ name: branch.name, steps: branch.steps.map(identity) }))
      return { type, name, path, branches }
    }
    case "forEach":
      return { type, name, path, as: step.as, steps: step.steps.map(identity) }
  }
}

type WriteSchema = (schema: Codec<any>) => Schema.Json

const write = (definition: Step.Definition, schema: WriteSchema): SagaShape => ({
  saga: definition.name,
  version: definition.version ?? null,
  deadline: definition.deadline ?? null,
  ...labelled(definition),
  fingerprint: definition.fingerprint,
  committed: definition.state === "committed",
  context: schema(definition.context),
  steps: writeSteps({ path: "", steps: definition.steps }, schema)
})

const writeSteps = (sequence: SagaPath.Sequence, schema: WriteSchema): ReadonlyArray<StepShape> =>
  sequence.steps.map((step, i) => ({
    ...writeStep(step, SagaPath.child(sequence.path, i), schema),
    ...labelled(step)
  }))

const labelled = ({ attributes }: Step.Labelled): { readonly attributes?: true } =>
  attributes === undefined ? {} : { attributes: true }

const writeStep = (step: Step.SagaStep, path: string, schema: WriteSchema): StepShape => {
  const { name } = step
  const inner = SagaPath.sequences(step, path).map((sequence) => writeSteps(sequence, schema))
  switch (step._tag) {
    case "Local":
      return {
        type: "local",
        name,
        path,
        success: schema(step.success),
        error: schema(step.error),
        execute: step.execute !== undefined,
        compensate: step.compensate === undefined ? null : { unknown: step.compensate.unknown !== undefined },
        onCrash: step.onCrash,
        transactional: step.transactional,
        ...writePolicies(step.policies)
      }
    case "Remote":
      return {
        type: "remote",
        name,
        path,
        success: schema(step.success),
        error: schema(step.error),
        execute: target(step.execute),
        ...(step.execute?.later === true && { later: true }),
        onSuccess: step.onSuccess !== undefined,
        onError: step.onError !== undefined,
        compensate: target(step.compensate),
        unknown: step.compensate?.unknown !== undefined,
        ...writePolicies(step.policies)
      }
    case "Conditional":
      return {
        type: "conditional",
        name,
        path,
        alternatives: step.alternatives.map(({ condition }, i) => ({
          else: condition === undefined,
          steps: inner[i]!
        }))
      }
    case "Nested":
      return {
        type: "nested",
        name,
        path,
        saga: step.saga.name,
        version: step.saga.version ?? null,
        fingerprint: step.saga.fingerprint,
        steps: inner.flat()
      }
    case "Wait":
      return {
        type: "wait",
        name,
        path,
        signal: step.signal?.name ?? null,
        key: step.key !== undefined,
        timeout: step.timeout ?? null,
        until: step.until !== undefined,
        onTimeout: step.onTimeout !== undefined,
        success: schema(step.success)
      }
    case "Start":
      return {
        type: "start",
        name,
        path,
        saga: step.saga,
        startKey: step.startKey !== undefined,
        compensate: step.compensate !== undefined,
        retryCompensate: step.policies.retryCompensate ?? null
      }
    case "Pivot":
      return { type: "pivot", name, path }
    case "Parallel":
      return {
        type: "parallel",
        name,
        path,
        branches: step.branches.map(({ name }, i) => ({ name, steps: inner[i]! }))
      }
    case "ForEach":
      return {
        type: "forEach",
        name,
        path,
        as: step.as,
        item: schema(step.item),
        concurrency: step.concurrency,
        steps: inner.flat()
      }
  }
}

const writePolicies = ({ retry, retryCompensate, timeout }: Step.Policies) => ({
  timeout: timeout ?? null,
  retry: retry ?? null,
  retryCompensate: retryCompensate ?? null
})

const target = (request: Step.Request | undefined): string | null =>
  request === undefined ? null : `${request.service}/${request.command}`
