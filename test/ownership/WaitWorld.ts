/**
 * Signals, waits, deadlines and cancels at two instances on one memory store, as values that can be copied (SPEC C16). Everything
 * that decides or stores is the real function: the rules, the plan of a turn, what a lost race leaves, the inbox of a runner, the
 * stored inbox, the door for signals, the claim, and the memory store. An action is atomic; a write lands later than it was sent,
 * or its answer is lost, and by then its sender may be gone, time may have passed, or another instance may have been faster.
 */
import { Clock, Effect, Layer, Result, Schema } from "effect"
import { Saga, Signal } from "effect-saga"
import type { Instruction } from "../../src/execution/rules/Instruction.ts"
import * as RetrySchedule from "../../src/execution/rules/RetrySchedule.ts"
import type { SagaEvent } from "../../src/execution/rules/SagaEvent.ts"
import type { Of, SagaInput } from "../../src/execution/rules/SagaInput.ts"
import type { SagaState } from "../../src/execution/rules/SagaState.ts"
import * as Execution from "../../src/execution/view/SagaExecution.ts"
import { SagaExecution } from "../../src/execution/view/SagaExecution.ts"
import { started } from "../../src/orchestrator/ExecutionInput.ts"
import * as Inbox from "../../src/orchestrator/Inbox.ts"
import * as LoopPlan from "../../src/orchestrator/LoopPlan.ts"
import * as Progress from "../../src/orchestrator/Progress.ts"
import * as RecordFacts from "../../src/orchestrator/RecordFacts.ts"
import type { StorageError } from "../../src/orchestrator/RunError.ts"
import * as SendSignal from "../../src/orchestrator/SendSignal.ts"
import * as StoredInput from "../../src/orchestrator/StoredInput.ts"
import * as AskParticipants from "../../src/orchestrator/steps/AskParticipants.ts"
import * as PerformStep from "../../src/orchestrator/steps/PerformStep.ts"
import * as Takeover from "../../src/orchestrator/Takeover.ts"
import * as Broker from "../../src/ports/Broker.ts"
import type { Hint } from "../../src/ports/SagaExecutionRepository.ts"
import { MemoryStorage, memoryOn } from "../../src/ports/SagaExecutionRepository.ts"
import type { Membership } from "../../src/ports/SagaOwnership.ts"
import { layerTwoPhase, TransactionCommitter } from "../../src/ports/TransactionCommitter.ts"
import type { Envelope } from "../../src/wire/Envelope.ts"
import type { Json } from "../../src/wire/JsonLimits.ts"
import * as Law from "./waitLaws.ts"

// ---- the scenario ----------------------------------------------------------------------------------------------

/** Times are whole numbers of this. */
export const tick = 1_000
/** A lease that was not renewed in time is over after one of them. */
const lease = tick
export const uuid = "0190163d-8694-739b-aea5-966c26f8ad90"

const Yes = Signal.make("yes", { payload: Schema.String })
const No = Signal.make("no", { payload: Schema.String })
const make = Saga.make("Waits", { context: {} })
const nobody = { success: Schema.Literal("nobody"), value: () => "nobody" as const }
const step = { execute: () => Effect.void, compensate: () => Effect.void }

export const sagas = {
  /** A step, and a wait that fails when its time is over. */
  fails: make.pipe(Saga.local("one", step), Saga.waitFor("first", { signal: Yes, timeout: 2 * tick }), Saga.commit),
  /** A wait that has a result when its time is over. */
  goesOn: make.pipe(
    Saga.waitFor("first", {
      signal: Yes,
      timeout: tick,
      onTimeout: nobody
    }),
    Saga.commit
  ),
  /** A wait without a limit. */
  open: make.pipe(Saga.waitFor("first", { signal: Yes }), Saga.commit),
  /** Two waits for one signal, and a time for all of it. */
  twice: Saga.make("Waits", { context: {}, deadline: 2 * tick }).pipe(
    Saga.waitFor("first", { signal: Yes }),
    Saga.waitFor("second", { signal: Yes }),
    Saga.commit
  ),
  /** Two waits at a time, with one key, as a function of the context may give it. */
  both: make.pipe(
    Saga.parallel("both", {
      left: Saga.waitFor("left", { signal: Yes, key: () => "k" }),
      right: Saga.waitFor("right", { signal: Yes, key: () => "k", timeout: tick })
    }),
    Saga.commit
  ),
  /** Two waits at a time that have results when their time is over. */
  bothGoOn: make.pipe(
    Saga.parallel("both", {
      left: Saga.waitFor("left", { signal: No, timeout: tick, onTimeout: nobody }),
      right: Saga.waitFor("right", { signal: Yes, timeout: tick, onTimeout: nobody })
    }),
    Saga.commit
  ),
  sleeps: make.pipe(Saga.sleep("nap", tick), Saga.waitFor("first", { signal: Yes, timeout: 2 * tick }), Saga.commit)
}

