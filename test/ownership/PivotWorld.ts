/**
 * Pivots at the two instances and the store of `WaitWorld` (SPEC C18), with what is outside of them: a network that loses, doubles
 * and delays what it likes, participants as in the table of SPEC C6, and a person. What was sent once may arrive at any time, any
 * number of times, or never; who has answered a message gives the same answer again.
 */
import { Effect, Result, Schema } from "effect"
import { Participant, Saga, Signal } from "effect-saga"
import * as RetrySchedule from "../../src/execution/rules/RetrySchedule.ts"
import { judge, type SagaInput } from "../../src/execution/rules/SagaInput.ts"
import type { SagaState } from "../../src/execution/rules/SagaState.ts"
import { SagaExecution } from "../../src/execution/view/SagaExecution.ts"
import { attemptOf, type Envelope, messageId, type ReplyStatus } from "../../src/wire/Envelope.ts"
import type { Json } from "../../src/wire/JsonLimits.ts"
import * as Law from "./pivotLaws.ts"
import * as Waits from "./WaitWorld.ts"
import { type Action, callback, type Id, ids, type Outside, stateOf, tick, uuid, type World } from "./WaitWorld.ts"

// ---- the scenario ----------------------------------------------------------------------------------------------

const Stock = Participant.make("stock", {
  Hold: { payload: {}, success: Schema.String },
  Release: { payload: {} }
})
const Shop = Participant.make("shop", { Book: { payload: {}, success: Schema.String } })
const Bank = Participant.make("bank", { Pay: { payload: {}, success: Schema.String } })
const Yes = Signal.make("yes", { payload: Schema.String })

/** A callback that goes as `callback` says. */
const step = Effect.suspend(() => (callback.fails ? Effect.fail("fails" as const) : Effect.succeed("done")))
const make = Saga.make("Pivots", { context: {} })
const payload = () => ({})
const hold = {
  execute: { command: Stock.commands.Hold, payload },
  compensate: { command: Stock.commands.Release, payload },
  timeout: tick
}
const book = { execute: { command: Shop.commands.Book, payload }, timeout: tick }
const note = { success: Schema.String, error: Schema.Literal("fails"), execute: () => step }
const pay = { execute: { command: Bank.commands.Pay, payload }, timeout: tick }
const answer = { signal: Yes, timeout: tick }

/** Each has steps that can be undone, the pivot, and steps that cannot. */
export const sagas = {
  remote: make.pipe(Saga.remote("hold", hold), Saga.pivot, Saga.remote("pay", pay), Saga.commit),
  /** The reply is handled by a callback. */
  handled: make.pipe(
    Saga.remote("hold", hold),
    Saga.pivot,
    Saga.remote("pay", { ...pay, success: Schema.String, onSuccess: () => step, error: Schema.Literal("fails") }),
    Saga.commit
  ),
  local: make.pipe(Saga.remote("hold", hold), Saga.pivot, Saga.local("note", note), Saga.commit),
  waits: make.pipe(Saga.remote("hold", hold), Saga.pivot, Saga.waitFor("answer", answer), Saga.commit),
  /** With a time for all of it. */
  timed: Saga.make("Pivots", { context: {}, deadline: tick }).pipe(
    Saga.remote("hold", { ...hold, timeout: 2 * tick }),
    Saga.pivot,
    Saga.local("note", note),
    Saga.commit
  ),
  /** Two services have a vote. */
  votes: make.pipe(
    Saga.remote("hold", hold),
    Saga.remote("book", book),
    Saga.pivot,
    Saga.local("note", note),
    Saga.commit
  ),
  /** Behind the pivot one branch asks a service, the other works. */
  behind: make.pipe(
    Saga.remote("hold", hold),
    Saga.pivot,
    Saga.parallel("both", { pays: Saga.remote("pay", pay), notes: Saga.local("note", note) }),
    Saga.commit
  ),
  /** Before it. */
  before: make.pipe(
    Saga.parallel("both", { holds: Saga.remote("hold", hold), notes: Saga.local("note", note) }),
    Saga.pivot,
    Saga.local("end", note),
    Saga.commit
  ),
  whole: make.pipe(
    Saga.remote("hold", hold),
    Saga.pivot,
    Saga.local("note", note),
    Saga.remote("pay", pay),
    Saga.waitFor("answer", answer),
    Saga.commit
  )
}

