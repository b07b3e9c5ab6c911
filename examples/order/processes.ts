/** Starts a service in a process of its own, and speaks with it: lines of JSON, as `messages.ts` says. */
import { fileURLToPath } from "node:url"
import { Effect, Queue, Schema, Stream } from "effect"
import { ChildProcess } from "effect/process"
import { SaidLine, Start, type Told, ToldLine } from "./messages.ts"
import type { Places, Service } from "./places.ts"

/** A service that could not start, or has ended although it should not. */
export class ServiceFailed extends Schema.TaggedError<ServiceFailed>()("ServiceFailed", {
  service: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `The service ${this.service} has failed: ${this.problem}`
  }
}

const program = fileURLToPath(new URL("service.ts", import.meta.url))
const flags = "Deno" in globalThis ? ["run", "-A", "--quiet"] : process.execArgv

const encode = Schema.encodeEffect(ToldLine)
const decode = Schema.decodeUnknownEffect(SaidLine)

/** It is stopped when the scope closes, and by the end of its stdin if this process is killed. */
export const start = Effect.fnUntraced(function* (service: Service, places: Places) {
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
    Stream.mapEffect((line) => decode(line)),
    Stream.mapEffect((it) =>
      it._tag === "Failed" ? Effect.fail(new ServiceFailed({ service, problem: it.problem })) : Effect.succeed(it)
    )
  )
  return {
    said,
    tell: (it: Told) => Effect.flatMap(encode(it), (line) => Queue.offer(told, `${line}\n`)),
    kill: child.kill({ killSignal: "SIGKILL" })
  }
})
