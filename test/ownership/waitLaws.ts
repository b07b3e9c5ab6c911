/**
 * What C16 says of signals, waits and times, of what is stored: read from the facts alone, without the functions that are under
 * test.
 */
import type { SagaEvent } from "../../src/execution/rules/SagaEvent.ts"
import type { SagaState } from "../../src/execution/rules/SagaState.ts"
import { SagaSignalConflict, SagaSignalRefused, SagaSignalsFull } from "../../src/execution/rules/SignalInput.ts"
import { SagaExecution } from "../../src/execution/view/SagaExecution.ts"

interface Wait {
  readonly path: string
  readonly kind: string | undefined
  readonly deadline: number | undefined
}

const kindOf = (signal: string, key: string | undefined): string => JSON.stringify([signal, key])

const eventsOf = (state: SagaState): ReadonlyArray<SagaEvent> => new SagaExecution(state, undefined).events

class Reader {
  readonly waits: Array<Wait> = []
  readonly received = new Map<string, { readonly kind: string; readonly content: unknown }>()
  /** Ids by kind, the oldest first. */
  readonly unused = new Map<string, Array<string>>()
  private isPassed = false
  private isBack = false
  private isOver = false

  read(fact: SagaEvent): string | undefined {
    switch (fact._tag) {
      case "SignalReceived": {
        if (this.received.has(fact.id)) return `the signal ${fact.id} is stored twice`
        if (this.isBack || this.isOver) return "an execution that has ended or goes back has taken a signal"
        const kind = kindOf(fact.signal, fact.key)
        this.received.set(fact.id, { kind, content: fact.content })
        this.unused.set(kind, [...(this.unused.get(kind) ?? []), fact.id])
        return undefined
      }
      case "WaitStarted":
        this.waits.push({
          path: fact.path,
          kind: fact.signal === undefined ? undefined : kindOf(fact.signal, fact.key),
          deadline: fact.deadline
        })
        // In the order of their facts: those of one write are stored in the order of their paths.
        return undefined
      case "StepSucceeded":
        return this.ends(fact.path, fact.at, fact.signal)
      case "PivotPassed":
        this.isPassed = true
        return undefined
      case "TryStarted":
        this.again(fact.path, fact.deadline)
        return undefined
      case "StepFailed": {
        if (this.isPassed) return fact.failure._tag === "StepTimedOut" ? this.isOverOf(fact.path, fact.at) : undefined
        const said = fact.failure._tag === "StepTimedOut" ? this.ends(fact.path, fact.at, undefined) : undefined
        this.isBack = true
        return said
      }
      case "RollbackStarted":
        this.isBack = true
        return undefined
      case "ExecutionFinished":
        this.isOver = true
        return undefined
      default:
        return undefined
    }
  }

  /** The signal that a wait takes now: those that began before it take theirs first. */
  takes({ kind, path }: Wait): string | undefined {
    if (kind === undefined) return undefined
    const before = this.waits.slice(
      0,
      this.waits.findIndex((wait) => wait.path === path)
    )
    return this.unused.get(kind)?.[before.filter((wait) => wait.kind === kind).length]
  }

  isThereFor(path: string): boolean {
    const wait = this.waits.find((wait) => wait.path === path)
    return wait !== undefined && this.takes(wait) !== undefined
  }

  /** Behind the pivot a wait whose time is over stays open, and a person may let it wait again. */
  private again(path: string, deadline: number | undefined): void {
    const i = this.waits.findIndex((wait) => wait.path === path)
    if (i >= 0 && deadline !== undefined) this.waits[i] = { ...this.waits[i]!, deadline }
  }

  private isOverOf(path: string, at: number): string | undefined {
    const wait = this.waits.find((wait) => wait.path === path)
    if (wait === undefined) return undefined
    if (this.takes(wait) !== undefined) return `time has ended the wait ${path} although its signal is there`
    return at >= (wait.deadline ?? Number.POSITIVE_INFINITY) ? undefined : `the wait ${path} has ended before its time`
  }

  private ends(path: string, at: number, signal: string | undefined): string | undefined {
    const wait = this.waits.find((wait) => wait.path === path)
    if (wait === undefined) return signal === undefined ? undefined : `the signal ${signal} ends what is no open wait`
    const due = this.takes(wait)
    if (signal !== due)
      return signal === undefined
        ? `time has ended the wait ${path} although the signal ${due} is there`
        : `the wait ${path} has taken ${signal} and not ${due}`
    if (signal === undefined && !(at >= (wait.deadline ?? Number.POSITIVE_INFINITY)))
      return `the wait ${path} has ended before its time`
    this.waits.splice(this.waits.indexOf(wait), 1)
    if (signal !== undefined)
      this.unused.set(
        wait.kind!,
        this.unused.get(wait.kind!)!.filter((id) => id !== signal)
      )
    return undefined
  }

