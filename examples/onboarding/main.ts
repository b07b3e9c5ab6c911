/**
 * The bank for half a minute, as two processes that are killed: what its customers and its branch see on HTTP. An hour takes one
 * and a half seconds.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeChildProcessSpawner from "@effect/platform-node-shared/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as NodePath from "@effect/platform-node-shared/NodePath"
import { Console, Effect, Layer, Schedule } from "effect"
import { EmbeddedBroker } from "effect-saga/aedes"
import { keep } from "./processes.ts"

const folder = mkdtempSync(join(tmpdir(), "onboarding-"))

/** Two ports that are free. */
const ports = Effect.scoped(Effect.all([EmbeddedBroker.make(), EmbeddedBroker.make()]))

/** While a process starts again nobody answers: the client asks again, as the second time changes nothing. */
const again = Schedule.spaced("200 millis")

const client = (bank: string) => {
  const ask = (path: string, init: RequestInit) =>
    Effect.tryPromise(async () => {
      const response = await fetch(`${bank}${path}`, init)
      return { status: response.status, body: JSON.parse(await response.text()) }
    }).pipe(Effect.retry(again))
  const post = (path: string, body: string, headers = {}) => ask(path, { method: "POST", body, headers })
  return {
    get: (path: string) => ask(path, {}),
    post,
    apply: (key: string, name: string) =>
      post("/customers", JSON.stringify({ name, email: `${key}@example.org`, branch: "Ghent", owners: [name] }), {
        "idempotency-key": key
      }),
    /** Waits until the text of the customer begins like this, and prints it. */
    see: (key: string, text: string) =>
      ask(`/customers/${key}`, {}).pipe(
        Effect.repeat({ until: ({ body }) => body.text?.startsWith(text) === true, schedule: again }),
        Effect.andThen(Console.log(`  ${key}: ${text}`))
      )
  }
}

const program = Effect.gen(function* () {
  const [http, mqtt] = yield* ports
  const env = { BANK_DATA: folder, BANK_SPEED: "2400", BANK_PORT: `${http.port}`, BANK_MQTT_PORT: `${mqtt.port}` }
  const letters: Array<string> = []
  const hear = (line: string) => Effect.sync(() => void letters.push(line))
  const killBank = yield* keep("bank", env, hear)
  const killServices = yield* keep("services", env, hear)
  const bank = client(`http://127.0.0.1:${http.port}`)

  yield* Console.log("three people apply, and Ada clicks twice")
  for (const [key, name] of [
    ["ada", "Ada"],
    ["ada", "Ada"],
    ["mallory", "Mallory"],
    ["cleo", "Cleo"]
  ] as const) {
    const { status } = yield* bank.apply(key, name)
    yield* Console.log(`  POST /customers of ${key}: ${status}`)
  }
  yield* Console.log("both processes are killed while the checks run")
  yield* Effect.all([killBank, killServices], { concurrency: 2 })
  yield* bank.see("mallory", "The check says no")
  yield* bank.see("ada", "The documents of the owners are awaited")
  for (const [key, name] of [
    ["ada", "Ada"],
    ["cleo", "Cleo"]
  ] as const) {
    const { status } = yield* bank.post(`/customers/${key}/documents/${name}`, JSON.stringify({ document: "passport" }))
    yield* Console.log(`  ${name} shows a passport: ${status}`)
  }
  yield* bank.see("ada", "The branch is asked")

  yield* Console.log("Bob of the branch looks at what waits for him")
  const { body } = yield* bank.get("/approvals?branch=Ghent")
  yield* Console.log(`  Ada is there: ${body.approvals.some(({ name }: { readonly name: string }) => name === "Ada")}`)
  const yes = JSON.stringify({ approved: true, by: "Bob" })
  for (const word of ["clicks", "clicks again"]) {
    const { body, status } = yield* bank.post("/customers/ada/approval", yes)
    yield* Console.log(`  Bob ${word}: ${status} ${body.text}`)
  }
  yield* bank.see("ada", "Welcome")

  yield* Console.log("nobody looks at Cleo")
  yield* bank.see("cleo", "The branch is asked again")
  yield* bank.see("cleo", "Somebody did not answer in time")
  const late = yield* bank.post("/customers/cleo/approval", yes)
  yield* Console.log(`  Bob clicks: ${late.status} ${late.body.problem}`)

  yield* Console.log("what the services have sent")
  for (const line of letters.filter((line) => /^a (card|letter)/.test(line)).sort()) yield* Console.log(`  ${line}`)
}).pipe(
  Effect.scoped,
  Effect.timeout("5 minutes"),
  Effect.ensuring(Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
)

const Spawner = NodeChildProcessSpawner.layer.pipe(Layer.provide([NodeFileSystem.layer, NodePath.layer]))

Effect.runPromise(Effect.provide(program, Spawner))
