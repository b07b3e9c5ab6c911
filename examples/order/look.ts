/** The dashboard of a run: its address, and the time to look at it. */
import { createServer, type Server } from "node:net"
import { Effect } from "effect"
import { LocalDashboard } from "effect-saga/dashboard"

/** A port that is free now. */
export const freePort = Effect.callback<number>((resume) => {
  const server: Server = createServer().listen(0, "127.0.0.1", () => {
    const found = server.address()
    server.close(() => resume(Effect.succeed(typeof found === "object" && found !== null ? found.port : 0)))
  })
})

/** Every process of the run has the same address and the same token. */
export const address = Effect.map(freePort, (port) => ({ port, token: LocalDashboard.newToken() }))

/** Until a line comes, or the input ends. */
export const untilEnter: Effect.Effect<void> = Effect.callback<void>((resume) => {
  const { stdin } = process
  const end = () => {
    // A pipe that stays open would keep the program alive, on Deno also when it is paused.
    stdin.off("data", end).off("end", end).destroy()
    resume(Effect.void)
  }
  stdin.on("data", end).on("end", end).resume()
  return Effect.sync(end)
})
