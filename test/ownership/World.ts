/**
 * Two instances on one memory store, as values that can be copied: what each knows, what is under way between them and the
 * store, and every next thing that can happen. Store, leases, rules of decisions and inputs, and the facts of steps are the real
 * functions. An action is atomic; a write or a give-back that an instance has sent lands later, or its answer is lost, and by
 * then time may have passed, its sender may have crashed, or another instance may have been faster.
 */
import { Clock, Effect, Result, Schema } from "effect"
import { Participant, Saga } from "effect-saga"
import type { Instruction } from "../../src/execution/rules/Instruction.ts"
import * as RetrySchedule from "../../src/execution/rules/RetrySchedule.ts"
import * as Decision from "../../src/execution/rules/SagaDecision.ts"
import type { SagaEvent } from "../../src/execution/rules/SagaEvent.ts"
import { judge, type SagaInput } from "../../src/execution/rules/SagaInput.ts"
import * as Execution from "../../src/execution/view/SagaExecution.ts"
import { SagaExecution } from "../../src/execution/view/SagaExecution.ts"
import { started } from "../../src/orchestrator/ExecutionInput.ts"
import * as PerformStep from "../../src/orchestrator/steps/PerformStep.ts"
import { afterCrash } from "../../src/orchestrator/Takeover.ts"
import type { Hint } from "../../src/ports/SagaExecutionRepository.ts"
import { type InboxRow, isClaimable, MemoryStorage, memoryOn } from "../../src/ports/SagaExecutionRepository.ts"
import { messageId } from "../../src/wire/Envelope.ts"
import type { Json } from "../../src/wire/JsonLimits.ts"

// ---- the scenario ----------------------------------------------------------------------------------------------

/** Times are whole numbers of this. */
export const tick = 1_000
/** A lease is over after two of them. */
const lease = 2 * tick

const uuid = "0190163d-8694-739b-aea5-966c26f8ad90"
const Bank = Participant.make("bank", { Charge: { payload: {}, success: Schema.String } })

export const sagas = {
  local: Saga.make("Local", { context: {} }).pipe(
    Saga.local("one", { success: Schema.String, execute: () => Effect.succeed("done"), compensate: () => Effect.void }),
    Saga.commit
  ),
  remote: Saga.make("Remote", { context: {} }).pipe(
    Saga.remote("one", { execute: { command: Bank.commands.Charge, payload: () => ({}) }, timeout: 3 * tick }),
    Saga.commit
  )
}

const schedule: RetrySchedule.ScheduleConfig = {
  ...RetrySchedule.defaults,
  resend: { initial: tick, factor: 1, max: tick }
}

/** What else happens, at most. */
export interface Budget {
  readonly saga: keyof typeof sagas
  /** B is never there: when A is not, nobody is. */
  readonly isAlone?: true
  /** The time at which the exploration ends. */
  readonly until: number
  readonly crashes: number
  /** Answers of the store that are lost. */
  readonly lost: number
  readonly cancels: number
  /** Copies of the reply. */
  readonly replies: number
}

/** The sentences of C20 that instances follow. The others are in the store. */
export const sentences = {
  onlyTheOwnerRuns: "only the owner runs steps: everybody else uses the inbox",
  inputsAreStored: "an input for an execution that another instance owns is stored before it is acknowledged",
  pausedHasNoOwner: "a paused execution has no owner",
  dueIsClaimed: "what is due is claimed, and timers only hint when",
  takesUpItsOwn: "each round takes up what names the instance and it does not hold",
  closes: "a write that waits or applies a deadline is refused while inputs wait",
  ownClock: "who has not renewed within its lease by its own clock begins nothing and sends nothing",
  spares: "who was without storage claims from others only one lease after its own first renewal",
  adopts: "a lapsed lease that nobody took from is renewed with all it held",
  keepsResults: "the result of a step is held and offered when storage is back",
  waitsAfterAbsence: "after an absence a message is sent once more, and has the time of one attempt"
} as const
export type Sentence = keyof typeof sentences
export type Rules = { readonly [S in Sentence]: boolean }

// ---- the state -------------------------------------------------------------------------------------------------

interface Pending {
  readonly id: string
  /** Undefined: from the inbox. */
  readonly source: "direct" | "inbox"
}

/** The loop of the execution in one instance. */
interface Loop {
  readonly execution: SagaExecution
  readonly since: number
  readonly attemptSince: number
  readonly isHeld: boolean
  readonly inputs: ReadonlyArray<Pending>
  /** Their facts are not stored yet. */
  readonly judged: ReadonlyArray<Pending>
  readonly isRunningStep: boolean
  /** Facts of a step that has which are not stored yet. */
  readonly result: ReadonlyArray<SagaEvent>
  /** Its last write may have happened. */
  readonly isDoubtful: boolean
  /** The call whose answer the loop waits for. */
  readonly flight: number | undefined
}

