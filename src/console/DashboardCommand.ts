/** `effect-saga dashboard`: the dashboard for one person, on the own machine. */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { Access } from "./Access.ts"
import * as LocalDashboard from "./dashboard/LocalDashboard.ts"
import * as Flags from "./Flags.ts"
import { within } from "./LookCommands.ts"
import { CommandFailed, Screen } from "./Screen.ts"

export const dashboard = Command.make(
  "dashboard",
  {
    ...Flags.place,
    port: Flag.Int("port").pipe(
      Flag.withMetavar("N"),
      Flag.withDescription("Where it listens, at 127.0.0.1. Default: any free port"),
      Flag.filter(
        (port) => port >= 0 && port <= 65_535,
        () => "must be from 0 to 65535"
      ),
      Flag.withDefault(0)
    ),
    act: Flag.Boolean("act").pipe(
      Flag.withDescription("Allow to cancel, retry, resolve and answer"),
      Flag.withDefault(false)
    ),
    values: Flag.Boolean("values").pipe(Flag.withDescription("Allow to see stored values"), Flag.withDefault(false)),
    actor: Flag.String("actor").pipe(
      Flag.withMetavar("NAME"),
      Flag.withDescription("Your name, for the history. Default: user@host"),
      Flag.optional
    )
  },
  Effect.fn(function* (flags) {
    const place = Flags.placeOf(flags)
    const { user } = yield* Screen
    const { sagas = [] } = (yield* (yield* Access).config(place)) ?? {}
    const serve = Effect.gen(function* () {
      const address = yield* Effect.mapError(
        LocalDashboard.serve({
          port: flags.port,
          sagas,
          actor: Flags.given(flags.actor) ?? user,
          may: [...(flags.act ? (["act"] as const) : []), ...(flags.values ? (["values"] as const) : [])]
        }),
        ({ message }) => new CommandFailed({ message })
      )
      yield* Console.log(`Dashboard${flags.act ? "" : ", read only"}: ${address}`)
      yield* Console.error("The address is for you alone: it has a token. Ctrl-C ends it.")
      return yield* Effect.never
    })
    yield* within(place, Effect.scoped(serve))
  })
).pipe(
  Command.withDescription(
    "Serve the dashboard at 127.0.0.1, read only unless --act, for whoever has the printed address"
  ),
  Command.withShortDescription("Serve the dashboard at 127.0.0.1")
)
