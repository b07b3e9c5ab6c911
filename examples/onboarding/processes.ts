/** Keeps the two processes alive, and hears what they print: one that dies is started again. A supervisor of yours does this. */
import { fileURLToPath } from "node:url"
import { Effect, Ref, Schedule, Stream } from "effect"
import { ChildProcess } from "effect/process"
import type { Process } from "./places.ts"

const flags = "Deno" in globalThis ? ["run", "-A", "--quiet"] : process.execArgv

/** Starts it, and again whenever it has ended, until the scope closes. Gives the effect that kills it with SIGKILL, at once. */
export const keep = Effect.fnUntraced(function* (
  name: Process,
  env: Readonly<Record<string, string>>,
  hear: (line: string) => Effect.Effect<unknown>
) {
  const program = fileURLToPath(new URL(`${name}.ts`, import.meta.url))
  const command = ChildProcess.make(process.execPath, [...flags, program], {
    env: { ...env, BANK_PARENT: `${process.pid}` },
    extendEnv: true,
    // An open pipe: the child ends when this process is gone and closes it (`parent.ts`).
    stdin: "pipe",
    forceKillAfter: "10 seconds"
  })
  const kill = yield* Ref.make<Effect.Effect<unknown, unknown>>(Effect.void)
  const life = Effect.gen(function* () {
    const child = yield* command
    yield* Ref.set(kill, child.kill({ killSignal: "SIGKILL" }))
    yield* child.all.pipe(Stream.decodeText, Stream.splitLines, Stream.runForEach(hear))
  }).pipe(Effect.scoped, Effect.ignore)
  yield* life.pipe(
    Effect.andThen(hear(`${name} has ended, and starts again`)),
    Effect.repeat(Schedule.spaced("1 second")),
    Effect.forkScoped
  )
  return Effect.flatten(Ref.get(kill))
})
