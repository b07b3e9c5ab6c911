/** The suite of the ownership over a real cluster: runners with sockets, which leave and come. */
import { Layer } from "effect"
import { SagaExecutionRepository } from "effect-saga"
import { SqlSagaExecutionRepository } from "effect-saga/sql"
import { OwnershipSuite } from "effect-saga/testing/suites"
import * as Cluster from "../../fixtures/cluster.ts"
import { schemaOf, server, url } from "../../fixtures/postgres.ts"

const options = { excludeTestServices: true } as const

OwnershipSuite.suite(
  "a cluster in memory",
  Layer.provideMerge(Cluster.layerMemory(), SagaExecutionRepository.layerMemoryWith({ keep: 100, shared: true })),
  options
)

if (url !== undefined) {
  const schema = schemaOf("cluster")
  const repository = SqlSagaExecutionRepository.layer({ schema })
  const shared = Layer.provideMerge(Cluster.layerSql(), repository)
  OwnershipSuite.suite("a cluster on Postgres", Layer.provide(shared, server(schema)), options)
}
