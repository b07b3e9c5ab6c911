/**
 * For tests of your adapters: the contract of each port as a suite of tests to run on your layer. Needs `vitest` and
 * `@effect/vitest`, which `effect-saga/testing` does not.
 */
export * as BrokerSuite from "./testing/BrokerSuite.ts"
export * as CommitterSuite from "./testing/CommitterSuite.ts"
export * as InspectorSuite from "./testing/InspectorSuite.ts"
export * as OwnershipSuite from "./testing/OwnershipSuite.ts"
export * as ParticipantStoreSuite from "./testing/ParticipantStoreSuite.ts"
export * as RepositorySuite from "./testing/RepositorySuite.ts"
export type * as Suite from "./testing/Suite.ts"
