/**
 * All mistakes in a definition, each with its place. Some of them no type can see: names that are only `string`, limits,
 * unknown participants. Others are made in plain JavaScript, where TypeScript would not compile.
 *
 * Their order is that of reading: an empty saga, then the steps one after the other, then the saga as a whole.
 */

import { Predicate, Schema } from "effect"
import { isName } from "../wire/Envelope.ts"
import { isHostileKey } from "../wire/JsonLimits.ts"
import type { Mistaken } from "./OptionNames.ts"
import type * as Participant from "./ParticipantContract.ts"
import * as PivotValidation from "./PivotValidation.ts"
import {
  ElseThenNotLast,
  EmptySaga,
  EmptySagaStep,
  InvalidDeadline,
  InvalidName,
  InvalidOption,
  InvalidPolicy,
  limits,
  MultipleElseThen,
  NestingTooDeep,
  type SagaDefinitionError,
  SagaNotCommitted,
  SagaNotDefined,
  StepNameAlreadyUsed,
  TooManySteps,
  UndefinedOnExecute,
  UnknownParticipant
} from "./SagaIssue.ts"
import * as SagaPath from "./SagaPath.ts"
import * as Step from "./SagaStep.ts"
import * as WaitValidation from "./WaitValidation.ts"

export * from "./SagaIssue.ts"

// ---- rules

/**
 * The services that the system has. With `participants` or `knownServices`, a step that asks any other service is a mistake
 * (`UnknownParticipant`). Default: services are not checked.
 */
export interface ValidationOptions {
  /** The contracts of services. */
  readonly participants?: ReadonlyArray<Participant.Any>
  /** The names of services without a contract. */
  readonly knownServices?: ReadonlyArray<string>
  /**
   * The sagas run with a two-phase commit (`TransactionCommitter.layerTwoPhase`), so that every request opens a transaction: a wait
   * without a limit behind one needs a `deadline`. Default false. The layers of a manager and of a runner know it by themselves.
   */
  readonly transactional?: boolean
}

const validated = new WeakMap<Step.Definition, ReadonlyArray<SagaDefinitionError>>()

/** All mistakes of a saga; none if it can run. Without options the answer is remembered, so each run may ask. */
export const validate = (saga: Step.Definition, options?: ValidationOptions): ReadonlyArray<SagaDefinitionError> => {
  if (options !== undefined) return Array.from(checkSaga(saga, options))
  const known = validated.get(saga)
  if (known !== undefined) return known
  const issues = Array.from(checkSaga(saga, {}))
  validated.set(saga, issues)
  return issues
}

type Issues = Generator<SagaDefinitionError, void>

interface SagaPlace {
  readonly saga: string
  readonly path: string
}

interface StepPlace extends SagaPlace {
  readonly step: string
}

/** The surroundings of a step. */
interface Scope {
  readonly saga: string
  /** The services of the system; undefined: they are not known. */
  readonly services: ReadonlySet<string> | undefined
  readonly depth: number
  /** The names in use, each with the path of its step. */
  readonly names: Map<string, string>
}

function* checkSaga(definition: Step.Definition, options: ValidationOptions): Issues {
  const { knownServices, participants, transactional = false } = options
  const at = { saga: String(definition.name), path: "" }
  const services =
    participants || knownServices
      ? new Set([...(participants ?? []).map(({ name }) => name), ...(knownServices ?? [])])
      : undefined
  if (definition.steps.length === 0) yield new EmptySaga(at)
  const scope = { saga: at.saga, services, depth: 0, names: namesOf(definition) }
  yield* checkSteps({ path: "", steps: definition.steps }, scope)
  yield* checkOwnNames(definition, at)
  const steps = SagaPath.index(definition).size
  if (steps > limits.steps) yield new TooManySteps({ ...at, steps })
  yield* checkOptions(definition, { ...at, step: "" })
  const { deadline } = definition
  if (deadline !== undefined && !isTime(deadline)) yield new InvalidDeadline({ ...at, rule: timeRule })
  yield* WaitValidation.signalsOfOneName(definition)
  yield* WaitValidation.signalsAwaitedTwice(definition)
  if (deadline === undefined) yield* WaitValidation.deadlineRequired(definition, transactional)
  yield* WaitValidation.answersInTime(definition)
  yield* PivotValidation.pivot(definition)
  if (definition.state !== "committed") yield new SagaNotCommitted(at)
}

