/**
 * One run of a saga: an immutable value. Its truth is the list of its events; everything else is read from the state
 * that they fold to. `SagaRunner` gives the next execution, `SagaExecutionRepository` stores the events gained.
 */
import { Clock, Effect, Inspectable, Schema } from "effect"
import * as Attributes from "../../definition/Attributes.ts"
import * as Deadline from "../../definition/Deadline.ts"
import type { Definition } from "../../definition/SagaStep.ts"
import * as SagaValidation from "../../definition/SagaValidation.ts"
import { Uuid as UuidText } from "../../wire/Envelope.ts"
import * as JsonCodec from "../../wire/JsonCodec.ts"
import { check, Json, limits, maxContextSize } from "../../wire/JsonLimits.ts"
import { line, summary } from "../../wire/OneLine.ts"
import * as Text from "../../wire/Text.ts"
import * as Uuid from "../../wire/Uuid.ts"
import { SagaEvent } from "../rules/SagaEvent.ts"
import * as Evolution from "../rules/SagaEvolution.ts"
import * as State from "../rules/SagaState.ts"
import { type CommitState, type Decision, SagaStatus } from "../rules/SagaStatus.ts"
import { collect, started, toArray } from "../rules/StepTree.ts"
import { stalledAt } from "../rules/TwoPhaseCommit.ts"
import {
  SagaContextDecodeError,
  SagaContextEncodeError,
  SagaContextTooLarge,
  toError
} from "../view/ExecutionErrors.ts"
import * as Values from "./ContextValues.ts"
import { contextView } from "./ContextView.ts"
import * as Step from "./SagaStepExecution.ts"

export class SagaExecution {
  /** The state that the facts fold to. */
  readonly state: State.SagaState
  /** Absent when the saga is not known to this program: the execution can be shown and not continued. */
  readonly definition: Definition | undefined

  constructor(state: State.SagaState, definition: Definition | undefined) {
    this.state = state
    this.definition = definition
  }

  get uuid(): string {
    return this.state.uuid
  }
  /** Name of the saga. */
  get saga(): string {
    return this.state.creation.saga
  }
  get user(): string | undefined {
    return this.state.creation.user
  }
  get startKey(): string | undefined {
    return this.state.creation.startKey
  }
  get status(): SagaStatus {
    return this.state.status
  }
  get decision(): Decision | null {
    return this.state.decision
  }
  get commitState(): CommitState {
    return this.state.commitState
  }
  /** Number of writes so far. */
  get revision(): number {
    return this.state.revision
  }
  get alreadyRollback(): boolean {
    return this.state.alreadyRollback
  }
  /** Steps that are over, in the order they ran; a failed one is among them. */
  get executedSteps(): ReadonlyArray<Step.SagaStepExecution> {
    return Step.executed(this, this.state.root)
  }
  /** The step whose reply is awaited. */
  get pausedStep(): Step.SagaStepExecution | undefined {
    return Step.paused(this, this.state.root)
  }
  /**
   * The places that need a person: paths of steps that are not compensated, or behind the pivot not done; stalled services
   * (`payments:commit`); and `execution` for one that is set aside as a whole.
   */
  get parked(): ReadonlyArray<string> {
    const { phase, parked, setAside } = this.state
    const places = phase === undefined ? parked : [...parked, ...stalledAt(phase)]
    return setAside === "parked" ? [State.whole, ...places] : places
  }
  /** Services that took part in any step, at any depth. */
  get relatedServices(): ReadonlyArray<string> {
    const found = collect<string>(this.state.root, started, (names, { kind, relatedServices }) => {
      if (kind === "local" || kind === "remote") names.push(...relatedServices)
    })
    return [...new Set(found)].sort()
  }
  /** The values by which people find it, as its start and its steps have made them. Empty where its saga has none. */
  get attributes(): Attributes.Attributes {
    return this.state.attributes ?? noAttributes
  }
  /** When it is rolled back if nothing is decided by then, in milliseconds since the epoch. */
  get deadline(): number | undefined {
    return this.state.deadline
  }
  /** How many signals were received that no step has taken. They stay in `events`. */
  get unusedSignals(): number {
    return this.state.signals.unused.length
  }
  /** Initial values and results so far, decoded; as stored where the definition is not known or does not fit. */
  get context(): unknown {
    const { context } = this.state.root
    if (this.definition === undefined) return Values.encoded(context)
    const view = contextView(this.definition, context)
    return view instanceof SagaContextDecodeError ? Values.encoded(context) : view
  }
  /** The first failure: the error its step declares, or a `SagaSystemError`. */
  get cause(): unknown {
    const { failure } = this.state
    return failure === undefined ? undefined : toError(failure, this.saga, this.definition)
  }
  /** The errors of the rollback: those of the latest attempt at each step. */
  get later(): ReadonlyArray<unknown> {
    return State.laterFailures(this.state).map((failure) => toError(failure, this.saga, this.definition))
  }
  /** All events, oldest first. */
  get events(): ReadonlyArray<SagaEvent> {
    return toArray(this.state.history).reverse()
  }
  /** Nothing is left to do: every service has committed, or every step is compensated and every service was told. */
  get settled(): boolean {
    return State.isSettled(this.state)
  }

