/**
 * What only this release knows: an order in a queue with an attribute, a saga with a wait, items and a start of another saga, and
 * a calendar. A former release of the program does not read this file.
 */
import { Effect, Schema } from "effect"
import { Saga, SagaQueue, SagaSchedule, Signal } from "effect-saga"
import type * as Orders from "../kill/Orders.ts"

export const Go = Signal.make("go", { payload: Schema.Struct({ by: Schema.String }) })

/** Few places, so that executions wait for them, and give them back while they wait for a signal. */
export const Line = SagaQueue.make("line", { concurrency: 24, perKey: { concurrency: 8 } })

/** Items of each batch: the audit counts them. */
export const lines = 3

class NoTruck extends Schema.TaggedError<NoTruck>()("NoTruck", {}) {}

/** Every second order gets an attribute with the record of its ledger. */
export const label = <S>(saga: S): S =>
  // The types of the saga are those of `Orders.ts`, which a former release reads too.
  (
    Saga.attributes<{ readonly n: number }, object>(({ n }) => (n % 2 === 0 ? { ledger: n } : {})) as (saga: any) => any
  )(saga)

export const make = ({ Payments, perform }: Orders.Kit) => {
  const did = (step: string) => ({
    transactional: true as const,
    success: Schema.String,
    execute: () => Effect.as(perform({ step, op: "execute", isTransactional: true }), step),
    compensate: () => perform({ step, op: "failure", isTransactional: true })
  })

  const Notice = Saga.make("Notice", { context: { n: Schema.Int } }).pipe(
    Saga.local("noticed", did("noticed")),
    Saga.commit
  )

  const Batch = Saga.make("Batch", {
    context: { n: Schema.Int, courier: Schema.Boolean },
    attributes: ({ n }) => ({ day: n % 7 })
  }).pipe(
    Saga.waitFor("approval", { signal: Go }),
    Saga.sleep("rest", "200 millis"),
    Saga.forEach("packed", {
      items: ({ n }) => Array.from({ length: lines }, (_, i) => n + i),
      item: Schema.Int,
      as: "line",
      concurrency: 2,
      steps: (each) =>
        each.pipe(
          Saga.local("pack", did("pack")),
          Saga.remote("charge", {
            execute: { command: Payments.commands.Charge, payload: ({ line }) => ({ n: line }) },
            compensate: { command: Payments.commands.Refund, payload: ({ charge }) => charge },
            timeout: "1 hour"
          })
        )
    }),
    Saga.start("notice", {
      saga: Notice,
      context: ({ n }) => ({ n }),
      compensate: () => perform({ step: "notice", op: "failure", isTransactional: false })
    }),
    Saga.local("truck", {
      success: Schema.String,
      error: NoTruck,
      execute: ({ courier }) => (courier ? Effect.succeed("truck") : Effect.fail(new NoTruck()))
    }),
    Saga.commit
  )

  const Tick = Saga.make("Tick", { context: { tick: Schema.Int } }).pipe(
    Saga.local("made", {
      transactional: true,
      execute: ({ tick }) => perform({ step: `tick ${tick}`, op: "execute", isTransactional: true })
    }),
    Saga.commit
  )
  const ticks = SagaSchedule.layer(Tick, {
    cron: "* * * * * *",
    context: ({ tick }) => ({ tick: tick.getTime() }),
    queue: Line
  })

  return { Batch, Notice, Tick, ticks }
}
