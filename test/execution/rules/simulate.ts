/**
 * A run of a saga without effects. What `SagaDecision` instructs becomes the events that the runtime would record, by a
 * script that says how every step goes; participants keep the barrier of SPEC C6, so what is done and compensated can be
 * counted on both sides. All of it is data and chance comes from one seed: a run can be copied in the middle, and
 * continued twice.
 */
import * as SagaPath from "../../../src/definition/SagaPath.ts"
import type {
  Conditional,
  Definition,
  Local,
  Remote,
  RemoteCompensation,
  Start
} from "../../../src/definition/SagaStep.ts"
import { type Instruction, needsIntent } from "../../../src/execution/rules/Instruction.ts"
import { interrupted } from "../../../src/execution/rules/Interruption.ts"
import type { Moment } from "../../../src/execution/rules/Moment.ts"
import * as ParkedInput from "../../../src/execution/rules/ParkedInput.ts"
import { isWanted } from "../../../src/execution/rules/QueuePlace.ts"
import * as RetrySchedule from "../../../src/execution/rules/RetrySchedule.ts"
import type { View } from "../../../src/execution/rules/SagaContext.ts"
import * as Decision from "../../../src/execution/rules/SagaDecision.ts"
import type { Of, SagaEvent } from "../../../src/execution/rules/SagaEvent.ts"
import type { SagaFailure } from "../../../src/execution/rules/SagaFailure.ts"
import * as SagaInput from "../../../src/execution/rules/SagaInput.ts"
import type { SagaState } from "../../../src/execution/rules/SagaState.ts"
import * as SignalInput from "../../../src/execution/rules/SignalInput.ts"
import type { StepState } from "../../../src/execution/rules/StepTree.ts"
import * as TwoPhaseCommit from "../../../src/execution/rules/TwoPhaseCommit.ts"
import * as WaitDecision from "../../../src/execution/rules/WaitDecision.ts"
import { contextView } from "../../../src/execution/view/ContextView.ts"
import { SagaContextDecodeError } from "../../../src/execution/view/ExecutionErrors.ts"
import * as Execution from "../../../src/execution/view/SagaExecution.ts"
import { message } from "../../../src/ports/TransactionCommitter.ts"
import { attemptOf, type Envelope, messageId, type Op, type ReplyStatus } from "../../../src/wire/Envelope.ts"
import type { Json } from "../../../src/wire/JsonLimits.ts"
import * as Chance from "./chance.ts"
import { deepFreeze } from "./freeze.ts"

/** Short times: a run that waits is looked at often. */
export const schedule: RetrySchedule.ScheduleConfig = {
  resend: { initial: 1_000, factor: 2, max: 4_000 },
  resendDecision: { initial: 1_000, factor: 2, max: 4_000 },
  reserveTimeout: 10_000,
  commitWait: 5_000,
  replyTimeout: 10_000,
  acceptedResend: 20_000,
  maxMessageLifetime: 24 * 3_600_000,
  retryCompensate: { times: 2, backoff: { initial: 1_000, factor: 2, max: 8_000 } },
  retryForward: { times: 2, backoff: { initial: 1_000, factor: 2, max: 8_000 } }
}

// ---- the script ------------------------------------------------------------------------------------------------

/** How one step goes. */
export interface Outcome {
  /** A local step: `undecodable` has its effect, and a result that cannot be stored. */
  readonly local: "succeeds" | "fails" | "dies" | "undecodable" | "times out" | "times out done"
  /** The answer of a participant to the request. */
  readonly reply: 200 | 400 | 500
  /** `late`: the request is handled long after it was sent; `slow`: the reply is; `lost`: neither ever arrives. */
  readonly request: "arrives" | "late" | "lost"
  readonly answer: "arrives" | "slow" | "lost"
  /** Whether the content of the reply is what the contract says. */
  readonly readable: boolean
  /** How `onSuccess` or `onError` goes. */
  readonly callback: "succeeds" | "fails"
  /** The alternative of a conditional: beyond the last one, none. `-1`: a condition throws. */
  readonly choice: number
  /** Whether the request, or the initial context of a nested saga, can be built. */
  readonly builds: boolean
  /** Behind the pivot: how often the step goes wrong before it goes well. */
  readonly tries: number
  /** How often the compensation, and the probe, fail before they work. */
  readonly compensationFails: number
  readonly probeFails: number
  /** A failing compensation or probe says nothing instead of 500. */
  readonly silent: boolean
}

