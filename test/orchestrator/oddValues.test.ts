/**
 * Odd values in every place that a value can have, on every store and over every broker: the same outcome, and the one that the table of
 * `docs/guarantees.md` says. What "refused" means in a place is asserted here, and written below that table.
 */
import { readFileSync } from "node:fs"
import { isDeepStrictEqual } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schema } from "effect"
import {
  Broker,
  Participant,
  ParticipantStore,
  Saga,
  SagaConfig,
  SagaExecution,
  SagaExecutionRepository,
  SagaManager,
  SagaTransaction,
  Signal,
  TransactionCommitter
} from "effect-saga"
import { MqttBroker } from "effect-saga/mqtt"
import { SqlParticipantStore, SqlSagaExecutionRepository } from "effect-saga/sql"
import * as Mqtt from "../fixtures/mqtt.ts"
import { type Odd, odd } from "../fixtures/odd.ts"
import { databases } from "../fixtures/postgres.ts"

const tagOf = (value: unknown): string =>
  typeof value === "object" && value !== null && "_tag" in value ? String(value._tag) : typeof value

/** A value and a schema for it. */
interface Case {
  readonly key: string
  readonly make: Odd["make"]
  readonly schema: Schema.Codec<any, any>
}

const permissive = odd.map(({ make }, i): Case => ({ key: `Any${i}`, make, schema: Schema.Unknown }))
const fitting = odd.flatMap(
  ({ fitting: schema, make }, i): ReadonlyArray<Case> =>
    schema === undefined ? [] : [{ key: `Own${i}`, make, schema }]
)
const cases = [...permissive, ...fitting]

// ---- what happens ------------------------------------------------------------------------------------------------

/** What callbacks and handlers do and see, in order, by execution. */
type Story = Array<readonly [what: string, value?: unknown]>
const stories = new Map<string, Story>()
const tell = (what: string, value?: unknown) =>
  Effect.map(SagaTransaction, ({ uuid }) => {
    const story = stories.get(uuid) ?? []
    stories.set(uuid, story)
    story.push([what, value])
  })

const Fine = Participant.make("fine", { Do: { payload: {}, success: Schema.String }, Undo: { payload: {} } })

const commandsOf = ({ key, schema }: Case) => ({
  [`Send${key}`]: { payload: { value: schema } },
  [`Give${key}`]: { payload: {}, success: schema },
  [`Fail${key}`]: { payload: {}, error: schema },
  [`Do${key}`]: { payload: {} },
  [`Undo${key}`]: { payload: { value: schema } }
})
const OddContract = Participant.make("odd", Object.assign({}, ...cases.map(commandsOf)))
const command = (name: string): any => Reflect.get(OddContract.commands, name)

const handlersOf = ({ key, make }: Case) => ({
  [`Send${key}`]: ({ value }: { readonly value: unknown }) => tell("see", value),
  [`Give${key}`]: () => Effect.sync(make),
  [`Fail${key}`]: () => Effect.suspend(() => Effect.fail(make())),
  [`Do${key}`]: () => tell("do"),
  [`Undo${key}`]: ({ value }: { readonly value: unknown }) => tell("see", value)
})

/** What a saga for a place has before, so that a rollback is seen. */
const begin = (name: string) =>
  Saga.make(name, { context: {} }).pipe(
    Saga.local("before", { execute: () => Effect.void, compensate: () => tell("undo before") })
  )

type Outcome = "kept" | "as JSON" | "refused" | string

/** What JSON makes of it, where it can; -0 is 0. */
const jsonOf = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (key, inner) =>
      typeof inner === "bigint" || key === "self" || key === "__proto__" ? undefined : inner
    ) ?? "null"
  )

/** The value as somebody else gets it. */
const compared = (given: unknown, seen: unknown): Outcome => {
  if (isDeepStrictEqual(given, seen)) return "kept"
  return isDeepStrictEqual(jsonOf(given), seen) ? "as JSON" : `another value: ${String(seen)}`
}

interface Run {
  readonly of: Case
  /** As it is stored. */
  readonly execution: SagaExecution.SagaExecution
  readonly story: Story
}

interface Place {
  readonly name: string
  readonly saga: (of: Case) => any
  /** The signal that the saga waits for. */
  readonly signal?: (of: Case) => Signal.Signal<string, any>
  readonly outcome: (run: Run) => Outcome
}

