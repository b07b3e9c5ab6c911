import { Effect } from "effect"
const reserve = (o: any) => Effect.sync(() => `t-${o.orderId}`)
const reference = (order: any) =>
  Effect.suspend(() => {
    const compensations: Array<Effect.Effect<void>> = []
    return Effect.gen(function* () {
      const ticketId = yield* reserve(order)
      compensations.push(Effect.void)
      const paymentId = yield* reserve(order)
      compensations.push(Effect.void)
      const shipmentId = yield* reserve(order)
      return { ...order, ticketId, paymentId, shipmentId }
    }).pipe(Effect.tapError(() => Effect.void))
  })
for (let r = 0; r < 3; r++) {
const t = performance.now()
await Effect.runPromise(Effect.gen(function*() { for (let i = 0; i < 200000; i++) yield* reference({ orderId: "o" + i, amount: 1 }) }))
console.log("ref", ((performance.now() - t) / 200).toFixed(2)) }