export const smooth: Outcome = {
  local: "succeeds",
  reply: 200,
  request: "arrives",
  answer: "arrives",
  readable: true,
  callback: "succeeds",
  choice: 0,
  builds: true,
  tries: 0,
  compensationFails: 0,
  probeFails: 0,
  silent: false
}

export type Script = (path: string) => Outcome

/** Everything goes well but for the paths given. */
export const except =
  (exceptions: Readonly<Record<string, Partial<Outcome>>>): Script =>
  (path) => ({ ...smooth, ...exceptions[path] })

export interface Options {
  /** Default: the one of generated sagas. */
  readonly context?: unknown
  readonly script?: Script
  readonly seed?: number
  readonly autocommit?: boolean
  readonly transactional?: boolean
  /** The participants' votes where there is a transaction: of all, or of one. */
  readonly vote?: "yes" | "no"
  /** How often a message about the transaction is lost. */
  readonly losses?: number
  /** A service refuses the decision at first. */
  readonly stubborn?: boolean
  /** After how many moves somebody cancels; after how many the process is killed and another one takes over. */
  readonly cancelAt?: number
  readonly crashAt?: ReadonlyArray<number>
  /** How often time passes although something else could happen. */
  readonly haste?: number
  /** How often a message is delivered twice. */
  readonly duplicates?: number
  /** How often somebody sends one of the signals of the saga. */
  readonly signals?: number
  /** The operation on parked steps once nothing else happens, and how often. */
  readonly parked?: "leave" | "retry" | "resolve"
  /** The decision of a caller for a finished execution without one. */
  readonly undecided?: "commit" | "reject"
  /** It is started in a queue. */
  readonly queue?: boolean
}

// ---- the world -------------------------------------------------------------------------------------------------

/** Something that happened outside: a step was done, or compensated. */
interface Deed {
  readonly path: string
  readonly op: "done" | "compensated"
}

interface Letter {
  readonly at: number
  readonly to: "participant" | "orchestrator"
  readonly message: Envelope
  readonly reply?: SagaInput.Reply
}

/** Work under way. Its effect comes before its answer: sometimes at once, sometimes just before. */
interface Flight {
  readonly instruction: Instruction
  readonly isDone: boolean
}

interface Recorded {
  readonly status: ReplyStatus
  readonly content?: Json
}

const service = "orders"
export const uuid = "00000000-0000-4000-8000-000000000001"
/** What the steps have started. */
const started = "00000000-0000-4000-8000-000000000002"
const longAfter = 60_000

export class Simulation {
  execution: Execution.SagaExecution
  now: number
  since = Number.NEGATIVE_INFINITY
  presentSince = Number.NEGATIVE_INFINITY
  attemptSince = Number.NEGATIVE_INFINITY
  /** Every state there was, and the event that led to it. */
  readonly trace: Array<{ readonly event: SagaEvent; readonly state: SagaState }> = []
  readonly deeds: Array<Deed> = []
  /** Replies that changed something, by the id of what they answer. */
  readonly accepted = new Map<string, number>()
  /** Every reply that was ever delivered. */
  readonly delivered: Array<SagaInput.Reply> = []
  writes = 0
  moves = 0
  crashes = 0
  interventions = 0
  /** Sees every context that a callback is given. */
  onView: ((instruction: Instruction, view: View) => void) | undefined

  readonly definition: Definition
  readonly options: Options
  private readonly given: Script
  private readonly chance: Chance.Chance
  private readonly turns: Chance.Chance
  private readonly flights = new Map<string, Flight>()
  private readonly barriers = new Map<string, Recorded>()
  private readonly attempts = new Map<string, number>()
  /** How often the tries of a step behind the pivot have failed. */
  private readonly troubles = new Map<string, number>()
  private letters: Array<Letter> = []
  private log: ReadonlyArray<SagaEvent> = []

  constructor(definition: Definition, options: Options = {}) {
    const created = Execution.creation(definition, { uuid, context: options.context ?? initialContext }, 0)
    if (!(created instanceof Execution.SagaExecution)) throw created
    this.definition = definition
    this.options = options
    this.given = options.script ?? except({})
    this.chance = Chance.at(options.seed ?? 0, "schedule")
    this.turns = Chance.at(options.seed ?? 0, "queue")
    this.execution = created
    deepFreeze(created.state)
    this.now = 1_000
    this.trace.push({ event: created.events[0]!, state: created.state })
    const { deadline } = definition
    if (deadline !== undefined) this.admit({ _tag: "DeadlineSet", deadline: this.now + deadline, at: this.now })
    if (options.queue === true) this.admit({ _tag: "QueueEntered", queue: "q", key: "k", priority: 0, at: this.now })
    this.admit({
      _tag: "ExecutionStarted",
      service,
      autocommit: options.autocommit ?? true,
      transactional: options.transactional ?? false,
      at: this.now
    })
  }

