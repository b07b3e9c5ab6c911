/** Starts a service in a process of its own, and exchanges the messages of `messages.ts` with it. */
import { fileURLToPath } from "node:url"
import { Effect, Option, Queue, Schema, type Scope, Stream } from "effect"
import { ChildProcess, type ChildProcessSpawner } from "effect/process"
import { type Said, SaidLine, Start, type Told, ToldLine } from "./messages.ts"
import type { Places } from "./places.ts"
import type { Service } from "./transports.ts"

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
  /** Kills the process with SIGKILL, at once. */
  readonly kill: Effect.Effect<void, unknown>
  /** Waits for the end of the process. True: it was killed, by this program or another; false: it ended by itself. */
  readonly isKilled: Effect.Effect<boolean>
}

/** The service stops when the scope closes. If this process is killed, the service stops at the end of its stdin. */
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
    // A killed process may leave a line unfinished.
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
