/**
 * What the dashboard's API says, as schemas: the page and other programs read these forms. Times are milliseconds since the
 * epoch. Nothing here holds a value of an execution but `Values`, which is asked for by itself.
 */
import { Schema } from "effect"
import { Attributes } from "../../definition/Attributes.ts"

const text = Schema.String
const time = Schema.Int
const maybe = Schema.optionalKey

/** What a visitor may do: see, act, and see stored values. */
export const Right = Schema.Literals(["read", "act", "values"])
export type Right = typeof Right.Type

/** An execution in one word. Undoing is its own word: it is not waiting. */
export const Shown = Schema.Literals([
  "running",
  "waiting",
  "undoing",
  "parked",
  "committing",
  "finished",
  "undone",
  "newer"
])
export type Shown = typeof Shown.Type

/** An execution in a list. */
export const Row = Schema.Struct({
  uuid: text,
  saga: text,
  startKey: maybe(text),
  shown: Shown,
  step: maybe(Schema.Struct({ name: text, path: text })),
  waitsFor: maybe(text),
  waitingSince: maybe(time),
  wakeAt: maybe(time),
  failure: maybe(Schema.Struct({ tag: text, path: maybe(text) })),
  user: maybe(text),
  attributes: maybe(Attributes),
  settled: Schema.Boolean,
  createdAt: time,
  updatedAt: time
})
export type Row = typeof Row.Type

/** Names of databases that do not answer, where executions are spread over several: nothing of theirs is among what is shown. */
const missing = maybe(Schema.Array(text))

export const Rows = Schema.Struct({ items: Schema.Array(Row), next: maybe(text), previous: maybe(text), missing })
export type Rows = typeof Rows.Type

export const Me = Schema.Struct({ actor: text, may: Schema.Array(Right), sagas: Schema.Array(text) })
export type Me = typeof Me.Type

/** How many executions of a saga there are in each status. `atLeast`: counting stopped there. */
export const SagaCount = Schema.Struct({
  saga: text,
  counts: Schema.Array(Schema.Struct({ shown: Shown, count: Schema.Int, atLeast: Schema.Boolean }))
})

/** Executions of the last minutes: started, and which of these have finished or were undone. */
export const Minute = Schema.Struct({ at: time, started: Schema.Int, finished: Schema.Int, undone: Schema.Int })
export type Minute = typeof Minute.Type

export const AttentionKind = Schema.Literals([
  "parked",
  "stalled",
  "unanswered",
  "doubt",
  "overdue",
  "drifted",
  "unreadable"
])
export type AttentionKind = typeof AttentionKind.Type

/** A group of what needs a person, with one cause: the first `items` of it. */
export const AttentionGroup = Schema.Struct({
  kind: AttentionKind,
  saga: maybe(text),
  /** What they have in common: why the step is parked, who does not answer, which form of the saga is gone. */
  cause: text,
  /** The service to look at. */
  service: maybe(text),
  /** The name of the step that needs a person. */
  step: maybe(text),
  /** With these the list finds all of the group: the tag of the failure, the step that it is at, and what that waits for. */
  failure: maybe(text),
  at: maybe(text),
  waitsFor: maybe(text),
  count: Schema.Int,
  /** More than `count` may be there. */
  atLeast: Schema.Boolean,
  since: maybe(time),
  items: Schema.Array(Row)
})
export type AttentionGroup = typeof AttentionGroup.Type

/** A unit of work of a participant that waits for a decision which nobody can get. */
export const Doubt = Schema.Struct({ service: text, transaction: text, coordinator: maybe(text), since: time })
export type Doubt = typeof Doubt.Type

export const Attention = Schema.Struct({ groups: Schema.Array(AttentionGroup), doubts: Schema.Array(Doubt) })
export type Attention = typeof Attention.Type

export const Process = Schema.Struct({
  name: text,
  service: maybe(text),
  startedAt: maybe(time),
  /** The end of its lease. Absent: without an end, as the process is alone. */
  aliveUntil: maybe(time),
  alive: Schema.Boolean,
  /** The executions that it is at work on. Those that only wait belong to nobody. */
  held: Schema.Int
})
export type Process = typeof Process.Type

export const Overview = Schema.Struct({
  now: time,
  attention: Schema.Array(AttentionGroup),
  doubts: Schema.Int,
  deadLetters: Schema.Int,
  sagas: Schema.Array(SagaCount),
  minutes: Schema.Array(Minute),
  /** The minutes leave out executions: more were started. */
  minutesCut: Schema.Boolean,
  oldestWaiting: Schema.Array(Row),
  processes: Schema.Array(Process),
  missing
})
export type Overview = typeof Overview.Type