interface Instance {
  readonly id: "A" | "B"
  readonly isUp: boolean
  /** Counts its starts. */
  readonly life: number
  readonly epoch: number
  readonly former: string | undefined
  /** When it has renewed its lease, by its own clock. */
  readonly renewed: number | undefined
  /** Since when it has been there without a gap. */
  readonly presentSince: number
  /** Until when it takes nothing from others. */
  readonly spares: number
  readonly loop: Loop | undefined
  /** A time at which it looks by itself, where timers do more than to hint. */
  readonly timer: number | undefined
}

interface Flight {
  readonly number: number
  readonly by: "A" | "B"
  readonly life: number
  readonly owner: string
  readonly kind: "store" | "giveBack"
  readonly execution: SagaExecution
  readonly hint: Hint
  /** Inputs whose facts are in it. */
  readonly judged: ReadonlyArray<Pending>
  /** When its time limit cuts it off: a statement ends before the lease does under which it was sent. */
  readonly limit: number
}

export interface World {
  readonly budget: Budget
  readonly rules: Rules
  readonly storage: MemoryStorage
  now: number
  instances: { readonly A: Instance; readonly B: Instance }
  flights: ReadonlyArray<Flight>
  crashes: number
  lost: number
  cancels: number
  replies: number
  /** A fault has happened: a message may be sent twice. */
  isDisturbed: boolean
  /** Messages that were sent, each by when it was due. */
  sent: ReadonlyArray<string>
  /** Ids of inputs whose senders were told that they are stored. */
  acknowledged: ReadonlyArray<string>
  /** Ids of inputs whose consequence is stored. */
  consumed: ReadonlyArray<string>
  /** Who has begun the step last, and whether another instance had the execution since. */
  begun: { readonly life: string; readonly isTaken: boolean } | undefined
  /** Since when some instance has been there; undefined: none is. */
  thereSince: number | undefined
  /** Since when some instance had been there when the request was stored. */
  storedIn: number | undefined
  /** When a message was sent last. */
  sentAt: number
  violation: string | undefined
}

const always = Number.NEGATIVE_INFINITY

const ids = ["A", "B"] as const

const instance = (id: "A" | "B", presentSince = 0): Instance => ({
  id,
  isUp: true,
  life: 1,
  epoch: 1,
  former: undefined,
  renewed: undefined,
  presentSince,
  spares: 0,
  loop: undefined,
  timer: undefined
})

export const begin = (budget: Budget, rules: Rules): World => {
  const world: World = {
    budget,
    rules,
    storage: new MemoryStorage(),
    now: 0,
    instances: { A: instance("A"), B: instance("B") },
    flights: [],
    crashes: 0,
    lost: 0,
    cancels: 0,
    replies: 0,
    isDisturbed: false,
    sent: [],
    acknowledged: [],
    consumed: [],
    begun: undefined,
    thereSince: undefined,
    storedIn: undefined,
    sentAt: 0,
    violation: undefined
  }
  if (budget.isAlone) set(world, "B", { isUp: false })
  for (const id of ids) if (world.instances[id].isUp) claim(world, id)
  const definition = sagas[budget.saga]
  const created = Execution.creation(definition, { uuid, context: {} }, 0)
  if (!(created instanceof SagaExecution)) throw created
  const options = { service: "orders", autocommit: true, transactional: false, headers: undefined, now: 0 }
  setLoop(world, "A", loopOf(started(created, options), { since: 0, isHeld: false }))
  return world
}

export const copy = (world: World): World => ({ ...world, storage: world.storage.copy() })

const loopOf = (execution: SagaExecution, more: Partial<Loop> = {}): Loop => ({
  execution,
  since: always,
  attemptSince: always,
  isHeld: true,
  inputs: [],
  judged: [],
  isRunningStep: false,
  result: [],
  isDoubtful: false,
  flight: undefined,
  ...more
})

const set = (world: World, id: "A" | "B", change: Partial<Instance>): void => {
  world.instances = { ...world.instances, [id]: { ...world.instances[id], ...change } }
}

const setLoop = (world: World, id: "A" | "B", loop: Loop | undefined): void => set(world, id, { loop })

const nameOf = ({ epoch, id, life }: Instance): string => `${id}${life}#${epoch}`

/** Whether it has renewed its lease in time, by its own clock. */
const hasRenewed = ({ now }: World, { renewed }: Instance): boolean => renewed !== undefined && now - renewed < lease

/** Notes whether anybody is there. */
const look = (world: World): void => {
  const isThere = Object.values(world.instances).some((self) => self.isUp && hasRenewed(world, self))
  world.thereSince = isThere ? (world.thereSince ?? world.now) : undefined
}