const scheduleOf = ({ outside }: World): RetrySchedule.ScheduleConfig => outside?.schedule ?? RetrySchedule.defaults

/** What is outside of the instances and their store, where a saga sends messages. A value: what happens there gives another one. */
export interface Outside {
  readonly definition: Saga.AnyCommitted
  readonly schedule: RetrySchedule.ScheduleConfig
  readonly transactional: boolean
  /** Equal ones go on in the same way. */
  readonly text: string
  /** A message has left an instance. */
  readonly sent: (message: Envelope) => Outside
  /** What is wrong with a write that has landed. */
  readonly written: (before: SagaState | undefined, after: SagaState) => string | undefined
}

export interface Said {
  readonly id: string
  readonly signal?: string
  readonly key?: string
  readonly content?: Json
}

/** What else happens, at most. */
export interface Budget {
  readonly saga?: keyof typeof sagas
  /** Each is sent once, at any time, to any process. One that is there twice is sent twice. */
  readonly said: ReadonlyArray<Said>
  /** So many others are there before, of the name and the key. */
  readonly before?: { readonly count: number; readonly key?: string }
  /** The time at which the exploration ends. */
  readonly until: number
  readonly crashes?: number
  /** The execution was started without `autocommit`. */
  readonly isManual?: true
  /** Answers of the store that are lost. */
  readonly lost?: number
  readonly cancels?: number
  /** A stranger reads the execution, and sends later. */
  readonly reads?: true
  /** Living instances renew their leases in time, and claim only then. */
  readonly isSteady?: true
  /** A write lands when it is sent. */
  readonly isPrompt?: true
}

// ---- the state -------------------------------------------------------------------------------------------------

interface Running {
  readonly instruction: Instruction
  /** On the fiber of the loop: it looks at nothing meanwhile. */
  readonly isInPlace: boolean
  /** Its result, where that is known. */
  readonly facts: ReadonlyArray<SagaEvent> | undefined
}

/** The loop of the execution in one instance. Copied before it is changed. */
interface Loop extends Progress.Progress {
  running: ReadonlyArray<Running>
  /** The write whose answer the loop waits for. */
  flight: number | undefined
  /** The answer to a write was lost. */
  isDoubtful: boolean
  /** A step has ended while the lease was over: its facts are held. */
  isKeeping: boolean
}

export type Id = "A" | "B"

interface Instance {
  readonly id: Id
  readonly isUp: boolean
  /** Counts its starts. */
  readonly life: number
  readonly epoch: number
  readonly former: string | undefined
  readonly renewed: number
  readonly loop: Loop | undefined
}

interface Flight {
  readonly number: number
  readonly by: Id
  readonly life: number
  readonly execution: SagaExecution
  readonly hint: Hint
  readonly then: LoopPlan.Act
}

export interface World {
  readonly budget: Budget
  readonly storage: MemoryStorage
  now: number
  instances: { readonly A: Instance; readonly B: Instance }
  flights: ReadonlyArray<Flight>
  crashes: number
  lost: number
  cancels: number
  /** The execution as the stranger has read it. */
  read: SagaExecution | undefined
  /** Which of `said` were sent. */
  sent: ReadonlyArray<number>
  /** Rows of the inbox whose senders were told that they are stored. */
  accepted: ReadonlyArray<string>
  outside: Outside | undefined
  violation: string | undefined
}

export const ids = ["A", "B"] as const
const always = Number.NEGATIVE_INFINITY

export const instance = (id: Id, life: number, now: number): Instance => ({
  ...{ id, isUp: true, life, epoch: 1, former: undefined, renewed: now, loop: undefined }
})

export const begin = (budget: Budget, outside?: Outside): World => {
  const world: World = {
    budget,
    storage: new MemoryStorage(),
    now: 0,
    instances: { A: instance("A", 1, 0), B: instance("B", 1, 0) },
    flights: [],
    crashes: 0,
    lost: 0,
    cancels: 0,
    read: undefined,
    sent: [],
    accepted: [],
    outside,
    violation: undefined
  }
  settled.clear()
  asked.clear()
  for (const id of ids) claim(world, id)
  const created = Execution.creation(definitionOf(world), { uuid, context: {} }, 0)
  if (!(created instanceof SagaExecution)) throw created
  const transactional = outside?.transactional === true
  const { isManual = false } = budget
  const options = { service: "orders", autocommit: !isManual, transactional, headers: undefined, now: 0 }
  const { count, key } = { count: 0, ...budget.before }
  const others = Array.from(
    { length: count },
    (_, i): SagaEvent => ({
      _tag: "SignalReceived",
      signal: "yes",
      id: `before ${i}`,
      content: "before",
      ...(key && { key }),
      at: 0
    })
  )
  const execution = others.reduce<SagaExecution>(Execution.evolve, started(created, options))
  setLoop(world, "A", loopOf(world, execution, [], { isHeld: false }))
  return world
}