export interface PivotBudget extends Omit<Waits.Budget, "saga" | "said"> {
  readonly saga: keyof typeof sagas
  readonly said?: Waits.Budget["said"]
  /** Whether there is a two-phase commit; else `layerNone`. */
  readonly transactional?: true
  /** What stands before the pivot went well, by the shortest way. */
  readonly isPassed?: true
  readonly refusals?: { readonly 400?: number; readonly 500?: number }
  /** Votes against the commit. */
  readonly against?: number
  /** Callbacks that fail. */
  readonly failures?: number
  /** Answers come to A, and what a person says to B. Else all come to both. */
  readonly isApart?: true
  /** Tries after the first. */
  readonly tries?: number
  /** What a person does about what is parked, each once. */
  readonly person?: ReadonlyArray<"RetryParked" | "ResolveParked">
}

/** The result that a person gives. The others are never the same. */
const given = "a person's"

const scheduleOf = ({ tries = 0 }: PivotBudget): RetrySchedule.ScheduleConfig => {
  const backoff = { initial: tick, factor: 1, max: tick }
  return {
    ...RetrySchedule.defaults,
    resend: backoff,
    resendDecision: backoff,
    reserveTimeout: tick,
    replyTimeout: tick,
    retryCompensate: { times: 1, backoff },
    retryForward: { times: tries, backoff }
  }
}

// ---- outside ---------------------------------------------------------------------------------------------------

interface Reply {
  readonly inReplyTo: string
  readonly sender: string
  readonly status: ReplyStatus
  readonly content?: Json
}

interface Service {
  readonly status: "none" | "pending" | "reserved" | "committed" | "rejected"
  /** The answers to executes, by their ids; null: it never runs. */
  readonly records: Readonly<Record<string, 200 | 400 | 500 | null>>
  /** Paths whose effect is undone. */
  readonly undone: ReadonlyArray<string>
}

const nobody: Service = { status: "none", records: {}, undone: [] }

interface Contents {
  readonly letters: Readonly<Record<string, Envelope>>
  readonly replies: Readonly<Record<string, Reply>>
  readonly services: Readonly<Record<string, Service>>
  /** What has happened so often as the budget allows is over. */
  readonly refused: { readonly 400: number; readonly 500: number }
  readonly against: number
  readonly failures: number
  readonly person: ReadonlyArray<string>
  readonly violation: string | undefined
}

/** Every change gives another one. */
class Around implements Outside {
  readonly definition: Saga.AnyCommitted
  readonly schedule: RetrySchedule.ScheduleConfig
  readonly transactional: boolean
  readonly text: string
  readonly budget: PivotBudget
  readonly is: Contents
  /** Its place among the steps. */
  readonly pivot: number

  constructor(budget: PivotBudget, is: Contents) {
    this.budget = budget
    this.is = is
    this.definition = sagas[budget.saga]
    this.pivot = this.definition.steps.findIndex(({ _tag }) => _tag === "Pivot")
    this.schedule = scheduleOf(budget)
    this.transactional = budget.transactional === true
    const { letters, replies, services, ...others } = is
    this.text = JSON.stringify([Object.keys(letters).sort(), Object.keys(replies).sort(), sorted(services), others])
  }

  with(change: Partial<Contents>): Around {
    return new Around(this.budget, { ...this.is, ...change })
  }

  sent(message: Envelope): Around {
    const violation = this.is.violation ?? Law.sent(message, this.pivot)
    return this.with({ violation, letters: { ...this.is.letters, [message.id]: message } })
  }

  written(before: SagaState | undefined, after: SagaState): string | undefined {
    return Law.written(before, after, this.pivot)
  }

  service(name: string): Service {
    return this.is.services[name] ?? nobody
  }

  set(name: string, change: Partial<Service>): Around {
    return this.with({ services: { ...this.is.services, [name]: { ...this.service(name), ...change } } })
  }

  answered({ id, service: sender }: Envelope, status: ReplyStatus, content?: Json): Around {
    const reply = { inReplyTo: id, sender, status, ...(content !== undefined && { content }) }
    return this.with({ replies: { ...this.is.replies, [`${id} ${status}`]: reply } })
  }
}

const sorted = (services: Contents["services"]) =>
  Object.keys(services)
    .sort()
    .map((name) => {
      const { records, status, undone } = services[name]!
      return [name, status, Object.entries(records).sort(), undone]
    })

