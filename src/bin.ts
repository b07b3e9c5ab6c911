#!/usr/bin/env node
/** The program `effect-saga`. */
import process from "node:process"
import { Effect, Fiber } from "effect"
import { run } from "./cli.ts"

const fiber = Effect.runFork(run(process.argv.slice(2)))
// A command that is stopped gives back what it has: the lock of a folder, a connection.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => Effect.runFork(Fiber.interrupt(fiber)))
// A reader such as `head` has gone: that is no error.
process.stdout.on("error", () => process.exit(0))
const ended = (code: number) =>
  Effect.sync(() => {
    process.exitCode = code
  })
Effect.runFork(Effect.matchCauseEffect(Fiber.join(fiber), { onSuccess: ended, onFailure: () => ended(1) }))