function* checkSteps(sequence: SagaPath.Sequence, scope: Scope): Issues {
  for (const [i, step] of sequence.steps.entries()) {
    const path = SagaPath.child(sequence.path, i)
    const at = { saga: scope.saga, path, step: String(step.name) }
    yield* checkName(step.name, "step", at)
    const usedBy = scope.names.get(at.step)
    if (usedBy !== undefined) yield new StepNameAlreadyUsed({ ...at, usedBy })
    else scope.names.set(at.step, path)
    yield* checkAttributes(step, at)
    yield* checkOptions(step, at)
    yield* checkStep(step, at, scope)
  }
}

function* checkStep(step: Step.SagaStep, at: StepPlace, scope: Scope): Issues {
  switch (step._tag) {
    case "Local":
      return yield* checkLocal(step, at)
    case "Remote":
      return yield* checkRemote(step, at, scope)
    case "Conditional":
      yield* checkAlternatives(step, at)
      return yield* checkInside(step, at, scope)
    case "Nested":
      if (step.saga === Step.notDefined) return yield new SagaNotDefined(at)
      yield* checkFunctions(at, { context: step.context })
      yield* checkOwnNames(step.saga, at)
      if (step.saga.state !== "committed") yield new SagaNotCommitted({ saga: at.saga, path: at.path })
      return yield* checkInside(step, at, scope)
    case "Wait":
      return yield* checkWait(step, at)
    case "Start":
      return yield* checkStart(step, at)
    case "Pivot":
      return
    case "Parallel":
      for (const branch of step.branches) yield* checkName(branch.name, "branch", at)
      return yield* checkInside(step, at, scope)
    case "ForEach":
      yield* checkItems(step, at, scope)
      return yield* checkInside(step, at, scope)
  }
}

// ---- names

function* checkName(value: unknown, kind: InvalidName["kind"], { path, saga }: SagaPlace): Issues {
  if (!isName(value) || isHostileKey(value)) yield new InvalidName({ saga, path, kind, name: String(value) })
}

/** The name of a saga, and the keys of its initial context, of which only hostile ones are refused. */
function* checkOwnNames(definition: Step.Definition, { path, saga }: SagaPlace): Issues {
  yield* checkName(definition.name, "saga", { saga, path })
  for (const key of contextKeys(definition)) {
    if (isHostileKey(key)) yield new InvalidName({ saga, path, kind: "context key", name: key })
  }
}

const contextKeys = ({ context }: Step.Definition): ReadonlyArray<string> =>
  Predicate.hasProperty(context, "fields") ? Object.keys(context.fields as object) : []

const namesOf = (definition: Step.Definition): Map<string, string> =>
  new Map(contextKeys(definition).map((key) => [key, ""]))

// ---- the inside of a step

function* checkInside(step: Step.SagaStep, at: StepPlace, scope: Scope): Issues {
  const sequences = SagaPath.sequences(step, at.path)
  if (sequences.length === 0) yield new EmptySagaStep(at)
  if (scope.depth === limits.nesting) return yield new NestingTooDeep(at)
  const depth = scope.depth + 1
  const before = new Map(scope.names)
  for (const sequence of sequences) {
    if (sequence.steps.length === 0) yield new EmptySagaStep({ ...at, path: sequence.path })
    const names = namesInside(step, at.path, before, scope)
    yield* checkSteps(sequence, { ...scope, depth, names })
    if (step._tag === "Conditional") for (const [name, path] of names) scope.names.set(name, path)
  }
}

/** The names in use before the steps inside another one. */
const namesInside = (step: Step.SagaStep, path: string, before: Scope["names"], scope: Scope): Scope["names"] => {
  switch (step._tag) {
    case "Nested":
      // It has a context of its own.
      return namesOf(step.saga)
    case "Conditional":
      // Only one alternative runs, so alternatives may use the same names.
      return new Map(before)
    case "ForEach":
      // The entries of an item are in no other context, so the steps behind may use their names.
      return new Map(before).set(step.as, path)
    default:
      return scope.names
  }
}