export const copy = (world: World): World => ({ ...world, storage: world.storage.copy() })

export const definitionOf = ({ budget, outside }: World): Saga.AnyCommitted =>
  outside?.definition ?? sagas[budget.saga ?? "open"]

const loopOf = (
  world: World,
  execution: SagaExecution,
  inputs: ReadonlyArray<Inbox.PendingInput>,
  { isHeld, since = always }: { readonly isHeld: boolean; readonly since?: number }
): Loop => {
  const inbox = Inbox.make()
  for (const input of inputs) {
    if (input.stored === undefined) Inbox.offer(inbox, input)
    else Inbox.offerStored(inbox, [input])
  }
  inbox.revision = execution.revision
  return {
    ...{ execution, definition: definitionOf(world), since, presentSince: always, attemptSince: always, inbox, isHeld },
    ...{ elsewhere: undefined, isUnsure: false, hint: undefined, gains: [], unbegun: undefined, announces: true },
    ...{ failedCommits: 0, running: [], flight: undefined, isDoubtful: false, isKeeping: false }
  }
}

/** To be changed. */
const changing = (world: World, id: Id): Loop => {
  const loop = world.instances[id].loop!
  const { inbox, unbegun } = loop
  return {
    ...loop,
    inbox: { ...inbox, inputs: [...inbox.inputs], seen: inbox.seen && new Set(inbox.seen) },
    unbegun: unbegun && new Set(unbegun)
  }
}

export const set = (world: World, id: Id, change: Partial<Instance>): void => {
  world.instances = { ...world.instances, [id]: { ...world.instances[id], ...change } }
}

const setLoop = (world: World, id: Id, loop: Loop | undefined): void => set(world, id, { loop })
const nameOf = ({ epoch, id, life }: Instance): string => `${id}${life}#${epoch}`
const isAlive = ({ now }: World, { renewed }: Instance): boolean => now - renewed < lease

export const fail = (world: World, violation: string | undefined): void => {
  world.violation ??= violation
}

const add = <A extends string | number>(list: ReadonlyArray<A>, one: A): ReadonlyArray<A> => [...list, one].sort()

// ---- the store -------------------------------------------------------------------------------------------------

const stores = new WeakMap<MemoryStorage, ReturnType<typeof memoryOn>>()

const storeOf = ({ storage }: World): ReturnType<typeof memoryOn> => {
  const store = stores.get(storage) ?? memoryOn(storage, { keep: 10, shared: true })
  stores.set(storage, store)
  return store
}

/** One clock for all worlds: it shows the time of the world in which something happens. */
const clock = { ...Effect.runSync(Clock.Clock), now: 0, currentTimeMillisUnsafe: (): number => clock.now }
clock.currentTimeMillis = Effect.sync(() => clock.now)

/** The world in which something happens. */
let here: World | undefined

/** Messages go to what is outside; none comes back by itself. */
const broker: Broker.Broker["Service"] = {
  publish: (message) =>
    Effect.sync(() => {
      if (here?.outside === undefined) throw new Error("no saga of this world sends a message")
      here.outside = here.outside.sent(Result.getOrThrow(Broker.read(message)))
    }),
  subscribe: () => Effect.die("nobody listens") as never
}

const committer = Effect.runSync(
  Effect.gen(function* () {
    return yield* TransactionCommitter
  }).pipe(Effect.provide(Layer.provide(layerTwoPhase, Layer.succeed(Broker.Broker, broker))))
)

/** Runs what needs no time, at the time of the world. */
const call = <A, E>(world: World, effect: Effect.Effect<A, E>): Result.Result<A, E> => {
  clock.now = world.now
  here = world
  return Effect.runSync(Effect.provideService(Effect.result(effect), Clock.Clock, clock))
}

const keptOf = ({ storage }: World) => storage.kept.get(uuid)
export const stateOf = (world: World): SagaState | undefined => keptOf(world)?.state
export const rowsOf = (world: World): ReadonlyArray<string> => [...(keptOf(world)?.inbox?.keys() ?? [])]
export const eventsOf = (state: SagaState): ReadonlyArray<SagaEvent> => new SagaExecution(state, undefined).events

