import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

// Node keeps what it has compiled for the next file of tests, and for the programs that tests start. It counts less exactly then.
if (!process.argv.includes("--coverage")) process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), "effect-saga-compiled")

// A file that gets the results as JSON, besides what people read.
const { SAGA_TEST_REPORT: report } = process.env

/** Files that start programs take longest, and are short as text: begun last, they would run alone at the end. */
const startsPrograms = /\/(?:test\/kill\/|test\/examples\.|examples\/order\/)/

class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification) => startsPrograms.test(moduleId)
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}

export default defineConfig({
  // `effect-saga` imported by name is `src/`, never a `dist/` that may be out of date.
  ssr: { resolve: { conditions: ["effect-saga:source", "node"] } },
  test: {
    include: ["{test,examples}/**/*.test.ts"],
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
    // vitest would leave one core to itself, also where there are two.
    maxWorkers: "100%",
    sequence: { sequencer: LongestFirst },
    // Of the tests of a file that say that they may run side by side: a server has a limited number of connections.
    maxConcurrency: 3,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // `npm run coverage`: the rules are pure, so their own tests reach every line and branch of them.
    coverage: {
      provider: "v8",
      include: ["src/definition/**/*.ts", "src/execution/rules/**/*.ts"],
      reporter: ["text"],
      thresholds: { branches: 100, lines: 100 }
    },
    // Bun runs only vitest's threads, Deno only its forks, Node both.
    pool: "bun" in process.versions ? "threads" : "forks"
  }
})
