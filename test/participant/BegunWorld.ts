/**
 * One command whose handler runs without a transaction, at processes that are values and can be copied (SPEC C6, decision 0058). What
 * decides, handles, looks after and stores are the real functions, on the memory store. A process that runs a handler is the message
 * that it handles: its next action plays the real code from the handler on. The bank that the handler calls knows the key of each call.
 */
import { Clock, Context, Duration, Effect, Exit, Fiber, Layer, References, Schema } from "effect"
import { Participant, ParticipantStore } from "effect-saga"
import * as Accepted from "../../src/participant/AcceptedMessages.ts"
import * as BegunMessages from "../../src/participant/BegunMessages.ts"
import * as HandleMessage from "../../src/participant/HandleMessage.ts"
import { incoming } from "../../src/participant/IncomingMessage.ts"
import { defaults } from "../../src/participant/ParticipantConfig.ts"
import type { ParticipantCode } from "../../src/participant/ParticipantHandlers.ts"
import * as ParticipantMaintenance from "../../src/participant/ParticipantMaintenance.ts"
import type { Envelope } from "../../src/wire/Envelope.ts"

const uuid = "01890000-0000-7000-8000-000000000001"
const idOf = (op: Op) => `${uuid}:0:${op}`
const notAfter = 86_400_000
const { maxSkew, participantRetention } = defaults
const { claim } = BegunMessages
const late = notAfter + maxSkew
/** When something may change by time alone: a claim is over; what is pending is, too, and what is old may be purged; so may later answers. */
export const soon = claim + 2
export const old = late + participantRetention + 2
export const older = late + 2 * participantRetention + 3
const timeout = 240_000

const Bank = Participant.make("bank", {
  Pay: { payload: {}, success: Schema.String, error: Schema.Literal("declined") },
  Refund: { payload: {} },
  Repay: { payload: {} }
})

type Op = "execute" | "failure" | "probe" | "reserve" | "commit" | "reject"

/** The answer of the bank, as the handler gives it on. */
type Result = "paid" | "paid again" | "declined" | "repaid"

/** A process in the middle of a handler. */
interface Process {
  /** The message that it handles, and the one whose handler runs. */
  readonly op: Op
  readonly runs: "execute" | "failure"
  /** Until when it has said that it runs. */
  readonly until: number
  readonly result: Result | undefined
}

export interface Budget {
  readonly alone: boolean
  /** Whether the compensation has a transaction. */
  readonly undo: "Refund" | "Repay"
  /** Processes that are in a handler at the same time, at most. */
  readonly most: number
  /** The transaction commits without it: the vote is about another command. */
  readonly without?: true
  /** The times after the first one. */
  readonly times: ReadonlyArray<number>
}

export interface World {
  readonly budget: Budget
  now: number
  records: ParticipantStore.Records
  processes: ReadonlyArray<Process>
  /** The bank: what it has done under the key of the command, and whether that is undone. */
  paid: "paid" | "declined" | undefined
  undone: boolean
  /** The coordinator: whether it turns back, whether all are in favour, and whether it was told that there is no effect. */
  back: boolean
  voted: boolean
  none: boolean
  /** The answer to the command that was given first; and when it was recorded. */
  final: string | undefined
  answeredAt: number | undefined
  violation: string | undefined
}

export const begin = (budget: Budget): World => ({
  ...{ budget, now: 1, records: { transactions: [], barriers: [] }, processes: [], paid: undefined, undone: false },
  ...{ back: false, voted: false, none: false, final: undefined, answeredAt: undefined, violation: undefined }
})

export const copy = (world: World): World => ({ ...world })
export const textOf = (world: World): string => JSON.stringify(world)

const rowIn = ({ records }: World, op: "execute" | "failure" = "execute") =>
  records.barriers.find((row) => row.id === idOf(op))

