/** Sagas and scripts from a seed: what an author may write, up to three parts deep, and how it may go. */
import { Effect, Schema } from "effect"
import * as Participant from "../../../src/definition/ParticipantContract.ts"
import * as Saga from "../../../src/definition/Saga.ts"
import * as SagaPath from "../../../src/definition/SagaPath.ts"
import type { Definition, SagaStep } from "../../../src/definition/SagaStep.ts"
import * as Signal from "../../../src/definition/Signal.ts"
import * as Chance from "./chance.ts"
import { type Options, type Outcome, type Script, smooth } from "./simulate.ts"

const specs = {
  Do: { payload: { for: Schema.String }, success: Schema.String, error: Schema.String },
  Long: { payload: { for: Schema.String }, success: Schema.String, error: Schema.String, answer: "later" },
  Undo: { payload: { rollback: Schema.NullOr(Schema.String) } }
} as const
const participants = [
  Participant.make("payments", specs),
  Participant.make("shipping", specs),
  Participant.make("legacy", specs, { probe: false })
]

const nothing = () => Effect.void

/** What steps start. */
const other = Saga.make("Other", { context: { order: Schema.String } }).pipe(
  Saga.local("done", { execute: nothing }),
  Saga.commit
)

/** A retry whose second wait is no whole number of milliseconds. */
const attempts = { times: 2, backoff: { initial: 1_001, factor: 1.5 } }

/** Kinds of steps that may be made; parts (conditional, nested, parallel) only while there is depth left. */
export interface Kinds {
  readonly parallel: boolean
  readonly depth: number
  /** Local steps may be run again after a crash. */
  readonly repeatable?: boolean
  /** Steps may wait for signals and for times. */
  readonly waits?: boolean
  /** Steps may run for each item of a list. */
  readonly items?: boolean
  /** Steps may start other sagas. */
  readonly starts?: boolean
  /** There may be a point of no return. */
  readonly pivots?: boolean
}

class Generator {
  private count = 0
  /** A saga with a deadline may wait without a limit. */
  private hasDeadline = false
  /** Steps that are made now stand behind the pivot: nothing of them is undone. */
  private isBehind = false
  /** Steps that are made now run for each item: their waits need a key. */
  private isInItem = false
  private readonly chance: Chance.Chance
  private readonly kinds: Kinds

  constructor(seed: number, kinds: Kinds) {
    this.chance = Chance.at(seed, "saga")
    this.kinds = kinds
  }

  saga(): Definition {
    this.hasDeadline = this.kinds.waits === true && Chance.happens(this.chance, 0.3)
    const length = 1 + Chance.below(this.chance, 4)
    if (this.kinds.pivots !== true || Chance.happens(this.chance, 0.6))
      return this.whole("Generated", length, this.kinds.depth)
    const before = this.grow(this.empty("Generated"), Chance.below(this.chance, 3), this.kinds.depth)
    this.isBehind = true
    return Saga.commit(this.grow(before.pipe(Saga.pivot), length - 1, this.kinds.depth))
  }

  private whole(name: string, length: number, depth: number): Definition {
    return Saga.commit(this.grow(this.empty(name), length, depth))
  }

  private empty(name: string): any {
    const deadline = this.hasDeadline ? Chance.pick(this.chance, [8_000, 30_000]) : undefined
    return Saga.make(name, { context: { order: Schema.String }, ...(deadline !== undefined && { deadline }) })
  }

  /** Names are texts to the compiler here, so validation looks at what comes out. */
  private grow(saga: any, length: number, depth: number): any {
    return length === 0 ? saga : this.grow(saga.pipe(this.step(depth)), length - 1, depth)
  }

  private step(depth: number): any {
    const name: string = `s${this.count++}`
    const kind = Chance.happens(this.chance, depth > 0 ? 0.35 : 0)
      ? "part"
      : Chance.pick(this.chance, [
          "local",
          "remote",
          ...(this.kinds.waits === true ? ["wait"] : []),
          ...(this.kinds.starts === true ? ["start"] : [])
        ])
    if (kind === "start") return this.start(name)
    if (kind === "wait") return this.wait(name)
    if (kind === "local") return this.local(name)
    if (kind === "remote") return this.remote(name)
    const parts = [
      ...["conditional", "nested"],
      ...(this.kinds.parallel ? ["parallel", "parallel"] : []),
      ...(this.kinds.items === true ? ["items", "items"] : [])
    ]
    switch (Chance.pick(this.chance, parts)) {
      case "conditional":
        return this.conditional(name, depth - 1)
      case "nested":
        return Saga.nested(name as never, {
          saga: this.whole(`N${name}`, 1 + Chance.below(this.chance, 3), depth - 1) as any,
          context: ({ order }: any) => ({ order })
        })
      case "items":
        return this.items(name, depth - 1)
      default:
        return this.parallel(name, depth - 1)
    }
  }

