/**
 * What `effect/cli` wants of the platform. This program asks nothing and starts nothing through it; one that does takes
 * `NodeServices.layer` of `@effect/platform-node` instead.
 */
import { Effect, FileSystem, Layer, Path, Queue, Stdio, Terminal } from "effect"
import { ChildProcessSpawner } from "effect/process"

const columns = process.stdout.columns ?? 80
const rows = process.stdout.rows ?? 24

export const layer = Layer.mergeAll(
  FileSystem.layerNoop({}),
  Path.layer,
  Stdio.layerTest({}),
  Layer.succeed(
    Terminal.Terminal,
    Terminal.make({
      columns: Effect.succeed(columns),
      rows: Effect.succeed(rows),
      size: Effect.die("the size of the terminal is not watched"),
      readInput: Queue.unbounded(),
      readLine: Effect.fail(new Terminal.QuitError()),
      display: (text) => Effect.sync(() => void process.stdout.write(text))
    })
  ),
  Layer.succeed(
    ChildProcessSpawner.ChildProcessSpawner,
    ChildProcessSpawner.make(() => Effect.die("no process is started here"))
  )
)