  /** At the end of a write. */
  rests(): string | undefined {
    for (const [kind, ids] of this.unused) if (ids.length > 100) return `${ids.length} signals ${kind} are unused`
    if (this.isBack || this.isOver) return undefined
    const idle = this.waits.find((wait) => this.takes(wait) !== undefined)
    return idle && `the wait ${idle.path} has not taken the signal that is there for it`
  }
}

const lawful = new Map<number, string | undefined>()

/** Of all facts of an execution. `number`: a name for them. */
export const history = (number: number, state: SagaState): string | undefined => {
  if (lawful.has(number)) return lawful.get(number)
  const reader = new Reader()
  let said: string | undefined
  for (const fact of eventsOf(state)) said ??= reader.read(fact)
  said ??= reader.rests()
  lawful.set(number, said)
  return said
}

/** Facts that must not be stored over an input that was not read. */
const closing = (fact: SagaEvent): string | undefined => {
  switch (fact._tag) {
    case "WaitStarted":
      return "a wait begins"
    case "ExecutionFinished":
    case "ExecutionErrored":
      return "an execution ends"
    case "StepSucceeded":
      return fact.timedOut === true ? "time ends a wait" : undefined
    case "StepFailed":
      return fact.failure._tag === "StepTimedOut" ? "time ends a wait" : undefined
    case "RollbackStarted":
      return fact.failure._tag === "DeadlinePassed" ? "a deadline is applied" : undefined
    default:
      return undefined
  }
}

/** Of a write that has landed, with the rows of the inbox that its writer had not read. */
export const written = (
  facts: ReadonlyArray<SagaEvent>,
  unread: ReadonlyArray<string>,
  after: SagaState
): string | undefined => {
  for (const fact of facts) {
    const what = closing(fact)
    if (what !== undefined && unread.length > 0) return `${what} over an input that was not read`
  }
  if (!facts.some((fact) => closing(fact) === "time ends a wait")) return undefined
  // A signal of the same write was there: it was in the inbox that the write is based on.
  const reader = new Reader()
  const all = eventsOf(after)
  for (const fact of all.slice(0, all.length - facts.length)) reader.read(fact)
  for (const fact of facts) if (fact._tag === "SignalReceived") reader.read(fact)
  for (const fact of facts) {
    if (closing(fact) === "time ends a wait" && "path" in fact && reader.isThereFor(fact.path))
      return `time has ended the wait ${fact.path} although its signal is stored by the same write`
    if (fact._tag !== "SignalReceived") reader.read(fact)
  }
  return undefined
}

/** A signal is left in the inbox only of an execution that may take it. */
export const accepted = ({ direction, status }: SagaState, signal: string): string | undefined =>
  direction === "backward" || status === "finished" || signal === "unknown"
    ? "a signal is stored that its execution will refuse"
    : undefined

/** What the sender of a signal is told, against what is stored then. */
export const told = (
  state: SagaState,
  { content, id }: { readonly id: string; readonly content: unknown },
  refusal: unknown
): string | undefined => {
  const before = eventsOf(state).find((fact) => fact._tag === "SignalReceived" && fact.id === id)
  const isSame = before?._tag === "SignalReceived" && before.content === content
  if (refusal === undefined) return isSame ? undefined : `the signal ${id} was acknowledged and is not stored`
  if (refusal instanceof SagaSignalConflict)
    return before !== undefined && !isSame ? undefined : `${id} is called a conflict, and there is none`
  if (before !== undefined) return `${id} is stored, and refused: ${String(refusal)}`
  if (refusal instanceof SagaSignalRefused) {
    const { direction, status } = state
    const isEnded = status === "finished" || status === "errored"
    const isSo = {
      ended: isEnded,
      "going-back": direction === "backward",
      "unknown-signal": refusal.signal === "unknown",
      payload: false
    }
    return isSo[refusal.reason] ? undefined : `${id} is refused: ${refusal.reason}, and it is not so`
  }
  if (refusal instanceof SagaSignalsFull) {
    const { key, signal } = refusal
    const alike = eventsOf(state).filter(
      (fact) => fact._tag === "SignalReceived" && fact.signal === signal && fact.key === key
    )
    return alike.length >= 100 ? undefined : `${id} is refused as too many, and it is not`
  }
  return `${id} is refused: ${String(refusal)}`
}
