/** One session for all: a unit of work that waits for another one must not keep it out for ever. */
import { randomUUID } from "node:crypto"
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Deferred, Effect, Layer, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Broker, Participant, ParticipantStore } from "effect-saga"
import type { Envelope } from "effect-saga/internals"
import { SqlParticipantStore } from "effect-saga/sql"
import * as Pglite from "../../fixtures/pglite.ts"
import { envelopeOf } from "../../participant/byHand.ts"

const Talk = Participant.make("talk", {
  Ask: { payload: {}, success: Schema.String },
  Tell: { payload: {}, success: Schema.String }
})

const live = Layer.provideMerge(
  Layer.merge(SqlParticipantStore.layer({ timeout: "500 millis" }), Broker.layerMemory),
  Pglite.layer({ lockTimeout: "200 millis" })
)

withLayer(live, { timeout: "2 minutes", excludeTestServices: true })("a unit of work that waits, on PGlite", (it) => {
  it.effect(
    "a unit that waits for another unit on the only session is rolled back, and runs again after the other",
    () =>
      Effect.gen(function* () {
        const told = yield* Deferred.make<string>()
        const story: Array<string> = []
        const say = (line: string) => Effect.sync(() => void story.push(line))
        yield* Layer.build(
          Participant.layer(Talk, {
            Ask: () => Effect.andThen(say("asks"), Deferred.await(told)),
            Tell: () => Effect.as(say("tells"), "told")
          })
        )
        const broker = yield* Broker.Broker
        const answers = new Map<string, Deferred.Deferred<Envelope.Envelope>>()
        const ask = Effect.fnUntraced(function* (command: "Ask" | "Tell") {
          const message = { op: "execute", changes: { saga: randomUUID(), notAfter: Date.now() + 600_000 } } as const
          const envelope = envelopeOf(message, { service: "talk" })
          const answered = yield* Deferred.make<Envelope.Envelope>()
          answers.set(envelope.id, answered)
          yield* broker.publish(Broker.toMessage(envelope, command))
          return answered
        })
        yield* broker.subscribe({ service: "orders", kinds: ["reply"] }).pipe(
          Stream.runForEach(({ acknowledge, body }) => {
            const envelope: Envelope.Envelope = JSON.parse(body)
            const answered = answers.get(envelope.inReplyTo ?? "")
            return Effect.andThen(
              answered === undefined ? Effect.void : Deferred.succeed(answered, envelope),
              acknowledge
            )
          }),
          Effect.forkScoped
        )
        const asked = yield* ask("Ask")
        yield* Effect.repeat(Effect.sleep("5 millis"), { until: () => story.length > 0 })
        const other = yield* Deferred.await(yield* ask("Tell"))
        assert.strictEqual(other.status, 200)
        yield* Deferred.succeed(told, "told")
        const reply = yield* Deferred.await(asked)
        assert.deepStrictEqual([reply.status, reply.content], [200, "told"])
        assert.strictEqual(story.filter((line) => line === "tells").length, 1)
      }).pipe(Effect.scoped)
  )

  it.effect("a unit that needs a second connection is refused, and the next unit runs", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { unit } = yield* ParticipantStore.ParticipantStore
      const scope = () => ({ service: "talk", transactions: [randomUUID()], messages: [] })
      const besides = Effect.updateContext(sql`select 1`, (context: Context.Context<never>) =>
        Context.omit(sql.transactionService)(context)
      )
      const error = yield* Effect.flip(unit(scope(), ({ attempt }) => Effect.orDie(attempt(besides))))
      assert.deepInclude(error, { _tag: "ParticipantStoreError", reason: "unavailable" })
      assert.deepInclude(error.cause, { code: "55P03" })
      assert.strictEqual(yield* unit(scope(), () => Effect.succeed("on")), "on")
    })
  )
})
