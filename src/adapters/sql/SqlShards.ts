/** Executions spread over several Postgres databases: each has its buckets, and says itself which they are (`SqlBuckets`). */
import { Effect, Layer } from "effect"
import * as Port from "../../ports/SagaExecutionRepository.ts"
import * as Setting from "../../ports/Setting.ts"
import * as OpenShards from "./OpenShards.ts"
import * as ShardedRepository from "./ShardedRepository.ts"
import * as SqlOpenTransaction from "./SqlOpenTransaction.ts"
import * as SqlSagaExecutionRepository from "./SqlSagaExecutionRepository.ts"
import type * as SqlTables from "./SqlTables.ts"

/** As those of `SqlSagaExecutionRepository.layer`, for each of the databases. */
export type ShardedOptions = Pick<
  SqlSagaExecutionRepository.SqlSagaExecutionRepositoryOptions,
  "retention" | "statementTimeout"
>

/**
 * Keeps executions on several databases. An execution is in that of the bucket of its uuid, and one with a `startKey` in that of the
 * bucket of its key. Each database says which buckets it serves: nothing is to be configured but the databases. `SqlBuckets.begin` gives
 * all buckets to the first one, once, and `SqlBuckets.move` moves some to another one, at any time.
 *
 * A database that is away, also at the start, concerns its executions only; one at least has to be there at the start. Steps that are
 * `transactional` are refused, and so are queues and schedules: they are of one database. A caller that knows the database
 * of its sagas, such as that of a tenant, has a manager with `SqlSagaExecutionRepository.layer` for each instead.
 *
 * @example
 * ```ts
 * const RepositoryLive = SqlSagaExecutionRepository.layerSharded({
 *   north: { client: PgClient.layer({ url: north }) },
 *   south: { client: PgClient.layer({ url: south }) }
 * })
 * ```
 */
export const layerSharded = <E = never, R = never>(
  databases: OpenShards.Databases<E, R>,
  options: ShardedOptions = {}
): Layer.Layer<Port.SagaExecutionRepository, E | SqlTables.SetUpError, R> =>
  Layer.effect(
    Port.SagaExecutionRepository,
    Setting.known("SqlSagaExecutionRepository", options, { retention: true, statementTimeout: true }).pipe(
      Effect.andThen(
        OpenShards.open(databases, {
          module: "SqlSagaExecutionRepository",
          service: Port.SagaExecutionRepository,
          layer: (_, tables) => SqlSagaExecutionRepository.layer({ ...options, ...tables })
        })
      ),
      Effect.map(ShardedRepository.make)
    )
  ).pipe(Layer.merge(SqlOpenTransaction.layer))
