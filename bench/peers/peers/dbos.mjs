// Tier D (e): DBOS Transact on PostgreSQL. options: pool=N (default: DBOS's own default, 10)
import { DBOS } from "@dbos-inc/dbos-sdk"
import { cancelTicket, order, refundPayment, reserveTicket, ship, takePayment, url } from "../lib.mjs"
export const tier = "D"
const step = (name, f) => DBOS.runStep(f, { name })
export const open = async ({ db, options }) => {
  const saga = DBOS.registerWorkflow(
    async (o, fail) => {
      let c = o
      const undo = []
      try {
        c = { ...c, ...(await step("ticket", () => reserveTicket(c))) }
        undo.push(["ticket/undo", cancelTicket])
        c = { ...c, ...(await step("payment", () => takePayment(c))) }
        undo.push(["payment/undo", refundPayment])
        return { ...c, ...(await step("shipment", () => ship(c, fail))) }
      } catch {
        for (const [name, f] of undo.reverse()) c = { ...c, ...(await step(name, () => f(c))) }
        return { ...c, failed: true }
      }
    },
    { name: "order" }
  )
  DBOS.setConfig({
    name: "peers",
    systemDatabaseUrl: url(db),
    logLevel: "error",
    ...(options.pool ? { systemDatabasePoolSize: +options.pool } : {})
  })
  await DBOS.launch()
  return { run: (i, s) => saga(order(i), s === "failure"), close: () => DBOS.shutdown() }
}
