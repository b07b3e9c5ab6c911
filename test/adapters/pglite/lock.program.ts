/** Tries to take a lock whenever it is told to, says whether it has it, and gives it up at the next word. */
import process from "node:process"
import { createInterface } from "node:readline"
import { Effect, Exit, Scope } from "effect"
import * as FolderLock from "../../../src/adapters/pglite/FolderLock.ts"

let held: Scope.Closeable | undefined

for await (const file of createInterface({ input: process.stdin })) {
  if (held !== undefined) await Effect.runPromise(Scope.close(held, Exit.void))
  held = Scope.makeUnsafe()
  const taken = await Effect.runPromiseExit(Scope.provide(FolderLock.acquire("folder", file, String), held))
  console.log(Exit.isSuccess(taken) ? "taken" : "refused")
}
