/**
 * What every `TransactionCommitter` must do where nobody objects, as tests: call `suite` in a test file with the layer to
 * be tested and the services that answer there. Needs `@effect/vitest`.
 */
import { randomUUID } from "node:crypto"
import { assert, type Vitest, layer as withLayer } from "@effect/vitest"
import { type Duration, Effect, type Layer, type Scope } from "effect"
import { type Transaction, TransactionCommitter } from "../ports/TransactionCommitter.ts"

/** `core`: one after the other; `concurrent`: at the same time; `recovery`: asked again, as after a crash. */
export type Part = "core" | "concurrent" | "recovery"

export interface Options {
  /** Default: all. */
  readonly parts?: ReadonlyArray<Part>
  /** Services that vote yes and acknowledge. Default: none. */
  readonly services?: ReadonlyArray<string>
  /** For building the layer. */
  readonly timeout?: Duration.Input
  /** For layers with real input and output: the tests get the real clock. */
  readonly excludeTestServices?: boolean
}

export const suite = <E>(
  name: string,
  layer: Layer.Layer<TransactionCommitter, E>,
  { parts = ["core", "concurrent", "recovery"], services = [], ...options }: Options = {}
): void =>
  withLayer(layer, options)(`TransactionCommitter: ${name}`, (it) => {
    if (parts.includes("core")) core(it.effect, services)
    if (parts.includes("concurrent")) concurrent(it.effect, services)
    if (parts.includes("recovery")) recovery(it.effect, services)
  })

type Test = Vitest.Test<TransactionCommitter | Scope.Scope>

const transaction = (services: ReadonlyArray<string>): Transaction => ({
  uuid: randomUUID(),
  coordinator: "orders",
  services: [...services].sort(),
  effects: Object.fromEntries(services.map((service) => [service, ["0"]])),
  notAfter: 0
})

const core = (test: Test, services: ReadonlyArray<string>): void => {
  test("G5 reserves and commits where all are in favour", () =>
    Effect.gen(function* () {
      const committer = yield* TransactionCommitter
      const all = transaction(services)
      yield* committer.reserve(all)
      yield* committer.commit(all)
    }))

  test("G5 rejects what is reserved, and what is not", () =>
    Effect.gen(function* () {
      const committer = yield* TransactionCommitter
      const reserved = transaction(services)
      yield* committer.reserve(reserved)
      yield* committer.reject(reserved)
      yield* committer.reject(transaction(services))
    }))

  test("TPC-009 succeeds at once without services", () =>
    Effect.gen(function* () {
      const committer = yield* TransactionCommitter
      yield* committer.reserve(transaction([]))
      yield* committer.commit(transaction([]))
      yield* committer.reject(transaction([]))
    }))

  test("enrols somebody if it is tested with services", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* TransactionCommitter).enrols, services.length > 0)
    }))
}

const concurrent = (test: Test, services: ReadonlyArray<string>): void => {
  test("keeps transactions at the same time apart", () =>
    Effect.gen(function* () {
      const committer = yield* TransactionCommitter
      yield* Effect.forEach(
        Array.from({ length: 16 }, () => transaction(services)),
        (each, i) =>
          Effect.andThen(committer.reserve(each), i % 2 === 0 ? committer.commit(each) : committer.reject(each)),
        { concurrency: "unbounded", discard: true }
      )
    }))

  test("gives one result to all who ask for the same at the same time", () =>
    Effect.gen(function* () {
      const committer = yield* TransactionCommitter
      const all = transaction(services)
      const thrice = (call: Effect.Effect<void, unknown>) =>
        Effect.all([call, call, call], { concurrency: "unbounded", discard: true })
      yield* thrice(committer.reserve(all))
      yield* thrice(committer.commit(all))
    }))
}

const recovery = (test: Test, services: ReadonlyArray<string>): void => {
  test("gives the same result when it is asked again", () =>
    Effect.gen(function* () {
      const committer = yield* TransactionCommitter
      const committed = transaction(services)
      yield* Effect.repeat(committer.reserve(committed), { times: 2 })
      yield* Effect.repeat(committer.commit(committed), { times: 2 })
      const rejected = transaction(services)
      yield* committer.reserve(rejected)
      yield* Effect.repeat(committer.reject(rejected), { times: 2 })
    }))
}