  /** For logs: how far the execution is, without its context and its messages. `raw` gives all of it as JSON. */
  toJSON(): unknown {
    const { alreadyRollback, cause, commitState, decision, parked, revision, saga, status, uuid } = this
    const why = cause === undefined ? {} : { cause: summary(cause) }
    return { uuid, saga, status, revision, decision, commitState, alreadyRollback, parked, ...why }
  }
  toString(): string {
    return line`SagaExecution(${this.saga} ${this.uuid}: ${this.status})`
  }
  [Inspectable.NodeInspectSymbol](): unknown {
    return this.toJSON()
  }
}

/** Every step has succeeded: the context is complete. */
export interface Finished<out Ctx> extends Omit<SagaExecution, "context" | "status"> {
  readonly status: "finished"
  readonly context: Ctx
}

/** A reply is awaited: the context has the results so far. */
export interface Paused<out Ctx> extends Omit<SagaExecution, "context" | "status"> {
  readonly status: "paused"
  readonly context: Partial<Ctx>
}

/** It waits for a person behind its pivot: a step there is parked. Others may still run. The context has the results so far. */
export interface Parked<out Ctx> extends Omit<SagaExecution, "context" | "status"> {
  readonly status: "paused" | "running"
  readonly context: Partial<Ctx>
}

/** A step has failed, or a person stopped the execution, and the steps before were compensated. */
export interface Errored<out Ctx, out E> extends Omit<SagaExecution, "cause" | "context" | "status"> {
  readonly status: "errored"
  readonly context: Partial<Ctx>
  readonly cause: E
}

/** It is not over: it runs, waits, or is being undone. The context has the results so far. */
export interface Unfinished<out Ctx> extends Omit<SagaExecution, "context" | "status"> {
  readonly status: Exclude<SagaStatus, "finished" | "errored">
  readonly context: Partial<Ctx>
}

/** The execution with the definition it follows. */
export const bind = (self: SagaExecution, definition: Definition): SagaExecution =>
  new SagaExecution(self.state, definition)

/** One more event; the same execution where it is not admitted. */
export const evolve = (self: SagaExecution, event: SagaEvent): SagaExecution => {
  const state = Evolution.evolve(self.state, event)
  return state === self.state ? self : new SagaExecution(state, self.definition)
}

// ---- making ----------------------------------------------------------------------------------------------------

/** A uuid that a caller gives must not look like one of the library's: those are version 7 (SPEC C9). */
export class SagaInvalidUuid extends Schema.TaggedError<SagaInvalidUuid>()("SagaInvalidUuid", {
  reason: Schema.Literals(["not a uuid", "version 7 is reserved for executions named by the library"])
}) {
  override get message(): string {
    return line`The uuid is refused: ${this.reason}`
  }
}

/**
 * The start key or the user cannot be stored: it is not a string, is too long (512 and 256 bytes), or has a NUL or half a
 * surrogate. Or the deadline is no time that an execution can have, or `attributes` of `Saga.make` gives values that are none. The
 * same for every repository (SPEC C11).
 */
export class SagaInvalidStart extends Schema.TaggedError<SagaInvalidStart>()("SagaInvalidStart", {
  field: Schema.Literals(["startKey", "user", "deadline", "attributes", "queue", "key", "priority"]),
  issue: Schema.String
}) {
  override get message(): string {
    return line`An execution cannot start: its ${this.field} ${this.issue}`
  }
}

const invalidStart = ({ startKey, user }: Options): SagaInvalidStart | undefined => {
  const key = startKey === undefined ? undefined : Text.issueOf(startKey, Text.maxBytes.startKey)
  if (key !== undefined) return new SagaInvalidStart({ field: "startKey", issue: key })
  const name = user === undefined ? undefined : Text.issueOf(user, Text.maxBytes.user)
  return name === undefined ? undefined : new SagaInvalidStart({ field: "user", issue: name })
}

const noAttributes: Attributes.Attributes = {}

export interface Options {
  readonly context?: unknown
  readonly uuid?: string | undefined
  readonly user?: string | undefined
  readonly startKey?: string | undefined
  /** As `deadline` of `SagaManager.run`. */
  readonly deadline?: Deadline.Deadline | undefined
}

