/** Waiters of an execution in this process: a waiter that is interrupted is forgotten. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Result, Scheduler } from "effect"
import { Saga, SagaExecution, SagaExecutionRepository } from "effect-saga"
import { defaults } from "../../src/execution/rules/RetrySchedule.ts"
import * as ExecutionSupervisor from "../../src/orchestrator/ExecutionSupervisor.ts"
import * as Inbox from "../../src/orchestrator/Inbox.ts"
import * as ShutdownGrace from "../../src/ports/ShutdownGrace.ts"

const saga = Saga.make("Empty", { context: {} }).pipe(Saga.local("one", { execute: () => Effect.void }), Saga.commit)

for (const how of ["wait", "submit"] as const) {
  it.effect(`a waiter that is interrupted at any moment is forgotten (${how})`, () =>
    Effect.gen(function* () {
      const execution = yield* SagaExecution.fromDefinition(saga, { context: {} })
      const { uuid } = execution
      const active = yield* ExecutionSupervisor.make({
        service: "orders",
        drive: (execution, _, inbox) =>
          Effect.sync(() => {
            Inbox.complete(
              inbox.inputs.splice(0).map((input) => ({ input, refused: Result.void })),
              execution
            )
            return { execution, wakeAt: Number.POSITIVE_INFINITY, elsewhere: undefined }
          }),
        load: () => Effect.as(Effect.yieldNow, execution),
        repository: yield* SagaExecutionRepository.SagaExecutionRepository,
        membership: { isMine: () => true, wake: () => Effect.void },
        policy: { schedule: defaults },
        claim: () => {},
        dueAt: () => {},
        takeUp: Effect.map((execution) => ({ execution, elsewhere: undefined, isHeld: true })),
        setAside: () => Effect.void,
        recoveryInterval: 3_000,
        maxRunning: 10,
        maxPending: 10,
        commitWait: 30_000,
        grace: yield* Effect.provide(ShutdownGrace.make(0), ShutdownGrace.layer),
        services: Context.empty()
      })
      // Others have their turn after so many steps, and so in the middle of anything.
      for (const turn of [3, 4, 5, 7]) {
        for (let later = 0; later < 20; later++) {
          const waiting = how === "wait" ? active.wait(uuid, "end") : active.submit(uuid, { _tag: "Look" }, "end")
          const fiber = yield* Effect.forkChild(Effect.provideService(waiting, Scheduler.MaxOpsBeforeYield, turn))
          yield* Effect.repeat(Effect.yieldNow, { times: later })
          fiber.interruptUnsafe()
          yield* Effect.repeat(Effect.yieldNow, { times: 20 })
          assert.isDefined(fiber.pollUnsafe())
          assert.deepStrictEqual(active.waitedFor(), [], `in turns of ${turn}, ${later} turns later`)
        }
      }
    }).pipe(Effect.provide(SagaExecutionRepository.layerMemory))
  )
}
