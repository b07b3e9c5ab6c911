/**
 * The mistakes in a definition as typed errors, each with its place and its rule in words. `SagaValidation` finds them, and
 * `WaitValidation` those about steps that wait.
 */
import { Schema } from "effect"
import { line } from "../wire/OneLine.ts"

/**
 * The limits of SPEC C11: steps of one saga with its nested ones, the depth of their nesting, and ten years in milliseconds: a
 * longer time could not be stored, and means a mistake. `items`: of one list; `itemsOfExecution`: of all lists of an execution, as
 * a list may stand inside the items of another. `concurrency`: of items, as all that are under way are looked at in each turn.
 */
export const limits = {
  steps: 1_000,
  nesting: 16,
  duration: 3_650 * 86_400_000,
  items: 1_000,
  itemsOfExecution: 10_000,
  concurrency: 100
}

/** The path is empty for the saga itself. */
const place = { saga: Schema.String, path: Schema.String }
const stepPlace = { ...place, step: Schema.String }

const say = ({ path, saga, step }: { saga: string; path: string; step?: string }, rule: string): string =>
  line`saga "${saga}"${path === "" ? "" : `, step ${path}`}${step === undefined || step === "" ? "" : ` "${step}"`}: ${rule}`

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
    return say(this, line`a saga can have ${limits.steps} steps, nested ones included; these are ${this.steps}`)
  }
}

export class InvalidName extends Schema.TaggedError<InvalidName>()("InvalidName", {
  ...place,
  kind: Schema.Literals(["saga", "context key", "step", "branch", "item", "service", "command", "signal"]),
  name: Schema.String
}) {
  override get message(): string {
    return say(this, line`"${this.name}" cannot be the name of a ${this.kind}`)
  }
}

export class SagaNotDefined extends Schema.TaggedError<SagaNotDefined>()("SagaNotDefined", stepPlace) {
  override get message(): string {
    return say(this, "the step must define the saga that it runs or starts")
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
      line`the name is already used by ${this.usedBy === "" ? "the initial context" : `step ${this.usedBy}`}`
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
    return say(this, line`there is no participant "${this.service}", only ${this.known.join(", ") || "none"}`)
  }
}

export class NestingTooDeep extends Schema.TaggedError<NestingTooDeep>()("NestingTooDeep", stepPlace) {
  override get message(): string {
    return say(this, line`steps can be nested ${limits.nesting} deep`)
  }
}

export class InvalidPolicy extends Schema.TaggedError<InvalidPolicy>()("InvalidPolicy", {
  ...stepPlace,
  option: Schema.Literals(["timeout", "time", "retry", "retryCompensate", "onCrash"]),
  rule: Schema.String
}) {
  override get message(): string {
    return say(this, line`'${this.option}' ${this.rule}`)
  }
}

export class InvalidOption extends Schema.TaggedError<InvalidOption>()("InvalidOption", {
  ...stepPlace,
  option: Schema.String,
  expected: Schema.String
}) {
  override get message(): string {
    return say(this, line`'${this.option}' must be ${this.expected}`)
  }
}

/** Two steps, or one step of two items, may wait for one signal at the same time, and nothing tells which of them it is for. */
export class SignalAwaitedTwice extends Schema.TaggedError<SignalAwaitedTwice>()("SignalAwaitedTwice", {
  ...stepPlace,
  signal: Schema.String,
  /** The path of the step in the other branch; its own, where the step waits in each item. */
  awaitedBy: Schema.String
}) {
  override get message(): string {
    if (this.awaitedBy === this.path)
      return say(this, line`each item waits for the signal ${this.signal}: give the wait a 'key' that differs by item`)
    return say(
      this,
      line`step ${this.awaitedBy} waits for the signal ${this.signal} at the same time: give them keys that differ`
    )
  }
}

/**
 * A step waits without a limit behind a request that would have to be compensated. The other service keeps what it needs for
 * that as long as the execution may turn back, so that time has to have an end.
 */
export class DeadlineRequired extends Schema.TaggedError<DeadlineRequired>()("DeadlineRequired", {
  ...stepPlace,
  /** The path of the remote step. */
  remote: Schema.String
}) {
  override get message(): string {
    return say(this, line`a wait without a limit after remote step ${this.remote} needs a 'deadline' in Saga.make`)
  }
}

/** A pivot stands inside another step, or is not the only one: the whole execution has one point of no return. */
export class PivotMisplaced extends Schema.TaggedError<PivotMisplaced>()("PivotMisplaced", {
  ...stepPlace,
  rule: Schema.Literals(["once", "top-level"])
}) {
  override get message(): string {
    return say(
      this,
      this.rule === "once"
        ? "a saga has one pivot at most"
        : "a pivot stands between the steps of the saga itself, and in no other step"
    )
  }
}

/** A step behind the pivot has what only a step that can be undone may have. */
export class NotBehindPivot extends Schema.TaggedError<NotBehindPivot>()("NotBehindPivot", {
  ...stepPlace,
  option: Schema.Literals(["compensate", "effect: staged"])
}) {
  override get message(): string {
    const why = this.option === "compensate" ? "nothing is undone there" : "there is no transaction there"
    return say(this, line`'${this.option}' has no place behind the pivot: ${why}`)
  }
}

/** The `deadline` of a saga is no time that it can have. */
export class InvalidDeadline extends Schema.TaggedError<InvalidDeadline>()("InvalidDeadline", {
  ...place,
  rule: Schema.String
}) {
  override get message(): string {
    return say(this, line`'deadline' ${this.rule}`)
  }
}

/** A mistake in a step. */
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
  InvalidOption,
  SignalAwaitedTwice,
  DeadlineRequired,
  PivotMisplaced,
  NotBehindPivot
])
export type SagaStepError = typeof SagaStepError.Type

/** A mistake in a definition. */
export const SagaDefinitionError = Schema.Union([
  EmptySaga,
  SagaNotCommitted,
  TooManySteps,
  InvalidName,
  InvalidDeadline,
  ...SagaStepError.members
])
export type SagaDefinitionError = typeof SagaDefinitionError.Type

export const isSagaStepError: (value: unknown) => value is SagaStepError = Schema.is(SagaStepError)

export const isSagaDefinitionError: (value: unknown) => value is SagaDefinitionError = Schema.is(SagaDefinitionError)
