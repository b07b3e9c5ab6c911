/**
 * How long an execution stands when its process is killed or frozen in the middle of its work, until another process goes on with it.
 * `npm run chaos:takeover` does it 20 times each and says the times; `SAGA_LEASE` and `SAGA_RECOVERY_INTERVAL` (milliseconds) are other
 * settings than the defaults, and `SAGA_OWNERSHIP` is `leases` or `cluster` where it is not both. The times are printed, and judged
 * only there: a busy machine may take longer.
 */
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import { url } from "../fixtures/postgres.ts"
import * as Program from "../kill/Program.ts"
import { settled, started, withDatabase } from "./processes.ts"

const runs = Number(process.env.SAGA_TAKEOVERS ?? 1)
const given = (name: string) => (process.env[name] === undefined ? undefined : Number(process.env[name]))
const lease = given("SAGA_LEASE")
const recoveryInterval = given("SAGA_RECOVERY_INTERVAL")
const settings = { ...(lease !== undefined && { lease }), ...(recoveryInterval !== undefined && { recoveryInterval }) }
/** Milliseconds within which it must be taken over, in the long form. */
const limit = given("SAGA_TAKEOVER_LIMIT")
const chosen = process.env.SAGA_OWNERSHIP
const ownerships = (["leases", "cluster"] as const).filter((it) => chosen === undefined || chosen === it)

/** A step takes longer than what a process prints needs to be read. */
const pace = 50
/** More than are done before the takeover, and fewer than would outlast the next one. */
const steps = 120

const seconds = (millis: number): string => `${(millis / 1_000).toFixed(1)} s`

/** The number of the next step of the execution that the process begins. */
const nextStep = (program: Program.Program, uuid: string) =>
  Effect.map(Program.printed(program, `step ${uuid} `), Number)

const summary = (what: string, times: ReadonlyArray<number>): void => {
  const sorted = [...times].sort((a, b) => a - b)
  console.log(
    `${what}: half ${seconds(sorted[sorted.length >> 1]!)}, worst ${seconds(sorted.at(-1)!)}, of ${times.length}`
  )
}

for (const ownership of url === undefined ? [] : ownerships) {
  describe(`takeover with ${ownership}`, () => {
    const begun = (url: string) => started({ url, steps, pace, ...settings }, ownership)
    for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
      it.live(
        `C20 what a process was at work on goes on in another one after ${signal}, and its steps run once but for the one under way`,
        () =>
          withDatabase(
            Effect.fnUntraced(function* (url) {
              const times: Array<number> = []
              let [victim, other] = yield* Effect.all([begun(url), begun(url)], { concurrency: 2 })
              for (let n = 0; n < runs; n++) {
                const uuid = `run${n}`
                yield* settled([victim, other])
                yield* victim.say(`start ${uuid}`)
                while ((yield* nextStep(victim, uuid)) < 2) {}
                yield* victim.signal(signal)
                const since = performance.now()
                const first = yield* nextStep(other, uuid)
                times.push(performance.now() - since)
                yield* Queue.clear(other.lines)
                const before =
                  (yield* Queue.clear(victim.lines)).filter((line) => line.startsWith(`step ${uuid} `)).length + 2
                assert.isAtLeast(first, Math.min(2, before))
                assert.isAtMost(first, before + 1)
                if (signal === "SIGSTOP") {
                  yield* victim.signal("SIGCONT")
                  // It hears that it has lost the execution: no step begins there any more, unless a cluster gives it back.
                  const next = `step ${uuid} ${yield* nextStep(other, uuid)}`
                  yield* Effect.sleep("1 second")
                  const begunBy = ({ lines }: Program.Program) =>
                    Effect.map(Queue.clear(lines), (all) => all.filter((line) => line.startsWith(`step ${uuid} `)))
                  const late = yield* begunBy(victim)
                  if (ownership === "leases") assert.deepStrictEqual(late, [])
                  const all = [next, ...(yield* begunBy(other)), ...late]
                  assert.deepStrictEqual(all, [...new Set(all)])
                } else
                  victim = yield* begun(url)
                  // What is left of it ends with its process.
                ;[victim, other] = [other, victim]
              }
              summary(
                `${ownership}, ${signal}, lease ${lease ?? "default"}, interval ${recoveryInterval ?? "default"}`,
                times
              )
              if (limit !== undefined) for (const time of times) assert.isAtMost(time, limit)
            })
          ),
        60_000 + runs * 60_000
      )
    }

    it.live(
      "the cost of a process that does nothing is said",
      () =>
        withDatabase(
          Effect.fnUntraced(function* (url, transactions) {
            const both = yield* Effect.all([begun(url), begun(url)], { concurrency: 2 })
            yield* settled(both)
            // A connection that has become idle tells Postgres within ten seconds what it has done, and one in use about every second.
            const [quiet, idle] = runs > 1 ? [12, 40] : [2, 3]
            yield* Effect.sleep(`${quiet} seconds`)
            const before = yield* transactions
            yield* Effect.sleep(`${idle} seconds`)
            const each = ((yield* transactions) - before) / idle / 2
            console.log(`${ownership}, idle: ${each.toFixed(1)} statements a second and process`)
            assert.isAbove(each, 0)
            // The goal is 4. A part of a second more or less is counted.
            if (limit !== undefined) assert.isAtMost(each, 4.2)
          })
        ),
      120_000
    )
  })
}