/** What the executions of a group wait for. */
export const WaitingGroup = Schema.Struct({
  kind: Schema.Literals(["service", "signal", "timer"]),
  target: text,
  count: Schema.Int,
  atLeast: Schema.Boolean,
  oldest: maybe(time),
  items: Schema.Array(Row)
})
export type WaitingGroup = typeof WaitingGroup.Type

/** Commands that participants of this database have begun and not answered. */
export const CommandGroup = Schema.Struct({
  service: text,
  command: text,
  state: Schema.Literals(["accepted", "running", "interrupted"]),
  count: Schema.Int,
  atLeast: Schema.Boolean,
  oldest: time,
  /** The execution of the oldest one, which another service may have. */
  execution: text
})
export type CommandGroup = typeof CommandGroup.Type

export const Waiting = Schema.Struct({ groups: Schema.Array(WaitingGroup), commands: Schema.Array(CommandGroup) })
export type Waiting = typeof Waiting.Type

export const DeadLetter = Schema.Struct({
  receivedAt: time,
  topic: text,
  sender: text,
  reason: text,
  size: Schema.Int,
  sha256: text
})

// ---- a saga and an execution -----------------------------------------------------------------------------------

export const StepFate = Schema.Literals([
  "ahead",
  "running",
  "waiting",
  "done",
  "failed",
  "undoing",
  "undone",
  "parked",
  "passed"
])
export type StepFate = typeof StepFate.Type

/** A step in a diagram, with the sequences inside it. */
export interface Node {
  readonly path: string
  readonly name: string
  readonly kind: "local" | "remote" | "wait" | "start" | "pivot" | "conditional" | "nested" | "parallel" | "forEach"
  /** What it does: `payments/Charge`, `signal approval`. */
  readonly does?: string
  /** Its compensation: `payments/Refund`, or `local`. */
  readonly undo?: string
  readonly fate: StepFate
  readonly inside: ReadonlyArray<{
    readonly label: string
    readonly taken: boolean
    readonly steps: ReadonlyArray<Node>
  }>
}

export const Node: Schema.Codec<Node> = Schema.Struct({
  path: text,
  name: text,
  kind: Schema.Literals(["local", "remote", "wait", "start", "pivot", "conditional", "nested", "parallel", "forEach"]),
  does: maybe(text),
  undo: maybe(text),
  fate: StepFate,
  inside: Schema.Array(
    Schema.Struct({
      label: text,
      taken: Schema.Boolean,
      steps: Schema.Array(Schema.suspend((): Schema.Codec<Node> => Node))
    })
  )
})

/** A compensation of a plan. `either`, `concurrently` and `each` have plans of their own. */
export interface PlanStep {
  readonly path: string
  readonly step: string
  readonly how: "local" | "remote" | "cancel" | "either" | "concurrently" | "each"
  readonly target?: string
  readonly plans?: ReadonlyArray<ReadonlyArray<PlanStep>>
}

const Plan = Schema.Array(Schema.suspend((): Schema.Codec<PlanStep> => PlanStep))
export const PlanStep: Schema.Codec<PlanStep> = Schema.Struct({
  path: text,
  step: text,
  how: Schema.Literals(["local", "remote", "cancel", "either", "concurrently", "each"]),
  target: maybe(text),
  plans: maybe(Schema.Array(Plan))
})

export const SagaForm = Schema.Struct({
  name: text,
  version: maybe(text),
  fingerprint: text,
  /** Whether this process has it; otherwise only its executions are known. */
  known: Schema.Boolean,
  /** New executions begin with it. */
  latest: Schema.Boolean,
  live: Schema.Int,
  /** Counting stopped at `live`. */
  atLeast: Schema.Boolean,
  deadline: maybe(Schema.Finite),
  diagram: Schema.Array(Node),
  /** What is undone if this step fails, in its order. */
  plans: Schema.Array(Schema.Struct({ path: text, step: text, plan: Plan }))
})
export type SagaForm = typeof SagaForm.Type

/** A stretch of time in the life of a step. */
export const Attempt = Schema.Struct({
  kind: Schema.Literals(["execute", "wait", "undo", "parked"]),
  from: time,
  to: maybe(time),
  /** How it ended: `succeeded`, `failed: CardDeclined`, `undone`. Absent: it has not. */
  outcome: maybe(text)
})
export type Attempt = typeof Attempt.Type