  /** The same moment once more, to be continued independently; with another form of the same execution if given. */
  copy(execution: Execution.SagaExecution = this.execution): Simulation {
    const twin = new Simulation(this.definition, this.options)
    Object.assign(twin, {
      execution,
      now: this.now,
      since: this.since,
      presentSince: this.presentSince,
      attemptSince: this.attemptSince,
      trace: [...this.trace],
      deeds: [...this.deeds],
      accepted: new Map(this.accepted),
      delivered: [...this.delivered],
      writes: this.writes,
      moves: this.moves,
      crashes: this.crashes,
      interventions: this.interventions,
      chance: { ...this.chance },
      turns: { ...this.turns },
      barriers: new Map(this.barriers),
      attempts: new Map(this.attempts),
      troubles: new Map(this.troubles),
      letters: [...this.letters],
      log: this.log
    })
    for (const [key, flight] of this.flights) twin.flights.set(key, flight)
    return twin
  }

  get state(): SagaState {
    return this.execution.state
  }

  /** How a step goes now: behind the pivot wrong for a while, and then well. */
  private script(path: string): Outcome {
    const outcome = this.given(path)
    const isWell = this.state.passed && (this.troubles.get(path) ?? 0) >= outcome.tries
    const { choice, compensationFails, probeFails, silent } = outcome
    return isWell ? { ...smooth, choice: Math.max(0, choice), compensationFails, probeFails, silent } : outcome
  }

  /** To the end. `each` sees every moment before the next move. */
  run(each?: (self: this) => void): this {
    while (this.move()) {
      each?.(this)
      if (this.moves > 3_000) throw new Error(`it does not end:\n${this.tell().slice(-30).join("\n")}`)
    }
    return this
  }

  /** One move: decide, store what must be stored, and let one thing happen. False: there is nothing left to happen. */
  move(): boolean {
    this.moves++
    if (this.options.crashAt?.includes(this.moves)) this.crash()
    if (this.options.cancelAt === this.moves)
      this.take(SagaInput.cancel(this.state, { actor: "somebody" }, this.moment()))
    if (Chance.happens(this.chance, this.options.signals ?? 0)) this.signal()
    const decision = this.advance()
    const work = decision.instructions.filter((each) => !this.flights.has(keyOf(each)))
    if (work.length === 0 || work.some(needsIntent)) this.store()
    for (const instruction of work) this.takeOff(instruction)
    if (Chance.happens(this.turns, 0.3) && this.comesOn()) return true
    return this.happen(decision.wakeAt) || this.comesOn() || this.intervene()
  }

  /** Its turn has come in the queue, if it stands in one. */
  private comesOn(): boolean {
    if (!isWanted(this.state)) return false
    const { since } = this.state.place!
    this.take(SagaInput.judge(this.state, { _tag: "Admit", since }, { ...this.moment(), schedule }))
    return true
  }

  /** The story so far, one line for each event. */
  tell(): ReadonlyArray<string> {
    return this.trace.map(({ event }) => line(event))
  }

  // ---- the orchestrator

  /** Folds an event; what is not admitted changes nothing. */
  admit(event: SagaEvent): boolean {
    const next = Execution.evolve(this.execution, event)
    if (next === this.execution) return false
    this.execution = next
    if (event._tag === "StepFailed" && next.state.passed)
      this.troubles.set(event.path, (this.troubles.get(event.path) ?? 0) + 1)
    deepFreeze(next.state)
    this.trace.push({ event, state: next.state })
    return true
  }

  private take(verdict: SagaInput.Verdict<unknown>): void {
    if (verdict._tag === "Success") for (const fact of verdict.success) this.admit(fact)
  }

  moment(now = this.now, since = this.now): Moment {
    return {
      definition: this.definition,
      now,
      since,
      presentSince: this.presentSince,
      attemptSince: this.attemptSince,
      schedule
    }
  }