const membershipOf = (world: World, id: Id): Membership => {
  const self = world.instances[id]
  const owner = nameOf(self)
  const { giveBack, take } = storeOf(world)
  return {
    owner,
    isAlive: () => isAlive(world, world.instances[id]),
    isMine: () => true,
    claim: () => Effect.die("claims are made by `claim`"),
    take: (request) => take({ ...request, owner, ...(self.former !== undefined && { former: self.former }) }),
    giveBack: (request) => giveBack({ ...request, owner }),
    wake: () => Effect.void
  }
}

const recordOf = (world: World, id: Id): RecordFacts.RecordFacts => {
  const membership = membershipOf(world, id)
  return RecordFacts.make({
    repository: storeOf(world),
    broker,
    membership,
    takeUp: Takeover.make(membership, scheduleOf(world)),
    onStored: () => {},
    onAway: () => {}
  })
}

// ---- inputs ----------------------------------------------------------------------------------------------------

const signalOf = ({ signal = "yes", ...said }: Said): Of<"Signal"> => ({ _tag: "Signal", signal, ...said })

/** What a pending input is, in the text of a world. */
const nameOfInput = ({ input, stored }: Inbox.PendingInput): string =>
  stored === undefined ? JSON.stringify(input) : `row ${stored.id}`

/** Leaves an input in the stored inbox, as a process that does not own the execution, or knows no saga. */
const leave = (world: World, input: SagaInput): void => {
  if (input._tag === "Signal") {
    const sender = { repository: storeOf(world), membership: { wake: () => Effect.void } }
    const left = call(world, SendSignal.leave(sender, uuid, input, world.read))
    if (Result.isFailure(left)) return checkTold(world, input, left.failure)
    if (left.success.id === undefined) return checkTold(world, input, undefined)
    fail(world, Law.accepted(stateOf(world)!, input.signal))
    if (!world.accepted.includes(left.success.id)) world.accepted = add(world.accepted, left.success.id)
    return
  }
  const isReply = input._tag === "Reply"
  const id = isReply ? StoredInput.rowOf(uuid, input, world.now).id : input._tag
  const row = { uuid, id, input: input as Json, at: world.now }
  const submitted = call(world, storeOf(world).submit(row))
  // Nobody waits for what becomes of a reply.
  if (isReply) return
  if (Result.isSuccess(submitted) && submitted.success === "stored" && !world.accepted.includes(row.id))
    world.accepted = add(world.accepted, row.id)
}

/** What the sender of a signal is told is true of what is stored. */
const checkTold = (world: World, { content, id }: Of<"Signal">, refusal: unknown): void => {
  const state = stateOf(world)
  if (state !== undefined) fail(world, Law.told(state, { id, content }, refusal))
}

/** Tells the senders of inputs whose facts are stored. */
const complete = (world: World, self: Loop): void => {
  for (const { input, refused } of self.inbox.judged) {
    if (input.stored !== undefined || input.input._tag !== "Signal") continue
    checkTold(world, input.input, Result.isFailure(refused) ? refused.failure : undefined)
  }
  self.inbox.judged = []
}

/** An input comes to an instance. */
export const deliver = (world: World, id: Id, input: SagaInput): void => {
  const pending = Inbox.pending(input)
  if (world.instances[id].loop !== undefined) {
    const self = changing(world, id)
    Inbox.offer(self.inbox, pending)
    return setLoop(world, id, self)
  }
  const load = Effect.map(storeOf(world).load(uuid), (found) => Execution.bind(found, definitionOf(world)))
  const takenUp = call(world, Takeover.make(membershipOf(world, id), scheduleOf(world))(load))
  // There is no execution yet.
  if (Result.isFailure(takenUp)) return
  const { elsewhere, execution, isHeld } = takenUp.success
  if (elsewhere !== undefined) return leave(world, input)
  setLoop(world, id, loopOf(world, Takeover.afterCrash(execution, world.now), [pending], { isHeld, since: world.now }))
}

/** Another instance has the execution: what was given here directly is left for it. */
const handOn = (world: World, id: Id, self: Loop): void => {
  setLoop(world, id, undefined)
  for (const { input, stored } of Inbox.waiting(self.inbox)) if (stored === undefined) leave(world, input)
}

// ---- claims ----------------------------------------------------------------------------------------------------