/** The tag of an error, and the content of an answer of a service. */
const reasonOf = (error: unknown): string => `${tagOf(error)} ${String(Object(error).content)}`

const wordsOf = ({ story }: Run) => story.map(([what]) => what)

/** A step has failed for this reason, and everything else is undone. */
const isUndone = (run: Run, path: string, cause: RegExp, told: ReadonlyArray<string>): boolean => {
  const { alreadyRollback, cause: why, parked, status } = run.execution
  return (
    status === "errored" &&
    alreadyRollback &&
    parked.length === 0 &&
    tagOf(why) === "SagaFailedExecutionStep" &&
    (why as { readonly path: string }).path === path &&
    cause.test(reasonOf((why as Error).cause)) &&
    isDeepStrictEqual(wordsOf(run), told)
  )
}

const described = (run: Run): Outcome => {
  const { cause, parked, status } = run.execution
  return `${status} ${String(cause)} [${parked}] ${wordsOf(run).join(", ")}`
}

const contextOf = ({ execution }: Run): { readonly value?: unknown } => execution.context as object
const tooMuch = /^SagaContext(EncodeError|TooLarge) /

/** One value for the saga and its sender. */
const signals = new Map(cases.map(({ key, schema }) => [key, Signal.make("odd", { payload: schema })]))
const signalOf = ({ key }: Case) => signals.get(key)!