  /** Somebody sends a signal: of few ids, so that the same one comes twice, and early, late and in vain. */
  private signal(): void {
    const waits = SagaPath.steps(this.definition).flatMap(({ step }) =>
      step._tag === "Wait" && step.signal !== undefined ? [step] : []
    )
    if (waits.length === 0) return
    const { key, signal } = Chance.pick(this.chance, waits)
    const said = { signal: signal!.name, ...(key !== undefined && { key: key({}) }) }
    const id = `${said.signal} ${Chance.below(this.chance, 3)}`
    this.take(SignalInput.signal(this.state, { ...said, id, content: "said" }, this.moment()))
  }

  private advance(): Decision.Decision {
    const before = this.state
    const { decision, state } = Decision.advance(before, this.moment(this.now, this.since))
    for (const fact of gained(before, state)) this.admit(fact)
    this.since = this.now
    return decision
  }

  private store(): void {
    const facts = Execution.unstored(this.execution)
    if (facts.length === 0) return
    this.log = [...this.log, ...facts]
    this.writes++
    this.execution = Execution.stored(this.execution)
    deepFreeze(this.state)
    for (const fact of facts) {
      if (fact._tag === "RequestSent" || fact._tag === "ProbeSent" || fact._tag === "CompensationSent")
        this.publish(fact.message)
    }
  }

  /** The process is killed, and what is stored is all that is left. */
  private crash(): void {
    this.crashes++
    this.flights.clear()
    const stored = Execution.fromEvents(this.writes, this.log)
    if (stored instanceof Execution.SagaDecodeError) {
      // Killed before the first write, or a stored fact does not fit.
      if (this.log.length > 0) throw stored
      return
    }
    this.execution = Execution.bind(stored, this.definition)
    deepFreeze(this.state)
    // Facts that were not stored never happened.
    this.trace.length = this.log.length
    this.since = Number.NEGATIVE_INFINITY
    this.presentSince = this.now
    this.attemptSince = this.now
    for (const fact of interrupted(this.state, this.moment())) this.admit(fact)
  }

  private takeOff(instruction: Instruction): void {
    if ("context" in instruction) {
      const view = contextView(this.definition, instruction.context)
      if (view instanceof SagaContextDecodeError) throw view
      this.onView?.(instruction, view)
    }
    const isDone = Chance.happens(this.chance, 0.5)
    if (isDone) this.takeEffect(instruction)
    this.flights.set(keyOf(instruction), { instruction, isDone })
  }

  /** Lets one of the things happen that can happen now, or time pass. */
  private happen(wakeAt: number): boolean {
    const due = this.letters.filter(({ at }) => at <= this.now)
    const flying = [...this.flights.keys()]
    const later = Math.min(wakeAt, ...this.letters.filter(({ at }) => at > this.now).map(({ at }) => at))
    const passes = later < Number.POSITIVE_INFINITY
    if (due.length + flying.length === 0 || (passes && Chance.happens(this.chance, this.options.haste ?? 0.1))) {
      if (!passes) return due.length + flying.length > 0
      if (later <= this.now) throw new Error(`it is woken at ${later}, and it is ${this.now} already`)
      this.now = later
      return true
    }
    const chosen = Chance.below(this.chance, due.length + flying.length)
    if (chosen < due.length) this.deliver(due[chosen]!)
    else this.land(flying[chosen - due.length]!)
    return true
  }

  private land(key: string): void {
    const { instruction, isDone } = this.flights.get(key)!
    this.flights.delete(key)
    if (!isDone) this.takeEffect(instruction)
    for (const fact of this.factsOf(instruction, this.now)) this.admit(fact)
  }

  /** The result that a person gives for a step behind the pivot. */
  private resultOf(path: string): { readonly result?: Json } {
    const step = SagaPath.at(this.definition, path)
    if (step?._tag === "Start" && this.state.passed) return { result: started }
    const hasResult = (step?._tag === "Local" || step?._tag === "Remote" || step?._tag === "Wait") && this.state.passed
    return hasResult && step.success.ast._tag !== "Void" ? { result: `by hand: ${path}` } : {}
  }

  /** A person looks at what is left over. */
  private intervene(): boolean {
    const { parked, undecided } = this.options
    const { commitState, direction, status } = this.state
    if (this.interventions++ > 4) return false
    if (this.execution.parked.length > 0 && parked !== undefined && parked !== "leave") {
      const path = Chance.pick(this.chance, this.execution.parked)
      this.take(
        parked === "retry"
          ? ParkedInput.retry(this.state, { path, actor: "somebody" }, this.moment())
          : ParkedInput.resolve(this.state, { path, ...byHand, ...this.resultOf(path) }, this.moment())
      )
      return true
    }
    if (commitState !== "none" || undecided === undefined) return false
    if (status === "finished" && undecided === "commit") this.take(SagaInput.commit(this.state, this.moment()))
    else if (status === "finished" || (direction === "backward" && this.state.start?.transactional === true))
      this.take(SagaInput.reject(this.state, undefined, this.moment()))
    else return false
    return true
  }

