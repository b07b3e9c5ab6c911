// Tier M (d): node-sagas 0.0.6. A Saga instance remembers its compensations for ever, so one is built per execution.
import nodeSagas from "node-sagas"
import { cancelTicket, order, refundPayment, reserveTicket, ship, takePayment } from "../lib.mjs"
export const tier = "M",
  sample = 16
export const open = async ({ scenario }) => {
  const into = (f) => async (c) => {
    Object.assign(c, await f(c, scenario === "failure"))
  }
  const build = () =>
    new nodeSagas.SagaBuilder()
      .step("ticket")
      .invoke(into(reserveTicket))
      .withCompensation(into(cancelTicket))
      .step("payment")
      .invoke(into(takePayment))
      .withCompensation(into(refundPayment))
      .step("shipment")
      .invoke(into(ship))
      .withCompensation(async () => {})
      .build()
  const run = async (i) => {
    const c = order(i)
    try {
      return await build().execute(c)
    } catch (e) {
      if (!(e instanceof nodeSagas.SagaExecutionFailed)) throw e
      return { ...c, failed: true }
    }
  }
  return { run, close: async () => {} }
}
