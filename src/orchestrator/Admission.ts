/**
 * How much this process takes on: the slots of its executions, counted, and the starts that wait for room in the order in
 * which they came (SPEC C13).
 */
import { Deferred, Effect } from "effect"
import { isActive, type Slot } from "./Slot.ts"

export class Admission {
  private readonly slots = new Map<string, Slot>()
  private readonly starts: Array<Deferred.Deferred<void>> = []
  private readonly maxRunning: number
  private readonly maxPending: number
  private active = 0
  /** Runners whose execution is over: they are about to end, and hold no place of a new one. */
  private over = 0

  constructor(options: { readonly maxRunning: number; readonly maxPending: number }) {
    this.maxRunning = options.maxRunning
    this.maxPending = options.maxPending
  }

  get(uuid: string): Slot | undefined {
    return this.slots.get(uuid)
  }

  set(uuid: string, slot: Slot | undefined): void {
    const before = this.slots.get(uuid)
    if (isActive(before)) {
      this.active--
      if (before.isOver) this.over--
    }
    if (isActive(slot)) {
      this.active++
      if (slot.isOver) this.over++
    }
    if (slot === undefined) this.slots.delete(uuid)
    else this.slots.set(uuid, slot)
  }

  /** Executions that have a runner. */
  get running(): ReadonlyArray<string> {
    return Array.from(this.slots).flatMap(([uuid, slot]) => (isActive(slot) ? [uuid] : []))
  }

  get isFull(): boolean {
    return this.slots.size - this.over + this.starts.length >= this.maxPending
  }

  get hasRoom(): boolean {
    return this.active < this.maxRunning
  }

  /** How many more executions recovery may bring. */
  get room(): number {
    return Math.min(this.maxRunning - this.active - this.starts.length, this.maxPending - this.slots.size)
  }

  /** Starts something once there is room. A caller that gives up leaves the line, or passes on the turn that it has got. */
  inTurn<A, E, E2>(start: () => Effect.Effect<A, E>, refuse: () => Effect.Effect<never, E2>): Effect.Effect<A, E | E2> {
    const turn = Deferred.makeUnsafe<void>()
    let isTaken = false
    const take = () => {
      isTaken = true
      return start()
    }
    // The handler stands before the start is in the line: an interruption in between would leave a place that is nobody's.
    return Effect.onExit(
      Effect.suspend((): Effect.Effect<A, E | E2> => {
        if (this.isFull) return refuse()
        if (this.hasRoom) return take()
        this.starts.push(turn)
        return Effect.flatMap(Deferred.await(turn), take)
      }),
      () => {
        if (!isTaken) this.giveUp(turn)
        return Effect.void
      }
    )
  }

  /** Lets the next start go, if there is room. */
  next(): void {
    const turn = this.hasRoom ? this.starts.shift() : undefined
    if (turn !== undefined) Deferred.doneUnsafe(turn, Effect.void)
  }

  /** Interrupts the starts that wait: nothing is run here any more. */
  dismiss(): void {
    for (const turn of this.starts.splice(0)) Deferred.doneUnsafe(turn, Effect.interrupt)
  }

  private giveUp(turn: Deferred.Deferred<void>): void {
    const place = this.starts.indexOf(turn)
    if (place < 0) this.next()
    else this.starts.splice(place, 1)
  }
}
