/** Runs a command of `effect-saga` in this process, and gives what it has printed. */
import { Console, Effect } from "effect"
import { type ConsoleConfig, run } from "effect-saga/cli"

export interface Printed {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Without a config the command looks for its storage as a process does. */
export const printed = Effect.fnUntraced(function* (args: ReadonlyArray<string>, config?: ConsoleConfig) {
  const [out, err]: [Array<string>, Array<string>] = [[], []]
  const code = yield* run(args, config === undefined ? {} : { config }).pipe(
    Effect.provideService(Console.Console, {
      ...globalThis.console,
      log: (...parts: ReadonlyArray<unknown>) => void out.push(parts.join(" ")),
      error: (...parts: ReadonlyArray<unknown>) => void err.push(parts.join(" "))
    })
  )
  const done: Printed = { code, out: out.join("\n"), err: err.join("\n") }
  return done
})