  private local(name: string): any {
    const compensation = this.isBehind ? "none" : Chance.pick(this.chance, ["none", "run", "unknown", "unknown"])
    const withUnknown = compensation !== "run"
    const options: any = {
      ...(Chance.happens(this.chance, 0.7) && { success: Schema.String }),
      error: Schema.String,
      execute: nothing,
      ...(compensation === "run" && { compensate: nothing }),
      ...(compensation === "unknown" && { compensate: { run: nothing, unknown: nothing } }),
      ...(withUnknown && Chance.happens(this.chance, 0.5) && { timeout: "3 seconds" }),
      ...(!this.kinds.repeatable && Chance.happens(this.chance, 0.2) && { onCrash: "park" }),
      ...(!this.kinds.repeatable &&
        compensation === "unknown" &&
        Chance.happens(this.chance, 0.3) && { onCrash: "compensate" }),
      ...(Chance.happens(this.chance, 0.3) && { retryCompensate: attempts })
    }
    return Saga.local(name as never, options)
  }

  private remote(name: string): any {
    const { commands } = Chance.pick(this.chance, participants)
    const compensation = this.isBehind ? "none" : Chance.pick(this.chance, ["none", "known", "known", "unknown"])
    // The seeds have no part in it, so their sagas stay as they are.
    const isLater = this.count % 3 === 0
    const options: any = {
      execute: { command: isLater ? commands.Long : commands.Do, payload: () => ({ for: name }) },
      ...(compensation !== "none" && {
        compensate: {
          command: commands.Undo,
          payload: (context: any) => ({ rollback: context[name] }),
          ...(compensation === "unknown" && { unknown: () => ({ rollback: null }) })
        }
      }),
      ...(Chance.happens(this.chance, 0.3) && { onSuccess: (reply: string) => Effect.succeed(reply) }),
      ...(Chance.happens(this.chance, 0.3) && { onError: (error: string) => Effect.succeed(error) }),
      ...(Chance.happens(this.chance, 0.3) ? { timeout: "4 seconds" } : isLater ? { timeout: "15 seconds" } : {}),
      ...(Chance.happens(this.chance, 0.3) && { retryCompensate: attempts })
    }
    return Saga.remote(name as never, options)
  }

  private wait(name: string): any {
    const until = ({ now }: any) => (now ?? 0) + 3_000
    // Behind the pivot no deadline ends a wait.
    const isLimited = !this.hasDeadline || this.isBehind || Chance.happens(this.chance, 0.5)
    const timeout = isLimited ? { timeout: Chance.pick(this.chance, [1, 3_000]) } : {}
    if (Chance.happens(this.chance, 0.3)) {
      return Saga.sleep(name as never, (this.hasDeadline && Chance.happens(this.chance, 0.5) ? until : 2_000) as any)
    }
    const options: any = {
      signal: Signal.make(`signal-${name}`, { payload: Schema.String }),
      ...timeout,
      ...((Chance.happens(this.chance, 0.3) || this.isInItem) && { key: () => "key" }),
      ...(isLimited &&
        Chance.happens(this.chance, 0.5) && { onTimeout: { success: Schema.String, value: () => "nobody" } })
    }
    return Saga.waitFor(name as never, options)
  }

  private items(name: string, depth: number): any {
    const length = 1 + Chance.below(this.chance, 2)
    const count = Chance.pick(this.chance, [0, 1, 2, 3, 5])
    const isInside = this.isInItem
    this.isInItem = true
    const step = Saga.forEach(name as never, {
      items: () => Array.from({ length: count }, (_, i) => `i${i}`),
      item: Schema.String,
      as: `of-${name}` as never,
      concurrency: Chance.pick(this.chance, [1, 2, 3, 100]),
      steps: (empty: any) => this.grow(empty, length, depth)
    })
    this.isInItem = isInside
    return step
  }

  private start(name: string): any {
    const hasCompensation = !this.isBehind && Chance.happens(this.chance, 0.5)
    return Saga.start(name as never, {
      saga: other,
      context: ({ order }: any) => ({ order }),
      ...(hasCompensation && { compensate: nothing })
    })
  }

