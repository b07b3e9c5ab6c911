import { defineConfig } from "vitest/config"

export default defineConfig({
  // `effect-saga` imported by name is `src/`, never a `dist/` that may be out of date.
  ssr: { resolve: { conditions: ["effect-saga:source", "node"] } },
  test: {
    include: ["{test,examples}/**/*.test.ts"],
    // vitest would leave one core to itself, also where there are two.
    maxWorkers: "100%",
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Bun runs only vitest's threads, Deno only its forks, Node both.
    pool: "bun" in process.versions ? "threads" : "forks"
  }
})
