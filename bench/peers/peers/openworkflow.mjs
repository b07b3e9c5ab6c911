// Tier D (f): openworkflow on its PostgreSQL backend. options: mode=await (default: run().result(), polled every 1 s by
// the library) | watch (the harness's own 5 ms completion watcher)
import { OpenWorkflow } from "openworkflow"
import { BackendPostgres } from "openworkflow/postgres"
import { cancelTicket, order, refundPayment, reserveTicket, ship, takePayment, url, watcher } from "../lib.mjs"
export const tier = "D"
export const open = async ({ db, conc, options, scenario }) => {
  const backend = await BackendPostgres.connect(url(db))
  const ow = new OpenWorkflow({ backend })
  const saga = ow.defineWorkflow({ name: "order" }, async ({ input: { fail, ...o }, step }) => {
    const run = (name, f) => step.run({ name, retryPolicy: { maximumAttempts: 1 } }, f)
    let c = o
    const undo = []
    try {
      c = { ...c, ...(await run("ticket", () => reserveTicket(c))) }
      undo.push(["ticket-undo", cancelTicket])
      c = { ...c, ...(await run("payment", () => takePayment(c))) }
      undo.push(["payment-undo", refundPayment])
      return { ...c, ...(await run("shipment", () => ship(c, fail))) }
    } catch {
      for (const [name, f] of undo.reverse()) c = { ...c, ...(await run(name, () => f(c))) }
      return { ...c, failed: true }
    }
  })
  const worker = ow.newWorker({ concurrency: conc })
  await worker.start()
  const close = async () => {
    await worker.stop()
    await backend.stop()
  }
  const input = (i) => ({ ...order(i), fail: scenario === "failure" })
  if (options.mode !== "watch") return { close, run: async (i) => (await saga.run(input(i))).result() }
  const w = await watcher(
    db,
    `select id, output as out from openworkflow.workflow_runs where id = any($1) and status in ('completed','failed')`
  )
  return {
    close: async () => {
      await w.close()
      await close()
    },
    run: async (i) => w.done((await saga.run(input(i))).workflowRun.id)
  }
}
