/**
 * How much this process takes on: the slots of its executions, and the places of their runners. At most `maxRunning` run at a
 * time, whoever starts them (SPEC I20); others wait in a queue, and new starts after them in the order in which they came
 * (SPEC C13).
 */
import { Deferred, Effect, Exit, type Scope } from "effect"
import * as Metrics from "../ports/Metrics.ts"
import { ReleasingMap } from "../ports/ReleasingMap.ts"
import type { Held } from "../ports/SagaExecutionRepository.ts"
import type { LoopResult } from "./ExecutionLoop.ts"
import { RunnerQueue, type Urgency } from "./RunnerQueue.ts"
import { isActive, type Slot } from "./Slot.ts"

/** A start that waits. `isPromised`: a place is kept for it. */
interface Turn {
  readonly come: Deferred.Deferred<void>
  isPromised: boolean
}

/** Above all revisions. */
const anyRevision = 2 ** 31 - 2

export class Admission {
  private readonly slots = new ReleasingMap<string, Slot>()
  private readonly starts: Array<Turn> = []
  private readonly queue = new RunnerQueue()
  private readonly maxRunning: number
  private readonly maxPending: number
  /** Runners that are under way, and places that are promised to starts. */
  private taken = 0
  /** Runners whose execution is over: they are about to end, and hold no place of a new one. */
  private over = 0
  private isHandingOut = false
  /** Executions that wait for a reply or a time: they hold nothing. */
  private asleep = 0
  /** Called once, when there is room for more executions that recovery brings. */
  private tellRoom: (() => void) | undefined
  /**
   * Executions whose runners have ended since a claim was sent, and the revision up to which one may have changed who has them.
   * Undefined: no claim is under way.
   */
  private endedSince: Map<string, number> | undefined
  /** The revisions of the executions that this process had when the last claim was sent. */
  private listed: ReadonlyMap<string, number> = new Map()

  constructor(options: { readonly maxRunning: number; readonly maxPending: number }) {
    this.maxRunning = options.maxRunning
    this.maxPending = options.maxPending
  }

  get(uuid: string): Slot | undefined {
    return this.slots.get(uuid)
  }

  /** `before`: the slot that stands there. */
  set(uuid: string, slot: Slot | undefined, before = this.slots.get(uuid)): void {
    if (isActive(before) && before.isOver) this.over--
    if (isActive(slot) && slot.isOver) this.over++
    if (isAsleep(before)) this.asleep--
    if (isAsleep(slot)) this.asleep++
    if (slot === undefined) this.slots.delete(uuid)
    else this.slots.set(uuid, slot)
  }

  /** Executions that have a runner. One that waits for its place is not among them. */
  get running(): ReadonlyArray<string> {
    return this.slots.entries.flatMap(([uuid, slot]) => (isActive(slot) && !this.queue.has(uuid) ? [uuid] : []))
  }

  get uuids(): ReadonlyArray<string> {
    return [...this.slots.keys()]
  }

  /** The executions that this process has. One whose runner has failed is not given to it again meanwhile. */
  private get holds(): ReadonlyArray<Held> {
    return this.slots.entries.map(([uuid, slot]) => ({ uuid, revision: revisionOf(slot) }))
  }

  /** A claim is sent. Gives the executions that this process has. */
  claimBegins(): ReadonlyArray<Held> {
    const { holds } = this
    this.endedSince = new Map()
    this.listed = new Map(holds.map(({ revision, uuid }) => [uuid, revision]))
    return holds
  }

  /** The executions that a claim has brought are taken up. */
  claimEnds(): void {
    this.endedSince = undefined
  }

  /**
   * Whether a claim that has taken an execution at the revision `taken` still stands: a runner of this process may have ended, and
   * have given the execution back, since the claim was sent.
   */
  claimed(uuid: string, taken = Number.NEGATIVE_INFINITY): "stands" | "left" | "unknown" {
    const last = this.endedSince?.get(uuid)
    if (last === undefined || last <= taken) return "stands"
    return Number.isFinite(last) && Number.isFinite(taken) ? "left" : "unknown"
  }

  /** No runner of this process has the execution, or has had it since it was taken. */
  isIdle(uuid: string, taken?: number): boolean {
    return this.slots.get(uuid) === undefined && this.claimed(uuid, taken) === "stands"
  }

  /**
   * The execution was written or loaded since the claim was sent, or the write that gives it back is under way: who had it when the
   * claim read it says nothing.
   */
  isNewer(uuid: string): boolean {
    const slot = this.slots.get(uuid)
    if (slot === undefined) return false
    if (isActive(slot) && slot.inbox.isWriting && slot.inbox.isLeaving) return true
    return this.listed.has(uuid) && this.listed.get(uuid) !== revisionOf(slot)
  }

  get isFull(): boolean {
    return this.held - this.over + this.starts.length >= this.maxPending
  }

  /** Too many runners wait for a place. */
  get isQueueFull(): boolean {
    return this.queue.size >= this.maxPending
  }

  get hasRoom(): boolean {
    return this.taken < this.maxRunning && this.queue.size === 0
  }

  private get held(): number {
    return this.slots.size - this.asleep
  }

