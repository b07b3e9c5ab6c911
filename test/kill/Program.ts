/** A program of the tests in a process of its own, on the runtime that the tests run on. */
import { type ChildProcess, spawn } from "node:child_process"
import process from "node:process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Deferred, Effect, Queue } from "effect"
import type { Chance } from "../execution/rules/chance.ts"

/** A plan of kills; one that fails names its seed. `SEED=7` makes the same plan again: when it hits is up to the machine. */
export const planned = <A, E, R>(play: (random: Chance) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
  return Effect.onError(play({ state: seed }), () => Effect.logError(`SEED=${seed}`))
}

export interface Program {
  readonly pid: number
  /** The output, line by line. */
  readonly lines: Queue.Dequeue<string>
  readonly say: (line: string) => Effect.Effect<void>
  /** Closes the input of the program: Deno does not end while it reads. */
  readonly closeInput: Effect.Effect<void>
  readonly kill: Effect.Effect<void>
  readonly signal: (name: NodeJS.Signals) => Effect.Effect<void>
  /** The exit code, or the signal that has ended the program. */
  readonly ended: Effect.Effect<number | string>
  /** The end of all that it has printed. */
  readonly complaint: () => string
}

/** Characters of a complaint. */
const longest = 2_000

/** What a program of this checkout needs on the command line. */
export const options = "Deno" in globalThis ? ["run", "-A", "--quiet"] : ["--conditions=effect-saga:source"]

/** The next line that begins so, without its beginning. */
export const printed = ({ complaint, ended, lines }: Program, start: string) =>
  Effect.gen(function* () {
    while (true) {
      const line = yield* Queue.take(lines)
      if (line.startsWith(start)) return line
    }
  }).pipe(
    // It may have printed the line as its last one: its end may be heard of before that is read.
    Effect.raceFirst(
      Effect.gen(function* () {
        const how = yield* ended
        const line = (yield* Queue.clear(lines)).find((line) => line.startsWith(start))
        return line ?? (yield* Effect.die(new Error(`It ended (${how}) before "${start}": ${complaint()}`)))
      })
    ),
    Effect.map((line) => line.slice(start.length).trim())
  )

/** A program of this checkout. One that still runs is killed when the scope closes. */
export const start = (program: URL, ...args: ReadonlyArray<string>) =>
  startBy(process.execPath, ...options, fileURLToPath(program), ...args)

/** A program by its command. */
export const startBy = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.gen(function* () {
      const lines = yield* Queue.unbounded<string>()
      const ended = yield* Deferred.make<number | string>()
      const child = spawn(command, args, { stdio: "pipe" })
      let complaint = ""
      const hear = (text: string) => {
        complaint = `${complaint}${text}`.slice(-longest)
      }
      child.stderr.on("data", (chunk: Buffer) => {
        process.stderr.write(chunk)
        hear(String(chunk))
      })
      // A line said to a program that has just been killed.
      child.stdin.on("error", () => {})
      const reader = createInterface({ input: child.stdout })
      // The log of a program that cannot start may be all that says why.
      reader.on("line", (line) => {
        hear(`${line}\n`)
        Queue.offerUnsafe(lines, line)
      })
      let result: number | string | undefined
      const close = () => {
        if (result !== undefined) Deferred.doneUnsafe(ended, Effect.succeed(result))
      }
      // All output is read before the program counts as ended.
      reader.on("close", close)
      child.on("exit", (code, signal) => {
        result = code ?? signal ?? "unknown"
        if (child.stdout.closed || child.stdout.destroyed) close()
        else child.stdout.once("close", close)
      })
      return { child, lines, ended, complaint: () => complaint }
    }),
    ({ child, ended }) => Effect.andThen(stop(child), Deferred.await(ended))
  ).pipe(
    Effect.map(
      ({ child, complaint, ended, lines }): Program => ({
        pid: child.pid ?? 0,
        lines,
        complaint,
        say: (line) =>
          Effect.sync(() => {
            child.stdin.write(`${line}\n`)
          }),
        closeInput: Effect.sync(() => {
          child.stdin.end()
        }),
        kill: stop(child),
        signal: (name) => send(child, name),
        ended: Deferred.await(ended)
      })
    )
  )

/** By its pid: on Deno `child.kill` does nothing after its first signal. A program that has ended gets none. */
const send = ({ exitCode, pid, signalCode }: ChildProcess, name: NodeJS.Signals) =>
  Effect.sync(() => {
    if (pid === undefined || exitCode !== null || signalCode !== null) return
    try {
      process.kill(pid, name)
    } catch {
      // It has ended in between.
    }
  })

const stop = (child: ChildProcess) => send(child, "SIGKILL")
