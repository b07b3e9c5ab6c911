/**
 * A run told by hand, for examples: `begin(PlaceOrder, context).start().succeeds("0", "r-1").next` is what is decided
 * after the first step. Every event must be admitted, and every value is immutable: stories branch where they like.
 */
import { Result } from "effect"
import * as SagaPath from "../../../src/definition/SagaPath.ts"
import type { Definition, SagaStep } from "../../../src/definition/SagaStep.ts"
import type { Instruction } from "../../../src/execution/rules/Instruction.ts"
import type { Moment } from "../../../src/execution/rules/Moment.ts"
import * as ParkedInput from "../../../src/execution/rules/ParkedInput.ts"
import * as RetrySchedule from "../../../src/execution/rules/RetrySchedule.ts"
import * as Decision from "../../../src/execution/rules/SagaDecision.ts"
import type { Of, SagaEvent } from "../../../src/execution/rules/SagaEvent.ts"
import { evolve } from "../../../src/execution/rules/SagaEvolution.ts"
import type { SagaFailure } from "../../../src/execution/rules/SagaFailure.ts"
import * as SagaInput from "../../../src/execution/rules/SagaInput.ts"
import type { SagaState } from "../../../src/execution/rules/SagaState.ts"
import * as SignalInput from "../../../src/execution/rules/SignalInput.ts"
import { stepAt } from "../../../src/execution/rules/StepTree.ts"
import * as Execution from "../../../src/execution/view/SagaExecution.ts"
import { type Envelope, messageId, type Op, type ReplyStatus } from "../../../src/wire/Envelope.ts"
import type { Json } from "../../../src/wire/JsonLimits.ts"
import { deepFreeze } from "./freeze.ts"

export const uuid = "6f1c9a52-58aa-4d0c-9a5e-1a2b3c4d5e6f"
export const schedule = RetrySchedule.defaults

/** Nothing waits longer than this, so a story that starts here has round numbers. */
const start = 1_000_000

export const begin = (definition: Definition, context: unknown = {}, options: Execution.Options = {}): Story => {
  const created = Execution.creation(definition, { ...options, uuid: options.uuid ?? uuid, context }, start)
  if (!(created instanceof Execution.SagaExecution)) throw created
  return new Story(definition, created.state, start, start, { schedule })
}

export class Story {
  readonly definition: Definition
  readonly state: SagaState
  readonly now: number
  /** When this execution was looked at last. */
  readonly since: number
  readonly policy: SagaInput.Policy
  /** Since when the process has been there. */
  readonly presentSince: number
  /** From when on the attempt counts that waits after an absence. */
  readonly attemptSince: number

  constructor(
    definition: Definition,
    state: SagaState,
    now: number,
    since: number,
    policy: SagaInput.Policy,
    presentSince = Number.NEGATIVE_INFINITY,
    attemptSince = Number.NEGATIVE_INFINITY
  ) {
    this.definition = definition
    this.state = deepFreeze(state)
    this.now = now
    this.since = since
    this.policy = policy
    this.presentSince = presentSince
    this.attemptSince = since < presentSince ? now : attemptSince
  }

  // ---- what is read

  get moment(): Moment & SagaInput.Policy {
    const { attemptSince, definition, now, policy, presentSince, since } = this
    return { ...policy, definition, now, since, presentSince, attemptSince }
  }

  get execution(): Execution.SagaExecution {
    return new Execution.SagaExecution(this.state, this.definition)
  }

  get decision(): { readonly state: SagaState; readonly decision: Decision.Decision } {
    return Decision.advance(this.state, this.moment)
  }

  /** The decision: facts by their tag, then work in words. */
  get next(): ReadonlyArray<string> {
    const { decision, state } = this.decision
    const facts: Array<string> = []
    for (let node = state.history; node !== this.state.history; node = node!.tail) facts.push(this.fact(node!.head))
    return [...facts.reverse(), ...decision.instructions.map((each) => this.work(each))]
  }

  /** How long until it is looked at again. */
  get wakesIn(): number {
    return this.decision.decision.wakeAt - this.now
  }

  /** Status of the execution, and of each step that was started, by name. */
  get statuses(): Record<string, string> {
    const found: Record<string, string> = {}
    for (const { path, step } of SagaPath.steps(this.definition)) {
      const located = stepAt(this.state.root, path)
      if (located !== undefined) found[step.name] = located.step.status
    }
    return found
  }

  get awaited(): ReadonlyArray<string> {
    return SagaInput.awaiting(this.state).map(({ op, path }) => `${op} ${this.name(path)}`)
  }

  // ---- what happens

  /** The same story under other rules. */
  under(policy: Partial<SagaInput.Policy>): Story {
    return new Story(this.definition, this.state, this.now, this.since, { ...this.policy, ...policy })
  }

