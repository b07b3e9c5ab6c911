import { Context, Effect, Schema } from "effect"
import { Saga } from "effect-saga"
class Svc extends Context.Service<Svc, { readonly x: (s: string) => Effect.Effect<void> }>()("Svc") {}
export const S = Saga.make("S", { context: { trip: Schema.String } }).pipe(
  Saga.local("one", {
    success: Schema.String,
    execute: ({ trip }) => Effect.succeed(trip),
    compensate: { run: ({ one }) => Effect.log(one), unknown: ({ trip }) => Svc.use((s) => s.x(trip)) },
    timeout: "1 second",
    onCrash: "compensate"
  }),
  Saga.commit
)
export const svc: Saga.Services<typeof S> extends Svc ? true : false = true
