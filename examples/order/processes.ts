/** Starts a service in a process of its own, and speaks with it: lines of JSON, as `messages.ts` says. */
import { fileURLToPath } from "node:url"
import { Effect, Option, Queue, Schema, type Scope, Stream } from "effect"
import { ChildProcess, type ChildProcessSpawner } from "effect/process"
import { type Said, SaidLine, Start, type Told, ToldLine } from "./messages.ts"
import type { Places, Service } from "./places.ts"

/** A service that could not start, or has ended although it should not. */
export class ServiceFailed extends Schema.TaggedError<ServiceFailed>()("ServiceFailed", {
  service: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.problem} (${this.service})`
  }
}

const program = fileURLToPath(new URL("service.ts", import.meta.url))
const flags = "Deno" in globalThis ? ["run", "-A", "--quiet"] : process.execArgv

const encode = Schema.encodeEffect(ToldLine)
const decode = Schema.decodeUnknownEffect(SaidLine)

export interface Process {
  readonly said: Stream.Stream<Said, unknown>
  readonly tell: (it: Told) => Effect.Effect<unknown, unknown>
  /** As the system would kill it: with SIGKILL, at once. */
  readonly kill: Effect.Effect<void, unknown>
  /** Whether it was, by anybody: then it has not ended by itself. Waits for its end. */
  readonly isKilled: Effect.Effect<boolean>
}

/** It is stopped when the scope closes, and by the end of its stdin if this process is killed. */
export const start = Effect.fnUntraced(function* (
  service: Service,
  places: Places
): Effect.fn.Return<Process, unknown, ChildProcessSpawner.ChildProcessSpawner | Scope.Scope> {
  const told = yield* Queue.unbounded<string>()
  const argument = yield* Schema.encodeEffect(Start)({ service, places })
  const child = yield* ChildProcess.make(process.execPath, [...flags, program, argument], {
    stdin: Stream.encodeText(Stream.fromQueue(told)),
    stderr: "inherit",
    extendEnv: true,
    forceKillAfter: "10 seconds"
  })
  const said = child.stdout.pipe(
    Stream.decodeText,
    Stream.splitLines,
    // What is killed may leave a line unfinished.
    Stream.mapEffect((line) => Effect.option(decode(line))),
    Stream.filter(Option.isSome),
    Stream.mapEffect(({ value }) =>
      value._tag === "Failed"
        ? Effect.fail(new ServiceFailed({ service, problem: value.problem }))
        : Effect.succeed(value)
    )
  )
  return {
    said,
    tell: (it) => Effect.flatMap(encode(it), (line) => Queue.offer(told, `${line}\n`)),
    kill: child.kill({ killSignal: "SIGKILL" }),
    isKilled: Effect.match(child.exitCode, { onSuccess: () => false, onFailure: () => true })
  }
})
