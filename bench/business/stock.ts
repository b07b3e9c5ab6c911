/** The stock of the order business in a two-phase commit, in the tables of the orchestrator or of a service of its own. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { SagaTransaction } from "effect-saga"
import type { Order } from "../../examples/order/contracts.ts"
import * as Stock from "../../examples/order/orders.ts"

export interface Part {
  readonly uuid: string
}

/** Reserves the goods in the name of the execution. */
export const prepare = Effect.fnUntraced(
  function* (order: Order) {
    const sql = yield* SqlClient.SqlClient
    const { uuid } = yield* SagaTransaction
    const reservation = yield* Stock.reserve(order)
    yield* sql`update reservation set prepared_by = ${uuid} where id = ${reservation}`
    return reservation
  },
  Effect.catchTag("SqlError", Effect.die)
)

/** The end of a transaction that has prepared a reservation. */
export const decided = {
  commit: ({ uuid }: Part) =>
    SqlClient.SqlClient.use((sql) => sql`update reservation set confirmed = true where prepared_by = ${uuid}`).pipe(
      Effect.asVoid,
      Effect.orDie
    ),
  reject: Effect.fnUntraced(function* ({ uuid }: Part) {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ id: string }>`select id from reservation where prepared_by = ${uuid}`
    yield* Effect.forEach(rows, ({ id }) => Stock.release(id))
  }, Effect.orDie)
}