/** The first events of an execution, or why there cannot be any. */
export const creation = (
  definition: Definition,
  options: Options & { readonly uuid: string },
  now: number
): SagaExecution | SagaContextEncodeError | SagaContextTooLarge | SagaInvalidStart => {
  const invalid = invalidStart(options)
  if (invalid !== undefined) return invalid
  const deadline = options.deadline === undefined ? undefined : Deadline.at(options.deadline, now)
  if (typeof deadline === "string") return new SagaInvalidStart({ field: "deadline", issue: deadline })
  const encoded = JsonCodec.encode(definition.context, options.context ?? {})
  if (JsonCodec.isCodecIssue(encoded)) return new SagaContextEncodeError({ path: "", step: "", issue: encoded.message })
  const attributes = definition.attributes && Attributes.of(definition.attributes, options.context ?? {})
  if (typeof attributes === "string") return new SagaInvalidStart({ field: "attributes", issue: attributes })
  const { startKey, user, uuid } = options
  const { fingerprint, name, version } = definition
  const fact = { _tag: "ExecutionCreated", uuid, saga: name, fingerprint, context: encoded ?? {}, at: now } as const
  // Most have none of the others, and an object that is put together from parts costs more.
  const isPlain = version === undefined && user === undefined && startKey === undefined && attributes === undefined
  const state = State.created(
    isPlain
      ? fact
      : {
          ...fact,
          ...(version !== undefined && { version }),
          ...(user !== undefined && { user }),
          ...(startKey !== undefined && { startKey }),
          ...(attributes !== undefined && { attributes })
        }
  )
  const { size } = state.root.context
  if (size > maxContextSize)
    return new SagaContextTooLarge({ path: "", step: "", issue: `${size} of ${maxContextSize} bytes` })
  const created = new SagaExecution(state, definition)
  return deadline === undefined ? created : timed(created, now, deadline)
}

/** The execution with its deadline, if it has one: the earlier of those of the saga and of the run (SPEC C18). */
export const timed = (self: SagaExecution, now: number, ofRun = Number.POSITIVE_INFINITY): SagaExecution => {
  const { deadline: longest = Number.POSITIVE_INFINITY } = self.definition ?? {}
  const deadline = Math.min(self.state.creation.at + longest, ofRun)
  return Number.isFinite(deadline) ? evolve(self, { _tag: "DeadlineSet", deadline, at: now }) : self
}

/** The uuid given by a caller in its stored form. */
export const callerUuid = (text: string): string | SagaInvalidUuid => {
  const uuid = Uuid.normalize(text)
  if (uuid === undefined) return new SagaInvalidUuid({ reason: "not a uuid" })
  return Uuid.version(uuid) === "7"
    ? new SagaInvalidUuid({ reason: "version 7 is reserved for executions named by the library" })
    : uuid
}

/** A new execution of a committed saga. */
export const fromDefinition = Effect.fnUntraced(function* (
  definition: Definition,
  options: Options = {}
): Effect.fn.Return<
  SagaExecution,
  SagaValidation.SagaDefinitionError | SagaContextEncodeError | SagaContextTooLarge | SagaInvalidUuid | SagaInvalidStart
> {
  const issue = SagaValidation.validate(definition)[0]
  if (issue !== undefined) return yield* Effect.fail(issue)
  const now = yield* Clock.currentTimeMillis
  const uuid = options.uuid === undefined ? (yield* Uuid.UuidGenerator).next(now) : callerUuid(options.uuid)
  if (typeof uuid !== "string") return yield* uuid
  const execution = creation(definition, { ...options, uuid }, now)
  return execution instanceof SagaExecution ? execution : yield* Effect.fail(execution)
})

/** Folds what a repository holds: the facts of each write, in order; those at the end may not be stored yet. */
export const fromEvents = (
  writes: number,
  events: ReadonlyArray<SagaEvent>,
  unstored = 0
): SagaExecution | SagaDecodeError => {
  const [first] = events
  if (first?._tag !== "ExecutionCreated") return new SagaDecodeError({ issue: "$.events: no ExecutionCreated" })
  const kept = Math.max(1, events.length - unstored)
  const before = folded(State.created(first), events.slice(1, kept))
  if (before instanceof SagaDecodeError) return before
  const isStored = unstored < events.length
  const stored = isStored ? Evolution.stored(before, writes) : { ...before, revision: writes }
  const state = folded(stored, events.slice(kept))
  return state instanceof SagaDecodeError ? state : new SagaExecution(state, undefined)
}

/**
 * A fact that the execution does not admit was not written by these rules. To skip it would run the execution from a state
 * that it was never in (F35).
 */
const folded = (self: State.SagaState, events: ReadonlyArray<SagaEvent>): State.SagaState | SagaDecodeError => {
  let state = self
  for (const event of events) {
    const next = Evolution.evolve(state, event)
    if (next === state) return new SagaDecodeError({ issue: `$.events: a ${event._tag} that does not fit` })
    state = next
  }
  return state
}