const isAlive = (world: World, self: Instance): boolean => !world.rules.ownClock || hasRenewed(world, self)

const fail = (world: World, violation: string): void => {
  world.violation ??= violation
}

// ---- the store -------------------------------------------------------------------------------------------------

const stores = new WeakMap<MemoryStorage, ReturnType<typeof memoryOn>>()

const storeOf = ({ storage }: World): ReturnType<typeof memoryOn> => {
  const store = stores.get(storage) ?? memoryOn(storage, { keep: 10 })
  stores.set(storage, store)
  return store
}

/** One clock for all worlds: it shows the time of the world in which something happens. */
const clock = { ...Effect.runSync(Clock.Clock), now: 0, currentTimeMillisUnsafe: (): number => clock.now }

const showing = ({ now }: World): typeof clock => {
  clock.now = now
  return clock
}

/** The real store, at the time of the world. It answers at once. */
const run = <A, E>(world: World, call: (store: ReturnType<typeof memoryOn>) => Effect.Effect<A, E>) => {
  const before = ownerOf(world)
  const result = Effect.runSync(Effect.provideService(Effect.result(call(storeOf(world))), Clock.Clock, showing(world)))
  const after = ownerOf(world)
  // The name without the epoch: an instance that goes on under a new one is the same.
  const [taker] = (after ?? "").split("#")
  if (after !== before && after !== undefined && taker !== world.begun?.life && world.begun !== undefined) {
    world.begun = { ...world.begun, isTaken: true }
  }
  return result
}

const keptOf = ({ storage }: World) => storage.kept.get(uuid)
const ownerOf = (world: World): string | undefined => keptOf(world)?.hint?.owner
export const stateOf = (world: World) => keptOf(world)?.state
export const waiting = (world: World): ReadonlyArray<string> => [...(keptOf(world)?.inbox?.keys() ?? [])]
const stored = (world: World): SagaExecution | undefined => {
  const state = stateOf(world)
  return state && new SagaExecution(state, sagas[world.budget.saga])
}

const inputOf = (id: string): SagaInput =>
  id === "cancel"
    ? { _tag: "Cancel", actor: "ann" }
    : {
        _tag: "Reply",
        inReplyTo: messageId(uuid, "0", "execute"),
        sender: "bank",
        status: 200,
        content: "paid",
        relatedServices: []
      }

/** Stores an input for the instance that has the execution, and acknowledges it to its source. */
const submit = (world: World, id: string): void => {
  if (world.rules.inputsAreStored) {
    const row = { uuid, id, input: inputOf(id) as Json, at: world.now }
    const submitted = run(world, ({ submit }) => submit(row))
    if (Result.isFailure(submitted) || submitted.success === "settled") world.consumed = add(world.consumed, id)
  }
  world.acknowledged = add(world.acknowledged, id)
}

const add = (list: ReadonlyArray<string>, one: string): ReadonlyArray<string> =>
  list.includes(one) ? list : [...list, one].sort()

// ---- claims ----------------------------------------------------------------------------------------------------

const claimOf = (world: World, id: "A" | "B", isFirst = false) => {
  const { instances, now, rules } = world
  const self = instances[id]
  const { former, loop, spares } = self
  const holds = loop !== undefined && loop.execution.revision > 0 ? [loop.execution] : []
  return run(world, ({ claim }) =>
    claim({
      owner: nameOf(self),
      limit: 1,
      now,
      ...(isFirst && { dueBy: now + tick }),
      leaseMillis: lease,
      ...(rules.takesUpItsOwn && { holds: holds.map(({ revision }) => ({ uuid, revision })) }),
      ...(rules.adopts && former !== undefined && { former }),
      ...(rules.spares && now < spares && { spares: true })
    })
  )
}

/** The first claim of a life also brings what is due soon: a former life may have ended before it sent what it had stored. */
const claim = (world: World, id: "A" | "B", isFirst = false): void => {
  const claimed = claimOf(world, id, isFirst)
  if (Result.isFailure(claimed)) throw claimed.failure
  const { dueAt, executions, inbox, lapsed, lost } = claimed.success
  const self = world.instances[id]
  if (lapsed) {
    const name = nameOf(self)
    const spares = world.now + lease
    if (!world.rules.adopts) lose(world, id)
    set(world, id, { epoch: self.epoch + 1, former: name, spares })
    return claim(world, id)
  }
  const presentSince = hasRenewed(world, self) ? self.presentSince : world.now
  set(world, id, { renewed: world.now, former: undefined, presentSince })
  look(world)
  if (lost.includes(uuid)) lose(world, id)
  const loop = world.instances[id].loop
  const rows = inbox.map(({ id }): Pending => ({ id, source: "inbox" }))
  const [execution] = executions
  if (execution !== undefined && loop === undefined) {
    const since = isFirst ? always : (dueAt?.get(uuid) ?? always) - 1
    const bound = afterCrash(Execution.bind(execution, sagas[world.budget.saga]), world.now)
    setLoop(world, id, loopOf(bound, { since, inputs: rows }))
  } else if (loop !== undefined) offer(world, id, rows)
}

