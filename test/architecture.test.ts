/**
 * The rules that types cannot hold: which room may know which, and where plain JavaScript owes its reader a reason.
 * The tests read the text of `src/`; a broken rule names the file with the guilty import or line.
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

/** Each room and the rooms that it may import from, besides itself. */
const rooms: { readonly [room: string]: ReadonlyArray<string> } = {
  wire: [],
  definition: ["wire"],
  "execution/rules": ["wire", "definition"],
  "execution/view": ["wire", "definition", "execution/rules"],
  ports: ["wire", "definition", "execution/rules", "execution/view"],
  tooling: ["wire", "definition", "execution/rules", "execution/view"],
  adapters: ["wire", "definition", "execution/rules", "execution/view", "ports"],
  participant: ["wire", "definition", "execution/rules", "execution/view", "ports"],
  orchestrator: ["wire", "definition", "execution/rules", "execution/view", "ports"],
  console: ["wire", "definition", "execution/rules", "execution/view", "ports", "tooling", "orchestrator"],
  testing: [
    "wire",
    "definition",
    "execution/rules",
    "execution/view",
    "ports",
    "tooling",
    "participant",
    "orchestrator"
  ]
}

const entryPoint = "entry point"

/** The room of a file; the files directly in `src/` and its front are the package's entry points, which see every room. */
const roomOf = (file: string): string | undefined =>
  file.includes("/") && !file.startsWith("front/")
    ? Object.keys(rooms).find((room) => file.startsWith(`${room}/`))
    : entryPoint

const importsOf = ({ code, file }: { readonly code: string; readonly file: string }) =>
  Array.from(code.matchAll(/\b(?:from|import)\s*\(?\s*"(\.[^"]+|effect-saga\b[^"]*)"/g), ([, to = ""]) =>
    to.startsWith(".") ? join(dirname(file), to) : to
  )

it("knows the room of every file", () => {
  const homeless = files.map(({ file }) => file).filter((file) => roomOf(file) === undefined)
  assert.deepStrictEqual(homeless, [])
})

it("imports only from rooms to its left", () => {
  const wrong = files.flatMap((from) => {
    const room = roomOf(from.file) ?? ""
    const allowed = room === entryPoint ? [...Object.keys(rooms), entryPoint] : [room, ...(rooms[room] ?? [])]
    return importsOf(from)
      .filter((to) => !allowed.includes(roomOf(to) ?? ""))
      .map((to) => `${from.file} imports ${to}`)
  })
  assert.deepStrictEqual(wrong, [])
})

it("lists in the front which names of a file are public, and defines nothing there", () => {
  const wrong = files.filter(({ code, file }) => {
    const exports = code.replaceAll(/export (?:type )?\{[^}]*\} from "[^"]*"/g, "").trim()
    return file.startsWith("front/") && exports !== ""
  })
  assert.deepStrictEqual(
    wrong.map(({ file }) => file),
    []
  )
})

it("has no circle of imports", () => {
  const imports = new Map(files.map((from) => [from.file, importsOf(from)]))
  const circles: Array<string> = []
  const done = new Set<string>()
  const visit = (file: string, way: ReadonlyArray<string>): void => {
    const at = way.indexOf(file)
    if (at >= 0) circles.push([...way.slice(at), file].join(" > "))
    if (at >= 0 || done.has(file)) return
    for (const to of imports.get(file) ?? []) visit(to, [...way, file])
    done.add(file)
  }
  for (const { file } of files) visit(file, [])
  assert.deepStrictEqual(circles, [])
})

it("keeps the rules of an execution small enough to be read in one sitting", () => {
  const lines = files
    .filter(({ file }) => roomOf(file) === "execution/rules")
    .flatMap(({ code }) => code.split("\n").filter((line) => line.trim() !== ""))
  assert.isAtMost(lines.length, 3_200)
})

it("keeps every file under 450 lines", () => {
  const long = files.flatMap(({ file, text }) => {
    const lines = text.split("\n").length - 1
    return lines > 450 ? [`${file}: ${lines}`] : []
  })
  assert.deepStrictEqual(long, [])
})

it("starts every loop in ports/Loop.ts, which no defect ends (I29)", () => {
  const wrong = files
    .filter(({ file }) => file !== "ports/Loop.ts" && roomOf(file) !== "testing")
    .flatMap(({ code, file }) =>
      Array.from(code.matchAll(/Effect\.forever|Effect\.forkScoped\(|Schedule\.forever/g), ([it]) => `${file}: ${it}`)
    )
  // Work that is done once, in the background.
  assert.deepStrictEqual(wrong, [
    "adapters/mqtt/MqttBroker.ts: Effect.forkScoped(",
    "orchestrator/ManagerLive.ts: Effect.forkScoped("
  ])
})

it("runs no effect in wire, definition and execution", () => {
  const pure = ["wire", "definition", "execution/rules", "execution/view"]
  const wrong = files
    .filter(({ file }) => pure.includes(roomOf(file) ?? ""))
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
