/**
 * C16, I23: what happens to a signal, as a table: in each state of an execution, from each process, by each name of the
 * execution, on each store. One instance owns the execution, another one does not, and a stranger knows nothing but the signal.
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Deferred, Effect, Layer, Logger, Result, Schema, type Scope } from "effect"
import {
  Broker,
  Saga,
  SagaConfig,
  SagaExecutionRepository,
  SagaManager,
  Signal,
  TransactionCommitter
} from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { databases } from "../fixtures/postgres.ts"

// ---- the sagas ---------------------------------------------------------------------------------------------------

const Approval = Signal.make("approval", { payload: Schema.String })
/** The same name in a program that has another schema. */
const Numbered = Signal.make("approval", { payload: Schema.Int })
const Stop = Signal.make("stop", { payload: Schema.String })

const gates = new Map<string, Deferred.Deferred<void>>()
const gateOf = (order: string): Deferred.Deferred<void> => {
  const gate = gates.get(order) ?? Deferred.makeUnsafe<void>()
  gates.set(order, gate)
  return gate
}
const passed = ({ order }: { readonly order: string }) => Deferred.await(gateOf(order))
const passedAgain = ({ order }: { readonly order: string }) => Deferred.await(gateOf(`${order} again`))

/** With a deadline its instance looks at inputs while a step runs. */
const begun = (name: string) => Saga.make(name, { context: { order: Schema.String }, deadline: "30 days" })

const sagas = {
  waits: begun("Waits").pipe(Saga.waitFor("first", { signal: Approval }), Saga.commit),
  early: begun("Early").pipe(
    Saga.local("busy", { execute: passed }),
    Saga.waitFor("first", { signal: Approval }),
    Saga.commit
  ),
  beside: begun("Beside").pipe(
    Saga.parallel("both", {
      left: Saga.waitFor("first", { signal: Approval }),
      right: Saga.local("busy", { execute: passed })
    }),
    Saga.commit
  ),
  twice: begun("Twice").pipe(
    Saga.waitFor("first", { signal: Approval }),
    Saga.waitFor("second", { signal: Approval }),
    Saga.commit
  ),
  room: begun("Room").pipe(
    Saga.local("busy", { execute: passed }),
    Saga.waitFor("first", { signal: Approval }),
    Saga.local("again", { execute: passedAgain }),
    Saga.waitFor("second", { signal: Approval }),
    Saga.commit
  ),
  keyed: begun("Keyed").pipe(Saga.waitFor("first", { signal: Approval, key: () => "k" }), Saga.commit),
  back: begun("Back").pipe(
    // Two compensations at a time, so that the instance looks at inputs meanwhile.
    Saga.parallel("both", {
      left: Saga.local("busy", { execute: () => Effect.void, compensate: passed }),
      right: Saga.local("other", { execute: () => Effect.void, compensate: () => Effect.void })
    }),
    Saga.waitFor("first", { signal: Approval }),
    Saga.commit
  )
}

// ---- the table ---------------------------------------------------------------------------------------------------

interface Said {
  readonly signal?: Signal.Signal<string, any>
  readonly key?: string
  readonly id?: string
  readonly payload?: unknown
  /** How many, each with an id of its own, all at once. */
  readonly times?: number
}

type Step =
  /** A signal, and what its sender is told. */
  | readonly [said: Said, answer: string]
  /** The gate opens. */
  | "go"
  /** The gate opens, and the execution comes to a second one. */
  | "go on"
  /** Somebody cancels; the compensation of the first step waits for the gate. */
  | "cancel"
  /** The execution comes to its end. */
  | "end"

interface Row {
  readonly what: string
  readonly saga: keyof typeof sagas
  readonly steps: ReadonlyArray<Step>
  /** What is in the context then; undefined: it is errored. */
  readonly ends: Readonly<Record<string, string>> | "errored" | "waiting"
  /** Signals that are stored, and those of them that no wait has taken. */
  readonly received: number
  readonly unused?: number
}

const yes = { payload: "yes" }
const conflict = "SagaSignalConflict"
const ended = "SagaSignalRefused ended"

