/** A participant that somebody has written from docs/protocol.md alone: examples/http/payments.py, as a process. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted, Schema } from "effect"
import { FetchHttpClient, HttpRouter } from "effect/http"
import { Participant, Saga, SagaConfig, SagaExecutionRepository, SagaManager, TransactionCommitter } from "effect-saga"
import { HttpBroker } from "effect-saga/http"

class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { amount: Schema.Int }) {}

const Payments = Participant.make("payments", {
  Charge: { payload: { amount: Schema.Int }, success: Schema.String, error: CardDeclined },
  Refund: { payload: { payment: Schema.String } }
})

const Order = Saga.make("Order", { context: { amount: Schema.Int, inStock: Schema.Boolean } }).pipe(
  Saga.remote("payment", {
    execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) },
    compensate: { command: Payments.commands.Refund, payload: ({ payment }) => ({ payment }) }
  }),
  Saga.local("parcel", {
    success: Schema.String,
    error: Schema.String,
    execute: ({ inStock }) => (inStock ? Effect.succeed("a parcel") : Effect.fail("out of stock")),
    compensate: () => Effect.void
  }),
  Saga.commit
)

/** Its payment is done, and then the service loses its records. */
const forgetting = (forget: Effect.Effect<void>) =>
  Saga.make("Forgetting", { context: { amount: Schema.Int } }).pipe(
    Saga.remote("payment", {
      execute: { command: Payments.commands.Charge, payload: ({ amount }) => ({ amount }) },
      compensate: { command: Payments.commands.Refund, payload: ({ payment }) => ({ payment }) },
      retryCompensate: { times: 0 }
    }),
    Saga.local("parcel", { error: Schema.String, execute: () => Effect.andThen(forget, Effect.fail("out of stock")) }),
    Saga.commit
  )

const program = fileURLToPath(new URL("../../../examples/http/payments.py", import.meta.url))
const secret = "only orders and payments know"
const keys = [{ id: "one", secret: Redacted.make(secret) }]

const freePort = Effect.callback<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(typeof address === "object" ? (address?.port ?? 0) : 0)))
  })
})

const start = (port: number, database: string) =>
  Effect.promise(async () => {
    const child = spawn("python3", [program, `${port}`, database, secret], { stdio: ["ignore", "pipe", "inherit"] })
    await once(child.stdout, "data")
    return child
  })

const kill = (child: ChildProcess) =>
  Effect.promise(async () => {
    child.kill("SIGKILL")
    await once(child, "exit")
  })

const wipe = `import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db: db.execute("delete from record")`

const hasPython = (process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, "python3")))

it("a participant in Python has at most 80 lines", () => {
  assert.isAtMost(readFileSync(program, "utf8").trimEnd().split("\n").length, 80)
})

// A machine without Python runs the rest; CI has one.
it.live.runIf(hasPython || process.env.CI !== undefined)(
  "a participant in Python, killed and started again, takes commands, refuses and compensates",
  () =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "saga-python-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
      const port = yield* freePort
      const database = join(folder, "payments.db")
      const Forgetting = forgetting(Effect.sync(() => spawnSync("python3", ["-c", wipe, database])))
      const orders = yield* Layer.build(
        SagaManager.layer([Order, Forgetting]).pipe(
          Layer.provide([
            SagaConfig.layer({ service: "orders" }),
            SagaExecutionRepository.layerMemory,
            TransactionCommitter.layerNone,
            HttpBroker.layer({ services: { payments: { url: `http://127.0.0.1:${port}/saga`, keys } } })
          ]),
          Layer.provide([HttpRouter.layer, FetchHttpClient.layer])
        )
      )
      const place = (amount: number, inStock = true) =>
        Effect.provideContext(SagaManager.execute(Order, { context: { amount, inStock } }), orders)
      const first = yield* start(port, database)
      const { payment } = yield* place(70)
      assert.match(payment, /:0:execute$/)
      assert.deepStrictEqual(yield* Effect.flip(place(7_000)), new CardDeclined({ amount: 7_000 }))
      yield* kill(first)
      const waiting = yield* Effect.forkChild(place(80, false), { startImmediately: true })
      const second = yield* Effect.acquireRelease(start(port, database), kill)
      assert.strictEqual(yield* Effect.flip(Fiber.join(waiting)), "out of stock")
      assert.isNull(second.exitCode)
      const lost = yield* Effect.forEach(Array.from({ length: 20 }), (_, i) => place(100 + i), { concurrency: 20 })
      assert.strictEqual(new Set(lost.map((it) => it.payment)).size, 20)
      const unknown = yield* Effect.flip(SagaManager.run(Forgetting, { context: { amount: 70 } })).pipe(
        Effect.provideContext(orders)
      )
      assert.deepInclude(unknown, { _tag: "SagaFailedExecution", parked: ["0"] })
    })
)