export const claim = (world: World, id: Id, isFirst = false): void => {
  const self = world.instances[id]
  const { former, loop } = self
  const holds = loop !== undefined && loop.inbox.revision > 0 ? [{ uuid, revision: loop.inbox.revision }] : []
  const claimed = Result.getOrThrow(
    call(
      world,
      storeOf(world).claim({
        ...{ owner: nameOf(self), limit: 1, now: world.now, leaseMillis: lease, holds },
        ...(isFirst && { dueBy: world.now + tick }),
        ...(former !== undefined && { former })
      })
    )
  )
  if (claimed.lapsed) {
    set(world, id, { epoch: self.epoch + 1, former: nameOf(self) })
    return claim(world, id, isFirst)
  }
  set(world, id, { renewed: world.now, former: undefined })
  const rows = claimed.inbox.map(StoredInput.pendingOf)
  if (loop !== undefined && claimed.lost.includes(uuid) && loop.flight === undefined) return handOn(world, id, loop)
  if (loop !== undefined) {
    const next = changing(world, id)
    Inbox.offerStored(next.inbox, rows)
    return setLoop(world, id, next)
  }
  const [execution] = claimed.executions
  if (execution === undefined) return
  const bound = Takeover.afterCrash(Execution.bind(execution, definitionOf(world)), world.now)
  setLoop(world, id, loopOf(world, bound, rows, { isHeld: true }))
}

/** The owner hears of rows, or does not. */
const hear = (world: World, id: Id): void => {
  const self = changing(world, id)
  const rows = Result.getOrThrow(call(world, storeOf(world).inbox(uuid)))
  Inbox.offerStored(self.inbox, rows.map(StoredInput.pendingOf))
  setLoop(world, id, self)
}

// ---- the loop: plan, store, act --------------------------------------------------------------------------------

const keyOf = ({ _tag, path }: Instruction): string => `${_tag}:${path}`

const underWay = ({ running }: Loop): LoopPlan.UnderWay => {
  const keys = new Set(running.map(({ instruction }) => keyOf(instruction)))
  return {
    isBusy: keys.size > 0,
    isJoint: false,
    isAwaited: ({ instructions }) => instructions.some((one) => keys.has(keyOf(one))),
    notUnderWay: (instructions) => instructions.filter((one) => !keys.has(keyOf(one)))
  }
}

const observe = (world: World, self: Loop): Progress.Observer => ({
  isNamed: true,
  isRunning: (path) => self.running.some(({ instruction }) => keyOf(instruction) === `RunStep:${path}`),
  policy: { schedule: scheduleOf(world) }
})

const planOf = (world: World, id: Id, self: Loop): LoopPlan.Plan =>
  LoopPlan.plan(self, underWay(self), world.now, scheduleOf(world), LoopPlan.hintsOf(membershipOf(world, id)))

export const turn = (world: World, id: Id): void => takeTurn(world, id, changing(world, id))

const takeTurn = (world: World, id: Id, self: Loop): void => {
  const record = recordOf(world, id)
  if (self.isDoubtful) return goOn(world, id, self, record.recover(self, RecordFacts.notRenewed, observe(world, self)))
  if (self.isKeeping) return goOn(world, id, self, record.reload(self, observe(world, self)))
  if (self.isUnsure || (self.isHeld && record.isFormerly(self))) {
    if (self.execution.state.unstored === 0) {
      const planned = planOf(world, id, self).next
      Progress.postpone(self, planned._tag === "Store" ? planned.then.work : planned.work)
    }
    return goOn(world, id, self, record.claimAgain(self, observe(world, self)))
  }
  Progress.judgeInputs(self, world.now, { schedule: scheduleOf(world) })
  const { execution, next } = planOf(world, id, self)
  self.execution = execution
  self.since = world.now
  if (next._tag !== "Store") return answer(world, id, self, next, false)
  self.hint = next.hint
  self.inbox.isWriting = true
  const number = Math.max(0, ...world.flights.map((one) => one.number)) + 1
  const { life } = world.instances[id]
  const flight = { number, by: id, life, execution, hint: next.hint, then: next.then }
  world.flights = [...world.flights, flight]
  setLoop(world, id, { ...self, flight: number })
  if (world.budget.isPrompt === true) land(world, flight, false)
}

/** After a failed write, from where that leads. */
const goOn = (world: World, id: Id, self: Loop, effect: Effect.Effect<void, StorageError>): void => {
  self.isDoubtful = false
  self.isKeeping = false
  self.inbox.isWriting = false
  Result.getOrThrow(call(world, effect))
  // A write that has landed before was found.
  if (self.inbox.judged.length > 0 && self.execution.state.unstored === 0 && Inbox.reads(self.inbox).length === 0)
    complete(world, self)
  if (self.elsewhere !== undefined) return handOn(world, id, self)
  setLoop(world, id, { ...self, flight: undefined })
}

