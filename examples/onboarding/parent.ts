/** Ends this process with the one that has started it, also where that one is killed and can tell nobody. `processes.ts` sets the variable. */

if (process.env.BANK_PARENT !== undefined) {
  // The other end of the pipe is gone.
  process.stdin.on("end", () => process.kill(process.pid, "SIGTERM")).resume()
}