/** The events gained since the last write. */
export const unstored = (self: SagaExecution): ReadonlyArray<SagaEvent> => {
  const events: Array<SagaEvent> = []
  let node = self.state.history
  for (let i = 0; i < self.state.unstored; i++) {
    events.push(node!.head)
    node = node!.tail
  }
  return events.reverse()
}

export type Announcement = Extract<SagaEvent, { readonly message: unknown }>

/** The messages among the events gained since the last write, oldest first; undefined: none. */
export const unstoredMessages = ({ state }: SagaExecution): ReadonlyArray<Announcement> | undefined => {
  let messages: Array<Announcement> | undefined
  let node = state.history
  for (let i = 0; i < state.unstored; i++) {
    const event = node!.head
    if ("message" in event) messages = [event, ...(messages ?? [])]
    node = node!.tail
  }
  return messages
}

/** The execution after its write. */
export const stored = (self: SagaExecution): SagaExecution =>
  new SagaExecution(Evolution.stored(self.state, self.state.revision + 1), self.definition)

// ---- encoded form ----------------------------------------------------------------------------------------------

/**
 * An execution as one JSON value. `revision` and `events` are what it is read back from; the rest is there for people
 * and follows from them.
 */
export const Raw = Schema.Struct({
  v: Schema.Literal(1),
  definition: Schema.Struct({
    name: Schema.String,
    version: Schema.NullOr(Schema.String),
    fingerprint: Schema.String
  }),
  uuid: UuidText,
  status: SagaStatus,
  executedSteps: Schema.Array(Step.Raw),
  pausedStep: Schema.NullOr(Step.Raw),
  context: Schema.Record(Schema.String, Json),
  alreadyRollback: Schema.Boolean,
  user: Schema.NullOr(Schema.String),
  revision: Schema.Int,
  /** Events at the end that no write has stored yet. */
  unstored: Schema.Int,
  events: Schema.Array(SagaEvent)
})
export type Raw = typeof Raw.Type

export const raw = (self: SagaExecution): Raw => {
  const { creation, revision, root, status, unstored, uuid } = self.state
  const { fingerprint, saga, user, version } = creation
  return {
    v: 1,
    definition: { name: saga, version: version ?? null, fingerprint },
    uuid,
    status,
    executedSteps: self.executedSteps.map(Step.raw),
    pausedStep: self.pausedStep === undefined ? null : Step.raw(self.pausedStep),
    context: Values.encoded(root.context),
    alreadyRollback: self.alreadyRollback,
    user: user ?? null,
    revision,
    unstored,
    events: self.events
  }
}

/** The encoded form of an execution cannot be read. */
export class SagaDecodeError extends Schema.TaggedError<SagaDecodeError>()("SagaDecodeError", {
  issue: Schema.String
}) {
  override get message(): string {
    return line`The encoded form of an execution cannot be read: ${this.issue}`
  }
}

const decodeRaw = Schema.decodeUnknownEffect(Raw)

/** How deep a value may stand in the list of events. */
const depthOfEvents = 4

/**
 * Reads the encoded form back. An execution is returned as it is. Without the definition it was made from (the same
 * name and fingerprint) it can be shown only.
 */
export const fromRaw = Effect.fnUntraced(function* (
  encoded: unknown,
  definition?: Definition
): Effect.fn.Return<SagaExecution, SagaDecodeError> {
  if (encoded instanceof SagaExecution) return encoded
  const raw = yield* decodeRaw(encoded).pipe(
    Effect.mapError((error) => new SagaDecodeError({ issue: JsonCodec.placesOf(error) }))
  )
  const checked = check(raw.events, { ...limits, maxDepth: limits.maxDepth + depthOfEvents })
  if (typeof checked !== "number") return yield* new SagaDecodeError({ issue: `$.events: ${checked.message}` })
  const count = raw.unstored >= 0 && raw.unstored <= raw.events.length ? raw.unstored : 0
  const execution = fromEvents(raw.revision, raw.events, count)
  if (execution instanceof SagaDecodeError) return yield* execution
  const { fingerprint, saga } = execution.state.creation
  if (raw.uuid !== execution.uuid) return yield* new SagaDecodeError({ issue: "$.uuid: not that of the events" })
  if (raw.revision < 0) return yield* new SagaDecodeError({ issue: "$.revision: less than 0" })
  if (raw.unstored < 0 || raw.unstored > execution.events.length)
    return yield* new SagaDecodeError({ issue: "$.unstored: not a number of events" })
  const isSame = definition?.name === saga && definition.fingerprint === fingerprint
  return isSame ? bind(execution, definition) : execution
})