  // ---- what the runtime makes of an instruction: see src/orchestrator/steps/PerformStep.ts

  private takeEffect(instruction: Instruction): void {
    const { path } = instruction
    if (instruction._tag === "Resend") this.publish(instruction.sent.message)
    if (instruction._tag === "Reserve" || instruction._tag === "Commit" || instruction._tag === "Reject") {
      const asked = TwoPhaseCommit.transaction(this.state, instruction.services)
      const op = questions[instruction._tag]
      for (const to of asked.services) {
        if (!Chance.happens(this.chance, this.options.losses ?? 0)) this.publish(message(asked, op, to))
      }
    }
    if (
      instruction._tag === "RunStep" &&
      ["succeeds", "undecodable", "times out done"].includes(this.script(path).local)
    )
      this.does(path)
  }

  private factsOf(instruction: Instruction, at: number): ReadonlyArray<SagaEvent> {
    switch (instruction._tag) {
      case "RunStep":
        return [
          instruction.step._tag === "Start"
            ? this.runStart(instruction.path, instruction.step, at)
            : this.runStep(instruction.path, instruction.step, at)
        ]
      case "Compensate":
        return [
          instruction.step._tag === "Start"
            ? this.undoStart(instruction.path, instruction.step, instruction.state, at)
            : this.compensate(instruction.path, instruction.step, instruction.state, at)
        ]
      case "BuildRequest":
        return [this.buildRequest(instruction.path, instruction.step, at, instruction.attempt)]
      case "Choose":
        return [this.choose(instruction.path, instruction.step, at)]
      case "BuildWait": {
        const { path, step } = instruction
        return [
          this.script(path).builds
            ? WaitDecision.started(step, path, at, step.key?.({}), step.until?.({ now: at }))
            : didNotStart("wait", path, step.name, at)
        ]
      }
      case "TimeOut": {
        const { path, step } = instruction
        return [
          this.script(path).builds
            ? { _tag: "StepSucceeded", path, result: "nobody", timedOut: true, at }
            : {
                _tag: "StepFailed",
                path,
                status: "errored-on-execute",
                effect: "none",
                failure: { _tag: "StepDefect", path, step: step.name, defect: "it throws" },
                at
              }
        ]
      }
      case "MapItems": {
        const { path, step } = instruction
        const { as, concurrency, name, steps } = step
        const items = step.items({}).map(String)
        return [
          this.script(path).builds
            ? { _tag: "ForEachStarted", path, name, as, steps: steps.length, concurrency, items, at }
            : didNotStart("forEach", path, name, at)
        ]
      }
      case "BuildStart": {
        const { path, step } = instruction
        const { name, saga } = step
        const asked = { path, name, saga, uuid: started, startKey: `${uuid}:${path}`, context: initialContext, at }
        return [this.script(path).builds ? { _tag: "StartRequested", ...asked } : didNotStart("start", path, name, at)]
      }
      case "MapContext":
        return [
          this.script(instruction.path).builds
            ? {
                _tag: "NestedStarted",
                path: instruction.path,
                name: instruction.step.name,
                context: initialContext,
                at
              }
            : didNotStart("nested", instruction.path, instruction.step.name, at)
        ]
      case "HandleReply":
        return [this.handleReply(instruction.path, instruction.step, instruction.state, at)]
      case "BuildProbe": {
        const { path, state, step } = instruction
        const attempt = attemptOf(state.request!.message.id)
        const message = this.envelope(path, "probe", step.execute.service, undefined, this.lifetime(state), attempt)
        return [{ _tag: "ProbeSent", path, command: step.execute.command, message, at }]
      }
      case "BuildCompensation":
        return [this.buildCompensation(instruction.path, instruction.compensation, instruction.state, at)]
      case "Resend":
        return []
      case "Reserve":
      case "Commit":
      case "Reject":
        return []
    }
  }

