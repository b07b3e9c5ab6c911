/**
 * The spans of one run of an execution, which is one activation: its start or `saga.decide`, its steps, the messages that it
 * sends, and at the end of the execution a summary. What links them to each other stands in the facts: the context of the
 * start, and those of the messages and waits, which are the last trace of the activation before.
 */
import { Cause, Clock, Effect, Exit, type Fiber, type Tracer } from "effect"
import type { Instruction } from "../execution/rules/Instruction.ts"
import type { SagaEvent } from "../execution/rules/SagaEvent.ts"
import type { SagaState } from "../execution/rules/SagaState.ts"
import { stepAt } from "../execution/rules/StepTree.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { BrokerError } from "../ports/Broker.ts"
import * as Tracing from "../ports/Tracing.ts"
import { attemptOf, type Envelope } from "../wire/Envelope.ts"
import { errorOf, settles, tagOf } from "./MeasureFacts.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** The spans of starts that are not stored yet, by the fact that starts. */
const starts = new WeakMap<object, Tracer.Span>()

const idOf = ({ creation, uuid }: SagaState) => ({ "saga.name": creation.saga, "saga.uuid": uuid })

/** Begins the span of a start, in the trace of the caller. Undefined: nothing is traced. */
export const start = (
  fiber: AnyFiber,
  { modeOf }: Tracing.Tracing,
  saga: string,
  uuid: string
): Tracer.Span | undefined =>
  Tracing.isOn(fiber) && modeOf(saga) !== "off"
    ? Tracing.begin(fiber, `saga.start ${saga}`, {
        parent: fiber.cache.span,
        attributes: { "saga.name": saga, "saga.uuid": uuid }
      })
    : undefined

/** Remembers the span of a start until it is stored. */
export const starting = ({ state }: SagaExecution, span: Tracer.Span): void => {
  if (state.start !== undefined && span.sampled) starts.set(state.start, span)
}

/** Ends the span of a start that is stored. */
export const started = ({ state }: SagaExecution, clock: Clock.Clock): void => {
  if (state.start?.trace === undefined) return
  const span = starts.get(state.start)
  if (span !== undefined) Tracing.end(span, clock, { outcome: "started" })
}

/** Ends the span of a start with a start that fails, where nothing was stored. */
export const ending = <A, E extends { readonly _tag: string }>(
  { state }: SagaExecution,
  clock: Clock.Clock,
  self: Effect.Effect<A, E>
): Effect.Effect<A, E> => {
  const span = state.start?.trace === undefined || isUnsampled(state) ? undefined : starts.get(state.start)
  return span === undefined
    ? self
    : Effect.tapError(self, ({ _tag }) =>
        Effect.sync(() => Tracing.end(span, clock, { outcome: "failed", error: _tag }))
      )
}

/** The trace of a run; undefined: nothing is traced. */
export const of = (
  fiber: AnyFiber,
  { modeOf }: Tracing.Tracing,
  execution: SagaExecution,
  system: string | undefined
): ExecutionTrace | undefined => {
  if (!Tracing.isOn(fiber)) return undefined
  const mode = modeOf(execution.saga)
  return mode === "off" || isUnsampled(execution.state)
    ? undefined
    : new ExecutionTrace(fiber, mode, execution.state, system)
}

/** A tracer that keeps one trace of many has decided at the start: what it drops is not made. */
const isUnsampled = ({ start }: SagaState): boolean => start?.trace?.endsWith("-00") === true

/** Work that has a span. The other instructions call pure functions, or ask participants. */
export type Spanned = Extract<
  Instruction,
  { readonly _tag: "RunStep" | "Compensate" | "BuildRequest" | "HandleReply" | "BuildProbe" | "BuildCompensation" }
>

export const isSpanned = (instruction: Instruction): instruction is Spanned => {
  switch (instruction._tag) {
    case "RunStep":
    case "Compensate":
    case "BuildRequest":
    case "HandleReply":
    case "BuildProbe":
    case "BuildCompensation":
      return true
    default:
      return false
  }
}