const envelopeOf = ({ budget: { alone, without } }: World, op: Op): Envelope => ({
  ...{ v: 1, saga: uuid, service: "bank", coordinator: "orders", relatedServices: [], notAfter, op },
  transactions: alone ? [] : [uuid],
  ...(op === "execute" || op === "probe" || op === "failure"
    ? { id: idOf(op), path: "0", ...(op !== "probe" && { content: {} }) }
    : { id: `${uuid}:bank:${op}`, ...(op === "reserve" && { content: without ? [] : ["0"] }) })
})

const messageOf = (world: World, op: Op) =>
  incoming(
    envelopeOf(world, op),
    op === "execute" || op === "probe" ? "Pay" : op === "failure" ? world.budget.undo : undefined
  )

/** How the handler that runs goes on. `works`: it asks the bank, and ends. */
type Play = "waits" | "works" | "dies" | "stops" | "is renewed" | "has no more time" | { readonly gives: Result }

/** A clock that stands still, at which one sleep of this length is over at once, and no other ever. */
const clockAt = (now: number, over: number | undefined): Clock.Clock => {
  let left = 1
  return {
    ...Clock.Clock.defaultValue(),
    currentTimeMillisUnsafe: () => now,
    currentTimeMillis: Effect.succeed(now),
    sleep: (duration) =>
      Effect.suspend(() => (Duration.toMillis(duration) === over && left-- > 0 ? Effect.void : Effect.never))
  }
}

/** The sleep that is over at once. */
const sleeps = new Map<Play, number>([
  ["is renewed", claim / 3],
  ["has no more time", timeout]
])

/** Until it is over, or has gone as far as it goes without time passing. */
const settled = Effect.fnUntraced(function* (fiber: Fiber.Fiber<unknown, unknown>) {
  for (let turn = 0; turn < turns && fiber.pollUnsafe() === undefined; turn++) yield* Effect.yieldNow
})
const turns = 20

/** The bank hears of a call, and knows those that it has heard of. */
const called = (world: World, runs: Process["runs"], paid: "paid" | "declined"): Result => {
  if (runs === "failure") {
    if (world.paid !== "paid") world.violation ??= "it is undone and was not done"
    world.undone = true
    return "repaid"
  }
  const isKnown = world.paid !== undefined
  world.paid ??= paid
  return world.paid === "declined" ? "declined" : isKnown ? "paid again" : "paid"
}

const ended = (result: Result): Effect.Effect<string, "declined"> =>
  result === "declined" ? Effect.fail(result) : Effect.succeed(result)

/** The handlers. The first call goes on as it is played; if the message has another handler to run after that, it has just begun. */
const codeOf = (world: World, play: Play): ParticipantCode => {
  let calls = 0
  const work = (runs: Process["runs"], key: string): Effect.Effect<string, "declined"> =>
    Effect.suspend(() => {
      if (key !== idOf(runs)) world.violation ??= `${runs} has the key ${key}`
      if (play === "works") return ended(called(world, runs, "paid"))
      if (calls++ > 0 || play === "waits" || play === "stops" || sleeps.has(play)) return Effect.never
      return typeof play === "object" ? ended(play.gives) : Effect.die("no connection")
    })
  return {
    contract: Bank,
    handlers: {
      Pay: { transaction: false, timeout, handle: (_, key) => work("execute", key) },
      Repay: { transaction: false, timeout, handle: (_, key) => Effect.asVoid(work("failure", key)) },
      Refund: () => Effect.sync(() => void called(world, "failure", "paid"))
    },
    hooks: {}
  }
}