const answer = (world: World, id: Id, self: Loop, act: LoopPlan.Act, isWritten: boolean): void => {
  const { inbox } = self
  if (inbox.judged.length > 0 && self.execution.state.unstored === 0) {
    if (isWritten || Inbox.reads(inbox).length === 0) complete(world, self)
  }
  if (inbox.inputs.length > 0) {
    Progress.postpone(self, act.work)
    return setLoop(world, id, self)
  }
  if (self.unbegun !== undefined) for (const { path } of act.work) self.unbegun.delete(path)
  if (act._tag === "Done") {
    if (!self.isHeld || self.execution.settled) return setLoop(world, id, undefined)
    const record = recordOf(world, id)
    const isGiven = Result.getOrThrow(call(world, record.giveBack(self, act.wakeAt)))
    self.isHeld = !isGiven
    return isGiven ? setLoop(world, id, undefined) : goOn(world, id, self, record.reload(self, observe(world, self)))
  }
  const isInPlace = act._tag === "Perform"
  const [only] = act.work
  if (only !== undefined && isInPlace && !isCallback(only)) {
    // Nothing comes between this work and the next turn.
    Progress.gain(self, perform(world, self, only))
    return takeTurn(world, id, self)
  }
  // The rules have made what the work needs: it ends later.
  const begun = act.work
    .filter((instruction) => !isQuestion(instruction))
    .map((instruction) => ({ instruction, isInPlace, facts: factsOf(world, self, instruction) }))
  self.running = [...self.running, ...begun]
  // A question is put at once, and its answer comes from outside.
  const questions = act.work.filter(isQuestion)
  for (const question of questions) Progress.gain(self, perform(world, self, question))
  if (questions.length > 0 && self.running.length === 0) return takeTurn(world, id, self)
  setLoop(world, id, self)
}

/** It runs code of the author, which takes its time and may fail. */
const isCallback = ({ _tag }: Instruction): boolean =>
  _tag === "RunStep" || _tag === "Compensate" || _tag === "HandleReply"

type Question = Extract<Instruction, { readonly _tag: "Resend" | "Reserve" | "Commit" | "Reject" }>

const isQuestion = (instruction: Instruction): instruction is Question =>
  instruction._tag === "Resend" || "services" in instruction

/** Whether the callback that ends now fails. Read by the steps of the sagas. */
export const callback = { fails: false }

/** The result of a callback of a wait is made when it begins; the loop takes it later. */
const factsOf = (world: World, self: Loop, instruction: Instruction): Running["facts"] =>
  instruction._tag === "TimeOut" || instruction._tag === "BuildWait" ? perform(world, self, instruction) : undefined

const perform = (world: World, { definition, execution }: Loop, instruction: Instruction): ReadonlyArray<SagaEvent> => {
  const common = { schedule: scheduleOf(world), service: "orders", clock, fiberContext: undefined }
  const scope = { ...common, definition, state: execution.state }
  if (!isQuestion(instruction))
    return Result.getOrThrow(
      call(world, PerformStep.perform(scope, instruction as PerformStep.StepInstruction, Effect.succeed))
    )
  if (instruction._tag !== "Resend")
    return Result.getOrThrow(call(world, AskParticipants.ask(scope, committer, undefined, instruction)))
  const { command, message } = instruction.sent
  call(world, Broker.publishAgain(broker, message, command))
  return []
}

export const endStep = (world: World, id: Id, fails = false): void => {
  callback.fails = fails
  const self = changing(world, id)
  const [{ facts, instruction, isInPlace }, ...others] = self.running as [Running, ...Array<Running>]
  self.running = others
  const gained = facts ?? perform(world, self, instruction)
  if (isInPlace) Progress.gain(self, gained)
  else Progress.gainOfWork(self, gained, false)
  // A new execution is stored whether the lease is over or not: no other instance has it.
  if (self.execution.revision === 0 || isAlive(world, world.instances[id])) return takeTurn(world, id, self)
  setLoop(world, id, { ...self, isKeeping: true })
}

/** A write arrives at the store. `isLost`: its answer does not come back. */
export const land = (world: World, flight: Flight, isLost: boolean): void => {
  world.flights = world.flights.filter(({ number }) => number !== flight.number)
  const { by, execution, hint, life, number, then } = flight
  const unread = rowsOf(world).filter((id) => hint.reads?.includes(id) !== true)
  const before = stateOf(world)
  const result = call(world, storeOf(world).store(execution, hint))
  if (Result.isSuccess(result)) {
    fail(world, world.outside?.written(before, result.success.state))
    fail(world, Law.written(Execution.unstored(execution), unread, result.success.state))
    fail(world, Law.history(numberOf(result.success.state), result.success.state))
  }
  const { life: now, loop } = world.instances[by]
  if (now !== life || loop?.flight !== number) return
  const self = changing(world, by)
  if (isLost) return setLoop(world, by, { ...self, flight: undefined, isDoubtful: true })
  const record = recordOf(world, by)
  if (Result.isFailure(result)) return goOn(world, by, self, record.recover(self, result.failure, observe(world, self)))
  self.inbox.isWriting = false
  self.flight = undefined
  const announced = record.recorded(self, result.success)
  if (announced !== undefined) call(world, announced)
  answer(world, by, self, then, true)
}

