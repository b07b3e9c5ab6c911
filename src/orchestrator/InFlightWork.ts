/**
 * The work of one execution that is under way, each piece once. The loop takes the results one by one, because only the loop
 * writes.
 */
import { Deferred, Effect, Exit, Fiber, Queue } from "effect"
import type { Instruction } from "../execution/rules/Instruction.ts"
import type { Decision } from "../execution/rules/SagaDecision.ts"
import type { SagaExecution } from "../execution/view/SagaExecution.ts"
import type { Inbox } from "./Inbox.ts"
import type { Facts } from "./steps/ExecutionScope.ts"

/** The result of a piece of work. */
export interface FinishedWork<E> {
  /** Empty: no work has finished; an input or a stop waits. */
  readonly keys: ReadonlyArray<string>
  readonly exit: Exit.Exit<Facts, E>
  /** The work is transactional and waits for its record. */
  readonly joint?: Joint<E>
}

/** Work that commits together with its record: the loop gives the record, the work says whether both are stored. */
export interface Joint<E> {
  readonly record: Deferred.Deferred<SagaExecution>
  readonly stored: Deferred.Deferred<SagaExecution | undefined, E>
}

/** Gives the facts of the work to the loop, and gets the execution to store with it. */
export type Join = (facts: Facts) => Effect.Effect<SagaExecution>

/** The result of joint work: the execution that was stored with it, or facts that the loop has to store. */
export interface Done {
  readonly facts: Facts
  readonly stored: SagaExecution | undefined
}

export class InFlightWork<E> {
  private readonly keys = new Set<string>()
  private readonly joint = new Set<string>()
  private readonly finished: Queue.Queue<FinishedWork<E>>

  private constructor(finished: Queue.Queue<FinishedWork<E>>) {
    this.finished = finished
  }

  /** The queue holds at most one entry for each piece of work under way, and one for an input. */
  static make = <E>(): Effect.Effect<InFlightWork<E>> =>
    Effect.map(Queue.unbounded<FinishedWork<E>>(), (finished) => new InFlightWork(finished))

  /** Whether transactional work is under way. Then nothing else begins or is written. */
  get isJoint(): boolean {
    return this.joint.size > 0
  }

  /** Whether any work is under way. */
  get isBusy(): boolean {
    return this.keys.size > 0
  }

  /** Whether a decision still wants work that is under way. Unwanted work is dropped with the loop: a callback, late votes. */
  isAwaited({ asking, instructions }: Decision): boolean {
    if (this.keys.size === 0) return false
    return (
      this.isJoint ||
      instructions.some((instruction) => keysOf(instruction).some((key) => this.keys.has(key))) ||
      Array.from(this.keys).some((key) => key.startsWith("Resend:") || key.startsWith(`${asking}:`))
    )
  }

  /** Whether the local step at the path is under way. */
  isRunning(path: string): boolean {
    return this.keys.has(`RunStep:${path}`)
  }

  notUnderWay(instructions: ReadonlyArray<Instruction>): ReadonlyArray<Instruction> {
    return instructions.flatMap((instruction) => {
      if (!("services" in instruction)) return keysOf(instruction).some((key) => this.keys.has(key)) ? [] : instruction
      const services = instruction.services.filter((service) => !this.keys.has(`${instruction._tag}:${service}`))
      return services.length === 0 ? [] : { ...instruction, services }
    })
  }

  start(instruction: Instruction, work: Effect.Effect<Facts, E>) {
    const keys = keysOf(instruction)
    for (const key of keys) this.keys.add(key)
    const flight = Effect.flatMap(Effect.exit(work), (exit) => Queue.offer(this.finished, { keys, exit }))
    return Effect.forkChild(flight, { startImmediately: true })
  }

  /** `start` for transactional work. It gets its record by `join`, when its facts are known. */
  startJoint(instruction: Instruction, work: (join: Join) => Effect.Effect<Done, E>) {
    const keys = keysOf(instruction)
    for (const key of keys) {
      this.keys.add(key)
      this.joint.add(key)
    }
    const flight = Effect.suspend(() => {
      let joint: Joint<E> | undefined
      const join: Join = (facts) =>
        Effect.suspend(() => {
          joint = { record: Deferred.makeUnsafe(), stored: Deferred.makeUnsafe() }
          Queue.offerUnsafe(this.finished, { keys, exit: Exit.succeed(facts), joint })
          return Deferred.await(joint.record)
        })
      return Effect.flatMap(Effect.exit(work(join)), (exit) =>
        joint === undefined
          ? Queue.offer(this.finished, { keys, exit: Exit.map(exit, ({ facts }) => facts) })
          : Deferred.done(
              joint.stored,
              Exit.map(exit, ({ stored }) => stored)
            )
      )
    })
    return Effect.forkChild(flight, { startImmediately: true })
  }

  /** Waits for the first work that ends, for an input or a stop, or until it is time to look at what is awaited elsewhere. */
  takeFinished(
    inbox: Inbox,
    until: number,
    pause: (until: number) => Effect.Effect<void>
  ): Effect.Effect<FinishedWork<E>> {
    const notify = () => Queue.offerUnsafe(this.finished, { keys: [], exit: Exit.succeed([]) })
    inbox.notify = notify
    if (inbox.inputs.length > 0 || inbox.stop === "asked" || inbox.stop === "over") notify()
    const finished = Effect.map(Queue.take(this.finished), (finished) => {
      inbox.notify = undefined
      for (const key of finished.keys) {
        this.keys.delete(key)
        this.joint.delete(key)
      }
      return finished
    })
    if (until === Number.POSITIVE_INFINITY) return finished
    // Not a race: what has finished must not be lost to a timer that ends at the same moment.
    const timer = Effect.andThen(pause(until), Effect.sync(notify))
    return Effect.flatMap(Effect.forkChild(timer), (fiber) => Effect.tap(finished, Fiber.interrupt(fiber)))
  }
}

/** A question to several services has a key for each: a service is asked once at a time. */
const keysOf = (instruction: Instruction): ReadonlyArray<string> =>
  "services" in instruction
    ? instruction.services.map((service) => `${instruction._tag}:${service}`)
    : [`${instruction._tag}:${instruction.path}`]