  private runStep(path: string, step: Local, at: number): SagaEvent {
    const place = { path, step: step.name }
    const fail = (failure: SagaFailure, effect: Of<"StepFailed">["effect"]): SagaEvent => ({
      _tag: "StepFailed",
      path,
      status: "errored-on-execute",
      effect,
      failure,
      at
    })
    switch (this.script(path).local) {
      case "succeeds":
        return succeeds(path, step, at)
      case "undecodable":
        return fail({ _tag: "StepValueRejected", ...place, rule: "encode", issue: "$: is wrong" }, "unknown")
      case "fails":
        return fail({ _tag: "StepError", ...place, error: "no" }, "none")
      case "dies":
        return fail({ _tag: "StepDefect", ...place, defect: { message: "broken" } }, "none")
      case "times out":
      case "times out done":
        return fail({ _tag: "StepTimedOut", ...place, deadline: at }, "unknown")
    }
  }

  private compensate(path: string, step: Local, state: StepState, at: number): SagaEvent {
    if (!this.fails(path, "compensation")) {
      this.compensates(path, state.effect === "unknown")
      return { _tag: "StepCompensated", path, at }
    }
    const attempt = (state.compensation?.failedAttempts ?? 0) + 1
    const { backoff, times } = step.policies.retryCompensate ?? schedule.retryCompensate
    return {
      _tag: "CompensationFailed",
      path,
      failure: { _tag: "StepDefect", path, step: step.name, defect: { message: "not now" } },
      ...(attempt <= times && { retryAt: at + RetrySchedule.delay(attempt, backoff) }),
      at
    }
  }

  private runStart(path: string, { name }: Start, at: number): SagaEvent {
    if (["succeeds", "undecodable", "times out done"].includes(this.script(path).local))
      return { _tag: "StepSucceeded", path, result: started, at }
    const failure = { _tag: "StepDefect", path, step: name, defect: "another one has the key" } as const
    return { _tag: "StepFailed", path, status: "errored-on-execute", effect: "none", failure, at }
  }

  /** What was started is cancelled; it goes back slowly, or can no longer go back. */
  private undoStart(path: string, step: Start, state: StepState, at: number): SagaEvent {
    if (this.fails(path, "compensation")) {
      const before = state.compensation?.failure
      const looks = (before?._tag === "StartedNotUndone" ? before.looks : 0) + 1
      const failure = { _tag: "StartedNotUndone", path, step: step.name, uuid: started, looks } as const
      return { _tag: "CompensationFailed", path, failure, retryAt: at + 1_000 * looks, at }
    }
    if (step.compensate === undefined && this.script(path).silent)
      return { _tag: "StepParked", path, reason: "what it has started is finished", at }
    this.compensates(path, false)
    return { _tag: "StepCompensated", path, at }
  }

  private choose(path: string, { alternatives, name }: Conditional, at: number): SagaEvent {
    const { choice } = this.script(path)
    if (choice < 0) return didNotStart("conditional", path, name, at)
    const hasElse = alternatives.at(-1)?.condition === undefined
    const chosen = choice < alternatives.length ? choice : hasElse ? alternatives.length - 1 : null
    if (chosen === null) return { _tag: "AlternativeChosen", path, name, choice: null, at }
    const label = alternatives[chosen]!.condition === undefined ? "else" : `if${chosen}`
    return { _tag: "AlternativeChosen", path, name, choice: chosen, label, at }
  }

  private buildRequest(path: string, step: Remote, at: number, attempt: number): SagaEvent {
    if (!this.script(path).builds) return didNotStart("remote", path, step.name, at)
    const { command, service } = step.execute
    const message = this.envelope(path, "execute", service, { for: path }, at + schedule.maxMessageLifetime, attempt)
    const deadline = at + RetrySchedule.answerTime(step, schedule)
    return { _tag: "RequestSent", path, name: step.name, command, message, deadline, at }
  }

  private buildCompensation(path: string, compensation: RemoteCompensation, state: StepState, at: number): SagaEvent {
    const isKnown = state.effect === "exists" && state.reply?.content !== unreadable
    if (!isKnown && compensation.unknown === undefined)
      return { _tag: "StepParked", path, reason: "its reply cannot be read", at }
    const { command, service } = compensation
    const content = { rollback: isKnown ? (state.reply?.content ?? null) : null }
    const message = this.envelope(path, "failure", service, content, this.lifetime(state))
    return { _tag: "CompensationSent", path, command, message, at }
  }

