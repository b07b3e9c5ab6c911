/**
 * For tests: what every implementation of a port must do, as suites to run against your own layers. Imports
 * `@effect/vitest`, which an application does not need.
 */
export * as BrokerSuite from "./tooling/BrokerSuite.ts"
export * as CommitterSuite from "./tooling/CommitterSuite.ts"
export * as ParticipantStoreSuite from "./tooling/ParticipantStoreSuite.ts"
export * as RepositorySuite from "./tooling/RepositorySuite.ts"
export * as SagaTest from "./tooling/SagaTest.ts"
