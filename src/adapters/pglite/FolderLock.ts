/**
 * Lets one process at a time use a folder. The lock is a file that names its holder, and is made together with its content or
 * not at all. A lock whose process is gone is stale. A process that replaces a stale lock holds a second lock, named after
 * the stale one, so that only one process replaces it, wherever others are killed.
 */
import { randomUUID } from "node:crypto"
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import process from "node:process"
import { Effect, Option, Result, Schema } from "effect"
import { line } from "../../wire/OneLine.ts"

const Holder = Schema.Struct({
  token: Schema.String,
  pid: Schema.Int,
  host: Schema.String,
  /** When the process began: tells it from an earlier one with the same pid. Empty where the system does not say. */
  started: Schema.String
})
type Holder = typeof Holder.Type

/** Another process has the folder, or a lock file that cannot be read is in the way. */
export class PgliteFolderLocked extends Schema.TaggedError<PgliteFolderLocked>()("PgliteFolderLocked", {
  folder: Schema.String,
  /** The lock. Remove this file if you know that its process is gone. */
  file: Schema.String,
  pid: Schema.Int,
  host: Schema.String
}) {
  override get message(): string {
    return line`The folder ${this.folder} is used by process ${this.pid} on ${this.host} (${this.file})`
  }
}

const json = Schema.fromJsonString(Holder)
const encode = Schema.encodeSync(json)
const decode = Schema.decodeUnknownOption(json)

const attempt = <A>(run: () => A): Result.Result<A, unknown> => Result.try({ try: run, catch: (cause) => cause })

const isCode = (code: string) => (cause: unknown) =>
  typeof cause === "object" && cause !== null && "code" in cause && cause.code === code

const text = (file: string): string =>
  Result.getOrElse(
    attempt(() => readFileSync(file, "utf8")),
    () => ""
  )

/** When the machine and the process began. Only Linux tells it without starting another process. */
const startOf = (pid: number): string => {
  // The name of the program, in parentheses, may contain spaces and parentheses.
  const stat = text(`/proc/${pid}/stat`)
  const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const started = fields[18]
  // A zombie (Z) has ended.
  if (started === undefined || state === "Z") return ""
  return `${text("/proc/sys/kernel/random/boot_id").trim()}/${started}`
}

/** Whether the holder runs. A process on another machine cannot be checked and counts as alive. */
const isAlive = ({ host, pid, started }: Holder): boolean => {
  if (host !== hostname()) return true
  const signal = attempt(() => process.kill(pid, 0))
  // EPERM: the process exists and belongs to another user.
  if (Result.isFailure(signal) && !isCode("EPERM")(signal.failure)) return false
  return started === "" || started === startOf(pid)
}

/** Makes the lock file. False if it exists already. */
const create = (file: string, holder: Holder): boolean => {
  const draft = `${file}.${holder.token}.new`
  writeFileSync(draft, encode(holder), { flag: "wx" })
  const linked = attempt(() => linkSync(draft, file))
  rmSync(draft)
  if (Result.isSuccess(linked)) return true
  if (isCode("EEXIST")(linked.failure)) return false
  throw linked.failure
}

/** The holder in a lock file; none if the file cannot be read, which only a person may remove; undefined without a file. */
const read = (file: string): Option.Option<Holder> | undefined => {
  const content = attempt(() => readFileSync(file, "utf8"))
  if (Result.isSuccess(content)) return decode(content.success)
  if (isCode("ENOENT")(content.failure)) return undefined
  throw content.failure
}

const unreadable: Holder = { token: "", pid: 0, host: "", started: "" }

const isMine = (file: string, { token }: Holder): boolean => {
  const found = read(file)
  return found !== undefined && Option.isSome(found) && found.value.token === token
}

/** Takes the lock. Gives the other holder if it cannot. */
const take = (file: string, holder: Holder): Holder | undefined => {
  while (true) {
    if (create(file, holder)) return undefined
    const found = read(file)
    // The file was removed in the meantime.
    if (found === undefined) continue
    const other = Option.getOrElse(found, () => unreadable)
    if (other.token === "" || isAlive(other)) return other
    const claim = `${file}.${other.token}`
    const rival = take(claim, holder)
    if (rival !== undefined) return rival
    const stale = isMine(file, other)
    if (stale) {
      const draft = `${file}.${holder.token}.new`
      writeFileSync(draft, encode(holder), { flag: "wx" })
      renameSync(draft, file)
    }
    rmSync(claim)
    if (stale) return undefined
  }
}

/** Holds the lock until the scope closes. `fail` makes the error where the file cannot be written. */
export const acquire = <E>(folder: string, file: string, fail: (cause: unknown) => E) =>
  Effect.acquireRelease(
    Effect.suspend((): Effect.Effect<Holder, E | PgliteFolderLocked> => {
      const holder = { token: randomUUID(), pid: process.pid, host: hostname(), started: startOf(process.pid) }
      const other = attempt(() => take(file, holder))
      if (Result.isFailure(other)) return Effect.fail(fail(other.failure))
      const { success: found } = other
      return found === undefined
        ? Effect.succeed(holder)
        : Effect.fail(new PgliteFolderLocked({ folder, file, pid: found.pid, host: found.host }))
    }),
    (holder) =>
      Effect.sync(() => {
        if (
          Result.getOrElse(
            attempt(() => isMine(file, holder)),
            () => false
          )
        )
          rmSync(file, { force: true })
      })
  )