  /**
   * How many more executions recovery may bring. They get places before new starts do (SPEC C13), so a few may come although
   * none is free. Most have only something to send again, and need none.
   */
  get room(): number {
    const free = this.maxRunning - this.taken
    return Math.min(Math.max(free, this.few) - this.queue.size, this.maxPending - this.held)
  }

  /** A claim is worth its statements where there is room for so many. */
  private get few(): number {
    return Math.min(64, Math.ceil(this.maxRunning / 4))
  }

  /** Calls back once, when there is room for a few more executions: at once where a runner has ended since there was none. */
  whenRoom(tell: () => void): void {
    if (this.room >= this.few) return tell()
    this.tellRoom = tell
  }

  /** Runners are under way. */
  get isBusy(): boolean {
    return this.taken > 0
  }

  /** The metrics of what this process has, while the scope is open. */
  measured(service: string): Effect.Effect<void, never, Scope.Scope> {
    return Effect.all(
      [
        Metrics.running.read(() => this.taken, service),
        Metrics.pending.read(() => this.held, service),
        Metrics.queued.read(() => this.queue.size + this.starts.length, service)
      ],
      { discard: true }
    )
  }

  // ---- runners -------------------------------------------------------------------------------------------------

  /** A runner begins. */
  begun(): void {
    this.taken++
  }

  /** A runner has ended. */
  gone(uuid: string, exit: Exit.Exit<LoopResult, unknown>): void {
    this.taken--
    this.endedSince?.set(uuid, Math.max(this.endedSince.get(uuid) ?? 0, lastChange(exit)))
  }

  /** Launches a runner when its turn has come. */
  await(uuid: string, urgency: Urgency, launch: () => void): void {
    this.queue.add(uuid, urgency, launch)
  }

  /** Something more urgent has come for an execution. */
  hurry(uuid: string, urgency: Urgency): void {
    this.queue.hurry(uuid, urgency)
  }

  /** Takes the runner of an execution out of the queue. Undefined: it is not there. */
  leave(uuid: string): (() => void) | undefined {
    return this.queue.remove(uuid)
  }

  // ---- starts --------------------------------------------------------------------------------------------------

  /** Starts something once there is room. A caller that gives up leaves the line, or passes on the turn that it has got. */
  inTurn<A, E, E2>(start: () => Effect.Effect<A, E>, refuse: () => Effect.Effect<never, E2>): Effect.Effect<A, E | E2> {
    const turn: Turn = { come: Deferred.makeUnsafe(), isPromised: false }
    const take = () => {
      this.giveBack(turn)
      return start()
    }
    // The handler stands before the start is in the line: an interruption in between would leave a place that is nobody's.
    return Effect.onExit(
      Effect.suspend((): Effect.Effect<A, E | E2> => {
        if (this.isFull) return refuse()
        if (this.hasRoom) return take()
        this.starts.push(turn)
        return Effect.flatMap(Deferred.await(turn.come), take)
      }),
      () => {
        this.giveUp(turn)
        return Effect.void
      }
    )
  }

  /** Hands out the places that are free: to runners that wait, then to starts. */
  next(): void {
    // A runner that ends while others are launched has its place handed out by the loop below: the stack does not grow.
    if (this.isHandingOut) return
    this.isHandingOut = true
    // A launch that throws is a bug of one execution: others get their places at the next call (SPEC I29).
    try {
      while (this.taken < this.maxRunning && this.handOut()) {}
    } finally {
      this.isHandingOut = false
    }
    if (this.tellRoom === undefined || this.room < this.few) return
    const tell = this.tellRoom
    this.tellRoom = undefined
    tell()
  }

  /** False: nobody waits for a place. */
  private handOut(): boolean {
    const launch = this.queue.next()
    if (launch !== undefined) {
      launch()
      return true
    }
    const turn = this.starts.shift()
    if (turn === undefined) return false
    this.taken++
    turn.isPromised = true
    Deferred.doneUnsafe(turn.come, Effect.void)
    return true
  }

  /** Interrupts the starts that wait, and lets go of the runners: nothing is run here any more. */
  dismiss(): void {
    for (let launch = this.queue.next(); launch !== undefined; launch = this.queue.next()) launch()
    for (const { come } of this.starts.splice(0)) Deferred.doneUnsafe(come, Effect.interrupt)
  }

  private giveUp(turn: Turn): void {
    const place = this.starts.indexOf(turn)
    if (place >= 0) this.starts.splice(place, 1)
    if (turn.isPromised) {
      this.giveBack(turn)
      this.next()
    }
  }

  private giveBack(turn: Turn): void {
    if (turn.isPromised) this.taken--
    turn.isPromised = false
  }
}

/** The revision with which a runner has left the execution. Infinite where it may have done so without a write, or has failed. */
const lastChange = (exit: Exit.Exit<LoopResult, unknown>): number =>
  Exit.isSuccess(exit) && exit.value.elsewhere === undefined && exit.value.isGivenBack !== true
    ? exit.value.execution.revision
    : Number.POSITIVE_INFINITY

const isAsleep = (slot: Slot | undefined): boolean => slot?._tag === "Waiting" && slot.isAsleep === true

const revisionOf = (slot: Slot): number => (isActive(slot) && slot.inbox.revision) || anyRevision
