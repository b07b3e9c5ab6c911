/**
 * Every mistake in a definition, with the place where it is: those the types cannot see (names that are only `string`,
 * limits, participants that are not there) and those that plain JavaScript makes where TypeScript would not compile.
 *
 * The order is that of reading: an empty saga first, then the steps one after the other, then the saga as a whole.
 */
import { Predicate, Schema } from "effect"
import type * as Participant from "./ParticipantContract.ts"
import * as Saga from "./Saga.ts"
import * as SagaPath from "./SagaPath.ts"
import type * as Step from "./SagaStep.ts"

/** Limits of SPEC C11. */
export const limits = { steps: 1_000, nesting: 16 }

// ---- issues

/** `path` is empty for the saga itself. */
const place = { saga: Schema.String, path: Schema.String }
const stepPlace = { ...place, step: Schema.String }

const say = ({ path, saga, step }: { saga: string; path: string; step?: string }, rule: string): string =>
  `saga "${saga}"${path === "" ? "" : `, step ${path}`}${step === undefined ? "" : ` "${step}"`}: ${rule}`

export class EmptySaga extends Schema.TaggedError<EmptySaga>()("EmptySaga", place) {
  override get message(): string {
    return say(this, "a saga must have at least one step")
  }
}

export class SagaNotCommitted extends Schema.TaggedError<SagaNotCommitted>()("SagaNotCommitted", place) {
  override get message(): string {
    return say(this, "only a committed saga can run: end it with Saga.commit")
  }
}

export class TooManySteps extends Schema.TaggedError<TooManySteps>()("TooManySteps", {
  ...place,
  steps: Schema.Int
}) {
  override get message(): string {
    return say(this, `a saga can have ${limits.steps} steps, nested ones included; these are ${this.steps}`)
  }
}

export class InvalidName extends Schema.TaggedError<InvalidName>()("InvalidName", {
  ...place,
  kind: Schema.Literals(["saga", "context key", "step", "branch", "service", "command"]),
  name: Schema.String
}) {
  override get message(): string {
    return say(this, `"${this.name}" cannot be the name of a ${this.kind}`)
  }
}

export class SagaNotDefined extends Schema.TaggedError<SagaNotDefined>()("SagaNotDefined", stepPlace) {
  override get message(): string {
    return say(this, "a nested step must define the saga it runs")
  }
}

export class EmptySagaStep extends Schema.TaggedError<EmptySagaStep>()("EmptySagaStep", stepPlace) {
  override get message(): string {
    return say(this, "a step, an alternative and a branch must define at least one operation")
  }
}

export class UndefinedOnExecute extends Schema.TaggedError<UndefinedOnExecute>()("UndefinedOnExecute", stepPlace) {
  override get message(): string {
    return say(this, "a step must define at least 'execute'")
  }
}

export class StepNameAlreadyUsed extends Schema.TaggedError<StepNameAlreadyUsed>()("StepNameAlreadyUsed", {
  ...stepPlace,
  /** The path of the other step; empty for an entry of the initial context. */
  usedBy: Schema.String
}) {
  override get message(): string {
    return say(
      this,
      `the name is already used by ${this.usedBy === "" ? "the initial context" : `step ${this.usedBy}`}`
    )
  }
}

export class ElseThenNotLast extends Schema.TaggedError<ElseThenNotLast>()("ElseThenNotLast", stepPlace) {
  override get message(): string {
    return say(this, "'elseThen' must be the last alternative")
  }
}

export class MultipleElseThen extends Schema.TaggedError<MultipleElseThen>()("MultipleElseThen", stepPlace) {
  override get message(): string {
    return say(this, "a conditional step can only define one 'elseThen'")
  }
}

export class UnknownParticipant extends Schema.TaggedError<UnknownParticipant>()("UnknownParticipant", {
  ...stepPlace,
  service: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return say(this, `there is no participant "${this.service}", only ${this.known.join(", ") || "none"}`)
  }
}

