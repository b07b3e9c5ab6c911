/** The order business from the command line. */
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Cause, Console, Effect, Layer, Option } from "effect"
import { CliError, Command, Flag } from "effect/cli"
import { Broker, SagaDiagram } from "effect-saga"
import * as Business from "./business.ts"
import * as File from "./file.ts"
import * as Orders from "./orders.ts"
import * as Payments from "./payments.ts"
import * as Platform from "./platform.ts"
import { withProgress } from "./progress.ts"
import { PlaceOrder } from "./saga.ts"
import * as Shipping from "./shipping.ts"

const flags = {
  orders: Flag.String("orders").pipe(
    Flag.withDescription("A file of orders, one a line"),
    Flag.withDefault(fileURLToPath(new URL("orders.ndjson", import.meta.url)))
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withDescription("Print the summary as JSON, and nothing else"),
    Flag.withDefault(false)
  ),
  dir: Flag.String("dir").pipe(
    Flag.withDescription("Where the databases are kept; the same one again goes on where it was"),
    Flag.optional
  )
}

const euros = (cents: number) => `${(cents / 100).toLocaleString("en", { minimumFractionDigits: 2 })} euros`

const run = Effect.fnUntraced(function* (options: {
  readonly orders: string
  readonly json: boolean
  readonly dir: Option.Option<string>
}) {
  const list = yield* File.read(options.orders)
  const dir = Option.getOrElse(options.dir, () => mkdtempSync(join(tmpdir(), "orders-")))
  const broker = yield* Layer.build(Broker.layerMemory)
  const shared = <A, E>(layer: Layer.Layer<A, E, Broker.Broker>) =>
    Layer.build(Layer.provide(layer, Layer.succeedContext(broker)))
  const shop = yield* shared(Business.orders(dir))
  const payments = yield* shared(Business.payments(dir))
  const shipping = yield* shared(Business.shipping(dir))

  const work = withProgress(list.length, (progress) => Effect.provideContext(Business.place(list, progress), shop))
  const [placed, seconds] = yield* Business.timed(work)
  const books = [
    yield* Effect.provideContext(Orders.books, shop),
    yield* Effect.provideContext(Payments.books, payments),
    yield* Effect.provideContext(Shipping.books, shipping)
  ] as const
  const summary = Business.summary(placed, books, seconds, 0)
  if (options.json) yield* Console.log(JSON.stringify(summary))
  else {
    const reasons = Map.groupBy(
      placed.filter(({ outcome }) => outcome === "undone"),
      ({ why }) => why
    )
    const diagram = join(dir, "PlaceOrder.mmd")
    writeFileSync(diagram, SagaDiagram.mermaid(PlaceOrder))
    yield* Console.log(`
${summary.orders} orders in ${seconds.toFixed(1)} seconds, ${Math.round(summary.orders / seconds)} a second
  ${summary.committed} committed, ${summary.parked} parked
  ${summary.undone} undone: ${[...reasons].map(([why, ones]) => `${ones.length} ${why}`).join(", ")}

From the services' own tables
  orders    ${books[0].orders} confirmed for ${euros(books[0].sold)}, ${books[0].pending} reservations left over
  payments  ${books[1].payments} for ${euros(books[1].received)}, ${books[1].refunds} given back
  shipping  ${books[2].parcels} parcels
  ${summary.conserved ? "Money, goods and parcels add up." : "THEY DO NOT ADD UP."}`)
    const example = placed.toSorted((a, b) => b.story.length - a.story.length).find(({ story }) => story.length > 0)
    if (example !== undefined) {
      yield* Console.log(`\nHow ${example.orderId} was undone\n${example.story.map((line) => `  ${line}`).join("\n")}`)
    }
    yield* Console.log(`\nThe saga as a diagram: ${diagram}`)
  }
  if (!summary.conserved || summary.parked > 0) process.exitCode = 1
})

const order = Command.make("order", flags, (options) => Effect.scoped(run(options))).pipe(
  Command.withDescription("Runs a file of orders through three services")
)

/** 2 for wrong usage; 1 for what went wrong afterwards, in one line. */
const program = Command.runWith(order, { version: "1" })(process.argv.slice(2)).pipe(
  Effect.catchCause((cause) => {
    const error = Cause.squash(cause)
    if (error instanceof CliError.ShowHelp) process.exitCode = error.errors.length === 0 ? 0 : 2
    else {
      process.exitCode = 1
      console.error(error instanceof Error ? error.message : String(error))
    }
    return Effect.void
  }),
  Effect.provide(Platform.layer)
)

// Ctrl-C interrupts it, which closes databases and gives up what is running; the same --dir goes on.
const fiber = Effect.runFork(program)
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => fiber.interruptUnsafe())