/** Who has the execution after this instance has asked for it. */
const take = (world: World, self: Instance, former = ""): string => {
  const { now, rules } = world
  const spares = rules.spares && (now < self.spares || !isAlive(world, self))
  return Result.getOrThrow(run(world, ({ take }) => take({ uuid, owner: nameOf(self), now, spares, former })))
}

/** Gives the loop inputs that it has not got. */
const offer = (world: World, id: "A" | "B", rows: ReadonlyArray<Pending>): void => {
  const loop = world.instances[id].loop
  if (loop === undefined) return
  const of = ({ id, source }: Pending): string => `${source} ${id}`
  const known = new Set([...loop.inputs, ...loop.judged].map(of))
  const fresh = rows.filter((row) => !known.has(of(row)))
  if (fresh.length > 0) setLoop(world, id, { ...loop, inputs: [...loop.inputs, ...fresh] })
}

/** Another instance has the execution: the loop is interrupted, and inputs that it was given are handed on. */
const lose = (world: World, id: "A" | "B"): void => {
  const loop = world.instances[id].loop
  setLoop(world, id, undefined)
  for (const { id: input, source } of [...(loop?.judged ?? []), ...(loop?.inputs ?? [])])
    if (source === "direct") submit(world, input)
}

// ---- the loop --------------------------------------------------------------------------------------------------

const withFacts = (execution: SagaExecution, facts: ReadonlyArray<SagaEvent>): SagaExecution =>
  facts.reduce((self, fact) => Execution.evolve(self, fact), execution)

const perform = (world: World, { state, definition }: SagaExecution, instruction: Instruction) => {
  const common = { schedule, service: "orders", clock: showing(world), fiberContext: undefined }
  const scope = { ...common, definition: definition!, state }
  return Effect.runSync(PerformStep.perform(scope, instruction as PerformStep.StepInstruction, Effect.succeed))
}

/** Judges what waits, decides, and does what needs no write, as far as it goes. */
const decide = (world: World, self: Instance, loop: Loop) => {
  const { now, rules } = world
  const presentSince = isAlive(world, self) ? self.presentSince : now
  const moment = {
    definition: sagas[world.budget.saga],
    now,
    since: loop.since,
    presentSince: rules.waitsAfterAbsence ? presentSince : always,
    attemptSince: loop.inputs.length > 0 || loop.since < presentSince ? now : loop.attemptSince,
    schedule
  }
  let { execution } = loop
  for (const { id } of loop.inputs) {
    const verdict = judge(execution.state, inputOf(id), moment)
    if (Result.isSuccess(verdict)) execution = withFacts(execution, verdict.success)
  }
  let appliesDeadline = false
  while (true) {
    const before = execution.state
    const { decision, state } = Decision.advance(before, moment)
    appliesDeadline ||= state.direction !== before.direction
    execution = state === before ? execution : new SagaExecution(state, moment.definition)
    const inPlace = decision.instructions.find(
      ({ _tag }) => _tag !== "RunStep" && _tag !== "Compensate" && _tag !== "Resend"
    )
    if (inPlace === undefined) return { appliesDeadline, attemptSince: moment.attemptSince, decision, execution }
    execution = withFacts(execution, perform(world, execution, inPlace))
  }
}

const isWork = ({ _tag }: Instruction): boolean => _tag === "RunStep" || _tag === "Compensate"

/** One turn: store what was gained, or do what comes next. */
const turn = (world: World, id: "A" | "B"): void => {
  const self = world.instances[id]
  const loop = self.loop!
  const { appliesDeadline, attemptSince, decision, execution } = decide(world, self, loop)
  if (appliesDeadline) checkAbsence(world)
  const judged = [...loop.judged, ...loop.inputs]
  const reads = judged.flatMap((one) => (one.source === "inbox" ? one.id : []))
  const next = { ...loop, execution, judged, inputs: [], since: world.now, attemptSince }
  const isAtWork = loop.isRunningStep || decision.instructions.some(isWork)
  if (execution.state.unstored > 0 || reads.length > 0) {
    const owner = nameOf(self)
    const closes = world.rules.closes && (!isAtWork || appliesDeadline)
    const takes = execution.revision > 0 && !loop.isHeld
    const waits = world.rules.pausedHasNoOwner ? {} : { owner }
    const hint: Hint = {
      ...(isAtWork ? { owner } : { ...waits, wakeAt: decision.wakeAt }),
      ...(closes && { closes }),
      ...(takes && { takes }),
      ...(reads.length > 0 && { reads })
    }
    return fly(world, id, next, "store", hint, judged)
  }
  // Inputs that were given directly and change nothing: their senders are told.
  for (const one of judged) settleInput(world, one.id)
  const idle = { ...next, judged: [] }
  const fresh = decision.instructions.filter((one) => !(loop.isRunningStep && isWork(one)))
  if (fresh.length > 0) return isAlive(world, self) ? act(world, id, idle, fresh) : setLoop(world, id, idle)
  if (loop.isRunningStep) return setLoop(world, id, idle)
  if (!loop.isHeld || execution.settled) return setLoop(world, id, undefined)
  fly(world, id, idle, "giveBack", { wakeAt: decision.wakeAt }, [])
}