/** Runs a part of the participant on what is stored, and stores what it leaves. */
const run = <A>(
  world: World,
  play: Play,
  use: (code: ParticipantCode, store: ParticipantStore.ParticipantStore["Service"]) => Effect.Effect<A, unknown>
): A =>
  Effect.runSync(
    Effect.gen(function* () {
      const inner = Context.get(
        yield* Layer.build(Layer.fresh(ParticipantStore.layerMemory)),
        ParticipantStore.ParticipantStore
      )
      const all = { service: "bank", transactions: [uuid], messages: [idOf("execute"), idOf("failure"), ...others] }
      yield* inner.unit(all, ({ save }) => save(world.records))
      const kept = <B, E, R>(work: Effect.Effect<B, E, R>): Effect.Effect<B, E, R> =>
        Effect.suspend(() => {
          const { undone } = world
          return Effect.onExit(work, (exit) =>
            Effect.sync(() => {
              if (Exit.isFailure(exit)) world.undone = undone
            })
          )
        })
      const store: ParticipantStore.ParticipantStore["Service"] = {
        ...inner,
        unit: (scope, work) => kept(inner.unit(scope, work))
      }
      const before = rowIn(world)?.status
      const done = yield* use(codeOf(world, play), store)
      world.records = yield* inner.unit(all, ({ barriers, transactions }) =>
        Effect.succeed({ transactions: [...transactions.values()], barriers: [...barriers.values()] })
      )
      const row = rowIn(world)
      if (before === 202 && row !== undefined && row.status !== 202) world.answeredAt = world.now
      return done
    }).pipe(
      Effect.scoped,
      Effect.provideService(Clock.Clock, clockAt(world.now, sleeps.get(play))),
      Effect.provideService(References.MinimumLogLevel, "None")
    ) as Effect.Effect<A>
  )

const others = ["reserve", "commit", "reject"].map((op) => `${uuid}:bank:${op}`)

interface Played {
  /** Undefined: it is in a handler. */
  readonly exit: Exit.Exit<HandleMessage.Outcome, unknown> | undefined
  /** The handler that has begun last. */
  readonly begun: ParticipantStore.Barrier | undefined
}

/** Handles a message. `resumes`: in the process that runs this handler; the unit that has begun it is over. */
const handle = (world: World, op: Op, play: Play, resumes?: Process): Played =>
  run(world, play, (code, store) =>
    Effect.gen(function* () {
      let begun: ParticipantStore.Barrier | undefined
      let isOver = resumes === undefined
      const played: ParticipantStore.ParticipantStore["Service"] = {
        ...store,
        unit: <A, E, R>(scope: ParticipantStore.Scope, work: (unit: ParticipantStore.Unit) => Effect.Effect<A, E, R>) =>
          Effect.suspend(() => {
            if (isOver || resumes === undefined)
              return Effect.tap(store.unit(scope, work), (it) => {
                const one = it as { readonly _tag?: string; readonly row: ParticipantStore.Barrier } | undefined // cast: of any unit
                if (one?._tag === "begun") begun = one.row
                return Effect.void
              })
            isOver = true
            // cast: what this unit has given when the message came.
            return Effect.succeed({
              _tag: "begun",
              row: BegunMessages.begun(messageOf(world, resumes.runs), "", resumes.until - claim)
            } as A)
          })
      }
      const handling = yield* Effect.forkDetach(
        HandleMessage.handle(code, messageOf(world, op)).pipe(
          Effect.provideService(ParticipantStore.ParticipantStore, played)
        ),
        { startImmediately: true }
      )
      yield* settled(handling)
      if (play === "stops") {
        yield* Fiber.interrupt(handling)
        return { exit: undefined, begun: undefined }
      }
      return { exit: handling.pollUnsafe(), begun }
    })
  )

// ---- what can happen ---------------------------------------------------------------------------------------------

/** The coordinator hears an answer. Each may be lost, but one that is lost tells it nothing: only a vote changes what it does. */
const hear = (world: World, op: Op, { content, status }: Envelope): void => {
  if (op === "reserve" && status === 200) world.voted = true
  else if (op === "reserve") world.back = !world.budget.without
  if ((op === "failure" && status === 200) || (op === "probe" && status === 404)) world.none = true
  // Without its record the participant cannot know the command: the coordinator asks only while the record is kept.
  if ((op !== "execute" && op !== "probe") || rowIn(world) === undefined) return
  const said = status === 200 || status === 400 ? `${status} ${content}` : op === "execute" ? "none" : undefined
  if (said === undefined) return
  if (world.final !== undefined && world.final !== said)
    world.violation ??= `it has answered ${world.final} and ${said}`
  world.final ??= said
  if (said === "none") world.none = true
}

