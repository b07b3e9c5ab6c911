/** Executions that no process takes, since its schemas refuse what is stored: the dashboard says what, and not only that. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schedule, Schema } from "effect"
import { Inspector, Saga, SagaConfig, SagaManager, Signal } from "effect-saga"
import * as Shop from "../../fixtures/shop.ts"
import { asking } from "./served.ts"

const Visit = Signal.make("visit", { payload: Schema.String })

/** The form of a saga holds no schemas: both releases have the same. */
const former = Saga.make("Tour", { context: { city: Schema.String } }).pipe(
  Saga.waitFor("visited", { signal: Visit }),
  Saga.commit
)
const stricter = Saga.make("Tour", { context: { city: Schema.Int } }).pipe(
  Saga.waitFor("visited", { signal: Visit }),
  Saga.commit
)

it.live("what nobody takes is overdue, or unreadable with the value and the rule where the sagas here say so", () =>
  Effect.gen(function* () {
    const manager = SagaManager.layer([former]).pipe(Layer.provide(SagaConfig.layer({ service: "tours" })))
    const uuid = yield* Effect.provide(SagaManager.start(former, { context: { city: "Ghent" } }), manager)
    const inspector = yield* Inspector.Inspector
    yield* Effect.repeat(inspector.load(uuid), {
      until: ({ summary }) => summary.waitsFor !== undefined,
      schedule: Schedule.spaced("5 millis"),
      times: 500
    })
    // A process that is alone takes what is due: here nobody does.
    const left = Inspector.Inspector.of({
      ...inspector,
      overdue: () =>
        Effect.succeed([
          { saga: "Tour", fingerprint: former.fingerprint, count: 1, isMore: false, since: 1, sample: uuid },
          { saga: "Gone", fingerprint: "g", count: 2, isMore: false, sample: "01890000-0000-7000-8000-000000000001" }
        ])
    })
    const groups = (sagas: ReadonlyArray<typeof former | typeof stricter>) =>
      asking({ path: "/ops/sagas", sagas }).pipe(
        Effect.flatMap(({ ask }) => ask("/ops/sagas/api/attention")),
        Effect.map(({ body }) =>
          body.groups
            .filter(({ kind }: { readonly kind: string }) => kind !== "drifted")
            .map(({ cause, kind, saga }: Record<string, string>) => `${saga} ${kind}: ${cause}`)
            .toSorted()
        ),
        Effect.provideService(Inspector.Inspector, left)
      )
    const gone = "Gone overdue: no process takes it"
    assert.deepStrictEqual(yield* groups([former]), [gone, "Tour overdue: no process takes it"])
    assert.deepStrictEqual(yield* groups([]), [gone, "Tour overdue: no process takes it"])
    const [, unreadable] = yield* groups([stricter])
    assert.strictEqual(unreadable, "Tour unreadable: context: $.city: not a number")
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.provideMerge(Inspector.layerMemory(), Shop.Memory)),
    Effect.provide(Logger.layer([]))
  )
)