/** A deadline is applied: the service has had the time of one attempt since somebody is there to hear it. */
const checkAbsence = (world: World): void => {
  const deadline = stateOf(world)?.root.current?.deadline
  const { now, sentAt, storedIn, thereSince = now } = world
  // Only a request that is stored can have been sent. One that was stored late, by a writer that is gone, is not known at first.
  if (deadline === undefined || deadline > thereSince || storedIn === thereSince) return
  const isTimely = sentAt >= thereSince && now >= thereSince + tick
  if (!isTimely) fail(world, "F10 a deadline that passed in an absence is applied before the service was asked again")
}

const fly = (
  world: World,
  id: "A" | "B",
  loop: Loop,
  kind: Flight["kind"],
  hint: Hint,
  judged: ReadonlyArray<Pending>
): void => {
  const self = world.instances[id]
  const number = Math.max(0, ...world.flights.map((one) => one.number)) + 1
  const isLimited = kind === "store" && hasRenewed(world, self)
  const limit = isLimited ? (self.renewed ?? 0) + lease : Number.MAX_SAFE_INTEGER
  const flight = { number, by: id, life: self.life, owner: nameOf(self), kind, hint, judged, limit }
  world.flights = [...world.flights, { ...flight, execution: loop.execution }]
  setLoop(world, id, { ...loop, flight: number })
}

/** Begins a step or sends messages. */
const act = (world: World, id: "A" | "B", loop: Loop, instructions: ReadonlyArray<Instruction>): void => {
  const self = world.instances[id]
  for (const instruction of instructions) {
    if (isWork(instruction)) {
      beginStep(world, self, instruction)
      return setLoop(world, id, { ...loop, isRunningStep: true })
    }
    if (instruction._tag === "Resend") {
      const { last } = RetrySchedule.around(
        instruction.sent.at,
        world.now,
        schedule.resend,
        instruction.sent.message.id
      )
      send(world, self, `due at ${last}`)
    }
  }
  setLoop(world, id, loop)
}

const leaseAtStore = (world: World, self: Instance): number => world.storage.leases.until.get(nameOf(self)) ?? 0

const send = (world: World, self: Instance, message: string): void => {
  if (leaseAtStore(world, self) <= world.now) fail(world, `${self.id} sends although its lease is over`)
  if (!world.isDisturbed && world.sent.includes(message)) fail(world, `F7 what was ${message} is sent twice`)
  world.sent = add(world.sent, message)
  world.sentAt = world.now
}

const beginStep = (world: World, self: Instance, { _tag }: Instruction): void => {
  if (leaseAtStore(world, self) <= world.now) fail(world, `${self.id} begins a step although its lease is over`)
  if (_tag !== "RunStep") return
  const life = `${self.id}${self.life}`
  for (const other of Object.values(world.instances)) {
    if (other.id === self.id || other.loop?.isRunningStep !== true || !other.isUp) continue
    if (leaseAtStore(world, other) > world.now) fail(world, "I28 a step runs that a living instance is running")
    if (world.now < self.spares) fail(world, "I28 after an outage a step runs again before its instance could renew")
  }
  if (world.begun?.life === life && !world.begun.isTaken) fail(world, `I28 ${life} runs a step that it has begun`)
  world.begun = { life, isTaken: false }
}

const settleInput = (world: World, id: string): void => {
  world.acknowledged = add(world.acknowledged, id)
  world.consumed = add(world.consumed, id)
}

// ---- answers of the store --------------------------------------------------------------------------------------

