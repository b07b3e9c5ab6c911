/** One service in a process of its own. `processes.ts` starts it, and it ends when that process is gone. */
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import * as NodeStdio from "@effect/platform-node-shared/NodeStdio"
import { Cause, Console, Effect, Queue, Runtime, Schedule, Schema, Stdio, Stream } from "effect"
import { SagaManager } from "effect-saga"
import { LocalDashboard } from "effect-saga/dashboard"
import { SqlInspector } from "effect-saga/sql"
import { type Said, SaidLine, Start, type Told, ToldLine } from "./messages.ts"
import * as Orders from "./orders.ts"
import { place } from "./place.ts"
import * as Places from "./places.ts"
import { PlaceOrder } from "./saga.ts"
import * as Services from "./services.ts"

const say = (said: Said) => Effect.flatMap(Schema.encodeEffect(SaidLine)(said), Console.log)

const decode = Schema.decodeUnknownEffect(ToldLine)

/** Ends when the process on the other side is gone, for whatever reason. */
const hear = (told: Queue.Queue<Told>) =>
  Stream.unwrap(Stdio.Stdio.useSync(({ stdin }) => stdin)).pipe(
    Stream.decodeText,
    Stream.splitLines,
    Stream.runForEach((line) => Effect.flatMap(decode(line), (it) => Queue.offer(told, it)))
  )

const unfinished = Effect.map(
  SagaManager.SagaManager.use(({ find }) => find({ settled: false, parked: false }, { limit: 1_000 })),
  ({ items }) => items.length
)

/** The dashboard lives and dies with the process; the next one has the same address. */
const dashboard = ({ dashboard }: Places.Places) =>
  dashboard === undefined
    ? Effect.void
    : LocalDashboard.serve({ ...dashboard, sagas: [PlaceOrder], may: ["act", "values"], actor: "you" }).pipe(
        Effect.provide(SqlInspector.layer()),
        Effect.catchTag("DashboardNotServed", ({ message }) => Effect.logWarning(message))
      )

/** Places the orders as they come, all at the same time: the sender limits their number. */
const orders = Effect.fnUntraced(function* (told: Queue.Dequeue<Told>, places: Places.Places) {
  yield* dashboard(places)
  yield* say({ _tag: "Started", unfinished: yield* unfinished })
  yield* Stream.fromQueue(told).pipe(
    Stream.takeWhile((it) => it._tag === "Place"),
    Stream.mapEffect(({ order }) => place(order), { concurrency: "unbounded", unordered: true }),
    Stream.runForEach((order) => say({ _tag: "Settled", order }))
  )
  // An earlier run may have left other orders.
  yield* Effect.repeat(unfinished, { until: (n) => n === 0, schedule: Schedule.spaced("100 millis") })
  yield* say({ _tag: "Closed", books: yield* Orders.books })
}, Effect.scoped)

const participant = Effect.fnUntraced(function* (name: Services.Participant, told: Queue.Dequeue<Told>) {
  yield* say({ _tag: "Started", unfinished: 0 })
  yield* Queue.take(told)
  yield* say({ _tag: "Closed", books: yield* Services.participants[name].books })
})

const program = Effect.gen(function* () {
  const { places, service } = yield* Schema.decodeUnknownEffect(Start)(process.argv[2])
  const told = yield* Queue.unbounded<Told>()
  const serve =
    service === "orders"
      ? Effect.provide(orders(told, places), Services.orders(places))
      : Effect.provide(participant(service, told), Services.participant(service, places))
  yield* Effect.provide(Effect.raceFirst(serve, hear(told)), Places.logs(places))
})

const problemOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}

program.pipe(
  Effect.tapCause((cause) =>
    Cause.hasInterruptsOnly(cause) ? Effect.void : say({ _tag: "Failed", problem: problemOf(cause) })
  ),
  Effect.provide([NodeStdio.layer, NodeFileSystem.layer]),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    // An open stdin would keep the process alive.
    teardown: (exit) => Runtime.defaultTeardown(exit, process.exit)
  })
)