  private conditional(name: string, depth: number): any {
    const count = 1 + Chance.below(this.chance, 3)
    const hasElse = Chance.happens(this.chance, 0.5)
    const alternatives = Array.from({ length: count }, (_, i) => {
      const length = 1 + Chance.below(this.chance, 2)
      const branch = (empty: any) => this.grow(empty, length, depth)
      return hasElse && i === count - 1 ? Saga.elseThen(branch) : Saga.ifThen(() => true, branch)
    })
    return Saga.conditional(name as never, alternatives as any)
  }

  private parallel(name: string, depth: number): any {
    const count = 2 + Chance.below(this.chance, 2)
    const branches = Array.from({ length: count }, (_, i): [string, any] => {
      const length = 1 + Chance.below(this.chance, 3)
      return [`b${i}`, (empty: any) => this.grow(empty, length, depth)]
    })
    return Saga.parallel(name as never, Object.fromEntries(branches) as any)
  }
}

export const anything: Kinds = { parallel: true, depth: 3, waits: true, pivots: true, items: true, starts: true }
export const oneAfterTheOther: Kinds = { parallel: false, depth: 3, pivots: true }

export const saga = (seed: number, kinds: Kinds = anything): Definition => new Generator(seed, kinds).saga()

/** How often something goes wrong at a place, from never to often. */
export const script = (seed: number, definition: Definition): Script => {
  const trouble = Chance.pick(Chance.at(seed, "trouble"), [0.02, 0.1, 0.25])
  const outcomes = new Map<string, Outcome>()
  return (path) => {
    const known = outcomes.get(path)
    if (known !== undefined) return known
    const made = outcome(Chance.at(seed, path), trouble, SagaPath.at(definition, path))
    outcomes.set(path, made)
    return made
  }
}

const outcome = (chance: Chance.Chance, trouble: number, step: SagaStep | undefined): Outcome => {
  const wrong = Chance.happens(chance, trouble)
  const timed = step?._tag === "Local" && step.policies.timeout !== undefined
  const locals = ["fails", "dies", "undecodable", ...(timed ? (["times out", "times out done"] as const) : [])] as const
  const kind = Chance.below(chance, 7)
  return {
    ...smooth,
    ...(wrong && {
      local: Chance.pick(chance, locals),
      ...(kind === 0 && { reply: 400 as const }),
      ...(kind === 1 && { reply: 500 as const }),
      ...(kind === 2 && { request: Chance.pick(chance, ["late", "lost"] as const) }),
      ...(kind === 3 && { answer: Chance.pick(chance, ["slow", "lost"] as const) }),
      ...(kind === 4 && { readable: false }),
      ...(kind === 5 && { callback: "fails" as const }),
      ...(kind === 6 && { builds: false })
    }),
    // A refusal that is handled is no trouble.
    ...(!wrong &&
      Chance.happens(chance, 0.2) &&
      step?._tag === "Remote" &&
      step.onError !== undefined && { reply: 400 }),
    // Few tries, more than there are, or with a person's help.
    tries: Chance.pick(chance, [1, 2, 4, 50]),
    choice: wrong && kind === 0 ? -1 : Chance.below(chance, 4),
    compensationFails: Chance.happens(chance, 0.25) ? Chance.pick(chance, [1, 2, 3, 50]) : 0,
    probeFails: Chance.happens(chance, 0.25) ? Chance.pick(chance, [1, 2, 3, 50]) : 0,
    silent: Chance.happens(chance, 0.3)
  }
}

/** The inputs of an execution: start, cancel, kills, and operations of people. */
export const options = (seed: number, definition: Definition): Options => {
  const chance = Chance.at(seed, "options")
  return {
    seed,
    script: script(seed, definition),
    autocommit: Chance.happens(chance, 0.8),
    transactional: Chance.happens(chance, 0.4),
    vote: Chance.pick(chance, ["yes", "yes", "no"] as const),
    losses: Chance.pick(chance, [0, 0.3]),
    stubborn: Chance.happens(chance, 0.2),
    signals: Chance.pick(chance, [0, 0.1, 0.3]),
    duplicates: Chance.pick(chance, [0, 0.3]),
    parked: Chance.pick(chance, ["leave", "retry", "resolve"] as const),
    undecided: Chance.pick(chance, ["commit", "reject"] as const),
    queue: Chance.happens(Chance.at(seed, "queue"), 0.3),
    ...(Chance.happens(chance, 0.25) && { cancelAt: 1 + Chance.below(chance, 30) }),
    ...(Chance.happens(chance, 0.25) && { crashAt: [2 + Chance.below(chance, 30), 2 + Chance.below(chance, 40)] })
  }
}