const places: ReadonlyArray<Place> = [
  {
    name: "initial context",
    saga: ({ key, schema }) =>
      Saga.make(`Context${key}`, { context: { value: schema } }).pipe(
        Saga.local("see", { execute: ({ value }: any) => tell("see", value) }),
        Saga.commit
      ),
    outcome: (run) => {
      const stored = contextOf(run).value
      const [seen] = run.story
      return run.execution.status === "finished" && isDeepStrictEqual(seen?.[1], stored)
        ? compared(run.of.make(), stored)
        : described(run)
    }
  },
  {
    name: "result",
    saga: ({ key, make, schema }) =>
      begin(`Result${key}`).pipe(
        Saga.local("value", {
          success: schema,
          execute: () => Effect.tap(Effect.sync(make), (value) => tell("made", value)),
          compensate: ({ value }: any) => tell("undo value", value)
        }),
        Saga.commit
      ),
    outcome: (run) => {
      if (run.execution.status === "finished") return compared(run.of.make(), contextOf(run).value)
      const [made, undone] = run.story
      return isUndone(run, "1", tooMuch, ["made", "undo value", "undo before"]) && Object.is(made?.[1], undone?.[1])
        ? "refused"
        : described(run)
    }
  },
  {
    name: "declared error",
    saga: ({ key, make, schema }) =>
      begin(`Error${key}`).pipe(
        Saga.local("value", { error: schema, execute: () => Effect.suspend(() => Effect.fail(make())) }),
        Saga.commit
      ),
    outcome: (run) => {
      const { cause } = run.execution
      if (isUndone(run, "1", /./, ["undo before"])) return "refused"
      return run.execution.alreadyRollback && tagOf(cause) !== "SagaFailedExecutionStep"
        ? compared(run.of.make(), cause)
        : described(run)
    }
  },
  {
    name: "payload",
    saga: ({ key, make }) =>
      begin(`Payload${key}`).pipe(
        Saga.remote("value", { execute: { command: command(`Send${key}`), payload: () => ({ value: make() }) } }),
        Saga.commit
      ),
    outcome: (run) => {
      if (run.execution.status === "finished") return compared(run.of.make(), run.story[0]?.[1])
      const { events } = run.execution
      const isSent = events.some(({ _tag }) => _tag === "RequestSent")
      return isUndone(run, "1", tooMuch, ["undo before"]) && !isSent ? "refused" : described(run)
    }
  },
  {
    name: "reply",
    saga: ({ key }) =>
      begin(`Reply${key}`).pipe(
        Saga.remote("value", {
          execute: { command: command(`Give${key}`), payload: () => ({}) },
          compensate: { command: Fine.commands.Undo, payload: () => ({}) }
        } as any),
        Saga.commit
      ),
    outcome: (run) => {
      if (run.execution.status === "finished") return compared(run.of.make(), contextOf(run).value)
      return isUndone(run, "1", /Reply(Malformed|TooLarge)/, ["undo before"]) ? "refused" : described(run)
    }
  },
  {
    name: "error of a handler",
    saga: ({ key }) =>
      begin(`Refusal${key}`).pipe(
        Saga.remote("value", { execute: { command: command(`Fail${key}`), payload: () => ({}) } }),
        Saga.commit
      ),
    outcome: (run) => {
      const { cause } = run.execution
      if (isUndone(run, "1", /Reply(Malformed|TooLarge)/, ["undo before"])) return "refused"
      return run.execution.alreadyRollback && tagOf(cause) !== "SagaFailedExecutionStep"
        ? compared(run.of.make(), cause)
        : described(run)
    }
  },
  {
    name: "payload of a compensation",
    saga: ({ key, make }) =>
      begin(`Undo${key}`).pipe(
        Saga.remote("value", {
          execute: { command: command(`Do${key}`), payload: () => ({}) },
          compensate: { command: command(`Undo${key}`), payload: () => ({ value: make() }) }
        } as any),
        Saga.local("end", { execute: () => Effect.die(new Error("the end")) }),
        Saga.commit
      ),
    outcome: (run) => {
      const { alreadyRollback, parked, status } = run.execution
      if (status === "errored" && alreadyRollback && wordsOf(run).join() === "do,see,undo before")
        return compared(run.of.make(), run.story[1]?.[1])
      return status === "errored" && parked.join() === "1" && wordsOf(run).join() === "do,undo before"
        ? "refused"
        : described(run)
    }
  },
  {
    name: "result of `onSuccess`",
    saga: ({ key, make, schema }) =>
      begin(`Handled${key}`).pipe(
        Saga.remote("value", {
          execute: { command: Fine.commands.Do, payload: () => ({}) },
          success: schema,
          onSuccess: () => Effect.sync(make),
          compensate: { command: Fine.commands.Undo, payload: () => ({}) }
        } as any),
        Saga.commit
      ),
    outcome: (run) => {
      if (run.execution.status === "finished") return compared(run.of.make(), contextOf(run).value)
      return isUndone(run, "1", tooMuch, ["do", "undo", "undo before"]) ? "refused" : described(run)
    }
  },
  {
    name: "payload of a signal",
    saga: (of) => begin(`Signal${of.key}`).pipe(Saga.waitFor("value", { signal: signalOf(of) }), Saga.commit),
    signal: signalOf,
    outcome: (run) =>
      run.execution.status === "finished" ? compared(run.of.make(), contextOf(run).value) : described(run)
  },
  {
    name: "result of `onTimeout`",
    saga: ({ key, make, schema }) =>
      begin(`Late${key}`).pipe(
        Saga.waitFor("value", {
          signal: Signal.make("none", { payload: Schema.Never }),
          timeout: 1,
          onTimeout: { success: schema, value: make }
        } as any),
        Saga.commit
      ),
    outcome: (run) => {
      if (run.execution.status === "finished") return compared(run.of.make(), contextOf(run).value)
      return isUndone(run, "1", tooMuch, ["undo before"]) ? "refused" : described(run)
    }
  }
]

const sagas = places.map(({ saga }) => cases.map(saga))

const observe = Effect.fnUntraced(function* (place: Place, saga: any, of: Case) {
  const manager = yield* SagaManager.SagaManager
  const context = place.name === "initial context" ? { value: of.make() } : {}
  const startKey = saga.name
  if (place.signal !== undefined) {
    const { revision, uuid } = (yield* manager.run(saga, { context, startKey, pauseOnDisk: true })) as Run["execution"]
    const sent = yield* Effect.result(manager.signal(place.signal(of), { uuid, payload: of.make() }))
    if (sent._tag === "Failure") {
      const { _tag, field } = sent.failure as { readonly _tag: string; readonly field?: string }
      const isStored = (yield* manager.load(uuid)).revision !== revision
      return _tag === "SagaSignalInvalid" && field === "payload" && !isStored ? "refused" : `${String(sent.failure)}`
    }
  }
  const ran = yield* Effect.result(manager.run(saga, { context, startKey, raiseOnError: false }))
  if (ran._tag === "Failure") {
    const { items } = yield* manager.find({ saga: saga.name })
    return tooMuch.test(`${tagOf(ran.failure)} `) && items.length === 0 ? "refused" : `${String(ran.failure)}`
  }
  const { uuid } = ran.success as SagaExecution.SagaExecution
  // As another process has it.
  const raw = SagaExecution.raw(yield* manager.load(uuid))
  const execution = yield* SagaExecution.fromRaw(JSON.parse(JSON.stringify(raw)), saga)
  return place.outcome({ of, execution, story: stories.get(uuid) ?? [] })
})

