/**
 * One command that answers later, at a participant that is a value and can be copied (SPEC C19). What decides, handles, answers, looks
 * after and stores are the real functions, on the memory store; effects are kept with the unit of work or not at all, as in a database.
 * An action is atomic. A process that stops in a unit has done nothing, and one that stops after it has lost its answer.
 */
import { Clock, Context, Effect, Exit, Layer, References, Schema, Stream } from "effect"
import { Broker, Participant, ParticipantStore } from "effect-saga"
import * as AnswerLater from "../../src/participant/AnswerLater.ts"
import * as HandleMessage from "../../src/participant/HandleMessage.ts"
import { incoming } from "../../src/participant/IncomingMessage.ts"
import { defaults } from "../../src/participant/ParticipantConfig.ts"
import type { ParticipantCode } from "../../src/participant/ParticipantHandlers.ts"
import * as ParticipantMaintenance from "../../src/participant/ParticipantMaintenance.ts"
import type { Envelope } from "../../src/wire/Envelope.ts"

const uuid = "01890000-0000-7000-8000-000000000001"
const id = `${uuid}:0:execute`
const notAfter = 86_400_000
const { maxSkew, participantRetention, pendingTtl } = defaults
const late = notAfter + maxSkew
/** When something may change by time alone. */
const times = [1, pendingTtl + 1, late + participantRetention + 2, late + 2 * participantRetention + 3]

const Lab = Participant.make("lab", {
  Examine: { payload: {}, success: Schema.String, error: Schema.Literal("ill"), answer: "later" },
  Forget: { payload: {} }
})

/** What the laboratory has done, in its database. */
interface Effects {
  readonly accepted: number
  readonly done: number
}

export interface World {
  readonly alone: boolean
  at: number
  records: ParticipantStore.Records
  effects: Effects
  /** How often `cancelled` has yet to die. */
  deaths: number
  /** The coordinator: whether it turns back, whether all are in favour, and what it was told. */
  back: boolean
  voted: boolean
  /** It was told that there is no effect and never will be. */
  none: boolean
  /** The answer to the command that was sent first. */
  final: string | undefined
  violation: string | undefined
}

export const begin = (alone: boolean, deaths: number): World => ({
  ...{ alone, at: 0, records: { transactions: [], barriers: [] }, effects: { accepted: 0, done: 0 }, deaths },
  ...{ back: false, voted: false, none: false, final: undefined, violation: undefined }
})

export const copy = (world: World): World => ({ ...world })
export const textOf = (world: World): string => JSON.stringify(world)

const rowIn = ({ records }: World) => records.barriers.find((row) => row.id === id)

const changed = (world: World, by: Partial<Effects>): void => {
  world.effects = { ...world.effects, ...by }
}