  later(millis: number): Story {
    return this.at(this.now + millis, this.now)
  }

  /** Time passes, and nobody looks at it. */
  unseen(millis: number): Story {
    return this.at(this.now + millis, this.since)
  }

  /** It is looked at. */
  looked(): Story {
    return this.later(0)
  }

  /** It is looked at because an input has come. */
  broughtByInput(): Story {
    return this.at(this.now, this.now, this.now)
  }

  private at(now: number, since: number, attemptSince = this.attemptSince, state = this.state): Story {
    return new Story(this.definition, state, now, since, this.policy, this.presentSince, attemptSince)
  }

  /** Nobody was there since the last look, until now. */
  afterAbsence(): Story {
    return new Story(this.definition, this.state, this.now, this.since, this.policy, this.now)
  }

  /** Another process takes over: it does not know when the execution was looked at last. */
  restarted(): Story {
    return new Story(this.definition, this.state, this.now, Number.NEGATIVE_INFINITY, this.policy)
  }

  /** The state after the decided facts. */
  decided(): Story {
    return this.at(this.now, this.now, this.attemptSince, this.decision.state)
  }

  /** The same facts, stored. */
  stored(): Story {
    return this.at(this.now, this.since, this.attemptSince, Execution.stored(this.execution).state)
  }

  /** Facts that somebody hands in. */
  facts(...events: ReadonlyArray<SagaEvent>): Story {
    let { state } = this.decided()
    for (const event of events) {
      const next = evolve(state, event)
      if (next === state) throw new Error(`${event._tag} is not admitted`)
      state = next
    }
    return this.at(this.now, this.now, this.attemptSince, state)
  }

  took<E>(verdict: (state: SagaState, moment: SagaInput.Arrival) => SagaInput.Verdict<E>): Story {
    const judged = verdict(this.decided().state, this.moment)
    if (Result.isFailure(judged)) throw judged.failure
    return this.facts(...judged.success)
  }

  start(options: Partial<Omit<Of<"ExecutionStarted">, "_tag">> = {}): Story {
    return this.facts({
      _tag: "ExecutionStarted",
      service: "orders",
      autocommit: true,
      transactional: false,
      at: this.now,
      ...options
    })
  }

  succeeds(path: string, result?: Json): Story {
    return this.facts({ _tag: "StepSucceeded", path, ...(result !== undefined && { result }), at: this.now })
  }

  /** Somebody sends a signal; one that is refused is an error. */
  hears(signal: string, content?: Json, options: { readonly id?: string; readonly key?: string } = {}): Story {
    const { id = "1" } = options
    const said = { signal, id, ...options, ...(content !== undefined && { content }) }
    return this.took((state, moment) => SignalInput.signal(state, said, moment))
  }

  recovers(path: string, result: Json): Story {
    return this.facts({ _tag: "StepSucceeded", path, result, recovered: true, at: this.now })
  }

  fails(path: string, options: Partial<Omit<Of<"StepFailed">, "_tag" | "path">> = {}): Story {
    return this.facts({
      _tag: "StepFailed",
      path,
      status: "errored-on-execute",
      effect: "none",
      failure: this.error(path),
      at: this.now,
      ...options
    })
  }

  /** The step fails before any work of it began. */
  cannotBegin(path: string, kind: "conditional" | "nested" | "remote"): Story {
    return this.fails(path, { name: this.name(path), kind })
  }

  error(path: string, error: Json = "no"): SagaFailure {
    return { _tag: "StepError", path, step: this.name(path), error }
  }

  chooses(path: string, choice: number | null, label?: string): Story {
    const name = this.name(path)
    return this.facts({
      _tag: "AlternativeChosen",
      path,
      name,
      choice,
      ...(label !== undefined && { label }),
      at: this.now
    })
  }

  enters(path: string, context: Json): Story {
    return this.facts({ _tag: "NestedStarted", path, name: this.name(path), context, at: this.now })
  }

  /** `attempt`: behind the pivot, which of several messages it is. */
  requests(path: string, attempt = 1): Story {
    const step = this.remote(path)
    const { command, service } = step.execute
    const { maxMessageLifetime, replyTimeout } = this.policy.schedule
    const message = {
      ...this.envelope(path, "execute", service, this.now + maxMessageLifetime),
      id: messageId(this.state.uuid, path, "execute", attempt)
    }
    const deadline = this.now + (step.policies.timeout ?? replyTimeout)
    return this.facts({ _tag: "RequestSent", path, name: step.name, command, message, deadline, at: this.now })
  }

