/**
 * Processes are killed while sagas, or transactions of a participant, are under way: nothing is lost, nothing runs twice
 * that must run once, and everything ends.
 */
import { describe } from "@effect/vitest"
import { audit } from "./audit.ts"
import * as Bank from "./bank.audit.ts"
import { suite, suiteTogether } from "./suffer.ts"

const orders = new URL("./orders.program.ts", import.meta.url)

// Side by side: a process that ends or starts is awaited most of the time.
describe("kills", { concurrent: true }, () => {
  describe("orders", () => suite(orders, audit))
  describe("orders", () => suiteTogether(orders, audit))
  // Of a PGlite there is one session: its participant does one thing at a time.
  describe("a participant", () => suite(new URL("./bank.program.ts", import.meta.url), Bank.audit, 100))
})