export const around = ({ outside }: World): Around => {
  if (!(outside instanceof Around)) throw new Error("not a world of pivots")
  return outside
}

/** An answer that a participant is free to give. */
type Choice = 200 | 400 | 500

/** The answers that it may give to a message now: one, where the table of SPEC C6 leaves no choice. */
const choices = (self: Around, message: Envelope): ReadonlyArray<Choice> => {
  const { against = 0, refusals = {} } = self.budget
  const { records, status } = self.service(message.service)
  if (message.op === "execute" && records[message.id] === undefined && (isFree(message) || isOpen(status)))
    return [200, ...([400, 500] as const).filter((one) => self.is.refused[one] < (refusals[one] ?? 0))]
  if (message.op === "reserve" && status === "pending" && self.is.against < against) return [200, 500]
  return [200]
}

const isFree = ({ transactions }: Envelope): boolean => transactions.length === 0
const isOpen = (status: Service["status"]): boolean => status === "none" || status === "pending"

/** SPEC C6. */
const handle = (self: Around, message: Envelope, choice: Choice): Around => {
  const { id, op, path = "", service: name } = message
  const { records, status, undone } = self.service(name)
  const executed = messageId(uuid, path, "execute", attemptOf(id))
  const recorded = records[executed]
  const joins = !isFree(message)
  switch (op) {
    case "execute": {
      if (recorded !== undefined) return answerOf(self, message, recorded ?? 500)
      if (joins && !isOpen(status))
        return answerOf(self.set(name, { records: { ...records, [id]: 500 } }), message, 500)
      const done = self.set(name, { records: { ...records, [id]: choice }, ...(joins && { status: "pending" }) })
      const refused = choice === 200 ? self.is.refused : { ...self.is.refused, [choice]: self.is.refused[choice] + 1 }
      return answerOf(done.with({ refused }), message, choice)
    }
    case "probe": {
      if (recorded === 200 || recorded === 400) return answerOf(self, message, recorded)
      const blocked = recorded === undefined ? { records: { ...records, [executed]: null } } : {}
      const tomb = joins && status === "none" ? { status: "rejected" as const } : {}
      return self.set(name, { ...blocked, ...tomb }).answered(message, 404)
    }
    case "failure": {
      if (status === "committed") return violated(self, `${name} is to undo what is committed`)
      const change = recorded === 200 ? { undone: undone.includes(path) ? undone : [...undone, path].sort() } : {}
      const blocked = recorded === undefined ? { records: { ...records, [executed]: null } } : {}
      return self.set(name, { ...change, ...blocked, ...(joins && { status: "rejected" }) }).answered(message, 200)
    }
    case "reserve":
      if (status === "reserved" || status === "committed") return self.answered(message, 200)
      if (status === "pending" && choice === 200) return self.set(name, { status: "reserved" }).answered(message, 200)
      return self
        .with({ against: self.is.against + (status === "pending" ? 1 : 0) })
        .set(name, { status: "rejected" })
        .answered(message, 500, "Refused")
    case "commit":
      if (status === "reserved" || status === "committed")
        return self.set(name, { status: "committed" }).answered(message, 200)
      return violated(self, `${name} is to commit, and is ${status}`)
    case "reject":
      if (status === "committed") return violated(self, `${name} is to reject what is committed`)
      return self.set(name, { status: "rejected" }).answered(message, 200)
    default:
      return violated(self, `a message ${op}`)
  }
}

const answerOf = (self: Around, message: Envelope, status: 200 | 400 | 500): Around =>
  self.answered(message, status, status === 200 ? "done" : "refused")

const violated = (self: Around, violation: string): Around => self.with({ violation: self.is.violation ?? violation })

// ---- the state -------------------------------------------------------------------------------------------------

export const begin = (budget: PivotBudget): World => {
  settled.clear()
  const none = { letters: {}, replies: {}, services: {}, refused: { 400: 0, 500: 0 }, against: 0, failures: 0 }
  const { saga: _, ...others } = budget
  const begun = Waits.begin({ said: [], ...others }, new Around(budget, { ...none, person: [], violation: undefined }))
  return budget.isPassed === true ? passing(begun) : begun
}

/** The nearest world in which the pivot is passed. */
const passing = (begun: World): World => {
  const queue = [begun]
  for (const world of queue) {
    if (stateOf(world)?.passed === true) return world
    for (const { run } of actions(world)) {
      const next = Waits.copy(world)
      run(next)
      queue.push(next)
    }
  }
  throw new Error("the pivot is never passed")
}

