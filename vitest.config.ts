import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { configDefaults, defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

// Node keeps what it has compiled for the next file of tests, and for the programs that tests start. It counts less exactly then.
if (!process.argv.includes("--coverage")) process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), "effect-saga-compiled")

// A file that gets the results as JSON, besides what people read.
const { SAGA_TEST_REPORT: report } = process.env

/** Files that start programs take longest, and are short as text: begun last, they would run alone at the end. */
const startsPrograms = /\/(?:test\/kill\/|test\/examples\.|examples\/order\/)/

/**
 * What no runtime can change, and takes long or compares texts: searches through pure functions, what a database or a broker does,
 * releases side by side. It runs once, on Node.
 */
const sameOnEveryRuntime = [
  "test/{apiReport,architecture,architecture.docs,conformance,docs,errors.docs,package}.test.ts",
  "test/mutants/**",
  "test/**/*laws.test.ts",
  "test/**/*model.test.ts",
  "test/ownership/**",
  "test/participant/ParticipantDecision.test.ts",
  "test/orchestrator/{schemaChange,oddValues,signalTable}.test.ts",
  "test/chaos/**",
  "test/living/**",
  "test/upgrade/**",
  "test/kill/money.test.ts",
  "test/adapters/keyvalue/**",
  "test/adapters/pglite/virtualTime.test.ts",
  "test/adapters/sql/{plans,listing,waiting,lostLease,transactionalRetry,unreadable,storedColumns,participantColumns}.test.ts",
  "test/adapters/mqtt/{tooLarge,instances,acl,faults}.test.ts"
]
const isNode = !("bun" in process.versions || "deno" in process.versions)

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
    exclude: isNode ? configDefaults.exclude : [...configDefaults.exclude, ...sameOnEveryRuntime],
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
    // Files share what they import, as their tests share no state: to load it again for each file takes as long as the tests.
    isolate: false,
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