export class NestingTooDeep extends Schema.TaggedError<NestingTooDeep>()("NestingTooDeep", stepPlace) {
  override get message(): string {
    return say(this, `steps can be nested ${limits.nesting} deep`)
  }
}

export class InvalidPolicy extends Schema.TaggedError<InvalidPolicy>()("InvalidPolicy", {
  ...stepPlace,
  option: Schema.Literals(["timeout", "retry", "retryCompensate", "onCrash"]),
  rule: Schema.String
}) {
  override get message(): string {
    return say(this, `'${this.option}' ${this.rule}`)
  }
}

export class InvalidOption extends Schema.TaggedError<InvalidOption>()("InvalidOption", {
  ...stepPlace,
  option: Schema.String,
  expected: Schema.String
}) {
  override get message(): string {
    return say(this, `'${this.option}' must be ${this.expected}`)
  }
}

/** What can be wrong with a step. */
export const SagaStepError = Schema.Union([
  SagaNotDefined,
  EmptySagaStep,
  UndefinedOnExecute,
  StepNameAlreadyUsed,
  ElseThenNotLast,
  MultipleElseThen,
  UnknownParticipant,
  NestingTooDeep,
  InvalidPolicy,
  InvalidOption
])
export type SagaStepError = typeof SagaStepError.Type

/** What can be wrong with a definition. */
export const SagaDefinitionError = Schema.Union([
  EmptySaga,
  SagaNotCommitted,
  TooManySteps,
  InvalidName,
  ...SagaStepError.members
])
export type SagaDefinitionError = typeof SagaDefinitionError.Type

export const isSagaStepError: (value: unknown) => value is SagaStepError = Schema.is(SagaStepError)

export const isSagaDefinitionError: (value: unknown) => value is SagaDefinitionError = Schema.is(SagaDefinitionError)

// ---- rules

export interface Options {
  /** The participants of the system: with them, or `knownServices`, every service that is asked must be one of them. */
  readonly participants?: ReadonlyArray<Participant.Any>
  /** Services without a `Participant`. */
  readonly knownServices?: ReadonlyArray<string>
}

const validated = new WeakMap<Step.Definition, ReadonlyArray<SagaDefinitionError>>()

/** All issues of a saga. None: it can run. Asked without options it answers from memory, so every run may ask. */
export const validate = (saga: Step.Definition, options?: Options): ReadonlyArray<SagaDefinitionError> => {
  if (options !== undefined) return Array.from(checkSaga(saga, options))
  const known = validated.get(saga)
  if (known !== undefined) return known
  const issues = Array.from(checkSaga(saga, {}))
  validated.set(saga, issues)
  return issues
}

type Issues = Generator<SagaDefinitionError, void>

interface Place {
  readonly saga: string
  readonly path: string
}

interface StepPlace extends Place {
  readonly step: string
}

/** What surrounds a step: where it is, who can be asked, and the path of the step that uses each name. */
interface Scope {
  readonly saga: string
  readonly services: ReadonlySet<string> | undefined
  readonly depth: number
  readonly names: Map<string, string>
}

function* checkSaga(definition: Step.Definition, { knownServices, participants }: Options): Issues {
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
  if (definition.state !== "committed") yield new SagaNotCommitted(at)
}

function* checkSteps(part: SagaPath.Part, scope: Scope): Issues {
  for (const [i, step] of part.steps.entries()) {
    const path = SagaPath.child(part.path, i)
    const at = { saga: scope.saga, path, step: String(step.name) }
    yield* checkName(step.name, "step", at)
    const usedBy = scope.names.get(at.step)
    if (usedBy !== undefined) yield new StepNameAlreadyUsed({ ...at, usedBy })
    else scope.names.set(at.step, path)
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
      return yield* checkParts(step, at, scope)
    case "Nested":
      if (step.saga === Saga.notDefined) return yield new SagaNotDefined(at)
      yield* checkFunctions(at, { context: step.context })
      yield* checkOwnNames(step.saga, at)
      if (step.saga.state !== "committed") yield new SagaNotCommitted({ saga: at.saga, path: at.path })
      return yield* checkParts(step, at, scope)
    case "Parallel":
      for (const branch of step.branches) yield* checkName(branch.name, "branch", at)
      return yield* checkParts(step, at, scope)
  }
}

