import { defineConfig } from "vitest/config"

export default defineConfig({
  // `effect-saga` imported by name is `src/`, never a `dist/` that may be out of date.
  ssr: { resolve: { conditions: ["effect-saga:source", "node"] } },
  test: {
    include: ["{test,examples}/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A busy machine is one thing, a broken line another: CI looks a second time, and nobody else does.
    retry: process.env.CI === undefined ? 0 : 1,
    // Bun runs only vitest's threads, Deno only its forks, Node both.
    pool: "bun" in process.versions ? "threads" : "forks"
  }
})