// ---- what can happen -------------------------------------------------------------------------------------------

export const actions = (world: World): ReadonlyArray<Action> => {
  const self = around(world)
  return [...Waits.actions(world), ...failing(world), ...deliveries(self), ...answers(world), ...persons(world)]
}

/** A callback fails. */
const failing = (world: World): ReadonlyArray<Action> =>
  ids.flatMap((id) => {
    const { loop } = world.instances[id]
    const self = around(world)
    if (self.is.failures >= (self.budget.failures ?? 0)) return []
    if (loop === undefined || loop.running.length === 0 || loop.flight !== undefined) return []
    const run = (next: World): void => {
      next.outside = around(next).with({ failures: self.is.failures + 1 })
      Waits.endStep(next, id, true)
    }
    return [{ name: `${id} ends a step, and it fails`, run }]
  })

/** A message comes to its service. Once it has been answered it brings nothing new. */
const deliveries = (self: Around): ReadonlyArray<Action> =>
  Object.values(self.is.letters).flatMap((message) =>
    choices(self, message).flatMap((choice) => {
      const handled = handle(self, message, choice)
      if (handled.text === self.text) return []
      const run = (next: World): void => {
        next.outside = handled
      }
      return [{ name: `${message.service} handles ${message.id.slice(uuid.length + 1)}: ${choice}`, run }]
    })
  )

/** Replies that would change something for who has the execution. The others are stale. */
const answers = (world: World): ReadonlyArray<Action> =>
  Object.values(around(world).is.replies).flatMap((reply) => {
    const input: SagaInput = { _tag: "Reply", relatedServices: [], ...reply }
    if (!counts(world, input)) return []
    const name = `the reply ${reply.inReplyTo.slice(uuid.length + 1)} ${reply.status}`
    return ids
      .filter((id) => hears(world, id, "A") && !isThere(world, id, input))
      .map((id) => ({ name: `${id} gets ${name}`, run: (next: World) => Waits.deliver(next, id, input) }))
  })

/** While `only` is gone the other one hears it. */
const hears = (world: World, id: Id, only: Id): boolean =>
  world.instances[id].isUp && (around(world).budget.isApart !== true || id === only || !world.instances[only].isUp)

/** It waits already, so a second one is only one more. */
const isThere = (world: World, id: Id, input: SagaInput): boolean => {
  const text = JSON.stringify(input)
  return world.instances[id].loop?.inbox.inputs.some((one) => JSON.stringify(one.input) === text) === true
}

const counts = (world: World, input: SagaInput): boolean => {
  const states = [stateOf(world), ...ids.map((id) => world.instances[id].loop?.execution.state)]
  const { definition, schedule } = around(world)
  const moment = { definition, schedule, now: world.now }
  return states.some((state) => state !== undefined && Result.isSuccess(judge(state, input, moment)))
}

const persons = (world: World): ReadonlyArray<Action> => {
  const self = around(world)
  const path = stateOf(world)?.parked[0]
  if (path === undefined) return []
  const { person = [] } = self.budget
  return person
    .filter((what) => !self.is.person.includes(what))
    .flatMap((what) =>
      ids
        .filter((id) => hears(world, id, "B"))
        .map((id) => ({
          name: `${id} gets ${what}`,
          run: (next: World) => {
            next.outside = around(next).with({ person: [...self.is.person, what].sort() })
            Waits.deliver(next, id, inputOf(what, path))
          }
        }))
    )
}

const inputOf = (what: "RetryParked" | "ResolveParked", path: string): SagaInput => {
  const said = { path, actor: "ann", reason: "seen" }
  return what === "RetryParked" ? { _tag: what, ...said } : { _tag: what, ...said, result: given }
}

// ---- laws ------------------------------------------------------------------------------------------------------

/** What must hold in every state. */
export const check = (world: World): string | undefined => {
  const self = around(world)
  const state = stateOf(world)
  return (
    self.is.violation ??
    Waits.check(world) ??
    (state && Law.outside(state, self.is.services)) ??
    (state && Law.settled(state, new SagaExecution(state, undefined).settled, self.is.services, self.transactional))
  )
}

type Fate = "answered" | "silent"
const settled = new Set<string>()

/** When the longest way is over: each step, its tries, and the compensations before. */
const enough = 14