  probes(path: string): Story {
    const { command, service } = this.remote(path).execute
    return this.facts({
      _tag: "ProbeSent",
      path,
      command,
      message: this.envelope(path, "probe", service, 0),
      at: this.now
    })
  }

  compensates(path: string): Story {
    const { command, service } = this.remote(path).compensate!
    const message = this.envelope(path, "failure", service, 0)
    return this.facts({ _tag: "CompensationSent", path, command, message, at: this.now })
  }

  compensated(path: string): Story {
    return this.facts({ _tag: "StepCompensated", path, at: this.now })
  }

  /** A local compensation dies; without `retryIn` for the last time. */
  dies(path: string, retryIn?: number): Story {
    return this.facts({
      _tag: "CompensationFailed",
      path,
      failure: { _tag: "StepDefect", path, step: this.name(path), defect: { message: "broken" } },
      ...(retryIn !== undefined && { retryAt: this.now + retryIn }),
      at: this.now
    })
  }

  /** A reply as a broker hands it over; one that changes nothing is an error. */
  replies(op: Op, path: string, status: ReplyStatus, content?: Json, attempt = 1): Story {
    return this.took((state) => this.judge(state, op, path, status, content, undefined, attempt))
  }

  /** Why a reply is dropped, or the tags of its facts. */
  verdict(op: Op, path: string, status: ReplyStatus, sender?: string): string {
    const judged = this.judge(this.state, op, path, status, undefined, sender)
    return Result.isSuccess(judged) ? judged.success.map(({ _tag }) => _tag).join(", ") : judged.failure
  }

  private judge(
    state: SagaState,
    op: Op,
    path: string,
    status: ReplyStatus,
    content?: Json,
    sender = this.remote(path).execute.service,
    attempt = 1
  ) {
    const answer: SagaInput.Reply = {
      inReplyTo: messageId(state.uuid, path, op, attempt),
      sender,
      status,
      ...(content !== undefined && { content }),
      relatedServices: [sender]
    }
    return SagaInput.reply(state, answer, this.moment)
  }

  cancels(): Story {
    return this.took((state, moment) => SagaInput.cancel(state, { actor: "ann" }, moment))
  }

  retries(path: string): Story {
    return this.took((state, moment) => ParkedInput.retry(state, { path, actor: "ann" }, moment))
  }

  resolves(path: string, result?: Json): Story {
    const given = { path, actor: "ann", reason: "done by hand", ...(result !== undefined && { result }) }
    return this.took((state, moment) => ParkedInput.resolve(state, given, moment))
  }

  // ---- parts

  private step(path: string): SagaStep {
    const step = SagaPath.at(this.definition, path)
    if (step === undefined) throw new Error(`there is no step ${path}`)
    return step
  }

  private remote(path: string) {
    const step = this.step(path)
    if (step._tag !== "Remote") throw new Error(`step ${path} is not remote`)
    return step
  }

  private name(path: string): string {
    return this.step(path).name
  }

  private envelope(path: string, op: Op, service: string, notAfter: number): Envelope {
    return {
      v: 1,
      id: messageId(this.state.uuid, path, op),
      op,
      saga: this.state.uuid,
      path,
      service,
      coordinator: this.state.start?.service ?? "",
      relatedServices: [],
      transactions: this.state.start?.transactional === true ? [this.state.uuid] : [],
      notAfter
    }
  }

  private fact(event: SagaEvent): string {
    return "path" in event ? `${event._tag} ${this.name(event.path)}` : event._tag
  }

  private work(instruction: Instruction): string {
    const { path } = instruction
    switch (instruction._tag) {
      case "RunStep":
        return `execute ${this.name(path)}`
      case "Compensate":
        return `compensate ${this.name(path)}`
      case "BuildRequest":
        return `request ${this.name(path)}${instruction.attempt === 1 ? "" : ` ${instruction.attempt}`}`
      case "Choose":
        return `choose ${this.name(path)}`
      case "BuildStart":
        return `name what ${this.name(path)} starts`
      case "BuildWait":
        return `make the key and the time of ${this.name(path)}`
      case "TimeOut":
        return `make the result of ${this.name(path)}`
      case "MapItems":
        return `make the list of ${this.name(path)}`
      case "MapContext":
        return `enter ${this.name(path)}`
      case "HandleReply":
        return `handle the reply of ${this.name(path)}`
      case "BuildProbe":
        return `probe ${this.name(path)}`
      case "BuildCompensation":
        return `request the compensation of ${this.name(path)}`
      case "Resend":
        return `resend the ${instruction.sent.message.op} of ${this.name(path)}`
      case "Reserve":
      case "Commit":
      case "Reject":
        return `${instruction._tag.toLowerCase()} ${instruction.services.join(" ")}`
    }
  }
}
