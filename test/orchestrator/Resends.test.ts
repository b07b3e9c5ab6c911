/** Messages that are sent again: only of executions that are still this instance's. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Broker } from "effect-saga"
import * as Resends from "../../src/orchestrator/Resends.ts"
import * as Sample from "../../src/testing/SampleExecutions.ts"

it.effect(
  "C20 an execution whose database has not renewed the lease is left alone, and all others are given back",
  () =>
    Effect.gen(function* () {
      const [mine, theirs] = [Sample.created(), Sample.created()]
      const given: Array<string> = []
      const { send } = Resends.make(
        // cast: nothing is published
        {} as Broker.Broker["Service"],
        {
          isAlive: (_now, uuid) => uuid !== theirs.uuid,
          giveBack: ({ uuid }) =>
            Effect.sync(() => {
              given.push(uuid)
              return true
            })
        },
        1_000
      )
      const resends = [mine, theirs].map((execution) => ({ execution, messages: [], wakeAt: Sample.time }))
      assert.isTrue(yield* send(resends))
      assert.deepStrictEqual(given, [mine.uuid])
    })
)
