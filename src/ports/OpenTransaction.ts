/**
 * Port: which keys of a context hold a database transaction that is open in it. A saga that is started inside such a
 * transaction is no part of it and may outlive it, so its steps must not find it. Without a database no key does.
 */
import { Context } from "effect"

/** Tells by its key whether a service is an open transaction. The adapter of a database provides it. */
export const OpenTransaction = Context.Reference<(key: string) => boolean>("effect-saga/OpenTransaction", {
  defaultValue: () => () => false
})

/** The context of a caller without the transactions that the caller has open. */
export const outside = (
  caller: Context.Context<never>,
  isOpenTransaction: (key: string) => boolean
): Context.Context<never> => {
  const kept = [...caller.mapUnsafe].filter(([key]) => !isOpenTransaction(key))
  return kept.length === caller.mapUnsafe.size ? caller : Context.makeUnsafe(new Map(kept))
}
