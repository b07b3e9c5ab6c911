/**
 * The contract of `TransactionCommitter` where all services agree, as tests: call `suite` in a test file with the layer
 * to be tested and the services that answer there. Needs `@effect/vitest`.
 */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import { type Transaction, TransactionCommitter } from "../ports/TransactionCommitter.ts"
import * as Suite from "./Suite.ts"

export interface Options extends Suite.Options {
  /** Services that vote yes and acknowledge. Default: none. */
  readonly services?: ReadonlyArray<string>
}

/**
 * `core`: one transaction after the other; `concurrent`: several at the same time; `recovery`: a phase is asked for again,
 * as after a crash.
 */ export const suite = <E>(
  name: string,
  layer: Layer.Layer<TransactionCommitter, E>,
  { services = [], ...options }: Options = {}
): void =>
  Suite.register(
    `TransactionCommitter: ${name}`,
    layer,
    { core: core(services), concurrent: concurrent(services), recovery: recovery(services) },
    options
  )

type Test = Suite.Test<TransactionCommitter>

const transaction = (services: ReadonlyArray<string>): Transaction => ({
  uuid: randomUUID(),
  coordinator: "orders",
  services: [...services].sort(),
  effects: Object.fromEntries(services.map((service) => [service, ["0"]])),
  notAfter: 0
})

const core =
  (services: ReadonlyArray<string>) =>
  (test: Test): void => {
    test("G5 reserves and commits when all services agree", () =>
      Effect.gen(function* () {
        const committer = yield* TransactionCommitter
        const all = transaction(services)
        yield* committer.reserve(all)
        yield* committer.commit(all)
      }))

    test("G5 rejects a transaction that is reserved, and one that is not", () =>
      Effect.gen(function* () {
        const committer = yield* TransactionCommitter
        const reserved = transaction(services)
        yield* committer.reserve(reserved)
        yield* committer.reject(reserved)
        yield* committer.reject(transaction(services))
      }))

    test("TPC-009 a transaction without services succeeds at once", () =>
      Effect.gen(function* () {
        const committer = yield* TransactionCommitter
        yield* committer.reserve(transaction([]))
        yield* committer.commit(transaction([]))
        yield* committer.reject(transaction([]))
      }))

    test("enrols services if it is tested with services", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* TransactionCommitter).enrols, services.length > 0)
      }))
  }

const concurrent =
  (services: ReadonlyArray<string>) =>
  (test: Test): void => {
    test("keeps transactions apart that run at the same time", () =>
      Effect.gen(function* () {
        const committer = yield* TransactionCommitter
        yield* Effect.forEach(
          Array.from({ length: 16 }, () => transaction(services)),
          (each, i) =>
            Effect.andThen(committer.reserve(each), i % 2 === 0 ? committer.commit(each) : committer.reject(each)),
          { concurrency: "unbounded", discard: true }
        )
      }))

    test("gives the same result to all callers that ask for one transaction at the same time", () =>
      Effect.gen(function* () {
        const committer = yield* TransactionCommitter
        const all = transaction(services)
        const thrice = (call: Effect.Effect<void, unknown>) =>
          Effect.all([call, call, call], { concurrency: "unbounded", discard: true })
        yield* thrice(committer.reserve(all))
        yield* thrice(committer.commit(all))
      }))
  }

const recovery =
  (services: ReadonlyArray<string>) =>
  (test: Test): void => {
    test("a phase that is asked for again gives the same result", () =>
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