// ---- what can happen -------------------------------------------------------------------------------------------

export interface Action {
  readonly name: string
  readonly run: (world: World) => void
}

const isBusy = ({ running }: Loop): boolean => running.some(({ isInPlace }) => isInPlace)

/** An instance that has not renewed in time begins nothing and writes nothing. */
export const canTurn = (world: World, self: Instance): boolean =>
  self.loop !== undefined && self.loop.flight === undefined && !isBusy(self.loop) && isAlive(world, self)

const send = (world: World, n: number, to: Id | "a stranger"): void => {
  world.sent = add(world.sent, n)
  const input = signalOf(world.budget.said[n]!)
  if (to === "a stranger") leave(world, input)
  else deliver(world, to, input)
}

const ofInstance = (world: World, id: Id): ReadonlyArray<Action> => {
  const self = world.instances[id]
  const { loop } = self
  const actions: Array<Action> = []
  const can = (name: string, run: Action["run"]) => actions.push({ name: `${id} ${name}`, run })
  if (!self.isUp) {
    can("starts", (next) => {
      set(next, id, instance(id, self.life + 1, next.now))
      claim(next, id, true)
    })
    return actions
  }
  if (world.budget.isSteady !== true) can("claims", (next) => claim(next, id))
  if (canTurn(world, self)) can("takes a turn", (next) => turn(next, id))
  if (loop !== undefined && loop.running.length > 0 && loop.flight === undefined)
    can("ends a step", (next) => endStep(next, id))
  if (loop !== undefined && rowsOf(world).length > 0) can("hears of inputs", (next) => hear(next, id))
  if (world.cancels < (world.budget.cancels ?? 0) && stateOf(world) !== undefined)
    can("gets a cancel", (next) => {
      next.cancels++
      deliver(next, id, { _tag: "Cancel", actor: "ann" })
    })
  if (world.crashes < (world.budget.crashes ?? 0))
    can("crashes", (next) => {
      next.crashes++
      set(next, id, { isUp: false, loop: undefined })
    })
  return actions
}

/** Everything that can happen next. */
export const actions = (world: World): ReadonlyArray<Action> => {
  const all = ids.flatMap((id) => ofInstance(world, id))
  if (stateOf(world) !== undefined)
    for (const [n, said] of world.budget.said.entries()) {
      if (world.sent.includes(n)) continue
      for (const to of ["A", "B", "a stranger"] as const) {
        if (to !== "a stranger" && !world.instances[to].isUp) continue
        all.push({ name: `${to} is told ${JSON.stringify(said)}`, run: (next) => send(next, n, to) })
      }
    }
  const state = stateOf(world)
  if (world.budget.reads === true && world.read === undefined && state !== undefined)
    all.push({ name: "a stranger reads", run: (next) => (next.read = new SagaExecution(state, undefined)) })
  for (const flight of world.flights) {
    const what = `the write ${flight.number} of ${flight.by}${flight.life}`
    all.push({ name: `${what} lands`, run: (next) => land(next, flight, false) })
    // The first write is that of a start, which is told that the execution exists.
    if (world.lost < (world.budget.lost ?? 0) && flight.execution.revision > 0)
      all.push({
        name: `${what} lands, and its answer is lost`,
        run: (next) => {
          next.lost++
          land(next, flight, true)
        }
      })
  }
  if (world.now < world.budget.until) all.push({ name: "time passes", run: pass })
  return all
}

export const pass = (world: World): void => {
  world.now += tick
  if (world.budget.isSteady === true) for (const id of ids) if (world.instances[id].isUp) claim(world, id)
}

// ---- laws ------------------------------------------------------------------------------------------------------

/** What must hold in every state. */
export const check = (world: World): string | undefined => {
  if (world.violation !== undefined) return world.violation
  const kept = keptOf(world)
  if (kept === undefined) return undefined
  const rows = rowsOf(world)
  for (const id of world.accepted)
    if (!rows.includes(id) && !isTold(kept.state, id)) return `the row ${id} was accepted and is lost`
  return undefined
}

const toldIn = new WeakMap<SagaState, ReadonlySet<string>>()
const isTold = (state: SagaState, id: string): boolean => {
  const known =
    toldIn.get(state) ??
    new Set(
      eventsOf(state).flatMap((fact) => (fact._tag === "ActionApplied" || fact._tag === "ActionRefused" ? fact.id : []))
    )
  toldIn.set(state, known)
  return known.has(id)
}

/** Worlds that come to their end. */
const settled = new Set<string>()