const untilOf = (world: World, runs: Process["runs"]): number | undefined => {
  const row = rowIn(world, runs)
  return row && Accepted.runsUntil(row)
}

/** Which of them is which does not matter. */
const sorted = (processes: ReadonlyArray<Process>): ReadonlyArray<Process> =>
  [...processes].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))

/** The process goes on, ends, or is in the next handler. */
const goesOn = (world: World, op: Op, { begun, exit }: Played, isHeard = true): void => {
  if (exit === undefined && begun !== undefined) {
    const runs = begun.id === idOf("execute") ? "execute" : "failure"
    if (world.processes.some((it) => it.runs === runs && it.until > world.now))
      world.violation ??= `${runs} runs twice while a process says that it runs it`
    const until = untilOf(world, runs) ?? 0
    if (until !== world.now + claim) world.violation ??= `${runs} begins, and does not say so`
    world.processes = sorted([...world.processes, { op, runs, until, result: undefined }])
    return
  }
  if (exit === undefined) return
  if (Exit.isFailure(exit)) world.violation ??= `${op} fails`
  else if (exit.value.body !== undefined && isHeard) hear(world, op, JSON.parse(exit.value.body))
}

const deliver = (world: World, op: Op, isHeard: boolean): void => {
  const before = rowIn(world)
  const played = handle(world, op, "waits")
  const isRunning = world.processes.some((it) => it.until > world.now)
  const body = played.exit && Exit.isSuccess(played.exit) ? played.exit.value.body : undefined
  const status = body && (JSON.parse(body) as Envelope).status
  if (op === "reject" && status !== 200) world.violation ??= `a rejection is answered ${status}`
  if (op === "reserve" && status === 200 && before?.status !== 200 && !world.budget.without)
    world.violation ??= "it votes for what is not done"
  if (isRunning && before?.status === 202 && op === "execute" && body !== undefined)
    world.violation ??= `a copy is answered ${status} while it runs`
  goesOn(world, op, played, isHeard)
}

/** The process does something; those that are left are as they were. */
const act = (world: World, at: number, play: Play): void => {
  const process = world.processes[at]!
  const { op, runs } = process
  // Where it was too slow, another process may have said that it runs it.
  const isOwn = untilOf(world, runs) === process.until
  const played = handle(world, op, play, process)
  const until = untilOf(world, runs)
  const without = world.processes.filter((_, i) => i !== at)
  if (play === "is renewed" && played.exit === undefined && played.begun === undefined) {
    if (isOwn && until !== world.now + claim) world.violation ??= "it runs, and does not say so"
    world.processes = sorted([...without, { ...process, until: isOwn && until !== undefined ? until : process.until }])
    return
  }
  world.processes = without
  const isLeft = play === "stops" || play === "dies" || play === "has no more time"
  if (isLeft && isOwn && until !== undefined && until > world.now)
    world.violation ??= "it does not run any more, and another one has to wait"
  goesOn(world, op, played)
}

const calls = (world: World, at: number, paid: "paid" | "declined"): void => {
  const process = world.processes[at]!
  const result = called(world, process.runs, paid)
  world.processes = sorted(world.processes.map((it, i) => (i === at ? { ...it, result } : it)))
}

const maintain = (world: World, what: "expire" | "purge"): void => {
  const before = rowIn(world)?.status
  const { now } = world
  run(world, "waits", (code, store) =>
    what === "expire"
      ? Effect.provideService(ParticipantMaintenance.expire(code, now), ParticipantStore.ParticipantStore, store)
      : Effect.asVoid(
          store.purge({
            service: "bank",
            before: now - maxSkew,
            alone: now - maxSkew - participantRetention,
            limit: 10
          })
        )
  )
  const row = rowIn(world)
  if (before === 202 && row?.status !== 202) world.violation ??= `${what} ends what has begun`
  const isGone = before !== undefined && row === undefined
  if (isGone && world.budget.alone && now - (world.answeredAt ?? 0) < participantRetention)
    world.violation ??= "it is forgotten what was answered a moment ago"
}