export const Lane = Schema.Struct({
  path: text,
  name: text,
  depth: Schema.Int,
  fate: StepFate,
  attempts: Schema.Array(Attempt)
})
export type Lane = typeof Lane.Type

export const Line = Schema.Struct({ at: time, text })

export const Message = Schema.Struct({
  at: time,
  path: maybe(text),
  step: maybe(text),
  /** `out`: of this execution to a service; `in`: its answer, or a signal. */
  way: Schema.Literals(["out", "in"]),
  what: text,
  status: maybe(Schema.Int),
  id: maybe(text)
})

/** A place that waits for a person. `service`: of a participant that does not answer to the decision. */
export const Parked = Schema.Struct({
  path: text,
  step: text,
  kind: Schema.Literals(["compensation", "step", "service", "execution"]),
  reason: maybe(text),
  since: maybe(time)
})
export type Parked = typeof Parked.Type

/** A wait that a signal ends. `form`: the JSON Schema of what the signal says; absent where the saga is not known here. */
export const Wait = Schema.Struct({
  path: text,
  step: text,
  signal: text,
  key: maybe(text),
  since: time,
  deadline: maybe(time),
  form: maybe(Schema.Json)
})
export type Wait = typeof Wait.Type

/** An action that somebody has asked for and that the owner of the execution has not taken yet. */
export const Asked = Schema.Struct({ id: text, what: text, actor: maybe(text), reason: maybe(text), at: time })

export const Action = Schema.Literals(["cancel", "retry", "resolve", "signal", "commit", "reject"])
export type Action = typeof Action.Type

export const Detail = Schema.Struct({
  now: time,
  row: Row,
  revision: Schema.Int,
  fingerprint: text,
  /** Whether this process has the saga of the execution. */
  known: Schema.Boolean,
  direction: text,
  decision: Schema.NullOr(text),
  commitState: text,
  passed: Schema.Boolean,
  deadline: maybe(time),
  owner: maybe(text),
  /** The id of the trace in which it was started. */
  trace: maybe(text),
  /** The first failure: its tag, and the name of its step. */
  cause: maybe(Schema.Struct({ tag: text, step: maybe(text) })),
  diagram: Schema.Array(Node),
  lanes: Schema.Array(Lane),
  story: Schema.Array(Line),
  messages: Schema.Array(Message),
  parked: Schema.Array(Parked),
  waits: Schema.Array(Wait),
  asked: Schema.Array(Asked),
  actions: Schema.Array(Action),
  /** What a cancel would undo, in its order. Absent where the saga is not known here. */
  plan: maybe(Plan)
})
export type Detail = typeof Detail.Type

/** The stored values of an execution: initial values and results, and all facts. */
export const Values = Schema.Struct({ context: Schema.Json, facts: Schema.Array(Schema.Json) })
export type Values = typeof Values.Type

// ---- acting ----------------------------------------------------------------------------------------------------

const reason = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(500))

/** How long the answer waits for the outcome, in milliseconds, at most 10,000. Default 3,000. */
const wait = maybe(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 })))

export const Act = Schema.Struct({
  action: Action,
  reason,
  /** The parked place, for `retry` and `resolve`. */
  path: maybe(text),
  /** The result of a step that is resolved behind the pivot, in its encoded form. */
  result: maybe(Schema.Json),
  /** The name, key and payload of a signal, the payload in its encoded form. */
  signal: maybe(text),
  key: maybe(text),
  payload: maybe(Schema.Json),
  /** The id of a signal: the same one again is no second signal. Default: one for each signal and key. */
  id: maybe(text),
  wait
})
export type Act = typeof Act.Type

export const Decide = Schema.Struct({
  service: text,
  transaction: text,
  decision: Schema.Literals(["commit", "reject"]),
  reason,
  wait
})
export type Decide = typeof Decide.Type

/**
 * What became of an action. `applied`: it stands in the history. `waiting`: it is kept, and the process that has the execution
 * takes it next. `refused`: it changed nothing, for a reason that people read; `tag` names it for programs.
 */
export const Done = Schema.Struct({
  answer: Schema.Literals(["applied", "waiting", "refused"]),
  why: maybe(text),
  tag: maybe(text)
})
export type Done = typeof Done.Type

/** Something has changed: the page asks anew. The number tells one state of the database from the one before. */
export const News = Schema.Struct({
  state: text,
  missing,
  /** Those of `missing` that are there and refuse the role, each with the reason in words. */
  refused: maybe(Schema.Record(text, text))
})
export type News = typeof News.Type
