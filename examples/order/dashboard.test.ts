/** `npm start -- --dashboard`: its address is printed, and it shows the orders while the orchestrator is killed under it. */
import type { ChildProcess } from "node:child_process"
import { writeFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import { data, file, lines, prepare, run, timeout } from "./program.ts"

/** The part of the dashboard's answer that is looked at. */
const Overview = Schema.Struct({
  sagas: Schema.Array(
    Schema.Struct({ counts: Schema.Array(Schema.Struct({ shown: Schema.String, count: Schema.Int })) })
  ),
  processes: Schema.Array(Schema.Struct({ name: Schema.String, alive: Schema.Boolean }))
})
type Overview = typeof Overview.Type

/** The overview, with the cookie for which the address is exchanged. Undefined: it does not answer now. */
const overviewAt = async (address: string): Promise<Overview | undefined> => {
  try {
    const entry = await fetch(address, { redirect: "manual" })
    const cookie = (entry.headers.get("set-cookie") ?? "").split(";")[0] ?? ""
    const answer = await fetch(new URL("/api/overview", address), { headers: { cookie } })
    return answer.ok ? Schema.decodeUnknownSync(Overview)(await answer.json()) : undefined
  } catch {
    return undefined
  }
}

const ended = ({ sagas }: Overview): number =>
  sagas
    .flatMap(({ counts }) => counts)
    .filter(({ shown }) => shown === "finished" || shown === "undone")
    .reduce((sum, { count }) => sum + count, 0)

/** A look at the dashboard takes the one connection of the database, which the orders need too. The first life is short. */
const between = (looks: ReadonlyArray<Overview>): number =>
  looks.some(({ processes }) => processes.some(({ alive }) => alive)) ? 500 : 50

prepare()

it(
  "the dashboard of the order business has one address, whatever becomes of the orchestrator",
  async () => {
    const orders = lines.slice(0, 12)
    writeFileSync(file("few.ndjson"), orders.join("\n"))
    const looks: Array<Overview> = []
    let address: string | undefined
    let isOver = false
    const look = async (at: string): Promise<void> => {
      while (!isOver) {
        const found = await overviewAt(at)
        if (found !== undefined) looks.push(found)
        await new Promise((resolve) => setTimeout(resolve, between(looks)))
      }
    }
    // The services stay until somebody has looked, and pressed Enter.
    const lookLast = async (child: ChildProcess): Promise<void> => {
      const last = await overviewAt(address ?? "")
      if (last !== undefined) looks.push(last)
      child.stdin?.write("\n")
    }
    const watch = (said: string, child: ChildProcess): void => {
      if (address === undefined) {
        address = /^The dashboard, once the orders are up: (http:\/\/127\.0\.0\.1:\S+)\n/.exec(said)?.[1]
        if (address !== undefined) void look(address)
      }
      if (isOver || !said.includes("press Enter")) return
      isOver = true
      void lookLast(child)
    }
    const args = ["--orders", file("few.ndjson"), "--data", data("dashboard"), "--crash", "1", "--dashboard", "--json"]
    const { code, stderr, stdout } = await run(args, watch, true)
    assert.strictEqual(code, 0, stderr)
    assert.strictEqual(JSON.parse(stdout).crashes, 1)
    // Both lives of the orchestrator have answered at the address that was printed before the first one.
    const lives = new Set(looks.flatMap(({ processes }) => processes.find(({ alive }) => alive)?.name ?? []))
    assert.strictEqual(lives.size, 2, stderr)
    assert.isTrue(looks.some((one) => ended(one) < orders.length))
    assert.strictEqual(ended(looks.at(-1)!), orders.length)
  },
  2 * timeout
)
