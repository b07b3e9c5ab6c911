// Tier D (h): Restate — its own single-node server (own log on disk, no PostgreSQL), the SDK's HTTP/2 endpoint in this
// process, calls through the HTTP ingress. options: fsync=... see README (server default is used)
import * as restate from "@restatedev/restate-sdk"
import { cancelTicket, order, refundPayment, reserveTicket, rss, ship, takePayment } from "../lib.mjs"
import * as server from "../restateServer.mjs"
export const tier = "D",
  pg = false
const saga = restate.service({
  name: "order",
  handlers: {
    run: async (ctx, { fail, ...o }) => {
      let c = o
      const undo = []
      try {
        c = { ...c, ...(await ctx.run("ticket", () => reserveTicket(c))) }
        undo.push(["ticket-undo", cancelTicket])
        c = { ...c, ...(await ctx.run("payment", () => takePayment(c))) }
        undo.push(["payment-undo", refundPayment])
        return {
          ...c,
          ...(await ctx.run("shipment", () =>
            ship(c, fail).catch((e) => {
              throw new restate.TerminalError(e.message)
            })
          ))
        }
      } catch (e) {
        if (!(e instanceof restate.TerminalError)) throw e
        for (const [name, f] of undo.reverse()) c = { ...c, ...(await ctx.run(name, () => f(c))) }
        return { ...c, failed: true }
      }
    }
  }
})
export const open = async ({ options }) => {
  const { pid, stop } = server.start(
    Object.fromEntries(Object.entries(options).filter(([k]) => k.startsWith("RESTATE_")))
  )
  await restate.serve({ services: [saga], port: 59080, logger: () => {} })
  await server.register(59080)
  return {
    run: (i, s) => server.call("order/run", { ...order(i), fail: s === "failure" }),
    serverPid: pid,
    close: async () => {
      if (process.env.DEBUG) console.error("server rss MB", rss(pid))
      await stop()
    }
  }
}
