/** The programs in `examples/`, and what they print. Each is run as its reader would run it, in a process of its own. */
import { execFile } from "node:child_process"
import { readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { quick } from "./fixtures/quick.ts"

const root = new URL("../", import.meta.url)

/**
 * Paths from the root of the repository, without `.ts`. What a program prints is next to it, as `.out`. In a folder of its
 * own a program is the file `main.ts`; the others are its parts.
 */
export const programs: ReadonlyArray<string> = readdirSync(new URL("examples", root), {
  encoding: "utf8",
  recursive: true
})
  .filter((file) => /^[^/\\]+\.ts$|[/\\]main\.ts$/.test(file))
  .map((file) => `examples/${file.replaceAll("\\", "/").slice(0, -".ts".length)}`)
  .sort()

/** Node and Bun are told to read the sources of the library; Deno finds them by `deno.json`. */
const flags = "deno" in process.versions ? ["run", "-A"] : ["--conditions=effect-saga:source", ...quick]

/** A program that hangs is ended, in milliseconds. It takes a few seconds on a quiet machine. */
export const timeout = 10 * 60_000

/** Runs a program on the runtime that this one runs on. Fails if it fails. */
export const run = async (program: string): Promise<string> => {
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, `${program}.ts`], {
    cwd: fileURLToPath(root),
    timeout
  })
  return stdout
}
