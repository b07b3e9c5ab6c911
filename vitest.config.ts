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
 * releases side by side. It runs once, on Node, and elsewhere where it is named.
 */
const sameOnEveryRuntime = [
  "test/{apiReport,architecture,architecture.docs,conformance,docs,errors.docs,package}.test.ts",
  "test/mutants/**",
  "test/**/*laws.test.ts",
  "test/**/*model.test.ts",
  "test/ownership/**",
  "test/participant/ParticipantDecision.test.ts",
  "test/console/{accidents,bin,buckets,commands,processes}.test.ts",
  "test/orchestrator/{schemaChange,oddValues,signalTable}.test.ts",
  "test/chaos/**",
  "test/living/**",
  "test/upgrade/**",
  "test/telemetry/**",
  "test/kill/money.test.ts",
  "test/adapters/keyvalue/**",
  "test/console/dashboard/{accidents,browser,manyDatabases,manyRows,page}.test.ts",
  "test/adapters/pglite/virtualTime.test.ts",
  "test/console/dashboard/replicas.test.ts",
  "test/adapters/sql/{plans,listing,waiting,lostLease,transactionalRetry,unreadable,storedColumns,participantColumns}.test.ts",
  "test/adapters/mqtt/{tooLarge,instances,acl,faults}.test.ts",
  "test/takeover/**",
  "test/adapters/cluster/**",
  "test/adapters/nats/{faults,permissions,instances}.test.ts",
  "test/adapters/http/python.test.ts"
]

/** What takes long, and few changes touch: on Node `npm run test:long` runs it, and `npm test` does not. */
const long = [
  "examples/order/stops.test.ts",
  "test/upgrade/**/*.test.ts",
  "test/ownership/*.test.ts",
  "test/takeover/*.test.ts",
  "test/adapters/cluster/*.test.ts",
  "test/kill/*.test.ts",
  "test/adapters/{keyvalue,nats}/*.test.ts",
  "test/adapters/mqtt/{faults,instances,tooLarge}.test.ts",
  "test/adapters/pglite/{PgliteClient,virtualTime}.test.ts",
  "test/adapters/sql/{frozenServer,participantColumns,participantProcesses,plans,queueAdmission,slowCommand,storedColumns}.test.ts",
  "examples/order/dashboard.test.ts",
  "test/console/bin.test.ts",
  "test/console/dashboard/{accidents,browser,manyRows,replicas}.test.ts",
  "test/orchestrator/oddValues.test.ts",
  "test/participant/later.model.test.ts",
  "test/testing/SagaTest.itemValues.test.ts"
]
const isLong = process.env.SAGA_TEST_LONG !== undefined
/** No file is named on the command line: one that is named runs. */
const isWhole = process.argv
  .slice(2)
  .every((argument) => ["run", "list"].includes(argument) || argument.startsWith("-"))
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
    include: isLong ? long : ["{test,examples}/**/*.test.ts"],
    // Bun and Deno run of the long ones what depends on the runtime.
    exclude: [
      ...configDefaults.exclude,
      ...(isNode ? (isWhole && !isLong ? long : []) : isWhole ? sameOnEveryRuntime : [])
    ],
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
    // Files share what they import, as their tests share no state: to load it again for each file takes as long as the tests.
    isolate: false,
    // vitest would leave one core to itself, also where there are two.
    maxWorkers: "100%",
    sequence: { sequencer: LongestFirst },
    // Of the tests of a file that say that they may run side by side: a server has a limited number of connections.
    maxConcurrency: 3,
    // Wide: a machine may have other work, and what hangs fails all the same.
    testTimeout: 300_000,
    hookTimeout: 300_000,
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