/** The call arrives at the store. `isLost`: its answer does not come back. */
const land = (world: World, flight: Flight, isLost: boolean): void => {
  world.flights = world.flights.filter(({ number }) => number !== flight.number)
  const { by, execution, hint, kind, life, limit, number, owner } = flight
  const self = world.instances[by]
  const loop = self.loop
  const isWaitedFor = self.life === life && loop?.flight === number
  if (world.now >= limit) return isWaitedFor ? doubt(world, by, loop) : undefined
  if (kind === "giveBack") {
    const request = { uuid, owner, revision: execution.revision, wakeAt: hint.wakeAt ?? 0 }
    const given = run(world, ({ giveBack }) => giveBack(request))
    if (!isWaitedFor) return
    const idle = { ...loop, flight: undefined }
    if (isLost) return setLoop(world, by, idle)
    if (Result.isSuccess(given) && given.success) {
      return setLoop(world, by, loop.inputs.length === 0 ? undefined : { ...idle, isHeld: false })
    }
    return reload(world, by, idle)
  }
  const unread = waiting(world).filter((id) => hint.reads?.includes(id) !== true)
  const result = run(world, ({ store }) => store(execution, hint))
  if (Result.isSuccess(result)) {
    if (Execution.unstored(execution).some(({ _tag }) => _tag === "RequestSent")) world.storedIn = world.thereSince
    afterWrite(world, flight, unread)
  }
  if (!isWaitedFor) return
  if (isLost) return doubt(world, by, loop)
  const isOwn = loop.isDoubtful && Result.isFailure(result) && isOwnWrite(world, execution)
  if (Result.isSuccess(result)) return written(world, by, loop, flight)
  // It happened at an earlier attempt, and another instance may have the execution since.
  if (isOwn) return reload(world, by, { ...loop, judged: [], result: [], flight: undefined }, owner)
  reload(world, by, { ...loop, flight: undefined })
}

/** The outcome of a write is not known: the loop sends it again when it has renewed its lease. */
const doubt = (world: World, id: "A" | "B", loop: Loop): void =>
  setLoop(world, id, { ...loop, flight: undefined, isDoubtful: true })

const isOwnWrite = (world: World, execution: SagaExecution): boolean => {
  const latest = stored(world)
  return (
    latest?.revision === execution.revision + 1 && JSON.stringify(latest.events) === JSON.stringify(execution.events)
  )
}

const afterWrite = (world: World, { execution, judged }: Flight, unread: ReadonlyArray<string>): void => {
  for (const { id } of judged) settleInput(world, id)
  const isTimedOut = Execution.unstored(execution).some(
    (fact) => fact._tag === "StepFailed" && fact.failure._tag === "StepTimedOut"
  )
  if (isTimedOut && unread.includes("reply")) fail(world, "a deadline is applied while the reply waits in the inbox")
}

/** The loop goes on from its own write. */
const written = (world: World, id: "A" | "B", loop: Loop, { execution, hint, owner }: Flight): void => {
  const self = world.instances[id]
  for (const fact of Execution.unstored(execution))
    if (fact._tag === "RequestSent" && isAlive(world, self)) send(world, self, "due at first")
  const after = stored(world)
  if (after === undefined) return setLoop(world, id, undefined)
  // It was sent under a former name, and says that a dead instance has the execution.
  if (hint.owner !== undefined && owner !== nameOf(self))
    return reload(world, id, { ...loop, flight: undefined }, owner)
  const isHeld = hint.wakeAt === undefined
  const next = {
    ...loop,
    execution: after,
    judged: [],
    result: [],
    isHeld,
    isDoubtful: false,
    flight: undefined,
    attemptSince: world.now
  }
  if (!world.rules.dueIsClaimed && hint.wakeAt !== undefined) set(world, id, { timer: hint.wakeAt })
  setLoop(world, id, isHeld || loop.inputs.length > 0 ? next : undefined)
}

/** The newest state, if this instance may have it; results of steps and inputs are offered to it. */
const reload = (world: World, id: "A" | "B", loop: Loop, former?: string): void => {
  const self = world.instances[id]
  const latest = stored(world)
  const inputs = [...loop.judged, ...loop.inputs]
  if (latest === undefined || latest.settled) {
    for (const one of inputs) settleInput(world, one.id)
    return setLoop(world, id, undefined)
  }
  const owner = nameOf(self)
  const holder = isClaimable(latest.state) ? take(world, self, former) : owner
  if (holder !== owner) return lose(world, id)
  const result = world.rules.keepsResults ? loop.result : []
  const isMine = () => loop.isRunningStep || loop.result.length > 0
  const execution = withFacts(afterCrash(latest, world.now, isMine), result)
  const isOpen = stateOf(world)?.root.current?.status === "running-on-execute"
  const next = loopOf(execution, {
    since: loop.since,
    attemptSince: loop.attemptSince,
    result,
    isRunningStep: loop.isRunningStep && isOpen
  })
  setLoop(world, id, {
    ...next,
    isHeld: isClaimable(latest.state),
    inputs: inputs.filter((one) => one.source === "direct")
  })
  offer(
    world,
    id,
    waiting(world).map((row) => ({ id: row, source: "inbox" }))
  )
}

