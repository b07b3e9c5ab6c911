// DBOS: three applications; each command is a workflow of the application that it is for, under an id made of the order, so it is run
// once. The effects are steps: the packages for transactions (`@dbos-inc/*-datasource`, 4.x) do not run with version 5 of the SDK.
// options: call=http (default: a route of the other application starts the workflow and answers with its result; each application has
// a system database of its own) or queue (a queue of the other application in a system database that all share); poll=N (queue:
// milliseconds between two looks at a queue and at a result, default 20)
import http from "node:http"
import { DBOS } from "@dbos-inc/dbos-sdk"
import { Effect, Layer } from "effect"
import { Shop } from "../../business/shop.ts"
import { ms } from "../lib.mjs"
import * as effects from "./effects.mjs"

/** With queues the applications share a system database. */
export const together = ({ call }) => call === "queue"

const ports = { payments: 59091, shipping: 59092 }

const step = (name, run) => DBOS.runStep(run, { name })

/** A refusal is a result, as an error comes back from the database without its class. */
const outcome = async (run) => {
  try {
    return { done: await run() }
  } catch (error) {
    if (error instanceof effects.Refused) return { refused: error.message }
    throw error
  }
}

const workflows = {
  payments: (sql) => ({
    charge: (command) =>
      outcome(() => {
        effects.acceptCard(command)
        return step("charge", () => effects.charge(sql, command))
      }),
    refund: (command) => outcome(() => step("refund", () => effects.refund(sql, command)))
  }),
  shipping: (sql) => ({
    bookCourier: (command) =>
      outcome(() => {
        effects.acceptCity(command)
        return step("book courier", () => effects.send(sql, command, true))
      }),
    printLabel: (command) => outcome(() => step("print label", () => effects.send(sql, command, false)))
  })
}

const launch = async ({ options, pg, schema, service }, sql) => {
  DBOS.setConfig({
    name: service,
    applicationVersion: `${service} 1`,
    systemDatabaseUrl: pg,
    systemDatabaseSchemaName: schema,
    logLevel: "error"
  })
  // One after the other: applications that migrate a system database together fail ("tuple concurrently updated"). None waits inside
  // of a statement: the migration makes indexes concurrently, which waits for all statements.
  const lock = await sql.reserve()
  const isTaken = async () => (await lock`select pg_try_advisory_lock(hashtext(${schema})) as taken`)[0].taken
  while (!(await isTaken())) await ms(50)
  await DBOS.launch()
  await lock`select pg_advisory_unlock(hashtext(${schema}))`
  lock.release()
  if (options.call === "queue" && service !== "orders") {
    await DBOS.registerQueue(service, { minPollingIntervalMs: Number(options.poll ?? 20) })
  }
}

// ---- the two ways to another application ---------------------------------------------------------------------------

const agent = new http.Agent({ keepAlive: true, maxSockets: 128 })

const post = (service, name, workflowID, command) =>
  new Promise((ok, ko) => {
    const options = { host: "127.0.0.1", port: ports[service], path: `/${name}`, method: "POST", agent }
    const request = http.request({ ...options, headers: { "workflow-id": workflowID } }, (response) => {
      let body = ""
      response
        .setEncoding("utf8")
        .on("data", (data) => {
          body += data
        })
        .on("end", () => (response.statusCode === 200 ? ok(JSON.parse(body)) : ko(new Error(body))))
    })
    request.on("error", ko).end(JSON.stringify(command))
  })

const byHttp = (service, name, workflowID, command) =>
  DBOS.runStep(() => post(service, name, workflowID, command), { name, retriesAllowed: true, maxAttempts: 10 })

const byQueue = (poll) => async (service, name, workflowID, command) => {
  const options = { queueName: service, workflowName: name, workflowID, applicationName: service }
  const handle = await DBOS.enqueueWorkflowWithOptions(options, command)
  return handle.getResult({ pollingIntervalMs: poll })
}

/** The routes of an application: each starts its workflow under the id that it is given, and answers with the result. */
const listen = (service, registered) =>
  new Promise((up) => {
    const server = http.createServer((request, response) => {
      let body = ""
      request
        .setEncoding("utf8")
        .on("data", (data) => {
          body += data
        })
        .on("end", async () => {
          try {
            const workflow = registered[request.url.slice(1)]
            const workflowID = request.headers["workflow-id"]
            const handle = await DBOS.startWorkflow(workflow, { workflowID })(JSON.parse(body))
            response.end(JSON.stringify(await handle.getResult()))
          } catch (error) {
            response.writeHead(500).end(String(error))
          }
        })
    })
    server.listen(ports[service], "127.0.0.1", up)
  })

// ---- the services --------------------------------------------------------------------------------------------------

export const participant = (start) =>
  Layer.effectDiscard(
    Effect.promise(async () => {
      const sql = effects.connect(start)
      const handlers = workflows[start.service](sql)
      const registered = Object.fromEntries(
        Object.entries(handlers).map(([name, run]) => [name, DBOS.registerWorkflow(run, { name })])
      )
      await launch(start, sql)
      if (start.options.call !== "queue") await listen(start.service, registered)
    })
  )

const saga = (sql, ask) => async (order) => {
  const { amount, card, city, orderId, speed } = order
  const accepted = ({ done, refused }) => {
    if (refused !== undefined) throw new effects.Refused(refused)
    return done
  }
  const call = async (service, name, command) => accepted(await ask(service, name, `${orderId}:${name}`, command))
  const compensations = []
  try {
    accepted(await step("reserve", () => outcome(() => sql.begin((sql) => effects.reserve(sql, order)))))
    compensations.push(() => step("release", () => effects.release(sql, order)))
    const payment = await call("payments", "charge", { orderId, card, amount })
    compensations.push(() => call("payments", "refund", payment))
    await call("shipping", speed === "express" ? "bookCourier" : "printLabel", { orderId, city })
    await step("confirm", () => effects.confirm(sql, order))
    return "committed"
  } catch (error) {
    if (!(error instanceof effects.Refused)) throw error
    for (const compensate of compensations.reverse()) await compensate()
    return "undone"
  }
}

export const orchestrator = (start) =>
  Layer.effect(
    Shop,
    Effect.promise(async () => {
      const { call, poll = 20 } = start.options
      const sql = effects.connect(start)
      const run = saga(sql, call === "queue" ? byQueue(Number(poll)) : byHttp)
      const placeOrder = DBOS.registerWorkflow(run, { name: "placeOrder" })
      await launch(start, sql)
      return Shop.of({
        place: (order) =>
          Effect.promise(async () => {
            const handle = await DBOS.startWorkflow(placeOrder, { workflowID: order.orderId })(order)
            return handle.getResult()
          })
      })
    })
  )