const table: ReadonlyArray<Row> = [
  { what: "ends its wait", saga: "waits", steps: [[yes, "applied"], "end"], ends: { first: "yes" }, received: 1 },
  {
    what: "ends its wait while the owner is at work",
    saga: "beside",
    steps: [[yes, "applied"], "go", "end"],
    ends: { first: "yes" },
    received: 1
  },
  {
    what: "that comes early is kept for its wait",
    saga: "early",
    steps: [[yes, "applied"], "go", "end"],
    ends: { first: "yes" },
    received: 1
  },
  {
    what: "that comes twice is one, early or late, also when the execution has ended",
    saga: "early",
    steps: [[yes, "applied"], [yes, "applied"], "go", "end", [yes, "applied"]],
    ends: { first: "yes" },
    received: 1
  },
  {
    what: "that comes twice ends one wait of two; with an id of its own it ends the other",
    saga: "twice",
    steps: [[yes, "applied"], [yes, "applied"], [{ id: "2", payload: "again" }, "applied"], "end"],
    ends: { first: "yes", second: "again" },
    received: 2
  },
  {
    what: "with the id of another one is a conflict, and the first one stands",
    saga: "early",
    steps: [
      [{ id: "a", ...yes }, "applied"],
      [{ id: "a", payload: "no" }, conflict],
      [{ id: "a", ...yes, key: "k" }, conflict],
      [{ id: "a", ...yes, signal: Stop }, conflict],
      "go",
      "end",
      [{ id: "a", payload: "no" }, conflict],
      [{ id: "a", ...yes, signal: Stop }, conflict],
      [{ id: "a", ...yes }, "applied"]
    ],
    ends: { first: "yes" },
    received: 1
  },
  {
    what: "ends the wait with its key and no other",
    saga: "keyed",
    steps: [[yes, "applied"], [{ key: "other", ...yes }, "applied"], [{ key: "k", payload: "mine" }, "applied"], "end"],
    ends: { first: "mine" },
    received: 3,
    unused: 2
  },
  {
    what: "that the saga does not know is refused, whether it waits or works",
    saga: "waits",
    steps: [
      [{ signal: Stop, ...yes }, "SagaSignalRefused unknown-signal"],
      [{ signal: Stop, ...yes }, "SagaSignalRefused unknown-signal"]
    ],
    ends: "waiting",
    received: 0
  },
  {
    what: "with another schema for its payload is refused, and again, and the execution waits on",
    saga: "beside",
    steps: [
      [{ signal: Numbered, payload: 5 }, "SagaSignalRefused payload"],
      [{ signal: Numbered, payload: 5 }, "SagaSignalRefused payload"],
      [yes, "applied"],
      "go",
      "end"
    ],
    ends: { first: "yes" },
    received: 1
  },
  {
    what: "for an execution that has ended is refused",
    saga: "waits",
    steps: [[yes, "applied"], "end", [{ id: "late", ...yes }, ended], [{ signal: Stop, ...yes }, ended]],
    ends: { first: "yes" },
    received: 1
  },
  {
    what: "for an execution that goes back is refused, and when that has ended",
    saga: "back",
    steps: [
      "cancel",
      [yes, "SagaSignalRefused going-back"],
      [{ signal: Stop, ...yes }, "SagaSignalRefused going-back"],
      "go",
      "end",
      [yes, ended]
    ],
    ends: "errored",
    received: 0
  },
  {
    what: "that was stored before its execution went back is answered as stored",
    saga: "twice",
    steps: [[yes, "applied"], "cancel", "end", [yes, "applied"], [{ payload: "no" }, conflict]],
    ends: "errored",
    received: 1
  },
  {
    what: "is too many where a hundred of its name and key are unused, and the same again is not",
    saga: "early",
    steps: [
      [{ id: "n", ...yes, times: 100 }, "applied"],
      [{ id: "more", ...yes }, "SagaSignalsFull"],
      [{ id: "n0", ...yes }, "applied"],
      [{ id: "other", key: "other", ...yes }, "applied"],
      "go",
      "end"
    ],
    ends: { first: "yes" },
    received: 101,
    unused: 100
  },
  {
    what: "that was too many is taken when there is room: a refusal is not remembered",
    saga: "room",
    steps: [
      [{ id: "n", ...yes, times: 100 }, "applied"],
      [{ id: "more", ...yes }, "SagaSignalsFull"],
      [{ id: "more", ...yes }, "SagaSignalsFull"],
      "go on",
      [{ id: "more", ...yes }, "applied"],
      "go",
      "end"
    ],
    ends: { first: "yes", second: "yes" },
    received: 101,
    unused: 99
  },
  {
    what: "that a wait takes at once is never too many",
    saga: "twice",
    steps: [
      [{ id: "n", key: "other", ...yes, times: 100 }, "applied"],
      [{ id: "more", key: "other", ...yes }, "SagaSignalsFull"],
      [yes, "applied"],
      [{ id: "2", ...yes }, "applied"],
      "end"
    ],
    ends: { first: "yes", second: "yes" },
    received: 102,
    unused: 100
  }
]