/** Runs a part of the participant on what is stored, and stores what it leaves. */
const run = <A>(
  world: World,
  use: (parts: {
    readonly code: ParticipantCode
    readonly store: ParticipantStore.ParticipantStore["Service"]
    readonly broker: Broker.Broker["Service"]
    readonly now: number
  }) => Effect.Effect<A, unknown, ParticipantStore.ParticipantStore>,
  sent: Array<Envelope> = []
): Exit.Exit<A, unknown> => {
  const now = times[world.at]!
  const change = (by: Partial<Effects>) => Effect.sync(() => changed(world, by))
  const code: ParticipantCode = {
    contract: Lab,
    handlers: {
      Examine: {
        accept: () => Effect.suspend(() => change({ accepted: world.effects.accepted + 1 })),
        cancelled: () =>
          Effect.suspend(() => {
            if (world.deaths === 0) return change({ accepted: world.effects.accepted - 1 })
            world.deaths--
            return Effect.die("away")
          })
      },
      // The compensation undoes accepting and answering.
      Forget: () => change({ accepted: 0, done: 0 })
    },
    hooks: {}
  }
  const broker: Broker.Broker["Service"] = {
    publish: ({ body }) => Effect.sync(() => void sent.push(JSON.parse(body))),
    subscribe: () => Stream.never
  }
  const clock: Clock.Clock = {
    ...Clock.Clock.defaultValue(),
    currentTimeMillisUnsafe: () => now,
    currentTimeMillis: Effect.succeed(now)
  }
  return Effect.runSyncExit(
    Effect.gen(function* () {
      const inner = Context.get(
        yield* Layer.build(Layer.fresh(ParticipantStore.layerMemory)),
        ParticipantStore.ParticipantStore
      )
      const all = { service: "lab", transactions: [uuid], messages: world.records.barriers.map((row) => row.id) }
      yield* inner.unit(all, ({ save }) => save(world.records))
      const kept = <B, E, R>(work: Effect.Effect<B, E, R>): Effect.Effect<B, E, R> =>
        Effect.suspend(() => {
          const before = world.effects
          return Effect.onExit(work, (exit) =>
            Effect.sync(() => {
              if (Exit.isFailure(exit)) world.effects = before
            })
          )
        })
      const messages = new Set(all.messages)
      const store: ParticipantStore.ParticipantStore["Service"] = {
        ...inner,
        unit: (scope, work) => {
          for (const one of scope.messages) messages.add(one)
          return kept(inner.unit(scope, (unit) => work({ ...unit, attempt: (code) => kept(unit.attempt(code)) })))
        }
      }
      const exit = yield* Effect.exit(
        use({ code, store, broker, now }).pipe(Effect.provideService(ParticipantStore.ParticipantStore, store))
      )
      world.records = yield* inner.unit({ ...all, messages: [...messages].sort() }, (unit) =>
        Effect.succeed({ transactions: [...unit.transactions.values()], barriers: [...unit.barriers.values()] })
      )
      return yield* exit
    }).pipe(
      Effect.scoped,
      Effect.provideService(Clock.Clock, clock),
      Effect.provideService(References.MinimumLogLevel, "None")
    )
  )
}

const envelopeOf = ({ alone }: World, op: Envelope["op"]): Envelope => ({
  ...{ v: 1, saga: uuid, service: "lab", coordinator: "hospital", relatedServices: [], notAfter, op },
  transactions: alone ? [] : [uuid],
  ...(op === "execute" || op === "probe" || op === "failure"
    ? { id: `${uuid}:0:${op}`, path: "0", ...(op !== "probe" && { content: {} }) }
    : { id: `${uuid}:lab:${op}`, ...(op === "reserve" && { content: ["0"] }) }),
  ...(op === "execute" && { later: true as const })
})

/** The one answer of the command. A 500 says that there is no effect and never will be. */
const answered = (world: World, { content, status }: Envelope): void => {
  if (status === 202) {
    if (rowIn(world)?.status !== 202) world.violation ??= "it says 202 and has not recorded that"
    return
  }
  const said = status === 200 || status === 400 ? `${status} ${content}` : "none"
  if (world.final !== undefined && world.final !== said)
    world.violation ??= `it has answered ${world.final} and ${said}`
  world.final ??= said
  if (said === "none" && status === 500) world.none = true
}

/** Delivers a message. The answer arrives, or is lost. */
const deliver = (world: World, op: Envelope["op"], isHeard: boolean): void => {
  const before = rowIn(world)?.status
  const envelope = envelopeOf(world, op)
  const command = op === "failure" ? "Forget" : envelope.path === undefined ? undefined : "Examine"
  const exit = run(world, ({ code }) => HandleMessage.handle(code, incoming(envelope, command)))
  if (Exit.isFailure(exit)) world.violation ??= `${op} fails`
  if (Exit.isFailure(exit) || exit.value.body === undefined) return
  const reply: Envelope = JSON.parse(exit.value.body)
  const { status } = reply
  if (op === "execute" && before === 202 && status !== 202)
    world.violation ??= `an accepted command is answered ${status}`
  if (op === "reserve" && status === 200 && !(before === 200)) world.violation ??= "it votes for what it has not done"
  // What is purged is asked about by nobody.
  if (op === "execute" && rowIn(world) !== undefined) answered(world, reply)
  if (!isHeard) return
  if (op === "reserve" && status === 200) world.voted = true
  else if (op === "reserve") world.back = true
  if (op === "failure" && status === 200) world.none = true
  if (op === "probe" && status === 404) world.none = true
}

