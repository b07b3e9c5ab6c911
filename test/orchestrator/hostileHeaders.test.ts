/**
 * I19, I29: hostile headers and users of the request that a caller serves, as a server for HTTP may hand them on. A start is taken or a
 * typed error; what is stored can be read again, and each message that leaves can be read by its receiver.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Ref } from "effect"
import { Broker, type ParticipantStore, RequestContext, SagaExecution, SagaManager, transactional } from "effect-saga"
import { hostile, hostileInCode } from "../fixtures/hostile.ts"
import { agreeable, CreateOrder, context, start } from "../fixtures/manager.ts"
import { makeBench } from "../participant/byHand.ts"

const everything = [
  ...hostile,
  ...hostileInCode,
  // As HTTP gives a header that comes twice.
  ["a list of texts", ["a", "b"]],
  ["257 KiB", "x".repeat(257 * 1_024)],
  ["1,000 names", Array.from({ length: 1_000 }, (_, i) => `s${i}`).join(",")],
  ["uuids that are none", "1,2,,3"],
  ["the uuid of nobody", "01890000-0000-7000-8000-000000000001"]
] as ReadonlyArray<readonly [string, unknown]>

/** Headers with a hostile value, or a hostile name, in each place. */
const places: Readonly<Record<string, (value: any) => unknown>> = {
  "a header": (value) => ({ tenant: "acme", other: value }),
  "the name of a header": (value) => ({ tenant: "acme", [typeof value === "symbol" ? "symbol" : `${value}`]: "x" }),
  transactions: (value) => ({ tenant: "acme", transactions: value }),
  related_services: (value) => ({ tenant: "acme", related_services: value }),
  keep_until: (value) => ({ tenant: "acme", keep_until: value }),
  "a user in a header": (value) => ({ tenant: "acme", user: value }),
  "the headers": (value) => value
}
const cases = Object.entries(places).flatMap(([place, headersOf]) =>
  everything.flatMap(([name, value]) => {
    // A value without a text makes no name.
    const isNamed = place !== "the name of a header" || (value !== null && typeof value !== "object")
    return isNamed ? [[`${place}: ${name}`, headersOf(value)] as const] : []
  })
)

cases.push(["the headers: 1,001 texts", Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`k${i}`, "x"]))])

const isTyped = (exit: Exit.Exit<unknown, unknown>, what: string) => {
  const defects = Exit.isSuccess(exit) ? [] : exit.cause.reasons.filter(({ _tag }) => _tag !== "Fail")
  assert.deepStrictEqual(defects, [], what)
}

describe("hostile headers", () => {
  it.effect("C11, I19 an execution takes what its messages can carry, and leaves out the rest", () =>
    Effect.gen(function* () {
      const { manager, use, wire } = yield* start({ keep: 10_000 })
      wire.answer = agreeable
      for (const [what, headers] of cases) {
        wire.sent.splice(0)
        const ref: any = yield* Ref.make(headers)
        const exit = yield* use(SagaManager.run(CreateOrder, { context })).pipe(
          RequestContext.provide({ headers: ref }),
          Effect.exit
        )
        isTyped(exit, what)
        // A message that is too large fails its step, which says so.
        const isTooMuch = /(header|user in a header): 257 KiB$|headers: 1,001 texts/.test(what)
        assert.strictEqual(Exit.isSuccess(exit), !isTooMuch, what)
        if (!Exit.isSuccess(exit)) continue
        const execution = yield* manager.load(exit.value.uuid)
        assert.strictEqual(execution.status, "finished", what)
        const text = JSON.stringify(SagaExecution.raw(execution))
        const again = yield* Effect.exit(SagaExecution.fromRaw(JSON.parse(text)))
        assert.isTrue(Exit.isSuccess(again), what)
        assert.isAbove(wire.sent.length, 0)
        for (const message of wire.sent) {
          const read = yield* Effect.exit(Broker.decode(message))
          assert.isTrue(Exit.isSuccess(read), what)
        }
      }
    })
  )

  it.effect("C11 a user of the request that cannot be stored is a typed error", () =>
    Effect.gen(function* () {
      const { use, wire } = yield* start({ keep: 10_000 })
      wire.answer = agreeable
      for (const [what, user] of everything) {
        const exit = yield* use(SagaManager.run(CreateOrder, { context })).pipe(
          RequestContext.provide({ user: user as string }),
          Effect.exit
        )
        isTyped(exit, what)
      }
    })
  )

  it.effect("I29 a handler of a request is run, or is a typed error", () =>
    Effect.gen(function* () {
      const { provide } = yield* makeBench()
      for (const [what, headers] of cases) {
        const ref: any = yield* Ref.make(headers)
        const handler: Effect.Effect<string, unknown, ParticipantStore.ParticipantStore> = transactional("bank")(
          Effect.succeed("done")
        )
        const exit = yield* Effect.exit(provide(handler).pipe(RequestContext.provide({ headers: ref })))
        isTyped(exit, what)
      }
    })
  )
})