export class ExecutionTrace {
  private readonly fiber: AnyFiber
  private readonly mode: Tracing.Mode
  private readonly clock: Clock.Clock
  private readonly system: string
  /** The first span of the activation: the others are inside. Undefined: nothing has happened yet. */
  private root: Tracer.AnySpan | undefined
  private decision: Tracer.Span | undefined
  /** The spans of messages that are built and have not left, by their ids. */
  private readonly sends = new Map<string, Tracer.Span>()

  constructor(fiber: AnyFiber, mode: Tracing.Mode, state: SagaState, system = Tracing.unknownSystem) {
    this.fiber = fiber
    this.mode = mode
    this.system = system
    this.clock = fiber.getRef(Clock.Clock)
    if (state.revision === 0 && state.start !== undefined) this.root = starts.get(state.start)
  }

  /** The context of the activation, as a wait that begins stores it. */
  context(state: SagaState): string {
    return Tracing.contextOf(this.begins(state))
  }

  /** The activation begins, if it has not. One in which nothing is stored or done is never ended, and so not seen. */
  begins(state: SagaState): Tracer.AnySpan {
    if (this.root !== undefined) return this.root
    this.decision = Tracing.begin(this.fiber, `saga.decide ${state.creation.saga}`, {
      ...this.place(state),
      attributes: idOf(state)
    })
    this.root = this.decision
    return this.decision
  }

  /** What follows from the inputs is stored, or done. */
  decided(): void {
    if (this.decision !== undefined) Tracing.end(this.decision, this.clock, { outcome: "decided" })
  }

  /** The place of a span that begins a trace of its own, or goes on in that of the start. */
  private place(state: SagaState): Pick<Tracing.SpanOptions, "parent" | "links"> {
    const begun = Tracing.spanOf(state.start?.trace)
    if (this.mode === "nested") return { parent: begun }
    const before = Tracing.spanOf(latest(state))
    const links = [begun, before].filter((span) => span !== undefined)
    return { parent: undefined, links: begun?.spanId === before?.spanId ? links.slice(0, 1) : links }
  }

  /** Begins the span of a step or of its undoing. */
  step(state: SagaState, instruction: Spanned, attempt = attemptIn(state, instruction)): Tracer.Span {
    const { _tag, path, step } = instruction
    const isUndone = _tag === "Compensate" || _tag === "BuildProbe" || _tag === "BuildCompensation"
    const name = `${isUndone ? "saga.undo" : "saga.step"} ${state.creation.saga}/${step.name}`
    return Tracing.begin(this.fiber, name, {
      parent: this.begins(state),
      attributes: { ...idOf(state), "saga.step.name": step.name, "saga.step.path": path, "saga.attempt": attempt }
    })
  }

  /** Ends the span of a step by the facts that it has brought. */
  stepEnded(span: Tracer.Span, facts: ReadonlyArray<SagaEvent>): void {
    Tracing.end(span, this.clock, outcomeOf(facts))
  }

