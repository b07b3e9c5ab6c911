/**
 * For tests: what every implementation of a port must do, as suites to run against your own layers. Imports
 * `@effect/vitest`, which an application does not need.
 */
export * as BrokerSuite from "./testing/BrokerSuite.ts"
export * as CommitterSuite from "./testing/CommitterSuite.ts"
export * as ParticipantStoreSuite from "./testing/ParticipantStoreSuite.ts"
export * as RepositorySuite from "./testing/RepositorySuite.ts"
export * as SagaTest from "./testing/SagaTest.ts"
