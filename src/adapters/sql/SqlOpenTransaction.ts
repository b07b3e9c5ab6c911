/**
 * Tells sagas which services of a caller's context are open transactions of `effect/sql`. The layers of this entry point
 * include it. Provide it yourself where sagas use SQL and their repository does not: otherwise a step of a saga that is
 * started inside a transaction would join that transaction.
 */
import { Layer } from "effect"
import { SqlClient } from "effect/sql"
import { OpenTransaction } from "../../ports/OpenTransaction.ts"

/** Each client keeps its transaction under a key of its own: this one, with the number of the client at its end. */
const connection = SqlClient.TransactionConnection(0).key.slice(0, -1)

export const layer: Layer.Layer<never> = Layer.succeed(OpenTransaction, (key) => key.startsWith(connection))
