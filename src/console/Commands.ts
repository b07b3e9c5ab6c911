/** The command `effect-saga`, and how its end becomes an exit code. */
import { Console, Effect, Layer } from "effect"
import { CliConfig, type CliError, CliOutput, Command, GlobalFlag } from "effect/cli"
import { Access } from "./Access.ts"
import * as Act from "./ActCommands.ts"
import { buckets } from "./BucketCommands.ts"
import { dashboard } from "./DashboardCommand.ts"
import * as Deploy from "./DeployCommands.ts"
import * as Look from "./LookCommands.ts"
import { Screen } from "./Screen.ts"

const root = Command.make("effect-saga").pipe(
  Command.withDescription(
    [
      "See and steer stored executions. Each command has --help and examples.",
      "Where they are: --url or --database, else SAGA_PG_URL or SAGA_PG_DATABASES, else effect-saga.config.ts. Most commands print JSON with --json.",
      "Exit codes: 0 done, 1 failed, 2 called in a wrong way, 3 something needs attention."
    ].join("\n  ")
  ),
  Command.withSubcommands([
    {
      group: "See",
      commands: [
        Deploy.attention,
        Look.list,
        Look.show,
        Look.stats,
        Look.watch,
        Look.processes,
        Look.commands,
        Look.deadLetters,
        dashboard
      ]
    },
    { group: "Steer", commands: [Act.retry, Act.resolve, Act.cancel, Act.answer, Act.doubt] },
    { group: "Deploy", commands: [Deploy.drift, Deploy.migrate, Deploy.doctor, buckets] },
    { group: "Sagas and files", commands: [Deploy.diagram, Deploy.exporting, Deploy.replay] }
  ])
)

/** Those of every command. */
const flags = CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })

/** Runs the command line. Gives the exit code; everything is said by then. */
export const run = (args: ReadonlyArray<string>): Effect.Effect<number, never, Access | Screen | Command.Environment> =>
  Effect.gen(function* () {
    const { version } = yield* Access
    const { hasColours } = yield* Screen
    const said = (message: string) => (message === "" ? Effect.void : Console.error(`effect-saga: ${message}`))
    const formatter = CliOutput.layer(CliOutput.defaultFormatter({ colors: hasColours }))
    return yield* Command.runWith(root, { version })(args).pipe(
      Effect.as(0),
      Effect.catchTags({
        CommandFailed: ({ message }) => Effect.as(said(message), 1),
        CommandMisused: ({ message }) => Effect.as(said(message), 2),
        NeedsAttention: () => Effect.succeed(3)
      }),
      // The help and the errors have been printed.
      Effect.catch((error: CliError.CliError) =>
        Effect.succeed(error._tag === "ShowHelp" && error.errors.length === 0 ? 0 : 2)
      ),
      Effect.provide(Layer.merge(formatter, flags))
    )
  })