  /** Gives each attempt of a step a span of its own. */
  attempts<A, E>(
    state: SagaState,
    instruction: Spanned,
    attempt: (span: Tracer.Span) => Effect.Effect<A, E>
  ): Effect.Effect<A, E> {
    let count = 0
    return Effect.suspend(() => {
      const span = this.step(state, instruction, ++count)
      return Effect.onExit(attempt(span), (exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) Tracing.end(span, this.clock, { outcome: "succeeded" })
          else if (Cause.hasInterruptsOnly(exit.cause)) this.interrupted(span)
          else Tracing.end(span, this.clock, { outcome: "failed", error: tagIn(exit.cause) })
        })
      )
    })
  }

  /** Ends a span whose work was interrupted or has died: it has brought no facts. */
  interrupted(span: Tracer.Span): void {
    Tracing.end(span, this.clock, { outcome: "interrupted" })
  }

  /** Begins the span of a message, and gives the context that the message carries. It ends when the message has left. */
  send(state: SagaState, message: Envelope, command: string, parent: Tracer.AnySpan | undefined): string {
    const { id, path, service } = message
    const span = Tracing.begin(this.fiber, `send ${service}/${command}`, {
      kind: "producer",
      parent: parent ?? this.begins(state),
      attributes: {
        ...idOf(state),
        ...Tracing.messaging("send", { id, uuid: state.uuid, system: this.system }),
        "saga.step.path": path,
        "saga.attempt": attemptOf(id)
      }
    })
    this.sends.set(id, span)
    return Tracing.contextOf(span)
  }

  /** Ends the span of a message that is handed to the broker. What the broker does not take is sent again. */
  sending({ id }: Envelope, published: Effect.Effect<void, BrokerError>): Effect.Effect<void, BrokerError> {
    const span = this.sends.get(id)
    this.sends.delete(id)
    if (span === undefined) return published
    return Effect.matchEffect(published, {
      onFailure: (error) => {
        Tracing.end(span, this.clock, { outcome: "failed", error: `${error._tag}/${error.reason}` })
        return Effect.fail(error)
      },
      onSuccess: () => Effect.sync(() => Tracing.end(span, this.clock, { outcome: "sent" }))
    })
  }

  /** The facts are stored. An execution that is settled by them gets its summary. */
  stored({ state }: SagaExecution, stored: SagaExecution): void {
    if (!settles(state, stored)) return
    const { creation, failure, start, status, updatedAt } = state
    const begun = Tracing.spanOf(start?.trace)
    const links = [begun, this.root].filter((span) => span !== undefined)
    const summary = Tracing.begin(this.fiber, `saga ${creation.saga}`, {
      ...(this.mode === "nested" ? { parent: begun } : { parent: undefined, links }),
      attributes: idOf(state),
      startedAt: creation.at
    })
    const error = failure === undefined ? undefined : errorOf(failure)
    Tracing.end(summary, this.clock, { outcome: status, error }, Math.max(creation.at, updatedAt))
  }
}

/** The context that was stored last: that of the activation before. */
const latest = ({ history }: SagaState): string | undefined => {
  for (let node = history; node !== undefined; node = node.tail) {
    const fact = node.head
    if ("message" in fact && fact.message.trace !== undefined) return fact.message.trace
    if ((fact._tag === "WaitStarted" || fact._tag === "ExecutionStarted") && fact.trace !== undefined) return fact.trace
  }
  return undefined
}

const attemptIn = ({ root }: SagaState, instruction: Spanned): number => {
  const { _tag, path } = instruction
  if (_tag === "BuildRequest") return instruction.attempt
  const step = stepAt(root, path)?.step
  return 1 + ((_tag === "Compensate" ? step?.compensation?.failedAttempts : step?.tries?.failures) ?? 0)
}

/** The tag of the error that a callback has failed with. */
const tagIn = ({ reasons }: Cause.Cause<unknown>): string => {
  const error = reasons.find((reason) => reason._tag === "Fail")?.error
  return typeof error === "object" && error !== null && "_tag" in error && typeof error._tag === "string"
    ? tagOf(error._tag)
    : "StepDefect"
}

/** By the last fact of the work. */
const outcomeOf = (facts: ReadonlyArray<SagaEvent>): Tracing.Outcome => {
  const fact = facts.at(-1)
  switch (fact?._tag) {
    case "StepFailed":
    case "CompensationFailed":
      return { outcome: "failed", error: errorOf(fact.failure) }
    case "StepParked":
      return { outcome: "parked", error: "StepParked" }
    case "StepCompensated":
      return { outcome: "undone" }
    case "RequestSent":
    case "ProbeSent":
    case "CompensationSent":
      return { outcome: "built" }
    default:
      return { outcome: "succeeded" }
  }
}
