/** What a runner takes from the caller that has started its execution: its span and log annotations. */
import { Context } from "effect"
import * as OpenTransaction from "../ports/OpenTransaction.ts"

/** Adds the services of the steps to the context of a caller: they win over the caller's own. */
export const make = (services: Context.Context<never>) => {
  const open = Context.get(services, OpenTransaction.OpenTransaction)
  /** Callers mostly share one context, so the last merge is kept. */
  let merged = { caller: services, all: services }
  return (caller: Context.Context<never>): Context.Context<never> => {
    if (merged.caller !== caller)
      merged = { caller, all: Context.merge(OpenTransaction.outside(caller, open), services) }
    return merged.all
  }
}
