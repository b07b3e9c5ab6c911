/**
 * Former releases of the package, made from the history of this repository: packed as npm packs them, with the packages that
 * are installed here. Each is made once, in a folder that git ignores.
 */
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { fileURLToPath, pathToFileURL } from "node:url"
import * as Program from "../kill/Program.ts"
import type { Start } from "../living/Fleet.ts"

export interface Release {
  readonly name: string
  readonly revision: string
  /**
   * A step of its processes may run twice: they lose their leases under load, as these share the connections of everything else,
   * and while they stop.
   */
  readonly repeats?: boolean
  /** Its program is the whole one: it reads every fact, and has all sagas and the queue. */
  readonly isWhole?: boolean
}

/**
 * Releases whose tables and facts a later one has widened. A change that adds a migration, or a fact, gets the revision
 * before it here.
 */
export const releases: ReadonlyArray<Release> = [
  // The last revision of 0.1.0 before the series that brought the inbox, the epochs and the facts of actions: it has the
  // first migration only, and each of its processes stores what comes from outside by itself.
  { name: "0.1.0 without inbox", revision: "50cbc8458ae9ed0e63f16a9c2c8f0ae2098b148c", repeats: true },
  // The first two migrations.
  { name: "0.1.0", revision: "d2297c4737462ade00b3b0b8f27d8b262d5dfb63" },
  // Three migrations, and no waits: it does not know their facts, nor those of a response that is no proof.
  { name: "0.1.0 without waits", revision: "7906f7a89dc5547bda2fb95665d44f29cda74d2c" },
  // It has waits, and knows no pivot, no deadline of a run, no attributes, and no table of schedules.
  { name: "0.1.0 without pivots", revision: "3b6bc04f89976d4e68ec6e3c3310fc0091855ee7" },
  // It has five migrations, with schedules and attributes. The facts of an action do not name its actor, the tables have no indexes
  // for an inspector, and it knows no items, no starts of other sagas, no queues, and no decision of a person about a
  // participant's doubt.
  { name: "0.1.0 without inspector", revision: "f1ba68677d28bd8eb571101fe224ffd1d665c574" },
  // It has all facts and tables. What goes on in a queue waits for an admission there, and does not ask for a free place.
  { name: "0.1.0 with queues", revision: "d16c16270a07808c6ab83541ce0c28d5183a1fe8", isWhole: true }
]

const root = fileURLToPath(new URL("../../", import.meta.url))
const git = (...args: ReadonlyArray<string>) =>
  execFileSync("git", ["-C", root, ...args], { stdio: ["ignore", "pipe", "ignore"] })

/** Git has the revision: a clone may be shallow, and a package has no history. */
export const isThere = ({ revision }: Release): boolean => {
  try {
    git("cat-file", "-e", `${revision}^{commit}`)
    return true
  } catch {
    return false
  }
}

/** The packed release in a folder of its own, beside the program of these tests. */
const make = (release: Release): string => {
  const { revision } = release
  if (!isThere(release))
    throw new Error(`This clone has no revision ${revision}: fetch the history (git fetch --unshallow)`)
  const folder = join(root, ".data", `former-${revision.slice(0, 12)}`)
  const installed = join(folder, "node_modules", "effect-saga")
  if (!existsSync(installed)) {
    const work = `${folder}.${process.pid}`
    const source = join(work, "source")
    mkdirSync(source, { recursive: true })
    const tar = (args: ReadonlyArray<string>, input?: Uint8Array) =>
      execFileSync("tar", args, { ...(input !== undefined && { input }), stdio: ["pipe", "ignore", "inherit"] })
    tar(["-x", "-C", source], execFileSync("git", ["-C", root, "archive", revision], { maxBuffer: 2 ** 28 }))
    execFileSync("npm", ["pack", "--silent", "--pack-destination", work], {
      cwd: source,
      stdio: ["ignore", "ignore", "inherit"]
    })
    rmSync(source, { recursive: true })
    const packed = readdirSync(work).find((name) => name.endsWith(".tgz")) ?? ""
    const modules = join(work, "node_modules")
    mkdirSync(modules)
    tar(["-xzf", join(work, packed), "-C", modules])
    renameSync(join(modules, "package"), join(modules, "effect-saga"))
    // Not a part of the package of this checkout, whose name would be found first.
    writeFileSync(join(work, "package.json"), '{ "name": "former", "private": true, "type": "module" }\n')
    rmSync(folder, { recursive: true, force: true })
    renameSync(work, folder)
  }
  for (const file of [
    "living/living.program.ts",
    "living/Journal.ts",
    "living/Outside.ts",
    "living/Later.ts",
    "kill/Orders.ts"
  ]) {
    cpSync(join(root, "test", file), join(folder, "test", file))
  }
  return folder
}

/** A module of a former release, by its place in the package. Its types are those of the caller. */
export const load = <Module>(release: Release, file: string): Promise<Module> =>
  import(pathToFileURL(join(make(release), "node_modules/effect-saga/dist", file)).href)

/** Starts the program of these tests on a former release, on the Node that is installed here. */
export const start = (release: Release): Start => {
  const program = join(make(release), "test/living/living.program.ts")
  const { isWhole = false } = release
  return (order) =>
    Program.startBy(join(root, "node_modules/.bin/node"), program, JSON.stringify({ ...order, isLater: isWhole }))
}