// ---- what can happen -------------------------------------------------------------------------------------------

export interface Action {
  readonly name: string
  readonly run: (world: World) => void
}

/** An input arrives at an instance. */
const deliver = (world: World, id: "A" | "B", input: string): void => {
  const self = world.instances[id]
  const pending: Pending = { id: input, source: "direct" }
  if (self.loop !== undefined) return offer(world, id, [pending])
  const latest = stored(world)
  if (latest === undefined || latest.settled) return settleInput(world, input)
  const owner = nameOf(self)
  const isBusy = latest.status !== "paused"
  const holder = isBusy
    ? take(world, self)
    : ownerOf(world) === undefined || world.rules.pausedHasNoOwner
      ? owner
      : ownerOf(world)
  if (holder !== owner && keptOf(world)?.hint?.wakeAt !== undefined)
    fail(world, `the ${input} is not taken by who gets it, though the execution waits`)
  if (holder !== owner && world.rules.onlyTheOwnerRuns) return submit(world, input)
  const since = isBusy ? Number.NEGATIVE_INFINITY : world.now
  setLoop(
    world,
    id,
    loopOf(isBusy ? afterCrash(latest, world.now) : latest, { since, isHeld: isBusy, inputs: [pending] })
  )
}

/** Who has not renewed in time does nothing but to end what it runs: its results are held until it has renewed. */
const hasSomethingToDo = (world: World, self: Instance): boolean => {
  const { loop } = self
  if (loop === undefined || loop.flight !== undefined || !isAlive(world, self)) return false
  return !loop.isRunningStep || loop.inputs.length > 0 || loop.judged.length > 0
}

const ofInstance = (world: World, id: "A" | "B"): ReadonlyArray<Action> => {
  const self = world.instances[id]
  const { budget } = world
  const actions: Array<Action> = []
  if (budget.isAlone && id === "B") return actions
  const can = (name: string, run: Action["run"]) => actions.push({ name: `${id} ${name}`, run })
  if (!self.isUp) {
    can("starts", (next) => {
      set(next, id, { ...instance(id, next.now), life: self.life + 1 })
      claim(next, id, true)
    })
    return actions
  }
  can("claims", (next) => claim(next, id))
  if (hasSomethingToDo(world, self)) can("takes a turn", (next) => turn(next, id))
  if (self.loop?.isRunningStep === true && self.loop.flight === undefined)
    can("ends the step", (next) => endStep(next, id))
  if (self.loop !== undefined && waiting(world).length > 0)
    can("hears of inputs", (next) =>
      offer(
        next,
        id,
        waiting(next).map((row) => ({ id: row, source: "inbox" }))
      )
    )
  if (self.timer !== undefined && self.timer <= world.now && self.loop === undefined)
    can("is woken by its timer", (next) => {
      const latest = stored(next)
      set(next, id, { timer: undefined })
      if (latest?.status === "paused") setLoop(next, id, loopOf(latest, { since: self.timer! - 1, isHeld: false }))
    })
  if (world.cancels < budget.cancels)
    can("gets the cancel", (next) => {
      next.cancels++
      deliver(next, id, "cancel")
    })
  if (world.sent.length > 0 && world.replies < budget.replies)
    can("gets the reply", (next) => {
      next.replies++
      deliver(next, id, "reply")
    })
  if (world.crashes < budget.crashes)
    can("crashes", (next) => {
      next.crashes++
      next.isDisturbed = true
      const { loop } = next.instances[id]
      // The source of an input that is not acknowledged sends it again.
      for (const one of [...(loop?.inputs ?? []), ...(loop?.judged ?? [])]) {
        if (one.source === "direct" && one.id === "cancel" && !next.consumed.includes("cancel")) next.cancels--
        if (one.source === "direct" && one.id === "reply" && !next.consumed.includes("reply")) next.replies--
      }
      set(next, id, { isUp: false, loop: undefined, timer: undefined })
      look(next)
    })
  if (world.lost < budget.lost)
    can("claims, and the answer is lost", (next) => {
      next.lost++
      next.isDisturbed = true
      claimOf(next, id)
    })
  return actions
}

const endStep = (world: World, id: "A" | "B"): void => {
  const loop = world.instances[id].loop!
  const { decision } = Decision.advance(loop.execution.state, {
    definition: sagas[world.budget.saga],
    now: world.now,
    since: loop.since,
    presentSince: always,
    attemptSince: always,
    schedule
  })
  const instruction = decision.instructions.find(isWork)
  const result = instruction === undefined ? [] : perform(world, loop.execution, instruction)
  setLoop(world, id, { ...loop, isRunningStep: false, result, execution: withFacts(loop.execution, result) })
}

