// Restate: three services, each in a process of its own, that call each other through the server; the effects in `ctx.run`. The saga
// is the one of its guide: a list of compensations, run backwards on a terminal error.
import * as restate from "@restatedev/restate-sdk"
import { Effect, Layer } from "effect"
import { Shop } from "../../business/shop.ts"
import * as server from "../restateServer.mjs"
import * as effects from "./effects.mjs"

/** The server, for the program that starts the services. */
export const start = server.start

const ports = { orders: 59080, payments: 59081, shipping: 59082 }

const terminal = (error) => {
  throw error instanceof effects.Refused ? new restate.TerminalError(error.message) : error
}
const accept = (rule, command) => {
  try {
    rule(command)
  } catch (error) {
    terminal(error)
  }
}

const payments = (sql) =>
  restate.service({
    name: "payments",
    handlers: {
      charge: async (ctx, command) => {
        accept(effects.acceptCard, command)
        return ctx.run("charge", () => effects.charge(sql, command))
      },
      refund: (ctx, command) => ctx.run("refund", () => effects.refund(sql, command))
    }
  })

const shipping = (sql) =>
  restate.service({
    name: "shipping",
    handlers: {
      bookCourier: async (ctx, command) => {
        accept(effects.acceptCity, command)
        return ctx.run("book courier", () => effects.send(sql, command, true))
      },
      printLabel: (ctx, command) => ctx.run("print label", () => effects.send(sql, command, false))
    }
  })

const orders = (sql) =>
  restate.service({
    name: "orders",
    handlers: {
      place: async (ctx, order) => {
        const { amount, card, city, orderId, speed } = order
        const compensations = []
        try {
          await ctx.run("reserve", () => sql.begin((sql) => effects.reserve(sql, order)).catch(terminal))
          compensations.push(() => ctx.run("release", () => effects.release(sql, order)))
          const payment = await ctx.serviceClient({ name: "payments" }).charge({ orderId, card, amount })
          compensations.push(() => ctx.serviceClient({ name: "payments" }).refund(payment))
          const couriers = ctx.serviceClient({ name: "shipping" })
          await (speed === "express" ? couriers.bookCourier({ orderId, city }) : couriers.printLabel({ orderId, city }))
          await ctx.run("confirm", () => effects.confirm(sql, order))
          return "committed"
        } catch (error) {
          if (!(error instanceof restate.TerminalError)) throw error
          for (const compensate of compensations.reverse()) await compensate()
          return "undone"
        }
      }
    }
  })

const services = { orders, payments, shipping }

const serve = (start) =>
  Effect.promise(async () => {
    const port = ports[start.service]
    await restate.serve({ services: [services[start.service](effects.connect(start))], port, logger: () => {} })
    await server.register(port)
  })

export const orchestrator = (start) =>
  Layer.effect(
    Shop,
    Effect.as(
      serve(start),
      Shop.of({
        place: (order) => Effect.promise(() => server.call("orders/place", order, { "idempotency-key": order.orderId }))
      })
    )
  )

export const participant = (start) => Layer.effectDiscard(serve(start))