// ---- where it happens --------------------------------------------------------------------------------------------

const processes = Layer.mergeAll(
  SagaManager.layer(sagas.flat()),
  Participant.layer(OddContract, Object.assign({}, ...cases.map(handlersOf))),
  Participant.layer(Fine, { Do: () => Effect.as(tell("do"), "done"), Undo: () => tell("undo") })
).pipe(Layer.provide([SagaConfig.layer({ service: "trips" }), TransactionCommitter.layerNone])) as Layer.Layer<
  SagaManager.SagaManager,
  never,
  SagaExecutionRepository.SagaExecutionRepository | ParticipantStore.ParticipantStore | Broker.Broker
>

const memory = Layer.merge(SagaExecutionRepository.layerMemoryWith({ keep: 1_000 }), ParticipantStore.layerMemory)

const worlds = [
  { name: "on memory", layer: Layer.merge(memory, Broker.layerMemory) },
  ...databases("odd").map(({ layer, name, schema }) => ({
    name: `on ${name}`,
    layer: Layer.merge(SqlSagaExecutionRepository.layer({ schema }), SqlParticipantStore.layer({ schema })).pipe(
      Layer.provide(layer),
      Layer.merge(Broker.layerMemory)
    )
  })),
  { name: "over aedes", layer: Layer.merge(memory, Mqtt.aedes) },
  ...(Mqtt.url === undefined
    ? []
    : [
        {
          name: "over Mosquitto",
          layer: Layer.merge(memory, MqttBroker.layer({ url: Mqtt.url, namespace: Mqtt.namespace() }))
        }
      ])
]

// ---- the table ---------------------------------------------------------------------------------------------------

/** Outcomes with the places that have them. The first is that of most places, which are not named. */
const said = (outcomes: ReadonlyArray<Outcome> | undefined): string => {
  if (outcomes === undefined) return "–"
  const groups = Map.groupBy(places.keys(), (at) => outcomes[at] ?? "")
  const [most, ...others] = [...groups].sort(([, one], [, other]) => other.length - one.length)
  const named = others.map(([outcome, at]) => `; ${outcome}: ${at.map((i) => places[i]?.name).join(", ")}`)
  return `${most?.[0]}${named.join("")}`
}

const tableOf = (outcomes: ReadonlyMap<string, ReadonlyArray<Outcome>>): string =>
  [
    ["Value", "`Schema.Unknown`", "A schema for it"],
    ["---", "---", "---"],
    ...odd.map(({ name }, i) => [name, said(outcomes.get(`Any${i}`)), said(outcomes.get(`Own${i}`))])
  ]
    .map((cells) => `| ${cells.join(" | ")} |\n`)
    .join("")

const page = readFileSync(new URL("../../docs/guarantees.md", import.meta.url), "utf8")

describe("C16 an odd value has the outcome of the table in docs/guarantees.md, in each place", () => {
  for (const { layer, name } of worlds)
    it.live(
      name,
      () =>
        Effect.gen(function* () {
          const rows = yield* Effect.forEach(
            cases,
            (of, i) => Effect.forEach(places, (place, at) => observe(place, sagas[at]?.[i], of), { concurrency: 8 }),
            { concurrency: 8 }
          )
          const table = tableOf(new Map(cases.map(({ key }, i) => [key, rows[i] ?? []])))
          if (!page.includes(table)) assert.strictEqual(table, page.match(/\| Value \|(?:.*\n)+?(?=\n)/u)?.[0])
        }).pipe(Effect.provide(Layer.provideMerge(Layer.provideMerge(processes, layer), Logger.layer([])))),
      240_000
    )
})