// ---- three processes ---------------------------------------------------------------------------------------------

type Store = Layer.Layer<SagaExecutionRepository.SagaExecutionRepository>

const config = { service: "orders", recoveryInterval: "300 millis", lease: "20 seconds" } as const

const process = Effect.fnUntraced(function* (store: Store, known: ReadonlyArray<Saga.AnyCommitted>) {
  const manager = SagaManager.layer(known).pipe(
    Layer.provide([SagaConfig.layer(config), Broker.layerMemory, TransactionCommitter.layerNone]),
    Layer.provideMerge(store),
    Layer.fresh
  ) as Layer.Layer<SagaManager.SagaManager | SagaExecutionRepository.SagaExecutionRepository>
  const services = yield* Layer.build(manager)
  const use = <A, E>(self: Effect.Effect<A, E, SagaManager.SagaManager>) => Effect.provideContext(self, services)
  return { use, store: Context.get(services, SagaExecutionRepository.SagaExecutionRepository) }
})

const processes = Effect.fnUntraced(function* (store: Store) {
  const known = Object.values(sagas)
  return {
    "its instance": yield* process(store, known),
    "another instance": yield* process(store, known),
    "a process that knows no saga": yield* process(store, [])
  }
})
type Processes = Effect.Success<ReturnType<typeof processes>>
type From = keyof Processes
const doors: ReadonlyArray<From> = ["its instance", "another instance", "a process that knows no saga"]

/** Looks again until it is so. */
const until = <A, E>(what: string, look: Effect.Effect<A, E>, isSo: (found: A) => boolean): Effect.Effect<A> =>
  Effect.repeat(Effect.andThen(Effect.sleep("5 millis"), Effect.orDie(look)), { until: (found) => isSo(found) }).pipe(
    Effect.timeoutOrElse({
      duration: "60 seconds",
      orElse: () => Effect.die(new Error(`it never came to this: ${what}`))
    })
  )

const told = Effect.fnUntraced(function* (from: Processes[From], where: object, { signal = Approval, ...said }: Said) {
  const result = yield* Effect.result(from.use(SagaManager.signal(signal, { ...where, ...said } as any)))
  if (Result.isSuccess(result)) return result.success as string
  const { _tag, reason } = result.failure as { readonly _tag: string; readonly reason?: string }
  return reason === undefined ? _tag : `${_tag} ${reason}`
})

let count = 0

