/** The order business from the command line: `npm start -- --help`. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as NodeChildProcessSpawner from "@effect/platform-node-shared/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as NodePath from "@effect/platform-node-shared/NodePath"
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import * as NodeStdio from "@effect/platform-node-shared/NodeStdio"
import * as NodeTerminal from "@effect/platform-node-shared/NodeTerminal"
import { Cause, Console, Effect, Layer, Option } from "effect"
import { CliConfig, CliError, CliOutput, Command, Flag, GlobalFlag } from "effect/cli"
import { SagaDiagram } from "effect-saga"
import { PgliteClient } from "effect-saga/pglite"
import * as Business from "./business.ts"
import * as Check from "./check.ts"
import * as Look from "./look.ts"
import * as Place from "./places.ts"
import * as Progress from "./progress.ts"
import { report } from "./report.ts"
import { PlaceOrder } from "./saga.ts"
import { Tally } from "./summary.ts"

const flags = {
  orders: Flag.String("orders").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Orders, one a line. Default: the 300 of this example"),
    Flag.withDefault(fileURLToPath(new URL("orders.ndjson", import.meta.url)))
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withDescription("Print the summary as one JSON object"),
    Flag.withDefault(false)
  ),
  crash: Flag.Int("crash").pipe(
    Flag.withMetavar("N"),
    Flag.withDescription("Kill the orchestrator N times in the middle of its work"),
    Flag.filter(
      (n) => n >= 0 && n <= 100,
      () => "must be from 0 to 100"
    ),
    Flag.withDefault(0)
  ),
  seed: Flag.Int("seed").pipe(
    Flag.withMetavar("N"),
    Flag.withDescription("Chooses when it is killed. Default: 1"),
    Flag.withDefault(1)
  ),
  processes: Flag.Boolean("processes").pipe(
    Flag.withDescription("Give payments and shipping processes of their own too"),
    Flag.withDefault(false)
  ),
  data: Flag.String("data").pipe(
    Flag.withMetavar("FOLDER"),
    Flag.withDescription("Keep the databases there. Default: .data, until the run is complete"),
    Flag.optional
  ),
  pg: Flag.String("pg").pipe(
    Flag.withMetavar("URL"),
    Flag.withDescription("Use this Postgres server, a schema for each service"),
    Flag.optional
  ),
  mqtt: Flag.String("mqtt").pipe(
    Flag.withMetavar("URL"),
    Flag.withDescription("Use this MQTT 5 broker"),
    Flag.optional
  ),
  nats: Flag.String("nats").pipe(
    Flag.withMetavar("URL"),
    Flag.withDescription("Use this NATS server with JetStream"),
    Flag.optional
  ),
  http: Flag.Boolean("http").pipe(
    Flag.withDescription("Send the messages over HTTP, without a broker"),
    Flag.withDefault(false)
  ),
  namespace: Flag.String("namespace").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription("Put this before every topic, where others use the broker too. Default: nothing"),
    Flag.filter(
      (name) => /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/.test(name),
      () => "must be letters, digits, _, - and ., at most 64, a letter first"
    ),
    Flag.optional
  ),
  dashboard: Flag.Boolean("dashboard").pipe(
    Flag.withDescription("Serve the dashboard of the orders, until Enter is pressed"),
    Flag.withDefault(false)
  ),
  port: Flag.Int("port").pipe(
    Flag.withMetavar("N"),
    Flag.withDescription("Where the MQTT broker of this process listens. Default: any free port"),
    Flag.filter(
      (n) => n >= 0 && n <= 65_535,
      () => "must be from 0 to 65535"
    ),
    Flag.withDefault(0)
  )
}

type Options = Command.Command.Config.Infer<typeof flags>

const start = Effect.fnUntraced(function* (options: Options) {
  const { list, places } = yield* Check.ready(options)
  if (places.dashboard !== undefined) {
    const { port, token } = places.dashboard
    yield* Console.error(`The dashboard, once the orders are up: http://127.0.0.1:${port}/?token=${token}`)
  }
  const tally = new Tally()
  // Messages of several lives may come late: it is asked for once.
  const looked = yield* Effect.cached(
    Effect.andThen(
      Console.error("· All orders have ended. Look at them in the dashboard, then press Enter."),
      Look.untilEnter
    )
  )
  const { books, summary } = yield* Progress.make(list.length, tally, join(places.data, "log")).pipe(
    Effect.flatMap((progress) =>
      Business.run({
        orders: list,
        places,
        processes: options.processes,
        crashes: options.crash,
        seed: options.seed,
        tally,
        progress,
        look: places.dashboard === undefined ? Effect.void : looked
      })
    ),
    Effect.provide(Place.logs(places)),
    Effect.scoped,
    Effect.onInterrupt(() =>
      Console.error(
        `\nStopped after ${tally.outcomes.size} of ${list.length} orders. The same command goes on from there.`
      )
    )
  )
  const isComplete = summary.conserved && summary.parked === 0
  if (!isComplete) process.exitCode = 1
  if (options.json) yield* Console.log(JSON.stringify(summary))
  else {
    const diagram = join(places.data, "PlaceOrder.mmd")
    writeFileSync(diagram, SagaDiagram.mermaid(PlaceOrder))
    yield* Console.log(report(summary, books, tally, diagram))
  }
  return { isComplete, data: places.data }
}, Effect.scoped)

const order = Command.make("npm start --", flags, (options) =>
  Effect.map(start(options), ({ data, isComplete }) => {
    // Without an option to keep them, the data of a complete run is removed; an incomplete run can be continued.
    if (isComplete && Option.isNone(options.data)) Place.remove(data)
  })
).pipe(Command.withDescription("Runs a file of orders through three services, whatever crashes meanwhile."))

/** A wrong option is one line of error, without the whole help text. */
const presenter = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Console.error(`${event.errors.map(({ message }) => message).join("; ")} (npm start -- --help)`)
      : CliOutput.defaultPresenter.present(event)
})

const messageOf = (error: unknown): string => {
  const message = error instanceof Error ? error.message : String(error)
  return error instanceof PgliteClient.PgliteFolderLocked
    ? `${message}: wait for it, or name another folder with --data FOLDER`
    : message
}

/** The exit code: 2 for a wrong option, 1 for a later error, and 130, as Effect has it, for an interruption. */
const failed = (cause: Cause.Cause<unknown>) => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
  const error = Cause.squash(cause)
  const isUsage = error instanceof CliError.ShowHelp
  process.exitCode = !isUsage ? 1 : error.errors.length > 0 ? 2 : 0
  return isUsage ? Effect.void : Console.error(messageOf(error))
}

const Platform = NodeChildProcessSpawner.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, NodeStdio.layer, NodeTerminal.layer))
)

Command.run(order, { version: "1" }).pipe(
  Effect.catchCause(failed),
  Effect.provide([Platform, presenter, CliConfig.layer({ builtIns: [GlobalFlag.Help] })]),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
