/**
 * Which of the messages that wait begins next: a pure function of the limits of their commands, of what runs, and of the time. A command
 * of a higher priority comes first; commands of one priority take turns, so none waits for the work of another one. Every eighth turn is
 * that of the message that waits longest, whatever its priority: none waits for ever.
 */
import { type Rate, refilled, type Tokens, untilToken } from "../ports/QueueAdmission.ts"

/** The limits of one command. */
export interface Limits {
  /** Messages that are handled at the same time. */
  readonly concurrency: number
  readonly rate: Rate | undefined
  readonly priority: number
  /** Its handler runs in a unit of work. */
  readonly hasUnit: boolean
}

export interface Settings {
  /** By the names of the commands; all of the contract. */
  readonly commands: ReadonlyMap<string, Limits>
  /** Handlers in a unit of work at the same time. */
  readonly maxHandlers: number
  /** Messages that wait. */
  readonly maxWaiting: number
}

export interface Waiting {
  /** In the order of their arrival. */
  readonly id: number
  readonly command: string
}

export interface State {
  readonly waiting: ReadonlyArray<Waiting>
  /** How many run, by their commands. */
  readonly running: ReadonlyMap<string, number>
  readonly tokens: ReadonlyMap<string, Tokens>
  /** How many were admitted, and the command of the last one. */
  readonly turns: number
  readonly cursor: string
}

export const begin: State = { waiting: [], running: new Map(), tokens: new Map(), turns: 0, cursor: "" }

/** Turns from one that goes by time alone to the next. */
const everyTurns = 8

const runs = ({ running }: State, command: string): number => running.get(command) ?? 0

/**
 * A message comes. Where too many wait, one of the command that has most of them is let go, the newest: its sender sends it again. So a
 * flood of one command takes no place from the others.
 */
export const arrive = (
  state: State,
  one: Waiting,
  { maxWaiting }: Pick<Settings, "maxWaiting">
): { readonly state: State; readonly letGo: Waiting | undefined } => {
  const waiting = [...state.waiting, one]
  if (waiting.length <= maxWaiting) return { state: { ...state, waiting }, letGo: undefined }
  const counts = new Map<string, number>()
  for (const { command } of waiting) counts.set(command, (counts.get(command) ?? 0) + 1)
  const most = Math.max(...counts.values())
  const letGo = waiting.findLast(({ command }) => counts.get(command) === most)
  return { state: { ...state, waiting: waiting.filter((it) => it !== letGo) }, letGo }
}

/** One that waits does so no more: its process stops. */
export const withdraw = (state: State, id: number): State => ({
  ...state,
  waiting: state.waiting.filter((it) => it.id !== id)
})

/** The handler of one has ended. */
export const leave = (state: State, command: string): State => ({
  ...state,
  running: new Map(state.running).set(command, runs(state, command) - 1)
})

/** Admits all that may begin now. `nextAt`: when a rate lets another one begin; `Infinity`: none is held up by its rate. */
export const admit = (
  state: State,
  settings: Settings,
  now: number
): { readonly state: State; readonly admitted: ReadonlyArray<Waiting>; readonly nextAt: number } => {
  const admitted: Array<Waiting> = []
  let next = state
  for (;;) {
    const one = chosen(next, settings, now)
    if (one === undefined) return { state: next, admitted, nextAt: nextAt(next, settings, now) }
    admitted.push(one)
    next = begins(next, settings, one, now)
  }
}

const begins = (state: State, { commands }: Settings, { command, id }: Waiting, now: number): State => {
  const rate = commands.get(command)?.rate
  return {
    waiting: withdraw(state, id).waiting,
    running: new Map(state.running).set(command, runs(state, command) + 1),
    tokens:
      rate === undefined
        ? state.tokens
        : new Map(state.tokens).set(command, { left: refilled(rate, state.tokens.get(command), now) - 1, at: now }),
    turns: state.turns + 1,
    cursor: command
  }
}

/** The first of each command that has a place, with or without a token. */
const withPlace = (state: State, { commands, maxHandlers }: Settings): ReadonlyArray<Waiting> => {
  let handlers = 0
  for (const [command, count] of state.running) if (commands.get(command)?.hasUnit === true) handlers += count
  const seen = new Set<string>()
  return state.waiting.filter(({ command }) => {
    const limits = commands.get(command)
    if (seen.has(command) || limits === undefined) return false
    seen.add(command)
    return runs(state, command) < limits.concurrency && (!limits.hasUnit || handlers < maxHandlers)
  })
}

const tokensOf = ({ tokens }: State, { commands }: Settings, command: string, now: number): number => {
  const rate = commands.get(command)?.rate
  return rate === undefined ? Number.POSITIVE_INFINITY : refilled(rate, tokens.get(command), now)
}

const chosen = (state: State, settings: Settings, now: number): Waiting | undefined => {
  const heads = withPlace(state, settings).filter(({ command }) => tokensOf(state, settings, command, now) >= 1)
  // They are in the order of their arrival.
  if (state.turns % everyTurns === everyTurns - 1) return heads[0]
  const priority = ({ command }: Waiting) => settings.commands.get(command)?.priority ?? 0
  const highest = Math.max(...heads.map(priority))
  const inTurn = heads
    .filter((head) => priority(head) === highest)
    .sort((one, other) => (one.command < other.command ? -1 : 1))
  return inTurn.find(({ command }) => command > state.cursor) ?? inTurn[0]
}

const nextAt = (state: State, settings: Settings, now: number): number =>
  Math.min(
    Number.POSITIVE_INFINITY,
    ...withPlace(state, settings).map(
      ({ command }) =>
        now + untilToken(settings.commands.get(command)?.rate, tokensOf(state, settings, command, now), undefined)
    )
  )