/** Everything that can happen next. */
export const actions = (world: World): ReadonlyArray<Action> => {
  const all = ids.flatMap((id) => ofInstance(world, id))
  for (const flight of world.flights) {
    const what = `the ${flight.kind === "store" ? "write" : "give-back"} ${flight.number} of ${flight.by}${flight.life}`
    const isCutOff = world.now >= flight.limit
    all.push({ name: `${what} ${isCutOff ? "is cut off" : "lands"}`, run: (next) => land(next, flight, false) })
    if (world.lost < world.budget.lost && !isCutOff)
      all.push({
        name: `${what} lands, and its answer is lost`,
        run: (next) => {
          next.lost++
          next.isDisturbed = true
          land(next, flight, true)
        }
      })
  }
  if (world.now < world.budget.until) all.push({ name: "time passes", run: pass })
  return all
}

const pass = (world: World): void => {
  world.now += tick
  look(world)
  for (const self of Object.values(world.instances))
    if (self.isUp && leaseAtStore(world, self) <= world.now) world.isDisturbed = true
}

// ---- laws ------------------------------------------------------------------------------------------------------

/** What must hold in every state. */
export const check = (world: World): string | undefined => {
  if (world.violation !== undefined) return world.violation
  const rows = waiting(world)
  const lost = world.acknowledged.find((id) => !world.consumed.includes(id) && !rows.includes(id))
  if (lost !== undefined) return `the ${lost} was acknowledged and is lost`
  if (stateOf(world) !== undefined && stored(world)!.settled && rows.length > 0)
    return "an input waits for what is over"
  return undefined
}

/** Nothing more goes wrong: every instance works, and each request is answered. The execution must come to its end. */
export const settles = (from: World): string | undefined => {
  const world = copy(from)
  const end = world.now + 12 * tick
  while (world.now < end) {
    for (let busy = true, turns = 0; busy; turns++) {
      if (turns === 100) return "an instance is busy without end"
      busy = false
      for (const flight of world.flights) {
        land(world, flight, false)
        busy = true
      }
      for (const id of ids) {
        if (!world.instances[id].isUp) {
          // An instance that starts sends again what it takes up: a former life may not have sent it.
          world.isDisturbed = true
          set(world, id, { ...instance(id, world.now), life: world.instances[id].life + 1 })
          claim(world, id, true)
          busy = true
        }
        if (world.instances[id].loop?.isRunningStep === true && world.instances[id].loop?.flight === undefined) {
          endStep(world, id)
          busy = true
        }
        if (hasSomethingToDo(world, world.instances[id])) {
          turn(world, id)
          busy = true
        }
      }
    }
    for (const id of ids) claim(world, id)
    if (world.sent.length > 0 && !world.acknowledged.includes("reply")) deliver(world, "B", "reply")
    const violation = check(world)
    if (violation !== undefined) return violation
    if (stored(world)?.settled === true && world.flights.length === 0) return undefined
    pass(world)
  }
  const state = stored(world)
  return state === undefined || state.settled || state.parked.length > 0
    ? undefined
    : "the execution does not come to its end"
}

// ---- equal states ----------------------------------------------------------------------------------------------

const known = new Map<string, number>()
const numbers = new WeakMap<object, number>()

/** The same number for the same facts. */
const numberOf = ({ state }: { readonly state: SagaExecution["state"] }): number => {
  const found = numbers.get(state)
  if (found !== undefined) return found
  const text = JSON.stringify([state.revision, state.unstored, new SagaExecution(state, undefined).events])
  const number = known.get(text) ?? known.size
  known.set(text, number)
  numbers.set(state, number)
  return number
}

/** Two worlds of the same text go on in the same way. */
export const textOf = (world: World): string => {
  const kept = keptOf(world)
  const {
    acknowledged,
    begun,

    cancels,
    consumed,
    crashes,
    flights,
    instances,
    isDisturbed,
    lost,
    now,
    replies,
    sent,
    sentAt,
    storedIn,
    thereSince
  } = world
  const of = ({ loop, ...self }: Instance) => [self, loop && { ...loop, execution: numberOf(loop.execution) }]
  return JSON.stringify([
    now,
    kept && [numberOf(kept), kept.hint, [...(kept.inbox ?? [])].map(([id, row]: [string, InboxRow]) => [id, row.at])],
    [...world.storage.leases.until],
    of(instances.A),
    of(instances.B),
    flights.map((flight) => ({ ...flight, execution: numberOf(flight.execution) })),
    [acknowledged, begun, cancels, consumed, crashes, isDisturbed, lost, replies, sent, sentAt, storedIn, thereSince]
  ])
}