function* checkItems({ as, concurrency, item, items }: Step.ForEach, at: StepPlace, { names }: Scope): Issues {
  yield* checkFunctions(at, { items })
  if (!Schema.isSchema(item)) yield new InvalidOption({ ...at, option: "item", expected: "a schema" })
  yield* checkName(as, "item", at)
  const usedBy = names.get(as)
  if (usedBy !== undefined) yield new StepNameAlreadyUsed({ ...at, step: as, usedBy })
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > limits.concurrency) {
    const expected = `a whole number from 1 to ${limits.concurrency}`
    yield new InvalidOption({ ...at, option: "concurrency", expected })
  }
}

function* checkAlternatives({ alternatives }: Step.Conditional, at: StepPlace): Issues {
  const isElse = (alternative: Step.Alternative) => !("condition" in alternative)
  const others = alternatives.slice(0, -1).filter(isElse).length
  if (others > 0) {
    yield alternatives.slice(-1).some(isElse) || others > 1 ? new MultipleElseThen(at) : new ElseThenNotLast(at)
  }
  for (const [i, alternative] of alternatives.entries()) {
    if (!isElse(alternative))
      yield* checkFunctions({ ...at, path: `${at.path}/if${i}` }, { condition: alternative.condition })
  }
}

function* checkOptions({ unknownOptions = [] }: Mistaken, at: StepPlace): Issues {
  for (const unknown of unknownOptions) yield new InvalidOption({ ...at, ...unknown })
}

/** In items each would replace those of the item before: an execution has one set of them. */
function* checkAttributes({ attributes }: Step.SagaStep, at: StepPlace): Issues {
  if (attributes === undefined) return
  yield* checkFunctions(at, { attributes })
  const expected = "behind a step that is in no forEach"
  if (at.path.includes("/i/")) yield new InvalidOption({ ...at, option: "attributes", expected })
}

// ---- operations

function* checkLocal(step: Step.Local, at: StepPlace): Issues {
  const { compensate, execute } = step
  if (execute === undefined) return yield compensate === undefined ? new EmptySagaStep(at) : new UndefinedOnExecute(at)
  yield* checkFunctions(at, { execute, ...(compensate && { compensate: compensate.run }) })
  if (compensate?.unknown !== undefined) yield* checkFunctions(at, { unknown: compensate.unknown })
  yield* checkSchemas(at, step)
  yield* checkPolicies(step.policies, at)
  const needsUnknown = "needs 'compensate: { run, unknown }'"
  if (!["retry", "compensate", "park"].includes(step.onCrash)) {
    yield new InvalidPolicy({ ...at, option: "onCrash", rule: "must be 'retry', 'compensate' or 'park'" })
  }
  if (compensate?.unknown !== undefined) return
  if (step.onCrash === "compensate") yield new InvalidPolicy({ ...at, option: "onCrash", rule: needsUnknown })
  if (step.policies.timeout !== undefined && compensate !== undefined) {
    yield new InvalidPolicy({ ...at, option: "timeout", rule: needsUnknown })
  }
}

function* checkRemote(step: Step.Remote, at: StepPlace, scope: Scope): Issues {
  const { compensate, execute, onError, onSuccess } = step
  if (execute === undefined) {
    return yield compensate || onError || onSuccess ? new UndefinedOnExecute(at) : new EmptySagaStep(at)
  }
  yield* checkRequest("execute", execute, at, scope)
  if (compensate !== undefined) yield* checkRequest("compensate", compensate, at, scope)
  if (compensate?.later === true) {
    yield new InvalidOption({ ...at, option: "compensate.command", expected: "a command that answers at once" })
  }
  const { unknown } = compensate ?? {}
  yield* checkFunctions(at, {
    ...(onSuccess && { onSuccess }),
    ...(onError && { onError }),
    ...(unknown && { unknown })
  })
  yield* checkSchemas(at, step)
  yield* checkPolicies(step.policies, at)
  if (step.policies.retry !== undefined) {
    yield new InvalidPolicy({
      ...at,
      option: "retry",
      rule: "is for local steps: a request is resent until it is answered"
    })
  }
}