/**
 * Nothing more goes wrong, but what is under way is lost: the execution comes to its end, or waits for a person. `silent`: no
 * participant answers any more.
 */
export const settles = (from: World, fate: Fate): string | undefined => {
  const world = Waits.copy(from)
  world.outside = around(world).with({ letters: {}, replies: {} })
  const way: Array<string> = []
  for (let i = 0; i < enough; i++) {
    const text = fate + Waits.textOf(world)
    if (settled.has(text)) break
    way.push(text)
    exchange(world, fate)
    const violation = check(world)
    if (violation !== undefined) return violation
    if (i === enough - 1 || isAtRest(world)) {
      const said = rests(world, fate)
      if (said !== undefined) return said
      break
    }
    Waits.pass(world)
  }
  for (const text of way) settled.add(text)
  return undefined
}

/** Lets everybody do all they can do now. */
const exchange = (world: World, fate: Fate): void => {
  for (let isMoving = true, turns = 0; isMoving; turns++) {
    if (turns === 100) return Waits.fail(world, "the world is busy without end")
    const before = Waits.textOf(world)
    if (fate === "answered") {
      for (const message of Object.values(around(world).is.letters)) world.outside = handle(around(world), message, 200)
      for (const reply of Object.values(around(world).is.replies)) {
        const input: SagaInput = { _tag: "Reply", relatedServices: [], ...reply }
        if (counts(world, input)) Waits.deliver(world, "B", input)
        Waits.rest(world)
      }
    }
    Waits.rest(world)
    isMoving = Waits.textOf(world) !== before
  }
}

/** Nothing changes any more but the time. */
const isAtRest = (world: World): boolean => {
  const state = stateOf(world)
  if (
    state === undefined ||
    world.flights.length > 0 ||
    Waits.rowsOf(world).length > 0 ||
    ids.some((id) => world.instances[id].loop !== undefined)
  )
    return false
  return new SagaExecution(state, undefined).settled || (state.parked.length > 0 && state.commitState === "none")
}

const isLeftUndecided = (world: World, { commitState, status }: SagaState): boolean =>
  around(world).budget.isManual === true && status === "errored" && commitState === "none"

/** What a person rejects by hand comes to its end. */
const rejected = (world: World): string | undefined => {
  const next = Waits.copy(world)
  Waits.deliver(next, "A", { _tag: "Reject" })
  for (let i = 0; i < enough && !isAtRest(next); i++) {
    exchange(next, "answered")
    const violation = check(next)
    if (violation !== undefined) return `after a rejection by hand: ${violation}`
    Waits.pass(next)
  }
  const after = stateOf(next)!
  return new SagaExecution(after, undefined).settled ? undefined : `rejected by hand it stays ${after.commitState}`
}

/** Whether an execution is left as it should be. */
const rests = (world: World, fate: Fate): string | undefined => {
  const state = stateOf(world)
  if (state === undefined) return undefined
  if (Waits.rowsOf(world).length > 0) return "an input waits for good"
  const isOver = new SagaExecution(state, undefined).settled
  if (isOver) return undefined
  if (fate === "silent") {
    // Who does not answer is asked again, for ever.
    return state.parked.length > 0 || state.phase !== undefined || isLeftUndecided(world, state)
      ? undefined
      : "an execution ends neither way"
  }
  // Without autocommit its participants are told by whoever has started it.
  if (isLeftUndecided(world, state)) return rejected(world)
  if (state.parked.length === 0) return `an execution stays ${state.status}, ${state.commitState}`
  if (!state.passed) return undefined
  // What is parked may go on: a person asks for it, and all goes well. A wait gets its signal.
  const [path] = state.parked
  for (const what of ["RetryParked", "ResolveParked"] as const) {
    const next = Waits.copy(world)
    Waits.deliver(next, "A", inputOf(what, path!))
    for (let i = 0; i < enough && (i === 0 || !isAtRest(next)); i++) {
      exchange(next, fate)
      const violation = check(next)
      if (violation !== undefined) return `after ${what}: ${violation}`
      Waits.pass(next)
    }
    const after = stateOf(next)!
    if (!new SagaExecution(after, undefined).settled && after.parked.length === 0)
      return `after ${what} the execution stays ${after.status}, ${after.commitState}`
    if (what === "ResolveParked" && after.parked.includes(path!)) return "a result of a person does not end a step"
  }
  return undefined
}
