/**
 * The rules that types cannot hold: which room may know which, and where plain JavaScript owes its reader a reason.
 * They read the text of `src/`; a broken rule names the file with the guilty import or line.
 */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path/posix"
import { assert, it } from "@effect/vitest"

const strings = /"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g
const stringsAndComments = new RegExp(`${strings.source}|/\\*[^]*?\\*/|//.*`, "g")
const blank = (text: string) => text.replaceAll(/[^\n]/g, " ")

const src = new URL("../src/", import.meta.url)
const files = readdirSync(src, { encoding: "utf8", recursive: true })
  .map((file) => file.replaceAll("\\", "/"))
  .filter((file) => file.endsWith(".ts"))
  .sort()
  .map((file) => {
    const text = readFileSync(new URL(file, src), "utf8")
    return { file, text, code: text.replaceAll(stringsAndComments, (it) => (it.startsWith("/") ? blank(it) : it)) }
  })

// The files directly in `src/` are the package's entry points: the last room, which sees every other.
const rooms = ["definition", "execution", "ports", "runtime", "adapters", "tooling", "."]
const roomOf = (file: string) => rooms.indexOf(dirname(file).split("/")[0] ?? "")

it("knows the room of every file", () => {
  const homeless = files.map(({ file }) => file).filter((file) => roomOf(file) === -1)
  assert.deepStrictEqual(homeless, [])
})

it("imports from its own room and from rooms to its left", () => {
  const wrong = files.flatMap(({ code, file }) =>
    Array.from(code.matchAll(/\b(?:from|import)\s*\(?\s*"(\.[^"]+|effect-saga\b[^"]*)"/g), ([, to = ""]) => to)
      .filter((to) => {
        const room = to.startsWith(".") ? roomOf(join(dirname(file), to)) : -1
        return room === -1 || room > roomOf(file)
      })
      .map((to) => `${file} imports ${to}`)
  )
  assert.deepStrictEqual(wrong, [])
})

it("runs no effect in definition and execution", () => {
  const wrong = files
    .filter(({ file }) => roomOf(file) <= rooms.indexOf("execution"))
    .flatMap(({ code, file }) =>
      Array.from(
        code.matchAll(/\brun(?:Promise|Sync|Fork|Callback)\w*|\bManagedRuntime\b/g),
        ([it]) => `${file}: ${it}`
      )
    )
  assert.deepStrictEqual(wrong, [])
})

// A reason is a comment of a few words on the line or on the one above it. For casts it may also stand once, in the
// comment at the head of the file, in a line that starts with "Casts:".
it("gives a reason for promises, exceptions, clocks and casts", () => {
  const reason = /\/[/*]+ \S+ \S+|^ *\*+ \S+ \S+/
  const cast = /\bas any\b|\b(?:const|let) \w+: any\b|\): any (?:=>|\{)/
  const plain = /\basync\b|\btry \{|\bDate\.now\b|\bnew Date\(\)/
  const wrong = files.flatMap(({ code, file, text }) => {
    const lines = text.split("\n")
    const excused = /^ \* Casts: \S/m.test(text.slice(0, text.indexOf("*/")))
    return code
      .replaceAll(strings, blank)
      .split("\n")
      .flatMap((line, at) =>
        (plain.test(line) || (!excused && cast.test(line))) &&
        !reason.test(lines[at] ?? "") &&
        !reason.test(lines[at - 1] ?? "")
          ? [`${file}:${at + 1}: ${line.trim()}`]
          : []
      )
  })
  assert.deepStrictEqual(wrong, [])
})
