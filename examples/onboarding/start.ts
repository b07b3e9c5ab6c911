/** `npm run onboarding`: the two processes until Ctrl-C. An hour of the bank takes a minute here. */
import * as NodeChildProcessSpawner from "@effect/platform-node-shared/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as NodePath from "@effect/platform-node-shared/NodePath"
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { keep } from "./processes.ts"

const env = { BANK_SPEED: process.env.BANK_SPEED ?? "60" }

const Spawner = NodeChildProcessSpawner.layer.pipe(Layer.provide([NodeFileSystem.layer, NodePath.layer]))

Effect.forEach(["bank", "services"] as const, (name) =>
  keep(name, env, (line) => Console.log(`${name.padEnd(8)} │ ${line}`))
).pipe(Effect.andThen(Effect.never), Effect.scoped, Effect.provide(Spawner), NodeRuntime.runMain)