  private handleReply(path: string, step: Remote, state: StepState, at: number): SagaEvent {
    const { callback, readable } = this.script(path)
    const isError = state.status === "running-on-error"
    const handler = isError ? step.onError : step.onSuccess
    const fail = (failure: SagaFailure): SagaEvent => ({
      _tag: "StepFailed",
      path,
      status: isError ? "errored-on-error" : "errored-on-success",
      effect: isError ? "none" : "exists",
      failure,
      at
    })
    const place = { path, step: step.name }
    if (!readable) return fail({ _tag: "StepValueRejected", ...place, rule: "decode", issue: "$: is wrong" })
    if (isError && handler === undefined) return fail({ _tag: "StepError", ...place, error: "refused" })
    if (handler !== undefined && callback === "fails")
      return fail({ _tag: "StepDefect", ...place, defect: { message: "broken" } })
    return succeeds(path, step, at, isError)
  }

  private lifetime(state: StepState): number {
    return this.state.start?.transactional === true && !this.state.passed
      ? this.state.notAfter
      : (state.request?.message.notAfter ?? this.state.notAfter)
  }

  private envelope(
    path: string,
    op: Op,
    to: string,
    content: Json | undefined,
    notAfter: number,
    attempt = 1
  ): Envelope {
    return {
      v: 1,
      id: messageId(uuid, path, op, attempt),
      op,
      saga: uuid,
      path,
      service: to,
      coordinator: service,
      ...(content !== undefined && { content }),
      relatedServices: [],
      transactions: this.state.start?.transactional === true && !this.state.passed ? [uuid] : [],
      notAfter
    }
  }

  // ---- the network

  private publish(message: Envelope): void {
    const { path = "" } = message
    const { request } = this.script(path)
    if (message.op === "execute" && request === "lost") return
    const wait = message.op === "execute" && request === "late" ? longAfter : Chance.pick(this.chance, [0, 0, 5, 900])
    this.send({ at: this.now + wait, to: "participant", message })
  }

  private send(letter: Letter): void {
    this.letters.push(letter)
    if (Chance.happens(this.chance, this.options.duplicates ?? 0))
      this.letters.push({ ...letter, at: letter.at + Chance.pick(this.chance, [0, 100, 20_000]) })
  }

  private deliver(letter: Letter): void {
    this.letters = this.letters.filter((other) => other !== letter)
    if (letter.reply !== undefined) this.receive(letter.reply)
    else this.handle(letter.message)
  }

  /** A reply arrives. */
  receive(reply: SagaInput.Reply): void {
    this.delivered.push(reply)
    const verdict = SagaInput.reply(this.state, reply, this.moment())
    if (verdict._tag === "Failure") return
    if (reply.status !== 202) this.accepted.set(reply.inReplyTo, (this.accepted.get(reply.inReplyTo) ?? 0) + 1)
    for (const fact of verdict.success) this.admit(fact)
  }

  // ---- the participants

  private handle(message: Envelope): void {
    const { op, path = "" } = message
    switch (op) {
      case "execute": {
        const { answer, reply } = this.script(path)
        const recorded =
          this.barriers.get(message.id) ??
          this.record(message.id, () => {
            if (reply === 200) this.does(path)
            return { status: reply, content: this.script(path).readable ? `reply of ${path}` : unreadable }
          })
        const step = SagaPath.at(this.definition, path)
        if (step?._tag === "Remote" && step.execute.later === true) this.answer(message, { status: 202 }, 0)
        return answer === "lost" ? undefined : this.answer(message, recorded, answer === "slow" ? longAfter : 0)
      }
      case "failure": {
        const executed = this.executed(path)
        if (executed.status !== 200) return this.answer(message, { status: 200 }, 0)
        if (this.barriers.has(message.id)) return this.answer(message, this.barriers.get(message.id)!, 0)
        if (this.fails(path, "compensation"))
          return this.script(path).silent ? undefined : this.answer(message, { status: 500 }, 0)
        return this.answer(
          message,
          this.record(message.id, () => {
            this.compensates(path, false)
            return { status: 200 }
          }),
          0
        )
      }
      case "probe": {
        if (this.fails(path, "probe"))
          return this.script(path).silent ? undefined : this.answer(message, { status: 500 }, 0)
        const executed = this.executed(path, attemptOf(message.id))
        return this.answer(message, executed.status === 500 ? { status: 404 } : executed, 0)
      }
      case "reserve": {
        const isAgainst = this.options.vote === "no" && message.service === [...this.state.enrolled].sort()[0]
        const vote = this.barriers.get(message.id) ?? this.record(message.id, () => ({ status: isAgainst ? 400 : 200 }))
        return this.answer(message, vote, 0)
      }
      case "commit":
      case "reject":
        if (this.options.stubborn === true && !this.barriers.has(message.id)) {
          this.record(message.id, () => ({ status: 200 }))
          return this.answer(message, { status: 500, content: "ProtocolViolation" }, 0)
        }
        return this.answer(message, { status: 200 }, 0)
    }
  }