const answer = (world: World, effect: Effect.Effect<string, "ill">, said: string): void => {
  const before = rowIn(world)?.status
  const sent: Array<Envelope> = []
  const exit = run(
    world,
    ({ broker, code }) =>
      Effect.flatMap(AnswerLater.make(code).pipe(Effect.provideService(Broker.Broker, broker)), ({ answer }) =>
        answer(Lab.commands.Examine, id, effect)
      ),
    sent
  )
  for (const reply of sent) answered(world, reply)
  if (Exit.isSuccess(exit) && world.final !== said)
    world.violation ??= `${said} was taken, and the answer is ${world.final}`
  if (Exit.isFailure(exit) && before === 202 && rowIn(world)?.status === 200)
    world.violation ??= "an answer is recorded and refused"
}

const maintain = (world: World, what: "expire" | "purge"): void => {
  const exit = run(world, ({ code, now, store }) =>
    what === "expire"
      ? ParticipantMaintenance.expire(code, now)
      : store.purge({ service: "lab", before: now - maxSkew, alone: now - maxSkew - participantRetention, limit: 10 })
  )
  if (Exit.isFailure(exit)) world.violation ??= `${what} fails`
}

export const actions = (world: World) => {
  const { alone, at, back, voted } = world
  const list: Array<{ readonly name: string; readonly run: (world: World) => void }> = []
  const add = (name: string, run: (world: World) => void) => list.push({ name, run })
  const message = (op: Envelope["op"]) => {
    add(op, (world) => deliver(world, op, true))
    // The coordinator learns nothing new from the other answers.
    if (op === "probe" || op === "failure" || op === "reserve")
      add(`${op}, and its answer is lost`, (world) => deliver(world, op, false))
  }
  message("execute")
  if (rowIn(world) !== undefined) {
    for (const [name, effect, said] of [
      ["well", Effect.succeed("well"), "200 well"],
      ["another", Effect.succeed("other"), "200 other"],
      ["a refusal", Effect.fail("ill" as const), "400 ill"],
      ["a defect", Effect.die("dead"), "none"]
    ] as const)
      add(`the answer is ${name}`, (world) =>
        answer(
          world,
          Effect.andThen(
            Effect.sync(() => changed(world, { done: world.effects.done + 1 })),
            effect
          ),
          said
        )
      )
  }
  if (!back && !voted)
    add("the coordinator turns back", (world) => {
      world.back = true
    })
  if (back)
    for (const op of alone ? (["probe", "failure"] as const) : (["probe", "failure", "reject"] as const)) message(op)
  if (!alone && !back) message(voted ? "commit" : "reserve")
  if (at + 1 < times.length) add("time passes", (world) => void world.at++)
  if (!alone) add("what is pending for too long is rejected", (world) => maintain(world, "expire"))
  add("old records are removed", (world) => maintain(world, "purge"))
  return list
}

export const check = (world: World): string | undefined => {
  const { effects, none, records, violation } = world
  if (violation !== undefined) return violation
  const row = rowIn(world)
  const expected =
    row?.status === 202
      ? { accepted: 1, done: 0 }
      : row?.status === 200 && row.open
        ? { accepted: 1, done: 1 }
        : undefined
  const found = `${effects.accepted} accepted and ${effects.done} done`
  if (expected !== undefined && (effects.accepted !== expected.accepted || effects.done !== expected.done))
    return `the record says ${row?.status}, and there is ${found}`
  // A record of what was done goes with its committed transaction, or when its time is over.
  if (
    expected === undefined &&
    (row !== undefined || effects.done === 0) &&
    (effects.accepted !== 0 || effects.done !== 0)
  )
    return `the record says ${row?.status ?? "nothing"}, and there is ${found}`
  if (none && (effects.accepted !== 0 || effects.done !== 0))
    return `there is no effect, it said, and there is ${found}`
  if (records.transactions[0]?.status === "rejected" && row?.status === 202 && row.transaction !== undefined)
    return "the transaction is rejected, and the command still accepted"
  return undefined
}