function* checkWait(step: Step.Wait, at: StepPlace): Issues {
  const { key, onTimeout, signal, timeout, until } = step
  // A sleep has no property of this name; a wait may have one without a value.
  if ("signal" in step) {
    if (signal === undefined || !Schema.isSchema(signal.payload)) {
      yield new InvalidOption({ ...at, option: "signal", expected: "a signal, made by Signal.make" })
    } else yield* checkName(signal.name, "signal", at)
  }
  if (timeout !== undefined) yield* checkTimeout(timeout, at, "signal" in step ? "timeout" : "time")
  if (key !== undefined) yield* checkFunctions(at, { key })
  if (onTimeout === undefined) return
  yield* checkFunctions(at, { "onTimeout.value": onTimeout.value })
  if (!Schema.isSchema(onTimeout.success)) {
    yield new InvalidOption({ ...at, option: "onTimeout.success", expected: "a schema" })
  }
  if (timeout === undefined && until === undefined) {
    yield new InvalidOption({ ...at, option: "onTimeout", expected: "beside a 'timeout'" })
  }
}

/** The steps of the other saga are its own: they are checked where it is registered. */
function* checkStart(step: Step.Start, at: StepPlace): Issues {
  const { compensate, context, policies, startKey } = step
  const definition = step.definition()
  if (definition === Step.notDefined) return yield new SagaNotDefined(at)
  if (definition.state !== "committed") yield new SagaNotCommitted({ saga: at.saga, path: at.path })
  yield* checkFunctions(at, { context, ...(startKey && { startKey }), ...(compensate && { compensate }) })
  yield* checkPolicies(policies, at)
}

function* checkRequest(option: string, request: Step.Request, at: StepPlace, { services }: Scope): Issues {
  yield* checkName(request.service, "service", at)
  yield* checkName(request.command, "command", at)
  yield* checkFunctions(at, { [`${option}.payload`]: request.content })
  if (services !== undefined && !services.has(request.service)) {
    yield new UnknownParticipant({ ...at, service: request.service, known: Array.from(services) })
  }
}

function* checkFunctions(at: StepPlace, options: Record<string, unknown>): Issues {
  for (const [option, value] of Object.entries(options)) {
    if (typeof value !== "function") yield new InvalidOption({ ...at, option, expected: "a function" })
  }
}

function* checkSchemas(at: StepPlace, { error, success }: Step.Local | Step.Remote): Issues {
  for (const [option, value] of Object.entries({ success, error })) {
    if (!Schema.isSchema(value)) yield new InvalidOption({ ...at, option, expected: "a schema" })
  }
}

// ---- policies

const isDuration = (millis: number): boolean => millis >= 0 && millis <= limits.duration

const isTime = (millis: number): boolean => isDuration(millis) && millis > 0

const timeRule = "must be a duration longer than zero, of at most 3,650 days"

function* checkTimeout(millis: number, at: StepPlace, option: "timeout" | "time" = "timeout"): Issues {
  if (!isTime(millis)) yield new InvalidPolicy({ ...at, option, rule: timeRule })
}

function* checkPolicies({ retry, retryCompensate, timeout }: Step.Policies, at: StepPlace): Issues {
  if (timeout !== undefined) yield* checkTimeout(timeout, at)
  if (retry !== undefined) yield* checkRetry("retry", retry, at)
  if (retryCompensate !== undefined) yield* checkRetry("retryCompensate", retryCompensate, at)
}

function* checkRetry(option: "retry" | "retryCompensate", { backoff, on, times }: Step.Retry, at: StepPlace): Issues {
  const { factor, initial, max } = backoff
  const rules: Record<string, boolean> = {
    "must say 'times' as a whole number": Number.isInteger(times) && times >= 0,
    "must have durations of at most 3,650 days as 'backoff'": isDuration(initial) && isDuration(max),
    "must have a 'factor' of at least 1": Number.isFinite(factor) && factor >= 1,
    // Attempts of a compensation follow from the clock alone (SPEC C8), which needs a pause between them.
    "must pause between attempts": option === "retry" || initial !== 0,
    "must list tags in 'on'": on === undefined || (Array.isArray(on) && on.every(Predicate.isString))
  }
  for (const [rule, holds] of Object.entries(rules)) {
    if (!holds) yield new InvalidPolicy({ ...at, option, rule })
  }
}