// ---- names

const name = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/

/** They would reach the prototype of an object they are a key of. */
const hostile: ReadonlyArray<string> = ["__proto__", "prototype", "constructor"]

function* checkName(value: unknown, kind: InvalidName["kind"], { path, saga }: Place): Issues {
  const isName = typeof value === "string" && name.test(value) && !hostile.includes(value)
  if (!isName) yield new InvalidName({ saga, path, kind, name: String(value) })
}

/** The name of a saga and the entries of its initial context, which may be named as their author likes. */
function* checkOwnNames(definition: Step.Definition, { path, saga }: Place): Issues {
  yield* checkName(definition.name, "saga", { saga, path })
  for (const key of contextKeys(definition)) {
    if (hostile.includes(key)) yield new InvalidName({ saga, path, kind: "context key", name: key })
  }
}

const contextKeys = ({ context }: Step.Definition): ReadonlyArray<string> =>
  Predicate.hasProperty(context, "fields") ? Object.keys(context.fields as object) : []

const namesOf = (definition: Step.Definition): Map<string, string> =>
  new Map(contextKeys(definition).map((key) => [key, ""]))

// ---- what stands inside a step

function* checkParts(step: Step.SagaStep, at: StepPlace, scope: Scope): Issues {
  const parts = SagaPath.parts(step, at.path)
  if (parts.length === 0) yield new EmptySagaStep(at)
  if (scope.depth === limits.nesting) return yield new NestingTooDeep(at)
  const depth = scope.depth + 1
  const before = new Map(scope.names)
  for (const part of parts) {
    if (part.steps.length === 0) yield new EmptySagaStep({ ...at, path: part.path })
    // A nested saga has a context of its own. Of alternatives only one runs, so they may give the same results.
    const names =
      step._tag === "Nested" ? namesOf(step.saga) : step._tag === "Conditional" ? new Map(before) : scope.names
    yield* checkSteps(part, { ...scope, depth, names })
    if (step._tag === "Conditional") for (const [name, path] of names) scope.names.set(name, path)
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

const isDuration = (millis: number): boolean => Number.isFinite(millis) && millis >= 0

function* checkPolicies({ retry, retryCompensate, timeout }: Step.Policies, at: StepPlace): Issues {
  if (timeout !== undefined && !(isDuration(timeout) && timeout > 0)) {
    yield new InvalidPolicy({ ...at, option: "timeout", rule: "must be a duration longer than zero" })
  }
  if (retry !== undefined) yield* checkRetry("retry", retry, at)
  if (retryCompensate !== undefined) yield* checkRetry("retryCompensate", retryCompensate, at)
}

function* checkRetry(option: "retry" | "retryCompensate", { backoff, on, times }: Step.Retry, at: StepPlace): Issues {
  const { factor, initial, max } = backoff
  const rules: Record<string, boolean> = {
    "must say 'times' as a whole number": Number.isInteger(times) && times >= 0,
    "must have durations as 'backoff'": isDuration(initial) && isDuration(max),
    "must have a 'factor' of at least 1": Number.isFinite(factor) && factor >= 1,
    // Its attempts follow from the clock alone (SPEC C8), which needs a pause between them.
    "must pause between attempts": option === "retry" || initial !== 0,
    "must list tags in 'on'": on === undefined || (Array.isArray(on) && on.every(Predicate.isString))
  }
  for (const [rule, holds] of Object.entries(rules)) {
    if (!holds) yield new InvalidPolicy({ ...at, option, rule })
  }
}