/** One row, from one process, by one name of the execution. */
const check = Effect.fnUntraced(function* (all: Processes, row: Row, from: From, by: "uuid" | "startKey") {
  const at = `${from}, by ${by}`
  const order = `order ${count++}`
  const { store, use } = all["its instance"]
  const uuid = yield* use(SagaManager.start(sagas[row.saga] as any, { context: { order }, startKey: order }))
  const load = store.load(uuid)
  if (row.saga !== "early" && row.saga !== "room")
    yield* until("it waits", load, ({ events }) => events.some((e) => e._tag === "WaitStarted"))
  const where = by === "uuid" ? { uuid } : { startKey: order }
  for (const step of row.steps) {
    if (step === "go" || step === "go on") {
      const isFirst = yield* Deferred.succeed(gateOf(order), undefined)
      if (!isFirst) yield* Deferred.succeed(gateOf(`${order} again`), undefined)
      if (step === "go on")
        yield* until("the second gate", load, ({ events }) =>
          events.some((fact) => fact._tag === "StepStarted" && fact.name === "again")
        )
    } else if (step === "cancel") yield* use(SagaManager.SagaManager.use((manager) => manager.cancel(uuid)))
    else if (step === "end")
      yield* until("it ends", load, ({ status }) => status === "finished" || status === "errored")
    else {
      const [{ times = 1, ...said }, answer] = step
      const all100 = Array.from({ length: times }, (_, n) => (times === 1 ? said : { ...said, id: `${said.id}${n}` }))
      const answers = yield* Effect.forEach(all100, (one) => told(all[from], where, one), { concurrency: "unbounded" })
      assert.deepStrictEqual([...new Set(answers)], [answer], `${at}: ${JSON.stringify(said)}`)
    }
  }
  const { events, unusedSignals, status } = yield* load
  assert.strictEqual(events.filter(({ _tag }) => _tag === "SignalReceived").length, row.received, at)
  assert.strictEqual(unusedSignals, row.unused ?? 0, at)
  const taken = events.flatMap((fact) =>
    fact._tag === "StepSucceeded" && fact.signal !== undefined ? fact.signal : []
  )
  assert.strictEqual(new Set(taken).size, taken.length, at)
  assert.deepStrictEqual(yield* store.inbox(uuid), [], at)
  if (row.ends === "waiting") return assert.strictEqual(status, "paused", at)
  if (row.ends === "errored") return assert.strictEqual(status, "errored", at)
  const bound = yield* use(SagaManager.SagaManager.use((manager) => manager.load(uuid)))
  assert.deepInclude({ ...(bound.context as object) }, row.ends, at)
})

// ---- the stores --------------------------------------------------------------------------------------------------

class All extends Context.Service<All, Processes>()("test/All") {}

/** Each process has a repository of its own on a database; a memory is one for all. */
const stores: ReadonlyArray<{ readonly name: string; readonly make: Effect.Effect<Store, unknown, Scope.Scope> }> = [
  {
    name: "memory",
    make: Effect.map(
      Layer.build(Layer.fresh(SagaExecutionRepository.layerMemoryWith({ keep: 10_000, shared: true }))),
      Layer.succeedContext
    )
  },
  ...databases("signals").map(({ layer, name, schema }) => ({
    name,
    make: Effect.map(Layer.build(layer), (client) =>
      Layer.fresh(
        Layer.provide(Layer.orDie(SqlSagaExecutionRepository.layer({ schema })), Layer.succeedContext(client))
      )
    )
  }))
]

for (const { make, name } of stores) {
  const all = Layer.effect(All, Effect.flatMap(make, processes))
  withLayer(Layer.provideMerge(all, Logger.layer([])), { timeout: "2 minutes", excludeTestServices: true })(
    `C16 I23 a signal from any process, by uuid or start key: ${name}`,
    (it) => {
      for (const [n, row] of table.entries())
        it.effect(
          row.what,
          () =>
            Effect.gen(function* () {
              const all = yield* All
              yield* Effect.forEach(
                doors,
                (from, i) => check(all, row, from, (n + i) % 2 === 0 ? "uuid" : "startKey"),
                { concurrency: "unbounded", discard: true }
              )
            }),
          120_000
        )

      it.effect("for an execution that is not there is refused", () =>
        Effect.gen(function* () {
          const all = yield* All
          for (const from of doors)
            for (const where of [{ uuid: "0199a3f0-0000-7000-8000-000000000000" }, { startKey: "nothing" }])
              assert.strictEqual(yield* told(all[from], where, yes), "SagaExecutionNotFound", from)
        })
      )
    }
  )
}