  /** The recorded answer of an execute; where there is none, there never will be one. */
  private executed(path: string, attempt = 1): Recorded {
    const id = messageId(uuid, path, "execute", attempt)
    return this.barriers.get(id) ?? this.record(id, () => ({ status: 500 }))
  }

  private record(id: string, work: () => Recorded): Recorded {
    const recorded = work()
    this.barriers.set(id, recorded)
    return recorded
  }

  private answer(message: Envelope, { content, status }: Recorded, wait: number): void {
    const reply: SagaInput.Reply = {
      inReplyTo: message.id,
      sender: message.service,
      status,
      ...(content !== undefined && { content }),
      relatedServices: [message.service]
    }
    this.send({
      at: this.now + wait + Chance.pick(this.chance, [0, 0, 10, 1_500]),
      to: "orchestrator",
      message,
      reply
    })
  }

  /** Whether this attempt fails: the first ones do, as many as the script says. */
  private fails(path: string, what: "compensation" | "probe"): boolean {
    const key = `${what}:${path}`
    const before = this.attempts.get(key) ?? 0
    this.attempts.set(key, before + 1)
    const { probeFails, compensationFails } = this.script(path)
    return before < (what === "compensation" ? compensationFails : probeFails)
  }

  /** Once per idempotency key, however often it is asked for. */
  private does(path: string): void {
    if (!this.deeds.some((deed) => deed.path === path && deed.op === "done")) this.deeds.push({ path, op: "done" })
  }

  /** A compensation that does not know whether there is something to compensate finds out by itself. */
  private compensates(path: string, blindly: boolean): void {
    if (blindly && !this.deeds.some((deed) => deed.path === path && deed.op === "done")) return
    if (this.crashes > 0 && this.deeds.some((deed) => deed.path === path && deed.op === "compensated")) return
    this.deeds.push({ path, op: "compensated" })
  }
}

const byHand = { actor: "somebody", reason: "done by hand" }

const questions = { Reserve: "reserve", Commit: "commit", Reject: "reject" } as const

/** Stands for the content of a reply that its schema refuses. */
const unreadable = "unreadable"

const initialContext = { order: "A1" }

const keyOf = (instruction: Instruction): string => `${instruction._tag}:${instruction.path}`

const succeeds = (path: string, step: Local | Remote, at: number, recovered = false): SagaEvent => ({
  _tag: "StepSucceeded",
  path,
  ...(step.success.ast._tag !== "Void" && { result: `result of ${path}` }),
  ...(recovered && { recovered: true as const }),
  at
})

const didNotStart = (
  kind: "conditional" | "nested" | "remote" | "start" | "wait" | "forEach",
  path: string,
  name: string,
  at: number
): SagaEvent => ({
  _tag: "StepFailed",
  path,
  status: "errored-on-execute",
  effect: "none",
  failure: { _tag: "StepDefect", path, step: name, defect: { message: "broken" } },
  name,
  kind,
  at
})

/** The events that one state has and an earlier one has not, oldest first. */
const gained = (before: SagaState, after: SagaState): ReadonlyArray<SagaEvent> => {
  const events: Array<SagaEvent> = []
  for (let node = after.history; node !== before.history; node = node!.tail) events.push(node!.head)
  return events.reverse()
}

/** An event as one line. */
const line = (event: SagaEvent): string => {
  const { _tag, at } = event
  const path = "path" in event ? ` ${event.path}` : ""
  const status = "status" in event ? ` ${event.status}` : ""
  const effect = "effect" in event ? ` ${event.effect}` : ""
  return `${String(at).padStart(7)} ${_tag}${path}${status}${effect}`
}

/** The steps of a definition that have a compensation. */
export const compensable = (definition: Definition): ReadonlySet<string> =>
  new Set(
    SagaPath.steps(definition)
      .filter(
        ({ step }) =>
          step._tag === "Start" || ((step._tag === "Local" || step._tag === "Remote") && step.compensate !== undefined)
      )
      .map(({ path }) => path)
  )