export const actions = (world: World) => {
  const { back, budget, now, processes, voted } = world
  const list: Array<{ readonly name: string; readonly run: (world: World) => void }> = []
  const add = (name: string, run: (world: World) => void) => list.push({ name, run })
  const message = (op: Op, isHeard = true) =>
    add(isHeard ? op : `${op}, and its answer is lost`, (world) => {
      const before = copy(world)
      deliver(world, op, isHeard)
      // There are only so many processes.
      if (world.processes.length > budget.most) Object.assign(world, before)
    })
  message("execute")
  for (const [at, { op, result, runs }] of processes.entries()) {
    const name = `the process of ${op} that runs ${runs}${result === undefined ? "" : " and was answered"}`
    if (result !== undefined) add(`${name} ends`, (world) => act(world, at, { gives: result }))
    else if (runs === "execute" && world.paid === undefined) {
      add(`${name} is paid`, (world) => calls(world, at, "paid"))
      add(`${name} is declined`, (world) => calls(world, at, "declined"))
    } else add(`${name} is heard`, (world) => calls(world, at, "paid"))
    for (const play of ["dies", "stops", "is renewed", "has no more time"] as const)
      add(`${name} ${play}`, (world) => act(world, at, play))
    add(`${name} is killed`, (world) => {
      world.processes = world.processes.filter((_, i) => i !== at)
    })
  }
  if (!back && !voted && !budget.without)
    add("the coordinator turns back", (world) => {
      world.back = true
    })
  if (back)
    for (const op of budget.alone ? (["probe", "failure"] as const) : (["probe", "failure", "reject"] as const))
      message(op)
  if (!budget.alone && !back) {
    message(voted ? "commit" : "reserve")
    if (!voted) message("reserve", false)
  }
  const next = budget.times.find((time) => time > now)
  if (next !== undefined)
    add("time passes", (world) => {
      world.now = next
    })
  if (!budget.alone) add("what is pending for too long is rejected", (world) => maintain(world, "expire"))
  add("old records are removed", (world) => maintain(world, "purge"))
  return list
}

// ---- what is always so -------------------------------------------------------------------------------------------

/** Compares the record of the command with what the bank has done; undefined: they agree. */
const differs = (world: World): string | undefined => {
  const { paid, undone } = world
  const row = rowIn(world)
  const found = `the bank says ${paid ?? "nothing"}${undone ? ", undone" : ""}`
  switch (row?.status) {
    case undefined:
      return undefined
    case 202:
      return undone ? `it has not ended, and ${found}` : undefined
    case 200:
      // Its compensation is done before that is recorded, where it has no transaction.
      return paid === "paid" && (row.effect === "none" ? undone : !undone || rowIn(world, "failure")?.status === 202)
        ? undefined
        : `the record says 200 with the effect ${row.effect}, and ${found}`
    case 400:
      return paid === "declined" ? undefined : `the record says 400, and ${found}`
    default:
      return paid === undefined && world.processes.length === 0 ? undefined : `it never runs, and ${found}`
  }
}

export const check = (world: World): string | undefined => {
  const { none, paid, undone, violation } = world
  if (violation !== undefined) return violation
  return none && paid === "paid" && !undone ? "there is no effect, it said, and there is one" : differs(world)
}

/** All processes are gone, and the message comes again: its handler ends, and so does its compensation. */
export const settles = (world: World): string | undefined => {
  if (rowIn(world)?.status !== 202 && rowIn(world, "failure")?.status !== 202) return undefined
  const last = { ...copy(world), processes: [], now: world.now + claim + 1 }
  const op = world.back ? "failure" : "execute"
  const { exit } = handle(last, op, "works")
  goesOn(last, op, { exit, begun: undefined })
  const wrong = check(last)
  if (wrong !== undefined) return `nothing more goes wrong, and ${wrong}`
  const isDone = world.back ? last.none : last.final !== undefined
  return isDone ? undefined : `${op} is not answered in the end`
}
