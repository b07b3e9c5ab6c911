/**
 * One process at a time has a folder. The lock is a file that says who has it, and appears with its content or not at
 * all. One whose process is gone is stale: whoever takes it over holds a lock named after it meanwhile, so that of several
 * only one does, wherever the others are killed.
 */
import { randomUUID } from "node:crypto"
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import process from "node:process"
import { Effect, Option, Result, Schema } from "effect"

const Holder = Schema.Struct({
  token: Schema.String,
  pid: Schema.Int,
  host: Schema.String,
  /** Tells a process from an earlier one with the same pid; empty where the system does not say. */
  started: Schema.String
})
type Holder = typeof Holder.Type

/** Somebody else has the folder. */
export class PgliteFolderLocked extends Schema.TaggedError<PgliteFolderLocked>()("PgliteFolderLocked", {
  folder: Schema.String,
  /** The file to remove, if its process is known to be gone. */
  file: Schema.String,
  pid: Schema.Int,
  host: Schema.String
}) {
  override get message(): string {
    return `The folder ${this.folder} is used by process ${this.pid} on ${this.host} (${this.file})`
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

/** When the machine and the process began. Only Linux says it without another process. */
const startOf = (pid: number): string => {
  // The name of the program, in parentheses, may contain anything.
  const stat = text(`/proc/${pid}/stat`)
  const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const started = fields[18]
  // A zombie only waits for its parent to notice.
  if (started === undefined || state === "Z") return ""
  return `${text("/proc/sys/kernel/random/boot_id").trim()}/${started}`
}

/** Of a process on another machine nothing is known: it counts as alive. */
const isAlive = ({ host, pid, started }: Holder): boolean => {
  if (host !== hostname()) return true
  const signal = attempt(() => process.kill(pid, 0))
  // A process of another user is there too.
  if (Result.isFailure(signal) && !isCode("EPERM")(signal.failure)) return false
  return started === "" || started === startOf(pid)
}

/** True if the file was not there. */
const create = (file: string, holder: Holder): boolean => {
  const draft = `${file}.${holder.token}.new`
  writeFileSync(draft, encode(holder), { flag: "wx" })
  const linked = attempt(() => linkSync(draft, file))
  rmSync(draft)
  if (Result.isSuccess(linked)) return true
  if (isCode("EEXIST")(linked.failure)) return false
  throw linked.failure
}

/** Undefined if the file is not there, or says nothing that can be read: only a person may judge that. */
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

/** Whoever has the file instead. */
const take = (file: string, holder: Holder): Holder | undefined => {
  while (true) {
    if (create(file, holder)) return undefined
    const found = read(file)
    // It has gone in the meantime.
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

/** Holds the lock until the scope closes. `fail` says why the file cannot be made. */
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