/** Nothing more goes wrong: the execution comes to its end, or waits without limit, and everybody is told. */
export const settles = (from: World): string | undefined => {
  const world = copy(from)
  const way: Array<string> = []
  while (world.now < from.budget.until + 6 * tick) {
    const text = textOf(world)
    if (settled.has(text)) break
    way.push(text)
    calm(world)
    if (world.violation !== undefined) return world.violation
  }
  const said = world.now < from.budget.until + 6 * tick ? undefined : rests(world)
  if (said !== undefined) return said
  for (const text of way) settled.add(text)
  return undefined
}

/** Whether an execution is left as it should be, and everybody is told the truth afterwards. */
const rests = (world: World): string | undefined => {
  const kept = keptOf(world)
  // Its instance has gone before the first write.
  if (kept === undefined) return undefined
  if (kept.inbox !== undefined) return "an input waits for good"
  const isOver = new SagaExecution(kept.state, undefined).settled
  if (!isOver) {
    if (kept.state.status !== "paused") return `the execution stays ${kept.state.status}`
    if (kept.hint?.owner !== undefined) return "an execution that waits has an owner"
    if (kept.hint?.wakeAt !== Number.POSITIVE_INFINITY) return "an execution that waits for nothing but a signal is due"
    return undefined
  }
  const number = numberOf(kept.state)
  if (asked.has(number)) return undefined
  asked.add(number)
  // Whoever sends any of them again, to whatever process, is told the same, and nothing is written.
  const { revision } = kept.state
  world.read = undefined
  for (const said of world.budget.said)
    for (const to of ["A", "B", "a stranger"] as const)
      for (const content of [said.content, "something else"]) {
        const input = signalOf({ ...said, ...(content !== undefined && { content }) })
        if (to === "a stranger") leave(world, input)
        else deliver(world, to, input)
        calm(world)
        if (world.violation !== undefined) return `afterwards: ${world.violation}`
        if (keptOf(world)!.state.revision !== revision || keptOf(world)!.inbox !== undefined)
          return "a signal for an execution that is over has left something"
      }
  return undefined
}

/** Executions whose doors were tried. */
const asked = new Set<number>()

/** Lets everybody do all they can do, and time pass. */
const calm = (world: World): void => {
  rest(world)
  pass(world)
}

/** Lets everybody do all they can do now. */
export const rest = (world: World): void => {
  for (let isMoving = true, turns = 0; isMoving; turns++) {
    if (turns === 100) return fail(world, "an instance is busy without end")
    const before = textOf(world)
    for (const flight of world.flights) land(world, flight, false)
    for (const id of ids) {
      const self = world.instances[id]
      if (!self.isUp) set(world, id, instance(id, self.life + 1, world.now))
      claim(world, id, !self.isUp)
      const { loop } = world.instances[id]
      if (loop !== undefined && loop.running.length > 0 && loop.flight === undefined) endStep(world, id)
      if (canTurn(world, world.instances[id])) turn(world, id)
    }
    isMoving = textOf(world) !== before
  }
}

// ---- equal states ----------------------------------------------------------------------------------------------

const known = new Map<string, number>()
const numbers = new WeakMap<object, number>()

/** The same number for the same facts. */
export const numberOf = (state: SagaState): number => {
  const found = numbers.get(state)
  if (found !== undefined) return found
  const text = JSON.stringify([state.revision, state.unstored, eventsOf(state)])
  const number = known.get(text) ?? known.size
  known.set(text, number)
  numbers.set(state, number)
  return number
}

const textOfLoop = ({ execution, gains, hint, inbox, running, unbegun, ...self }: Loop) => [
  numberOf(execution.state),
  gains.length,
  inbox.inputs.map(nameOfInput),
  inbox.judged.map(({ input }) => nameOfInput(input)),
  [...(inbox.seen ?? [])].sort(),
  running.map(({ instruction, isInPlace }) => [keyOf(instruction), isInPlace]),
  [...(unbegun ?? [])],
  [
    self.isHeld,
    self.isUnsure,
    self.isDoubtful,
    self.isKeeping,
    self.flight,
    inbox.revision,
    self.isDoubtful ? hint : undefined
  ]
]

/** Two worlds of the same text go on in the same way. */
export const textOf = (world: World): string => {
  const { accepted, cancels, crashes, flights, instances, lost, now, read, sent } = world
  const kept = keptOf(world)
  const of = ({ loop, ...self }: Instance) => [Object.values(self), loop && textOfLoop(loop)]
  return JSON.stringify([
    [now, cancels, crashes, lost, sent, accepted, read && numberOf(read.state)],
    kept && [numberOf(kept.state), kept.hint?.owner, String(kept.hint?.wakeAt), rowsOf(world)],
    [...world.storage.leases.until],
    of(instances.A),
    of(instances.B),
    flights.map(({ execution, then, ...flight }) => [flight, numberOf(execution.state), then._tag]),
    world.outside?.text
  ])
}
