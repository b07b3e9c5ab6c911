/**
 * What the types cost: instantiations for sagas of 5, 20 and 100 steps of the same mix, without what the compiler
 * spends on a saga of one step. More than the budget fails; times are shown and never fail.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Report } from "./run.ts"

const budgets: Readonly<Record<string, number>> = JSON.parse(
  readFileSync(join(import.meta.dirname, "budgets.json"), "utf8")
).types

const step = (i: number): string => {
  const previous = i === 0 ? "start" : `s${i - 1}`
  switch (i % 5) {
    case 0:
    case 1:
      return `Saga.local("s${i}", {
        success: Schema.Int,
        error: Failed,
        execute: ({ ${previous} }) => Effect.succeed(${previous} + 1),
        compensate: { run: ({ s${i} }) => Effect.log(s${i}), unknown: ({ ${previous} }) => Effect.log(${previous}) },
        timeout: "1 second",
        retry: { times: 3, on: ["Failed"] }
      })`
    case 2:
      return `Saga.remote("s${i}", {
        success: Schema.Int,
        execute: { command: P.commands.Do, payload: ({ ${previous} }) => ({ n: ${previous} }) },
        onSuccess: (reply) => Effect.succeed(reply.m),
        compensate: { command: P.commands.Undo, payload: ({ s${i} }) => ({ m: s${i}.m }) }
      })`
    case 3:
      return `Saga.conditional("c${i}", [
        Saga.ifThen(({ ${previous} }) => ${previous} > 1, Saga.remote("s${i}", {
          success: Schema.Int,
          execute: { target: "p/do", content: ({ ${previous} }) => ${previous} }
        })),
        Saga.elseThen((branch) => branch.pipe(
          Saga.local("s${i}", { success: Schema.Int, execute: () => Effect.succeed(1) }),
          Saga.local("b${i}", { success: Schema.Int, execute: ({ s${i} }) => Effect.succeed(s${i}) })
        ))
      ])`
    default:
      return `Saga.parallel("p${i}", {
        l: Saga.local("s${i}", { success: Schema.Int, execute: ({ ${previous} }) => Effect.succeed(${previous}) }),
        r: ${i % 10 === 4 ? items(i, previous) : `Saga.local("r${i}", { success: Schema.Int, execute: () => Effect.succeed(1) })`}
      })`
  }
}

const items = (i: number, previous: string): string => `Saga.forEach("r${i}", {
          items: ({ ${previous} }) => [${previous}],
          item: Schema.Int,
          as: "i${i}",
          steps: Saga.local("o${i}", { success: Schema.Int, execute: ({ i${i} }) => Effect.succeed(i${i}) })
        })`

/** In pipes of 20: a pipe takes no more arguments. */
const pipes = (steps: number): string =>
  Array.from({ length: Math.ceil(steps / 20) }, (_, pipe) => {
    const arguments_ = Array.from({ length: Math.min(20, steps - pipe * 20) }, (_, i) => step(pipe * 20 + i))
    return `.pipe(${arguments_.join(",\n")})`
  }).join("")

const source = (steps: number): string => `import { Effect, Schema } from "effect"
import * as Participant from "../../src/definition/ParticipantContract.ts"
import * as Saga from "../../src/definition/Saga.ts"
class Failed extends Schema.TaggedError<Failed>()("Failed", {}) {}
const P = Participant.make("p", {
  Do: { payload: { n: Schema.Int }, success: Schema.Struct({ m: Schema.Int }), error: Failed },
  Undo: { payload: { m: Schema.Int } }
})
export const saga = Saga.make("Big", { context: { start: Schema.Int } }).pipe(
  Saga.local("first", { execute: () => Effect.void })
)${pipes(steps)}.pipe(Saga.commit)
export const context = null as unknown as Saga.Context<typeof saga>
void P
`

const tsc = join(import.meta.dirname, "../node_modules/typescript/bin/tsc")

const measure = (steps: number) => {
  const directory = mkdtempSync(join(import.meta.dirname, ".types-"))
  try {
    writeFileSync(join(directory, "saga.ts"), source(steps))
    writeFileSync(
      join(directory, "tsconfig.json"),
      JSON.stringify({ extends: "../../tsconfig.json", include: ["saga.ts"] })
    )
    const output = execFileSync(process.execPath, [tsc, "-p", directory, "--extendedDiagnostics"], { encoding: "utf8" })
    const read = (name: string): number => {
      const [, value = ""] = output.match(new RegExp(`${name}:\\s+([\\d.,]+)`)) ?? []
      return Number.parseFloat(value.replaceAll(",", ""))
    }
    return { instantiations: read("Instantiations"), types: read("Types"), seconds: read("Check time") }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

export const run = async (): Promise<Report> => {
  const empty = measure(0)
  const rows = Object.entries(budgets).map(([steps, budget]) => {
    const { instantiations, seconds, types } = measure(Number(steps))
    return {
      steps: Number(steps),
      instantiations: instantiations - empty.instantiations,
      budget,
      types: types - empty.types,
      seconds
    }
  })
  const failures = rows
    .filter(({ budget, instantiations }) => !(instantiations <= budget))
    .map((row) => `${row.steps} steps take ${row.instantiations} type instantiations, budget ${row.budget}`)
  return { rows, failures }
}
